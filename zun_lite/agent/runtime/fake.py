# SPDX-License-Identifier: Apache-2.0
"""A container engine in memory, for tests and simulations: same answers and refusals, no containers.

What runs ends only by exit(); faults are put in by fail_next() and by making it deaf.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Iterator
from dataclasses import replace

from zun_lite.agent.runtime.base import Container, Engine, Event, Executed, Listed, Order
from zun_lite.common.clock import Clock
from zun_lite.domain import errors, names
from zun_lite.domain.resources import Resources

NEVER = "0001-01-01T00:00:00Z"
SANDBOX_IMAGE = "sandbox:fake"


class FakeRuntime:
    """images: on the host. pullable: what pull() finds. calls: (verb, argument), in order, of what changes things."""

    def __init__(
        self, clock: Clock | None = None, images: tuple[str, ...] = (), capacity: Resources | None = None
    ) -> None:
        self._clock = clock or Clock()
        self._capacity = capacity or Resources(8.0, 16384, 0)
        self._lock = threading.RLock()
        self._containers: dict[str, Container] = {}
        self._orders: dict[str, Order] = {}
        self._made = 0
        self._starts = 0
        self._faults: dict[str, list[errors.ZunError]] = {}
        self._listeners: list[queue.SimpleQueue[Event | None]] = []
        self.images = set(images)
        self.pullable: set[str] = set()
        self.deaf = False
        self.calls: list[tuple[str, str]] = []
        self.inspections = 0
        self.dns: dict[str, tuple[str, ...]] = {}

    # what a test does to it

    def fail_next(self, verb: str, *faults: errors.ZunError) -> None:
        """The next calls of a verb raise these."""
        self._faults.setdefault(verb, []).extend(faults)

    def say_health(self, uuid: str, health: str) -> None:
        """A container's health check says starting, healthy or unhealthy."""
        with self._lock:
            self._put(replace(self._by_name(uuid), health=health), f"health_status: {health}")

    def exit(self, uuid: str, code: int = 0) -> None:
        """A container's process ends by itself."""
        with self._lock:
            found = self._by_name(uuid)
            self._end(found, code)

    def freeze(self, uuid: str) -> None:
        """Someone pauses a container behind the agent's back."""
        self._turn(self._by_name(uuid).container_id, "running", "paused", "pause")

    def lose(self, uuid: str) -> None:
        """Someone removes a container behind the agent's back."""
        with self._lock:
            found = self._by_name(uuid)
            del self._containers[found.container_id]
            self._tell(found.uuid, "destroy")

    def reboot(self) -> None:
        """Every container is down, as after a boot of the machine."""
        with self._lock:
            for found in list(self._containers.values()):
                if found.seen.alive:
                    self._containers[found.container_id] = replace(found, state="exited", exit_code=255)
            self.hang_up()

    def forget_faults(self) -> None:
        """Nothing fails any more."""
        self._faults.clear()

    def containers_there(self) -> list[Container]:
        """Every container, asked of no engine."""
        with self._lock:
            return list(self._containers.values())

    def hang_up(self) -> None:
        """Every event stream breaks."""
        with self._lock:
            for listener in self._listeners:
                listener.put(None)
            self._listeners.clear()

    def order_of(self, uuid: str) -> Order:
        return self._orders[self._by_name(uuid).container_id]

    def verbs(self) -> list[str]:
        return [verb for verb, _ in self.calls]

    # Runtime

    def inventory(self) -> Engine:
        self._ask("inventory")
        return Engine(self._capacity, "fake", ("zun-lite",), "x86_64", "linux", "Fake Linux", "6.1")

    def containers(self) -> list[Listed]:
        self._ask("containers")
        with self._lock:
            return [
                Listed(item.uuid, item.container_id, item.state, item.epoch, item.member)
                for item in self._containers.values()
            ]

    def inspect(self, reference: str) -> Container | None:
        self._ask("inspect")
        with self._lock:
            self.inspections += 1
            for found in self._containers.values():
                if reference in (found.container_id, names.docker_name(found.member or found.uuid)):
                    return found
            return None

    def members(self, uuid: str) -> list[Container]:
        self._ask("members")
        with self._lock:
            return [item for item in self._containers.values() if item.uuid == uuid and item.member]

    def sandbox_image(self) -> str:
        self._ask("sandbox_image")
        self.images.add(SANDBOX_IMAGE)
        return SANDBOX_IMAGE

    def has_image(self, image: str) -> bool:
        self._ask("has_image")
        return image in self.images

    def pull(self, image: str, timeout_seconds: float) -> None:
        self._change("pull", image)
        if image not in self.pullable:
            raise errors.NoSuchImage(f"Image {image!r} was not found, or its registry wants a login.")
        self.images.add(image)

    def images_in_use(self) -> set[str]:
        with self._lock:
            return {self._orders[container_id].spec.image for container_id in self._containers}

    def create(self, order: Order) -> str:
        self._change("create", order.own_uuid)
        with self._lock:
            existing = next((item for item in self._containers.values() if _own(item) == order.own_uuid), None)
            if existing is not None:
                if (existing.epoch, existing.build) == (order.epoch, order.build):
                    return existing.container_id
                if existing.epoch > order.epoch:
                    raise errors.Conflict("A newer container of this workload is on its host.")
                del self._containers[existing.container_id]
            if not order.image and order.spec.image not in self.images:
                raise errors.Failed(f"Image {order.spec.image!r} went away before the container was made.")
            self._made += 1
            container_id = hashlib.sha256(f"{order.own_uuid}/{self._made}".encode()).hexdigest()
            self._orders[container_id] = order
            made = Container(
                uuid=order.uuid,
                container_id=container_id,
                state="created",
                epoch=order.epoch,
                build=order.build,
                started_at=NEVER,
                finished_at=NEVER,
                hostname=order.spec.hostname or container_id[:12],
                command=order.spec.command,
                entrypoint=order.spec.entrypoint,
                member=order.member,
            )
            self._put(made, "create")
            return container_id

    def start(self, container_id: str) -> None:
        self._change("start", container_id)
        with self._lock:
            found = self._containers.get(container_id)
            if found is None:
                raise errors.Failed("The container went away before it was started.")
            joined = self._orders[container_id].joins
            if joined and not (joined in self._containers and self._containers[joined].seen.alive):
                raise errors.Failed("cannot join the network of a container that does not run")
            if not found.seen.alive:
                self._starts += 1
                begun = replace(found, state="running", started_at=self._text(), exit_code=None, health=None)
                self._put(begun, "start")

    def stop(self, container_id: str, grace_seconds: int) -> None:
        self._change("stop", container_id)
        with self._lock:
            found = self._containers.get(container_id)
            if found is not None and found.seen.alive:
                self._end(found, 137)

    def pause(self, container_id: str) -> None:
        self._change("pause", container_id)
        self._turn(container_id, "running", "paused", "pause")

    def unpause(self, container_id: str) -> None:
        self._change("unpause", container_id)
        self._turn(container_id, "paused", "running", "unpause")

    def signal(self, container_id: str, name: str) -> None:
        """Only SIGKILL ends what runs."""
        self._change("signal", name)
        with self._lock:
            found = self._there(container_id)
            if name == "SIGKILL" and found.seen.alive:
                self._end(found, 137)

    def limit(self, container_id: str, cpus: float, memory_mib: int) -> None:
        with self._lock:
            found = self._there(container_id)
            order = self._orders[container_id]
            if (order.spec.cpus, order.spec.memory_mib) == (cpus, memory_mib):
                self._ask("limit")
                return
            self._change("limit", found.uuid)
            self._orders[container_id] = replace(order, spec=replace(order.spec, cpus=cpus, memory_mib=memory_mib))

    def process(self, container_id: str) -> int:
        self._ask("process")
        found = self._containers.get(container_id)
        return 4242 if found is not None and found.state in ("running", "paused") else 0

    def forget(self, uuid: str) -> None:
        self._change("forget", uuid)

    def give_dns(self, uuid: str, servers: tuple[str, ...]) -> None:
        self._ask("give_dns")
        self.dns[uuid] = servers

    def remove(self, container_id: str) -> None:
        self._change("remove", container_id)
        with self._lock:
            found = self._containers.pop(container_id, None)
            if found is not None:
                self._tell(found.uuid, "destroy")

    def execute(self, uuid: str, command: list[str], timeout_seconds: float, max_bytes: int) -> Executed:
        self._ask("execute")
        if self._by_name(uuid).state != "running":
            raise errors.Conflict("The container does not run.")
        return Executed(" ".join(command).encode()[:max_bytes], 0)

    def logs(
        self, uuid: str, *, stdout: bool, stderr: bool, timestamps: bool, tail: int | None, since: int, max_bytes: int
    ) -> bytes:
        self._ask("logs")
        self._by_name(uuid)
        return b"a line\n"

    def events(self, since_seconds: float | None) -> Iterator[Event]:
        self._ask("events")
        listener: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        with self._lock:
            self._listeners.append(listener)
        while (event := listener.get()) is not None:
            yield event

    def _ask(self, verb: str) -> None:
        if self.deaf:
            raise errors.Unavailable("The host's Docker Engine does not answer.")
        waiting = self._faults.get(verb)
        if waiting:
            raise waiting.pop(0)

    def _change(self, verb: str, argument: str) -> None:
        self.calls.append((verb, argument))
        self._ask(verb)

    def _there(self, container_id: str) -> Container:
        found = self._containers.get(container_id)
        if found is None:
            raise errors.Failed("The container went away.")
        return found

    def _turn(self, container_id: str, before: str, after: str, event: str) -> None:
        with self._lock:
            found = self._there(container_id)
            if found.state == before:
                self._put(replace(found, state=after), event)

    def _end(self, found: Container, code: int) -> None:
        self._put(replace(found, state="exited", exit_code=code, finished_at=self._text(), health=None), "die")

    def _by_name(self, uuid: str) -> Container:
        for found in self._containers.values():
            if _own(found) == uuid:
                return found
        raise errors.NotFound("The container is not on its host.")

    def _put(self, container: Container, event: str) -> None:
        self._containers[container.container_id] = container
        self._tell(container.uuid, event)

    def _tell(self, uuid: str, name: str) -> None:
        for listener in self._listeners:
            listener.put(Event(uuid, name, self._clock.now()))

    def _text(self) -> str:
        return f"2026-01-01T00:00:00.{self._starts:09d}Z"


def _own(container: Container) -> str:
    return container.member or container.uuid
