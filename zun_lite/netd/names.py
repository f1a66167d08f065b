# SPDX-License-Identifier: Apache-2.0
"""What netd calls things in the kernel, derived from ids, so that a name can always be found again.

A network's namespace is zl<cluster>-<12 hex of the network's id>; its bridge is br0; the outer
end of a port's link is zv<11 hex of a hash of cluster and port>, 13 of the 15 characters allowed.
A network's tunnel is zx..., a port's shaper zb..., by the same rule; zg... is a port's inner end until Docker has
taken it into a container. A router's namespace is
zl<cluster>-r<12 hex>, an external network's zl<cluster>-x<12 hex>; neither letter is a hex digit.
"""

from __future__ import annotations

import hashlib

BRIDGE, BRIDGE_MAC = "br0", "02:7a:6c:00:00:53"
LINK_PREFIX, TUNNEL_PREFIX, SHAPER_PREFIX = "zv", "zx", "zb"
GUEST_PREFIX = "zg"
OWN_PREFIXES = (LINK_PREFIX, TUNNEL_PREFIX, SHAPER_PREFIX)
ROUTER_PREFIX, EXTERNAL_PREFIX = "r", "x"
GATEWAY, HOST_END, INTERFACE_PREFIX = "gate", "zlhost", "zi"
METADATA_ADDRESSES = ("169.254.169.254", "fd00:ec2::254")


def namespace_prefix(cluster: str) -> str:
    """What every namespace of this cluster begins with; a cluster's name holds no dash."""
    return f"zl{cluster}-"


def namespace(cluster: str, network_id: str) -> str:
    return namespace_prefix(cluster) + _short(network_id)


def router(cluster: str, router_id: str) -> str:
    """A router's namespace."""
    return f"{namespace_prefix(cluster)}{ROUTER_PREFIX}{_short(router_id)}"


def external(cluster: str, network_id: str) -> str:
    """The namespace of an external network that has no bridge of the machine."""
    return f"{namespace_prefix(cluster)}{EXTERNAL_PREFIX}{_short(network_id)}"


def link(cluster: str, port_id: str) -> str:
    return LINK_PREFIX + _hashed(cluster, port_id)


def tunnel(cluster: str, network_id: str) -> str:
    return TUNNEL_PREFIX + _hashed(cluster, network_id)


def shaper(cluster: str, port_id: str) -> str:
    """The link through which what a port sends is slowed down."""
    return SHAPER_PREFIX + _hashed(cluster, port_id)


def guest(cluster: str, port_id: str) -> str:
    """A port's end on its way from Docker's own namespace into a container of Docker's."""
    return GUEST_PREFIX + _hashed(cluster, port_id)


def interface(port_id: str) -> str:
    """A router's end of its link to a network; alone in the router's namespace with others of its kind."""
    return INTERFACE_PREFIX + _hashed("", port_id)


def uplink(cluster: str, network_id: str) -> str:
    """The host's end of its link to an external network's namespace."""
    return "zu" + _hashed(cluster, network_id)


def host_table(cluster: str) -> str:
    """The host's own table of packet rules."""
    return f"zl_{cluster}"


def _short(object_id: str) -> str:
    return object_id.replace("-", "")[:12]


def _hashed(cluster: str, object_id: str) -> str:
    return hashlib.sha256((cluster + object_id).encode()).hexdigest()[:11]
