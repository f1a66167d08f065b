# SPDX-License-Identifier: Apache-2.0
"""Docker's questions to a network driver: their form and time, what is refused, and what is never forgotten."""

from __future__ import annotations

import http.client
import json
import os
import socket
import tempfile
import threading
import time
import uuid
from typing import Any

import testtools

from zun_lite.domain import errors
from zun_lite.netd.libnetwork.calls import Calls
from zun_lite.netd.libnetwork.reservations import Reservations
from zun_lite.netd.libnetwork.server import PluginServer
from zun_lite.netd.locks import ObjectLocks
from zun_lite.netd.store import ContainerRecord, Store

NAME = "zun_lite"
NETWORK, OTHER = str(uuid.uuid4()), str(uuid.uuid4())
MAC, MAC_2 = "02:42:0a:01:00:05", "02:42:0a:01:00:06"
DOCKER_NETWORK, ENDPOINT = "a" * 64, "b" * 64
V4, V6 = "10.1.0.0/24", "fd00:9::/64"
OPTION = {"zun_lite.network": NETWORK}


class FakeApi:
    """Two networks with the same subnets; ports by network and MAC."""

    def __init__(self) -> None:
        self.away = False
        self.lost_answers = 0
        self.ports: dict[tuple[str, str], list[str]] = {}

    def shown_network(self, ident: str) -> dict[str, Any]:
        self._answer()
        if ident not in (NETWORK, OTHER, "net"):
            raise errors.Forbidden(f"No network {ident} is shown.")
        subnets = [{"cidr": V4, "gateway": "10.1.0.1"}, {"cidr": V6, "gateway": None}]
        return {"network_id": OTHER if ident == OTHER else NETWORK, "name": "net", "subnets": subnets}

    def docker_port(self, network_id: str, mac: str, cidr: str, ip: str | None) -> dict[str, Any]:
        self._answer()
        if ip == "10.1.0.99":
            raise errors.Conflict("The IP address is in use.")
        ips = self.ports.setdefault((network_id, mac), [])
        stem = "10.1.0." if cidr == V4 else "fd00:9::"
        ips += [] if any(known.startswith(stem) for known in ips) else [ip or f"{stem}5"]
        if self.lost_answers:
            self.lost_answers -= 1
            raise errors.Unavailable("The answer was lost.")
        return {
            "port_id": _port_id(network_id, mac),
            "network_id": network_id,
            "vni": 7,
            "mac": mac,
            "mtu": 1450,
            "default_route": True,
            "routes": [["10.9.0.0/16", "10.1.0.3"]],
            "addresses": [
                {"ip": item, "prefix_length": 24, "subnet_id": NETWORK, "gateway": "10.1.0.1"}
                if "." in item
                else {"ip": item, "prefix_length": 64, "subnet_id": NETWORK, "gateway": None}
                for item in ips
            ],
        }

    def docker_ports(self) -> list[dict[str, str]]:
        self._answer()
        return [{"port_id": _port_id(*known), "network_id": known[0], "mac": known[1]} for known in self.ports]

    def release_docker_port(self, port_id: str) -> None:
        self._answer()
        self.ports = {known: ips for known, ips in self.ports.items() if _port_id(*known) != port_id}

    def _answer(self) -> None:
        if self.away:
            raise errors.Unavailable("The API does not answer.")


def _port_id(network_id: str, mac: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, network_id + mac))


