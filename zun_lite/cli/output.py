# SPDX-License-Identifier: Apache-2.0
"""How `zl` shows tables and records: for people, or -f json, yaml, csv, value."""

from __future__ import annotations

import sys

from zun_lite.cli.command import Table
from zun_lite.cli.screen import cell, coloured, fitted, lined, width_of_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMATS = ("table", "json", "yaml", "csv", "value")


def show(found: Table | dict[str, Any], form: str, columns: list[str] | None, *, fit_width: bool) -> None:
    table = _table(found)
    if columns:
        known = [column for column in table.columns if column in columns]
        at = [list(table.columns).index(column) for column in known]
        table = Table(known, [[row[position] for position in at] for row in table.rows])
    is_record = isinstance(found, dict)
    if form in ("json", "yaml"):
        items = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        _dump(items[0] if is_record else items, form)
    elif form == "csv":
        import csv

        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerows([table.columns, *([cell(value) for value in row] for row in table.rows)])
    elif form == "value":
        for row in table.rows:
            print("\n".join(map(cell, row)) if is_record else " ".join(map(cell, row)))
    elif is_record:
        width = max((len(column) for column in table.columns), default=0)
        room = width_of_terminal() if fit_width else 0
        for column, value in zip(table.columns, table.rows[0], strict=True):
            for number, line in enumerate(value.split("\n") if isinstance(value, str) else [value]):
                print(fitted(f"{('' if number else column).ljust(width)}  {cell(line)}".rstrip(), room))
    else:
        _print_table(table, fit_width)


def _print_table(table: Table, fit_width: bool) -> None:
    wide = width_of_terminal() if fit_width or sys.stdout.isatty() else 0
    lines = lined(table.columns, table.rows, wide)
    print(lines[0])
    at = list(table.columns).index("status") if "status" in table.columns else None
    for line, row in zip(lines[1:], table.rows, strict=True):
        status = str(row[at]) if at is not None else ""
        shown = coloured(status, sys.stdout)
        print(line.replace(f"  {status}", f"  {shown}", 1) if status and shown != status else line)


def _table(found: Table | dict[str, Any]) -> Table:
    return Table(list(found), [list(found.values())]) if isinstance(found, dict) else found


def _dump(found: Any, form: str) -> None:
    if form == "yaml":
        import yaml

        yaml.safe_dump(found, sys.stdout, sort_keys=False, allow_unicode=True)
    else:
        import json

        json.dump(found, sys.stdout, indent=2)
        print()
