# SPDX-License-Identifier: Apache-2.0
"""Queries that name the same thing again and again: no database shall have to carry them."""

from __future__ import annotations

from tests.api.network_case import V2, NetworkApiTestCase


class LongQueriesTest(NetworkApiTestCase):
    def test_a_column_that_is_named_again_sorts_nothing_more(self) -> None:
        first, second = (self.make("network", name=name)["id"] for name in ("a", "b"))
        query = "&".join(["sort_key=name"] * 200 + ["sort_key=mtu"] * 200)
        self.assertEqual([second], self.ids("networks", f"{query}&marker={first}"))
        made = [self.call("POST", "/image/v2/images", {"name": name}).json["id"] for name in ("a", "b")]
        order = ",".join(["name:asc", "status:desc"] * 100)
        found = self.get(f"/image/v2/images?sort={order}&marker={made[0]}")["images"]
        self.assertEqual(made[1:], [image["id"] for image in found])

    def test_tags_and_properties_that_no_object_can_have_are_refused(self) -> None:
        tags = [f"t{number}" for number in range(1200)]
        self.denied(400, "HTTPBadRequest", self.call("GET", f"{V2}/networks?tags={','.join(tags)}"), "50 tags")
        self.assertEqual([], self.items("networks", f"tags={','.join(tags[:1] * 1200)}"))
        for query in ("&".join(f"tag={tag}" for tag in tags), "&".join(f"{tag}=x" for tag in tags)):
            answer = self.call("GET", f"/image/v2/images?{query}")
            self.assertEqual(400, answer.status_code, answer.text)
            self.assertIn("at most", answer.text)
