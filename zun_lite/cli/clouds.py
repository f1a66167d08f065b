# SPDX-License-Identifier: Apache-2.0
"""Which cloud, and as whom: clouds.yaml and OS_* variables, as the `openstack` command reads them."""

from __future__ import annotations

import os

from zun_lite.cli.failures import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_AUTH = (
    *("auth_url", "username", "user_id", "password", "user_domain_name", "user_domain_id", "token"),
    *("project_name", "project_id", "project_domain_name", "project_domain_id"),
    *("application_credential_id", "application_credential_name", "application_credential_secret"),
)


class CloudSettings:
    """auth: auth_url, username and so on, as in clouds.yaml."""

    def __init__(
        self,
        name: str,
        auth: dict[str, str],
        *,
        region: str = "",
        interface: str = "public",
        verify: bool = True,
        cacert: str | None = None,
        api_version: str = "1.40",
        endpoint: str = "",
    ) -> None:
        self.name = name
        self.auth = auth
        self.region = region
        self.interface = interface
        self.verify = verify
        self.cacert = cacert
        self.api_version = api_version
        self.endpoint = endpoint


def read(name: str | None, environment: Mapping[str, str]) -> CloudSettings:
    """The cloud of that name, else of OS_CLOUD, else what OS_* say, else the only one of clouds.yaml."""
    wanted = name or environment.get("OS_CLOUD") or ""
    if not wanted and environment.get("OS_AUTH_URL"):
        return _of_environment(environment)
    known = _from_files(environment)
    if not wanted and len(known) == 1:
        wanted = next(iter(known))
    if wanted not in known:
        told = f"Cloud {wanted!r} is not in clouds.yaml" if wanted else "No cloud was named"
        hint = f"there are {', '.join(sorted(known))}" if known else "no clouds.yaml was found"
        raise Failure(f"{told}; {hint}. Name one by --os-cloud or OS_CLOUD, or set OS_AUTH_URL and the like.")
    cloud = known[wanted]
    auth = {key: str(value) for key, value in (cloud.get("auth") or {}).items()}
    verify = cloud.get("verify", True)
    return CloudSettings(
        name=wanted,
        auth=auth,
        region=str(environment.get("OS_REGION_NAME") or cloud.get("region_name") or ""),
        interface=str(cloud.get("interface") or "public"),
        verify=str(verify).lower() not in ("false", "0", "no"),
        cacert=cloud.get("cacert"),
        api_version=_version(environment, cloud),
        endpoint=str(cloud.get("container_endpoint_override") or ""),
    )


def _of_environment(environment: Mapping[str, str]) -> CloudSettings:
    auth = {key: environment[f"OS_{key.upper()}"] for key in _AUTH if environment.get(f"OS_{key.upper()}")}
    return CloudSettings(
        name="",
        auth=auth,
        region=environment.get("OS_REGION_NAME", ""),
        interface=environment.get("OS_INTERFACE", "public").removesuffix("URL"),
        verify=environment.get("OS_INSECURE", "").strip().lower() not in ("true", "1", "yes", "on"),
        cacert=environment.get("OS_CACERT"),
        api_version=_version(environment, {}),
        endpoint=environment.get("OS_CONTAINER_ENDPOINT_OVERRIDE", ""),
    )


def _version(environment: Mapping[str, str], cloud: dict[str, Any]) -> str:
    found = environment.get("OS_CONTAINER_API_VERSION") or str(cloud.get("container_api_version") or "")
    return found if found.startswith("1.") and found[2:].isdigit() else "1.40"


def traces(name: str | None, environment: Mapping[str, str]) -> tuple[str, float] | None:
    """What the settings of a cloud of clouds.yaml are made of, without reading it, and when that was last changed.

    The text is another one once the cloud that is meant, one of its files or a variable is another. None: they are
    of no file.
    """
    wanted = name or environment.get("OS_CLOUD") or ""
    path = None if not wanted and environment.get("OS_AUTH_URL") else _file(environment)
    if path is None:
        return None
    told = [wanted, *(environment.get(name, "") for name in ("OS_REGION_NAME", "OS_CONTAINER_API_VERSION"))]
    changed = 0.0
    for item in (os.path.abspath(path), _secrets_beside(path)):
        try:
            found = os.stat(item)
        except OSError:
            continue
        marks = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        told += [item, *map(str, marks)]
        changed = max(changed, found.st_mtime, found.st_ctime)
    return "\n".join(told), changed


def _file(environment: Mapping[str, str]) -> str | None:
    home = environment.get("XDG_CONFIG_HOME") or os.path.join(environment.get("HOME", "/"), ".config")
    named = environment.get("OS_CLIENT_CONFIG_FILE")
    folders = ("", os.path.join(home, "openstack"), "/etc/openstack")
    for path in (*([named] if named else ()), *(os.path.join(folder, "clouds.yaml") for folder in folders)):
        if os.path.isfile(path):
            return path
    return None


def _secrets_beside(path: str) -> str:
    return os.path.join(os.path.dirname(os.path.abspath(path)), "secure.yaml")


def _from_files(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    path = _file(environment)
    if path is None:
        return {}
    secrets = _secrets_beside(path)
    return _merged(_clouds(path), _clouds(secrets) if os.path.isfile(secrets) else {})


def _clouds(path: str) -> dict[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        with open(path, encoding="utf-8") as file:
            found = yaml.load(file.read(), loader)  # noqa: S506 - a safe loader either way
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise Failure(f"{path} cannot be read: {error}") from error
    clouds = found.get("clouds") if isinstance(found, dict) else None
    return clouds if isinstance(clouds, dict) else {}


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    found = dict(one)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = _merged(found[key], value) if both else value
    return found
