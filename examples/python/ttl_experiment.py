"""Which TTL a user's keys get in an experiment of `keysweep ttl experiment`.

    python ttl_experiment.py redis://127.0.0.1:6379 keysweep:ttl:permission-cache-cleanup 3600000 alice bob

prints the TTL of each user in milliseconds; 3600000 is that of today. In your own program:

    ttls = ExperimentTtl(lambda: redis.hgetall("keysweep:ttl:permission-cache-cleanup"), today_ms=3_600_000)
    redis.set(key, value, px=ttls.of(user))"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import redis
import xxhash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

READ_EVERY_S = 5.0
FORGOTTEN_AFTER_S = 60.0
"""Without a successful read for this long, keys get the TTL of today."""


@dataclass(frozen=True)
class Arm:
    """Buckets from `start` to below `end` have this TTL in even periods."""

    start: int
    end: int
    ttl_ms: int


@dataclass(frozen=True)
class Assignment:
    """The published hash."""

    salt: bytes
    buckets: int
    start_ms: int
    until_ms: int
    period_ms: int
    arms: tuple[Arm, Arm]

    @classmethod
    def parse(cls, fields: Mapping[str, str]) -> Assignment | None:
        """None if there is no experiment, or one of another version."""
        if fields.get("version") != "1":
            return None
        first, second = (Arm(arm["from"], arm["to"], arm["ttl"]) for arm in json.loads(fields["arms"]))
        return cls(
            salt=fields["salt"].encode(),
            buckets=int(fields["buckets"]),
            start_ms=int(fields["start"]),
            until_ms=int(fields["until"]),
            period_ms=int(fields["period"]),
            arms=(first, second),
        )

    def bucket(self, user: bytes) -> int:
        return xxhash.xxh3_64_intdigest(self.salt + user) % self.buckets

    def ttl_ms(self, user: bytes, now_ms: int) -> int | None:
        """None before the experiment and after it."""
        if not self.start_ms <= now_ms < self.until_ms:
            return None
        bucket = self.bucket(user)
        own = 0 if self.arms[0].start <= bucket < self.arms[0].end else 1
        period = (now_ms - self.start_ms) // self.period_ms
        return self.arms[(own + period) % 2].ttl_ms


class ExperimentTtl:
    """The TTL of users, from a hash that is read every few seconds. `read` returns its fields as text."""

    def __init__(self, read: Callable[[], Mapping[str, str]], today_ms: int) -> None:
        self._read, self._today_ms = read, today_ms
        self._assignment: Assignment | None = None
        self._tried = self._succeeded = -FORGOTTEN_AFTER_S

    def of(self, user: str | bytes) -> int:
        """In milliseconds. `user` is the id as it is in the key."""
        now = time.monotonic()
        if now - self._tried >= READ_EVERY_S:
            self._tried = now
            try:
                self._assignment, self._succeeded = Assignment.parse(self._read()), now
            except (redis.RedisError, KeyError, TypeError, ValueError) as error:
                print(f"the experiment cannot be read: {error}", file=sys.stderr)
        if self._assignment is None or now - self._succeeded >= FORGOTTEN_AFTER_S:
            return self._today_ms
        id_bytes = user.encode() if isinstance(user, str) else user
        ttl_ms = self._assignment.ttl_ms(id_bytes, time.time_ns() // 1_000_000)
        return self._today_ms if ttl_ms is None else ttl_ms


def main(url: str, key: str, today_ms: str, *users: str) -> None:
    client = redis.Redis.from_url(url, decode_responses=True)
    # Its types do not know that `decode_responses` makes text of bytes.
    ttls = ExperimentTtl(lambda: cast("dict[str, str]", client.hgetall(key)), int(today_ms))
    for user in users:
        print(user, ttls.of(user))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("error: pass URL, KEY, today's TTL in ms, and users")
    main(*sys.argv[1:])
