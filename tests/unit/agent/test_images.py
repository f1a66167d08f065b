# SPDX-License-Identifier: Apache-2.0
"""Images of a host: brought once for all who wait, used by those only who have the right, removed when unused."""

from __future__ import annotations

import tempfile
import threading
import unittest
from dataclasses import replace
from pathlib import Path

from tests.unit.agent.fakes import FakeSources
from zun_lite.agent import image_book
from zun_lite.agent.image_book import ImageBook
from zun_lite.agent.image_cache import CacheLimits, ImageCache
from zun_lite.agent.images import Images
from zun_lite.agent.kept_images import KeptImages
from zun_lite.agent.registry_addresses import RegistryAddresses
from zun_lite.agent.runtime.base import Order
from zun_lite.agent.runtime.fake import FakeRuntime
from zun_lite.agent.runtime.fake_images import FakeImages
from zun_lite.common.clock import StoppedClock
from zun_lite.domain import errors, image_reference, names
from zun_lite.domain.desired import KeptImage, Login
from zun_lite.domain.spec import ContainerSpec

ADDRESSES = {
    "docker.io": ("203.1.0.1",),
    "registry.example": (),
    "evil.example": (),
    "localhost": ("127.0.0.1", "::1"),
    "inner.example": ("10.0.0.1",),
    "half.example": ("203.1.0.1", "fd00::1"),
}
LOGIN = Login("registry.example", "ann", "secret")
NAME = "registry.example/app:1"


class ImageCase(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="zl-images-")
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "images.json"
        self.clock = StoppedClock()
        self.runtime = FakeRuntime(self.clock, images=("demo:latest",))
        self.engine = FakeImages(self.runtime)
        self.sources = FakeSources()
        self.woken: list[str] = []
        self.restart()

    def restart(self) -> None:
        self.book = ImageBook(self.path, self.engine, self.clock)
        self.images = self.some_images()

    def some_images(self, wake=None, allowed: tuple[str, ...] = ()) -> Images:
        wake = wake or self.woken.append
        addresses = RegistryAddresses(allowed, ADDRESSES.get)
        return Images(self.engine, self.book, self.sources, 5, wake, addresses)

    def get(self, project: str, spec: ContainerSpec, uuid: str = "a") -> str | None:
        """The image for a workload, brought if need be."""
        found = self.images.ready(uuid, project, spec)
        if found is not None:
            return found
        self.assertTrue(self.images.wait(5))
        return self.images.ready(uuid, project, spec)

    def private(self, name: str = NAME) -> ContainerSpec:
        """A spec of a private image that comes with a login; workload "a" has it."""
        self.runtime.pullable.add(name)
        self.engine.private[name] = ("ann", "secret")
        self.sources.logins["a"] = LOGIN
        return ContainerSpec(name, registry_id="r1")


