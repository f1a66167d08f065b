# SPDX-License-Identifier: Apache-2.0
"""What the API asks of a host directly: look now, tell what is under way, run a command, show a log.

More is in streams/routes.py.

Each request but /healthz needs a grant for that verb on that workload. What blocks is done in
threads, a bounded number of them; the goal of a workload is never changed from here.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import falcon
import falcon.asgi

from zun_lite.agent.permits import Permits
from zun_lite.agent.runtime.base import Runtime
from zun_lite.agent.streams import flows, routes
from zun_lite.agent.streams.base import Streams
from zun_lite.agent.streams.opened import OpenExecs
from zun_lite.domain import errors, names
from zun_lite.domain.host_work import HostWork

LOG = logging.getLogger(__name__)

MAX_OUTPUT_BYTES = 1024 * 1024
MAX_LOG_BYTES = 8 * 1024 * 1024
MAX_BODY_BYTES = 1024 * 1024
MAX_COMMAND_SECONDS = 3600
STREAM_THREADS = 8
TOLD_STATUSES = (400, 401, 403, 404, 409, 429, 503)
CUT_NOTE = "\n[the output was longer and is cut here]\n"


def make_app(
    runtime: Runtime,
    permits: Permits,
    nudge: Callable[[], None],
    streams: Streams | None = None,
    execs: OpenExecs | None = None,
    work: Callable[[str], HostWork] = lambda uuid: HostWork(),
) -> falcon.asgi.App:
    """The ASGI application of one host; with streams and execs, also what looks into containers.

    work: what is being done about a workload.
    """
    threads = ThreadPoolExecutor(STREAM_THREADS, thread_name_prefix="stream")
    app: falcon.asgi.App = falcon.asgi.App()
    app.add_route("/healthz", Health())
    app.add_route("/v1/nudge", Nudge(permits, nudge))
    app.add_route("/v1/workloads/{uuid}/execute", Execute(runtime, permits, threads))
    app.add_route("/v1/workloads/{uuid}/work", Work(permits, work))
    app.add_route("/v1/workloads/{uuid}/logs", Logs(runtime, permits, threads))
    if streams is not None and execs is not None:
        means = routes.Means(streams, permits, execs, execs.home)
        routes.add_routes(app, means)
        flows.add_routes(app, means)
    app.add_error_handler(Exception, _answer_fault)
    app.add_error_handler(falcon.HTTPError, _answer_refusal)
    app.add_error_handler(errors.ZunError, _answer_error)
    return app


class Health:
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.media = {"ok": True}


class Nudge:
    def __init__(self, permits: Permits, nudge: Callable[[], None]) -> None:
        self._permits = permits
        self._nudge = nudge

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        self._permits.check(req.auth, "*", "nudge")
        self._nudge()
        resp.status = falcon.HTTP_204


class Work:
    def __init__(self, permits: Permits, work: Callable[[str], HostWork]) -> None:
        self._permits = permits
        self._work = work

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, uuid: str) -> None:
        _check_id(uuid)
        self._permits.check(req.auth, uuid, "work")
        resp.media = self._work(uuid).to_json()


class Execute:
    def __init__(self, runtime: Runtime, permits: Permits, threads: ThreadPoolExecutor) -> None:
        self._runtime = runtime
        self._permits = permits
        self._threads = threads

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, uuid: str) -> None:
        _check_id(uuid)
        self._permits.check(req.auth, uuid, "execute")
        command, seconds = _command(await _body(req))
        done = await _in_thread(self._threads, self._runtime.execute, uuid, command, seconds, MAX_OUTPUT_BYTES + 1)
        if done.timed_out:
            what = "was ended" if done.ended else "could not be ended and may still run"
            raise errors.Conflict(f"The command took longer than {seconds:g} s and {what}.")
        output = done.output[:MAX_OUTPUT_BYTES].decode(errors="replace")
        note = CUT_NOTE if len(done.output) > MAX_OUTPUT_BYTES else ""
        resp.media = {"output": output + note, "exit_code": done.exit_code}


class Logs:
    def __init__(self, runtime: Runtime, permits: Permits, threads: ThreadPoolExecutor) -> None:
        self._runtime = runtime
        self._permits = permits
        self._threads = threads

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, uuid: str) -> None:
        _check_id(uuid)
        self._permits.check(req.auth, uuid, "logs")
        read = functools.partial(
            self._runtime.logs,
            uuid,
            stdout=_truth(req, "stdout", True),
            stderr=_truth(req, "stderr", True),
            timestamps=_truth(req, "timestamps", False),
            tail=_tail(req),
            since=_since(req),
            max_bytes=MAX_LOG_BYTES,
        )
        content = await _in_thread(self._threads, read)
        resp.media = {"output": content.decode(errors="replace")}


def _in_thread(threads: ThreadPoolExecutor, work: Callable[..., Any], *arguments: Any) -> Awaitable[Any]:
    of_this_request = contextvars.copy_context().run
    return asyncio.get_running_loop().run_in_executor(threads, of_this_request, work, *arguments)


async def _body(req: falcon.asgi.Request) -> Any:
    if req.content_length is None or req.content_length > MAX_BODY_BYTES:
        raise errors.Invalid(f"A request's body has a length, of at most {MAX_BODY_BYTES} bytes.")
    return await req.get_media()


def _command(body: Any) -> tuple[list[str], float]:
    command = body.get("command") if isinstance(body, dict) else None
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        raise errors.Invalid("command is a list of at least one text.")
    if any("\0" in word for word in command):
        raise errors.Invalid("A command cannot hold a zero byte.")
    seconds = body.get("timeout_seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= MAX_COMMAND_SECONDS:
        raise errors.Invalid(f"timeout_seconds is a number up to {MAX_COMMAND_SECONDS}.")
    return command, float(seconds)


def _check_id(uuid: str) -> None:
    if names.as_id(uuid) != uuid:
        raise errors.NotFound("A workload is named by its id.")


def _truth(req: falcon.asgi.Request, name: str, default: bool) -> bool:
    text = (req.get_param(name) or str(default)).lower()
    if text not in ("true", "false", "1", "0"):
        raise errors.Invalid(f"{name} is true or false.")
    return text in ("true", "1")


def _tail(req: falcon.asgi.Request) -> int | None:
    text = req.get_param("tail") or "all"
    return int(text) if text.isascii() and text.isdigit() else None


def _since(req: falcon.asgi.Request) -> int:
    text = req.get_param("since") or "0"
    try:
        return max(0, int(float(text)))
    except (ValueError, OverflowError) as error:
        raise errors.Invalid("since counts seconds since 1970.") from error


async def _answer_error(req: Any, resp: Any, error: errors.ZunError, params: Any) -> None:
    status = error.status if error.status in TOLD_STATUSES else 500
    _answer(resp, status, error.kind, error.message)


async def _answer_refusal(req: Any, resp: Any, error: falcon.HTTPError, params: Any) -> None:
    _answer(resp, error.status_code, type(error).__name__, error.description or error.title or "Refused.")


async def _answer_fault(req: Any, resp: Any, error: Exception, params: Any) -> None:
    LOG.error("%s %s broke", req.method, req.path, exc_info=error)
    _answer(resp, 500, "Failed", "The host failed; its log says why.")


def _answer(resp: Any, status: int, code: str, message: str) -> None:
    if resp is None:
        # a websocket; Falcon closes it
        return
    resp.status = status
    resp.media = {"error": {"code": code, "message": message}}
