# SPDX-License-Identifier: Apache-2.0
"""One pass over one workload: what is asked, what was done, what is there, as the steps change it."""

from __future__ import annotations

from dataclasses import dataclass, field

from zun_lite.agent.runtime.base import Bind, Container
from zun_lite.domain.desired import Desired
from zun_lite.domain.plan import Done


class Waiting(Exception):
    """The plan goes on when something that is under way has ended; the workload will be woken."""


@dataclass
class Turn:
    """container: the workload's own, for a capsule its sandbox. members: a capsule's others, by their uuid.

    images: the engine's ids of images that may be used, by their names in specs.
    touched: containers are not what the engine shows any more. made: container was made by this turn.
    """

    desired: Desired
    done: Done
    container: Container | None
    binds: tuple[Bind, ...] = ()
    removed_id: str = ""
    touched: bool = False
    made: bool = False
    lost: bool = False
    members: dict[str, Container] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)

    @property
    def uuid(self) -> str:
        return self.desired.uuid
