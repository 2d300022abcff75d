"""The alert rules: each fires when it should, not before, and recovers; each has its runbook."""

import json
import pathlib
import re
import tempfile
import unittest

import yaml

import kit

FOLDER = kit.DEPLOY / "prometheus"
FILES = ["rules.yaml", "alerts.yaml"]
JOB = 'cleanup_job="a",redis="main"'
DAY = 1440

# For each alert: series with their values, one per minute (`0x5` is 0 and five more of it, `1+0x5` the same);
# a minute at which it is quiet, one at which it fires, one at which it is quiet again; the labels with which it fires.
CASES = {
    "KeysweepNoSuccess": (
        # A run that ended at 0, and one a day and ten minutes later.
        {f"keysweep_last_success_timestamp_seconds{{{JOB}}}": f"0x{DAY + 10} {(DAY + 10) * 60}x60"},
        (DAY - 1, DAY + 5, DAY + 20),
        "cleanup_job redis",
    ),
    "KeysweepNoSuccessYet": (
        {
            f"keysweep_next_run_timestamp_seconds{{{JOB}}}": f"999999x{DAY + 60}",
            f"keysweep_last_success_timestamp_seconds{{{JOB}}}": f"_x{DAY + 10} {DAY * 60}x60",
        },
        (DAY - 1, DAY + 5, DAY + 20),
        "cleanup_job redis",
    ),
    "KeysweepRunNotCompleted": (
        {f'keysweep_runs_total{{{JOB},outcome="{outcome}"}}': values for outcome, values in {
            "failed": "0x10 1x200", "completed": "0x5 1x300", "cancelled": "0x5 1x300"
        }.items()},
        (9, 20, 100),
        "cleanup_job redis outcome",
    ),
    "KeysweepRunMissed": ({f"keysweep_missed_runs_total{{{JOB}}}": "_x10 3x200"}, (9, 20, 100), "cleanup_job redis"),
    "KeysweepRunOverdue": (
        # Due at minute 10, and started at minute 50.
        {f"keysweep_next_run_timestamp_seconds{{{JOB}}}": "600x50 36000x100"},
        (24, 40, 60),
        "cleanup_job redis",
    ),
    "KeysweepRunLong": ({f"keysweep_runs_active{{{JOB}}}": "1x370 0x30"}, (359, 365, 380), "cleanup_job redis"),
    "KeysweepNoLeader": (
        {
            f'keysweep_runs_active{{{JOB},instance="{instance}"}}': "1x60" for instance in "xy"
        } | {
            f'keysweep_leader{{{JOB},instance="x"}}': "1x10 0x20 1x40",
            f'keysweep_leader{{{JOB},instance="y"}}': "0x60",
        },
        (12, 25, 40),
        "cleanup_job redis",
    ),
    "KeysweepProcessDown": ({'up{job="keysweep",instance="x"}': "1x5 0x20 1x20"}, (9, 20, 40), "job instance"),
    "KeysweepAbsent": ({'up{job="keysweep",instance="x"}': "_x30 1x30"}, (14, 25, 40), "job"),
    "KeysweepNatsDisconnected": (
        {'keysweep_nats_connected{job="keysweep",instance="x"}': "1x5 0x20 1x20"},
        (9, 20, 40),
        "job instance",
    ),
    "KeysweepQueueStuck": (
        # Work waits from the start; it is done until minute 5, and again from minute 60.
        {
            'keysweep_queue_messages{queue="tasks",state="waiting"}': "7x120",
            'keysweep_deliveries_total{queue="tasks",outcome="done"}': "0+1x5 5x54 6+1x60",
        },
        (20, 40, 70),
        "queue",
    ),
    "KeysweepDeadLetters": (
        {'keysweep_deliveries_total{queue="batches",outcome="dead_lettered"}': "0x10 2x200"},
        (9, 20, 100),
        "queue outcome",
    ),
    "KeysweepWebhookFailing": (
        {'keysweep_webhook_posts_total{cleanup_job="a",hook="slack",outcome="failed"}': "0x10 2x200"},
        (9, 20, 100),
        "cleanup_job hook",
    ),
    "KeysweepRedisDown": (
        {
            'keysweep_redis_up{redis="main",node="n:1",instance="x"}': "1x5 0x30 1x30",
            # Another coordinator never reaches it.
            'keysweep_redis_up{redis="main",node="n:1",instance="y"}': "0x60",
        },
        (14, 30, 50),
        "redis node",
    ),
    "KeysweepRedisFailures": (
        {'keysweep_redis_failures_total{redis="main",kind="unreachable"}': "0x5 0+1x40 40x60"},
        (15, 40, 70),
        "redis kind",
    ),
    "KeysweepRedisMemoryHigh": (
        {'keysweep_memory_used_ratio{redis="main"}': "0.7x5 0.85x40 0.5x30"},
        (15, 40, 60),
        "redis",
    ),
    "KeysweepAlert": (
        {'keysweep_alerts_active{cleanup_job="a",alert="stale-keys"}': "0x5 1x20 0x20"},
        (3, 20, 40),
        "cleanup_job alert",
    ),
}

