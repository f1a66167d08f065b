# SPDX-License-Identifier: Apache-2.0
"""What netd calls things in the kernel, derived from ids, so that a name can always be found again.

A network's namespace is zl<cluster>-<12 hex of the network's id>; its bridge is br0; the outer
end of a port's link is zv<11 hex of a hash of cluster and port>, 13 of the 15 characters allowed.
"""

from __future__ import annotations

import hashlib

BRIDGE = "br0"
LINK_PREFIX = "zv"


def namespace_prefix(cluster: str) -> str:
    """What every namespace of this cluster begins with; a cluster's name holds no dash."""
    return f"zl{cluster}-"


def namespace(cluster: str, network_id: str) -> str:
    return namespace_prefix(cluster) + network_id.replace("-", "")[:12]


def link(cluster: str, port_id: str) -> str:
    return LINK_PREFIX + hashlib.sha256((cluster + port_id).encode()).hexdigest()[:11]
