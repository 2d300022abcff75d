"""The chart: what it renders of six sets of values is valid, confined and what it was; values that are wrong are
refused."""

import functools
import os
import re
import unittest

import helm_python
import kubernetes_validate.utils
import yaml

import chart
import kit

# It reads its schemas each time.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)

# The oldest and the newest version of Kubernetes that it is checked for.
VERSIONS = ["1.29", "1.37"]

# What a container must not do.
CONFINED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}

# Values that the schema refuses, each with what the refusal names.
REFUSED = [
    ({"mod": "serve"}, "mod"),
    ({"mode": "daemon"}, "mode"),
    ({"image": {"digest": "latest"}}, "digest"),
    ({"secrets": {"redisPassword": {"value": "secret"}}}, "value"),
    ({"persistence": {"size": "two"}}, "size"),
    ({"cronjob": {"jobs": []}}, "jobs"),
    ({"cronjob": {"jobs": [{"name": "a", "schedule": "daily"}]}}, "schedule"),
    ({"cronjob": {"backoffLimit": 3}}, "backoffLimit"),
    ({"distributed": {"natsUrl": "http://nats"}}, "natsUrl"),
    ({"distributed": {"coordinator": {"replicas": 0}}}, "replicas"),
    ({"distributed": {"workers": {"worker": {"role": "all"}}}}, "role"),
    ({"distributed": {"workers": {"coordinator": {"role": "worker", "replicas": 1, "nats": {}}}}}, "coordinator"),
    ({"service": {"port": 0}}, "port"),
    ({"serviceMonitor": {"interval": "often"}}, "interval"),
]


class Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""


def shown(dumper, text):
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Dumper.add_representer(str, shown)


def golden(documents):
    """The documents as a text that is kept; rules of Prometheus are compared elsewhere."""
    kept = [document for document in documents.values() if document["kind"] != "PrometheusRule"]
    text = yaml.dump_all(kept, Dumper=Dumper, sort_keys=True, width=120)
    return text.replace(chart.chart().metadata["version"], "VERSION")


class Chart(unittest.TestCase):
    def test_there_are_six_sets_of_values(self):
        self.assertEqual(len(chart.NAMES), 6)

    def test_the_linter_finds_nothing(self):
        for name in chart.NAMES:
            report = helm_python.lint(str(chart.CHART), chart.values(name), strict=True)
            found = [said for said in report["messages"] if said["severity"] > 1]
            self.assertEqual((report["errors"], found), ([], []), name)

    def test_what_it_renders_is_what_it_was(self):
        for name in chart.NAMES:
            text = golden(chart.render(chart.values(name)))
            path = chart.SETS / f"{name}.golden.yaml"
            if os.environ.get("UPDATE_GOLDEN"):
                path.write_text(text)
            self.assertEqual(text, path.read_text(), f"{path}: accept it with UPDATE_GOLDEN=1")

    def test_kubernetes_accepts_it(self):
        for name in chart.NAMES:
            for document in chart.render(chart.values(name)).values():
                if not document["apiVersion"].startswith("monitoring.coreos.com/"):
                    for version in VERSIONS:
                        kubernetes_validate.validate(document, version, strict=True)

    def test_wrong_values_are_refused(self):
        for name in chart.NAMES:
            chart.chart().validate_schema(chart.values(name))
        for values, named in REFUSED:
            with self.assertRaisesRegex(helm_python.HelmError, re.escape(named), msg=values):
                chart.chart().validate_schema(values)

    def test_pods_are_confined(self):
        for name in chart.NAMES:
            for owner, pod in chart.pods(chart.render(chart.values(name))).items():
                spec = pod["spec"]
                self.assertFalse(spec["enableServiceLinks"], owner)
                self.assertFalse(spec["automountServiceAccountToken"], owner)
                self.assertTrue(spec["securityContext"]["runAsNonRoot"], owner)
                self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"}, owner)
                for container in spec["containers"]:
                    self.assertEqual(container["securityContext"], CONFINED, owner)

    def test_services_and_budgets_select_pods(self):
        for name in chart.NAMES:
            documents = chart.render(chart.values(name))
            labels = [pod["metadata"]["labels"].items() for pod in chart.pods(documents).values()]
            for key, document in documents.items():
                selector = document.get("spec", {}).get("selector")
                if document["kind"] == "ServiceMonitor":
                    services = [document for document in documents.values() if document["kind"] == "Service"]
                    wanted = selector["matchLabels"].items()
                    found = [service for service in services if wanted <= service["metadata"]["labels"].items()]
                    self.assertEqual(len(found), 1, key)
                elif selector:
                    wanted = selector.get("matchLabels", selector).items()
                    self.assertTrue(any(wanted <= found for found in labels), key)

    def test_another_job_file_restarts_the_pods(self):
        def checksum(values):
            pod = chart.pods(chart.render(values))["StatefulSet/keysweep"]
            return pod["metadata"]["annotations"]["checksum/config"]

        self.assertNotEqual(checksum({}), checksum({"config": '[redis.main]\nurls = ["redis://other:6379"]\n'}))

    def test_a_run_by_cron_is_not_repeated(self):
        documents = chart.render(chart.values("cronjob-full"))
        jobs = [document["spec"] for document in documents.values() if document["kind"] == "CronJob"]
        self.assertEqual(len(jobs), 2)
        for spec in jobs:
            self.assertEqual((spec["concurrencyPolicy"], spec["startingDeadlineSeconds"]), ("Forbid", 600))
            job = spec["jobTemplate"]["spec"]
            self.assertEqual((job["backoffLimit"], job["template"]["spec"]["restartPolicy"]), (0, "Never"))
            refused = job["podFailurePolicy"]["rules"][0]
            self.assertEqual((refused["action"], refused["onExitCodes"]["values"]), ("FailJob", [3, 4]))

    def test_the_rules_of_prometheus_are_those_of_deploy(self):
        found = chart.render(chart.values("serve-full"))["PrometheusRule/keysweep"]["spec"]["groups"]
        files = [kit.DEPLOY / "prometheus" / name for name in ["rules.yaml", "alerts.yaml"]]
        self.assertEqual(found, [group for file in files for group in yaml.safe_load(file.read_text())["groups"]])

    def test_its_version_is_that_of_the_program(self):
        version = re.search(r'^version = "(.+)"', (kit.ROOT / "Cargo.toml").read_text(), re.M)[1]
        metadata = chart.chart().metadata
        self.assertEqual((metadata["version"], metadata["appVersion"]), (version, version))


if __name__ == "__main__":
    unittest.main()
