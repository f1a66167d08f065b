# SPDX-License-Identifier: Apache-2.0
"""zun-lite-manage project purge and db purge: what deleted projects and old times left behind."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from oslo_config import cfg

from zun_lite.cmd.means import build_means
from zun_lite.control import purge
from zun_lite.control.means import Means
from zun_lite.db import version
from zun_lite.domain import errors

LOOK_EVERY_SECONDS = 0.5


def project_purge(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Remove all that a deleted project left behind: containers, ports, networks, volumes, images, ..."""
    means = _means(conf)
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
    count = purge.forget_actions(_means(conf), arguments.older_than)
    print(f"{count} actions forgotten")


def add_project_parser(nouns: Any) -> None:
    project = nouns.add_parser("project", help="projects").add_subparsers(required=True, metavar="VERB")
    parser = project.add_parser("purge", help=project_purge.__doc__)
    parser.add_argument("project", metavar="PROJECT", help="the project's id")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and change nothing")
    parser.add_argument(
        "--wait", type=float, default=60.0, metavar="SECONDS", help="wait so long for hosts; default 60"
    )
    parser.add_argument("--existing", action="store_true", help="even though the project exists")
    parser.set_defaults(run=project_purge)


def add_db_purge_parser(verbs: Any) -> None:
    parser = verbs.add_parser("purge", help=db_purge.__doc__)
    parser.add_argument("--older-than", type=float, required=True, metavar="DAYS", help="ended so many days ago")
    parser.set_defaults(run=db_purge)


def _means(conf: cfg.ConfigOpts) -> Means:
    means = build_means(conf)
    means.db.reach()
    version.check(means.db)
    return means


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
