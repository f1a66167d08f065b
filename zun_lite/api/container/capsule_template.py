# SPDX-License-Identifier: Apache-2.0
"""What a capsule's template asks for: a checked template becomes a capsule, still without what it names.

A container of a template is read by the rules of a container's create, once its fields have their
names there; so both take and refuse the same values, with the same sentences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from oslo_config import cfg

from zun_lite.api import media, policy
from zun_lite.api.container import sizes
from zun_lite.api.container.capsule_schema import POLICIES, TemplateSchema
from zun_lite.api.container.request import CreateReader
from zun_lite.domain import errors, names, security_profile
from zun_lite.domain.caller import Caller
from zun_lite.domain.capsule import ALWAYS, Member, MemberMount

NEWEST_MINOR = 40
SIZE_GIB_MOST = 16384


@dataclass(frozen=True)
class WantedVolume:
    """volume_id: of one that exists; size_gib: of one to be made. auto_remove: it goes with the capsule."""

    name: str
    volume_id: str | None
    size_gib: int | None
    auto_remove: bool


@dataclass(frozen=True)
class CapsuleRequest:
    """restart_policy: in Docker's words. The volumes and images are still to be looked up."""

    name: str
    members: tuple[Member, ...]
    init_members: tuple[Member, ...]
    volumes: tuple[WantedVolume, ...]
    restart_policy: str
    labels: dict[str, str]
    annotations: dict[str, str]
    availability_zone: str | None


class TemplateReader:
    """Reads bodies of POST /v1/capsules. options: the group [container] of the configuration."""

    def __init__(self, options: cfg.ConfigOpts.GroupAttr) -> None:
        self._schema = TemplateSchema()
        self._containers = CreateReader(options)

    def read(self, caller: Caller, body: dict[str, Any]) -> CapsuleRequest:
        """Invalid, Forbidden."""
        template = _template(body)
        self._schema.check(template)
        metadata, spec = template["metadata"], template["spec"]
        name = metadata.get("name") or names.made_up_name("capsule")
        labels = metadata.get("labels") or {}
        _refuse_reserved(labels)
        annotations = metadata.get("annotations") or {}
        # what a create says by a hint, a template says by an annotation of that name, for all its containers
        hints = {name: value for name, value in annotations.items() if name == security_profile.HINT}
        volumes = tuple(_volume(f"spec.volumes.{i}", item) for i, item in enumerate(spec.get("volumes") or []))
        known = [volume.name for volume in volumes]
        for twice in {item for item in known if known.count(item) > 1}:
            raise errors.Invalid(f"spec.volumes has the name {twice} twice.")
        taken: set[str] = set()
        members, init_members = (
            tuple(
                self._member(caller, f"spec.{field}.{number}", item, _member_name(name, taken), known, hints)
                for number, item in enumerate(spec.get(field) or [])
            )
            for field in ("containers", "initContainers")
        )
        mounted = {mount.volume for member in (*members, *init_members) for mount in member.mounts}
        if idle := [item for item in known if item not in mounted]:
            raise errors.Invalid(f"No container mounts the volume {idle[0]}; each volume needs a volumeMounts of one.")
        asked = spec.get("restartPolicy") or template.get("restartPolicy")
        return CapsuleRequest(
            name=name,
            members=members,
            init_members=init_members,
            volumes=volumes,
            restart_policy=POLICIES[asked] if asked else ALWAYS,
            labels=labels,
            annotations=annotations,
            availability_zone=template.get("availabilityZone"),
        )

    def _member(
        self,
        caller: Caller,
        where: str,
        item: dict[str, Any],
        name: str,
        volumes: list[str],
        hints: dict[str, str],
    ) -> Member:
        mounts = item.get("volumeMounts") or []
        for mount in mounts:
            if mount["name"] not in volumes:
                raise errors.Invalid(f"{where} mounts the volume {mount['name']}, which spec.volumes does not name.")
        try:
            body = {**_as_container(caller, item, mounts), "hints": hints}
            request = self._containers.read(caller, body, NEWEST_MINOR)
        except errors.Invalid as error:
            raise errors.Invalid(f"{where}: {error.message}", kind=error.kind) from error
        return Member(
            names.new_id(),
            name,
            replace(request.spec, networks=(), mounts=()),
            tuple(
                MemberMount(mount["name"], target.target, sizes.truth(mount.get("readOnly")))
                for mount, target in zip(mounts, request.mounts, strict=True)
            ),
        )


def _template(body: dict[str, Any]) -> Any:
    unknown = sorted(set(body) - {"template"})
    if unknown or "template" not in body:
        what = f"has unknown fields: {', '.join(unknown)}" if unknown else "lacks the required template"
        raise errors.Invalid(f"The body {what}. It is an object with template alone.", kind="SchemaValidationError")
    template = body["template"]
    if isinstance(template, str):
        try:
            template = media.loads(template)
        except ValueError as error:
            raise errors.Invalid(f"template is no JSON: {error}.", kind="InvalidCapsuleTemplate") from error
    return template


def _as_container(caller: Caller, item: dict[str, Any], mounts: list[dict[str, Any]]) -> dict[str, Any]:
    """The body of a create that asks for the same container."""
    requests = (item.get("resources") or {}).get("requests") or {}
    words = [*(item.get("command") or ()), *(item.get("args") or ())]
    ports = [f"{port['containerPort']}/{(port.get('protocol') or 'tcp').lower()}" for port in item.get("ports") or ()]
    body = {
        "image": item["image"],
        "command": [str(word) for word in words],
        "environment": {key: str(value) for key, value in (item.get("env") or {}).items()},
        "workdir": item.get("workDir"),
        "cpu": requests.get("cpu"),
        "memory": requests.get("memory"),
        "interactive": item.get("stdin"),
        "tty": item.get("tty"),
        "exposed_ports": dict.fromkeys(ports),
        # The paths are what is to be read here; a volume may be seen at several.
        "mounts": [{"source": str(i), "destination": mount["mountPath"]} for i, mount in enumerate(mounts)],
    }
    if policy.allows(caller, "container:create:image_pull_policy", caller.project_id):
        body["image_pull_policy"] = item.get("imagePullPolicy")
    return body


def _volume(where: str, item: dict[str, Any]) -> WantedVolume:
    cinder = item["cinder"]
    volume_id, size = cinder.get("volumeID"), cinder.get("size")
    if (volume_id is None) == (size is None):
        raise errors.Invalid(
            f"{where}.cinder must have either the volumeID of a volume or the size of a new one.",
            kind="InvalidCapsuleTemplate",
        )
    return WantedVolume(
        item["name"], volume_id, None if size is None else _size_gib(where, size), sizes.truth(cinder.get("autoRemove"))
    )


def _size_gib(where: str, size: Any) -> int:
    try:
        number = float(size)
    except ValueError:
        number = math.nan
    if not (number.is_integer() and 1 <= number <= SIZE_GIB_MOST):
        raise errors.Invalid(f"{where}.cinder.size must be whole GiB from 1 to {SIZE_GIB_MOST}, not {size}.")
    return int(number)


def _refuse_reserved(labels: dict[str, str]) -> None:
    for name in labels:
        if not name or name.startswith("zun."):
            raise errors.Invalid(f"metadata.labels has '{name}'; a label is not empty and does not begin with zun.")


def _member_name(capsule_name: str, taken: set[str]) -> str:
    """Not yet taken by another container of the capsule."""
    while True:
        name = names.member_name(capsule_name)
        if name not in taken:
            taken.add(name)
            return name
