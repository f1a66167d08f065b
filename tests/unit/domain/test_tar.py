# SPDX-License-Identifier: Apache-2.0
"""Walking through tars: every form that tar programs write, and what is refused."""

from __future__ import annotations

import io
import tarfile
import unittest

from zun_lite.domain import errors, tar

LONG = "folder/" + "x" * 150 + "/" + "é" * 80


def a_tar(*members: tarfile.TarInfo | tuple[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for member in members:
            if isinstance(member, tuple):
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
            else:
                archive.addfile(member)
    return out.getvalue()


def a_member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def forged(block: bytes) -> bytes:
    """The header with the right sum, so that it is taken for one."""
    total = sum(block[:148]) + 8 * 32 + sum(block[156:512])
    return block[:148] + b"%06o\0 " % total + block[156:]


def record(key: str, value: str) -> bytes:
    """One line of a pax header, which begins with its own length."""
    rest = f" {key}={value}\n".encode()
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length += 1
    return str(length).encode() + rest


def a_header(kind: str, body: bytes) -> bytes:
    block = a_tar(("extension", body), form=tarfile.USTAR_FORMAT)[:512]
    return forged(block[:156] + kind.encode() + block[157:]) + body.ljust(-len(body) // 512 * -512, b"\0")


def gnu_with(prefix: bytes) -> bytes:
    block = a_tar(("a", b""), form=tarfile.GNU_FORMAT)[:512]
    return forged(block[:345] + prefix + block[345 + len(prefix) :])


class EntriesTest(unittest.TestCase):
    def test_members_of_every_form_are_told(self):
        for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            content = a_tar(("a", b"1" * 700), a_member("d", tarfile.DIRTYPE), ("d/b", b""), form=form)
            told = [(entry.name.rstrip("/"), entry.kind, entry.body_bytes) for entry in tar.entries(content)]
            self.assertEqual([("a", tar.FILE, 700), ("d", tar.FOLDER, 0), ("d/b", tar.FILE, 0)], told)

    def test_long_names_are_whole(self):
        for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            (entry,) = tar.entries(a_tar((LONG, b"x"), form=form))
            self.assertEqual(LONG, entry.name)

    def test_links_tell_their_targets(self):
        content = a_tar(a_member("s", tarfile.SYMTYPE, "/" + LONG), a_member("h", tarfile.LNKTYPE, "a"))
        told = [(entry.kind, entry.target) for entry in tar.entries(content)]
        self.assertEqual([(tar.SYMLINK, "/" + LONG), (tar.HARD_LINK, "a")], told)

    def test_an_empty_one_has_no_members(self):
        self.assertEqual([], list(tar.entries(a_tar())))
        self.assertEqual([], list(tar.entries(b"")))

    def test_what_is_no_tar_is_refused(self):
        whole = a_tar(("a", b"x" * 2000))
        for content in (b"garbage" * 100, whole[:300], whole[:1024], b"\x01" + whole[1:]):
            with self.subTest(content[:8]), self.assertRaises(errors.Invalid):
                list(tar.entries(content))

    def test_what_readers_may_understand_differently_is_refused(self):
        plain = a_tar(("a", b""))
        below_zero = forged(plain[:124] + b"\xff" * 12 + plain[136:512])
        sparse = forged(plain[:156] + b"S" + plain[157:512])
        huge_header = forged(plain[:124] + b"77777777777\0" + plain[136:156] + b"x" + plain[157:512])
        pax = tarfile.TarInfo("a")
        pax.pax_headers = {"GNU.sparse.name": "b"}
        for name, content in (
            ("a size below zero", below_zero),
            ("a sparse file", sparse),
            ("an endless header", huge_header),
            ("a sparse file of pax", a_tar(pax)),
            ("no number", forged(plain[:124] + b"-0000000001\0" + plain[136:512])),
            ("a name for all that follow", a_header("g", record("path", "b")) + plain),
            ("a size for all that follow", a_header("g", record("size", "512")) + plain),
            ("two names", a_header("x", record("path", "b")) + a_header("x", record("path", "c")) + plain),
            ("two sorts of names", a_header("L", b"b\0") + a_header("x", record("path", "c")) + plain),
            ("the same the other way round", a_header("x", record("path", "c")) + a_header("L", b"b\0") + plain),
            ("a prefix in GNU's form", gnu_with(b"data")),
        ):
            with self.subTest(name), self.assertRaises(errors.Invalid):
                list(tar.entries(content + tar.END))

    def test_a_size_behind_a_nul_is_the_size(self):
        block = a_tar(("a", b"x" * 512))[:512]
        content = forged(block[:124] + b"\0" + b"0000001000" + b"\0" + block[136:]) + b"x" * 512 + tar.END
        self.assertEqual([512], [entry.body_bytes for entry in tar.entries(content)])

    def test_a_folder_of_the_oldest_form_has_no_body(self):
        block = a_tar(("d/", b"x" * 512))[:512]
        content = forged(block[:156] + b"\0" + block[157:]) + a_tar(a_member("n", tarfile.BLKTYPE))
        self.assertEqual(
            [("d/", tar.FOLDER), ("n", tar.BLOCK_DEVICE)], [(entry.name, entry.kind) for entry in tar.entries(content)]
        )

    def test_a_prefix_ends_before_the_times_of_star(self):
        block = a_tar(("b", b""))[:512]
        prefix = b"./" * 63 + b"/data"
        content = forged(block[:345] + prefix + b"00000000000 " * 2 + b"\0" * 8 + b"tar\0") + tar.END
        (entry,) = tar.entries(content)
        self.assertEqual(f"{prefix.decode()}/b", entry.name)

    def test_a_global_header_that_names_nothing_is_passed_over(self):
        content = a_header("g", record("comment", "of git")) + a_tar(("a", b"x"))
        self.assertEqual(["a"], [entry.name for entry in tar.entries(content)])

    def test_a_long_name_and_a_long_target_go_together(self):
        (entry,) = tar.entries(a_tar(a_member(LONG, tarfile.SYMTYPE, "/" + LONG), form=tarfile.GNU_FORMAT))
        self.assertEqual((LONG, "/" + LONG), (entry.name, entry.target))


class WithoutTest(unittest.TestCase):
    def test_the_hidden_are_left_out_and_the_rest_is_a_tar(self):
        content = a_tar(("a", b"1" * 1000), ("secret/b", b"2" * 3000), (LONG, b"3"))
        skipped: list[int] = []
        kept = b"".join(tar.without(io.BytesIO(content).read, lambda name: name.startswith("secret/"), skipped.append))
        with tarfile.open(fileobj=io.BytesIO(kept)) as archive:
            self.assertEqual(["a", LONG], archive.getnames())
            self.assertEqual(b"3", archive.extractfile(LONG).read())
        self.assertEqual(3072, sum(skipped))
