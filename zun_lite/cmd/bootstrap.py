# SPDX-License-Identifier: Apache-2.0
"""zun-lite-manage bootstrap and identity: keys, the first users and the external network, each where it is missing."""

from __future__ import annotations

import argparse
import os
import secrets
import time
from typing import Any

from oslo_config import cfg

from zun_lite.cmd.database import reached, usable
from zun_lite.common import grants
from zun_lite.common import secrets as secret_keys
from zun_lite.db import identity as rows
from zun_lite.db import schema
from zun_lite.db.engine import Database
from zun_lite.identity import bootstrap as identity
from zun_lite.identity import keys
from zun_lite.identity.embedded import EXPIRED_WINDOW_SECONDS
from zun_lite.network import outside


def make_all(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Make keys, schema, first users and clouds.yaml, each only where it is missing."""
    os.makedirs(conf.state_dir, mode=0o700, exist_ok=True)
    db = reached(conf)
    schema.sync(db)
    grants.make_key(conf.grants.key_file)
    secret_keys.make_key(conf.registry.key_file)
    if conf.identity.provider == "embedded":
        _make_first_users(conf, db)
    blocks = [block for block in (conf.network.external_cidr, conf.network.external_cidr6) if block]
    made = db.transact(lambda tx: _make_outside(conf, tx, blocks)) if blocks else None
    if made:
        print(f"made the external network {made}")


def _make_first_users(conf: cfg.ConfigOpts, db: Database) -> None:
    clouds = os.path.join(conf.state_dir, "clouds.yaml")
    passwords: tuple[str, str] | tuple[None, None] = (None, None)
    if not os.path.exists(clouds):
        passwords = (secrets.token_urlsafe(18), secrets.token_urlsafe(18))
    identity.bootstrap(db, conf.identity.key_dir, *passwords)
    if passwords[0]:
        _write_clouds(
            clouds, conf.api.public_url, {"admin": passwords[0], "demo": passwords[1] or ""}, conf.tls.ca_file
        )
        print(f"wrote {clouds}")


def _make_outside(conf: cfg.ConfigOpts, tx: Any, blocks: list[str]) -> str | None:
    """None where it was made before, or where nobody says whose it would be."""
    owner = conf.identity.admin_project_id
    if conf.identity.provider == "embedded":
        (found,) = rows.find_projects(tx, domain_id=identity.DOMAIN_ID, name=identity.ADMIN)
        owner = found.id
    return outside.make_once(tx, owner, blocks, conf.network.tenants_cidr6 or None) if owner else None


def make_users(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Make the first domain, roles, users and catalogue where they are missing, and set a password that is given."""
    db = usable(conf)
    for made in identity.bootstrap(
        db, conf.identity.key_dir, _password_of(identity.ADMIN), _password_of(identity.DEMO)
    ):
        print(made)


def _password_of(user: str) -> str | None:
    """Not from the command line, which every user of the machine can read."""
    return os.environ.get(f"ZUN_LITE_{user.upper()}_PASSWORD") or None


def rotate_keys(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Let another key encrypt tokens; those that were issued stay valid until they end."""
    needed_seconds = conf.identity.token_ttl_seconds + EXPIRED_WINDOW_SECONDS
    for done in keys.rotate(conf.identity.key_dir, needed_seconds, time.time()):
        print(done)


def _write_clouds(path: str, api_url: str, passwords: dict[str, str], ca_file: str | None) -> None:
    lines = ["clouds:"]
    for name, password in passwords.items():
        lines += [
            f"  {name}:",
            "    auth:",
            f"      auth_url: {api_url}/identity",
            f"      username: {name}",
            f"      password: {password}",
            f"      project_name: {name}",
            "      user_domain_id: default",
            "      project_domain_id: default",
            "    region_name: RegionOne",
            "    identity_api_version: '3'",
            *([f"    cacert: {ca_file}"] if ca_file else []),
        ]
    staged = f"{path}.new"
    with open(os.open(staged, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as stream:
        stream.write("\n".join(lines) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.rename(staged, path)
