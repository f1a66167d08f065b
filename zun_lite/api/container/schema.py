# SPDX-License-Identifier: Apache-2.0
"""The form of the body of a create, microversion by microversion, and the sentence for what is not.

Each field's schema carries in its description what is allowed, as the end of "... must be". What
the values mean is read in request.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastjsonschema

from zun_lite.domain import errors

CPUS_LEAST, CPUS_MOST = 0.1, 16
DISK_GIB_LEAST, DISK_GIB_MOST = 1, 160

# Fields that came with a microversion, where an older request may still send them empty.
SINCE = {
    "auto_remove": 3,
    "runtime": 5,
    "hostname": 9,
    "mounts": 11,
    "privileged": 21,
    "healthcheck": 22,
    "exposed_ports": 24,
    "registry": 31,
}
# Fields that an older request may not have at all, and from when on the command is a list.
HOST_SINCE, ENTRYPOINT_SINCE, COMMAND_LIST_SINCE = 39, 40, 20

CHANGES = ("name", "cpu", "memory", "auto_heal")
NAME = r"^[a-zA-Z0-9][a-zA-Z0-9_.-]+$"
HOSTNAME = r"^[a-zA-Z0-9-._]*$"
_TRUTH = {"enum": [True, False, "True", "true", "False", "false"], "description": "true or false"}
_TRUTH_OR_NULL = {"enum": [*_TRUTH["enum"], None], "description": "true or false"}
_STRINGS = {
    "type": "object",
    "additionalProperties": {"type": "string", "description": "a string, as every value here"},
    "description": "an object whose values are strings",
}
_STRINGS_OR_NULL = {**_STRINGS, "type": ["object", "null"]}
_STRING_OR_NULL = {"type": ["string", "null"], "description": "a string"}
_LIST_OF_STRINGS = {
    "type": ["array", "null"],
    "items": {"type": "string", "description": "a string, as every item of it"},
    "description": "a list of strings",
}
_HINTS = {
    "type": ["object", "null"],
    "maxProperties": 64,
    "additionalProperties": {
        "type": ["string", "number", "boolean"],
        "maxLength": 255,
        "description": "a string of up to 255 characters, as every hint",
    },
    "description": "an object of up to 64 hints",
}


def _digits(what: str) -> dict[str, Any]:
    return {
        "anyOf": [
            {"type": "integer"},
            {"type": "string", "pattern": "^[0-9]+$", "maxLength": 18},
            {"type": "null"},
        ],
        "description": f"{what}, as a number or a string of digits",
    }


def _short(what: str) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": 255, "description": f"{what} of 1 to 255 characters"}


_NET = {
    "type": "object",
    "properties": {
        "network": _short("a network's id or name"),
        "port": _short("a port's id or name"),
        "v4-fixed-ip": {"type": ["string", "null"], "maxLength": 64, "description": "an IPv4 address"},
        "v6-fixed-ip": {"type": ["string", "null"], "maxLength": 64, "description": "an IPv6 address"},
    },
    "additionalProperties": False,
    "description": "an object that names a network or a port",
}
_SIZE = _digits("a size in GiB")
_MOUNT = {
    "type": "object",
    "properties": {
        "type": {"enum": ["volume", "bind", "", None], "description": "'volume' or 'bind'"},
        "source": _STRING_OR_NULL,
        "destination": _short("an absolute path in the container"),
        "size": {**_SIZE, "anyOf": [*_SIZE["anyOf"], {"enum": [""]}]},
    },
    "required": ["destination"],
    "additionalProperties": False,
    "description": "an object with a destination and a source or a size",
}
_RESTART_POLICY = {
    "type": ["object", "null"],
    "properties": {
        "Name": {
            "enum": ["no", "always", "on-failure", "unless-stopped"],
            "description": "one of no, always, on-failure, unless-stopped",
        },
        "MaximumRetryCount": _digits("a count of at least 0"),
    },
    "additionalProperties": False,
    "description": "an object with Name and, for on-failure, MaximumRetryCount",
}
_HEALTHCHECK = {
    "type": ["object", "null"],
    "properties": {
        "cmd": {"type": "string", "maxLength": 4096, "description": "a command of up to 4096 characters"},
        "interval": _digits("seconds"),
        "retries": _digits("a count"),
        "timeout": _digits("seconds"),
    },
    "additionalProperties": False,
    "description": "an object with cmd and, if wished, interval, retries and timeout",
}
_PROPERTIES: dict[str, Any] = {
    "image": {"type": "string", "minLength": 1, "maxLength": 255, "description": "an image reference like nginx:1.27"},
    "name": {
        "type": ["string", "null"],
        "minLength": 2,
        "maxLength": 255,
        "pattern": NAME,
        "description": "2 to 255 letters, digits, '_', '.' and '-', the first a letter or a digit",
    },
    "cpu": {
        "anyOf": [
            {"type": "number"},
            {"type": "string", "minLength": 1, "maxLength": 18, "pattern": r"^[0-9]*(\.[0-9]+)?$"},
            {"type": "null"},
        ],
        "description": f"a number of CPUs from {CPUS_LEAST} to {CPUS_MOST}",
    },
    "cpu_policy": {"enum": ["shared", "dedicated"], "description": "'shared' or 'dedicated'"},
    "memory": _digits("MiB of memory"),
    "disk": _digits("GiB of disk"),
    "environment": _STRINGS_OR_NULL,
    "labels": _STRINGS_OR_NULL,
    "workdir": {"type": ["string", "null"], "maxLength": 4096, "description": "an absolute path in the container"},
    "hostname": {
        "type": "string",
        "minLength": 1,
        "maxLength": 63,
        "pattern": HOSTNAME,
        "description": "1 to 63 letters, digits, '-', '.' and '_'",
    },
    "interactive": _TRUTH_OR_NULL,
    "tty": _TRUTH_OR_NULL,
    "auto_remove": _TRUTH_OR_NULL,
    "auto_heal": _TRUTH_OR_NULL,
    "privileged": _TRUTH_OR_NULL,
    "runtime": {"type": ["string", "null"], "maxLength": 255, "description": "a runtime's name"},
    "image_driver": {"enum": ["docker", "glance", "None", None], "description": "'docker' or 'glance'"},
    "image_pull_policy": {
        "enum": ["never", "always", "ifnotpresent", "Never", "Always", "IfNotPresent", "", None],
        "description": "one of never, always, ifnotpresent",
    },
    "restart_policy": _RESTART_POLICY,
    "security_groups": {
        "type": ["array", "null"],
        "items": _short("a security group's id or name"),
        "maxItems": 32,
        "description": "a list of up to 32 security groups",
    },
    "exposed_ports": {"type": ["object", "null"], "maxProperties": 256, "description": "an object of up to 256 ports"},
    "nets": {"type": ["array", "null"], "items": _NET, "maxItems": 32, "description": "a list of up to 32 networks"},
    "mounts": {"type": ["array", "null"], "items": _MOUNT, "maxItems": 32, "description": "a list of up to 32 mounts"},
    "hints": _HINTS,
    "availability_zone": {
        "type": ["string", "null"],
        "minLength": 1,
        "maxLength": 255,
        "description": "a zone's name of 1 to 255 characters",
    },
    "healthcheck": _HEALTHCHECK,
    "registry": {
        "type": ["string", "null"],
        "minLength": 2,
        "maxLength": 255,
        "pattern": NAME,
        "description": "a registry's name or UUID",
    },
}


class CreateSchema:
    """Compiled when built, which takes a moment; check() is fast."""

    def __init__(self) -> None:
        self._validators = {
            since: fastjsonschema.compile(create_definition(since), use_default=False)
            for since in (1, COMMAND_LIST_SINCE, HOST_SINCE, ENTRYPOINT_SINCE)
        }

    def check(self, body: dict[str, Any], minor: int) -> None:
        """Invalid, in a sentence that names the field and says what is allowed."""
        since = max(version for version in self._validators if version <= minor)
        _validate(self._validators[since], body, minor)
        for field, came in SINCE.items():
            if minor < came and _is_said(field, body.get(field)):
                raise errors.Invalid(
                    f"The field {field} needs microversion 1.{came} or newer; the request was made with 1.{minor}.",
                    kind="InvalidParamInVersion",
                )


class ChangeSchema:
    """Of what may change once a container is there."""

    def __init__(self, *required: str, fields: tuple[str, ...] = CHANGES) -> None:
        self._validate = fastjsonschema.compile(change_definition(*required, fields=fields), use_default=False)

    def check(self, body: dict[str, Any], minor: int) -> None:
        """Invalid, as CreateSchema says it."""
        _validate(self._validate, body, minor)


def _validate(validator: Callable[[Any], Any], body: dict[str, Any], minor: int) -> None:
    try:
        validator(body)
    except fastjsonschema.JsonSchemaValueException as error:
        raise errors.Invalid(_sentence(error, minor), kind="SchemaValidationError") from error


def change_definition(*required: str, fields: tuple[str, ...] = CHANGES) -> dict[str, Any]:
    """The JSON schema of a body that changes some of these fields."""
    properties = {field: _PROPERTIES[field] for field in fields}
    return {"type": "object", "properties": properties, "additionalProperties": False, "required": list(required)}


def create_definition(minor: int) -> dict[str, Any]:
    """The JSON schema of a create's body at a microversion."""
    properties = dict(_PROPERTIES)
    properties["command"] = _LIST_OF_STRINGS if minor >= COMMAND_LIST_SINCE else _STRING_OR_NULL
    if minor >= HOST_SINCE:
        properties["host"] = {
            "type": ["string", "null"],
            "minLength": 1,
            "maxLength": 255,
            "pattern": HOSTNAME,
            "description": "a host's name",
        }
    if minor >= ENTRYPOINT_SINCE:
        properties["entrypoint"] = _LIST_OF_STRINGS
    return {"type": "object", "properties": properties, "required": ["image"], "additionalProperties": False}


def _is_said(field: str, value: Any) -> bool:
    return value is not None if field in ("auto_remove", "runtime", "hostname", "privileged") else bool(value)


def _sentence(error: fastjsonschema.JsonSchemaValueException, minor: int) -> str:
    where = ".".join(str(step) for step in error.path[1:])
    definition = error.definition
    if error.rule == "required":
        lacking = ", ".join(name for name in definition["required"] if name not in error.value)
        return f"{where or 'The body'} lacks the required {lacking}."
    if error.rule == "additionalProperties" and definition.get("additionalProperties") is False:
        known = definition["properties"]
        unknown = ", ".join(sorted(name for name in error.value if name not in known))
        return (
            f"{where or 'The body'} has unknown fields: {unknown}. "
            f"At microversion 1.{minor} there are: {', '.join(sorted(known))}."
        )
    return f"{where} must be {definition.get('description', 'of another form')}."
