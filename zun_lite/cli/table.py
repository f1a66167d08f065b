# SPDX-License-Identifier: Apache-2.0
"""All commands, by the module that has them: only that of the command that is wanted is read."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from zun_lite.cli.command import Command

_VERBS_OF = {
    "containers": (
        *("create", "list", "show", "set", "delete", "start", "stop", "restart", "pause", "unpause", "kill"),
        *("rebuild", "commit"),
    ),
    "looking": ("logs", "exec", "attach", "top", "stats", "events"),
    "moving": ("cp", "port-forward"),
    "running": ("run", "explain"),
}
MODULES = ("containers", "running", "looking", "moving", "cloudwide")
NOUN = "appcontainer"


def every() -> list[Command]:
    return [command for name in MODULES for command in _commands(name)]


def find(words: list[str]) -> tuple[Command, list[str]] | None:
    """The command that some words begin with, the noun `appcontainer` left out or not, and the words after it."""
    words = words[1:] if words[:1] == [NOUN] else words
    first = words[0] if words else ""
    modules = [name for name, verbs in _VERBS_OF.items() if first in verbs] or ["cloudwide"]
    for length in range(min(4, len(words)), 0, -1):
        said = " ".join(words[:length])
        for name in modules:
            for command in _commands(name):
                if said in (command.words, command.words.removeprefix(f"{NOUN} ")):
                    return command, words[length:]
    return None


def _commands(module: str) -> tuple[Command, ...]:
    found: tuple[Command, ...] = __import__(f"zun_lite.cli.{module}", fromlist=["COMMANDS"]).COMMANDS
    return found
