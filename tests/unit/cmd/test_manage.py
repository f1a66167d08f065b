# SPDX-License-Identifier: Apache-2.0
"""zun-lite-manage's commands, and how little --help reads."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import sqlalchemy as sa

from zun_lite.cmd import manage

LARGE = ("sqlalchemy", "alembic", "oslo_config", "falcon", "docker", "requests", "cryptography")


def runs(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The defaults `run` of the commands below."""
    if parser.get_default("run"):
        yield parser.get_default("run")
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from runs(below)


class ManageTest(unittest.TestCase):
    def manage(self, *words: str) -> tuple[int, str]:
        """The exit code and standard error."""
        with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
            code = manage.main(list(words))
        return code, said.getvalue()

    def a_folder(self) -> Path:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return Path(folder.name)

    def test_every_command_leads_to_a_function(self):
        found = list(runs(manage.parser()))
        self.assertGreater(len(found), 14)
        for place in found:
            self.assertTrue(callable(manage.verb(place)), place)

    def test_the_configuration_file_may_be_named(self):
        folder = self.a_folder()
        (folder / "other.conf").write_text(f"[DEFAULT]\nstate_dir = {folder}\n")
        with mock.patch.dict(os.environ):
            os.environ.pop("ZUN_LITE_STATE_DIR", None)
            self.assertEqual((0, ""), self.manage("--config-file", str(folder / "other.conf"), "db", "sync"))
        self.assertTrue((folder / "zun_lite.sqlite").exists())

    def test_what_the_database_refuses_is_one_line(self):
        def refused(*_: object) -> None:
            raise sa.exc.ProgrammingError("CREATE TABLE a", {}, Exception("permission denied\nfor schema public"))

        with (
            mock.patch.object(manage, "verb", return_value=refused),
            mock.patch.dict(os.environ, {"ZUN_LITE_STATE_DIR": str(self.a_folder())}),
        ):
            code, said = self.manage("db", "sync")
        self.assertEqual(1, code)
        self.assertEqual(1, len(said.splitlines()), said)
        self.assertIn("permission denied for schema public; look at it", said)


class HelpTest(unittest.TestCase):
    def read_for(self, program: str, *words: str) -> set[str]:
        """Which of the large libraries a program had read when it ended; it has nothing to complain of."""
        run = (
            f"import sys; sys.argv[1:] = {list(words)!r}\n"
            f"from zun_lite.cmd import {program}\n"
            f"try:\n    {program}.main()\nfinally:\n    print('read', *(set({LARGE!r}) & set(sys.modules)))"
        )
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-c", run],
                env={**os.environ, "ZUN_LITE_STATE_DIR": folder},
                capture_output=True,
                text=True,
                timeout=60,
            )
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        last = done.stdout.splitlines()[-1].split()
        self.assertEqual("read", last[0])
        return set(last[1:])

    def test_help_reads_none_of_the_large_libraries(self):
        for program in ("manage", "up", "zl"):
            self.assertEqual(set(), self.read_for(program, "--help"), program)
        self.assertIn("sqlalchemy", self.read_for("manage", "db", "sync"), "work does read them")
