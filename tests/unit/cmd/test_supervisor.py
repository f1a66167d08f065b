# SPDX-License-Identifier: Apache-2.0
"""The supervisor with small programs instead of zun_lite's own, as real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from zun_lite.cmd import lock, processes, supervisor
from zun_lite.cmd.supervisor import read_state

T = TypeVar("T")
SLEEPER = "import signal; signal.sigwait([signal.SIGALRM])"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
PARENT = (
    "import subprocess, signal; "
    "child = subprocess.Popen(['sleep', '1000']); print(child.pid, flush=True); signal.pause()"
)
PROGRAM = "tests.unit.cmd.dummy_program"
LIMIT_SECONDS = 20.0


def until(look: Callable[[], T], what: str) -> T:
    """The first truthy answer of look()."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (answer := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"in vain waited until {what}")
        time.sleep(0.02)
    return answer


class SupervisorTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="zl-supervisor-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.strays: list[tuple[int, int]] = []
        self.addCleanup(self._end_strays)

    def test_programs_run_with_their_extra_environment_and_stop_in_reverse_order(self) -> None:
        script = f"import os; print(os.environ['EXTRA'], flush=True); {SLEEPER}"
        supervisor = self.start(f"first={script}", f"second={script}")
        children = self.running("first", "second")
        until(lambda: self.log("first") == "given\n", "the first program has printed")
        supervisor.send_signal(signal.SIGTERM)
        said, _ = supervisor.communicate(timeout=LIMIT_SECONDS)
        self.assertEqual(0, supervisor.returncode)
        self.assertLess(said.index("second: stopped"), said.index("first: stopped"))
        for child in children.values():
            self.assertFalse(processes.is_same(child["pid"], child["started_ticks"]))
        self.assertEqual("stopped", self.state()["children"]["first"]["state"])

    def test_a_killed_program_is_started_again_and_the_other_is_left_alone(self) -> None:
        self.start(f"first={SLEEPER}", f"second={SLEEPER}")
        before = self.running("first", "second")
        os.kill(before["first"]["pid"], signal.SIGKILL)
        until(lambda: self.child("first")["restarts"] == 1 and self.child("first")["pid"], "the first runs again")
        self.assertNotEqual(before["first"]["pid"], self.child("first")["pid"])
        self.assertEqual("killed by SIGKILL", self.child("first")["last_exit"])
        self.assertEqual(before["second"]["pid"], self.child("second")["pid"])

    def test_a_program_that_keeps_failing_is_tried_ever_less_often(self) -> None:
        supervisor = self.start("bad=raise SystemExit(3)")
        until(lambda: self.child("bad").get("restarts", 0) >= 3, "it has failed three times")
        supervisor.terminate()
        said, _ = supervisor.communicate(timeout=LIMIT_SECONDS)
        for pause in ("0.5", "1", "2"):
            self.assertIn(f"bad: ended with status 3; again in {pause} s", said)

    def test_a_program_that_cannot_be_started_does_not_stop_the_others(self) -> None:
        os.mkdir(os.path.join(self.folder, "bad.log"))
        self.start(f"bad={SLEEPER}", f"good={SLEEPER}")
        self.running("good")
        self.assertIn("could not be started", self.child("bad")["last_exit"])

    def test_what_a_dead_program_left_behind_is_killed_with_it(self) -> None:
        self.start(f"parent={PARENT}")
        leader = self.running("parent")["parent"]
        grandchild = int(until(lambda: self.log("parent"), "the program has a child"))
        ticks = processes.started_ticks(grandchild)
        assert ticks is not None
        os.kill(leader["pid"], signal.SIGKILL)
        until(lambda: not processes.is_same(grandchild, ticks), "the grandchild is gone")

    def test_a_program_that_is_deaf_to_sigterm_is_killed(self) -> None:
        supervisor = self.start(f"deaf={DEAF}")
        until(lambda: self.log("deaf"), "the program ignores SIGTERM")
        supervisor.terminate()
        said, _ = supervisor.communicate(timeout=LIMIT_SECONDS)
        self.assertIn("deaf: did not stop when asked; killed", said)

    def test_a_killed_supervisor_takes_its_programs_with_it(self) -> None:
        supervisor = self.start(f"first={SLEEPER}")
        child = self.running("first")["first"]
        supervisor.kill()
        supervisor.wait()
        until(lambda: not processes.is_same(child["pid"], child["started_ticks"]), "the program is gone")

    def test_the_next_supervisor_ends_what_a_killed_one_left(self) -> None:
        supervisor = self.start(f"deaf={DEAF}")
        until(lambda: self.log("deaf"), "the program ignores SIGTERM")
        left = self.running("deaf")["deaf"]
        supervisor.kill()
        supervisor.wait()
        self.assertTrue(processes.is_same(left["pid"], left["started_ticks"]))
        self.start(f"deaf={SLEEPER}")
        until(lambda: not processes.is_same(left["pid"], left["started_ticks"]), "the leftover is gone")
        until(lambda: self.child("deaf")["pid"] not in (None, left["pid"]), "a new one runs")

    def test_every_full_log_is_shortened_and_one_that_cannot_be_takes_nobody_down(self) -> None:
        for name in ("api.log", "dockerd.log", "netd.log"):
            Path(self.folder, name).write_text("a line\n" * 10)
        Path(self.folder, "api.log.1").mkdir()
        Path(self.folder, "netd.log").write_text("short")
        with mock.patch.object(supervisor, "LOG_LIMIT_BYTES", 20):
            supervisor.Supervisor([], self.folder, os.path.join(self.folder, "state.json"))._shorten_logs()
        sizes = {name: os.path.getsize(os.path.join(self.folder, f"{name}.log")) for name in ("api", "dockerd", "netd")}
        self.assertEqual({"api": 70, "dockerd": 0, "netd": 5}, sizes)
        self.assertEqual(70, os.path.getsize(os.path.join(self.folder, "dockerd.log.1")))

    def test_only_one_supervisor_holds_the_lock(self) -> None:
        supervisor = self.start(f"first={SLEEPER}")
        self.running("first")
        self.assertEqual(supervisor.pid, lock.holder(os.path.join(self.folder, "lock")))
        second = self.start(f"first={SLEEPER}")
        second.communicate(timeout=LIMIT_SECONDS)
        self.assertEqual(9, second.returncode)

    def test_the_lock_is_free_once_its_holder_is_dead(self) -> None:
        supervisor = self.start(f"first={SLEEPER}")
        self.running("first")
        supervisor.kill()
        supervisor.wait()
        self.assertIsNone(lock.holder(os.path.join(self.folder, "lock")))

    def test_a_module_is_forked_with_its_own_session_output_and_name(self) -> None:
        supervisor = self.start(f"program=@{PROGRAM}")
        said = json.loads(until(lambda: self.log("program"), "the program has told"))
        self.assertEqual(
            {
                "extra": "given",
                "arguments": ["zun-lite-program"],
                "title": "zun-lite-program",
                "session": True,
                "descriptors": 3,
                "shares": True,
                "parent": supervisor.pid,
            },
            said,
        )
        supervisor.terminate()
        supervisor.communicate(timeout=LIMIT_SECONDS)
        self.assertIn("ended well", self.log("program"))

    def test_a_killed_fork_is_started_again_and_goes_with_a_killed_supervisor(self) -> None:
        supervisor = self.start(f"program=@{PROGRAM}")
        first = self.running("program")["program"]
        os.kill(first["pid"], signal.SIGKILL)
        until(lambda: self.child("program")["pid"] not in (None, first["pid"]), "a new one runs")
        second = self.running("program")["program"]
        supervisor.kill()
        supervisor.wait()
        until(lambda: not processes.is_same(second["pid"], second["started_ticks"]), "the program is gone")
        self.assertIsNone(lock.holder(os.path.join(self.folder, "lock")))

    def test_a_fork_that_fails_leaves_its_traceback_and_is_tried_again(self) -> None:
        supervisor = self.start("bad=@tests.unit.cmd.no_such_program")
        until(lambda: self.child("bad").get("restarts", 0) >= 2, "it has failed twice")
        self.assertIn("No module named 'tests.unit.cmd.no_such_program'", self.log("bad"))
        supervisor.terminate()
        said, _ = supervisor.communicate(timeout=LIMIT_SECONDS)
        self.assertIn("bad: ended with status 1", said)

    def start(self, *scripts: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.unit.cmd.dummy_supervisor", self.folder, *scripts]
        supervisor = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(self._end, supervisor)
        return supervisor

    def state(self) -> dict[str, Any]:
        return read_state(os.path.join(self.folder, "state.json")) or {"children": {}}

    def child(self, name: str) -> dict[str, Any]:
        return self.state()["children"].get(name, {})

    def running(self, *names: str) -> dict[str, dict[str, Any]]:
        for name in names:
            until(lambda name=name: self.child(name).get("state") == "running", f"{name} runs")  # type: ignore[misc]
        found = {name: self.child(name) for name in names}
        self.strays += [(child["pid"], child["started_ticks"]) for child in found.values()]
        return found

    def log(self, name: str) -> str:
        try:
            with open(os.path.join(self.folder, f"{name}.log")) as stream:
                return stream.read()
        except OSError:
            return ""

    def _end(self, supervisor: subprocess.Popen[str]) -> None:
        if supervisor.poll() is None:
            supervisor.kill()
        supervisor.communicate()

    def _end_strays(self) -> None:
        for pid, ticks in self.strays:
            if processes.is_same(pid, ticks):
                os.kill(pid, signal.SIGKILL)
