"""Follows keysweep's events over NATS and prints how runs ended, alerts, and missed schedules, one line for each.

    NATS_URL=nats://nats:4222 python subscriber.py [CONSUMER]

CONSUMER is the name of a durable consumer, by default `example`. The server remembers how far it is, so the program
continues there after a pause (events are kept for seven days), and several processes with the same name share the work.
The consumer is created if it does not exist and the login may do so. `docs/programs.md` explains the rest."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig

from handled import Handled
from nats_login import Failed, connect_to_nats, log, reason

if TYPE_CHECKING:
    from generated.events import AlertData, CleanupResult, CloudEvent, FailedAttemptData, MissedData

# With another `--nats-prefix`, all names start with that prefix.
PREFIX = "keysweep"
STREAM = f"{PREFIX.upper()}_EVENTS"
SUBJECTS = f"{PREFIX}.events.>"
ACK_WAIT_S = 30
"""How long the server waits for an acknowledgement before it delivers an event again."""
RETRY_AFTER_S = 5
"""How long it waits after an event that could not be handled, and this program after a failure of NATS."""
FETCH_S = 2
"""How long one request for events waits for some; the program notices its end as late as that."""
FLUSH_S = 5
"""How long the program tries to send its last acknowledgements."""
LOST = (nats.errors.Error, OSError)
"""What the client raises when NATS is away or refuses."""


async def main(name: str = "example") -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    handled = Handled(Path(f"{name}.handled"))
    nc = await connect_to_nats("keysweep-subscriber")
    js = await durable_consumer(nc, name)
    events = await js.pull_subscribe_bind(consumer=name, stream=STREAM)
    log(f"following `{SUBJECTS}` as `{name}`")
    while not stop.is_set():
        for message in await fetch(js, events, name):
            try:
                await take(message, handled)
            except LOST as error:
                log(f"warning: an event was not acknowledged, and is delivered again: {reason(error)}")
    # Sends the last acknowledgements, if NATS is there; without them, the events are delivered again.
    try:
        await nc.flush(FLUSH_S)
    except LOST:
        pass
    await nc.close()


async def fetch(js: JetStreamContext, events: JetStreamContext.PullSubscription, name: str) -> list[Msg]:
    """The next events; none if there are none for a moment, or if NATS is away: the client connects again."""
    try:
        return await events.fetch(16, timeout=FETCH_S)
    except (nats.errors.TimeoutError, asyncio.TimeoutError):
        return []
    except nats.errors.ConnectionClosedError as error:
        raise Failed("the connection to NATS has ended: check the login") from error
    except LOST as error:
        log(f"warning: failed to get events, and tries again: {reason(error)}")
    await asyncio.sleep(RETRY_AFTER_S)
    try:
        await js.consumer_info(STREAM, name)
    except nats.js.errors.NotFoundError as error:
        raise Failed(f"the consumer `{name}` is gone: start the program again to create it") from error
    except LOST:
        pass
    return []


async def take(message: Msg, handled: Handled) -> None:
    """Handles a message, and says so to the server last: after a crash before that, it is delivered again."""
    event = parse(message)
    if event is None:
        log(f"warning: message {message.metadata.sequence.stream} is no event, and is left out")
        return await message.term()
    try:
        if event["id"] not in handled:
            handle(event)
            handled.add(event["id"])
    except Exception as error:
        log(f"warning: event `{event['id']}` failed, and is tried again: {reason(error)}")
        return await message.nak(delay=RETRY_AFTER_S)
    await message.ack()


def parse(message: Msg) -> CloudEvent | None:
    """The event in a message. What comes from elsewhere is not believed; the schema says what keysweep sends."""
    try:
        event: Any = json.loads(message.data)
        return event if isinstance(event["id"], str) and isinstance(event["type"], str) else None
    except (ValueError, TypeError, KeyError):
        return None


def handle(event: CloudEvent) -> None:
    """The effect; here it prints a line."""
    job = event["source"].rsplit("/", 1)[-1]
    match event["type"].removeprefix("dev.keysweep."):
        case "run.completed.v1" | "run.partial.v1" | "run.failed.v1" | "run.cancelled.v1":
            print(f"{job} {event['subject']} {ended(event['data'])}", flush=True)
        case "alert.raised.v1" | "alert.resolved.v1":
            alert: AlertData = event["data"]
            print(f"{job} alert {alert['change']}: {alert['severity']}: {alert['message']}", flush=True)
        case "run.missed.v1":
            missed: MissedData = event["data"]
            print(f"{job} missed {missed['count']} runs, the last at {missed['last']}", flush=True)
        case _:
            # Other types, and those that later versions add, are none of this program's business.
            pass


def ended(data: Any) -> str:
    if "cleanedKeys" not in data:
        # An attempt that failed before it had a run has no counts.
        attempt: FailedAttemptData = data
        return f"{attempt['status']}: {'; '.join(attempt['issues'])}"
    run: CleanupResult = data
    return f"{run['status']}: {run['scannedKeys']} keys, {run['staleTTLKeys']} stale, {run['cleanedKeys']} deleted"


async def durable_consumer(nc: Client, name: str) -> JetStreamContext:
    """JetStream with the consumer, which is created if it does not exist."""
    # In the own account, or imported from keysweep's account as in `deploy/nats-account.conf`.
    for domain in (None, PREFIX):
        js = nc.jetstream(domain=domain)
        try:
            await js.stream_info(STREAM)
        except nats.errors.Error:
            continue
        try:
            await js.consumer_info(STREAM, name)
        except nats.js.errors.NotFoundError:
            await create_consumer(js, name)
        return js
    raise Failed(
        f"there is no stream `{STREAM}`: create it with `keysweep nats setup --apply`, or check the login and the prefix"
    )


async def create_consumer(js: JetStreamContext, name: str) -> None:
    wanted = ConsumerConfig(
        durable_name=name, ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_WAIT_S, filter_subject=SUBJECTS
    )
    try:
        await js.add_consumer(STREAM, wanted)
    except nats.errors.Error as error:
        create = f"nats consumer add {STREAM} {name} --pull --ack explicit --deliver all --filter '{SUBJECTS}' --defaults"
        raise Failed(
            f"failed to create the consumer `{name}`: {reason(error)}; create it with a login that may: {create}"
        ) from error


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:2]))
    except Failed as failed:
        sys.exit(f"error: {failed}")
