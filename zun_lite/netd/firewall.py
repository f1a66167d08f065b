# SPDX-License-Identifier: Apache-2.0
"""The packet rules of each network's namespace, kept as they should be.

What was given last is remembered, so that a change costs what it changes. The kernel's own number for
the state of a namespace's rules tells when somebody else changed them: then, and at first, all of them
are given anew in one step. Callers hold the network's lock.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from types import MappingProxyType

from zun_lite.domain import errors
from zun_lite.domain.plane import GroupState, PortState
from zun_lite.domain.wiring import Endpoint
from zun_lite.netd import ingress, namespaces, nft, rulebook, shortcut
from zun_lite.netd.rulebook import Combination, Part
from zun_lite.netd.shortcut import Element

LOG = logging.getLogger(__name__)
Members = Callable[[str], Iterable[str]]
_NOTHING: frozenset[Element] = frozenset()
_BRIDGE_SETTINGS = ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables")


@dataclass(frozen=True)
class Occupant:
    """A port of this host: the link that it is behind, its wiring, and what the plane says of it."""

    link: str
    endpoint: Endpoint
    state: PortState | None
    combination: Combination


@dataclass
class _Given:
    """What a namespace was given last; its rules were then at that generation.

    ports: of each link, with what its part was made of. indices: the kernel's numbers of links, where there is a
    short way. short: of each link that is hooked to it, its elements. common: the parts that ports share.
    """

    generation: int = 0
    listed: Sequence[Occupant] = ()
    ports: dict[object, Part] = field(default_factory=dict)
    occupants: dict[object, tuple[Occupant, int, int | None]] = field(default_factory=dict)
    indices: dict[str, int] = field(default_factory=dict)
    short: dict[str, frozenset[Element]] = field(default_factory=dict)
    common: dict[object, Part] = field(default_factory=dict)
    members: dict[str, tuple[Iterable[str], Part]] = field(default_factory=dict)
    numbers: dict[Combination, int] = field(default_factory=dict)
    last_number: int = 0

    def number(self, combination: Combination) -> int:
        if combination not in self.numbers:
            self.last_number += 1
            self.numbers[combination] = self.last_number
        return self.numbers[combination]

    def port(self, occupant: Occupant) -> tuple[Part, frozenset[Element]]:
        """A port's part and its elements of the short way, those that it had when nothing about it changed."""
        link, number = occupant.link, self.number(occupant.combination)
        made_of = (occupant, number, self.indices.get(link))
        if self.occupants.get(link) == made_of and link in self.ports:
            return self.ports[link], self.short.get(link, _NOTHING)
        self.occupants[link] = made_of
        part = rulebook.port(link, occupant.endpoint, occupant.state, number)
        if link not in self.indices:
            return part, _NOTHING
        return part, shortcut.port(self.indices[link], occupant.endpoint, occupant.state, number)

    def group(self, group_id: str, members: Iterable[str]) -> Part:
        before = self.members.get(group_id)
        if before is None or before[0] is not members:
            self.members[group_id] = (members, rulebook.group(group_id, members))
        return self.members[group_id][1]


