"""The workflow of releases: valid, and its steps that need no network do what they should."""

import os
import pathlib
import subprocess
import tempfile
import unittest

import yaml

import kit

FILE = kit.ROOT / ".github/workflows/release.yml"


def step(job, name):
    """The commands of a step."""
    steps = yaml.safe_load(FILE.read_text())["jobs"][job]["steps"]
    (found,) = [step["run"] for step in steps if step.get("name") == name]
    return found


def carried_out(job, name, folder, **env):
    """Carries out the commands of a step in a folder, as the runner does."""
    command = ["bash", "-e", "-o", "pipefail", "-c", step(job, name)]
    subprocess.run(command, cwd=folder, env={**os.environ, **env}, check=True)


class Release(unittest.TestCase):
    def test_the_workflows_are_valid(self):
        for file in FILE.parent.glob("*.yml"):
            kit.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", file)

    def test_each_job_has_the_least_permissions(self):
        self.assertEqual(yaml.safe_load(FILE.read_text())["permissions"], {"contents": "read"})

    def test_the_notes_are_the_section_of_the_release(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            sections = ["# Changelog", "## 0.2.0 (2030-01-02)", "New.", "## 0.1.0 (2029-01-01)", "Old."]
            (path / "CHANGELOG.md").write_text("\n\n".join(sections))
            carried_out("release", "Notes", folder)
            self.assertEqual((path / "notes.md").read_text().strip(), "New.")

    def test_the_checksums_fit(self):
        with tempfile.TemporaryDirectory() as folder:
            packages = pathlib.Path(folder, "packages")
            packages.mkdir()
            (packages / "keysweep-0.2.0.tar.gz").write_text("x")
            carried_out("release", "Checksums", folder)
            kit.run("sha256sum", "--check", "SHA256SUMS", cwd=packages)

    def test_the_image_has_the_version_of_the_tag(self):
        with tempfile.TemporaryDirectory() as folder:
            env = pathlib.Path(folder, "env")
            carried_out("image", "Version", folder, GITHUB_REF_NAME="v0.2.0", GITHUB_ENV=str(env))
            self.assertEqual(env.read_text().strip(), "VERSION=0.2.0")

    def test_a_release_is_shown_without_making_it(self):
        said = kit.run(kit.XTASK, "release", "7.8.9", "--dry-run")
        for line in ["+ version = \"7.8.9\"", "+ appVersion: 7.8.9", "+ ARG VERSION=7.8.9", "git tag v7.8.9"]:
            self.assertIn(line, said)


if __name__ == "__main__":
    unittest.main()
