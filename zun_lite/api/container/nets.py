# SPDX-License-Identifier: Apache-2.0
"""The networks that a request names, still by name: `nets` of a create, and those of an attach or detach."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from zun_lite.domain import errors


@dataclass(frozen=True)
class WantedNet:
    """One of network and port, by id or name; neither is the caller's default network.

    fixed_ips: at most one of each IP version, with a network only.
    """

    network: str | None
    port: str | None
    fixed_ips: tuple[str, ...] = ()


def read_list(value: list[dict[str, Any]]) -> tuple[WantedNet, ...]:
    """`nets` of a create, whose form the schema has checked. Invalid."""
    return tuple(_read(f"nets.{position}", net) for position, net in enumerate(value))


def read_attach(parameters: dict[str, Any]) -> WantedNet:
    """network or port, or neither, and for a network a fixed_ip. Invalid."""
    network, port, fixed_ip = (_name(parameters, name) for name in ("network", "port", "fixed_ip"))
    if network is not None and port is not None:
        raise errors.Invalid("Name either a network or a port to attach, not both.", kind="InvalidValue")
    if fixed_ip is None:
        return WantedNet(network, port)
    if port is not None:
        raise errors.Invalid("A port has its addresses already; leave fixed_ip out.", kind="InvalidValue")
    address = _address(fixed_ip)
    if address is None:
        raise errors.Invalid(f"fixed_ip must be an IPv4 or IPv6 address, not '{fixed_ip}'.", kind="InvalidValue")
    return WantedNet(network, None, (str(address),))


def read_detach(parameters: dict[str, Any]) -> WantedNet:
    """Exactly one of network and port. Invalid."""
    network, port = (_name(parameters, name) for name in ("network", "port"))
    if (network is None) == (port is None):
        raise errors.Invalid("Name either a network or a port to detach.", kind="InvalidValue")
    return WantedNet(network, port)


def _read(where: str, net: dict[str, Any]) -> WantedNet:
    network, port = net.get("network"), net.get("port")
    if (network is None) == (port is None):
        raise errors.Invalid(f"{where} must name either a network or a port.")
    given = [(version, net.get(f"v{version}-fixed-ip")) for version in (4, 6)]
    wanted = [(version, text) for version, text in given if text]
    if port is not None and wanted:
        raise errors.Invalid(f"{where} names a port, which has its addresses already; leave the fixed ip out.")
    fixed_ips = []
    for version, text in wanted:
        address = _address(text)
        if address is None or address.version != version:
            raise errors.Invalid(f"{where}.v{version}-fixed-ip must be an IPv{version} address, not '{text}'.")
        fixed_ips.append(str(address))
    return WantedNet(network, port, tuple(fixed_ips))


def _name(parameters: dict[str, Any], name: str) -> str | None:
    """None where it is not given, is empty, or is the text None, as clients spell nothing."""
    value = parameters.get(name)
    if value is None or value in ("", "None"):
        return None
    if not isinstance(value, str) or len(value) > 255:
        raise errors.Invalid(f"{name} must be a string of 1 to 255 characters.", kind="InvalidValue")
    return value


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # a zone like fe80::1%eth0 means nothing outside of one machine
    return None if "%" in text else address
