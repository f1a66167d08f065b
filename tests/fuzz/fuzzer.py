# SPDX-License-Identifier: Apache-2.0
"""Sends what Schemathesis makes of an OpenAPI document, as several people, and judges every answer.

Each request is somebody's: an administrator's, a member's, nobody's. Some of what it names is there (pool.py), and a
part is broken beyond what a schema can say: no JSON, another media type, another method.
"""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks

from tests.fuzz import documents
from tests.fuzz.pool import Pool
from zun_lite.api import versions
from zun_lite.api.idempotency import HEADER as IDEMPOTENCY_HEADER
from zun_lite.api.media import JSON

LIMIT_SECONDS = 30.0
SENDERS = 4
BROKEN = 0.04
CHECKS = [checks.status_code_conformance, checks.content_type_conformance]
JUNK = (
    b"", b"{", b"null", b"[]", b"\xff\xfe", b'"x"', b'{"a": 1e999}', b"{}" * 2, b"[" * 2000, b'{"a": "\\u0000"}',
    b'{"a": "\\ud800"}', b"\x00", b'{"a": NaN}', b"a=b&c=d", b'{"a": 1, "a": 2}', b"-", b"9" * 400,
)  # fmt: skip
MEDIA = (JSON, "application/json; charset=utf-16", "text/plain", "application/x-www-form-urlencoded", "", "x", "a/b;=")
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND")


@schemathesis.serializer(documents.PATCH)
def _patch(ctx: Any, value: Any) -> dict[str, Any]:
    return {"data": json.dumps(value).encode()}


