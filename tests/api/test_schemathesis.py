# SPDX-License-Identifier: Apache-2.0
"""Whatever Schemathesis makes of the API's own description, the answer is a described one and never a failure.

A sample; tests/chaos/test_schemathesis.py sends a hundred thousand. The faults that are planted here show what the
same judgement finds.
"""

from __future__ import annotations

import logging
import threading
from socketserver import ThreadingMixIn
from typing import Any
from unittest import mock
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import requests

from tests.api.case import ApiTestCase
from tests.fuzz import documents
from tests.fuzz.fuzzer import Fuzzer, Tally
from tests.fuzz.pool import Pool
from tests.fuzz.stand import FuzzCase
from zun_lite.api import app, openapi
from zun_lite.api.container import hosts
from zun_lite.domain import errors

MOST_GROWTH_MIB = 30.0


class SampleTest(FuzzCase):
    """A few hundred requests, the same ones each time."""

    of_container_api, of_services, number, at_a_time = 240, 100, 1, 3

    def test_no_request_breaks_the_api_and_every_answer_is_described(self) -> None:
        document = requests.get(f"{self.url}{openapi.PATH}", timeout=30).json()
        self.fuzz(document, self.of_container_api)

    def test_no_request_breaks_an_embedded_service(self) -> None:
        self.fuzz(documents.document(self.url), self.of_services)

    def fuzz(self, document: dict[str, Any], count: int) -> None:
        tally, pool = Tally(), Pool()
        memory: list[float] = []

        def look() -> None:
            """Now and then: furnish anew, for much is deleted, and see what the server has of memory."""
            if len(memory) < tally.count / (count / 10):
                self.furnish(pool)
                memory.append(self.memory_mib())

        people = [self.admin] * 4 + [self.demo] * 7 + [None, "gAAAAAnobody's"]
        self.furnish(pool)
        Fuzzer(document, self.url, people, tally, pool, at_a_time=self.at_a_time).run(count, self.number, look)
        said = f"{tally}\nMiB of memory: {memory}\n{''.join(self.said)}"
        self.assertEqual({}, tally.findings, said)
        self.assertGreaterEqual(tally.count, count, said)
        # in its first tenths the server fills its caches
        self.assertLess(max(memory[3:]) - memory[2], MOST_GROWTH_MIB, said)
        self.report(tally, memory)

    def report(self, tally: Tally, memory: list[float]) -> None:
        """For longer runs to tell what they saw."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        return


class PlantedFaultsTest(ApiTestCase):
    """The list of hosts fails in some way when it is asked for some pages."""

    def setUp(self) -> None:
        super().setUp()
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)

    def found(self, fault: Any) -> str:
        def broken(query: Any, *arguments: Any, **more: Any) -> Any:
            if len(query.get("marker") or "") > 3:
                return fault()
            return read(query, *arguments, **more)

        read = hosts.paging.read
        with make_server("127.0.0.1", 0, app.create_app(self.services), _Server, _Silent) as server:
            url = f"http://127.0.0.1:{server.server_port}"
            document = openapi.document(url)
            document["paths"] = {"/v1/hosts": document["paths"]["/v1/hosts"]}
            tally = Tally()
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                with mock.patch.object(hosts.paging, "read", broken):
                    Fuzzer(document, url, [self.token("admin")], tally, Pool()).run(80)
            finally:
                server.shutdown()
                thread.join()
        return "\n".join(tally.findings)

    def test_what_is_sound_is_not_blamed(self) -> None:
        self.assertEqual("", self.found(lambda: hosts.paging.read({}, ("hostname",), usual="hostname", most=5)))

    def test_a_failure_is_found(self) -> None:
        self.assertIn("GET /v1/hosts: 500", self.found(lambda: {}["planted"]))

    def test_a_status_that_is_not_described_is_found(self) -> None:
        def fault() -> None:
            raise errors.Conflict("Planted, and not described.")

        self.assertIn("GET /v1/hosts: 409 UndefinedStatusCode", self.found(fault))

    def test_a_refusal_without_a_sentence_is_found(self) -> None:
        def fault() -> None:
            raise errors.Invalid("no")

        self.assertIn("GET /v1/hosts: 400 without a sentence in JSON", self.found(fault))

    def test_an_answer_that_is_not_as_described_is_found(self) -> None:
        with mock.patch.object(hosts, "view", lambda report: {"uuid": 7, "hostname": "x"}):
            self.assertIn("GET /v1/hosts: 200 JsonSchemaError", self.found(lambda: None))
