# SPDX-License-Identifier: Apache-2.0
"""What is inside a token: who, for what, by which means, from when until when. Packed small.

A token says nothing of roles or names: those are looked up at each validation, so that a right
that was taken away is gone. It names all the tokens that it came from, so that it ends with any of
them. Ids of 32 hexadecimal digits are packed into 16 bytes, others are
written out.
"""

from __future__ import annotations

import base64
import re
import struct
from dataclasses import dataclass

from cryptography.fernet import InvalidToken, MultiFernet

from zun_lite.domain import errors

METHODS = ("token", "password", "application_credential")
UNSCOPED, PROJECT, DOMAIN, SYSTEM = range(4)
_FORMAT = 1
_HEAD = struct.Struct(">BBBIQQ")
_HEX_ID = re.compile(r"[0-9a-f]{32}")
AUDIT_BYTES = 12
# A token, and those that it came from; more would not fit into a header line of 250 characters.
LONGEST_CHAIN = 5


@dataclass(frozen=True)
class Payload:
    """scope: one of the four above. issued_us, expires_us: microseconds since 1970.

    generation: the user's, when the token was issued. audit_ids: its own, then those of the tokens that it
    came from, the nearest first. credential_id: the application credential behind it, or empty.
    """

    user_id: str
    generation: int
    methods: tuple[str, ...]
    scope: int
    scope_id: str
    issued_us: int
    expires_us: int
    audit_ids: tuple[str, ...]
    credential_id: str = ""


def seal(fernet: MultiFernet, payload: Payload) -> str:
    """The token: what clients carry in a header, some 200 characters."""
    methods = sum(1 << METHODS.index(method) for method in payload.methods)
    head = _HEAD.pack(_FORMAT, methods, payload.scope, payload.generation, payload.issued_us, payload.expires_us)
    audits = b"".join(base64.urlsafe_b64decode(audit_id) for audit_id in payload.audit_ids)
    ids = b"".join(_pack_id(text) for text in (payload.user_id, payload.scope_id, payload.credential_id))
    body = head + ids + audits
    return fernet.encrypt(body).decode().rstrip("=")


def open_sealed(fernet: MultiFernet, token_id: str) -> Payload:
    """What a token holds, expired or not. Unauthorized: it is none of ours."""
    try:
        body = fernet.decrypt(token_id.encode("ascii") + b"=" * (-len(token_id) % 4))
        form, methods, scope, generation, issued_us, expires_us = _HEAD.unpack_from(body)
        if form != _FORMAT:
            raise ValueError(form)
        user_id, offset = _unpack_id(body, _HEAD.size)
        scope_id, offset = _unpack_id(body, offset)
        credential_id, offset = _unpack_id(body, offset)
        audits = [body[start : start + AUDIT_BYTES] for start in range(offset, len(body), AUDIT_BYTES)]
    except (InvalidToken, ValueError, struct.error, IndexError) as error:
        raise errors.Unauthorized("The token is not valid.") from error
    return Payload(
        user_id=user_id,
        generation=generation,
        methods=tuple(name for bit, name in enumerate(METHODS) if methods & 1 << bit),
        scope=scope,
        scope_id=scope_id,
        issued_us=issued_us,
        expires_us=expires_us,
        audit_ids=tuple(audit_text(audit) for audit in audits),
        credential_id=credential_id,
    )


def audit_text(audit: bytes) -> str:
    return base64.urlsafe_b64encode(audit).decode()


def _pack_id(text: str) -> bytes:
    if _HEX_ID.fullmatch(text):
        return b"\xff" + bytes.fromhex(text)
    written = text.encode()
    return bytes((len(written),)) + written


def _unpack_id(body: bytes, offset: int) -> tuple[str, int]:
    length = body[offset]
    start = offset + 1
    if length == 0xFF:
        return body[start : start + 16].hex(), start + 16
    return body[start : start + length].decode(), start + length
