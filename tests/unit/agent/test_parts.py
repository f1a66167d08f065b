# SPDX-License-Identifier: Apache-2.0
"""The agent's smaller parts: the worklist, the journal's files, enrolment, Docker's words."""

from __future__ import annotations

import tempfile
import threading
import unittest
from pathlib import Path

from tests.unit.agent.fakes import a_workload
from zun_lite.agent.enrolment import identify
from zun_lite.agent.host_key import HostKey
from zun_lite.agent.journal import Journal
from zun_lite.agent.runtime import words
from zun_lite.agent.worklist import Worklist
from zun_lite.common.clock import Clock
from zun_lite.domain import errors
from zun_lite.domain.desired import DesiredSet
from zun_lite.domain.plan import Done


class Worklists(unittest.TestCase):
    def a_worklist(self, work, threads=2, clock=None) -> Worklist:
        worklist = Worklist(work, threads, clock or Clock())
        worklist.start()
        self.addCleanup(worklist.stop, 5)
        return worklist

    def test_one_workload_is_worked_on_by_one_thread_and_the_last_wish_counts(self):
        begun, go_on, seen = threading.Event(), threading.Event(), []

        def work(uuid):
            seen.append(uuid)
            begun.set()
            go_on.wait(5)

        worklist = self.a_worklist(work, threads=4)
        worklist.mark("a")
        self.assertTrue(begun.wait(5))
        for _ in range(5):
            worklist.mark("a")
        self.assertEqual(seen, ["a"])
        go_on.set()
        self.assertTrue(worklist.wait_until_idle(5))
        self.assertEqual(seen, ["a", "a"])

    def test_a_slow_one_holds_up_no_other(self):
        go_on, done = threading.Event(), threading.Event()
        worklist = self.a_worklist(lambda uuid: go_on.wait(5) and None if uuid == "slow" else done.set())
        worklist.mark("slow")
        worklist.mark("quick")
        self.assertTrue(done.wait(5))
        go_on.set()

    def test_a_later_wish_does_not_put_off_an_earlier_one(self):
        done = threading.Event()
        worklist = self.a_worklist(lambda uuid: done.set())
        worklist.mark("a", 0.01)
        worklist.mark("a", 3600)
        self.assertTrue(done.wait(5))

    def test_a_wish_for_now_comes_before_a_retry(self):
        looks = []
        again = threading.Event()

        def work(uuid):
            looks.append(uuid)
            if len(looks) == 2:
                again.set()
            return 3600.0

        worklist = self.a_worklist(work)
        worklist.mark("a")
        self.assertTrue(worklist.wait_until_idle(5))
        worklist.mark("a")
        self.assertTrue(again.wait(5))

    def test_a_break_is_logged_and_the_worker_goes_on(self):
        done = threading.Event()

        def work(uuid):
            if uuid == "bad":
                raise RuntimeError("broken")
            done.set()

        worklist = self.a_worklist(work, threads=1)
        with self.assertLogs("zun_lite.agent.worklist", "ERROR"):
            worklist.mark("bad")
            worklist.mark("good")
            self.assertTrue(done.wait(5))

    def test_stopping_waits_for_what_is_under_way_and_begins_nothing(self):
        begun, go_on = threading.Event(), threading.Event()

        def work(uuid):
            begun.set()
            go_on.wait(5)

        worklist = self.a_worklist(work, threads=1)
        worklist.mark("a")
        self.assertTrue(begun.wait(5))
        worklist.mark("b")
        self.assertFalse(worklist.stop(0.01))
        go_on.set()
        self.assertTrue(worklist.stop(5))


