# SPDX-License-Identifier: Apache-2.0
"""The form of a capsule's template, and the sentence for what is not of it.

Each field's schema carries in its description what is allowed, as the end of "... must be". What
the values mean is read in capsule_template.py.
"""

from __future__ import annotations

from typing import Any

import fastjsonschema

from zun_lite.api.container.schema import NAME
from zun_lite.domain import errors

POLICIES = {"Always": "always", "OnFailure": "on-failure", "Never": "no"}
MOST_CONTAINERS, MOST_VOLUMES = 32, 32

_NAME = {
    "type": "string",
    "minLength": 2,
    "maxLength": 255,
    "pattern": NAME,
    "description": "2 to 255 letters, digits, '_', '.' and '-', the first a letter or a digit",
}
_STRINGS = {
    "type": ["object", "null"],
    "additionalProperties": {"type": "string", "description": "a string, as every value here"},
    "description": "an object whose values are strings",
}
_WORDS = {
    "type": ["array", "null"],
    "items": {"type": ["string", "number"], "description": "a string, as every item of it"},
    "description": "a list of strings",
}
_TRUTH = {"enum": [True, False, "True", "true", "False", "false", None], "description": "true or false"}
_POLICY = {"enum": [*POLICIES, None], "description": f"one of {', '.join(POLICIES)}"}
_NUMBER = {"type": ["number", "string", "null"], "description": "a number, or a string of its digits"}
_PORT = {
    "type": "object",
    "properties": {
        "containerPort": {"type": ["integer", "string"], "description": "a port from 1 to 65535"},
        "hostPort": {"type": ["integer", "string", "null"], "description": "a port; it is not used"},
        "name": {"type": ["string", "null"], "maxLength": 255, "description": "a name of up to 255 characters"},
        "protocol": {"enum": ["TCP", "UDP", "tcp", "udp", None], "description": "TCP or UDP"},
    },
    "required": ["containerPort"],
    "additionalProperties": False,
    "description": "an object with a containerPort",
}
_VOLUME_MOUNT = {
    "type": "object",
    "properties": {
        "name": _NAME,
        "mountPath": {"type": "string", "minLength": 1, "maxLength": 4096, "description": "an absolute path"},
        "readOnly": _TRUTH,
    },
    "required": ["name", "mountPath"],
    "additionalProperties": False,
    "description": "an object with the name of a volume and a mountPath",
}
_CONTAINER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "image": {"type": "string", "minLength": 2, "maxLength": 255, "description": "an image like nginx:1.27"},
        "name": {**_NAME, "type": ["string", "null"]},
        "command": _WORDS,
        "args": _WORDS,
        "resources": {
            "type": ["object", "null"],
            "properties": {
                "requests": {
                    "type": ["object", "null"],
                    "properties": {"cpu": _NUMBER, "memory": _NUMBER},
                    "additionalProperties": False,
                    "description": "an object with cpu and memory",
                }
            },
            "additionalProperties": False,
            "description": "an object with requests",
        },
        "ports": {"type": ["array", "null"], "items": _PORT, "maxItems": 64, "description": "a list of up to 64 ports"},
        "volumeMounts": {
            "type": ["array", "null"],
            "items": _VOLUME_MOUNT,
            "maxItems": MOST_VOLUMES,
            "description": f"a list of up to {MOST_VOLUMES} mounts",
        },
        "env": {
            "type": ["object", "null"],
            "additionalProperties": {"type": ["string", "number"], "description": "a string, as every value here"},
            "description": "an object whose values are strings",
        },
        "workDir": {"type": ["string", "null"], "maxLength": 4096, "description": "an absolute path in the container"},
        "imagePullPolicy": {
            "enum": ["never", "always", "ifnotpresent", "Never", "Always", "IfNotPresent", None],
            "description": "one of Always, IfNotPresent, Never",
        },
        "stdin": _TRUTH,
        "tty": _TRUTH,
    },
    "required": ["image"],
    "additionalProperties": False,
    "description": "an object with an image",
}
_VOLUME = {
    "type": "object",
    "properties": {
        "name": _NAME,
        "cinder": {
            "type": "object",
            "properties": {
                "volumeID": {"type": "string", "minLength": 36, "maxLength": 36, "description": "a volume's UUID"},
                "size": {"type": ["number", "string"], "description": "a size in GiB"},
                "autoRemove": _TRUTH,
            },
            "additionalProperties": False,
            "description": "an object with a volumeID or a size",
        },
    },
    "required": ["name", "cinder"],
    "additionalProperties": False,
    "description": "an object with a name and cinder",
}
TEMPLATE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["capsule", "Capsule"], "description": "capsule"},
        "capsuleVersion": {"enum": ["beta", "Beta"], "description": "beta"},
        "metadata": {
            "type": "object",
            "properties": {"name": {**_NAME, "type": ["string", "null"]}, "labels": _STRINGS, "annotations": _STRINGS},
            "description": "an object with name, labels and annotations",
        },
        "spec": {
            "type": "object",
            "properties": {
                "containers": {
                    "type": "array",
                    "items": _CONTAINER,
                    "minItems": 1,
                    "maxItems": MOST_CONTAINERS,
                    "description": f"a list of 1 to {MOST_CONTAINERS} containers",
                },
                # Fields besides these are let through here, as clients' templates may have them.
                "initContainers": {
                    "type": ["array", "null"],
                    "items": {**_CONTAINER, "additionalProperties": True},
                    "maxItems": MOST_CONTAINERS,
                    "description": f"a list of up to {MOST_CONTAINERS} containers",
                },
                "volumes": {
                    "type": ["array", "null"],
                    "items": _VOLUME,
                    "maxItems": MOST_VOLUMES,
                    "description": f"a list of up to {MOST_VOLUMES} volumes",
                },
                "restartPolicy": _POLICY,
            },
            "required": ["containers"],
            "description": "an object with containers",
        },
        "availabilityZone": {
            "type": ["string", "null"],
            "minLength": 1,
            "maxLength": 255,
            "description": "a zone's name of 1 to 255 characters",
        },
        "restartPolicy": _POLICY,
    },
    "required": ["kind", "metadata", "spec"],
    "additionalProperties": False,
    "description": "an object with kind, metadata and spec",
}


class TemplateSchema:
    """Compiled when built, which takes a moment; check() is fast."""

    def __init__(self) -> None:
        self._validate = fastjsonschema.compile(TEMPLATE, use_default=False)

    def check(self, template: Any) -> None:
        """Invalid, in a sentence that names the field and says what is allowed."""
        try:
            self._validate(template)
        except fastjsonschema.JsonSchemaValueException as error:
            raise errors.Invalid(_sentence(error), kind="SchemaValidationError") from error


def _sentence(error: fastjsonschema.JsonSchemaValueException) -> str:
    where = ".".join(["template", *(str(step) for step in error.path[1:])])
    definition = error.definition
    if error.rule == "required":
        lacking = ", ".join(name for name in definition["required"] if name not in error.value)
        return f"{where} lacks the required {lacking}."
    if error.rule == "additionalProperties" and definition.get("additionalProperties") is False:
        known = definition["properties"]
        unknown = ", ".join(sorted(str(name)[:80] for name in error.value if name not in known))
        return f"{where} has unknown fields: {unknown}. There are: {', '.join(sorted(known))}."
    return f"{where} must be {definition.get('description', 'of another form')}."
