# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import io
import os
import socket
import tempfile
import unittest
from unittest import mock

from zun_lite.cmd import demo
from zun_lite.cmd.installation import Installation

CLOUDS = """\
clouds:
  demo:
    auth:
      auth_url: http://127.0.0.1:{port}/identity
      username: demo
      password: secret-of-demo
      project_name: demo
      user_domain_id: default
      project_domain_id: default
"""


class DemoTest(unittest.TestCase):
    def test_a_step_that_fails_is_named_with_what_to_do_and_without_the_password(self) -> None:
        with (
            tempfile.TemporaryDirectory() as folder,
            socket.socket() as unheard,
            socket.create_server(("127.0.0.1", 0)) as proxy,
            mock.patch.dict(os.environ, {"http_proxy": f"http://127.0.0.1:{proxy.getsockname()[1]}", "no_proxy": ""}),
        ):
            unheard.bind(("127.0.0.1", 0))
            with open(os.path.join(folder, "clouds.yaml"), "w") as stream:
                stream.write(CLOUDS.format(port=unheard.getsockname()[1]))
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = demo.run(Installation(state_dir=folder))
            proxy.setblocking(False)
            # nobody asked the proxy, which could not reach this machine's cloud
            self.assertRaises(BlockingIOError, proxy.accept)
        self.assertEqual(1, status)
        self.assertIn("token of project demo: FAILED", out.getvalue())
        self.assertIn("this step failed: token of project demo", err.getvalue())
        self.assertIn("`zun-lite demo` picks up here", err.getvalue())
        self.assertNotIn("secret-of-demo", out.getvalue() + err.getvalue())
