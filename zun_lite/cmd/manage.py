# SPDX-License-Identifier: Apache-2.0
"""zun-lite-manage: the operator's commands on the database and on hosts."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import secrets
import socket
import sys
import time
from typing import Any

from oslo_config import cfg

from zun_lite.cmd import begin, import_zun, purge
from zun_lite.cmd import hosts as host_verbs
from zun_lite.common import grants
from zun_lite.common import secrets as secret_keys
from zun_lite.db import hosts, schema, version
from zun_lite.db import identity as rows
from zun_lite.db.engine import Database
from zun_lite.domain import errors
from zun_lite.identity import bootstrap as identity
from zun_lite.identity import keys
from zun_lite.identity.embedded import EXPIRED_WINDOW_SECONDS
from zun_lite.network import outside

TOKEN_MINUTES = 15


def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    conf = begin.configured("zun-lite-manage")
    try:
        arguments.run(conf, arguments)
    except errors.ZunError as error:
        print(f"zun-lite-manage: {error.message}", file=sys.stderr)
        return 1
    return 0


def db_sync(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Make the schema, or bring it up to date."""
    db = _database(conf, of_any_version=True)
    schema.sync(db)
    print(version.current(db))


def db_version(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Print the version of the schema."""
    print(version.current(_database(conf, of_any_version=True)) or "none")


def bootstrap(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Make keys, schema, first users and clouds.yaml, each only where it is missing."""
    os.makedirs(conf.state_dir, mode=0o700, exist_ok=True)
    db = _database(conf, of_any_version=True)
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


def identity_bootstrap(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Make the first domain, roles, users and catalogue where they are missing, and set a password that is given."""
    db = Database(conf.database.connection)
    for made in identity.bootstrap(
        db, conf.identity.key_dir, _password_of(identity.ADMIN), _password_of(identity.DEMO)
    ):
        print(made)


def _password_of(user: str) -> str | None:
    """Not from the command line, which every user of the machine can read."""
    return os.environ.get(f"ZUN_LITE_{user.upper()}_PASSWORD") or None


def identity_rotate(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Let another key encrypt tokens; those that were issued stay valid until they end."""
    needed_seconds = conf.identity.token_ttl_seconds + EXPIRED_WINDOW_SECONDS
    for done in keys.rotate(conf.identity.key_dir, needed_seconds, time.time()):
        print(done)


def host_token(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Print a token with which one host may join once, within 15 minutes."""
    db = _database(conf)
    token = secrets.token_urlsafe(32)
    name = arguments.name or conf.agent.host_name or socket.gethostname()

    def add(tx: Any) -> None:
        hosts.add_join_token(tx, token, name, db.now(tx) + datetime.timedelta(minutes=TOKEN_MINUTES))

    db.transact(add)
    print(token)


def host_list(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Print the hosts."""
    db = _database(conf)
    with db.read() as tx:
        known = hosts.every(tx)
    rows = [
        {
            "uuid": host.uuid,
            "name": host.name,
            "address": host.address,
            "state": host.state,
            "disabled": host.disabled_reason or "yes" if host.disabled else None,
            "forced_down": host.forced_down,
            "availability_zone": host.availability_zone,
            "problem": host.problem,
            "seen_at": host.seen_at.isoformat() if host.seen_at else None,
        }
        for host in known
    ]
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        notes = [f"disabled: {row['disabled']}"] if row["disabled"] else []
        notes += ["forced down"] if row["forced_down"] else []
        notes += [f"problem: {row['problem']}"] if row["problem"] else []
        place = f"{row['name']}  {row['state']}  {row['availability_zone']}  {row['address']}  {row['seen_at']}"
        print(f"{place}  {'; '.join(notes)}".rstrip())


def _database(conf: cfg.ConfigOpts, *, of_any_version: bool = False) -> Database:
    """Invalid, Unavailable, Conflict: it cannot be used."""
    db = Database(conf.database.connection)
    db.reach()
    if not of_any_version:
        version.check(db)
    return db


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zun-lite-manage", description=__doc__.split(":", 1)[1].strip())
    nouns = parser.add_subparsers(required=True, metavar="COMMAND")
    nouns.add_parser("bootstrap", help=bootstrap.__doc__).set_defaults(run=bootstrap)
    users = nouns.add_parser("identity", help="users and tokens").add_subparsers(required=True, metavar="VERB")
    first = users.add_parser(
        "bootstrap",
        help=identity_bootstrap.__doc__,
        epilog="Passwords are taken from ZUN_LITE_ADMIN_PASSWORD and ZUN_LITE_DEMO_PASSWORD.",
    )
    first.set_defaults(run=identity_bootstrap)
    users.add_parser("rotate", help=identity_rotate.__doc__).set_defaults(run=identity_rotate)
    db = nouns.add_parser("db", help="the database").add_subparsers(required=True, metavar="VERB")
    db.add_parser("sync", help=db_sync.__doc__).set_defaults(run=db_sync)
    db.add_parser("version", help=db_version.__doc__).set_defaults(run=db_version)
    purge.add_db_purge_parser(db)
    purge.add_project_parser(nouns)
    host = nouns.add_parser("host", help="hosts").add_subparsers(required=True, metavar="VERB")
    token = host.add_parser("token", help=host_token.__doc__)
    token.add_argument("--name", help="the host's name; default this machine's")
    token.set_defaults(run=host_token)
    listing = host.add_parser("list", help=host_list.__doc__)
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=host_list)
    host_verbs.add_parsers(host)
    import_zun.add_parser(nouns)
    return parser


if __name__ == "__main__":
    sys.exit(main())
