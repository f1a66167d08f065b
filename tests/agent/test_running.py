# SPDX-License-Identifier: Apache-2.0
"""Pausing, signalling and limiting what runs, and what a health check says, on a real engine."""

from __future__ import annotations

import time

from tests.agent.engine import DockerCase
from tests.docker_engine import BUSYBOX_TAG
from zun_lite.domain import errors, names

MIB = 1024**2


class Running(DockerCase):
    def test_it_stands_still_and_goes_on_however_often_it_is_told(self):
        order = self.an_order("sh", "-c", "while :; do echo x; sleep 0.01; done")
        container_id = self.run_order(order)
        for _ in range(2):
            self.runtime.pause(container_id)
        self.assertEqual("paused", self.seen(order).state)
        self.assertEqual(self.lines(order), self.lines(order, after_seconds=0.1))
        for _ in range(2):
            self.runtime.unpause(container_id)
        self.assertEqual("running", self.seen(order).state)
        before = self.lines(order)
        self.wait(lambda: self.lines(order) > before)

    def test_what_does_not_run_is_neither_paused_nor_signalled(self):
        order = self.an_order()
        container_id = self.runtime.create(order)
        for verb in (self.runtime.pause, self.runtime.unpause):
            verb(container_id)
        self.runtime.signal(container_id, "SIGKILL")
        self.assertEqual("created", self.seen(order).state)

    def test_a_signal_reaches_the_first_process(self):
        order = self.an_order("sh", "-c", "trap 'echo got hup' HUP; echo ready; while :; do sleep 0.05; done")
        container_id = self.run_order(order)
        self.wait(lambda: "ready" in self.output(order))
        self.runtime.signal(container_id, "SIGHUP")
        self.wait(lambda: "got hup" in self.output(order))
        self.assertEqual("running", self.seen(order).state)
        self.runtime.signal(container_id, "SIGKILL")
        self.wait(lambda: self.seen(order).state == "exited")
        self.assertEqual(137, self.seen(order).exit_code)

    def test_other_limits_hold_for_what_runs_and_what_does_not(self):
        running, created = self.an_order(), self.an_order()
        for container_id in (self.run_order(running), self.runtime.create(created)):
            for _ in range(2):
                self.runtime.limit(container_id, 1.5, 64)
            host = self.engine.api.inspect_container(container_id)["HostConfig"]
            self.assertEqual((1_500_000_000, 1536), (host["NanoCpus"], host["CpuShares"]))
            self.assertEqual((64 * MIB, 64 * MIB), (host["Memory"], host["MemorySwap"]))
            self.runtime.limit(container_id, 0.5, 16)
            host = self.engine.api.inspect_container(container_id)["HostConfig"]
            self.assertEqual((500_000_000, 16 * MIB, 16 * MIB), (host["NanoCpus"], host["Memory"], host["MemorySwap"]))

    def test_less_memory_than_is_used_is_refused_and_it_lives_on(self):
        order = self.an_order("sh", "-c", "head -c 40m /dev/zero > /dev/shm/x; echo full; sleep 600", memory_mib=96)
        container_id = self.run_order(order)
        self.wait(lambda: "full" in self.output(order))
        with self.assertRaises(errors.Failed) as caught:
            self.runtime.limit(container_id, 0.5, 16)
        self.assertIn("16 MiB", caught.exception.message)
        self.assertEqual("running", self.seen(order).state)
        self.assertEqual(96 * MIB, self.engine.api.inspect_container(container_id)["HostConfig"]["Memory"])

    def test_a_health_check_is_seen(self):
        for check, health in (("true", "healthy"), ("false", "unhealthy")):
            image = f"checked-{health}:1"
            self.with_health_check(image, check)
            order = self.an_order(image=image)
            self.run_order(order)
            self.assertEqual("starting", self.seen(order).health)
            self.wait(lambda order=order, health=health: self.seen(order).health == health)
            self.runtime.stop(self.seen(order).container_id, 0)
            self.assertIsNone(self.seen(order).health)

    def with_health_check(self, image: str, check: str) -> None:
        """Busybox with a health check, under another name."""
        made = self.engine.api.create_container(BUSYBOX_TAG, "true")["Id"]
        self.addCleanup(self.engine.api.remove_image, image, force=True)
        options = f"--interval=300ms --retries=2 --timeout=5s CMD {check}"
        self.engine.api.commit(made, *image.split(":"), changes=[f"HEALTHCHECK {options}"])
        self.engine.api.remove_container(made)

    def seen(self, order):
        return self.runtime.inspect(names.docker_name(order.uuid))

    def output(self, order) -> str:
        options = {"stdout": True, "stderr": True, "timestamps": False, "tail": None, "since": 0}
        return self.runtime.logs(order.uuid, max_bytes=1_000_000, **options).decode()

    def lines(self, order, after_seconds: float = 0.0) -> int:
        time.sleep(after_seconds)
        return self.output(order).count("x")

    def wait(self, look) -> None:
        deadline = time.monotonic() + 20
        while not look():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
