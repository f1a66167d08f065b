# SPDX-License-Identifier: Apache-2.0
"""A whole host: the agent, netd, the runtime wrapper and a Docker Engine; only the API is played."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace

from tests.agent.test_agent import SPEC, AgentCase, at_once, deleted_at_once
from tests.docker_engine import PrivateDockerEngine
from tests.system.netd.host import NetdHost, endpoint
from tests.unit.agent.fakes import a_workload, an_attachment, rebuilt, started
from zun_lite.agent.runtime.base import Limits
from zun_lite.agent.runtime.docker import DockerRuntime
from zun_lite.domain import names
from zun_lite.domain.wiring import Wiring
from zun_lite.netd import runtime

RUNTIME = "zun-lite"


class WholeHost(AgentCase):
    """netd and the engine are one for all tests of the class; each test takes its containers away."""

    netd_host: NetdHost
    shared: PrivateDockerEngine

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.netd_host = NetdHost()
        cls.addClassCleanup(cls.netd_host.clean)
        cls.netd_host.start()
        wrapper, real = str(cls.netd_host.state_dir / "bin/zun-lite-runtime"), shutil.which("runc")
        assert real is not None, "these tests need runc"
        runtime.install(wrapper, real, cls.netd_host.socket, sys.executable)
        cls.shared = PrivateDockerEngine({RUNTIME: wrapper})
        cls.addClassCleanup(cls.shared.stop)
        cls.shared.start().import_busybox()

    def an_engine(self) -> PrivateDockerEngine:
        return self.shared

    def a_runtime(self, **limits) -> DockerRuntime:
        return DockerRuntime(self.engine.socket, self.cluster, RUNTIME, Limits(**limits))

    def setUp(self) -> None:
        super().setUp()
        self.netd = self.netd_host.client
        self.network_id = names.new_id()

    def run_agent(self):
        return self.start(docker_runtime=RUNTIME, pool_dir=str(self.netd_host.pool_dir))

    def on_network(self, ip: str, *attachments, command: str = "exec sleep 600"):
        wiring = Wiring((endpoint(self.network_id, ip),), attachments)
        return a_workload(spec=replace(SPEC, command=("sh", "-c", command)), wiring=wiring)

    def run_in(self, workload, command: str):
        return self.runtime.execute(workload.uuid, ["sh", "-c", command], 15, 10_000)

    def test_two_containers_reach_each_other_at_the_addresses_of_their_ports(self):
        agent = self.run_agent()
        server = self.on_network("10.7.0.11", command="mkdir /w; echo served > /w/index.html; exec httpd -f -h /w")
        client = self.on_network("10.7.0.12")
        for workload in (server, client):
            self.follow(agent, workload, "Running")
        get = "for i in $(seq 50); do wget -qO- http://10.7.0.11/ && exit; sleep 0.1; done"
        self.assertIn(b"served\n", self.run_in(client, get).output)
        for workload in (server, client):
            self.follow(agent, deleted_at_once(workload), "absent")
        self.assert_nothing_left()

    def test_a_volumes_data_outlives_rebuild_and_container(self):
        agent = self.run_agent()
        attachment = an_attachment()
        first = self.on_network("10.7.0.13", attachment)
        self.follow(agent, first, "Running")
        self.assertEqual(self.run_in(first, "echo kept > /data/file && sync").exit_code, 0)
        self.follow(agent, first := at_once(rebuilt(first)), "Running")
        self.assertEqual(self.run_in(first, "cat /data/file").output, b"kept\n")
        self.follow(agent, deleted_at_once(first), "absent")
        self.assertEqual(self.netd.list()["volumes"], [])
        second = self.on_network("10.7.0.13", replace(attachment, epoch=2, formatted=True, read_only=True))
        self.follow(agent, second, "Running")
        said = self.run_in(second, "cat /data/file; echo x > /data/file").output.splitlines()
        self.assertIn(b"kept", said)
        self.assertNotEqual(self.run_in(second, "echo x > /data/file").exit_code, 0)
        self.follow(agent, deleted_at_once(second), "absent")
        self.assert_nothing_left()

    def test_netd_that_was_killed_is_waited_for(self):
        agent = self.run_agent()
        self.netd_host.kill()
        workload = self.on_network("10.7.0.14", an_attachment())
        self.api.put(workload)
        agent.nudge()
        self.assertTrue(
            self.api.wait_for(lambda: "netd" in str(getattr(self.api.observed.get(workload.uuid), "error", "")))
        )
        self.netd_host.start()
        self.assert_status(workload, "Running", 40)
        self.follow(agent, deleted_at_once(workload), "absent")
        self.assert_nothing_left()

    def test_a_reboot_of_the_container_comes_back_wired(self):
        agent = self.run_agent()
        workload = self.on_network("10.7.0.15")
        self.follow(agent, workload, "Running")
        self.follow(agent, workload := at_once(started(workload)), "Running")
        self.assertIn(b"10.7.0.15/24", self.run_in(workload, "ip addr").output)
        self.follow(agent, deleted_at_once(workload), "absent")
        self.assert_nothing_left()

    def assert_nothing_left(self) -> None:
        found = self.netd.list()
        self.assertEqual((found["records"], found["volumes"], self.runtime.containers()), ([], [], []))
        self.assertEqual({"namespaces": [], "links": [], "loops": [], "mounts": []}, found["strays"])
