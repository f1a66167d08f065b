# SPDX-License-Identifier: Apache-2.0
"""Short-lived signed permissions between our own programs: EdDSA over a JSON web token.

A node token says "I am host H" to the API; a grant says "the API lets you do this verb on this
workload" to an agent. Both live a minute, name their audience, and carry an id of their own.
"""

from __future__ import annotations

import base64
import os
import uuid
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from zun_lite.common.clock import Clock
from zun_lite.domain import errors

LIFETIME_SECONDS = 60
LEEWAY_SECONDS = 30
API_AUDIENCE = "zun-lite-api"


def host_audience(host_uuid: str) -> str:
    return f"zun-lite-host:{host_uuid}"


def make_key(path: str) -> Ed25519PrivateKey:
    """The private key at path, made there (mode 0600) if there is none."""
    try:
        return load_key(path)
    except FileNotFoundError:
        pass
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    staged = f"{path}.{uuid.uuid4().hex}"
    with os.fdopen(os.open(staged, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as stream:
        stream.write(pem)
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(staged, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(staged)
    # the name must last as well: others may come to know the public half, and go by it
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return load_key(path)


def load_key(path: str) -> Ed25519PrivateKey:
    with open(path, "rb") as stream:
        key = serialization.load_pem_private_key(stream.read(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} holds no Ed25519 key")
    return key


def public_text(key: Ed25519PrivateKey) -> str:
    """The public half, as base64 of its 32 bytes."""
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.b64encode(raw).decode()


def public_key(text: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (ValueError, TypeError) as error:
        raise errors.Invalid("A public key is the base64 text of the 32 bytes of an Ed25519 key.") from error


def sign(key: Ed25519PrivateKey, audience: str, claims: dict[str, Any], clock: Clock) -> str:
    """A token for one audience with these claims, good for LIFETIME_SECONDS."""
    now = int(clock.now())
    body = {**claims, "aud": audience, "iat": now, "exp": now + LIFETIME_SECONDS, "jti": uuid.uuid4().hex}
    return jwt.encode(body, key, algorithm="EdDSA")


def read(key: Ed25519PublicKey, audience: str, token: str, clock: Clock) -> dict[str, Any]:
    """The claims of a token made for this audience. Unauthorized: forged, for another, or too old."""
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=["EdDSA"],
            audience=audience,
            options={"require": ["exp", "iat", "aud"], "verify_exp": False, "verify_iat": False},
        )
    except jwt.PyJWTError as error:
        raise errors.Unauthorized(f"The signed token is not acceptable: {error}.") from error
    if not all(isinstance(claims[name], int | float) for name in ("iat", "exp")):
        raise errors.Unauthorized("The signed token is not acceptable: its times are no numbers.")
    now = clock.now()
    if not claims["iat"] - LEEWAY_SECONDS <= now <= claims["exp"] + LEEWAY_SECONDS:
        raise errors.Unauthorized("The signed token has expired, or this machine's clock is wrong.")
    return claims


def peek(token: str) -> dict[str, Any]:
    """The claims of a token without any check, to learn whose key must verify it."""
    try:
        return jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise errors.Unauthorized("The signed token cannot be read.") from error
