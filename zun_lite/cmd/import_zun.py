# SPDX-License-Identifier: Apache-2.0
"""zun-lite-manage import zun: make a Zun's registries and containers known here, under their own ids.

Everything is read and looked up first, so that what cannot be taken is told before anything is
written. Then each registry and container is accepted whole, in a transaction of its own, as a request
for it would be: with its quota, its placement, and an action. What is there already is left as it is, so
that a run that was cut off is simply run again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace

from oslo_config import cfg

from zun_lite.api.container import lookups
from zun_lite.api.container.request import CreateReader
from zun_lite.cmd.means import usable_means
from zun_lite.cmd.zun_rows import LIVE, ZunContainer, ZunDatabase, ZunRegistry, open_password
from zun_lite.control import purge
from zun_lite.control.create import create_container
from zun_lite.control.means import Means
from zun_lite.db import registries, workloads
from zun_lite.domain import errors, image_reference, names
from zun_lite.domain.caller import Caller
from zun_lite.domain.spec import ContainerSpec

MICROVERSION = 40


@dataclass(frozen=True)
class Known:
    """Their ids, and ours that stand for them; an id that is not here is the same on both sides."""

    networks: dict[str, str]
    volumes: dict[str, str]
    projects: dict[str, str]


@dataclass(frozen=True)
class Wish:
    """What to do. new_addresses: let each container get others. stopped: make none of them run.

    key: what opens passwords of registries. skip: leave out what cannot be taken over.
    """

    known: Known
    new_addresses: bool = False
    stopped: bool = False
    without_groups: bool = False
    key: str | None = None
    without_passwords: bool = False
    skip: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Ready:
    container: ZunContainer
    spec: ContainerSpec


def import_zun(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Make the registries and containers of an OpenStack Zun known here, from its database."""
    wish = _wish(arguments)
    take_over(conf, usable_means(conf), arguments.connection, wish)


def take_over(conf: cfg.ConfigOpts, means: Means, url: str, wish: Wish) -> None:
    """Invalid, Unavailable, OverQuota and others, each before or after a whole container, never within one."""
    zun = ZunDatabase(url)
    try:
        found, broken = zun.containers()
        logins, capsules = zun.registries(), zun.capsules()
    finally:
        zun.close()
    logins, found = _absent_registries(means, logins), _absent(means, found)
    passwords = _passwords(logins, wish)
    ready, refused = _look_up(conf, means, found, logins, wish)
    _tell(broken + refused)
    if (broken or refused) and not wish.skip:
        raise errors.Invalid(
            f"{len(broken + refused)} containers cannot be taken over, so nothing was written; mend what is said "
            "above, or leave them out with --skip."
        )
    if capsules:
        print(f"{capsules} capsules are not taken over; make them anew from their templates")
    if wish.dry_run:
        _tell(f"registry {login.uuid} {login.domain}: would be made" for login in logins)
        _tell(f"container {one.container.uuid} {one.container.name}: would be made" for one in ready)
        print(f"{len(logins)} registries and {len(ready)} containers would be made; nothing was written")
        return
    for login in logins:
        _make_registry(means, login, passwords.get(login.uuid), wish)
    _make_containers(means, ready, wish)
    print(f"{len(logins)} registries and {len(ready)} containers are made; their hosts are at work on them")


def _wish(arguments: argparse.Namespace) -> Wish:
    key = None
    if arguments.encryption_key_file:
        try:
            with open(arguments.encryption_key_file, encoding="utf-8") as file:
                key = file.read().strip()
        except OSError as error:
            raise errors.Invalid(f"--encryption-key-file cannot be read: {error}.") from error
    return Wish(
        Known(_pairs(arguments.network), _pairs(arguments.volume), _pairs(arguments.project)),
        new_addresses=arguments.new_addresses,
        stopped=arguments.stopped,
        without_groups=arguments.without_security_groups,
        key=key,
        without_passwords=arguments.without_passwords,
        skip=arguments.skip,
        dry_run=arguments.dry_run,
    )


def _pairs(given: Iterable[str]) -> dict[str, str]:
    pairs = {}
    for text in given:
        theirs, equals, ours = text.partition("=")
        if not (theirs and equals and ours):
            raise errors.Invalid(f"{text} is not of the form THEIRS=OURS.")
        pairs[theirs] = ours
    return pairs


def _absent_registries(means: Means, found: list[ZunRegistry]) -> list[ZunRegistry]:
    with means.db.read() as tx:
        return [login for login in found if registries.get(tx, login.uuid) is None]


def _absent(means: Means, found: list[ZunContainer]) -> list[ZunContainer]:
    with means.db.read() as tx:
        return [container for container in found if workloads.get(tx, container.uuid) is None]


