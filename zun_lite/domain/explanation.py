# SPDX-License-Identifier: Apache-2.0
"""Why a container is as it is: the stages on its way, and one sentence that a person understands.

Pure: what is known of a container comes in as Facts. Nothing here names a host; what may be told of hosts, and to
whom, is the API's to decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from zun_lite.domain.host_work import DONE, HostWork, Layer
from zun_lite.domain.lifecycle import ABSENT, OFF, UNHEALTHY, Goal, Observed
from zun_lite.domain.spec import ContainerSpec
from zun_lite.domain.wiring import Wiring

# of a stage
IS_DONE, IS_UNDER_WAY, WAITS, HAS_FAILED, IS_AHEAD = "done", "under way", "waits", "failed", "ahead"
# the stages on the way to a container that runs, in order
HOST, NETWORK, VOLUME, IMAGE, MOUNT, CREATE, CONNECT, START = (
    "host", "network", "volume", "image", "mount", "create", "connect", "start",
)  # fmt: skip
_MAKING = (IMAGE, MOUNT, CREATE, CONNECT)
_STAGES_OF_STEPS = {
    "image": IMAGE,
    "disks": MOUNT,
    "create": CREATE,
    "plug": CONNECT,
    "rewire": CONNECT,
    "note_build": CONNECT,
    "intend": START,
    "start": START,
    "note_run": START,
}
_KILLED = 137
_SIGNALLED = 128


@dataclass(frozen=True)
class Sifted:
    """What one filter left of the hosts that had passed those before it.

    name: what a host must be, like "is ready". refused: (name of a host, reason) of those that it took out.
    """

    name: str
    left: int
    refused: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Stage:
    name: str
    state: str
    detail: str = ""


@dataclass(frozen=True)
class Facts:
    """What is known of a container. status, reason: as its user is shown them. failure: why it found no host, or was
    not provided for.

    stage, stage_reason: where the control plane's own work waits or failed. sifted: of a container that found no host;
    fits_now: a host would take it now. work: what its host is doing, None where it was not asked or does not answer.
    last_action: what its user asked for last.
    """

    spec: ContainerSpec
    goal: Goal
    status: str
    reason: str | None
    placed: bool
    ready: bool
    wiring: Wiring
    observed: Observed | None
    failure: str | None = None
    stage: str | None = None
    stage_reason: str | None = None
    sifted: tuple[Sifted, ...] = ()
    fits_now: bool = False
    work: HostWork | None = None
    last_action: str = ""


def stages(facts: Facts) -> tuple[Stage, ...]:
    """From the choice of a host to the start; those that do not concern this container are left out."""
    names = [HOST, NETWORK, *([VOLUME] if facts.spec.mounts else ()), IMAGE]
    names += [*([MOUNT] if facts.spec.mounts else ()), CREATE, CONNECT]
    if facts.goal.run > 0:
        names.append(START)
    at, state, detail = _position(facts)
    if at and at not in names:
        names.append(at)
    found, passed = [], True
    for name in names:
        if name == at:
            found.append(Stage(name, state, detail))
            passed = False
        else:
            found.append(Stage(name, IS_DONE, _outcome(facts, name)) if passed else Stage(name, IS_AHEAD))
    return tuple(found)


def _position(facts: Facts) -> tuple[str, str, str]:
    """The stage that the container has come to, its state and what is to be said of it; no stage: all are done."""
    if not facts.placed:
        return HOST, HAS_FAILED, facts.failure or ""
    if facts.failure:
        return facts.stage or NETWORK, HAS_FAILED, facts.failure
    work, seen = facts.work, facts.observed or Observed()
    # one that is there already goes on while it is provided with something more
    if not facts.ready and seen.build < facts.goal.build:
        waits = WAITS if facts.stage_reason else IS_UNDER_WAY
        return facts.stage or NETWORK, waits, facts.stage_reason or ""
    if work is not None and work.step:
        return _position_at_host(work)
    if _is_lost(facts, seen):
        return CREATE, HAS_FAILED, seen.error or ""
    if seen.error:
        state = HAS_FAILED if seen.final else WAITS
        return _stage_of(seen.failed_step) or _next(facts, seen) or START, state, seen.error
    following = _next(facts, seen)
    return following, IS_UNDER_WAY if following else "", ""


def _is_lost(facts: Facts, seen: Observed) -> bool:
    return seen.state == "missing" and seen.final and seen.build >= facts.goal.build


def _position_at_host(work: HostWork) -> tuple[str, str, str]:
    stage = _stage_of(work.step)
    if not work.error:
        return stage, IS_UNDER_WAY, _progress_of(work.layers) if stage == IMAGE else ""
    if work.again_seconds is None:
        return stage, HAS_FAILED, work.error
    return stage, WAITS, f"{work.error} It is tried again in {work.again_seconds:.0f} s."


def _stage_of(step: str) -> str:
    return _STAGES_OF_STEPS.get(step, step)


def _next(facts: Facts, seen: Observed) -> str:
    """The first stage that was not seen to be over; empty: all were."""
    if seen.build < facts.goal.build:
        return IMAGE
    return START if facts.goal.power != OFF and seen.run < facts.goal.run else ""


def _progress_of(layers: Sequence[Layer]) -> str:
    if not layers:
        return ""
    return f"{sum(layer.state == DONE for layer in layers)} of {len(layers)} layers"


def _outcome(facts: Facts, stage: str) -> str:
    if stage == NETWORK:
        return ", ".join(address.ip for endpoint in facts.wiring.endpoints for address in endpoint.addresses)
    if stage == VOLUME:
        return ", ".join(f"{item.volume_id} at {item.target}" for item in facts.wiring.attachments)
    return facts.spec.image if stage == IMAGE else ""


def sentence(facts: Facts) -> str:
    """What is so, why, and what would help."""
    return " ".join(part for part in _parts(facts) if part)


def _parts(facts: Facts) -> Iterator[str]:
    at, state, detail = _position(facts)
    seen = facts.observed or Observed()
    if facts.goal.presence == ABSENT:
        yield f"It is being deleted{f', and waits: {detail}' if detail and state == WAITS else '.'}"
    elif not facts.placed:
        yield from _without_host(facts)
    elif facts.status == "Unknown":
        yield "Its host has not been heard of for a while; the container may well run there."
    elif _is_lost(facts, seen):
        yield "Its container is gone from its host, and not by an order of yours; rebuild makes it anew."
    elif state in (WAITS, HAS_FAILED):
        yield from _stopped_at(facts, at, state, detail)
    elif at:
        yield f"It is on its way, at {_WORDS.get(at, at)}{f': {detail}' if detail else ''}."
    elif facts.status == "Running":
        yield from _running(facts, seen)
    elif facts.status in ("Stopped", "Restarting", "Dead"):
        yield from _ended(facts, seen)
    else:
        yield _REST.get(facts.status) or f"It is {facts.status}{f': {facts.reason}' if facts.reason else '.'}"


_WORDS = {
    HOST: "the choice of a host",
    NETWORK: "its ports",
    VOLUME: "its volumes",
    IMAGE: "the pull of its image",
    MOUNT: "the mount of its volumes",
    CREATE: "the making of the container",
    CONNECT: "the connection to its networks",
    START: "the start of its process",
}
_HELP = {
    NETWORK: "Look at the networks, ports and security groups that it names.",
    VOLUME: "Look at the volumes that it names.",
    IMAGE: "Look at the image's name and at who may pull it; then rebuild it with the right one.",
    MOUNT: "Look at the volumes that it names.",
    START: "Look at its command, folder and user; a container with others has to be made anew.",
}
_REST = {
    "Created": "It was made and never started; start it.",
    "Paused": "It is paused; unpause lets it go on.",
}
_FEWER = {
    "is ready": "None of the cloud's hosts is ready.",
    "is enabled": "All hosts that are ready are disabled by their operator.",
    "is not forced down": "The operator has taken all hosts that are ready out of use.",
    "has no problem": "All hosts that could be used have a problem of their own.",
    "is where volumes are": "The only host where its volumes are could not take it.",
    "is the host asked for": "The host that it asks for could not take it.",
    "is in the zone": "No host that could be used is in the zone that it asks for.",
    "has the runtime": "No host that could be used has the runtime that it asks for.",
    "has the labels": "No host that could be used has the labels that it asks for.",
    "has room": "No host that could be used has the room that it asks for:",
}


def _without_host(facts: Facts) -> Iterator[str]:
    yield "It found no host."
    if not facts.sifted:
        yield facts.failure or ""
    else:
        last = facts.sifted[-1].name
        yield _FEWER.get(last, f"No host {last}.")
        if last == "has room":
            claim = facts.spec.claim
            yield f"{claim.cpus:g} CPUs, {claim.memory_mib} MiB of memory and {claim.disk_gib} GiB of disk."
            yield "Ask for less, or wait until there is more."
    if facts.fits_now:
        yield "A host would take it now: delete it and make it anew."


def _stopped_at(facts: Facts, at: str, state: str, detail: str) -> Iterator[str]:
    verb = "It waits at" if state == WAITS else "It failed at"
    yield f"{verb} {_WORDS.get(at, at)}: {detail.rstrip('.')}."
    if facts.observed is not None and facts.observed.spared:
        yield "The container goes on as it was."
    elif state == HAS_FAILED:
        yield _HELP.get(at, "")


def _running(facts: Facts, seen: Observed) -> Iterator[str]:
    check = facts.spec.healthcheck
    if seen.health == UNHEALTHY:
        yield f"It runs, but its health check fails{f' ({check.test})' if check else ''}; look at its logs."
    elif seen.health == "healthy":
        yield "It runs, and its health check says that it is well."
    elif seen.health:
        yield "It runs, and its health check has not answered yet."
    else:
        yield "It runs; it has no health check that could say more."


def _ended(facts: Facts, seen: Observed) -> Iterator[str]:
    code = seen.exit_code
    if seen.out_of_memory:
        memory = facts.spec.memory_mib
        yield f"Its process was killed (exit code {_KILLED}) because it wanted more than the {memory} MiB of memory"
        yield f"that it may use; give it more, as with `set --memory {2 * memory}`, and start it."
    elif facts.last_action in ("stop", "kill", "delete") and facts.status == "Stopped":
        yield f"It was ended by its user's {facts.last_action}, with exit code {code or 0}; start lets it run again."
    elif code == _KILLED:
        yield f"Its process was killed by SIGKILL (exit code {_KILLED}); it had not run out of its memory."
    elif code and code > _SIGNALLED:
        yield f"Its process was ended by signal {code - _SIGNALLED} (exit code {code}); look at its logs."
    elif code:
        yield f"Its process ended by itself with exit code {code}; look at its logs."
    else:
        yield "Its process had nothing more to do and ended by itself with exit code 0."
    if facts.status == "Restarting":
        yield "It ends again and again, and is started again each time."
