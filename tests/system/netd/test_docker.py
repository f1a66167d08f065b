# SPDX-License-Identifier: Apache-2.0
"""The OCI runtime wrapper under a real Docker Engine: a container never runs unconnected."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time

import testtools

from tests.docker_engine import PrivateDockerEngine
from tests.system.netd.host import NetdHost, attachment, endpoint, new_id
from zun_lite.domain import errors
from zun_lite.domain.wiring import Address, Attachment, Endpoint
from zun_lite.netd import kernel, names, namespaces, runtime

RUNTIME = "zun-lite"


class DockerTestCase(testtools.TestCase):
    """One Docker Engine and one netd for all tests of a class; live_restore as the class says."""

    live_restore = True
    host: NetdHost
    engine: PrivateDockerEngine

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.host = NetdHost()
        cls.addClassCleanup(cls.host.clean)
        cls.host.start()
        wrapper = str(cls.host.state_dir / "bin/zun-lite-runtime")
        real = shutil.which("runc")
        assert real is not None, "these tests need runc"
        runtime.install(wrapper, real, cls.host.socket, sys.executable)
        cls.engine = PrivateDockerEngine(
            {RUNTIME: wrapper}, live_restore=cls.live_restore, environment={"ZUN_LITE_CRASH_POINTS": "on"}
        )
        cls.addClassCleanup(cls.engine.stop)
        cls.engine.start()
        cls.engine.import_busybox()

    def setUp(self) -> None:
        super().setUp()
        self.netd = self.host.client
        self.docker = self.engine.docker
        self.addCleanup(self.clear)

    def create(
        self, *endpoints: Endpoint, volumes: list[tuple[Attachment, str]] | None = None, options: tuple[str, ...] = ()
    ) -> str:
        """A created and plugged container that was not started; answers its id."""
        container_id = self.made("--network", "none", *options)
        self.netd.plug(container_id, new_id(), 1, list(endpoints), volumes or [])
        return container_id

    def made(self, *options: str) -> str:
        return self.docker("create", "--runtime", RUNTIME, *options, "busybox", "sleep", "600").stdout.strip()

    def started(self, *endpoints: Endpoint, options: tuple[str, ...] = ()) -> str:
        container_id = self.create(*endpoints, options=options)
        self.docker("start", container_id)
        return container_id

    def can_ping(self, container_id: str, address: str) -> bool:
        done = self.docker("exec", container_id, "ping", "-c", "1", "-W", "1", address, check=False)
        return done.returncode == 0

    def addresses(self, container_id: str) -> str:
        return self.docker("exec", container_id, "ip", "addr", "show", "eth0").stdout

    def is_running(self, container_id: str) -> bool:
        return self.engine.api.inspect_container(container_id)["State"]["Running"]

    def wait_until_running(self, container_id: str, timeout_seconds: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not self.is_running(container_id):
            self.assertLess(time.monotonic(), deadline, "the container does not come back")
            time.sleep(0.05)

    def clear(self) -> None:
        for container in self.engine.api.containers(all=True):
            self.engine.api.remove_container(container["Id"], force=True)
        for record in self.netd.list()["records"]:
            self.netd.unplug(record["container_id"])
        for volume in self.netd.list()["volumes"]:
            self.netd.detach(volume["volume_id"], volume["epoch"])


class StartTests(DockerTestCase):
    def test_containers_of_a_network_reach_each_other_and_another_tenants_same_cidr_does_not(self) -> None:
        ours, theirs = new_id(), new_id()
        end = endpoint(ours, "10.1.0.5")
        first, _ = self.started(end), self.started(endpoint(ours, "10.1.0.6"))
        stranger, _ = self.started(endpoint(theirs, "10.1.0.5")), self.started(endpoint(theirs, "10.1.0.7"))

        self.assertIn("inet 10.1.0.5/24", self.addresses(first))
        self.assertIn(end.mac, self.addresses(first))
        self.assertTrue(self.can_ping(first, "10.1.0.6"))
        self.assertTrue(self.can_ping(stranger, "10.1.0.7"))
        self.assertFalse(self.can_ping(first, "10.1.0.7"))
        self.assertFalse(self.can_ping(stranger, "10.1.0.6"))

    def test_the_first_instruction_of_a_container_finds_its_address(self) -> None:
        end = endpoint(new_id(), "10.1.0.5")
        container_id = self.docker(
            "create", "--runtime", RUNTIME, "--network", "none", "busybox", "ip", "addr", "show", "eth0"
        ).stdout.strip()
        self.netd.plug(container_id, new_id(), 1, [end], [])

        self.assertIn("inet 10.1.0.5/24", self.docker("start", "--attach", container_id).stdout)

    def test_ipv6_works_although_docker_turns_it_off(self) -> None:
        network_id = new_id()
        first, _ = (
            self.started(endpoint(network_id, "10.1.0.1", addresses=(Address(ip, 64, new_id(), "fd00:1::1"),)))
            for ip in ("fd00:1::5", "fd00:1::6")
        )

        self.assertTrue(self.can_ping(first, "fd00:1::6"))

    def test_a_restarted_container_is_wired_again(self) -> None:
        network_id = new_id()
        first, second = self.started(endpoint(network_id, "10.1.0.5")), self.started(endpoint(network_id, "10.1.0.6"))

        self.docker("restart", "--time", "0", second)

        self.assertIn("inet 10.1.0.6/24", self.addresses(second))
        self.assertTrue(self.can_ping(first, "10.1.0.6"))
        self.assertTrue(all(record["wired"] for record in self.netd.list()["records"]))

    def test_a_container_that_docker_restarts_by_itself_is_wired_again(self) -> None:
        container_id = self.started(endpoint(new_id(), "10.1.0.5"), options=("--restart", "always"))
        pid = self.engine.api.inspect_container(container_id)["State"]["Pid"]

        os.kill(pid, 9)

        deadline = time.monotonic() + 20
        while self.engine.api.inspect_container(container_id)["State"]["Pid"] in (pid, 0):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.assertIn("inet 10.1.0.5/24", self.addresses(container_id))

    def test_a_container_that_joins_anothers_network_needs_a_record_and_sees_the_same_address(self) -> None:
        pause = self.started(endpoint(new_id(), "10.1.0.5"))
        member = self.made("--network", f"container:{pause}")

        self.assertIn("not recorded", self.docker("start", member, check=False).stderr)
        self.netd.plug(member, new_id(), 1, [], [])
        self.docker("start", member)

        self.assertIn("inet 10.1.0.5/24", self.addresses(member))

    def test_a_container_without_a_record_does_not_start_and_the_reason_is_shown(self) -> None:
        container_id = self.made("--network", "none")

        done = self.docker("start", container_id, check=False)

        self.assertNotEqual(0, done.returncode)
        self.assertIn("is not recorded in netd", done.stderr)
        self.assertFalse(self.is_running(container_id))

    def test_a_container_in_the_hosts_network_does_not_start(self) -> None:
        container_id = self.made("--network", "host")
        self.netd.plug(container_id, new_id(), 1, [], [])

        self.assertIn("may not be in the host's own network", self.docker("start", container_id, check=False).stderr)
        self.assertEqual([], [path for path in self.runtime_state() if container_id in path])

    def test_the_real_runtimes_own_failure_is_shown_as_ever(self) -> None:
        container_id = self.docker(
            "create", "--runtime", RUNTIME, "--network", "none", "busybox", "/no/such/program"
        ).stdout.strip()
        self.netd.plug(container_id, new_id(), 1, [endpoint(new_id(), "10.1.0.5")], [])

        self.assertIn("no such file or directory", self.docker("start", container_id, check=False).stderr)

    def test_stop_kill_exec_and_remove_work_while_netd_is_away(self) -> None:
        container_id = self.started(endpoint(new_id(), "10.1.0.5"))
        self.host.kill()
        self.addCleanup(self.host.start)

        self.assertIn("inet 10.1.0.5/24", self.addresses(container_id))
        self.docker("kill", container_id)
        self.docker("rm", container_id)

    def test_a_start_while_netd_is_away_fails_in_bounded_time_with_the_reason(self) -> None:
        container_id = self.create(endpoint(new_id(), "10.1.0.5"))
        self.host.kill()
        began = time.monotonic()

        done = self.docker("start", container_id, check=False)

        self.assertLess(time.monotonic() - began, 12)
        self.assertIn("netd does not answer", done.stderr)
        self.host.start()
        self.docker("start", container_id)

    def test_a_start_waits_for_a_netd_that_comes_back(self) -> None:
        container_id = self.create(endpoint(new_id(), "10.1.0.5"))
        self.host.terminate()
        thread = threading.Thread(target=self.docker, args=("start", container_id))
        thread.start()
        self.host.start()
        thread.join(20)

        self.assertIn("inet 10.1.0.5/24", self.addresses(container_id))

    def test_a_netd_that_dies_while_it_wires_is_asked_again(self) -> None:
        container_id = self.create(endpoint(new_id(), "10.1.0.5"))
        self.host.arm("netd.wire.veth")
        thread = threading.Thread(target=self.docker, args=("start", container_id))
        thread.start()
        assert self.host.process is not None
        self.assertEqual(-9, self.host.process.wait(20))
        self.host.start()
        thread.join(20)

        self.assertIn("inet 10.1.0.5/24", self.addresses(container_id))

    def test_the_network_outlives_a_killed_netd_and_a_killed_docker_engine(self) -> None:
        network_id = new_id()
        first, _ = self.started(endpoint(network_id, "10.1.0.5")), self.started(endpoint(network_id, "10.1.0.6"))
        self.host.kill()
        self.engine.kill()
        self.host.start()
        self.engine.start()

        self.assertTrue(self.can_ping(first, "10.1.0.6"))
        self.assertEqual([True, True], [record["wired"] for record in self.netd.list()["records"]])

    def test_a_runtime_killed_at_its_crash_points_leaves_nothing_and_the_next_start_works(self) -> None:
        for point in ("runtime.create.before", "runtime.create.after"):
            self.host.arm(point)
            container_id = self.create(endpoint(new_id(), "10.1.0.5"))

            self.assertNotEqual(0, self.docker("start", container_id, check=False).returncode)

            self.assertTrue(self.host.was_hit(point), point)
            self.assertFalse(self.is_running(container_id))
            self.assertEqual([], [path for path in self.runtime_state() if container_id in path])
            self.docker("start", container_id)
            self.assertIn("inet 10.1.0.5/24", self.addresses(container_id))
            self.clear()

    def runtime_state(self) -> list[str]:
        """Folders of containers that the real runtime knows."""
        return [str(path) for path in (self.engine.folder / "exec").glob("runtime-*/moby/*")]


class VolumeTests(DockerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.volume, self.path = attachment(), self.host.volume_file()
        self.source = self.netd.attach(self.volume, str(self.path))
        self.mount = ("--mount", f"type=bind,source={self.source},target=/data")
        # of this form Docker makes a missing folder itself
        self.bind = ("--volume", f"{self.source}:/data")

    def created(self, how: tuple[str, ...]) -> str:
        return self.create(endpoint(new_id(), "10.1.0.5"), volumes=[(self.volume, str(self.path))], options=how)

    def test_a_container_sees_its_volume_and_a_start_attaches_one_that_is_away(self) -> None:
        container_id = self.created(self.bind)
        self.docker("start", container_id)
        self.docker("exec", container_id, "sh", "-c", "echo kept > /data/note")
        self.docker("kill", container_id)
        self.netd.detach(self.volume.volume_id, 1)
        self.assertFalse(os.path.exists(self.source))

        self.docker("start", container_id)

        self.assertEqual("kept\n", self.docker("exec", container_id, "cat", "/data/note").stdout)
        self.assertIn("xfs", self.docker("exec", container_id, "sh", "-c", "grep ' /data ' /proc/mounts").stdout)

    def test_docker_refuses_a_mount_of_a_volume_that_is_away_instead_of_making_a_folder(self) -> None:
        container_id = self.created(self.mount)
        self.netd.detach(self.volume.volume_id, 1)

        self.assertIn("bind source path does not exist", self.docker("start", container_id, check=False).stderr)
        self.netd.attach(self.volume, str(self.path))
        self.docker("start", container_id)

    def test_a_volume_that_a_running_container_has_is_not_detached(self) -> None:
        container_id = self.created(self.mount)
        self.docker("start", container_id)

        refusal = self.assertRaises(errors.Failed, self.netd.detach, self.volume.volume_id, 1)
        self.assertIn("is in use by process", refusal.message)
        self.docker("kill", container_id)
        self.netd.detach(self.volume.volume_id, 1)

    def test_a_volume_that_cannot_be_attached_keeps_the_container_from_starting(self) -> None:
        container_id = self.created(self.bind)
        self.netd.detach(self.volume.volume_id, 1)
        self.path.unlink()

        done = self.docker("start", container_id, check=False)

        self.assertIn("no volume file at", done.stderr)
        self.assertFalse(self.is_running(container_id))

    def test_a_volume_that_is_not_in_the_containers_record_is_not_bound(self) -> None:
        container_id = self.create(endpoint(new_id(), "10.1.0.5"), options=self.mount)

        self.assertIn("is no volume that is recorded", self.docker("start", container_id, check=False).stderr)


class RebootTests(DockerTestCase):
    live_restore = False

    def test_containers_that_docker_starts_at_its_own_start_come_back_wired_with_their_volumes(self) -> None:
        network_id = new_id()
        volume, path = attachment(), str(self.host.volume_file())
        source = self.netd.attach(volume, path)
        ends = [endpoint(network_id, "10.1.0.5"), endpoint(network_id, "10.1.0.6")]
        first = self.create(
            ends[0],
            volumes=[(volume, path)],
            options=("--restart", "always", "--mount", f"type=bind,source={source},target=/data"),
        )
        second = self.create(ends[1], options=("--restart", "always"))
        for container_id in (first, second):
            self.docker("start", container_id)
        self.docker("exec", first, "sh", "-c", "echo kept > /data/note")

        # as a reboot does: everything ends, and no namespace, link, loop device or mount is left
        self.engine.terminate()
        self.host.kill()
        kernel.unmount(os.path.dirname(source))
        namespaces.remove(names.namespace(self.host.cluster, network_id))
        self.host.start()
        self.engine.start()

        for container_id in (first, second):
            self.wait_until_running(container_id)
        self.assertTrue(self.can_ping(first, "10.1.0.6"))
        self.assertEqual("kept\n", self.docker("exec", first, "cat", "/data/note").stdout)
        self.assertEqual([True, True], [record["wired"] for record in self.netd.list()["records"]])
