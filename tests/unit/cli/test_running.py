# SPDX-License-Identifier: Apache-2.0
"""How `run` shows a container's way and which exit code it ends with."""

from __future__ import annotations

import contextlib
import io
import os
import re
import unittest
from argparse import ArgumentParser
from typing import Any
from unittest import mock

from zun_lite.cli import containers, running, screen, way
from zun_lite.cli.failures import Ended, Failure
from zun_lite.cli.table import find

PLACED = {"name": "host", "state": "done", "detail": ""}
PULLED = {"name": "image", "state": "under way", "detail": ""}
LAYER = {"id": "3f2a", "state": "downloading", "done_bytes": 5 << 20, "total_bytes": 9 << 20}


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class FakeSession:
    """records: what the container's record says, look by look; the last one for good. explanations: likewise."""

    def __init__(self, records: list[dict[str, Any]], explanations: list[dict[str, Any]] | None = None) -> None:
        self.records = [{"name": "web", "task_state": None, "status_reason": None, **record} for record in records]
        self.explanations = explanations
        self.streams = True
        self.asked: list[str] = []

    def ask(self, method: str, path: str, body: Any = None, query: Any = None) -> Any:
        self.asked.append(f"{method} {path}")
        if method == "POST":
            return {"uuid": "u", "name": "web"}
        if path.endswith("/explanation"):
            if self.explanations is None:
                raise Failure("Not Found", status=404)
            return self.explanations.pop(0) if len(self.explanations) > 1 else self.explanations[0]
        return self.records.pop(0) if len(self.records) > 1 else self.records[0]

    def has_streams(self) -> bool:
        return self.streams


