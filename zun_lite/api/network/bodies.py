# SPDX-License-Identifier: Apache-2.0
"""The bodies of Neutron's requests: one table of attributes a resource, read the same way for all.

null is the same as leaving an attribute out, except where its Attribute says otherwise.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import falcon

from zun_lite.api import media
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id
from zun_lite.network import cidr
from zun_lite.network.ports import Wanted

NAME_LENGTH = 255
MOST_AT_ONCE = 100
MOST_PAIRS = 10


@dataclass(frozen=True)
class Attribute:
    """One field that a body may hold.

    name: under which it is handed on, empty for what is only checked. read: (field, value) to the value
    handed on; Invalid. change: it may be changed later. admin: only an administrator may give it, unless it
    says nothing (false, empty). null: null is a value of its own.
    """

    name: str
    read: Callable[[str, Any], Any]
    required: bool = False
    change: bool = False
    admin: bool = False
    null: bool = False


def read_items(req: falcon.Request, singular: str, plural: str | None = None) -> tuple[list[dict[str, Any]], bool]:
    """(the objects in the body, whether they came as a list under the plural)."""
    try:
        body = media.loads(req.bounded_stream.read() or b"null")
    except ValueError as error:
        raise bad_request(f"The body is not the JSON that is needed: {error}.") from None
    if isinstance(body, dict) and len(body) == 1:
        if isinstance(body.get(singular), dict):
            return [body[singular]], False
        items = body.get(plural) if plural else None
        if isinstance(items, list) and items and all(isinstance(item, dict) for item in items):
            if len(items) > MOST_AT_ONCE:
                raise bad_request(f"At most {MOST_AT_ONCE} {plural} can be made by one request.")
            return items, True
    raise bad_request(f'Resource body required: the body must be an object {{"{singular}": {{...}}}}.')


def read_new(item: dict[str, Any], attributes: Mapping[str, Attribute], caller: Caller) -> dict[str, Any]:
    """What a create asks for, by Attribute.name."""
    values = _read(item, attributes, caller)
    for field, attribute in attributes.items():
        if attribute.required and attribute.name not in values:
            raise bad_request(f"Failed to parse request. Required attribute '{field}' not specified.")
    return values


def read_changes(item: dict[str, Any], attributes: Mapping[str, Attribute], caller: Caller) -> dict[str, Any]:
    """What an update asks for, by Attribute.name."""
    fixed = [field for field in item if field in attributes and not attributes[field].change]
    if fixed:
        raise bad_request(f"Cannot update read-only attribute {fixed[0]}.")
    return _read(item, attributes, caller)


def project_of(item: dict[str, Any], caller: Caller) -> str:
    """Whose the new object is: the caller's, or whom an administrator names."""
    named = item.get("project_id") or item.get("tenant_id") or caller.project_id
    if named is None:
        raise errors.Forbidden(
            "The token is not scoped to a project, so the project_id must be given.", kind="PolicyNotAuthorized"
        )
    if named != caller.project_id and not caller.is_admin:
        raise forbidden("project_id")
    if not isinstance(named, str) or len(named) > 64:
        raise invalid("project_id", f"'{named}' is not the id of a project")
    return named


def text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise invalid(field, f"'{value}' is not a valid string")
    if len(value) > NAME_LENGTH:
        raise invalid(field, f"'{value[:40]}...' exceeds maximum length of {NAME_LENGTH}")
    return value


def text_or_nothing(field: str, value: Any) -> str:
    return "" if value is None else text(field, value)


def text_or_null(field: str, value: Any) -> str | None:
    return text_or_nothing(field, value) or None


def texts(field: str, value: Any) -> list[str]:
    return [text(field, item) for item in _list(field, value)]


