# SPDX-License-Identifier: Apache-2.0
"""What is wrong with configuration files, as one sentence an operator can act on.

Knows the options that it is given and the files that were read; reads no values for anybody.
A value that is secret is never repeated.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from oslo_config import cfg, types

from zun_lite.domain import errors

Groups = Mapping[str | None, Sequence[cfg.Opt]]
FOREIGN = frozenset({"keystone_authtoken", "oslo_middleware", "cors"})
"""Sections that belong to libraries, which check them themselves."""
_ANYTHING = "what this option takes"


def check(conf: cfg.ConfigOpts, groups: Groups) -> None:
    """Invalid, naming file, section, option and remedy, for the first thing that no program would understand."""
    for path in conf.config_file or ():
        _check_file(path, groups)
    for group, options in groups.items():
        for option in options:
            _check_value(conf, group, option)


def unreadable(error: cfg.Error | UnicodeDecodeError, files: Sequence[str]) -> errors.Invalid:
    """What to say of files, some of these, that could not be read at all."""
    if isinstance(error, UnicodeDecodeError):
        return errors.Invalid(f"{' or '.join(files)}: it is not text in UTF-8 ({error}); write it anew.")
    if isinstance(error, cfg.ConfigFilesNotFoundError):
        return errors.Invalid(
            f"{', '.join(error.config_files)}: there is no such configuration file; make it (its sample is "
            "etc/zun_lite/zun_lite.conf.sample), or correct --config-file or ZUN_LITE_CONFIG."
        )
    if isinstance(error, cfg.ConfigFilesPermissionDeniedError):
        return errors.Invalid(
            f"{', '.join(error.config_files)}: this user may not read that file; run as root, or as who owns it."
        )
    if isinstance(error, cfg.ConfigFileParseError):
        try:
            cfg.ConfigParser(error.config_file, {}).parse()
        except cfg.ParseError as where:
            return errors.Invalid(
                f"{error.config_file}, line {where.lineno}: {where.msg}: {where.line.strip()!r}; lines are "
                "`[section]`, `option = value` or `# comment`."
            )
    return errors.Invalid(f"The configuration cannot be read: {' '.join(str(error).split())}.")


def _check_file(path: str, groups: Groups) -> None:
    sections: dict[str, dict[str, list[str]]] = {}
    cfg.ConfigParser(path, sections).parse()
    known = {group or "DEFAULT": {option.dest: option for option in options} for group, options in groups.items()}
    for section, said in sections.items():
        if section in FOREIGN:
            continue
        if section not in known:
            raise errors.Invalid(f"{path}: there is no section [{section}]; {_nearest_section(section, known)}")
        for name in said:
            if name.replace("-", "_") not in known[section]:
                remedy = _nearest_option(name, section, known)
                raise errors.Invalid(f"{path}: section [{section}] has no option {name}; {remedy}")


def _check_value(conf: cfg.ConfigOpts, group: str | None, option: cfg.Opt) -> None:
    section = group or "DEFAULT"
    try:
        conf[group][option.dest] if group else conf[option.dest]
    except (cfg.Error, ValueError) as error:
        where, said = _place(conf, section, option)
        shown = "" if option.secret or said is None else f" = {said}"
        raise errors.Invalid(
            f"{where}: [{section}] {option.dest}{shown} is not {wanted(option)}; correct it, or leave the line out "
            f"for {_default(option)}."
        ) from error


def _place(conf: cfg.ConfigOpts, section: str, option: cfg.Opt) -> tuple[str, str | None]:
    """Where an option's value comes from, the last of the files that have it, and what is written there."""
    variable = f"OS_{section}__{option.dest}".upper()
    if variable in os.environ:
        return f"the environment's {variable}", os.environ[variable]
    for path in reversed(conf.config_file or ()):
        sections: dict[str, dict[str, list[str]]] = {}
        cfg.ConfigParser(path, sections).parse()
        said = sections.get(section, {}).get(option.dest)
        if said:
            return path, said[-1]
    return "the configuration", None


def wanted(option: cfg.Opt) -> str:
    """What an option takes, as the end of a sentence."""
    return _meaning(option.type)


def _meaning(kind: Any) -> str:
    if isinstance(kind, types.Boolean):
        return "true or false"
    if isinstance(kind, types.Port):
        return "a port number (0 to 65535)"
    if isinstance(kind, types.Integer | types.Float):
        word = "a whole number" if isinstance(kind, types.Integer) else "a number"
        if kind.min is not None and kind.max is not None:
            return f"{word} from {kind.min:g} to {kind.max:g}"
        if kind.min is not None:
            return f"{word} of at least {kind.min:g}"
        return word
    if isinstance(kind, types.HostAddress):
        return "an IP address or a host's name"
    if isinstance(kind, types.URI):
        return "a URL that begins with http:// or https://"
    if isinstance(kind, types.List):
        entries = _meaning(kind.item_type)
        each = "" if entries == _ANYTHING else f", each {entries}"
        return f"a list with commas between its entries{each}"
    if isinstance(kind, types.String):
        if kind.choices:
            return f"one of {', '.join(str(choice) for choice in kind.choices)}"
        if kind.regex:
            return f"text that matches {kind.regex.pattern}"
    return _ANYTHING


def _default(option: cfg.Opt) -> str:
    return "its default" if option.default is None else f"its default, {option.default}"


def _nearest_section(section: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(section, names, 1)
    if near:
        return f"did you mean [{near[0]}]?"
    return f"the sections are {', '.join(f'[{name}]' for name in names)}."


def _nearest_option(name: str, section: str, known: Mapping[str, Mapping[str, cfg.Opt]]) -> str:
    elsewhere = sorted(other for other, options in known.items() if name in options)
    if elsewhere:
        return f"it belongs in {' or '.join(f'[{other}]' for other in elsewhere)}."
    near = difflib.get_close_matches(name, list(known[section]), 1)
    if near:
        return f"did you mean {near[0]}?"
    return "take the line out, or look the option up in etc/zun_lite/zun_lite.conf.sample."
