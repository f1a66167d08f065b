# SPDX-License-Identifier: Apache-2.0
"""OpenStack's own Keystone as a test's own server, and a zun_lite whose users it knows.

Keystone lives in an environment of its own (KEYSTONE_VENV, made by `make test-openstack`). Its first database
and keys take a quarter of a minute to make, so they are made once for that environment and copied from there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import requests

from tests.cloud import Cloud, free_ports
from zun_lite.identity.catalog import INTERFACES, REGION, SERVICES

TOP = Path(__file__).resolve().parent.parent
START_LIMIT_SECONDS = 90.0
URL_OF_TEMPLATE = "http://keystone.invalid"
PASSWORDS = {"admin": "admin-of-the-tests", "demo": "demo-of-the-tests", "zun": "zun-of-the-tests"}
DEFAULT = {"id": "default"}


class RealKeystone:
    """start() brings it up, with the users admin, demo and zun, the last one a service. Use `with`, or both."""

    def __init__(self) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = Path(tempfile.gettempdir()) / f"zl-keystone-{uuid.uuid4().hex[:12]}"
        self._server: subprocess.Popen[bytes] | None = None
        self._token = ""

    def __enter__(self) -> RealKeystone:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        made, state = template(), self.folder / "state"
        self.folder.mkdir(mode=0o700)
        shutil.copytree(made, state)
        _write_configuration(state)
        with contextlib.closing(sqlite3.connect(state / "keystone.db")) as connection, connection:
            connection.execute("UPDATE endpoint SET url = replace(url, ?, ?)", (URL_OF_TEMPLATE, self.url))
        # Keystone would take gunicorn's words for its own.
        (self.folder / "served.py").write_text(
            "import sys\nsys.argv[1:] = []\nfrom keystone.wsgi.api import application\n"
        )
        with open(self.folder / "log", "wb") as log:
            self._server = subprocess.Popen(
                [
                    *(str(venv() / "bin" / "gunicorn"), "--bind", f"127.0.0.1:{self.port}", "--threads", "4"),
                    *("--worker-class", "gthread", "--no-control-socket", "served:application"),
                ],
                cwd=self.folder,
                env=_environment(state),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait()
            self._token = self.take_token("admin", {"project": {"name": "admin", "domain": DEFAULT}})
            self._make_accounts()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGTERM)
            self._server.wait(30)
            self._server = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def take_token(self, user: str, scope: Any) -> str:
        proof = {"name": user, "domain": DEFAULT, "password": PASSWORDS[user]}
        auth = {"identity": {"methods": ["password"], "password": {"user": proof}}, "scope": scope}
        answer = requests.post(f"{self.url}/v3/auth/tokens", json={"auth": auth}, timeout=30)
        answer.raise_for_status()
        return answer.headers["X-Subject-Token"]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON to the administrator; the test fails on a 4xx or 5xx."""
        headers = {"X-Auth-Token": self._token}
        answer = requests.request(method, f"{self.url}/v3/{path}", json=body, headers=headers, timeout=30)
        if answer.status_code >= 400:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def id_of(self, noun: str, name: str) -> str:
        (found,) = self.ask("GET", f"{noun}s?name={name}")[f"{noun}s"]
        return found["id"]

    def give(self, user: str, project: str, role: str) -> None:
        ids = [self.id_of(noun, name) for noun, name in (("project", project), ("user", user), ("role", role))]
        self.ask("PUT", "projects/{}/users/{}/roles/{}".format(*ids))

    def register(self, public_url: str) -> None:
        """Put the services of a zun_lite at this URL into the catalogue."""
        for kind, name, path in SERVICES:
            if kind == "identity":
                continue
            service = self.ask("POST", "services", {"service": {"type": kind, "name": name}})["service"]["id"]
            for interface in INTERFACES:
                made = {"service_id": service, "interface": interface, "region_id": REGION, "url": public_url + path}
                self.ask("POST", "endpoints", {"endpoint": made})

    def clouds(self) -> str:
        """A clouds.yaml for the users admin and demo."""
        lines = ["clouds:"]
        for name in ("admin", "demo"):
            lines += [
                *(f"  {name}:", "    auth:", f"      auth_url: {self.url}", f"      username: {name}"),
                *(f"      password: {PASSWORDS[name]}", f"      project_name: {name}"),
                *("      user_domain_id: default", "      project_domain_id: default"),
                *(f"    region_name: {REGION}", "    identity_api_version: '3'"),
            ]
        return "\n".join(lines) + "\n"

    def _make_accounts(self) -> None:
        for project, user, role in (("demo", "demo", "member"), ("service", "zun", "service")):
            self.ask("POST", "projects", {"project": {"name": project, "domain_id": "default"}})
            project_id = self.id_of("project", project)
            account = {"name": user, "domain_id": "default", "password": PASSWORDS[user]}
            self.ask("POST", "users", {"user": {**account, "default_project_id": project_id}})
            self.give(user, project, role)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while True:
            with contextlib.suppress(requests.RequestException):
                if requests.get(self.url, timeout=5).status_code == 300:
                    return
            if self._server is None or self._server.poll() is not None or time.monotonic() > deadline:
                log = (self.folder / "log").read_text(errors="replace")[-3000:]
                raise AssertionError(f"Keystone does not come up:\n{log}")
            time.sleep(0.1)


