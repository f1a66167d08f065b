# SPDX-License-Identifier: Apache-2.0
"""The embedded Keystone: the part of the Identity API v3 that stock clients and keystonemiddleware need."""

from __future__ import annotations

from zun_lite.api.identity.credentials import AccessRules, Credentials
from zun_lite.api.identity.documents import IdentityRoot, IdentityV3
from zun_lite.api.identity.grants import ActorRoles, Assignments, Implications
from zun_lite.api.identity.records import Records
from zun_lite.api.identity.tokens import Mine, Tokens
from zun_lite.api.identity.users import Members, Tags, UserParts
from zun_lite.api.services import Services
from zun_lite.api.token_cache import TokenCache
from zun_lite.db import roles
from zun_lite.identity import nouns
from zun_lite.identity.delegations import Delegations
from zun_lite.identity.directory import Directory
from zun_lite.identity.grants import Grants

PREFIX = "/identity/v3"
Row = tuple[str, object, str | None]


def resources(services: Services, cache: TokenCache) -> list[Row]:
    """(path template, resource, suffix of its responders) of everything under /identity; nothing without it."""
    identity = services.identity
    if identity is None:
        return []
    url = f"{services.public_url}{PREFIX}"
    directory, grants = Directory(identity.db), Grants(identity.db)
    records = {noun: Records(noun, directory, grants, url) for noun in nouns.ALL}
    mine = Mine(directory, services.public_url)
    parts = UserParts(identity, directory, records[nouns.USER], url)
    members = Members(directory, grants, records[nouns.GROUP], url)
    tags = Tags(directory, records[nouns.PROJECT], url)
    delegations = Delegations(identity.db, identity.clock)
    credentials, rules = Credentials(delegations, url), AccessRules(delegations, url)
    implications = Implications(grants, url)
    user, project, group = f"{PREFIX}/users/{{ident}}", f"{PREFIX}/projects/{{ident}}", f"{PREFIX}/groups/{{ident}}"
    return [
        ("/identity", IdentityRoot(services.public_url), None),
        (PREFIX, IdentityV3(services.public_url), None),
        (f"{PREFIX}/auth/tokens", Tokens(identity, directory, cache, services.public_url), None),
        *((f"{PREFIX}/auth/{name}", mine, name) for name in ("catalog", "projects", "domains", "system")),
        *((f"{PREFIX}/{noun.plural}", records[noun], "list") for noun in nouns.ALL),
        *((f"{PREFIX}/{noun.plural}/{{ident}}", records[noun], "one") for noun in nouns.ALL),
        *((f"{user}/{name}", parts, name) for name in ("projects", "groups", "password")),
        (f"{group}/users", members, "list"),
        (f"{group}/users/{{user_id}}", members, "one"),
        (f"{project}/tags", tags, "list"),
        (f"{project}/tags/{{tag}}", tags, "one"),
        (f"{user}/application_credentials", credentials, "list"),
        (f"{user}/application_credentials/{{one_id}}", credentials, "one"),
        (f"{user}/access_rules", rules, "list"),
        (f"{user}/access_rules/{{one_id}}", rules, "one"),
        *_roles(directory, grants, url),
        (f"{PREFIX}/role_assignments", Assignments(directory, grants, url), None),
        (f"{PREFIX}/roles/{{ident}}/implies", implications, "list"),
        (f"{PREFIX}/roles/{{ident}}/implies/{{implied_id}}", implications, "one"),
        (f"{PREFIX}/role_inferences", implications, "all"),
    ]


def _roles(directory: Directory, grants: Grants, url: str) -> list[Row]:
    """Who holds which role: for users and groups; in projects, in domains, below either, in the system."""
    rows: list[Row] = []
    for actor in (roles.USER, roles.GROUP):
        there = ActorRoles(roles.SYSTEM, actor, directory, grants, url)
        path = f"{PREFIX}/system/{actor}s/{{actor_id}}/roles"
        rows += [(path, there, "list"), (f"{path}/{{role_id}}", there, "one")]
        for scope in (roles.PROJECT, roles.DOMAIN):
            path = f"{scope}s/{{ident}}/{actor}s/{{actor_id}}/roles"
            there = ActorRoles(scope, actor, directory, grants, url)
            below = ActorRoles(scope, actor, directory, grants, url, inherited=True)
            rows += [
                (f"{PREFIX}/{path}", there, "list"),
                (f"{PREFIX}/{path}/{{role_id}}", there, "one"),
                (f"{PREFIX}/OS-INHERIT/{path}/inherited_to_projects", below, "list"),
                (f"{PREFIX}/OS-INHERIT/{path}/{{role_id}}/inherited_to_projects", below, "one"),
            ]
    return rows
