# SPDX-License-Identifier: Apache-2.0
"""What the records of the identity service look like on the wire, and what their fields may hold.

A noun reads a body into the columns of its table and shows a row again. Keys that nobody knows are kept
in `extra` and shown as they came, as Keystone does. What may be done with records, directory.py knows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from zun_lite.db import endpoints, identity, roles
from zun_lite.db.entries import Entry
from zun_lite.domain import errors
from zun_lite.identity.requests import MAX_PASSWORD_CHARACTERS

MOST_EXTRA_CHARACTERS = 16384
MOST_TAGS = 80
_TAG = re.compile(r"[^,/]{1,255}")
_IMMUTABLE = frozenset(("immutable",))
_OF_USERS = frozenset(
    (
        *("ignore_change_password_upon_first_use", "ignore_password_expiry", "ignore_lockout_failure_attempts"),
        *("ignore_user_inactivity", "lock_password"),
    )
)
Check = Callable[[str, Any], Any]


@dataclass(frozen=True, eq=False)
class Noun:
    """fields: by their names on the wire, which are those of columns, with the check that makes a value of each.

    required: without them nothing is made. filters: by which lists may be cut. options: names that `options`
    may have; None is a noun without. tagged: whether it has tags. unknown: whether other keys are kept.
    """

    key: str
    plural: str
    table: sa.Table
    fields: dict[str, Check]
    required: tuple[str, ...] = ("name",)
    filters: tuple[str, ...] = ("name",)
    options: frozenset[str] | None = None
    tagged: bool = False
    unknown: bool = True
    hidden: frozenset[str] = frozenset(("extra",))
    usual: dict[str, Any] = field(default_factory=dict)

    def read(self, body: Any, before: Entry | None = None) -> Entry:
        """The columns that a body says; `before` is the record to be changed, None for a new one. Invalid."""
        given = body.get(self.key) if isinstance(body, dict) else None
        if not isinstance(given, dict):
            raise errors.Invalid(f"The body must be an object with the key {self.key}.")
        given = {key: value for key, value in given.items() if key not in ("links", "is_domain")}
        values = {}
        for name, check in self.fields.items():
            if name in given:
                values[name] = check(f"{self.key}.{name}", given.pop(name))
        if before is None:
            for name in self.required:
                if values.get(name) is None:
                    raise errors.Invalid(f"{self.key}.{name} is required.")
            values = {**self.usual, **values}
        return {**values, "extra": self._extra(given, before["extra"] if before else {})}

    def show(self, row: Entry) -> Entry:
        """The record without its links."""
        extra = dict(row["extra"])
        shown = {name: value for name, value in row.items() if name not in self.hidden}
        if self.tagged:
            shown["tags"] = extra.pop("tags", [])
        if self.options is not None:
            shown["options"] = extra.pop("options", {})
        return {**extra, **shown}

    def _extra(self, given: Entry, before: Entry) -> Entry:
        given.pop("id", None)
        extra = dict(before)
        if self.tagged and "tags" in given:
            extra["tags"] = tags(given.pop("tags"))
        if self.options is not None and "options" in given:
            extra["options"] = self._options(given.pop("options"), before.get("options", {}))
        if given and not self.unknown:
            raise errors.Invalid(f"{self.key} has no field {sorted(given)[0]}.")
        for name, value in given.items():
            text(f"A key of {self.key}", name, 255)
            extra[name] = value
        if len(str(extra)) > MOST_EXTRA_CHARACTERS:
            raise errors.Invalid(f"{self.key} has more than {MOST_EXTRA_CHARACTERS} characters of its own keys.")
        return extra

    def _options(self, given: Any, before: Entry) -> Entry:
        where = f"{self.key}.options"
        if not isinstance(given, dict):
            raise errors.Invalid(f"{where} must be an object.")
        for name, value in given.items():
            if name not in (self.options or ()) or not (value is None or isinstance(value, bool)):
                known = ", ".join(sorted(self.options or ()))
                raise errors.Invalid(f"{where} may have, with true, false or null: {known}.")
        return {name: value for name, value in {**before, **given}.items() if value is not None}


def text(where: str, value: Any, most: int, *, lines: bool = False) -> str:
    """A text without control characters; lines: but for those that end lines."""
    if not isinstance(value, str) or len(value) > most:
        raise errors.Invalid(f"{where} must be a string of at most {most} characters.")
    allowed = "\n\r\t" if lines else ""
    if any(unicodedata.category(each) in ("Cc", "Cs") and each not in allowed for each in value):
        raise errors.Invalid(f"{where} must not hold control characters.")
    return value


def name(most: int) -> Check:
    def check(where: str, value: Any) -> str:
        if not text(where, value, most).strip():
            raise errors.Invalid(f"{where} must not be empty.")
        return value

    return check


def tags(given: Any) -> list[str]:
    """Sorted, each once."""
    if not isinstance(given, list) or len(given) > MOST_TAGS:
        raise errors.Invalid(f"tags must be a list of at most {MOST_TAGS} tags.")
    for each in given:
        if not isinstance(each, str) or not _TAG.fullmatch(text("A tag", each, 255)):
            raise errors.Invalid("A tag is a string of 1 to 255 characters without commas and slashes.")
    return sorted(set(given))


def _description(where: str, value: Any) -> str:
    return "" if value is None else text(where, value, 65535, lines=True)


def _flag(where: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise errors.Invalid(f"{where} must be true or false.")
    return value


def _reference(most: int) -> Check:
    """To another record by its id; null and an empty text are none."""

    def check(where: str, value: Any) -> str | None:
        return text(where, value, most) or None if value is not None else None

    return check


_id = _reference(64)


def _email(where: str, value: Any) -> str | None:
    return None if value is None else text(where, value, 255)


def _password(where: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value or len(value) > MAX_PASSWORD_CHARACTERS:
        raise errors.Invalid(f"{where} must be a string of 1 to {MAX_PASSWORD_CHARACTERS} characters.")
    return value


def _interface(where: str, value: Any) -> str:
    short = value.removesuffix("URL") if isinstance(value, str) else value
    if short not in ("public", "internal", "admin"):
        raise errors.Invalid(f"{where} must be public, internal or admin.")
    return short


def _url(where: str, value: Any) -> str:
    if not re.match(r"(https?://|\$\(public_url\)s)\S+$", text(where, value, 2048)):
        raise errors.Invalid(f"{where} must be a URL that begins with http:// or https://.")
    return value


DOMAIN = Noun(
    "domain",
    "domains",
    identity.domains,
    {"name": name(64), "description": _description, "enabled": _flag},
    filters=("name", "enabled"),
    options=_IMMUTABLE,
    tagged=True,
    usual={"description": "", "enabled": True},
)
PROJECT = Noun(
    "project",
    "projects",
    identity.projects,
    {"name": name(64), "domain_id": _id, "parent_id": _id, "description": _description, "enabled": _flag},
    filters=("name", "domain_id", "enabled", "parent_id"),
    options=_IMMUTABLE,
    tagged=True,
    usual={"description": "", "enabled": True, "parent_id": None, "domain_id": None},
)
USER = Noun(
    "user",
    "users",
    identity.users,
    {
        "name": name(255),
        "password": _password,
        "domain_id": _id,
        "default_project_id": _id,
        "email": _email,
        "description": _description,
        "enabled": _flag,
    },
    filters=("name", "domain_id", "enabled"),
    options=_OF_USERS,
    hidden=frozenset(("extra", "password_hash", "generation")),
    usual={"description": "", "enabled": True, "domain_id": None, "default_project_id": None, "email": None},
)
GROUP = Noun(
    "group",
    "groups",
    identity.groups,
    {"name": name(255), "domain_id": _id, "description": _description},
    filters=("name", "domain_id"),
    usual={"description": "", "domain_id": None},
)
ROLE = Noun(
    "role",
    "roles",
    roles.roles,
    {"name": name(255), "domain_id": _id, "description": _description},
    filters=("name", "domain_id"),
    options=_IMMUTABLE,
    usual={"description": "", "domain_id": None},
)
SERVICE = Noun(
    "service",
    "services",
    endpoints.services,
    {"type": name(255), "name": lambda where, value: "" if value is None else text(where, value, 255),
     "description": _description, "enabled": _flag},
    required=("type",),
    filters=("type", "name"),
    usual={"name": "", "description": "", "enabled": True},
)  # fmt: skip
ENDPOINT = Noun(
    "endpoint",
    "endpoints",
    endpoints.endpoints,
    {"service_id": name(64), "region_id": _reference(255),
     "region": _reference(255), "interface": _interface, "url": _url,
     "enabled": _flag},
    required=("service_id", "interface", "url"),
    filters=("service_id", "interface", "region_id"),
    usual={"region_id": None, "enabled": True},
)  # fmt: skip
REGION = Noun(
    "region",
    "regions",
    endpoints.regions,
    {"id": _reference(255), "description": _description,
     "parent_region_id": _reference(255)},
    required=(),
    filters=("parent_region_id",),
    usual={"description": "", "parent_region_id": None},
)  # fmt: skip
ALL = (DOMAIN, PROJECT, USER, GROUP, ROLE, SERVICE, ENDPOINT, REGION)
