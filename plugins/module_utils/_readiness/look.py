# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""What the checks have to know, as questions to the server: one for the administrator's session, one for the connector's.

The administrator's is a single SELECT that any role may run; what only some may see comes back as null, and the checks that
want it are skipped. None of the two writes anything: no WAL, no transaction id, and a standby answers as well.
"""

from __future__ import annotations

from collections.abc import Iterable

from .._resources import _types as types
from .._resources._catalog import EVENT_KEYS, KEYS, OF_EXTENSION, UNPUBLISHED, narrowing, pairs, trusted
from .._resources._connector_table import ConnectorTable
from .._resources.heartbeat_table import HeartbeatTable
from .._resources.signal_table import SignalTable
from .._resources.slot import Slot
from .._sql import QualifiedName, array, guarded, ident, literal

# Settings whose value in the connector's session matters, or the server's.
SETTINGS = (
    "bytea_output",
    "default_transaction_read_only",
    "extra_float_digits",
    "hot_standby_feedback",
    "idle_in_transaction_session_timeout",
    "idle_replication_slot_timeout",
    "IntervalStyle",
    "logical_decoding_work_mem",
    "max_replication_slots",
    "max_slot_wal_keep_size",
    "max_wal_senders",
    "ssl",
    "statement_timeout",
    "transaction_timeout",
    "wal_sender_timeout",
)

# A privilege that only a role holds of which the user is a member without inheriting from it is no privilege of the user's.
_MAY = """CASE WHEN has_{kind}_privilege(u.oid, {object}, {privilege}) THEN 'yes'
             WHEN EXISTS (SELECT FROM h WHERE has_{kind}_privilege(h.oid, {object}, {privilege})) THEN 'not inherited'
             ELSE 'no' END"""

# What was set for the current role or by its client holds for nobody else.
_LOOK = """
WITH RECURSIVE
u AS (SELECT * FROM pg_roles WHERE rolname = {user}),
h AS (SELECT g.oid, g.rolname FROM pg_roles g, u
       WHERE NOT u.rolsuper AND pg_has_role(u.oid, g.oid, 'MEMBER') AND NOT pg_has_role(u.oid, g.oid, 'USAGE')),
p AS (SELECT *, xmin FROM pg_publication WHERE pubname = {publication}),
listed AS (SELECT r.* FROM p JOIN pg_publication_rel r ON r.prpubid = p.oid),
published(oid) AS (
  SELECT prrelid FROM listed
  UNION
  SELECT c.oid FROM p JOIN pg_class c ON c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.oid >= 16384
   WHERE p.puballtables OR c.relnamespace IN ({published_schemas})),
meant(oid) AS (
  SELECT c.oid
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname = ANY ({schemas})
     AND c.oid NOT IN ({of_extension})
  UNION
  SELECT c.oid
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND (n.nspname::text, c.relname::text) IN (SELECT * FROM unnest({tables}))),
excluded(oid) AS (
  SELECT c.oid
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE (n.nspname::text, c.relname::text) IN (SELECT * FROM unnest({excluded}))
  UNION SELECT i.inhrelid FROM excluded JOIN pg_inherits i ON i.inhparent = excluded.oid
                                        JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition),
wanted(oid) AS (SELECT oid FROM meant EXCEPT SELECT oid FROM excluded),
included(oid) AS (
  SELECT oid FROM wanted
  UNION SELECT i.inhrelid FROM included JOIN pg_inherits i ON i.inhparent = included.oid
                                        JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition
         WHERE i.inhrelid NOT IN (SELECT oid FROM excluded)),
captured(oid) AS (
  SELECT oid FROM wanted
  UNION SELECT oid FROM included WHERE NOT coalesce((SELECT p.pubviaroot FROM p), true)),
down(oid) AS (
  SELECT oid FROM (SELECT oid FROM wanted UNION SELECT oid FROM published) AS base
  UNION SELECT i.inhrelid FROM down JOIN pg_inherits i ON i.inhparent = down.oid
                                    JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition),
up(oid) AS (
  SELECT oid FROM down
  UNION SELECT i.inhparent FROM up JOIN pg_class c ON c.oid = up.oid AND c.relispartition
                                   JOIN pg_inherits i ON i.inhrelid = up.oid),
