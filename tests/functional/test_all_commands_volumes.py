# SPDX-License-Identifier: Apache-2.0
"""The stock commands of volumes: volumes, snapshots, types, attachments, and what is around them."""

from __future__ import annotations

import itertools
from typing import Any

from tests.functional.commands import about
from tests.functional.commands_case import CommandsTestCase

V3 = "/volume/v3"
_NUMBERS = itertools.count(1)


class VolumeCommandsTest(CommandsTestCase):
    def got(self, path: str, *, cloud: str = "demo") -> Any:
        return self.cloud.ask("GET", f"{V3}/{path}", cloud=cloud)

    def becomes(self, volume_id: str, status: str) -> dict[str, Any]:
        def seen() -> dict[str, Any] | None:
            found = self.volume(volume_id)
            return found if found["status"] == status else None

        found: dict[str, Any] = self.cloud.wait(seen, f"volume {volume_id} is {status}")
        return found

    def is_gone(self, path: str) -> None:
        self.cloud.wait(lambda: self.status_of(f"{V3}/{path}") == 404, f"{path} is gone")

    def make(self, *words: str, size: int = 1) -> tuple[str, str]:
        """(name, id) of a volume that is available; by the client where there are words for it."""
        name = f"volume{next(_NUMBERS)}"
        if words:
            sized = () if "--snapshot" in words or "--source" in words else ("--size", str(size))
            uuid = self.shown("volume", "create", *sized, *words, name)["id"]
        else:
            body = {"volume": {"name": name, "size": size}}
            uuid = self.cloud.ask("POST", f"{V3}/volumes", body)["volume"]["id"]
        self.becomes(uuid, "available")
        return name, uuid

    def with_a_word(self, *words: str) -> tuple[str, str]:
        """A volume that a container wrote "kept" into."""
        name, uuid = self.make(*words)
        self.written(uuid, "echo kept >/data/word")
        return name, uuid

    def written(self, uuid: str, command: str) -> str:
        """What the command prints in a container that has the volume at /data for as long as it takes."""
        mounts = [{"source": uuid, "destination": "/data"}]
        container = self.running(f"writer{next(_NUMBERS)}", mounts=mounts)["uuid"]
        code, said = self.execute(container, f"sh -c '{command}'")
        self.assertEqual(0, code, said)
        self.delete(container)
        return said.strip()

    @about("volume create", "volume show", "volume list", "volume delete")
    def test_made_with_what_was_asked_for_shown_listed_and_deleted(self):
        words = ("--description", "mine", "--property", "a=b", "--type", "local", "--availability-zone", "nova")
        name, uuid = self.make(*words, size=2)
        record = self.volume(uuid)
        self.assertEqual(
            (name, 2, "mine", {"a": "b"}, "local", "nova"),
            tuple(
                record[key] for key in ("name", "size", "description", "metadata", "volume_type", "availability_zone")
            ),
        )
        self.assertEqual(uuid, self.shown("volume", "show", name)["id"])
        for filters in (
            ("--name", name),
            ("--property", "a=b", "--name", name),
            ("--status", "available", "--name", name),
            ("--name", name, "--long"),
        ):
            self.assertEqual([uuid], [row["ID"] for row in self.shown("volume", "list", *filters)], filters)
        listed = self.shown("volume", "list", "--all-projects", "--name", name, cloud="admin")
        self.assertEqual([uuid], [row["ID"] for row in listed])
        # the client takes a limit for the size of a page, and reads them all
        paged = [row["ID"] for row in self.shown("volume", "list", "--limit", "1")]
        self.assertEqual([item["id"] for item in self.got("volumes")["volumes"]], paged)
        self.say("volume", "delete", name)
        self.is_gone(f"volumes/{uuid}")
        self.assertIn("No Volume found for nope", self.say("volume", "show", "nope", check=False))

    @about("volume create")
    def test_made_out_of_a_snapshot_and_of_a_volume_with_what_they_hold(self):
        name, uuid = self.with_a_word()
        self.say("volume", "snapshot", "create", "--volume", name, f"{name}-snap")
        self.cloud.wait(
            lambda: self.shown("volume", "snapshot", "show", f"{name}-snap")["status"] == "available", "it is taken"
        )
        self.written(uuid, "echo changed >/data/word")
        _, restored = self.make("--snapshot", f"{name}-snap")
        _, cloned = self.make("--source", name)
        self.say("volume", "set", cloned, "--read-only")
        mounts = [{"source": restored, "destination": "/restored"}, {"source": cloned, "destination": "/cloned"}]
        reader = self.running("reads", mounts=mounts)["uuid"]
        self.assertEqual((0, "kept\nchanged\n"), self.execute(reader, "cat /restored/word /cloned/word"))
        self.assertIn("Read-only file system", self.execute(reader, "touch /cloned/more")[1])
        self.assertEqual(0, self.execute(reader, "touch /restored/more")[0])
        self.assertEqual(uuid, self.volume(cloned)["source_volid"])
        said = self.say("volume", "delete", name, check=False)
        self.assertIn("have snapshots", said)
        self.say("volume", "delete", "--purge", name)
        self.is_gone(f"volumes/{uuid}")

    @about("volume create")
    def test_made_bootable_and_read_only(self):
        _, uuid = self.make("--bootable", "--read-only")
        record = self.cloud.wait(
            lambda: (found := self.volume(uuid))["metadata"].get("readonly") and found, "its flags are set"
        )
        self.assertEqual(("true", "True"), (record["bootable"], record["metadata"]["readonly"]))

    @about("volume set", "volume unset")
    def test_set_to_another_name_size_and_state(self):
        name, uuid = self.make()
        self.say("volume", "set", name, "--name", f"{name}-new", "--description", "told", "--property", "k=v")
        record = self.volume(uuid)
        self.assertEqual((f"{name}-new", "told", "v"), (record["name"], record["description"], record["metadata"]["k"]))
        self.say("volume", "unset", f"{name}-new", "--property", "k")
        self.assertEqual({}, self.volume(uuid)["metadata"])
        self.say("volume", "set", uuid, "--size", "2")
        self.assertEqual(2, self.becomes(uuid, "available")["size"])
        said = self.say("volume", "set", uuid, "--size", "1", check=False)
        self.assertIn("New size must be greater than 2 GB", said)
        self.say("volume", "set", uuid, "--state", "error", cloud="admin")
        self.assertEqual("error", self.volume(uuid)["status"])
        self.say("volume", "set", uuid, "--state", "available", cloud="admin")
        self.say("volume", "set", uuid, "--bootable")
        self.say("volume", "set", uuid, "--read-only")
        record = self.volume(uuid)
        self.assertEqual(("true", "True"), (record["bootable"], record["metadata"]["readonly"]))

    @about("volume message show", fault="looks for `messages` in the answer, where there is `message`: prints nothing")
    @about("volume set", "volume message list", "volume message delete")
    def test_grown_under_a_container_that_goes_on_and_told_why_not_further(self):
        _, uuid = self.make()
        container = self.running("grows", mounts=[{"source": uuid, "destination": "/data"}])["uuid"]
        before = int(self.execute(container, "stat -f -c %b /data")[1])
        self.say("--os-volume-api-version", "3.42", "volume", "set", uuid, "--size", "2")
        self.assertEqual(2, self.becomes(uuid, "in-use")["size"])
        after = int(self.execute(container, "stat -f -c %b /data")[1])
        self.assertGreater(after, before * 1.8)

        at = ("--os-volume-api-version", "3.42")
        self.say(*at, "volume", "set", uuid, "--size", "9000")
        self.assertEqual(2, self.becomes(uuid, "error_extending")["size"])
        (row,) = self.shown(*at, "volume", "message", "list")
        self.assertEqual(uuid, row["Resource UUID"])
        self.assertIn(f"Volume {uuid} cannot grow to 9000 GiB", row["User Message"])
        self.assertIsNone(self.shown(*at, "volume", "message", "show", row["ID"])["User Message"])
        told = self.cloud.ask("GET", f"{V3}/messages/{row['ID']}", version="volume 3.42")["message"]
        self.assertEqual(row["User Message"], told["user_message"])
        self.say(*at, "volume", "message", "delete", row["ID"])
        self.assertEqual([], self.shown(*at, "volume", "message", "list"))
        self.assertEqual(0, self.execute(container, "touch /data/goes-on")[0])

    @about("volume migrate", lacks="a volume stays in the pool that it was made in")
    def test_not_migrated(self):
        _, uuid = self.make()
        said = self.say("volume", "migrate", uuid, "--host", "elsewhere@local#local", cloud="admin", check=False)
        self.assertIn("There is no such action: os-migrate_volume", said)

    @about("volume summary")
    def test_summed_up(self):
        self.make(size=2)
        shown = self.shown("--os-volume-api-version", "3.36", "volume", "summary")
        summary = self.cloud.ask("GET", f"{V3}/volumes/summary", version="volume 3.36")["volume-summary"]
        self.assertEqual((summary["total_count"], summary["total_size"]), (shown["Total Count"], shown["Total Size"]))

    @about("volume snapshot create", "volume snapshot show", "volume snapshot list", "volume snapshot set")
    @about("volume snapshot unset", "volume snapshot delete")
    def test_snapshots_are_taken_shown_listed_changed_and_deleted(self):
        name, uuid = self.make()
        words = ("--volume", name, "--description", "mine", "--property", "a=b")
        made = self.shown("volume", "snapshot", "create", *words, f"{name}-snap")
        self.cloud.wait(lambda: self.got(f"snapshots/{made['id']}")["snapshot"]["status"] == "available", "it is taken")
        record = self.got(f"snapshots/{made['id']}")["snapshot"]
        self.assertEqual(
            (f"{name}-snap", "mine", {"a": "b"}, uuid),
            tuple(record[key] for key in ("name", "description", "metadata", "volume_id")),
        )
        self.assertEqual(made["id"], self.shown("volume", "snapshot", "show", f"{name}-snap")["id"])
        for filters in (("--volume", name), ("--name", f"{name}-snap"), ("--status", "available", "--volume", name)):
            rows = self.shown("volume", "snapshot", "list", *filters)
            self.assertEqual([made["id"]], [row["ID"] for row in rows], filters)
        self.say("volume", "snapshot", "set", made["id"], "--name", f"{name}-new", "--property", "c=d")
        self.say("volume", "snapshot", "unset", f"{name}-new", "--property", "a")
        record = self.got(f"snapshots/{made['id']}")["snapshot"]
        self.assertEqual((f"{name}-new", {"c": "d"}), (record["name"], record["metadata"]))
        self.say("volume", "snapshot", "delete", f"{name}-new")
        self.is_gone(f"snapshots/{made['id']}")

    @about("volume snapshot set", fault="asks for a state at version 3.65, whatever the server says that it knows")
    def test_a_snapshots_state_is_set_by_other_clients(self):
        name, _ = self.make()
        made = self.shown("volume", "snapshot", "create", "--volume", name, f"{name}-snap")
        words = ("volume", "snapshot", "set", made["id"], "--state", "error")
        self.assertIn("Version 3.65 is not supported", self.say(*words, cloud="admin", check=False))
        body = {"os-reset_status": {"status": "error"}}
        self.cloud.ask("POST", f"{V3}/snapshots/{made['id']}/action", body, cloud="admin", version="volume 3.50")
        self.assertEqual("error", self.got(f"snapshots/{made['id']}")["snapshot"]["status"])

    @about("volume snapshot create")
    def test_a_snapshot_of_a_volume_in_use_needs_force(self):
        name, uuid = self.make()
        self.running("holds", mounts=[{"source": uuid, "destination": "/data"}])
        said = self.say("volume", "snapshot", "create", "--volume", name, "refused", check=False)
        self.assertIn("status must be available, but current status is: in-use", said)
        made = self.shown("volume", "snapshot", "create", "--force", "--volume", name, "forced")
        self.cloud.wait(lambda: self.got(f"snapshots/{made['id']}")["snapshot"]["status"] == "available", "it is taken")

    @about("volume type create", "volume type list", "volume type show", "volume type set", "volume type unset")
    @about("volume type delete")
    def test_types_are_an_administrators(self):
        words = ("--property", "fs_type=ext4", "--property", "colour=red", "--description", "for many", "--multiattach")
        made = self.shown("volume", "type", "create", *words, "special", cloud="admin")
        record = self.got(f"types/{made['id']}", cloud="admin")["volume_type"]
        self.assertEqual({"fs_type": "ext4", "colour": "red", "multiattach": "<is> True"}, record["extra_specs"])
        self.assertIn("special", [row["Name"] for row in self.shown("volume", "type", "list", "--long")])
        self.assertEqual("local", self.shown("volume", "type", "list", "--default")[0]["Name"])
        self.assertEqual(made["id"], self.shown("volume", "type", "show", "special")["id"])
        self.say("volume", "type", "set", "special", "--name", "shared", "--property", "a=b", cloud="admin")
        self.say("volume", "type", "unset", "shared", "--property", "colour", cloud="admin")
        record = self.got(f"types/{made['id']}", cloud="admin")["volume_type"]
        self.assertEqual({"fs_type": "ext4", "a": "b", "multiattach": "<is> True"}, record["extra_specs"])

        name, uuid = self.make("--type", "shared")
        first, second = (
            self.running(f"sharer{number}", mounts=[{"source": uuid, "destination": "/data"}])["uuid"]
            for number in range(2)
        )
        self.execute(first, "sh -c 'echo both >/data/word'")
        self.assertEqual("both", self.execute(second, "cat /data/word")[1].strip())
        kind = self.execute(second, "grep /data /proc/mounts")[1]
        self.assertIn("ext4", kind)
        self.assertEqual(2, len(self.volume(uuid)["attachments"]))
        self.delete(first)
        self.assertEqual("in-use", self.volume(uuid)["status"])
        self.delete(second)
        self.assertIn("still in use", self.say("volume", "type", "delete", "shared", cloud="admin", check=False))
        self.say("volume", "delete", name)
        self.is_gone(f"volumes/{uuid}")
        self.say("volume", "type", "delete", "shared", cloud="admin")
        self.assertEqual(404, self.status_of(f"{V3}/types/{made['id']}"))
        self.assertIn("403", self.say("volume", "type", "create", "mine", check=False))

    @about("volume type set", "volume type unset", "volume set")
    def test_a_private_type_is_for_whom_it_was_opened(self):
        self.say("volume", "type", "create", "--private", "hidden", cloud="admin")
        self.assertNotIn("hidden", [row["Name"] for row in self.shown("volume", "type", "list")])
        self.say("volume", "type", "set", "hidden", "--project", "demo", cloud="admin")
        self.assertIn("hidden", [row["Name"] for row in self.shown("volume", "type", "list")])
        _, uuid = self.make()
        self.say("volume", "set", uuid, "--type", "hidden", "--retype-policy", "never")
        self.assertEqual("hidden", self.volume(uuid)["volume_type"])
        self.say("volume", "type", "unset", "hidden", "--project", "demo", cloud="admin")
        self.assertNotIn("hidden", [row["Name"] for row in self.shown("volume", "type", "list")])

    @about("volume attachment list", "volume attachment show")
    @about("volume attachment delete", "volume attachment complete", "volume attachment set")
    def test_attachments_are_listed_shown_completed_and_a_containers_stays(self):
        _, uuid = self.make()
        at = ("--os-volume-api-version", "3.44")
        container = self.running("attached", mounts=[{"source": uuid, "destination": "/data"}])["uuid"]
        (row,) = self.shown(*at, "volume", "attachment", "list", "--volume-id", uuid)
        self.assertEqual(container, row["Server ID"])
        shown = self.shown(*at, "volume", "attachment", "show", row["ID"])
        self.assertEqual(("attached", uuid), (shown["Status"], shown["Volume ID"]))
        said = self.say(*at, "volume", "attachment", "delete", row["ID"], check=False)
        self.assertIn(f"Detach volume from instance {container}", said)
        self.assertEqual("in-use", self.volume(uuid)["status"])
        self.assertEqual(0, self.execute(container, "touch /data/still-there")[0])

        _, other = self.make()
        host = self.cloud.ask("GET", "/v1/hosts", cloud="admin")["hosts"][0]["hostname"]
        made = self.cloud.ask(
            "POST",
            f"{V3}/attachments",
            {"attachment": {"volume_uuid": other, "instance_uuid": container}},
            version="volume 3.44",
        )["attachment"]
        self.say(*at, "volume", "attachment", "set", made["id"], "--host", host)
        self.assertEqual("attaching", self.volume(other)["status"])
        self.say(*at, "volume", "attachment", "complete", made["id"])
        self.assertEqual("in-use", self.volume(other)["status"])
        self.say(*at, "volume", "attachment", "delete", made["id"])
        self.assertEqual("available", self.volume(other)["status"])

    @about("volume attachment create", fault="asks for the service `compute`, which is not in the catalogue")
    def test_no_attachment_is_created_without_a_compute_service(self):
        _, uuid = self.make()
        words = ("--os-volume-api-version", "3.27", "volume", "attachment", "create", uuid, uuid)
        self.assertIn("compute", self.say(*words, check=False).lower())
        self.assertEqual("available", self.volume(uuid)["status"])

    @about("volume service list", "volume backend pool list")
    def test_services_and_pools_are_hosts_for_administrators(self):
        (row,) = self.shown("volume", "service", "list", cloud="admin")
        self.assertEqual(("cinder-volume", "enabled", "up"), (row["Binary"], row["Status"], row["State"]))
        (pool,) = self.shown("volume", "backend", "pool", "list", "--long", cloud="admin")
        self.assertEqual(f"{row['Host']}#local", pool["Name"])
        self.assertIn("403", self.say("volume", "service", "list", check=False))

    @about("quota show", "quota set", "limits show")
    def test_quotas_of_volumes_hold(self):
        project = self.shown("project", "show", "demo", cloud="admin")["id"]
        held = self.got("limits")["limits"]["absolute"]
        most = held["totalVolumesUsed"] + 1
        self.say("quota", "set", "--volumes", str(most), "--snapshots", "50", "demo", cloud="admin")
        self.addCleanup(self.cloud.ask, "DELETE", f"{V3}/os-quota-sets/{project}", cloud="admin")
        self.assertEqual(most, self.got(f"os-quota-sets/{project}")["quota_set"]["volumes"])
        rows = self.shown("quota", "show", "--volume", "--usage")
        (row,) = [row for row in rows if row["Resource"] == "volumes"]
        self.assertEqual((most, held["totalVolumesUsed"]), (row["Limit"], row["In Use"]))
        self.make()
        said = self.say("volume", "create", "--size", "1", "over", check=False)
        self.assertIn("Maximum number of volumes allowed", said)
        shown = {row["Name"]: row["Value"] for row in self.shown("limits", "show", "--absolute")}
        self.assertEqual(most, shown["max_total_volumes"])

    @about("availability zone list", "extension list", "block storage resource filter list")
    @about("block storage resource filter show")
    def test_zones_extensions_and_filters_are_told(self):
        self.assertEqual(["nova"], [row["Zone Name"] for row in self.shown("availability", "zone", "list", "--volume")])
        self.assertIn("os-quota-sets", [row["Alias"] for row in self.shown("extension", "list", "--volume")])
        at = ("--os-volume-api-version", "3.33")
        found = self.shown(*at, "block", "storage", "resource", "filter", "list")
        self.assertIn("snapshot", [row["Resource"] for row in found])
        shown = self.shown(*at, "block", "storage", "resource", "filter", "show", "snapshot")
        self.assertIn("volume_id", shown["Filters"])

    @about("volume backup list", "volume qos list", "volume group list")
    @about("volume transfer request list", "consistency group list")
    def test_what_is_not_kept_here_lists_as_empty(self):
        for at, words in (
            ("3.50", ("volume", "backup", "list")),
            ("3.50", ("volume", "qos", "list")),
            ("3.50", ("volume", "group", "list")),
            ("3.50", ("volume", "transfer", "request", "list")),
            ("3.50", ("consistency", "group", "list")),
        ):
            cloud = "admin" if "qos" in words else "demo"
            self.assertEqual([], self.shown("--os-volume-api-version", at, *words, cloud=cloud), words)

    @about("volume revert", lacks="a snapshot is made into a new volume")
    @about(
        "volume backup create", "volume transfer request create", "volume qos create", lacks="not served, and says so"
    )
    @about("consistency group create", "volume group type create", lacks="not served, and says so")
    @about("block storage cluster list", "volume host set", lacks="services are the hosts of the container service")
    def test_what_is_not_served_is_refused_with_the_reason(self):
        name, _ = self.make()
        self.say("volume", "snapshot", "create", "--volume", name, f"{name}-snap")
        for at, cloud, said, *words in (
            ("3.40", "demo", "There is no such action: revert", "volume", "revert", f"{name}-snap"),
            ("3.50", "demo", "POST is not a method", "volume", "backup", "create", name),
            ("3.50", "demo", "POST is not a method", "volume", "transfer", "request", "create", name),
            ("3.50", "admin", "POST is not a method", "volume", "qos", "create", "q"),
            ("3.50", "admin", "There is nothing at", "consistency", "group", "create", "--volume-type", "local", "g"),
            ("3.50", "admin", "POST is not a method", "volume", "group", "type", "create", "t"),
            ("3.50", "admin", "There is nothing at", "block", "storage", "cluster", "list"),
            ("3.50", "admin", "There is nothing at", "volume", "host", "set", "--disable", "h"),
        ):
            self.assertIn(said, self.say("--os-volume-api-version", at, *words, cloud=cloud, check=False), words)