class Folders(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="zl-agent-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class Journals(Folders):
    def test_it_remembers_across_starts(self):
        journal, desired = Journal(str(self.folder)), DesiredSet(7, (a_workload(),), ("v",))
        journal.write("a", Done(run=3, attachments=(("v", 2),)))
        journal.write("b", Done(run=1))
        journal.forget("b")
        journal.write_set(desired)
        again = Journal(str(self.folder))
        self.assertEqual((again.uuids(), again.read("a")), (["a"], Done(run=3, attachments=(("v", 2),))))
        self.assertEqual(again.read_set(), desired)

    def test_half_a_file_is_no_file(self):
        Journal(str(self.folder))
        for name in ("a.json.tmp", "b.json"):
            (self.folder / "workloads" / name).write_text('{"run": ')
        (self.folder / "desired.json").write_text("{")
        with self.assertLogs("zun_lite.agent.journal", "WARNING"):
            journal = Journal(str(self.folder))
            self.assertIsNone(journal.read_set())
        self.assertEqual(journal.uuids(), [])

    def test_what_a_newer_agent_wrote_can_be_read(self):
        Journal(str(self.folder))
        (self.folder / "workloads/a.json").write_text('{"run": 3, "news": true}')
        self.assertEqual(Journal(str(self.folder)).read("a"), Done(run=3))


class Enrolments(Folders):
    def identify(self, enrol, token="token"):
        return identify(
            str(self.folder),
            enrol,
            api_url="http://api",
            given=token,
            name="h1",
            address="127.0.0.1:9518",
            key=HostKey(str(self.folder / "host.key")),
            stopping=threading.Event(),
        )

    def test_a_host_enrols_once(self):
        asked = []

        def enrol(*given):
            asked.append(given[:4])
            return {"host_uuid": "u", "grant_public_key": "k"}

        first = self.identify(enrol)
        self.assertEqual(self.identify(enrol, token=None), first)
        self.assertEqual(asked, [("http://api", "token", "h1", "127.0.0.1:9518")])

    def test_an_api_that_is_not_up_yet_is_waited_for(self):
        answers = [errors.Unavailable("not yet"), {"host_uuid": "u", "grant_public_key": "k"}]

        def enrol(*given):
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.assertEqual(self.identify(enrol).host_uuid, "u")

    def test_a_refused_token_is_told_at_once(self):
        def enrol(*given):
            raise errors.Forbidden("The token was used.")

        with self.assertRaises(errors.Forbidden):
            self.identify(enrol)

    def test_without_a_token_it_says_what_to_do(self):
        with self.assertRaises(errors.Invalid) as caught:
            self.identify(lambda *given: {}, token=None)
        self.assertIn("zun-lite-manage host token", caught.exception.message)


class Words(unittest.TestCase):
    def test_a_reason_is_one_line_without_paths_or_control_characters(self):
        """D8."""
        shown = words.reason("cannot mount /var/lib/zun/volumes/x.img\x1b[2J\nto /data/y: it \u202efails" + "x" * 300)
        self.assertNotIn("/var", shown)
        self.assertFalse(set("\x1b\n\u202e") & set(shown))
        self.assertLessEqual(len(shown), 255)

    def test_what_cannot_be_run_is_the_users_fault(self):
        for said in (
            'runc create failed: unable to start container process: exec: "x": executable file not found in $PATH: '
            "unknown",
            'container_linux.go:380: starting container process caused: exec: "/x": stat /x: no such file or '
            "directory: unknown",
            'OCI runtime create failed: chdir to cwd ("/w") set in config.json failed: no such file or directory',
            "unable to find user nemo: no matching entries in passwd file",
        ):
            self.assertIsInstance(words.start_error(errors.Failed(said)), errors.Invalid, said)

    def test_netd_that_is_away_is_waited_for_and_its_refusal_is_not(self):
        away = "OCI runtime create failed: zun_lite: netd does not answer at /run/netd.sock (refused): unknown"
        self.assertIsInstance(words.start_error(errors.Failed(away)), errors.Unavailable)
        self.assertNotIn("/run", words.start_error(errors.Failed(away)).message)
        refused = "OCI runtime create failed: zun_lite: no such volume: unknown"
        self.assertIs(type(words.start_error(errors.Failed(refused))), errors.Failed)

    def test_pulls_end_in_few_ways_and_repeat_nothing_of_a_registrys_answer(self):
        for said, kind in (
            (errors.NotFound("pull access denied for x, repository does not exist"), errors.NoSuchImage),
            (errors.Failed("manifest unknown: manifest unknown"), errors.NoSuchImage),
            (errors.Invalid("invalid reference format"), errors.NoSuchImage),
            (errors.Failed("Get https://r/v2/: dial tcp: lookup r: no such host"), errors.Failed),
            (errors.Failed("418 SECRET-BANNER"), errors.Failed),
        ):
            told = words.pull_error("x:1", said)
            self.assertIs(type(told), kind, said)
            self.assertNotIn("SECRET", told.message)
            self.assertIn("x:1", told.message)
