# SPDX-License-Identifier: Apache-2.0
"""A router whose host dies goes on at another one, and does not come back where it was.

The time after which a host is lost is a quarter of the usual here; tests/chaos has the usual one.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterator

from tests.fleet import OUTSIDE_GATEWAY, WORLD, Host
from tests.system.fleet_case import FleetTestCase
from tests.system.netd import frames
from tests.system.netd.talk import caller, connects, inside, listening, reaches_soon
from zun_lite.db import routers
from zun_lite.netd import names

ANSWER_SECONDS = 0.7


class RouterMovesTests(FleetTestCase):
    settings = {"scheduler": {"host_timeout_seconds": "10"}, "agent": {"heartbeat_seconds": "2.5"}}
    moves_within_seconds = 25.0
    returns_within_seconds = 20.0

    def test_a_router_of_a_dead_host_goes_on_at_another_and_only_there(self) -> None:
        network = self.fleet.make_dual_network(name="routed")
        (external,) = self.ask("GET", "networks?router:external=True")["networks"]
        gateway = {"network_id": external["id"]}
        router = self.make("router", "routers", name="moving", external_gateway_info=gateway)
        for subnet in self.ask("GET", f"subnets?network_id={network}")["subnets"]:
            self.ask("PUT", f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
        own = router["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
        group = self.make("security_group", "security-groups", name="open-8080")["id"]
        ports = {"port_range_min": 8080, "port_range_max": 8080, "protocol": "tcp", "direction": "ingress"}
        self.make("security_group_rule", "security-group-rules", security_group_id=group, **ports)
        self.fleet.wait(lambda: self.host_of_router(router["id"]), "the router has a host")
        old = self.host_of_router(router["id"])
        assert old is not None
        elsewhere = next(host for host in self.fleet.hosts if host is not old)
        server = self.running("server", network=network, host=elsewhere.name, security_groups=["default", "open-8080"])
        outward = self.running("outward", network=network, host=elsewhere.name)
        floating_ip = self.make("floatingip", "floatingips", floating_network_id=external["id"], port_id=server.port_id)
        floating = floating_ip["floating_ip_address"]

        with listening(self.fleet.switch, WORLD, 80) as world, listening(server, server.v4, 8080) as inner:

            def gets_out_and_in() -> bool:
                if not connects(outward, WORLD, 80, 1.0) or not connects(self.fleet.switch, floating, 8080, 1.0):
                    return False
                self.assertEqual(own, caller(world), "what goes out bears the router's address")
                self.assertEqual(OUTSIDE_GATEWAY, caller(inner))
                return True

            self.fleet.wait(gets_out_and_in, "the way out and in works", 20)
            self.assertFalse(reaches_soon(self.fleet.switch, floating, 8081), "what no rule allows does not get in")
            self.assertEqual([1, 1], [self.answers(ip) for ip in (own, floating)])

            self.fleet.power_off(old)
            died = time.monotonic()
            self.assertFalse(gets_out_and_in(), "the host is dead indeed")
            self.fleet.wait(gets_out_and_in, "the way out and in works again", self.moves_within_seconds)
            print(f"\nrouter: out and in again {time.monotonic() - died:.1f} s after its host died")
            new = self.host_of_router(router["id"])
            self.assertNotIn(new, (old, None))
            self.assertEqual([1, 1], [self.answers(ip) for ip in (own, floating)])

            # the old host's kernel, which still has the router, answers before its programs are back
            self.fleet.cut(old, connected=True)
            self.fleet.wait(lambda: self.answers(floating) == 2, "two answers would be noticed", 10)
            self.fleet.revive(old)
            back = time.monotonic()
            self.fleet.wait(
                lambda: [self.answers(ip) for ip in (own, floating)] == [1, 1],
                "one host alone has the router's addresses",
                self.returns_within_seconds,
            )
            print(f"router: one answer again {time.monotonic() - back:.1f} s after its old host's programs came back")
            self.fleet.wait_ready([old])
            self.assertNotIn(names.router(self.cluster, router["id"]), old.namespaces_of(self.cluster))
            self.assertIn(names.router(self.cluster, router["id"]), new.namespaces_of(self.cluster))
            self.assertTrue(gets_out_and_in())
            self.assertIs(new, self.host_of_router(router["id"]), "it stays where it went")
            self.assertEqual([1, 1], [self.answers(ip) for ip in (own, floating)])

    def host_of_router(self, router_id: str) -> Host | None:
        with self.fleet.database() as db, db.read() as tx:
            router = routers.get(tx, router_id)
            found = self.fleet.host_by_uuid(tx, router.host) if router is not None and router.host else None
        return found

    def answers(self, ip: str) -> int:
        """How many answer when the network outside is asked once who has an address."""
        with self.asker() as (sock, mac):
            sock.send(frames.arp(mac, mac, OUTSIDE_GATEWAY, ip))
            found, deadline = 0, time.monotonic() + ANSWER_SECONDS
            while (left := deadline - time.monotonic()) > 0 and select.select([sock], [], [], left)[0]:
                frame = sock.recv(2000)
                if frame[12:14] == b"\x08\x06" and frame[21] == 2 and frame[28:32] == frames.packed(ip):
                    found += 1
        return found

    @contextlib.contextmanager
    def asker(self) -> Iterator[tuple[socket.socket, str]]:
        def opened() -> socket.socket:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
            sock.bind(("ex0", 0x0806))
            return sock

        with inside(self.fleet.switch, opened) as sock:
            yield sock, sock.getsockname()[4].hex(":")
