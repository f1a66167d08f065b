# SPDX-License-Identifier: Apache-2.0
"""The Fernet keys of tokens: files named by number in one folder, the highest encrypts, all decrypt.

Rotation puts a new file there and, later, takes old ones away; programs notice by the folder's
time of change, so none need be restarted.
"""

from __future__ import annotations

import os
import tempfile

from cryptography.fernet import Fernet, MultiFernet

from zun_lite.domain import errors


class TokenKeys:
    """The keys of one folder; read when first used and whenever the folder has changed."""

    def __init__(self, key_dir: str) -> None:
        self._key_dir = key_dir
        self._read: tuple[int, MultiFernet] | None = None

    def fernet(self) -> MultiFernet:
        """Unavailable: the folder holds no key."""
        try:
            changed = os.stat(self._key_dir).st_mtime_ns
            if self._read is None or self._read[0] != changed:
                self._read = changed, _read(self._key_dir)
        except OSError as error:
            raise errors.Unavailable("The keys of tokens cannot be read; run `zun-lite-manage bootstrap`.") from error
        return self._read[1]


def make_first(key_dir: str) -> bool:
    """Make the folder and its first key; False if there is a key."""
    os.makedirs(key_dir, mode=0o700, exist_ok=True)
    if _numbers(key_dir):
        return False
    handle, staged = tempfile.mkstemp(dir=key_dir, prefix=".")
    with os.fdopen(handle, "wb") as stream:
        stream.write(Fernet.generate_key())
        stream.flush()
        os.fsync(stream.fileno())
    try:
        # A link, not a rename: of two that make the first key at once, one wins and both use it.
        os.link(staged, os.path.join(key_dir, "1"))
    except FileExistsError:
        return False
    finally:
        os.unlink(staged)
    return True


def _read(key_dir: str) -> MultiFernet:
    keys = []
    for number in sorted(_numbers(key_dir), reverse=True):
        with open(os.path.join(key_dir, str(number)), "rb") as stream:
            keys.append(Fernet(stream.read().strip()))
    if not keys:
        raise errors.Unavailable("There is no key of tokens; run `zun-lite-manage bootstrap`.")
    return MultiFernet(keys)


def _numbers(key_dir: str) -> list[int]:
    return [int(name) for name in os.listdir(key_dir) if name.isdigit()]
