# SPDX-License-Identifier: Apache-2.0
"""What Docker asks a network and IPAM driver, by path, and what it is answered.

Knows Docker's words and none of netd's records. A pool is a subnet of a tenant's network and its id says which, so
that pools of many networks may have the same addresses. Docker gives each port's MAC along when it asks for an
address (RequiresMACAddress), by which the addresses of both IP versions come to one port.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

from zun_lite.domain import errors
from zun_lite.domain.names import as_id
from zun_lite.domain.plane import DNS_ADDRESS, DNS_ADDRESS_V6
from zun_lite.domain.wiring import Endpoint
from zun_lite.netd import namespaces
from zun_lite.netd.libnetwork.reservations import Reservations

Body = dict[str, Any]
NETWORK_OPTION = "zun_lite.network"
IPAM_PREFIX = "/IpamDriver."
_GENERIC = "com.docker.network.generic"
_GATEWAY, _KIND_OF_ADDRESS = "com.docker.network.gateway", "RequestAddressType"
_MAC = "com.docker.network.endpoint.macaddress"
_PUBLISHED = "com.docker.network.portmap"
_ID = re.compile(r"[0-9a-f]{64}")
_LINK = "eth"
# what Docker asks without saying anything
_ABOUT_NOTHING = (
    "/Plugin.Activate",
    "/NetworkDriver.GetCapabilities",
    f"{IPAM_PREFIX}GetCapabilities",
    f"{IPAM_PREFIX}GetDefaultAddressSpaces",
)
_BY_A_NEXT_HOP, _ON_THE_LINK = 0, 1


class Calls:
    """name: what Docker knows this driver by. Raises the errors of domain/errors.py."""

    def __init__(self, name: str, reservations: Reservations) -> None:
        self._name = name
        self._space = f"{name}_local"
        self._reservations = reservations
        self._table: dict[str, Callable[[Body, int], Body]] = {
            "/Plugin.Activate": self._activate,
            "/NetworkDriver.GetCapabilities": lambda body, pid: {"Scope": "local", "ConnectivityScope": "local"},
            "/NetworkDriver.CreateNetwork": self._create_network,
            "/NetworkDriver.DeleteNetwork": self._delete_network,
            "/NetworkDriver.CreateEndpoint": self._create_endpoint,
            "/NetworkDriver.DeleteEndpoint": self._leave,
            "/NetworkDriver.EndpointOperInfo": self._tell,
            "/NetworkDriver.Join": self._join,
            "/NetworkDriver.Leave": self._leave,
            "/NetworkDriver.ProgramExternalConnectivity": self._publish,
            "/NetworkDriver.RevokeExternalConnectivity": _nothing,
            "/NetworkDriver.DiscoverNew": _nothing,
            "/NetworkDriver.DiscoverDelete": _nothing,
            f"{IPAM_PREFIX}GetCapabilities": lambda body, pid: {
                "RequiresMACAddress": True,
                "RequiresRequestReplay": False,
            },
            f"{IPAM_PREFIX}GetDefaultAddressSpaces": self._spaces,
            f"{IPAM_PREFIX}RequestPool": self._request_pool,
            f"{IPAM_PREFIX}ReleasePool": _nothing,
            f"{IPAM_PREFIX}RequestAddress": self._request_address,
            f"{IPAM_PREFIX}ReleaseAddress": self._release_address,
        }

    def knows(self, path: str) -> bool:
        return path in self._table

    def answer(self, path: str, body: Body, docker_pid: int) -> Body:
        """docker_pid: the process that asks."""
        if not body and path not in _ABOUT_NOTHING:
            # its client reads what it sends once, however often it has to send it
            raise errors.Invalid(
                "Docker repeated a question that a restart of zun_lite's netd had cut off, without its contents; "
                "repeat the command."
            )
        return self._table[path](body, docker_pid)

    def _activate(self, body: Body, docker_pid: int) -> Body:
        return {"Implements": ["NetworkDriver", "IpamDriver"]}

    def _spaces(self, body: Body, docker_pid: int) -> Body:
        return {"LocalDefaultAddressSpace": self._space, "GlobalDefaultAddressSpace": f"{self._name}_global"}

    def _request_pool(self, body: Body, docker_pid: int) -> Body:
        options = _object(body, "Options")
        ident = options.get(NETWORK_OPTION)
        if not isinstance(ident, str) or not ident:
            raise errors.Invalid(f"Say which network is meant: --ipam-opt {NETWORK_OPTION}=ID_OR_NAME.")
        if body.get("SubPool"):
            raise errors.Invalid("--ip-range cannot be chosen here; the subnet has allocation pools of its own.")
        shown = self._reservations.network(ident)
        version = 6 if body.get("V6") else 4
        subnet = _chosen(shown, version, _text(body, "Pool", ""))
        cidr, gateway = subnet["cidr"], subnet["gateway"]
        # without one Docker asks for it as for an address
        more = {_GATEWAY: f"{gateway}/{ipaddress.ip_network(cidr).prefixlen}"} if gateway else {}
        return {"PoolID": f"{shown['network_id']}/{cidr}", "Pool": cidr, "Data": more}

    def _request_address(self, body: Body, docker_pid: int) -> Body:
        network_id, cidr = _pool(body)
        options = _object(body, "Options")
        ip = _text(body, "Address", "")
        wanted = str(_ip(ip, "Address")) if ip else None
        if options.get(_KIND_OF_ADDRESS) == _GATEWAY:
            return {"Address": self._gateway(network_id, cidr, wanted), "Data": {}}
        mac = options.get(_MAC)
        if not isinstance(mac, str):
            raise errors.Invalid("--aux-address cannot be reserved here; make a port of the network instead.")
        address = self._reservations.reserve(network_id, mac.lower(), str(cidr), wanted)
        return {"Address": f"{address.ip}/{address.prefix_length}", "Data": {}}

    def _gateway(self, network_id: str, cidr: ipaddress.IPv4Network | ipaddress.IPv6Network, wanted: str | None) -> str:
        """What Docker shows as the gateway; a container's own comes with Join."""
        if wanted is None:
            return f"{cidr.network_address}/{cidr.prefixlen}"
        subnet = _chosen(self._reservations.network(network_id), cidr.version, str(cidr))
        if subnet["gateway"] != wanted:
            raise errors.Invalid(f"The gateway of {cidr} is {subnet['gateway'] or 'none'}; leave --gateway out.")
        return f"{wanted}/{cidr.prefixlen}"

    def _release_address(self, body: Body, docker_pid: int) -> Body:
        network_id, _ = _pool(body)
        self._reservations.give_back(network_id, str(_ip(_text(body, "Address"), "Address")))
        return {}

    def _create_network(self, body: Body, docker_pid: int) -> Body:
        docker_network = _docker_id(body, "NetworkID")
        pools = [*_list(body, "IPv4Data"), *_list(body, "IPv6Data")]
        if any(pool.get("AddressSpace") != self._space for pool in pools):
            raise errors.Invalid(
                f"Addresses of a tenant's network come from its API: add --ipam-driver {self._name} "
                f"--ipam-opt {NETWORK_OPTION}=ID_OR_NAME."
            )
        ident = _object(_object(body, "Options"), _GENERIC).get(NETWORK_OPTION)
        if isinstance(ident, str) and ident:
            shown = self._reservations.network(ident)
            known = {subnet["cidr"] for subnet in shown["subnets"]}
            others = sorted({str(pool.get("Pool")) for pool in pools} - known)
            if others:
                raise errors.Conflict(
                    f"Network {shown['network_id']} has no subnet {', '.join(others)}; -o and --ipam-opt must name "
                    "the same network."
                )
            self._reservations.show(docker_network, shown["network_id"])
        return {}

    def _delete_network(self, body: Body, docker_pid: int) -> Body:
        self._reservations.hide(_docker_id(body, "NetworkID"))
        return {}

    def _create_endpoint(self, body: Body, docker_pid: int) -> Body:
        interface = _object(body, "Interface")
        addresses = [_text(interface, key, "") for key in ("Address", "AddressIPv6")]
        ips = frozenset(str(_ip(text.partition("/")[0], "Address")) for text in addresses if text)
        mac = _text(interface, "MacAddress").lower()
        self._reservations.claim(_docker_id(body, "NetworkID"), _docker_id(body, "EndpointID"), mac, ips)
        # Docker knows all of it already, and takes a repetition for a contradiction
        return {"Interface": {}}

    def _join(self, body: Body, docker_pid: int) -> Body:
        endpoint_id = _docker_id(body, "EndpointID")
        with namespaces.of_most_threads(docker_pid) as docker_fd:
            endpoint, link, names_too = self._reservations.join(endpoint_id, _text(body, "SandboxKey"), docker_fd)
        return {
            "InterfaceName": {"SrcName": link, "DstPrefix": _LINK},
            "Gateway": _gateway_of(endpoint, 4),
            "GatewayIPv6": _gateway_of(endpoint, 6),
            "StaticRoutes": [*_host_routes(endpoint), *(_routes_to_names(endpoint) if names_too else ())],
            # a network without a way out has none, rather than the host's
            "DisableGatewayService": True,
        }

    def _leave(self, body: Body, docker_pid: int) -> Body:
        self._reservations.leave(_docker_id(body, "EndpointID"))
        return {}

    def _tell(self, body: Body, docker_pid: int) -> Body:
        endpoint = self._reservations.endpoint(_docker_id(body, "EndpointID"))
        return {"Value": {"zun_lite.port": endpoint.port_id} if endpoint else {}}

    def _publish(self, body: Body, docker_pid: int) -> Body:
        if _object(body, "Options").get(_PUBLISHED):
            raise errors.Invalid(
                "Ports of a tenant's network are not published on the host (-p); give the port a floating IP instead."
            )
        return {}


