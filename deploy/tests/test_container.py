"""The image: its file is sound, and its last stage, assembled by hand, starts and works as its user."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import kit

FILE = kit.ROOT / "Containerfile"

# What the base image of the last stage has of a C library.
LIBRARIES = re.compile(r"^(linux-vdso|ld-linux-[\w-]+|libc|libm|libgcc_s)\.so\.\d+$")


def last_stage():
    """The instructions of the last stage: name and rest, with continued lines joined."""
    text = re.sub(r"\\\n\s*", "", FILE.read_text()).split("\nFROM ")[-1]
    pairs = (line.split(" ", 1) for line in text.splitlines()[1:] if line and not line.startswith("#"))
    return [(name, rest) for name, rest in pairs]


def image(root):
    """Assembles the last stage below `root`; its environment."""
    shutil.copy(kit.BINARY, root / "keysweep")
    (root / "keysweep").chmod(0o755)
    for line in kit.run("ldd", kit.BINARY).splitlines():
        if path := re.search(r"(/\S+)", line):
            target = root / path[1].lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path[1], target)
    state = root / "var/lib/keysweep"
    state.mkdir(parents=True, mode=0o700)
    os.chown(state, 65532, 65532)
    (root / "etc").mkdir()
    return dict(pair.split("=", 1) for name, rest in last_stage() if name == "ENV" for pair in rest.split())


class Container(unittest.TestCase):
    def test_the_linter_finds_nothing(self):
        kit.run("hadolint", FILE)

    def test_it_does_not_run_as_root_and_states_what_it_is(self):
        stage = dict(last_stage())
        self.assertEqual(stage["USER"], "65532:65532")
        self.assertEqual(json.loads(stage["ENTRYPOINT"]), ["/keysweep"])
        for label in ["title", "description", "licenses", "version", "revision"]:
            self.assertIn(f"org.opencontainers.image.{label}=", stage["LABEL"])
        version = re.search(r'^version = "(.+)"', (kit.ROOT / "Cargo.toml").read_text(), re.M)[1]
        self.assertIn(("ARG", f"VERSION={version}"), last_stage())

    def test_the_binary_needs_no_library_that_the_image_lacks(self):
        needed = re.findall(r"^\s+(?:/\S*/)?(\S+)", kit.run("ldd", kit.BINARY), re.M)
        self.assertEqual([name for name in needed if not LIBRARIES.match(name)], [])

    @unittest.skipUnless(os.geteuid() == 0, "only root can change the root folder")
    def test_its_last_stage_works_as_its_user(self):
        stage = dict(last_stage())
        with tempfile.TemporaryDirectory() as folder, kit.redis(folder) as redis:
            root = pathlib.Path(folder, "root")
            root.mkdir(mode=0o755)
            os.chmod(folder, 0o755)
            env = image(root)
            port = kit.free_port()
            env["KEYSWEEP_ADMIN_ADDR"] = env["KEYSWEEP_ADMIN_ADDR"].replace("9464", str(port))
            kit.fill(redis)
            inside = [kit.tool("chroot"), "--userspec=65532:65532", root]
            entry = json.loads(stage["ENTRYPOINT"])
            kit.run(*inside, *entry, *json.loads(stage["CMD"]), env=env)
            serve = [*inside, *entry, "serve", "--redis", f"redis://127.0.0.1:{redis}"]
            with kit.process(pathlib.Path(folder, "serve.log"), *serve, env={**env, "KEYSWEEP_API_TOKEN": "t" * 32}):
                kit.wait("the service answers", lambda: kit.answers(port))
                health = json.loads(stage["HEALTHCHECK"].split("CMD ")[1])
                asked = list(map(str, inside + health))
                quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
                kit.wait("it is healthy", lambda: subprocess.call(asked, env=env, **quiet) == 0)
                result = kit.finished_run(port, "t" * 32)
            self.assertEqual(result["status"], "completed", result)
            self.assertTrue((root / "var/lib/keysweep/keysweep.db").exists())


if __name__ == "__main__":
    unittest.main()
