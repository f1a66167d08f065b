# SPDX-License-Identifier: Apache-2.0
"""By which request something is done: its ids, for log lines and for whoever is asked on its behalf.

They go with the thread or the task that works for the request (a context variable), so that nothing between
the edge and the place where another service is asked has to carry them. The rules are those of
oslo.middleware and oslo.context: each service gives a request an id of its own and answers with it; an id that came
along in the header, and has the form of one, is the global one, by which all services know the same work.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass

HEADER = "X-Openstack-Request-Id"
_FORM = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class RequestIds:
    """own: this service's; given: the global one, that came along. Either is empty where there is none."""

    own: str = ""
    given: str = ""

    @property
    def passed_on(self) -> str:
        """The id by which other services are to know the request."""
        return self.given or self.own


NOBODYS = RequestIds()
_current: ContextVar[RequestIds] = ContextVar("request_ids", default=NOBODYS)


def current() -> RequestIds:
    """Of the request that this thread or task works for."""
    return _current.get()


def begin(ids: RequestIds) -> None:
    """Work for this request from now on; for a server, that goes from one to the next."""
    _current.set(ids)


@contextlib.contextmanager
def working_for(request_id: str | None) -> Iterator[None]:
    """Work for a request that another program took in, known by the id that it passed on."""
    before = _current.set(RequestIds(given=request_id or ""))
    try:
        yield
    finally:
        _current.reset(before)


def as_given(text: object) -> str:
    """The id that came along; empty where it has not the form of one, whatever else it is."""
    return text if isinstance(text, str) and _FORM.fullmatch(text) else ""


class PassedOn(Mapping[str, str]):
    """The header that tells another service, as keystoneauth's sessions take it: read anew for each request."""

    def __getitem__(self, name: str) -> str:
        found = current().passed_on
        if name != HEADER or not found:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter((HEADER,) if current().passed_on else ())

    def __len__(self) -> int:
        return len(tuple(iter(self)))
