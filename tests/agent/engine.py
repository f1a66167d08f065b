# SPDX-License-Identifier: Apache-2.0
"""What tests of the agent on a real Docker Engine share: one engine a process, a cluster name a test.

Needs root. The engine goes when the process ends; what a test makes in it is removed by label.
"""

from __future__ import annotations

import atexit
import tempfile
import unittest
import uuid
from pathlib import Path

from tests.docker_engine import BUSYBOX_TAG, PrivateDockerEngine
from tests.unit.agent.fakes import FakeNetd
from zun_lite.agent.runtime.base import Limits, Order
from zun_lite.agent.runtime.docker import DockerRuntime
from zun_lite.domain import names
from zun_lite.domain.spec import ContainerSpec

_shared: list[PrivateDockerEngine] = []


def shared_engine() -> PrivateDockerEngine:
    """This process's engine, with busybox in it."""
    if not _shared:
        engine = PrivateDockerEngine()
        atexit.register(engine.stop)
        engine.start().import_busybox()
        _shared.append(engine)
    return _shared[0]


class FolderNetd(FakeNetd):
    """A netd that binds plain folders, for where the kernel's side is not what is tested."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = Path(folder)

    def attach(self, attachment, path):
        super().attach(attachment, path)
        source = self._folder / attachment.volume_id
        source.mkdir(exist_ok=True)
        return str(source)


class DockerCase(unittest.TestCase):
    """runtime: the product's, on a real engine; what it labels is removed when the test ends."""

    def an_engine(self) -> PrivateDockerEngine:
        return shared_engine()

    def setUp(self) -> None:
        self.engine = self.an_engine()
        self.cluster = f"t{uuid.uuid4().hex[:8]}"
        self.runtime = self.a_runtime()
        folder = tempfile.TemporaryDirectory(prefix="zl-agent-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.addCleanup(self.remove_all)

    def a_runtime(self, **limits) -> DockerRuntime:
        return DockerRuntime(self.engine.socket, self.cluster, "runc", Limits(**limits))

    def remove_all(self) -> None:
        found = self.engine.api.containers(all=True, filters={"label": f"{names.LABEL_CLUSTER}={self.cluster}"})
        for container in found:
            self.engine.api.remove_container(container["Id"], force=True, v=True)

    def an_order(self, *command: str, **changes) -> Order:
        spec = {"image": BUSYBOX_TAG, "command": command or ("sleep", "600"), "cpus": 0.5, "memory_mib": 32, **changes}
        return Order(names.new_id(), 1, 1, ContainerSpec(**spec))

    def run_order(self, order: Order) -> str:
        container_id = self.runtime.create(order)
        self.runtime.start(container_id)
        return container_id

    def output_of(self, order: Order) -> str:
        """What the order's container says in its life, which must be short."""
        self.run_order(order)
        self.engine.api.wait(names.docker_name(order.uuid), timeout=30)
        options = {"stdout": True, "stderr": True, "timestamps": False, "tail": None, "since": 0}
        return self.runtime.logs(order.uuid, max_bytes=100_000, **options).decode()
