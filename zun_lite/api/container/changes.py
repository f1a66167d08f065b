# SPDX-License-Identifier: Apache-2.0
"""What may change of a container that is there: a checked body becomes a Change."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

from zun_lite.api.container import schema, sizes
from zun_lite.control.update import Change


class ChangeReader:
    """Reads bodies of PATCH and resize_container. options: the group [container] of the configuration."""

    def __init__(self, options: cfg.ConfigOpts.GroupAttr) -> None:
        self._options = options
        self._change = schema.ChangeSchema()
        self._rename = schema.ChangeSchema("name", fields=("name",))

    def read(self, body: dict[str, Any], minor: int) -> Change:
        """Invalid. What is null is left as it is."""
        self._change.check(body, minor)
        cpu, memory, heal = (body.get(field) for field in ("cpu", "memory", "auto_heal"))
        return Change(
            name=body.get("name"),
            cpus=None if cpu is None else sizes.cpus(cpu),
            memory_mib=None if memory is None else sizes.memory_mib(memory, self._options),
            auto_heal=None if heal is None else sizes.truth(heal),
        )

    def read_name(self, given: dict[str, Any], minor: int) -> str:
        """The name alone, which must be there."""
        self._rename.check(given, minor)
        return str(given["name"])
