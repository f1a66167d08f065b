# SPDX-License-Identifier: Apache-2.0
"""The `openstack` command's door to the commands of zun_lite/cli.

They are registered in the group `openstack.extension`, which the `openstack` command reads after the groups
of all plugins: so where python-zunclient names a command, too, ours is run, in whichever order the two were
installed or are found. This module itself, in `openstack.cli.extension`, has no commands of its own; it is
what `openstack module list` shows, and its name differs from python-zunclient's so that both keep their client.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

DEFAULT_API_VERSION = "1"
API_VERSION_OPTION = "os_zun_lite_api_version"
API_NAME = "zun_lite"
API_VERSIONS = ("1",)


def make_client(instance: Any) -> Any:
    """A zun_lite.cli.session.Session of the user whom the `openstack` command knows."""
    from zun_lite.osc.sessions import session_of

    return session_of(instance)


def build_option_parser(parser: ArgumentParser) -> ArgumentParser:
    """No options of its own: the microversion is OS_CONTAINER_API_VERSION, or container_api_version in clouds.yaml."""
    return parser
