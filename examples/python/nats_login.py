"""Connects to NATS as the `nats` command line does: NATS_URL (several servers separated by commas), NATS_USER and
NATS_PASSWORD or NATS_CREDS (a file), and NATS_CA (a file, for TLS)."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from typing import Any

from nats.aio.client import Client

CONNECT_LIMIT_S = 10


class Failed(Exception):
    """What went wrong, and what to do."""


async def connect_to_nats(name: str) -> Client:
    """Connects. Once connected, a lost connection is made again for as long as it takes."""
    env = os.environ
    url = env.get("NATS_URL", "nats://127.0.0.1:4222")
    login: dict[str, Any] = {}
    if "NATS_USER" in env:
        login |= {"user": env["NATS_USER"], "password": env.get("NATS_PASSWORD", "")}
    if "NATS_CREDS" in env:
        login["user_credentials"] = env["NATS_CREDS"]
    if "NATS_CA" in env:
        login["tls"] = ssl.create_default_context(cafile=env["NATS_CA"])
    nc = Client()
    last: list[Exception] = []

    async def note(error: Exception) -> None:
        last[:] = [error]
        # What went wrong before the first connection is in the error at the end.
        if nc.is_connected:
            log(f"NATS: {reason(error)}")

    async def lost() -> None:
        if not nc.is_closed:
            log("NATS: disconnect")

    async def back() -> None:
        log("NATS: reconnect")

    callbacks: dict[str, Any] = {"error_cb": note, "disconnected_cb": lost, "reconnected_cb": back}
    try:
        # The client would try for ever.
        async with asyncio.timeout(CONNECT_LIMIT_S):
            await nc.connect(url.split(","), name=name, max_reconnect_attempts=-1, **callbacks, **login)
            return nc
    except Exception as error:
        why = reason(last[0] if last else error)
        check = "check that the server is running, and NATS_URL, NATS_USER and NATS_PASSWORD (or NATS_CREDS)"
        raise Failed(f"failed to connect to NATS at `{url}`: {why}; {check}") from error


def reason(error: Exception) -> str:
    """What an error says; some say nothing."""
    return str(error) or type(error).__name__


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
