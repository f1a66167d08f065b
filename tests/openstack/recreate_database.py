# SPDX-License-Identifier: Apache-2.0
"""python -m tests.openstack.recreate_database SERVER_URL NAME: an empty database in place of one of that name."""

from __future__ import annotations

import sys

import sqlalchemy as sa


def main() -> None:
    url, name = sys.argv[1:]
    with sa.create_engine(url, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE DATABASE {name}")


if __name__ == "__main__":
    main()
