# SPDX-License-Identifier: Apache-2.0
"""Every command, option, file and setting that a document names is there.

Read are the README, docs/ and the DevStack plugin's page: what is indented or fenced, and what stands in backquotes.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import shlex
import unittest
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from keystoneauth1 import loading
from keystonemiddleware import opts as keystonemiddleware

from tests.clients.runner import venv
from zun_lite.cli import table
from zun_lite.cmd import audit, installation, manage, up, zl
from zun_lite.common import config

TOP = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = (TOP / "README.md", *sorted((TOP / "docs").glob("*.md")), TOP / "devstack" / "README.md")
PARSERS = {"zun-lite": up._parser, "zun-lite-manage": manage.parser, "zun-lite-audit": audit._parser}
STATE_DIR = "/var/lib/zun_lite"
OF_OSLO_LOG = {"use_syslog", "use_json"}
# Of Zun's own configuration.
FOREIGN_SETTINGS = {("DEFAULT", "auth_encryption_key")}
_PROGRAM = re.compile(r"(?:\S*/)?(zun-lite(?:-manage|-audit|-status)?|zl|openstack|make)")
_ENDS = {"|", "||", "&&", ";", ">", "<", "&", "$("}
_SECTION = re.compile(r"\[(\w+)\]")
_SETTING = re.compile(r"\[(\w+)\] ([a-z0-9_]+)")
_UNIT = re.compile(r"zun-lite[a-z-]*\.service")
_FILE = re.compile(r"(?:docs|etc|tests|zun_lite|devstack|api-ref|releasenotes)/[\w./-]*")
_IN_STATE_DIR = re.compile(rf"(?:STATE_DIR|{STATE_DIR})/([\w./-]+)")


def code(path: Path) -> Iterator[str]:
    """The lines that stand for themselves; those that end with a backslash go on in the next one."""
    fenced, begun = False, ""
    for line in path.read_text().splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            begun += line.strip().removeprefix("$ ")
            if begun.endswith("\\"):
                begun = begun[:-1]
            else:
                yield begun
                begun = ""


def spans(path: Path) -> Iterator[str]:
    """What stands in backquotes, also over the end of a line."""
    prose, fenced = [], False
    for line in path.read_text().splitlines():
        fenced ^= line.startswith("```")
        if not (fenced or line.startswith(("    ", "```"))):
            prose.append(line)
    return (" ".join(found.split()) for found in re.findall(r"`([^`]+)`", "\n".join(prose)))


def commands(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Program and words of each command of ours, the stock client's and make's."""
    for text in (*code(path), *spans(path)):
        lexer = shlex.shlex(text.replace('"$(', "; ").replace("$(", "; ").replace(')"', " ;"), posix=True)
        lexer.whitespace_split, lexer.commenters = True, "#"
        try:
            words = [word for token in lexer for word in (re.split(r"(;)", token) if ";" in token else [token]) if word]
        except ValueError:
            continue
        for begin, word in enumerate(words):
            program = _PROGRAM.fullmatch(word)
            if program and (begin == 0 or words[begin - 1] in _ENDS):
                end = next((n for n in range(begin, len(words)) if words[n] in _ENDS), len(words))
                yield program[1], [part.rstrip(").,") for part in words[begin + 1 : end]]


def unknown(parser: argparse.ArgumentParser, words: list[str]) -> list[str]:
    """Sub-commands and options among the words that a parser has not."""
    wrong = []
    for word in (part.strip("[]") for part in words):
        nested = next((action for action in parser._actions if isinstance(action, argparse._SubParsersAction)), None)
        if word == "--":
            break
        if word.startswith("-"):
            # -it is -i and -t
            short = re.fullmatch(r"-(\w{2,})", word)
            options = [f"-{letter}" for letter in short[1]] if short else [word.partition("=")[0]]
            wrong += [name for name in options if name not in parser._option_string_actions and name != "-"]
        elif nested is not None and word.islower():
            alternatives = word.split("|")
            wrong += [name for name in alternatives if name not in nested.choices]
            parser = nested.choices.get(alternatives[0], argparse.ArgumentParser())
    return wrong


@cache
def stock_commands() -> frozenset[str]:
    """By the entry points of the clients that the tests run, and of our own plugin."""
    found = {"complete", "help", "command list"}
    for site in venv().glob("lib/python3*/site-packages"):
        for distribution in importlib.metadata.distributions(path=[str(site)]):
            found |= {point.name for point in distribution.entry_points if point.group.startswith("openstack.")}
    if "server_list" not in found:
        raise AssertionError(f"no clients in {venv()}: make test-setup, or set CLIENTS_VENV")
    return frozenset(name.replace("_", " ") for name in found) | {command.words for command in table.every()}


