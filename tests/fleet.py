# SPDX-License-Identifier: Apache-2.0
"""A fleet on one machine: an API and a controller, and hosts with a Docker Engine, an agent and a netd each.

Needs root. Each host is a network, a mount and a host-name namespace with folders of its own under /run, so
that all of them bear the names that real hosts would. They are joined by one-time tokens, as an operator does it.
A switch in a namespace of its own carries two wires: the underlay, which hosts and API share, and the network
outside, on which each host has its external bridge and beyond which a world answers.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cloud import LIMIT_SECONDS, Cloud
from tests.docker_engine import PrivateDockerEngine
from zun_lite.client.netd import NetdClient
from zun_lite.cmd import audit, images
from zun_lite.cmd.engine import Engine
from zun_lite.common import config
from zun_lite.db import hosts, planes
from zun_lite.db.engine import Database
from zun_lite.netd import names, runtime

UNDERLAY, OUTSIDE = "192.168.77", "172.24.4"
HUB_ADDRESS, API_PORT, AGENT_PORT = f"{UNDERLAY}.254", 9517, 9518
OUTSIDE_GATEWAY, WORLD = f"{OUTSIDE}.1", "203.0.113.2"
EXTERNAL_BRIDGE = "brex"
PROGRAMS = ("netd", "agent")

_NETWORK_ONLY = "ip link set lo up; echo ready; exec sleep infinity"
WHOLE_HOST = """
set -e
hostname "$1"
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
for place in /run/netns /run/docker; do mkdir -p $place; mount -t tmpfs tmpfs $place; done
mkdir -p /run/docker/plugins "$2"
mount --rbind /sys/fs/cgroup "$2"
mount -t sysfs sysfs /sys
mount --rbind "$2" /sys/fs/cgroup
umount -l "$2"
echo ready
exec sleep infinity
"""


class Namespaces:
    """Namespaces that last as long as a process which does nothing; they die with the thread that made them."""

    def __init__(self, script: str, *arguments: str, kinds: Iterable[str] = ("--net",)) -> None:
        words = ["setpriv", "--pdeathsig", "KILL", "unshare", *kinds, "sh", "-c", script, "sh", *arguments]
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise AssertionError(f"namespaces could not be made: {self._process.wait()}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def batch(self, *lines: str) -> None:
        """`ip` with many lines at once."""
        command = ["nsenter", f"--net=/proc/{self.pid}/ns/net", "ip", "-batch", "-"]
        done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, timeout=30)
        if done.returncode:
            raise AssertionError(f"ip: {done.stderr}")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@dataclass(eq=False)
class Host:
    """One machine of the fleet."""

    name: str
    number: int
    folder: Path
    namespaces: Namespaces
    engine: PrivateDockerEngine
    programs: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"{UNDERLAY}.{self.number}"

    @property
    def state_dir(self) -> Path:
        return self.folder / "state"

    @property
    def pid(self) -> int:
        """A process in all of its namespaces."""
        return self.namespaces.pid

    @property
    def within(self) -> tuple[str, ...]:
        """Words that run a command on this host."""
        return ("nsenter", f"--target={self.pid}", "--net", "--mount", "--uts")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.within, *words], capture_output=True, text=True, timeout=30)

    def namespace_path(self, name: str) -> str:
        """Where a namespace of netd's on this host is opened from here; it need not be there."""
        return f"/proc/{self.pid}/root/run/netns/{name}"

    def namespaces_of(self, cluster: str) -> list[str]:
        """netd's namespaces on this host."""
        folder = Path(f"/proc/{self.pid}/root/run/netns")
        return sorted(item.name for item in folder.iterdir() if item.name.startswith(names.namespace_prefix(cluster)))

    def spawn(self, program: str, environment: dict[str, str]) -> None:
        known = {"ZUN_LITE_STATE_DIR": str(self.state_dir), "PYTHONUNBUFFERED": "1"}
        self.programs[program] = start_program(program, self.state_dir, self.within, {**environment, **known})

    def kill(self, *programs: str) -> None:
        """kill -9, and wait; what they had started beside stays unless it ends by itself."""
        for program in programs:
            process = self.programs.pop(program)
            process.kill()
            process.wait()