# Counters that are first scraped after the event: the cases above, with these values.
FIRST_SEEN = {name: "_x10 1x200" for name in ("KeysweepRunNotCompleted", "KeysweepDeadLetters", "KeysweepWebhookFailing")}


def alerts():
    """All alert rules by name."""
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def labels_of(series, names):
    """The labels with which an alert fires, of the first series that has them."""
    found = {}
    for one in series:
        for name, value in re.findall(r'(\w+)="([^"]*)"', one):
            found.setdefault(name, value)
    return {name: found[name] for name in names.split()}


def test_of(name, values=None):
    """A test for promtool, with other values of the first series if there are some."""
    series, minutes, names = CASES[name]
    if values:
        series = {next(iter(series)): values}
    expected = {**labels_of(series, names), "severity": alerts()[name]["labels"]["severity"]}

    def at(minute, firing):
        exp_alerts = [{"exp_labels": expected}] if firing else []
        return {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": exp_alerts}

    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "alert_rule_test": [at(minute, number == 1) for number, minute in enumerate(minutes)],
    }


class Alerts(unittest.TestCase):
    def test_prometheus_accepts_the_rules(self):
        for file in FILES:
            kit.run("promtool", "check", "rules", "--lint=all", "--lint-fatal", FOLDER / file)

    def test_each_fires_and_recovers(self):
        self.assertEqual(set(CASES), set(alerts()), "each alert has a case")
        rules = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
        for group in rules["groups"]:
            for rule in group["rules"]:
                # promtool compares the texts, too.
                rule.pop("annotations")
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "alerts.yaml").write_text(json.dumps(rules))
            tests = pathlib.Path(folder, "tests.yaml")
            cases = [test_of(name) for name in CASES] + [test_of(*first_seen) for first_seen in FIRST_SEEN.items()]
            tests.write_text(json.dumps({"rule_files": ["alerts.yaml"], "tests": cases}))
            kit.run("promtool", "test", "rules", tests)

    def test_the_threshold_and_the_labels_are_in_the_texts(self):
        for name, rule in alerts().items():
            self.assertEqual(set(rule["annotations"]), {"summary", "description", "runbook_url"}, name)
            self.assertIn(rule["labels"]["severity"], ["warning", "critical"], name)
            shown = re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"] + rule["annotations"]["description"])
            for label in set(shown):
                self.assertIn(label, CASES[name][2].split(), name)

    def test_each_has_a_runbook(self):
        page = (kit.ROOT / "docs/alerts.md").read_text()
        headings = re.findall(r"^## (Keysweep\w+)$", page, re.M)
        self.assertEqual(set(headings), set(alerts()))
        for name, rule in alerts().items():
            self.assertEqual(rule["annotations"]["runbook_url"], f"docs/alerts.md#{name.lower()}")

    def test_their_metrics_are_those_of_the_page(self):
        page = (kit.ROOT / "docs/metrics.md").read_text()
        for file in FILES:
            for group in yaml.safe_load((FOLDER / file).read_text())["groups"]:
                for rule in group["rules"]:
                    for name in re.findall(r"\bkeysweep_\w+", rule["expr"]):
                        self.assertIn(f"`{name.removesuffix('_bucket')}`", page)


if __name__ == "__main__":
    unittest.main()
