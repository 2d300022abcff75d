"""The packages: the same bytes each time, complete, and installed, upgraded and removed as Debian expects."""

import hashlib
import os
import pathlib
import re
import shutil
import tarfile
import tempfile
import tomllib
import unittest

import kit

FOLDER = kit.ROOT / "target/package"
VERSION = re.search(r'^version = "(.+)"', (kit.ROOT / "Cargo.toml").read_text(), re.M)[1]
FILES = [
    "usr/bin/keysweep",
    "etc/keysweep/keysweep.toml",
    "lib/systemd/system/keysweep.service",
    "lib/systemd/system/keysweep-run@.timer",
    "usr/share/man/man1/keysweep.1.gz",
    "usr/share/man/man1/keysweep-run.1.gz",
    "usr/share/bash-completion/completions/keysweep",
    "usr/share/doc/keysweep/copyright",
    "usr/share/doc/keysweep/changelog.gz",
    "usr/share/doc/keysweep/examples/credentials.conf",
]


def made():
    """Makes the packages of a binary without symbols; the hash of each."""
    with tempfile.TemporaryDirectory() as folder:
        binary = pathlib.Path(folder, "keysweep")
        kit.run("strip", "-o", binary, kit.BINARY)
        shutil.rmtree(FOLDER, ignore_errors=True)
        kit.run(kit.XTASK, "package", "--binary", binary)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.glob("keysweep*")}


class Packages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        made()
        (cls.deb,) = FOLDER.glob("*.deb")
        (cls.tar,) = FOLDER.glob("*.tar.gz")

    def test_lintian_finds_nothing(self):
        kit.run("lintian", "--allow-root", "--no-cfg", "--fail-on", "error,warning", self.deb)

    def test_binstall_finds_the_binary_in_the_tar_file(self):
        manifest = tomllib.loads((kit.ROOT / "coordinator/cli/Cargo.toml").read_text())
        binstall = manifest["package"]["metadata"]["binstall"]
        target = f"{os.uname().machine}-unknown-linux-gnu"

        def filled(text):
            for name, value in {"name": "keysweep", "version": VERSION, "target": target, "bin": "keysweep"}.items():
                text = text.replace(f"{{ {name} }}", value)
            return text

        self.assertEqual(filled(binstall["pkg-url"]).split("/")[-1], self.tar.name)
        with tarfile.open(self.tar) as tar:
            names = tar.getnames()
            self.assertIn(filled(binstall["bin-dir"]), names)
            self.assertTrue(any(name.endswith("/deploy/systemd/keysweep.service") for name in names))
            self.assertEqual([name for name in names if "/deploy/tests" in name], [])

    def test_the_manual_has_a_page_for_each_command(self):
        commands = re.findall(r"^  (\w+)  ", kit.run(kit.BINARY, "help").split("Options:")[0], re.M)
        self.assertGreater(len(commands), 15)
        for command in set(commands) - {"help"}:
            self.assertTrue((FOLDER / f"stage/man/keysweep-{command}.1.gz").exists(), command)

    @unittest.skipUnless(os.geteuid() == 0, "only root can install packages")
    def test_it_is_installed_upgraded_and_removed(self):
        with tempfile.TemporaryDirectory() as root:
            database = pathlib.Path(root, "var/lib/dpkg")
            for folder in ["info", "updates"]:
                (database / folder).mkdir(parents=True)
            (database / "status").touch()
            dpkg = ["dpkg", f"--root={root}", "--force-depends", "--force-script-chrootless"]
            kit.run(*dpkg, "--install", self.deb)
            for file in FILES:
                self.assertTrue(pathlib.Path(root, file).exists(), file)
            program = f"{root}/usr/bin/keysweep"
            config = pathlib.Path(root, "etc/keysweep/keysweep.toml")
            kit.run(program, "config", "check", config)
            kit.run(program, "demo")
            config.write_text(config.read_text() + "# Mine.\n")
            kit.run(*dpkg, "--force-confold", "--install", self.deb)
            self.assertIn("# Mine.", config.read_text())
            state = pathlib.Path(root, "var/lib/private/keysweep")
            state.mkdir(parents=True)
            kit.run(*dpkg, "--remove", "keysweep")
            self.assertTrue(config.exists() and state.exists())
            kit.run(*dpkg, "--purge", "keysweep")
            self.assertFalse(config.exists() or state.exists())


if __name__ == "__main__":
    unittest.main()
