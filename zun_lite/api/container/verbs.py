# SPDX-License-Identifier: Apache-2.0
"""/v1/containers/{ident}/VERB: execute, logs. Parameters come in the query or as JSON."""

from __future__ import annotations

import datetime
from typing import Any

import falcon

from zun_lite.api.container import parameters
from zun_lite.api.container.containers import find
from zun_lite.api.container.request import split
from zun_lite.api.container.streams import Terminals
from zun_lite.api.media import answer
from zun_lite.api.waits import Waits
from zun_lite.control import streams
from zun_lite.control.means import Means
from zun_lite.domain import errors


class Verbs:
    def __init__(self, means: Means, terminals: Terminals, waits: Waits) -> None:
        self._means = means
        self._terminals = terminals
        self._waits = waits

    def on_post_execute(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        given = parameters.of_both(req)
        command = _command(given.get("command"))
        run, interactive = parameters.boolean(given, "run", default=True), parameters.boolean(given, "interactive")
        workload = find(self._means, req.context.caller, ident, "execute", {})
        if not run:
            with self._waits.one():
                exec_id = streams.create_exec(
                    self._means, req.context.caller, workload, command, self._terminals.limits, terminal=interactive
                )
            address = self._terminals.address(req, workload, "execute", exec_id)
            answer(resp, {"output": None, "exit_code": None, "exec_id": exec_id, "proxy_url": address})
            return
        with self._waits.one():
            output, exit_code = streams.execute(self._means, req.context.caller, workload, command)
        answer(resp, {"output": output, "exit_code": exit_code, "exec_id": None, "proxy_url": None})

    def on_get_logs(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        query = parameters.of_query(req)
        parameters.refuse_unknown(query, ("stdout", "stderr", "timestamps", "tail", "since"))
        stdout, stderr = (parameters.boolean(query, name, default=True) for name in ("stdout", "stderr"))
        timestamps, since = parameters.boolean(query, "timestamps"), _since(query.get("since"))
        workload = find(self._means, req.context.caller, ident, "logs", {})
        with self._waits.one():
            output = streams.logs(
                self._means,
                req.context.caller,
                workload,
                stdout=stdout,
                stderr=stderr,
                timestamps=timestamps,
                tail=_tail(query.get("tail")),
                since=since,
            )
        answer(resp, output)


def _command(value: Any) -> list[str]:
    words = split(value, "command") if isinstance(value, str) else value
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise errors.Invalid("command must be given: a string to be split into words, or a list of them.")
    return words


def _tail(value: Any) -> int | str:
    """Anything but a number of lines means all of them, as it always has."""
    return int(value) if value and value.isascii() and value.isdigit() and len(value) < 10 else "all"


def _since(value: Any) -> int | None:
    """Seconds since 1970 or a moment in UTC."""
    if not value:
        return None
    if value.isascii() and value.isdigit() and len(value) < 12:
        return int(value)
    for form in ("%Y-%m-%d %H:%M:%S,%f", "%Y-%m-%d %H:%M:%S"):
        try:
            return int(datetime.datetime.strptime(value, form).replace(tzinfo=datetime.UTC).timestamp())
        except ValueError:
            continue
    raise errors.Invalid(f"since must be seconds since 1970 or like '2026-01-31 12:00:00,000', not '{value}'.")
