# SPDX-License-Identifier: Apache-2.0
"""Where one installation keeps its things, and the few options that its supervisor must know.

Reads zun_lite.conf with the standard library alone, so that `zun-lite` starts in no time and the
supervisor stays small; what an option means is said in common/config.py, and the defaults here
must be those. The programs themselves read the file through common/config.py.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import tempfile
from dataclasses import dataclass

from zun_lite.domain import errors

DEFAULT_STATE_DIR = "/var/lib/zun_lite"
DEFAULT_DOCKER_SOCKET = "/var/run/docker.sock"
MARK = ".zun_lite"
_FOLDERS = ("run", "log", "bin", "keys", "volumes", "mounts", "netd", "agent")
# May be there before the first start: options and rules that are to hold from then on, and folders made ready for it.
_BEFORE_FIRST_UP = {"zun_lite.conf", "policy.yaml", "security_profiles.yaml", "bin", "log", "run"}
_NEAR = ("127.0.0.1", "::1", "localhost")
_NOT_PASSED_ON = ("ZUN_LITE_CONFIG", "ZUN_LITE_JOIN_TOKEN")

PROGRAMS = ("netd", "api", "controller", "gateway", "agent")
ON_A_HOST = ("netd", "agent")

_FIRST_CONFIG = """\
# Written by the first `zun-lite up`; yours to edit from then on.
# `zun-lite down`, then `zun-lite up`, makes an edit count.
[DEFAULT]
state_dir = {state_dir}
cluster = {cluster}

[api]
port = {port}

[gateway]
port = {gateway_port}

