# SPDX-License-Identifier: Apache-2.0
"""Passwords as argon2id hashes. A check costs some 30 ms, known user or not."""

from __future__ import annotations

import argon2

TIME_COST, MEMORY_COST_KIB, PARALLELISM = 4, 19456, 1


def hashed(password: str) -> str:
    return _hasher().hash(password)


def fits(password: str, password_hash: str | None) -> bool:
    """Whether it is the password; takes as long when there is no hash to compare with."""
    try:
        _hasher().verify(password_hash or _nobody(), password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
    return password_hash is not None


def is_outdated(password_hash: str) -> bool:
    """Whether it was made by another recipe than today's, and is to be made anew when the password is next seen."""
    return _hasher().check_needs_rehash(password_hash)


def _nobody() -> str:
    """What an unknown user's password is compared with: a hash that nothing fits, of the same cost."""
    return f"$argon2id$v=19$m={MEMORY_COST_KIB},t={TIME_COST},p={PARALLELISM}$bm9ib2R5J3Mgc2FsdA$" + "A" * 43


def _hasher() -> argon2.PasswordHasher:
    return argon2.PasswordHasher(time_cost=TIME_COST, memory_cost=MEMORY_COST_KIB, parallelism=PARALLELISM)
