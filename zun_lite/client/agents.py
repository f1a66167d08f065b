# SPDX-License-Identifier: Apache-2.0
"""How the control plane speaks to agents: a nudge, or one verb on one workload.

Each call carries a grant, signed with the API's key, for that host, workload and verb. Answers are
capped and redirects are not followed: a host is trusted with its own workloads only.
"""

from __future__ import annotations

import json
from typing import Any

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from zun_lite.common import grants
from zun_lite.common.clock import Clock
from zun_lite.domain import errors

MAX_ANSWER_BYTES = 16 * 1024 * 1024
_BY_STATUS = {
    400: errors.Invalid,
    401: errors.Failed,
    403: errors.Failed,
    404: errors.NotFound,
    409: errors.Conflict,
}


class AgentsClient:
    """Agents by address (host:port). Raises errors.Unavailable when one does not answer."""

    def __init__(self, key: Ed25519PrivateKey, clock: Clock) -> None:
        self._key = key
        self._clock = clock

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
    ) -> dict[str, Any]:
        claims = {"sub": workload, "verb": verb, "req": request_id}
        grant = grants.sign(self._key, grants.host_audience(host_uuid), claims, self._clock)
        path = "nudge" if verb == "nudge" else f"workloads/{workload}/{verb}"
        try:
            with requests.request(
                method,
                f"http://{address}/v1/{path}",
                headers={"Authorization": f"Grant {grant}", "X-Openstack-Request-Id": request_id},
                json=body,
                params=query,
                timeout=(2.0, timeout_seconds),
                allow_redirects=False,
                stream=True,
            ) as answer:
                content = answer.raw.read(MAX_ANSWER_BYTES + 1, decode_content=True)
                status = answer.status_code
        except (requests.RequestException, OSError) as error:
            raise errors.Unavailable("The container's host does not answer; try again later.") from error
        return _read(status, content)


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