class Fleet(Cloud):
    """start() brings it up, stop() takes everything back. Use `with`, or both.

    A Cloud as tenants see it: what it does by `zun-lite up` on one machine is done here by each program's own
    command. engine is the first host's.
    """

    def __init__(self, size: int = 3, *, settings: dict[str, dict[str, str]] | None = None) -> None:
        """settings: {section: {option: value}} for every program besides the usual."""
        self.tag = uuid.uuid4().hex[:6]
        self.name = f"f{self.tag}"
        self.folder = Path(tempfile.mkdtemp(prefix=f"zl-fleet-{self.tag}-"))
        self.state_dir = self.folder / "hub"
        self.size = size
        self.hosts: list[Host] = []
        number = int(self.tag, 16) % 2**15
        self._front = [f"198.18.{number * 2 // 256}.{number * 2 % 256 + end}" for end in (0, 1)]
        self.url = f"http://{self._front[1]}:{API_PORT}"
        self._settings = settings or {}
        self._tokens: dict[str, str] = {}
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self._made: list[Namespaces] = []
        # what is started dies with its thread, so that these live as long as the fleet
        self._pool = ThreadPoolExecutor(size + 1, thread_name_prefix="fleet")

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "ZUN_LITE_"))}
        more = {"ZUN_LITE_STATE_DIR": str(self.state_dir), "OS_CLIENT_CONFIG_FILE": str(self.state_dir / "clouds.yaml")}
        return {**kept, **more, "no_proxy": "*", "NO_PROXY": "*"}

    def start(self) -> None:
        self._lay_wires()
        for number in range(1, self.size + 1):
            self.hosts.append(self._host(number))
        self.engine = self.hosts[0].engine
        engines = [self._pool.submit(self._start_engine, host) for host in self.hosts]
        self._pool.submit(self._start_hub).result()
        tokens = [self._pool.submit(self.manage, "host", "token", "--name", host.name) for host in self.hosts]
        for host, token, engine in zip(self.hosts, tokens, engines, strict=True):
            engine.result()
            self._pool.submit(self.start_programs, host, token.result().strip()).result()
        self.wait_ready(self.hosts)

    def stop(self) -> None:
        for host in self.hosts:
            for process in host.programs.values():
                end_program(process)
        for process in self._programs.values():
            end_program(process)
        list(self._pool.map(lambda host: host.engine.stop(), self.hosts))
        for made in self._made:
            made.end()
        self._pool.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait_ready(self, wanted: Iterable[Host], limit: float = LIMIT_SECONDS) -> None:
        with self.database() as db:

            def missing() -> list[str]:
                with db.read() as tx:
                    ready = {item.name for item in hosts.every(tx) if item.state == hosts.READY and not item.problem}
                return [host.name for host in wanted if host.name not in ready]

            self.wait(lambda: not missing(), lambda: f"these hosts are ready: {missing()}", limit)

    def wait_planes(self, limit: float = LIMIT_SECONDS) -> None:
        """Until every host goes by what the API says of networks now."""
        with self.database() as db:

            def behind() -> list[str]:
                with db.read() as tx:
                    now = {item.name: planes.revision(tx, item.uuid) for item in hosts.every(tx)}
                clients = {host.name: NetdClient(str(host.state_dir / "run/netd.sock")) for host in self.hosts}
                return [name for name, client in clients.items() if not client.has_plane(now[name])]

            self.wait(lambda: not behind(), lambda: f"these hosts are up to date: {behind()}", limit)

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        """The fleet's own database."""
        db = Database(config.load([], state_dir=str(self.state_dir)).database.connection)
        try:
            yield db
        finally:
            db.close()

    def manage(self, *words: str) -> str:
        """What `zun-lite-manage` prints."""
        command = [sys.executable, "-m", "zun_lite.cmd.manage", *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise AssertionError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}\n{self.logs()}")
        return done.stdout

    # Hosts.

    def start_programs(self, host: Host, token: str | None = None, *programs: str) -> None:
        """netd and agent, or those named. token: to join with, the first time."""
        joining = {"ZUN_LITE_JOIN_TOKEN": token} if token else {}
        for program in programs or PROGRAMS:
            host.spawn(program, {**self.environment, **(joining if program == "agent" else {})})

    def revive(self, host: Host) -> None:
        """Start again what of a host's programs is not running, its engine too."""

        def start() -> None:
            if host.engine.process is None:
                host.engine.start()
            self.start_programs(host, None, *(name for name in PROGRAMS if name not in host.programs))

        self._pool.submit(start).result()

    def power_off(self, host: Host) -> None:
        """All programs die at once and its cables are out; what the kernel had of networks stays behind."""
        self.cut(host)
        host.kill(*list(host.programs))
        host.engine.kill()

    def cut(self, host: Host, *, connected: bool = False) -> None:
        """Pull both cables of a host out, or plug them in."""
        state = "up" if connected else "down"
        self.switch.batch(*(f"link set {wire}{host.number} {state}" for wire in ("u", "o")))

    def host_of(self, uuid: str) -> Host:
        """Where a container is placed."""
        found = self.container(uuid, cloud="admin")
        assert found is not None, uuid
        return next(host for host in self.hosts if host.name == found["host"])

    def host_by_uuid(self, tx: Any, uuid: str) -> Host:
        """The host with an id of the database's."""
        name = next(item.name for item in hosts.every(tx) if item.uuid == uuid)
        return next(host for host in self.hosts if host.name == name)

    def in_docker(self, uuid: str) -> list[dict[str, Any]]:
        found = []
        for host in self.hosts:
            if host.engine.process is not None:
                for item in host.engine.api.containers(all=True, filters={"label": f"zun.uuid={uuid}"}):
                    found.append(host.engine.api.inspect_container(item["Id"]))
        return found

    def audit(self) -> list[str]:
        """What `zun-lite-audit` finds on each of the hosts, once all is settled."""
        sentences = []
        for host in self.hosts:
            conf = config.load([], state_dir=str(self.state_dir))
            conf.set_override("host_name", host.name, group="agent")
            conf.set_override("docker_socket", host.engine.socket, group="agent")
            conf.set_override("socket", str(host.state_dir / "run/netd.sock"), group="netd")
            if "pool_dir" not in self._settings.get("volume", {}):
                conf.set_override("pool_dir", str(host.state_dir / "volumes"), group="volume")
            found, _ = audit.audit(conf, LIMIT_SECONDS)
            sentences += [f"{host.name} {finding.invariant}: {finding.sentence}" for finding in found]
        return sentences

    # Networks.

    def show_to_docker(self, *networks: str) -> None:
        """Let every host show these to its own Docker: in the API's configuration, and its start anew."""
        conf = self.state_dir / "zun_lite.conf"
        conf.write_text(f"{conf.read_text()}[network]\ndocker_networks = {','.join(networks)}\n")
        end_program(self._programs["api"])
        self._pool.submit(self._start_on_hub, "api").result()
        self.wait(lambda: self.call("GET", "/network/v2.0/networks").ok, "the API is back")

    def make_dual_network(self, *, cloud: str = "demo", name: str = "net", first: int = 10, last: int = 199) -> str:
        """10.1.0.0/24 and fd00:1::/64, the same for every tenant; addresses are given out between first and last."""
        body = {"network": {"name": name}}
        network = self.ask("POST", "/network/v2.0/networks", body, cloud=cloud)["network"]["id"]
        self._add_subnet(network, 4, "10.1.0.0/24", f"10.1.0.{first}", f"10.1.0.{last}", cloud)
        self._add_subnet(network, 6, "fd00:1::/64", f"fd00:1::{first:x}", f"fd00:1::{last:x}", cloud)
        return network

    def logs(self, lines: int = 15) -> str:
        parts = []
        for folder in (self.state_dir, *(host.state_dir for host in self.hosts)):
            for path in sorted((folder / "log").glob("*.log")):
                end = "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
                parts.append(f"--- {folder.parent.name}/{folder.name} {path.name}\n{end}")
        return "\n".join(parts)

    def _add_subnet(self, network: str, version: int, cidr: str, first: str, last: str, cloud: str) -> None:
        pools = [{"start": first, "end": last}]
        body = {"network_id": network, "ip_version": version, "cidr": cidr, "allocation_pools": pools}
        self.ask("POST", "/network/v2.0/subnets", {"subnet": body}, cloud=cloud)

    def _lay_wires(self) -> None:
        self.switch, self.hub = self._namespaces(_NETWORK_ONLY), self._namespaces(_NETWORK_ONLY)
        self.switch.batch(
            *(f"link add {name} type bridge" for name in ("ul0", "ex0", "world")),
            "link add u254 type veth peer name up0 netns " + str(self.hub.pid),
            "link set u254 master ul0 up",
            f"address add {OUTSIDE_GATEWAY}/24 dev ex0",
            f"address add {WORLD}/24 dev world",
            *(f"link set {name} up" for name in ("ul0", "ex0", "world")),
        )
        front = f"zf{self.tag}"
        self.hub.batch(
            f"link add front type veth peer name {front} netns {os.getpid()}",
            f"address add {self._front[1]}/31 dev front",
            f"address add {HUB_ADDRESS}/24 dev up0",
            "link set front up",
            "link set up0 up",
        )
        subprocess.run(["ip", "address", "add", f"{self._front[0]}/31", "dev", front], check=True)
        subprocess.run(["ip", "link", "set", front, "up"], check=True)

    def _namespaces(self, script: str, *arguments: str, **options: Any) -> Namespaces:
        made = self._pool.submit(Namespaces, script, *arguments, **options).result()
        self._made.append(made)
        return made

    def _host(self, number: int) -> Host:
        name = f"h{number}"
        folder = self.folder / name
        (folder / "state").mkdir(parents=True)
        made = self._namespaces(WHOLE_HOST, name, str(folder / "cgroup"), kinds=("--net", "--mount", "--uts"))
        self.switch.batch(
            f"link add u{number} type veth peer name up0 netns {made.pid}",
            f"link add o{number} type veth peer name out0 netns {made.pid}",
            f"link set u{number} master ul0 up",
            f"link set o{number} master ex0 up",
        )
        made.batch(
            f"link add {EXTERNAL_BRIDGE} type bridge",
            f"link set out0 master {EXTERNAL_BRIDGE} up",
            f"link set {EXTERNAL_BRIDGE} up",
            f"address add {UNDERLAY}.{number}/24 dev up0",
            "link set up0 up",
        )
        program = str(folder / "state/bin/zun-lite-runtime")
        within = ("nsenter", f"--target={made.pid}", "--net", "--mount", "--uts")
        engine = PrivateDockerEngine({"zun-lite": program}, folder=str(folder / "docker"), within=within)
        return Host(name, number, folder, made, engine)

    def _start_engine(self, host: Host) -> None:
        socket = str(host.state_dir / "run/netd.sock")
        runtime.install(host.engine.runtimes["zun-lite"], shutil.which("runc") or "runc", socket, sys.executable)
        self._configure(
            host.state_dir,
            {
                "agent": {
                    "bind": host.address,
                    "port": str(AGENT_PORT),
                    "underlay_address": host.address,
                    "external_bridge": EXTERNAL_BRIDGE,
                    "docker_socket": host.engine.socket,
                    "host_name": host.name,
                }
            },
        )
        host.engine.start()
        images.make_demo(Engine(host.engine.socket), self.name, lambda line: None)

    def _start_hub(self) -> None:
        self._configure(self.state_dir, {"network": {"external_cidr": f"{OUTSIDE}.0/24"}})
        # tests choose hosts as any of their users
        (self.state_dir / "policy.yaml").write_text('"container:create:requested_destination": "@"\n')
        self.manage("bootstrap")
        for program in ("api", "controller"):
            self._start_on_hub(program)

    def _start_on_hub(self, program: str) -> None:
        within = ("nsenter", f"--target={self.hub.pid}", "--net")
        self._programs[program] = start_program(program, self.state_dir, within, self.environment)

    def _configure(self, state_dir: Path, own: dict[str, dict[str, str]]) -> None:
        for folder in ("run", "log", "bin", "keys", "volumes", "mounts", "netd", "agent"):
            (state_dir / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        sections: dict[str, dict[str, str]] = {
            "DEFAULT": {"cluster": self.name, "state_dir": str(state_dir)},
            "api": {"bind": "0.0.0.0", "port": str(API_PORT), "public_url": f"http://{HUB_ADDRESS}:{API_PORT}"},
        }
        for source in (own, self._settings):
            for section, values in source.items():
                sections.setdefault(section, {}).update(values)
        text = ""
        for section, values in sections.items():
            text += f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
        (state_dir / "zun_lite.conf").write_text(text)


def start_program(
    name: str, state_dir: Path, within: tuple[str, ...], environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    """One of our programs in given namespaces; it ends with the thread that called."""
    words = ["setpriv", "--pdeathsig", "TERM", *within, sys.executable, "-m", f"zun_lite.cmd.{name}"]
    with (state_dir / "log" / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def end_program(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL to all that it started if that does not help."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
