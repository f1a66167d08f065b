# SPDX-License-Identifier: Apache-2.0
"""How our programs speak TLS to each other: 1.2 at the least, certificates and names always checked."""

from __future__ import annotations

import logging
import os
import ssl
import threading
from typing import Any

from cryptography import x509

from zun_lite.domain import errors

LOG = logging.getLogger(__name__)
# what TLS sends at once, at the most
RECORD_BYTES = 16 * 1024


def trust(ca_file: str | None) -> ssl.SSLContext:
    """What a client holds a server's certificate against: a file of CAs, else the machine's. Invalid: it is none."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise errors.Invalid(f"[tls] ca_file = {ca_file} cannot be used: {error}.") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def read_cas(ca_file: str) -> bytes:
    """The CAs in a file, PEM. Invalid: it cannot be read."""
    try:
        with open(ca_file, "rb") as file:
            return file.read()
    except OSError as error:
        raise errors.Invalid(f"[tls] ca_file = {ca_file} cannot be read: {error}.") from error


def serve(section: str, cert_file: str | None, key_file: str | None) -> ssl.SSLContext | None:
    """What a server of this section speaks TLS by; None: it has no certificate, and speaks none.

    The certificate and the key are those of the files at each handshake, so that a change needs no restart. Files that
    do not do, as when one of the two is new and the other is not yet, leave the last pair in use.
    Invalid: a file lacks, or they do not belong together.
    """
    if cert_file is None and key_file is None:
        return None
    if cert_file is None or key_file is None:
        raise errors.Invalid(f"[{section}] tls_cert_file and tls_key_file go together; one of them is not set.")
    pair = _Pair(cert_file, key_file)
    try:
        context = pair.load()
    except (OSError, ssl.SSLError) as error:
        raise errors.Invalid(
            f"[{section}] tls_cert_file = {cert_file} cannot be used with its key: {error}."
        ) from error
    context.sni_callback = pair.choose
    return context


def ends_at(cert_file: str) -> float | None:
    """When the first of the certificates in a file ends, seconds since 1970; None where none can be read."""
    try:
        with open(cert_file, "rb") as file:
            found = x509.load_pem_x509_certificates(file.read())
    except (OSError, ValueError):
        return None
    return min(one.not_valid_after_utc.timestamp() for one in found)


def impatient(context: ssl.SSLContext, seconds: float) -> ssl.SSLContext:
    """For servers, whose threads wait for clients: TimeoutError when one sends, or takes, nothing for so long.

    A limit of the kernel's on the socket does not do: Python takes it for a record that is not whole yet, and waits on.
    """

    class Impatient(ssl.SSLSocket):
        def setblocking(self, flag: bool) -> None:
            self.settimeout(seconds if flag else 0.0)

        def do_handshake(self, block: bool = False) -> None:
            self.settimeout(seconds)
            super().do_handshake(block)

        def send(self, data: Any, flags: int = 0) -> int:
            # the time is that of a whole call, and a slow client takes what is large over many
            with memoryview(data) as view, view.cast("B") as content:
                return super().send(content[:RECORD_BYTES], flags)

    context.sslsocket_class = Impatient
    return context


class _Pair:
    """A certificate and its key as their files are now. Threads share it."""

    def __init__(self, cert_file: str, key_file: str) -> None:
        self._files = (cert_file, key_file)
        self._lock = threading.Lock()
        self._seen = self._look()
        self._newer: ssl.SSLContext | None = None

    def load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*self._files)
        return context

    def choose(self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, begun_by: ssl.SSLContext) -> None:
        """Called in each handshake, whether the client names the server or not."""
        with self._lock:
            found = self._look()
            if found != self._seen:
                self._seen = found
                self._take_up()
            newer = self._newer
        if newer is not None:
            connection.context = newer

    def _take_up(self) -> None:
        try:
            self._newer = self.load()
        except (OSError, ssl.SSLError) as error:
            LOG.warning("the certificate %s was changed and cannot be used: %s", self._files[0], error)
            return
        LOG.info("the certificate %s was changed and is in use from now on", self._files[0])

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_state(path) for path in self._files]


def _state(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
