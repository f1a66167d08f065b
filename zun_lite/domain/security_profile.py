# SPDX-License-Identifier: Apache-2.0
"""How a container is confined on its host: the usual way, and the ways that an operator gave names to.

A user picks one by name, and only among those; what a profile may loosen is bounded here, whatever the
operator's file says.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from zun_lite.domain import errors

HINT = "security_profile"
CAPABILITIES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
)
# What stays within a container's own namespaces and limits. None of these opens the host, its kernel or its devices.
MORE_CAPABILITIES = (
    "AUDIT_WRITE",
    "IPC_LOCK",
    "NET_ADMIN",
    "NET_RAW",
    "SYS_CHROOT",
    "SYS_NICE",
    "SYS_PTRACE",
)


@dataclass(frozen=True)
class SecurityProfile:
    """What differs from the usual.

    capabilities: the whole list. seccomp: a filter's JSON in place of ours. apparmor: a profile's name, where the
    host has AppArmor. rule: which policy rule a user needs besides, to pick this.
    """

    capabilities: tuple[str, ...] = CAPABILITIES
    seccomp: str | None = None
    apparmor: str | None = None
    read_only_root: bool = False
    rule: str | None = None


def read(name: str, body: object) -> SecurityProfile:
    """Out of an operator's file, in which seccomp is the filter's text already. Invalid: what is wrong, and where."""
    known = {field.name for field in fields(SecurityProfile)}
    if not isinstance(body, dict) or not set(body) <= known:
        raise errors.Invalid(
            f"The security profile {name!r} must be a mapping with some of {', '.join(sorted(known))}."
        )
    found: dict[str, Any] = dict(body)
    if "capabilities" in found:
        found["capabilities"] = _capabilities(name, found["capabilities"])
    if not isinstance(found.get("read_only_root", False), bool):
        raise errors.Invalid(f"read_only_root of the security profile {name!r} must be true or false.")
    for key in ("seccomp", "apparmor", "rule"):
        if not isinstance(found.get(key), str | None):
            raise errors.Invalid(f"{key} of the security profile {name!r} must be text.")
    if found.get("apparmor") == "unconfined" or found.get("seccomp") == "unconfined":
        raise errors.Invalid(f"The security profile {name!r} must not be unconfined; that is what privileged is for.")
    return SecurityProfile(**found)


def _capabilities(name: str, wanted: object) -> tuple[str, ...]:
    allowed = {*CAPABILITIES, *MORE_CAPABILITIES}
    listed = wanted if isinstance(wanted, list) else [wanted]
    if wrong := [str(item) for item in listed if item not in allowed]:
        raise errors.Invalid(
            f"The security profile {name!r} wants the capabilities {', '.join(wrong)}; "
            f"a profile may have these: {', '.join(sorted(allowed))}."
        )
    return tuple(sorted(set(listed)))