class Firewall:
    """One a host."""

    def __init__(self) -> None:
        self._given: dict[str, _Given] = {}
        self._has_short_way: bool | None = None

    def sync(
        self,
        network_id: str,
        switch_fd: int,
        trusted: Iterable[str],
        occupants: Sequence[Occupant],
        groups: dict[str, GroupState],
        members: Members,
    ) -> bool:
        """Make the rules of a namespace exactly these; answers whether somebody else had changed them.

        The same list of occupants as the last time is not gone through again. members must answer with the
        same object for as long as a group's members are the same.
        """
        given = self._current(network_id, switch_fd)
        fresh = given is None
        if given is None:
            given = _Given(indices=self._indices(switch_fd, [occupant.link for occupant in occupants]))
        same = not fresh and occupants is given.listed and len(given.ports) == len(occupants)
        ports, short = given.ports, dict[str, frozenset[Element]]()
        if not same:
            found = {occupant.link: given.port(occupant) for occupant in occupants}
            ports = {link: part for link, (part, _) in found.items()}
            short = {
                link: elements
                for link, (_, elements) in found.items()
                if link in given.indices and given.short.get(link) is not elements
            }
        which = set(given.numbers) if same else {occupant.combination for occupant in occupants}
        common: dict[object, Part] = {("trusted", link): rulebook.trusted(link) for link in trusted}
        for combination in which:
            common.update(_shared(combination, given, groups, members))
        openings = self._openings(which, given, groups)
        if fresh and short:
            self._begin(switch_fd, given, {**common, **ports})
            self._enter(switch_fd, given, short)
            openings = self._openings(which, given, groups)
            self._change(network_id, switch_fd, given, {}, openings)
        elif fresh:
            self._begin(switch_fd, given, {**common, **openings, **ports})
        elif same:
            self._change(network_id, switch_fd, given, given.common, {**common, **openings})
        else:
            # off the short way before rules change, on to it afterwards
            self._leave(network_id, switch_fd, given, given.short.keys() - ports.keys(), short)
            self._change(network_id, switch_fd, given, {**given.common, **given.ports}, {**common, **openings, **ports})
            self._enter(switch_fd, given, short)
        given.listed, given.ports, given.common = occupants, ports, {**common, **openings}
        given.numbers = {combination: given.numbers[combination] for combination in which}
        if not same:
            given.occupants = {link: given.occupants[link] for link in ports}
            given.indices = {link: index for link, index in given.indices.items() if link in ports}
        given.members = {key: item for key, item in given.members.items() if ("group", key) in common}
        if fresh:
            self._given[network_id] = given
        return fresh

    def admit(
        self,
        network_id: str,
        switch_fd: int,
        occupant: Occupant,
        groups: dict[str, GroupState],
        members: Members,
    ) -> bool:
        """Have a port's rules in place before its link is; False when all rules are to be given first."""
        given = self._current(network_id, switch_fd)
        if given is None:
            return False
        link = occupant.link
        # a link of before is not this one
        given.indices.pop(link, None)
        if link in given.short:
            self._leave(network_id, switch_fd, given, {link})
        part, _ = given.port(occupant)
        new: dict[object, Part] = {}
        if ("rules", occupant.combination) not in given.common:
            shared = _shared(occupant.combination, given, groups, members)
            shared.update(self._openings([occupant.combination], given, groups))
            new = {key: item for key, item in shared.items() if key not in given.common}
        before: dict[object, Part] = {link: given.ports[link]} if link in given.ports else {}
        self._change(network_id, switch_fd, given, before, {link: part, **new})
        given.ports[link] = part
        given.common.update(new)
        return True

    def hasten(self, network_id: str, switch_fd: int, link: str) -> None:
        """Put a port's link, which is there now, on the short way."""
        given = self._current(network_id, switch_fd)
        if given is not None and link in given.ports:
            given.indices.update(self._indices(switch_fd, [link]))
            if link in given.indices:
                _, elements = given.port(given.occupants[link][0])
                self._enter(switch_fd, given, {link: elements})

    def dismiss(self, network_id: str, switch_fd: int, link: str) -> None:
        """Take away the rules of a link that is gone."""
        given = self._current(network_id, switch_fd)
        if given is not None and link in given.ports:
            if link in given.short:
                self._leave(network_id, switch_fd, given, {link})
            self._change(network_id, switch_fd, given, {link: given.ports[link]}, {})
            del given.ports[link]
            given.occupants.pop(link, None)
            given.indices.pop(link, None)

    def was_changed(self, network_id: str, switch_fd: int) -> bool:
        """Whether a namespace's rules are not as we gave them, or were not given yet."""
        return self._current(network_id, switch_fd) is None

    def forget(self, network_id: str) -> None:
        """The namespace is gone."""
        self._given.pop(network_id, None)

    def _current(self, network_id: str, switch_fd: int) -> _Given | None:
        given = self._given.get(network_id)
        if given is not None and nft.generation(switch_fd) != given.generation:
            del self._given[network_id]
            return None
        return given

    def _begin(self, switch_fd: int, given: _Given, wanted: dict[object, Part]) -> None:
        namespaces.inside(switch_fd, _let_rules_see_bridged_packets)
        base, tables = rulebook.BASE, rulebook.TABLES
        if self._has_short_way:
            base, tables = base + shortcut.BASE, tables + (shortcut.TABLE,)
        else:
            # one that was there before this kernel refused another; a kernel that never had any refuses this too
            with contextlib.suppress(errors.Failed):
                nft.run(switch_fd, f"add table {shortcut.TABLE}\ndelete table {shortcut.TABLE}\n")
        given.generation = nft.run(switch_fd, rulebook.whole(wanted, base, tables))

    def _indices(self, switch_fd: int, links: Iterable[str]) -> dict[str, int]:
        """The kernel's numbers of those links that are there; of none where there is no short way."""
        if self._has_short_way is None:
            self._has_short_way = _takes_short_way(switch_fd)
        return namespaces.inside(switch_fd, lambda: _numbered(links)) if self._has_short_way else {}

    def _enter(self, switch_fd: int, given: _Given, short: dict[str, frozenset[Element]]) -> None:
        """Put links with these elements on the short way; where the kernel refuses, all go without."""
        links = short.keys() - given.short.keys()
        new = [element for link, elements in short.items() for element in elements - given.short.get(link, _NOTHING)]
        if links or new:
            try:
                given.generation = namespaces.inside(switch_fd, lambda: ingress.enter(links, new))
            except OSError as error:
                gone = self._gone(switch_fd, given, links) if error.errno == errno.ENOENT else set()
                if gone:
                    for link in gone:
                        del given.indices[link]
                    self._enter(switch_fd, given, {link: short[link] for link in short.keys() - gone})
                    return
                LOG.warning("packets take no short way on this kernel: %s", error)
                self._has_short_way, given.indices, given.short = False, {}, {}
                given.generation = nft.run(switch_fd, f"delete table {shortcut.TABLE}\n")
                return
        given.short.update(short)

    def _gone(self, switch_fd: int, given: _Given, links: Set[str]) -> set[str]:
        """Those of some links that are not there any more, or are others now."""
        there = self._indices(switch_fd, links)
        return {link for link in links & given.indices.keys() if there.get(link) != given.indices[link]}

    def _leave(
        self,
        network_id: str,
        switch_fd: int,
        given: _Given,
        links: Set[str],
        others: Mapping[str, frozenset[Element]] = MappingProxyType({}),
    ) -> None:
        """Take links off the short way, and of others what they are not to have on it."""
        kept = {link: given.short[link] & others[link] for link in others.keys() & given.short.keys()}
        gone = [element for link in links for element in given.short[link]]
        gone += [element for link, elements in kept.items() for element in given.short[link] - elements]
        if links or gone:
            try:
                given.generation = namespaces.inside(switch_fd, lambda: ingress.leave(links, gone))
            except OSError as error:
                self._given.pop(network_id, None)
                raise errors.Failed(f"the kernel keeps a port on the short way: {error}") from error
        for link in links:
            del given.short[link]
        given.short.update(kept)

    def _openings(
        self, combinations: Iterable[Combination], given: _Given, groups: dict[str, GroupState]
    ) -> dict[object, Part]:
        if not self._has_short_way:
            return {}
        return {("open", which): shortcut.opening(given.number(which), which, groups) for which in combinations}

    def _change(
        self,
        network_id: str,
        switch_fd: int,
        given: _Given,
        before: dict[object, Part],
        after: dict[object, Part],
    ) -> None:
        text = rulebook.script(before, after)
        if text:
            try:
                given.generation = nft.run(switch_fd, text)
            except Exception:
                # what was worked out already must not pass for given: all of it is given anew next time
                self._given.pop(network_id, None)
                raise


