# SPDX-License-Identifier: Apache-2.0
"""Which system calls a container may make, as the JSON that Docker takes.

The names are in syscalls.txt; here are the rules about arguments, which are few. Knows nothing of
specs: every container gets the same filter, whose lines for capabilities Docker itself picks out.
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

_EPERM, _ENOSYS = 1, 38
_ARCHITECTURES = (
    ("SCMP_ARCH_X86_64", ("SCMP_ARCH_X86",)),
    ("SCMP_ARCH_AARCH64", ("SCMP_ARCH_ARM",)),
    ("SCMP_ARCH_RISCV64", ()),
)
# The kernel's numbers: local, IPv4, IPv6, netlink, packet (which asks for CAP_NET_RAW). Others, like AF_ALG and
# AF_VSOCK, are doors into parts of the kernel that know no namespaces or are seldom looked at.
SOCKET_FAMILIES = (1, 2, 10, 16, 17)
# Linux, Linux with 32-bit addresses' layout, both without random addresses, and the question which it is.
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
# every CLONE_NEW* that clone() knows: no namespaces in namespaces, user namespaces least of all
_NEW_NAMESPACES = 0x7E020000


@functools.cache
def profile() -> str:
    """The filter, compact."""
    plain, by_capability = _read(resources.files(__package__).joinpath("syscalls.txt").read_text(encoding="utf-8"))
    return json.dumps(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": _EPERM,
            "archMap": [
                {"architecture": name, "subArchitectures": list(narrower)} for name, narrower in _ARCHITECTURES
            ],
            "syscalls": [
                _allow(plain),
                *(_allow(calls, includes={"caps": [f"CAP_{name}"]}) for name, calls in by_capability.items()),
                *(_allow(["socket"], args=[_argument(family)]) for family in SOCKET_FAMILIES),
                *(_allow(["personality"], args=[_argument(value)]) for value in _PERSONALITIES),
                _allow(["clone"], args=[_argument(_NEW_NAMESPACES, "SCMP_CMP_MASKED_EQ")]),
                # its arguments cannot be looked at; a libc that is told there is none falls back to clone
                {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
            ],
        },
        separators=(",", ":"),
    )


def _read(text: str) -> tuple[list[str], dict[str, list[str]]]:
    """The calls for everybody, and those for who has a capability."""
    plain: list[str] = []
    by_capability: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if words and words[0].startswith("+"):
            by_capability.setdefault(words[0][1:], []).extend(words[1:])
        else:
            plain.extend(words)
    return plain, by_capability


def _allow(calls: list[str], **when: Any) -> dict[str, Any]:
    return {"names": calls, "action": "SCMP_ACT_ALLOW", **when}


def _argument(value: int, operator: str = "SCMP_CMP_EQ") -> dict[str, Any]:
    """About a call's first argument. A masked comparison wants none of value's bits to be set."""
    return {"index": 0, "value": value, "op": operator}
