"""Each alert fires and recovers at a real Prometheus, with shortened times, for processes of keysweep in which its condition
was made and repaired."""

import contextlib
import http.server
import re
import sqlite3
import tempfile
import threading
import time
import unittest

import yaml

import kit
import shortened
from fleet import Fleet
from test_alerts import CASES, FILES, FOLDER, alerts


class Listener(http.server.BaseHTTPRequestHandler):
    """Accepts all posts."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        """Keeps the output free of requests."""


@contextlib.contextmanager
def listener(port):
    """A webhook that accepts notifications."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Listener) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield
        finally:
            server.shutdown()


def second_of_the_minute():
    return time.time() % 60


class Shortened(unittest.TestCase):
    def test_times_are_shortened_and_nothing_else(self):
        def check(text, expected):
            self.assertEqual(shortened.expression(text), expected)

        check("rate(a5m_total[1d]) > 86400", "rate(a5m_total[120s]) > 86400")
        check("time() - max by (x) (a) > 86400", "time() - max by (x) (a) > 120")
        check("time() - a > 900", "time() - a > 6")
        check("a offset 6h > 0.8", "a offset 30s > 0.8")
        check('a{b="0"} == 1', 'a{b="0"} == 1')
        self.assertEqual(shortened.duration("15m"), "6s")

    def test_no_rule_keeps_a_long_time(self):
        for file in FILES:
            groups = shortened.rules(yaml.safe_load((FOLDER / file).read_text()))["groups"]
            for rule in (rule for group in groups for rule in group["rules"]):
                numbers = re.findall(r"(?<![\w.])\d+", rule["expr"] + " " + rule.get("for", ""))
                self.assertLessEqual(max(map(int, numbers), default=0), 120, rule)


