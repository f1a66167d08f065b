# SPDX-License-Identifier: Apache-2.0
"""What a user's image archive may do to a host: bring one image under the host's own name, and nothing else."""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from zun_lite.agent import image_archive
from zun_lite.domain import errors

NAME = "zun-lite.invalid/image:x"
ONE, TWO = "a" * 64, "b" * 64
CONFIG = "c" * 64 + ".json"
MANIFEST = json.dumps([{"Config": CONFIG, "RepoTags": ["nginx:latest"], "Layers": [f"{ONE}/layer.tar"]}]).encode()
LINK, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE


class ArchiveCase(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="zl-archive-")
        self.addCleanup(folder.cleanup)
        self.path = str(Path(folder.name) / "image.tar")

    def write(self, *members, mode: str = "w") -> str:
        """members: (path, content), or (path, type, target) of a link."""
        with tarfile.open(self.path, mode) as archive:
            for name, content, *target in members:
                entry = tarfile.TarInfo(name)
                if target:
                    entry.type, entry.linkname = content, target[0]
                    archive.addfile(entry)
                else:
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
        return self.path

    def renamed(self, most_bytes: int = 10**9) -> tarfile.TarFile:
        content = b"".join(image_archive.renamed(self.path, NAME, most_bytes))
        return tarfile.open(fileobj=io.BytesIO(content))

    def refused(self, *members, **more) -> None:
        self.write(*members)
        with self.assertRaises(errors.Invalid):
            self.renamed(**more)


class Archives(ArchiveCase):
    def test_an_image_gets_the_one_name_that_the_host_chose(self):
        for mode in ("w", "w:gz", "w:xz"):
            layer = os.urandom(700_000)
            self.write(
                (f"{ONE}/layer.tar", layer),
                (f"{TWO}/layer.tar", LINK, f"../{ONE}/layer.tar"),
                (CONFIG, b"{}"),
                ("./manifest.json", MANIFEST),
                ("repositories", b'{"nginx": {}}'),
                mode=mode,
            )
            self.assertTrue(image_archive.is_saved_image(self.path, 10**9))
            found = self.renamed()
            self.assertEqual(
                [f"{ONE}/layer.tar", f"{TWO}/layer.tar", CONFIG, "manifest.json"], [member.name for member in found]
            )
            (image,) = json.loads(found.extractfile("manifest.json").read())
            self.assertEqual(([NAME], CONFIG), (image["RepoTags"], image["Config"]))
            self.assertEqual(layer, found.extractfile(f"{TWO}/layer.tar").read())

    def test_no_second_path_leads_to_the_manifest(self):
        good = ("manifest.json", MANIFEST)
        for member in (
            ("./manifest.json", MANIFEST),
            ("x/../manifest.json", MANIFEST),
            ("/manifest.json", MANIFEST),
            ("x", LINK, "."),
            ("x", LINK, "manifest.json"),
            ("x", HARD, "manifest.json"),
            (f"{ONE}/layer.tar", LINK, "../manifest.json"),
            (f"{ONE}/layer.tar", LINK, "/etc/passwd"),
            ("../../etc/passwd", b"x"),
        ):
            with self.subTest(member=member[0]):
                self.refused(good, member)
                self.refused(member, good)
        self.write(good)
        self.assertEqual(1, len(self.renamed().getmembers()))

    def test_only_plain_files_come_through(self):
        for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
            self.refused(("manifest.json", MANIFEST), ("x", kind, ""))

    def test_a_manifest_is_one_images(self):
        for content in (b"", b"{", b"{}", b"[]", b"[1]", json.dumps([{}, {}]).encode(), b"[" + b" " * 5_000_000 + b"]"):
            self.refused(("manifest.json", content))

    def test_what_is_too_large_or_too_many_or_cut_off_is_refused(self):
        """E3."""
        self.refused(("manifest.json", MANIFEST), ("x", b"0" * 1000), most_bytes=500)
        self.refused(("manifest.json", MANIFEST), *((f"x{number}", b"") for number in range(10_001)))
        self.write(("manifest.json", MANIFEST), ("x", b"0" * 100_000))
        os.truncate(self.path, 50_000)
        with self.assertRaises(errors.Invalid):
            self.renamed()

    def test_a_tar_without_a_manifest_is_a_root_file_system(self):
        self.write(("etc/passwd", b"root"))
        self.assertFalse(image_archive.is_saved_image(self.path, 10**9))
        self.assertEqual(Path(self.path).read_bytes(), b"".join(image_archive.plain(self.path)))

    def test_a_root_file_system_that_unpacks_to_too_much_is_refused(self):
        self.write(("zeros", b"\0" * 600_000), ("more", b"\0" * 600_000), mode="w:gz")
        self.assertLess(os.path.getsize(self.path), 10_000)
        self.assertFalse(image_archive.is_saved_image(self.path, 1_200_000))
        with self.assertRaisesRegex(errors.Invalid, "larger, unpacked"):
            image_archive.is_saved_image(self.path, 1_000_000)
        with mock.patch.object(image_archive, "MOST_FILES", 1), self.assertRaisesRegex(errors.Invalid, "larger"):
            image_archive.is_saved_image(self.path, 10**9)

    def test_what_is_no_tar_is_refused(self):
        for content in (b"", b"junk" * 1000):
            Path(self.path).write_bytes(content)
            with self.assertRaises(errors.Invalid):
                image_archive.is_saved_image(self.path, 10**9)
