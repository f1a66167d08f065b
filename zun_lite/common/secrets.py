# SPDX-License-Identifier: Apache-2.0
"""Secrets of users that must be read again, kept so that a copy of the database does not give them away.

The key lies in a file outside the database. One key a line; the first one locks, all of them open, so a
new key is put in front and the old ones are left until everything was written anew.
"""

from __future__ import annotations

import os
import uuid
from functools import cached_property

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from zun_lite.domain import errors


class SecretBox:
    """Locks and opens texts with the keys in a file, which is read when first needed."""

    def __init__(self, key_file: str) -> None:
        self._key_file = key_file

    def lock(self, text: str) -> str:
        return self._keys.encrypt(text.encode()).decode()

    def open(self, locked: str) -> str:
        """Failed: it was locked with a key that is not in the file."""
        try:
            return self._keys.decrypt(locked.encode()).decode()
        except InvalidToken as error:
            raise errors.Failed(
                "A stored password cannot be read: the key that locked it is not in the operator's key file."
            ) from error

    @cached_property
    def _keys(self) -> MultiFernet:
        make_key(self._key_file)
        with open(self._key_file, encoding="ascii") as stream:
            return MultiFernet([Fernet(line.strip()) for line in stream if line.strip()])


def make_key(path: str) -> None:
    """Make a key file, mode 0600, unless there is one."""
    if os.path.exists(path):
        return
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    staged = f"{path}.{uuid.uuid4().hex}"
    with os.fdopen(os.open(staged, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as stream:
        stream.write(Fernet.generate_key() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(staged, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(staged)
