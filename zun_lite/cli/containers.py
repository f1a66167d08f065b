# SPDX-License-Identifier: Apache-2.0
"""Containers: create, list, show, change, and what is done to a running or stopped one."""

from __future__ import annotations

import time
from argparse import SUPPRESS

from zun_lite.cli import values
from zun_lite.cli.command import RECORD, TABLE, Command, table_of
from zun_lite.cli.failures import Failure
from zun_lite.cli.session import one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from zun_lite.cli.command import Table
    from zun_lite.cli.session import Session

COLUMNS = ("uuid", "name", "image", "status", "task_state", "addresses", "ports")
WAIT_SECONDS = 600.0
LOOK_SECONDS = 0.25
_MOUNT = ("source", "size", "destination", "type")
_NET = ("network", "port", "v4-fixed-ip", "v6-fixed-ip")


def path(ident: str, verb: str = "") -> str:
    return f"/containers/{one(ident)}" + (f"/{verb}" if verb else "")


def create_options(parser: ArgumentParser) -> None:
    """As the stock client has them."""
    add = parser.add_argument
    add("-n", "--name", metavar="NAME", help="its name")
    add("--cpu", metavar="CPUS", help="how many CPUs, as 0.5")
    add("-m", "--memory", metavar="MIB", help="its memory in MiB")
    add("--disk", metavar="GIB", type=int, help="its disk in GiB")
    add("-e", "--environment", metavar="KEY=VALUE", action="append", help="a variable of its environment")
    add("--workdir", metavar="DIR", help="where its command begins")
    add("--label", metavar="KEY=VALUE", action="append", help="a label")
    add("--image-pull-policy", metavar="POLICY", choices=("never", "always", "ifnotpresent"), help="when to pull")
    ends = parser.add_mutually_exclusive_group()
    ends.add_argument("--restart", metavar="POLICY", help="no, always, unless-stopped, on-failure[:COUNT]")
    ends.add_argument("--auto-remove", "--rm", dest="auto_remove", action="store_true", help="remove it when it ends")
    add("--image-driver", metavar="DRIVER", choices=("docker", "glance"), help="where the image is")
    add("-i", "--interactive", action="store_true", help="keep its stdin open, with a terminal")
    groups = parser.add_mutually_exclusive_group()
    groups.add_argument("--security-group", metavar="GROUP", action="append", help="a security group")
    groups.add_argument("--expose-port", metavar="PORT[/PROTOCOL]", action="append", help="a port to let in")
    add("--hint", metavar="KEY=VALUE", action="append", help="a hint to the scheduler")
    add("--net", metavar="network=ID|port=ID,v4-fixed-ip=IP", action="append", help="a network to join")
    add("--mount", metavar="source=VOLUME|size=GIB,destination=DIR", action="append", help="a volume to mount")
    add("--runtime", metavar="RUNTIME", help="its runtime")
    add("--hostname", metavar="NAME", help="its host name")
    add("--availability-zone", metavar="ZONE", help="where to place it")
    add("--auto-heal", action="store_true", help="make it anew when it is lost")
    add("--privileged", action="store_true", help="ask for all privileges")
    add("--healthcheck", metavar="cmd=...,interval=...,retries=...,timeout=...", help="how to see that it is well")
    add("--registry", metavar="REGISTRY", help="the registry of its image")
    add("--host", metavar="HOST", help="the host to place it on")
    add("--entrypoint", metavar="COMMAND", help="instead of the image's")
    add("image", metavar="IMAGE", help="what it is made of")
    add("command", metavar="COMMAND", nargs="...", help="what it runs")


def body_of(args: Namespace) -> dict[str, Any]:
    body: dict[str, Any] = {
        "image": args.image,
        "command": _without_dashes(args.command),
        "environment": values.pairs(args.environment, "--environment"),
        "labels": values.pairs(args.label, "--label"),
        "hints": values.pairs(args.hint, "--hint"),
        "auto_remove": args.auto_remove,
        "nets": [values.parts(item, "--net", _NET) for item in args.net or ()],
        "mounts": [_mount(item) for item in args.mount or ()],
    }
    for name in (
        *("name", "cpu", "memory", "disk", "workdir", "image_pull_policy", "image_driver", "runtime", "hostname"),
        *("availability_zone", "registry", "host"),
    ):
        if getattr(args, name) is not None:
            body[name] = getattr(args, name)
    for name in ("auto_heal", "privileged"):
        if getattr(args, name):
            body[name] = True
    if args.interactive:
        body |= {"interactive": True, "tty": True}
    if args.security_group:
        body["security_groups"] = args.security_group
    if args.expose_port:
        body["exposed_ports"] = {item: {} for item in args.expose_port}
    if args.restart:
        body["restart_policy"] = values.restart(args.restart)
    if args.healthcheck:
        body["healthcheck"] = values.healthcheck(args.healthcheck)
    if args.entrypoint:
        body["entrypoint"] = values.words(args.entrypoint)
    return body


