# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import os
import tarfile
import tempfile
import unittest
from unittest import mock

from zun_lite.cmd import images
from zun_lite.cmd.engine import Engine
from zun_lite.common import busybox
from zun_lite.domain import errors


class ReferenceTest(unittest.TestCase):
    def test_latest_is_the_tag_of_a_bare_name(self) -> None:
        self.assertEqual(("app", "latest"), images.split_reference("app"))
        self.assertEqual(("team/app", "1.0"), images.split_reference("team/app:1.0"))

    def test_what_docker_would_not_take_is_refused(self) -> None:
        for reference in ("", "App", "app:", "app:a b", "-app", "app/", "a" * 3 + ":" + "t" * 129):
            with self.assertRaises(errors.Invalid, msg=reference):
                images.split_reference(reference)


class DemoLayerTest(unittest.TestCase):
    def test_it_is_the_same_bytes_each_time_and_holds_a_root_file_system(self) -> None:
        layer = busybox.layer(busybox.BUSYBOX)
        self.assertEqual(layer, busybox.layer(busybox.BUSYBOX))
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            names = set(tar.getnames())
            self.assertLessEqual({"bin/busybox", "bin/sh", "bin/ip", "etc/passwd", "etc/group", "tmp"}, names)
            self.assertEqual("busybox", tar.getmember("bin/sh").linkname)
            self.assertEqual(0o1777, tar.getmember("tmp").mode)

    def test_a_busybox_that_needs_libraries_is_refused(self) -> None:
        with self.assertRaisesRegex(errors.Failed, "busybox-static"):
            busybox.layer("/bin/ls")
        with self.assertRaisesRegex(errors.Failed, "busybox-static"):
            busybox.layer("/nowhere/busybox")


class RemovalTest(unittest.TestCase):
    def test_an_image_that_a_container_of_others_uses_hinders_no_other(self) -> None:
        engine = mock.create_autospec(Engine, instance=True)
        engine.images.return_value = [
            {"Id": "sha256:1", "RepoTags": ["demo:latest", "demo:old"]},
            {"Id": "sha256:2", "RepoTags": ["<none>:<none>"]},
            {"Id": "sha256:3", "RepoTags": None},
        ]
        engine.remove_image.side_effect = [errors.Failed("conflict: container 1 is using it"), None, None, None]
        removed, kept = images.remove_all(engine, "zun")
        self.assertEqual((["demo:old", "<none>:<none>", "sha256:3"], ["demo:latest"]), (removed, kept))
        self.assertEqual("sha256:2", engine.remove_image.call_args_list[2].args[0])


class ImportTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="zl-images-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.engine = Engine(os.path.join(self.folder, "no.sock"))

    def tar(self, *names: str, mode: str = "w:gz") -> str:
        path = os.path.join(self.folder, "root.tar")
        with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
            for name in names:
                tar.addfile(tarfile.TarInfo(name))
        return path

    def test_what_is_no_tar_is_refused_before_docker_is_asked(self) -> None:
        path = os.path.join(self.folder, "notes.txt")
        with open(path, "w") as stream:
            stream.write("not a tar\n" * 100)
        with self.assertRaisesRegex(errors.Invalid, "is not a tar"):
            images.import_image(self.engine, path, "app", "zun")

    def test_an_image_saved_by_docker_is_told_apart(self) -> None:
        with self.assertRaisesRegex(errors.Invalid, "docker load"):
            images.import_image(self.engine, self.tar("abc/layer.tar", "manifest.json"), "app", "zun")

    def test_a_path_that_is_not_there_is_named(self) -> None:
        with self.assertRaisesRegex(errors.NotFound, "/nowhere/root.tar"):
            images.import_image(self.engine, "/nowhere/root.tar", "app", "zun")

    def test_without_docker_the_answer_says_where_it_was_looked_for(self) -> None:
        with self.assertRaisesRegex(errors.Unavailable, "no.sock"):
            images.import_image(self.engine, self.tar("./bin/sh"), "app", "zun")
        with self.assertRaisesRegex(errors.Unavailable, "no.sock"):
            images.import_image(self.engine, self.folder, "app", "zun")
