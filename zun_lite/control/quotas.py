# SPDX-License-Identifier: Apache-2.0
"""How much a project may have: its own limits, else those of the class default, else the configuration's.

Whoever accepts a change asks limits_of() within the transaction that accepts it, with the project
held, so that no two changes pass a limit together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import sqlalchemy as sa

from zun_lite.control.means import Means
from zun_lite.db import quotas, revisions, workloads
from zun_lite.domain.resources import Limits, Resources


def limits_of(tx: sa.Connection, means: Means, project_id: str) -> Limits:
    """What holds for the project now."""
    return merged(means.limits, {**quotas.of_class(tx, quotas.DEFAULT_CLASS), **quotas.of_project(tx, project_id)})


def merged(limits: Limits, given: Mapping[str, int]) -> Limits:
    return replace(limits, **given)


def show(means: Means, project_id: str) -> tuple[Limits, tuple[int, Resources]]:
    """A project's limits, and how many containers it has and what they claim."""
    with means.db.read() as tx:
        return limits_of(tx, means, project_id), workloads.usage_of_project(tx, project_id)


def defaults(means: Means) -> Limits:
    """The limits of a project that has none of its own."""
    return show_class(means, quotas.DEFAULT_CLASS)


def show_class(means: Means, name: str) -> Limits:
    with means.db.read() as tx:
        return merged(means.limits, quotas.of_class(tx, name))


def change(means: Means, project_id: str, given: Mapping[str, int]) -> Limits:
    """Set limits of a project; what it has above them it keeps, but gets no more. Answers what holds now."""

    def work(tx: sa.Connection) -> Limits:
        revisions.raise_one(tx, revisions.project(project_id))
        quotas.set_for_project(tx, project_id, given)
        return limits_of(tx, means, project_id)

    return means.db.transact(work)


def change_class(means: Means, name: str, given: Mapping[str, int]) -> Limits:
    def work(tx: sa.Connection) -> Limits:
        quotas.set_for_class(tx, name, given)
        return merged(means.limits, quotas.of_class(tx, name))

    return means.db.transact(work)


def reset(means: Means, project_id: str) -> None:
    """The project has no limits of its own any more; fine to say twice."""
    means.db.transact(lambda tx: quotas.reset_project(tx, project_id))