@dataclass
class Tally:
    """What was answered: how often which status, and what was wrong, the first example of each kind.

    operations: those that were asked; granted: those that did at least once what was asked.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    operations: set[str] = field(default_factory=set)
    granted: set[str] = field(default_factory=set)
    findings: dict[str, str] = field(default_factory=dict)
    slowest_seconds: float = 0.0

    @property
    def count(self) -> int:
        return self.statuses.total()

    def note(self, kind: str, example: str) -> None:
        self.findings.setdefault(kind, example)

    def __str__(self) -> str:
        by_status = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        said = [f"{kind}\n    {example}" for kind, example in sorted(self.findings.items())]
        head = f"{self.count} requests to {len(self.operations)} operations, {by_status}"
        return "\n".join([f"{head}; the slowest took {self.slowest_seconds:.2f} s", *said])


class Fuzzer:
    """document: what to make requests of. tokens: whose they are, None for nobody's, each as likely as it is often.

    Schemas of answers are taken for those of the newest microversion. tally and pool may be shared by several.
    at_a_time: how many are made for one operation before the next has its turn.
    """

    def __init__(
        self, document: dict[str, Any], url: str, tokens: list[str | None], tally: Tally, pool: Pool,
        *, at_a_time: int = 10,
    ) -> None:  # fmt: skip
        self._schema = schemathesis.openapi.from_dict(document)
        self._url = url
        self._tokens = tokens
        self._tally = tally
        self._pool = pool
        self._at_a_time = at_a_time
        self._session = requests.Session()
        self._session.trust_env = False
        self._dice = random.Random(0)
        self._operations = [found.ok() for found in self._schema.get_all_operations()]
        self._strategies: dict[tuple[str, GenerationMode], st.SearchStrategy[Case]] = {}

    def run(self, count: int, number: int = 0, each: Callable[[], None] = lambda: None) -> None:
        """Send at least so many requests; number: another one makes others. each: called now and then."""
        self._dice = random.Random(number)
        aim = self._tally.count + count
        while self._tally.count < aim:
            self._dice.shuffle(self._operations)
            for operation in self._operations:
                for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                    self._send_some(operation, mode, self._dice.randrange(2**32))
                if self._tally.count >= aim:
                    break
                each()

    def _send_some(self, operation: Any, mode: GenerationMode, number: int) -> None:
        key = (operation.label, mode)
        if key not in self._strategies:
            self._strategies[key] = operation.as_strategy(generation_mode=mode)

        @seed(number)
        @settings(
            max_examples=self._at_a_time, database=None, phases=[Phase.generate], deadline=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(self._strategies[key])
        def one(case: Case) -> None:
            # made at some cost, a request is sent by several people, each with other objects in it
            made = (dict(case.path_parameters or {}), case.query, case.body, case.headers)
            for _ in range(SENDERS):
                case.path_parameters, case.query, case.body, case.headers = dict(made[0]), *made[1:]
                self._send(case, self._dice)

        # what takes nothing cannot be asked wrongly
        with contextlib.suppress(Unsatisfiable):
            one()

    def _send(self, case: Case, dice: random.Random) -> None:
        for name in case.path_parameters:
            ident = self._pool.for_parameter(case.operation.path, name, dice) if dice.random() < 0.7 else None
            if ident is not None:
                case.path_parameters[name] = ident
        if dice.random() < 0.7:
            case.query = self._pool.sprinkle(self._pool.likely(case.query, dice), dice, 0.5)
            case.body = self._pool.sprinkle(self._pool.calm(case.body, dice), dice, 0.8)
        # whose a request is, is said below; a key for repeating it is right only now and then
        kept = {"x-auth-token"} if dice.random() < 0.3 else {"x-auth-token", IDEMPOTENCY_HEADER.lower()}
        case.headers = {name: value for name, value in (case.headers or {}).items() if name.lower() not in kept}
        headers = self._headers(dice)
        broken = dice.random() < BROKEN
        began = time.monotonic()
        try:
            if broken:
                answer = self._send_broken(case, headers, dice)
            else:
                answer = case.call(self._url, self._session, headers, timeout=LIMIT_SECONDS, allow_redirects=False)
        except requests.RequestException as error:
            self._tally.note(f"{case.operation.label}: no answer, {type(error).__name__}", repr(error)[:300])
            return
        self._tally.slowest_seconds = max(self._tally.slowest_seconds, time.monotonic() - began)
        self._tally.statuses[answer.status_code] += 1
        self._tally.operations.add(case.operation.label)
        if answer.status_code < 300:
            self._tally.granted.add(case.operation.label)
        newest = headers.get(versions.HEADER, "").endswith((" latest", f" {versions.MAXIMUM}"))
        self._judge(case, answer, newest=newest, broken=broken)

    def _headers(self, dice: random.Random) -> dict[str, str]:
        headers: dict[str, str] = {}
        token = dice.choice(self._tokens)
        if token is not None:
            headers["X-Auth-Token"] = token
        which = dice.random()
        if which < 0.7:
            headers[versions.HEADER] = "container latest" if which < 0.5 else f"container {versions.MAXIMUM}"
        elif which < 0.9:
            headers[versions.HEADER] = f"container 1.{dice.randint(1, versions.MAXIMUM_MINOR)}"
        elif which < 0.95:
            headers[versions.HEADER] = dice.choice(
                ("", "x", "container", "container 1.0", "container 2.1", "container 1.99")
            )
        return headers

    def _send_broken(self, case: Case, headers: dict[str, str], dice: random.Random) -> requests.Response:
        sent = case.as_transport_kwargs(base_url=self._url, headers=headers)
        asked = {key: sent[key] for key in ("method", "url", "params", "headers") if key in sent}
        if dice.random() < 0.5:
            asked["method"] = dice.choice(METHODS)
        asked["headers"] = {**asked["headers"], "Content-Type": dice.choice(MEDIA)}
        return self._session.request(**asked, data=dice.choice(JUNK), timeout=LIMIT_SECONDS, allow_redirects=False)

    def _judge(self, case: Case, answer: Any, *, newest: bool, broken: bool) -> None:
        status, text = answer.status_code, answer.text or ""
        method = answer.request.method or ""
        label = case.operation.label
        example = f"{_command(answer.request)}\n    answered {status} {text[:400]}"
        if status >= 500:
            self._tally.note(f"{label}: {status}", example)
        elif status >= 400 and method != "HEAD" and not _is_told(answer):
            self._tally.note(f"{label}: {status} without a sentence in JSON", example)
        if broken:
            return
        if status < 300 and method == "POST" and text:
            self._pool.learn(case.operation.path, _json(text))
            self._pool.add("requests", answer.headers["x-openstack-request-id"][0])
        held = [*CHECKS, checks.response_schema_conformance] if newest else CHECKS
        try:
            case.validate_response(answer, checks=held)
        except FailureGroup as group:
            for failure in group.exceptions:
                self._tally.note(f"{label}: {status} {type(failure).__name__}", f"{example}\n    {_line(failure)}")


def _is_told(answer: Any) -> bool:
    """Whether a refusal is JSON with a sentence for whoever reads it."""
    kind = answer.headers.get("content-type", "")
    kind = kind[0] if isinstance(kind, list) else kind
    if not kind.startswith(JSON):
        return False
    body = _json(answer.text)
    return any(" " in said for said in _sentences(body))


def _sentences(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("message", "title", "detail") and isinstance(item, str):
                yield item
            yield from _sentences(item)
    elif isinstance(value, list):
        for item in value:
            yield from _sentences(item)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _line(failure: Exception) -> str:
    """What a check says, without the whole schema."""
    return " ".join(str(failure).partition("Validated against")[0].split())[:400]


def _command(request: Any) -> str:
    told = {name: value for name, value in request.headers.items() if name in (versions.HEADER, "Content-Type")}
    who = "with a token" if "X-Auth-Token" in request.headers else "without a token"
    return f"{request.method} {request.url} {told} {who} {(request.body or b'')[:1500]!r}"
