# SPDX-License-Identifier: Apache-2.0
"""Each field of a create reaches Docker: what was asked for is seen in its own record of the container."""

from __future__ import annotations

import base64

from tests.confinement import loose_ends
from tests.functional.case import PATIENT, ClientsTestCase

MIB = 1024**2
SECOND = 10**9


class FieldsTest(ClientsTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.network = cls.cloud.make_network()

    def test_what_its_process_is(self):
        record = self.running(
            "process",
            entrypoint=["sh", "-c"],
            command=[PATIENT[2]],
            environment={"GREETING": "good day"},
            labels={"tier": "web"},
            workdir="/tmp",
            hostname="box.example",
            interactive=True,
            tty=True,
        )
        config = self.one_in_docker(record["uuid"])["Config"]
        self.assertEqual((["sh", "-c"], [PATIENT[2]]), (config["Entrypoint"], config["Cmd"]))
        self.assertIn("GREETING=good day", config["Env"])
        self.assertEqual("web", config["Labels"]["tier"])
        self.assertEqual(("/tmp", "box.example"), (config["WorkingDir"], config["Hostname"]))
        self.assertEqual((True, True), (config["OpenStdin"], config["Tty"]))
        self.assertEqual(["sh", "-c"], record["entrypoint"])

    def test_what_it_is_held_to(self):
        """A9."""
        record = self.running("limits", cpu=0.5, memory="48", restart_policy={"Name": "on-failure"}, disk=1)
        found = self.one_in_docker(record["uuid"])
        held = found["HostConfig"]
        self.assertEqual([], loose_ends(found))
        self.assertEqual((SECOND // 2, 512), (held["NanoCpus"], held["CpuShares"]))
        self.assertEqual((48 * MIB, 48 * MIB), (held["Memory"], held["MemorySwap"]))
        self.assertEqual({"Name": "on-failure", "MaximumRetryCount": 0}, held["RestartPolicy"])
        self.assertEqual("", held["CpusetCpus"])
        self.assertEqual(1, record["disk"])
        quota = self.execute(record["uuid"], "cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us")[1]
        self.assertIn("50000", quota)

    def test_a_health_check_and_ports(self):
        check = {"cmd": "test -e /etc/hosts", "interval": 1, "retries": "2", "timeout": 3}
        record = self.running("health", healthcheck=check, exposed_ports={"80/tcp": {}, "53/udp": {}})
        self.assertEqual(
            {"test": "test -e /etc/hosts", "interval": 1, "retries": 2, "timeout": 3}, record["healthcheck"]
        )
        self.assertEqual([53, 80], record["ports"])
        config = self.one_in_docker(record["uuid"])["Config"]
        self.assertEqual(
            {"Test": ["CMD-SHELL", "test -e /etc/hosts"], "Interval": SECOND, "Timeout": 3 * SECOND, "Retries": 2},
            config["Healthcheck"],
        )
        self.assertEqual({"53/udp", "80/tcp"}, set(config["ExposedPorts"]))
        self.cloud.wait(
            lambda: self.one_in_docker(record["uuid"])["State"]["Health"]["Status"] == "healthy", "it is healthy"
        )

    def test_dedicated_cores_are_nobody_elses_and_run_out(self):
        cores = self.cloud.engine.api.info()["NCPU"]
        uuids = [self.running(f"own{number}", cpu_policy="dedicated")["uuid"] for number in range(cores)]
        held = [self.one_in_docker(uuid)["HostConfig"]["CpusetCpus"] for uuid in uuids]
        self.assertEqual({str(number) for number in range(cores)}, set(held))
        allowed = self.execute(uuids[0], "grep Cpus_allowed_list /proc/self/status")[1]
        self.assertEqual(held[0], allowed.split()[1])
        body = self.cloud.container_body("one-too-many", cpu_policy="dedicated")
        refused = self.cloud.ask("POST", "/v1/containers?run=true", body)
        self.addCleanup(self.delete, refused["uuid"])
        self.assertEqual(
            ("Error", "There are not enough hosts available."), (refused["status"], refused["status_reason"])
        )
        self.running("shared")
        self.delete(uuids[0])
        again = self.running("again", cpu_policy="dedicated")
        self.assertEqual(held[0], self.one_in_docker(again["uuid"])["HostConfig"]["CpusetCpus"])
        self.assertEqual("dedicated", again["cpu_policy"])

    def test_a_file_is_the_containers_own_and_goes_with_it(self):
        content = bytes(range(256)) * 4
        mount = {"type": "bind", "source": base64.b64encode(content).decode(), "destination": "/etc/app/secret.bin"}
        record = self.running("file", mounts=[mount])
        uuid = record["uuid"]
        code, output = self.execute(uuid, "sh -c 'md5sum < /etc/app/secret.bin; stat -c %a:%u /etc/app/secret.bin'")
        self.assertEqual(0, code, output)
        self.assertIn("644:0", output)
        binds = [item for item in self.one_in_docker(uuid)["Mounts"] if item["Destination"] == "/etc/app/secret.bin"]
        with open(binds[0]["Source"], "rb") as file:
            self.assertEqual(content, file.read())
        self.assertTrue(binds[0]["RW"])
        folder = self.cloud.state_dir / "agent" / "files" / uuid
        self.assertEqual((0o700, 0o644), (folder.stat().st_mode & 0o777, (folder / "0").stat().st_mode & 0o777))
        self.assertEqual(0, self.execute(uuid, "sh -c 'echo changed > /etc/app/secret.bin'")[0])
        other = self.running("file2", mounts=[mount])
        self.assertEqual(1024, int(self.execute(other["uuid"], "stat -c %s /etc/app/secret.bin")[1]))
        self.delete(uuid)
        self.assertFalse(folder.exists())

    def test_a_volume_by_name_and_one_made_with_the_container(self):
        kept = self.cloud.make_volume(name="kept")
        mounts = [{"source": "kept", "destination": "/kept"}, {"size": "1", "source": "", "destination": "/made"}]
        uuid = self.running("volumes", mounts=mounts)["uuid"]
        self.assertEqual(0, self.execute(uuid, "sh -c 'echo x > /kept/file && echo y > /made/file'")[0])
        held = self.cloud.ask("GET", "/volume/v3/volumes/detail")["volumes"]
        mine = {item["id"] for item in held if uuid in [held["server_id"] for held in item["attachments"]]}
        self.assertEqual(2, len(mine))
        self.delete(uuid)
        self.cloud.wait(
            lambda: {item["id"] for item in self.cloud.ask("GET", "/volume/v3/volumes")["volumes"]} & mine == {kept},
            "the volume that was made for the container is gone and the other is kept",
        )
        again = self.running("volumes2", mounts=[{"source": kept, "destination": "/kept"}])
        self.assertEqual("x\n", self.execute(again["uuid"], "cat /kept/file")[1])

    def test_the_runtime_is_the_wrapper_of_what_was_asked_for(self):
        network = self.cloud.make_network(cloud="admin")
        fields = {"nets": [{"network": network}], "runtime": "runc", "host": self.host_name()}
        record = self.running("runtime", cloud="admin", **fields)
        self.assertEqual("zun-lite", self.one_in_docker(record["uuid"])["HostConfig"]["Runtime"])
        self.assertEqual(
            ("runc", self.host_name(), False, "ifnotpresent"),
            tuple(record[name] for name in ("runtime", "host", "privileged", "image_pull_policy")),
        )
        seen_by_owner = self.running("plain")
        for name in ("runtime", "host", "privileged", "image_pull_policy"):
            self.assertNotIn(name, seen_by_owner)

    def test_a_privileged_container_where_policy_allows_it_runs_or_says_why_not(self):
        body = self.cloud.container_body("strong", privileged=True)
        self.assertEqual(403, self.cloud.call("POST", "/v1/containers", body).status_code)
        policy = self.cloud.state_dir / "policy.yaml"
        policy.write_text('"container:create:privileged": "rule:admin_or_owner"\n')
        self.addCleanup(policy.unlink)
        answer = self.cloud.wait(
            lambda: (said := self.cloud.call("POST", "/v1/containers?run=true", body)).status_code == 202 and said,
            "the operator's policy is read",
        )
        uuid = answer.json()["uuid"]
        self.addCleanup(self.delete, uuid)
        record = self.cloud.wait_status(uuid, "Running", "Error")
        found = self.one_in_docker(uuid)
        self.assertTrue(found["HostConfig"]["Privileged"])
        self.assertTrue(record["status"] == "Running" or "could not be started" in record["status_reason"], record)

    def test_hints_zone_and_what_no_host_has(self):
        self.running("zone", availability_zone="nova", hints={"note": "nothing that places"})
        for name, value in (("availability_zone", "moon"), ("hints", {"label:disk": "fast"})):
            made = self.cloud.ask("POST", "/v1/containers", self.cloud.container_body("nowhere", **{name: value}))
            self.addCleanup(self.delete, made["uuid"])
            self.assertEqual("Error", made["status"], made)

    def test_auto_remove_takes_it_away_when_it_ends(self):
        uuid = self.cloud.run_container("short", command=["true"], auto_remove=True)
        self.cloud.wait_gone(uuid)

    def test_never_pulled_is_told_at_once(self):
        network = self.cloud.make_network(cloud="admin", name="never")
        fields = {"image": "nowhere:1", "image_pull_policy": "Never", "nets": [{"network": network}]}
        body = self.cloud.container_body("never", **fields)
        made = self.cloud.ask("POST", "/v1/containers?run=true", body, cloud="admin")
        self.addCleanup(self.delete, made["uuid"])
        record = self.cloud.wait_status(made["uuid"], "Error", cloud="admin")
        self.assertIn("never", record["status_reason"])

    def test_the_stock_client_gives_a_file_a_health_check_and_ports(self):
        path = self.cloud.folder / "given.conf"
        path.write_text("from a file\n")
        self.clients.openstack(
            *("appcontainer", "run", "--name", "stock-fields", "--cpu", "0.1", "--memory", "16"),
            *("--mount", f"type=bind,source={path},destination=/etc/given.conf"),
            *("--healthcheck", "cmd=true,interval=2s,retries=3,timeout=1"),
            *("--expose-port", "8080/tcp", "--hint", "a=b", "--availability-zone", "nova", "--hostname", "stock"),
            *("--net", f"network={self.network},v4-fixed-ip=10.1.0.200"),
            *("demo:latest", *PATIENT),
        )
        uuid = self.cloud.container("stock-fields")["uuid"]
        self.addCleanup(self.delete, uuid)
        record = self.cloud.wait_status(uuid, "Running", "Error")
        self.assertEqual("from a file\n", self.execute(uuid, "cat /etc/given.conf")[1])
        self.assertEqual({"test": "true", "interval": 2, "retries": 3, "timeout": 1}, record["healthcheck"])
        self.assertEqual(([8080], "stock"), (record["ports"], record["hostname"]))
        self.assertEqual("10.1.0.200", record["addresses"][self.network][0]["addr"])

    def host_name(self) -> str:
        return self.cloud.ask("GET", "/v1/hosts", cloud="admin")["hosts"][0]["hostname"]