makers AS (
  SELECT m.schema, json_agg(json_build_object(
      'name', pg_get_userbyid(o.oid),
      'superuser', o.rolsuper,
      'may', pg_has_role(o.oid, 'USAGE'),
      'covered', CASE WHEN pg_has_role(u.oid, o.oid, 'USAGE') OR u.rolsuper OR pg_has_role(u.oid, 'pg_read_all_data', 'USAGE')
                      THEN 'yes' ELSE (
          SELECT CASE WHEN bool_or(a.grantee = 0 OR pg_has_role(u.oid, a.grantee, 'USAGE')) THEN 'yes'
                      WHEN bool_or(pg_has_role(u.oid, a.grantee, 'MEMBER')) THEN 'not inherited' ELSE 'no' END
            FROM pg_default_acl d, aclexplode(d.defaclacl) AS a
           WHERE d.defaclrole = o.oid AND d.defaclobjtype = 'r' AND d.defaclnamespace IN (0, m.schema)
             AND a.privilege_type = 'SELECT') END) ORDER BY o.rolname) AS found
    FROM (SELECT c.relnamespace, c.relowner FROM wanted JOIN pg_class c ON c.oid = wanted.oid AND c.relkind IN ('r', 'p')
          UNION
          SELECT n.oid, CASE n.nspowner WHEN to_regrole('pg_database_owner') THEN d.datdba ELSE n.nspowner END
            FROM pg_namespace n, pg_database d WHERE n.nspname = ANY ({schemas}) AND d.datname = current_database()
         ) AS m(schema, owner)
    JOIN pg_roles o ON o.oid = m.owner LEFT JOIN u ON true
   GROUP BY m.schema),
{keys},
{event_keys},
{domains},
columns AS (
  SELECT a.attrelid, a.attnum, a.attname, a.attgenerated, a.attname || ' ' || format_type(a.atttypid, a.atttypmod) AS told,
         a.attnum = ANY (event_keys.columns) AS in_key, NOT a.attnotnull OR event_keys.partial AS loose,
         {unsupported} AS unsupported,
         {breaks_snapshots} AS breaks_snapshots,
         {ends_snapshots} AS ends_snapshots
    FROM up JOIN pg_attribute a ON a.attrelid = up.oid AND a.attnum > 0 AND NOT a.attisdropped
            {types}
            LEFT JOIN event_keys ON event_keys.indrelid = a.attrelid),
attributes AS (
  SELECT attrelid,
         json_agg(attname ORDER BY attnum) FILTER (WHERE attgenerated = 's') AS stored,
         json_agg(attname ORDER BY attnum) FILTER (WHERE attgenerated = 'v') AS virtual,
         json_agg(told ORDER BY attnum) FILTER (WHERE unsupported) AS unsupported,
         json_agg(told ORDER BY attnum) FILTER (WHERE ends_snapshots) AS ending,
         json_agg(attname ORDER BY attnum) FILTER (WHERE in_key) AS event_key,
         json_agg(told ORDER BY attnum) FILTER (WHERE in_key AND unsupported) AS lost_key,
         json_agg(attname ORDER BY attnum) FILTER (WHERE in_key AND attgenerated <> '') AS generated_key,
         json_agg(attname ORDER BY attnum) FILTER (WHERE in_key AND loose) AS loose_key,
         json_agg(told ORDER BY attnum) FILTER (WHERE in_key AND breaks_snapshots) AS snapshot_key
    FROM columns GROUP BY attrelid),
inheriting(parent, oid) AS (
  SELECT up.oid, i.inhrelid
    FROM up JOIN pg_class c ON c.oid = up.oid AND c.relkind = 'r' AND c.relhassubclass JOIN pg_inherits i ON i.inhparent = c.oid
  UNION SELECT inheriting.parent, i.inhrelid FROM inheriting JOIN pg_inherits i ON i.inhparent = inheriting.oid),
children AS (
  SELECT inheriting.parent, json_agg(json_build_object(
      'schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
      'wanted', wanted.oid IS NOT NULL, 'excluded', excluded.oid IS NOT NULL)
      ORDER BY n.nspname, c.relname) AS found
    FROM inheriting JOIN pg_class c ON c.oid = inheriting.oid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN wanted ON wanted.oid = c.oid LEFT JOIN excluded ON excluded.oid = c.oid
   GROUP BY inheriting.parent)
