# SPDX-License-Identifier: Apache-2.0
"""The command line's session, made of what the `openstack` command has found out about its user."""

from __future__ import annotations

import os
import time
from typing import Any

from zun_lite.cli.failures import Failure
from zun_lite.cli.session import Session
from zun_lite.cli.tokens import SERVICE_TYPES, Pass
from zun_lite.cli.transport import Transport

# the openstack command renews a token itself; this only says that ours need not
_LONG = 3600.0


def session_of(instance: Any) -> Session:
    """instance: osc-lib's ClientManager."""
    # osc-lib's word for it: True, False, or a file of authorities
    verify = instance.verify
    transport = Transport(verify=verify is not False, cacert=verify if isinstance(verify, str) else None)

    def take(anew: bool) -> Pass:
        if anew:
            instance.session.invalidate()
        token = instance.session.get_token()
        project = instance.session.get_project_id() or ""
        return Pass(token, time.time() + _LONG, _endpoint(instance), project)

    version = os.environ.get("OS_CONTAINER_API_VERSION") or str(
        instance._cli_options.config.get("container_api_version") or ""
    )
    return Session(transport, take, version if version.startswith("1.") and version[2:].isdigit() else "1.40")


def _endpoint(instance: Any) -> str:
    override = instance._cli_options.config.get("container_endpoint_override")
    if override:
        return str(override).rstrip("/")
    for kind in SERVICE_TYPES:
        found = instance.get_endpoint_for_service_type(
            kind, region_name=instance.region_name, interface=instance.interface
        )
        if found:
            return str(found).rstrip("/")
    raise Failure("The cloud's catalogue has no container service; is this the right cloud, project and region?")
