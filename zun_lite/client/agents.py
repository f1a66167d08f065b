# SPDX-License-Identifier: Apache-2.0
"""How the control plane speaks to agents: a nudge, or one verb on one workload.

Each call carries a grant, signed with the API's key, for that host, workload and verb. Answers are
capped and redirects are not followed: a host is trusted with its own workloads only.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from urllib3.exceptions import HTTPError

from zun_lite.common import grants, request_ids
from zun_lite.common.clock import Clock
from zun_lite.domain import errors
from zun_lite.domain.host_work import HostWork

# an archive of the largest size, and some
MAX_ANSWER_BYTES = 17 * 1024 * 1024
_BY_STATUS = {
    400: errors.Invalid,
    401: errors.Failed,
    403: errors.Failed,
    404: errors.NotFound,
    409: errors.Conflict,
    429: errors.TooMany,
    503: errors.Unavailable,
}


class AgentsClient:
    """Agents by address (host:port). Raises errors.Unavailable when one does not answer."""

    def __init__(self, key: Ed25519PrivateKey, clock: Clock, *, tls: bool = False, ca_file: str | None = None) -> None:
        """tls: agents speak it. ca_file: of their certificates; else the machine's CAs."""
        self._key = key
        self._clock = clock
        self._scheme = "https" if tls else "http"
        self._verify = ca_file or True

    def nudge(self, host_uuid: str, address: str) -> None:
        """Ask a host to fetch its set now; a host that does not answer is no error."""
        try:
            self._send("POST", host_uuid, address, "nudge", "*", "", 1.0)
        except errors.ZunError:
            return

    def execute(
        self, host_uuid: str, address: str, workload: str, request_id: str, command: list[str], timeout_seconds: int
    ) -> tuple[str, int]:
        """Run a command in a container; its output (stdout and stderr interleaved) and exit code.

        Conflict: the container does not run, or the command outlived timeout_seconds.
        """
        body = {"command": command, "timeout_seconds": timeout_seconds}
        answer = self._send(
            "POST", host_uuid, address, "execute", workload, request_id, timeout_seconds + 15.0, body=body
        )
        return answer["output"], answer["exit_code"]

    def logs(self, host_uuid: str, address: str, workload: str, request_id: str, query: dict[str, Any]) -> str:
        """A container's log as text. query: stdout, stderr, timestamps (bool), tail (int or "all"), since (epoch s)."""
        return self._send("GET", host_uuid, address, "logs", workload, request_id, 30.0, query=query)["output"]

    def top(self, host_uuid: str, address: str, workload: str, request_id: str, ps_args: str | None) -> dict[str, Any]:
        query = {"ps_args": ps_args} if ps_args else None
        return self._send("GET", host_uuid, address, "top", workload, request_id, 15.0, query=query)

    def stats(self, host_uuid: str, address: str, workload: str, request_id: str) -> dict[str, Any]:
        return self._send("GET", host_uuid, address, "stats", workload, request_id, 15.0)

    def work(self, host_uuid: str, address: str, workload: str, request_id: str) -> HostWork:
        """What the host is doing about a workload now."""
        return HostWork.from_json(self._send("GET", host_uuid, address, "work", workload, request_id, 5.0))

    def get_archive(
        self, host_uuid: str, address: str, workload: str, request_id: str, path: str
    ) -> tuple[bytes, dict[str, Any]]:
        """A tar of a path, and what is known of the path: name, size, mode, mtime, linkTarget."""
        status, headers, content = self._ask(
            "GET", host_uuid, address, "get_archive", workload, request_id, 60.0, query={"path": path}, path="archive"
        )
        if status != 200:
            _read(status, content)
        try:
            return content, json.loads(base64.b64decode(headers["X-Zun-Lite-Stat"]))
        except (ValueError, KeyError) as error:
            raise errors.Failed("The container's host answered something that cannot be read.") from error

    def put_archive(
        self, host_uuid: str, address: str, workload: str, request_id: str, path: str, content: bytes
    ) -> None:
        status, _, answer = self._ask(
            *("PUT", host_uuid, address, "put_archive", workload, request_id, 60.0),
            content=content,
            query={"path": path},
            path="archive",
        )
        _read(status, answer)

    def resize(self, host_uuid: str, address: str, workload: str, request_id: str, height: int, width: int) -> None:
        body = {"height": height, "width": width}
        self._send("POST", host_uuid, address, "resize", workload, request_id, 15.0, body=body)

    def create_exec(
        self, host_uuid: str, address: str, workload: str, request_id: str, command: list[str], *, terminal: bool
    ) -> str:
        """The id of a command that is started when its stream is opened."""
        body = {"command": command, "terminal": terminal}
        return self._send(
            "POST", host_uuid, address, "create_exec", workload, request_id, 15.0, body=body, path="execs"
        )["exec_id"]

    def resize_exec(
        self, host_uuid: str, address: str, workload: str, request_id: str, exec_id: str, height: int, width: int
    ) -> None:
        self._send(
            *("POST", host_uuid, address, "execute_resize", workload, request_id, 15.0),
            body={"height": height, "width": width},
            path=f"execs/{exec_id}/resize",
        )

    def stream_grant(self, host_uuid: str, workload: str, verb: str, exec_id: str | None, request_id: str) -> str:
        """What opens one stream on a host, once: for the gateway, who has no key."""
        claims = {"sub": workload, "verb": verb, "exec_id": exec_id, "req": request_id}
        return grants.sign(self._key, grants.host_audience(host_uuid), claims, self._clock)

    def _send(
        self,
        method: str,
        host_uuid: str,
        address: str,
        verb: str,
        workload: str,
        request_id: str,
        timeout_seconds: float,
        *,
        body: Any = None,
        query: dict[str, Any] | None = None,
        path: str | None = None,
    ) -> dict[str, Any]:
        """What the host answers, as JSON. path: below the workload's own, where it is not the verb."""
        content = json.dumps(body).encode() if body is not None else None
        status, _, answer = self._ask(
            *(method, host_uuid, address, verb, workload, request_id, timeout_seconds),
            content=content,
            query=query,
            path=path,
        )
        return _read(status, answer)

    def _ask(
        self,
        method: str,
        host_uuid: str,
        address: str,
        verb: str,
        workload: str,
        request_id: str,
        timeout_seconds: float,
        *,
        content: bytes | None = None,
        query: dict[str, Any] | None = None,
        path: str | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and content of the answer, whatever it says."""
        claims = {"sub": workload, "verb": verb, "req": request_id}
        grant = grants.sign(self._key, grants.host_audience(host_uuid), claims, self._clock)
        kind = "application/x-tar" if verb == "put_archive" else "application/json"
        below = "nudge" if verb == "nudge" else f"workloads/{workload}/{path or verb}"
        try:
            with requests.Session() as session:
                # grants go to hosts and to nobody else, such as a proxy that the environment names
                session.trust_env = False
                answer = session.request(
                    method,
                    f"{self._scheme}://{address}/v1/{below}",
                    verify=self._verify,
                    headers={
                        "Authorization": f"Grant {grant}",
                        request_ids.HEADER: request_id,
                        **({"Content-Type": kind} if content is not None else {}),
                    },
                    data=content,
                    params=query,
                    timeout=(2.0, timeout_seconds),
                    allow_redirects=False,
                    stream=True,
                )
                with answer:
                    return (
                        answer.status_code,
                        answer.headers,
                        answer.raw.read(MAX_ANSWER_BYTES + 1, decode_content=True),
                    )
        except (requests.RequestException, HTTPError, OSError) as error:
            raise errors.Unavailable("The container's host does not answer; try again later.") from error


def _read(status: int, content: bytes) -> dict[str, Any]:
    if len(content) > MAX_ANSWER_BYTES:
        raise errors.Failed("The container's host answered more than can be passed on; ask for less.")
    if status == 204:
        return {}
    try:
        answer = json.loads(content)
        if 200 <= status < 300:
            return answer
        raise _BY_STATUS.get(status, errors.Failed)(str(answer["error"]["message"]))
    except (ValueError, KeyError, TypeError) as error:
        raise errors.Failed("The container's host answered something that cannot be read.") from error
