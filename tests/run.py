# SPDX-License-Identifier: Apache-2.0
"""Everything that `make test` runs, and one line of totals at the very end.

First what reads the code (ruff, mypy, import-linter), then the tests: those that count or fill what the machine
has once, one after another, beside those that mind only themselves; then those that have a whole cloud or an engine
of their own, two at a time. Each reader counts as one test. Nothing run is a failure.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
READERS = (
    ["ruff", "check", "--quiet", "."],
    ["mypy", "--no-error-summary"],
    ["lint-imports"],
)
MOST_SECOND_TRIES = 12
# what these do is in namespaces of their own, however many there are
_APART = r"(groups|isolation|mending|names|nft|shortcut|spoofing|wiring)"
ALONE = (
    rf"system\.netd\.(?!test_{_APART}\.)|system\.test_(fleet\w*|isolation_matrix|network_faults)\.|"
    r"functional\.test_main_job\."
)
# title, and what runs side by side: the tests that one pattern selects run one after another
GROUPS = (
    (
        "what the machine has once, beside what minds only itself",
        (rf"^tests\.({ALONE})", r"^tests\.db\.", r"^tests\.(unit|api)\."),
    ),
    ("clouds and engines of their own, side by side", (rf"^tests\.(?!{ALONE})(agent|system|functional)\.",)),
)


@dataclass
class Total:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Total) -> Total:
        return Total(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def main() -> int:
    os.chdir(TOP)
    missing = missing_programs()
    if missing:
        return finish(Total(failed=1), f"the tests need what is missing here: {'; '.join(missing)}")
    total = Total()
    for reader in READERS:
        total += read(reader)
    if not (TOP / ".stestr").exists():
        subprocess.run([BIN / "stestr", "init"], check=True)
    for title, patterns in GROUPS:
        total += run_group(title, patterns)
    return finish(total)


def missing_programs() -> list[str]:
    """What is not installed, each with the package that brings it."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    wanted = [("dockerd", "docker.io"), ("nft", "nftables"), ("mkfs.xfs", "xfsprogs"), ("git", "git")]
    missing = [f"{name} (apt-get install {package})" for name, package in wanted if not shutil.which(name, path=path)]
    if not (shutil.which("mariadbd", path=path) or shutil.which("mysqld", path=path)):
        missing.append("MariaDB (apt-get install mariadb-server)")
    if not glob.glob("/usr/lib/postgresql/*/bin/initdb"):
        missing.append("PostgreSQL (apt-get install postgresql)")
    if os.geteuid() != 0:
        missing.append("root (sudo make test)")
    return missing


def read(command: list[str]) -> Total:
    print(f"==> {' '.join(command)}", flush=True)
    done = subprocess.run([BIN / command[0], *command[1:]], check=False)
    return Total(passed=1) if done.returncode == 0 else Total(failed=1)


def run_group(title: str, patterns: Sequence[str]) -> Total:
    """Run the tests that match; a few that fail get a second try, one at a time, and are named.

    A test that passes only then is unsteady: it is counted as passed, and said to be unsteady, so that it
    gets mended. One that fails twice has failed.
    """
    total, failed = run_matching(title, side_by_side(patterns))
    if not failed or len(failed) > MOST_SECOND_TRIES or total.failed > len(failed):
        return total
    pattern = f"^({'|'.join(map(matcher, failed))})"
    again, still = run_matching(f"the {len(failed)} that failed, once more", ["--concurrency", "1", pattern])
    if not again.passed + again.failed:
        return total
    for name in failed:
        print(f"{'failed twice' if name in still else 'UNSTEADY, passed the second time'}: {name}", flush=True)
    total.passed += total.failed - len(still)
    total.failed = len(still)
    return total


def matcher(name: str) -> str:
    """What selects a test by the name that it failed under; a class that could not be set up is all its tests."""
    broken = re.fullmatch(r"(?:setUpClass|tearDownClass) \(([\w.]+)\)", name)
    return re.escape(broken[1]) + r"\." if broken else re.escape(name) + "$"


def side_by_side(patterns: Sequence[str]) -> list[str]:
    """stestr's options for a worker to each pattern, or two to share the only one."""
    if len(patterns) == 1:
        return ["--concurrency", "2", *patterns]
    workers = TOP / ".stestr" / "workers.yaml"
    workers.write_text("".join(f"- worker:\n  - '{pattern}'\n" for pattern in patterns))
    return ["--worker-file", str(workers)]


def run_matching(title: str, selected: Sequence[str]) -> tuple[Total, list[str]]:
    """Totals and the names of what failed; what stestr could not even load counts as one failure without a name."""
    print(f"==> tests, {title}", flush=True)
    before = run_number()
    done = subprocess.run([BIN / "stestr", "run", *selected], check=False)
    if run_number() == before:
        return Total(failed=1), []
    total, failed = count(
        subprocess.run([BIN / "stestr", "last", "--subunit"], capture_output=True, check=False).stdout
    )
    if total.passed + total.failed == 0 or (done.returncode and not total.failed):
        total.failed += 1
    return total, failed


def run_number() -> str:
    try:
        return (TOP / ".stestr" / "next-stream").read_text()
    except OSError:
        return ""


def count(stream: bytes) -> tuple[Total, list[str]]:
    """Totals of a subunit stream, and the names of what failed."""
    import io

    import subunit
    import testtools

    total = Total()
    failed: list[str] = []

    def one(test: dict[str, Any]) -> None:
        status = test["status"]
        if status in ("success", "xfail"):
            total.passed += 1
        elif status == "skip":
            total.skipped += 1
        else:
            total.failed += 1
            failed.append(test["id"])

    sink = testtools.StreamToDict(one)
    sink.startTestRun()
    subunit.ByteStreamToStreamResult(io.BytesIO(stream), non_subunit_name="noise").run(sink)
    sink.stopTestRun()
    return total, failed


def finish(total: Total, problem: str = "") -> int:
    if problem:
        print(problem, flush=True)
    (TOP / ".stestr").mkdir(exist_ok=True)
    (TOP / ".stestr" / "total").write_text(f"{total}\n")
    sys.stderr.flush()
    print(total, flush=True)
    return 0 if total.passed and not total.failed else 1


if __name__ == "__main__":
    sys.exit(main())
