# SPDX-License-Identifier: Apache-2.0
"""The door to Docker, on a real engine."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from dataclasses import replace

from tests.agent.engine import DockerCase
from tests.confinement import loose_ends
from tests.docker_engine import BUSYBOX_TAG
from zun_lite.agent.runtime.base import Bind, Limits
from zun_lite.agent.runtime.docker import DockerRuntime
from zun_lite.agent.runtime.docker_images import DockerImages
from zun_lite.domain import errors, names
from zun_lite.domain.security_profile import CAPABILITIES
from zun_lite.domain.spec import RestartPolicy


class Containers(DockerCase):
    def test_a_container_is_held_to_what_is_allowed_and_no_more(self):
        order = self.an_order(cpus=1.5, memory_mib=48, restart_policy=RestartPolicy("on-failure", 3))
        found = self.engine.api.inspect_container(self.runtime.create(order))
        host = found["HostConfig"]
        self.assertEqual(host["NanoCpus"], 1_500_000_000)
        self.assertEqual((host["Memory"], host["MemorySwap"]), (48 * 1024**2, 48 * 1024**2))
        self.assertEqual(host["PidsLimit"], 1024)
        self.assertEqual((host["CapDrop"], sorted(host["CapAdd"])), (["ALL"], sorted(CAPABILITIES)))
        self.assertEqual([], loose_ends(found, runtime="runc"))
        self.assertEqual(host["NetworkMode"], "none")
        self.assertFalse(host["Privileged"])
        self.assertEqual(host["LogConfig"], {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}})
        self.assertEqual(host["RestartPolicy"], {"Name": "on-failure", "MaximumRetryCount": 3})
        self.assertEqual(found["Name"], f"/zun-{order.uuid}")

    def test_capabilities_in_the_container_are_the_short_list(self):
        order = self.an_order("cat", "/proc/self/status")
        self.run_order(order)
        self.wait_for_state(order.uuid, "exited")
        status = self.logs(order.uuid)
        self.assertIn("NoNewPrivs:\t1", status)
        bounding = int(status.split("CapBnd:\t")[1].split()[0], 16)
        self.assertEqual(bounding.bit_count(), len(CAPABILITIES))
        for forbidden in (13, 18, 21, 27, 29):  # NET_RAW, SYS_CHROOT, SYS_ADMIN, MKNOD, AUDIT_WRITE
            self.assertFalse(bounding >> forbidden & 1)

    def test_anyone_may_ping_without_a_raw_socket(self):
        order = self.an_order("cat", "/proc/sys/net/ipv4/ping_group_range")
        self.run_order(order)
        self.wait_for_state(order.uuid, "exited")
        self.assertEqual(self.logs(order.uuid).split(), ["0", "2147483647"])
        pid = self.engine.api.inspect_container(self.run_order(self.an_order()))["State"]["Pid"]
        opened = subprocess.run(
            [
                *("nsenter", f"--net=/proc/{pid}/ns/net", "setpriv", "--bounding-set", "-all", "--inh-caps", "-all"),
                *(sys.executable, "-c", "import socket as s; s.socket(s.AF_INET, s.SOCK_DGRAM, s.IPPROTO_ICMP)"),
            ],
            capture_output=True,
            text=True,
            timeout=30,
        )
        self.assertEqual((opened.returncode, opened.stderr), (0, ""))

    def test_users_cannot_set_our_labels(self):
        """A5."""
        order = self.an_order(labels={"zun.uuid": names.new_id(), "zun.cluster": "other", "tier": "web"})
        found = self.engine.api.inspect_container(self.runtime.create(order))["Config"]["Labels"]
        self.assertEqual((found["zun.uuid"], found["zun.cluster"], found["tier"]), (order.uuid, self.cluster, "web"))

    def test_an_image_cannot_set_our_labels(self):
        plain = self.engine.api.create_container(BUSYBOX_TAG, ["true"])["Id"]
        self.addCleanup(self.engine.api.remove_container, plain)
        changes = ["LABEL zun.member=x", "LABEL zun.cores=0,1"]
        image = self.engine.api.commit(plain, "evil", "1", changes=changes)["Id"]
        self.addCleanup(self.engine.api.remove_image, image, force=True)
        self.addCleanup(self.remove_all)
        order = self.an_order("sleep", "60", image="evil:1")
        container_id = self.run_order(order)
        self.assertEqual("", self.runtime.inspect(container_id).member)
        self.assertEqual([], self.runtime.members(order.uuid))
        self.assertIn(("", container_id), [(item.member, item.container_id) for item in self.runtime.containers()])
        self.assertEqual("", self.engine.api.inspect_container(container_id)["Config"]["Labels"]["zun.cores"])

    def test_what_is_asked_for_reaches_the_process(self):
        order = self.an_order(
            "sh", "-c", "echo $A; pwd; hostname; cat /etc/resolv.conf",
            environment={"A": "one two"}, workdir="/tmp", hostname="box",
        )  # fmt: skip
        self.run_order(replace(order, dns=("10.9.8.7",)))
        self.wait_for_state(order.uuid, "exited")
        self.assertEqual(self.logs(order.uuid).split(), ["one", "two", "/tmp", "box", "nameserver", "10.9.8.7"])

    def test_a_bind_is_writable_or_not_as_ordered(self):
        for read_only, written in ((False, "yes"), (True, "no")):
            source = self.folder / written
            source.mkdir()
            order = self.an_order("sh", "-c", "echo x > /data/file && echo yes || echo no")
            self.run_order(replace(order, binds=(Bind(str(source), "/data", read_only),)))
            self.wait_for_state(order.uuid, "exited")
            self.assertIn(written, self.logs(order.uuid))

    def test_a_bind_without_a_source_is_refused_and_its_path_not_told(self):
        order = replace(self.an_order(), binds=(Bind(str(self.folder / "missing"), "/data"),))
        with self.assertRaises(errors.Failed) as caught:
            self.runtime.create(order)
        self.assertNotIn(str(self.folder), caught.exception.message)
        self.assertFalse((self.folder / "missing").exists())

    def test_making_it_twice_is_making_it_once(self):
        order = self.an_order()
        self.assertEqual(self.runtime.create(order), self.runtime.create(order))
        self.assertEqual(len(self.runtime.containers()), 1)

    def test_an_older_one_is_replaced_and_a_newer_one_is_not(self):
        order = self.an_order()
        old = self.runtime.create(order)
        new = self.runtime.create(replace(order, epoch=2))
        self.assertNotEqual(old, new)
        with self.assertRaises(errors.Conflict):
            self.runtime.create(order)
        self.assertEqual([item.container_id for item in self.runtime.containers()], [new])

    def test_a_container_of_that_name_which_is_not_ours_is_left_alone(self):
        order = self.an_order()
        other = DockerRuntime(self.engine.socket, "other", "runc", Limits())
        theirs = other.create(order)
        self.addCleanup(other.remove, theirs)
        with self.assertRaises(errors.Invalid):
            self.runtime.create(order)
        self.assertIsNone(self.runtime.inspect(names.docker_name(order.uuid)))
        self.assertIsNotNone(other.inspect(theirs))

    def test_start_stop_and_remove_may_be_repeated(self):
        order = self.an_order()
        container_id = self.runtime.create(order)
        for _ in range(2):
            self.runtime.start(container_id)
        self.assertEqual(self.runtime.inspect(container_id).state, "running")
        for _ in range(2):
            self.runtime.stop(container_id, 0)
        self.assertEqual(self.runtime.inspect(container_id).exit_code, 137)
        for _ in range(2):
            self.runtime.remove(container_id)
        self.assertIsNone(self.runtime.inspect(container_id))
        self.runtime.stop(container_id, 0)
        with self.assertRaises(errors.Failed):
            self.runtime.start(container_id)

    def test_a_paused_container_can_be_stopped(self):
        order = self.an_order()
        container_id = self.run_order(order)
        self.engine.api.pause(container_id)
        self.assertEqual(self.runtime.inspect(container_id).state, "paused")
        self.runtime.stop(container_id, 0)
        self.assertEqual(self.runtime.inspect(container_id).state, "exited")

    def test_more_cpus_than_the_host_has_are_capped(self):
        found = self.engine.api.inspect_container(self.runtime.create(self.an_order(cpus=64.0)))
        self.assertEqual(found["HostConfig"]["NanoCpus"], int(self.engine.api.info()["NCPU"] * 1e9))

    def test_an_inventory_is_taken(self):
        engine = self.runtime.inventory()
        self.assertGreater(engine.capacity.cpus, 0)
        self.assertGreater(engine.capacity.memory_mib, 256)
        self.assertIn("runc", engine.runtimes)

    def test_an_engine_that_does_not_run_is_unavailable(self):
        with self.assertRaises(errors.Unavailable):
            DockerRuntime("/nowhere/docker.sock", "c", "runc", Limits()).containers()

    def logs(self, uuid: str) -> str:
        options = {"stdout": True, "stderr": True, "timestamps": False, "tail": None, "since": 0}
        return self.runtime.logs(uuid, max_bytes=100_000, **options).decode()

    def wait_for_state(self, uuid: str, state: str) -> None:
        if state == "exited":
            self.engine.api.wait(names.docker_name(uuid), timeout=20)
        self.assertEqual(self.runtime.inspect(names.docker_name(uuid)).state, state)


class Refusals(DockerCase):
    def test_a_program_that_is_not_there_is_the_users_fault(self):
        container_id = self.runtime.create(self.an_order("no-such-program"))
        before = self.runtime.inspect(container_id)
        with self.assertRaises(errors.Invalid) as caught:
            self.runtime.start(container_id)
        self.assertEqual(
            caught.exception.message,
            'The container could not be started: exec: "no-such-program": executable file not found in $PATH',
        )
        after = self.runtime.inspect(container_id)
        self.assertEqual((after.state, after.started_at), ("created", before.started_at))

    def test_a_program_that_is_a_folder_is_the_users_fault(self):
        container_id = self.runtime.create(self.an_order("/etc"))
        with self.assertRaises(errors.Invalid) as caught:
            self.runtime.start(container_id)
        self.assertIn('exec: "/etc"', caught.exception.message)

    def test_an_unknown_image_cannot_be_used(self):
        self.assertFalse(self.runtime.has_image("no-such-image:1"))
        with self.assertRaises(errors.Failed):
            self.runtime.create(self.an_order(image="no-such-image:1"))

    def test_what_is_no_image_name_is_final(self):
        for image in ("UPPER/case", "a b", "http://x/y"):
            with self.subTest(image=image), self.assertRaises(errors.NoSuchImage):
                if not self.runtime.has_image(image):
                    self.runtime.pull(image, 20)

    def test_a_registry_that_does_not_answer_is_told_without_its_words(self):
        with self.assertRaises(errors.Failed) as caught:
            DockerImages(self.runtime).pull("127.0.0.1:1/nothing:1", None, 20)
        self.assertIn("registry does not answer", caught.exception.message)
        self.assertNotIn("dial tcp", caught.exception.message)

    def test_too_little_memory_is_final(self):
        with self.assertRaises(errors.Invalid):
            self.runtime.create(self.an_order(memory_mib=1))

    def test_an_unknown_runtime_is_the_hosts_trouble(self):
        runtime = DockerRuntime(self.engine.socket, self.cluster, "no-such-runtime", Limits())
        with self.assertRaises(errors.Unavailable):
            runtime.start(runtime.create(self.an_order()))


class Streams(DockerCase):
    def setUp(self) -> None:
        super().setUp()
        self.order = self.an_order("sh", "-c", "for i in $(seq 200); do echo line $i; done; echo bad >&2; sleep 600")
        self.container_id = self.run_order(self.order)

    def test_a_command_gives_its_output_and_code(self):
        done = self.runtime.execute(self.order.uuid, ["sh", "-c", "echo out; echo err >&2; exit 3"], 10, 1000)
        self.assertEqual((sorted(done.output.split()), done.exit_code), ([b"err", b"out"], 3))

    def test_many_quick_commands_lose_no_output(self):
        for _ in range(20):
            self.assertEqual(self.runtime.execute(self.order.uuid, ["echo", "x"], 10, 1000).output, b"x\n")

    def test_output_beyond_the_limit_is_dropped_and_the_command_still_ends(self):
        done = self.runtime.execute(self.order.uuid, ["sh", "-c", "head -c 3000000 /dev/zero; exit 4"], 20, 1000)
        self.assertEqual((len(done.output), done.exit_code), (1000, 4))

    def test_a_command_that_outlives_its_time_is_ended_with_its_children(self):
        began = time.monotonic()
        done = self.runtime.execute(self.order.uuid, ["sh", "-c", "sleep 333 & sleep 334; true"], 0.5, 1000)
        self.assertEqual((done.timed_out, done.ended), (True, True))
        self.assertLess(time.monotonic() - began, 8)
        top = self.runtime.execute(self.order.uuid, ["ps"], 10, 100_000).output
        self.assertNotIn(b"sleep 33", top)
        self.assertEqual(self.runtime.inspect(self.container_id).state, "running")

    def test_endless_output_ends_with_its_time(self):
        done = self.runtime.execute(self.order.uuid, ["yes"], 0.5, 1000)
        self.assertTrue(done.timed_out)
        self.assertEqual(len(done.output), 1000)

    def test_a_command_that_is_not_there_says_so(self):
        done = self.runtime.execute(self.order.uuid, ["no-such-program"], 10, 1000)
        self.assertIn(done.exit_code, (126, 127))
        self.assertIn(b"no-such-program", done.output)

    def test_a_stopped_container_runs_no_command(self):
        self.runtime.stop(self.container_id, 0)
        with self.assertRaises(errors.Conflict):
            self.runtime.execute(self.order.uuid, ["id"], 5, 100)

    def test_logs_are_chosen_by_stream_and_tail(self):
        self.wait_for_log()
        self.assertEqual(self.logs(stdout=False), b"bad\n")
        self.assertEqual(self.logs(stderr=False).splitlines()[-2:], [b"line 199", b"line 200"])
        self.assertEqual(len(self.logs(tail=7).splitlines()), 7)
        self.assertRegex(self.logs(stdout=False, timestamps=True), rb"^\d{4}-\d\d-\d\dT.*Z bad\n$")
        self.assertEqual(self.logs(since=int(time.time()) + 100), b"")

    def test_a_log_beyond_the_limit_keeps_its_end(self):
        self.wait_for_log()
        self.assertEqual(self.logs(stderr=False, max_bytes=9), b"line 200\n")

    def wait_for_log(self) -> None:
        """Until Docker has taken in what was printed: 200 lines and one."""
        for _ in self.engine.api.logs(self.container_id, stream=True, follow=True):
            if len(self.logs().splitlines()) == 201:
                return

    def logs(self, **changes) -> bytes:
        asked = {"stdout": True, "stderr": True, "timestamps": False, "tail": None, "since": 0, "max_bytes": 100_000}
        return self.runtime.logs(self.order.uuid, **{**asked, **changes})


class News(DockerCase):
    def test_events_name_our_containers_only_and_can_be_taken_up_later(self):
        since = time.time() - 1
        order = self.an_order("true")
        other = DockerRuntime(self.engine.socket, "other", "runc", Limits())
        self.addCleanup(other.remove, other.create(self.an_order()))
        heard: list[str] = []
        died = threading.Event()

        def listen() -> None:
            with contextlib.suppress(errors.Unavailable):
                for event in self.runtime.events(since):
                    self.assertEqual(event.uuid, order.uuid)
                    heard.append(event.name)
                    if event.name == "die":
                        died.set()
                        return

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        self.run_order(order)
        self.assertTrue(died.wait(20))
        self.assertEqual(heard, ["create", "start", "die"])

    def test_a_look_says_no_more_than_docker(self):
        order = self.an_order("sh", "-c", "exit 5")
        self.run_order(order)
        self.engine.api.wait(names.docker_name(order.uuid), timeout=20)
        seen = self.runtime.inspect(names.docker_name(order.uuid))
        self.assertEqual((seen.state, seen.exit_code, seen.command), ("exited", 5, ("sh", "-c", "exit 5")))
        self.assertEqual(seen.hostname, seen.container_id[:12])
        self.assertTrue(seen.seen.ever_started)
