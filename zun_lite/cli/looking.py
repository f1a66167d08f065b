# SPDX-License-Identifier: Apache-2.0
"""Looking into containers: logs, exec, attach, top, stats, events."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from argparse import REMAINDER

from zun_lite.cli import values
from zun_lite.cli.command import TABLE, Command, Table
from zun_lite.cli.containers import ident_option, path
from zun_lite.cli.endings import BROKEN_OFF, exit_code
from zun_lite.cli.failures import Failure
from zun_lite.cli.screen import coloured, harmless, lined
from zun_lite.domain import channels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator
    from typing import Any

    from zun_lite.cli.session import Session
    from zun_lite.cli.wire import Response

EVERY_SECONDS = 2.0
AGAIN_SECONDS = 1.0


def _logs_options(parser: ArgumentParser) -> None:
    ident_option(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what it says")
    parser.add_argument("--stdout", action="store_true", help="only what it says to stdout")
    parser.add_argument("--stderr", action="store_true", help="only what it says to stderr")
    parser.add_argument("--since", metavar="WHEN", help="not before that: 10m (ago), a date, seconds since 1970")
    parser.add_argument("-t", "--timestamps", action="store_true", help="with the time of each line")
    parser.add_argument("-n", "--tail", metavar="COUNT", default="all", help="only so many of the last lines")


def _logs(session: Session, args: Namespace) -> int:
    both = args.stdout == args.stderr
    since = values.moment(args.since) if args.since else None
    query: dict[str, Any] = {
        "stdout": args.stdout or both,
        "stderr": args.stderr or both,
        "timestamps": args.timestamps,
        "tail": args.tail,
        "since": since,
    }
    if not args.follow and not session.has_streams():
        sys.stdout.write(
            session.ask("GET", path(args.container, "logs"), query={**query, "since": since and int(since)})
        )
        return 0
    query = {key: str(value).lower() if isinstance(value, bool) else value for key, value in query.items()}
    show_logs(session, args.container, {**query, "follow": str(args.follow).lower()})
    return 0


def show_logs(session: Session, container: str, query: dict[str, Any]) -> None:
    """To stdout and stderr, as the gateway gives them."""
    with contextlib.closing(session.stream("GET", path(container, "logs"), {**query, "format": "frames"})) as answer:
        _show_frames(answer)


def _show_frames(answer: Response) -> int | None:
    """What is said, to stdout and stderr; the exit code, if a status ended it. Failure: the status is an error."""
    for channel, content in _frames(answer):
        if channel == channels.STATUS:
            return exit_code(content)
        output = sys.stderr if channel == channels.STDERR else sys.stdout
        output.buffer.write(content)
        output.buffer.flush()
    return None


def _frames(answer: Response) -> Iterator[tuple[int, bytes]]:
    while head := _exactly(answer, channels.FRAME.size):
        channel, length = channels.FRAME.unpack(head)
        yield channel, _exactly(answer, length)


def _exactly(answer: Response, count: int) -> bytes:
    """So many bytes; none at the end."""
    try:
        found = answer.read(count)
    except OSError as error:
        raise Failure(BROKEN_OFF) from error
    if found and len(found) < count:
        raise Failure(BROKEN_OFF)
    return found


def _exec_options(parser: ArgumentParser) -> None:
    parser.add_argument("-i", "--interactive", action="store_true", help="give it this command's stdin")
    parser.add_argument("-t", "--tty", action="store_true", help="in a terminal")
    ident_option(parser)
    parser.add_argument("command", metavar="COMMAND", nargs=REMAINDER, help="what to run")


def _exec(session: Session, args: Namespace) -> int | None:
    from zun_lite.cli import terminal

    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise Failure("Name the command that is to be run, after the container.")
    if not session.has_streams():
        return _exec_plainly(session, args, command)
    wants_terminal = args.tty or (args.interactive and terminal.is_terminal())
    if args.tty and args.interactive and not sys.stdin.isatty():
        raise Failure("-t needs a terminal, and stdin is none; leave it out.")
    if not args.interactive and not args.tty:
        body = json.dumps({"command": command}).encode()
        answer = session.stream("POST", path(args.container, "exec"), body=lambda: body)
        with contextlib.closing(answer):
            code = _show_frames(answer)
        if code is None:
            raise Failure(BROKEN_OFF)
        return code
    with session.dial(path(args.container, "exec")) as stream:
        stream.send(json.dumps({"command": command, "terminal": wants_terminal}))
        own = wants_terminal and terminal.is_terminal()
        return terminal.join(stream, interactive=args.interactive, terminal=own)


def _exec_plainly(session: Session, args: Namespace, command: list[str]) -> int:
    """As the reference service has it: what is said comes at the end, all in one."""
    import shlex

    if args.interactive:
        raise Failure("This cloud has no streams in which that could be typed; leave out --interactive.")
    query = {"command": " ".join(shlex.quote(word) for word in command)}
    found = session.ask("POST", path(args.container, "execute"), query=query)
    sys.stdout.write(found["output"])
    return int(found["exit_code"] or 0)


def _attach(session: Session, args: Namespace) -> int | None:
    from zun_lite.cli import terminal

    record = session.ask("GET", path(args.container))
    with session.dial(path(args.container, "attach")) as stream:
        own = bool(record["tty"]) and terminal.is_terminal()
        if own:
            print(f"Attached to {harmless(record['name'])}; Ctrl-P Ctrl-Q leaves it running.", file=sys.stderr)
        return terminal.join(stream, interactive=True, terminal=own, detachable=own)


def _top_options(parser: ArgumentParser) -> None:
    ident_option(parser)
    parser.add_argument("--ps-args", metavar="WORDS", help="for ps, as aux")


def _top(session: Session, args: Namespace) -> Table:
    found = session.ask("GET", path(args.container, "top"), query={"ps_args": args.ps_args})
    return Table(found["Titles"], found["Processes"])


def _stats_options(parser: ArgumentParser) -> None:
    parser.add_argument("container", metavar="CONTAINER", nargs="+", help="names or ids")
    parser.add_argument("--no-stream", action="store_true", help="once, where it would go on on a terminal")


def _stats(session: Session, args: Namespace) -> Table:
    form = getattr(args, "formatter", getattr(args, "format", "table"))
    live = sys.stdout.isatty() and not args.no_stream and form == "table"
    while True:
        found = [session.ask("GET", path(ident, "stats")) for ident in args.container]
        columns = list(found[0])
        rows = [[item.get(column) for column in columns] for item in found]
        if not live:
            return Table(columns, rows)
        sys.stdout.write("\x1b[H\x1b[2J" + "\n".join(lined(columns, rows)) + "\n")
        sys.stdout.flush()
        time.sleep(EVERY_SECONDS)


def _events_options(parser: ArgumentParser) -> None:
    parser.add_argument("--since", metavar="NUMBER", type=int, help="go on after the event of that number")
    parser.add_argument("--count", metavar="COUNT", type=int, help="end after so many")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def _events(session: Session, args: Namespace) -> int:
    seen, left = args.since, args.count
    while True:
        headers = {"Last-Event-ID": str(seen)} if seen is not None else {}
        with contextlib.closing(session.stream("GET", "/events", headers=headers)) as answer:
            for name, number, content in _server_sent(answer):
                seen = number if number is not None else seen
                if name == "end":
                    raise Failure(content["reason"])
                if name != "ready":
                    _print_event(name, number, content, as_json=args.json)
                    left = left - 1 if left is not None else None
                if left is not None and left <= 0:
                    return 0
        # the gateway was restarted, perhaps: go on where we were
        time.sleep(AGAIN_SECONDS)


def _server_sent(answer: Response) -> Iterator[tuple[str, int | None, dict[str, Any]]]:
    fields: dict[str, str] = {}
    while line := _line(answer):
        name, _, value = line.rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif "event" in fields:
            yield fields["event"], int(fields["id"]) if "id" in fields else None, json.loads(fields["data"])
            fields = {}


def _line(answer: Response) -> str:
    try:
        return str(answer.readline(), "utf-8")
    except OSError:
        return ""


def _print_event(name: str, number: int | None, content: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"event": name, "number": number, **content}), flush=True)
    elif name == "gap":
        print("some events are too old to be told; list the containers anew", file=sys.stderr, flush=True)
    else:
        task = f" ({harmless(content['task_state'])})" if content.get("task_state") else ""
        reason = f": {harmless(content['status_reason'])}" if content.get("status_reason") else ""
        status = coloured(content["status"], sys.stdout)
        print(f"{content['at']} {content['kind']} {harmless(content['name'])} {status}{task}{reason}", flush=True)


COMMANDS = (
    Command("appcontainer logs", "show what a container said", _logs, _logs_options),
    Command("appcontainer exec", "run a command in a container", _exec, _exec_options),
    Command("appcontainer attach", "join a container's main process", _attach, ident_option),
    Command("appcontainer top", "list a container's processes", _top, _top_options, TABLE),
    Command("appcontainer stats", "show what containers use", _stats, _stats_options, TABLE),
    Command("appcontainer events", "show status changes as they happen", _events, _events_options),
)
