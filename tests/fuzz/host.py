# SPDX-License-Identifier: Apache-2.0
"""A host without Docker: says of every workload that all was done, and answers what the API asks of an agent.

For tests that send more requests than containers could be made. It reports straight into the database.
"""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.builders import CAPACITY, means_of
from zun_lite.common.clock import Clock
from zun_lite.control import reports
from zun_lite.db import hosts
from zun_lite.db.engine import Database, utc_now
from zun_lite.domain.capsule import CapsuleSpec
from zun_lite.domain.desired import Desired, DesiredSet, ImageNews, Inventory, Report, VolumeNews
from zun_lite.domain.lifecycle import ABSENT, OFF, PAUSED, Observed
from zun_lite.domain.names import new_id

INTERVAL_SECONDS = 0.3
HOST_NAME = "host1"
EXEC_ID = "e" * 64
_USAGE = {
    "cpu_percent": 0.5,
    **dict.fromkeys(
        ("memory_bytes", "memory_limit_bytes", "disk_read_bytes", "disk_written_bytes"), 4096
    ),
    **dict.fromkeys(("network_received_bytes", "network_sent_bytes"), 0),
}  # fmt: skip
_ANSWERS: dict[str, Any] = {
    "execute": {"output": "hello\n", "exit_code": 0},
    "logs": {"output": "hello\n"},
    "top": {"titles": ["PID"], "rows": [["1"]]},
    "stats": _USAGE,
    "execs": {"exec_id": EXEC_ID},
}


class QuietHost:
    """Enrolled by start(); stop() ends its threads. Its name is HOST_NAME."""

    def __init__(self, db: Database) -> None:
        self._means = means_of(db, clock=Clock())
        self._door = _Door(("127.0.0.1", 0), _Agent)
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._door.serve_forever, self._keep)]
        self._seen: dict[str, Observed] = {}

    def start(self) -> None:
        address = f"127.0.0.1:{self._door.server_port}"
        self._means.db.transact(lambda tx: hosts.enrol(tx, new_id(), HOST_NAME, address, "key"))
        self._work(full=True)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._door.shutdown()
        for thread in self._threads:
            thread.join(30)
        self._door.server_close()

    def _keep(self) -> None:
        while not self._stopping.wait(INTERVAL_SECONDS):
            self._work()

    def _work(self, *, full: bool = False) -> None:
        """Enable every host, for an administrator may have said otherwise, and do all that is wanted."""
        table = hosts.hosts
        self._means.db.transact(
            lambda tx: tx.execute(table.update().values(disabled=False, forced_down=False, seen_at=utc_now()))
        )
        with self._means.db.read() as tx:
            host = hosts.by_name(tx, HOST_NAME)
        if host is None:
            return
        wanted = reports.desired_set(self._means, host)
        observed = {item.uuid: _done(item) for item in wanted.workloads if item.ready or item.goal.presence == ABSENT}
        news = tuple((uuid, seen) for uuid, seen in observed.items() if self._seen.get(uuid) != seen)
        self._seen = observed
        reports.take(self._means, host, _report(wanted, news, full=full))


def _report(wanted: DesiredSet, news: tuple[tuple[str, Observed], ...], *, full: bool) -> Report:
    return Report(
        "boot1",
        Inventory(CAPACITY),
        full,
        news,
        wanted.doomed_volumes,
        images=tuple(
            ImageNews(item.uuid, "sha256:" + "a" * 64, 4096) if item.wanted else ImageNews(item.uuid, gone=True)
            for item in wanted.kept_images
        )
        + tuple(ImageNews(item.image_id, problem="This host makes no images.") for item in wanted.commits),
        volumes=tuple(VolumeNews(item.uuid, item.kind, item.attempt) for item in wanted.volumes),
    )


def _done(item: Desired) -> Observed:
    goal = item.goal
    if goal.presence == ABSENT:
        return Observed(generation=item.generation, epoch=item.epoch, state="absent")
    state = {OFF: "exited" if goal.run else "created", PAUSED: "paused"}.get(goal.power, "running")
    of_members = item.spec.every_member if isinstance(item.spec, CapsuleSpec) else ()
    seen = Observed(
        generation=item.generation,
        epoch=item.epoch,
        run=goal.run,
        build=goal.build,
        state=state,
        container_id="c" * 64,
        exit_code=0 if state == "exited" else None,
        signals=goal.signals,
        formatted=tuple(attachment.volume_id for attachment in item.wiring.attachments if attachment.volume_id),
        plugged=tuple(endpoint.port_id for endpoint in item.wiring.endpoints),
    )
    members = tuple((member.uuid, Observed(state=state, container_id="c" * 64)) for member in of_members)
    return Observed(**{**vars(seen), "members": members})


class _Door(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Whoever asked has gone, as after a nudge that took too long."""


class _Agent(BaseHTTPRequestHandler):
    """What the API asks of a host; whoever asks is believed."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        verb = self.path.partition("?")[0].rsplit("/", 1)[-1]
        if verb == "archive" and self.command == "GET":
            stat = base64.b64encode(json.dumps({"name": "x", "size": 1}).encode()).decode()
            self._answer(200, b"\0" * 1024, ("X-Zun-Lite-Stat", stat))
        elif verb in _ANSWERS:
            self._answer(200, json.dumps(_ANSWERS[verb]).encode())
        else:
            self._answer(204, b"")

    do_POST = do_PUT = do_GET

    def _answer(self, status: int, content: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(content)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        return
