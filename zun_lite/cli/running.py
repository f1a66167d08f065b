# SPDX-License-Identifier: Apache-2.0
"""A container run like a command of this machine, and why one is as it is."""

from __future__ import annotations

import contextlib
import sys
import time
from argparse import ArgumentParser, Namespace
from typing import Any

from zun_lite.cli.command import RECORD, Command
from zun_lite.cli.containers import addresses, body_of, create_options, ident_option, path, shown, wait
from zun_lite.cli.failures import Ended, Failure
from zun_lite.cli.looking import show_logs
from zun_lite.cli.screen import Line
from zun_lite.cli.session import Session

LOOK_SECONDS = 0.2


def _run_options(parser: ArgumentParser) -> None:
    create_options(parser)
    parser.add_argument("-d", "--detach", action="store_true", help="do not wait for it; print its id")
    parser.add_argument("--wait", action="store_true", help="wait until it runs, and no longer")


def _run(session: Session, args: Namespace) -> dict[str, Any]:
    """Its record, where that is wanted; else this ends as the container does."""
    body = body_of(args)
    follows = not (args.detach or args.wait or _is_read_by_a_program(args))
    # one that removed itself could not be asked for its exit code any more
    body["auto_remove"] = args.auto_remove and not follows
    made = session.ask("POST", "/containers", body, {"run": "true"})
    if args.detach:
        return shown(made)
    line = Line()
    try:
        record = _until_started(session, made["uuid"], line)
        if not follows:
            return shown(record)
        line.over()
        code = _join(session, made["uuid"]) if args.interactive else _follow_to_the_end(session, made["uuid"])
        if args.auto_remove and code is not None:
            wait(session, made["uuid"], "Stopped")
            session.ask("DELETE", path(made["uuid"]))
        raise Ended(code or 0)
    except KeyboardInterrupt:
        kept = ", and is yours to delete" if args.auto_remove and follows else ""
        print(f"Container {made['name']} goes on{kept}.", file=sys.stderr)
        raise Ended(130) from None
    finally:
        line.over()


def _is_read_by_a_program(args: Namespace) -> bool:
    """Whether a form for programs or some columns were asked for, as scripts for the stock client do."""
    return getattr(args, "formatter", getattr(args, "format", "table")) != "table" or bool(
        getattr(args, "columns", getattr(args, "column", None))
    )


def _join(session: Session, uuid: str) -> int | None:
    from zun_lite.cli import terminal

    with session.dial(path(uuid, "attach")) as stream:
        return terminal.join(stream, interactive=True, terminal=terminal.is_terminal(), detachable=True)


def _until_started(session: Session, uuid: str, line: Line) -> dict[str, Any]:
    began = time.monotonic()
    while True:
        found: dict[str, Any] = session.ask("GET", path(uuid))
        if found["status"] in ("Running", "Stopped", "Deleted"):
            return found
        if found["status"] == "Error":
            line.over()
            raise Failure(f"Container {found['name']} failed: {found['status_reason'] or 'no reason was told'}")
        task = (found["task_state"] or found["status"]).replace("_", " ").replace("container ", "")
        where = f", on {addresses(found)}" if found.get("addresses") else ""
        detail = found.get("status_detail") or ""
        line.say(f"{found['name']}: {task}{where} {detail} {time.monotonic() - began:.0f} s", kept=False)
        time.sleep(LOOK_SECONDS)


def _follow_to_the_end(session: Session, uuid: str) -> int:
    try:
        show_logs(session, uuid, {"follow": "true"})
        found = wait(session, uuid, "Stopped", "Running", "Restarting", "Deleted")
    except Failure as error:
        if error.status == 404:
            # it removed itself, and its code with it
            return 0
        raise
    return exit_code(found)


def exit_code(record: dict[str, Any]) -> int:
    """Of what status_detail says: Exited(3) 5 seconds ago."""
    detail = record.get("status_detail") or ""
    _, _, rest = detail.partition("Exited(")
    number = rest.partition(")")[0]
    return int(number) if number.isdigit() else 0


def _explain(session: Session, args: Namespace) -> dict[str, Any]:
    """What is known of why a container is as it is."""
    record = session.ask("GET", path(args.container))
    told: dict[str, Any] = {
        "container": f"{record['name']} ({record['uuid']})",
        "status": record["status"] + (f", {record['task_state']}" if record.get("task_state") else ""),
        "detail": (record.get("status_detail") or "").strip(),
        "reason": record.get("status_reason") or "",
        "host": record.get("host") or "",
        "verdict": _verdict(record),
    }
    with contextlib.suppress(Failure):
        actions = session.ask("GET", path(args.container, "container_actions"))["containerActions"]
        told["actions"] = [_told_of(item) for item in actions[:5]]
    with contextlib.suppress(Failure):
        if record["status"] in ("Stopped", "Error", "Running"):
            said = session.ask("GET", path(args.container, "logs"), query={"tail": 5})
            told["last words"] = said.splitlines()[-5:]
    return told


def _told_of(action: dict[str, Any]) -> str:
    end = action["message"] or ("done" if action.get("finish_time") else "under way")
    return f"{action['action']} at {action['start_time']}: {end}"


def _verdict(record: dict[str, Any]) -> str:
    status, task, reason = record["status"], record.get("task_state"), record.get("status_reason") or ""
    if status == "Running":
        return "it runs" + (f", but: {reason}" if reason else "")
    if task:
        return f"it is on its way: {task.replace('_', ' ')}"
    if status == "Error" and "not enough hosts" in reason:
        return "no host has the room, the zone or the runtime that it asks for; ask for less, or free some"
    if status == "Error":
        return f"it failed: {reason}" if reason else "it failed, and no reason was told"
    if status == "Stopped":
        code = exit_code(record)
        return f"its process ended by itself with {code}" if code else "its process ended, or it was stopped"
    return {
        "Created": "it was made and never started; start it",
        "Paused": "it is paused; unpause lets it go on",
        "Unknown": "its host does not answer; it may well run there",
        "Restarting": "its process ends again and again, and Docker starts it again; look at its last words",
    }.get(status, f"it is {status}")


COMMANDS = (
    Command("appcontainer run", "make a container, run it, and end with its exit code", _run, _run_options, RECORD),
    Command("appcontainer explain", "tell why a container is as it is", _explain, ident_option, RECORD),
)
