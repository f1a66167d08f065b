# SPDX-License-Identifier: Apache-2.0
"""Gets images onto the host beside all other work, each at most once at a time.

Whoever needs an image asks; when it has to be pulled first he is told to wait, and woken when the
pull has ended, well or ill. So a slow registry holds up nobody but those who want its images.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from zun_lite.agent.runtime.base import Runtime
from zun_lite.domain import errors

LOG = logging.getLogger(__name__)

MAX_PULLS = 3


@dataclass
class _Pull:
    waiting: set[str] = field(default_factory=set)


class Images:
    """The images of one engine. wake is called with each uuid that waited for a pull that ended."""

    def __init__(self, runtime: Runtime, timeout_seconds: float, wake: Callable[[str], None]) -> None:
        self._runtime = runtime
        self._timeout_seconds = timeout_seconds
        self._wake = wake
        self._lock = threading.Condition()
        self._slots = threading.Semaphore(MAX_PULLS)
        self._pulls: dict[str, _Pull] = {}
        self._ended: dict[tuple[str, str], errors.ZunError | None] = {}

    def ready(self, uuid: str, image: str, policy: str) -> bool:
        """Whether a workload can be made of the image now; False: it will be woken.

        Raises what a pull for this workload ended with, once; asking again pulls again.
        """
        with self._lock:
            if (uuid, image) in self._ended:
                error = self._ended.pop((uuid, image))
                if error is not None:
                    raise error
                return True
        if policy != "always" and self._runtime.has_image(image):
            return True
        if policy == "never":
            raise errors.NoSuchImage(f"Image {image!r} is not on the host, and its policy is never to pull.")
        self._pull_for(uuid, image)
        return False

    def forget(self, uuid: str) -> None:
        """The workload does not want its image any more."""
        with self._lock:
            for key in [key for key in self._ended if key[0] == uuid]:
                del self._ended[key]
            for pull in self._pulls.values():
                pull.waiting.discard(uuid)

    def wait(self, timeout_seconds: float) -> bool:
        """Whether every pull under way ended, and those who waited were woken, within that time."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._pulls, timeout_seconds)

    def _pull_for(self, uuid: str, image: str) -> None:
        with self._lock:
            known = image in self._pulls
            self._pulls.setdefault(image, _Pull()).waiting.add(uuid)
        if not known:
            threading.Thread(target=self._pull, args=(image,), name="pull", daemon=True).start()

    def _pull(self, image: str) -> None:
        error: errors.ZunError | None = None
        try:
            with self._slots:
                self._runtime.pull(image, self._timeout_seconds)
        except errors.ZunError as caught:
            error = caught
        except Exception:
            LOG.exception("the pull of image %r broke", image)
            error = errors.Failed(f"Image {image!r} could not be pulled.")
        with self._lock:
            waiting = self._pulls.pop(image).waiting
            self._ended.update({(uuid, image): error for uuid in waiting})
            for uuid in waiting:
                self._wake(uuid)
            self._lock.notify_all()