def explanation(status: str, *stages: dict[str, Any], layers: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    told = {"uuid": "u", "name": "web", "status": status, "status_reason": "No such image."}
    return {**told, "stages": list(stages), "layers": list(layers)}


class RunningCase(unittest.TestCase):
    def setUp(self) -> None:
        for module, name, value in (
            *((way, "LOOK_SECONDS", 0), (way, "QUIET_SECONDS", 0), (containers, "LOOK_SECONDS", 0)),
            (running, "show_logs", lambda *given: None),
        ):
            patch = mock.patch.object(module, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        self.stream: io.StringIO = io.StringIO()

    def run_it(self, session: FakeSession, *words: str) -> Any:
        command, _ = find(["run"])
        parser = ArgumentParser()
        command.configure(parser)
        board = screen.Board(self.stream)
        with mock.patch.object(way, "Board", lambda: board), contextlib.redirect_stderr(self.stream):
            return command.run(session, parser.parse_args([*words, "demo"]))

    def code(self, session: FakeSession, *words: str) -> int:
        with self.assertRaises(Ended) as ended:
            self.run_it(session, *words)
        return ended.exception.code


class ExitCodeTest(RunningCase):
    ENDED = {"status": "Stopped", "status_detail": "Exited(137) 0 seconds ago (error)", "restart_policy": {}}

    def test_a_cloud_that_hears_of_the_end_after_the_log_is_waited_for(self):
        running = {"status": "Running", "status_detail": "Up 0 seconds", "restart_policy": {}}
        session = FakeSession([running] * 4 + [self.ENDED], [explanation("Running", PLACED)])
        self.assertEqual(137, self.code(session))

    def test_one_that_is_started_again_is_not_waited_for(self):
        running = {"status": "Running", "status_detail": "Up 0 seconds", "restart_policy": {"Name": "always"}}
        self.assertEqual(0, self.code(FakeSession([running], [explanation("Running", PLACED)])))

    def test_a_cloud_without_streams_answers_the_record(self):
        session = FakeSession([self.ENDED])
        session.streams = False
        self.assertEqual("Stopped", self.run_it(session)["status"])


class ShowingTest(RunningCase):
    WAY = (
        explanation("Creating", PLACED, PULLED, layers=(LAYER,)),
        explanation(
            "Creating", PLACED, PULLED, layers=({**LAYER, "state": "done", "done_bytes": 0, "total_bytes": 0},)
        ),
        explanation("Running", PLACED, {**PULLED, "state": "done", "detail": "app:1"}),
    )
    RUNS = {"status": "Running", "status_detail": "Up 0 seconds"}

    def test_lines_are_told_once_each_where_nobody_looks_on(self):
        self.run_it(FakeSession([self.RUNS], [self.WAY[0], *self.WAY]), "--wait")
        self.assertEqual(
            "web: host done\nweb: layer 3f2a done, 9.0 MiB\nweb: image done: app:1\n", self.stream.getvalue()
        )

    def test_nothing_is_told_of_what_is_over_at_the_first_look_and_to_who_wants_no_word(self):
        self.run_it(FakeSession([self.RUNS], [self.WAY[2]]), "--wait")
        self.run_it(FakeSession([self.RUNS], list(self.WAY)), "--wait", "--quiet")
        self.assertEqual("", self.stream.getvalue())

    def test_a_terminal_shows_all_stages_in_one_place_and_is_left_clean(self):
        self.stream = FakeTerminal()
        with mock.patch.dict(os.environ, {"COLUMNS": "40", "LINES": "24"}):
            self.run_it(FakeSession([self.RUNS], list(self.WAY)), "--wait")
        screens = self.stream.getvalue().split("\x1b[J")
        self.assertIn("  3f2a          downloading  5.0 MiB of\n", screens[1])
        for before, after in zip(screens[1:], screens[2:], strict=False):
            self.assertTrue(before.endswith(f"\x1b[{before.count(chr(10))}A\r"), (before, after))
        self.assertEqual("", screens[-1])

    def test_a_small_terminal_is_never_scrolled(self):
        self.stream = FakeTerminal()
        with mock.patch.dict(os.environ, {"COLUMNS": "40", "LINES": "3"}):
            self.run_it(FakeSession([self.RUNS], list(self.WAY)), "--wait")
        self.assertEqual({2}, {text.count("\n") for text in self.stream.getvalue().split("\x1b[J")[1:-1]})

    def test_what_others_named_cannot_steer_the_terminal(self):
        self.stream = FakeTerminal()
        sly = {**PULLED, "detail": "\x1b[2Jsly"}
        self.run_it(FakeSession([self.RUNS], [explanation("Creating", sly), self.WAY[2]]), "--wait")
        self.assertNotIn("\x1b[2J", self.stream.getvalue())
        self.assertIn("\\x1b[2Jsly", self.stream.getvalue())

    def test_a_failure_leaves_what_was_shown_and_ends_in_a_sentence(self):
        self.stream = FakeTerminal()
        failed = explanation("Error", PLACED, {**PULLED, "state": "failed", "detail": "No such image."})
        with self.assertRaisesRegex(Failure, "^Container web failed: No such image\\.$"):
            self.run_it(FakeSession([self.RUNS], [failed]), "--wait")
        self.assertRegex(self.stream.getvalue(), r"image +\x1b\[31mfailed\x1b\[0m +No such image\.\n$")

    def test_a_cloud_that_tells_no_stages_is_asked_for_its_record(self):
        making = {"status": "Creating", "task_state": "container_creating", "uuid": "u"}
        session = FakeSession([making, making, self.RUNS])
        self.stream = FakeTerminal()
        self.run_it(session, "--wait")
        self.assertRegex(self.stream.getvalue(), r"container creating +under way")

    def test_colours_are_for_terminals_whose_user_wants_them(self):
        coloured = re.compile(r"\x1b\[\d+m")
        for stream, environment, wanted in (
            (FakeTerminal(), {}, True),
            (FakeTerminal(), {"NO_COLOR": "1"}, False),
            (io.StringIO(), {}, False),
        ):
            with mock.patch.dict(os.environ, environment):
                told = way.told_stages(explanation("Running", PLACED), stream)
            self.assertEqual(wanted, bool(coloured.search(told[0])), (stream, environment))
        with contextlib.redirect_stdout(FakeTerminal()):
            self.assertEqual(["host      done"], way.told_stages(explanation("Running", PLACED)))
