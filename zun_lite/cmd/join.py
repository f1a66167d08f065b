# SPDX-License-Identifier: Apache-2.0
"""`zun-lite join`: make this machine a host of a fleet, with netd and an agent, whose API runs elsewhere.

The token is good once and for 15 minutes; the agent trades it for an identity of its own, whose key never
leaves this machine. From then on `zun-lite up`, `status`, `down` and `clean` work here as on one machine.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import time
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from zun_lite.client import cas
from zun_lite.cmd import installation, lock, startup
from zun_lite.cmd.installation import DEFAULT_DOCKER_SOCKET, ON_A_HOST, Installation
from zun_lite.common import join_token
from zun_lite.domain import errors

TOKEN_VARIABLE = "ZUN_LITE_JOIN_TOKEN"

_CONFIG = """\
# Written by `zun-lite join`; yours to edit from then on.
# `zun-lite down`, then `zun-lite up`, makes an edit count.
[DEFAULT]
state_dir = {state_dir}
cluster = {cluster}
programs = {programs}

[agent]
api_url = {api_url}
host_name = {name}
bind = {address}
port = {port}
docker_socket = {docker_socket}
docker_runtime = {docker_runtime}
{underlay}{ca}"""


@dataclass(frozen=True)
class Wish:
    """address: None is the one from which this machine reaches the API.

    ca_file: the CAs of the API's certificate; None are those of the token's fingerprint, else the machine's own.
    """

    api_url: str
    token: str
    name: str
    address: str | None = None
    agent_port: int = Installation.agent_port
    docker_socket: str | None = None
    insecure: bool = False
    ca_file: str | None = None


def join(state_dir: str, wish: Wish, *, detach: bool) -> int:
    """Set up and run; in the foreground it does not return, with detach it returns when the host has joined."""
    started = time.monotonic()
    host, port = _place(wish.api_url)
    _check_way(wish, host)
    if installation.exists(state_dir):
        here = installation.read(state_dir)
        if os.path.exists(here.identity_file) or not here.is_joined:
            return _again(here, wish, started, detach)
    address = wish.address or _own_address(host, port)
    authorities = _gain_cas(wish)
    installation.make_folders(state_dir)
    if authorities is not None:
        kept = _ca_file(state_dir)
        installation.write_file(kept, authorities)
        wish = replace(wish, ca_file=kept)
    installation.write_file(os.path.join(state_dir, "zun_lite.conf"), _config(state_dir, wish, address))
    here = installation.read(state_dir)
    installation.write_file(here.join_token_file, wish.token + "\n")
    return startup.run(here, started, detach=detach)


def read_token(path: str | None) -> str:
    """From a file, the environment, or what is typed or piped; never from the command line, which others see."""
    if path is not None:
        try:
            with open(path, encoding="ascii") as file:
                token = file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise errors.Invalid(f"--token-file cannot be read: {error}.") from error
    else:
        token = os.environ.pop(TOKEN_VARIABLE, "").strip()
        if not token:
            if sys.stdin.isatty():
                print("token of `zun-lite-manage host token`: ", end="", file=sys.stderr, flush=True)
            token = sys.stdin.readline().strip()
    if not token:
        raise errors.Invalid(
            "There is no token: make one with `zun-lite-manage host token --name NAME` where the API runs, and give it "
            f"by --token-file, in {TOKEN_VARIABLE}, or when asked."
        )
    return token


def _again(here: Installation, wish: Wish, started: float, detach: bool) -> int:
    """For a host whose key has ended or was revoked: its configuration and all that it holds stay."""
    if not here.is_joined or here.api_url != wish.api_url.rstrip("/"):
        raise errors.Conflict(
            f"{here.state_dir} is an installation already; `zun-lite up` starts it, `zun-lite clean` takes it back."
        )
    if lock.holder(here.lock_file) is not None:
        raise errors.Conflict("This host runs; to join anew, `zun-lite down` first. Its containers go on.")
    authorities = _gain_cas(wish) if os.path.exists(_ca_file(here.state_dir)) else None
    if authorities is not None:
        installation.write_file(_ca_file(here.state_dir), authorities)
    installation.write_file(here.join_token_file, wish.token + "\n")
    return startup.run(here, started, detach=detach)


def _ca_file(state_dir: str) -> str:
    """Where the CAs are kept that a token's fingerprint led to."""
    return os.path.join(state_dir, "keys", "ca.pem")


def _place(url: str) -> tuple[str, int]:
    """Host and port of the API."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise errors.Invalid(f"{url} is not an API's URL, such as https://cloud.example.org:9517.")
    return parts.hostname, port or (443 if parts.scheme == "https" else 80)


def _gain_cas(wish: Wish) -> str | None:
    """The CAs of the cloud, PEM, where the token says which they are and nobody else does."""
    fingerprint = join_token.parse(wish.token).ca_fingerprint
    if fingerprint is None or wish.ca_file or not wish.api_url.lower().startswith("https:"):
        return None
    return cas.gain(wish.api_url, fingerprint).decode("utf-8", "replace")


def _check_way(wish: Wish, host: str) -> None:
    if wish.ca_file and not os.access(wish.ca_file, os.R_OK):
        raise errors.Invalid(f"--ca-file {wish.ca_file} cannot be read.")
    if wish.api_url.lower().startswith("https:") or wish.insecure:
        return
    try:
        near = ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = host == "localhost"
    if not near:
        raise errors.Invalid(
            f"{wish.api_url} is plain http, over which the token and all that follows can be read and changed on the "
            "way; name it with https, or say --insecure if that network is yours alone."
        )


def _own_address(host: str, port: int) -> str:
    """The address from which this machine would reach the API; nothing is sent."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(place)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise errors.Unavailable(f"There is no way to {host} from this machine: {error}; correct the URL.") from error


def _config(state_dir: str, wish: Wish, address: str) -> str:
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError as error:
        raise errors.Invalid(f"--address {address} is not an IP address.") from error
    return _CONFIG.format(
        state_dir=state_dir,
        cluster=installation.cluster_of(state_dir),
        programs=", ".join(ON_A_HOST),
        api_url=wish.api_url.rstrip("/"),
        name=wish.name,
        address=address,
        port=wish.agent_port,
        docker_socket=wish.docker_socket or DEFAULT_DOCKER_SOCKET,
        docker_runtime=Installation.docker_runtime,
        # hosts on one machine need no tunnels, and could have none
        underlay="" if loopback else f"underlay_address = {address}\n",
        ca=f"\n[tls]\nca_file = {os.path.abspath(wish.ca_file)}\n" if wish.ca_file else "",
    )
