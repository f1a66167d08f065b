# SPDX-License-Identifier: Apache-2.0
"""What every request of every service meets: paths, ids, authentication, limits, shapes of errors."""

from __future__ import annotations

import re
from unittest import mock

import sqlalchemy as sa
import testtools

from tests.api.case import ApiTestCase
from tests.logged import logged
from zun_lite.api import media, paths
from zun_lite.control import listing, registries
from zun_lite.control.loop import Controller
from zun_lite.db import workloads
from zun_lite.db.engine import metadata
from zun_lite.domain import errors

REQUEST_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


A_CONTAINER = {"image": "demo:latest", "cpu": 0.1, "memory": "16"}


class NormaliseTest(testtools.TestCase):
    def test_a_path_comes_in_one_form(self):
        for path, expected in {
            "": ("container", "/"),
            "//": ("container", "/"),
            "/v1/": ("container", "/v1"),
            "/v1//containers//x/": ("container", "/v1/containers/x"),
            "/containers/x": ("container", "/v1/containers/x"),
            "/networks/x": ("container", "/v1/networks/x"),
            "/healthcheck": ("container", "/healthcheck"),
            "/identity/v3/": ("identity", "/identity/v3"),
            "/network/": ("network", "/network"),
            "/volume/v3/0123456789abcdef0123456789abcdef/volumes/": ("volume", "/volume/v3/volumes"),
            "/volume/v3/01234567-89ab-cdef-0123-456789abcdef/volumes/x": ("volume", "/volume/v3/volumes/x"),
            "/volume/v3/volumes": ("volume", "/volume/v3/volumes"),
            "/node/v1/reports": ("node", "/node/v1/reports"),
        }.items():
            self.assertEqual(expected, paths.normalise(path), path)


class JsonTest(testtools.TestCase):
    def test_bombs_are_refused(self):
        for bomb in (b"[" * 65 + b"]" * 65, b"[" * 100000, b"1" * 400, b'"a\\u0000b"', b'{"a":NaN}', b"\xff"):
            self.assertRaises(ValueError, media.loads, bomb)

    def test_a_long_document_of_very_many_items_is_refused_before_it_is_read(self):
        for item in (b"1", b"[]", b"{}", b'""'):
            self.assertRaises(ValueError, media.loads, b"[" + b",".join([item] * 600_000) + b"]")
        self.assertEqual(400_000, len(media.loads(b"[" + b",".join([b"1.0"] * 400_000) + b"]")))
        self.assertEqual({"data": "x" * 2_000_000}, media.loads(b'{"data":"' + b"x" * 2_000_000 + b'"}'))

    def test_ordinary_nesting_passes(self):
        self.assertEqual({"a": [[1, {"b": 2}]] * 40}, media.loads(b'{"a":[' + b",".join([b'[1,{"b":2}]'] * 40) + b"]}"))


