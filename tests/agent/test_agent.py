# SPDX-License-Identifier: Apache-2.0
"""The whole agent on a real Docker Engine; the API and netd are played."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

from tests.agent.engine import DockerCase, FolderNetd
from tests.docker_engine import BUSYBOX_TAG, PrivateDockerEngine
from tests.unit.agent.fakes import FakeApi, a_workload, an_attachment, deleted, rebuilt, started, stopped
from zun_lite.agent.image_keeping import ImageSettings
from zun_lite.agent.loop import Agent, Settings
from zun_lite.agent.runtime.docker import DockerRuntime
from zun_lite.agent.runtime.docker_images import DockerImages
from zun_lite.common.clock import Clock
from zun_lite.domain import names
from zun_lite.domain.lifecycle import status_of
from zun_lite.domain.spec import ContainerSpec, RestartPolicy
from zun_lite.domain.wiring import Wiring

SPEC = ContainerSpec(BUSYBOX_TAG, command=("sleep", "600"), cpus=0.5, memory_mib=32)


def at_once(workload):
    """The same without the time that a program gets to end well."""
    return replace(workload, goal=replace(workload.goal, stop_timeout_seconds=0))


def deleted_at_once(workload):
    return at_once(deleted(workload))


class AgentCase(DockerCase):
    def setUp(self) -> None:
        super().setUp()
        self.api = FakeApi()
        self.netd = FolderNetd(str(self.folder))

    def start(self, runtime: DockerRuntime | None = None, **changes) -> Agent:
        settings = {
            "pool_dir": str(self.folder / "volumes"),
            "journal_dir": str(self.folder / "agent"),
            "boot_id": "boot-1",
            "docker_runtime": "runc",
            "interval_seconds": 30.0,
            "heartbeat_seconds": 0.2,
            **changes,
        }
        runtime = runtime or self.runtime
        agent = Agent(self.api, runtime, DockerImages(runtime), self.netd, Settings(**settings), Clock())
        agent.start()
        self.addCleanup(agent.stop)
        return agent

    def follow(self, agent: Agent, workload, status: str) -> None:
        self.api.put(workload)
        agent.nudge()
        self.assert_status(workload, status)

    def assert_status(self, workload, status: str, timeout_seconds: float = 20.0) -> None:
        def as_wanted() -> bool:
            observed = self.api.observed.get(workload.uuid)
            if observed is None or observed.generation != workload.generation:
                return False
            return status in (status_of(workload.goal, workload.generation, observed).status, observed.state)

        self.assertTrue(self.api.wait_for(as_wanted, timeout_seconds), self.api.observed.get(workload.uuid))

    def docker_state(self, workload):
        return self.engine.api.inspect_container(names.docker_name(workload.uuid))["State"]


class AgentOnDocker(AgentCase):
    def test_a_container_lives_as_its_goal_says(self):
        agent = self.start()
        workload = a_workload(spec=SPEC, wiring=Wiring((), (an_attachment(),)))
        self.follow(agent, workload, "Running")
        self.assertTrue(self.docker_state(workload)["Running"])
        self.follow(agent, workload := at_once(stopped(workload)), "Stopped")
        self.follow(agent, workload := started(workload), "Running")
        self.follow(agent, workload := rebuilt(workload), "Running")
        self.follow(agent, deleted_at_once(workload), "absent")
        self.assertEqual(self.runtime.containers(), [])

    def test_one_that_ends_by_itself_is_told_within_a_second(self):
        agent = self.start()
        workload = a_workload(spec=replace(SPEC, command=("sh", "-c", "read line; exit 7"), interactive=True))
        self.follow(agent, workload, "Running")
        self.engine.api.kill(names.docker_name(workload.uuid), "KILL")
        self.assert_status(workload, "Stopped", 1.0)
        self.assertEqual(self.api.observed[workload.uuid].exit_code, 137)

    def test_one_that_someone_removes_is_lost_at_once(self):
        agent = self.start()
        workload = a_workload(spec=SPEC)
        self.follow(agent, workload, "Running")
        self.engine.api.remove_container(names.docker_name(workload.uuid), force=True)
        self.assert_status(workload, "Error", 2.0)

    def test_one_that_someone_renames_is_still_known(self):
        agent = self.start()
        workload = a_workload(spec=SPEC)
        self.follow(agent, workload, "Running")
        self.engine.api.rename(names.docker_name(workload.uuid), f"other-{workload.uuid}")
        self.assertTrue(agent.wait_until_idle(5))
        self.assert_status(workload, "Running")
        self.follow(agent, deleted_at_once(workload), "absent")
        self.assertEqual(self.runtime.containers(), [])

    def test_a_program_that_is_not_there_ends_in_error_with_the_reason_and_can_be_deleted(self):
        agent = self.start()
        workload = a_workload(spec=replace(SPEC, command=("no-such-program",)))
        self.follow(agent, workload, "Error")
        self.assertIn("no-such-program", self.api.observed[workload.uuid].error)
        self.follow(agent, deleted(workload), "absent")

    def test_an_image_that_is_not_there_ends_in_error(self):
        agent = self.start(images=ImageSettings(allowed_registries=("127.0.0.1:1",)))
        workload = a_workload(spec=replace(SPEC, image="127.0.0.1:1/nothing:1"))
        self.follow(agent, workload, "Error")
        self.assertIn("127.0.0.1:1/nothing:1", self.api.observed[workload.uuid].error)

    def test_a_volume_has_its_file_system_and_is_the_containers(self):
        agent = self.start()
        for fs_type in ("xfs", "ext4"):
            attachment = an_attachment(fs_type=fs_type)
            command = ("sh", "-c", "echo kept > /data/file; sleep 600")
            workload = a_workload(spec=replace(SPEC, command=command), wiring=Wiring((), (attachment,)))
            self.follow(agent, workload, "Running")
            with open(self.folder / "volumes" / f"{attachment.volume_id}.img", "rb") as file:
                start = file.read(2048)
            self.assertEqual(start[:4] == b"XFSB", fs_type == "xfs")
            self.assertEqual(start[1080:1082] == b"\x53\xef", fs_type == "ext4")
            self.assertEqual(self.api.observed[workload.uuid].formatted, (attachment.volume_id,))

    def test_an_agent_that_restarts_touches_no_container(self):
        agent = self.start()
        workloads = [a_workload(spec=SPEC) for _ in range(3)]
        for workload in workloads:
            self.follow(agent, workload, "Running")
        before = [self.docker_state(workload)["Pid"] for workload in workloads]
        agent.stop()
        self.api.observed.clear()
        again = self.start(self.a_runtime())
        for workload in workloads:
            self.assert_status(workload, "Running")
        self.assertTrue(again.wait_until_idle(5))
        self.assertEqual([self.docker_state(workload)["Pid"] for workload in workloads], before)

    def test_the_agent_adds_little_to_what_docker_takes(self):
        agent = self.start()
        self.assertTrue(agent.wait_until_registered(10))
        bare, ours = [], []
        for _ in range(6):
            began = time.monotonic()
            container_id = self.run_order(self.an_order())
            bare.append(time.monotonic() - began)
            self.runtime.remove(container_id)
            workload = a_workload(spec=SPEC)
            began = time.monotonic()
            self.follow(agent, workload, "Running")
            ours.append(time.monotonic() - began)
            self.follow(agent, deleted_at_once(workload), "absent")
        added_ms = 1000 * (sorted(ours)[2] - sorted(bare)[2])
        print(f"median: bare {sorted(bare)[2]:.3f} s, by the agent {sorted(ours)[2]:.3f} s", file=sys.stderr)
        self.assertLess(added_ms, 150)


class AgentAndADyingEngine(AgentCase):
    """An engine of its own, for it is killed."""

    def an_engine(self) -> PrivateDockerEngine:
        engine = PrivateDockerEngine()
        self.addCleanup(engine.stop)
        engine.start().import_busybox()
        return engine

    def test_what_dies_with_dockerd_is_told_and_what_docker_restarts_too(self):
        agent = self.start()
        plain, kept = a_workload(spec=SPEC), a_workload(spec=replace(SPEC, restart_policy=RestartPolicy("always")))
        for workload in (plain, kept):
            self.follow(agent, workload, "Running")
        self.engine.terminate()
        self.assertTrue(self.api.wait_for(lambda: self.api.beats[-1] is not None))
        late = a_workload(spec=SPEC)
        self.api.put(late)
        agent.nudge()
        self.engine.start()
        self.assert_status(late, "Running", 40)
        self.assert_status(plain, "Stopped", 40)
        self.assert_status(kept, "Running", 40)
        self.assertTrue(self.api.wait_for(lambda: self.api.beats[-1] is None))
        self.assertEqual(len(self.runtime.containers()), 3)
