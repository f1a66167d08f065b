# SPDX-License-Identifier: Apache-2.0
"""Images that an administrator wants on this host: brought when they are new in the set, let go when they leave it.

One thread does it, one image after the other; the bringing itself is done by Images.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable

from zun_lite.agent.images import Images
from zun_lite.agent.runtime.image_base import EngineImages
from zun_lite.domain import errors
from zun_lite.domain.desired import ImageNews, KeptImage
from zun_lite.domain.spec import ContainerSpec

LOG = logging.getLogger(__name__)


class KeptImages:
    """tell: where news go. let_go: takes an image away unless somebody uses it."""

    def __init__(
        self,
        images: Callable[[], Images],
        engine: EngineImages,
        tell: Callable[[ImageNews], None],
        let_go: Callable[[str], None],
    ) -> None:
        self._images = images
        self._engine = engine
        self._tell = tell
        self._let_go = let_go
        self._lock = threading.Lock()
        self._orders: dict[str, KeptImage] = {}
        self._due: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._working = False

    def accept(self, orders: Iterable[KeptImage]) -> None:
        """The images of a new set."""
        after = {order.uuid: order for order in orders}
        with self._lock:
            before, self._orders = self._orders, after
            for uuid, order in after.items():
                if before.get(uuid) != order:
                    self._due.put(uuid)
            if not self._due.empty() and not self._working:
                self._working = True
                threading.Thread(target=self._serve, name="kept-images", daemon=True).start()

    def woken(self, uuid: str) -> bool:
        """Something that was waited for has ended; whether it was waited for here."""
        with self._lock:
            known = uuid in self._orders
        if known:
            self._due.put(uuid)
        return known

    def references(self) -> set[str]:
        """What must stay."""
        with self._lock:
            return {order.reference for order in self._orders.values() if order.wanted}

    def _serve(self) -> None:
        while True:
            uuid = self._due.get()
            with self._lock:
                order = self._orders.get(uuid)
            try:
                news = self._work(order) if order is not None else None
            except errors.ZunError as error:
                news = ImageNews(uuid, problem=error.message)
            except Exception:
                LOG.exception("the image of order %s broke", uuid)
                news = ImageNews(uuid, problem="The host failed; its log says why.")
            if news is not None:
                self._tell(news)

    def _work(self, order: KeptImage) -> ImageNews | None:
        if not order.wanted:
            self._let_go(order.reference)
            return ImageNews(order.uuid, gone=True)
        image_id = self._images().ready(order.uuid, "", ContainerSpec(order.reference))
        if image_id is None:
            return None
        size = next((image.size_bytes for image in self._engine.every() if image.image_id == image_id), None)
        LOG.info("image %s is here, as an administrator wants", order.reference)
        return ImageNews(order.uuid, image_id, size)
