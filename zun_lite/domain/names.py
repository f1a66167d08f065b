# SPDX-License-Identifier: Apache-2.0
"""Names that several programs must agree on, and the ids behind them."""

from __future__ import annotations

import random
import re
import uuid

LABEL_CLUSTER = "zun.cluster"
LABEL_UUID = "zun.uuid"
LABEL_EPOCH = "zun.epoch"
LABEL_BUILD = "zun.build"
LABEL_MEMBER = "zun.member"
LABEL_CORES = "zun.cores"

RUNC = "runc"

CONTAINER_NAME = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9_.-]+$")
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau "
    "upsilon phi chi psi omega"
).split()


def new_id() -> str:
    """A fresh id in the canonical lower-case form."""
    return str(uuid.uuid4())


def is_id(text: str) -> bool:
    """Whether the text is a UUID in any of the forms that clients send."""
    return as_id(text) is not None


def as_id(text: str) -> str | None:
    """The canonical form of a UUID given with or without dashes, or None."""
    plain = text.replace("-", "").lower()
    if len(plain) != 32 or not re.fullmatch(r"[0-9a-f]{32}", plain):
        return None
    return str(uuid.UUID(plain))


def docker_name(workload_uuid: str) -> str:
    """The container's name in Docker: one a workload, so that Docker itself refuses a second one."""
    return f"zun-{workload_uuid}"


def made_up_name(kind: str = "container") -> str:
    """A name for a container or capsule whose user gave none, like zeta-22-container."""
    return f"{random.choice(_GREEK)}-{random.randint(1, 24)}-{kind}"


def is_host_name(text: str) -> bool:
    """Whether the kernel and resolvers take it for the name of a host."""
    return re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", text) is not None


def member_name(capsule_name: str) -> str:
    """A name for a container of a capsule, like capsule-web-zeta-22."""
    return f"capsule-{capsule_name}-{random.choice(_GREEK)}-{random.randint(1, 24)}"
