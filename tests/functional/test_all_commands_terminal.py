# SPDX-License-Identifier: Apache-2.0
"""The commands that talk to a container over a terminal, as a user sits before it."""

from __future__ import annotations

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
