# SPDX-License-Identifier: Apache-2.0
"""How our programs speak TLS to each other: 1.2 at the least, certificates and names always checked."""

from __future__ import annotations

import ssl
from typing import Any

from zun_lite.domain import errors

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


def check_pair(section: str, cert_file: str | None, key_file: str | None) -> bool:
    """Whether a server of this section is to speak TLS. Invalid: a file lacks, or they do not belong together."""
    if cert_file is None and key_file is None:
        return False
    if cert_file is None or key_file is None:
        raise errors.Invalid(f"[{section}] tls_cert_file and tls_key_file go together; one of them is not set.")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert_file, key_file)
    except (OSError, ssl.SSLError) as error:
        raise errors.Invalid(
            f"[{section}] tls_cert_file = {cert_file} cannot be used with its key: {error}."
        ) from error
    return True


def harden(context: ssl.SSLContext) -> ssl.SSLContext:
    """For servers, whose libraries make the context themselves."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


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
