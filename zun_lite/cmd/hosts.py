# SPDX-License-Identifier: Apache-2.0
"""zun-lite-manage host VERB NAME: take a host out of use and back, place it in a zone, forget it."""

from __future__ import annotations

import argparse
import os
from typing import Any

from oslo_config import cfg

from zun_lite.cmd import docker_setup, installation, startup
from zun_lite.cmd.means import build_means
from zun_lite.control import hosts


def disable(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Keep new work from a host; what it has goes on."""
    hosts.disable(build_means(conf), arguments.name, arguments.reason)
    print(f"host {arguments.name} gets no new work")


def enable(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Let a host get work again."""
    hosts.enable(build_means(conf), arguments.name)
    print(f"host {arguments.name} gets work")


def zone(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Put a host into an availability zone."""
    hosts.set_zone(build_means(conf), arguments.name, arguments.zone)
    print(f"host {arguments.name} is in zone {arguments.zone}")


def remove(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Forget a host on which nothing is left; to come back it must join anew."""
    hosts.remove(build_means(conf), arguments.name)
    print(f"host {arguments.name} is forgotten")


def prepare(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Make Docker on this machine know our runtime, where programs are started by others than `zun-lite up`."""
    here = installation.read(os.path.abspath(conf.state_dir), (conf.config_file or [None])[-1])
    installation.fill_folders(here.state_dir)
    startup.install_runtime(here)
    docker_setup.prepare(here, print)
    print(f"Docker at {here.docker_socket} knows the runtime {here.docker_runtime}")


def add_parsers(verbs: Any) -> None:
    verbs.add_parser("prepare", help=prepare.__doc__).set_defaults(run=prepare)
    for name, run in (("disable", disable), ("enable", enable), ("zone", zone), ("remove", remove)):
        parser = verbs.add_parser(name, help=run.__doc__)
        parser.add_argument("name", metavar="NAME", help="the host's name")
        parser.set_defaults(run=run)
        if run is disable:
            parser.add_argument("--reason", help="why, for those who look")
        if run is zone:
            parser.add_argument("zone", metavar="ZONE", help="the zone's name")
