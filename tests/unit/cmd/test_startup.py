# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import socket
import unittest

from zun_lite.cmd.installation import Installation
from zun_lite.cmd.startup import check_ports
from zun_lite.domain import errors


class PortsTest(unittest.TestCase):
    def test_a_port_that_another_program_has_is_named_with_the_option_that_changes_it(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as other:
            port, free = taken.getsockname()[1], other.getsockname()[1]
            other.close()
            with self.assertRaisesRegex(errors.Conflict, f"127.0.0.1:{port} .*--port "):
                check_ports(Installation("/nowhere", port=port, agent_port=free, gateway_port=free))
            with self.assertRaisesRegex(errors.Conflict, f"127.0.0.1:{port} .*--agent-port "):
                check_ports(Installation("/nowhere", port=free, agent_port=port, gateway_port=free))
            taken.close()
            check_ports(Installation("/nowhere", port=port, agent_port=free, gateway_port=free))