class TransportTest(ApiTestCase):
    def test_documents_need_no_token(self):
        for path, status in {
            "/": 200,
            "/v1": 200,
            "/v1/": 200,
            "/identity": 300,
            "/identity/": 300,
            "/identity/v3": 200,
            "/identity/v3/": 200,
            "/healthcheck": 200,
        }.items():
            self.assertEqual(status, self.client.simulate_get(path).status_code, path)

    def test_the_root_document_says_the_range_of_versions(self):
        root = self.client.simulate_get("/").json
        version = root["versions"][0]
        self.assertEqual(
            ("CURRENT", "1.1", "1.40"), tuple(version[k] for k in ("status", "min_version", "max_version"))
        )
        self.assertEqual(root["default_version"], version)

    def test_aliases_and_spare_slashes_lead_to_the_same_container(self):
        made = self.create()
        for path in ("/v1/containers/web", "/containers/web", "/containers//web/", f"/v1/containers/{made['uuid']}/"):
            self.assertEqual(made["uuid"], self.get(path)["uuid"], path)

    def test_every_answer_has_a_request_id_of_our_own(self):
        theirs = "req-00000000-0000-0000-0000-000000000000"
        answers = [
            self.client.simulate_get("/"),
            self.client.simulate_get("/v1/containers"),
            self.client.simulate_get("/identity/v3/nothing"),
            self.call("GET", "/v1/containers", headers={"X-Openstack-Request-Id": theirs}),
        ]
        ids = [answer.headers["X-Openstack-Request-Id"] for answer in answers]
        self.assertEqual(len(ids), len(set(ids)))
        for request_id in ids:
            self.assertTrue(REQUEST_ID.fullmatch(request_id), request_id)
            self.assertNotEqual(theirs, request_id)

    def test_an_id_that_came_along_goes_with_the_work(self):
        given = "req-00000000-0000-0000-0000-0000000000aa"
        network = self.call("POST", "/network/v2.0/networks", {"network": {"name": "n"}}).json["network"]["id"]
        self.call(
            "POST", "/network/v2.0/subnets", {"subnet": {"network_id": network, "cidr": "10.9.0.0/24", "ip_version": 4}}
        )
        for header, known in ((given, given), (given.upper(), None), ("anything\tat all", None), (None, None)):
            with self.subTest(header):
                headers = {"X-Openstack-Request-Id": header} if header else {}
                with logged() as text:
                    answer = self.call("POST", "/v1/containers?run=true", A_CONTAINER, headers=headers)
                    own, uuid = answer.headers["X-Openstack-Request-Id"], answer.json["uuid"]
                    self.assertIn(f"[{given} {own}] POST" if known else f" [{own}] POST", text.getvalue())
                    Controller(self.means).run_once()
                    self.assertIn(f"[{known or own}] {uuid}: has ", text.getvalue())
                with self.db.read() as tx:
                    self.assertEqual(known or own, workloads.get(tx, uuid).desired.request_id)
                with logged() as text:
                    self.client.simulate_post("/v1/containers")
                    self.assertNotIn(own, text.getvalue(), "the next request has an id of its own")

    def test_without_its_database_the_api_asks_to_try_again(self):
        self.token("demo")
        away = sa.create_engine("sqlite:////nowhere/at/all.sqlite")
        read_only = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
        with read_only.begin() as connection:
            metadata.create_all(connection)
            connection.exec_driver_sql("PRAGMA query_only = ON")
        for engine, method, path in (
            (away, "GET", "/v1/containers/web"),
            (away, "POST", "/v1/containers/web/start"),
            (away, "GET", "/network/v2.0/ports"),
            (read_only, "POST", "/network/v2.0/networks"),
        ):
            self.call("GET", "/v1/containers")
            with mock.patch.object(self.db, "engine", engine):
                answer = self.call(method, path, {"network": {}} if "network" in path and method == "POST" else None)
            self.assertEqual((503, "5"), (answer.status_code, answer.headers.get("Retry-After")), answer.text)

    def test_a_load_balancer_learns_by_get_or_head_whether_the_database_answers(self):
        def ask(method: str) -> tuple[int, str]:
            answer = self.client.simulate_request(method, "/healthcheck")
            return answer.status_code, answer.text

        self.assertEqual([(200, "OK"), (204, "")], [ask("GET"), ask("HEAD")])
        with mock.patch.object(self.db, "engine", sa.create_engine("sqlite:////nowhere/at/all.sqlite")):
            self.assertEqual([503, 503], [ask("GET")[0], ask("HEAD")[0]])

    def test_a_statement_that_is_wrong_is_our_fault(self):
        def read(*arguments, **more):
            with self.db.read() as tx:
                tx.execute(sa.text("select nothing from nowhere"))

        with mock.patch.object(listing, "read", read):
            self.assertEqual(500, self.call("GET", "/v1/containers").status_code)

    def test_a_path_cannot_write_lines_into_the_log(self):
        """D8."""
        self.token("demo")
        with self.assertLogs("zun_lite.api") as lines:
            self.client.simulate_post("/v1/containers/x%0Aall%20is%20well/start")
            with mock.patch.object(registries, "find", side_effect=RuntimeError):
                self.call("DELETE", "/v1/registries/x%0Aall%20is%20well")
        self.assertEqual(3, len(lines.records))
        for record in lines.records:
            self.assertNotIn("\n", record.getMessage())

    def test_the_action_bears_the_id_of_the_request_that_began_it(self):
        answer = self.call("POST", "/v1/containers", {"image": "demo"})
        request_id = answer.headers["X-Openstack-Request-Id"]
        self.get(f"/v1/containers/{answer.json['uuid']}/container_actions/{request_id}")

    def test_without_a_valid_token_the_answer_is_keystones_401(self):
        expected = {
            "error": {
                "code": 401,
                "title": "Unauthorized",
                "message": "The request you have made requires authentication.",
            }
        }
        for path in (
            "/v1/containers",
            "/v1/nothing",
            "/identity/v3/projects",
            "/network/v2.0/networks",
            "/volume/v3/x",
        ):
            for headers in ({}, {"X-Auth-Token": "nonsense"}, {"X-Auth-Token": "\xe4"}):
                answer = self.client.simulate_get(path, headers=headers)
                self.assertEqual((401, expected), (answer.status_code, answer.json), path)
                self.assertEqual(
                    f'Keystone uri="{self.conf.api.public_url}/identity"', answer.headers["WWW-Authenticate"]
                )

    def test_headers_that_claim_an_identity_are_not_believed(self):
        """A6."""
        claims = {
            "X-Identity-Status": "Confirmed",
            "X-User-Id": "u",
            "X-Project-Id": "p",
            "X-Roles": "admin",
            "X-Is-Admin-Project": "True",
        }
        self.assertEqual(401, self.client.simulate_get("/v1/containers", headers=claims).status_code)
        refused = self.call("GET", "/v1/containers", params={"all_projects": "true"}, headers=claims)
        self.refused(403, refused, "get_all_all_projects")
        self.get("/v1/containers?all_projects=true", user="admin")

    def test_unknown_paths_and_methods_are_told_in_each_services_shape(self):
        for path, error in {
            "/v1/nothing": lambda body: body["errors"][0]["title"],
            "/identity/v3/nothing": lambda body: body["error"]["message"],
            "/network/v2.0/nothing": lambda body: body["NeutronError"]["message"],
            "/volume/v3/nothing": lambda body: body["itemNotFound"]["message"],
        }.items():
            answer = self.call("GET", path)
            self.assertEqual(404, answer.status_code)
            self.assertIn(path, error(answer.json))
        answer = self.call("PUT", "/v1/containers")
        self.refused(405, answer, "PUT")
        self.assertIn("GET", answer.headers["Allow"])

    def test_a_malformed_body_counts_as_none(self):
        for body in (b"{", b"[1]", b'"x"', b"", b"\xff", b"[" * 5000):
            answer = self.call("POST", "/v1/containers", raw=body, headers={"Content-Type": "application/json"})
            self.refused(400, answer, "image")

    def test_a_create_must_be_json(self):
        answer = self.call("POST", "/v1/containers", raw=b'{"image":"demo"}', headers={"Content-Type": "text/plain"})
        self.refused(415, answer, "application/json")

    def test_a_body_over_the_limit_is_refused_unread(self):
        limit = self.conf.api.max_body_bytes
        fits = b'{"image":"demo"' + b" " * (limit - 16) + b"}"
        header = {"Content-Type": "application/json"}
        self.assertEqual(202, self.call("POST", "/v1/containers", raw=fits, headers=header).status_code)
        self.refused(413, self.call("POST", "/v1/containers", raw=fits + b" ", headers=header))

    def test_a_body_in_chunks_is_read_and_has_the_same_limit(self):
        limit = self.conf.api.max_body_bytes
        header = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
        for body, status in ((b'{"image":"demo"}', 202), (b" " * (limit + 1), 413)):
            answer = self.call("POST", "/v1/containers", raw=body, headers=header, extras={"CONTENT_LENGTH": ""})
            self.assertEqual(status, answer.status_code, answer.text)

    def test_nul_characters_are_refused(self):
        self.refused(400, self.call("GET", "/v1/containers", query_string="name=a%00b"), "NUL")
        self.refused(400, self.call("GET", "/v1/containers/a%00b"), "NUL")

    def test_an_unforeseen_error_is_told_without_its_cause_and_logged_once(self):
        with mock.patch.object(listing, "read", side_effect=RuntimeError("a secret")):
            with self.assertLogs("zun_lite.api.errors", "ERROR") as logged:
                answer = self.call("GET", "/v1/containers")
        error = self.refused(500, answer)
        self.assertEqual("container.", error["code"])
        self.assertNotIn("a secret", answer.text)
        self.assertEqual(1, len(logged.records))
        correlation = logged.records[0].args[0]
        self.assertIn(correlation, error["detail"])

    def test_a_busy_service_says_when_to_try_again(self):
        with mock.patch.object(listing, "read", side_effect=errors.Busy("Too busy.")):
            answer = self.call("GET", "/v1/containers")
        self.refused(503, answer, "Too busy.")
        self.assertEqual("5", answer.headers["Retry-After"])

    def test_changes_are_logged_without_their_parameters(self):
        self.running()
        with self.assertLogs("zun_lite.api.middleware", "INFO") as logged:
            self.call("POST", "/v1/containers/web/execute", params={"command": "echo hunter2"})
            self.call("GET", "/v1/containers/web")
        self.assertEqual(1, len(logged.output))
        self.assertIn("/v1/containers/web/execute answered 200", logged.output[0])
        self.assertNotIn("hunter2", logged.output[0])
