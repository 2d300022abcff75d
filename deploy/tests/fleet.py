"""Two coordinators and a worker over NATS, a service without NATS, and a Prometheus with shortened rules that scrapes
them: each can be stopped, and started again at the same address."""

import contextlib
import json
import pathlib
import socket
import threading
import time

import yaml

import kit
import shortened
from test_alerts import FILES, FOLDER

TOKEN = "t" * 32

# Never due while this runs.
NEVER = "0 0 1 1 *"

EACH_MINUTE = "* * * * *"


def job(name, redis="main", schedule=NEVER, **settings):
    """A job of a file, whose keys begin with its name."""
    settings = {"patterns": [f"{name}:*"], "max_delete_percent": 100, "attempts": 1, **settings}
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    return "\n".join(["[[job]]", f'name = "{name}"', f'redis = "{redis}"', f'schedule = "{schedule}"', *lines, ""])


class Part:
    """A process at a port that stays the same."""

    def __init__(self, begin, *arguments):
        self.port = kit.free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.begin, self.arguments = begin, arguments
        self.running = contextlib.ExitStack()
        self.child = None

    def start(self):
        self.child = self.running.enter_context(self.begin(self.port, *self.arguments))

    def stop(self):
        self.running.close()

    def kill(self):
        self.child.kill()
        self.stop()


class Watch:
    """Since when and until when alerts have fired, by their labels."""

    def __init__(self, prometheus):
        self.prometheus = prometheus
        self.since, self.until = {}, {}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.follow)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def fires(self, labels):
        return self.since.get(labels, 0) > self.until.get(labels, 0)

    def firing(self):
        return [dict(labels) for labels in list(self.since) if self.fires(labels)]

    def follow(self):
        while not self.ended.wait(0.1):
            try:
                alerts = kit.asked(self.prometheus, "alerts")["alerts"]
            except ValueError:
                # It did not answer in time.
                continue
            now = {frozenset(alert["labels"].items()) for alert in alerts if alert["state"] == "firing"}
            for labels in now | set(self.since):
                if (labels in now) != self.fires(labels):
                    (self.since if labels in now else self.until)[labels] = time.monotonic()


class Fleet:
    """All processes; their ends are those of `stack`."""

    def __init__(self, stack, folder):
        self.folder = folder
        self.stack = stack
        self.redis = Part(lambda port: kit.redis(folder, port))
        self.nats = Part(lambda port: kit.nats(folder, port=port))
        self.webhook = kit.free_port()
        self.state_file = pathlib.Path(folder, "keysweep/keysweep.db")
        jobs, alone = self.files()
        over_nats = ["--config", jobs, "--nats", f"nats://{self.nats.address}"]
        self.coordinators = [Part(self.keysweep, name, "serve", *over_nats) for name in ("first", "second")]
        self.worker = Part(self.keysweep, "worker", "worker", *over_nats)
        self.alone = Part(self.keysweep, "alone", "serve", "--config", alone)
        self.scraped = [*self.coordinators, self.worker, self.alone]
        for part in [self.redis, self.nats, *self.scraped]:
            stack.callback(part.stop)
            part.start()
        self.discover(self.scraped)
        self.prometheus = stack.enter_context(self.observed())
        self.watch = stack.enter_context(Watch(self.prometheus))

    def files(self):
        """The job files of those over NATS, and of the one without."""
        jobs, alone = [pathlib.Path(self.folder, f"{name}.toml") for name in ("jobs", "alone")]
        server = f'urls = ["redis://{self.redis.address}"]\n'
        jobs.write_text(
            f"[redis.main]\n{server}"
            + job("yet", sample_every="1s")
            + job("once")
            + job("often", schedule=EACH_MINUTE)
            + job("loud", webhooks=[f"http://127.0.0.1:{self.webhook}/"])
            + job("stuck")
            + job("long", grace="45s")
            + job("cut", grace="10s")
        )
        alone.write_text(f"[redis.alone]\n{server}" + job("alone", "alone", EACH_MINUTE))
        return jobs, alone

    def keysweep(self, port, name, *arguments):
        # The lease is longer than the time after which the rule about it fires.
        env = {"KEYSWEEP_API_TOKEN": TOKEN, "XDG_STATE_HOME": self.folder, "KEYSWEEP_NATS_LEASE": "20s"}
        return kit.keysweep_at(port, self.folder, arguments, env, name)

    def observed(self):
        """Prometheus with the shortened rules; its port."""
        rules = pathlib.Path(self.folder, "rules")
        rules.mkdir()
        for file in FILES:
            short = shortened.rules(yaml.safe_load((FOLDER / file).read_text()))
            rules.joinpath(file).write_text(yaml.safe_dump(short))
        discovery = {"file_sd_configs": [{"files": [f"{self.folder}/targets.json"], "refresh_interval": "1s"}]}
        back = f"--query.lookback-delta={shortened.duration('5m')}"
        return kit.prometheus(self.folder, discovery, rules, "200ms", back)

    def discover(self, parts):
        """What Prometheus is to scrape."""
        targets = [{"targets": [part.address for part in parts]}] if parts else []
        pathlib.Path(self.folder, "targets.json").write_text(json.dumps(targets))

    def values(self, query):
        """The values that a query gives now."""
        return [float(sample["value"][1]) for sample in kit.samples(self.prometheus, query)]

    def on_redis(self, *commands):
        return kit.run("redis-cli", "-p", self.redis.port, input="\n".join(commands))

    def begin(self, name, stale=50):
        """Starts a run of a job, which finds these keys and some with a TTL; its id."""
        keys = [f"SET {name}:{number} x" for number in range(stale)]
        self.on_redis(*keys, *(f"SET {name}:fresh:{number} x EX 3600" for number in range(10)))
        return kit.request(f"http://{self.asked().address}/api/runs", TOKEN, json.dumps({"job": name}))["runId"]

    def asked(self):
        """A coordinator that is up."""
        return next(part for part in self.coordinators if kit.answers(part.port))

    def ended(self, run):
        """The status of a run, which ends."""
        url = f"http://{self.asked().address}/api/runs/{run}"
        return kit.wait("the run has a result", lambda: kit.request(url, TOKEN)["result"], 90)["status"]

    def publish(self, subject, payload):
        """Sends a message to NATS as a program does that is not keysweep."""
        with socket.create_connection(("127.0.0.1", self.nats.port), 10) as server:
            server.sendall(f"CONNECT {{}}\r\nPUB {subject} {len(payload)}\r\n{payload}\r\nPING\r\n".encode())
            answer = server.makefile("rb")
            while not next(answer).startswith(b"PONG"):
                pass
