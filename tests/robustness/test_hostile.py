# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases in which somebody waits for the administrator: nothing that they have laid runs with the administrator's rights.

A trap writes to the server's log, which no ROLLBACK takes back, and then fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest

from support import neon
from support.figures import Figures
from support.hurting import PASSWORD, USER, make_user_where_sql_cannot
from support.modules import run_module
from support.neon import Database
from support.postgres import Server

SOURCES = Path(__file__).resolve().parents[2] / "plugins" / "module_utils"

ATTACKER, ATTACKER_PASSWORD = "attacker", "Attacker-1-of-the-tests"
TEMPLATE = "hostile_template"

SPRUNG = re.compile(r"LOG:  sprung: (.*) as (\S+), logged in as (\S+)$", re.MULTILINE)

TRAP = """
CREATE SCHEMA evil;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
CREATE FUNCTION evil.trap(what text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF session_user = 'attacker' THEN
    RETURN true;
  END IF;
  RAISE LOG 'sprung: % as %, logged in as %', what, current_user, session_user;
  RAISE 'a trap was sprung: %', what;
END $$;
CREATE FUNCTION evil.constant() RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN PERFORM evil.trap('an immutable function'); RETURN 1; END $$;
CREATE FUNCTION evil.changing() RETURNS text LANGUAGE plpgsql AS $$
BEGIN PERFORM evil.trap('a default'); RETURN ''; END $$;
CREATE FUNCTION evil.trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM evil.trap('a trigger'); RETURN NEW; END $$;
"""

# Shadows of everything that the collection's SQL could mean: functions, aggregates, operators, types and relations of pg_catalog.
SHADOWS = """
SET search_path = pg_catalog;
CREATE TEMP TABLE laid (what text);
DO $do$
DECLARE
  shadow record;
BEGIN
  FOR shadow IN
    SELECT what, replace(sql, 'TRAP', format('LANGUAGE plpgsql AS $f$ BEGIN PERFORM evil.trap(%%L); END $f$', what)) AS sql
      FROM (
        SELECT p.oid::regprocedure::text AS what,
               format('CREATE FUNCTION evil.%%I(%%s) RETURNS %%s TRAP', p.proname, oidvectortypes(p.proargtypes),
                      CASE WHEN p.proretset THEN 'SETOF record' ELSE format_type(p.prorettype, NULL) END) AS sql
          FROM pg_proc p
         WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.proname = ANY (%(words)s)
        UNION ALL
        SELECT p.oid::regprocedure::text,
               format('CREATE FUNCTION evil.%%I(integer, %%s) RETURNS integer TRAP; '
                      'CREATE AGGREGATE evil.%%I(%%s) (SFUNC = evil.%%I, STYPE = integer, INITCOND = ''0'')',
                      'step_' || p.oid, oidvectortypes(p.proargtypes), p.proname, oidvectortypes(p.proargtypes), 'step_' || p.oid)
          FROM pg_proc p
         WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'a' AND p.proname = ANY (%(words)s)
        UNION ALL
        SELECT o.oid::regoperator::text,
               format('CREATE FUNCTION evil.%%I(%%s, %%s) RETURNS %%s TRAP; '
                      'CREATE OPERATOR evil.%%s (FUNCTION = evil.%%I, LEFTARG = %%s, RIGHTARG = %%s)',
                      'of_' || o.oid, l, r, format_type(o.oprresult, NULL), o.oprname, 'of_' || o.oid, l, r)
          FROM pg_operator o, format_type(o.oprleft, NULL) AS l, format_type(o.oprright, NULL) AS r
         WHERE o.oprkind = 'b'
           AND o.oprname IN ('=', '<>', '<', '>', '<=', '>=', '||', '~', '!~', '+', '-', '/', '*', '&', '->', '->>', '#>>')
        UNION ALL
        SELECT t.typname, format('CREATE DOMAIN evil.%%I AS pg_catalog.%%I CHECK (evil.trap(%%L))', t.typname, t.typname, t.typname)
          FROM pg_type t
         WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype = 'b' AND t.typname !~ '^_' AND t.typname = ANY (%(words)s)
        UNION ALL
        SELECT c.relname,
               format('CREATE VIEW evil.%%I AS SELECT * FROM pg_catalog.%%I WHERE evil.trap(%%L); GRANT SELECT ON evil.%%I TO PUBLIC',
                      c.relname, c.relname, c.relname, c.relname)
          FROM pg_class c WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v')) AS shadows
  LOOP
    BEGIN
      EXECUTE shadow.sql;
      INSERT INTO laid VALUES (shadow.what);
    EXCEPTION WHEN OTHERS THEN
      -- What cannot be shadowed, because it takes "any" or internal values.
    END;
  END LOOP;
END $do$;
SELECT what FROM laid;
"""


