"""The Compose file: valid in all profiles, and its services work together when they are started as it says."""

import os
import pathlib
import tempfile
import unittest

import yaml

import kit

FILE = kit.DEPLOY / "compose.yaml"
TOKEN = "t" * 32


def services(profiles, **env):
    """The services of these profiles, with all variables replaced."""
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "COMPOSE_PROFILES": profiles, **env}
    text = kit.run("docker-compose", "-f", FILE, "config", env=env, cwd=kit.DEPLOY)
    wanted = profiles.split(",")
    found = yaml.safe_load(text)["services"].items()
    return {name: service for name, service in found if set(service["profiles"]) & set(wanted)}


def mounts(service):
    """What is mounted where in a service: Compose 1 shows texts, Compose 2 shows fields."""
    found = service.get("volumes", [])
    texts = dict(mount.split(":")[:2] for mount in found if isinstance(mount, str))
    return texts | {mount["source"]: mount["target"] for mount in found if isinstance(mount, dict)}


def at_home(service, folder, nats=None):
    """The command and the environment of a service, with folders and ports of this machine."""
    paths = {target: source for source, target in mounts(service).items() if source.startswith("/")}
    words = [paths.get(word, word).replace("/data", folder) for word in service["command"]]
    words = [word.replace("nats:4222", f"127.0.0.1:{nats}") for word in words]
    env = {name: value for name, value in service.get("environment", {}).items() if value is not None}
    return words, {**env, "XDG_STATE_HOME": folder, "KEYSWEEP_API_TOKEN": TOKEN}


class Compose(unittest.TestCase):
    def test_it_is_valid_in_each_profile(self):
        kit.run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", FILE)
        kit.run("yamllint", "--strict", "-c", kit.DEPLOY / "tests/yamllint.yaml", FILE)
        for profiles, expected in {
            "single": {"keysweep"},
            "cluster": {"serve", "worker", "nats"},
            "single,watch": {"keysweep", "prometheus", "grafana"},
        }.items():
            self.assertEqual(set(services(profiles, REDIS_URL="redis://cache")), expected)
        self.assertIn("COMPOSE_PROFILES=single", (kit.DEPLOY / ".env").read_text())

    def test_it_names_the_variable_that_is_missing(self):
        said = kit.run("docker-compose", "-f", FILE, "config", status=1, env={"PATH": os.environ["PATH"]})
        self.assertIn("the Redis to clean", said)

    def test_what_it_mounts_is_there(self):
        for name, service in services("single,cluster,watch", REDIS_URL="redis://cache").items():
            for source in mounts(service):
                self.assertTrue(not source.startswith("/") or os.path.exists(source), f"{name}: {source}")

    def test_one_service_only_reports_until_it_may_delete(self):
        with tempfile.TemporaryDirectory() as folder, kit.redis(folder) as redis:
            kit.fill(redis)
            service = services("single", REDIS_URL=f"redis://127.0.0.1:{redis}")["keysweep"]
            command, env = at_home(service, folder)
            with kit.keysweep(folder, command, env) as port:
                result = kit.finished_run(port, TOKEN)
            self.assertEqual((result["status"], result["dryRun"]), ("completed", True), result)
            self.assertTrue(pathlib.Path(folder, "keysweep/keysweep.db").exists())
            self.assertEqual(kit.run("redis-cli", "-p", redis, "dbsize").strip(), "400")

    def test_the_services_of_a_cluster_work_together(self):
        with tempfile.TemporaryDirectory() as folder, kit.redis(folder) as redis:
            kit.fill(redis)
            cluster = services("cluster", REDIS_URL=f"redis://127.0.0.1:{redis}")
            with kit.nats(folder, *at_home(cluster["nats"], folder)[0]) as nats:
                worker = at_home(cluster["worker"], folder, nats=nats)
                serve = at_home(cluster["serve"], folder, nats=nats)
                with kit.keysweep(folder, *worker, name="worker"), kit.keysweep(folder, *serve, name="serve") as port:
                    result = kit.finished_run(port, TOKEN)
            self.assertEqual((result["status"], result["accounting"]["candidates"]), ("completed", 100), result)


if __name__ == "__main__":
    unittest.main()
