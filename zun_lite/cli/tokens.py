# SPDX-License-Identifier: Apache-2.0
"""Tokens of the identity service, kept between commands in files that are their user's alone.

A file is named by a digest of the cloud, the user and the project, and holds the token, its end and where
the services are: nothing by which another token could be had. One that others could read or write is
not believed.
"""

from __future__ import annotations

import json
import os
import stat
import time

from zun_lite.cli.failures import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from zun_lite.cli.clouds import CloudSettings
    from zun_lite.cli.transport import Transport

SERVICE_TYPES = ("container", "application-container")
# a token that is about to end is not begun with
MARGIN_SECONDS = 120
# a file that was changed so lately may change again without looking any different
SETTLED_SECONDS = 2.0
_SECRETS = ("password", "application_credential_secret", "token")


class Pass:
    """A token and where it is good. streams: the gateway, "" where there is none or it was not looked for."""

    def __init__(self, token: str, expires_at: float, endpoint: str, project_id: str = "", streams: str = "") -> None:
        self.token = token
        self.expires_at = expires_at
        self.endpoint = endpoint
        self.project_id = project_id
        self.streams = streams

    def with_streams(self, streams: str) -> Pass:
        return Pass(self.token, self.expires_at, self.endpoint, self.project_id, streams)


class Way:
    """How a cloud is spoken to, of its settings. key: of the file with its token."""

    def __init__(self, key: str, verify: bool, cacert: str | None, api_version: str) -> None:
        self.key = key
        self.verify = verify
        self.cacert = cacert
        self.api_version = api_version


