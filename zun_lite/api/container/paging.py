# SPDX-License-Identifier: Apache-2.0
"""The paging that every list of the container API has: limit, marker, sort_key, sort_dir, and `next`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from zun_lite.api.container import parameters
from zun_lite.db.listing import Page
from zun_lite.domain import errors


@dataclass(frozen=True)
class Asked:
    """Which page a request wants. marker: the last item of the page before."""

    limit: int
    marker: str | None
    sort_key: str
    descending: bool

    @property
    def sort_dir(self) -> str:
        return "desc" if self.descending else "asc"

    @property
    def page(self) -> Page:
        """The same, for who reads records by their columns' names."""
        return Page(limit=self.limit, marker=self.marker, order=((self.sort_key, self.descending),))


def read(query: Mapping[str, Any], sort_keys: Collection[str], *, usual: str, most: int) -> Asked:
    """usual: the key to sort by when none is named. most: the longest page."""
    limit = min(parameters.integer(dict(query), "limit", least=1, most=2**31) or most, most)
    sort_key, sort_dir = query.get("sort_key") or usual, query.get("sort_dir") or "asc"
    if sort_key not in sort_keys:
        known = ", ".join(sorted(sort_keys))
        raise errors.Invalid(f"sort_key must be one of {known}, not '{sort_key}'.", kind="InvalidValue")
    if sort_dir not in ("asc", "desc"):
        raise errors.Invalid(f"sort_dir must be asc or desc, not '{sort_dir}'.", kind="InvalidValue")
    return Asked(limit, query.get("marker") or None, sort_key, sort_dir == "desc")


def cut(items: list[dict[str, Any]], asked: Asked, *, tie: str) -> list[dict[str, Any]]:
    """The page of a list that is small enough to be sorted here; tie is the key that tells items apart.

    Items that lack what is sorted by come last.
    """
    having = [item for item in items if item[asked.sort_key] is not None]
    lacking = [item for item in items if item[asked.sort_key] is None]
    having.sort(key=lambda item: (item[asked.sort_key], item[tie]), reverse=asked.descending)
    lacking.sort(key=lambda item: item[tie], reverse=asked.descending)
    ordered = having + lacking
    if asked.marker is None:
        return ordered[: asked.limit]
    for number, item in enumerate(ordered):
        if item[tie] == asked.marker:
            return ordered[number + 1 : number + 1 + asked.limit]
    raise errors.NotFound(f"The marker {asked.marker} is not in this list; start again without one.")


def following(url: str, asked: Asked, marks: Sequence[str], kept: Mapping[str, Any] | None = None) -> str | None:
    """The URL of the next page; None when this one is not full.

    marks: what each item of the page would be as a marker. kept: filters to be asked again.
    """
    if len(marks) < asked.limit:
        return None
    paging = {"sort_key": asked.sort_key, "sort_dir": asked.sort_dir, "limit": asked.limit, "marker": marks[-1]}
    return f"{url}?{urlencode({**(kept or {}), **paging})}"
