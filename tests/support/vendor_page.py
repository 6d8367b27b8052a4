# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A database as somebody leaves it who followed Streamkap's page for Neon by hand, all but the line that fails on Neon."""

from __future__ import annotations

from .neon import Database

PASSWORD = "From-the-page-6-of-the-tests"


def follow(database: Database, schemas: list[str]) -> None:
    """Runs the page's statements as who would paste them: the owner, or before PostgreSQL 16 a superuser."""
    sql = database.sql if database.server.major >= 16 else database.admin
    sql(f"CREATE USER streamkap_user PASSWORD '{PASSWORD}'")
    sql(f"CREATE ROLE streamkap_role NOLOGIN PASSWORD '{PASSWORD}'")
    sql("GRANT streamkap_role TO streamkap_user")
    # The page also grants rds_replication, a role that only Amazon's servers have.
    sql(f'GRANT CONNECT ON DATABASE "{database.name}" TO streamkap_role')
    for schema in schemas:
        sql(f'GRANT CREATE, USAGE ON SCHEMA "{schema}" TO streamkap_role')
        sql(f'GRANT SELECT ON ALL TABLES IN SCHEMA "{schema}" TO streamkap_role')
        sql(f'ALTER DEFAULT PRIVILEGES IN SCHEMA "{schema}" GRANT SELECT ON TABLES TO streamkap_role')
    sql("ALTER USER streamkap_user WITH REPLICATION")
    database.sql("CREATE SCHEMA streamkap")
    database.sql(
        "CREATE TABLE streamkap.streamkap_signal (id varchar(255) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2000))"
    )
    database.sql("GRANT SELECT, UPDATE, INSERT ON streamkap.streamkap_signal TO streamkap_role")
    if database.server.major < 16:
        # There they are the superuser's, who lets the owner go on.
        database.admin("GRANT streamkap_role, streamkap_user TO neondb_owner WITH ADMIN OPTION")