def _nothing(body: Body, docker_pid: int) -> Body:
    return {}


def _chosen(shown: dict[str, Any], version: int, pool: str) -> dict[str, Any]:
    """The subnet that is meant; without a pool, the oldest one of the IP version."""
    fitting = [item for item in shown["subnets"] if ipaddress.ip_network(item["cidr"]).version == version]
    if pool:
        fitting = [item for item in shown["subnets"] if item["cidr"] == str(_cidr(pool, "Pool"))]
    if fitting:
        return fitting[0]
    has = ", ".join(item["cidr"] for item in shown["subnets"]) or "none"
    raise errors.Invalid(f"Network {shown['network_id']} has no subnet {pool or f'of IPv{version}'}; it has {has}.")


def _gateway_of(endpoint: Endpoint, version: int) -> str:
    gateways = [address.gateway for address in endpoint.addresses if address.gateway is not None]
    return next((gateway for gateway in gateways if ipaddress.ip_address(gateway).version == version), "")


def _host_routes(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {"Destination": destination, "RouteType": _BY_A_NEXT_HOP, "NextHop": nexthop}
        for destination, nexthop in endpoint.routes
    ]


def _routes_to_names(endpoint: Endpoint) -> list[dict[str, Any]]:
    """To where containers ask for names; the same on every network, and a container can have it once only."""
    versions = {ipaddress.ip_address(address.ip).version for address in endpoint.addresses}
    places = [(4, f"{DNS_ADDRESS}/32"), (6, f"{DNS_ADDRESS_V6}/128")]
    return [
        {"Destination": place, "RouteType": _ON_THE_LINK, "NextHop": ""}
        for version, place in places
        if version in versions
    ]


