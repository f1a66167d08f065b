# SPDX-License-Identifier: Apache-2.0
"""Whether an image was signed by one of the operator's keys, in cosign's form.

cosign lays signatures beside the image in its registry: the tag sha256-HEX.sig of the repository is a
manifest whose layers are texts that name the image's digest, each with the signature of its bytes as an
annotation. What is believed of them is the digest. Neither certificates nor transparency logs are looked
at: the keys are the operator's own.
"""

from __future__ import annotations

import base64
import binascii
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from zun_lite.agent.registry_reader import WHOLE_SECONDS, RegistryReader
from zun_lite.domain import errors, image_policy, image_reference
from zun_lite.domain.desired import Login

LOG = logging.getLogger(__name__)

SIGNATURE = "dev.cosignproject.cosign/signature"
PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
MOST_SIGNATURES = 50
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


@dataclass(frozen=True)
class Signatures:
    """What must be signed, and by whom. patterns: of REGISTRY/REPOSITORY, as in domain/image_policy.py."""

    reader: RegistryReader
    keys: tuple[PublicKey, ...] = ()
    patterns: tuple[str, ...] = ("*",)

    def wanted(self, reference: str) -> bool:
        """Whether an image of this whole name may be used only if it is signed."""
        if not self.keys:
            return False
        found = image_reference.parse(reference)
        return found.registry != image_reference.RESERVED_REGISTRY and image_policy.matches(found, self.patterns)

    def digest_of(self, reference: str, login: Login | None) -> str:
        """The digest that the name stands for now, which is signed. NoSuchImage: it is not. Unavailable, Failed."""
        image = image_reference.parse(reference)
        # of all that is asked, for a thread that pulls is kept for it
        until = time.monotonic() + WHOLE_SECONDS
        digest = image.digest or self.reader.manifest(image, image.tag or "latest", login, until)[0]
        try:
            manifest = self.reader.manifest(image, f"{digest.replace(':', '-')}.sig", login, until)[1]
        except errors.NoSuchImage as error:
            raise _unsigned(reference) from error
        for payload, signature in self._signed(image, manifest, login, until):
            if _names(payload, digest) and any(_is_by(key, payload, signature) for key in self.keys):
                LOG.info("image %r is %s, which is signed", reference, digest)
                return digest
        raise _unsigned(reference)

    def _signed(
        self, image: image_reference.Reference, manifest: dict[str, Any], login: Login | None, until: float
    ) -> Iterator[tuple[bytes, bytes]]:
        """Each payload with its signature, as the registry has them."""
        layers = manifest.get("layers")
        for layer in layers[:MOST_SIGNATURES] if isinstance(layers, list) else ():
            annotations = layer.get("annotations") if isinstance(layer, dict) else None
            text = annotations.get(SIGNATURE) if isinstance(annotations, dict) else None
            if isinstance(text, str) and layer.get("mediaType") == PAYLOAD_TYPE:
                try:
                    signature = base64.b64decode(text, validate=True)
                except binascii.Error:
                    continue
                yield self.reader.blob(image, str(layer.get("digest")), login, until), signature


def read_keys(paths: Iterable[str]) -> tuple[PublicKey, ...]:
    """cosign.pub files, PEM. Invalid: one is none."""
    keys: list[PublicKey] = []
    for path in paths:
        try:
            with open(path, "rb") as file:
                key = serialization.load_pem_public_key(file.read())
        except (OSError, ValueError) as error:
            raise errors.Invalid(f"{path} in [image_policy] public_keys is no public key: {error}.") from error
        if not isinstance(key, PublicKey):
            raise errors.Invalid(f"{path} in [image_policy] public_keys must be an ECDSA, Ed25519 or RSA key.")
        keys.append(key)
    return tuple(keys)


def _names(payload: bytes, digest: str) -> bool:
    """Whether a payload speaks of this image."""
    try:
        critical = orjson.loads(payload)["critical"]
        return (
            critical["type"] == "cosign container image signature"
            and critical["image"]["docker-manifest-digest"] == digest
        )
    except (ValueError, KeyError, TypeError):
        return False


def _is_by(key: PublicKey, payload: bytes, signature: bytes) -> bool:
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, payload, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, payload)
        else:
            key.verify(signature, payload, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _unsigned(reference: str) -> errors.NoSuchImage:
    return errors.NoSuchImage(
        f"Image {reference!r} is not signed by a key that this cloud trusts; it takes signed images only."
    )
