"""Starts a run now, over HTTP if the address of a service is given, otherwise over NATS; or prints the statistics.

    KEYSWEEP_API_TOKEN=… python cleanup.py http://127.0.0.1:9464 '{"dryRun": true}'
    NATS_URL=nats://nats:4222 python cleanup.py '{"job": "permission-cache-cleanup", "generateReport": true}'
    NATS_URL=nats://nats:4222 python cleanup.py stats"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

from keysweep import Keysweep, OverHttp, OverNats, Refused, Unanswered
from nats_login import Failed, connect_to_nats

if TYPE_CHECKING:
    from generated.api import RunRequest


async def main(args: list[str]) -> None:
    url = args.pop(0) if args and args[0].startswith(("http:", "https:")) else None
    what = args[0] if args else "{}"
    if url:
        return await act(OverHttp(url, os.environ.get("KEYSWEEP_API_TOKEN", "")), what)
    nc = await connect_to_nats("keysweep-client")
    try:
        await act(OverNats(nc), what)
    finally:
        await nc.close()


async def act(keysweep: Keysweep, what: str) -> None:
    if what == "stats":
        statistics = await keysweep.get_cleanup_statistics()
        shown = {"jobQueue": statistics["jobQueue"], "cacheHealth": statistics["cacheHealth"]}
        return print(json.dumps(shown, indent=2))
    answer = await keysweep.run_cleanup_now(options(what))
    print(f"{'resumed' if answer['left'] else 'started'} run {answer['runId']}")


def options(text: str) -> RunRequest:
    try:
        found: RunRequest = json.loads(text)
        return found
    except ValueError as error:
        example = """'{"dryRun": true}'"""
        raise Failed(f"`{text}` is not JSON: {error}; pass an object, such as {example}, or stats") from error


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1:]))
    except (Failed, Refused, Unanswered) as failed:
        sys.exit(f"error: {failed}")
