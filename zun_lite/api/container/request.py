# SPDX-License-Identifier: Apache-2.0
"""What a create asks for: a checked body becomes a spec, still without its networks and volumes.

Every rule here needs the body and the configuration only; names are looked up in lookups.py.
Fields that this server has no use for yet are refused when they say something.
"""

from __future__ import annotations

import ipaddress
import posixpath
import shlex
from dataclasses import dataclass
from typing import Any

from oslo_config import cfg

from zun_lite.api import policy
from zun_lite.api.container import schema
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.image_reference import is_reference
from zun_lite.domain.spec import ContainerSpec, RestartPolicy

RESERVED_LABELS = "zun."
_UNSUPPORTED = ("exposed_ports", "security_groups", "hints", "availability_zone", "healthcheck", "registry")
_SYSTEM_PATHS = ("/proc", "/sys", "/dev")


@dataclass(frozen=True)
class WantedNet:
    """One of network and port, by id or name."""

    network: str | None
    port: str | None
    fixed_ip: str | None


@dataclass(frozen=True)
class WantedMount:
    """source is an existing volume's id or name; size_gib that of one to be made."""

    source: str | None
    size_gib: int | None
    target: str


@dataclass(frozen=True)
class CreateRequest:
    """spec has no networks and mounts yet: nets and mounts say which."""

    name: str | None
    spec: ContainerSpec
    nets: tuple[WantedNet, ...]
    mounts: tuple[WantedMount, ...]


class CreateReader:
    """Reads bodies of POST /v1/containers. options: the group [container] of the configuration."""

    def __init__(self, options: cfg.ConfigOpts.GroupAttr) -> None:
        self._schema = schema.CreateSchema()
        self._options = options

    def read(self, caller: Caller, body: dict[str, Any], minor: int) -> CreateRequest:
        """Invalid, Forbidden."""
        self._schema.check(body, minor)
        _refuse_unsupported(caller, body)
        if not is_reference(body["image"]):
            raise errors.Invalid(
                "image must be a reference like nginx:1.27 or registry.example:5000/team/app@sha256:..., "
                f"in lower case up to the tag; '{body['image']}' is not one.",
                kind="InvalidValue",
            )
        interactive = _truth(body.get("interactive"))
        spec = ContainerSpec(
            image=body["image"],
            command=_command(body.get("command")),
            entrypoint=tuple(body.get("entrypoint") or ()) or None,
            environment=_environment(body.get("environment") or {}),
            labels=_labels(body.get("labels") or {}),
            workdir=_workdir(body.get("workdir")),
            hostname=body.get("hostname"),
            cpus=self._cpus(body.get("cpu")),
            memory_mib=self._memory(body.get("memory")),
            disk_gib=_disk(body.get("disk")),
            interactive=interactive,
            tty=_tty(body, minor, interactive),
            auto_remove=_truth(body.get("auto_remove")),
            auto_heal=_truth(body.get("auto_heal")),
            restart_policy=_restart_policy(body.get("restart_policy")),
            image_pull_policy=_pull_policy(caller, body.get("image_pull_policy")),
        )
        if spec.auto_remove and spec.restart_policy and spec.restart_policy.name != "no":
            raise errors.Invalid("auto_remove and restart_policy exclude each other; leave one out.")
        return CreateRequest(body.get("name"), spec, _nets(body.get("nets") or []), _mounts(body.get("mounts") or []))

    def _cpus(self, value: Any) -> float:
        if value is None:
            return self._options.default_cpu
        if not schema.CPUS_LEAST <= float(value) <= schema.CPUS_MOST:
            raise errors.Invalid(f"cpu must be from {schema.CPUS_LEAST} to {schema.CPUS_MOST}, not {value}.")
        return float(value)

    def _memory(self, value: Any) -> int:
        if value is None:
            return self._options.default_memory
        least, most = self._options.minimum_memory, self._options.maximum_memory
        if not least <= int(value) <= most:
            raise errors.Invalid(f"memory must be from {least} to {most} MiB, not {value}.")
        return int(value)


def _refuse_unsupported(caller: Caller, body: dict[str, Any]) -> None:
    if body.get("privileged") is not None:
        policy.enforce(caller, "container:create:privileged", caller.project_id)
    for field, rule in (("runtime", "runtime"), ("host", "requested_destination")):
        if body.get(field):
            policy.enforce(caller, f"container:create:{rule}", caller.project_id)
            _refuse(field)
    for field in _UNSUPPORTED:
        if body.get(field):
            _refuse(field)
    if body.get("cpu_policy") == "dedicated":
        raise errors.Invalid("This server has no dedicated CPUs; leave cpu_policy out or make it 'shared'.")
    if body.get("image_driver") == "glance":
        raise errors.Invalid("This server takes images from registries only; leave image_driver out or say 'docker'.")


def _refuse(field: str) -> None:
    raise errors.Invalid(f"This server does not support {field}; leave it out or empty.", kind="NotSupported")


def _truth(value: Any) -> bool:
    return value in (True, "True", "true")


