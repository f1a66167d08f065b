# SPDX-License-Identifier: Apache-2.0
"""zun-lite-manage: the operator's commands on the database, on users and on hosts.

Parses, then reads the one module that does the work, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import pkgutil
import sys
from typing import Any

from zun_lite.domain import errors

PROGRAM = "zun-lite-manage"


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    from zun_lite.cmd import begin

    conf = begin.configured(PROGRAM, [f"--config-file={path}" for path in arguments.config_file])
    run = verb(arguments.run)
    from sqlalchemy.exc import SQLAlchemyError

    try:
        run(conf, arguments)
    except errors.ZunError as error:
        print(f"{PROGRAM}: {error.message}", file=sys.stderr)
        return 1
    except SQLAlchemyError as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        print(f"{PROGRAM}: The database did not do it: {reason}; look at it, and at the URL.", file=sys.stderr)
        return 1
    return 0


def verb(place: str) -> Any:
    """What MODULE:FUNCTION names, of this package: called with the configuration and the arguments."""
    return pkgutil.resolve_name(f"zun_lite.cmd.{place}")


def parser() -> argparse.ArgumentParser:
    """Each command's default `run` is what verb() takes."""
    made = argparse.ArgumentParser(prog=PROGRAM, description="The operator's commands on the database and on hosts.")
    made.add_argument(
        "--config-file", action="append", default=[], metavar="FILE", help="instead of the usual one; may be repeated"
    )
    nouns = made.add_subparsers(required=True, metavar="COMMAND")
    first = nouns.add_parser("bootstrap", help="make keys, schema, first users and clouds.yaml, where missing")
    first.set_defaults(run="bootstrap:make_all")
    _add_identity(_noun(nouns, "identity", "users and tokens"))
    _add_db(_noun(nouns, "db", "the database"))
    _add_project(_noun(nouns, "project", "projects"))
    _add_host(_noun(nouns, "host", "hosts"))
    _add_import(_noun(nouns, "import", "take over from other services"))
    return made


def _noun(nouns: Any, name: str, text: str) -> Any:
    return nouns.add_parser(name, help=text).add_subparsers(required=True, metavar="VERB")


def _verb(verbs: Any, name: str, run: str, text: str, **more: Any) -> argparse.ArgumentParser:
    made = verbs.add_parser(name, help=text, description=text[:1].upper() + text[1:] + ".", **more)
    made.set_defaults(run=run)
    return made


def _add_identity(verbs: Any) -> None:
    _verb(
        verbs,
        "bootstrap",
        "bootstrap:make_users",
        "make the first domain, roles, users and catalogue where they are missing, and set a password that is given",
        epilog="Passwords are taken from ZUN_LITE_ADMIN_PASSWORD and ZUN_LITE_DEMO_PASSWORD.",
    )
    _verb(
        verbs,
        "rotate",
        "bootstrap:rotate_keys",
        "let another key encrypt tokens; those that were issued stay valid until they end",
    )


def _add_db(verbs: Any) -> None:
    _verb(verbs, "sync", "database:sync", "make the schema, or bring it up to date")
    _verb(verbs, "version", "database:tell_version", "print the version of the schema")
    purge = _verb(
        verbs,
        "purge",
        "purge:db_purge",
        "forget the actions of containers that are gone, when they ended so many days ago",
    )
    purge.add_argument("--older-than", type=float, required=True, metavar="DAYS", help="ended so many days ago")


def _add_project(verbs: Any) -> None:
    purge = _verb(
        verbs,
        "purge",
        "purge:project_purge",
        "remove all that a deleted project left behind: containers, ports, networks, volumes, images, ...",
    )
    purge.add_argument("project", metavar="PROJECT", help="the project's id")
    purge.add_argument("--dry-run", action="store_true", help="say what would go, and change nothing")
    purge.add_argument("--wait", type=float, default=60.0, metavar="SECONDS", help="wait so long for hosts; default 60")
    purge.add_argument("--existing", action="store_true", help="even though the project exists")


def _add_host(verbs: Any) -> None:
    token = _verb(verbs, "token", "hosts:token", "print a token with which one host may join once, within 15 minutes")
    token.add_argument("--name", help="the host's name; default this machine's")
    _verb(verbs, "list", "hosts:tell_all", "print the hosts").add_argument("--json", action="store_true")
    _verb(
        verbs,
        "prepare",
        "hosts:prepare",
        "make Docker on this machine know our runtime, where programs are started by others than `zun-lite up`",
    )
    disable = _verb(verbs, "disable", "hosts:disable", "keep new work from a host; what it has goes on")
    enable = _verb(verbs, "enable", "hosts:enable", "let a host get work again")
    zone = _verb(verbs, "zone", "hosts:zone", "put a host into an availability zone")
    remove = _verb(
        verbs, "remove", "hosts:remove", "forget a host on which nothing is left; to come back it must join anew"
    )
    rotate = _verb(verbs, "rotate", "hosts:rotate", "have a host exchange its key for a new one now")
    revoke = _verb(
        verbs, "revoke", "hosts:revoke", "make a host's key good for nothing at once; to come back it must join anew"
    )
    for one in (disable, enable, zone, rotate, revoke, remove):
        one.add_argument("name", metavar="NAME", help="the host's name")
    disable.add_argument("--reason", help="why, for those who look")
    zone.add_argument("zone", metavar="ZONE", help="the zone's name")


def _add_import(services: Any) -> None:
    zun = _verb(
        services,
        "zun",
        "import_zun:import_zun",
        "make the registries and containers of an OpenStack Zun known here, from its database",
        epilog="All is read and looked up before anything is written; what is there already is left as it is, so that "
        "a run that was cut off is simply run again.",
    )
    zun.add_argument("--connection", required=True, metavar="URL", help="[database] connection of zun.conf")
    zun.add_argument(
        "--encryption-key-file", metavar="FILE", help="a file with auth_encryption_key of zun.conf, for passwords"
    )
    zun.add_argument("--without-passwords", action="store_true", help="leave the passwords of registries out")
    for noun in ("network", "volume", "project"):
        zun.add_argument(
            f"--{noun}", action="append", default=[], metavar="THEIRS=OURS", help=f"the {noun} here that is theirs"
        )
    zun.add_argument("--new-addresses", action="store_true", help="let containers get other addresses")
    zun.add_argument("--without-security-groups", action="store_true", help="use each project's default group")
    zun.add_argument("--stopped", action="store_true", help="create every container, and start none")
    zun.add_argument("--skip", action="store_true", help="leave out what cannot be taken over")
    zun.add_argument("--dry-run", action="store_true", help="say what would be made, and write nothing")


if __name__ == "__main__":
    sys.exit(main())
