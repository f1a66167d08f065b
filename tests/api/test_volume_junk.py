# SPDX-License-Identifier: Apache-2.0
"""Whatever is sent to whichever route of the embedded Cinder, the answer is one of Cinder's, and never a failure."""

from __future__ import annotations

from typing import Any

from tests.api.volume_case import V3, VolumeApiTestCase
from zun_lite.api import volume
from zun_lite.domain.names import new_id

KEYS = (
    "volume", "snapshot", "attachment", "volume_type", "extra_specs", "metadata", "meta", "quota_set",
    "quota_class_set", "os-extend", "os-reserve", "os-reset_status", "os-retype", "os-attach", "os-detach",
    "os-initialize_connection", "os-terminate_connection", "os-set_bootable", "os-update_readonly_flag",
    "os-force_delete", "os-complete", "addProjectAccess",
)  # fmt: skip
FIELDS = (
    "name", "size", "volume_id", "volume_uuid", "snapshot_id", "source_volid", "metadata", "connector", "new_size",
    "status", "description", "force", "bootable", "readonly", "instance_uuid", "volumes", "project", "new_type",
    "attachment_id", "mode", "extra_specs", "volume_type", "availability_zone",
)  # fmt: skip
JUNK: tuple[Any, ...] = (
    *(True, -1, 2**70, 1.5, "", "x" * 300, "\u4e16" * 255, [], [[]], {}, {"a": {"b": []}}, {"a": None}),
    "../../etc/passwd",
    new_id(),
)
QUERIES = (
    "", "limit=-1", "limit=x&offset=y", f"marker={new_id()}", "sort=:", "sort_key=id&sort_dir=up", "metadata={{",
    "all_tenants=maybe", "status=%ff", "name=a&name=b", "with_count=2", "is_public=x", "usage=x", "detail=x",
    "cascade=x", "name~=%25_",
)  # fmt: skip


class JunkTest(VolumeApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.conf.set_override("changes_per_second_of_project", 0, group="api")
        self.client = self.make_client()
        made = self.made_here()
        body = {"attachment": {"volume_uuid": self.made_here()["id"], "instance_uuid": new_id()}}
        attachment = self.call("POST", f"{V3}/attachments", body, at="3.50").json["attachment"]["id"]
        kind = self.get(f"{V3}/types")["volume_types"][0]["id"]
        self.real = {
            "volumes": made["id"],
            "snapshots": self.take(made)["id"],
            "attachments": attachment,
            "types": kind,
            "messages": new_id(),
            "extensions": "os-quota-sets",
        }
        self.templates = sorted({path for path, _, _ in volume.resources(self.services)})

    def paths(self):
        for template in self.templates:
            parts = template.removeprefix(f"{V3}/").split("/")
            real = template.replace("{ident}", self.real.get(parts[0], "x"))
            for ident in (real, template.replace("{ident}", "\u4e16%2F..")):
                yield ident.replace("{key}", "k").replace("{project_id}", "p" * 64).replace("{name}", "default")

    def sound(self, method: str, path: str, body: Any = None, **more: Any) -> None:
        for user, version in (("demo", "3.0"), ("admin", "3.50")):
            answer = self.call(method, path, body, user=user, at=version, **more)
            self.assertNotIn(
                answer.status_code, (429, *range(500, 600)), f"{method} {path} {body} {more}: {answer.text}"
            )
            if answer.status_code >= 400:
                (error,) = answer.json.values()
                self.assertEqual(answer.status_code, error["code"], answer.text)
                self.assertGreater(len(error["message"]), 5)

    def test_no_query_breaks_a_list(self) -> None:
        for path in self.paths():
            for query in QUERIES:
                self.sound("GET", f"{path}?{query}")

    def test_no_body_breaks_a_route(self) -> None:
        number = 0
        for path in self.paths():
            for method in ("POST", "PUT"):
                if self.call(method, path, raw=b"").status_code == 405:
                    continue
                for raw in (b"", b"{", b"null", b"[]", b'"x"', b"\xff"):
                    self.sound(method, path, raw=raw)
                for key in KEYS:
                    # every value meets every key and field somewhere, not all of them everywhere
                    number += 1
                    junk = JUNK[number % len(JUNK)]
                    self.sound(method, path, {key: junk})
                    self.sound(method, path, {key: {FIELDS[number % len(FIELDS)]: junk, "volume_id": new_id()}})
                    self.sound(method, path, {key: {"size": 1, FIELDS[number % len(FIELDS)]: junk}})
