# SPDX-License-Identifier: Apache-2.0
"""/v1/containers/{ident}/VERB for the verbs that change a container: start, stop, reboot, pause, unpause,
kill, rebuild, resize_container, rename. Parameters come in the query or as JSON; the host's part is done
after the answer.
"""

from __future__ import annotations

import signal
from typing import Any

import falcon

from zun_lite.api import versions
from zun_lite.api.container import parameters, schema
from zun_lite.api.container.changes import ChangeReader
from zun_lite.api.container.containers import find, show
from zun_lite.api.media import answer
from zun_lite.api.services import Services
from zun_lite.control import actions, update
from zun_lite.domain import errors

LONGEST_STOP_SECONDS = 86400
DEFAULT_SIGNAL = "SIGKILL"
RESIZE_SINCE, RENAME_UNTIL = 19, 13


class Life:
    def __init__(self, services: Services) -> None:
        self._means = services.means
        self._public_url = services.public_url
        self._changes = ChangeReader(services.conf.container)
        self._rebuild = schema.ChangeSchema(fields=("image", "image_driver"))

    def on_post_start(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        self._act(req, resp, ident, "start")

    def on_post_stop(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        self._act(req, resp, ident, "stop", stop_timeout_seconds=_timeout(req))

    def on_post_reboot(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        self._act(req, resp, ident, "reboot", stop_timeout_seconds=_timeout(req))

    def on_post_pause(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        self._act(req, resp, ident, "pause")

    def on_post_unpause(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        self._act(req, resp, ident, "unpause")

    def on_post_kill(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        self._act(req, resp, ident, "kill", signal=signal_name(parameters.of_both(req).get("signal")))

    def on_post_rebuild(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        given = parameters.of_both(req)
        given = {field: given[field] for field in ("image", "image_driver") if given.get(field) not in (None, "None")}
        self._rebuild.check(given, req.context.minor)
        self._act(req, resp, ident, "rebuild", **given)

    def on_post_resize_container(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        versions.serve(req.context.minor, "resize_container", since=RESIZE_SINCE)
        change = self._changes.read(parameters.of_both(req), req.context.minor)
        caller = req.context.caller
        workload = find(self._means, caller, ident, "resize_container", {})
        update.resize(self._means, workload, change)
        answer(resp, show(self._means, self._public_url, caller, workload), 202)

    def on_post_rename(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        versions.serve(req.context.minor, "rename", until=RENAME_UNTIL)
        name = self._changes.read_name(parameters.of_both(req), req.context.minor)
        caller = req.context.caller
        renamed = update.rename(self._means, find(self._means, caller, ident, "rename", {}), name)
        answer(resp, show(self._means, self._public_url, caller, renamed))

    def _act(self, req: falcon.Request, resp: falcon.Response, ident: str, verb: str, **given: Any) -> None:
        workload = find(self._means, req.context.caller, ident, verb, {})
        actions.act(self._means, req.context.caller, workload, verb, **given)
        answer(resp, None, 202)


def signal_name(value: Any) -> str:
    """SIGTERM for TERM, sigterm, term and 15; SIGKILL where none is given. Invalid: no signal of this system's."""
    if value is None or value in ("None", ""):
        return DEFAULT_SIGNAL
    text = str(value).strip().upper()
    if not isinstance(value, bool) and text.isascii() and len(text) <= 16:
        if text.isdigit() and int(text) in signal.Signals._value2member_map_:
            return signal.Signals(int(text)).name
        name = text if text.startswith("SIG") else f"SIG{text}"
        if name in signal.Signals.__members__:
            return signal.Signals[name].name
    raise errors.Invalid(
        f"signal must be the name or the number of a signal, like SIGTERM, term or 15, not '{value}'.",
        kind="SchemaValidationError",
    )


def _timeout(req: falcon.Request) -> int | None:
    """Seconds to wait for a process that was told to end. Here the text None is no number, as it never was."""
    given = {**req.params, **parameters.of_both(req)}
    return parameters.integer(given, "timeout", least=0, most=LONGEST_STOP_SECONDS)