@dataclass(frozen=True)
class Trapped:
    """A database with traps in it, and what the server's log tells of them."""

    database: Database
    begin: int

    @property
    def sprung(self) -> list[tuple[str, ...]]:
        return SPRUNG.findall(self.database.server.log[self.begin :])

    def attacker(self, statement: str) -> None:
        self.database.sql_as(ATTACKER, ATTACKER_PASSWORD, statement)


@dataclass(frozen=True)
class Hostile:
    server: Server
    shadows: list[str]

    def database(self) -> Trapped:
        database = neon.create_database(self.server, f"hostile_{len(self.server.log)}", template=TEMPLATE)
        database.admin(f'GRANT CREATE ON DATABASE "{database.name}" TO {ATTACKER}')
        for who in (f'DATABASE "{database.name}"', f'ROLE {neon.OWNER} IN DATABASE "{database.name}"'):
            database.admin(f"ALTER {who} SET search_path = evil, pg_catalog, public")
        database.admin(f'ALTER ROLE {ATTACKER} IN DATABASE "{database.name}" SET search_path = pg_catalog')
        return Trapped(database, len(self.server.log))


@pytest.fixture(scope="module")
def hostile(server: Server) -> Iterator[Hostile]:
    server.sql(f"CREATE ROLE {ATTACKER} LOGIN PASSWORD '{ATTACKER_PASSWORD}'")
    template = neon.create_database(server, TEMPLATE)
    template.admin(f'GRANT CREATE ON DATABASE "{TEMPLATE}" TO {ATTACKER}')
    words = {word for source in SOURCES.rglob("*.py") for word in re.findall(r"[a-z_0-9]+", source.read_text())}
    try:
        template.sql_as(ATTACKER, ATTACKER_PASSWORD, TRAP)
        shadows = template.sql_as(ATTACKER, ATTACKER_PASSWORD, SHADOWS, {"words": sorted(words)})
        yield Hostile(server, [what for (what,) in shadows])
    finally:
        server.sql(f'DROP DATABASE "{TEMPLATE}" WITH (FORCE)')
        server.sql(f"DROP ROLE {ATTACKER}")


@pytest.fixture
def trapped(hostile: Hostile, databases: Callable[..., Database]) -> Trapped:
    """The fixture `databases` removes it at the end."""
    assert databases
    return hostile.database()


def run(trapped: Trapped, module: str, /, **options: object) -> dict[str, object]:
    result = run_module(module, **{"dsn": trapped.database.dsn, **options})
    assert "a trap was sprung" not in str(result), result
    return result


def done(trapped: Trapped, module: str, /, **options: object) -> dict[str, object]:
    result = run(trapped, module, **options)
    assert not result.get("failed"), result["msg"]
    return result


def check(figures: Figures, trapped: Trapped, traps: int) -> None:
    figures.add("attacks", traps)
    figures.add("attacks_sprung", len(trapped.sprung))
    assert trapped.sprung == []


SETUP = {"connector_password": PASSWORD, "schemas": ["app", "billing"]}


def test_shadows_of_the_catalogs_are_not_found(hostile: Hostile, trapped: Trapped, figures: Figures) -> None:
    make_user_where_sql_cannot(trapped.database.server)
    database = trapped.database
    assert done(trapped, "prerequisites", **SETUP)["changed"]
    assert not done(trapped, "prerequisites", **SETUP)["changed"]
    looked = done(trapped, "readiness_info", connector_password=PASSWORD, schemas=["app", "billing"], read_slot=True)
    assert looked["connector"]["looked"]
    assert [
        each["id"] for each in looked["checks"] if each["status"] == "fail" and each["severity"] == "critical"
    ] == []
    condition = [{"data_collection": "app.orders", "filter": "id > 3"}]
    signal = {"type": "execute-snapshot", "data_collections": ["app.orders"], "additional_conditions": condition}
    assert done(trapped, "signal", **signal)["changed"]
    assert done(trapped, "signal", type="execute-snapshot", data_collections=["app[.].*"], regex=True)["changed"]
    done(trapped, "signal", type="stop-snapshot")
    done(trapped, "replica_identity", schemas=["billing"], identity="full")
    filtered = (
        [{"name": "app.orders", "columns": ["id", "status"], "where": "id > 3"}]
        if database.server.major >= 15
        else ["app.orders"]
    )
    done(trapped, "publication", name="another", tables=filtered, exclusive=True)
    done(trapped, "role", name="another", member_of=["streamkap_role"], password="Another-2-of-the-tests", comment="c")
    done(trapped, "role", name="another", password="Another-3-of-the-tests", member_of=["streamkap_role"])
    done(trapped, "grant", role="another", schemas=["app"], table_privileges=["SELECT"], exclusive=True)
    done(trapped, "slot", name="another", publication="another")
    for module, options in (
        ("slot", {"name": "another"}),
        ("publication", {"name": "another"}),
        ("grant", {"role": "another", "schemas": ["app"]}),
        ("role", {"name": "another", "reassign_owned_to": neon.OWNER}),
        ("heartbeat_table", {}),
        ("signal_table", {}),
    ):
        done(trapped, module, state="absent", **options)
    check(figures, trapped, len(hostile.shadows))


