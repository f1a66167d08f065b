# SPDX-License-Identifier: Apache-2.0
"""How much of its host a container may ask for, and whether it asks at all, read from what a schema has let through."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

from zun_lite.api.container import schema
from zun_lite.domain import errors


def cpus(value: Any) -> float:
    if not schema.CPUS_LEAST <= float(value) <= schema.CPUS_MOST:
        raise errors.Invalid(f"cpu must be from {schema.CPUS_LEAST} to {schema.CPUS_MOST}, not {value}.")
    return float(value)


def memory_mib(value: Any, options: cfg.ConfigOpts.GroupAttr) -> int:
    """options: the group [container] of the configuration."""
    least, most = options.minimum_memory, options.maximum_memory
    if not least <= int(value) <= most:
        raise errors.Invalid(f"memory must be from {least} to {most} MiB, not {value}.")
    return int(value)


def truth(value: Any) -> bool:
    return value in (True, "True", "true")
