# SPDX-License-Identifier: Apache-2.0
"""What users write at options, made into what the API takes. Failure: it cannot be, and what it should be like."""

from __future__ import annotations

import re
import time

from zun_lite.cli.failures import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_SPAN = r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?"


def pairs(items: Sequence[str] | None, option: str) -> dict[str, str]:
    """KEY=VALUE, several in one text parted by semicolons as the stock client takes them, or several texts."""
    found = {}
    for item in items or ():
        for part in item.split(";") if item.count("=") > 1 else [item]:
            key, equals, value = part.partition("=")
            if not equals or not key:
                raise Failure(f"{option} {item!r}: write KEY=VALUE.")
            found[key] = value
    return found


def parts(item: str, option: str, known: Sequence[str]) -> dict[str, str]:
    """key=value,key=value with known keys."""
    found = {}
    for part in item.split(","):
        key, equals, value = part.partition("=")
        if not equals or key not in known:
            raise Failure(f"{option} {item!r}: write {'=...,'.join(known)}=..., as many of them as are needed.")
        found[key] = value
    return found


def restart(text: str) -> dict[str, str]:
    """on-failure:3 and the like."""
    name, _, count = text.partition(":")
    if name not in ("no", "always", "on-failure", "unless-stopped") or (count and not count.isdigit()):
        raise Failure(f"--restart {text!r}: one of no, always, unless-stopped, on-failure, on-failure:COUNT.")
    return {"Name": name, "MaximumRetryCount": count or "0"}


def healthcheck(text: str) -> dict[str, object]:
    given = parts(text, "--healthcheck", ("cmd", "interval", "retries", "timeout"))
    found: dict[str, object] = {key: int(span(value)) for key, value in given.items() if key in ("interval", "timeout")}
    if "cmd" not in given:
        raise Failure("--healthcheck needs cmd=COMMAND.")
    if "retries" in given:
        found["retries"] = int(given["retries"]) if given["retries"].isdigit() else 0
    return {"cmd": given["cmd"], **found}


def words(text: str) -> list[str]:
    import shlex

    try:
        return shlex.split(text)
    except ValueError as error:
        raise Failure(f"{text!r} cannot be taken apart into words: {error}.") from error


def span(text: str) -> float:
    """Seconds of 90, 90s, 5m, 2h30m, 1d."""
    found = re.fullmatch(_SPAN, text)
    if not found or not text:
        raise Failure(f"{text!r} is no length of time; write 90s, 5m, 2h30m or 1d.")
    days, hours, minutes, seconds = (float(item or 0) for item in found.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + seconds


def moment(text: str, now: float | None = None) -> float:
    """Seconds since 1970 of a date, of such seconds, or of a length of time ago."""
    if re.fullmatch(r"\d{9,}(\.\d+)?", text):
        return float(text)
    from datetime import UTC, datetime

    try:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        return (time.time() if now is None else now) - span(text)