def settings_of(keystone: RealKeystone) -> dict[str, dict[str, str]]:
    """The options, by their sections, of a zun_lite whose users this Keystone knows."""
    asked_by = {
        "www_authenticate_uri": keystone.url,
        "auth_url": keystone.url,
        "auth_type": "password",
        "username": "zun",
        "password": PASSWORDS["zun"],
        "project_name": "service",
        "user_domain_id": "default",
        "project_domain_id": "default",
        "service_token_roles_required": "true",
    }
    identity = {"provider": "keystone", "admin_project_id": keystone.id_of("project", "admin")}
    return {"identity": identity, "keystone_authtoken": asked_by}


class KeystoneCloud(Cloud):
    """A cloud with [identity] provider = keystone."""

    def __init__(self, keystone: RealKeystone, settings: dict[str, dict[str, str]] | None = None) -> None:
        self.keystone = keystone
        super().__init__(settings={**settings_of(keystone), **(settings or {})})
        self._clouds = self.folder / "clouds.yaml"
        self._clouds.write_text(keystone.clouds())
        keystone.register(self.url)

    @property
    def identity_url(self) -> str:
        return self.keystone.url

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "OS_CLIENT_CONFIG_FILE": str(self._clouds)}

    def password(self, cloud: str) -> str:
        return PASSWORDS[cloud]


def venv() -> Path:
    found = Path(os.environ.get("KEYSTONE_VENV") or TOP / ".venv-keystone")
    if not (found / "bin" / "keystone-manage").exists():
        raise AssertionError(f"no Keystone in {found}: make test-openstack, or set KEYSTONE_VENV")
    return found


def template() -> Path:
    """The folder of a Keystone that was just bootstrapped; made by whoever needs it first."""
    made = venv() / "zun-lite-template"
    with open(venv() / "zun-lite-template.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            under_way = made.with_name(f"zun-lite-template.{uuid.uuid4().hex}")
            under_way.mkdir(mode=0o700)
            _bootstrap(under_way)
            under_way.rename(made)
    return made


def _bootstrap(state: Path) -> None:
    _write_configuration(state)
    urls = [word for name in INTERFACES for word in (f"--bootstrap-{name}-url", URL_OF_TEMPLATE)]
    accounts = ("--bootstrap-password", PASSWORDS["admin"], "--bootstrap-region-id", REGION)
    for words in (
        ("db_sync",),
        ("fernet_setup", "--keystone-user", "root", "--keystone-group", "root"),
        ("bootstrap", *accounts, *urls),
    ):
        subprocess.run(
            [str(venv() / "bin" / "keystone-manage"), "--config-file", str(state / "keystone.conf"), *words],
            env=_environment(state),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=300,
        )


def _write_configuration(state: Path) -> None:
    (state / "keystone.conf").write_text(
        f"[DEFAULT]\nuse_stderr = true\n[database]\nconnection = sqlite:///{state}/keystone.db\n"
        f"[fernet_tokens]\nkey_repository = {state}/fernet-keys\n"
        f"[fernet_receipts]\nkey_repository = {state}/fernet-keys\n"
        f"[credential]\nkey_repository = {state}/credential-keys\n"
        # What a password costs to check is no matter of these tests.
        "[identity]\npassword_hash_rounds = 4\n"
        "[auth]\nmethods = password,token,application_credential\n"
    )


def _environment(state: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "PYTHON"))}
    return {**kept, "OS_KEYSTONE_CONFIG_FILES": "keystone.conf", "OS_KEYSTONE_CONFIG_DIR": str(state)}
