# SPDX-License-Identifier: Apache-2.0
"""Certificates of a test's own: a CA, and what it signs, right or wrong."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """Paths of a certificate and its key."""

    certificate: str
    key: str


class Authority:
    """A CA in a folder; file is its certificate."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = self._build(self._name, self._key.public_key(), [], DAY, ca=True).sign(
            self._key, hashes.SHA256()
        )
        self.file = str(folder / f"{name}.pem")
        Path(self.file).write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def pair(self, file: str, *names: str, lasts: datetime.timedelta = DAY, self_signed: bool = False) -> Pair:
        """For a server of these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        builder = self._build(subject, key.public_key(), names, lasts, own=self_signed)
        made = builder.sign(key if self_signed else self._key, hashes.SHA256())
        pair = Pair(str(self._folder / f"{file}.crt"), str(self._folder / f"{file}.key"))
        Path(pair.certificate).write_bytes(made.public_bytes(serialization.Encoding.PEM))
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        Path(pair.key).write_bytes(key.private_bytes(*form))
        return pair

    def serial(self, pair: Pair) -> int:
        """The number of the certificate that is at a pair's path now."""
        return x509.load_pem_x509_certificate(Path(pair.certificate).read_bytes()).serial_number

    def _build(self, subject, public_key, names, lasts, *, ca: bool = False, own: bool = False):
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if own else self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * DAY)
            .not_valid_after(now + lasts)
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_name(text) for text in names]), False)
        return builder


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
