"""The package on a bare Debian: installed, its units started by a systemd of their own in namespaces, a real Redis
cleaned. It needs root, debootstrap, cgroup v2 and the archive of Debian: `cargo xtask ci-full` runs it."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import kit
from test_package import FOLDER, made

# A root that is made once and never changed.
PRISTINE = kit.ROOT / "target/tools/debian"
PACKAGES = "systemd,dbus,redis-server,ca-certificates"
HERE = pathlib.Path(__file__).parent


def pristine():
    """A minimal Debian with systemd and Redis, made if it is missing."""
    if not (PRISTINE / "made").exists():
        PRISTINE.parent.mkdir(parents=True, exist_ok=True)
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", PRISTINE]
        subprocess.run([kit.tool(command[0]), *map(str, command[1:])], check=True, stdout=subprocess.DEVNULL)
        (PRISTINE / "made").touch()
    return PRISTINE


def own_cgroup():
    """A cgroup for the processes of that Debian alone."""
    tree = next(path for path in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] if os.path.exists(f"{path}/cgroup.procs"))
    folder = pathlib.Path(tree, f"keysweep-check-{os.getpid()}")
    folder.mkdir()
    return folder


class Debian(unittest.TestCase):
    def test_packages_are_the_same_each_time(self):
        self.assertEqual(made(), made())

    def test_a_bare_debian_cleans_redis_within_five_commands(self):
        made()
        (deb,) = FOLDER.glob("*.deb")
        cgroup = own_cgroup()
        with tempfile.TemporaryDirectory() as folder:
            said = pathlib.Path(folder, "said")
            said.touch()
            namespaces = "unshare --mount --pid --fork --cgroup --uts --ipc --net --mount-proc"
            script = f'echo $$ > "{cgroup}/cgroup.procs"; exec {namespaces} sh "$@"'
            boot = [HERE / "debian/boot.sh", pristine(), folder, deb, said, HERE / "debian/user.sh"]
            command = ["sh", "-c", script, "sh", *map(str, boot)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=240)
            text = said.read_text()
        for path in sorted(cgroup.rglob("*/"), reverse=True):
            path.rmdir()
        cgroup.rmdir()
        self.assertIn("everything was done", text, f"{text}\n{done.stdout}\n{done.stderr}")
        seconds = int(re.search(r"first result after (\d+) s", text)[1])
        self.assertLessEqual(seconds, 120, text)
        print(text)


if __name__ == "__main__":
    unittest.main()