[agent]
port = {agent_port}
docker_socket = {docker_socket}
docker_runtime = {docker_runtime}
"""


@dataclass(frozen=True)
class Installation:
    """One zun_lite on this machine."""

    state_dir: str
    cluster: str = "zun"
    bind: str = "127.0.0.1"
    port: int = 9517
    gateway_bind: str = "127.0.0.1"
    gateway_port: int = 9519
    agent_bind: str = "127.0.0.1"
    agent_port: int = 9518
    docker_socket: str = DEFAULT_DOCKER_SOCKET
    docker_runtime: str = "zun-lite"
    host_name: str = ""
    journal_dir: str = ""
    netd_socket: str = ""
    netd_answer_seconds: float = 30.0
    docker_driver: str = "zun_lite"
    docker_driver_dir: str = "/run/docker/plugins"
    mount_dir: str = ""
    pool_dir: str = ""
    pool_shared: bool = False
    api_url: str = ""
    api_scheme: str = "http"
    programs: tuple[str, ...] = PROGRAMS
    host_key_file: str = ""
    host_key_days: float = 30.0

    @property
    def is_joined(self) -> bool:
        """Whether this is a host of a fleet whose API runs elsewhere."""
        return "api" not in self.programs

    @property
    def join_token_file(self) -> str:
        """What `zun-lite join` was given, until the agent has enrolled."""
        return self.path("keys", "join-token")

    def path(self, *parts: str) -> str:
        return os.path.join(self.state_dir, *parts)

    @property
    def config_file(self) -> str:
        return self.path("zun_lite.conf")

    @property
    def runtime_path(self) -> str:
        return self.path("bin", "zun-lite-runtime")

    @property
    def identity_file(self) -> str:
        """Where the agent notes that it has enrolled; it needs a token only while this is missing."""
        return os.path.join(self.journal_dir, "identity.json")

    @property
    def wants_to_join(self) -> bool:
        """Whether `zun-lite join` gave this host a token since it enrolled."""
        try:
            given = os.stat(self.join_token_file).st_mtime_ns
        except FileNotFoundError:
            return False
        return not os.path.exists(self.identity_file) or given > os.stat(self.identity_file).st_mtime_ns

    @property
    def clouds_file(self) -> str:
        return self.path("clouds.yaml")

    @property
    def state_file(self) -> str:
        return self.path("run", "supervisor.json")

    @property
    def lock_file(self) -> str:
        return self.path("run", "supervisor.lock")

    @property
    def api_address(self) -> tuple[str, int]:
        """Where this machine reaches the API."""
        return ("127.0.0.1" if self.bind in ("0.0.0.0", "::") else self.bind), self.port

    @property
    def own_api_url(self) -> str:
        return f"{self.api_scheme}://{self.api_address[0]}:{self.port}/"

    @property
    def environment(self) -> dict[str, str]:
        """What every program of this installation is started with: they reach each other past any proxy."""
        kept = {name: text for name, text in os.environ.items() if name not in _NOT_PASSED_ON}
        said = kept.get("no_proxy") or kept.get("NO_PROXY")
        near = ",".join(dict.fromkeys([*([said] if said else []), *_NEAR, self.bind, self.agent_bind]))
        return {
            **kept,
            "ZUN_LITE_STATE_DIR": self.state_dir,
            "PYTHONUNBUFFERED": "1",
            "no_proxy": near,
            "NO_PROXY": near,
        }


def chosen_state_dir(given: str | None) -> str:
    """--state-dir, else ZUN_LITE_STATE_DIR, else the default; absolute."""
    return os.path.abspath(given or os.environ.get("ZUN_LITE_STATE_DIR") or DEFAULT_STATE_DIR)


def read(state_dir: str, config_file: str | None = None) -> Installation:
    """The installation in a state directory, with the defaults where zun_lite.conf says nothing.

    config_file: another file than the one in that directory.
    """
    parser = configparser.ConfigParser(
        interpolation=None, strict=False, allow_no_value=True, default_section="no default section"
    )
    path = config_file or os.path.join(state_dir, "zun_lite.conf")
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise errors.Invalid(f"{path} cannot be read ({error}); mend it or move it away.") from error

    def text(section: str, option: str, default: str) -> str:
        return parser.get(section, option, fallback=None) or default

    def number(section: str, option: str, default: int) -> int:
        said = text(section, option, str(default))
        if not said.isdigit() or not 0 < int(said) < 65536:
            raise errors.Invalid(f"{path}: [{section}] {option} = {said} is not a port number; correct it.")
        return int(said)

    def span(section: str, option: str, default: float) -> float:
        said = text(section, option, str(default))
        try:
            return float(said)
        except ValueError:
            raise errors.Invalid(f"{path}: [{section}] {option} = {said} is no number; correct it.") from None

    def programs(said: str) -> tuple[str, ...]:
        named = {word.strip() for word in said.split(",")}
        if not named or named - set(PROGRAMS):
            raise errors.Invalid(
                f"{path}: [DEFAULT] programs = {said} must be some of {', '.join(PROGRAMS)}; correct it."
            )
        return tuple(name for name in PROGRAMS if name in named)

    return Installation(
        state_dir=state_dir,
        cluster=text("DEFAULT", "cluster", "zun"),
        bind=text("api", "bind", "127.0.0.1"),
        port=number("api", "port", 9517),
        gateway_bind=text("gateway", "bind", "127.0.0.1"),
        gateway_port=number("gateway", "port", 9519),
        agent_bind=text("agent", "bind", "127.0.0.1"),
        agent_port=number("agent", "port", 9518),
        docker_socket=text("agent", "docker_socket", DEFAULT_DOCKER_SOCKET),
        docker_runtime=text("agent", "docker_runtime", "zun-lite"),
        host_name=text("agent", "host_name", os.uname().nodename),
        journal_dir=text("agent", "journal_dir", os.path.join(state_dir, "agent")),
        netd_socket=text("netd", "socket", os.path.join(state_dir, "run/netd.sock")),
        netd_answer_seconds=span("netd", "answer_seconds", 30.0),
        docker_driver=text("netd", "libnetwork_name", "zun_lite"),
        docker_driver_dir=text("netd", "libnetwork_dir", "/run/docker/plugins"),
        mount_dir=text("netd", "mount_dir", os.path.join(state_dir, "mounts")),
        pool_dir=text("volume", "pool_dir", os.path.join(state_dir, "volumes")),
        api_scheme="https" if text("api", "tls_cert_file", "") else "http",
        # what cannot be understood is taken for shared, with which nothing is lost
        api_url=text("agent", "api_url", ""),
        programs=programs(text("DEFAULT", "programs", ",".join(PROGRAMS))),
        host_key_file=text("agent", "key_file", os.path.join(state_dir, "keys", "host.key")),
        host_key_days=span("api", "host_key_days", 30.0),
        pool_shared=text("agent", "pool_shared", "false").strip().lower() not in ("false", "0", "no", "off"),
    )


def cluster_of(state_dir: str) -> str:
    """The name of a new installation; never the same for two on one machine, whose kernel objects bear it."""
    if state_dir == DEFAULT_STATE_DIR:
        return "zun"
    return f"zun{hashlib.sha256(state_dir.encode()).hexdigest()[:6]}"


def exists(state_dir: str) -> bool:
    """Whether this state directory was made by `zun-lite up`."""
    return os.path.exists(os.path.join(state_dir, MARK))


def make_folders(state_dir: str) -> None:
    """The state directory and its folders, 0700; a folder full of other things is refused."""
    if not exists(state_dir) and os.path.isdir(state_dir) and set(os.listdir(state_dir)) - _BEFORE_FIRST_UP:
        raise errors.Conflict(
            f"{state_dir} holds files that zun_lite did not make, and `clean` removes the whole folder; "
            "name an empty or new folder with --state-dir."
        )
    os.makedirs(state_dir, mode=0o700, exist_ok=True)
    os.chmod(state_dir, 0o700)
    fill_folders(state_dir)
    mark = os.path.join(state_dir, MARK)
    if not os.path.exists(mark):
        write_file(mark, "This folder belongs to zun_lite; `zun-lite clean` removes it.\n")


def fill_folders(state_dir: str) -> None:
    """The folders in a state directory, each only where it is missing."""
    for name in _FOLDERS:
        os.makedirs(os.path.join(state_dir, name), mode=0o700, exist_ok=True)


def settle(
    state_dir: str,
    *,
    port: int | None,
    agent_port: int | None,
    docker_socket: str | None,
    gateway_port: int | None = None,
) -> Installation:
    """Write zun_lite.conf if there is none; else hold the file against what was asked for."""
    path = os.path.join(state_dir, "zun_lite.conf")
    if not os.path.exists(path):
        first = Installation(state_dir)
        write_file(
            path,
            _FIRST_CONFIG.format(
                state_dir=state_dir,
                cluster=cluster_of(state_dir),
                port=port or first.port,
                gateway_port=gateway_port or first.gateway_port,
                agent_port=agent_port or first.agent_port,
                docker_socket=docker_socket or first.docker_socket,
                docker_runtime=first.docker_runtime,
            ),
        )
    here = read(state_dir)
    asked = {
        "port": port,
        "agent_port": agent_port,
        "gateway_port": gateway_port,
        "docker_socket": docker_socket,
    }
    for name, wanted in asked.items():
        if wanted is not None and wanted != getattr(here, name):
            option = name.replace("_", "-")
            raise errors.Conflict(
                f"--{option} {wanted} was asked for, but {path} says {getattr(here, name)}; "
                "edit that file (while zun_lite is down), or leave the option out."
            )
    return here


def write_file(path: str, text: str, mode: int = 0o600) -> None:
    """Replace a file at one stroke, so that a reader or a crash never meets half of it."""
    folder = os.path.dirname(path)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    folder_handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(folder_handle)
    finally:
        os.close(folder_handle)