def test_the_traps_go_off_for_who_looks_without_care(hostile: Hostile, trapped: Trapped) -> None:
    assert len(hostile.shadows) > 500
    for query in (
        "SELECT count(*) FROM pg_roles",
        "SELECT 'a'::text = 'b'::text",
        "SELECT format_type(1, 1)",
        "SELECT json_agg(1)",
        "SELECT '1'::regclass::text",
    ):
        before = len(trapped.sprung)
        with pytest.raises(psycopg2.Error, match="a trap was sprung"):
            trapped.database.sql(query)
        assert len(trapped.sprung) == before + 1, query


# --- what runs when a table is read or written

# All that somebody can hang on a table of the right shape, each of which fails alone.
HANGING = {
    "a trigger": "CREATE TRIGGER hanging BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION evil.trigger()",
    "a trigger at COMMIT": "CREATE CONSTRAINT TRIGGER hanging AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION evil.trigger()",
    "a trigger of the statement": "CREATE TRIGGER hanging AFTER INSERT ON {table} EXECUTE FUNCTION evil.trigger()",
    "a default": "ALTER TABLE {table} ALTER {column} SET DEFAULT evil.changing()",
    "a constraint": "ALTER TABLE {table} ADD CHECK ({column} IS NULL OR evil.trap('a constraint')) NOT VALID",
    "a policy": "CREATE POLICY hanging ON {table} USING (evil.trap('a policy')) WITH CHECK (evil.trap('a policy'));"
    "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
    "an index": "CREATE INDEX ON {table} ((evil.constant()))",
    "a predicate of an index": "CREATE INDEX ON {table} ({column}) WHERE evil.constant() = 1",
    "a rule": "CREATE RULE hanging AS ON INSERT TO {table} DO ALSO SELECT evil.trap('a rule')",
    "a child": "CREATE TABLE evil.child (CHECK (evil.constant() = 1)) INHERITS ({table});"
    "CREATE INDEX ON evil.child ((evil.constant()))",
}

SIGNALS = """
CREATE SCHEMA streamkap;
CREATE TABLE streamkap.streamkap_signal (id varchar(255) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2000));
CREATE TABLE streamkap.streamkap_heartbeat (id serial PRIMARY KEY, text text, last_update timestamp DEFAULT CURRENT_TIMESTAMP);
GRANT USAGE ON SCHEMA streamkap TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA streamkap TO PUBLIC;
GRANT ALL ON ALL SEQUENCES IN SCHEMA streamkap TO PUBLIC;
"""
TABLES = {"streamkap.streamkap_signal": "data", "streamkap.streamkap_heartbeat": "text"}

# The collection is run as the database's owner, as one whom policies bind, and as a superuser.
ADMINISTRATORS = ("owner", "bound", "superuser")


def administrators(trapped: Trapped) -> dict[str, str]:
    database = trapped.database
    database.admin(f"CREATE ROLE bound LOGIN CREATEROLE REPLICATION IN ROLE {neon.OWNER} PASSWORD '{PASSWORD}'")
    return {"owner": database.dsn, "bound": database.dsn_as("bound", PASSWORD), "superuser": database.admin_dsn}


@pytest.mark.postgres(14, 18)
@pytest.mark.parametrize("hanging", HANGING)
def test_what_hangs_on_the_connectors_tables_does_not_run(trapped: Trapped, figures: Figures, hanging: str) -> None:
    """Made by somebody else, of the right shape and with all grants, before the collection came."""
    trapped.attacker(SIGNALS)
    trapped.database.sql("CREATE PUBLICATION streamkap_pub FOR TABLE app.orders")
    trapped.database.admin("ALTER PUBLICATION streamkap_pub ADD TABLE streamkap.streamkap_signal")
    for table, column in TABLES.items():
        trapped.attacker(
            HANGING[hanging].format(table=table, column=column).replace("evil.child", f"evil.child_{column}")
        )
    for name, dsn in administrators(trapped).items():
        done(trapped, "signal_table", dsn=dsn)
        refused = run(trapped, "heartbeat_table", dsn=dsn)
        assert "their triggers and functions would run with the rights of the current user" in refused["msg"], name
        assert "in the hands of attacker" in refused["msg"]
        signal = {"type": "execute-snapshot", "data_collections": ["app.orders"], "dsn": dsn, "id": "a"}
        assert "in the hands of attacker" in run(trapped, "signal", **signal)["msg"]
        assert "in the hands of attacker" in run(trapped, "signal", check=True, **signal)["msg"]
        looked = done(trapped, "readiness_info", dsn=dsn, schemas=["app"])
        checks = {each["id"]: each for each in looked["checks"]}
        for skipped in ("signal_table_rows", "heartbeat_table_row"):
            assert checks[skipped]["status"] == "skipped"
    check(figures, trapped, len(TABLES) * len(ADMINISTRATORS))


