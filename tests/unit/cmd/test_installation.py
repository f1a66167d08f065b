# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import tempfile
import unittest
from unittest import mock

import requests

from zun_lite.cmd import installation
from zun_lite.common import config
from zun_lite.domain import errors


class InstallationTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="zl-state-")
        self.addCleanup(folder.cleanup)
        self.state_dir = os.path.join(folder.name, "state")

    def settle(self, **asked: object) -> installation.Installation:
        wanted = {"port": None, "agent_port": None, "docker_socket": None, **asked}
        installation.make_folders(self.state_dir)
        return installation.settle(self.state_dir, **wanted)  # type: ignore[arg-type]

    def test_the_first_up_records_what_it_was_asked_for(self) -> None:
        here = self.settle(port=9600, docker_socket="/run/other.sock")
        self.assertEqual((9600, 9518, "/run/other.sock"), (here.port, here.agent_port, here.docker_socket))
        self.assertEqual(here, installation.read(self.state_dir))

    def test_two_installations_on_one_machine_have_different_clusters(self) -> None:
        self.assertEqual("zun", installation.cluster_of(installation.DEFAULT_STATE_DIR))
        self.assertNotEqual("zun", self.settle().cluster)
        self.assertNotEqual(installation.cluster_of("/srv/a"), installation.cluster_of("/srv/b"))

    def test_edits_of_the_file_are_kept_and_followed(self) -> None:
        here = self.settle()
        with open(here.config_file, "a") as stream:
            stream.write("[netd]\nmount_dir = /srv/mounts\n")
        again = self.settle()
        self.assertEqual("/srv/mounts", again.mount_dir)

    def test_another_port_than_the_recorded_one_is_refused_with_the_way_out(self) -> None:
        self.settle(port=9600)
        with self.assertRaisesRegex(errors.Conflict, "--port 9700 .* says 9600; edit that file"):
            self.settle(port=9700)
        self.assertEqual(9600, self.settle(port=9600).port)

    def test_the_programs_read_the_same_from_that_file(self) -> None:
        here = self.settle(port=9600, agent_port=9601, docker_socket="/run/other.sock")
        conf = config.load(state_dir=self.state_dir)
        theirs = (
            conf.cluster,
            conf.api.bind,
            conf.api.port,
            conf.agent.bind,
            conf.agent.port,
            conf.agent.docker_socket,
            conf.agent.docker_runtime,
            conf.agent.host_name,
            conf.agent.journal_dir,
            conf.netd.socket,
            conf.netd.mount_dir,
            conf.volume.pool_dir,
        )
        ours = (
            here.cluster,
            here.bind,
            here.port,
            here.agent_bind,
            here.agent_port,
            here.docker_socket,
            here.docker_runtime,
            here.host_name,
            here.journal_dir,
            here.netd_socket,
            here.mount_dir,
            here.pool_dir,
        )
        self.assertEqual(theirs, ours)

    def test_the_defaults_are_those_of_the_programs(self) -> None:
        conf = config.load(state_dir=self.state_dir)
        here = installation.read(self.state_dir)
        self.assertEqual(config.DEFAULT_STATE_DIR, installation.DEFAULT_STATE_DIR)
        self.assertEqual(
            (conf.cluster, conf.api.bind, conf.api.port, conf.agent.port, conf.agent.docker_socket),
            (here.cluster, here.bind, here.port, here.agent_port, here.docker_socket),
        )

    def test_a_folder_of_other_things_is_refused_because_clean_would_remove_it(self) -> None:
        os.makedirs(self.state_dir)
        with open(os.path.join(self.state_dir, "thesis.tex"), "w"):
            pass
        with self.assertRaisesRegex(errors.Conflict, "did not make"):
            installation.make_folders(self.state_dir)

    def test_a_configuration_that_was_written_before_the_first_start_is_taken(self) -> None:
        path = os.path.join(self.state_dir, "zun_lite.conf")
        os.makedirs(self.state_dir, exist_ok=True)
        with open(path, "w") as file:
            file.write("[api]\nport = 9600\n")
        installation.make_folders(self.state_dir)
        self.assertTrue(installation.exists(self.state_dir))
        self.assertEqual(9600, self.settle().port)

    def test_the_state_directory_is_for_its_owner_alone(self) -> None:
        self.settle()
        self.assertEqual(0o700, os.stat(self.state_dir).st_mode & 0o777)

    def test_a_file_that_cannot_be_parsed_is_named(self) -> None:
        here = self.settle()
        with open(here.config_file, "w") as stream:
            stream.write("port = 9517\n")
        with self.assertRaisesRegex(errors.Invalid, "zun_lite.conf cannot be read"):
            installation.read(self.state_dir)

    def test_a_port_that_is_none_is_named(self) -> None:
        here = self.settle()
        with open(here.config_file, "w") as stream:
            stream.write("[api]\nport = many\n")
        with self.assertRaisesRegex(errors.Invalid, "port = many is not a port number"):
            installation.read(self.state_dir)

    def test_a_secret_of_the_caller_is_not_passed_on_to_every_program(self) -> None:
        os.environ["ZUN_LITE_JOIN_TOKEN"] = "secret"
        self.addCleanup(os.environ.pop, "ZUN_LITE_JOIN_TOKEN")
        self.assertNotIn("ZUN_LITE_JOIN_TOKEN", self.settle().environment)

    def test_programs_reach_each_other_past_a_proxy_of_the_callers(self) -> None:
        caller = {"http_proxy": "http://proxy:3128", "no_proxy": "inner.example"}
        with mock.patch.dict(os.environ, caller):
            environment = self.settle().environment
        with mock.patch.dict(os.environ, environment):
            self.assertEqual({}, requests.utils.get_environ_proxies("http://127.0.0.1:9517/", None))
            self.assertEqual({}, requests.utils.get_environ_proxies("http://inner.example/", None))
            self.assertIn("http", requests.utils.get_environ_proxies("http://registry.example/", None))
