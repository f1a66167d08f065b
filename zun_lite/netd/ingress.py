# SPDX-License-Identifier: Apache-2.0
"""Tells the kernel which links' packets the chains of the short way see, and the elements of its maps.

Only newer forms of nft than stable systems have can name a chain's links one at a time, and for an element
with a link's index any of them reads all links. So the messages are put together here; the kernel takes them
since Linux 6.4. Works in the namespace of the thread that calls.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator

from zun_lite.netd import nft
from zun_lite.netd.shortcut import TABLE_NAME, Element, chain

_NFTABLES = 10
_NEW_CHAIN, _DELETE_CHAIN, _NEW_ELEMENTS, _DELETE_ELEMENTS = ((_NFTABLES << 8) | kind for kind in (3, 5, 12, 14))
_BATCH_BEGIN, _BATCH_END = 16, 17
_REQUEST, _ACK, _ERROR = 1, 4, 2
_NFPROTO_NETDEV = 5
_TABLE, _CHAIN, _HOOK = 1, 3, 4
_HOOK_NUMBER, _HOOK_PRIORITY, _HOOK_LINKS = 1, 2, 4
_LINK_NAME = 1
_MAP, _ELEMENTS, _ONE, _KEY, _VALUE, _DATA = 2, 3, 1, 1, 2, 1
_NESTED = 0x8000
_AT_A_TIME = 100
_ANSWER_BYTES = 1 << 16


def enter(links: Iterable[str], elements: Iterable[Element]) -> int:
    """Have links' packets seen, fine where they are already, and add elements; answers the generation of the rules.

    OSError when the kernel refuses.
    """
    with nft.opened() as sock:
        for message in (*_hooks(_NEW_CHAIN, links), *_elements(_NEW_ELEMENTS, elements)):
            _tell(sock, message)
        return nft.ask(sock)


def leave(links: Iterable[str], elements: Iterable[Element]) -> int:
    """The contrary; fine where a link is gone, with which its hook may be."""
    with nft.opened() as sock:
        for message in _elements(_DELETE_ELEMENTS, elements):
            _tell(sock, message)
        for message in _hooks(_DELETE_CHAIN, links):
            _tell(sock, message, harmless=errno.ENOENT)
        return nft.ask(sock)


def _hooks(kind: int, links: Iterable[str]) -> Iterator[bytes]:
    by_chain: dict[str, list[str]] = {}
    for link in links:
        by_chain.setdefault(chain(link), []).append(link)
    for name, members in by_chain.items():
        for some in _by_the_hundred(members):
            named = b"".join(_attribute(_LINK_NAME, _text(link)) for link in some)
            where = (
                _attribute(_HOOK_NUMBER, struct.pack("!I", 0))
                + _attribute(_HOOK_PRIORITY, struct.pack("!i", 0))
                + _attribute(_HOOK_LINKS | _NESTED, named)
            )
            yield _message(kind, _attribute(_CHAIN, _text(name)) + _attribute(_HOOK | _NESTED, where))


def _elements(kind: int, elements: Iterable[Element]) -> Iterator[bytes]:
    by_map: dict[str, list[Element]] = {}
    for element in elements:
        by_map.setdefault(element.map_name, []).append(element)
    for name, members in by_map.items():
        for some in _by_the_hundred(members):
            listed = b"".join(
                _attribute(
                    _ONE | _NESTED,
                    _attribute(_KEY | _NESTED, _attribute(_DATA, element.key))
                    + _attribute(_VALUE | _NESTED, _attribute(_DATA, element.value)),
                )
                for element in some
            )
            yield _message(kind, _attribute(_MAP, _text(name)) + _attribute(_ELEMENTS | _NESTED, listed))


def _by_the_hundred(items: list) -> Iterator[list]:
    for first in range(0, len(items), _AT_A_TIME):
        yield items[first : first + _AT_A_TIME]


def _tell(sock: socket.socket, message: bytes, harmless: int = 0) -> None:
    sock.send(_bound(_BATCH_BEGIN) + message + _bound(_BATCH_END))
    answer, place = sock.recv(_ANSWER_BYTES), 0
    while place + 20 <= len(answer):
        length, kind, _, _, _, problem = struct.unpack_from("=IHHIIi", answer, place)
        if kind == _ERROR and problem and -problem != harmless:
            raise OSError(-problem, f"the kernel refused a change of the short way: {os.strerror(-problem)}")
        place += max((length + 3) & ~3, 4)


def _message(kind: int, about: bytes) -> bytes:
    body = struct.pack("!BBH", _NFPROTO_NETDEV, 0, 0) + _attribute(_TABLE, _text(TABLE_NAME)) + about
    return struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | _ACK, 1, 0) + body


def _bound(kind: int) -> bytes:
    return struct.pack("=IHHII", 20, kind, _REQUEST, 0, 0) + struct.pack("!BBH", 0, 0, _NFTABLES)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _text(word: str) -> bytes:
    return word.encode() + b"\0"
