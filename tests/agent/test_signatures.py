# SPDX-License-Identifier: Apache-2.0
"""Images that must be signed, in a registry of Debian's, with signatures as cosign lays them there."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import socket
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from tests.registry import PrivateRegistry
from tests.unit.agent.fakes import FakeSources
from zun_lite.agent.image_book import ImageBook
from zun_lite.agent.images import Images
from zun_lite.agent.registry_addresses import RegistryAddresses
from zun_lite.agent.registry_reader import RegistryReader
from zun_lite.agent.runtime.fake import FakeRuntime
from zun_lite.agent.runtime.fake_images import FakeImages
from zun_lite.agent.signatures import PAYLOAD_TYPE, SIGNATURE, Signatures, read_keys
from zun_lite.common.clock import StoppedClock
from zun_lite.domain import errors
from zun_lite.domain.desired import Login
from zun_lite.domain.spec import ContainerSpec

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def sign(key, payload: bytes) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(payload, ec.ECDSA(hashes.SHA256()))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(payload, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(payload)


def payload_of(digest: str, kind: str = "cosign container image signature") -> bytes:
    image = {"docker-manifest-digest": digest}
    return json.dumps({"critical": {"identity": {"docker-reference": ""}, "image": image, "type": kind}}).encode()


class Pushing:
    """A registry without a login, as whoever pushes to it."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/v2/"

    def blob(self, name: str, content: bytes) -> dict:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        begun = requests.post(f"{self._url}{name}/blobs/uploads/", timeout=10)
        requests.put(begun.headers["Location"], params={"digest": digest}, data=content, timeout=10).raise_for_status()
        return {"digest": digest, "size": len(content)}

    def manifest(self, name: str, tag: str, layers: list[dict]) -> str:
        config = {"mediaType": CONFIG, **self.blob(name, b"{}")}
        body = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
        content = json.dumps(body).encode()
        answer = requests.put(
            f"{self._url}{name}/manifests/{tag}", data=content, headers={"Content-Type": MANIFEST}, timeout=10
        )
        answer.raise_for_status()
        return f"sha256:{hashlib.sha256(content).hexdigest()}"

    def image(self, name: str, tag: str, content: bytes = b"layer") -> str:
        layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", **self.blob(name, content)}
        return self.manifest(name, tag, [layer])

    def signature(self, name: str, digest: str, *signed: tuple[bytes, bytes]) -> None:
        layers = [
            {
                "mediaType": PAYLOAD_TYPE,
                **self.blob(name, payload),
                "annotations": {SIGNATURE: base64.b64encode(signature).decode()},
            }
            for payload, signature in signed
        ]
        self.manifest(name, f"{digest.replace(':', '-')}.sig", layers)


class SignaturesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        # the machine's own network is where this process dials
        here = SimpleNamespace(pid=os.getpid())
        cls.registry = PrivateRegistry(here, free_port())
        cls.addClassCleanup(cls.registry.stop)
        cls.registry.start()
        cls.pushing = Pushing(cls.registry.address)
        cls.key, cls.other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def keys(self, *keys):
        paths = []
        for number, key in enumerate(keys):
            paths.append(self.folder / f"{number}.pub")
            form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            paths[-1].write_bytes(key.public_key().public_bytes(*form))
        return read_keys(map(str, paths))

    def signatures(self, *keys, patterns: tuple[str, ...] = ("*",)) -> Signatures:
        address = self.registry.address
        reader = RegistryReader(RegistryAddresses((address,)).check, (address,))
        return Signatures(reader, self.keys(*(keys or (self.key,))), patterns)

    def name(self, rest: str) -> str:
        return f"{self.registry.address}/{rest}"

    def assert_refused(self, name: str, signatures: Signatures | None = None) -> None:
        with self.assertRaisesRegex(errors.NoSuchImage, "not signed by a key"):
            (signatures or self.signatures()).digest_of(self.name(name), None)

    def test_what_a_trusted_key_signed_is_known_by_tag_and_by_digest(self):
        for number, key in enumerate(
            (self.key, ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048))
        ):
            name = f"team/signed{number}"
            digest = self.pushing.image(name, "1")
            wrong = payload_of(digest)
            right = (payload_of(digest), sign(key, payload_of(digest)))
            self.pushing.signature(name, digest, (wrong, sign(self.other, wrong)), right)
            signatures = self.signatures(ed25519.Ed25519PrivateKey.generate(), key)
            self.assertEqual(digest, signatures.digest_of(self.name(f"{name}:1"), None))
            self.assertEqual(digest, signatures.digest_of(self.name(f"{name}@{digest}"), None))

    def test_what_nobody_or_somebody_else_signed_is_refused(self):
        digest = self.pushing.image("unsigned", "1")
        self.assert_refused("unsigned:1")
        self.pushing.signature("unsigned", digest, (payload_of(digest), sign(self.other, payload_of(digest))))
        self.assert_refused("unsigned:1")
        self.assertEqual(digest, self.signatures(self.other).digest_of(self.name("unsigned:1"), None))

    def test_a_signature_of_another_image_or_of_something_else_is_none(self):
        first, second = self.pushing.image("moved", "1"), self.pushing.image("moved", "2", b"evil")
        self.pushing.signature("moved", first, (payload_of(first), sign(self.key, payload_of(first))))
        self.pushing.signature("moved", second, (payload_of(first), sign(self.key, payload_of(first))))
        self.assertEqual(first, self.signatures().digest_of(self.name("moved:1"), None))
        self.assert_refused("moved:2")
        other_kind = payload_of(second, "attestation")
        self.pushing.signature("moved", second, (other_kind, sign(self.key, other_kind)), (b"no json", b"no"))
        self.assert_refused("moved:2")

    def test_an_image_that_is_not_there_is_not_found(self):
        with self.assertRaises(errors.NoSuchImage):
            self.signatures().digest_of(self.name("nothing:1"), None)

    def test_only_the_repositories_named_must_be_signed(self):
        signatures = self.signatures(patterns=(f"{self.registry.address}/team/*",))
        self.assertTrue(signatures.wanted(self.name("team/a/b:1")))
        self.assertFalse(signatures.wanted(self.name("other:1")))
        self.assertFalse(signatures.wanted("zun-lite.invalid/image:x"))
        self.assertFalse(Signatures(signatures.reader).wanted(self.name("team/a:1")))

    def test_what_is_no_key_is_said(self):
        path = self.folder / "x.pub"
        path.write_text("hello")
        with self.assertRaisesRegex(errors.Invalid, "x.pub in .* is no public key"):
            read_keys([str(path)])

    def test_a_host_uses_signed_images_only_pulled_cached_or_moved_meanwhile(self):
        """E2."""
        clock = StoppedClock()
        runtime = FakeRuntime(clock, images=())
        engine = FakeImages(runtime)
        name = self.name("hosted:1")
        spec = ContainerSpec(name)
        address = self.registry.address
        images = Images(
            engine,
            ImageBook(self.folder / "images.json", engine, clock),
            FakeSources(),
            5,
            lambda uuid: None,
            RegistryAddresses((address,)),
            self.signatures(),
        )
        digest = self.pushing.image("hosted", "1")
        runtime.pullable.add(name)

        def get() -> str | None:
            self.assertIsNone(images.ready("a", "p", spec))
            self.assertTrue(images.wait(10))
            return images.ready("a", "p", spec)

        with self.assertRaisesRegex(errors.NoSuchImage, "not signed"):
            get()
        self.assertIsNone(engine.find(name), "it was pulled though nobody signed it")
        runtime.images.add(name)
        with self.assertRaisesRegex(errors.NoSuchImage, "not signed"):
            get()
        self.pushing.signature("hosted", digest, (payload_of(digest), sign(self.key, payload_of(digest))))
        with self.assertRaisesRegex(errors.NoSuchImage, "changed while"):
            get()
        engine.manifests[engine.find(name)] = (digest,)
        self.assertEqual(engine.find(name), get())
        self.assertEqual(engine.find(name), images.ready("b", "p", spec), "a second container asks nobody")


