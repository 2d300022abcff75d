"""The units: systemd accepts them, they are confined, and the program accepts their command lines and credentials."""

import pathlib
import re
import tempfile
import unittest

import kit

UNITS = kit.DEPLOY / "systemd"


def command_line(unit):
    """The command of a unit, without the program."""
    return re.search(r"^ExecStart=keysweep (.*)$", (UNITS / unit).read_text(), re.M)[1].split()


class Units(unittest.TestCase):
    def test_systemd_accepts_them(self):
        with tempfile.TemporaryDirectory() as folder:
            for source in UNITS.glob("keysweep*"):
                text = source.read_text().replace("ExecStart=keysweep ", f"ExecStart={kit.BINARY} ")
                pathlib.Path(folder, source.name).write_text(text)
            drop_in = pathlib.Path(folder, "keysweep.service.d")
            drop_in.mkdir()
            (drop_in / "credentials.conf").write_text((UNITS / "credentials.conf").read_text())
            for name in ["keysweep.service", "keysweep-worker@1.service", "keysweep-run@job.timer"]:
                said = kit.run("systemd-analyze", "verify", "--man=no", f"{folder}/{name}")
                self.assertNotIn("keysweep", said)

    def test_their_exposure_is_below_2(self):
        for name in UNITS.glob("*.service"):
            kit.run("systemd-analyze", "security", "--offline=true", "--threshold=20", name)

    def test_the_program_accepts_their_command_lines(self):
        with tempfile.TemporaryDirectory() as folder, kit.redis(folder) as port:
            config = pathlib.Path(folder, "keysweep.toml")
            config.write_text(f'[redis.main]\nurls = ["redis://127.0.0.1:{port}"]\n[[job]]\nname = "nightly"\n')
            env = {"XDG_STATE_HOME": folder}
            arguments = [word.replace("%i", "nightly") for word in command_line("keysweep-run@.service")]
            arguments = [str(config) if word == "/etc/keysweep/keysweep.toml" else word for word in arguments]
            kit.run(kit.BINARY, *arguments, env=env)
            self.assertIn("nightly", kit.run(kit.BINARY, "runs", "list", "--config", config, env=env))
            self.assertTrue(pathlib.Path(folder, "keysweep/keysweep.db").exists())
            for name in ["keysweep.service", "keysweep-worker@.service"]:
                # One argument too many is refused after all others were understood.
                said = kit.run(kit.BINARY, *command_line(name), "superfluous", status=2)
                self.assertIn("unexpected argument 'superfluous'", said)

    def test_the_program_takes_each_credential(self):
        text = (UNITS / "credentials.conf").read_text()
        loaded = re.findall(r"^LoadCredential=([^:]+):/etc/keysweep/(.+)$", text, re.M)
        variables = re.findall(r"^Environment=(\w+)=%d/(.+)$", text, re.M)
        self.assertEqual([name for name, _ in loaded], [name for _, name in variables])
        nats = {"KEYSWEEP_NATS": "nats://nats:4222", "KEYSWEEP_NATS_USER": "keysweep-coordinator"}
        shown = kit.run(kit.BINARY, "config", "show", env={name: __file__ for name, _ in variables} | nats)
        for name, _ in variables:
            self.assertIn(name, shown)


if __name__ == "__main__":
    unittest.main()
