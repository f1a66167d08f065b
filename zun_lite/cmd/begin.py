# SPDX-License-Identifier: Apache-2.0
"""What every program does first: read its configuration and begin its log, or say in one line why it cannot."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from oslo_config import cfg

from zun_lite.common import config, log
from zun_lite.domain import errors


def configured(program: str, arguments: Sequence[str] = ()) -> cfg.ConfigOpts:
    """The configuration of a program whose log has begun. Ends the process where the configuration is wrong."""
    try:
        conf = config.load(arguments, prog=program)
        log.set_up(program, conf)
    except errors.ZunError as error:
        refuse(program, error)
    return conf


def refuse(program: str, error: errors.ZunError) -> NoReturn:
    """End with one line, and with the status by which systemd knows not to try again."""
    print(f"{program}: {error.message}", file=sys.stderr, flush=True)
    raise SystemExit(os.EX_CONFIG)