class HostileRegistryTest(unittest.TestCase):
    """What a registry answers goes nowhere else and costs little."""

    def serve(self, answer) -> tuple[str, list[tuple[str, str | None]]]:
        seen: list[tuple[str, str | None]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                seen.append((self.path, self.headers.get("Authorization")))
                status, headers, body = answer(self.path)
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    return

            def log_message(self, *_):
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        return f"127.0.0.1:{server.server_port}", seen

    def ask(self, address: str, login: Login | None = None):
        reader = RegistryReader(RegistryAddresses((address,)).check, (address,))
        from zun_lite.domain import image_reference

        return reader.manifest(image_reference.parse(f"{address}/a:1"), "1", login)

    def test_e1_a_redirect_into_the_host_is_not_followed(self):
        """E1: redirect from a registry to the loopback: 0 requests."""
        target, reached = self.serve(lambda path: (200, {}, b"{}"))
        for place in (f"http://{target}/", f"https://{target}/", "https://localhost/", "file:///etc/passwd"):
            address, seen = self.serve(lambda path, place=place: (307, {"Location": place}, b""))
            with self.assertRaises(errors.ZunError):
                self.ask(address)
            self.assertEqual(1, len(seen))
        self.assertEqual([], reached)

    def test_e4_a_login_goes_to_nobody_but_the_registry(self):
        """E4: a redirect sees no Authorization."""
        login = Login("x", "ann", "canary-7")

        def answer(path: str):
            if path == "/blob":
                return 200, {}, b"{}"
            return 302 if seen and seen[-1][1] else 401, {"WWW-Authenticate": "Basic", "Location": "/blob"}, b""

        address, seen = self.serve(answer)
        self.ask(address, login)
        self.assertEqual([("/v2/a/manifests/1", True), ("/blob", False)], [(p, bool(a)) for p, a in seen[1:]])
        for realm in (f"http://{address}/token", "https://127.0.0.1/token"):
            challenge = {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'}
            other, asked = self.serve(lambda path, challenge=challenge: (401, challenge, b""))
            with self.assertRaises(errors.ZunError):
                self.ask(other, login)
            self.assertEqual([None], [authorization for _, authorization in asked])

    def test_what_is_too_large_or_no_manifest_is_refused(self):
        for body in (b"x" * (5 * 1024 * 1024), b"[]", b"{"):
            address, _ = self.serve(lambda path, body=body: (200, {}, body))
            with self.assertRaises(errors.Failed):
                self.ask(address)
        address, seen = self.serve(lambda path: (302, {"Location": path}, b""))
        with self.assertRaisesRegex(errors.Failed, "without end"):
            self.ask(address)
        self.assertLess(len(seen), 6)

    def drip(self, opening: bytes, drop: bytes) -> str:
        """The address of a registry that answers with the opening, and a drop after the other for ever."""
        listener = socket.create_server(("127.0.0.1", 0))
        ended = threading.Event()

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection = listener.accept()[0]
                with connection:
                    connection.recv(65536)
                    connection.sendall(opening)
                    while not ended.wait(0.02):
                        connection.sendall(drop)

        threading.Thread(target=serve, daemon=True).start()
        self.addCleanup(listener.close)
        self.addCleanup(ended.set)
        return f"127.0.0.1:{listener.getsockname()[1]}"

    def test_a_registry_that_drips_bytes_is_cut_off_in_time_wherever_it_does(self):
        headers = b"HTTP/1.1 200 OK\r\n"
        for where, opening in (
            ("status", b"HTTP/1.1 200 "),
            ("headers", headers + b"X-A: "),
            ("body", headers + b"\r\n"),
        ):
            address = self.drip(opening, b"x")
            signatures = Signatures(RegistryReader(RegistryAddresses((address,)).check, (address,)))
            failures: list[Exception] = []

            def ask(signatures: Signatures = signatures, address: str = address, failures=failures) -> None:
                try:
                    signatures.digest_of(f"{address}/a:1", None)
                except errors.ZunError as error:
                    failures.append(error)

            with self.subTest(where), mock.patch("zun_lite.agent.signatures.WHOLE_SECONDS", 0.5):
                asking = threading.Thread(target=ask, daemon=True)
                asking.start()
                asking.join(10)
                self.assertFalse(asking.is_alive(), "it reads on and on")
                self.assertEqual([errors.Unavailable], [type(failure) for failure in failures])
