# SPDX-License-Identifier: Apache-2.0
"""Bugs that we put in on purpose, each of which a test must find: the proof that the tests bite.

Each is a few changed words in a copy of the tree. The named test passes on the tree as it is (it is
part of this suite) and must fail on the copy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Bug:
    """path: the file, below the top. before: the text to be replaced, which must stand there once."""

    what: str
    path: str
    before: str
    after: str
    found_by: str


BUGS = (
    Bug(
        "a user may take a volume away from the container that writes to it",
        "zun_lite/volume/attachments.py",
        "    if attachment.workload_uuid is not None and not by_service:\n",
        "    if attachment.workload_uuid == '' and not by_service:\n",
        "tests.api.test_volume_attachments.AttachmentsTest."
        "test_a_containers_attachment_is_ended_by_the_operators_services_alone",
    ),
    Bug(
        "a host is believed what it says of an order that was replaced",
        "zun_lite/volume/orders.py",
        "    elif volume.attempt == news.attempt:\n",
        "    else:\n",
        "tests.api.test_volume_copies.CopiesTest.test_news_of_an_older_order_or_of_another_host_change_nothing",
    ),
    Bug(
        "volumes, snapshots and attachments are everybody's who knows their ids",
        "zun_lite/api/volume/lookups.py",
        "    return [] if caller.is_admin else [belonging_to(caller.project_id)]\n",
        "    return []\n",
        "tests.api.test_volume_attachments.ForeignIdsTest.test_another_projects_things_are_not_there_in_any_route",
    ),
    Bug(
        "the secret of a stream opens it as often as one likes",
        "zun_lite/db/stream_grants.py",
        "            stream_grants.c.opened_at.is_(None),\n",
        "",
        "tests.db.test_stream_grants.StreamGrantsTest.test_a_secret_opens_one_stream_once",
    ),
    Bug(
        "a command is anybody's who knows its id",
        "zun_lite/agent/runtime/docker_streams.py",
        'if found.get("ContainerID") != container_id:',
        "if not found:",
        "tests.agent.test_docker_streams.TerminalsTest.test_a_command_of_another_container_is_none",
    ),
    Bug(
        "a grant to execute opens every command of its container",
        "zun_lite/agent/streams/routes.py",
        '.get("exec_id") != exec_id:',
        '.get("exec_id") == "":',
        "tests.unit.agent.test_streams_server.TerminalTest.test_grants_for_something_else_open_nothing",
    ),
    Bug(
        "a cached image is for everybody, whoever brought it",
        "zun_lite/agent/image_book.py",
        "            if PUBLIC not in entry.rights and not set(rights) & set(entry.rights):\n",
        "            if not entry.rights:\n",
        "tests.unit.agent.test_images.Rights.test_a_private_image_is_for_its_project_only",
    ),
    Bug(
        "an uploaded image keeps the names that it brings",
        "zun_lite/agent/image_archive.py",
        '"RepoTags": [reference]',
        '"RepoTags": found[0].get("RepoTags")',
        "tests.unit.agent.test_image_archive.Archives.test_an_image_gets_the_one_name_that_the_host_chose",
    ),
    Bug(
        "a host gets the login of any registry",
        "zun_lite/control/registries.py",
        "        ours = workload is not None and workload.host == host.uuid\n",
        "        ours = workload is not None\n",
        "tests.db.test_images.RegistriesTest.test_a_password_is_locked_and_opened_for_the_workloads_host_only",
    ),
    Bug(
        "the quota is counted before the project is held",
        "zun_lite/control/create.py",
        "        revisions.raise_one(tx, revisions.project(project_id))\n        check_quota(",
        "        check_quota(",
        "tests.db.test_accept.AcceptTestOnPostgresql.test_racing_creates_never_pass_the_quota",
    ),
    Bug(
        "the quota of networks is counted before the project is held",
        "zun_lite/network/quotas.py",
        "        revisions.raise_one(tx, scope(project_id))\n",
        "",
        "tests.db.test_networks_provider.EmbeddedNetworksTestOnPostgresql.test_64_who_make_networks_get_10_of_10",
    ),
    Bug(
        "more memory for what exists is counted before the project is held",
        "zun_lite/control/update.py",
        "    revisions.raise_one(tx, revisions.project(workload.project_id))\n",
        "",
        "tests.db.test_update.UpdateTestOnPostgresql.test_racing_resizes_never_pass_the_quota",
    ),
    Bug(
        "what a user killed is started again by its restart policy",
        "zun_lite/domain/plan.py",
        '    return done.ended_started_at != "" and done.ended_started_at == seen.started_at\n',
        "    return False\n",
        "tests.unit.agent.test_life.Signals.test_what_was_killed_stays_down_whatever_its_restart_policy",
    ),
    Bug(
        "a host's use is not counted again once the host is held",
        "zun_lite/control/place.py",
        "_candidate(held, workloads.usage_of_host(tx, held.uuid))",
        "_candidate(held, used.get(held.uuid, Resources()))",
        "tests.db.test_accept.AcceptTestOnPostgresql.test_racing_creates_of_many_projects_never_overfill_a_host",
    ),
    Bug(
        "a deleted container's ports are forgotten",
        "zun_lite/control/release.py",
        "        means.networks.release(workload.uuid)\n",
        "",
        "tests.system.test_faults.WholeCloudTest.test_a_container_that_docker_restarts_is_wired_again",
    ),
    Bug(
        "a container is made under a new name each time",
        "zun_lite/domain/names.py",
        '    return f"zun-{workload_uuid}"\n',
        '    return f"zun-{workload_uuid}-{random.randint(1, 10**9)}"\n',
        "tests.system.test_faults.CrashPointTest.test_death_at_agent_create_after",
    ),
    Bug(
        "any host is believed about any workload",
        "zun_lite/control/reports.py",
        "        if workload.host != host.uuid or observed.epoch < workload.epoch:\n",
        "        if observed.epoch < workload.epoch:\n",
        "tests.db.test_reports.TrustTest.test_another_host_is_not_believed_and_told_to_remove",
    ),
    Bug(
        "an older observation overwrites a newer one",
        "zun_lite/control/reports.py",
        "observed.generation < before.generation:\n        return\n",
        "observed.generation < before.generation:\n        pass\n",
        "tests.db.test_reports.TrustTest.test_an_older_generation_does_not_overwrite_a_newer",
    ),
    Bug(
        "a look-up by name goes over all projects",
        "zun_lite/control/actions.py",
        "    anywhere = caller.is_admin or all_projects\n",
        "    anywhere = True\n",
        "tests.db.test_accept.LookUpTest.test_another_projects_container_is_not_found",
    ),
    Bug(
        "a list shows a container as it was when it was first shown",
        "zun_lite/db/workloads.py",
        ', onupdate=sa.text("version + 1")',
        "",
        "tests.api.test_containers.ListTest"
        ".test_a_list_over_all_projects_is_never_older_than_the_last_change_whoever_made_it",
    ),
    Bug(
        "a user's list shows what an administrator's remembered",
        "zun_lite/api/container/lists.py",
        "    return uuid, fields, host_name\n",
        "    return uuid, (), None\n",
        "tests.api.test_containers.ListTest"
        ".test_a_list_over_all_projects_is_never_older_than_the_last_change_whoever_made_it",
    ),
    Bug(
        "bodies of very many items are read",
        "zun_lite/api/media.py",
        "    if len(text) > LONG_BYTES and ",
        "    if not text and ",
        "tests.api.test_transport.JsonTest.test_a_long_document_of_very_many_items_is_refused_before_it_is_read",
    ),
    Bug(
        "a workload is forgotten before its host let go",
        "zun_lite/db/workloads.py",
        'sa.or_(workloads.c.host.is_(None), workloads.c.status == "Deleted")',
        "sa.true()",
        "tests.db.test_reports.LifeTest.test_a_deleted_workload_is_forgotten_only_after_its_host_let_go",
    ),
    Bug(
        "members stay behind when their sandbox is started anew",
        "zun_lite/domain/capsule_plan.py",
        "        return left_behind\n",
        "        return False\n",
        "tests.unit.agent.test_capsules.RestartsOfACapsule.test_members_follow_a_sandbox_that_was_started_anew_once",
    ),
    Bug(
        "a capsule is one container in the quota",
        "zun_lite/domain/capsule.py",
        "        return len(self.members) + len(self.init_members)\n",
        "        return 1\n",
        "tests.api.test_capsules.QuotaTest.test_each_of_its_containers_counts",
    ),
    Bug(
        "what comes back goes on when its rule is gone",
        "zun_lite/netd/rulebook.py",
        "    ct direction reply ct state established goto sent_back\n",
        "    ct direction reply ct state established accept\n",
        "tests.system.netd.test_groups.GroupTests"
        ".test_a_flow_ends_with_its_rule_in_both_directions_and_lives_as_long_as_that",
    ),
    Bug(
        "any image's signature will do",
        "zun_lite/agent/signatures.py",
        "            if _names(payload, digest) and any(",
        "            if any(",
        "tests.agent.test_signatures.SignaturesTest.test_a_signature_of_another_image_or_of_something_else_is_none",
    ),
    Bug(
        "what was denied leaves no record",
        "zun_lite/api/audit.py",
        "    if status in _DENIED or template.endswith(_STREAMS):\n",
        "    if template.endswith(_STREAMS):\n",
        "tests.api.test_audit.AuditTest.test_what_is_read_is_not_told_but_what_is_denied_is",
    ),
    Bug(
        "a container gets the engine's own filter of system calls",
        "zun_lite/agent/runtime/docker_config.py",
        'f"seccomp={profile.seccomp or seccomp.profile()}"',
        "*([f'seccomp={profile.seccomp}'] if profile.seccomp else [])",
        "tests.agent.test_confinement.ConfinementTest.test_a_container_of_each_kind_is_held",
    ),
    Bug(
        "nobody is told that an address on another host has a new owner",
        "zun_lite/netd/overlay.py",
        "                    announce.announce_all(switch_fd, BRIDGE, owners)\n",
        "                    pass\n",
        "tests.system.netd.test_hosts.HostsTests.test_an_addresss_new_owner_is_found_at_once_from_other_hosts",
    ),
)


class SeededBugTest(unittest.TestCase):
    def check_found(self, bug: Bug) -> None:
        copy = Path(tempfile.mkdtemp(prefix="zl-seeded-"))
        self.addCleanup(shutil.rmtree, copy, ignore_errors=True)
        for name in ("zun_lite", "tests"):
            shutil.copytree(TOP / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        text = (copy / bug.path).read_text()
        self.assertEqual(1, text.count(bug.before), f"{bug.path} does not hold this text once:\n{bug.before}")
        (copy / bug.path).write_text(text.replace(bug.before, bug.after))
        done = subprocess.run(
            [sys.executable, "-m", "unittest", bug.found_by],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy), "ZUN_LITE_TESTS_WAIT_SECONDS": "20"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        self.assertIn("Ran 1 test", done.stdout)
        self.assertNotEqual(0, done.returncode, f"not found: {bug.what}\n{done.stdout[-3000:]}")
        self.assertIn("FAIL", done.stdout, f"it broke instead of failing: {bug.what}\n{done.stdout[-3000:]}")


def _case(bug: Bug):
    def test(self: SeededBugTest) -> None:
        self.check_found(bug)

    return test


for _bug in BUGS:
    setattr(SeededBugTest, f"test_it_is_found_that_{_bug.what.replace(' ', '_').replace(chr(39), '')}", _case(_bug))
