# SPDX-License-Identifier: Apache-2.0
"""The packet rules of each network's namespace, kept as they should be.

What was given last is remembered, so that a change costs what it changes. The kernel's own number for
the state of a namespace's rules tells when somebody else changed them: then, and at first, all of them
are given anew in one step. Callers hold the network's lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from zun_lite.domain import errors
from zun_lite.domain.plane import GroupState, PortState
from zun_lite.domain.wiring import Endpoint
from zun_lite.netd import namespaces, nft, rulebook
from zun_lite.netd.rulebook import Combination, Part

Members = Callable[[str], Iterable[str]]
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

    ports: of each link, with what its part was made of. common: the parts that ports share.
    """

    generation: int = 0
    listed: Sequence[Occupant] = ()
    ports: dict[object, Part] = field(default_factory=dict)
    occupants: dict[object, tuple[Occupant, int]] = field(default_factory=dict)
    common: dict[object, Part] = field(default_factory=dict)
    members: dict[str, tuple[Iterable[str], Part]] = field(default_factory=dict)
    numbers: dict[Combination, int] = field(default_factory=dict)
    last_number: int = 0

    def number(self, combination: Combination) -> int:
        if combination not in self.numbers:
            self.last_number += 1
            self.numbers[combination] = self.last_number
        return self.numbers[combination]

    def port(self, occupant: Occupant) -> Part:
        """A port's part, the one that it was when nothing about it changed."""
        number = self.number(occupant.combination)
        if self.occupants.get(occupant.link) != (occupant, number) or occupant.link not in self.ports:
            part = rulebook.port(occupant.link, occupant.endpoint, occupant.state, number)
            self.occupants[occupant.link] = (occupant, number)
            return part
        return self.ports[occupant.link]

    def group(self, group_id: str, members: Iterable[str]) -> Part:
        before = self.members.get(group_id)
        if before is None or before[0] is not members:
            self.members[group_id] = (members, rulebook.group(group_id, members))
        return self.members[group_id][1]


class Firewall:
    """One a host."""

    def __init__(self) -> None:
        self._given: dict[str, _Given] = {}

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
        given = given or _Given()
        same = not fresh and occupants is given.listed and len(given.ports) == len(occupants)
        ports = given.ports
        if not same:
            ports = {occupant.link: given.port(occupant) for occupant in occupants}
        which = set(given.numbers) if same else {occupant.combination for occupant in occupants}
        common: dict[object, Part] = {("trusted", link): rulebook.trusted(link) for link in trusted}
        for combination in which:
            common.update(_shared(combination, given, groups, members))
        if fresh:
            given.generation = self._begin(switch_fd, {**common, **ports})
        elif same:
            self._change(network_id, switch_fd, given, given.common, common)
        else:
            self._change(network_id, switch_fd, given, {**given.common, **given.ports}, {**common, **ports})
        given.listed, given.ports, given.common = occupants, ports, common
        given.numbers = {combination: given.numbers[combination] for combination in which}
        if not same:
            given.occupants = {link: given.occupants[link] for link in ports}
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
        part, link = given.port(occupant), occupant.link
        new: dict[object, Part] = {}
        if ("rules", occupant.combination) not in given.common:
            shared = _shared(occupant.combination, given, groups, members)
            new = {key: item for key, item in shared.items() if key not in given.common}
        before: dict[object, Part] = {link: given.ports[link]} if link in given.ports else {}
        self._change(network_id, switch_fd, given, before, {link: part, **new})
        given.ports[link] = part
        given.common.update(new)
        return True

    def dismiss(self, network_id: str, switch_fd: int, link: str) -> None:
        """Take away the rules of a link that is gone."""
        given = self._current(network_id, switch_fd)
        if given is not None and link in given.ports:
            self._change(network_id, switch_fd, given, {link: given.ports[link]}, {})
            del given.ports[link]
            given.occupants.pop(link, None)

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

    def _begin(self, switch_fd: int, wanted: dict[object, Part]) -> int:
        namespaces.inside(switch_fd, _let_rules_see_bridged_packets)
        return nft.run(switch_fd, rulebook.whole(wanted))

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


def _let_rules_see_bridged_packets() -> None:
    for name in _BRIDGE_SETTINGS:
        if not os.path.exists(f"/proc/sys/net/bridge/{name}"):
            raise errors.Failed(
                "this kernel does not show bridged packets to security groups; load the module br_netfilter"
            )
        namespaces.write_setting(f"bridge/{name}", "1")
