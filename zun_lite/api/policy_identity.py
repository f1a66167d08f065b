# SPDX-License-Identifier: Apache-2.0
"""The rules of the identity API: Keystone's own names, and its defaults of today.

An administrator of anything is one of everything. Readers of the system see all; who has a role in a domain
reads, or as a manager manages, what is in it. Where an object is in two domains, it is in none.
"""

from __future__ import annotations

ANYONE = "@"
ADMIN = "rule:context_is_admin"
SELF = "is_admin:True or user_id:%(user_id)s"
OWN = "user_id:%(user_id)s"
READ = "is_admin:True or (role:reader and system_scope:all)"
READ_OWN = f"{READ} or {OWN}"
READ_DOMAIN = f"{READ} or (role:reader and domain_id:%(domain_id)s)"
READ_DOMAIN_OR_OWN = f"{READ_DOMAIN} or {OWN}"
MANAGE_DOMAIN = "is_admin:True or (role:manager and domain_id:%(domain_id)s)"
GRANT = "is_admin:True or (role:manager and domain_id:%(domain_id)s and rule:domain_managed_target_role)"
MANAGED = "'manager':%(role_name)s or 'member':%(role_name)s or 'reader':%(role_name)s"

BASE = (("domain_managed_target_role", MANAGED, "The roles that managers of a domain may give and take."),)

_V3 = "/identity/v3"
_PROJECT, _USER, _GROUP, _ROLE = (f"{_V3}/{name}s/{{{name}}}" for name in ("project", "user", "group", "role"))
_OWNERS = ("projects/{target}", "domains/{target}")
_ACTORS = ("users/{actor}", "groups/{actor}")
_GRANTS = tuple(f"{_V3}/{owner}/{actor}/roles" for owner in _OWNERS for actor in _ACTORS)
_INHERITED = tuple(f"{_V3}/OS-INHERIT/{owner}/{actor}/roles" for owner in _OWNERS for actor in _ACTORS)
_ONE_GRANT = (
    *(f"{path}/{{role}}" for path in _GRANTS),
    *(f"{path}/{{role}}/inherited_to_projects" for path in _INHERITED),
)
_LISTED_GRANTS = (*_GRANTS, *(f"{path}/inherited_to_projects" for path in _INHERITED))


def _where(method: str, *paths: str) -> str:
    return "; ".join(f"{each} {path}" for path in paths for each in method.split("|"))


def _records(noun: str, plural: str, look: str, listing: str, change: str) -> tuple[tuple[str, str, str, str], ...]:
    many, one = f"{_V3}/{plural}", f"{_V3}/{plural}/{{{noun}}}"
    return (
        (f"identity:list_{plural}", listing, f"List {plural}.", f"GET {many}"),
        (f"identity:get_{noun}", look, f"Show a {noun}.", f"GET {one}"),
        (f"identity:create_{noun}", change, f"Create a {noun}.", f"POST {many}"),
        (f"identity:update_{noun}", change, f"Change a {noun}.", f"PATCH {one}"),
        (f"identity:delete_{noun}", change, f"Delete a {noun}.", f"DELETE {one}"),
    )


_MEMBER = f"{_GROUP}/users/{{user}}"
_TAG = f"{_PROJECT}/tags/{{tag}}"
_CREDENTIALS = f"{_USER}/application_credentials"
_IMPLIED = f"{_ROLE}/implies/{{implied}}"
_TOKENS = f"{_V3}/auth/tokens"

