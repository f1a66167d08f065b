# SPDX-License-Identifier: Apache-2.0
"""The Fernet keys of tokens: files named by number in one folder; the highest encrypts, all decrypt.

The key 0 is staged: it encrypts nothing yet, so that whoever else reads the folder knows it when a rotation
makes it the highest. Rotation stages another one and takes away those that no valid token needs. Programs
notice by the folder's time of change, so none need be restarted.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cryptography.fernet import Fernet, MultiFernet

from zun_lite.domain import errors

STAGED = 0
# staged, primary, secondary; more only while tokens that need them are valid
USUAL_COUNT = 3


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
    """Make the folder, its first key and a staged one; False if there is a key."""
    os.makedirs(key_dir, mode=0o700, exist_ok=True)
    if set(_numbers(key_dir)) - {STAGED}:
        return False
    # Of two that make the first key at once, one wins and both use it.
    made = _make(key_dir, 1)
    _make(key_dir, STAGED)
    return made


def rotate(key_dir: str, token_ttl_seconds: float, now: float) -> list[str]:
    """The staged key becomes the one that encrypts; what was done, a few words each.

    now: seconds since 1970. Tokens stay valid until they end: a key goes only when another one has encrypted
    for longer than tokens live. Unavailable: there is no key yet.
    """
    with _alone(key_dir):
        if _make(key_dir, STAGED):
            return ["staged a key, as there was none; rotate again once every API server has it"]
        highest = max(_numbers(key_dir))
        if highest == STAGED:
            raise errors.Unavailable("There is no key of tokens; run `zun-lite-manage bootstrap`.")
        primary = _path(key_dir, highest + 1)
        os.utime(_path(key_dir, STAGED), (now, now))
        os.rename(_path(key_dir, STAGED), primary)
        _make(key_dir, STAGED)
        done = [f"key {highest + 1} encrypts from now on", "staged another key"]
        for number in _unneeded(key_dir, now - token_ttl_seconds):
            os.unlink(_path(key_dir, number))
            done.append(f"removed key {number}")
        return done


def _unneeded(key_dir: str, since: float) -> list[int]:
    """Secondary keys beyond the usual count whose successor began to encrypt before this moment."""
    kept = sorted(set(_numbers(key_dir)) - {STAGED})
    old = kept[: -(USUAL_COUNT - 1)]
    return [
        number
        for number, successor in zip(old, kept[1:], strict=False)
        if os.stat(_path(key_dir, successor)).st_mtime < since
    ]


def _make(key_dir: str, number: int) -> bool:
    """A new key of this number, whole or not at all; False if there is one."""
    handle, written = tempfile.mkstemp(dir=key_dir, prefix=".")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(Fernet.generate_key())
            stream.flush()
            os.fsync(stream.fileno())
        # A link, not a rename, so that of two only one wins.
        os.link(written, _path(key_dir, number))
    except FileExistsError:
        return False
    finally:
        os.unlink(written)
    return True


@contextmanager
def _alone(key_dir: str) -> Iterator[None]:
    """One rotation at a time. Unavailable: there is no such folder."""
    try:
        folder = os.open(key_dir, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise errors.Unavailable(f"{key_dir} holds no keys of tokens; run `zun-lite-manage bootstrap`.") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _path(key_dir: str, number: int) -> str:
    return os.path.join(key_dir, str(number))


def _read(key_dir: str) -> MultiFernet:
    keys = []
    for number in sorted(_numbers(key_dir), reverse=True):
        # One that a rotation has just taken away is needed by nobody.
        with suppress(FileNotFoundError), open(_path(key_dir, number), "rb") as stream:
            keys.append(Fernet(stream.read().strip()))
    if not keys:
        raise errors.Unavailable("There is no key of tokens; run `zun-lite-manage bootstrap`.")
    return MultiFernet(keys)


def _numbers(key_dir: str) -> list[int]:
    return [int(name) for name in os.listdir(key_dir) if name.isdigit()]