class Bringing(ImageCase):
    def test_one_pull_serves_all_who_wait(self):
        self.runtime.pullable.add("i:1")
        gate, pull = threading.Event(), self.runtime.pull
        self.runtime.pull = lambda image, seconds: gate.wait(5) and pull(image, seconds)
        for uuid, project in (("a", "p1"), ("b", "p2")):
            self.assertIsNone(self.images.ready(uuid, project, ContainerSpec("i:1")))
        self.images.forget("b")
        gate.set()
        self.assertTrue(self.images.wait(5))
        self.assertEqual((self.woken, self.runtime.verbs()), (["a"], ["pull"]))
        self.assertTrue(self.images.ready("a", "p1", ContainerSpec("i:1")))

    def test_a_policy_of_always_pulls_once_for_each_time_it_is_made(self):
        self.runtime.pullable.add("i:1")
        for _ in range(2):
            self.assertTrue(self.get("p1", ContainerSpec("i:1", image_pull_policy="always")))
        self.assertEqual(self.runtime.verbs(), ["pull", "pull"])

    def test_a_policy_of_never_takes_what_is_there_and_pulls_nothing(self):
        self.assertTrue(self.get("p1", ContainerSpec("demo", image_pull_policy="never")))
        with self.assertRaises(errors.NoSuchImage):
            self.get("p1", ContainerSpec("i:1", image_pull_policy="never"))
        self.assertEqual(self.runtime.verbs(), [])

    def test_a_pull_that_breaks_is_a_failure_of_that_workload(self):
        def broken(image, seconds):
            raise RuntimeError("broken")

        self.runtime.pull = broken
        with self.assertLogs("zun_lite.agent.images", "ERROR"), self.assertRaises(errors.Failed):
            self.get("p1", ContainerSpec("i:1"))

    def test_the_beginning_of_an_images_id_is_no_name_of_it(self):
        image_id = self.engine.find("demo:latest")
        for text in (image_id.removeprefix("sha256:"), image_id.removeprefix("sha256:")[:12], image_id):
            with self.assertRaises(errors.NoSuchImage):
                self.get("p1", ContainerSpec(text))

    def test_a_name_under_which_hosts_keep_images_is_nobodys_to_say(self):
        name = image_reference.embedded(names.new_id())
        self.runtime.images.add(name)
        with self.assertRaises(errors.NoSuchImage):
            self.get("p1", ContainerSpec(name))

    def test_a_registry_in_an_inner_network_is_not_spoken_to(self):
        """E1."""
        for name in ("localhost/x:1", "inner.example:5000/x:1", "half.example/x:1"):
            self.runtime.pullable.add(name)
            with self.assertRaises(errors.NoSuchImage):
                self.get("p1", ContainerSpec(name))
        self.images = self.some_images(allowed=("inner.example:5000",))
        self.assertTrue(self.get("p1", ContainerSpec("inner.example:5000/x:1")))


class Rights(ImageCase):
    def test_a_private_image_is_for_its_project_only(self):
        """A13."""
        spec = self.private()
        self.assertTrue(self.get("p1", spec))
        self.assertEqual(self.engine.logins, [LOGIN])
        self.assertTrue(self.get("p1", ContainerSpec(NAME), "b"))
        for policy in ("ifnotpresent", "always", "never"):
            with self.assertRaises(errors.NoSuchImage):
                self.get("p2", ContainerSpec(NAME, image_pull_policy=policy), "c")
        self.assertTrue(self.get("p1", ContainerSpec(NAME, image_pull_policy="never"), "d"))

    def test_another_project_may_use_it_once_it_pulled_it_itself(self):
        self.get("p1", self.private())
        self.sources.logins["b"] = LOGIN
        self.assertTrue(self.get("p2", ContainerSpec(NAME, registry_id="r2"), "b"))
        self.assertTrue(self.get("p2", ContainerSpec(NAME), "c"))
        self.assertEqual(self.runtime.verbs(), ["pull", "pull"])

    def test_a_wrong_password_ends_in_a_sentence_without_it(self):
        spec = self.private()
        self.sources.logins["a"] = Login("registry.example", "ann", "wrong-canary")
        with self.assertRaises(errors.NoSuchImage) as caught:
            self.get("p1", spec)
        self.assertNotIn("canary", caught.exception.message)
        self.assertNotIn("canary", self.path.read_text())

    def test_one_that_was_deleted_before_its_pull_began_takes_the_image_from_nobody_else(self):
        spec, gate, login = self.private(), threading.Event(), self.sources.login
        del self.sources.logins["a"]
        self.sources.logins["b"] = LOGIN
        self.sources.login = lambda uuid: gate.wait(5) and login(uuid)
        for uuid in ("a", "b"):
            self.assertIsNone(self.images.ready(uuid, "p1", spec))
        self.images.forget("a")
        gate.set()
        self.assertTrue(self.images.wait(5))
        self.assertTrue(self.images.ready("b", "p1", spec))

    def test_a_login_is_not_sent_to_another_registry(self):
        spec = self.private()
        self.sources.logins["a"] = Login("evil.example", "ann", "secret")
        with self.assertRaises(errors.NoSuchImage):
            self.get("p1", spec)
        self.assertEqual(self.engine.logins, [])

    def test_a_public_image_is_for_all_even_if_somebody_has_it_privately(self):
        self.runtime.pullable.add("other/app:1")
        self.get("p1", self.private())
        self.engine.ids["other/app:1"] = self.engine.find(NAME)
        self.assertTrue(self.get("p2", ContainerSpec("other/app:1"), "b"))
        self.assertTrue(self.get("p3", ContainerSpec("other/app:1"), "c"))

    def test_what_the_operator_brought_stays_for_all(self):
        self.engine.ids[NAME] = self.engine.find("demo:latest")
        self.get("p1", self.private())
        self.assertTrue(self.get("p2", ContainerSpec("demo"), "b"))

    def test_rights_outlive_the_agent(self):
        self.get("p1", self.private())
        self.restart()
        self.assertTrue(self.get("p1", ContainerSpec(NAME), "b"))
        with self.assertRaises(errors.NoSuchImage):
            self.get("p2", ContainerSpec(NAME), "c")

    def test_an_agent_that_died_after_a_pull_lets_nobody_have_it(self):
        self.private()
        self.book.begin(NAME, image_book.of_project("p1"))
        self.runtime.images.add(NAME)
        self.restart()
        with self.assertRaises(errors.NoSuchImage):
            self.get("p2", ContainerSpec(NAME), "c")
        self.assertTrue(self.get("p1", ContainerSpec(NAME, registry_id="r1")))

    def test_a_book_that_cannot_be_read_makes_no_image_public(self):
        self.get("p1", self.private())
        self.path.write_text("{")
        with self.assertLogs("zun_lite.agent.image_book", "WARNING"):
            self.restart()
        with self.assertRaises(errors.NoSuchImage):
            self.get("p2", ContainerSpec(NAME), "c")


