# SPDX-License-Identifier: Apache-2.0
"""zun-lite-manage host: let one join, list all, take one out of use and back, place it in a zone, forget it."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import secrets
import socket
from typing import Any

from oslo_config import cfg

from zun_lite.cmd import docker_setup, installation, startup
from zun_lite.cmd.database import usable
from zun_lite.cmd.means import usable_means
from zun_lite.common import join_token, tls
from zun_lite.common.join_token import JoinToken
from zun_lite.control import host_keys, hosts
from zun_lite.db import hosts as rows

TOKEN_MINUTES = 15


def token(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Print a token with which one host may join once, within 15 minutes."""
    db = usable(conf)
    made = JoinToken(secrets.token_urlsafe(32), _fingerprint(conf.tls.ca_file))
    name = arguments.name or conf.agent.host_name or socket.gethostname()

    def add(tx: Any) -> None:
        rows.add_join_token(tx, made.secret, name, db.now(tx) + datetime.timedelta(minutes=TOKEN_MINUTES))

    db.transact(add)
    print(made.text())


def _fingerprint(ca_file: str | None) -> str | None:
    """Invalid: the file cannot be used."""
    return join_token.fingerprint(tls.read_cas(ca_file)) if ca_file else None


def tell_all(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Print the hosts."""
    db = usable(conf)
    with db.read() as tx:
        known = rows.every(tx)
    shown = [
        {
            "uuid": host.uuid,
            "name": host.name,
            "address": host.address,
            "state": host.state,
            "disabled": host.disabled_reason or "yes" if host.disabled else None,
            "forced_down": host.forced_down,
            "availability_zone": host.availability_zone,
            "key_since": host.key_made_at.isoformat() if host.public_key else None,
            "problem": host.problem,
            "seen_at": host.seen_at.isoformat() if host.seen_at else None,
        }
        for host in known
    ]
    if arguments.json:
        print(json.dumps(shown))
        return
    for row in shown:
        notes = [f"key since {row['key_since']}" if row["key_since"] else "key revoked"]
        notes += [f"disabled: {row['disabled']}"] if row["disabled"] else []
        notes += ["forced down"] if row["forced_down"] else []
        notes += [f"problem: {row['problem']}"] if row["problem"] else []
        place = f"{row['name']}  {row['state']}  {row['availability_zone']}  {row['address']}  {row['seen_at']}"
        print(f"{place}  {'; '.join(notes)}".rstrip())


def disable(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Keep new work from a host; what it has goes on."""
    hosts.disable(usable_means(conf), arguments.name, arguments.reason)
    print(f"host {arguments.name} gets no new work")


def enable(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Let a host get work again."""
    hosts.enable(usable_means(conf), arguments.name)
    print(f"host {arguments.name} gets work")


def zone(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Put a host into an availability zone."""
    hosts.set_zone(usable_means(conf), arguments.name, arguments.zone)
    print(f"host {arguments.name} is in zone {arguments.zone}")


def rotate(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Have a host exchange its key for a new one now, and not only when it is old."""
    host_keys.want(usable_means(conf), arguments.name)
    print(f"host {arguments.name} makes itself a new key at its next heartbeat; `host list` shows since when it has it")


def revoke(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Make a host's key good for nothing at once; what runs there stays, and to come back it must join anew."""
    host_keys.revoke(usable_means(conf), arguments.name)
    print(f"the key of host {arguments.name} is revoked; `host token --name {arguments.name}` lets it join anew")


def remove(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Forget a host on which nothing is left; to come back it must join anew."""
    hosts.remove(usable_means(conf), arguments.name)
    print(f"host {arguments.name} is forgotten")


def prepare(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Make Docker on this machine know our runtime, where programs are started by others than `zun-lite up`."""
    here = installation.read(os.path.abspath(conf.state_dir), (conf.config_file or [None])[-1])
    installation.fill_folders(here.state_dir)
    startup.install_runtime(here)
    docker_setup.prepare(here, print)
    print(f"Docker at {here.docker_socket} knows the runtime {here.docker_runtime}")