class AlertsLive(unittest.TestCase):
    @contextlib.contextmanager
    def condition(self, **expected):
        """A condition that is made within the block, with the labels of the alerts for which it is. Gives a function that
        waits until they fire; after the block, they recover."""
        keys = {}
        for name, labels in expected.items():
            self.assertEqual(set(labels), set(CASES[name][2].split()), name)
            labels = {"alertname": name, "severity": alerts()[name]["labels"]["severity"], **labels}
            keys[name] = frozenset(labels.items())
            self.assertFalse(self.fleet.watch.fires(keys[name]), f"{name} fires before its condition")
        begin = time.monotonic()
        watch = self.fleet.watch
        fired = {}

        def wait_until_firing(seconds=60):
            for name, key in keys.items():
                self.wait(f"{name} fires", lambda: watch.since.get(key, 0) > begin, seconds)
                fired[name] = watch.since[key] - begin

        yield wait_until_firing
        repaired = time.monotonic()
        for name, key in keys.items():
            self.wait(f"{name} recovers", lambda: not watch.fires(key), 60)
            self.exercised.add(name)
            print(f"{name:26} {fired[name]:7.1f} {max(0.0, watch.until[key] - repaired):9.1f}", flush=True)

    def wait(self, what, condition, seconds):
        try:
            kit.wait(what, condition, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; what fires: {self.fleet.watch.firing()}") from error

    def test_each_fires_and_recovers(self):
        self.exercised = set()
        with contextlib.ExitStack() as stack:
            self.fleet = fleet = Fleet(stack, stack.enter_context(tempfile.TemporaryDirectory()))
            self.wait("all are scraped", lambda: fleet.values("sum(up)") == [len(fleet.scraped)], 30)
            print("\nseconds until              firing  recovery", flush=True)
            self.assertEqual(fleet.ended(fleet.begin("once")), "completed")
            yet, once = [{"cleanup_job": name, "redis": "main"} for name in ("yet", "once")]
            with self.condition(KeysweepNoSuccessYet=yet, KeysweepNoSuccess=once) as firing:
                self.keys_without_ttl_and_a_dead_webhook()
                self.full_memory()
                self.no_worker()
                self.garbage()
                self.dead_leader_of_a_long_run()
                self.dead_redis()
                self.dead_nats_and_a_service_that_is_down()
                self.locked_state_file()
                firing(150)
                for name in ("yet", "once"):
                    self.assertEqual(fleet.ended(fleet.begin(name)), "completed")
            self.no_targets()
        self.assertEqual(self.exercised, set(alerts()), "each alert fired and recovered")

    def keys_without_ttl_and_a_dead_webhook(self):
        failing = {"cleanup_job": "loud", "hook": "generic"}
        raised = {"cleanup_job": "loud", "alert": "stale-keys"}
        with self.condition(KeysweepWebhookFailing=failing, KeysweepAlert=raised) as firing:
            self.assertEqual(self.fleet.ended(self.fleet.begin("loud")), "completed")
            firing()
            self.fleet.stack.enter_context(listener(self.fleet.webhook))
            self.assertEqual(self.fleet.ended(self.fleet.begin("loud", stale=0)), "completed")

    def full_memory(self):
        # What clients use for a moment is little beside it.
        self.fleet.on_redis("SETRANGE ballast 20000000 x")
        used = int(re.search(r"used_memory:(\d+)", self.fleet.on_redis("INFO memory"))[1])
        with self.condition(KeysweepRedisMemoryHigh={"redis": "main"}) as firing:
            self.fleet.on_redis(f"CONFIG SET maxmemory {used * 115 // 100}")
            firing()
            self.fleet.on_redis("CONFIG SET maxmemory 0")

    def no_worker(self):
        down = {"job": "keysweep", "instance": self.fleet.worker.address}
        with self.condition(KeysweepProcessDown=down, KeysweepQueueStuck={"queue": "tasks"}) as firing:
            self.fleet.worker.stop()
            run = self.fleet.begin("stuck")
            firing()
            self.fleet.worker.start()
        self.assertEqual(self.fleet.ended(run), "completed")

    def garbage(self):
        with self.condition(KeysweepDeadLetters={"queue": "batches", "outcome": "undecodable"}) as firing:
            # Of a known format: it is not left to workers of a newer version.
            self.fleet.publish("keysweep.batches", "\4no batch")
            firing()

    def dead_leader_of_a_long_run(self):
        fleet, labels = self.fleet, {"cleanup_job": "long", "redis": "main"}
        with self.condition(KeysweepRunLong=labels) as long:
            run = fleet.begin("long")
            leads = 'keysweep_leader{cleanup_job="long"} == 1'
            (leader,) = kit.wait("a coordinator drives it", lambda: kit.samples(fleet.prometheus, leads))
            (part,) = [part for part in fleet.coordinators if part.address == leader["metric"]["instance"]]
            with self.condition(KeysweepNoLeader=labels) as leaderless:
                part.kill()
                leaderless()
                # The other one takes the run when the lease has ended.
            part.start()
            long()
            self.assertEqual(fleet.ended(run), "completed")

    def dead_redis(self):
        fleet = self.fleet
        down = {"redis": "main", "node": fleet.redis.address}
        failures = {"redis": "main", "kind": "unreachable"}
        partial = {"cleanup_job": "cut", "redis": "main", "outcome": "partial"}
        given_up = 'keysweep_deliveries_total{queue="batches",outcome="dead_lettered"} > 0'
        with self.condition(KeysweepRunNotCompleted=partial) as not_completed:
            run = fleet.begin("cut")
            self.wait("all is read", lambda: fleet.values('keysweep_keys_stale_total{cleanup_job="cut"} > 0'), 30)
            with self.condition(KeysweepRedisDown=down, KeysweepRedisFailures=failures) as failing:
                fleet.redis.stop()
                failing()
                self.wait("the batch is given up", lambda: fleet.values(given_up), 90)
                fleet.redis.start()
            self.assertEqual(fleet.ended(run), "partial")
            not_completed()

    def near_a_due_time(self):
        self.wait("a due time is near", lambda: 50 < second_of_the_minute() < 55, 70)

    def dead_nats_and_a_service_that_is_down(self):
        fleet = self.fleet
        missed = {"cleanup_job": "alone", "redis": "alone"}
        overdue = {"cleanup_job": "often", "redis": "main"}
        ran = 'keysweep_last_run_timestamp_seconds{cleanup_job="alone"}'
        self.wait("the service had a run", lambda: fleet.values(ran), 90)
        self.near_a_due_time()
        with self.condition(KeysweepRunMissed=missed) as not_started:
            disconnected = {"job": "keysweep", "instance": fleet.worker.address}
            with self.condition(KeysweepNatsDisconnected=disconnected, KeysweepRunOverdue=overdue) as away:
                fleet.nats.stop()
                fleet.alone.stop()
                self.wait("it has passed", lambda: second_of_the_minute() < 50, 30)
                fleet.alone.start()
                not_started()
                away()
                fleet.nats.start()

    def locked_state_file(self):
        """Another cause of an alert that has fired before: without NATS, a due time is recorded in a file."""
        overdue = {"cleanup_job": "alone", "redis": "alone"}
        self.near_a_due_time()
        with self.condition(KeysweepRunOverdue=overdue) as firing:
            with contextlib.closing(sqlite3.connect(self.fleet.state_file)) as other:
                other.execute("BEGIN IMMEDIATE")
                firing()

    def no_targets(self):
        with self.condition(KeysweepAbsent={"job": "keysweep"}) as firing:
            self.fleet.discover([])
            firing()
            self.fleet.discover(self.fleet.scraped)


if __name__ == "__main__":
    unittest.main()
