# SPDX-License-Identifier: Apache-2.0
"""What a create refuses, one case a rule, and that the same request passes without the fault."""

from __future__ import annotations

import testtools

from tests.api.case import ApiTestCase
from zun_lite.domain import errors
from zun_lite.domain.image_reference import is_reference
from zun_lite.domain.resources import Limits

# field, value that is refused, a word of the sentence, value that passes (or None for none)
RULES = (
    ("image", "", "image", "demo"),
    ("image", 7, "image", "demo"),
    ("image", "Upper/Case", "image", "lower/case"),
    ("image", "a b", "image", "a-b"),
    ("image", "demo:", "image", "demo:1"),
    ("image", "x" * 256, "image", "x" * 255),
    ("name", "x", "name", "xy"),
    ("name", "-web", "name", "web"),
    ("name", "we b", "name", "we.b"),
    ("name", "web\n", "name", "web"),
    ("name", "w" * 256, "name", "w" * 255),
    ("cpu", 0, "cpu", 0.1),
    ("cpu", -1, "cpu", "1"),
    ("cpu", 17, "cpu", 16),
    ("cpu", "much", "cpu", ".5"),
    ("cpu", True, "cpu", 1),
    ("memory", 5, "6", 6),
    ("memory", "5", "6", "6"),
    ("memory", -1, "memory", 64),
    ("memory", "64M", "memory", "64"),
    ("memory", 1.5, "memory", 64),
    ("memory", "9" * 30, "memory", 64),
    ("memory", 2000000, "memory", 64),
    ("disk", 0, "disk", 1),
    ("disk", 161, "disk", 160),
    ("environment", [], "environment", {}),
    ("environment", {"A": 1}, "environment.A", {"A": "1"}),
    ("environment", {"A=B": "1"}, "environment", {"A_B": "1"}),
    ("environment", {"": "1"}, "environment", None),
    ("labels", {"a": None}, "labels.a", {"a": ""}),
    ("labels", {"zun.uuid": "x"}, "zun.", {"zun": "x"}),
    ("workdir", "tmp", "workdir", "/tmp"),
    ("workdir", "/proc/self/fd/8", "workdir", "/process"),
    ("workdir", "//tmp/../proc/1", "workdir", "/tmp/proc"),
    ("hostname", "", "hostname", "web"),
    ("hostname", "a_b c", "hostname", "a_b.c"),
    ("hostname", "h" * 64, "hostname", "h" * 63),
    ("hostname", None, "hostname", "web"),
    ("interactive", "yes", "interactive", "True"),
    ("tty", 1.5, "tty", True),
    ("auto_remove", "maybe", "auto_remove", None),
    ("auto_heal", "maybe", "auto_heal", "true"),
    ("command", "sh", "command", ["sh"]),
    ("command", [1], "command", []),
    ("entrypoint", {}, "entrypoint", []),
    ("image_driver", "podman", "image_driver", "None"),
    ("image_driver", "glance", "image service", "docker"),
    ("image_pull_policy", "sometimes", "image_pull_policy", ""),
    ("restart_policy", {"Name": "often"}, "restart_policy.Name", {"Name": "no"}),
    ("restart_policy", {"MaximumRetryCount": "1"}, "Name", {}),
    ("restart_policy", {"Name": "always", "MaximumRetryCount": 1}, "always", {"Name": "always"}),
    ("restart_policy", {"Name": "on-failure", "MaximumRetryCount": -1}, "MaximumRetryCount", {"Name": "on-failure"}),
    ("restart_policy", {"Name": "no", "Other": 1}, "Other", {"Name": "no", "MaximumRetryCount": "3"}),
    ("nets", {}, "nets", []),
    ("nets", [{}], "nets.0", None),
    ("nets", [{"network": "n", "port": "p"}], "nets.0", [{"network": "n"}]),
    ("nets", [{"network": "n", "v4-fixed-ip": "::1"}], "IPv4", [{"network": "n", "v4-fixed-ip": "10.0.0.9"}]),
    ("nets", [{"network": "n", "v6-fixed-ip": "10.0.0.9"}], "IPv6", [{"network": "n", "v6-fixed-ip": "fd00::9"}]),
    ("nets", [{"network": "n", "v4-fixed-ip": "10.0.0.9", "v6-fixed-ip": "fe80::9%eth0"}], "IPv6",
     [{"network": "n", "v4-fixed-ip": "10.0.0.9", "v6-fixed-ip": "fd00::9"}]),
    ("nets", [{"port": "p", "v4-fixed-ip": "10.0.0.9"}], "port", [{"port": "p", "v4-fixed-ip": ""}]),
    ("nets", [{"port": "p"}, {"port": "p"}], "port", [{"port": "p"}, {"port": "q"}]),
    ("nets", [{"network": "n", "speed": 1}], "speed", None),
    ("nets", [{"network": "n"}] * 33, "nets", [{"network": "n"}]),
    ("mounts", [{"source": "v"}], "destination", None),
    ("mounts", [{"destination": "/d"}], "mounts.0", None),
    ("mounts", [{"source": "v", "destination": "d"}], "absolute", [{"source": "v", "destination": "/d"}]),
    ("mounts", [{"source": "v", "destination": "/a/../../d"}], "absolute", None),
    ("mounts", [{"source": "v", "destination": "/"}], "own", None),
    ("mounts", [{"source": "v", "destination": "//proc/x"}], "own", [{"source": "v", "destination": "/process"}]),
    ("mounts", [{"source": "v", "size": 1, "destination": "/d"}], "either", [{"size": "1", "destination": "/d"}]),
    ("mounts", [{"source": "", "size": "0", "destination": "/d"}], "size", [{"size": 1, "destination": "/d"}]),
    ("mounts", [{"size": 16385, "destination": "/d"}], "size", [{"source": "", "size": 1, "destination": "/d"}]),
    ("mounts", [{"type": "bind", "source": "eA=", "destination": "/d"}], "base64",
     [{"type": "bind", "source": "eA==", "destination": "/d"}]),
    ("mounts", [{"type": "bind", "source": "eA==", "destination": "/d/"}], "slash", None),
    ("mounts", [{"type": "bind", "source": "eA==", "size": 1, "destination": "/d"}], "size",
     [{"type": "bind", "source": "", "size": "", "destination": "/empty"}]),
    ("mounts", [{"type": "bind", "destination": "/d"}], "content", None),
    ("mounts", [{"type": "bind", "source": "QUFB" * 21846, "destination": "/d"}], "65536",
     [{"type": "bind", "source": "QUFB" * 21845, "destination": "/d"}]),
    ("mounts", [{"type": "bind", "source": "QUFB" * 21845, "destination": f"/d{n}"} for n in range(5)], "together",
     [{"type": "bind", "source": "QUFB" * 21845, "destination": f"/d{n}"} for n in range(4)]),
    ("mounts", [{"type": "bind", "source": "", "destination": f"/d{n}"} for n in range(17)], "16",
     [{"type": "bind", "source": "", "destination": f"/d{n}"} for n in range(16)]),
    ("mounts", [{"type": "bind", "source": "", "destination": "/d"}, {"size": 1, "destination": "/d/e"}], "/d/e",
     [{"size": 1, "destination": "/d"}, {"type": "bind", "source": "", "destination": "/d/e"}]),
    ("mounts", [{"type": "bind", "source": "", "destination": "/d\n"}], "printable", None),
    ("mounts", [{"type": "bind", "source": "", "destination": "/sys/kernel/x"}], "own", None),
    ("mounts", [{"source": "v" * 256, "destination": "/d"}], "bind", None),
    ("mounts", [{"type": "tmpfs", "size": 1, "destination": "/d"}], "type", None),
    ("mounts", [{"size": "", "destination": "/d"}], "size", [{"source": "v", "size": "", "destination": "/d"}]),
    ("mounts", [{"source": "v", "destination": "/d"}, {"source": "w", "destination": "/d/"}], "twice", None),
    ("mounts", [{"source": "v", "destination": "/d"}, {"source": "v", "destination": "/e"}], "twice", None),
    ("security_groups", "web", "security_groups", []),
    ("security_groups", [""], "security_groups.0", ["web", "web"]),
    ("security_groups", ["s" * 256], "security_groups.0", ["s" * 255]),
    ("security_groups", [7], "security_groups.0", None),
    ("security_groups", ["gone"], "gone", None),
    ("exposed_ports", ["80"], "exposed_ports", {}),
    ("exposed_ports", {"80/sctp": {}}, "80/sctp", {"80/tcp": {}, "53/UDP": None, "443": {"ignored": 1}}),
    ("exposed_ports", {"0": {}}, "'0'", {"1": {}}),
    ("exposed_ports", {"65536/tcp": {}}, "65536", {"65535/tcp": {}}),
    ("exposed_ports", {"http": {}}, "http", None),
    ("healthcheck", "true", "healthcheck", {}),
    ("healthcheck", {"interval": 5}, "cmd", {"cmd": "true", "interval": 5}),
    ("healthcheck", {"cmd": ["true"]}, "healthcheck.cmd", {"cmd": "true", "interval": "5", "timeout": 1, "retries": 0}),
    ("healthcheck", {"cmd": "true", "interval": -1}, "interval", None),
    ("healthcheck", {"cmd": "true", "interval": "5s"}, "interval", None),
    ("healthcheck", {"cmd": "true", "retries": 1001}, "retries", {"cmd": "true", "retries": 1000}),
    ("healthcheck", {"cmd": "true", "timeout": 86401}, "timeout", {"cmd": "true", "timeout": 86400}),
    ("healthcheck", {"cmd": "true", "test": "true"}, "test", None),
    ("hints", ["a"], "hints", {}),
    ("hints", {"a": {}}, "hints.a", {"a": "b", "c": 1, "d": True}),
    ("hints", {f"h{number}": "" for number in range(65)}, "64", None),
    ("availability_zone", "", "availability_zone", "nova"),
    ("availability_zone", "z" * 256, "availability_zone", "z" * 255),
    ("registry", "r", "registry", None),
    ("registry", "-r", "registry", None),
    ("cpu_policy", "exclusive", "cpu_policy", "dedicated"),
    ("cpu_policy", None, "cpu_policy", "shared"),
    ("host", "a b", "host", None),
    ("privileged", "yes", "privileged", None),
    ("runtime", 5, "runtime", None),
    ("color", "red", "color", None),
)  # fmt: skip


