# SPDX-License-Identifier: Apache-2.0
"""What TCP gets through between two containers: a tenant's network against Docker's own bridge network, and a
network over two hosts against a bare pair of links between two namespaces.

Both sides are sockets of this program in the containers' namespaces, one thread that sends and one that takes,
in turns with the other side; what a container's own process would cost is the same on both and left out.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.bench import measure
from tests.bench.measure import Row
from tests.cloud import Cloud
from tests.docker_engine import PrivateDockerEngine
from tests.functional.case import PATIENT
from tests.system.netd.host import Container, NetdHost, endpoint
from zun_lite.domain.plane import GroupState, HostPlane, NetworkState, PortState, Rule
from zun_lite.netd import namespaces

ROUNDS = 15
POUR_SECONDS, TALK_SECONDS = 0.4, 0.3
BLOCK_BYTES = 64 * 1024
NEAR = 0.95
EVERYTHING = tuple(Rule(direction) for direction in ("ingress", "egress"))


@dataclass(frozen=True)
class Way:
    """From one network namespace, by its path, to an address in another."""

    sender: str
    receiver: str
    address: str


def run(cloud: Cloud) -> list[Row]:
    """On one host: with the groups that a project has by itself, and with rules that name ports.

    Docker's bridge is that of the cloud's own engine, which sets no packet rules, and that of one as it comes.
    """
    network = cloud.make_network("10.92.0.0/24", name="through")
    _make_group(cloud, "named")
    with ExitStack() as stack:
        alike = stack.enter_context(_tenants(cloud, network, "alike"))
        named = stack.enter_context(_tenants(cloud, network, "named", security_groups=["named"]))
        bare = stack.enter_context(_docker(cloud.engine))
        ruled = PrivateDockerEngine(bridge=True, extra_args=("--iptables=true", "--ip-masq=true"))
        stack.enter_context(ruled).import_busybox("demo:latest")
        guarded = stack.enter_context(_docker(ruled))
        what, docker = "a tenant's network", "Docker's bridge"
        rows = _rows(what, alike, docker, bare, NEAR)
        return rows + _rows(f"{what}, rules with ports", named, f"{docker}, its own rules", guarded, None)


@contextmanager
def _tenants(cloud: Cloud, network: str, name: str, **fields: Any) -> Iterator[Way]:
    """Between two containers on a tenant's network."""
    nets = [{"network": network}]
    made = [cloud.run_container(f"{name}{n}", command=PATIENT, nets=nets, **fields) for n in range(2)]
    records = [cloud.wait_status(uuid_, "Running") for uuid_ in made]
    address = next(item["addr"] for every in records[1]["addresses"].values() for item in every)
    pids = [cloud.in_docker(uuid_)[0]["State"]["Pid"] for uuid_ in made]
    yield Way(_of(pids[0]), _of(pids[1]), address)
    for uuid_ in made:
        cloud.ask("DELETE", f"/v1/containers/{uuid_}?stop=true")
    for uuid_ in made:
        cloud.wait_gone(uuid_)


@contextmanager
def _docker(engine: PrivateDockerEngine) -> Iterator[Way]:
    """Between two containers on an engine's bridge."""
    made = [engine.docker("run", "-d", "demo:latest", *PATIENT).stdout.strip() for _ in range(2)]
    try:
        records = [engine.api.inspect_container(item) for item in made]
        pids = [item["State"]["Pid"] for item in records]
        yield Way(_of(pids[0]), _of(pids[1]), records[1]["NetworkSettings"]["IPAddress"])
    finally:
        for item in made:
            engine.api.remove_container(item, force=True)


def _make_group(cloud: Cloud, name: str) -> None:
    """A security group that lets all TCP in, said by the numbers of ports."""
    groups, rules = "/network/v2.0/security-groups", "/network/v2.0/security-group-rules"
    group = cloud.ask("POST", groups, {"security_group": {"name": name}})["security_group"]["id"]
    rule = {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}
    cloud.ask("POST", rules, {"security_group_rule": {**rule, "port_range_min": 1, "port_range_max": 65535}})


def over_hosts() -> list[Row]:
    """Two netds on two machines that are namespaces, with a pair of links for a wire."""
    with _two_hosts() as (ours, bare):
        return _rows("a network over two hosts", ours, "a bare pair of links", bare, None)


