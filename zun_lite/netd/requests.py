# SPDX-License-Identifier: Apache-2.0
"""What may be asked of netd: each field is checked before anything is done with it.

netd has every privilege on the host, so that nothing from outside reaches the kernel, a path or a
name unchecked. Knows no state: whether a thing exists is not asked here.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import fields
from typing import Any

from zun_lite.domain import errors, names
from zun_lite.domain.plane import HostPlane
from zun_lite.domain.wiring import Address, Attachment, Endpoint
from zun_lite.netd.store import ContainerRecord, VolumeFile

FS_TYPES = ("xfs", "ext4")
MAX_ENDPOINTS = 32
MAX_VOLUMES = 64
MAX_LIST = 256
MAX_STILL_SECONDS = 3600
_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_MAX_NUMBER = 2**63 - 1


def container_record(body: dict[str, Any]) -> ContainerRecord:
    """The record that a plug request asks for."""
    _only(body, ("container_id", "workload", "epoch", "endpoints", "volumes"), "plug")
    endpoints = tuple(endpoint(item) for item in _list(body, "endpoints", MAX_ENDPOINTS))
    volumes = tuple(_volume(item) for item in _list(body, "volumes", MAX_VOLUMES))
    _all_different("port", [endpoint.port_id for endpoint in endpoints])
    _all_different("MAC address", [endpoint.mac for endpoint in endpoints])
    _all_different("volume", [volume.attachment.volume_id for volume in volumes])
    return ContainerRecord(
        container_id(body), _id(body, "workload"), _number(body, "epoch", 0, _MAX_NUMBER), endpoints, volumes
    )


def container_id(body: dict[str, Any]) -> str:
    value = body.get("container_id")
    if not isinstance(value, str) or not _CONTAINER_ID.fullmatch(value):
        raise errors.Invalid("container_id must be Docker's id of a container, 64 hex digits")
    return value


def only_container(body: dict[str, Any], operation: str) -> str:
    _only(body, ("container_id",), operation)
    return container_id(body)


def process(body: dict[str, Any]) -> tuple[str, int]:
    """The container and the process number of a wire request."""
    _only(body, ("container_id", "pid"), "wire")
    return container_id(body), _number(body, "pid", 2, 2**22)


def volume(body: dict[str, Any]) -> VolumeFile:
    """The attachment and the file of an attach request."""
    return _volume(body)


def host(body: dict[str, Any]) -> tuple[str, str]:
    """The name and the address of a connector request."""
    _only(body, ("host", "address"), "connector")
    words = body.get("host"), body.get("address")
    if not all(isinstance(word, str) and word for word in words):
        raise errors.Invalid("host and address must be texts")
    return str(words[0]), str(words[1])


def detachment(body: dict[str, Any]) -> tuple[str, int]:
    """The volume and the epoch of a detach request."""
    _only(body, ("volume_id", "epoch"), "detach")
    return _id(body, "volume_id"), _number(body, "epoch", 0, _MAX_NUMBER)


def freezing(body: dict[str, Any]) -> tuple[str, str, int]:
    """The volume, its file and the most seconds of a freeze request."""
    _only(body, ("volume_id", "path", "seconds"), "freeze")
    return _id(body, "volume_id"), _path(body), _number(body, "seconds", 1, MAX_STILL_SECONDS)


def settling(body: dict[str, Any]) -> tuple[str, str, str]:
    """The coming volume, its file and file system of a settle request."""
    _only(body, ("volume_id", "path", "fs_type"), "settle")
    return _id(body, "volume_id"), _path(body), _fs_type(body)


def socket_wanted(body: dict[str, Any]) -> tuple[str, int]:
    """The container and the IP version of a socket request."""
    _only(body, ("container_id", "family"), "socket")
    family = body.get("family")
    if isinstance(family, bool) or family not in (4, 6):
        raise errors.Invalid("family must be 4 or 6")
    return container_id(body), family


def only_volume(body: dict[str, Any], operation: str) -> str:
    _only(body, ("volume_id",), operation)
    return _id(body, "volume_id")


def plane(body: dict[str, Any]) -> HostPlane:
    """The plane of a plane request; what is in it is checked by planecheck.py."""
    _only(body, ("plane",), "plane")
    try:
        return HostPlane.from_json(body["plane"])
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise errors.Invalid(f"plane must be a host's plane as zun_lite/domain/plane.py has it: {error}") from None


def nothing(body: dict[str, Any], operation: str) -> None:
    _only(body, (), operation)


def endpoint(body: Any) -> Endpoint:
    """One port as its host must make it, as plug has it and as the API answers for Docker's."""
    _only(body, _names_of(Endpoint), "an endpoint")
    addresses = tuple(_address(item) for item in _list(body, "addresses", MAX_LIST))
    lowest_mtu = 1280 if any(":" in address.ip for address in addresses) else 68
    return Endpoint(
        port_id=_id(body, "port_id"),
        network_id=_id(body, "network_id"),
        vni=_number(body, "vni", 0, 2**24 - 1),
        mac=_mac(body),
        mtu=_number(body, "mtu", lowest_mtu, 65535),
        addresses=addresses,
        default_route=_truth(body, "default_route", False),
        routes=tuple(_route(item) for item in _list(body, "routes", MAX_LIST)),
        dns=tuple(str(_ip(item, "dns")) for item in _list(body, "dns", MAX_LIST)),
        owned=_truth(body, "owned", True),
    )


