# SPDX-License-Identifier: Apache-2.0
"""The command line's HTTP, against answers that a server gives byte by byte."""

from __future__ import annotations

import socket
import tempfile
import threading
import unittest

from zun_lite.cli import wire
from zun_lite.cli.failures import Failure
from zun_lite.cli.transport import _parts


class WireTest(unittest.TestCase):
    def exchange(self, answer: bytes, *, at_a_time: int = 1 << 20, **options: object) -> wire.Response:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.received = bytearray()

        def serve() -> None:
            with theirs:
                while b"\r\n\r\n" not in self.received or (
                    b"chunked" in self.received and not self.received.endswith(b"\r\n0\r\n\r\n")
                ):
                    self.received += theirs.recv(65536)
                for at in range(0, len(answer), at_a_time):
                    theirs.sendall(answer[at : at + at_a_time])

        threading.Thread(target=serve, daemon=True).start()
        return wire.exchange(ours, "GET", "host:1", "/x?y=1", {"X-Auth-Token": "t"}, **options)

    def test_an_answer_is_the_same_however_it_arrives(self):
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Y: z\r\n\r\n"
        chunked += b"3\r\nabc\r\n5;some=thing\r\nde\r\nf\r\n0\r\nTrailer: 1\r\n\r\n"
        for answer in (
            chunked,
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-Y: z\r\nContent-Length: 8\r\n\r\nabcde\r\nf",
            b"HTTP/1.0 200\r\nx-y:z\r\n\r\nabcde\r\nf",
        ):
            for at_a_time in (1, 7, 1 << 20):
                with self.subTest(answer=answer, at_a_time=at_a_time):
                    response = self.exchange(answer, at_a_time=at_a_time)
                    self.assertEqual((200, "z"), (response.status, response.headers["x-y"]))
                    found = [response.read(2), *(response.readline() for _ in range(3)), response.some()]
                    self.assertEqual([b"ab", b"cde\r\n", b"f", b"", b""], found)
                    self.assertEqual(b"abcde\r\nf", self.exchange(answer, at_a_time=at_a_time).read())

    def test_one_that_breaks_off_is_not_taken_for_whole(self):
        for answer in (
            b"",
            b"HTTP/1.1 200 OK\r\n",
            b"SSH-2.0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno\r\nabc\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"y" * wire.MOST_HEAD_BYTES * 2,
        ):
            with self.subTest(answer=answer[:80]), self.assertRaises(wire.BrokenOff):
                self.exchange(answer).read()

    def test_a_body_is_sent_whole_or_as_it_is_made(self):
        done = b"HTTP/1.1 204 No Content\r\n\r\n"
        self.assertEqual(b"", self.exchange(done, body=b"{}").read())
        self.assertTrue(self.received.startswith(b"GET /x?y=1 HTTP/1.1\r\nHost: host:1\r\n"), self.received)
        self.assertIn(b"Content-Length: 2\r\n", self.received)
        self.exchange(done, body=iter([b"ab", b"", b"c" * 17])).read()
        self.assertTrue(self.received.endswith(b"\r\n\r\n2\r\nab\r\n11\r\n" + b"c" * 17 + b"\r\n0\r\n\r\n"))

    def test_parts_of_files_are_sent_as_they_are_and_told_when_they_are_not_there(self):
        with tempfile.TemporaryFile() as file:
            file.write(b"0123456789")
            file.flush()
            done = b"HTTP/1.1 204 No Content\r\n\r\n"
            self.exchange(done, body=[b"a", wire.FilePart(file, 2, 5)]).read()
            self.assertTrue(self.received.endswith(b"1\r\na\r\n5\r\n23456\r\n0\r\n\r\n"), self.received)
            with self.assertRaisesRegex(Failure, "became shorter"):
                self.exchange(done, body=[wire.FilePart(file, 2, 20)])

    def test_a_part_of_an_answer_goes_straight_into_a_file(self):
        answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\ndefgh\r\n0\r\n\r\n"
        with tempfile.TemporaryFile() as file:
            response = self.exchange(answer, at_a_time=7)
            self.assertEqual([b"a", 5, b"g", 1, 0], [
                *(response.read(1), response.copy_to(file.fileno(), 5), response.read(1)),
                *(response.copy_to(file.fileno(), 9), response.copy_to(file.fileno(), 9)),
            ])  # fmt: skip
            file.seek(0)
            self.assertEqual(b"bcdefh", file.read())

    def test_what_is_made_of_a_large_body_is_waited_for_and_other_answers_are_not(self):
        for body, waits in (([b"a"], True), (b"a", False)):
            ours, theirs = socket.socketpair()
            over = threading.Event()

            def serve(theirs: socket.socket = theirs, over: threading.Event = over) -> None:
                over.wait(0.3)
                theirs.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

            with ours, theirs:
                ours.settimeout(0.05)
                serving = threading.Thread(target=serve)
                serving.start()
                if waits:
                    self.assertEqual(204, wire.exchange(ours, "PUT", "host", "/", {}, body).status)
                else:
                    with self.assertRaises(TimeoutError):
                        wire.exchange(ours, "PUT", "host", "/", {}, body)
                over.set()
                serving.join()

    def test_no_header_can_begin_another(self):
        ours, theirs = socket.socketpair()
        with ours, theirs, self.assertRaises(ValueError):
            wire.exchange(ours, "GET", "host", "/", {"X-Auth-Token": "t\r\nX-More: 1"})

    def test_addresses_are_taken_apart(self):
        for url, parts in (
            ("http://a", ("http", "a", 80, "/")),
            ("https://a.b/v1/x?y=http://z", ("https", "a.b", 443, "/v1/x?y=http://z")),
            ("http://[::1]:9517/", ("http", "::1", 9517, "/")),
            ("http://[::1]", ("http", "::1", 80, "/")),
        ):
            self.assertEqual(parts, _parts(url))
        for url in ("", "a", "ftp://a", "http://", "http://:80", "http://a:b/", "http://u@a/", "http://a/b c"):
            self.assertRaises(Failure, _parts, url)
