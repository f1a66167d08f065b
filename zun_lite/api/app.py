# SPDX-License-Identifier: Apache-2.0
"""The WSGI application: every API of zun_lite behind one port."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import falcon

from zun_lite.api import media
from zun_lite.api.errors import ErrorHandlers
from zun_lite.api.middleware import Authenticate, Microversions, Receive, Refresh, Wake
from zun_lite.api.paths import Normaliser
from zun_lite.api.policy import Policy, check_routes
from zun_lite.api.routes import Route, routes
from zun_lite.api.services import Services
from zun_lite.api.token_cache import TokenCache


def create_app(services: Services) -> Callable[..., Iterable[bytes]]:
    """Connects to nothing yet, so that a server may fork after it. Failed, Invalid: a rule is missing or unreadable."""
    cache = TokenCache(services.tokens, services.means.clock)
    rules = Policy(services.conf.api.policy_file, services.means.clock)
    table = routes(services, cache, rules)
    check_routes(table)
    middleware: list[Any] = [
        Receive(),
        Wake(services.means.waker),
        Refresh(cache),
        Authenticate(cache, rules),
        Microversions(),
    ]
    app = falcon.App(media_type=media.JSON, middleware=middleware)
    configure(app, table, services.tokens.www_authenticate_uri)
    return Normaliser(app, services.conf.api.max_body_bytes)


def configure(app: falcon.App, table: list[Route], www_authenticate_uri: str) -> None:
    """JSON, errors and routes; for tests of a part of the API, too."""
    handlers: dict[str, Any] = {media.JSON: media.handler()}
    app.req_options.media_handlers.update(handlers)
    app.resp_options.media_handlers.update(handlers)
    ErrorHandlers(www_authenticate_uri).install(app)
    for path, resource, suffix in table:
        app.add_route(path, resource, **({"suffix": suffix} if suffix else {}))
