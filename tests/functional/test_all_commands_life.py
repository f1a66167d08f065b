# SPDX-License-Identifier: Apache-2.0
"""The commands of a container's life, one case each, by the unmodified client."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tests.functional.case import PATIENT
from tests.functional.commands import about
from tests.functional.commands_case import CommandsTestCase

# Says on its log which signal it was sent, and lives on.
LISTENING = ["sh", "-c", "trap 'echo caught' USR1; while :; do sleep 1000 & wait; done"]


class LifeCommandsTest(CommandsTestCase):
    @about("appcontainer create")
    def test_created_with_what_was_asked_for_and_not_started(self):
        made = self.made(
            *("create", "--name", "made", "--cpu", "0.5", "--memory", "24", "--workdir", "/tmp"),
            *("--environment", "A=1", "--environment", "B=x=y", "--label", "k=v", "--hostname", "maid"),
            *("--restart", "on-failure:3", "--net", "network=home", "--interactive", "--entrypoint", "sh -c"),
            *("--healthcheck", "cmd=true,interval=30s,retries=4,timeout=5s", "--auto-heal", "--wait"),
            *("demo:latest", "sleep 1000"),
        )
        uuid = made["uuid"]
        record = self.record(uuid)
        self.assertEqual(
            ("made", "Created", 0.5, "24", "/tmp", {"A": "1", "B": "x=y"}, {"k": "v"}, True, True, True),
            tuple(
                record[key]
                for key in ("name", "status", "cpu", "memory", "workdir", "environment", "labels")
                + ("interactive", "tty", "auto_heal")
            ),
        )
        docker = self.one_in_docker(uuid)
        self.assertEqual("created", docker["State"]["Status"])
        config, host = docker["Config"], docker["HostConfig"]
        self.assertEqual((["sh", "-c"], ["sleep 1000"]), (config["Entrypoint"], config["Cmd"]))
        self.assertLessEqual({"A=1", "B=x=y"}, set(config["Env"]))
        self.assertEqual(("/tmp", "maid", "v"), (config["WorkingDir"], config["Hostname"], config["Labels"]["k"]))
        self.assertEqual((True, True), (config["Tty"], config["OpenStdin"]))
        self.assertEqual(
            (24 << 20, {"Name": "on-failure", "MaximumRetryCount": 3}), (host["Memory"], host["RestartPolicy"])
        )
        self.assertEqual((4, 5_000_000_000), (config["Healthcheck"]["Retries"], config["Healthcheck"]["Timeout"]))

    @about("appcontainer run")
    def test_run_until_it_runs(self):
        made = self.made("run", "--name", "runs", "--memory", "16", "--wait", "demo:latest", *PATIENT)
        self.assertEqual("Running", self.record(made["uuid"])["status"])
        self.assertTrue(self.docker_state(made["uuid"])["Running"])
        self.assertEqual([self.network], list(self.record(made["uuid"])["addresses"]))

    @about("appcontainer run")
    def test_an_injected_file_and_a_new_volume_are_there(self):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write("greeting=hello\n")
            file.flush()
            made = self.made(
                *("run", "--name", "mounted", "--memory", "16"),
                *("--mount", f"type=bind,source={file.name},destination=/etc/app.conf"),
                *("--mount", "size=1,destination=/data", "demo:latest"),
                *PATIENT,
            )
        uuid = made["uuid"]
        self.cloud.wait_status(uuid, "Running")
        self.assertEqual((0, "greeting=hello\n"), self.execute(uuid, "cat /etc/app.conf"))
        mounts = {mount["Destination"] for mount in self.one_in_docker(uuid)["Mounts"]}
        self.assertLessEqual({"/data", "/etc/app.conf"}, mounts)
        volumes = [row for row in self.volumes() if row["attachments"] and row["attachments"][0]["server_id"] == uuid]
        self.assertEqual([1], [row["size"] for row in volumes])
        self.delete(uuid)
        self.cloud.wait(
            lambda: volumes[0]["id"] not in [row["id"] for row in self.volumes()], "its own volume is gone too"
        )

    def volumes(self) -> list[dict[str, Any]]:
        return self.cloud.ask("GET", "/volume/v3/volumes/detail")["volumes"]

    @about("appcontainer list")
    def test_listed_by_each_filter_sorted_and_a_page_at_a_time(self):
        uuids = [self.running(f"listed-{letter}")["uuid"] for letter in "ab"]
        for options, expected in (
            (("--name", "listed-a"), ["listed-a"]),
            (("--status", "Running", "--sort-key", "name", "--sort-dir", "desc"), ["listed-b", "listed-a"]),
            (("--image", "demo:latest", "--memory", "16", "--sort-key", "name"), ["listed-a", "listed-b"]),
            (("--auto-remove", "true"), []),
            (("--limit", "1", "--sort-key", "name", "--marker", uuids[0]), ["listed-b"]),
        ):
            with self.subTest(options=options):
                rows = self.shown("appcontainer", "list", *options)
                self.assertEqual(expected, [row["name"] for row in rows if row["name"].startswith("listed-")])
        (row,) = self.shown("appcontainer", "list", "--name", "listed-a")
        (address,) = self.record(uuids[0])["addresses"][self.network]
        self.assertEqual((uuids[0], "Running", address["addr"]), (row["uuid"], row["status"], row["addresses"]))
        everywhere = self.shown("appcontainer", "list", "--all-projects", "--host", self.host(), cloud="admin")
        self.assertLessEqual(set(uuids), {row["uuid"] for row in everywhere})

    def host(self) -> str:
        return self.cloud.ask("GET", "/v1/hosts", cloud="admin")["hosts"][0]["hostname"]

    @about("appcontainer show")
    def test_shown_as_it_is(self):
        uuid = self.running("shown")["uuid"]
        shown, record = self.shown("appcontainer", "show", "shown"), self.record(uuid)
        for key in ("uuid", "name", "image", "status", "cpu", "memory", "command", "hostname", "created_at"):
            self.assertEqual(record[key], shown[key], key)
        self.assertEqual(self.network, shown["networks"])
        self.assertEqual(self.one_in_docker(uuid)["Config"]["Hostname"], shown["hostname"])
        self.assertNotIn("host", shown)
        self.assertEqual(self.host(), self.shown("appcontainer", "show", uuid, cloud="admin")["host"])

    @about("appcontainer delete")
    def test_deleted_when_stopped_refused_while_it_runs(self):
        uuid = self.running("deleted")["uuid"]
        self.assertIn("failed", self.say("appcontainer", "delete", "deleted"))
        self.assertTrue(self.docker_state(uuid)["Running"])
        self.say("appcontainer", "delete", "--stop", "--wait", "deleted")
        self.cloud.wait_gone(uuid)
        self.assertEqual(([], []), (self.cloud.in_docker(uuid), self.ports_of(uuid)))

    @about("appcontainer stop", "appcontainer start")
    def test_stopped_and_started_again(self):
        uuid = self.running("stopped")["uuid"]
        first = self.docker_state(uuid)
        self.accepted("appcontainer", "stop", "--timeout", "5", "stopped")
        self.cloud.wait_status(uuid, "Stopped")
        self.assertEqual((False, 0), (self.docker_state(uuid)["Running"], self.docker_state(uuid)["ExitCode"]))
        self.accepted("appcontainer", "start", "stopped")
        self.cloud.wait_status(uuid, "Running")
        again = self.docker_state(uuid)
        self.assertTrue(again["Running"])
        self.assertNotEqual(first["StartedAt"], again["StartedAt"])
        self.assertEqual(["start", "stop", "create"], self.actions(uuid))

    @about("appcontainer restart")
    def test_restarted_is_the_same_container_started_anew(self):
        uuid = self.running("restarted")["uuid"]
        before = self.one_in_docker(uuid)
        self.accepted("appcontainer", "restart", "--timeout", "5", "restarted")
        self.cloud.wait_status(uuid, "Running")
        after = self.one_in_docker(uuid)
        self.assertEqual(before["Id"], after["Id"])
        self.assertNotEqual(before["State"]["StartedAt"], after["State"]["StartedAt"])
        self.assertEqual("reboot", self.actions(uuid)[0])

    @about("appcontainer pause", "appcontainer unpause")
    def test_paused_and_let_go_on(self):
        uuid = self.running("paused")["uuid"]
        pid = self.docker_state(uuid)["Pid"]
        self.accepted("appcontainer", "pause", "paused")
        self.cloud.wait_status(uuid, "Paused")
        self.assertTrue(self.docker_state(uuid)["Paused"])
        self.assertIn("failed", self.say("appcontainer", "pause", "paused"))
        self.accepted("appcontainer", "unpause", "paused")
        self.cloud.wait_status(uuid, "Running")
        self.assertEqual((False, pid), (self.docker_state(uuid)["Paused"], self.docker_state(uuid)["Pid"]))

    @about("appcontainer kill")
    def test_killed_by_a_signal_of_choice_and_by_kill_without_one(self):
        uuid = self.running("killed", command=LISTENING)["uuid"]
        self.accepted("appcontainer", "kill", "--signal", "USR1", "killed")
        self.cloud.wait(lambda: "caught" in self.say("appcontainer", "logs", "killed"), "the signal is on its log")
        self.assertTrue(self.docker_state(uuid)["Running"])
        self.cloud.wait_status(uuid, "Running")
        self.accepted("appcontainer", "kill", "killed")
        self.cloud.wait_status(uuid, "Stopped")
        self.assertEqual((False, 137), (self.docker_state(uuid)["Running"], self.docker_state(uuid)["ExitCode"]))
        self.assertEqual(["kill", "kill", "create"], self.actions(uuid))

    @about("appcontainer rebuild")
    def test_rebuilt_is_another_container_at_the_same_address(self):
        before = self.running("rebuilt")
        uuid, first = before["uuid"], self.one_in_docker(before["uuid"])["Id"]
        self.execute(uuid, "touch /mark")
        self.assertIn("success", self.say("appcontainer", "rebuild", "--image", "demo", "--wait", "rebuilt"))
        after = self.cloud.wait_status(uuid, "Running")
        self.assertNotEqual(first, self.one_in_docker(uuid)["Id"])
        self.assertEqual((before["addresses"], "demo"), (after["addresses"], after["image"]))
        self.assertNotEqual(0, self.execute(uuid, "ls /mark")[0])

    @about("appcontainer set")
    def test_set_to_other_limits_and_another_name_while_it_runs(self):
        uuid = self.running("set-before")["uuid"]
        pid = self.docker_state(uuid)["Pid"]
        self.say(*("appcontainer", "set", "--cpu", "0.3", "--memory", "40", "--name", "set-after", "--auto-heal"), uuid)
        record = self.cloud.wait_status(uuid, "Running")
        self.assertEqual(
            ("set-after", 0.3, "40", True), tuple(record[key] for key in ("name", "cpu", "memory", "auto_heal"))
        )
        self.cloud.wait(lambda: self.one_in_docker(uuid)["HostConfig"]["Memory"] == 40 << 20, "Docker has the limit")
        self.assertEqual(pid, self.docker_state(uuid)["Pid"])
        self.say("appcontainer", "set", "--no-auto-heal", "set-after")
        self.assertFalse(self.record(uuid)["auto_heal"])

    @about("appcontainer exec")
    def test_executed_with_its_output_and_exit_code(self):
        uuid = self.running("executed", environment={"WHO": "world"})["uuid"]
        done = self.clients.openstack(
            "appcontainer", "exec", "executed", "sh", "-c", "echo hi $WHO; exit 7", check=False
        )
        self.assertEqual((7, "hi world"), (done.code, done.stdout.strip()))
        self.clients.openstack("appcontainer", "exec", "executed", "touch", "/tmp/a file")
        self.assertEqual(0, self.execute(uuid, "ls '/tmp/a file'")[0])

    @about("appcontainer logs")
    def test_logs_by_stream_by_number_and_with_times(self):
        script = "echo one; echo two; echo three >&2; trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"
        self.running("logs", command=["sh", "-c", script])
        self.cloud.wait(lambda: "three" in self.say("appcontainer", "logs", "logs"), "all is on the log")
        self.assertEqual(["one", "two"], self.say("appcontainer", "logs", "--stdout", "logs").split())
        self.assertEqual(["three"], self.say("appcontainer", "logs", "--stderr", "logs").split())
        self.assertEqual(2, len(self.say("appcontainer", "logs", "--tail", "2", "logs").split()))
        self.assertRegex(
            self.say("appcontainer", "logs", "--timestamps", "logs"), r"(?m)^\d{4}-\d\d-\d\dT[\d:.]+Z one$"
        )
        self.assertEqual("", self.say("appcontainer", "logs", "--since", "4102444800", "logs").strip())

    @about("appcontainer stats")
    def test_stats_in_the_words_of_docker_stats(self):
        self.running("stats", memory="32")
        shown = self.shown("appcontainer", "stats", "stats")
        self.assertEqual(("stats", 32), (shown["CONTAINER"], shown["MEM LIMIT(MiB)"]))
        self.assertGreater(shown["MEM USAGE(MiB)"], 0)
        self.assertRegex(shown["NET I/O(B)"], r"^\d+/\d+$")

    @about("appcontainer top", fault="prints in Python 2's way and ends with a TypeError after a good answer")
    def test_top_is_answered_with_the_processes(self):
        uuid = self.running("top")["uuid"]
        done = self.clients.openstack("appcontainer", "top", "top", check=False)
        self.assertEqual(1, done.code)
        self.assertIn("unsupported operand type(s) for %: 'NoneType' and 'str'", done.stderr)
        answer = self.cloud.ask("GET", f"/v1/containers/{uuid}/top?ps_args=None")
        self.assertIn("PID", answer["Titles"])
        found = {row[answer["Titles"].index("PID")] for row in answer["Processes"]}
        self.assertIn(str(self.docker_state(uuid)["Pid"]), found)

    @about("appcontainer cp")
    def test_copied_in_and_out_again(self):
        uuid = self.running("copied")["uuid"]
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "in.bin")
            source.write_bytes(bytes(range(256)) * 100)
            self.say("appcontainer", "cp", str(source), "copied:/tmp")
            self.assertEqual("25600", self.execute(uuid, "stat -c %s /tmp/in.bin")[1].strip())
            back = Path(folder, "back")
            back.mkdir()
            self.say("appcontainer", "cp", "copied:/tmp/in.bin", str(back))
            self.assertEqual(source.read_bytes(), (back / "in.bin").read_bytes())

    @about("appcontainer action list", "appcontainer action show")
    def test_actions_newest_first_each_under_the_id_of_its_request(self):
        uuid = self.running("acted")["uuid"]
        request = self.cloud.call("POST", f"/v1/containers/{uuid}/stop").headers["X-Openstack-Request-Id"]
        self.cloud.wait_status(uuid, "Stopped")
        rows = self.shown("appcontainer", "action", "list", "acted")
        self.assertEqual(["stop", "create"], [row["action"] for row in rows])
        self.assertEqual((request, uuid), (rows[0]["request_id"], rows[0]["container_uuid"]))
        shown = self.shown("appcontainer", "action", "show", "acted", request)
        self.assertEqual(("stop", None), (shown["action"], shown["message"]))
        self.assertIsNotNone(shown["finish_time"])
