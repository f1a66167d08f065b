# SPDX-License-Identifier: Apache-2.0
"""The packet rules of each network's namespace, kept as they should be.

What was given last is remembered, so that a change costs what it changes. The kernel's own number for
the state of a namespace's rules tells when somebody else changed them: then, and at first, all of them
are given anew in one step. Callers hold the network's lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
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
    """What a namespace was given last; its rules were then at that generation."""

    generation: int
    parts: dict[object, Part] = field(default_factory=dict)
    numbers: dict[Combination, int] = field(default_factory=dict)
    last_number: int = 0

    def number(self, combination: Combination) -> int:
        if combination not in self.numbers:
            self.last_number += 1
            self.numbers[combination] = self.last_number
        return self.numbers[combination]


class Firewall:
    """One a host."""

    def __init__(self) -> None:
        self._given: dict[str, _Given] = {}

    def sync(
        self,
        network_id: str,
        switch_fd: int,
        trusted: Iterable[str],
        occupants: Iterable[Occupant],
        groups: dict[str, GroupState],
        members: Members,
    ) -> bool:
        """Make the rules of a namespace exactly these; answers whether somebody else had changed them."""
        given = self._current(network_id, switch_fd)
        fresh = given is None
        given = given or _Given(0)
        wanted: dict[object, Part] = {("trusted", link): rulebook.trusted(link) for link in trusted}
        for occupant in occupants:
            wanted.update(_parts_of(occupant, given, groups, members, wanted))
        if fresh:
            self._begin(network_id, switch_fd, given, wanted)
        else:
            self._change(switch_fd, given, given.parts, wanted)
            given.parts = wanted
            given.numbers = {which: number for which, number in given.numbers.items() if ("rules", which) in wanted}
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
        wanted = _parts_of(occupant, given, groups, members, given.parts)
        self._change(switch_fd, given, {key: given.parts[key] for key in wanted if key in given.parts}, wanted)
        given.parts.update(wanted)
        return True

    def dismiss(self, network_id: str, switch_fd: int, link: str) -> None:
        """Take away the rules of a link that is gone."""
        given = self._current(network_id, switch_fd)
        part = given.parts.get(("port", link)) if given is not None else None
        if given is not None and part is not None:
            self._change(switch_fd, given, {("port", link): part}, {})
            del given.parts[("port", link)]

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

    def _begin(self, network_id: str, switch_fd: int, given: _Given, wanted: dict[object, Part]) -> None:
        namespaces.inside(switch_fd, _let_rules_see_bridged_packets)
        nft.run(switch_fd, rulebook.whole(wanted))
        given.generation = nft.generation(switch_fd)
        given.parts = wanted
        self._given[network_id] = given

    def _change(self, switch_fd: int, given: _Given, before: dict[object, Part], after: dict[object, Part]) -> None:
        text = rulebook.script(before, after)
        if text:
            nft.run(switch_fd, text)
            given.generation = nft.generation(switch_fd)


def _parts_of(
    occupant: Occupant,
    given: _Given,
    groups: dict[str, GroupState],
    members: Members,
    known: dict[object, Part],
) -> dict[object, Part]:
    """A port's own part, and those that it needs and that are not known."""
    which = occupant.combination
    number = given.number(which)
    parts: dict[object, Part] = {
        ("port", occupant.link): rulebook.port(occupant.link, occupant.endpoint, occupant.state, number)
    }
    if ("rules", which) not in known:
        parts["rules", which] = rulebook.combination(number, which, groups)
        for group_id in rulebook.named_groups(which, groups):
            if ("group", group_id) not in known:
                parts["group", group_id] = rulebook.group(group_id, members(group_id))
    return parts


def _let_rules_see_bridged_packets() -> None:
    for name in _BRIDGE_SETTINGS:
        if not os.path.exists(f"/proc/sys/net/bridge/{name}"):
            raise errors.Failed(
                "this kernel does not show bridged packets to security groups; load the module br_netfilter"
            )
        namespaces.write_setting(f"bridge/{name}", "1")
