# SPDX-License-Identifier: Apache-2.0
"""What the API refuses of itself: too many requests, pages of strangers, questions that are nobody's business."""

from __future__ import annotations

import os
import unittest

from falcon import testing
from sqlalchemy import event

from tests.api.case import ApiTestCase, KnownHost
from zun_lite.api.app import create_app
from zun_lite.api.metrics import Counts
from zun_lite.api.proxies import Proxies
from zun_lite.api.throttle import BYTES_A_TOKEN, Buckets
from zun_lite.common.clock import StoppedClock
from zun_lite.db import hosts, workloads
from zun_lite.domain import errors
from zun_lite.domain.desired import Report

HERE = {"REMOTE_ADDR": "127.0.0.1"}
OUTSIDE = {"REMOTE_ADDR": "198.51.100.7"}
PAGE = "https://dashboard.example.org"


class BucketsTest(unittest.TestCase):
    def test_a_bucket_fills_steadily_and_holds_five_seconds_worth(self):
        clock = StoppedClock()
        buckets = Buckets(2.0, clock)
        self.assertEqual([0.0] * 10 + [0.5], [buckets.take("a") for _ in range(11)])
        self.assertEqual(0.0, buckets.take("b"))
        clock.advance(0.5)
        self.assertEqual([0.0, 0.5], [buckets.take("a"), buckets.take("a")])
        clock.advance(1000)
        self.assertEqual([0.0] * 10, [buckets.take("a") for _ in range(10)])
        self.assertGreater(buckets.take("a"), 0)

    def test_no_rate_is_no_limit_and_memory_is_bounded(self):
        self.assertEqual({0.0}, {Buckets(0, StoppedClock()).take("a") for _ in range(1000)})
        buckets = Buckets(1.0, StoppedClock())
        for number in range(50_000):
            buckets.take(str(number))
        self.assertLessEqual(len(buckets._buckets), 20_000)


class ProxiesTest(unittest.TestCase):
    def seen(self, peer: str, said: str | None, *trusted: str) -> str:
        environ = {"REMOTE_ADDR": peer, **({} if said is None else {"HTTP_X_FORWARDED_FOR": said})}
        Proxies(lambda environ, start: [], trusted)(environ, None)
        return environ["REMOTE_ADDR"]

    def test_only_a_named_proxy_is_believed_and_of_it_the_last_word(self):
        near, far, made_up = "10.0.0.1", "198.51.100.7", "192.0.2.1"
        self.assertEqual(far, self.seen(far, made_up, near))
        self.assertEqual(far, self.seen(near, f"{made_up}, {far}", near))
        self.assertEqual(far, self.seen(near, f"{made_up},{far}, 10.0.0.2", "10.0.0.0/24"))
        self.assertEqual(near, self.seen(near, f"{far}, nonsense", near))
        self.assertEqual(near, self.seen(near, None, near))
        self.assertEqual(far, self.seen("::ffff:10.0.0.1", f"::ffff:{far}", near))
        with self.assertRaises(errors.Invalid):
            Proxies(lambda environ, start: [], ["proxy.example"])


    def test_an_address_of_ipv4_is_one_though_the_server_listens_on_ipv6(self):
        for peer, seen in (
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("::FFFF:7f00:1", "127.0.0.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("198.51.100.7", "198.51.100.7"),
            ("", ""),
        ):
            self.assertEqual(seen, self.seen(peer, None))


class LimitsTest(ApiTestCase):
    def with_options(self, **options) -> None:
        for name, value in options.items():
            self.conf.set_override(name, value, group="api")
        self.client = self.make_client()

    def make_client(self) -> testing.TestClient:
        """Falcon's client takes functions only."""
        application = create_app(self.services)
        return testing.TestClient(lambda environ, start_response: application(environ, start_response))

    def test_an_address_that_asks_too_often_is_told_when_to_come_again_in_each_apis_words(self):
        token = self.token("demo")
        self.with_options(requests_per_second_of_address=1)
        for path, key in (
            ("/v1/containers", "errors"),
            ("/identity/v3/auth/tokens", "error"),
            ("/network/v2.0/networks", "NeutronError"),
            ("/volume/v3/volumes", "overLimit"),
            ("/image/v2/images", "error"),
        ):
            with self.subTest(path):
                self.client = self.make_client()
                headers = {"X-Auth-Token": token, "X-Subject-Token": token}
                for _ in range(5):
                    answer = self.client.simulate_get(path, headers=headers, extras=OUTSIDE)
                    self.assertNotEqual(429, answer.status_code)
                answer = self.client.simulate_get(path, headers=headers, extras=OUTSIDE)
                self.assertEqual((429, "1"), (answer.status_code, answer.headers["Retry-After"]))
                self.assertIn(key, answer.json)
                self.assertEqual(200, self.client.simulate_get("/healthcheck").status_code)
                other = self.client.simulate_get(path, headers=headers, extras={"REMOTE_ADDR": "198.51.100.8"})
                self.assertNotEqual(429, other.status_code)
        self.clock.advance(1)
        self.assertEqual(200, self.client.simulate_get("/v1", extras=OUTSIDE).status_code)

    def test_a_network_of_ipv6_is_one_address_and_hosts_are_not_counted(self):
        self.with_options(requests_per_second_of_address=1)
        statuses = [
            self.client.simulate_get("/v1", extras={"REMOTE_ADDR": f"2001:db8::{number}"}).status_code
            for number in range(1, 7)
        ]
        self.assertEqual([200] * 5 + [429], statuses)
        for _ in range(7):
            self.assertEqual(401, self.client.simulate_get("/node/v1/workloads", extras=OUTSIDE).status_code)

    def test_c10_a_host_that_floods_is_told_to_wait_and_no_other_is(self):
        """C10."""
        flooding, other = self.add_host("host2"), self.add_host("host3")
        beat = {"boot_id": "b", "problem": None}
        self.with_options(requests_per_second_of_host=2)
        statuses = [self.as_host(flooding, "PUT", "heartbeat", beat).status_code for _ in range(12)]
        self.assertEqual([200] * 10 + [429] * 2, statuses)
        self.assertEqual("1", self.as_host(flooding, "GET", "workloads").headers["Retry-After"])
        with self.db.read() as tx:
            self.assertEqual(10, hosts.get(tx, flooding.uuid).report_count)
        self.assertEqual(200, self.as_host(other, "PUT", "heartbeat", beat).status_code)
        # nobody spends what is another's by naming it
        for _ in range(12):
            self.assertEqual(401, self.as_host(KnownHost(other.uuid, flooding.key), "GET", "workloads").status_code)
        self.assertEqual(200, self.as_host(other, "GET", "workloads").status_code)
        self.clock.advance(0.5)
        self.assertEqual(200, self.as_host(flooding, "GET", "workloads").status_code)
        self.with_options(requests_per_second_of_host=0)
        self.assertEqual({200}, {self.as_host(flooding, "PUT", "heartbeat", beat).status_code for _ in range(50)})

    def test_c10_a_large_report_is_let_in_and_paid_for_afterwards(self):
        """C10."""
        host = self.add_host("host2")
        self.with_options(requests_per_second_of_host=1)
        report = {**Report("b", None, False, ()).to_json(), "more": "x" * 20 * BYTES_A_TOKEN}
        self.assertEqual(200, self.as_host(host, "POST", "reports", report).status_code)
        waits = int(self.as_host(host, "GET", "workloads").headers["Retry-After"])
        self.assertIn(waits, range(16, 19))
        self.clock.advance(waits)
        self.assertEqual(200, self.as_host(host, "GET", "workloads").status_code)

    def test_clients_of_ipv4_are_told_apart_and_the_machine_is_known_by_a_server_that_listens_on_ipv6(self):
        self.with_options(requests_per_second_of_address=1)
        statuses = [
            self.client.simulate_get("/v1", extras={"REMOTE_ADDR": f"::ffff:198.51.100.{number}"}).status_code
            for number in [*range(1, 7), *[7] * 6]
        ]
        self.assertEqual([200] * 11 + [429], statuses)
        for address, status in (("::ffff:127.0.0.1", 200), ("::ffff:198.51.100.8", 404)):
            answer = self.client.simulate_get("/metrics", extras={"REMOTE_ADDR": address})
            self.assertEqual(status, answer.status_code, address)

    def test_a_projects_changes_are_counted_and_its_reads_and_other_projects_are_not(self):
        self.with_options(changes_per_second_of_project=1)
        path = "/v1/containers/nothing/start"
        self.assertEqual([404] * 5, [self.call("POST", path).status_code for _ in range(5)])
        answer = self.call("POST", path)
        self.refused(429, answer, "changes of this project")
        self.assertEqual("1", answer.headers["Retry-After"])
        self.assertEqual(200, self.call("GET", "/v1/containers").status_code)
        self.assertEqual(404, self.call("POST", path, user="other").status_code)

    def test_no_page_may_call_the_api_unless_its_origin_is_listed(self):
        def preflight(origin: str):
            headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            return self.client.simulate_options("/v1/containers", headers=headers)

        self.assertNotIn("Access-Control-Allow-Origin", preflight(PAGE).headers)
        self.with_options(allowed_origins=[PAGE])
        answer = preflight(PAGE)
        self.assertEqual((200, PAGE), (answer.status_code, answer.headers["Access-Control-Allow-Origin"]))
        self.assertNotIn("Access-Control-Allow-Credentials", answer.headers)
        answer = self.call("GET", "/v1/containers", headers={"Origin": PAGE})
        self.assertEqual((200, PAGE), (answer.status_code, answer.headers["Access-Control-Allow-Origin"]))
        for stranger in (f"{PAGE}.evil.example", "http://dashboard.example.org", "null", f"{PAGE}:8443"):
            self.assertNotIn("Access-Control-Allow-Origin", preflight(stranger).headers)


class StrangersTest(ApiTestCase):
    def test_f1_who_has_no_token_costs_no_query_and_no_file(self):
        """F1."""
        asked = []
        listen = ("before_cursor_execute", lambda *said: asked.append(said[2]))
        event.listen(self.db.engine, *listen)
        self.addCleanup(event.remove, self.db.engine, *listen)
        files = len(os.listdir("/proc/self/fd"))
        made_up = ("", "x" * 200, "gAAAAA" + "b" * 180)
        for number in range(1000):
            path = ("/v1/containers", "/network/v2.0/ports", "/volume/v3/volumes", "/node/v1/workloads")[number % 4]
            headers = {"X-Auth-Token": made_up[number % 3]}
            self.assertEqual(401, self.client.simulate_get(path, headers=headers).status_code)
        self.assertEqual([], asked)
        self.assertLessEqual(len(os.listdir("/proc/self/fd")), files)
        self.call("GET", "/v1/containers")
        self.assertNotEqual([], asked, "nothing is counted at all")


class MetricsTest(ApiTestCase):
    def read(self, **more) -> str:
        answer = self.client.simulate_get("/metrics", **{"extras": HERE, **more})
        self.assertEqual(200, answer.status_code)
        return answer.text

    def test_requests_and_what_the_cloud_holds_are_told_in_numbers(self):
        self.running("canary-name", environment={"CANARY": "canary-value"})
        self.create("second")
        self.call("GET", "/v1/containers/missing")
        text = self.read()
        self.assertIn('zun_lite_workloads{status="Running"} 1.0', text)
        self.assertIn('zun_lite_hosts{state="ready"} 1.0', text)
        self.assertIn('zun_lite_api_requests_total{method="POST",service="container",status="2xx"} 2.0', text)
        self.assertIn('zun_lite_api_requests_total{method="GET",service="container",status="4xx"} 1.0', text)
        self.assertIn('zun_lite_api_request_seconds_count{service="container"}', text)

    def test_no_tenants_name_id_or_address_is_in_it(self):
        container = self.running("canary-name", environment={"CANARY": "canary-value"})
        self.call("GET", f"/v1/containers/{container['uuid']}")
        text = self.read()
        for secret in ("canary", container["uuid"], container["project_id"], "demo", self.host.name):
            self.assertNotIn(secret, text)

    def test_counting_costs_two_queries_and_those_seldom(self):
        counted = []
        real = workloads.count_by_status
        self.addCleanup(setattr, workloads, "count_by_status", real)
        workloads.count_by_status = lambda tx: counted.append(1) or real(tx)
        for _ in range(5):
            self.read()
        self.assertEqual(1, len(counted))
        self.clock.advance(10)
        self.read()
        self.assertEqual(2, len(counted))

    def test_strangers_find_nothing_there(self):
        self.assertEqual(404, self.client.simulate_get("/metrics", extras=OUTSIDE).status_code)
        self.conf.set_override("metrics_networks", ["198.51.100.0/24"], group="api")
        self.client = self.make_client()
        self.read(extras=OUTSIDE)

    def test_workers_count_apart_and_are_summed(self):
        counts = Counts()
        for worker in (1, 2, 66):
            counts.claim(worker)
            counts.add("volume", "PURGE", 404, 0.01)
        (requests, spans) = counts.collect()
        self.assertEqual([({"service": "volume", "method": "other", "status": "4xx"}, 3.0)], [
            (sample.labels, sample.value) for sample in requests.samples
        ])  # fmt: skip
        self.assertIn(3.0, [sample.value for sample in spans.samples if sample.labels["service"] == "volume"])