@cache
def settings() -> frozenset[tuple[str, str]]:
    ours = [(section, option.name) for section, options in config.list_opts() for option in options]
    theirs = [option.name for _, options in keystonemiddleware.list_auth_token_opts() for option in options]
    theirs += [option.dest for option in loading.get_plugin_options("password")] + ["auth_type"]
    return frozenset([*ours, *(("keystone_authtoken", name.replace("-", "_")) for name in theirs)])


@cache
def source() -> str:
    return "\n".join(path.read_text() for path in (TOP / "zun_lite").rglob("*.py"))


class DocumentsTest(unittest.TestCase):
    maxDiff = None

    def hold(self, look) -> None:
        for path in DOCUMENTS:
            with self.subTest(str(path.relative_to(TOP))):
                self.assertEqual([], list(look(path)))

    def test_our_commands_and_their_options(self):
        def look(path: Path) -> Iterator[str]:
            for program, words in commands(path):
                if program in PARSERS:
                    wrong = unknown(PARSERS[program](), words)
                elif program == "zun-lite-status":
                    wrong = words if words not in ([], ["upgrade", "check"]) else []
                elif program == "zl":
                    found = table.find(words) if words and words[0] not in ("complete", "...") else None
                    wrong = unknown(zl._parser(found[0]), found[1]) if found else words[:1]
                    wrong = [word for word in wrong if word not in ("complete", "-h")]
                else:
                    continue
                if wrong:
                    yield f"{program} {' '.join(words)}: {wrong}"

        self.hold(look)

    def test_the_stock_clients_commands(self):
        def look(path: Path) -> Iterator[str]:
            for program, words in commands(path):
                named = " ".join(words[2:] if words[:1] == ["--os-cloud"] else words)
                if program != "openstack" or not named.partition(" ")[0].islower() or "|" in named or "..." in named:
                    continue
                # a command with what it is given, or the noun of several
                if not any(
                    f"{named} ".startswith(f"{one} ") or one.startswith(f"{named} ") for one in stock_commands()
                ):
                    yield named

        self.hold(look)

    def test_makes_targets(self):
        targets = set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(), re.M))

        def look(path: Path) -> Iterator[str]:
            for program, words in commands(path):
                if program == "make" and words and words[0] not in targets:
                    yield f"make {words[0]}"

        self.hold(look)

    def test_settings(self):
        sections = {section for section, _ in settings()}

        def look(path: Path) -> Iterator[str]:
            for text in spans(path):
                named = _SETTING.match(text)
                if named and named.groups() not in settings() | FOREIGN_SETTINGS:
                    yield text
            section = ""
            for line in code(path):
                heading = _SECTION.fullmatch(line.partition(" #")[0].rstrip())
                section = heading[1] if heading else section
                option = re.match(r"(\w+) = ", line)
                if heading and section not in sections:
                    yield line
                if option and section in sections and (section, option[1]) not in settings():
                    yield f"[{section}] {option[1]}"

        self.hold(look)

    def test_names_of_settings_and_fields_are_words_of_the_code(self):
        def look(path: Path) -> Iterator[str]:
            for text in spans(path):
                if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)+", text) or text in OF_OSLO_LOG:
                    continue
                # a metric's name begins with the project's
                if not re.search(rf"\b{text}\b|\b{text.removeprefix('zun_lite_')}\b", source()):
                    yield text

        self.hold(look)

    def test_files_of_the_tree(self):
        def look(path: Path) -> Iterator[str]:
            for text in (*spans(path), *(word for line in code(path) for word in line.split())):
                if _FILE.fullmatch(text) and not (TOP / text).exists() and text != "api-ref/build":
                    yield text
                if _UNIT.fullmatch(text) and not (TOP / "etc" / "systemd" / text).exists():
                    yield text

        self.hold(look)

    def test_files_of_an_installation(self):
        conf = config.load([], state_dir=STATE_DIR)
        here = installation.Installation(STATE_DIR)
        named = [str(conf[group][option]) for group, option in settings() if group in conf and option in conf[group]]
        named += [here.config_file, here.clouds_file, here.runtime_path, conf.database.connection, here.path("log")]
        known = {path.partition(f"{STATE_DIR}/")[2] for path in named}
        known |= {*installation._FOLDERS, "zun_lite.sqlite"}

        def look(path: Path) -> Iterator[str]:
            for text in (*spans(path), *code(path)):
                for found in _IN_STATE_DIR.findall(text):
                    if found.rstrip("./") not in known and not found.startswith("log/"):
                        yield found

        self.hold(look)


if __name__ == "__main__":
    unittest.main()
