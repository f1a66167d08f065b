# SPDX-License-Identifier: Apache-2.0
"""Tenants' networks and ports for a host's own Docker: what netd's libnetwork driver calls."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import asdict
from typing import Any

import falcon

from zun_lite.api.node import authenticate
from zun_lite.control import docker_ports
from zun_lite.control.means import Means
from zun_lite.domain import errors
from zun_lite.domain.names import as_id

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def resources(means: Means) -> list[tuple[str, Any, str | None]]:
    return [
        ("/node/v1/docker/networks", ShownNetwork(means), None),
        ("/node/v1/docker/ports", DockerPorts(means), None),
    ]


class ShownNetwork:
    """GET ?ident=: a network that the host may show its Docker, by id or name."""

    def __init__(self, means: Means) -> None:
        self._means = means

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        host = authenticate(self._means, req)
        resp.media = docker_ports.shown(self._means, host, req.get_param("ident", required=True))


class DockerPorts:
    """GET: all of the host's. PUT: the port with a MAC has an address of a subnet. DELETE ?port_id=: it is gone.

    All may be repeated.
    """

    def __init__(self, means: Means) -> None:
        self._means = means

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"ports": docker_ports.of_host(self._means, authenticate(self._means, req))}

    def on_put(self, req: falcon.Request, resp: falcon.Response) -> None:
        host = authenticate(self._means, req)
        body = req.get_media()
        network_id, mac, cidr = (_text(body, key) for key in ("network_id", "mac", "cidr"))
        ip = body.get("ip")
        try:
            wanted = None if ip is None else str(ipaddress.ip_address(ip))
        except ValueError as error:
            raise errors.Invalid(f"ip must be an address or null: {error}") from error
        endpoint = docker_ports.reserve(self._means, host, network_id, _mac(mac), cidr, wanted)
        req.context.audited_id = endpoint.port_id
        resp.media = asdict(endpoint)

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        host = authenticate(self._means, req)
        port_id = req.get_param("port_id", required=True)
        docker_ports.release(self._means, host, port_id)
        # one that is no id is nobody's, and may be any text
        req.context.audited_id = as_id(port_id) or "unknown"
        resp.status = falcon.HTTP_204


def _text(body: Any, key: str) -> str:
    value = body.get(key) if isinstance(body, dict) else None
    if not isinstance(value, str) or not 0 < len(value) <= 255:
        raise errors.Invalid(f"{key} must be a text of 1 to 255 characters.")
    return value


def _mac(text: str) -> str:
    if not _MAC.fullmatch(text) or int(text[:2], 16) & 1:
        raise errors.Invalid(f"mac {text[:40]} must be a MAC of one port, like 02:42:0a:01:00:05.")
    return text
