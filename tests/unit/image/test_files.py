# SPDX-License-Identifier: Apache-2.0
"""Files of images: whole or not there, counted as they come, swept when nobody names them."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tempfile
import unittest
import unittest.mock
from pathlib import Path

from zun_lite.domain import errors
from zun_lite.image.files import LEFT_OVER_SECONDS, ImageFiles


class Broken(io.BytesIO):
    """A line that breaks after what it had."""

    def read(self, size=-1, /):
        block = super().read(size)
        if not block:
            raise TimeoutError
        return block


class ImageFilesTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "images"
        self.files = ImageFiles(str(self.folder))

    def test_what_came_is_what_is_read(self):
        content = os.urandom(1_000_000)
        written = self.files.write(io.BytesIO(content), len(content), 10**9)
        self.assertEqual(
            (len(content), hashlib.md5(content).hexdigest(), hashlib.sha512(content).hexdigest()),
            (written.size_bytes, written.md5, written.sha512),
        )
        with self.files.open(written.location) as stream:
            self.assertEqual(content, stream.read())
        self.files.remove(written.location)
        with self.assertRaises(errors.NotFound):
            self.files.open(written.location)

    def test_what_is_too_large_or_cut_off_or_another_length_leaves_nothing(self):
        for source, said, most, error in (
            (io.BytesIO(b"12345"), None, 4, errors.TooLarge),
            (io.BytesIO(b"12345"), 5, 4, errors.TooLarge),
            (io.BytesIO(b"1234"), 5, 9, errors.Invalid),
            (Broken(b"1234"), None, 9, TimeoutError),
        ):
            with self.assertRaises(error):
                self.files.write(source, said, most)
            self.assertEqual([], list(self.folder.glob("*")))
        self.assertEqual(4, self.files.write(io.BytesIO(b"1234"), 4, 4).size_bytes)

    def test_the_folder_is_on_disk_before_a_record_may_name_the_file(self):
        synced = []

        def note(opened: int) -> None:
            synced.append((stat.S_ISDIR(os.fstat(opened).st_mode), len(list(self.folder.glob("*.part")))))

        with unittest.mock.patch.object(os, "fsync", note):
            self.files.write(io.BytesIO(b"x"), 1, 10)
        self.assertEqual([(False, 1), (True, 0)], synced)

    def test_only_old_files_that_no_record_names_are_swept(self):
        named, old, young = (self.files.write(io.BytesIO(b"x"), 1, 9).location for _ in range(3))
        for location in (named, old):
            os.utime(self.folder / location, (1, 1))
        part = self.folder / "abc.part"
        part.touch()
        os.utime(part, (1, 1))
        self.files.sweep({named})
        self.assertEqual({named, young}, {path.name for path in self.folder.iterdir()})
        self.assertGreater(LEFT_OVER_SECONDS, 3600)

    def test_it_is_time_to_sweep_once_an_hour(self):
        self.assertEqual([True, False], [self.files.is_time_to_sweep() for _ in range(2)])