class TokenFiles:
    """folder: None keeps nothing. key: of a cloud's settings, by key_of()."""

    def __init__(self, folder: str | None) -> None:
        self._folder = folder

    def read(self, key: str) -> Pass | None:
        try:
            kept = Pass(**self._read(key))
        except TypeError:
            return None
        return kept if kept.expires_at > time.time() + MARGIN_SECONDS else None

    def write(self, key: str, kept: Pass) -> None:
        """Not to be able to is no reason to fail."""
        self._write(key, vars(kept))

    def forget(self, key: str) -> None:
        try:
            os.unlink(os.path.join(self._folder or "", key))
        except OSError:
            return

    def read_way(self, traces: tuple[str, float] | None) -> Way | None:
        """The way to a cloud whose settings are made of these traces (see clouds.py), if it is known."""
        if traces is None:
            return None
        kept = self._read(_name_of_way(traces))
        try:
            return Way(**kept["way"]) if kept["of"] == traces[0] else None
        except (TypeError, KeyError):
            return None

    def write_way(self, traces: tuple[str, float] | None, way: Way) -> None:
        if traces is not None and traces[1] < time.time() - SETTLED_SECONDS:
            self._write(_name_of_way(traces), {"of": traces[0], "way": vars(way)})

    def _read(self, name: str) -> Any:
        if self._folder is None:
            return None
        try:
            with open(os.path.join(self._folder, name), "rb", opener=_no_links) as file:
                found = os.fstat(file.fileno())
                if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
                    return None
                return json.loads(file.read())
        except (OSError, ValueError):
            return None

    def _write(self, name: str, content: dict[str, Any]) -> None:
        if self._folder is None:
            return
        half = os.path.join(self._folder, f"{name}.{os.getpid()}")
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            os.chmod(self._folder, 0o700)
            with os.fdopen(os.open(half, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                json.dump(content, file)
            os.replace(half, os.path.join(self._folder, name))
        except OSError:
            return


def key_of(cloud: CloudSettings) -> str:
    """Another one for another cloud, user, password or project."""
    import hashlib

    who = {key: value for key, value in cloud.auth.items() if key not in _SECRETS}
    # whoever has another password is somebody else
    secret = hashlib.sha256("\0".join(cloud.auth.get(key, "") for key in _SECRETS).encode()).hexdigest()
    told = json.dumps([cloud.name, who, secret, cloud.region, cloud.interface, cloud.endpoint], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _name_of_way(traces: tuple[str, float]) -> str:
    # of several that have the same name, the last is known
    name = "".join(letter for letter in traces[0].partition("\n")[0] if letter.isalnum())
    return f"way-{name[:40]}"


def folder_of(environment: Mapping[str, str]) -> str | None:
    if environment.get("ZL_TOKEN_CACHE") == "off":
        return None
    home = environment.get("XDG_CACHE_HOME") or os.path.join(environment.get("HOME", ""), ".cache")
    return os.path.join(home, "zun_lite", "tokens") if os.path.isabs(home) else None


def take(transport: Transport, cloud: CloudSettings) -> Pass:
    """A new token, of the credentials that the cloud's settings hold."""
    auth = cloud.auth
    url = auth.get("auth_url", "").rstrip("/")
    if not url:
        raise Failure("Where the identity service is was not said: auth_url in clouds.yaml, or OS_AUTH_URL.")
    url = url if url.endswith("/v3") else f"{url}/v3"
    body = json.dumps({"auth": _request(auth)}).encode()
    answer = transport.call("POST", f"{url}/auth/tokens", {"Content-Type": "application/json"}, body)
    if answer.status == 401:
        raise Failure("The identity service does not accept these credentials; check user, password and project.")
    if answer.status >= 400:
        raise Failure(f"The identity service answered {answer.status} at {url}.", status=answer.status)
    import calendar

    token = answer.json()["token"]
    return Pass(
        token=answer.headers["x-subject-token"],
        expires_at=calendar.timegm(time.strptime(token["expires_at"][:19], "%Y-%m-%dT%H:%M:%S")),
        endpoint=cloud.endpoint or _endpoint(token.get("catalog") or [], cloud),
        project_id=(token.get("project") or {}).get("id", ""),
    )


def _no_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _request(auth: dict[str, str]) -> dict[str, Any]:
    if auth.get("application_credential_secret"):
        credential: dict[str, Any] = {"secret": auth["application_credential_secret"]}
        if auth.get("application_credential_id"):
            credential["id"] = auth["application_credential_id"]
        else:
            credential |= {"name": auth.get("application_credential_name", ""), "user": _user(auth)}
        return {"identity": {"methods": ["application_credential"], "application_credential": credential}}
    if auth.get("token"):
        identity: dict[str, Any] = {"methods": ["token"], "token": {"id": auth["token"]}}
    else:
        user = {**_user(auth), "password": auth.get("password", "")}
        identity = {"methods": ["password"], "password": {"user": user}}
    scope: dict[str, Any] = {}
    if auth.get("project_id"):
        scope = {"scope": {"project": {"id": auth["project_id"]}}}
    elif auth.get("project_name"):
        domain = _domain(auth, "project")
        scope = {"scope": {"project": {"name": auth["project_name"], "domain": domain}}}
    return {"identity": identity, **scope}


def _user(auth: dict[str, str]) -> dict[str, Any]:
    if auth.get("user_id"):
        return {"id": auth["user_id"]}
    return {"name": auth.get("username", ""), "domain": _domain(auth, "user")}


def _domain(auth: dict[str, str], of: str) -> dict[str, str]:
    if auth.get(f"{of}_domain_name"):
        return {"name": auth[f"{of}_domain_name"]}
    return {"id": auth.get(f"{of}_domain_id") or "default"}


def _endpoint(catalog: list[dict[str, Any]], cloud: CloudSettings) -> str:
    for service in catalog:
        if service["type"] in SERVICE_TYPES:
            for endpoint in service["endpoints"]:
                if endpoint["interface"] == cloud.interface and cloud.region in ("", endpoint.get("region")):
                    return str(endpoint["url"]).rstrip("/")
    raise Failure("The cloud's catalogue has no container service; is this the right cloud, project and region?")
