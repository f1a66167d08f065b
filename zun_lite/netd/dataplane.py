# SPDX-License-Identifier: Apache-2.0
"""Tenants' networks on this host: what the last plane says, made so and kept so.

A plane is kept on disk before anything is done with it, so that a start of netd, or of a container
while the control plane is away, goes by the last one. One object that cannot be made so is a problem
that the answer names, and hinders no other. The wiring asks here before it brings a port's link up, and
never waits for more than its own network.

Locks are taken in the order router, external, network; a network's is held by the wiring when it asks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from zun_lite.common import crash
from zun_lite.domain import errors
from zun_lite.domain.plane import HostPlane, NetworkState, RouterState
from zun_lite.domain.wiring import Endpoint
from zun_lite.netd import devices, links, names, namespaces, overlay, switches
from zun_lite.netd.connections import Connections
from zun_lite.netd.firewall import Firewall, Occupant
from zun_lite.netd.locks import ObjectLocks
from zun_lite.netd.nameservice import NameService
from zun_lite.netd.outside import Outside
from zun_lite.netd.overlay import Overlay, Tunnel
from zun_lite.netd.planecheck import checked
from zun_lite.netd.routers import Routers
from zun_lite.netd.shaping import Shaping
from zun_lite.netd.store import Store
from zun_lite.netd.view import View

LOG = logging.getLogger(__name__)
_LOOKS_A_THOROUGH_ONE = 3

# Do what a name says, and note what went wrong.
Attempt = Callable[[str, Callable[[], None]], None]


class Dataplane:
    """One a host."""

    def __init__(
        self, cluster: str, store: Store, locks: ObjectLocks, name_service: NameService, look_seconds: float = 10.0
    ) -> None:
        """look_seconds: what somebody else did to packet rules is noticed after so long, the rest after three times."""
        self._cluster = cluster
        self._store = store
        self._locks = locks
        self._firewall = Firewall()
        self._overlay = Overlay()
        self._outside = Outside(cluster)
        self._connections = Connections()
        self._routers = Routers(cluster, self._network_place, self._external_place)
        self._names = name_service
        self._look_seconds = look_seconds
        self._accepting = threading.Lock()
        self._news = threading.Condition()
        self._stop = threading.Event()
        self._shaping = Shaping(cluster)
        self._listed: dict[str, tuple[tuple[int, NetworkState | None, bool], list[Occupant]]] = {}
        self._view = View(_last(store))

    def accept(self, plane: HostPlane) -> dict[str, Any]:
        """Take a plane, keep it, and make it so; answers what could not be done."""
        with self._accepting:
            plane, problems = checked(plane)
            self._store.save_plane(plane.to_json())
            crash.point("netd.plane.stored")
            self._start_names()
            unrouted = self._view.routed()
            self._view = View(plane, self._view)
            with self._news:
                self._news.notify_all()
            problems += self._sync_all()
            self._remove_unused(unrouted - self._view.routed())
            crash.point("netd.plane.end")
        for problem in problems:
            LOG.warning("plane %s: %s", plane.revision, problem)
        return {"revision": plane.revision, "problems": problems}

    def resume(self, rejoin: Callable[[], list[str]] = list) -> None:
        """After a start: make the last plane so, and look from then on whether it still is; does not wait.

        rejoin: connects containers that lost a link, and answers what could not be; asked at every thorough look.
        """
        threading.Thread(target=self._look_after, args=(rejoin,), name="dataplane", daemon=True).start()

    def close(self) -> None:
        self._stop.set()
        self._names.close()

    @property
    def revision(self) -> int | None:
        """Of the plane that it goes by; None: it was never given one, 0: it lost the one that it had."""
        view = self._view
        return view.plane.revision if view.known else None

    def used_namespaces(self) -> set[str]:
        """Those that must stay though no container is in them."""
        view = self._view
        return (
            {names.namespace(self._cluster, network_id) for network_id in view.routed()}
            | {names.router(self._cluster, router_id) for router_id in view.routers}
            | {names.external(self._cluster, item.network_id) for item in view.plane.externals if item.bridge is None}
        )

    def used_links(self) -> set[tuple[str, str]]:
        """(namespace, link) of those that are no container's and bear the names of one's."""
        view, found = self._view, set()
        for network_id in {*view.networks} if view.plane.vtep is not None else ():
            found.add((names.namespace(self._cluster, network_id), names.tunnel(self._cluster, network_id)))
        for record in self._store.containers():
            for endpoint in record.endpoints:
                shaper = names.shaper(self._cluster, endpoint.port_id)
                found.add((names.namespace(self._cluster, endpoint.network_id), shaper))
        for router in view.routers.values():
            for leg in router.interfaces:
                found.add((names.namespace(self._cluster, leg.network_id), names.link(self._cluster, leg.port_id)))
            if router.gateway is not None:
                namespace = names.external(self._cluster, router.gateway.network_id)
                found.add((namespace, names.link(self._cluster, router.gateway.port_id)))
        return found

    def await_port(self, endpoint: Endpoint, seconds: float) -> bool:
        """Whether the plane has the port with these addresses, now or within so long."""
        wanted = {address.ip for address in endpoint.addresses}

        def is_known() -> bool:
            state = self._view.ports.get(endpoint.port_id)
            return state is not None and state.local and wanted <= set(state.addresses)

        with self._news:
            return self._news.wait_for(is_known, seconds)

    def is_routed(self, network_id: str) -> bool:
        return network_id in self._view.routed()

    def admit(self, switch_fd: int, endpoint: Endpoint) -> None:
        """Before a port's link goes up: its rules. The network's lock is held."""
        view, network_id = self._view, endpoint.network_id
        self._connections.taken(network_id, (address.ip for address in endpoint.addresses))
        occupant = self._occupant(view, endpoint)
        if not self._firewall.admit(network_id, switch_fd, occupant, view.groups, view.members):
            self._sync_switch(view, network_id, switch_fd)

    def settle(self, switch_fd: int, endpoint: Endpoint) -> None:
        """After a port's link is up: its short way, how fast it may be. The network's lock is held."""
        self._firewall.hasten(endpoint.network_id, switch_fd, names.link(self._cluster, endpoint.port_id))
        self._shaping.begin(switch_fd, endpoint, self._view.ports.get(endpoint.port_id))

    def dismiss(self, switch_fd: int, endpoint: Endpoint) -> None:
        """After a port's link is gone. The network's lock is held."""
        self._shaping.end(switch_fd, endpoint)
        self._firewall.dismiss(endpoint.network_id, switch_fd, names.link(self._cluster, endpoint.port_id))
        self._connections.left(endpoint.network_id, (address.ip for address in endpoint.addresses))

    def remove(self, network_id: str) -> None:
        """Take a network's namespace away. The network's lock is held."""
        namespace = names.namespace(self._cluster, network_id)
        if self._view.plane.vtep is not None and namespaces.exists(namespace):
            # the kernel takes its time over the namespace, and a segment has one tunnel a host
            with namespaces.opened(namespace) as switch_fd:
                devices.remove_all(switch_fd, names.TUNNEL_PREFIX)
        namespaces.remove(namespace)
        self.forget(network_id)

    def forget(self, network_id: str) -> None:
        """A network's namespace is gone. The network's lock is held."""
        self._firewall.forget(network_id)
        self._listed.pop(network_id, None)
        self._connections.network_gone(network_id)
        self._overlay.forget(network_id)
        self._names.leave(network_id)

    def counters(self, endpoints: Iterable[Endpoint]) -> dict[str, dict[str, int]]:
        """{port_id: counts of bytes, packets, errors and drops}, as the port sees them."""
        found: dict[str, dict[str, int]] = {}
        by_network: dict[str, list[str]] = {}
        for endpoint in endpoints:
            by_network.setdefault(endpoint.network_id, []).append(endpoint.port_id)
        for network_id, port_ids in by_network.items():
            namespace = names.namespace(self._cluster, network_id)
            if not namespaces.exists(namespace):
                continue
            with namespaces.opened(namespace) as switch_fd:
                seen = devices.counters(switch_fd)
            for port_id in port_ids:
                counts = seen.get(names.link(self._cluster, port_id))
                if counts is not None:
                    found[port_id] = counts
        return found

    def _look_after(self, rejoin: Callable[[], list[str]]) -> None:
        looks = 0
        problems: list[str] = []
        while True:
            try:
                thoroughly = bool(problems) or looks % _LOOKS_A_THOROUGH_ONE == 0
                problems = self._look(thoroughly=thoroughly)
                if thoroughly:
                    problems += rejoin()
            except Exception as error:
                # the only one who heals: whatever it was, the next look may go well
                LOG.exception("a look at tenants' networks broke")
                problems = [f"the last look broke: {error}"]
            looks += 1
            if self._stop.wait(self._look_seconds):
                return

    def _look(self, *, thoroughly: bool) -> list[str]:
        """Mend what is not as it should be; what could not be."""
        if self._view.known:
            self._start_names()
        with self._accepting:
            problems = self._sync_all(looking=True) if thoroughly else self._sync_changed()
        for problem in problems:
            LOG.warning("%s", problem)
        return problems

    def _start_names(self) -> None:
        """Ahead of need; where it fails, whoever needs it tries again."""
        try:
            self._names.start()
        except OSError as error:
            LOG.warning("the program that answers for names cannot be started now: %s", error)

    def _sync_changed(self) -> list[str]:
        """Make those networks so whose packet rules somebody else changed, or whose ports are others now."""
        view, problems = self._view, []
        occupied = {endpoint.network_id for record in self._store.containers() for endpoint in record.endpoints}
        for network_id in sorted(occupied | view.routed()):
            namespace = names.namespace(self._cluster, network_id)
            try:
                with self._locks.held("network", network_id):
                    if not namespaces.exists(namespace):
                        continue
                    with namespaces.opened(namespace) as switch_fd:
                        self._connections.tidy(network_id, switch_fd)
                        changed = self._firewall.was_changed(network_id, switch_fd)
                        listed = self._listed.get(network_id)
                        if changed or listed is None or listed[0][0] != self._store.version_on(network_id):
                            self._sync_switch(view, network_id, switch_fd)
            except (errors.ZunError, OSError) as error:
                problems.append(f"network {network_id}: {error}")
        return problems

    def _sync_all(self, *, looking: bool = False) -> list[str]:
        """Make everything so; answers what could not be. looking: whatever somebody else changed meanwhile, too."""
        view, problems = self._view, []

        def attempt(what: str, work: Callable[[], None]) -> None:
            try:
                work()
            except errors.ZunError as error:
                problems.append(f"{what}: {error.message}")
            except Exception as error:
                LOG.exception("%s failed in a way that was not foreseen", what)
                problems.append(f"{what}: {type(error).__name__}: {error}")

        present = set(namespaces.names(names.namespace_prefix(self._cluster)))
        self._remove_strange(view, present, attempt)
        occupied = {endpoint.network_id for record in self._store.containers() for endpoint in record.endpoints}
        for network_id in sorted({*occupied, *view.routed()}):
            attempt(f"network {network_id}", lambda item=network_id: self._sync_network(view, item, looking))  # type: ignore[misc]
        externals, shut = list(view.plane.externals), set[str]()
        if concerned := bool(externals) or any(name.startswith(self._external_prefix()) for name in present):
            known = len(problems)
            attempt("ways out", lambda: self._outside.guard_host(externals))
            if len(problems) > known:
                # where the host is not guarded, nothing leads to it anew
                concerned = False
                shut = {external.network_id for external in externals if external.bridge is None}
        for external in (item for item in externals if item.network_id not in shut):
            attempt(f"external network {external.network_id}", lambda item=external: self._outside.sync(item))  # type: ignore[misc]
        if concerned:
            attempt("ways out", lambda: self._outside.open_host(externals))
        for router in view.plane.routers:
            if router.gateway is not None and router.gateway.network_id in shut:
                problems.append(f"router {router.router_id}: its way out is not guarded on this host")
                continue
            attempt(f"router {router.router_id}", lambda item=router: self._sync_router(view, item))  # type: ignore[misc]
        return problems

    def _remove_strange(
        self, view: View, present: set[str], attempt: Callable[[str, Callable[[], None]], None]
    ) -> None:
        """Routers and ways out that the plane does not name any more."""
        if not view.known:
            return
        used = self.used_namespaces()
        router_prefix = names.namespace_prefix(self._cluster) + names.ROUTER_PREFIX
        for name in sorted(present - used):
            if name.startswith(router_prefix):
                attempt(name, lambda item=name: self._routers.remove(item))  # type: ignore[misc]
            elif name.startswith(self._external_prefix()):
                attempt(name, lambda item=name: self._outside.remove(item))  # type: ignore[misc]

    def _external_prefix(self) -> str:
        return names.namespace_prefix(self._cluster) + names.EXTERNAL_PREFIX

    def _sync_network(self, view: View, network_id: str, looking: bool) -> None:
        namespace = names.namespace(self._cluster, network_id)
        with self._locks.held("network", network_id):
            if namespaces.exists(namespace):
                with namespaces.opened(namespace) as switch_fd:
                    if looking:
                        self._connections.tidy(network_id, switch_fd)
                        self._mend(view, network_id, switch_fd)
                    self._sync_switch(view, network_id, switch_fd, looking=looking)

    def _mend(self, view: View, network_id: str, switch_fd: int) -> None:
        """The bridge and what is on it. The network's lock is held."""
        seen = switches.look(switch_fd)
        if switches.mend(switch_fd, seen):
            # what a bridge knew of neighbours goes with it
            self._overlay.forget(network_id)
        if not self._store.damaged:
            ports = {endpoint.port_id for endpoint in self._endpoints_on(network_id)}
            known = {names.tunnel(self._cluster, network_id)}
            known |= {names.shaper(self._cluster, port_id) for port_id in ports}
            ports |= {leg.port_id for leg in view.plane.interfaces_on(network_id)}
            known |= {names.link(self._cluster, port_id) for port_id in ports}
            switches.remove_strays(switch_fd, seen, known)

    def _sync_switch(self, view: View, network_id: str, switch_fd: int, *, looking: bool = False) -> None:
        """Rules, tunnel, speeds and names of one namespace. The network's lock is held."""
        network = view.networks.get(network_id)
        occupants = self._occupants(view, network_id)
        endpoints = [occupant.endpoint for occupant in occupants]
        trusted = [names.link(self._cluster, leg.port_id) for leg in view.plane.interfaces_on(network_id)]
        tunnel = self._tunnel(view, network)
        if tunnel is not None:
            trusted.append(tunnel.link)
        self._firewall.sync(network_id, switch_fd, trusted, occupants, view.groups, view.members)
        here = {endpoint.port_id for endpoint in endpoints}
        entries = overlay.entries(network, here) if network is not None and tunnel is not None else frozenset()
        self._overlay.sync(network_id, switch_fd, tunnel, entries, looking=looking)
        crash.point("netd.plane.network")
        self._shaping.learn(switch_fd, endpoints)
        for endpoint in endpoints:
            self._shaping.hold(switch_fd, endpoint, view.ports.get(endpoint.port_id))
        if network is not None:
            self._serve_names(network, switch_fd)

    def _serve_names(self, network: NetworkState, switch_fd: int) -> None:
        """A container runs without names too: what goes wrong here is mended at the next look."""
        try:
            self._names.serve(network, switch_fd, self._on_several(network.network_id))
        except (OSError, errors.ZunError) as error:
            LOG.warning("names of network %s are not answered for now: %s", network.network_id, error)

    def _tunnel(self, view: View, network: NetworkState | None) -> Tunnel | None:
        if network is None or view.plane.vtep is None:
            return None
        link = names.tunnel(self._cluster, network.network_id)
        return Tunnel(link, network.vni, view.plane.vtep, network.mtu)

    def _sync_router(self, view: View, router: RouterState) -> None:
        with self._locks.held("router", router.router_id):
            self._routers.sync(router, view.led_to(router))

    @contextmanager
    def _network_place(self, network_id: str) -> Iterator[tuple[int, str, int]]:
        """A network's bridge for a router's leg, its rules in place."""
        view, namespace = self._view, names.namespace(self._cluster, network_id)
        network = view.networks.get(network_id)
        if network is None:
            raise errors.Failed(f"a router is on network {network_id}, which the plane leaves out")
        with self._locks.held("network", network_id):
            if not namespaces.exists(namespace):
                namespaces.create(namespace)
                self.forget(network_id)
            with namespaces.opened(namespace) as switch_fd:
                links.ensure_bridge(switch_fd)
                self._sync_switch(view, network_id, switch_fd)
                yield switch_fd, names.BRIDGE, network.mtu

    @contextmanager
    def _external_place(self, network_id: str) -> Iterator[tuple[int, str, int]]:
        external = next((item for item in self._view.plane.externals if item.network_id == network_id), None)
        if external is None:
            raise errors.Failed(f"a router leads out by network {network_id}, which the plane leaves out")
        with self._locks.held("external", network_id), self._outside.place(external) as place:
            yield place

    def _occupants(self, view: View, network_id: str) -> list[Occupant]:
        """A network's ports, the same list for as long as they are the same."""
        # asked first: records that come while the list is made are in the next one
        token = (self._store.version_on(network_id), view.networks.get(network_id), view.known)
        before = self._listed.get(network_id)
        if before is None or before[0][0] != token[0] or before[0][1] is not token[1] or before[0][2] != token[2]:
            before = (token, [self._occupant(view, endpoint) for endpoint in self._endpoints_on(network_id)])
            self._listed[network_id] = before
        return before[1]

    def _occupant(self, view: View, endpoint: Endpoint) -> Occupant:
        link, state = names.link(self._cluster, endpoint.port_id), view.ports.get(endpoint.port_id)
        return Occupant(link, endpoint, state, view.combination(endpoint.port_id))

    def _endpoints_on(self, network_id: str) -> list[Endpoint]:
        """The ports of this host's records on a network; of a port that several name, the newest placement's."""
        newest: dict[str, tuple[int, Endpoint]] = {}
        for record in self._store.on_network(network_id):
            for endpoint in record.endpoints:
                if endpoint.network_id == network_id and newest.get(endpoint.port_id, (-1,))[0] < record.epoch:
                    newest[endpoint.port_id] = (record.epoch, endpoint)
        return [endpoint for _, endpoint in newest.values()]

    def _on_several(self, network_id: str) -> dict[str, list[str]]:
        """For each address of a container that is on other networks too: those."""
        found = {}
        for record in self._store.on_network(network_id):
            others = sorted({endpoint.network_id for endpoint in record.endpoints} - {network_id})
            if others:
                own = [endpoint for endpoint in record.endpoints if endpoint.network_id == network_id]
                found.update({address.ip: others for endpoint in own for address in endpoint.addresses})
        return found

    def _remove_unused(self, network_ids: set[str]) -> None:
        """Take away the namespaces of networks that a router has left and no container is in."""
        for network_id in network_ids:
            with self._locks.held("network", network_id):
                if not self._store.on_network(network_id):
                    self.remove(network_id)


def _last(store: Store) -> HostPlane | None:
    """The plane that was kept; an empty one when it cannot be read, so that ports stay shut."""
    body = store.plane()
    if body is None:
        return None
    try:
        return checked(HostPlane.from_json(body))[0]
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        LOG.error("the plane that was kept cannot be read; ports stay shut until the next one: %s", error)
        return HostPlane(0)