def test_a_table_that_is_not_read_has_a_row_when_it_has_a_size(trapped: Trapped) -> None:
    trapped.attacker(SIGNALS + "INSERT INTO streamkap.streamkap_heartbeat (text) VALUES ('beaten')")
    for dsn in administrators(trapped).values():
        assert not done(trapped, "heartbeat_table", dsn=dsn)["changed"]


def test_a_schema_of_somebody_elses_is_not_trusted_either(trapped: Trapped) -> None:
    """Whose schema it is can put another table into the place of ours at any time."""
    trapped.attacker("CREATE SCHEMA streamkap; GRANT ALL ON SCHEMA streamkap TO PUBLIC")
    done(trapped, "signal_table")
    trapped.database.sql("CREATE PUBLICATION streamkap_pub FOR TABLE app.orders, streamkap.streamkap_signal")
    said = run(trapped, "signal", type="execute-snapshot", data_collections=["app.orders"])["msg"]
    assert "in the hands of neondb_owner and attacker" in said


def test_who_may_act_as_the_administrator_anyway_is_trusted(trapped: Trapped, figures: Figures) -> None:
    trapped.attacker(SIGNALS)
    dsn = administrators(trapped)["bound"]
    assert "in the hands of attacker" in run(trapped, "heartbeat_table", dsn=dsn)["msg"]
    trapped.database.admin(f"GRANT bound TO {ATTACKER}")
    assert done(trapped, "heartbeat_table", dsn=dsn)["queries"] == [
        'INSERT INTO "streamkap"."streamkap_heartbeat" (text) VALUES (\'test_heartbeat\')'
    ]
    check(figures, trapped, 0)


CAPTURED = """
CREATE SCHEMA theirs;
CREATE TABLE theirs.plain (id int PRIMARY KEY, data text);
CREATE TABLE theirs.keyless (id int, data text);
CREATE TABLE theirs.parted (id int, data text) PARTITION BY RANGE ((id + evil.constant()));
CREATE VIEW theirs.viewed AS SELECT evil.trap('a view');
GRANT USAGE ON SCHEMA theirs TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA theirs TO PUBLIC;
"""


def test_what_hangs_on_captured_tables_does_not_run(trapped: Trapped, figures: Figures) -> None:
    """Not with the administrator's rights: the connector reads these tables itself, and then it runs with the connector's."""
    make_user_where_sql_cannot(trapped.database.server)
    trapped.attacker(CAPTURED.replace("(id + evil.constant())", "id"))
    for number, statement in enumerate(HANGING.values()):
        for table in ("plain", "keyless"):
            text = statement.format(table=f"theirs.{table}", column="data")
            trapped.attacker(re.sub(r"\b(hanging|evil\.child)\b", rf"\1_{table}_{number}", text))
    # What the attacker's own are, only a superuser can grant on and publish.
    admin = {"dsn": trapped.database.admin_dsn}
    given = {"schemas": ["theirs"], "keyless_tables": "replica_identity_full", **admin}
    assert done(trapped, "prerequisites", connector_password=PASSWORD, bypassrls=True, **given)["changed"]
    done(trapped, "readiness_info", schemas=["theirs"], read_slot=True, **admin)
    done(trapped, "replica_identity", tables=["theirs.plain"], identity="index", index="plain_pkey", **admin)
    for type_, options in (("execute-snapshot", {"data_collections": ["theirs.plain"]}), ("stop-snapshot", {})):
        conditions = [{"data_collection": "theirs.plain", "filter": "evil.constant() = 1 AND data = 'a'"}]
        done(trapped, "signal", type=type_, additional_conditions=conditions if options else None, **options, **admin)
    done(trapped, "role", name=ATTACKER, password="Attacker-1-of-the-tests", **admin)
    check(figures, trapped, 2 * len(HANGING))
    # And the connector's own look runs it as nobody but the connector.
    run_module("readiness_info", connector_password=PASSWORD, schemas=["theirs"], **admin)
    assert {who for _what, *who_all in trapped.sprung for who in who_all} <= {USER}
