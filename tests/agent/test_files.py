# SPDX-License-Identifier: Apache-2.0
"""Files given to a container, name servers given to one that runs, and cores of its own, on a real engine."""

from __future__ import annotations

import base64
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.agent.engine import DockerCase
from zun_lite.agent.runtime.base import Limits, Order
from zun_lite.agent.runtime.docker import DockerRuntime
from zun_lite.agent.runtime.etc import EtcFiles
from zun_lite.agent.runtime.files import GivenFiles
from zun_lite.domain import errors, names
from zun_lite.domain.spec import FileRequest


def a_file(target: str, content: bytes) -> FileRequest:
    return FileRequest(target, base64.b64encode(content).decode())


class FilesTest(DockerCase):
    def a_runtime(self, **limits) -> DockerRuntime:
        folder = tempfile.TemporaryDirectory(prefix="zl-files-")
        self.addCleanup(folder.cleanup)
        self.folder_of_files = Path(folder.name) / "files"
        etc, files = EtcFiles(f"{folder.name}/etc"), GivenFiles(str(self.folder_of_files))
        return DockerRuntime(self.engine.socket, self.cluster, "runc", Limits(**limits), etc, files)

    def run_in(self, uuid: str, *command: str) -> str:
        return self.runtime.execute(uuid, list(command), 10, 65536).output.decode()

    def test_it_finds_them_and_what_it_writes_is_its_own(self):
        files = (a_file("/etc/app/a.conf", b"one"), a_file("/b", b""))
        order, other = self.an_order(files=files), self.an_order(files=files)
        for each in (order, other):
            self.run_order(each)
        self.assertEqual("one", self.run_in(order.uuid, "cat", "/etc/app/a.conf"))
        self.run_in(order.uuid, "sh", "-c", "echo two > /etc/app/a.conf; echo x > /b")
        self.assertEqual("two\n", self.run_in(order.uuid, "cat", "/etc/app/a.conf"))
        self.assertEqual("one", self.run_in(other.uuid, "cat", "/etc/app/a.conf"))
        self.engine.api.restart(names.docker_name(order.uuid), timeout=0)
        self.assertEqual("two\n", self.run_in(order.uuid, "cat", "/etc/app/a.conf"))

    def test_they_go_with_the_container_and_also_when_someone_else_took_it_away(self):
        order, other = self.an_order(files=(a_file("/a", b"x"),)), self.an_order(files=(a_file("/a", b"x"),))
        self.runtime.remove(self.run_order(order))
        self.engine.api.remove_container(self.run_order(other), force=True)
        self.assertEqual([other.uuid], os.listdir(self.folder_of_files))
        self.runtime.forget(other.uuid)
        self.assertEqual([], os.listdir(self.folder_of_files))

    def test_a_file_in_place_of_our_own_comes_first(self):
        order = self.an_order(files=(a_file("/etc/resolv.conf", b"search mine\n"),))
        self.run_order(replace(order, dns=("10.9.8.7",)))
        self.assertEqual("search mine\n", self.run_in(order.uuid, "cat", "/etc/resolv.conf"))

    def test_no_link_on_the_way_is_followed(self):
        """B4."""
        order = self.an_order(files=(a_file("/a", b"x"),))
        victim = self.folder / "victim"
        victim.write_text("kept")
        folder = self.folder_of_files / order.uuid
        folder.mkdir(parents=True)
        (folder / "0").symlink_to(victim)
        with self.assertRaises(OSError):
            GivenFiles(str(self.folder_of_files)).write(order.uuid, order.spec.files)
        self.assertEqual("kept", victim.read_text())

    def test_name_servers_change_while_it_runs_unless_its_user_chose_others(self):
        order = replace(self.an_order(), dns=("10.9.8.7", "10.9.8.6"))
        self.run_order(order)
        for servers in (("10.1.1.1",), ("10.1.1.1", "10.2.2.2", "10.3.3.3"), ()):
            self.runtime.give_dns(order.uuid, servers)
            wanted = "".join(f"nameserver {server}\n" for server in servers)
            self.assertEqual(wanted, self.run_in(order.uuid, "cat", "/etc/resolv.conf"))
        self.run_in(order.uuid, "sh", "-c", "echo nameserver 10.7.7.7 > /etc/resolv.conf")
        self.runtime.give_dns(order.uuid, ("10.1.1.1",))
        self.assertEqual("nameserver 10.7.7.7\n", self.run_in(order.uuid, "cat", "/etc/resolv.conf"))
        self.runtime.give_dns(names.new_id(), ("10.1.1.1",))

    def test_dedicated_cores_are_distinct_and_free_again_after_it(self):
        cores = self.engine.api.info()["NCPU"]
        made = [self.an_order(cpu_policy="dedicated", cpus=1.0) for _ in range(cores)]
        ids = [self.runtime.create(order) for order in made]
        held = [self.engine.api.inspect_container(made_id)["HostConfig"]["CpusetCpus"] for made_id in ids]
        self.assertEqual({str(core) for core in range(cores)}, set(held))
        with self.assertRaisesRegex(errors.Invalid, "0 left"):
            self.runtime.create(self.an_order(cpu_policy="dedicated"))
        again = Order(made[0].uuid, 2, 1, made[0].spec)
        self.assertIn(self.engine.api.inspect_container(self.runtime.create(again))["HostConfig"]["CpusetCpus"], held)

    def test_the_number_of_a_process_is_told_only_while_it_lives(self):
        order = self.an_order()
        container_id = self.runtime.create(order)
        self.assertEqual(0, self.runtime.process(container_id))
        self.runtime.start(container_id)
        pid = self.engine.api.inspect_container(container_id)["State"]["Pid"]
        self.assertEqual(pid, self.runtime.process(container_id))
        self.runtime.stop(container_id, 0)
        self.assertEqual(0, self.runtime.process(container_id))
        self.assertEqual(0, self.runtime.process("f" * 64))
