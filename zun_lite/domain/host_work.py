# SPDX-License-Identifier: Apache-2.0
"""What a host is doing about one workload at this moment, as its agent tells the API who asks: never stored.

Steps are those of domain/plan.py and domain/capsule_plan.py, by their names.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from zun_lite.domain.stored import known, read

# of a layer
QUEUED, DOWNLOADING, DOWNLOADED, UNPACKING, DONE = "queued", "downloading", "downloaded", "unpacking", "done"
# no image that an engine takes has more
MOST_LAYERS = 128


@dataclass(frozen=True)
class Layer:
    """One layer of an image that is pulled. done_bytes, total_bytes: of what it is doing; 0 where nobody knows."""

    ident: str
    state: str
    done_bytes: int = 0
    total_bytes: int = 0


@dataclass(frozen=True)
class HostWork:
    """The plan that is under way, or that was cut short. No steps: there is nothing to do.

    at: the number of the step that is under way, waits or failed. error: why it failed. again_seconds: until it
    is tried again, None where it is not. layers: of the image that is waited for.
    """

    steps: tuple[str, ...] = ()
    at: int = 0
    seconds: float = 0.0
    error: str = ""
    again_seconds: float | None = None
    layers: tuple[Layer, ...] = ()

    @property
    def step(self) -> str:
        """The one that is under way; empty where none is."""
        return self.steps[self.at] if 0 <= self.at < len(self.steps) else ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> HostWork:
        found = known(cls, body)
        found["steps"] = tuple(str(step) for step in found.get("steps", ()))
        found["layers"] = tuple(read(Layer, layer) for layer in found.get("layers", ())[:MOST_LAYERS])
        return cls(**found)
