# SPDX-License-Identifier: Apache-2.0
"""Reads the security profiles that an operator named: a YAML file, a mapping from names to what differs.

Knows the file's form only; what a profile may say is domain/security_profile.py's.
"""

from __future__ import annotations

import json
import os
import re

import yaml

from zun_lite.domain import errors
from zun_lite.domain.security_profile import SecurityProfile, read

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def load(path: str) -> dict[str, SecurityProfile]:
    """None where there is no file. Paths of seccomp filters are seen from its folder. Invalid: it cannot be used."""
    try:
        with open(path, encoding="utf-8") as file:
            found = yaml.safe_load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise errors.Invalid(f"The security profiles in {path} cannot be read: {error}.") from error
    if not isinstance(found or {}, dict):
        raise errors.Invalid(f"{path} must map names to security profiles.")
    return {name: _one(name, body, os.path.dirname(path)) for name, body in (found or {}).items()}


def _one(name: object, body: object, folder: str) -> SecurityProfile:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise errors.Invalid(f"A security profile is named by letters, digits, '.', '_' and '-', not {name!r}.")
    if isinstance(body, dict) and isinstance(body.get("seccomp"), str) and body["seccomp"] != "unconfined":
        body = {**body, "seccomp": _filter(name, os.path.join(folder, body["seccomp"]))}
    return read(name, body or {})


def _filter(name: str, path: str) -> str:
    """The text of a seccomp filter. That Docker takes it shows when a container is made."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError) as error:
        raise errors.Invalid(f"The seccomp filter of the security profile {name!r} cannot be read: {error}.") from error
    if not isinstance(found, dict) or found.get("defaultAction") not in ("SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"):
        raise errors.Invalid(
            f"The seccomp filter of the security profile {name!r}, {path}, must refuse what it does not name: "
            "a defaultAction of SCMP_ACT_ERRNO or SCMP_ACT_KILL_PROCESS."
        )
    return json.dumps(found, separators=(",", ":"))
