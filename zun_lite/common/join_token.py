# SPDX-License-Identifier: Apache-2.0
"""What an operator carries from the cloud to a new host: a secret, and by what the host knows the cloud."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from zun_lite.domain import errors

_MARK = "."
_HEX_DIGITS = 64


@dataclass(frozen=True)
class JoinToken:
    """secret: good once. ca_fingerprint: of the CAs of the API's certificate; None where hosts know them anyway."""

    secret: str
    ca_fingerprint: str | None = None

    def text(self) -> str:
        return f"{self.secret}{_MARK}{self.ca_fingerprint}" if self.ca_fingerprint else self.secret


def parse(text: str) -> JoinToken:
    """Invalid: a piece of it lacks."""
    secret, mark, fingerprint = text.partition(_MARK)
    if mark and (len(fingerprint) != _HEX_DIGITS or not set(fingerprint) <= set("0123456789abcdef")):
        raise errors.Invalid("The join token is not whole: behind its dot are 64 digits; copy all of it.")
    return JoinToken(secret, fingerprint or None)


def fingerprint(cas: bytes) -> str:
    """The SHA-256, in hex, of these certificates (PEM), whatever stands around them. Invalid: there are none."""
    try:
        found = x509.load_pem_x509_certificates(cas)
    except ValueError as error:
        raise errors.Invalid(f"These are no certificates in PEM: {error}.") from error
    return hashlib.sha256(b"".join(one.public_bytes(Encoding.DER) for one in found)).hexdigest()
