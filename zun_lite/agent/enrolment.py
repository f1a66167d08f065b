# SPDX-License-Identifier: Apache-2.0
"""Who this host is: found in its folder, or gained once from the API with a join token.

The host's key is made before it asks, so that a host that dies between the API's answer and its
own note asks again with the same key. A host that is one already and is given a token joins anew, with another key.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from zun_lite.agent.host_key import HostKey
from zun_lite.agent.journal import read_json, replace_file
from zun_lite.common import join_token
from zun_lite.domain import errors

LOG = logging.getLogger(__name__)

TOKEN_VARIABLE = "ZUN_LITE_JOIN_TOKEN"
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.2, 30.0
# an API that is started together with this host needs some time
ANEW_MOST_SECONDS = 60.0

# (api_url, join token, host name, address, key) → {"host_uuid", "grant_public_key"}
Enrol = Callable[[str, str, str, str, Ed25519PrivateKey], dict[str, Any]]


@dataclass(frozen=True)
class Identity:
    """host_uuid, and the key by which the API signs grants, as base64."""

    host_uuid: str
    grant_public_key: str


def identify(
    folder: str,
    enrol: Enrol,
    *,
    api_url: str,
    given: str | None,
    name: str,
    address: str,
    key: HostKey,
    stopping: threading.Event,
) -> Identity:
    """This host's identity; waits for the API as long as it takes.

    given: a join token. A host that has an identity and is given one joins anew, if the API answers soon and takes it.
    Invalid: there is no identity and no token to gain one. Forbidden: the API refuses the token.
    """
    secret = join_token.parse(given).secret if given else None
    path = _file(folder)
    kept = known(folder)
    if kept is not None:
        if not secret:
            return kept
        # the token may be one that was spent already, so that the host must not depend on it
        new = key.new()
        try:
            answer = _ask_until_answered(
                lambda: enrol(api_url, secret, name, address, new), stopping, ANEW_MOST_SECONDS
            )
        except errors.ZunError as error:
            LOG.warning("this host goes on as it was, for it cannot join anew: %s", error.message)
            return kept
        joined = _noted(path, name, answer)
        key.take_up()
        return joined
    if not secret:
        raise errors.Invalid(
            f"This host has no identity yet: make a token with 'zun-lite-manage host token {name}' where the API runs, "
            f"and start the agent once with {TOKEN_VARIABLE} set to it."
        )
    answer = _ask_until_answered(lambda: enrol(api_url, secret, name, address, key.current()), stopping)
    return _noted(path, name, answer)


def _noted(path: Path, name: str, answer: dict[str, Any]) -> Identity:
    identity = Identity(answer["host_uuid"], answer["grant_public_key"])
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(path, json.dumps(asdict(identity)).encode())
    LOG.info("enrolled as host %s (%s)", name, identity.host_uuid)
    return identity


def known(folder: str) -> Identity | None:
    """Who this host is, if it has enrolled."""
    body = read_json(_file(folder))
    return None if body is None else Identity(body["host_uuid"], body["grant_public_key"])


def _file(folder: str) -> Path:
    return Path(folder) / "identity.json"


def _ask_until_answered(
    ask: Callable[[], dict[str, Any]], stopping: threading.Event, most_seconds: float = float("inf")
) -> dict[str, Any]:
    wait, until = FIRST_RETRY_SECONDS, time.monotonic() + most_seconds
    while True:
        try:
            return ask()
        except errors.Unavailable as error:
            if time.monotonic() > until:
                raise
            LOG.warning("enrolling waits for the API: %s", error.message)
        if stopping.wait(random.uniform(wait / 2, wait)):
            raise errors.Unavailable("The agent was stopped before the API had answered.")
        wait = min(MAX_RETRY_SECONDS, wait * 2)
