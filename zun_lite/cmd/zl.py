# SPDX-License-Identifier: Apache-2.0
"""zl: containers for daily use. `zl list` is `openstack appcontainer list`, and so on.

Starts quickly because it reads only what the command at hand needs; see cli/table.py.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, HelpFormatter, Namespace

from zun_lite.cli.command import PLAIN, Command
from zun_lite.cli.failures import Ended, Failure
from zun_lite.cli.screen import width_of_terminal
from zun_lite.cli.session import Session
from zun_lite.cli.table import NOUN, every, find

USAGE = """usage: zl [--os-cloud CLOUD] COMMAND ...

The commands below take -h. Which cloud: --os-cloud, OS_CLOUD, OS_AUTH_URL and the like, or the only one
of clouds.yaml. Tokens are kept for their time in ~/.cache/zun_lite (ZL_TOKEN_CACHE=off: not at all).
"""


def main() -> int:
    cloud, words = _cloud_first(sys.argv[1:])
    if words[:1] == ["complete"]:
        print(completion())
        return 0
    found = find(words) if words and not words[0].startswith("-") else None
    if found is None:
        print(USAGE + "\n" + "\n".join(f"  {name(command):24} {command.help}" for command in every()))
        return 0 if not words or words[0] in ("-h", "--help", "help") else 2
    command, rest = found
    try:
        args = _parser(command).parse_args(rest)
        return carry_out(command, args, cloud or args.os_cloud)
    except Ended as ended:
        return ended.code
    except Failure as error:
        print(f"zl: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def carry_out(command: Command, args: Namespace, cloud: str | None) -> int:
    found = command.run(_session(cloud), args)
    if command.shape == PLAIN:
        return int(found or 0)
    from zun_lite.cli.output import show

    show(found, args.format, args.column, fit_width=args.fit_width)
    return 0


def name(command: Command) -> str:
    return command.words.removeprefix(f"{NOUN} ")


def completion() -> str:
    """For bash: eval "$(zl complete)"."""
    names = " ".join(sorted({name(command).split(" ")[0] for command in every()}))
    return f"complete -W '{names}' zl"


def _cloud_first(words: list[str]) -> tuple[str | None, list[str]]:
    if words[:1] == ["--os-cloud"] and len(words) > 1:
        return words[1], words[2:]
    if words and words[0].startswith("--os-cloud="):
        return words[0].partition("=")[2], words[1:]
    return None, words


def _parser(command: Command) -> ArgumentParser:
    parser = ArgumentParser(
        prog=f"zl {name(command)}", description=command.help, allow_abbrev=False, formatter_class=_formatter
    )
    parser.add_argument("--os-cloud", metavar="CLOUD", help="the cloud, of clouds.yaml")
    if command.shape != PLAIN:
        parser.add_argument("--format", choices=("table", "json", "yaml", "csv", "value"), default="table")
        parser.add_argument(
            "-c", "--column", metavar="COLUMN", action="append", help="only this column; may be repeated"
        )
        parser.add_argument("--fit-width", action="store_true", help="no wider than the terminal")
    command.configure(parser)
    if command.shape != PLAIN and not any("-f" in action.option_strings for action in parser._actions):
        parser.add_argument("-f", dest="format", choices=("table", "json", "yaml", "csv", "value"), help="as --format")
    return parser


def _formatter(prog: str) -> HelpFormatter:
    # it would read a library to find out the width, even where it shows nothing
    return HelpFormatter(prog, width=width_of_terminal() - 2)


def _session(cloud_name: str | None) -> Session:
    from zun_lite.cli import clouds, tokens
    from zun_lite.cli.transport import Transport

    files = tokens.TokenFiles(tokens.folder_of(os.environ))
    traces = clouds.traces(cloud_name, os.environ)
    way = files.read_way(traces)
    if way is None:
        cloud = clouds.read(cloud_name, os.environ)
        way = tokens.Way(tokens.key_of(cloud), cloud.verify, cloud.cacert, cloud.api_version)
        files.write_way(traces, way)
    key = way.key
    transport = Transport(verify=way.verify, cacert=way.cacert)

    def take(anew: bool) -> tokens.Pass:
        kept = None if anew else files.read(key)
        if kept is None:
            kept = tokens.take(transport, clouds.read(cloud_name, os.environ))
            files.write(key, kept)
        return kept

    return Session(transport, take, way.api_version, lambda known: files.write(key, known))


if __name__ == "__main__":
    sys.exit(main())
