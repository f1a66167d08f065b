# SPDX-License-Identifier: Apache-2.0
"""What netd takes and what it refuses, field by field."""

from __future__ import annotations

import copy
import uuid
from typing import Any

import testtools

from zun_lite.domain import errors
from zun_lite.domain.wiring import Address, Endpoint
from zun_lite.netd import requests

SUBNET, NETWORK, PORT, WORKLOAD, VOLUME = (str(uuid.UUID(int=number)) for number in range(1, 6))
ADDRESS: dict[str, Any] = {"ip": "10.1.0.5", "prefix_length": 24, "subnet_id": SUBNET, "gateway": "10.1.0.1"}
ENDPOINT: dict[str, Any] = {
    "port_id": PORT,
    "network_id": NETWORK,
    "vni": 1001,
    "mac": "fa:16:3e:00:00:05",
    "mtu": 1450,
    "addresses": [ADDRESS],
    "default_route": True,
    "routes": [["192.168.0.0/16", "10.1.0.9"]],
    "dns": ["10.1.0.2"],
    "owned": True,
}
ATTACHED: dict[str, Any] = {
    "volume_id": VOLUME,
    "epoch": 1,
    "size_gib": 1,
    "target": "/data",
    "fs_type": "xfs",
    "formatted": True,
    "read_only": False,
    "owned": False,
    "path": "/pool/file.img",
}
PLUG: dict[str, Any] = {
    "container_id": "ab" * 32,
    "workload": WORKLOAD,
    "epoch": 1,
    "endpoints": [ENDPOINT],
    "volumes": [ATTACHED],
}


class PlugTests(testtools.TestCase):
    def test_a_whole_request_becomes_the_record_that_the_client_meant(self) -> None:
        record = requests.container_record(copy.deepcopy(PLUG))

        self.assertEqual(Endpoint.from_json(ENDPOINT), record.endpoints[0])
        self.assertEqual(Address("10.1.0.5", 24, SUBNET, "10.1.0.1"), record.endpoints[0].addresses[0])
        self.assertEqual("/pool/file.img", record.volumes[0].path)

    def test_each_wrong_field_is_refused_with_a_sentence(self) -> None:
        for path, value in (
            (("container_id",), "abc"),
            (("container_id",), "AB" * 32),
            (("container_id",), "../" + "ab" * 30),
            (("container_id",), None),
            (("workload",), "not-a-uuid"),
            (("workload",), WORKLOAD.replace("-", "")),
            (("epoch",), "1"),
            (("epoch",), -1),
            (("epoch",), True),
            (("epoch",), 2**63),
            (("endpoints",), {}),
            (("endpoints",), [ENDPOINT] * 33),
            (("endpoints",), [ENDPOINT, ENDPOINT]),
            (("endpoints",), ["x"]),
            (("more",), 1),
            (("endpoints", 0, "more"), 1),
            (("endpoints", 0, "port_id"), "zv00000000000"),
            (("endpoints", 0, "network_id"), NETWORK.upper() + "x"),
            (("endpoints", 0, "vni"), 2**24),
            (("endpoints", 0, "mac"), "fa:16:3e:00:00"),
            (("endpoints", 0, "mac"), "FA:16:3E:00:00:05"),
            (("endpoints", 0, "mac"), "01:16:3e:00:00:05"),
            (("endpoints", 0, "mac"), "00:00:00:00:00:00"),
            (("endpoints", 0, "mtu"), 20),
            (("endpoints", 0, "mtu"), 1450.5),
            (("endpoints", 0, "default_route"), "yes"),
            (("endpoints", 0, "routes"), [["192.168.0.0/16"]]),
            (("endpoints", 0, "routes"), [["192.168.0.0/33", "10.1.0.9"]]),
            (("endpoints", 0, "routes"), [["192.168.0.0/16", "fd00::1"]]),
            (("endpoints", 0, "routes"), [["fe80::%x/64", "fd00::1"]]),
            (("endpoints", 0, "dns"), ["ns.example.org"]),
            (("endpoints", 0, "addresses", 0, "ip"), "10.1.0.256"),
            (("endpoints", 0, "addresses", 0, "ip"), "fe80::1%eth0"),
            (("endpoints", 0, "addresses", 0, "ip"), "224.0.0.1"),
            (("endpoints", 0, "addresses", 0, "ip"), 167772165),
            (("endpoints", 0, "addresses", 0, "prefix_length"), 33),
            (("endpoints", 0, "addresses", 0, "gateway"), "fd00::1"),
            (("volumes", 0, "path"), "relative.img"),
            (("volumes", 0, "path"), "/pool/../etc/shadow"),
            (("volumes", 0, "path"), "//pool/file.img"),
            (("volumes", 0, "path"), "/pool/\0"),
            (("volumes", 0, "target"), "data"),
            (("volumes", 0, "fs_type"), "vfat"),
            (("volumes", 0, "read_only"), 1),
            (("volumes", 0, "volume_id"), "../../etc"),
        ):
            body = copy.deepcopy(PLUG)
            part: Any = body
            for step in path[:-1]:
                part = part[step]
            part[path[-1]] = value
            try:
                requests.container_record(body)
            except errors.Invalid as error:
                self.assertGreater(len(error.message), 10)
            else:
                self.fail(f"{path} = {value!r} was taken")

    def test_an_ipv6_address_needs_the_mtu_that_ipv6_needs(self) -> None:
        body = copy.deepcopy(PLUG)
        body["endpoints"][0].update(mtu=1000, routes=[])
        requests.container_record(copy.deepcopy(body))
        body["endpoints"][0]["addresses"] = [{"ip": "fd00::5", "prefix_length": 64, "subnet_id": SUBNET}]

        self.assertRaises(errors.Invalid, requests.container_record, body)


class OtherRequestTests(testtools.TestCase):
    def test_wire_takes_a_container_and_a_process(self) -> None:
        self.assertEqual(("ab" * 32, 77), requests.process({"container_id": "ab" * 32, "pid": 77}))
        for pid in (1, 0, -5, "77", None, 2**22 + 1):
            self.assertRaises(errors.Invalid, requests.process, {"container_id": "ab" * 32, "pid": pid})

    def test_detach_takes_a_volume_and_an_epoch(self) -> None:
        self.assertEqual((VOLUME, 3), requests.detachment({"volume_id": VOLUME, "epoch": 3}))
        self.assertRaises(errors.Invalid, requests.detachment, {"volume_id": VOLUME})

    def test_operations_without_arguments_take_none(self) -> None:
        requests.nothing({}, "list")
        self.assertRaises(errors.Invalid, requests.nothing, {"all": True}, "list")
