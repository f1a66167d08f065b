# SPDX-License-Identifier: Apache-2.0
"""The WSGI application: every API of zun_lite behind one port."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import falcon
from falcon.routing import CompiledRouter

from zun_lite.api import media
from zun_lite.api.audit import Audit
from zun_lite.api.errors import ErrorHandlers
from zun_lite.api.metrics import CountRequests
from zun_lite.api.middleware import Authenticate, KeepReaders, Microversions, Receive, Refresh, Wake
from zun_lite.api.paths import Normaliser
from zun_lite.api.policy import Policy, check_routes
from zun_lite.api.proxies import Proxies
from zun_lite.api.routes import Route, routes
from zun_lite.api.services import Services
from zun_lite.api.throttle import ThrottleAddresses, ThrottleHosts, ThrottleProjects
from zun_lite.api.token_cache import TokenCache
from zun_lite.common import request_ids
from zun_lite.domain import errors

Wsgi = Callable[..., Iterable[bytes]]
CORS_ANSWER_HEADERS = ("X-Subject-Token", request_ids.HEADER, "OpenStack-API-Version", "Location", "Retry-After")


def create_app(services: Services) -> Wsgi:
    """Connects to nothing yet, so that a server may fork after it. Failed, Invalid: a rule is missing or unreadable."""
    cache = TokenCache(services.tokens, services.means.clock)
    rules = Policy(services.conf.api.policy_file, services.means.clock)
    table = routes(services, cache, rules)
    check_routes(table)
    options, clock = services.conf.api, services.means.clock
    router = CompiledRouter()
    middleware: list[Any] = [
        Audit(clock, router),
        CountRequests(services.counts),
        *_pages(options.allowed_origins),
        Receive(),
        ThrottleAddresses(options.requests_per_second_of_address, clock),
        ThrottleHosts(options.requests_per_second_of_host, clock),
        Wake(services.means.waker),
        Refresh(cache),
        Authenticate(cache, rules),
        KeepReaders(),
        ThrottleProjects(options.changes_per_second_of_project, clock),
        Microversions(),
    ]
    app = falcon.App(media_type=media.JSON, middleware=middleware, router=router)
    configure(app, table, services.tokens.www_authenticate_uri)
    return Proxies(Normaliser(app, options.max_body_bytes), options.trusted_proxies)


def _pages(origins: list[str]) -> list[falcon.CORSMiddleware]:
    """What lets pages of these origins call the API. Tokens are in headers, so that no cookie need be let through."""
    if "*" in origins:
        raise errors.Invalid("[api] allowed_origins must list pages' origins; '*' would let every page call the API.")
    return [falcon.CORSMiddleware(allow_origins=list(origins), expose_headers=CORS_ANSWER_HEADERS)] if origins else []


def configure(app: falcon.App, table: list[Route], www_authenticate_uri: str) -> None:
    """JSON, errors and routes; for tests of a part of the API, too."""
    handlers: dict[str, Any] = {media.JSON: media.handler()}
    app.req_options.media_handlers.update(handlers)
    app.resp_options.media_handlers.update(handlers)
    ErrorHandlers(www_authenticate_uri).install(app)
    for path, resource, suffix in table:
        app.add_route(path, resource, **({"suffix": suffix} if suffix else {}))
