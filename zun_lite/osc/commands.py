# SPDX-License-Identifier: Apache-2.0
"""Our commands in the form that the `openstack` command loads: one class each, by the name of its entry point.

`appcontainer_list` is the command `appcontainer list`. What a command does is zun_lite/cli's; cliff gives it
its formatters (-f, -c, --fit-width, --max-width), help and completion.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from osc_lib import exceptions
from osc_lib.command import command as osc

from zun_lite.cli.command import PLAIN, RECORD, TABLE, Command, Table
from zun_lite.cli.failures import Ended, Failure
from zun_lite.cli.screen import harmless
from zun_lite.cli.table import every, find

_BASES = {PLAIN: osc.Command, TABLE: osc.Lister, RECORD: osc.ShowOne}


def __getattr__(name: str) -> Any:
    """The class of a command, for entry points: its words with underscores between them."""
    if name.startswith(("appcontainer_", "capsule_")):
        return globals().setdefault(name, _late(name))
    raise AttributeError(f"there is no command {name!r} in {__name__}")


def _late(name: str) -> type:
    """Stands for a command's class until one is made of it: cliff loads every command there is to run one of them."""

    class Late:
        # cliff looks at what a class takes before it makes one
        def __init__(self, app: Any, app_args: Any, cmd_name: str | None = None) -> None:
            """Never called, as what is made is of another class."""

        def __new__(cls, app: Any, app_args: Any, cmd_name: str | None = None) -> Any:
            return _class_of(_find(name))(app, app_args, cmd_name)

    Late.__name__ = name
    Late.__module__ = __name__
    return Late


def _find(name: str) -> Command:
    found = find(name.split("_"))
    # the long way, which reads all modules, is for words with a hyphen
    for command in [found[0]] if found and not found[1] else every():
        if command.words.replace(" ", "_").replace("-", "_") == name:
            return command
    raise AttributeError(f"there is no command {name!r} in {__name__}")


def _class_of(command: Command) -> Any:
    base: Any = _BASES[command.shape]

    class Shown(base):
        def get_parser(self, prog_name: str) -> ArgumentParser:
            parser: ArgumentParser = super().get_parser(prog_name)
            command.configure(parser)
            return parser

        def take_action(self, parsed_args: Namespace) -> Any:
            try:
                found = command.run(self.app.client_manager.zun_lite, parsed_args)
            except Failure as error:
                raise exceptions.CommandError(harmless(str(error))) from error
            except Ended as ended:
                sys.exit(ended.code)
            except KeyboardInterrupt:
                sys.exit(130)
            except BrokenPipeError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                sys.exit(0)
            return _in_form_of_cliff(found, for_people=getattr(parsed_args, "formatter", "") == "table")

    Shown.__doc__ = command.help[0].upper() + command.help[1:]
    Shown.__name__ = command.words.title().replace(" ", "").replace("-", "")
    Shown.__module__ = __name__
    return Shown


def _in_form_of_cliff(found: Any, *, for_people: bool) -> Any:
    if isinstance(found, Table):
        return found.columns, [[_value(value, for_people) for value in row] for row in found.rows]
    if isinstance(found, dict):
        return list(found), [_value(value, for_people) for value in found.values()]
    return found


def _value(value: Any, for_people: bool) -> Any:
    if for_people and isinstance(value, str):
        return harmless(value)
    return value
