# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All that the collection may change in a database and on its server, in a form that can be compared."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from importlib import import_module

import psycopg2
from psycopg2.extensions import make_dsn

from .neon import Database
from .waiting import eventually

# Names and no oids, because what is dropped and made again is the same to whoever uses it. A NULL of an ACL is what it stands for.
STATE = """
WITH acls (what, name, acl) AS (
    SELECT 'database', datname, coalesce(datacl, acldefault('d', datdba)) FROM pg_database WHERE datname = current_database()
    UNION ALL
    SELECT 'schema', nspname, coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace
    UNION ALL
    SELECT 'relation', oid::regclass::text,
           coalesce(relacl, acldefault((CASE relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char", relowner))
      FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND oid >= 16384
    UNION ALL
    SELECT 'column', format('%s.%s', attrelid::regclass, attname), attacl FROM pg_attribute
     WHERE attacl IS NOT NULL AND attrelid >= 16384
    UNION ALL
    SELECT 'default', format('%s %s %s', defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype), defaclacl
      FROM pg_default_acl)
SELECT 'role', jsonb_build_object('name', rolname) || (to_jsonb(r) - '{{oid,rolpassword,rolname}}'::text[])
  FROM pg_authid r
UNION ALL
SELECT 'password', jsonb_build_object('name', rolname, 'verifier', rolpassword)
  FROM pg_authid WHERE rolpassword IS NOT NULL AND rolname !~ '^(cloud_|neon|console_)'
UNION ALL
SELECT 'member', jsonb_build_object('of', roleid::regrole, 'who', member::regrole, 'by', grantor::regrole)
         || (to_jsonb(m) - '{{oid,roleid,member,grantor}}'::text[])
  FROM pg_auth_members m
UNION ALL
SELECT 'setting', jsonb_build_object('role', setrole::regrole, 'settings', setconfig) FROM pg_db_role_setting
 WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
UNION ALL
SELECT 'acl', jsonb_build_object('what', what, 'name', name, 'item', item::text) FROM acls, unnest(acl) AS item
UNION ALL
SELECT 'schema', jsonb_build_object('name', nspname, 'owner', nspowner::regrole) FROM pg_namespace
 WHERE nspname !~ '^pg_(temp|toast)'
UNION ALL
SELECT 'relation', jsonb_build_object('name', c.oid::regclass, 'kind', relkind, 'owner', relowner::regrole, 'identity', relreplident,
         'index', (SELECT indexrelid::regclass FROM pg_index WHERE indrelid = c.oid AND indisreplident),
         'columns', (SELECT jsonb_agg(format('%s %s %s', attname, format_type(atttypid, atttypmod), attnotnull) ORDER BY attnum)
                       FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0))
  FROM pg_class c WHERE c.oid >= 16384 AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
UNION ALL
SELECT 'publication', jsonb_build_object('name', pubname, 'owner', pubowner::regrole)
         || (to_jsonb(p) - '{{oid,pubname,pubowner}}'::text[])
  FROM pg_publication p
UNION ALL
SELECT 'published', to_jsonb(t) FROM pg_publication_tables t
UNION ALL
{published_schemas}
SELECT 'slot', jsonb_build_object('name', slot_name, 'plugin', plugin, 'database', database, 'type', slot_type,
         'two_phase', two_phase, 'temporary', temporary, 'whole', confirmed_flush_lsn IS NOT NULL)
  FROM pg_replication_slots
UNION ALL
SELECT 'comment', jsonb_build_object('what', format('%s %s', classoid::regclass,
         CASE classoid WHEN 'pg_class'::regclass THEN objoid::regclass::text
                       WHEN 'pg_namespace'::regclass THEN objoid::regnamespace::text END),
         'part', objsubid, 'text', description)
  FROM pg_description WHERE objoid >= 16384
UNION ALL
SELECT 'comment', jsonb_build_object('role', objoid::regrole, 'text', description)
  FROM pg_shdescription WHERE classoid = 'pg_authid'::regclass
"""
PUBLISHED_SCHEMAS = """
SELECT 'published schema', jsonb_build_object('publication', pubname, 'schema', pnnspid::regnamespace)
  FROM pg_publication_namespace JOIN pg_publication p ON p.oid = pnpubid
UNION ALL
"""

SIGNALS = "SELECT 'signal', to_jsonb(s) FROM streamkap.streamkap_signal s"
HEARTBEATS = "SELECT 'heartbeat', to_jsonb(h) - '{id,last_update}'::text[] FROM streamkap.streamkap_heartbeat h"

OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

State = tuple[str, ...]


class Watcher:
    """Looks at the state of one database as often as it is asked."""

    def __init__(self, database: Database, passwords: dict[str, str] | None = None) -> None:
        """passwords: those that a role may have, by what they are to be called in the state."""
        self._database = database
        self._passwords = passwords or {}
        self._verify = import_module("ansible_collections.streamkap.neon.plugins.module_utils._password").verify
        self._query = STATE.format(published_schemas=PUBLISHED_SCHEMAS if database.server.major >= 15 else "")

    def state(self) -> State:
        with self._asking() as ask:
            rows = ask(self._query)
            for table, contents in (("streamkap_signal", SIGNALS), ("streamkap_heartbeat", HEARTBEATS)):
                if ask(f"SELECT to_regclass('streamkap.{table}') IS NOT NULL")[0][0]:
                    rows += ask(contents)
        return tuple(sorted(f"{kind} {json.dumps(self._known(kind, fields), sort_keys=True)}" for kind, fields in rows))

    def wait_for_the_end(self) -> None:
        """Until no session of others is left in the database: a server may still work on what a lost connection sent."""
        with self._asking() as ask:
            eventually(lambda: not ask(OTHERS)[0][0], seconds=30, pause=0.005)

    @contextlib.contextmanager
    def _asking(self) -> Iterator[Callable[[str], list[tuple]]]:
        # Through its socket, where the server asks no password, which takes its time.
        dsn = make_dsn(self._database.admin_dsn, host=str(self._database.server.folder))
        with contextlib.closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
            connection.autocommit = True

            def ask(query: str) -> list[tuple]:
                cursor.execute(query)
                return cursor.fetchall()

            yield ask

    def _known(self, kind: str, fields: dict[str, object]) -> dict[str, object]:
        """A verifier is another each time: which password it is of, is what counts."""
        if kind != "password":
            return fields
        name, verifier = fields["name"], fields["verifier"]
        fits = [called for called, password in self._passwords.items() if self._verify(password, verifier, name)]
        return {"name": name, "password": fits}


def difference(before: State, after: State) -> str:
    gone, come = set(before) - set(after), set(after) - set(before)
    return f"gone {sorted(gone)}, come {sorted(come)}"
