# SPDX-License-Identifier: Apache-2.0
"""What a create asks for: a checked body becomes a spec, still without what it names.

Every rule here needs the body and the configuration only; networks, volumes, security groups, the
registry and the host are looked up in lookups.py.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from dataclasses import dataclass
from typing import Any

from oslo_config import cfg

from zun_lite.api import policy
from zun_lite.api.container import mounts, nets, schema, sizes
from zun_lite.api.container.mounts import WantedMount
from zun_lite.api.container.nets import WantedNet
from zun_lite.common import security_profiles
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.spec import SHARED, ContainerSpec, Healthcheck, RestartPolicy

RESERVED_LABELS = "zun."
LONGEST_HEALTHCHECK_SECONDS, MOST_RETRIES = 86400, 1000
_PORT = re.compile(r"([0-9]{1,5})(?:/(tcp|udp))?", re.IGNORECASE)


@dataclass(frozen=True)
class CreateRequest:
    """spec names no networks, volumes, groups, registry or host yet: the other fields say which."""

    name: str | None
    spec: ContainerSpec
    nets: tuple[WantedNet, ...]
    mounts: tuple[WantedMount, ...]
    security_groups: tuple[str, ...] = ()
    registry: str | None = None
    host: str | None = None


class CreateReader:
    """Reads bodies of POST /v1/containers. options: the group [container] of the configuration.

    Invalid: the operator's security profiles cannot be read.
    """

    def __init__(self, options: cfg.ConfigOpts.GroupAttr) -> None:
        self._schema = schema.CreateSchema()
        self._options = options
        self._profiles = security_profiles.load(options.security_profiles)

    def read(self, caller: Caller, body: dict[str, Any], minor: int) -> CreateRequest:
        """Invalid, Forbidden."""
        self._schema.check(body, minor)
        _check_rights(caller, body)
        interactive = sizes.truth(body.get("interactive"))
        volumes, files = mounts.read(body.get("mounts") or [])
        spec = ContainerSpec(
            image=body["image"],
            command=_command(body.get("command")),
            entrypoint=tuple(body.get("entrypoint") or ()) or None,
            environment=_environment(body.get("environment") or {}),
            labels=_labels(body.get("labels") or {}),
            workdir=_workdir(body.get("workdir")),
            hostname=body.get("hostname"),
            cpus=self._options.default_cpu if body.get("cpu") is None else sizes.cpus(body["cpu"]),
            memory_mib=self._memory_mib(body.get("memory")),
            disk_gib=_disk(body.get("disk")),
            interactive=interactive,
            tty=_tty(body, minor, interactive),
            auto_remove=sizes.truth(body.get("auto_remove")),
            auto_heal=sizes.truth(body.get("auto_heal")),
            restart_policy=_restart_policy(body.get("restart_policy")),
            image_driver="glance" if body.get("image_driver") == "glance" else "docker",
            image_pull_policy=_pull_policy(caller, body.get("image_pull_policy")),
            files=files,
            healthcheck=_healthcheck(body.get("healthcheck")),
            exposed_ports=_exposed_ports(body.get("exposed_ports") or {}),
            privileged=sizes.truth(body.get("privileged")),
            runtime=body.get("runtime") or None,
            cpu_policy=body.get("cpu_policy") or SHARED,
            availability_zone=body.get("availability_zone") or None,
            hints={name: str(value) for name, value in (body.get("hints") or {}).items()},
        )
        if spec.auto_remove and spec.restart_policy and spec.restart_policy.name != "no":
            raise errors.Invalid("auto_remove and restart_policy exclude each other; leave one out.")
        self._check_profile(caller, spec)
        groups = tuple(dict.fromkeys(body.get("security_groups") or ()))
        if groups and spec.exposed_ports:
            raise errors.Invalid("exposed_ports and security_groups exclude each other; leave one out.")
        return CreateRequest(
            name=body.get("name"),
            spec=spec,
            nets=nets.read_list(body.get("nets") or []),
            mounts=volumes,
            security_groups=groups,
            registry=body.get("registry") or None,
            host=body.get("host") or None,
        )

    def _check_profile(self, caller: Caller, spec: ContainerSpec) -> None:
        """Invalid, Forbidden: the security profile that the hint names, if any, is not to be had."""
        name = spec.security_profile
        if name is None:
            return
        policy.enforce(caller, "container:create:security_profile", caller.project_id)
        profile = self._profiles.get(name)
        if profile is None:
            known = ", ".join(sorted(self._profiles)) or "none"
            raise errors.Invalid(f"There is no security profile '{name}'; the operator of this cloud named: {known}.")
        if profile.rule is not None:
            policy.enforce(caller, profile.rule, caller.project_id)
        if spec.privileged:
            raise errors.Invalid("privileged and a security profile exclude each other; leave one out.")

    def _memory_mib(self, value: Any) -> int:
        return self._options.default_memory if value is None else sizes.memory_mib(value, self._options)


def _check_rights(caller: Caller, body: dict[str, Any]) -> None:
    if body.get("privileged") is not None:
        policy.enforce(caller, "container:create:privileged", caller.project_id)
    for field, rule in (("runtime", "runtime"), ("host", "requested_destination")):
        if body.get(field):
            policy.enforce(caller, f"container:create:{rule}", caller.project_id)


def _tty(body: dict[str, Any], minor: int, interactive: bool) -> bool:
    """Up to 1.35 an interactive container got a terminal of itself."""
    if schema.COMMAND_LIST_SINCE <= minor < 36 and body.get("interactive") is not None:
        return interactive
    return sizes.truth(body.get("tty"))


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
    # what a runtime of containers holds open shows there for a moment
    if value and posixpath.normpath(value).lstrip("/").split("/")[0] in ("proc", "sys", "dev"):
        raise errors.Invalid(f"workdir must not lie in /proc, /sys or /dev, as '{value}' does.")
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


def _healthcheck(value: dict[str, Any] | None) -> Healthcheck | None:
    if not value:
        return None
    if not (value.get("cmd") or "").strip():
        raise errors.Invalid("healthcheck lacks its cmd, the command that tells whether the container is well.")
    numbers = {}
    for name, most in (
        ("interval", LONGEST_HEALTHCHECK_SECONDS),
        ("retries", MOST_RETRIES),
        ("timeout", LONGEST_HEALTHCHECK_SECONDS),
    ):
        numbers[name] = int(value.get(name) or 0)
        if not 0 <= numbers[name] <= most:
            raise errors.Invalid(f"healthcheck.{name} must be from 0 to {most}, not {value[name]}.")
    return Healthcheck(value["cmd"], numbers["interval"], numbers["retries"], numbers["timeout"])


def _exposed_ports(value: dict[str, Any]) -> tuple[str, ...]:
    found = []
    for text in value:
        matched = _PORT.fullmatch(text)
        if matched is None or not 1 <= int(matched[1]) <= 65535:
            raise errors.Invalid(f"exposed_ports must be ports like 80, 80/tcp or 53/udp, not '{text[:80]}'.")
        found.append(f"{int(matched[1])}/{(matched[2] or 'tcp').lower()}")
    return tuple(dict.fromkeys(found))
