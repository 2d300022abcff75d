"""Three nats-servers as in `deploy/nats/cluster.conf`: what they reserve, and a run whose leader is killed."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import tempfile
import unittest

import kit

NAMES = ["nats-1", "nats-2", "nats-3"]
TOKEN = "t" * 32
ROLES = {"scanner": "scanner", "reaper": "reaper", "reporter": "reporter", "serve": "coordinator"}


class Server:
    """One of the three, with its ports."""

    def __init__(self, name):
        self.name = name
        self.port, self.route, self.monitor = kit.free_port(), kit.free_port(), kit.free_port()

    def write(self, folder, servers):
        """Its configuration: the file of `deploy/`, with the ports and folders of this machine."""
        text = (kit.DEPLOY / "nats/cluster.conf").read_text()
        text = text.replace("0.0.0.0:4222", f"127.0.0.1:{self.port}").replace("0.0.0.0:6222", f"127.0.0.1:{self.route}")
        for server in servers:
            text = text.replace(f"{server.name}:6222", f"127.0.0.1:{server.route}")
        self.file = pathlib.Path(folder, f"{self.name}.conf")
        self.file.write_text(text.replace("/var/lib/nats", f"{folder}/{self.name}"))

    def start(self, folder):
        command = [kit.tool("nats-server"), "-c", self.file, "-m", self.monitor]
        env = {**os.environ, "NATS_NAME": self.name}
        return kit.process(pathlib.Path(folder, f"{self.name}.log"), *command, env=env)

    def look(self, query=""):
        """What it says of JetStream; nothing while it is away."""
        try:
            return json.loads(kit.get(f"http://127.0.0.1:{self.monitor}/jsz?{query}"))
        except ValueError:
            return {}


@contextlib.contextmanager
def three(folder):
    """The three servers and their processes, once they have a leader."""
    shutil.copy(kit.DEPLOY / "nats-account.conf", folder)
    servers = [Server(name) for name in NAMES]
    with contextlib.ExitStack() as stack:
        for server in servers:
            server.write(folder, servers)
        started = {server.name: stack.enter_context(server.start(folder)) for server in servers}
        size = lambda: [server.look().get("meta_cluster", {}).get("cluster_size") for server in servers]
        kit.wait("three servers", lambda: size() == [3, 3, 3])
        kit.wait("a leader", lambda: servers[0].look()["meta_cluster"].get("leader"))
        yield servers, started


def leader_of(servers, stream):
    """The server that leads a stream."""
    for server in servers:
        for account in server.look("accounts=true&streams=true").get("account_details", []):
            for detail in account.get("stream_detail", []):
                if detail["name"] == stream and detail.get("cluster", {}).get("leader"):
                    return detail["cluster"]["leader"]
    return None


def login(folder, role):
    """The flags of a role, as the accounts want them."""
    password = pathlib.Path(folder, f"{role}.pass")
    password.write_text(f"replace-this-password-{role}")
    return ["--nats-user", f"keysweep-{role}", "--nats-password-file", str(password)]


class Nats(unittest.TestCase):
    def test_three_servers_keep_all_streams_and_a_killed_leader_changes_nothing(self):
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            redis = stack.enter_context(kit.redis(folder))
            kit.fill(redis, stale=1000)
            servers, started = stack.enter_context(three(folder))
            urls = ", ".join(f'"nats://127.0.0.1:{server.port}"' for server in servers)
            config = pathlib.Path(folder, "keysweep.toml")
            config.write_text(
                f'[redis.main]\nurls = ["redis://127.0.0.1:{redis}"]\n[nats]\nurl = [{urls}]\nreplicas = 3\n'
                '[[job]]\nname = "a"\npatterns = ["permissions:*"]\nrate_limit = 1000\n'
            )
            kit.run(kit.BINARY, "nats", "setup", "--apply", "--config", config, *login(folder, "admin"))
            for server in servers:
                reserved = server.look()["reserved_storage"]
                self.assertGreater(reserved, 0)
                self.assertLessEqual(reserved, 256 << 20)
            ports = {}
            for process, role in ROLES.items():
                command = [process, "--config", str(config), *login(folder, role)]
                role_started = kit.keysweep(folder, command, {"KEYSWEEP_API_TOKEN": TOKEN}, process)
                ports[process] = stack.enter_context(role_started)
            runs = f"http://127.0.0.1:{ports['serve']}/api/runs"
            run_id = kit.request(runs, TOKEN, "{}")["runId"]
            leader = kit.wait("a leader of the tasks", lambda: leader_of(servers, "KEYSWEEP_TASKS"))
            self.assertIsNone(kit.request(f"{runs}/{run_id}", TOKEN)["result"], "the run is still going on")
            started[leader].send_signal(signal.SIGKILL)

            def result():
                try:
                    return kit.request(f"{runs}/{run_id}", TOKEN)["result"]
                except AssertionError:
                    # Not while another leader is elected.
                    return None

            result = kit.wait("the result", result, 120)
            self.assertEqual((result["status"], result["accounting"]["deleted"]), ("completed", 1000), result)
            left = kit.run("redis-cli", "-p", redis, "--scan", "--pattern", "permissions:*")
            self.assertEqual(left.count("\n"), 3000)


if __name__ == "__main__":
    unittest.main()