class Cache(ImageCase):
    HOUR = 3600.0

    def a_cache(self, most_bytes: int = 10**9, hours: float = 24) -> ImageCache:
        return ImageCache(self.engine, self.book, CacheLimits(most_bytes, hours * self.HOUR), self.clock)

    def pulled(self, *images: str) -> None:
        for image in images:
            self.runtime.pullable.add(image)
            self.assertTrue(self.get("p1", ContainerSpec(image)))
            self.clock.advance(self.HOUR)

    def test_what_was_not_wanted_for_long_goes_and_what_is_younger_stays(self):
        self.pulled("old:1", "young:1")
        self.clock.advance(22.5 * self.HOUR)
        self.a_cache().clean(())
        self.assertEqual(self.runtime.images, {"demo:latest", "young:1"})

    def test_the_oldest_go_until_the_rest_is_small_enough(self):
        self.pulled("a:1", "b:1", "c:1")
        self.assertTrue(self.get("p1", ContainerSpec("a:1")))
        self.a_cache(most_bytes=2048).clean(())
        self.assertEqual(self.runtime.images, {"demo:latest", "a:1", "c:1"})

    def test_what_is_used_or_wanted_or_not_ours_stays_for_ever(self):
        self.pulled("used:1", "wanted:1", "free:1")
        self.runtime.create(Order(names.new_id(), 1, 1, ContainerSpec("used:1")))
        self.clock.advance(1000 * self.HOUR)
        self.a_cache(most_bytes=0).clean(("docker.io/library/wanted:1",))
        self.assertEqual(self.runtime.images, {"demo:latest", "used:1", "wanted:1"})

    def test_a_name_that_somebody_else_gave_stays(self):
        self.pulled("ours:1")
        self.engine.ids["theirs:1"] = self.engine.find("ours:1")
        self.runtime.images.add("theirs:1")
        self.clock.advance(1000 * self.HOUR)
        self.assertEqual([], self.a_cache().clean(()))
        self.assertEqual(self.runtime.images, {"demo:latest", "theirs:1"})

    def test_a_name_of_ours_that_the_operators_image_got_goes_alone(self):
        name = image_reference.embedded("g1")
        begun = self.book.begin(name, image_book.of_image("g1"))
        self.engine.ids[name] = self.engine.find("demo:latest")
        self.runtime.images.add(name)
        self.book.end(begun)
        self.assertTrue(self.get("p2", ContainerSpec("demo")))
        self.clock.advance(1000 * self.HOUR)
        self.a_cache().clean(())
        self.assertEqual(self.runtime.images, {"demo:latest"})

    def test_what_somebody_removed_is_forgotten(self):
        self.pulled("a:1")
        self.runtime.images.discard("a:1")
        self.a_cache().clean(())
        self.assertEqual({}, self.book.entries())

    def test_a_private_image_that_is_brought_again_while_it_is_cleaned_away_stays_private(self):
        spec = self.private()
        self.assertTrue(self.get("p1", spec))
        untag = self.engine.untag

        def untag_and_bring_again(name: str) -> None:
            untag(name)
            self.assertTrue(self.get("p1", spec))

        self.engine.untag = untag_and_bring_again
        self.clock.advance(1000 * self.HOUR)
        self.a_cache().clean(())
        with self.assertRaises(errors.NoSuchImage):
            self.get("p2", ContainerSpec(NAME, image_pull_policy="never"), "b")

    def test_a_private_image_that_is_cleaned_away_while_it_is_brought_stays_private(self):
        spec = self.private()
        self.assertTrue(self.get("p1", spec))
        self.clock.advance(1000 * self.HOUR)
        every = self.engine.every

        def every_and_clean():
            found = every()
            self.engine.every = every
            self.a_cache().clean(())
            return found

        self.engine.every = every_and_clean
        self.assertTrue(self.get("p1", replace(spec, image_pull_policy="always")))
        with self.assertRaises(errors.NoSuchImage):
            self.get("p2", ContainerSpec(NAME, image_pull_policy="never"), "b")


