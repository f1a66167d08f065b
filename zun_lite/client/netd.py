# SPDX-License-Identifier: Apache-2.0
"""How a program on a host asks netd: one JSON object a line over a unix socket.

A request is {"op": NAME, ...}, with "request_id" where it is asked for a user's request; an answer
{"ok": true, "result": {...}} or
{"ok": false, "error": {"kind": "invalid" | "not-found" | "conflict" | "failed", "message": TEXT}}.
Every operation may be repeated: it looks first, then makes it so.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from zun_lite.common import request_ids
from zun_lite.domain import errors
from zun_lite.domain.plane import HostPlane
from zun_lite.domain.wiring import Attachment, Endpoint

MAX_ANSWER_BYTES = 4096
# Nothing is done for it, so that a longer silence is that of a program that hangs.
HELLO_SECONDS = 5.0
_KINDS = {"invalid": errors.Invalid, "not-found": errors.NotFound, "conflict": errors.Conflict}


class NetdClient:
    """One host's netd. Raises errors.Unavailable when it does not answer, else what it says."""

    def __init__(self, path: str, timeout_seconds: float = 30.0) -> None:
        self._path = path
        self._timeout_seconds = timeout_seconds

    def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        with self._asking() as sock, sock.makefile("rwb") as stream:
            stream.write(json.dumps({"op": op, **arguments, **_asked_for()}).encode() + b"\n")
            stream.flush()
            line = stream.readline()
        return self._read(op, line)

    def socket_in(self, container_id: str, family: int) -> socket.socket:
        """A TCP socket in a running container's network namespace, to be connected and closed by the caller.

        family: 4 or 6. NotFound: it does not run, or is not netd's.
        """
        with self._asking() as sock:
            request = {"op": "socket", "container_id": container_id, "family": family, **_asked_for()}
            sock.sendall(json.dumps(request).encode() + b"\n")
            line, descriptors, _, _ = socket.recv_fds(sock, MAX_ANSWER_BYTES, 1)
        got = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        try:
            self._read("socket", line)
        except errors.ZunError:
            for item in got:
                item.close()
            raise
        if not got:
            raise errors.Unavailable(f"netd at {self._path} answered without a socket")
        return got[0]

    @contextlib.contextmanager
    def _asking(self) -> Iterator[socket.socket]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.settimeout(self._timeout_seconds)
                sock.connect(self._path)
                yield sock
        except OSError as error:
            raise errors.Unavailable(f"netd does not answer at {self._path}: {error}") from error

    def _read(self, op: str, line: bytes) -> dict[str, Any]:
        if not line.endswith(b"\n"):
            raise errors.Unavailable(f"netd at {self._path} hung up in the middle of {op}")
        answer = json.loads(line)
        if answer["ok"]:
            return answer["result"]
        problem = answer["error"]
        raise _KINDS.get(problem["kind"], errors.Failed)(problem["message"])

    def hello(self) -> dict[str, Any]:
        """{"version": str, "boot_id": str, "plane_revision": int or None}."""
        return NetdClient(self._path, min(HELLO_SECONDS, self._timeout_seconds)).ask("hello")

    def plug(
        self,
        container_id: str,
        workload: str,
        epoch: int,
        endpoints: list[Endpoint],
        volumes: list[tuple[Attachment, str]],
    ) -> None:
        """Record how a Docker container is to be connected; the runtime acts on it at every start.

        volumes: each attachment with the path of its file. Conflict: a newer epoch of the workload
        is recorded.
        """
        self.ask(
            "plug",
            container_id=container_id,
            workload=workload,
            epoch=epoch,
            endpoints=[asdict(endpoint) for endpoint in endpoints],
            volumes=[{**asdict(attachment), "path": path} for attachment, path in volumes],
        )

    def wire(self, container_id: str, pid: int) -> None:
        """Make a running container's links what its record says; links that stay are not touched.

        NotFound: the process has ended.
        """
        self.ask("wire", container_id=container_id, pid=pid)

    def unplug(self, container_id: str) -> None:
        """Forget a container's record and take away its links; volumes stay attached until detach."""
        self.ask("unplug", container_id=container_id)

    def plane(self, plane: HostPlane) -> dict[str, Any]:
        """Give the whole of what this host should do for networks; {"revision", "problems": [sentence]}."""
        return self.ask("plane", plane=plane.to_json())

    def has_plane(self, revision: int | None) -> bool:
        """Whether it goes by the plane of that revision; one that does not say is believed to."""
        return self.hello().get("plane_revision", revision) == revision

    def stats(self, container_id: str) -> dict[str, dict[str, int]]:
        """{port_id: {rx_bytes, rx_packets, rx_dropped, rx_errors, tx_...}} as the container sees its ports."""
        return self.ask("stats", container_id=container_id)["ports"]

    def attach(self, attachment: Attachment, path: str) -> str:
        """Attach a volume file to a loop device and mount it; answers the folder to bind.

        Never formats. Conflict: a newer epoch holds the volume. Failed: the mount was refused.
        """
        return self.ask("attach", **{**asdict(attachment), "path": path})["source"]

    def ready(self, attachment: Attachment) -> None:
        """Connect a volume that has a connection, and see that it has a file system: made only on an empty one.

        NotFound: it is not there. Failed: it holds something else.
        """
        self.ask("ready", **{**asdict(attachment), "path": ""})

    def connector(self, host_name: str, address: str) -> dict[str, Any]:
        """What os-brick says of this host, for Cinder's drivers; empty without os-brick."""
        return self.ask("connector", host=host_name, address=address)["connector"]

    def detach(self, volume_id: str, epoch: int) -> None:
        """Unmount a volume and free its loop device; an older epoch than the holder's is a Conflict."""
        self.ask("detach", volume_id=volume_id, epoch=epoch)

    def freeze(self, volume_id: str, path: str, seconds: int) -> None:
        """Hold a volume still while its file is copied, for so long at most; thaw() ends it.

        Conflict: another host has it.
        """
        self.ask("freeze", volume_id=volume_id, path=path, seconds=seconds)

    def thaw(self, volume_id: str) -> bool:
        """Let a volume go on; False: it went on before, and what was copied meanwhile is no snapshot."""
        return self.ask("thaw", volume_id=volume_id)["held"]

    def grow(self, volume_id: str) -> bool:
        """Have a mounted volume fill its file; False: that happens when it is next mounted."""
        return self.ask("grow", volume_id=volume_id)["grown"]

    def settle(self, volume_id: str, path: str, fs_type: str) -> None:
        """Mount a copied file once, so that its log is empty."""
        self.ask("settle", volume_id=volume_id, path=path, fs_type=fs_type)

    def list(self) -> dict[str, Any]:
        """Records and kernel facts: see netd/census.py for the shape."""
        return self.ask("list")


def _asked_for() -> dict[str, str]:
    found = request_ids.current().passed_on
    return {"request_id": found} if found else {}
