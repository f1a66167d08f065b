# SPDX-License-Identifier: Apache-2.0
"""What a command is, for whichever program shows it: its words, its options, its work, and the shape of its answer."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from zun_lite.cli.session import Session

# no answer but what was printed; a table; one record
PLAIN, TABLE, RECORD = "plain", "table", "record"


@dataclass(frozen=True)
class Table:
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Command:
    """words: as the openstack command has them. run answers a Table, a dict, or the exit status, by its shape."""

    words: str
    help: str
    run: Callable[[Session, Namespace], Any]
    configure: Callable[[ArgumentParser], None] = lambda parser: None
    shape: str = PLAIN


def table_of(found: Sequence[dict[str, Any]], columns: Sequence[str]) -> Table:
    """Some keys of some records."""
    return Table(columns, [[item.get(column) for column in columns] for item in found])
