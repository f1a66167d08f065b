# SPDX-License-Identifier: Apache-2.0
"""Ports of tenants' networks that the host's own Docker has: had from the API, joined, given back.

A reservation is on disk before the API is asked for its port, and until the API has it back, so that none is
forgotten by whoever dies in between, and a port that the API has and that is reserved nowhere may go: it came of a
question that the API heard too late. What takes something away is answered from here at once; the API hears of it by
and by. A reservation that stands for no link for long is given back though Docker never said so: whoever began it has
given up.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from zun_lite.common import crash
from zun_lite.domain import errors
from zun_lite.domain.wiring import Address, Endpoint
from zun_lite.netd import requests
from zun_lite.netd.dataplane import Dataplane
from zun_lite.netd.locks import ObjectLocks
from zun_lite.netd.store import ContainerRecord, Reservation, Store
from zun_lite.netd.wiring import Switchboard

LOG = logging.getLogger(__name__)
_PLANE_SECONDS = 3.0
# Docker takes an end into its container some tenths of a second after the join
_FRESH_LOOK_SECONDS, _FRESH_SECONDS = 0.3, 15.0
_LOOKS_A_THOROUGH_ONE = 3
_REFUSALS = (errors.Invalid, errors.Forbidden, errors.NotFound, errors.Conflict)


class PortsApi(Protocol):
    """What is asked of the API; see client/node.py."""

    def shown_network(self, ident: str) -> dict[str, Any]: ...

    def docker_port(self, network_id: str, mac: str, cidr: str, ip: str | None) -> dict[str, Any]: ...

    def docker_ports(self) -> list[dict[str, str]]: ...

    def release_docker_port(self, port_id: str) -> None: ...


class Reservations:
    """One a host.

    line: who speaks to the API, made anew for each question; Unavailable before the host has joined. grace_seconds:
    how long a reservation may stand for no link.
    """

    def __init__(
        self,
        store: Store,
        locks: ObjectLocks,
        switchboard: Switchboard,
        dataplane: Dataplane,
        line: Callable[[], PortsApi],
        grace_seconds: float = 120.0,
    ) -> None:
        self._store = store
        self._locks = locks
        self._switchboard = switchboard
        self._dataplane = dataplane
        self._line = line
        self._grace_seconds = grace_seconds
        self._guard = threading.Lock()
        self._idle_since: dict[str, float] = {}
        self._fresh: dict[str, float] = {}
        self._unheard: set[str] = set()
        self._look_now = threading.Event()

    def network(self, ident: str) -> dict[str, Any]:
        """See client/node.py shown_network()."""
        return self._line().shown_network(ident)

    def reserve(self, network_id: str, mac: str, cidr: str, ip: str | None) -> Address:
        """An address of the subnet for the port with this MAC, which is made if there is none yet."""
        key = _key(network_id, mac)
        for other in self._store.reservations():
            if other.leaving and other.network_id == network_id and (other.key == key or ip in other.ips):
                self._end(other.key)
        with self._locks.held("reservation", key):
            known = self._store.reservation(key)
            if known is None:
                self._store.save_reservation(Reservation(key, network_id, mac))
            elif known.leaving:
                raise errors.Conflict(f"The port with MAC {mac} is being given back just now; try again.")
            crash.point("netd.reserve.recorded")
            endpoint = self._ask_for_port(known, key, network_id, mac, cidr, ip)
            crash.point("netd.reserve.answered")
            self._change(key, endpoint=endpoint)
        subnet = ipaddress.ip_network(cidr)
        for address in endpoint.addresses:
            if ipaddress.ip_address(address.ip) in subnet:
                return address
        raise errors.Failed(f"The API answered port {endpoint.port_id} without an address of {cidr}.")

    def give_back(self, network_id: str, ip: str) -> None:
        """Docker has no more use for the port with this address; fine to say again."""
        for known in self._store.reservations():
            if known.network_id == network_id and ip in known.ips:
                self._give_back(known.key)

    def claim(self, docker_network: str, endpoint_id: str, mac: str, ips: frozenset[str]) -> Endpoint:
        """The port with this MAC and these addresses is Docker's endpoint from now on. Conflict, NotFound."""
        meant = self._store.shown(docker_network)
        found = [
            known
            for known in self._store.reservations()
            if known.mac == mac and ips <= known.ips and not known.leaving and known.endpoint_id in ("", endpoint_id)
        ]
        fitting = [known for known in found if meant in (None, known.network_id)]
        if found and not fitting:
            raise errors.Conflict(
                f"The address is of network {found[0].network_id}, and this one stands for {meant}; make it anew "
                "with the same network in -o and --ipam-opt."
            )
        if len(fitting) > 1:
            raise errors.Conflict(
                f"Two networks have a port with MAC {mac} and these addresses; make theirs with -o zun_lite.network=..."
            )
        changed = self._change(fitting[0].key, endpoint_id=endpoint_id) if fitting else None
        if changed is None or changed.endpoint is None:
            raise errors.NotFound(
                f"No address was asked of this driver for MAC {mac}; the network needs its --ipam-driver."
            )
        return changed.endpoint

    def endpoint(self, endpoint_id: str) -> Endpoint | None:
        """The port that is Docker's endpoint, if there is one."""
        known = self._of_endpoint(endpoint_id)
        return known.endpoint if known else None

    def join(self, endpoint_id: str, sandbox: str, docker_fd: int) -> tuple[Endpoint, str, bool]:
        """Bring an end of the network into Docker's namespace, for a container of it.

        Answers the port, the link's name, and whether it is by this port that the container should ask for names.
        """
        known = self._of_endpoint(endpoint_id)
        if known is None or known.endpoint is None:
            raise errors.NotFound(f"Endpoint {endpoint_id[:12]} is not known here; connect the container anew.")
        if not self._dataplane.await_port(known.endpoint, _PLANE_SECONDS):
            LOG.warning(
                "port %s is joined before its rules are known; it stays shut until then", known.endpoint.port_id
            )
        self._change(known.key, sandbox=sandbox, settled=False)
        record = ContainerRecord(endpoint_id, known.endpoint.port_id, 0, (known.endpoint,), (), by_docker=True)
        name = self._switchboard.lend(record, docker_fd)
        if self._of_endpoint(endpoint_id) is None:
            # Docker did not wait for this, and has taken everything back
            self._switchboard.unplug(endpoint_id)
            raise errors.Conflict(f"Endpoint {endpoint_id[:12]} was given up while it was joined.")
        self._fresh[known.key] = time.monotonic()
        self._look_now.set()
        return known.endpoint, name, self._is_first_of(sandbox, known.key)

    def leave(self, endpoint_id: str) -> None:
        """Take an endpoint's link away; fine to say again, and while the API is away."""
        known = self._of_endpoint(endpoint_id)
        if known is not None:
            self._change(known.key, sandbox="")
            self._switchboard.unplug(endpoint_id)

    def show(self, docker_network: str, network_id: str) -> None:
        """Docker's network stands for this one."""
        self._store.save_shown(docker_network, network_id)

    def hide(self, docker_network: str) -> None:
        self._store.drop_shown(docker_network)

    def keep(self, look_seconds: float) -> None:
        """Tell the API of what was given back, and find what nobody will give back; does not wait."""
        threading.Thread(target=self._keep, args=(look_seconds,), name="reservations", daemon=True).start()

    def look(self, *, thoroughly: bool = True) -> None:
        """Look at every reservation once. thoroughly: what the API has is compared, too."""
        self._end_those_that_leave()
        for known in self._store.reservations():
            if not known.leaving:
                self._judge(known)
        if thoroughly:
            self._compare()

    def _keep(self, look_seconds: float) -> None:
        looks, next_look = 0, time.monotonic()
        while True:
            self._look_now.clear()
            try:
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + look_seconds
                    looks += 1
                    self.look(thoroughly=looks % _LOOKS_A_THOROUGH_ONE == 1)
                else:
                    self._glance()
            except errors.ZunError as error:
                LOG.debug("ports that the host's own Docker has are not looked at wholly: %s", error.message)
            except Exception:
                LOG.exception("ports that the host's own Docker has could not be looked at")
            soon = time.monotonic() + _FRESH_LOOK_SECONDS if self._fresh else next_look
            self._look_now.wait(max(0.0, min(soon, next_look) - time.monotonic()))

    def _glance(self) -> None:
        """Only at what has just changed."""
        self._end_those_that_leave()
        for key, joined in list(self._fresh.items()):
            known = self._store.reservation(key)
            if known is not None and not known.leaving and time.monotonic() - joined < _FRESH_SECONDS:
                self._judge(known)
            else:
                self._fresh.pop(key, None)

    def _end_those_that_leave(self) -> None:
        for known in self._store.reservations():
            if known.leaving and not self._try_to_end(known):
                # whatever hinders this one will hinder the others, and takes its time
                return

    def _ask_for_port(
        self, known: Reservation | None, key: str, network_id: str, mac: str, cidr: str, ip: str | None
    ) -> Endpoint:
        try:
            answer = self._line().docker_port(network_id, mac, cidr, ip)
        except _REFUSALS:
            if known is None:
                self._drop(key)
            raise
        except errors.ZunError:
            if known is None:
                # perhaps it was made, and only the answer was lost
                self._give_back(key)
            raise
        try:
            endpoint = requests.endpoint(answer)
            if (endpoint.network_id, endpoint.mac) != (network_id, mac):
                raise errors.Invalid("it is another port")
        except errors.Invalid as error:
            self._give_back(key)
            raise errors.Failed(
                f"The API's port with MAC {mac} on network {network_id} is none: {error.message}."
            ) from error
        return endpoint

    def _judge(self, known: Reservation) -> None:
        """Whether its link is there and was seen at work; else, for how long not."""
        endpoint = known.endpoint
        joined = bool(known.endpoint_id) and self._store.container(known.endpoint_id) is not None
        carrier = self._switchboard.has_carrier(endpoint) if joined and endpoint is not None else None
        if carrier and not known.settled:
            self._change(known.key, settled=True)
            self._fresh.pop(known.key, None)
            self._switchboard.announce(known.endpoint_id)
        if carrier or (carrier is False and known.settled):
            self._idle_since.pop(known.key, None)
            return
        since = self._idle_since.setdefault(known.key, time.monotonic())
        if time.monotonic() - since >= self._grace_seconds:
            LOG.warning("port with MAC %s of network %s has no container and goes back", known.mac, known.network_id)
            self._give_back(known.key)

    def _give_back(self, key: str) -> None:
        self._change(key, leaving=True)
        self._idle_since.pop(key, None)
        self._fresh.pop(key, None)
        self._look_now.set()

    def _try_to_end(self, known: Reservation) -> bool:
        try:
            self._end(known.key)
            self._unheard.discard(known.key)
            return True
        except (errors.ZunError, OSError) as error:
            if known.key not in self._unheard:
                self._unheard.add(known.key)
                LOG.warning("port with MAC %s of network %s stays for now: %s", known.mac, known.network_id, error)
            return not isinstance(error, errors.Unavailable)

    def _end(self, key: str) -> None:
        """Take the link and have the API take the port, if it is still to leave."""
        with self._locks.held("reservation", key):
            known = self._store.reservation(key)
            if known is None or not known.leaving:
                return
            if known.endpoint_id:
                self._switchboard.unplug(known.endpoint_id)
            crash.point("netd.release.begin")
            if known.endpoint is not None:
                self._line().release_docker_port(known.endpoint.port_id)
            crash.point("netd.release.end")
            self._drop(key)
        LOG.info("port with MAC %s of network %s is given back", known.mac, known.network_id)

    def _compare(self) -> None:
        """Have the API delete what it has for this host and nobody here has reserved."""
        line = self._line()
        there = line.docker_ports()
        # looked up after the answer, for a reservation is kept before its port is made
        reserved = {known.key for known in self._store.reservations()}
        for port in there:
            key = _key(port["network_id"], port["mac"])
            if key in reserved:
                continue
            with self._locks.held("reservation", key):
                # it may have been reserved anew meanwhile
                if self._store.damaged or self._store.reservation(key) is not None:
                    continue
                LOG.warning("port %s of network %s is reserved by nobody and goes", port["port_id"], port["network_id"])
                line.release_docker_port(port["port_id"])

    def _is_first_of(self, sandbox: str, key: str) -> bool:
        others = [known for known in self._store.reservations() if known.sandbox == sandbox and known.key != key]
        return not any(not known.leaving and self._store.container(known.endpoint_id) for known in others)

    def _of_endpoint(self, endpoint_id: str) -> Reservation | None:
        for known in self._store.reservations():
            if known.endpoint_id == endpoint_id and not known.leaving:
                return known
        return None

    def _change(self, key: str, **changes: Any) -> Reservation | None:
        """The record with these changes; None: it is gone."""
        with self._guard:
            known = self._store.reservation(key)
            if known is None:
                return None
            # whoever changes it is at it still
            self._idle_since.pop(key, None)
            changed = replace(known, **changes)
            if changed != known:
                self._store.save_reservation(changed)
            return changed

    def _drop(self, key: str) -> None:
        with self._guard:
            self._idle_since.pop(key, None)
            self._store.drop_reservation(key)


def _key(network_id: str, mac: str) -> str:
    return hashlib.sha256(f"{network_id}/{mac}".encode()).hexdigest()[:32]