class FakeSwitchboard:
    """Links by endpoint; carrier: what is seen of each."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.carrier: bool | None = True
        self.announced: list[str] = []
        self.at_lend = lambda: None

    def lend(self, record: ContainerRecord, docker_fd: int) -> str:
        self.at_lend()
        self.store.save_container(record)
        return "zg0"

    def unplug(self, container_id: str) -> None:
        self.store.drop_container(container_id)

    def has_carrier(self, endpoint: Any) -> bool | None:
        return self.carrier

    def announce(self, container_id: str) -> None:
        self.announced.append(container_id)


class FakeDataplane:
    def await_port(self, endpoint: Any, seconds: float) -> bool:
        return True


class DriverCase(testtools.TestCase):
    grace_seconds = 100.0

    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.api = FakeApi()
        self.begin()

    def begin(self) -> None:
        """As a netd that starts, on what the one before it had kept."""
        self.store = Store(os.path.join(self.folder, "netd"))
        self.switchboard: Any = FakeSwitchboard(self.store)
        self.reservations = Reservations(
            self.store,
            ObjectLocks(),
            self.switchboard,
            FakeDataplane(),  # type: ignore[arg-type]
            lambda: self.api,
            self.grace_seconds,
        )
        self.calls = Calls(NAME, self.reservations)

    def ask(self, path: str, **body: Any) -> dict[str, Any]:
        return self.calls.answer(path, body, os.getpid())

    def pool(self, **body: Any) -> dict[str, Any]:
        return self.ask("/IpamDriver.RequestPool", **{"Options": OPTION, "Pool": "", "V6": False, **body})

    def address(self, cidr: str = V4, ip: str = "", mac: str = MAC, network: str = NETWORK) -> str:
        options = {"com.docker.network.endpoint.macaddress": mac}
        asked = {"PoolID": f"{network}/{cidr}", "Address": ip, "Options": options}
        return self.ask("/IpamDriver.RequestAddress", **asked)["Address"]

    def make_endpoint(self, mac: str = MAC, v4: str = "10.1.0.5/24", v6: str = "") -> dict[str, Any]:
        interface = {"MacAddress": mac, "Address": v4, "AddressIPv6": v6}
        known = {"NetworkID": DOCKER_NETWORK, "EndpointID": ENDPOINT, "Options": {}}
        return self.ask("/NetworkDriver.CreateEndpoint", **known, Interface=interface)

    def join(self) -> dict[str, Any]:
        return self.ask("/NetworkDriver.Join", NetworkID=DOCKER_NETWORK, EndpointID=ENDPOINT, SandboxKey="/s/1")

    def about_endpoint(self, verb: str) -> dict[str, Any]:
        return self.ask(f"/NetworkDriver.{verb}", NetworkID=DOCKER_NETWORK, EndpointID=ENDPOINT)

    def release(self, ip: str = "10.1.0.5", cidr: str = V4) -> None:
        self.assertEqual({}, self.ask("/IpamDriver.ReleaseAddress", PoolID=f"{NETWORK}/{cidr}", Address=ip))


class CallsTests(DriverCase):
    def test_a_pool_is_a_subnet_of_the_network_that_is_named(self) -> None:
        for ident in (NETWORK, "net"):
            found = self.pool(Options={"zun_lite.network": ident})
            self.assertEqual((f"{NETWORK}/{V4}", V4), (found["PoolID"], found["Pool"]))
            self.assertEqual({"com.docker.network.gateway": "10.1.0.1/24"}, found["Data"])
        self.assertEqual((V6, {}), (self.pool(V6=True)["Pool"], self.pool(V6=True)["Data"]))
        self.assertEqual(V6, self.pool(V6=True, Pool=V6)["Pool"])

    def test_what_cannot_be_is_refused_with_what_would_help(self) -> None:
        for words, path, body in (
            ("--ipam-opt zun_lite.network=", "RequestPool", {"Options": {}}),
            ("No network x", "RequestPool", {"Options": {"zun_lite.network": "x"}}),
            ("it has 10.1.0.0/24", "RequestPool", {"Options": OPTION, "Pool": "10.9.0.0/24"}),
            ("--ip-range", "RequestPool", {"Options": OPTION, "Pool": V4, "SubPool": "10.1.0.0/28"}),
            ("--aux-address", "RequestAddress", {"PoolID": f"{NETWORK}/{V4}", "Address": "10.1.0.7"}),
            ("PoolID", "RequestAddress", {"PoolID": "LocalDefault/172.17.0.0/16"}),
            ("PoolID", "ReleaseAddress", {"PoolID": f"{NETWORK}/rubbish", "Address": "10.1.0.7"}),
            ("Address", "ReleaseAddress", {"PoolID": f"{NETWORK}/{V4}", "Address": "rubbish"}),
        ):
            self.assertIn(words, self.assertRaises(errors.ZunError, self.ask, f"/IpamDriver.{path}", **body).message)
        self.assertEqual({}, self.api.ports)

    def test_dockers_gateway_is_the_subnets_and_takes_up_no_address(self) -> None:
        asked = {"PoolID": f"{NETWORK}/{V4}", "Options": {"RequestAddressType": "com.docker.network.gateway"}}
        path = "/IpamDriver.RequestAddress"
        self.assertEqual("10.1.0.1/24", self.ask(path, **asked, Address="10.1.0.1")["Address"])
        refused = self.assertRaises(errors.Invalid, self.ask, path, **asked, Address="10.1.0.9")
        self.assertIn("gateway of 10.1.0.0/24 is 10.1.0.1", refused.message)
        asked["PoolID"] = f"{NETWORK}/{V6}"
        self.assertEqual("fd00:9::/64", self.ask(path, **asked, Address="")["Address"])
        self.assertEqual({}, self.api.ports)

    def test_a_network_without_this_drivers_addresses_or_with_anothers_is_refused(self) -> None:
        def create(space: str, pool: str = V4, **generic: str) -> dict[str, Any]:
            data = [{"AddressSpace": space, "Pool": pool, "Gateway": "10.1.0.1/24"}]
            options = {"com.docker.network.generic": generic}
            return self.ask("/NetworkDriver.CreateNetwork", NetworkID=DOCKER_NETWORK, IPv4Data=data, Options=options)

        self.assertIn("--ipam-driver", self.assertRaises(errors.Invalid, create, "LocalDefault").message)
        wrong = self.assertRaises(errors.Conflict, create, f"{NAME}_local", "10.9.0.0/24", **OPTION)
        self.assertIn("-o and --ipam-opt", wrong.message)
        self.assertEqual({}, create(f"{NAME}_local"))
        self.assertEqual({}, create(f"{NAME}_local", **OPTION))

    def test_an_endpoint_of_another_network_than_docker_was_told_is_refused(self) -> None:
        data = [{"AddressSpace": f"{NAME}_local", "Pool": V4}]
        options = {"com.docker.network.generic": {"zun_lite.network": OTHER}}
        known = {"NetworkID": DOCKER_NETWORK, "IPv4Data": data, "Options": options}
        self.ask("/NetworkDriver.CreateNetwork", **known)
        self.address()
        self.assertIn("-o and --ipam-opt", self.assertRaises(errors.Conflict, self.make_endpoint).message)
        self.address(network=OTHER)
        self.assertEqual({"Interface": {}}, self.make_endpoint())
        self.ask("/NetworkDriver.DeleteNetwork", NetworkID=DOCKER_NETWORK)
        self.assertIsNone(self.store.shown(DOCKER_NETWORK))

    def test_a_container_joins_by_the_addresses_of_both_versions_on_one_port(self) -> None:
        self.assertEqual("10.1.0.5/24", self.address())
        self.assertEqual("fd00:9::5/64", self.address(V6))
        self.assertEqual([(NETWORK, MAC)], list(self.api.ports))
        self.assertEqual({"Interface": {}}, self.make_endpoint(v6="fd00:9::5/64"))
        joined = self.join()
        self.assertEqual({"SrcName": "zg0", "DstPrefix": "eth"}, joined["InterfaceName"])
        self.assertEqual(("10.1.0.1", ""), (joined["Gateway"], joined["GatewayIPv6"]))
        routes = {(route["Destination"], route["NextHop"]) for route in joined["StaticRoutes"]}
        self.assertIn(("10.9.0.0/16", "10.1.0.3"), routes)
        self.assertIn(("169.254.169.253/32", ""), routes)
        self.assertIs(True, joined["DisableGatewayService"])
        self.assertEqual(list(self.about_endpoint("EndpointOperInfo")["Value"]), ["zun_lite.port"])

    def test_an_endpoint_that_nobody_asked_an_address_for_is_refused(self) -> None:
        self.assertIn("--ipam-driver", self.assertRaises(errors.NotFound, self.make_endpoint).message)
        self.address()
        self.assertRaises(errors.NotFound, self.make_endpoint, MAC_2)
        self.assertRaises(errors.NotFound, self.make_endpoint, MAC, "10.1.0.6/24")
        self.assertEqual({"Interface": {}}, self.make_endpoint())

    def test_a_question_that_docker_repeats_without_its_contents_fails_in_words(self) -> None:
        for path in ("/NetworkDriver.Join", "/IpamDriver.ReleaseAddress", "/NetworkDriver.Leave"):
            self.assertIn("repeat the command", self.assertRaises(errors.Invalid, self.ask, path).message)
        self.assertEqual({"Implements": ["NetworkDriver", "IpamDriver"]}, self.ask("/Plugin.Activate"))

    def test_published_ports_are_refused_and_their_absence_is_not(self) -> None:
        path, known = "/NetworkDriver.ProgramExternalConnectivity", {"NetworkID": DOCKER_NETWORK}
        self.assertEqual({}, self.ask(path, **known, Options={"com.docker.network.portmap": []}))
        published = {"com.docker.network.portmap": [{"Proto": 6, "Port": 80, "HostPort": 8080}]}
        self.assertIn("floating IP", self.assertRaises(errors.Invalid, self.ask, path, Options=published).message)


class ReservationTests(DriverCase):
    def test_taking_away_is_answered_while_the_api_is_away_and_done_when_it_is_back(self) -> None:
        self.address()
        self.make_endpoint()
        self.join()
        self.api.away = True
        self.assertEqual({}, self.about_endpoint("Leave"))
        self.assertEqual({}, self.about_endpoint("DeleteEndpoint"))
        self.release()
        self.assertEqual([], self.store.containers())
        self.begin()
        self.assertRaises(errors.Unavailable, self.reservations.look)
        self.assertEqual([True], [known.leaving for known in self.store.reservations()])
        self.assertEqual([(NETWORK, MAC)], list(self.api.ports))
        self.api.away = False
        self.reservations.look()
        self.assertEqual(([], {}), (self.store.reservations(), self.api.ports))

    def test_everything_may_be_said_twice(self) -> None:
        for _ in range(2):
            self.address()
            self.make_endpoint()
            self.join()
        self.assertEqual(1, len(self.store.reservations()))
        for _ in range(2):
            self.about_endpoint("Leave")
            self.about_endpoint("DeleteEndpoint")
            self.release()
            self.reservations.look()
        self.assertEqual(([], {}), (self.store.reservations(), self.api.ports))

    def test_the_other_versions_address_goes_with_the_first(self) -> None:
        self.address()
        self.address(V6)
        self.release()
        self.release("fd00:9::5", V6)
        self.reservations.look()
        self.assertEqual({}, self.api.ports)

    def test_a_refused_address_leaves_nothing_and_a_lost_answer_is_given_back(self) -> None:
        self.assertRaises(errors.Conflict, self.address, ip="10.1.0.99")
        self.assertEqual([], self.store.reservations())
        self.api.lost_answers = 1
        self.assertRaises(errors.Unavailable, self.address)
        self.assertEqual(1, len(self.api.ports))
        self.reservations.look()
        self.assertEqual(([], {}), (self.store.reservations(), self.api.ports))

    def test_a_port_of_a_question_that_was_heard_too_late_goes_and_no_other(self) -> None:
        self.address()
        self.api.docker_port(NETWORK, MAC_2, V4, None)
        self.reservations.look(thoroughly=False)
        self.assertEqual(2, len(self.api.ports))
        self.reservations.look()
        self.assertEqual([(NETWORK, MAC)], list(self.api.ports))

    def test_a_port_that_is_reserved_anew_while_strays_are_looked_for_stays(self) -> None:
        for mac in (MAC, MAC_2):
            self.api.docker_port(NETWORK, mac, V4, None)
        release = self.api.release_docker_port

        def reserve_the_next(port_id: str) -> None:
            release(port_id)
            if port_id == _port_id(NETWORK, MAC):
                self.address(mac=MAC_2)

        self.api.release_docker_port = reserve_the_next  # type: ignore[method-assign]
        self.reservations.look()

        self.assertEqual([(NETWORK, MAC_2)], list(self.api.ports))

    def test_an_address_that_is_still_going_is_had_anew_by_the_same_mac_or_another(self) -> None:
        for mac in (MAC, MAC_2):
            self.address(ip="10.1.0.7")
            self.release("10.1.0.7")
            self.assertEqual("10.1.0.7/24", self.address(ip="10.1.0.7", mac=mac))
            self.assertEqual([(NETWORK, mac)], list(self.api.ports))
            self.release("10.1.0.7")

    def test_an_answer_that_is_not_what_was_asked_reaches_no_kernel(self) -> None:
        good = self.api.docker_port

        for wrong in ({"mac": MAC_2}, {"network_id": OTHER}, {"vni": -1}, {"mtu": 0}, {"addresses": [{"ip": "x"}]}):
            self.api.docker_port = lambda *asked, wrong=wrong: {**good(*asked), **wrong}  # type: ignore
            self.assertIn("is none", self.assertRaises(errors.Failed, self.address).message)
            self.assertRaises(errors.NotFound, self.make_endpoint)
            self.reservations.look()
            self.assertEqual(([], {}), (self.store.reservations(), self.api.ports))

    def test_an_endpoint_that_was_given_up_while_it_was_joined_has_no_link(self) -> None:
        self.address()
        self.make_endpoint()
        self.switchboard.at_lend = self.release
        self.assertRaises(errors.Conflict, self.join)
        self.assertEqual([], self.store.containers())

    def test_the_way_to_names_is_given_once_a_container(self) -> None:
        self.address()
        self.make_endpoint()
        self.assertTrue(self.reservations.join(ENDPOINT, "/s/1", 0)[2])
        self.address(mac=MAC_2, network=OTHER)
        self.reservations.claim("d" * 64, "e" * 64, MAC_2, frozenset())
        self.assertFalse(self.reservations.join("e" * 64, "/s/1", 0)[2])
        self.assertTrue(self.reservations.join("e" * 64, "/s/2", 0)[2])


class CollectingTests(DriverCase):
    grace_seconds = 0.0

    def test_what_stands_for_no_link_is_given_back(self) -> None:
        self.address()
        self.reservations.look()
        self.reservations.look()
        self.assertEqual(([], {}), (self.store.reservations(), self.api.ports))

    def test_a_container_that_is_seen_keeps_its_port_and_is_announced_once(self) -> None:
        self.address()
        self.make_endpoint()
        self.join()
        for carrier in (True, True, False):
            self.switchboard.carrier = carrier
            self.reservations.look()
        self.begin()
        self.switchboard.carrier = False
        self.reservations.look()
        self.assertEqual([False], [known.leaving for known in self.store.reservations()])

    def test_a_link_that_is_gone_or_never_came_into_a_container_is_given_back(self) -> None:
        for carrier in (None, False):
            self.switchboard.carrier = carrier
            self.address()
            self.make_endpoint()
            self.join()
            self.reservations.look()
            self.reservations.look()
            self.assertEqual(([], {}), (self.store.reservations(), self.api.ports))
            self.assertEqual([], self.store.containers())


class FakeAnswers:
    def __init__(self) -> None:
        self.go_on = threading.Event()

    def knows(self, path: str) -> bool:
        return path != "/NetworkDriver.AllocateNetwork"

    def answer(self, path: str, body: dict[str, Any], docker_pid: int) -> dict[str, Any]:
        if "slow" in body:
            self.go_on.wait(30)
        if "oops" in body:
            raise KeyError("oops")
        if "refuse" in body:
            raise errors.Conflict("It is taken.")
        return {"pid": docker_pid, "body": body}


class ServerTests(testtools.TestCase):
    seconds = 0.3

    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "zun_lite.sock")
        self.answers = FakeAnswers()
        self.addCleanup(self.answers.go_on.set)
        self.server = PluginServer(self.path, self.answers, self.seconds)
        self.server.start()
        self.addCleanup(self.server.stop)
        self.line = http.client.HTTPConnection("docker", timeout=20)
        self.line.sock = socket.socket(socket.AF_UNIX)
        self.line.sock.connect(self.path)
        self.addCleanup(self.line.close)

    def post(self, path: str, body: str = "{}") -> tuple[int, Any]:
        self.line.request("POST", path, body)
        answer = self.line.getresponse()
        content = answer.read().decode()

        return answer.status, json.loads(content)

    def test_several_questions_go_over_one_connection_and_who_asks_is_known(self) -> None:
        for body, seen in (("", {}), ("null", {}), ('{"a": 1}', {"a": 1})):
            self.assertEqual((200, {"pid": os.getpid(), "body": seen}), self.post("/Plugin.Activate", body))

    def test_a_failure_is_told_by_the_word_that_docker_looks_for(self) -> None:
        for body, words in (('{"refuse": 1}', "It is taken."), ('{"oops": 1}', "KeyError: 'oops'")):
            self.assertEqual((200, {"Err": words}), self.post("/NetworkDriver.Join", body))
            self.assertEqual((200, {"Error": words}), self.post("/IpamDriver.RequestPool", body))

    def test_what_is_not_done_in_time_is_answered_all_the_same(self) -> None:
        began = time.monotonic()
        status, answer = self.post("/NetworkDriver.Join", '{"slow": 1}')
        self.assertLess(time.monotonic() - began, 10)
        self.assertIn("within 0.3 s", answer["Err"])
        self.assertEqual(200, self.post("/NetworkDriver.Join")[0])

    def test_an_unknown_path_is_404_and_nonsense_400(self) -> None:
        self.assertEqual(404, self.post("/NetworkDriver.AllocateNetwork")[0])
        self.assertEqual(400, self.post("/NetworkDriver.Join", "nonsense")[0])

    def test_the_socket_is_roots_alone_and_has_one_listener(self) -> None:
        self.assertEqual(0o600, os.stat(self.path).st_mode & 0o777)
        second = PluginServer(self.path, self.answers)
        self.assertRaises(errors.Conflict, second.start)
        self.server.stop()
        self.assertFalse(os.path.exists(self.path))
