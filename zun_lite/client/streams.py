# SPDX-License-Identifier: Apache-2.0
"""How a gateway asks the API about streams: open one with a secret, begin one with a user's token, check the
open ones, say which ended, and ask what event streams should tell.

Each request carries a token signed with the gateways' own key; the secrets are in bodies only. One
that fails because the API does not answer is Unavailable.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from zun_lite.common import grants, request_ids
from zun_lite.common.clock import Clock
from zun_lite.domain import errors

SUBJECT = "gateway"
SCHEME = "Gateway"
# where a host gives what, below the workload's own path
_BELOW = {
    "execute": "execs/{exec_id}/channels",
    "attach": "attach/channels",
    "logs": "logs/stream",
    "get_archive": "archive/read",
    "put_archive": "archive/write",
    "port_forward": "port",
}
_BY_STATUS = {
    400: errors.Invalid,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
}


@dataclass(frozen=True)
class Place:
    """Where a host gives a stream: its URL, the grant that opens it once, what its certificate is held against."""

    url: str
    host_grant: str
    trust: ssl.SSLContext | None = None


@dataclass(frozen=True)
class Begun:
    """A stream that a user's token opened: what it is checked by, and where a host gives it.

    place: None of an event stream, which is of a project.
    """

    secret: str = field(repr=False)
    uuid: str
    place: Place | None
    project_id: str = ""


class Refused(errors.ZunError):
    """What the API refused, with its status and the id by which its log knows the request."""

    def __init__(self, status: int, message: str, request_id: str) -> None:
        kind = _BY_STATUS.get(status)
        super().__init__(message, kind=kind.__name__ if kind else None)
        self.status = status
        self.request_id = request_id


class StreamsClient:
    """May be used by several threads."""

    def __init__(
        self,
        api_url: str,
        key: Ed25519PrivateKey,
        clock: Clock,
        timeout_seconds: float = 10.0,
        *,
        ca_file: str | None = None,
        agents: ssl.SSLContext | None = None,
    ) -> None:
        """ca_file: of the API's certificate, else the machine's CAs. agents: of hosts', who speak no TLS without it."""
        self._verify: str | bool = ca_file or True
        self._agents = agents
        self._scheme = "ws" if agents is None else "wss"
        self._api_url = api_url.rstrip("/")
        self._key = key
        self._clock = clock
        self._timeout_seconds = timeout_seconds

    def open(self, secret: str, workload_uuid: str, exec_id: str | None) -> Place:
        """Spend a secret. Unauthorized, Forbidden, Conflict: it opens nothing, or not now."""
        answer = self._ask("open", {"token": secret, "uuid": workload_uuid, "exec_id": exec_id})
        below = f"execs/{exec_id}/stream" if exec_id else "attach"
        return Place(
            f"{self._scheme}://{answer['address']}/v1/workloads/{workload_uuid}/{below}", answer["grant"], self._agents
        )

    def begin(self, user_token: str, verb: str, ident: str, **more: Any) -> Begun:
        """Open a stream with a user's token. Refused, Unavailable. more: command and terminal of an execute."""
        answer = self._ask("begin", {"user_token": user_token, "verb": verb, "ident": ident, **more})
        if "address" not in answer:
            return Begun(answer["token"], "", None, answer["project_id"])
        below = _BELOW[verb].format(exec_id=answer["exec_id"])
        url = f"{self._scheme}://{answer['address']}/v1/workloads/{answer['uuid']}/{below}"
        return Begun(answer["token"], answer["uuid"], Place(url, answer["grant"], self._agents))

    def changes(self, since: dict[str, int | None]) -> dict[str, Any]:
        """{project: {"revision", "complete", "events": [...]}} of those in which something changed."""
        return self._ask("changes", {"projects": since})["projects"]

    def check(self, secrets: list[str]) -> dict[str, str]:
        """Which of these open streams must end, and why."""
        answer = self._ask("check", {"tokens": secrets})
        return {secrets[item["position"]]: item["reason"] for item in answer["ended"]}

    def release(self, secrets: list[str]) -> None:
        self._ask("release", {"tokens": secrets})

    def _ask(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        token = grants.sign(self._key, grants.API_AUDIENCE, {"sub": SUBJECT}, self._clock)
        url = f"{self._api_url}/node/v1/streams/{verb}"
        try:
            answer = requests.post(
                url,
                headers={"Authorization": f"{SCHEME} {token}", **request_ids.PassedOn()},
                json=body,
                timeout=self._timeout_seconds,
                allow_redirects=False,
                verify=self._verify,
            )
            said = answer.json() if answer.content else {}
        except (requests.RequestException, ValueError) as error:
            raise errors.Unavailable(f"The API does not answer at {url}.") from error
        if answer.status_code >= 400:
            try:
                message = str(said["error"]["message"])
            except (KeyError, TypeError):
                message = f"The API answered {answer.status_code}."
            if verb == "begin":
                raise Refused(answer.status_code, message, answer.headers.get(request_ids.HEADER, ""))
            raise _BY_STATUS.get(answer.status_code, errors.Unavailable)(message)
        return said
