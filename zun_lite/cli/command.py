# SPDX-License-Identifier: Apache-2.0
"""What a command is, for whichever program shows it: its words, its options, its work, and the shape of its answer."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Sequence
    from typing import Any

    from zun_lite.cli.session import Session

# no answer but what was printed; a table; one record
PLAIN, TABLE, RECORD = "plain", "table", "record"


class Table:
    def __init__(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self.columns = columns
        self.rows = rows


class Command:
    """words: as the openstack command has them. run answers a Table, a dict, or the exit status, by its shape."""

    def __init__(
        self,
        words: str,
        help: str,
        run: Callable[[Session, Namespace], Any],
        configure: Callable[[ArgumentParser], None] = lambda parser: None,
        shape: str = PLAIN,
    ) -> None:
        self.words = words
        self.help = help
        self.run = run
        self.configure = configure
        self.shape = shape


def table_of(found: Sequence[dict[str, Any]], columns: Sequence[str]) -> Table:
    """Some keys of some records."""
    return Table(columns, [[item.get(column) for column in columns] for item in found])