def _address(body: Any) -> Address:
    _only(body, _names_of(Address), "an address")
    ip = _ip(body.get("ip"), "ip")
    gateway = None if body.get("gateway") is None else _ip(body["gateway"], "gateway")
    if gateway is not None and gateway.version != ip.version:
        raise errors.Invalid(f"gateway {gateway} is not of the family of address {ip}")
    if ip.is_multicast or ip.is_unspecified or ip.is_loopback:
        raise errors.Invalid(f"{ip} is no address that a port can have")
    prefix_length = _number(body, "prefix_length", 0, ip.max_prefixlen)
    return Address(str(ip), prefix_length, _id(body, "subnet_id"), None if gateway is None else str(gateway))


def _route(item: Any) -> tuple[str, str]:
    if not isinstance(item, list) or len(item) != 2 or not all(isinstance(part, str) for part in item):
        raise errors.Invalid("each of routes must be a pair of destination and nexthop")
    if "%" in item[0]:
        raise errors.Invalid(f"route to {item[0]!r}: leave the zone out")
    try:
        destination = ipaddress.ip_network(item[0], strict=False)
    except ValueError as error:
        raise errors.Invalid(f"route to {item[0]!r}: {error}") from error
    nexthop = _ip(item[1], "nexthop")
    if nexthop.version != destination.version:
        raise errors.Invalid(f"nexthop {nexthop} is not of the family of {destination}")
    return str(destination), str(nexthop)


def _volume(body: Any) -> VolumeFile:
    _only(body, (*_names_of(Attachment), "path"), "a volume")
    attachment = Attachment(
        volume_id=_id(body, "volume_id"),
        epoch=_number(body, "epoch", 0, _MAX_NUMBER),
        size_gib=_number(body, "size_gib", 0, 2**20),
        target=_target(body),
        fs_type=_fs_type(body),
        formatted=_truth(body, "formatted", False),
        read_only=_truth(body, "read_only", False),
        owned=_truth(body, "owned", False),
        shared=_truth(body, "shared", False),
        connection=_connection(body),
    )
    if attachment.connection is not None and body.get("path") == "":
        return VolumeFile(attachment, "")
    return VolumeFile(attachment, _path(body))


def _connection(body: dict[str, Any]) -> dict[str, Any] | None:
    value = body.get("connection")
    if value is None:
        return None
    _only(value, ("driver_volume_type", "data"), "a connection")
    if not isinstance(value.get("driver_volume_type"), str) or not isinstance(value.get("data"), dict):
        raise errors.Invalid("a connection has the name of a driver_volume_type and an object of data")
    return value


def _fs_type(body: dict[str, Any]) -> str:
    value = body.get("fs_type", "xfs")
    if value not in FS_TYPES:
        raise errors.Invalid(f"fs_type must be one of {', '.join(FS_TYPES)}")
    return value


def _only(body: Any, known: tuple[str, ...], what: str) -> None:
    if not isinstance(body, dict):
        raise errors.Invalid(f"{what} must be a JSON object")
    unknown = sorted(set(body).difference(known))
    if unknown:
        raise errors.Invalid(f"{what} does not take {', '.join(unknown)}"[:200])


def _names_of(record: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(record))


def _list(body: dict[str, Any], name: str, most: int) -> list[Any]:
    value = body.get(name, [])
    if not isinstance(value, list) or len(value) > most:
        raise errors.Invalid(f"{name} must be a list of at most {most}")
    return value


def _all_different(what: str, values: list[str]) -> None:
    if len(set(values)) != len(values):
        raise errors.Invalid(f"the same {what} is named twice")


def _id(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or names.as_id(value) != value:
        raise errors.Invalid(f"{name} must be a UUID in lower case with dashes")
    return value


def _number(body: dict[str, Any], name: str, least: int, most: int) -> int:
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise errors.Invalid(f"{name} must be a whole number from {least} to {most}")
    return value


def _truth(body: dict[str, Any], name: str, default: bool) -> bool:
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise errors.Invalid(f"{name} must be true or false")
    return value


def _mac(body: dict[str, Any]) -> str:
    value = body.get("mac")
    if not isinstance(value, str) or not _MAC.fullmatch(value) or int(value[:2], 16) & 1 or not value.strip("0:"):
        raise errors.Invalid("mac must be a unicast MAC address in lower case with colons")
    return value


def _ip(value: Any, name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        if not isinstance(value, str) or "%" in value:
            raise ValueError
        return ipaddress.ip_address(value)
    except ValueError:
        raise errors.Invalid(f"{name} must be an IP address") from None


def _path(body: dict[str, Any]) -> str:
    value = body.get("path")
    if (
        not isinstance(value, str)
        or "\0" in value
        or not re.match(r"/(?!/)", value)
        or os.path.normpath(value) != value
    ):
        raise errors.Invalid("path must be absolute and without . or ..")
    return value


def _target(body: dict[str, Any]) -> str:
    """Where the container sees the volume; kept, not used, by netd."""
    value = body.get("target")
    if not isinstance(value, str) or "\0" in value or not value.startswith("/"):
        raise errors.Invalid("target must be an absolute path")
    return value
