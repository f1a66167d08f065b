# SPDX-License-Identifier: Apache-2.0
"""Makes images of containers and sends them to the image service.

The engine itself lets the container stand still while it copies and go on afterwards, so that it does not
stay so when this program dies; and no pass over the workload comes in between. What was copied is kept under
the image's own name: a host that dies while it sends begins with the sending again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from zun_lite.agent import image_book
from zun_lite.agent.image_book import ImageBook
from zun_lite.agent.image_sources import ImageSources
from zun_lite.agent.runtime.base import Runtime
from zun_lite.agent.runtime.image_base import EngineImages
from zun_lite.common import crash
from zun_lite.domain import errors, image_reference, names
from zun_lite.domain.desired import CommitOrder, ImageNews

LOG = logging.getLogger(__name__)

MOST_AT_ONCE = 2
COMMIT_SECONDS = 600.0
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 1.0, 30.0


class Commits:
    """alone: keeps everybody else from a workload for the length of a block. tell: where news go."""

    def __init__(
        self,
        runtime: Runtime,
        engine: EngineImages,
        book: ImageBook,
        sources: ImageSources,
        alone: Callable[[str], AbstractContextManager[None]],
        tell: Callable[[ImageNews], None],
    ) -> None:
        self._runtime = runtime
        self._engine = engine
        self._book = book
        self._sources = sources
        self._alone = alone
        self._tell = tell
        self._slots = threading.Semaphore(MOST_AT_ONCE)
        self._changed = threading.Condition()
        self._orders: dict[str, CommitOrder] = {}
        self._begun: set[str] = set()

    def accept(self, orders: Iterable[CommitOrder]) -> None:
        """The orders of a new set; one that left it is not followed further."""
        after = {order.image_id: order for order in orders}
        with self._changed:
            self._orders = after
            self._begun &= after.keys()
            new = [order for image_id, order in after.items() if image_id not in self._begun]
            self._begun.update(order.image_id for order in new)
            self._changed.notify_all()
        for order in new:
            threading.Thread(target=self._follow, args=(order,), name="commit", daemon=True).start()

    def references(self) -> set[str]:
        """What must stay."""
        with self._changed:
            return {image_reference.embedded(image_id) for image_id in self._orders}

    def _follow(self, order: CommitOrder) -> None:
        wait = FIRST_RETRY_SECONDS
        while self._is_wanted(order):
            try:
                with self._slots:
                    self._make(order)
                LOG.info("image %s: made of workload %s and sent", order.image_id, order.workload_uuid)
                return
            except (errors.Unavailable, errors.Busy) as error:
                LOG.warning("image %s: waits: %s", order.image_id, error.message)
            except errors.ZunError as error:
                self._fail(order, error.message)
                return
            except Exception:
                LOG.exception("image %s: making it broke", order.image_id)
                self._fail(order, "The host failed; its log says why.")
                return
            with self._changed:
                self._changed.wait_for(lambda: order.image_id not in self._orders, wait)
            wait = min(MAX_RETRY_SECONDS, wait * 2)

    def _make(self, order: CommitOrder) -> None:
        reference = image_reference.embedded(order.image_id)
        if self._engine.find(reference) is None:
            with self._alone(order.workload_uuid):
                self._commit(order, reference)
        crash.point("agent.commit.made")
        try:
            # the bytes are given away in blocks; nothing of this size is held
            self._sources.send(order.image_id, self._engine.save(reference, COMMIT_SECONDS))
        except errors.Conflict:
            # an earlier run sent it, and died before it heard so
            LOG.info("image %s: is there already", order.image_id)
        crash.point("agent.commit.sent")

    def _commit(self, order: CommitOrder, reference: str) -> None:
        container = self._runtime.inspect(names.docker_name(order.workload_uuid))
        if container is None:
            raise errors.NotFound("The container is gone from its host.")
        crash.point("agent.commit.before")
        begun = self._book.begin(reference, image_book.of_image(order.image_id))
        try:
            self._engine.commit(container.container_id, reference, COMMIT_SECONDS)
        except BaseException:
            self._book.drop(begun)
            raise
        self._book.end(begun)

    def _fail(self, order: CommitOrder, problem: str) -> None:
        LOG.warning("image %s: cannot be made of workload %s: %s", order.image_id, order.workload_uuid, problem)
        try:
            self._engine.untag(image_reference.embedded(order.image_id))
        except errors.ZunError as error:
            LOG.warning("image %s: what was copied stays: %s", order.image_id, error.message)
        self._tell(ImageNews(order.image_id, problem=problem))

    def _is_wanted(self, order: CommitOrder) -> bool:
        with self._changed:
            return order.image_id in self._orders
