# SPDX-License-Identifier: Apache-2.0
"""A container's way to its start, shown as it goes: stage by stage, and an image's pull layer by layer.

On a terminal the stages are painted over as they change; elsewhere each is one line, once it is over or waits.
A cloud that does not tell its stages, as the reference service, is asked for the container's record.
"""

from __future__ import annotations

import time
from typing import Any, TextIO

from zun_lite.cli.containers import addresses, path
from zun_lite.cli.failures import Failure
from zun_lite.cli.screen import Board, bytes_of, coloured, harmless
from zun_lite.cli.session import Session

LOOK_SECONDS = 0.2
# what is over so soon is nobody's news, where nobody looks on
QUIET_SECONDS = 1.0
STARTED = ("Running", "Stopped", "Deleted")


def until_started(session: Session, uuid: str, *, quiet: bool) -> dict[str, Any]:
    """Its record. Failure: it failed, as the cloud explains it."""
    teller = _Teller(quiet=quiet)
    try:
        while True:
            found = _look(session, uuid)
            teller.tell(found)
            if found["status"] in STARTED:
                teller.board.wipe()
                record: dict[str, Any] = session.ask("GET", path(uuid))
                return record
            if found["status"] == "Error":
                teller.board.keep()
                raise Failure(f"Container {found['name']} failed: {found['status_reason'] or 'no reason was told'}")
            time.sleep(LOOK_SECONDS)
    finally:
        teller.board.keep()


def told_stages(explanation: dict[str, Any], stream: TextIO | None = None) -> list[str]:
    """Each stage as a line; its state in colour, where the stream that it is for is a terminal."""
    lines = []
    for stage in explanation["stages"]:
        padded = " " * (9 - len(stage["state"]))
        state = coloured(stage["state"], stream) if stream else harmless(stage["state"])
        lines.append(f"{harmless(stage['name']):8}  {state}{padded}  {harmless(stage['detail'])}".rstrip())
        if stage["name"] == "image":
            lines += [f"  {_told_layer(layer)}" for layer in explanation["layers"]]
    return lines


def _told_layer(layer: dict[str, Any]) -> str:
    total = layer["total_bytes"]
    amount = f"{bytes_of(layer['done_bytes'])} of {bytes_of(total)}" if total else ""
    return f"{harmless(layer['id']):12}  {harmless(layer['state']):11}  {amount}".rstrip()


def _look(session: Session, uuid: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = session.ask("GET", path(uuid, "explanation"))
        return found
    except Failure as error:
        if error.status != 404:
            raise
    record = session.ask("GET", path(uuid))
    task = (record.get("task_state") or record["status"]).replace("_", " ")
    stage = {"name": task, "state": "under way", "detail": addresses(record)}
    return {**record, "stages": [stage], "layers": []}


class _Teller:
    def __init__(self, *, quiet: bool) -> None:
        self.board = Board()
        self._quiet = quiet
        self._began = time.monotonic()
        self._said: set[tuple[str, str]] = set()
        self._sizes: dict[str, int] = {}

    def tell(self, found: dict[str, Any]) -> None:
        if self._quiet:
            return
        if self.board.is_live:
            seconds = time.monotonic() - self._began
            self.board.paint([f"{harmless(found['name'])}, {seconds:.0f} s", *told_stages(found, self.board.stream)])
            return
        if found["status"] in STARTED and not self._said:
            return
        for layer in found["layers"]:
            self._sizes[layer["id"]] = max(self._sizes.get(layer["id"], 0), layer["total_bytes"])
        if time.monotonic() - self._began > QUIET_SECONDS:
            self._tell_plainly(found)

    def _tell_plainly(self, found: dict[str, Any]) -> None:
        for stage in found["stages"]:
            if stage["state"] not in ("ahead", "under way"):
                name, state, detail = stage["name"], stage["state"], stage["detail"]
                self._once((name, state), f"{found['name']}: {name} {state}{f': {detail}' if detail else ''}")
        for layer in found["layers"]:
            if layer["state"] == "done":
                size = self._sizes.get(layer["id"], 0)
                amount = f", {bytes_of(size)}" if size else ""
                self._once(("layer", layer["id"]), f"{found['name']}: layer {layer['id']} done{amount}")

    def _once(self, key: tuple[str, str], line: str) -> None:
        if key not in self._said:
            self._said.add(key)
            print(harmless(line), file=self.board.stream, flush=True)
