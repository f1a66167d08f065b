# SPDX-License-Identifier: Apache-2.0
"""The page of promises and the tests that carry their numbers say the same."""

from __future__ import annotations

import ast
import re
import unittest
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
PAGE = TESTS.parent / "docs" / "promises.md"
NUMBERS = {
    f"{letter}{number}"
    for letter, most in (("A", 14), ("B", 8), ("C", 10), ("D", 9), ("E", 7), ("F", 7))
    for number in range(1, most + 1)
}
_SAID = re.compile(r"[A-FS]\d+(?:, [A-FS]\d+)*(?=[.:])")


def promised() -> dict[str, tuple[set[str], str]]:
    """number → (names of tests, what is not shown), by the page."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and re.fullmatch(r"[A-F]\d+", cells[0]):
            found[cells[0]] = (set(re.findall(r"`([\w/]+:\w+)`", cells[2])), cells[3])
    return found


def carried() -> dict[str, set[str]]:
    """number → names of the tests whose first line says it."""
    found: dict[str, set[str]] = {}
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text()
        if '"""' not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                said = _SAID.match(ast.get_docstring(node) or "")
                for number in said.group().split(", ") if said else ():
                    if number in NUMBERS:
                        name = f"{path.relative_to(TESTS).with_suffix('')}:{node.name}"
                        found.setdefault(number, set()).add(name)
    return found


class PromisesTest(unittest.TestCase):
    def test_every_promise_names_the_tests_that_carry_its_number_and_no_others(self) -> None:
        page, tests = promised(), carried()
        self.assertEqual(NUMBERS, set(page))
        for number, (named, _) in sorted(page.items()):
            with self.subTest(number):
                self.assertEqual(named, tests.get(number, set()))

    def test_what_no_test_shows_has_its_reason(self) -> None:
        for number, (named, reason) in promised().items():
            self.assertTrue(named or reason, number)
        self.assertGreaterEqual(sum(1 for named, _ in promised().values() if named), 54)
