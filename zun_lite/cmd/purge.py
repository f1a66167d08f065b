# SPDX-License-Identifier: Apache-2.0
"""zun-lite-manage project purge and db purge: what deleted projects and old times left behind."""

from __future__ import annotations

import argparse
import sys
import time

from oslo_config import cfg

from zun_lite.cmd.means import usable_means
from zun_lite.control import purge
from zun_lite.control.means import Means
from zun_lite.domain import errors

LOOK_EVERY_SECONDS = 0.5


def project_purge(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Remove all that a deleted project left behind: containers, ports, networks, volumes, images, ..."""
    means = usable_means(conf)
    project_id = arguments.project
    # What another Keystone knows is not asked, so that no project that goes on is emptied by mistake.
    goes_on = conf.identity.provider != "embedded" or purge.exists(means, project_id)
    if goes_on and not arguments.existing:
        raise errors.Conflict(
            f"Project {project_id} exists; delete it first, or say --existing to empty a project that goes on."
        )
    if arguments.dry_run:
        found = purge.leftovers(means, project_id)
        for leftover in found:
            print(f"{leftover}: would go")
        print(f"{len(found)} things are left of project {project_id}")
        return
    left = _purge(means, project_id, arguments.wait)
    if left:
        raise errors.Failed(
            f"{left} things of project {project_id} are still there after {arguments.wait:g} s; "
            "run this again, with a longer --wait, once their hosts answer."
        )
    print(f"nothing is left of project {project_id}")


def db_purge(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Forget the actions of containers that are gone, when they ended so many days ago."""
    if arguments.older_than < 0:
        raise errors.Invalid("--older-than must be at least 0 days.")
    count = purge.forget_actions(usable_means(conf), arguments.older_than)
    print(f"{count} actions forgotten")


def _purge(means: Means, project_id: str, wait_seconds: float) -> int:
    """Pass after pass until nothing is found or the time is over; each new sentence is said once."""
    deadline = time.monotonic() + wait_seconds
    said: set[str] = set()
    while True:
        found = list(purge.purge(means, project_id))
        for sentence in found:
            if sentence not in said:
                said.add(sentence)
                print(sentence, flush=True)
        left = len(purge.leftovers(means, project_id))
        if not left or time.monotonic() > deadline:
            sys.stdout.flush()
            return left
        time.sleep(LOOK_EVERY_SECONDS)