def boolean(field: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise invalid(field, f"'{value}' cannot be converted to boolean")


def integer(low: int, high: int) -> Callable[[str, Any], int]:
    """Whole numbers of that range; clients send them as text, too."""

    def read(field: str, value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value, re.ASCII):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid(field, f"'{value}' is not an integer")
        if not low <= value <= high:
            raise invalid(field, f"{value} is not in the range from {low} to {high}")
        return value

    return read


def identifier(field: str, value: Any) -> str:
    found = as_id(value) if isinstance(value, str) else None
    if found is None:
        raise invalid(field, f"'{value}' is not a valid UUID")
    return found


def identifier_or_null(field: str, value: Any) -> str | None:
    return None if value is None else identifier(field, value)


def identifiers(field: str, value: Any) -> list[str]:
    return [identifier(field, item) for item in _list(field, value)]


def one_of(*allowed: Any) -> Callable[[str, Any], Any]:
    """What this server does not offer yet may be said to be off, in the ways that clients do."""

    def read(field: str, value: Any) -> Any:
        if any(type(value) is type(known) and value == known for known in allowed):
            return value
        shown = " or ".join(repr(known) for known in allowed) or "left out"
        raise invalid(field, f"'{value}' is not supported by this server; it must be {shown}")

    return read


def gateway(field: str, value: Any) -> str | None:
    return None if value is None else text(field, value)


def addresses(field: str, value: Any) -> list[str]:
    found = [str(cidr.parse_ip(text(field, item), field)) for item in _list(field, value)]
    if len(set(found)) < len(found):
        raise invalid(field, "an address stands in the list twice")
    return found


def pools(field: str, value: Any) -> list[tuple[str, str]]:
    return [_pair(field, item, "start", "end") for item in _list(field, value)]


def routes(field: str, value: Any) -> list[tuple[str, str]]:
    return [_pair(field, item, "destination", "nexthop") for item in _list(field, value)]


def fixed_ips(field: str, value: Any) -> list[Wanted]:
    wanted = []
    for item in _list(field, value):
        if not isinstance(item, dict) or not item or set(item) - {"subnet_id", "ip_address"}:
            raise invalid(field, "each entry must be an object with subnet_id, ip_address or both")
        subnet_id, ip = item.get("subnet_id"), item.get("ip_address")
        wanted.append(
            Wanted(
                None if subnet_id is None else identifier(f"{field}.subnet_id", subnet_id),
                None if ip is None else str(cidr.parse_ip(text(f"{field}.ip_address", ip), field)),
            )
        )
    if len(wanted) > 5:
        raise invalid(field, "a port may have 5 addresses at most")
    return wanted


def address_pairs(field: str, value: Any) -> list[tuple[str, str | None]]:
    """(address or prefix, MAC or None for the port's own)."""
    pairs: list[tuple[str, str | None]] = []
    for item in _list(field, value):
        if not isinstance(item, dict) or "ip_address" not in item or set(item) - {"ip_address", "mac_address"}:
            raise invalid(field, "each entry must be an object with ip_address, and perhaps mac_address")
        address = text(f"{field}.ip_address", item["ip_address"])
        try:
            known = ipaddress.ip_network(address, strict=False) if "%" not in address else None
        except ValueError:
            known = None
        if known is None:
            raise invalid(field, f"'{address}' is not a valid IP address or subnet")
        given = item.get("mac_address")
        pair = (str(known) if "/" in address else str(known.network_address), mac(field, given) if given else None)
        if pair in pairs:
            raise invalid(field, f"{address} stands in the list twice")
        pairs.append(pair)
    if len(pairs) > MOST_PAIRS:
        raise invalid(field, f"a port may have {MOST_PAIRS} of them at most")
    return pairs


def mac(field: str, value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", value, re.ASCII):
        raise invalid(field, f"'{value}' is not a valid MAC address")
    if int(value[:2], 16) & 1 or value == "00:00:00:00:00:00":
        raise invalid(field, f"'{value}' is not the MAC address of one interface")
    return value.lower()


def bad_request(sentence: str) -> errors.Invalid:
    return errors.Invalid(sentence, kind="HTTPBadRequest")


def invalid(field: str, reason: str) -> errors.Invalid:
    return bad_request(f"Invalid input for {field}. Reason: {reason}.")


def forbidden(what: str) -> errors.Forbidden:
    return errors.Forbidden(f"Only an administrator may set {what}; leave it out.", kind="PolicyNotAuthorized")


def _read(item: dict[str, Any], attributes: Mapping[str, Attribute], caller: Caller) -> dict[str, Any]:
    unknown = [field for field in item if field not in attributes]
    if unknown:
        raise bad_request(f"Unrecognized attribute(s) '{', '.join(unknown)[:200]}'")
    values = {}
    for field, value in item.items():
        attribute = attributes[field]
        if value is None and not attribute.null:
            continue
        read = attribute.read(field, value)
        if attribute.admin and read and not caller.is_admin:
            raise forbidden(field)
        if attribute.name:
            values[attribute.name] = read
    return values


def _list(field: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise invalid(field, f"'{value}' is not a list")
    if len(value) > 100:
        raise invalid(field, "the list has more than 100 entries")
    return value


def _pair(field: str, item: Any, first: str, second: str) -> tuple[str, str]:
    if not isinstance(item, dict) or set(item) != {first, second}:
        raise invalid(field, f"each entry must be an object with {first} and {second}")
    return text(f"{field}.{first}", item[first]), text(f"{field}.{second}", item[second])
