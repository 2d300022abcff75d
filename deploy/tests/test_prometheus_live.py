"""A real Prometheus with the configuration of Compose scrapes a service and a worker: its rules load, the queries of
the dashboard work, and each metric that rules and dashboard use is there."""

import contextlib
import pathlib
import re
import tempfile
import time
import unittest

import yaml

import kit
from test_alerts import FILES, FOLDER
from test_dashboard import queries

TOKEN = "t" * 32

# Metrics that need what this test does not have.
ABSENT = {
    # An alert, a webhook, a limit of memory; hits and misses of an application.
    "keysweep_webhook_posts_total",
    "keysweep_memory_used_ratio",
    "keysweep_hit_ratio",
    # A run in progress with a latency budget.
    "keysweep_duty_cycle",
}

# Those that a process has only over NATS.
OVER_NATS = {"keysweep_queue_messages", "keysweep_nats_connected"}


def values(port, query):
    """The values of the samples that a query gives."""
    return [sample["value"][1] for sample in kit.samples(port, query)]


def health(port):
    """The state of each rule."""
    return [rule["health"] for group in kit.asked(port, "rules")["groups"] for rule in group["rules"]]


def used():
    """The metrics of rules and dashboard."""
    groups = [group for file in FILES for group in yaml.safe_load((FOLDER / file).read_text())["groups"]]
    texts = [rule["expr"] for group in groups for rule in group["rules"]] + queries()
    return {name for text in texts for name in re.findall(r"(?<!:)\bkeysweep_\w+\b(?!:)", text)}


class Prometheus(unittest.TestCase):
    def observed(self, folder, redis, nats):
        """A service, with a worker if there is NATS, and Prometheus, which scrapes them after a run."""
        config = pathlib.Path(folder, "keysweep.toml")
        config.write_text(
            f'[redis.main]\nurls = ["redis://127.0.0.1:{redis}"]\n[[job]]\nname = "a"\npatterns = ["permissions:*"]\n'
        )
        env = {"KEYSWEEP_API_TOKEN": TOKEN, "XDG_STATE_HOME": folder}
        common = ["--config", str(config)] + (["--nats", f"nats://127.0.0.1:{nats}"] if nats else [])
        with contextlib.ExitStack() as stack:
            ports = [stack.enter_context(kit.keysweep(folder, ["serve", *common], env, "serve"))]
            if nats:
                ports.append(stack.enter_context(kit.keysweep(folder, ["worker", *common], env, "worker")))
            targets = {"static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}]}
            port = stack.enter_context(kit.prometheus(folder, targets, FOLDER, "500ms"))
            self.assertEqual(kit.finished_run(ports[0], TOKEN)["status"], "completed")
            kit.wait("all targets are up", lambda: values(port, "up") == ["1"] * len(ports))
            wanted = used() - ABSENT - (set() if nats else OVER_NATS)
            missing = wanted
            for _ in range(20):
                missing = wanted - set(kit.asked(port, "label/__name__/values"))
                if not missing:
                    break
                time.sleep(0.5)
            self.assertEqual(missing, set())
            for query in queries():
                values(port, query)
            kit.wait("all rules were evaluated", lambda: set(health(port)) == {"ok"})
            self.assertGreaterEqual(len(health(port)), 20)

    def test_a_service_on_one_machine(self):
        with tempfile.TemporaryDirectory() as folder, kit.redis(folder) as redis:
            kit.fill(redis)
            self.observed(folder, redis, None)

    def test_a_coordinator_and_a_worker(self):
        with tempfile.TemporaryDirectory() as folder, kit.redis(folder) as redis, kit.nats(folder) as nats:
            kit.fill(redis)
            self.observed(folder, redis, nats)


if __name__ == "__main__":
    unittest.main()
