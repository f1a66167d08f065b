# SPDX-License-Identifier: Apache-2.0
"""The key by which this host is known to the API, and its exchange for a new one.

A new key lies on disk before the API hears of it, and the old one stays until the API has said which of the two it
goes by; whoever dies or gets no answer in between offers the same new key again. So there is no moment at
which the host has not got the key that the API goes by.
"""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Callable
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from zun_lite.common import crash, grants
from zun_lite.domain import errors

LOG = logging.getLogger(__name__)
RETRY_SECONDS = 10.0

# (the key that signs, the new key): have the API go by the new one. Unauthorized: it does not go by the one that signs.
Offer = Callable[[Ed25519PrivateKey, Ed25519PrivateKey], None]


class KeyApi(Protocol):
    """What is asked of the API. new_key_wanted is set while it waits for a new key."""

    new_key_wanted: threading.Event

    def offer_key(self, signing: Ed25519PrivateKey, new: Ed25519PrivateKey) -> None: ...


class HostKey:
    """The key in a file, made there if there is none; another program of this host may read it too."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._next = f"{path}.next"
        self._read: tuple[tuple[int, int], Ed25519PrivateKey] | None = None

    def current(self) -> Ed25519PrivateKey:
        """The key as the file is now."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return grants.make_key(self._path)
        version = (found.st_ino, found.st_mtime_ns)
        read = self._read
        if read is None or read[0] != version:
            read = self._read = (version, grants.load_key(self._path))
        return read[1]

    @property
    def is_offered(self) -> bool:
        """Whether there is a new key of which it is not known yet whether the API goes by it."""
        return os.path.exists(self._next)

    def new(self) -> Ed25519PrivateKey:
        """The key to offer, which lasts: the one that was offered already if there is one."""
        return grants.make_key(self._next)

    def exchange(self, offer: Offer) -> None:
        """Have the API go by a new key. Whatever offer raises leaves everything as it was; call it again."""
        was_offered = self.is_offered
        new = self.new()
        crash.point("agent.key.made")
        if not (was_offered and _is_known(offer, new)):
            offer(self.current(), new)
        crash.point("agent.key.accepted")
        self.take_up()

    def take_up(self) -> None:
        """The API goes by the new key: so does this host."""
        os.replace(self._next, self._path)
        crash.point("agent.key.taken_up")
        LOG.info("this host has a new key")


def _is_known(offer: Offer, new: Ed25519PrivateKey) -> bool:
    """Whether the API goes by a key that was offered before."""
    try:
        offer(new, new)
    except errors.Unauthorized:
        return False
    return True


def keep(key: HostKey, api: KeyApi, stopping: threading.Event, retry_seconds: float = RETRY_SECONDS) -> None:
    """Exchange the key whenever the API wants another, and end what an earlier start began. For a thread of its own."""
    told = ""
    while not stopping.is_set():
        if not key.is_offered:
            api.new_key_wanted.wait()
        try:
            key.exchange(api.offer_key)
            api.new_key_wanted.clear()
            continue
        except (errors.ZunError, OSError) as error:
            if str(error) != told:
                told = str(error)
                LOG.warning("the key of this host is not exchanged yet: %s", told)
        stopping.wait(random.uniform(retry_seconds / 2, retry_seconds))
