# SPDX-License-Identifier: Apache-2.0
"""Which command of the stock clients a test is about, and the table of all of them (docs/commands.md).

A test says it with @about("appcontainer stop"). Where the client itself is at fault, the test says in
`fault` how, asserts exactly that, and shows by a plain request that the server's answer is right.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.clients.runner import venv

TABLE = Path(__file__).resolve().parent.parent.parent / "docs" / "commands.md"
# The groups of entry points that hold every command of python-zunclient, and every one for networks.
PLUGIN = ("python-zunclient", "openstack.container.v1")
NETWORKING = ("python-openstackclient", "openstack.network.v2")
_MARK = "stock_commands"
Test = TypeVar("Test", bound=Callable[..., None])

_INTRODUCTION = """\
<!-- Made from the tests: ZUN_LITE_WRITE_DOCS=1 python -m unittest tests.functional.test_all_commands_table -->
# What OpenStack's stock commands do here

Each row is shown by tests that run the unmodified client against a whole cloud and look at the record and at
`docker inspect` afterwards, because python-zunclient exits with 0 on many failures. "The client's own fault" is
one that shows against any server; the test asserts its text and shows that the server answered well.
"""


@dataclass(frozen=True)
class Case:
    """One test of one command. Empty where the command works: fault, what the client itself does wrong;
    lacks, what this version has not for it; unserved, what it hears because the subset leaves it out."""

    command: str
    fault: str
    lacks: str
    unserved: str
    claim: str


def about(command: str, *more: str, fault: str = "", lacks: str = "", unserved: str = "") -> Callable[[Test], Test]:
    """Marks a test as a case of these commands."""

    def mark(test: Test) -> Test:
        claim = test.__name__.removeprefix("test_").replace("_", " ")
        cases = [Case(name, fault, lacks, unserved, claim) for name in (command, *more)]
        setattr(test, _MARK, [*getattr(test, _MARK, []), *cases])
        return test

    return mark


def cases() -> list[Case]:
    """Of every module test_all_commands_*.py beside this one."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("test_all_commands_*.py"))
    modules = [importlib.import_module(f"{__package__}.{name}") for name in names]
    found: list[Case] = []
    for module in modules:
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__:
                found += [case for test in vars(kind).values() for case in getattr(test, _MARK, [])]
    return found


def plugin_commands() -> list[str]:
    """Every command that python-zunclient adds to `openstack`, as it is typed."""
    return _commands_of(*PLUGIN)


def networking_commands() -> list[str]:
    """Every command for networks that python-openstackclient has."""
    return _commands_of(*NETWORKING)


def _commands_of(package: str, group: str) -> list[str]:
    (packages,) = (venv() / "lib").glob("python3*/site-packages")
    (found,) = importlib.metadata.distributions(name=package, path=[str(packages)])
    return sorted(point.name.replace("_", " ") for point in found.entry_points if point.group == group)


def table(known: Iterable[Case]) -> str:
    """The whole of docs/commands.md."""
    by_command: dict[str, list[Case]] = {}
    for case in known:
        by_command.setdefault(case.command, []).append(case)
    plugin, networking = plugin_commands(), networking_commands()
    others = sorted(set(by_command) - set(plugin) - set(networking))
    return "\n".join(
        [
            _INTRODUCTION,
            f"## python-zunclient: `openstack appcontainer` and `openstack capsule` ({len(plugin)} commands)",
            *_rows(plugin, by_command),
            "",
            f"## python-openstackclient's commands for networks ({len(networking)})",
            *_rows(networking, by_command),
            "",
            "## Other commands",
            *_rows(others, by_command),
            "",
        ]
    )


def _rows(commands: Iterable[str], by_command: dict[str, list[Case]]) -> list[str]:
    lines = ["| command | result | what the tests show |", "|---|---|---|"]
    for command in commands:
        found = by_command.get(command, [])
        faults = [f"the client's own fault: {case.fault}" for case in found if case.fault]
        faults += [f"not here yet: {case.lacks}" for case in found if case.lacks]
        faults += sorted({f"not served: {case.unserved}" for case in found if case.unserved})
        result = "; ".join(faults) or "works"
        lines.append(f"| `{command}` | {result} | {'; '.join(sorted({case.claim for case in found}))} |")
    return lines
