# SPDX-License-Identifier: Apache-2.0
"""Commands for networks of what this server leaves out of Neutron: how each is said, and what it hears.

HOME is a network, PORT a port, ROUTER, POOL and FLOATING what they say, AGENT a host, PROJECT a project; NONE is the id
of nothing.
"""

from __future__ import annotations

# What is typed, by what is heard. A command's name ends with a colon.
SAID: dict[str, str] = {
    "There is nothing at": """
        address group create: group --address 10.0.0.0/24
        address group delete: group
        address group list:
        address group set: group --name other
        address group show: group
        address group unset: group --address 10.0.0.0/24
        default security group rule create: --protocol tcp --dst-port 80
        default security group rule delete: NONE
        default security group rule list:
        default security group rule show: NONE
        floating ip port forwarding create: --internal-ip-address 10.60.0.9 --port PORT --internal-protocol-port 80 \
            --external-protocol-port 80 --protocol tcp FLOATING
        floating ip port forwarding delete: FLOATING NONE
        floating ip port forwarding list: FLOATING
        floating ip port forwarding set: --internal-protocol-port 81 FLOATING NONE
        floating ip port forwarding show: FLOATING NONE
        local ip association create: local PORT
        local ip association delete: local PORT
        local ip association list: local
        local ip create:
        local ip delete: local
        local ip list:
        local ip set: local --name other
        local ip show: local
        network auto allocated topology create:
        network auto allocated topology delete:
        network flavor add profile: flavor NONE
        network flavor create: flavor --service-type L3_ROUTER_NAT
        network flavor delete: flavor
        network flavor list:
        network flavor profile create: --driver one
        network flavor profile delete: NONE
        network flavor profile list:
        network flavor profile set: NONE --driver one
        network flavor profile show: NONE
        network flavor remove profile: flavor NONE
        network flavor set: flavor --name other
        network flavor show: flavor
        network l3 conntrack helper create: ROUTER --helper tftp --protocol udp --port 69
        network l3 conntrack helper delete: ROUTER NONE
        network l3 conntrack helper list: ROUTER
        network l3 conntrack helper set: ROUTER NONE --port 70
        network l3 conntrack helper show: ROUTER NONE
        network meter create: meter
        network meter delete: meter
        network meter list:
        network meter rule create: meter --remote-ip-prefix 10.0.0.0/24
        network meter rule delete: NONE
        network meter rule list:
        network meter rule show: NONE
        network meter show: meter
        network onboard subnet: HOME POOL
        network segment create: segment --network HOME --network-type vxlan
        network segment delete: segment
        network segment list:
        network segment set: segment --name other
        network segment show: segment
        router ndp proxy create: ROUTER --name proxy --port PORT
        router ndp proxy delete: proxy
        router ndp proxy list:
        router ndp proxy set: proxy --name other
        router ndp proxy show: proxy
        security group default statefulness create: --stateless
        security group default statefulness delete: NONE
        security group default statefulness list:
        security group default statefulness set: NONE --stateless
        security group default statefulness show: NONE
        subnet pool add network: HOME POOL
    """,
    "This server has no": """
        address scope create: scope
        network rbac create: --type network --action access_as_shared --target-project PROJECT HOME
        network trunk create: trunk --parent-port PORT
    """,
    "found for": """
        address scope delete: scope
        address scope set: scope --name other
        address scope show: scope
        ip availability show: HOME
        network rbac delete: NONE
        network rbac set: NONE --target-project PROJECT
        network rbac show: NONE
        network subport list: --trunk trunk
        network trunk delete: trunk
        network trunk set: trunk --name other
        network trunk show: trunk
        network trunk subport add: trunk PORT
        network trunk subport list: trunk
        network trunk subport remove: trunk PORT
        network trunk unset: trunk --subport PORT
    """,
    "No Extension found": """
        network segment range create: range --private --network-type vxlan --minimum 1 --maximum 2
        network segment range delete: range
        network segment range list:
        network segment range set: range --name other
        network segment range show: range
    """,
    "external-gateway-multihoming extension is not enabled": """
        router add gateway: ROUTER external
        router remove gateway: ROUTER external
    """,
    "is not a method of": """
        network agent delete: AGENT
        network agent set: AGENT --disable
    """,
}
# What ends with 0 and says nothing, whatever it hears.
SILENT = """
    network agent add network: --dhcp AGENT HOME
    network agent add router: --l3 AGENT ROUTER
    network agent remove network: --dhcp AGENT HOME
    network agent remove router: --l3 AGENT ROUTER
    network agent router set: AGENT ROUTER --ha-chassis-priority 1
"""
# What lists as empty.
EMPTY = """
    address scope list:
    ip availability list:
    network rbac list:
    network service provider list:
    network trunk list:
"""


def lines(text: str) -> list[list[str]]:
    """The words of each command."""
    return [line.replace(":", "", 1).split() for line in text.splitlines() if line.strip()]


def named(text: str) -> list[str]:
    """Which commands these are: what stands before the colons."""
    return [line.partition(":")[0].strip() for line in text.splitlines() if line.strip()]
