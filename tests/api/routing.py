# SPDX-License-Identifier: Apache-2.0
"""Every route of the API, for tests that leave none out."""

from __future__ import annotations

import re

from zun_lite.api.policy import Policy
from zun_lite.api.routes import Route, routes
from zun_lite.api.services import Services
from zun_lite.api.token_cache import TokenCache

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
# of an object that is nowhere
NOBODY = "00000000-0000-4000-8000-000000000000"
_PARAMETER = re.compile(r"\{[^}]*\}")


def table_of(services: Services) -> list[Route]:
    return routes(services, TokenCache(services.tokens, services.means.clock), Policy())


def filled(template: str, ident: str = NOBODY) -> str:
    """A path of the route, with an id for each parameter."""
    return _PARAMETER.sub(ident, template)


def methods_of(resource: object, suffix: str | None) -> list[str]:
    """Those that the route answers; HEAD only where it is a method of its own."""
    ending = f"_{suffix}" if suffix else ""
    return [method for method in METHODS if hasattr(resource, f"on_{method.lower()}{ending}")]
