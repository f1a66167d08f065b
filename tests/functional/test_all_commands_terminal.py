# SPDX-License-Identifier: Apache-2.0
"""The commands that talk to a container over a terminal, as a user sits before it; and the older shell, `zun`."""

from __future__ import annotations

import subprocess

from tests.clients.runner import venv
from tests.clients.terminal import Terminal
from tests.functional.commands import about
from tests.functional.commands_case import CommandsTestCase


class TerminalCommandsTest(CommandsTestCase):
    def terminal(self, *words: str) -> Terminal:
        return Terminal("openstack", *words, environment=self.cloud.environment)

    @about("appcontainer attach")
    def test_attached_to_its_first_process_until_that_ends(self):
        uuid = self.running("attached", interactive=True, tty=True, command=["sh"])["uuid"]
        with self.terminal("appcontainer", "attach", "attached") as terminal:
            terminal.read_until("connected to attached")
            terminal.wait_raw()
            terminal.type("\recho $((6 * 7)); tty; stty size\r")
            terminal.read_until("42\n/dev/")
            terminal.read_until("30 100")
            terminal.resize(41, 123)
            terminal.type("stty size\r")
            terminal.read_until("41 123")
            terminal.type("exit\r")
            self.assertEqual(0, terminal.wait())
        self.cloud.wait_status(uuid, "Stopped")
        self.assertEqual(0, self.docker_state(uuid)["ExitCode"])

    @about("appcontainer attach")
    def test_a_container_without_a_terminal_is_not_attached_to(self):
        self.running("mute")
        with self.terminal("appcontainer", "attach", "mute") as terminal:
            self.assertEqual(1, terminal.wait())
            self.assertIn("HTTP 400", terminal.said)

    @about("appcontainer exec")
    def test_executed_interactively_beside_its_first_process(self):
        uuid = self.running("beside", environment={"WHO": "wörld"})["uuid"]
        pid = self.docker_state(uuid)["Pid"]
        with self.terminal("appcontainer", "exec", "--interactive", "beside", "sh") as terminal:
            terminal.read_until("connected to beside")
            terminal.wait_raw()
            terminal.type("\recho hello $WHO; stty size; touch /tmp/was-here\r")
            terminal.read_until("hello wörld\n30 100\n")
            terminal.type("exit\r")
            self.assertEqual(0, terminal.wait())
        self.assertEqual(pid, self.docker_state(uuid)["Pid"])
        self.assertEqual(0, self.execute(uuid, "ls /tmp/was-here")[0])

    @about("appcontainer run")
    def test_run_interactively_from_the_first_prompt_on(self):
        with self.terminal(
            *("appcontainer", "run", "--interactive", "--name", "typed", "--memory", "16", "demo:latest", "sh")
        ) as terminal:
            terminal.read_until("connected to ")
            terminal.wait_raw()
            terminal.type("\recho $((40 + 2)) typed; exit 3\r")
            terminal.read_until("42 typed")
            terminal.wait()
        (record,) = self.cloud.ask("GET", "/v1/containers?name=typed")["containers"]
        self.addCleanup(self.delete, record["uuid"])
        self.cloud.wait_status(record["uuid"], "Stopped")
        docker = self.one_in_docker(record["uuid"])
        self.assertEqual((True, 3), (docker["Config"]["Tty"], docker["State"]["ExitCode"]))

    @about("zun version-list", "zun run", "zun list", "zun show", "zun rename", "zun stop", "zun delete")
    def test_the_older_shell_speaks_to_the_same_containers(self):
        self.assertRegex(self.zun("version-list"), r"v1 +\| CURRENT +\| 1\.1 +\| 1\.40")
        script = "trap 'exit 0' TERM; sleep 1000 & wait"
        self.zun("run", "--name", "older", "--memory", "16", "demo:latest", "sh", "-c", script)
        (record,) = self.cloud.ask("GET", "/v1/containers?name=older")["containers"]
        uuid = record["uuid"]
        self.addCleanup(self.delete, uuid)
        self.cloud.wait_status(uuid, "Running")
        self.assertEqual(["sh", "-c", script], self.one_in_docker(uuid)["Config"]["Cmd"])
        self.assertIn(uuid, self.zun("list"))
        self.assertRegex(self.zun("show", "older"), r"status +\| Running")
        self.zun("--zun-api-version", "1.13", "rename", "older", "newer")
        self.assertEqual("newer", self.record(uuid)["name"])
        self.zun("stop", "newer")
        self.cloud.wait_status(uuid, "Stopped")
        self.assertFalse(self.docker_state(uuid)["Running"])
        self.zun("delete", "newer")
        self.cloud.wait_gone(uuid)
        self.assertEqual([], self.cloud.in_docker(uuid))

    def zun(self, *words: str) -> str:
        """What a command of the shell prints; it knows no clouds.yaml, so all is in its environment."""
        login = {
            "OS_AUTH_URL": f"{self.cloud.url}/identity/v3",
            "OS_USERNAME": "demo",
            "OS_PASSWORD": self.cloud.password("demo"),
            "OS_PROJECT_NAME": "demo",
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
        }
        done = subprocess.run(
            [str(venv() / "bin" / "zun"), *words],
            env={**self.cloud.environment, **login},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(0, done.returncode, f"{words}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr
