# SPDX-License-Identifier: Apache-2.0
"""Containers as their users see them: created, looked up, listed."""

from __future__ import annotations

from typing import Any
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

from testtools.matchers import Contains, MatchesRegex

from tests.api.case import ApiTestCase
from zun_lite.api.container import pages
from zun_lite.db import workloads
from zun_lite.domain import names
from zun_lite.domain.resources import Limits
from zun_lite.domain.wiring import Address, Endpoint, Wiring

LISTS_AND_OBJECTS = {
    "command": [],
    "entrypoint": [],
    "environment": {},
    "labels": {},
    "ports": [],
    "addresses": {},
    "security_groups": [],
    "restart_policy": {},
    "healthcheck": {},
}
ADMIN_FIELDS = {"host", "image_pull_policy", "privileged", "runtime"}
MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?$"


class RepresentationTest(ApiTestCase):
    def test_a_create_is_answered_with_the_record_and_its_place(self):
        answer = self.call("POST", "/v1/containers", {"image": "demo", "memory": "64"})
        made = answer.json
        self.assertEqual(202, answer.status_code)
        self.assertEqual(f"{self.conf.api.public_url}/v1/containers/{made['uuid']}", answer.headers["Location"])
        self.assertEqual(LISTS_AND_OBJECTS, {key: made[key] for key in LISTS_AND_OBJECTS})
        self.assertEqual(
            ("demo", "docker", 1.0, "shared", "64", 0, "Creating", "container_creating", None),
            tuple(
                made[key]
                for key in ("image", "image_driver", "cpu", "cpu_policy", "memory", "disk", "status", "task_state")
            )
            + (made["updated_at"],),
        )
        self.assertThat(made["name"], MatchesRegex(r"[a-z]+-\d+-container$"))
        self.assertThat(made["created_at"], MatchesRegex(MOMENT))
        self.assertEqual(
            [f"{self.conf.api.public_url}{path}/containers/{made['uuid']}" for path in ("/v1", "")],
            [link["href"] for link in made["links"]],
        )

    def test_what_was_asked_for_is_shown_again(self):
        asked = {
            "command": ["sleep", "1"],
            "entrypoint": ["/init"],
            "environment": {"A": "1"},
            "labels": {"tier": "web"},
            "workdir": "/srv",
            "hostname": "web",
            "cpu": 0.5,
            "disk": 2,
            "interactive": True,
            "tty": True,
            "auto_heal": True,
        }
        policy = {"Name": "on-failure", "MaximumRetryCount": "3"}
        self.create(**asked, restart_policy=policy)
        shown = self.get("/v1/containers/web")
        self.assertEqual(asked, {key: shown[key] for key in asked})
        self.assertEqual(policy, shown["restart_policy"])

    def test_what_the_host_sees_is_shown(self):
        made = self.create()
        self.observe(
            made,
            hostname="c0ffee",
            command=("httpd",),
            entrypoint=("/init",),
            ports=(80,),
            started_at="2023-11-14T22:10:00.123456789Z",
        )
        shown = self.get("/v1/containers/web")
        self.assertEqual(
            ("Running", None, "Up 3 mins", "c0ffee", ["httpd"], ["/init"], [80]),
            tuple(
                shown[key]
                for key in ("status", "task_state", "status_detail", "hostname", "command", "entrypoint", "ports")
            ),
        )
        self.assertThat(shown["updated_at"], MatchesRegex(MOMENT))
        self.observe(made, "exited", exit_code=1, finished_at="2023-11-14T20:13:20Z")
        self.assertEqual("Exited(1) 2 hours ago (error)", self.get("/v1/containers/web")["status_detail"])

    def test_addresses_are_grouped_by_network(self):
        made = self.create()
        v4, v6 = Address("10.0.0.5", 24, "s4", "10.0.0.1"), Address("fd00::5", 64, "s6")
        endpoint = Endpoint("port1", "net1", 1, "fa:16:3e:00:00:01", 1450, (v4, v6))
        brought = Endpoint("port2", "net2", 2, "fa:16:3e:00:00:02", 1450, (v4,), owned=False)
        with self.db.transaction() as tx:
            workloads.provide(tx, workloads.get(tx, made["uuid"]), Wiring((endpoint, brought)))
        shown = self.get("/v1/containers/web")["addresses"]
        self.assertEqual(
            [("10.0.0.5", 4, "port1", "s4", False), ("fd00::5", 6, "port1", "s6", False)],
            [
                tuple(a[k] for k in ("addr", "version", "port", "subnet_id", "preserve_on_delete"))
                for a in shown["net1"]
            ],
        )
        self.assertEqual([True], [address["preserve_on_delete"] for address in shown["net2"]])

    def test_administrators_fields_are_absent_for_others(self):
        self.create()
        for body in (self.get("/v1/containers/web"), self.get("/v1/containers")["containers"][0]):
            self.assertEqual(set(), ADMIN_FIELDS & set(body))
        shown = self.get("/v1/containers/web", user="admin")
        self.assertEqual(
            {"host": "host1", "image_pull_policy": "ifnotpresent", "privileged": False, "runtime": None},
            {key: shown[key] for key in ADMIN_FIELDS},
        )

    def test_list_items_have_no_links(self):
        self.create()
        listed, shown = self.get("/v1/containers")["containers"][0], self.get("/v1/containers/web")
        self.assertEqual({**shown, "links": None}, {**listed, "links": None})
        self.assertNotIn("links", listed)

    def test_networks_and_volumes_that_are_named_are_in_the_spec_by_id(self):
        made = self.create(nets=[{"network": "n1", "v4-fixed-ip": "10.0.0.9"}, {"port": "p1"}], mounts=[
            {"source": "v1", "destination": "/data/"}, {"size": "3", "destination": "/more"}
        ])  # fmt: skip
        with self.db.read() as tx:
            spec = workloads.get(tx, made["uuid"]).spec
        self.assertEqual(
            [("n1", None, ("10.0.0.9",)), ("network", "p1", ())],
            [(net.network_id, net.port_id, net.fixed_ips) for net in spec.networks],
        )
        self.assertEqual(
            [("v1", None, "/data"), (None, 3, "/more")],
            [(mount.volume_id, mount.size_gib, mount.target) for mount in spec.mounts],
        )


class LookUpTest(ApiTestCase):
    def test_by_uuid_with_or_without_dashes_and_by_name(self):
        made = self.create()
        for ident in (made["uuid"], made["uuid"].replace("-", ""), made["uuid"].upper(), "web"):
            self.assertEqual(made["uuid"], self.get(f"/v1/containers/{ident}?all_projects=False")["uuid"])

    def test_another_tenants_container_is_not_there(self):
        made = self.create()
        for method, path in (
            ("GET", ""),
            ("DELETE", ""),
            ("POST", "/start"),
            ("POST", "/stop"),
            ("POST", "/execute?command=id"),
            ("GET", "/logs"),
            ("GET", "/container_actions"),
        ):
            for ident in (made["uuid"], "web"):
                url = f"/v1/containers/{ident}{path}"
                self.refused(404, self.call(method, url, user="other"), ident)
        self.assertEqual([], self.get("/v1/containers", user="other")["containers"])
        self.assertEqual([], self.get(f"/v1/containers?project_id={made['project_id']}", user="other")["containers"])
        self.assertEqual("Creating", self.get("/v1/containers/web")["status"])

    def test_an_administrator_finds_everybodys(self):
        made = self.create()
        self.assertEqual(made["uuid"], self.get("/v1/containers/web", user="admin")["uuid"])

    def test_one_name_for_two_is_409_and_says_what_helps(self):
        self.create()
        self.create()
        self.refused(409, self.call("GET", "/v1/containers/web"), "UUID")
        self.create("app", user="other")
        self.create("app")
        self.get("/v1/containers/app")
        self.refused(409, self.call("GET", "/v1/containers/app", user="admin"), "UUID")

    def test_looking_through_all_projects_is_for_administrators(self):
        made = self.create()
        self.refused(403, self.call("GET", "/v1/containers/web?all_projects=1"))
        self.refused(403, self.call("DELETE", "/v1/containers/web?all_projects=1"))
        self.refused(400, self.call("GET", "/v1/containers/web?all_projects=maybe"), "all_projects")
        self.assertEqual(made["uuid"], self.get("/v1/containers/web?all_projects=1", user="admin")["uuid"])


class ListTest(ApiTestCase):
    limits = Limits(-1, -1, -1, -1)

    def names(self, query="", **more):
        return [item["name"] for item in self.get(f"/v1/containers?{query}", **more)["containers"]]

    def test_pages_lead_to_one_another_and_end(self):
        wanted = [f"web-{number}" for number in range(5)]
        for name in wanted:
            self.create(name)
        found, path, pages_read = [], "/v1/containers?limit=2&sort_key=name&sort_dir=desc", 0
        while path:
            page = self.get(path)
            self.assertThat([1, 2], Contains(len(page["containers"])))
            found += [item["name"] for item in page["containers"]]
            path = page["next"] and page["next"].removeprefix(self.conf.api.public_url)
            pages_read += 1
        self.assertEqual((wanted[::-1], 3), (found, pages_read))

    def test_next_carries_what_was_asked(self):
        for _ in range(2):
            self.create()
        following = self.get("/v1/containers?limit=1&name=web&status=Creating")["next"]
        query = dict(parse_qsl(urlsplit(following).query))
        self.assertEqual(("web", "Creating", "1", "id", "asc"), tuple(
            query[key] for key in ("name", "status", "limit", "sort_key", "sort_dir")
        ))  # fmt: skip
        self.assertTrue(following.startswith(f"{self.conf.api.public_url}/v1/containers?"))

    def test_a_page_that_is_not_full_has_no_next(self):
        self.create()
        self.assertIsNone(self.get("/v1/containers?limit=2")["next"])

    def test_the_limit_is_clamped(self):
        self.conf.set_override("max_limit", 2, group="api")
        self.client = self.make_client()
        for _ in range(3):
            self.create()
        self.assertEqual(2, len(self.get("/v1/containers?limit=1000")["containers"]))
        self.assertEqual(2, len(self.get("/v1/containers")["containers"]))

    def test_filters_match_exactly(self):
        one = self.create("web-1", memory=64, auto_remove=True)
        self.create("web-2", memory=128)
        self.observe(one)
        for query, expected in {
            "name=web-1": ["web-1"],
            "name=web": [],
            "image=demo": ["web-1", "web-2"],
            "image=other": [],
            "memory=128": ["web-2"],
            "status=Running": ["web-1"],
            "status=Creating": ["web-2"],
            "task_state=container_creating": ["web-2"],
            "auto_remove=True": ["web-1"],
            "auto_remove=False": ["web-2"],
            f"user_id={one['user_id']}": ["web-1", "web-2"],
            f"project_id={one['project_id']}&name=web-2": ["web-2"],
        }.items():
            self.assertEqual(expected, self.names(query), query)

    def test_the_host_is_an_administrators_filter(self):
        self.create()
        self.refused(403, self.call("GET", "/v1/containers?host=host1"))
        self.assertEqual(["web"], self.names("host=host1&all_projects=1", user="admin"))
        self.assertEqual([], self.names("host=host2&all_projects=1", user="admin"))

    def test_every_sort_key_sorts(self):
        for memory in (128, 64):
            self.create(f"web-{memory}", memory=memory, cpu=memory / 100)
        for key in ("memory", "cpu", "name"):
            ascending = self.names(f"sort_key={key}")
            self.assertEqual(ascending[::-1], self.names(f"sort_key={key}&sort_dir=desc"), key)
        self.assertEqual(["web-64", "web-128"], self.names("sort_key=memory"))
        for key in ("id", "uuid", "created_at", "updated_at", "host", "task_state", "status_reason", "disk"):
            self.assertEqual(2, len(self.names(f"sort_key={key}")), key)

    def test_what_is_wrong_in_the_query_is_refused(self):
        for query, word in {
            "limit=0": "limit",
            "limit=-1": "limit",
            "limit=x": "limit",
            "sort_key=color": "sort_key",
            "sort_dir=up": "sort_dir",
            "all_projects=perhaps": "all_projects",
            "auto_remove=perhaps": "auto_remove",
            "memory=much": "memory",
            "color=red": "color",
        }.items():
            self.refused(400, self.call("GET", f"/v1/containers?{query}"), word)
        self.refused(404, self.call("GET", f"/v1/containers?marker={names.new_id()}"))

    def test_all_projects_is_an_administrators(self):
        self.create("mine")
        self.create("theirs", user="other")
        self.refused(403, self.call("GET", "/v1/containers?all_projects=1"))
        self.assertEqual(["mine", "theirs"], self.names("all_projects=1", user="admin"))
        self.assertEqual([], self.names("", user="admin"))
        self.assertEqual(["mine"], self.names("all_projects=false"))

    def test_a_list_is_never_older_than_the_last_change(self):
        made = self.create()
        self.assertEqual(["web"], self.names())
        self.observe(made)
        self.assertEqual(["Running"], [item["status"] for item in self.get("/v1/containers")["containers"]])
        self.create("second")
        self.assertEqual(["web", "second"], self.names())
        self.call("DELETE", "/v1/containers/web?stop=true")
        self.assertEqual(["Deleting"], [item["status"] for item in self.get("/v1/containers?name=web")["containers"]])

    def test_what_a_list_says_of_time_goes_on(self):
        self.observe(self.create(), started_at="2023-11-14T22:13:20Z")
        details = []
        for _ in range(2):
            details += [item["status_detail"] for item in self.get("/v1/containers")["containers"]]
            self.clock.advance(pages.LIFETIME_SECONDS + 1)
        self.assertEqual(["Up 0 seconds", "Up 6 seconds"], details)

    def test_a_list_over_all_projects_is_never_older_than_the_last_change_whoever_made_it(self):
        other, path = self.make_client(), "/v1/containers?all_projects=true"
        headers = {"X-Auth-Token": self.token("admin"), "OpenStack-API-Version": "container 1.40"}

        def listed() -> list[dict[str, Any]]:
            """As two processes of the API tell it, of which each remembers what it told before."""
            first = self.get(path, user="admin")["containers"]
            self.assertEqual(first, other.simulate_get(path, headers=headers).json["containers"])
            return first

        made = self.create()
        self.create("beside", user="other")
        self.assertEqual(["Creating"] * 2, [item["status"] for item in listed()])
        self.observe(made, hostname="inner")
        self.assertEqual(("Running", "inner"), tuple(listed()[0][key] for key in ("status", "hostname")))
        self.call("PATCH", "/v1/containers/web", {"name": "other-name", "cpu": 0.5})
        self.assertEqual(("other-name", 0.5), tuple(listed()[0][key] for key in ("name", "cpu")))
        self.call("POST", "/v1/containers/other-name/stop")
        self.assertEqual("container_stopping", listed()[0]["task_state"])
        self.assertEqual("host1", listed()[0]["host"])
        self.assertNotIn("host", self.get("/v1/containers")["containers"][0])
        self.call("DELETE", "/v1/containers/other-name?stop=true", user="admin")
        self.assertEqual(["Deleting", "Creating"], [item["status"] for item in listed()])

    def test_pages_of_remembered_and_of_new_containers_are_in_order(self):
        for number in range(3):
            self.create(f"old-{number}")
        self.names("limit=2")
        for number in range(3):
            self.create(f"new-{number}")
        first = self.get("/v1/containers?limit=4&sort_key=name&sort_dir=desc")
        self.assertEqual(["old-2", "old-1", "old-0", "new-2"], [item["name"] for item in first["containers"]])
        rest = self.get(first["next"].split("9517", 1)[1])
        self.assertEqual(["new-1", "new-0"], [item["name"] for item in rest["containers"]])

    def test_the_pages_that_are_kept_are_bounded(self):
        """F3."""
        kept = pages.Pages(most_bytes=2 * pages.ENTRY_BYTES + 100)
        for number in range(10):
            kept.put(number, 1, 0.0, b"x" * 40)
        self.assertEqual([None] * 8 + [b"x" * 40] * 2, [kept.get(number, 1, 0.0) for number in range(10)])
        kept.put(9, 2, 0.0, b"y")
        self.assertEqual((None, b"y"), (kept.get(9, 1, 0.0), kept.get(9, 2, 0.0)))

    def test_empty_pages_of_made_up_questions_are_bounded_too(self):
        kept = pages.Pages(most_bytes=10 * pages.ENTRY_BYTES)
        for number in range(1000):
            kept.put(number, 1, 0.0, b"")
        self.assertEqual(10, sum(kept.get(number, 1, 0.0) is not None for number in range(1000)))
        with mock.patch.object(pages.Pages, "put") as put:
            self.get(f"/v1/containers?name={'x' * 8000}")
            put.assert_not_called()
            self.get("/v1/containers?name=x")
            put.assert_called_once()
