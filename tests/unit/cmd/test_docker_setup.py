# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import sys
import tempfile
import unittest
from typing import Any
from unittest import mock

from zun_lite.cmd import docker_setup
from zun_lite.cmd.docker_setup import Note, merge, unmerge
from zun_lite.cmd.installation import Installation
from zun_lite.domain import errors

PATH = "/srv/zun/bin/zun-lite-runtime"


class MergeTest(unittest.TestCase):
    def test_what_is_there_stays_and_comes_back_unchanged(self) -> None:
        originals: list[dict[str, Any]] = [
            {},
            {"log-opts": {"max-size": "5m"}},
            {"live-restore": False},
            {"live-restore": True},
            {"runtimes": {"kata": {"path": "/usr/bin/kata"}}, "live-restore": True},
        ]
        for original in originals:
            merged, note = merge(original, "zun-lite", PATH, Note())
            self.assertEqual({"path": PATH}, merged["runtimes"]["zun-lite"])
            self.assertIs(True, merged["live-restore"])
            self.assertEqual(original, unmerge(merged, note))

    def test_merging_again_changes_nothing_and_forgets_nothing(self) -> None:
        original = {"live-restore": False}
        merged, note = merge(original, "zun-lite", PATH, Note())
        again, second = merge(merged, "zun-lite", PATH, note)
        self.assertEqual((merged, note), (again, second))
        self.assertEqual(original, unmerge(again, second))

    def test_what_others_changed_since_stays(self) -> None:
        merged, note = merge({}, "zun-lite", PATH, Note())
        merged["runtimes"]["kata"] = {"path": "/usr/bin/kata"}
        merged["debug"] = True
        merged["live-restore"] = False
        self.assertEqual(
            {"runtimes": {"kata": {"path": "/usr/bin/kata"}}, "debug": True, "live-restore": False},
            unmerge(merged, note),
        )

    def test_a_runtime_of_our_name_that_was_there_before_is_not_taken_out(self) -> None:
        original = {"runtimes": {"zun-lite": {"path": PATH}}, "live-restore": True}
        merged, note = merge(original, "zun-lite", PATH, Note())
        self.assertEqual(original, merged)
        self.assertEqual(original, unmerge(merged, note))

    def test_the_living_runtime_of_another_installation_is_not_replaced(self) -> None:
        with self.assertRaisesRegex(errors.Conflict, "another installation"):
            merge({"runtimes": {"zun-lite": {"path": sys.executable}}}, "zun-lite", PATH, Note())

    def test_a_runtime_whose_program_is_gone_is_replaced(self) -> None:
        merged, _ = merge({"runtimes": {"zun-lite": {"path": "/gone/runtime"}}}, "zun-lite", PATH, Note())
        self.assertEqual({"path": PATH}, merged["runtimes"]["zun-lite"])


class ReloadTest(unittest.TestCase):
    def test_a_reload_that_fails_leaves_the_owners_file_as_it_was(self) -> None:
        """Also the file that an earlier start made, for its owner has put things into it since."""
        owners = '{"log-driver": "local"}'
        with tempfile.TemporaryDirectory() as folder:
            path, here = os.path.join(folder, "daemon.json"), Installation(folder)
            with open(path, "w") as stream:
                stream.write(owners)
            note = {**vars(Note(path, file_made=True))}
            with open(here.path("docker-setup.json"), "w") as stream:
                json.dump(note, stream)
            with (
                mock.patch.object(docker_setup, "DAEMON_JSON", path),
                mock.patch.object(docker_setup, "_reload", side_effect=errors.Failed("not taken up")),
                mock.patch.object(docker_setup.Engine, "answers", lambda engine: True),
                mock.patch.object(docker_setup.Engine, "info", lambda engine: {}),
                self.assertRaises(errors.Failed),
            ):
                docker_setup.prepare(here, lambda line: None)
            with open(path) as stream:
                self.assertEqual(json.loads(owners), json.load(stream))


class ForeignEngineTest(unittest.TestCase):
    def test_an_engine_behind_another_socket_is_never_started(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            here = Installation(state_dir=folder, docker_socket=os.path.join(folder, "docker.sock"))
            with self.assertRaisesRegex(errors.Unavailable, "No Docker Engine answers"):
                docker_setup.prepare(here, print)
            self.assertEqual([], os.listdir(folder))


class ComplaintsTest(unittest.TestCase):
    def test_what_dockerd_says_is_wrong_is_told_and_its_chatter_is_not(self) -> None:
        chatter = [f'time="2026-01-01T00:00:0{number}Z" level=info msg="starting up"' for number in range(3)]
        fatal = "failed to start daemon: Devices cgroup isn't mounted"
        self.assertEqual([fatal], docker_setup.complaints([*chatter, fatal]))
        self.assertEqual([fatal], docker_setup.complaints([chatter[0], fatal, *chatter]))
        self.assertEqual(chatter[-1:], docker_setup.complaints(chatter))