def _shared(which: Combination, given: _Given, groups: dict[str, GroupState], members: Members) -> dict[object, Part]:
    """The parts of a combination: its chains, and the members of the groups that they name."""
    parts: dict[object, Part] = {("rules", which): rulebook.combination(given.number(which), which, groups)}
    for group_id in rulebook.named_groups(which, groups):
        parts["group", group_id] = given.group(group_id, members(group_id))
    return parts


def _takes_short_way(switch_fd: int) -> bool:
    """Whether this kernel knows all that the short way is made of."""
    try:
        nft.run(switch_fd, rulebook.whole({}, shortcut.BASE, (shortcut.TABLE,)))
    except errors.Failed as error:
        LOG.warning("packets take no short way on this kernel: %s", error.message)
        return False
    return True


def _numbered(links: Iterable[str]) -> dict[str, int]:
    found = {}
    for link in links:
        # a port that has no link yet, or no more
        with contextlib.suppress(OSError):
            found[link] = socket.if_nametoindex(link)
    return found


def _let_rules_see_bridged_packets() -> None:
    for name in _BRIDGE_SETTINGS:
        if not os.path.exists(f"/proc/sys/net/bridge/{name}"):
            raise errors.Failed(
                "this kernel does not show bridged packets to security groups; load the module br_netfilter"
            )
        namespaces.write_setting(f"bridge/{name}", "1")
    # a connection may come from the short way, or back, so that what it sent meanwhile was not seen
    namespaces.write_setting("netfilter/nf_conntrack_tcp_be_liberal", "1")