class CreateRuleTest(ApiTestCase):
    limits = Limits(-1, -1, -1, -1)

    def post(self, body, **more):
        return self.call("POST", "/v1/containers", body, **more)

    def test_each_rule_refuses_its_fault_and_nothing_else(self):
        """B8."""
        for field, refused, word, passes in RULES:
            answer = self.post({"image": "demo", field: refused})
            self.assertEqual(400, answer.status_code, f"{field}={refused!r}: {answer.text}")
            self.assertIn(word, answer.json["errors"][0]["title"], f"{field}={refused!r}")
            if passes is not None:
                answer = self.post({"image": "demo", field: passes})
                self.assertEqual(202, answer.status_code, f"{field}={passes!r}: {answer.text}")

    def test_null_means_absent(self):
        nothing = dict.fromkeys(
            ("name", "command", "entrypoint", "cpu", "memory", "disk", "environment", "labels", "workdir", "tty")
            + ("auto_remove", "auto_heal", "privileged", "runtime", "image_driver", "image_pull_policy")
            + ("restart_policy", "security_groups", "exposed_ports", "nets", "mounts", "hints", "healthcheck")
            + ("availability_zone", "registry", "host")
        )
        made = self.post({"image": "demo", **nothing})
        self.assertEqual(202, made.status_code, made.text)
        self.assertEqual((1.0, "512", 0), tuple(made.json[key] for key in ("cpu", "memory", "disk")))

    def test_removal_and_restart_exclude_each_other(self):
        body = {"image": "demo", "auto_remove": True, "restart_policy": {"Name": "always"}}
        self.refused(400, self.post(body), "auto_remove", "restart_policy")

    def test_nobody_gets_a_privileged_container(self):
        """B1."""
        for value in (True, False):
            for user in ("demo", "admin"):
                self.refused(403, self.post({"image": "demo", "privileged": value}, user=user), "privileged")

    def test_what_only_administrators_may_ask_for(self):
        for field, value in (("image_pull_policy", "always"), ("runtime", "kata"), ("host", "host1")):
            self.refused(403, self.post({"image": "demo", field: value}), field if field != "host" else "destination")
        made = self.post({"image": "demo", "image_pull_policy": "Always", "host": "host1"}, user="admin")
        self.assertEqual(("always", "host1"), (made.json["image_pull_policy"], made.json["host"]))
        for asked, shown in (("Never", "never"), ("IfNotPresent", "ifnotpresent"), (None, "ifnotpresent")):
            made = self.post({"image": "demo", "image_pull_policy": asked}, user="admin")
            self.assertEqual(shown, made.json["image_pull_policy"])

    def test_a_host_that_is_not_there_is_404_and_nothing_is_recorded(self):
        error = self.refused(404, self.post({"image": "demo", "host": "nowhere"}, user="admin"), "nowhere")
        self.assertEqual("container.host-not-found", error["code"])
        self.assertEqual([], self.get("/v1/containers", user="admin")["containers"])

    def test_ports_and_security_groups_exclude_each_other(self):
        body = {"image": "demo", "exposed_ports": {"80": {}}, "security_groups": ["web"]}
        self.refused(400, self.post(body), "exposed_ports", "security_groups")

    def test_a_field_that_no_host_can_serve_ends_in_error_with_the_reason_of_placing(self):
        for field, value in (
            ("availability_zone", "elsewhere"), ("runtime", "kata"), ("hints", {"label:disk": "fast"})
        ):  # fmt: skip
            made = self.post({"image": "demo", field: value}, user="admin").json
            self.assertEqual("Error", made["status"])
            self.assertEqual("There are not enough hosts available.", made["status_reason"])

    def test_run_comes_in_the_query_or_the_body_and_is_a_boolean(self):
        for params, body in (({"run": "yes"}, {}), ({"run": "1"}, {}), ({}, {"run": True})):
            self.assertEqual(202, self.post({"image": "demo", **body}, params=params).status_code)
        self.refused(400, self.post({"image": "demo"}, params={"run": "perhaps"}), "run")
        self.refused(400, self.post({"image": "demo"}, params={"color": "red"}), "color")

    def test_a_named_thing_that_is_not_there_is_told_before_anything_is_recorded(self):
        def not_there(caller, ident, **more):
            raise errors.NotFound(f"Network {ident} could not be found.", kind="NetworkNotFound")

        self.means.networks.resolve = not_there
        error = self.refused(404, self.post({"image": "demo", "nets": [{"network": "gone"}]}), "gone")
        self.assertEqual("container.network-not-found", error["code"])
        self.assertEqual([], self.get("/v1/containers")["containers"])

    def test_a_create_without_a_project_is_forbidden(self):
        token = self.log_in("demo", scope="unscoped").headers["X-Subject-Token"]
        answer = self.post({"image": "demo"}, headers={"X-Auth-Token": token})
        self.assertEqual(403, answer.status_code)


class QuotaTest(ApiTestCase):
    limits = Limits(containers=1)

    def test_over_quota_is_403(self):
        self.create()
        error = self.refused(403, self.call("POST", "/v1/containers", {"image": "demo"}), "containers")
        self.assertEqual("container.over-quota", error["code"])


class ImageReferenceTest(testtools.TestCase):
    def test_what_docker_takes(self):
        digest = "sha256:" + "0" * 64
        for text in (
            "busybox",
            "library/busybox:1.36",
            "registry.example:5000/team/app:v1.0-rc.1_x",
            "localhost/app",
            "host:80/app",
            "Registry.Example/app",
            "a__b/c--d/e.f",
            f"busybox@{digest}",
            f"busybox:1@{digest}",
        ):
            self.assertTrue(is_reference(text), text)

    def test_what_docker_refuses(self):
        for text in (
            "",
            "Busybox",
            "team/App",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "a/",
            "/a",
            "a//b",
            "a:",
            "a:b:c",
            "a:-b",
            "a:" + "t" * 129,
            "a@sha256:00",
            "http://a/b",
            "a b",
            "a\n",
            "bücher",
            "x" * 256,
        ):
            self.assertFalse(is_reference(text), text)