def _tty(body: dict[str, Any], minor: int, interactive: bool) -> bool:
    """Up to 1.35 an interactive container got a terminal of itself."""
    if schema.COMMAND_LIST_SINCE <= minor < 36 and body.get("interactive") is not None:
        return interactive
    return _truth(body.get("tty"))


def _command(value: str | list[str] | None) -> tuple[str, ...] | None:
    if isinstance(value, str):
        value = split(value, "command")
    return tuple(value) if value else None


def split(text: str, field: str) -> list[str]:
    """Words as a shell would make them, without its expansions."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise errors.Invalid(f"{field} cannot be split into words: {error}.", kind="InvalidValue") from error


def _environment(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        if not name or "=" in name:
            raise errors.Invalid(f"environment names a variable '{name}'; a name is not empty and has no '='.")
    return value


def _labels(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        if not name or name.startswith(RESERVED_LABELS):
            raise errors.Invalid(f"labels has '{name}'; a label is not empty and does not begin with {RESERVED_LABELS}")
    return value


def _workdir(value: str | None) -> str | None:
    if value and not value.startswith("/"):
        raise errors.Invalid(f"workdir must be an absolute path, not '{value}'.")
    return value or None


def _disk(value: Any) -> int:
    if value is None:
        return 0
    if not schema.DISK_GIB_LEAST <= int(value) <= schema.DISK_GIB_MOST:
        raise errors.Invalid(f"disk must be from {schema.DISK_GIB_LEAST} to {schema.DISK_GIB_MOST} GiB, not {value}.")
    return int(value)


def _restart_policy(value: dict[str, Any] | None) -> RestartPolicy | None:
    if not value:
        return None
    name, count = value.get("Name"), int(value.get("MaximumRetryCount") or 0)
    if name is None:
        raise errors.Invalid("restart_policy lacks its Name: one of no, always, on-failure, unless-stopped.")
    if not 0 <= count < 2**31:
        raise errors.Invalid("restart_policy.MaximumRetryCount must be a count of at least 0.")
    if name in ("always", "unless-stopped") and count:
        raise errors.Invalid(f"restart_policy {name} restarts without end, so its MaximumRetryCount must be 0.")
    return RestartPolicy(name, 0 if name == "no" else count)


def _pull_policy(caller: Caller, value: str | None) -> str:
    if not value:
        return "ifnotpresent"
    policy.enforce(caller, "container:create:image_pull_policy", caller.project_id)
    return value.lower()


def _nets(value: list[dict[str, Any]]) -> tuple[WantedNet, ...]:
    return tuple(_net(f"nets.{position}", net) for position, net in enumerate(value))


def _net(where: str, net: dict[str, Any]) -> WantedNet:
    network, port = net.get("network"), net.get("port")
    if (network is None) == (port is None):
        raise errors.Invalid(f"{where} must name either a network or a port.")
    given = [(version, net.get(f"v{version}-fixed-ip")) for version in (4, 6)]
    addresses = [(version, address) for version, address in given if address]
    if not addresses:
        return WantedNet(network, port, None)
    if port is not None:
        raise errors.Invalid(f"{where} names a port, which has its addresses already; leave the fixed ip out.")
    if len(addresses) > 1:
        raise errors.Invalid(f"{where} asks for two fixed addresses; this server gives one a network.")
    version, address = addresses[0]
    try:
        if ipaddress.ip_address(address).version != version:
            raise ValueError(address)
    except ValueError as error:
        raise errors.Invalid(
            f"{where}.v{version}-fixed-ip must be an IPv{version} address, not '{address}'."
        ) from error
    return WantedNet(network, None, str(ipaddress.ip_address(address)))


def _mounts(value: list[dict[str, Any]]) -> tuple[WantedMount, ...]:
    mounts = tuple(_mount(f"mounts.{position}", mount) for position, mount in enumerate(value))
    for name, said in (
        ("destination", [mount.target for mount in mounts]),
        ("source", [mount.source for mount in mounts if mount.source]),
    ):
        twice = sorted({item for item in said if said.count(item) > 1})
        if twice:
            raise errors.Invalid(f"mounts has the {name} {twice[0]} twice.")
    return mounts


def _mount(where: str, mount: dict[str, Any]) -> WantedMount:
    if mount.get("type") == "bind":
        raise errors.Invalid(f"{where}: this server does not support mounts of type bind; use a volume.")
    given = mount["destination"]
    if not given.startswith("/") or ".." in given.split("/"):
        raise errors.Invalid(f"{where}.destination must be an absolute path without '..'.")
    target = "/" + posixpath.normpath(given).lstrip("/")
    if target == "/" or any(target == path or target.startswith(f"{path}/") for path in _SYSTEM_PATHS):
        raise errors.Invalid(f"{where}.destination must be a path of the container's own, not {target}.")
    source, size = mount.get("source") or None, None if mount.get("size") == "" else mount.get("size")
    if (source is None) == (size is None):
        raise errors.Invalid(f"{where} needs either the source, a volume's id or name, or the size of a new one.")
    if size is not None and not 1 <= int(size) <= 16384:
        raise errors.Invalid(f"{where}.size must be from 1 to 16384 GiB, not {size}.")
    return WantedMount(source, None if size is None else int(size), target)
