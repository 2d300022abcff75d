"""A client of `keysweep serve`, over NATS and over HTTP: `run_cleanup_now({…})` and `get_cleanup_statistics()`. Requests
and responses have the types of the API's schemas, and are the same over both."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Protocol

import nats.errors
from nats.aio.client import Client

if TYPE_CHECKING:
    from generated.api import RunAnswer, RunRequest, Statistics

PATIENCE_S = 300
"""How long to wait for a response: the service looks at every node of Redis before it starts a run."""

WAYS_OUT = {
    401: "check the token",
    409: "wait for the run in progress to end, or cancel it",
    429: "check the token, and try again in a minute",
    503: "try again in a moment",
}
"""What to do about a status, besides what the reason says."""


class Refused(Exception):
    """The service did not do what it was asked for."""

    def __init__(self, status: int, why: str) -> None:
        self.status = status
        way_out = WAYS_OUT.get(status)
        super().__init__(f"keysweep refused the request ({status}): {why}{f'; {way_out}' if way_out else ''}")


class Unanswered(Exception):
    """No response came. A run may have been started all the same."""

    def __init__(self, where: str, why: object) -> None:
        super().__init__(
            f"no answer from {where}: {why}; check the address, and look at `keysweep runs list` before you repeat it, "
            "because a request that was received is carried out"
        )


class Keysweep(Protocol):
    async def run_cleanup_now(self, options: RunRequest | None = None) -> RunAnswer:
        """Starts a run, and returns its id as soon as it is stored. How it ended is an event (`subscriber.py`), and over
        HTTP also at `/api/runs/<id>`. A request can be gentler than its job, not more than that."""

    async def get_cleanup_statistics(self) -> Statistics: ...


class OverHttp:
    """A service at `url`, the `--admin-addr` of `keysweep serve`, with its `api_token`."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._token = token

    async def run_cleanup_now(self, options: RunRequest | None = None) -> RunAnswer:
        answer: RunAnswer = await asyncio.to_thread(self._ask, "POST", "/api/runs", options or {})
        return answer

    async def get_cleanup_statistics(self) -> Statistics:
        answer: Statistics = await asyncio.to_thread(self._ask, "GET", "/api/stats")
        return answer

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._url}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error_in(error.read()) or error.reason) from error
        except OSError as error:
            raise Unanswered(f"`{self._url}`", error) from error


def error_in(body: bytes) -> str | None:
    """The reason in an error response; a proxy in between may send none."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, TypeError, KeyError):
        return None


class OverNats:
    """The service in the NATS account of the connection. With another `--nats-prefix`, pass that."""

    def __init__(self, nc: Client, prefix: str = "keysweep") -> None:
        self._nc = nc
        self._prefix = prefix

    async def run_cleanup_now(self, options: RunRequest | None = None) -> RunAnswer:
        answer: RunAnswer = await self._ask("run", options or {})
        return answer

    async def get_cleanup_statistics(self) -> Statistics:
        answer: Statistics = await self._ask("stats", {})
        return answer

    async def _ask(self, what: str, body: object) -> Any:
        subject = f"{self._prefix}.api.{what}"
        try:
            reply = await self._nc.request(subject, json.dumps(body).encode(), timeout=PATIENCE_S)
        except nats.errors.NoRespondersError as error:
            why = f"no `keysweep serve` listens at `{subject}`: is it running, with this NATS?"
            raise Refused(503, why) from error
        except nats.errors.Error as error:
            raise Unanswered("NATS", str(error) or type(error).__name__) from error
        headers = reply.headers or {}
        if status := headers.get("Nats-Service-Error-Code"):
            raise Refused(int(status), headers.get("Nats-Service-Error", ""))
        return json.loads(reply.data)
