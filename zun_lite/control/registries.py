# SPDX-License-Identifier: Apache-2.0
"""Registries of projects: find them, change them, and hand a login to the one host that needs it.

A password is locked before it is stored and opened only for the host on which a workload that names
the registry is placed; nothing here ever shows it to a user.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.control.means import Means
from zun_lite.db import registries, workloads
from zun_lite.db.hosts import Host
from zun_lite.db.listing import Page
from zun_lite.db.registries import Registry
from zun_lite.domain import errors, names
from zun_lite.domain.caller import Caller
from zun_lite.domain.desired import Login
from zun_lite.domain.image_reference import check_registry


@dataclass(frozen=True)
class NewRegistry:
    domain: str
    name: str = ""
    username: str = ""
    password: str | None = None


def resolve(means: Means, caller: Caller, ident: str) -> str:
    """The id of the caller's registry of that id or name. NotFound, Ambiguous."""
    return find(means, caller, ident).uuid


def find(means: Means, caller: Caller, ident: str, *, anywhere: bool = False) -> Registry:
    """By id or name, within the caller's project. anywhere: in every project, for who may look there.

    NotFound, Ambiguous.
    """
    with means.db.read() as tx:
        found = registries.find(tx, None if anywhere else caller.project_id or "", uuid=names.as_id(ident), name=ident)
    if not found:
        raise errors.NotFound(f"Registry {ident} could not be found.", kind="RegistryNotFound")
    if len(found) > 1:
        raise errors.Ambiguous(
            f"Several registries are named {ident}; use the UUID of the one you mean.", kind="Conflict"
        )
    return found[0]


def page(
    means: Means, caller: Caller, filters: dict[str, list[Any]], wanted: Page, *, all_projects: bool = False
) -> list[Registry]:
    """One page of the caller's registries, or of all projects' (the edge has checked the right to)."""
    project_id = None if all_projects else caller.project_id or ""
    if wanted.marker is not None:
        find(means, caller, wanted.marker, anywhere=all_projects)
    with means.db.read() as tx:
        return registries.page(tx, project_id, filters, wanted)


def create(means: Means, caller: Caller, wanted: NewRegistry) -> Registry:
    if caller.project_id is None:
        raise errors.Forbidden("A registry belongs to a project; use a token that is scoped to one.")
    project_id = caller.project_id
    check_registry(wanted.domain, means.allowed_registries)
    locked = _locked(means, wanted.password)
    uuid = names.new_id()
    return means.db.transact(
        lambda tx: registries.insert(
            tx,
            uuid=uuid,
            project_id=project_id,
            user_id=caller.user_id,
            name=wanted.name,
            domain=wanted.domain.lower(),
            username=wanted.username,
            locked_password=locked,
        )
    )


def update(means: Means, registry: Registry, changes: dict[str, str | None]) -> Registry:
    """changes: any of name, domain, username, password."""
    values: dict[str, Any] = dict(changes)
    if "domain" in values:
        check_registry(values["domain"], means.allowed_registries)
        values["domain"] = values["domain"].lower()
    if "password" in values:
        values["locked_password"] = _locked(means, values.pop("password"))

    def work(tx: sa.Connection) -> Registry:
        if "domain" in values and values["domain"] != registry.domain:
            _refuse_if_used(tx, registry, "moved to another domain")
        if values:
            registries.update(tx, registry.uuid, values)
        changed = registries.get(tx, registry.uuid)
        if changed is None:
            raise errors.NotFound(f"Registry {registry.uuid} could not be found.", kind="RegistryNotFound")
        return changed

    return means.db.transact(work)


def delete(means: Means, registry: Registry) -> None:
    """InUse: a workload's image comes by it."""

    def work(tx: sa.Connection) -> None:
        registries.get(tx, registry.uuid, lock=True)
        _refuse_if_used(tx, registry, "deleted")
        registries.remove(tx, registry.uuid)

    means.db.transact(work)


def login_for(means: Means, host: Host, workload_uuid: str) -> Login:
    """The login with which this host may pull the image of a workload that is placed on it.

    NotFound: no such workload there, or it names no registry.
    """
    with means.db.read() as tx:
        workload = workloads.get(tx, workload_uuid)
        ours = workload is not None and workload.host == host.uuid
        registry_id = workload.spec.registry_id if workload is not None and ours else None
        registry = registries.get(tx, registry_id) if registry_id else None
    if registry is None:
        raise errors.NotFound("No workload of this host has that id and a registry.")
    password = means.secrets.open(registry.locked_password) if registry.locked_password else None
    return Login(registry.domain, registry.username or None, password)


def _refuse_if_used(tx: sa.Connection, registry: Registry, what: str) -> None:
    user = registries.user_of(tx, registry.uuid)
    if user is not None:
        raise errors.InUse(
            f"Registry {registry.uuid} cannot be {what} while container {user} uses it; delete the container first.",
            kind="RegistryInUse",
        )


def _locked(means: Means, password: str | None) -> str | None:
    return None if password is None else means.secrets.lock(password)
