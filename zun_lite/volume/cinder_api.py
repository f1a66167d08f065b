# SPDX-License-Identifier: Apache-2.0
"""The few requests that are made of a Cinder, with a user's rights or with those of the services' own account.

What it answers is handed on as it came; what goes wrong becomes an error of ours. An answer that does not come
in time may all the same have been carried out, so that whoever asked looks before asking again. Knows nothing of
workloads or SQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from keystoneauth1 import exceptions, service_token, session, token_endpoint
from keystoneauth1.identity import generic
from oslo_config import cfg

from zun_lite.common import request_ids
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller

MICROVERSION = "volume 3.44"
"""The oldest in which an attachment is made, connected and completed."""


class CinderApi:
    """One Cinder. Connects to nothing before it is first asked.

    Raises Unavailable where it does not answer or fails, and for what it refuses: NotFound, Forbidden, OverQuota,
    Unauthorized, NotUsable, with its own words.
    """

    def __init__(self, options: cfg.ConfigOpts.GroupAttr) -> None:
        """options: those of [cinder]. Invalid: they name no account."""
        if not (options.auth_url and options.password):
            raise errors.Invalid(
                "Section [cinder] of the configuration needs at least auth_url, username and password."
            )
        self._options = options
        self._auth = generic.Password(
            options.auth_url,
            username=options.username,
            password=options.password,
            project_name=options.project_name,
            user_domain_name=options.user_domain_name,
            project_domain_name=options.project_domain_name,
        )
        # that it is a service who asks is said by a token of its own: a user may end no attachment that is in use
        self._both = service_token.ServiceTokenAuthWrapper(user_auth=self._auth, service_auth=self._auth)
        self._session = session.Session(verify=options.cafile or True, timeout=options.timeout_seconds)
        # Set afterwards: a session takes an empty mapping, as this one still is, for none.
        self._session.additional_headers = request_ids.PassedOn()  # type: ignore[assignment]

    # volumes

    def volume(self, volume_id: str, caller: Caller | None = None) -> dict[str, Any]:
        return self._ask("GET", f"/volumes/{quote(volume_id, safe='')}", caller)["volume"]

    def volumes_named(self, name: str, caller: Caller) -> list[dict[str, Any]]:
        """Those of the caller's project."""
        found = self._ask("GET", f"/volumes/detail?{urlencode({'name': name})}", caller)["volumes"]
        return [volume for volume in found if volume["name"] == name]

    def volumes_marked(self, key: str, value: str) -> list[dict[str, Any]]:
        """Those of all projects that bear this metadata."""
        query = urlencode({"all_tenants": 1, "metadata": repr({key: value})})
        found = self._ask("GET", f"/volumes/detail?{query}")["volumes"]
        return [volume for volume in found if volume["metadata"].get(key) == value]

    def make_volume(self, caller: Caller, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._ask("POST", "/volumes", caller, {"volume": body})["volume"]

    def delete_volume(self, volume_id: str) -> None:
        self._ask("DELETE", f"/volumes/{volume_id}")

    # attachments

    def attachments(self, volume_id: str, instance: str) -> list[dict[str, Any]]:
        """Those of one volume that were made for one workload."""
        query = urlencode({"all_tenants": 1, "volume_id": volume_id, "instance_id": instance})
        return self._ask("GET", f"/attachments?{query}")["attachments"]

    def attachment(self, attachment_id: str) -> dict[str, Any]:
        return self._ask("GET", f"/attachments/{attachment_id}")["attachment"]

    def reserve(self, volume_id: str, instance: str) -> dict[str, Any]:
        body = {"volume_uuid": volume_id, "instance_uuid": instance}
        return self._ask("POST", "/attachments", body={"attachment": body})["attachment"]

    def connect(self, attachment_id: str, connector: Mapping[str, Any]) -> dict[str, Any]:
        body = {"connector": connector}
        return self._ask("PUT", f"/attachments/{attachment_id}", body={"attachment": body})["attachment"]

    def complete(self, attachment_id: str) -> None:
        self._ask("POST", f"/attachments/{attachment_id}/action", body={"os-complete": {}})

    def end(self, attachment_id: str) -> None:
        self._ask("DELETE", f"/attachments/{attachment_id}")

    # how

    def _ask(self, method: str, path: str, caller: Caller | None = None, body: Any = None) -> dict[str, Any]:
        try:
            endpoint = self._endpoint(caller)
            auth = self._both if caller is None else token_endpoint.Token(endpoint, caller.token)
            answer = self._session.request(
                endpoint + path,
                method,
                auth=auth,
                json=body,
                headers={"OpenStack-API-Version": MICROVERSION, "Accept": "application/json"},
                raise_exc=False,
                connect_retries=0,
                log=False,
            )
        except exceptions.ClientException as error:
            raise errors.Unavailable(f"The Block Storage service does not answer: {_first_line(error)}") from error
        if answer.status_code >= 400:
            raise _refusal(answer.status_code, _words(answer), caller is not None)
        try:
            return answer.json() if answer.content else {}
        except ValueError as error:
            raise errors.Unavailable("What answers as the Block Storage service is none.") from error

    def _endpoint(self, caller: Caller | None) -> str:
        """Where Cinder is, for this project: older ones have the project's id in their address."""
        options = self._options
        found = options.endpoint_override or self._session.get_endpoint(
            self._auth,
            service_type=options.service_type,
            interface=options.interface,
            region_name=options.region_name,
        )
        if not found:
            raise errors.Unavailable("The catalogue names no Block Storage service; see [cinder] of the configuration.")
        found = found.rstrip("/")
        if caller is not None and caller.project_id:
            mine = self._auth.get_project_id(self._session)
            if mine and found.endswith(f"/{mine}"):
                return found.removesuffix(mine) + caller.project_id
        return found


def _refusal(status: int, words: str, by_user: bool) -> errors.ZunError:
    if status == 404:
        return errors.NotFound(words, kind="VolumeNotFound")
    if status == 413:
        return errors.OverQuota(words)
    if status in (400, 409):
        return errors.NotUsable(words, kind="VolumeNotUsable")
    if by_user and status == 401:
        return errors.Unauthorized("The Block Storage service does not accept the request's token.")
    if by_user and status == 403:
        return errors.Forbidden(words)
    if status in (401, 403):
        return errors.Unavailable("The Block Storage service refuses the account in [cinder] of the configuration.")
    return errors.Unavailable(f"The Block Storage service fails with {status}: {words}")


def _words(answer: Any) -> str:
    """Its message: {"itemNotFound": {"code", "message"}}."""
    try:
        (problem,) = answer.json().values()
        return str(problem["message"])[:500]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "it gives no reason"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
