# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import unittest

THIRD_PARTIES = ("sqlalchemy", "oslo_config", "falcon", "docker", "requests", "keystoneauth1", "yaml", "pyroute2")


class CommandTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="zl-up-")
        self.addCleanup(folder.cleanup)
        self.state_dir = os.path.join(folder.name, "state")

    def run_command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "zun_lite.cmd.up", *arguments]
        environment = {**os.environ, "ZUN_LITE_STATE_DIR": self.state_dir}
        return subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def test_help_names_every_command(self) -> None:
        said = self.run_command("--help").stdout
        for name in ("up", "down", "status", "env", "demo", "image", "clean"):
            self.assertRegex(said, rf"\n    {name} ")

    def test_the_supervisor_and_the_quick_commands_need_the_standard_library_alone(self) -> None:
        script = (
            "import sys; import zun_lite.cmd.up, zun_lite.cmd.status, zun_lite.cmd.supervisor, zun_lite.cmd.clean; "
            f"print([name for name in {THIRD_PARTIES!r} if name in sys.modules])"
        )
        said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        self.assertEqual("[]\n", said)

    def test_status_of_nothing_says_down_and_exits_3(self) -> None:
        done = self.run_command("status")
        self.assertEqual(3, done.returncode, done.stderr)
        self.assertRegex(done.stdout, r"supervisor +down")

    def test_down_of_nothing_is_fine(self) -> None:
        done = self.run_command("down")
        self.assertEqual((0, "zun-lite: already down\n"), (done.returncode, done.stdout))

    def test_env_and_demo_before_the_first_up_say_what_to_do(self) -> None:
        for command in ("env", "demo"):
            done = self.run_command(command)
            self.assertEqual(1, done.returncode)
            self.assertIn("run `zun-lite up` as root", done.stderr)

    def test_env_prints_what_a_shell_evaluates(self) -> None:
        os.makedirs(self.state_dir)
        with open(os.path.join(self.state_dir, "clouds.yaml"), "w"):
            pass
        script = f'eval "$({sys.executable} -m zun_lite.cmd.up env)"; echo $OS_CLOUD $OS_CLIENT_CONFIG_FILE'
        environment = {**os.environ, "ZUN_LITE_STATE_DIR": self.state_dir}
        said = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=True).stdout
        self.assertEqual(f"demo {self.state_dir}/clouds.yaml\n", said)

    def test_clean_touches_no_folder_that_up_did_not_make(self) -> None:
        os.makedirs(self.state_dir)
        thesis = os.path.join(self.state_dir, "thesis.tex")
        with open(thesis, "w"):
            pass
        done = self.run_command("clean", "--yes")
        if os.geteuid() == 0:
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertIn("nothing to clean", done.stdout)
        else:
            self.assertIn("needs root", done.stderr)
        self.assertTrue(os.path.exists(thesis))
