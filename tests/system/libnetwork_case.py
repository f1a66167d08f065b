# SPDX-License-Identifier: Apache-2.0
"""What tests of the driver for a host's own Docker share: a cloud that serves it, and plain Docker beside it."""

from __future__ import annotations

import configparser
import contextlib
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.functional.case import CloudTestCase
from zun_lite.client.netd import NetdClient
from zun_lite.domain import errors
from zun_lite.netd import names

V2 = "/network/v2.0"
OUTER = "172.29.83.0/24"


@dataclass(frozen=True)
class Guest:
    """A container of plain Docker's on a tenant's network. link: at the network's bridge."""

    ident: str
    pid: int
    port_id: str
    mac: str
    v4: str
    v6: str

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A program of the machine's in its network namespace, with every privilege there."""
        command = ("nsenter", f"--net=/proc/{self.pid}/ns/net", *command)
        return subprocess.run(command, capture_output=True, text=True, timeout=30)

    def can_ping(self, address: str) -> bool:
        return self.run("busybox", "ping", "-c", "1", "-W", "1", address).returncode == 0


class LibnetworkCase(CloudTestCase):
    """driver: what Docker knows it by.

    shown: a network of project demo, one of project admin with the same addresses, and more, of demo.
    grace_seconds: longer than Docker takes to start a container on a loaded machine.
    """

    crash_points = True
    grace_seconds = "10"
    driver: str
    shown: dict[str, str]

    @classmethod
    def setUpClass(cls) -> None:
        # Docker looks for drivers of all clouds of the machine in one folder
        cls.driver = f"zl{uuid.uuid4().hex[:8]}"
        cls.settings = {
            "network": {"external_cidr": OUTER},
            "netd": {
                "libnetwork": "true",
                "libnetwork_name": cls.driver,
                "libnetwork_grace_seconds": cls.grace_seconds,
                "interval_seconds": "1",
            },
        }
        super().setUpClass()
        cls.netd = NetdClient(str(cls.cloud.state_dir / "run" / "netd.sock"))
        cls.shown = {}
        for project in ("demo", "admin"):
            network = cls.cloud.make_network("10.1.0.0/24", cloud=project, name=f"of-{project}")
            subnet = {"network_id": network, "cidr": "fd00:9::/64", "ip_version": 6}
            cls.cloud.ask("POST", f"{V2}/subnets", {"subnet": subnet}, cloud=project)
            cls.shown[project] = network
        cls.shown["more"] = cls.cloud.make_network("10.2.0.0/24", name="more")
        cls.hidden = cls.cloud.make_network("10.7.0.0/24", name="hidden")
        cls.allow(*cls.shown.values())

    @classmethod
    def allow(cls, *networks: str) -> None:
        """As an operator does it: in the API's configuration, and its start anew."""
        path, conf = cls.cloud.state_dir / "zun_lite.conf", configparser.ConfigParser()
        conf.read_string(path.read_text())
        conf["network"]["docker_networks"] = ",".join(networks)
        with path.open("w") as file:
            conf.write(file)
        before = cls.cloud.pid("api")
        cls.cloud.kill("api")
        cls.cloud.wait(lambda: cls.api_is_another_than(before), "the API is back")

    @classmethod
    def api_is_another_than(cls, pid: int) -> bool:
        with contextlib.suppress(ProcessLookupError):
            return cls.cloud.pid("api") != pid and cls.cloud.call("GET", f"{V2}/networks").status_code == 200
        return False

    def setUp(self) -> None:
        super().setUp()
        self.docker = self.cloud.engine.docker
        self.addCleanup(self.assert_nothing_is_left)

    def create_network(self, name: str, *options: str, check: bool = True, **said: Any) -> str:
        """A network of Docker's; what Docker printed."""
        driver = ("-d", self.driver, "--ipam-driver", self.driver)
        done = self.docker("network", "create", *driver, *options, name, check=check, **said)
        if done.returncode == 0:
            self.addCleanup(self.docker, "network", "rm", name, check=False)
        return done.stdout.strip() + done.stderr.strip()

    def a_network(self, name: str, project: str = "demo", *options: str) -> str:
        self.create_network(name, "--ipam-opt", f"zun_lite.network={self.shown[project]}", *options)
        return name

    def guest(self, network: str, *options: str, name: str | None = None) -> Guest:
        """A container of plain Docker's, removed at the end."""
        name = name or f"guest-{uuid.uuid4().hex[:6]}"
        self.addCleanup(self.docker, "rm", "-f", name, check=False)
        self.docker("run", "-d", "--name", name, "--network", network, *options, "demo", "sleep", "600")
        return self.guest_named(name, network)

    def guest_named(self, name: str, network: str) -> Guest:
        found = self.cloud.engine.api.inspect_container(name)
        seen = found["NetworkSettings"]["Networks"][network]
        ports = self.docker_ports()
        (port,) = [item for item in ports if item["mac_address"] == seen["MacAddress"]]
        return Guest(
            found["Id"],
            found["State"]["Pid"],
            port["id"],
            seen["MacAddress"],
            seen["IPAddress"],
            seen["GlobalIPv6Address"],
        )

    def docker_ports(self) -> list[dict[str, Any]]:
        return self.cloud.ask("GET", f"{V2}/ports?device_owner=docker:container", cloud="admin")["ports"]

    def member(self, name: str, network: str, *, cloud: str = "demo", **fields: Any) -> tuple[str, str, str]:
        """A container of the cloud's on a network: (uuid, IPv4, IPv6)."""
        record = self.running(name, cloud=cloud, nets=[{"network": network}], **fields)
        found = sorted((item["version"], item["addr"]) for every in record["addresses"].values() for item in every)
        return record["uuid"], found[0][1], found[-1][1]

    def is_clear(self) -> bool:
        """No port, link, record, namespace or end on its way is left of what Docker had."""
        try:
            seen = self.netd.list()
        except errors.Unavailable:
            return False
        links = os.listdir("/sys/class/net") + self.in_dockers_namespace("ls", "/sys/class/net").split()
        kept = [record for record in seen["records"] if record["by_docker"]]
        strays = [item for every in seen["strays"].values() for item in every]
        return not (
            kept
            or seen["docker_ports"]
            or strays
            or self.docker_ports()
            or [link for link in links if link.startswith(names.GUEST_PREFIX)]
        )

    def in_dockers_namespace(self, *command: str) -> str:
        return self.in_namespace(f"/proc/{self.cloud.engine.pid}/ns/net", *command)

    def in_namespace(self, path: str, *command: str) -> str:
        """What a program of the machine's prints in a network namespace."""
        # a view of /sys is that of the namespace in which it was mounted
        script = 'mount -t sysfs sysfs /sys; exec "$@"'
        words = ["nsenter", f"--net={path}", "unshare", "--mount", "sh", "-c", script, "sh"]
        return subprocess.run([*words, *command], capture_output=True, text=True, timeout=30, check=True).stdout

    def assert_nothing_is_left(self) -> None:
        self.cloud.wait(self.is_clear, lambda: f"nothing is left; there are {self.docker_ports()} {self.netd.list()}")

    def kill_at(self, *points: str) -> None:
        """A container's life for each point, at which netd dies; nothing of it is left, and the next one lives."""
        network = self.a_network("killed")
        for point in points:
            with self.subTest(point=point):
                self.cloud.arm_point(point)
                name = f"killed-{point.replace('.', '-')}"
                # Docker asks again when nobody answers, and takes everything back when an answer is cut off
                self.timed("run", "-d", "--name", name, "--network", network, "demo", "sleep", "600")
                self.timed("rm", "-f", name)
                self.cloud.wait(lambda at=point: self.cloud.was_hit(at), f"{point} is hit")
                self.assert_nothing_is_left()
        self.assertEqual([], self.cloud.audit())
        guest = self.guest(network)
        self.assertTrue(guest.can_ping(guest.v4))

    @contextlib.contextmanager
    def silent_api(self) -> Iterator[None]:
        """It takes what is said and answers nothing."""
        group = os.getpgid(self.cloud.pid("api"))
        os.killpg(group, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(group, signal.SIGCONT)

    def pid_of(self, program: str) -> int | None:
        """None: it is on its way back."""
        with contextlib.suppress(ProcessLookupError):
            return self.cloud.pid(program)
        return None

    def netd_answers(self) -> bool:
        with contextlib.suppress(errors.Unavailable):
            return bool(self.netd.hello())
        return False

    def timed(self, *words: str) -> tuple[float, subprocess.CompletedProcess[str]]:
        """A docker command: how many seconds it took, and how it ended."""
        began = time.monotonic()
        done = self.docker(*words, check=False)
        return time.monotonic() - began, done