class Keeping(ImageCase):
    def setUp(self) -> None:
        super().setUp()
        self.news, self.told = [], threading.Condition()
        cache = ImageCache(self.engine, self.book, CacheLimits(0, 0.0), self.clock)
        self.kept = KeptImages(
            lambda: self.images, self.engine, self.tell, lambda name: cache.let_go(name, self.kept.references())
        )
        self.images = self.some_images(self.kept.woken)

    def tell(self, news) -> None:
        with self.told:
            self.news.append(news)
            self.told.notify_all()

    def next_news(self):
        with self.told:
            self.assertTrue(self.told.wait_for(lambda: self.news, 5))
            return self.news.pop(0)

    def test_an_image_is_brought_told_of_and_let_go(self):
        self.runtime.pullable.add("i:1")
        self.kept.accept((KeptImage("k", "docker.io/library/i:1"),))
        news = self.next_news()
        self.assertEqual((news.uuid, news.image_id, news.problem), ("k", self.engine.find("i:1"), None))
        self.kept.accept((KeptImage("k", "docker.io/library/i:1", wanted=False),))
        self.assertTrue(self.next_news().gone)
        self.assertIsNone(self.engine.find("i:1"))

    def test_one_that_is_not_to_be_had_is_told_with_the_reason(self):
        self.kept.accept((KeptImage("k", "docker.io/library/i:1"),))
        self.assertIn("not found", self.next_news().problem)

    def test_one_that_a_container_uses_is_let_go_but_stays(self):
        self.runtime.pullable.add("i:1")
        self.kept.accept((KeptImage("k", "docker.io/library/i:1"),))
        self.next_news()
        self.runtime.create(Order(names.new_id(), 1, 1, ContainerSpec("i:1")))
        self.kept.accept((KeptImage("k", "docker.io/library/i:1", wanted=False),))
        self.assertTrue(self.next_news().gone)
        self.assertTrue(self.engine.find("i:1"))