def _passwords(logins: list[ZunRegistry], wish: Wish) -> dict[str, str]:
    """By the registry's uuid, opened. Invalid: the key is missing or wrong."""
    locked = {login.uuid: login.password for login in logins if login.password}
    if wish.without_passwords or not locked:
        return {}
    if wish.key is None:
        raise errors.Invalid(
            f"{len(locked)} registries have passwords; give --encryption-key-file with auth_encryption_key of "
            "zun.conf, or leave them out with --without-passwords."
        )
    return {uuid: open_password(text, wish.key) for uuid, text in locked.items()}


def _look_up(
    conf: cfg.ConfigOpts, means: Means, found: list[ZunContainer], coming: list[ZunRegistry], wish: Wish
) -> tuple[list[Ready], list[str]]:
    """What each container would be here; and a sentence for each that cannot be. Nothing is written."""
    reader = CreateReader(conf.container)
    known = {login.uuid: login for login in coming}
    ready, refused = [], []
    for container in found:
        caller = _caller(container, wish)
        try:
            if conf.identity.provider == "embedded":
                _check_project(means, container, wish)
            body = _translated(container, wish)
            login = known.get(str(body.get("registry")))
            if login is not None:
                # It is made before its first container is, and until then cannot be named.
                body.pop("registry")
                body["image"] = _image_at(str(body["image"]), login.domain.lower())
            request = reader.read(replace(caller, roles=frozenset({"admin", "member"})), body, MICROVERSION)
            spec = lookups.resolve(means, caller, request)
            if login is not None:
                spec = replace(spec, image=container.body["image"], registry_id=login.uuid)
            ready.append(Ready(container, spec))
        except errors.ZunError as error:
            refused.append(f"container {container.uuid} {container.name}: {error.message}")
    return ready, refused


def _image_at(image: str, domain: str) -> str:
    """The image's whole name in a registry."""
    reference = image_reference.parse(image)
    if reference.registry not in ("", domain):
        raise errors.Invalid(f"image {image} lies in {reference.registry}, but its registry is that of {domain}.")
    return str(reference.at(domain))


def _check_project(means: Means, container: ZunContainer, wish: Wish) -> None:
    """NotFound: nobody could ever see the container."""
    theirs = container.project_id
    if not purge.exists(means, wish.known.projects.get(theirs, theirs)):
        raise errors.NotFound(
            f"its project {theirs} is not known here; say with --project {theirs}=OURS which one stands for it."
        )


def _translated(container: ZunContainer, wish: Wish) -> dict[str, object]:
    body = dict(container.body)
    nets = []
    for net in body.get("nets", ()):
        kept = {"network": net["network"]} if wish.new_addresses else dict(net)
        nets.append({**kept, "network": wish.known.networks.get(net["network"], net["network"])})
    body["nets"] = nets
    body["mounts"] = [
        {**mount, "source": wish.known.volumes.get(mount["source"], mount["source"])}
        for mount in body.get("mounts", ())
    ]
    if wish.without_groups:
        body.pop("security_groups", None)
    return body


def _caller(container: ZunContainer, wish: Wish) -> Caller:
    """Who the container belongs to: networks, volumes and images are looked up with their rights."""
    project = wish.known.projects.get(container.project_id, container.project_id)
    return Caller(container.user_id or "zun", project, frozenset({"member"}), f"req-{names.new_id()}", admin=False)


def _make_registry(means: Means, login: ZunRegistry, password: str | None, wish: Wish) -> None:
    image_reference.check_registry(login.domain, means.allowed_registries)
    means.db.transact(
        lambda tx: registries.insert(
            tx,
            uuid=login.uuid,
            project_id=wish.known.projects.get(login.project_id, login.project_id),
            user_id=login.user_id or "zun",
            name=login.name,
            domain=login.domain.lower(),
            username=login.username,
            locked_password=None if password is None else means.secrets.lock(password),
        )
    )
    print(f"registry {login.uuid} {login.domain}: made", flush=True)


def _make_containers(means: Means, ready: list[Ready], wish: Wish) -> None:
    for number, one in enumerate(ready):
        run = one.container.status in LIVE and not wish.stopped
        try:
            made = create_container(
                means,
                _caller(one.container, wish),
                one.container.name,
                one.spec,
                run=run,
                uuid=one.container.uuid,
            )
        except errors.ZunError as error:
            raise type(error)(
                f"container {one.container.uuid} {one.container.name}: {error.message} {number} of {len(ready)} are "
                "made and stay; mend this, then run the same command again."
            ) from error
        note = f": {made.status_reason}" if made.status_reason else ""
        print(f"container {made.uuid} {made.name}: made{note}", flush=True)


def _tell(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        print(sentence)
    sys.stdout.flush()
