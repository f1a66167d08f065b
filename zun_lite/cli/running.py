# SPDX-License-Identifier: Apache-2.0
"""A container run like a command of this machine, and why one is as it is."""

from __future__ import annotations

import contextlib
import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from zun_lite.cli.command import RECORD, Command
from zun_lite.cli.containers import body_of, create_options, ident_option, path, shown, wait
from zun_lite.cli.failures import Ended, Failure
from zun_lite.cli.looking import show_logs
from zun_lite.cli.session import Session
from zun_lite.cli.way import told_stages, until_started


def _run_options(parser: ArgumentParser) -> None:
    create_options(parser)
    parser.add_argument("-d", "--detach", action="store_true", help="do not wait for it; print its id")
    parser.add_argument("--wait", action="store_true", help="wait until it runs, and no longer")
    parser.add_argument("--quiet", action="store_true", help="do not show how far it is")


def _run(session: Session, args: Namespace) -> dict[str, Any]:
    """Its record, where that is wanted; else this ends as the container does."""
    body = body_of(args)
    follows = not (args.detach or args.wait or _is_read_by_a_program(args)) and session.has_streams()
    # one that removed itself could not be asked for its exit code any more
    body["auto_remove"] = args.auto_remove and not follows
    made = session.ask("POST", "/containers", body, {"run": "true"})
    if args.detach:
        return shown(made)
    try:
        record = until_started(session, made["uuid"], quiet=args.quiet)
        if not follows:
            return shown(record)
        code = _join(session, made["uuid"]) if args.interactive else _follow_to_the_end(session, made["uuid"])
        if args.auto_remove and code is not None:
            wait(session, made["uuid"], "Stopped")
            session.ask("DELETE", path(made["uuid"]))
        raise Ended(code or 0)
    except KeyboardInterrupt:
        kept = ", and is yours to delete" if args.auto_remove and follows else ""
        print(f"Container {made['name']} goes on{kept}.", file=sys.stderr)
        raise Ended(130) from None


def _is_read_by_a_program(args: Namespace) -> bool:
    """Whether a form for programs or some columns were asked for, as scripts for the stock client do."""
    return getattr(args, "formatter", getattr(args, "format", "table")) != "table" or bool(
        getattr(args, "columns", getattr(args, "column", None))
    )


def _join(session: Session, uuid: str) -> int | None:
    from zun_lite.cli import terminal

    with session.dial(path(uuid, "attach")) as stream:
        return terminal.join(stream, interactive=True, terminal=terminal.is_terminal(), detachable=True)


def _follow_to_the_end(session: Session, uuid: str) -> int:
    try:
        show_logs(session, uuid, {"follow": "true"})
        # its log ends a moment before the cloud hears of its end
        again = ("Running", "Restarting") if _is_started_again(session, uuid) else ()
        found = wait(session, uuid, "Stopped", "Dead", "Deleted", *again)
    except Failure as error:
        if error.status == 404:
            # it removed itself, and its code with it
            return 0
        raise
    return exit_code(found)


def _is_started_again(session: Session, uuid: str) -> bool:
    """Whether its end is not for good."""
    policy = session.ask("GET", path(uuid)).get("restart_policy") or {}
    return policy.get("Name", "no") not in ("", "no")


def exit_code(record: dict[str, Any]) -> int:
    """Of what status_detail says: Exited(3) 5 seconds ago."""
    detail = record.get("status_detail") or ""
    _, _, rest = detail.partition("Exited(")
    number = rest.partition(")")[0]
    return int(number) if number.isdigit() else 0


def _explain(session: Session, args: Namespace) -> dict[str, Any]:
    """What is known of why a container is as it is; for people in lines, for programs in lists."""
    record = session.ask("GET", path(args.container))
    told: dict[str, Any] = {
        "container": f"{record['name']} ({record['uuid']})",
        "status": record["status"] + (f", {record['task_state']}" if record.get("task_state") else ""),
        "detail": (record.get("status_detail") or "").strip(),
        "reason": record.get("status_reason") or "",
        "host": record.get("host") or "",
    }
    told |= _explained(session, args) or {"verdict": _verdict(record)}
    with contextlib.suppress(Failure):
        actions = session.ask("GET", path(args.container, "container_actions"))["containerActions"]
        told["actions"] = [_told_of(item) for item in actions[:5]]
    with contextlib.suppress(Failure):
        if record["status"] in ("Stopped", "Error", "Running"):
            said = session.ask("GET", path(args.container, "logs"), query={"tail": 5})
            told["last words"] = said.splitlines()[-5:]
    if _is_read_by_a_program(args):
        return told
    return {key: "\n".join(value) if isinstance(value, list) else value for key, value in told.items()}


def _explained(session: Session, args: Namespace) -> dict[str, Any] | None:
    """What the cloud itself says of it; None from one that does not, as the reference service."""
    try:
        found = session.ask("GET", path(args.container, "explanation"))
    except Failure as error:
        if error.status == 404:
            return None
        raise
    told: dict[str, Any] = {"verdict": found["sentence"]}
    if found.get("host_problem"):
        told["host's problem"] = found["host_problem"]
    if _is_read_by_a_program(args):
        return {**told, **{key: found[key] for key in ("stages", "layers", "filters")}}
    told["stages"] = told_stages(found)
    if found["filters"]:
        told["filters"] = [_told_filter(each) for each in found["filters"]]
    return told


def _told_filter(each: dict[str, Any]) -> str:
    refused = "; ".join(f"{item['host']}: {item['reason']}" for item in each.get("refused", ()))
    return f"{each['name']}: {each['left']} left{f' (not {refused})' if refused else ''}"


def _told_of(action: dict[str, Any]) -> str:
    end = action["message"] or ("done" if action.get("finish_time") else "under way")
    return f"{action['action']} at {action['start_time']}: {end}"


def _verdict(record: dict[str, Any]) -> str:
    """As much as a record alone lets one say."""
    status, task, reason = record["status"], record.get("task_state"), record.get("status_reason") or ""
    if task:
        return f"It is on its way: {task.replace('_', ' ')}."
    said = f"It is {status}{f': {reason}' if reason else '.'}"
    if status != "Stopped":
        return said
    return f"Its process ended with exit code {exit_code(record)}{f': {reason}' if reason else '.'}"


COMMANDS = (
    Command("appcontainer run", "make a container, run it, and end with its exit code", _run, _run_options, RECORD),
    Command("appcontainer explain", "tell why a container is as it is", _explain, ident_option, RECORD),
)
