# SPDX-License-Identifier: Apache-2.0
"""What a host says it is doing about a workload: the step, since when, what failed, and the layers that came."""

from __future__ import annotations

import threading
import unittest

from tests.unit.agent.fakes import Host, a_workload, deleted
from zun_lite.agent.runtime import words
from zun_lite.domain import errors
from zun_lite.domain.host_work import DONE, DOWNLOADED, DOWNLOADING, MOST_LAYERS, QUEUED, UNPACKING, HostWork, Layer
from zun_lite.domain.spec import ContainerSpec


class ProgressTest(unittest.TestCase):
    def setUp(self) -> None:
        self.host = Host(self)

    def told(self, workload) -> HostWork:
        return self.host.progress.tell(workload.uuid)

    def test_nothing_is_told_of_what_is_done_and_of_what_is_not_here(self):
        workload = a_workload()
        self.assertEqual(HostWork(), self.told(workload))
        self.host.put(workload)
        self.host.look(workload.uuid)
        self.assertEqual(HostWork(), self.told(workload))

    def test_an_image_that_is_waited_for_is_told_with_its_layers_and_since_when(self):
        gate, pull = threading.Event(), self.host.runtime.pull
        begun = threading.Event()

        def slowly(image, seconds):
            begun.set()
            gate.wait(5)
            pull(image, seconds)

        self.host.runtime.pull = slowly
        self.host.runtime.pullable.add("other:1")
        layers = (Layer("a", DONE), Layer("b", DOWNLOADING, 5, 10))
        self.host.engine_images.layers = [Layer("b", QUEUED), Layer("a", DONE), layers[1]]
        workload = a_workload(spec=ContainerSpec("other:1"))
        self.host.put(workload)
        self.host.look(workload.uuid)
        self.assertTrue(begun.wait(5))
        self.host.look(workload.uuid)
        self.host.clock.advance(3)
        told = self.told(workload)
        self.assertEqual(("image", 13.0, set(layers)), (told.step, told.seconds, set(told.layers)))
        self.assertEqual(told, HostWork.from_json(told.to_json()))
        gate.set()
        self.host.images.wait(5.0)
        self.assertEqual((), self.told(workload).layers)
        self.host.look(workload.uuid)
        self.assertEqual(HostWork(), self.told(workload))

    def test_a_step_that_failed_is_told_with_its_reason_and_when_it_is_tried_again(self):
        self.host.runtime.fail_next("create", errors.Failed("no space"), errors.Invalid("never"))
        workload = a_workload()
        self.host.put(workload)
        self.host.look(workload.uuid)
        self.host.clock.advance(0.25)
        told = self.told(workload)
        self.assertEqual(("create", "no space", 0.75), (told.step, told.error, told.again_seconds))
        self.assertEqual("create", self.host.observed(workload.uuid).failed_step)
        self.host.look(workload.uuid)
        told = self.told(workload)
        self.assertEqual(("create", "never", None), (told.step, told.error, told.again_seconds))
        self.host.restart()
        self.host.look(workload.uuid)
        self.assertEqual(("create", True), (self.host.observed(workload.uuid).failed_step,
                                            self.host.observed(workload.uuid).final))  # fmt: skip

    def test_a_deaf_engine_is_told_and_what_is_deleted_is_forgotten(self):
        workload = a_workload()
        self.host.put(workload)
        self.host.runtime.deaf = True
        self.host.look(workload.uuid)
        self.assertIn("does not answer", self.told(workload).error)
        self.host.runtime.deaf = False
        self.host.put(deleted(workload))
        self.host.look(workload.uuid)
        self.host.drop(workload.uuid)
        self.host.look(workload.uuid)
        self.assertEqual(HostWork(), self.told(workload))

    def test_no_image_makes_a_host_remember_more_layers_than_one_can_have(self):
        self.host.runtime.fail_next("pull", errors.Failed("later"))
        seen: list[int] = []
        pull = self.host.runtime.pull
        workload = a_workload(spec=ContainerSpec("other:1"))
        self.host.runtime.pull = lambda *given: (seen.append(len(self.told(workload).layers)), pull(*given))
        self.host.engine_images.layers = [Layer(str(number), QUEUED) for number in range(MOST_LAYERS + 50)]
        self.host.put(workload)
        self.host.look(workload.uuid)
        self.host.images.wait(5.0)
        self.assertEqual([MOST_LAYERS], seen)


class LayersTest(unittest.TestCase):
    def test_docker_s_lines_of_a_pull_are_read_as_layers_and_its_others_are_not(self):
        for line, wanted in (
            ({"status": "Pulling from library/app", "id": "1.0"}, None),
            ({"status": "Digest: sha256:00"}, None),
            ({"status": "Pulling fs layer", "id": "3f2a"}, Layer("3f2a", QUEUED)),
            (
                {"status": "Downloading", "id": "3f2a", "progressDetail": {"current": 5, "total": 9}},
                Layer("3f2a", DOWNLOADING, 5, 9),
            ),
            ({"status": "Verifying Checksum", "id": "3f2a", "progressDetail": {}}, Layer("3f2a", DOWNLOADED)),
            (
                {"status": "Extracting", "id": "3f2a", "progressDetail": {"current": 7, "total": 9}},
                Layer("3f2a", UNPACKING, 7, 9),
            ),
            ({"status": "Pull complete", "id": "3f2a"}, Layer("3f2a", DONE)),
            ({"status": "Already exists", "id": "3f2a"}, Layer("3f2a", DONE)),
        ):
            self.assertEqual(wanted, words.layer(line))

    def test_memory_is_the_reason_only_where_the_kernel_killed_what_ended(self):
        state = {"Status": "exited", "StartedAt": "2026-01-01T00:00:00Z", "ExitCode": 137, "OOMKilled": True}
        for more, wanted in (
            ({}, True),
            ({"OOMKilled": False}, False),
            ({"ExitCode": 1}, False),
            ({"Status": "running"}, False),
        ):
            found = words.container({"Id": "c", "Config": {}, "State": {**state, **more}})
            self.assertEqual(wanted, found.out_of_memory)
