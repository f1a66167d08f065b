# SPDX-License-Identifier: Apache-2.0
"""Ids of requests: which are taken, and where they turn up."""

from __future__ import annotations

import logging
import re
import threading
import unittest
import uuid
from unittest import mock

import requests
from keystoneauth1 import session
from oslo_middleware import request_id

from tests.logged import logged
from zun_lite.common import request_ids
from zun_lite.common.request_ids import RequestIds

GIVEN = f"req-{uuid.uuid4()}"


class FormTest(unittest.TestCase):
    def test_an_id_that_came_along_is_taken_where_oslo_middleware_takes_it(self):
        self.assertEqual(request_ids.HEADER, request_id.INBOUND_HEADER)
        for text in (
            *(GIVEN, GIVEN.upper(), GIVEN.replace("req-", "Req-"), GIVEN[:-1], f"{GIVEN}0", f" {GIVEN}", GIVEN[4:]),
            *("", "req-", f"{GIVEN},{GIVEN}", "req-" + "g" * 36, "req-" + uuid.uuid4().hex, f"{GIVEN} x"),
        ):
            taken = text if re.match(request_id.ID_FORMAT, text) else ""
            self.assertEqual(taken, request_ids.as_given(text), text)
        self.assertEqual(GIVEN, request_ids.as_given(GIVEN))
        for other in (None, 7, f"{GIVEN}\n"):
            self.assertEqual("", request_ids.as_given(other), other)


class WorkTest(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(request_ids.begin, request_ids.current())

    def test_a_line_says_for_which_request_it_is(self):
        with logged() as text:
            logging.getLogger("zun_lite.x").info("none")
            with request_ids.working_for(GIVEN):
                logging.getLogger("zun_lite.x").info("theirs")
            request_ids.begin(RequestIds("req-own", GIVEN))
            logging.getLogger("zun_lite.x").warning("ours")
            other = threading.Thread(target=logging.getLogger("zun_lite.x").info, args=("elsewhere",))
            other.start()
            other.join()
        ends = [line.partition("zun_lite.x ")[2] for line in text.getvalue().splitlines()]
        self.assertEqual(["none", f"[{GIVEN}] theirs", f"[{GIVEN} req-own] ours", "elsewhere"], ends)

    def test_what_another_service_is_asked_bears_the_id_of_the_moment(self):
        answer = requests.Response()
        answer.status_code = 200
        asked = session.Session(session=mock.Mock(**{"request.return_value": answer}))
        asked.additional_headers = request_ids.PassedOn()

        def sent() -> str | None:
            asked.get("http://cloud.invalid/")
            return asked.session.request.call_args.kwargs["headers"].get("X-Openstack-Request-Id")

        self.assertIsNone(sent())
        request_ids.begin(RequestIds("req-own"))
        self.assertEqual("req-own", sent())
        with request_ids.working_for(GIVEN):
            self.assertEqual(GIVEN, sent())
        self.assertEqual("req-own", sent())
