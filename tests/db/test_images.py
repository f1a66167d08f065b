# SPDX-License-Identifier: Apache-2.0
"""Records of images, registries and hosts' images, and what is made of containers, on every database."""

from __future__ import annotations

import io
import threading

from tests.builders import a_caller, a_host, a_spec, means_of, scratch
from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.control import actions, commit, create, host_images, provision, registries, release, reports
from zun_lite.db import actions as action_rows
from zun_lite.db import images, workloads
from zun_lite.db.listing import Page
from zun_lite.domain import errors, names
from zun_lite.domain.desired import ImageNews, Report
from zun_lite.domain.lifecycle import Observed
from zun_lite.image.embedded import EmbeddedImages


class ImagesTestCase(DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.means = means_of(self.db)
        self.host = a_host(self.means)
        self.caller = a_caller()

    def an_image(self, project_id: str = "p1", *, tags=(), properties=None, **values) -> str:
        uuid = names.new_id()
        values = {"container_format": "docker", **values}
        self.db.transact(
            lambda tx: images.insert(
                tx, uuid=uuid, project_id=project_id, values=values, tags=tags, properties=properties
            )
        )
        return uuid

    def active(self, *arguments, **values) -> str:
        uuid = self.an_image(*arguments, **values)
        self.means.images.store(uuid, io.BytesIO(b"bytes"), 5)
        return uuid

    def image(self, uuid: str) -> images.Image | None:
        with self.db.read() as tx:
            return images.get(tx, uuid)

    def running(self, **spec) -> workloads.Workload:
        made = create.create_container(self.means, self.caller, None, a_spec(**spec), run=True)
        provision.provision(self.means, made)
        self.observe(made, "running")
        return actions.find(self.means, self.caller, made.uuid)

    def observe(self, workload, state: str) -> None:
        now = actions.find(self.means, self.caller, workload.uuid)
        seen = Observed(now.generation, now.epoch, now.goal.run, now.goal.build, state, "c" * 64)
        reports.take(self.means, self.host, Report("boot1", None, False, ((now.uuid, seen),)))

    def tell(self, news: ImageNews, host=None) -> None:
        reports.take(self.means, host or self.host, Report("boot1", None, False, (), (), (news,)))

    def orders(self):
        return reports.desired_set(self.means, self.host).commits

    def action_of(self, workload) -> action_rows.Action:
        with self.db.read() as tx:
            return next(row for row in action_rows.of_workload(tx, workload.uuid) if row.action == "commit")


@on_every_database
class ImageRecordsTest(ImagesTestCase):
    def test_names_tags_and_properties_find_images(self):
        one = self.an_image(name="a", tags=("v1", "v2"), properties={"colour": "blue"})
        two = self.an_image(name="b", tags=("v2",), properties={"colour": "red"})
        with self.db.read() as tx:
            found = images.page(tx, [images.tagged("v2")], Page(order=(("name", True),)))
            self.assertEqual([two, one], [image.uuid for image in found])
            (blue,) = images.page(tx, [images.with_property("colour", "blue")], Page())
            self.assertEqual((one, ("v1", "v2"), {"colour": "blue"}), (blue.uuid, blue.tags, blue.properties))
            (second,) = images.page(tx, [], Page(order=(("name", False),), marker=one))
            self.assertEqual(two, second.uuid)

    def test_a_project_sees_its_own_and_public_images(self):
        mine, theirs = self.an_image("p1"), self.an_image("p2")
        public = self.an_image("p2", visibility=images.PUBLIC)
        with self.db.read() as tx:
            seen = {image.uuid for image in images.page(tx, [images.seen_by("p1")], Page())}
            self.assertIsNone(images.get(tx, theirs, images.seen_by("p1")))
        self.assertEqual({mine, public}, seen)

    def test_an_image_is_resolved_with_the_callers_rights(self):
        uuid = self.active(name="app", tags=("v1",))
        for ident in (uuid, uuid.replace("-", ""), "app", "app:v1"):
            self.assertEqual(uuid, self.means.images.resolve(self.caller, ident))
        for ident in ("app:v2", "nothing", names.new_id()):
            with self.assertRaises(errors.NoSuchImage):
                self.means.images.resolve(self.caller, ident)
        for ident in (uuid, "app"):
            with self.assertRaises(errors.NoSuchImage):
                self.means.images.resolve(a_caller("p2"), ident)
        with self.assertRaises(errors.NotUsable):
            self.means.images.resolve(self.caller, self.an_image(name="queued"))
        with self.assertRaises(errors.NotUsable):
            self.means.images.resolve(self.caller, self.active(name="disk", container_format="bare"))
        self.active(name="app")
        with self.assertRaises(errors.Ambiguous):
            self.means.images.resolve(self.caller, "app")

    def test_of_two_uploads_at_once_the_first_to_end_counts(self):
        uuid, results = self.an_image(), []
        barrier = threading.Barrier(4)

        class Slow(io.BytesIO):
            def read(self, size=-1, /):
                if self.tell() == 0:
                    barrier.wait(20)
                return super().read(size)

        def send(content: bytes) -> None:
            try:
                self.means.images.store(uuid, Slow(content), None)
                results.append(content)
            except errors.Conflict:
                results.append(None)

        senders = [threading.Thread(target=send, args=(bytes([65 + number]) * 10,)) for number in range(4)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        (winner,) = [content for content in results if content]
        opened = self.means.images.open(uuid)
        self.addCleanup(opened.close)
        self.assertEqual((winner, 4), (opened.read(), len(results)))

    def test_a_project_may_have_only_so_many_bytes(self):
        small = EmbeddedImages(self.db, f"{scratch()}/{names.new_id()}", max_size_gib=1, project_gib=0)
        uuid = self.an_image()
        with self.assertRaises(errors.TooLarge):
            small.store(uuid, io.BytesIO(b"x"), None)
        self.means.images.store(uuid, io.BytesIO(b"x"), None)

    def test_uploads_at_once_do_not_pass_the_bytes_of_a_project_together(self):
        service = EmbeddedImages(self.db, f"{scratch()}/{names.new_id()}", project_gib=1)
        first, second = self.an_image(), self.an_image()
        outer = self

        class Meanwhile(io.BytesIO):
            """While it comes, the project gets an image that leaves no room for it."""

            def read(self, size=-1, /):
                if self.tell() == 0:
                    outer.db.transact(lambda tx: images.update(tx, second, {"size_bytes": 1024**3 - 4}))
                return super().read(size)

        with self.assertRaises(errors.TooLarge):
            service.store(first, Meanwhile(b"bytes"), 5)
        self.assertEqual((images.QUEUED, None), (self.image(first).status, self.image(first).location))
        service.store(first, io.BytesIO(b"byte"), 4)

    def test_ones_own_image_is_meant_however_many_public_ones_bear_its_name(self):
        for _ in range(4):
            self.active("p2", name="app", visibility="public")
        own = self.active(name="app")
        self.assertEqual(own, self.means.images.resolve(self.caller, "app"))

    def test_a_protected_image_stays_and_a_removed_one_leaves_nothing(self):
        uuid = self.active(tags=("t",), properties={"a": "b"}, protected=True)
        with self.assertRaises(errors.Forbidden):
            self.means.images.remove(uuid)
        self.db.transact(lambda tx: images.update(tx, uuid, {"protected": False}))
        self.means.images.remove(uuid)
        self.means.images.remove(uuid)
        self.assertIsNone(self.image(uuid))


@on_every_database
class RegistriesTest(ImagesTestCase):
    def a_registry(self, name: str = "r", **changes) -> str:
        wanted = registries.NewRegistry("Registry.Example", name, "ann", "secret-canary", **changes)
        return registries.create(self.means, self.caller, wanted).uuid

    def test_a_password_is_locked_and_opened_for_the_workloads_host_only(self):
        """C6, E4."""
        registry = self.a_registry()
        with self.db.read() as tx:
            stored = registries.registries.get(tx, registry)
        self.assertNotIn("canary", str(stored))
        workload = self.running(registry_id=registry)
        login = registries.login_for(self.means, self.host, workload.uuid)
        self.assertEqual(("registry.example", "ann", "secret-canary"), (login.domain, login.username, login.password))
        self.assertNotIn("canary", repr(login))
        for host, uuid in ((a_host(self.means, "host2"), workload.uuid), (self.host, self.running().uuid)):
            with self.assertRaises(errors.NotFound):
                registries.login_for(self.means, host, uuid)

    def test_one_in_use_is_neither_deleted_nor_moved(self):
        registry = registries.find(self.means, self.caller, self.a_registry())
        workload = self.running(registry_id=registry.uuid)
        for change in (
            lambda: registries.delete(self.means, registry),
            lambda: registries.update(self.means, registry, {"domain": "evil.example"}),
        ):
            with self.assertRaises(errors.InUse):
                change()
        registries.update(self.means, registry, {"password": "new"})
        self.assertEqual("new", registries.login_for(self.means, self.host, workload.uuid).password)
        actions.delete(self.means, self.caller, workload, stop=True)
        self.observe(workload, "absent")
        release.release(self.means, workload)
        registries.delete(self.means, registry)

    def test_names_are_a_projects_own(self):
        uuid = self.a_registry("mine")
        self.assertEqual(uuid, registries.resolve(self.means, self.caller, "mine"))
        with self.assertRaises(errors.NotFound):
            registries.resolve(self.means, a_caller("p2"), "mine")
        self.a_registry("mine")
        with self.assertRaises(errors.Ambiguous):
            registries.resolve(self.means, self.caller, "mine")


@on_every_database
class CommitTest(ImagesTestCase):
    def test_an_image_comes_with_its_hosts_bytes_and_the_action_ends(self):
        workload = self.running()
        before = reports.revision(self.means, self.host)
        image_id = commit.commit(self.means, self.caller, workload, "team/app", "v1")
        self.assertGreater(reports.revision(self.means, self.host), before)
        (order,) = self.orders()
        self.assertEqual((image_id, workload.uuid), (order.image_id, order.workload_uuid))
        self.observe(workload, "running")
        self.assertIsNone(self.action_of(workload).finished_at)
        with self.assertRaises(errors.NotFound):
            commit.take_bytes(self.means, a_host(self.means, "host2"), image_id, io.BytesIO(b"x"), None)
        commit.take_bytes(self.means, self.host, image_id, io.BytesIO(b"bytes"), None)
        image = self.image(image_id)
        self.assertEqual(
            ("active", "team/app", ("v1",), "p1"), (image.status, image.name, image.tags, image.project_id)
        )
        self.assertEqual((None, ()), (self.action_of(workload).message, self.orders()))
        with self.assertRaises(errors.Conflict):
            commit.take_bytes(self.means, self.host, image_id, io.BytesIO(b"x"), None)

    def test_a_failure_is_told_by_the_containers_host_only(self):
        workload = self.running()
        image_id = commit.commit(self.means, self.caller, workload, "app", "v1")
        self.tell(ImageNews(image_id, problem="lies"), a_host(self.means, "host2"))
        self.assertEqual("queued", self.image(image_id).status)
        self.tell(ImageNews(image_id, problem="the disk is full"))
        self.assertEqual("killed", self.image(image_id).status)
        self.assertEqual(
            ("Error", "the disk is full"), (self.action_of(workload).message, self.action_of(workload).reason)
        )
        self.assertEqual((), self.orders())

    def test_a_container_that_is_forgotten_ends_what_was_made_of_it(self):
        workload = self.running()
        image_id = commit.commit(self.means, self.caller, workload, "app", "v1")
        actions.delete(self.means, self.caller, workload, stop=True)
        self.observe(workload, "absent")
        release.release(self.means, workload)
        self.assertEqual(("killed", "Error"), (self.image(image_id).status, self.action_of(workload).message))

    def test_an_image_that_is_deleted_before_it_came_ends_the_action(self):
        workload = self.running()
        image_id = commit.commit(self.means, self.caller, workload, "app", "v1")
        self.means.images.remove(image_id, also=commit.image_removed)
        self.assertEqual(((), "Error"), (self.orders(), self.action_of(workload).message))

    def test_only_what_was_made_can_be_committed_under_a_proper_name(self):
        made = create.create_container(self.means, self.caller, None, a_spec(), run=True)
        with self.assertRaises(errors.WrongState):
            commit.commit(self.means, self.caller, made, "app", "v1")
        workload = self.running()
        for repository, tag in (("App", "v1"), ("app:1", "v1"), ("app", "a b"), ("app@sha256:" + "0" * 64, "v1")):
            with self.assertRaises(errors.Invalid):
                commit.commit(self.means, self.caller, workload, repository, tag)


@on_every_database
class HostImagesTest(ImagesTestCase):
    def pull(self, repo: str = "busybox", tag: str | None = None, host: str = "host1"):
        return host_images.pull(self.means, self.caller, repo, tag, host)

    def kept(self):
        return reports.desired_set(self.means, self.host).kept_images

    def test_a_host_is_told_and_tells(self):
        made = self.pull()
        (kept,) = self.kept()
        self.assertEqual(
            (made.uuid, "docker.io/library/busybox:latest", True), (kept.uuid, kept.reference, kept.wanted)
        )
        self.tell(ImageNews(made.uuid, "sha256:1", 5))
        self.assertEqual(("sha256:1", 5), (host_images.find(self.means, made.uuid).image_id, 5))
        self.tell(ImageNews(made.uuid, "sha256:2", 6), a_host(self.means, "host2"))
        self.assertEqual("sha256:1", host_images.find(self.means, made.uuid).image_id)
        self.tell(ImageNews(made.uuid, gone=True))
        self.assertEqual(1, len(self.kept()))
        host_images.delete(self.means, made)
        self.assertFalse(self.kept()[0].wanted)
        self.tell(ImageNews(made.uuid, gone=True))
        with self.assertRaises(errors.NoSuchImage):
            host_images.find(self.means, made.uuid)

    def test_one_image_is_on_a_host_once_and_a_failed_one_may_be_tried_again(self):
        made = self.pull("busybox", "1")
        for repo, tag in (("busybox", "1"), ("busybox:1", None)):
            with self.assertRaises(errors.Conflict):
                self.pull(repo, tag)
        self.tell(ImageNews(made.uuid, problem="not found"))
        again = self.pull("busybox:1")
        self.assertEqual([again.uuid], [kept.uuid for kept in self.kept()])

    def test_bad_names_and_hosts_are_refused(self):
        for repo, host in (("Busy", "host1"), ("127.0.0.1:1/x", "host1"), ("busybox", "nowhere")):
            with self.assertRaises(errors.Invalid):
                self.pull(repo, host=host)
