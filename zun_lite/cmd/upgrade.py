# SPDX-License-Identifier: Apache-2.0
"""zun-lite-status upgrade check: whether the programs may be replaced by, or started as, this version.

Run it with the new code, before the services are started with it. Exit code 0: yes; 1: look at the
warnings first; 2: no; 255: it could not look. It changes nothing.
"""

from __future__ import annotations

import argparse
import os
import sys

from oslo_config import cfg
from oslo_upgradecheck import upgradecheck
from oslo_upgradecheck.upgradecheck import Code, Result

from zun_lite.api.policy import Policy
from zun_lite.cmd import begin
from zun_lite.db import hosts, version
from zun_lite.db.engine import Database
from zun_lite.domain import errors

PROGRAM = "zun-lite-status"


class UpgradeChecks(upgradecheck.UpgradeCommands):
    """What must be so, one check a matter."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        """conf: as config.load() makes it."""
        self._conf = conf

    def check_database(self) -> Result:
        try:
            db = self._database()
            there = version.current(db)
        except errors.ZunError as error:
            return Result(Code.FAILURE, error.message)
        if there is None:
            return Result(Code.WARNING, f"The database at {db.name} has no tables yet: `zun-lite-manage db sync`.")
        if there < version.NEWEST:
            return Result(
                Code.WARNING,
                f"The schema is {there}, this version needs {version.NEWEST}: back the database up, stop the API and "
                "the controller, run `zun-lite-manage db sync`, start them.",
            )
        try:
            version.check(db)
        except errors.Conflict as error:
            return Result(Code.FAILURE, error.message)
        return Result(Code.SUCCESS)

    def check_policy(self) -> Result:
        try:
            Policy(self._conf.api.policy_file)
        except errors.Invalid as error:
            return Result(Code.FAILURE, error.message)
        return Result(Code.SUCCESS)

    def check_keys(self) -> Result:
        """Keys that are lost are made anew by nobody: tokens, grants and passwords of registries hang on them."""
        conf = self._conf
        wanted = {"grants": conf.grants.key_file, "registries' passwords": conf.registry.key_file}
        if conf.identity.provider == "embedded":
            wanted["tokens"] = conf.identity.key_dir
        missing = [f"{purpose} ({path})" for purpose, path in wanted.items() if not os.path.exists(path)]
        if missing:
            return Result(
                Code.WARNING,
                f"There are no keys for {', '.join(missing)}: right before the first start only; else restore them "
                "from the backup.",
            )
        return Result(Code.SUCCESS)

    def check_hosts(self) -> Result:
        """Hosts go on without the API, but only those that are heard of are known to be upgraded together."""
        try:
            db = self._database()
            version.check(db)
        except errors.ZunError:
            return Result(Code.WARNING, "The hosts are not known, as the database is not as it should be.")
        with db.read() as tx:
            silent = [host.name for host in hosts.every(tx) if host.state != hosts.READY and not host.disabled]
        if silent:
            return Result(
                Code.WARNING,
                f"{len(silent)} hosts are not ready ({', '.join(silent[:5])}); what they hold is not seen, so see to "
                "them first, or take them out of use (`zun-lite-manage host disable NAME`).",
            )
        return Result(Code.SUCCESS)

    _upgrade_checks = (
        ("Database", check_database),
        ("Policy file", check_policy),
        ("Keys", check_keys),
        ("Hosts", check_hosts),
    )

    def _database(self) -> Database:
        db = Database(self._conf.database.connection)
        db.reach()
        return db


def main(argv: list[str] | None = None) -> int:
    given = sys.argv[1:] if argv is None else argv
    files = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    files.add_argument("--config-file", action="append", default=[])
    named, command = files.parse_known_args(given)
    conf = begin.configured(PROGRAM, [f"--config-file={path}" for path in named.config_file])
    # A ConfigOpts that has read its files takes no more of a command line: another one parses the rest.
    return upgradecheck.main(cfg.ConfigOpts(), PROGRAM, UpgradeChecks(conf), command, [])


if __name__ == "__main__":
    sys.exit(main())
