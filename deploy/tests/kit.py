"""What the checks share: the binary, the tools of this environment, servers on free ports."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
BINARY = os.environ["CHECKED_BINARY"]
XTASK = os.environ["CHECKED_XTASK"]


def tool(name):
    """The path of a program."""
    found = shutil.which(name)
    if not found:
        raise AssertionError(f"`{name}` is missing: `cargo xtask deploy-check` installs it")
    return found


def run(*command, status=0, **options):
    """Runs a program and returns what it prints; fails with all of it if the exit code is another."""
    command = [tool(command[0]), *map(str, command[1:])]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, **options)
    if done.returncode != status:
        raise AssertionError(f"{' '.join(command)}: exit code {done.returncode}, not {status}\n{done.stdout}")
    return done.stdout


def free_port():
    """A port of this machine that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait(what, condition, seconds=30):
    """The first true value of `condition`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


def answers(port):
    """Whether something listens at `port`."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def get(url, accept="*/*"):
    """The body of a page, or the text of the error."""
    try:
        asked = urllib.request.Request(url, headers={"Accept": accept})
        with urllib.request.urlopen(asked, timeout=10) as response:
            return response.read().decode()
    except OSError as error:
        return str(error)


@contextlib.contextmanager
def process(log, *command, env=None):
    """A process that writes to the file `log` and ends with the block."""
    with open(log, "a") as output:
        child = subprocess.Popen(list(map(str, command)), stdout=output, stderr=output, env=env)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextlib.contextmanager
def redis(folder, port=None):
    """A Redis server, at a free port if none is named; its port."""
    port = port or free_port()
    command = [tool("redis-server"), "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    with process(pathlib.Path(folder) / "redis.log", *command):
        wait("redis-server", lambda: answers(port))
        yield port


@contextlib.contextmanager
def nats(folder, *arguments, port=None):
    """A nats-server with JetStream, at a free port if none is named; its port."""
    port = port or free_port()
    command = [tool("nats-server"), "-a", "127.0.0.1", "-p", port, *(arguments or ["-js", "-sd", folder])]
    with process(pathlib.Path(folder) / "nats.log", *command):
        wait("nats-server", lambda: answers(port))
        yield port


@contextlib.contextmanager
def keysweep(folder, arguments, env, name="keysweep"):
    """A service or worker that listens at a free port and is ready; its port."""
    port = free_port()
    with keysweep_at(port, folder, arguments, env, name):
        yield port


@contextlib.contextmanager
def keysweep_at(port, folder, arguments, env, name):
    """A service or worker that listens at `port` and is ready; its process."""
    log = pathlib.Path(folder) / f"{name}.log"
    env = {**env, "KEYSWEEP_ADMIN_ADDR": f"127.0.0.1:{port}"}
    with process(log, BINARY, *arguments, env=env) as child:

        def ready():
            if child.poll() is not None:
                raise AssertionError(f"{arguments} ended with {child.returncode}:\n{log.read_text()}")
            return get(f"http://127.0.0.1:{port}/readyz").strip() in ("ok", "ready")

        try:
            wait(f"{name} is ready", ready)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{get(f'http://127.0.0.1:{port}/readyz')}\n{log.read_text()}") from error
        yield child


@contextlib.contextmanager
def prometheus(folder, discovery, rules, interval, *flags):
    """Prometheus with the file of Compose, these rules and targets, and this interval; its port."""
    config = yaml.safe_load((DEPLOY / "compose/prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": interval, "evaluation_interval": interval}
    config["rule_files"] = [str(rules / pathlib.Path(file).name) for file in config["rule_files"]]
    (scrape,) = config["scrape_configs"]
    del scrape["dns_sd_configs"]
    scrape.update(discovery)
    file = pathlib.Path(folder, "prometheus.yaml")
    file.write_text(yaml.safe_dump(config))
    port = free_port()
    command = [tool("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={folder}/data", *flags]
    with process(pathlib.Path(folder, "prometheus.log"), *command, f"--web.listen-address=127.0.0.1:{port}"):
        wait("prometheus", lambda: "Ready" in get(f"http://127.0.0.1:{port}/-/ready"))
        yield port


def asked(port, path, **parameters):
    """What a Prometheus answers."""
    return json.loads(get(f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))["data"]


def samples(port, query):
    """The samples that a query gives, each with its labels (`metric`), and its time and `value`."""
    return asked(port, "query", query=query)["result"]


def fill(port, stale=100):
    """Writes keys to the Redis at `port`: some without TTL, and three times as many with one."""
    commands = "".join(f"SET permissions:{number} x\n" for number in range(stale))
    commands += "".join(f"SET permissions:fresh:{number} x EX 3600\n" for number in range(3 * stale))
    run("redis-cli", "-p", port, input=commands)


def request(url, token, body=None):
    """The JSON that a service answers."""
    asked = urllib.request.Request(url, body and body.encode(), {"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(asked, timeout=10) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{url}: {error}: {error.read().decode()}") from error


def finished_run(port, token, body="{}"):
    """Starts a run over HTTP and waits for its result."""
    runs = f"http://127.0.0.1:{port}/api/runs"
    run_id = request(runs, token, body)["runId"]
    return wait("the run has a result", lambda: request(f"{runs}/{run_id}", token)["result"])


NATS_ROLES = ["admin", "coordinator", "scanner", "reaper", "restore", "reporter", "worker", "client", "subscriber"]


def nats_accounts(folder):
    """The arguments of a nats-server with the accounts of `deploy/`, whose passwords are those of the file."""
    shutil.copy(DEPLOY / "nats-account.conf", folder)
    config = pathlib.Path(folder, "nats.conf")
    config.write_text(f'jetstream {{ store_dir: "{folder}/nats" }}\ninclude ./nats-account.conf\n')
    return ["-c", config]


def status(url):
    """The status of an answer over HTTP."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