def wait(session: Session, ident: str, *wanted: str, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
    """Its record once it has one of these statuses and nothing is under way. Failure: Error, or too late."""
    deadline = time.monotonic() + seconds
    while True:
        found: dict[str, Any] = session.ask("GET", path(ident))
        if found["status"] in wanted and not found["task_state"]:
            return found
        if found["status"] == "Error":
            raise Failure(f"Container {found['name']} failed: {found['status_reason'] or 'no reason was told'}")
        if time.monotonic() > deadline:
            raise Failure(f"Container {found['name']} is still {found['status']} after {seconds:g} s.")
        time.sleep(LOOK_SECONDS)


def _mount(item: str) -> dict[str, str]:
    given = values.parts(item, "--mount", _MOUNT)
    if given.get("type") == "bind":
        import base64

        try:
            with open(given["source"], "rb") as file:
                given["source"] = base64.b64encode(file.read()).decode()
        except (OSError, KeyError) as error:
            raise Failure(f"--mount {item!r}: the file to be given cannot be read: {error}.") from error
    return given


def _without_dashes(command: list[str]) -> list[str]:
    return command[1:] if command[:1] == ["--"] else command


def _create_options(parser: ArgumentParser) -> None:
    create_options(parser)
    parser.add_argument("--wait", action="store_true", help="until it is created")


def _create(session: Session, args: Namespace) -> dict[str, Any]:
    made = session.ask("POST", "/containers", body_of(args))
    return shown(wait(session, made["uuid"], "Created") if args.wait else made)


def shown(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "addresses": addresses(record), "links": [item["href"] for item in record.get("links") or ()]}


def addresses(record: dict[str, Any]) -> str:
    found = (record.get("addresses") or {}).values()
    return ", ".join(item["addr"] for network in found for item in network if item.get("addr"))


def _list_options(parser: ArgumentParser) -> None:
    parser.add_argument("-a", "--all-projects", action="store_true", help="of all projects (administrators)")
    parser.add_argument("--limit", metavar="COUNT", type=int, help="as many at most")
    for name in ("marker", "sort-key", "sort-dir", "name", "image", "project-id", "user-id", "task-state", "status"):
        parser.add_argument(f"--{name}", metavar=name.rpartition("-")[2].upper(), help=f"by its {name}")
    parser.add_argument("--memory", metavar="MIB", help="by its memory")
    parser.add_argument("--host", metavar="HOST", help="by its host (administrators)")
    parser.add_argument("--auto-remove", metavar="BOOL", help="by whether it goes when it ends")


def _list(session: Session, args: Namespace) -> Table:
    names = (
        "limit",
        "marker",
        "sort_key",
        "sort_dir",
        "name",
        "image",
        "project_id",
        "user_id",
        "task_state",
        "status",
    )
    query = {name: getattr(args, name) for name in (*names, "memory", "host", "auto_remove")}
    if args.all_projects:
        query["all_projects"] = 1
    found = session.ask("GET", "/containers", query=query)["containers"]
    return table_of(
        [{**item, "addresses": addresses(item), "ports": item.get("ports") or []} for item in found], COLUMNS
    )


def ident_option(parser: ArgumentParser) -> None:
    parser.add_argument("container", metavar="CONTAINER", help="its name or id")


def _idents(parser: ArgumentParser) -> None:
    parser.add_argument("container", metavar="CONTAINER", nargs="+", help="names or ids")


def _show_options(parser: ArgumentParser) -> None:
    ident_option(parser)
    parser.add_argument("--all-projects", action="store_true", help="look through all projects (administrators)")


def _show(session: Session, args: Namespace) -> dict[str, Any]:
    query = {"all_projects": 1} if args.all_projects else None
    return shown(session.ask("GET", path(args.container), query=query))


def _delete_options(parser: ArgumentParser) -> None:
    _idents(parser)
    parser.add_argument("-f", "--force", action="store_true", help="whatever its status (administrators)")
    parser.add_argument("-s", "--stop", action="store_true", help="stop it first")
    parser.add_argument("--all-projects", action="store_true", help="look through all projects (administrators)")
    parser.add_argument("--wait", action="store_true", help="until it is gone")


def _delete(session: Session, args: Namespace) -> int:
    query = {"force": args.force, "stop": args.stop, "all_projects": args.all_projects}
    for ident in args.container:
        session.ask("DELETE", path(ident), query={key: str(value) for key, value in query.items() if value})
        print(f"Container {ident} is to be deleted.", flush=True)
    for ident in args.container if args.wait else ():
        _wait_gone(session, ident)
    return 0


def _wait_gone(session: Session, ident: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            session.ask("GET", path(ident))
        except Failure as error:
            if error.status == 404:
                return
            raise
        time.sleep(LOOK_SECONDS)
    raise Failure(f"Container {ident} is still there after {WAIT_SECONDS:g} s.")


def _action(verb: str, says: str, done: tuple[str, ...]) -> Any:
    def run(session: Session, args: Namespace) -> int:
        given = {name: getattr(args, name, None) for name in ("timeout", "signal")}
        query = {key: value for key, value in given.items() if value is not None}
        for ident in args.container:
            session.ask("POST", path(ident, verb), query=query)
            print(f"Container {ident} is to be {says}.", flush=True)
        for ident in args.container if getattr(args, "wait", False) else ():
            wait(session, ident, *done)
        return 0

    return run


def _action_options(*more: str) -> Any:
    def configure(parser: ArgumentParser) -> None:
        _idents(parser)
        parser.add_argument("--wait", action="store_true", help="until it is so")
        if "timeout" in more:
            parser.add_argument("--timeout", metavar="SECONDS", type=int, default=10, help="before it is killed")
        if "signal" in more:
            parser.add_argument("-s", "--signal", metavar="SIGNAL", help="KILL where none is named")

    return configure


def _rebuild_options(parser: ArgumentParser) -> None:
    _idents(parser)
    parser.add_argument("--image", metavar="IMAGE", help="of another image")
    parser.add_argument("--image-driver", metavar="DRIVER", help="where the image is")
    parser.add_argument("--wait", action="store_true", help="until it is rebuilt")


def _rebuild(session: Session, args: Namespace) -> int:
    for ident in args.container:
        query = {"image": args.image, "image_driver": args.image_driver}
        session.ask("POST", path(ident, "rebuild"), query=query)
        print(f"Container {ident} is to be rebuilt.", flush=True)
    for ident in args.container if args.wait else ():
        wait(session, ident, "Created", "Running")
    return 0


def _set_options(parser: ArgumentParser) -> None:
    ident_option(parser)
    parser.add_argument("--name", metavar="NAME", help="a new name")
    parser.add_argument("--cpu", metavar="CPUS", help="how many CPUs")
    parser.add_argument("-m", "--memory", metavar="MIB", help="its memory in MiB")
    heal = parser.add_mutually_exclusive_group()
    heal.add_argument("--auto-heal", dest="auto_heal", action="store_true", default=None, help="make it anew when lost")
    heal.add_argument("--no-auto-heal", dest="auto_heal", action="store_false", default=SUPPRESS, help="do not")


def _set(session: Session, args: Namespace) -> dict[str, Any]:
    given = {name: getattr(args, name, None) for name in ("name", "cpu", "memory", "auto_heal")}
    changes = {key: value for key, value in given.items() if value is not None}
    if not changes:
        raise Failure("Nothing was named that is to change: --name, --cpu, --memory, --auto-heal or --no-auto-heal.")
    return shown(session.ask("PATCH", path(args.container), changes))


def _commit_options(parser: ArgumentParser) -> None:
    ident_option(parser)
    parser.add_argument("repository", metavar="REPOSITORY[:TAG]", help="the name of the image to be made")


def _commit(session: Session, args: Namespace) -> dict[str, Any]:
    repository, _, tag = args.repository.partition(":")
    query = {"repository": repository, "tag": tag or None}
    found: dict[str, Any] = session.ask("POST", path(args.container, "commit"), query=query)
    return found


COMMANDS = (
    Command("appcontainer create", "make a container", _create, _create_options, RECORD),
    Command("appcontainer list", "list containers", _list, _list_options, TABLE),
    Command("appcontainer show", "show a container", _show, _show_options, RECORD),
    Command("appcontainer set", "change a container's name, size or healing", _set, _set_options, RECORD),
    Command("appcontainer delete", "delete containers", _delete, _delete_options),
    Command(
        "appcontainer start", "start containers", _action("start", "started", ("Running", "Stopped")), _action_options()
    ),
    Command(
        "appcontainer stop", "stop containers", _action("stop", "stopped", ("Stopped",)), _action_options("timeout")
    ),
    Command(
        "appcontainer restart",
        "restart containers",
        _action("reboot", "restarted", ("Running", "Stopped")),
        _action_options("timeout"),
    ),
    Command("appcontainer pause", "pause containers", _action("pause", "paused", ("Paused",)), _action_options()),
    Command(
        "appcontainer unpause", "let containers go on", _action("unpause", "unpaused", ("Running",)), _action_options()
    ),
    Command(
        "appcontainer kill",
        "send containers a signal",
        _action("kill", "sent a signal", ("Stopped", "Running")),
        _action_options("signal"),
    ),
    Command("appcontainer rebuild", "make containers anew of their image", _rebuild, _rebuild_options),
    Command("appcontainer commit", "make an image of a container", _commit, _commit_options, RECORD),
)