SELECT json_build_object(
  'user', (SELECT json_build_object(
      'login', u.rolcanlogin,
      'replication', u.rolreplication,
      'superuser', u.rolsuper,
      'createrole', u.rolcreaterole,
      'createdb', u.rolcreatedb,
      'connection_limit', u.rolconnlimit,
      'expired_since', (SELECT u.rolvaliduntil::text WHERE u.rolvaliduntil <= now()),
      'rds_replication', coalesce(pg_has_role(u.oid, to_regrole('rds_replication')::oid, 'USAGE'), false),
      'privileged', (SELECT coalesce(json_agg(g.rolname ORDER BY g.rolname), '[]') FROM pg_roles g
                      WHERE g.rolname IN ('neon_superuser', 'rds_superuser', 'pg_write_all_data', 'pg_write_server_files',
                                          'pg_execute_server_program')
                        AND NOT u.rolsuper AND pg_has_role(u.oid, g.oid, 'MEMBER')),
      'not_inherited', (SELECT coalesce(json_agg(h.rolname ORDER BY h.rolname), '[]') FROM h),
      'group', (SELECT pg_has_role(u.oid, g.oid, 'MEMBER') FROM pg_roles g WHERE g.rolname = {role}),
      'connect', {may_connect}) FROM u),
  'group_role', (SELECT json_build_object('login', g.rolcanlogin, 'password', {group_password} = 'true')
                   FROM pg_roles g WHERE g.rolname = {role}),
  'group_schemas', (SELECT coalesce(json_agg(json_build_object(
                             'schema', n.nspname,
                             'owners', (SELECT coalesce(json_agg(DISTINCT pg_get_userbyid(d.defaclrole)), '[]')
                                          FROM pg_default_acl d, aclexplode(d.defaclacl) a
                                         WHERE d.defaclnamespace = n.oid AND a.grantee = g.oid)) ORDER BY n.nspname), '[]')
                      FROM pg_roles g, pg_namespace n
                     WHERE g.rolname = {role} AND n.nspname !~ '^pg_'
                       AND (EXISTS (SELECT FROM aclexplode(n.nspacl) a WHERE a.grantee = g.oid)
                         OR EXISTS (SELECT FROM pg_class c, aclexplode(c.relacl) a
                                     WHERE c.relnamespace = n.oid AND a.grantee = g.oid)
                         OR EXISTS (SELECT FROM pg_default_acl d, aclexplode(d.defaclacl) a
                                     WHERE d.defaclnamespace = n.oid AND a.grantee = g.oid))),
  'database', (SELECT json_build_object('name', d.datname, 'connection_limit', d.datconnlimit)
                 FROM pg_database d WHERE d.datname = current_database()),
  'may_create', has_database_privilege(current_database(), 'CREATE'),
  'rds', to_regrole('rds_superuser') IS NOT NULL,
  'settings', (SELECT json_object_agg(
      name, CASE WHEN source IN ('user', 'database user', 'client') THEN boot_val ELSE reset_val END)
    FROM pg_settings WHERE name = ANY ({settings})),
  'role_settings', (SELECT coalesce(json_agg(json_build_object(
      'setting', x.setting, 'role', s.setrole <> 0, 'database', s.setdatabase <> 0) ORDER BY s.setrole <> 0, s.setdatabase <> 0), '[]')
                      FROM pg_db_role_setting s, unnest(s.setconfig) AS x(setting)
                     WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
                       AND s.setrole IN (0, (SELECT u.oid FROM u)) AND (s.setdatabase <> 0 OR s.setrole <> 0)),
  -- Of the administrator's role alone, which say nothing of what the connector's user gets.
  'own_settings', (SELECT coalesce(json_agg(DISTINCT lower(split_part(x.setting, '=', 1))), '[]')
                     FROM pg_db_role_setting s, unnest(s.setconfig) AS x(setting)
                    WHERE s.setrole = (SELECT m.oid FROM pg_roles m WHERE m.rolname = session_user)
                      AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))),
  'deadly_types', (SELECT coalesce(json_agg(json_build_object(
      'schema', n.nspname, 'name', t.typname, 'kind', t.typtype) ORDER BY n.nspname, t.typname), '[]')
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
   WHERE t.typtype = 'e' AND NOT EXISTS (SELECT FROM pg_enum e WHERE e.enumtypid = t.oid)
      OR t.typtype = 'd' AND EXISTS (SELECT FROM pg_type b WHERE b.oid = t.typbasetype AND b.typtype = 'e')),
  'slots_used', (SELECT count(*) FROM pg_replication_slots),
  'senders_used', (SELECT count(*) FROM pg_stat_replication),
  'transactions', (SELECT coalesce(json_agg(json_build_object(
      'pid', a.pid, 'user', a.usename, 'database', a.datname, 'state', a.state,
      'seconds', extract(epoch FROM clock_timestamp() - a.xact_start)::bigint) ORDER BY a.xact_start), '[]')
    FROM pg_stat_activity a
   WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
     AND a.xact_start < clock_timestamp() - make_interval(secs => {max_transaction_age})),
  'prepared', (SELECT coalesce(json_agg(json_build_object(
      'gid', x.gid, 'user', x.owner, 'database', x.database,
      'seconds', extract(epoch FROM clock_timestamp() - x.prepared)::bigint) ORDER BY x.prepared), '[]')
    FROM pg_prepared_xacts x WHERE x.prepared < clock_timestamp() - make_interval(secs => {max_transaction_age})),
  'schemas', (SELECT coalesce(json_agg(json_build_object(
      'name', n.nspname,
      'usage', {may_use},
      'owners', coalesce(makers.found, '[]')) ORDER BY n.nspname), '[]')
    FROM pg_namespace n LEFT JOIN u ON true LEFT JOIN makers ON makers.schema = n.oid WHERE n.nspname = ANY ({schemas})),
  'table_schemas', (SELECT coalesce(json_agg(json_build_object('name', n.nspname, 'usage', {may_use}) ORDER BY n.nspname), '[]')
    FROM pg_namespace n LEFT JOIN u ON true
   WHERE n.oid = ANY (ARRAY(SELECT DISTINCT c.relnamespace FROM captured JOIN pg_class c ON c.oid = captured.oid))),
  'publication', (SELECT json_build_object(
      'owner', pg_get_userbyid(p.pubowner),
      'mine', pg_has_role(p.pubowner, 'USAGE'),
      'all_tables', p.puballtables,
      'schemas', (SELECT coalesce(json_agg(n.nspname ORDER BY n.nspname), '[]') FROM pg_namespace n WHERE n.oid IN ({published_schemas})),
      'publish', json_build_object('insert', p.pubinsert, 'update', p.pubupdate, 'delete', p.pubdelete, 'truncate', p.pubtruncate),
      'via_root', p.pubviaroot,
      'generated', {publishes_generated},
      'age', age(p.xmin)) FROM p),
  'tables', (SELECT coalesce(json_agg(json_strip_nulls(json_build_object(
      'oid', c.oid::bigint,
      'schema', n.nspname,
      'name', c.relname,
      'owner', pg_get_userbyid(c.relowner),
      'kind', nullif(c.relkind, 'r'),
      'persistence', nullif(c.relpersistence, 'p'),
      'mine', nullif(pg_has_role(c.relowner, 'USAGE'), true),
      'parent', CASE WHEN c.relispartition THEN (SELECT i.inhparent::bigint FROM pg_inherits i WHERE i.inhrelid = c.oid) END,
      'inherited', nullif(c.relkind = 'r' AND c.relhassubclass, false),
      'identity', nullif(c.relreplident, 'd'),
      'key', keys.key,
      'primary_key', keys.primary_key,
      'key_types', keys.poor,
      'event_key', attributes.event_key,
      'lost_key', attributes.lost_key,
      'generated_key', attributes.generated_key,
      'loose_key', attributes.loose_key,
      'snapshot_key', attributes.snapshot_key,
      'children', children.found,
      'deferrable', nullif(keys.deferrable, false),
      'unpublished', {unpublished},
      'wanted', nullif(wanted.oid IS NOT NULL, true),
      'included', CASE WHEN wanted.oid IS NULL AND included.oid IS NOT NULL THEN true END,
      'published', nullif(published.oid IS NOT NULL, true),
      'readable', nullif({may_select}, 'yes'),
      'row_security', CASE WHEN c.relrowsecurity THEN NOT (
          coalesce(u.rolsuper OR u.rolbypassrls, false)
          OR coalesce(pg_has_role(u.oid, c.relowner, 'USAGE'), false) AND NOT c.relforcerowsecurity
          OR EXISTS (SELECT FROM pg_policy q
                      WHERE q.polrelid = c.oid AND q.polcmd IN ('r', '*') AND q.polpermissive
                        AND q.polqual::text ~ '^[{{]CONST :consttype 16 .*:constisnull false .*:constvalue 1 [[] 1 '
                        AND EXISTS (SELECT FROM unnest(q.polroles) AS m WHERE m = 0 OR pg_has_role(u.oid, m, 'USAGE')))
             AND NOT EXISTS (SELECT FROM pg_policy q
                              WHERE q.polrelid = c.oid AND q.polcmd IN ('r', '*') AND NOT q.polpermissive)) END,
      'toasted', (SELECT t.relpages > 0 FROM pg_class t WHERE t.oid = c.reltoastrelid AND t.relpages > 0),
      'stored', attributes.stored,
      'virtual', attributes.virtual,
      'unsupported', attributes.unsupported,
      'ending', attributes.ending,
      'column_list', {column_list},
      'filter', {filter},
      'narrow', {narrow}))), '[]')
    FROM up
    JOIN pg_class c ON c.oid = up.oid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN u ON true
    LEFT JOIN wanted ON wanted.oid = c.oid
    LEFT JOIN included ON included.oid = c.oid
    LEFT JOIN published ON published.oid = c.oid
    LEFT JOIN children ON children.parent = c.oid
    LEFT JOIN listed ON listed.prrelid = c.oid
    LEFT JOIN keys ON keys.indrelid = c.oid
    LEFT JOIN attributes ON attributes.attrelid = c.oid),
  'slot', {slot},
  'slot_more', (SELECT json_build_object(
      'incomplete', s.active AND s.confirmed_flush_lsn IS NULL,
      'catalog_age', age(s.catalog_xmin),
      'retained_bytes', pg_wal_lsn_diff(s.confirmed_flush_lsn, s.restart_lsn)::bigint,
      'idle_seconds', {idle_seconds},
      'conflicting', {conflicting},
      'synced', {synced},
      'physical_slots', (SELECT count(*) FROM pg_replication_slots o WHERE o.slot_type = 'physical' AND o.slot_name <> 'wal_proposer_slot'),
      'other_active', (SELECT count(*) FROM pg_replication_slots o
                        WHERE o.slot_type = 'logical' AND o.active AND o.slot_name <> s.slot_name))
    FROM pg_replication_slots s WHERE s.slot_name = {slot_name}),
  'signal', {signal},
  'heartbeat', {heartbeat})"""

_CONNECTOR_TABLE = """(SELECT json_build_object(
      'shape', ({shape}),
      'usage', {may_use},
      'privileges', json_build_object('SELECT', {may_select}, 'INSERT', {may_insert}, 'UPDATE', {may_update}),
      'sequences', (SELECT coalesce(json_agg(json_build_object(
          'schema', sn.nspname, 'name', sc.relname, 'usage', {may_use_sequence}) ORDER BY sc.relname), '[]')
        FROM pg_class sc JOIN pg_namespace sn ON sn.oid = sc.relnamespace
       WHERE sc.relkind = 'S' AND sc.oid IN (
          SELECT d.refobjid FROM pg_attrdef f
            JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_class'::regclass
           WHERE f.adrelid = c.oid)),
      'row_security', c.relrowsecurity AND NOT (
          u.rolsuper OR u.rolbypassrls OR pg_has_role(u.oid, c.relowner, 'USAGE') AND NOT c.relforcerowsecurity),
      'rules', (SELECT coalesce(json_agg(r.rulename ORDER BY r.rulename), '[]') FROM pg_rewrite r
                 WHERE r.ev_class = c.oid AND r.is_instead AND r.ev_type IN ('2', '3')),
      'published', EXISTS (
        SELECT FROM published WHERE published.oid = c.oid OR published.oid IN (SELECT relid FROM pg_partition_ancestors(c.oid))),
      'rows', {rows},
      'age', {age})
    FROM (SELECT 1) AS one
    LEFT JOIN u ON true
    LEFT JOIN pg_namespace n ON n.nspname = {schema}
    LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = {name})"""

# The reading and the writing is tried as the connector will do it, one after the other, and each is rolled back at once, which
# also gives back its lock. EXPLAIN checks the right to write and writes not.
_CONNECTOR_QUESTIONS = """
DECLARE
  question record;
  answers jsonb[] := '{{}}';
