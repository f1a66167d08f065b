# SPDX-License-Identifier: Apache-2.0
"""What may be copied into and out of a container."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import unittest

from tests.unit.domain.test_tar import a_member, a_tar
from zun_lite.domain import archives, errors

MOUNTS = ["/data", "/var/lib/db", "/etc/hosts"]


class PathTest(unittest.TestCase):
    def test_a_path_is_normalised(self):
        for given, wanted in (("/a/b", "/a/b"), ("/", "/"), ("//a//b/", "/a/b"), ("/a/../../b", "/b"), ("/a/.", "/a")):
            self.assertEqual(wanted, archives.checked_path(given))

    def test_others_are_refused(self):
        """B4."""
        for path in (None, "", "a", "./a", "../a", 7, "/a\0b", "/a\nb", "/" + "x" * 5000, "/\ud800", ["/a"]):
            with self.subTest(repr(path)[:20]), self.assertRaises(errors.Invalid):
                archives.checked_path(path)


class ContentTest(unittest.TestCase):
    def check(self, content: bytes, path: str = "/tmp") -> None:
        archives.check_content(content, path, MOUNTS)

    def test_a_plain_tar_is_taken(self):
        self.check(a_tar(("a", b"x"), a_member("d", tarfile.DIRTYPE), a_member("s", tarfile.SYMTYPE, "../../etc")))

    def test_compressed_ones_are_known(self):
        plain = a_tar(("a", b"x"))
        self.assertIsNone(archives.compression(plain))
        for packed, name in (
            (gzip.compress(plain), "gzip"),
            (bz2.compress(plain), "bzip2"),
            (lzma.compress(plain), "xz"),
            (lzma.compress(plain, format=lzma.FORMAT_ALONE), "lzma"),
            (b"\x28\xb5\x2f\xfd" + plain, "zstd"),
            (a_tar(("P*M\x18", b"x"), form=tarfile.USTAR_FORMAT), "zstd"),
        ):
            self.assertEqual(name, archives.compression(packed))
            with self.assertRaisesRegex(errors.Invalid, "compressed"):
                self.check(packed)

    def test_a_tar_that_begins_like_a_compressed_one_is_refused(self):
        with self.assertRaisesRegex(errors.Invalid, "compressed"):
            self.check(a_tar(("BZh91AY", b"x"), form=tarfile.USTAR_FORMAT))

    def test_what_leads_out_is_refused(self):
        for member in (
            ("../a", b"x"),
            ("a/../../b", b"x"),
            a_member("h", tarfile.LNKTYPE, "../../etc/shadow"),
            a_member("n", tarfile.CHRTYPE),
            a_member("n", tarfile.BLKTYPE),
        ):
            with self.assertRaises(errors.Invalid):
                self.check(a_tar(member))

    def test_a_volume_is_written_to_only_where_it_is_named(self):
        self.check(a_tar(("a", b"x")), "/data")
        self.check(a_tar(("a", b"x")), "/data/deep")
        self.check(a_tar(a_member("data", tarfile.DIRTYPE), ("database", b"x")), "/")
        for path, name in (
            ("/", "data/a"),
            ("/", "/data/a"),
            ("/var", "lib/db/a"),
            ("/var/lib", "./db/a"),
            ("/", "data"),
        ):
            with self.subTest(f"{path} {name}"), self.assertRaisesRegex(errors.Invalid, "volume"):
                self.check(a_tar((name, b"x")), path)

    def test_too_large_a_one_is_refused(self):
        with self.assertRaisesRegex(errors.Invalid, "larger"):
            self.check(b"\0" * (archives.MAX_BYTES + 1))


class HiddenTest(unittest.TestCase):
    def test_what_lies_in_volumes_is_hidden_unless_named(self):
        hidden = archives.hidden("/", MOUNTS)
        self.assertEqual(
            [False, False, True, True, False],
            [hidden(name) for name in ("/data", "/database/a", "/data/a", "data/b", "/etc/hosts")],
        )
        hidden = archives.hidden("/var", MOUNTS)
        self.assertEqual([False, True, False], [hidden(name) for name in ("var/lib/db", "var/lib/db/a", "var/lib/x")])
        for path, name in (("/data", "data/a"), ("/data/deep", "deep/a")):
            self.assertFalse(archives.hidden(path, MOUNTS)(name))
