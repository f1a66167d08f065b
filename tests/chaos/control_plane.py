# SPDX-License-Identifier: Apache-2.0
"""What the trial of the control plane in containers needs and no registry gives: images of Debian's own packages.

Debian's `debootstrap`, `slirp4netns`, `docker-compose` and `docker.io` are all that it takes; the network is reached
without a rule in the machine's firewall.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

from tests.docker_engine import PrivateDockerEngine

BUILD_SECONDS = 1200
_OWN_CAS = Path("/usr/local/share/ca-certificates")
_LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists")
_POSTGRES = """\
FROM debian:12-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql && rm -rf /var/lib/apt/lists/*
COPY entry /entry
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["/entry"]
"""
# As the official image does: a first server is on the unix socket alone, while the database is set up.
_ENTRY = """\
#!/bin/bash
set -eu
export PGDATA=/var/lib/postgresql/data
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
if [[ $(id -u) == 0 ]]; then
  install -d -o postgres -g postgres /var/run/postgresql
  install -d -m 0700 -o postgres -g postgres $PGDATA
  exec setpriv --reuid postgres --regid postgres --clear-groups "$0"
fi
if [[ ! -s $PGDATA/PG_VERSION ]]; then
  initdb -E UTF8 --locale=C.UTF-8 -U "$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD") \\
    --auth-local=trust --auth-host=scram-sha-256 >/dev/null
  echo "host all all all scram-sha-256" >> $PGDATA/pg_hba.conf
  pg_ctl -w -o "-c listen_addresses=''" start
  createdb -U "$POSTGRES_USER" "$POSTGRES_DB"
  pg_ctl -m fast -w stop
fi
exec postgres -c listen_addresses='*'
"""


@contextlib.contextmanager
def engine_with_images(folder: Path) -> Iterator[PrivateDockerEngine]:
    """An engine with bridges and a way out, that has debian:12-slim and postgres:15. folder: is made here."""
    folder.mkdir(parents=True)
    engine = PrivateDockerEngine(
        bridge=True, folder=str(folder / "engine"), extra_args=("--iptables=true", "--ip-masq=true")
    )
    with engine:
        words = ["slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback", str(engine.pid), "tap0"]
        way_out = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *words], stderr=subprocess.PIPE, text=True)
        try:
            assert way_out.stderr is not None
            while "received tapfd" not in (line := way_out.stderr.readline()):
                assert line, "slirp4netns ended"
            _import_debian(engine, folder / "debian")
            _build_postgres(engine, folder / "postgres")
            yield engine
        finally:
            way_out.terminate()
            way_out.communicate(timeout=30)


def _import_debian(engine: PrivateDockerEngine, root: Path) -> None:
    """debian:12-slim of the mirror that this machine has, which knows the CAs that this machine was given."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"]
    mirror = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[0]
    words = ["debootstrap", "--variant=minbase", "bookworm", str(root), mirror]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, timeout=BUILD_SECONDS)
    for name in _LEFT_OUT:
        shutil.rmtree(root / name)
        (root / name).mkdir()
    shutil.copytree(_OWN_CAS, root / "usr/local/share/ca-certificates", dirs_exist_ok=True)
    (root / "etc/pip.conf").write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")
    packed = root.with_suffix(".tar")
    with tarfile.open(packed, "w") as tar:
        tar.add(root, arcname=".")
    engine.docker("import", str(packed), "debian:12-slim", timeout_seconds=BUILD_SECONDS)
    packed.unlink()


def _build_postgres(engine: PrivateDockerEngine, context: Path) -> None:
    context.mkdir()
    (context / "Dockerfile").write_text(_POSTGRES)
    (context / "entry").write_text(_ENTRY)
    (context / "entry").chmod(0o755)
    engine.docker("build", "--quiet", "--tag", "postgres:15", str(context), timeout_seconds=BUILD_SECONDS)
