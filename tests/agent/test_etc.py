# SPDX-License-Identifier: Apache-2.0
"""A container without Docker's network sandbox finds the hosts and resolv.conf that it would have had."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.agent.engine import DockerCase
from zun_lite.agent.runtime.base import Bind, Limits
from zun_lite.agent.runtime.docker import DockerRuntime
from zun_lite.agent.runtime.etc import HOSTS, EtcFiles


class EtcTest(DockerCase):
    def a_runtime(self, **limits) -> DockerRuntime:
        folder = tempfile.TemporaryDirectory(prefix="zl-etc-")
        self.addCleanup(folder.cleanup)
        self.etc = Path(folder.name)
        return DockerRuntime(self.engine.socket, self.cluster, "runc", Limits(**limits), EtcFiles(folder.name))

    def read(self, uuid: str, *command: str) -> str:
        return self.runtime.execute(uuid, list(command), 10, 65536).output.decode()

    def test_it_finds_its_name_servers_and_localhost_also_after_a_restart(self):
        order = replace(self.an_order(), dns=("10.9.8.7", "10.9.8.6"))
        container_id = self.run_order(order)
        self.assertEqual("nameserver 10.9.8.7\nnameserver 10.9.8.6\n", self.read(order.uuid, "cat", "/etc/resolv.conf"))
        self.assertEqual(HOSTS, self.read(order.uuid, "cat", "/etc/hosts"))
        self.engine.api.restart(container_id, timeout=0)
        self.assertIn("10.9.8.6", self.read(order.uuid, "cat", "/etc/resolv.conf"))

    def test_the_hosts_name_servers_are_not_told(self):
        order = self.an_order()
        self.run_order(order)
        self.assertEqual("", self.read(order.uuid, "cat", "/etc/resolv.conf"))

    def test_it_may_change_them(self):
        order = self.an_order()
        self.run_order(order)
        self.assertIn("mine", self.read(order.uuid, "sh", "-c", "echo 10.1.1.1 mine >> /etc/hosts; cat /etc/hosts"))

    def test_its_network_namespace_is_its_own_and_holds_the_loopback_only(self):
        order = self.an_order()
        self.run_order(order)
        pid = self.engine.api.inspect_container(f"zun-{order.uuid}")["State"]["Pid"]
        self.assertNotEqual(os.readlink("/proc/self/ns/net"), os.readlink(f"/proc/{pid}/ns/net"))
        self.assertNotEqual(
            os.readlink(f"/proc/{self.engine.pid}/ns/net"), os.readlink(f"/proc/{pid}/ns/net"), "the engine's"
        )
        links = self.read(order.uuid, "ip", "-o", "link").splitlines()
        self.assertEqual(1, len(links), links)
        self.assertIn("lo: <LOOPBACK,UP", links[0])

    def test_what_the_user_mounts_there_comes_first(self):
        mine = self.folder / "hosts"
        mine.write_text("10.1.1.1 mine\n")
        order = replace(self.an_order(), binds=(Bind(str(mine), "/etc/hosts"),))
        self.run_order(order)
        self.assertEqual("10.1.1.1 mine\n", self.read(order.uuid, "cat", "/etc/hosts"))

    def test_nothing_is_left_of_a_container_that_was_removed(self):
        kept, gone = self.an_order(), self.an_order()
        self.run_order(kept)
        container_id = self.run_order(gone)
        self.assertEqual(sorted([kept.uuid, gone.uuid]), sorted(os.listdir(self.etc)))
        self.runtime.remove(container_id)
        self.runtime.remove(container_id)
        self.assertEqual([kept.uuid], os.listdir(self.etc))
