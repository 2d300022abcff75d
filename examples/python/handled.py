"""The ids of the events that were handled, in a file, so that an event that is delivered again, even after a restart, has
no second effect. A program whose effect is in a database does better: a unique column for the id, written in the
transaction of the effect. With a file, a crash between the two repeats the effect once."""

from __future__ import annotations

import json
from pathlib import Path

KEPT = 100_000
"""Ids to keep: more than the stream of events, 16 MiB at most, has room for."""


class Handled:
    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().split("\n") if path.exists() else []
        self._ids = dict.fromkeys([line for line in lines if line][-KEPT:])
        # Without the older ones, and without the rest of a line that was being written in a crash.
        new = path.with_name(f"{path.name}.new")
        new.write_text("\n".join([*self._ids, ""]))
        new.replace(path)

    def __contains__(self, event_id: str) -> bool:
        return json.dumps(event_id) in self._ids

    def add(self, event_id: str) -> None:
        # As JSON, an id is one line.
        line = json.dumps(event_id)
        with self.path.open("a") as file:
            file.write(f"{line}\n")
        self._ids[line] = None
