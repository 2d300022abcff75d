"""Every container of the six sets of values, started with its rendered arguments, environment and files against real
servers."""

import contextlib
import pathlib
import tempfile
import unittest

import chart
import kit

TOKEN = "t" * 32
PASSWORD = "password-of-redis"
SECRETS = {
    "cache": {"password": PASSWORD, "redis-password": PASSWORD},
    "keysweep": {"token": TOKEN, "view-token": "v" * 32},
    "keysweep-nats": {role: f"replace-this-password-{role}" for role in kit.NATS_ROLES},
}


@contextlib.contextmanager
def installed(name, job="dry_run = true"):
    """A set of values whose Redis is on this machine: folder, port of Redis, documents. `job` is put into the job."""
    with tempfile.TemporaryDirectory() as folder, kit.redis(folder) as redis:
        kit.fill(redis)
        kit.run("redis-cli", "-p", redis, "acl", "setuser", "keysweep", "on", f">{PASSWORD}", "~*", "+@all")
        if chart.values(name).get("secrets", {}).get("redisPassword"):
            kit.run("redis-cli", "-p", redis, "config", "set", "requirepass", PASSWORD)
        values = chart.at_home(chart.values(name), redis)
        values["config"] = values["config"].replace("dry_run = true", job)
        yield folder, redis, chart.render(values)


def container(folder, documents, name):
    return chart.Container(folder, documents, name, SECRETS)


class Live(unittest.TestCase):
    def plan(self, folder, documents):
        """What `helm test` does."""
        test = container(folder, documents, "Pod/keysweep-test")
        kit.run(kit.BINARY, *test.args(), env=test.env())

    def serve(self, name, env):
        with installed(name) as (folder, _, documents):
            self.plan(folder, documents)
            pod = container(folder, documents, "StatefulSet/keysweep")
            with kit.keysweep(folder, pod.args(), {**pod.env(), **env}) as port:
                probes = [pod.spec[probe]["httpGet"]["path"] for probe in ["livenessProbe", "readinessProbe"]]
                for path in probes:
                    self.assertEqual(kit.status(f"http://127.0.0.1:{port}{path}"), 200, path)
                return kit.finished_run(port, TOKEN)

    def test_serve(self):
        result = self.serve("serve", {"KEYSWEEP_API_TOKEN": TOKEN})
        self.assertEqual((result["status"], result["dryRun"]), ("completed", True), result)

    def test_serve_with_secrets(self):
        result = self.serve("serve-full", {})
        self.assertEqual((result["status"], result["accounting"]["deleted"]), ("completed", 100), result)

    def test_cronjobs(self):
        for name, jobs in {"cronjob": 1, "cronjob-full": 2}.items():
            with installed(name) as (folder, _, documents):
                self.plan(folder, documents)
                found = [key for key in documents if key.startswith("CronJob/")]
                self.assertEqual(len(found), jobs)
                for key in found:
                    pod = container(folder, documents, key)
                    kit.run(kit.BINARY, *pod.args(), env=pod.env())

    def test_runs_end_with_the_exit_codes_of_the_policy_of_pods(self):
        for job, code in {'rate_limit = 20\nmax_runtime = "2s"': 3, "max_delete_percent = 0": 4}.items():
            with installed("cronjob", job) as (folder, _, documents):
                pod = container(folder, documents, "CronJob/keysweep-permission-cache-cleanup")
                kit.run(kit.BINARY, *pod.args(), env=pod.env(), status=code)
                spec = documents["CronJob/keysweep-permission-cache-cleanup"]["spec"]["jobTemplate"]["spec"]
                self.assertIn(code, spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"])

    def distributed(self, name, nats_arguments, env):
        with installed(name) as (folder, _, documents), contextlib.ExitStack() as stack:
            self.plan(folder, documents)
            nats = stack.enter_context(kit.nats(folder, *nats_arguments(folder)))
            if "Job/keysweep-setup" in documents:
                setup = container(folder, documents, "Job/keysweep-setup")
                kit.run(kit.BINARY, *setup.args(nats), env=setup.env(**env))
            deployments = sorted(key for key in documents if key.startswith("Deployment/"))
            ports = {}
            for key in sorted(deployments, key=lambda key: "coordinator" in key):
                pod = container(folder, documents, key)
                env_of_pod = {"KEYSWEEP_API_TOKEN": TOKEN, **pod.env(**env)}
                started = kit.keysweep(folder, pod.args(nats), env_of_pod, key.split("/")[1])
                ports[key] = stack.enter_context(started)
            return deployments, kit.finished_run(ports["Deployment/keysweep-coordinator"], TOKEN)

    def test_distributed(self):
        deployments, result = self.distributed("distributed", lambda folder: ["-js", "-sd", folder], {})
        self.assertEqual(len(deployments), 2)
        self.assertEqual((result["status"], result["accounting"]["candidates"]), ("completed", 100), result)

    def test_distributed_with_a_login_for_each_role(self):
        with tempfile.TemporaryDirectory() as keys:
            trusted = kit.run(kit.BINARY, "nats", "keys", f"{keys}/signing.key")
            SECRETS["keysweep"]["signing.key"] = pathlib.Path(keys, "signing.key").read_text()
        trusted = trusted.split('"')[1]
        deployments, result = self.distributed("distributed-roles", kit.nats_accounts, {"TRUSTED": trusted})
        self.assertEqual(len(deployments), 4)
        self.assertEqual((result["status"], result["accounting"]["candidates"]), ("completed", 100), result)


if __name__ == "__main__":
    unittest.main()