def _pool(body: Body) -> tuple[str, ipaddress.IPv4Network | ipaddress.IPv6Network]:
    network_id, _, cidr = _text(body, "PoolID").partition("/")
    if as_id(network_id) != network_id:
        raise errors.Invalid("PoolID is none of this driver's.")
    return network_id, _cidr(cidr, "PoolID")


def _docker_id(body: Body, name: str) -> str:
    value = _text(body, name)
    if not _ID.fullmatch(value):
        raise errors.Invalid(f"{name} must be 64 hex digits.")
    return value


def _text(body: Body, name: str, default: str | None = None) -> str:
    value = body.get(name, default)
    if not isinstance(value, str) or (default is None and not value) or len(value) > 4096:
        raise errors.Invalid(f"{name} must be a text.")
    return value


def _object(body: Body, name: str) -> dict[str, Any]:
    value = body.get(name) or {}
    if not isinstance(value, dict):
        raise errors.Invalid(f"{name} must be an object.")
    return value


def _list(body: Body, name: str) -> list[Any]:
    value = body.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise errors.Invalid(f"{name} must be a list of objects.")
    return value


def _ip(text: str, name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise errors.Invalid(f"{name} must be an IP address.") from None


def _cidr(text: str, name: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise errors.Invalid(f"{name} must be a CIDR: {error}.") from None