# name, default, what it allows, where
RULES = (
    (
        "identity:validate_token",
        f"role:service or {READ_OWN}",
        "Have a token checked.",
        _where("GET|HEAD", _TOKENS),
    ),
    ("identity:issue_token", ANYONE, "Ask for a token.", f"POST {_TOKENS}"),
    ("identity:revoke_token", SELF, "End a token.", f"DELETE {_TOKENS}"),
    ("identity:get_auth_catalog", ANYONE, "Read one's own catalogue.", f"GET {_V3}/auth/catalog"),
    ("identity:get_auth_projects", ANYONE, "List the projects one has a role in.", f"GET {_V3}/auth/projects"),
    ("identity:get_auth_domains", ANYONE, "List the domains one has a role in.", f"GET {_V3}/auth/domains"),
    ("identity:get_auth_system", ANYONE, "See whether one has a role in the system.", f"GET {_V3}/auth/system"),
    *_records(
        "domain",
        "domains",
        f"{READ} or domain_id:%(domain_id)s or project_domain_id:%(domain_id)s",
        READ_DOMAIN,
        ADMIN,
    ),
    *_records("project", "projects", f"{READ_DOMAIN} or project_id:%(project_id)s", READ_DOMAIN, MANAGE_DOMAIN),
    *_records("user", "users", READ_DOMAIN_OR_OWN, READ_DOMAIN, MANAGE_DOMAIN),
    *_records("group", "groups", READ_DOMAIN, READ_DOMAIN, MANAGE_DOMAIN),
    *_records(
        "role",
        "roles",
        f"{READ} or (role:manager and rule:domain_managed_target_role)",
        f"{READ} or (role:manager and domain_id:%(domain_id)s)",
        ADMIN,
    ),
    *_records("service", "services", READ, READ, ADMIN),
    *_records("endpoint", "endpoints", READ, READ, ADMIN),
    *_records("region", "regions", ANYONE, ANYONE, ADMIN),
    ("identity:list_user_projects", READ_DOMAIN_OR_OWN, "List a user's projects.", f"GET {_USER}/projects"),
    ("identity:change_password", ANYONE, "Change a password by the old one.", f"POST {_USER}/password"),
    ("identity:list_groups_for_user", READ_DOMAIN_OR_OWN, "List a user's groups.", f"GET {_USER}/groups"),
    ("identity:list_users_in_group", READ_DOMAIN, "List a group's users.", f"GET {_GROUP}/users"),
    ("identity:check_user_in_group", READ_DOMAIN, "See whether a user is in a group.", _where("GET|HEAD", _MEMBER)),
    ("identity:add_user_to_group", MANAGE_DOMAIN, "Put a user into a group.", f"PUT {_MEMBER}"),
    ("identity:remove_user_from_group", MANAGE_DOMAIN, "Take a user out of a group.", f"DELETE {_MEMBER}"),
    (
        "identity:list_project_tags",
        f"{READ_DOMAIN} or project_id:%(project_id)s",
        "List a project's tags.",
        f"GET {_PROJECT}/tags; GET {_TAG}; HEAD {_TAG}",
    ),
    (
        "identity:update_project_tags",
        MANAGE_DOMAIN,
        "Change a project's tags.",
        f"PUT {_PROJECT}/tags; DELETE {_PROJECT}/tags; PUT {_TAG}; DELETE {_TAG}",
    ),
    ("identity:check_grant", READ_DOMAIN, "See whether a role was given.", _where("GET|HEAD", *_ONE_GRANT)),
    ("identity:list_grants", READ_DOMAIN, "List the roles that were given.", _where("GET", *_LISTED_GRANTS)),
    ("identity:create_grant", GRANT, "Give a role.", _where("PUT", *_ONE_GRANT)),
    ("identity:revoke_grant", GRANT, "Take a role back.", _where("DELETE", *_ONE_GRANT)),
    *(
        (f"identity:{verb}_system_grant{many}_for_{actor}", check, sentence, _where(methods, f"{path}{one}"))
        for actor in ("user", "group")
        for path in (f"{_V3}/system/{actor}s/{{actor}}/roles",)
        for verb, many, check, sentence, methods, one in (
            ("list", "s", READ, f"List the roles of a {actor} in the system.", "GET", ""),
            ("check", "", READ, f"See whether a {actor} has a role in the system.", "GET|HEAD", "/{role}"),
            ("create", "", ADMIN, f"Give a {actor} a role in the system.", "PUT", "/{role}"),
            ("revoke", "", ADMIN, f"Take a role in the system from a {actor}.", "DELETE", "/{role}"),
        )
    ),
    ("identity:list_role_assignments", READ_DOMAIN, "List who has which role where.", f"GET {_V3}/role_assignments"),
    ("identity:list_implied_roles", READ, "List what a role brings along.", f"GET {_ROLE}/implies"),
    ("identity:get_implied_role", READ, "See whether a role brings another along.", _where("GET|HEAD", _IMPLIED)),
    ("identity:create_implied_role", ADMIN, "Let a role bring another along.", f"PUT {_IMPLIED}"),
    ("identity:delete_implied_role", ADMIN, "Let a role bring another along no more.", f"DELETE {_IMPLIED}"),
    ("identity:list_role_inference_rules", READ, "List all that roles bring along.", f"GET {_V3}/role_inferences"),
    (
        "identity:list_application_credentials",
        READ_OWN,
        "List a user's application credentials.",
        f"GET {_CREDENTIALS}",
    ),
    (
        "identity:get_application_credential",
        READ_OWN,
        "Show an application credential.",
        f"GET {_CREDENTIALS}/{{credential}}",
    ),
    ("identity:create_application_credential", OWN, "Create an application credential.", f"POST {_CREDENTIALS}"),
    (
        "identity:delete_application_credential",
        SELF,
        "Delete an application credential.",
        f"DELETE {_CREDENTIALS}/{{credential}}",
    ),
    ("identity:list_access_rules", READ_OWN, "List a user's access rules.", f"GET {_USER}/access_rules"),
    ("identity:get_access_rule", READ_OWN, "Show an access rule.", f"GET {_USER}/access_rules/{{rule}}"),
    ("identity:delete_access_rule", SELF, "Delete an access rule.", f"DELETE {_USER}/access_rules/{{rule}}"),
)