BEGIN
  FOR question IN SELECT * FROM unnest({kinds}, {names}, {queries}) AS q(kind, name, query) LOOP
    BEGIN
      EXECUTE question.query;
      RAISE SQLSTATE 'SK000';
    EXCEPTION
      WHEN SQLSTATE 'SK000' THEN NULL;
      WHEN OTHERS THEN
        answers := answers || jsonb_build_object(
          'kind', question.kind, 'name', question.name, 'error', SQLERRM, 'sqlstate', SQLSTATE);
    END;
  END LOOP;
  PERFORM set_config('streamkap_neon.answers', to_jsonb(answers)::text, true);
END"""

_CONNECTOR_LOOK = """SELECT json_build_object(
  'acts_as', current_user,
  'settings', (SELECT json_object_agg(name, reset_val) FROM pg_settings WHERE name = ANY ({settings})),
  'answers', current_setting('streamkap_neon.answers')::json,
  'withheld', (SELECT coalesce(json_agg(t.oid::bigint), '[]')
    FROM unnest({tables}::oid[]) AS t(oid) LEFT JOIN pg_class c ON c.oid = t.oid
   WHERE (has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')) IS NOT TRUE))"""

# Long enough for what others do in passing.
_PATIENCE = "SET LOCAL lock_timeout = '100ms'"


def administrators(
    version: int,
    user: str,
    role: str,
    schemas: list[str],
    tables: list[QualifiedName],
    exclude_tables: list[QualifiedName],
    publication: str,
    slot: str | None,
    signal_table: QualifiedName | None,
    heartbeat_table: QualifiedName | None,
    max_transaction_age: int,
    max_signal_rows: int,
) -> str:
    """The one SELECT of the administrator's session.

    :param publication: empty when none is to be looked at, and so the slot's name.
    """
    by_version = {
        "published_schemas": "SELECT 0::oid",
        "column_list": "NULL::json",
        "filter": "NULL",
        "unpublished": "NULL::json",
        "publishes_generated": "false",
        "idle_seconds": "NULL",
        "conflicting": "false",
        "synced": "false",
    }
    if version >= 150000:
        by_version["published_schemas"] = "SELECT s.pnnspid FROM pg_publication_namespace s JOIN p ON p.oid = s.pnpubid"
        by_version["column_list"] = """(SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
                      WHERE a.attrelid = c.oid AND a.attnum = ANY (listed.prattrs))"""
        by_version["filter"] = "pg_get_expr(listed.prqual, listed.prrelid)"
    if version >= 160000:
        by_version["conflicting"] = "coalesce(s.conflicting, false)"
    if version >= 170000:
        by_version["synced"] = "s.synced"
        by_version["idle_seconds"] = "extract(epoch FROM clock_timestamp() - s.inactive_since)::bigint"
    if version >= 180000:
        by_version["unpublished"] = UNPUBLISHED
        by_version["publishes_generated"] = "p.pubgencols = 's'"
    return _LOOK.format(
        user=literal(user),
        role=literal(role),
        publication=literal(publication),
        schemas=array(schemas),
        tables=pairs(tables),
        excluded=pairs(exclude_tables),
        unsupported=types.UNSUPPORTED,
        breaks_snapshots=types.BREAKS_SNAPSHOTS,
        domains=types.DOMAINS,
        types=types.JOIN,
        ends_snapshots=types.ENDS_SNAPSHOTS,
        event_keys=EVENT_KEYS.format(of="up"),
        narrow=narrowing(version, also=" OR p.pubname = %s" % literal(publication)),
        settings=array(SETTINGS),
        max_transaction_age=max_transaction_age,
        keys=KEYS.format(of="up"),
        of_extension=OF_EXTENSION,
        may_connect=_may("database", "current_database()", "CONNECT"),
        may_use=_may("schema", "n.oid", "USAGE"),
        may_select=_may("table", "c.oid", "SELECT"),
        group_password=guarded(
            "has_table_privilege('pg_authid', 'SELECT')",
            literal(
                "SELECT (rolpassword IS NOT NULL)::text AS found FROM pg_authid WHERE rolname = %s" % literal(role)
            ),
            "found",
        ),
        slot="(%s)" % _slot(slot, version) if slot else "NULL::json",
        slot_name=literal(slot or ""),
        signal=_connector_table(signal_table, SignalTable, user, max_signal_rows, "NULL"),
        heartbeat=_connector_table(heartbeat_table, HeartbeatTable, user, 1, "seconds"),
        **by_version,
    )


def connectors(
    version: int,
    plain: Iterable[int],
    composed: Iterable[QualifiedName],
    signal_table: QualifiedName | None,
    heartbeat_table: QualifiedName | None,
    peek: tuple[str, str] | None,
) -> list[str]:
    """The statements of the connector's session; the last one answers.

    :param plain: oids of the tables which a session that has the rights can read. A server keeps what it knows of each table that a
        session has opened, some 8 kB, so ten thousand are not opened to learn what the catalogs tell.
    :param composed: those where other tables or policies have a say, to be read one by one.
    :param peek: the slot to be read and the publication to read it through; its changes stay in the slot.
    """
    questions = [("read", str(name), "SELECT * FROM %s LIMIT 0" % name.sql) for name in composed]
    if signal_table:
        insert = "EXPLAIN INSERT INTO %s VALUES ('an id', 'a type', 'some data')" % signal_table.sql
        questions.append(("signal", str(signal_table), insert))
    if heartbeat_table:
        for statement in (
            "INSERT INTO %s (text) VALUES ('a text')",
            "UPDATE %s SET last_update = CURRENT_TIMESTAMP",
        ):
            questions.append(("heartbeat", str(heartbeat_table), "EXPLAIN " + statement % heartbeat_table.sql))
    if peek:
        slot, publication = peek
        # Before PostgreSQL 15 transactions without a published change come too, as two changes each.
        most = 1 if version >= 150000 else 10000
        read = "SELECT count(*) FROM pg_logical_slot_peek_binary_changes(%s, NULL, %d, 'proto_version', '1', 'publication_names', %s)"
        questions.append(("slot", slot, read % (literal(slot), most, literal(ident(publication)))))
    kinds, names, queries = zip(*questions) if questions else ((), (), ())
    body = _CONNECTOR_QUESTIONS.format(kinds=array(kinds), names=array(names), queries=array(queries))
    return [
        _PATIENCE,
        "DO %s" % literal(body),
        _CONNECTOR_LOOK.format(settings=array(SETTINGS), tables=literal("{%s}" % ",".join(map(str, plain)))),
    ]


def _may(kind: str, what: str, privilege: str) -> str:
    return _MAY.format(kind=kind, object=what, privilege=literal(privilege))


def _slot(name: str, version: int) -> str:
    return Slot(
        name=name,
        plugin="pgoutput",
        publication=None,
        failover=None,
        two_phase=None,
        state="present",
        force=False,
        recreate_lost=False,
    ).look(version)


def _connector_table(
    name: QualifiedName | None, kind: type[ConnectorTable], user: str, most_rows: int, age: str
) -> str:
    """What there is to know of the signal or the heartbeat table.

    :param most_rows: counting stops one after.
    :param age: what to ask for its freshest row's age, in seconds, or NULL.
    """
    if not name:
        return "NULL::json"
    readable = (
        "c.relkind = 'r' AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"
        # Whoever holds this lock would be waited for.
        " AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.relation = c.oid AND l.mode = 'AccessExclusiveLock')"
        " AND " + trusted("c.relowner", "n.nspowner")
    )
    rows = "SELECT count(*)::text AS found FROM (SELECT FROM %s LIMIT %d) AS some_rows" % (name.sql, most_rows + 1)
    # Who writes the column, and in which time zone, is not known: of the readings the youngest is taken.
    freshest = (
        "SELECT least(abs(extract(epoch FROM localtimestamp - max(last_update)::timestamp)),"
        " abs(extract(epoch FROM now() AT TIME ZONE 'UTC' - max(last_update)::timestamp)))::bigint::text AS found FROM %s"
        % name.sql
    )
    dated = (
        " AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'last_update'"
        " AND a.atttypid IN ('timestamp'::regtype, 'timestamptz'::regtype))"
    )
    return _CONNECTOR_TABLE.format(
        shape=kind(name.schema, name.name, [user], "present").look_at_shape(),
        schema=literal(name.schema),
        name=literal(name.name),
        may_use=_may("schema", "n.oid", "USAGE"),
        may_select=_may("table", "c.oid", "SELECT"),
        may_insert=_may("table", "c.oid", "INSERT"),
        may_update=_may("table", "c.oid", "UPDATE"),
        may_use_sequence=_may("sequence", "sc.oid", "USAGE"),
        rows=guarded(readable, literal(rows), "found"),
        age="NULL" if age == "NULL" else guarded(readable + dated, literal(freshest), "found"),
    )
