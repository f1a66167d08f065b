# SPDX-License-Identifier: Apache-2.0
"""What was last seen of each container, and whether news makes another look worth while.

Only a memory: nothing here asks the engine, and nothing is decided by a look that is old.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

from zun_lite.agent.runtime.base import Container, Event, Listed
from zun_lite.common.clock import Clock

GOOD_FOR_SECONDS = 5.0


@dataclass(frozen=True)
class Look:
    """began_at: the machine's clock, as events are told by. unused: no pass has gone by it yet.

    members: of a capsule, (container id, state) of its containers by their uuid.
    """

    container: Container | None
    began_at: float
    monotonic: float
    unused: bool
    members: dict[str, tuple[str, str]] = field(default_factory=dict)


class Looks:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[str, Look] = {}

    def began(self) -> float:
        """To be taken before the engine is asked."""
        return self._clock.now()

    def keep(self, uuid: str, container: Container | None, began_at: float, *, unused: bool = False) -> None:
        with self._lock:
            self._last[uuid] = Look(container, began_at, self._clock.monotonic(), unused)

    def keep_members(self, uuid: str, members: dict[str, Container]) -> None:
        """Beside the last look at a capsule's sandbox, which was made just before."""
        states = {member: (container.container_id, container.state) for member, container in members.items()}
        with self._lock:
            if uuid in self._last:
                self._last[uuid] = replace(self._last[uuid], members=states)

    def take(self, uuid: str) -> Look | None:
        """A look that was made for the next pass and is still good; it serves once."""
        with self._lock:
            look = self._last.get(uuid)
            if look is None or not look.unused:
                return None
            self._last[uuid] = replace(look, unused=False)
        return look if self._clock.monotonic() - look.monotonic <= GOOD_FOR_SECONDS else None

    def last(self, uuid: str) -> Container | None:
        look = self._last.get(uuid)
        return look.container if look else None

    def forget(self, uuid: str) -> None:
        with self._lock:
            self._last.pop(uuid, None)

    def present(self) -> set[str]:
        """The workloads that had a container when last looked at."""
        with self._lock:
            return {uuid for uuid, look in self._last.items() if look.container is not None}

    def concerned_by(self, event: Event) -> bool:
        """Whether an event tells something that the last look cannot have seen."""
        with self._lock:
            look = self._last.get(event.uuid)
            if look is None:
                return True
            if event.at_seconds <= look.began_at:
                return False
            self._last[event.uuid] = replace(look, unused=False)
            return True

    def differing_from(self, listed: list[Listed]) -> set[str]:
        """The workloads of which a list of the engine says something else."""
        found = {(item.uuid, item.member): (item.container_id, item.state) for item in listed}
        known: dict[tuple[str, str], tuple[str, str]] = {}
        with self._lock:
            for uuid, look in self._last.items():
                if look.container is not None:
                    known[uuid, ""] = look.container.container_id, look.container.state
                known.update({(uuid, member): state for member, state in look.members.items()})
        return {key[0] for key in found.keys() | known.keys() if found.get(key) != known.get(key)}