def _rows(what: str, ours: Way, other_is: str, other: Way, least: float | None) -> list[Row]:
    background = measure.background()
    aim = ("", None) if least is None else (f"at least {least}", measure.ratio_at_least(least))
    for way in (ours, other):
        talk(way, 0.1)
    costs: tuple[list[float], list[float]] = ([], [])
    streams = measure.in_turns(ROUNDS, lambda: pour(ours, costs[0]), lambda: pour(other, costs[1]))
    talks = measure.in_turns(ROUNDS, lambda: talk(ours), lambda: talk(other))
    return [
        Row(f"TCP through {what}", "Gbit/s", streams[0], streams[1], other_is, *aim, background),
        Row("the same, processor time", "ms/GiB", costs[0], costs[1], other_is, background=background),
        Row(f"requests through {what}, one at a time", "1/s", talks[0], talks[1], other_is, *aim, background),
    ]


def pour(way: Way, costs: list[float], seconds: float = POUR_SECONDS) -> float:
    """Gbit/s of one stream; its processor time, in milliseconds a GiB, joins the costs."""
    with _joined(way) as (client, accepted):
        stop = threading.Event()
        block = bytes(BLOCK_BYTES)

        def send() -> None:
            try:
                while not stop.is_set():
                    client.sendall(block)
                client.shutdown(socket.SHUT_WR)
            except OSError:
                return

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        into, got, began = memoryview(bytearray(4 * BLOCK_BYTES)), 0, time.perf_counter()
        busy = time.process_time()
        while (took := time.perf_counter() - began) < seconds:
            got += accepted.recv_into(into)
        costs.append((time.process_time() - busy) * 1000 / (got / 2**30))
        stop.set()
        while accepted.recv_into(into):
            continue
        thread.join(5)
    return got * 8 / took / 1e9


def talk(way: Way, seconds: float = TALK_SECONDS) -> float:
    """One byte there and one back, as often as it goes in a second."""
    with _joined(way) as (client, accepted):

        def answer() -> None:
            while octets := accepted.recv(1):
                accepted.send(octets)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        count, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < seconds:
            client.send(b"x")
            client.recv(1)
            count += 1
        client.shutdown(socket.SHUT_WR)
        thread.join(5)
    return count / took


@contextmanager
def _joined(way: Way) -> Iterator[tuple[socket.socket, socket.socket]]:
    server = _inside(way.receiver, lambda: socket.create_server((way.address, 0)))
    port = server.getsockname()[1]
    client = _inside(way.sender, lambda: socket.create_connection((way.address, port), 10))
    accepted, _ = server.accept()
    with server, client, accepted:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client, accepted


def _inside(path: str, work: Callable[[], socket.socket]) -> socket.socket:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return namespaces.inside(descriptor, work)
    finally:
        os.close(descriptor)


def _of(pid: int) -> str:
    return f"/proc/{pid}/ns/net"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def _two_hosts() -> Iterator[tuple[Way, Way]]:
    """(between containers on two hosts, between the two hosts themselves)."""
    tag = uuid.uuid4().hex[:6]
    machines = [f"zb{tag}{number}" for number in (1, 2)]
    vteps = ["192.168.78.1", "192.168.78.2"]
    with ExitStack() as stack:
        for name in machines:
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", machines[0], "link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", machines[1])
        for name, vtep in zip(machines, vteps, strict=True):
            _ip("-n", name, "addr", "add", f"{vtep}/24", "dev", "up0")
            _ip("-n", name, "link", "set", "up0", "up")
        network_id, group_id = str(uuid.uuid4()), str(uuid.uuid4())
        ends = [endpoint(network_id, f"10.93.0.{last}") for last in (5, 6)]
        containers, hosts = [], []
        for name, end in zip(machines, ends, strict=True):
            host = NetdHost(name)
            stack.callback(host.clean)
            hosts.append(host.start())
            container = Container()
            stack.callback(container.end)
            containers.append(container)
            host.client.plug(container.container_id, str(uuid.uuid4()), 1, [end], [])
            host.client.wire(container.container_id, container.pid)
        for here, host in enumerate(hosts):
            states = tuple(
                PortState(end.port_id, end.mac, (end.addresses[0].ip,), at == here, vteps[at], (group_id,))
                for at, end in enumerate(ends)
            )
            network = NetworkState(network_id, 1001, ports=states)
            host.client.plane(HostPlane(1, vteps[here], (network,), (GroupState(group_id, EVERYTHING),)))
        inner = Way(_of(containers[0].pid), _of(containers[1].pid), ends[1].addresses[0].ip)
        yield inner, Way(f"/run/netns/{machines[0]}", f"/run/netns/{machines[1]}", vteps[1])
