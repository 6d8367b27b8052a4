# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""For every check of readiness_info: what breaks a database that is ready so that this check fails, and what mends it.

A case is a function from a Ready database to a Case, or a generator of one where something has to be held open or put back.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psycopg2
from psycopg2.extras import LogicalReplicationConnection

from .modules import run_module
from .neon import Database
from .pooler import pooler
from .postgres import SUPERUSER, SUPERUSER_PASSWORD, Server
from .waiting import eventually

USER = "streamkap_user"
# As a result shows passwords: so what the modules said that they did can be done again word for word.
PASSWORD = "********"
SLOT = "streamkap_pgoutput_slot"
OTHER_SLOT = "another_slot"


@dataclass
class Ready:
    """A database that setup has made ready, and that nothing is wrong with."""

    database: Database
    publishing: list[str]

    @property
    def server(self) -> Server:
        return self.database.server

    def look(self, **options: object) -> dict[str, object]:
        given = {"dsn": self.database.dsn, "schemas": ["app", "billing"], "connector_password": PASSWORD}
        result = run_module("readiness_info", **{**given, **options})
        assert not result.get("failed"), result["msg"]
        return result

    def owner(self, *statements: str) -> None:
        self._run(self.database.dsn, statements)

    def admin(self, *statements: str) -> None:
        self._run(self.database.admin_dsn, statements)

    def configure(self, **settings: str) -> None:
        """ALTER SYSTEM, and wait until new sessions see it."""
        for name, value in settings.items():
            self.admin(f"ALTER SYSTEM SET {name} = '{value}'")
        self.reload(**settings)

    def reload(self, **settings: str) -> None:
        self.admin("SELECT pg_reload_conf()")
        for name, value in settings.items():
            eventually(lambda name=name, value=value: self.server.sql(f"SHOW {name}") == [(value,)])

    @contextlib.contextmanager
    def reading(self, slot: str = SLOT, user: str = USER, password: str = PASSWORD) -> Iterator[None]:
        """Somebody reads from a slot, and says that all was received."""
        dsn = self.database.dsn_as(user, password)
        with contextlib.closing(psycopg2.connect(dsn, connection_factory=LogicalReplicationConnection)) as connection:
            options = {"proto_version": "1", "publication_names": '"streamkap_pub"'}
            connection.cursor().start_replication(slot_name=slot, decode=False, options=options)
            eventually(
                lambda: self.server.sql(f"SELECT active FROM pg_replication_slots WHERE slot_name = '{slot}'")[0][0]
            )
            yield

    def consume(self, slot: str = SLOT) -> None:
        """Takes everything out of a slot."""
        self.admin(
            "SELECT count(*) FROM pg_logical_slot_get_binary_changes("
            f"'{slot}', NULL, NULL, 'proto_version', '1', 'publication_names', 'streamkap_pub')"
        )

    @staticmethod
    def _run(dsn: str, statements: tuple[str, ...]) -> None:
        with contextlib.closing(psycopg2.connect(dsn)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)


@dataclass
class Case:
    """A database that is broken by now.

    options: with which it has to be looked at to see it
    mend: what the words of the remedy say, where neither SQL nor a task does it alone
    after: what remains to be done once the SQL was run, such as a restart
    mended_options: with which to look then
    admin: whether only a superuser may run the SQL; on 14 and 15 `admin_before_16` says so
    also: checks that fail along with it, because of the same
    then: checks that may fail once this one passes, because of what the remedy says will have to follow
    """

    options: dict[str, object] = field(default_factory=dict)
    mend: Callable[[], object] | None = None
    after: Callable[[], object] | None = None
    mended_options: dict[str, object] | None = None
    admin: bool = False
    admin_before_16: bool = False
    also: frozenset[str] = frozenset()
    then: frozenset[str] = frozenset()


CASES: dict[str, Callable[[Ready], Iterator[Case]]] = {}
# On which versions a check can fail.
VERSIONS: dict[str, tuple[int, ...]] = {}
# The checks whose remedy is a task too.
TASKS = {
    "connector_login",
    "user_exists",
    "user_login",
    "user_replication",
    "database_connect",
    "membership_inherited",
    "no_other_schemas",
    "schema_usage",
    "tables_readable",
    "row_security",
    "replica_identity",
    "partition_identities",
    "toasted_values",
    "event_keys",
    "default_privileges",
    "publication_exists",
    "tables_published",
    "row_filters_use_key",
    "slot_exists",
    "slot_not_lost",
    "heartbeat_table_row",
    "signal_table_exists",
    "signal_table_privileges",
    "signal_table_published",
    "heartbeat_table_exists",
    "heartbeat_table_privileges",
    "heartbeat_table_published",
}


def breaks(check: str, *majors: int) -> Callable[[Callable[[Ready], object]], Callable[[Ready], object]]:
    """majors: the oldest and the newest version on which the check can fail; of all when none are given.

    What the versions between would show, the looks at a database in which nothing is wrong do.
    """

    def declare(case: Callable[[Ready], object]) -> Callable[[Ready], object]:
        CASES[check] = case if _is_generator(case) else lambda ready: iter([case(ready)])
        VERSIONS[check] = majors or (14, 18)
        return case

    return declare


def _is_generator(case: Callable[[Ready], object]) -> bool:
    return bool(case.__code__.co_flags & 0x20)


def owner_broke(*statements: str, **about: object) -> Callable[[Ready], Case]:
    def case(ready: Ready) -> Case:
        ready.owner(*statements)
        return Case(**about)

    return case


def admin_broke(*statements: str, **about: object) -> Callable[[Ready], Case]:
    def case(ready: Ready) -> Case:
        ready.admin(*statements)
        return Case(**about)

    return case


# --- connection


@breaks("direct_host")
def through_a_host_called_pooler(ready: Ready) -> Case:
    host = {"login_host": "db.pooler.shop.example", "connect_params": {"hostaddr": ready.server.host}}
    return Case(options=host, mend=lambda: None, mended_options={})


@breaks("round_trip_time")
def slower_than_nothing(_ready: Ready) -> Case:
    return Case(options={"max_round_trip": 0}, mend=lambda: None, mended_options={})


@breaks("encryption")
def no_tls(ready: Ready) -> Case:
    ready.configure(ssl="off")
    return Case(admin=True, after=lambda: ready.reload(ssl="on"))


@breaks("connector_login")
def wrong_password(_ready: Ready) -> Case:
    return Case(options={"connector_password": "Another-5-of-the-tests"}, admin_before_16=True)


@breaks("replication_connection")
def through_a_pooler(ready: Ready) -> Iterator[Case]:
    with pooler(ready.server.port) as port:
        yield Case(options={"login_port": port}, mend=lambda: None, mended_options={})


breaks("acts_as_itself")(
    admin_broke(
        "CREATE ROLE somebody_else",
        f"GRANT somebody_else TO {USER}",
        f"ALTER ROLE {USER} SET role = 'somebody_else'",
        admin=True,
    )
)

# --- server


@breaks("primary_server")
def a_standby(ready: Ready) -> Iterator[Case]:
    with ready.server.standby() as server:
        server.catch_up()
        standby = Ready(Database(server, ready.database.name), [])
        options = {"dsn": standby.database.dsn}
        if ready.server.major < 16:
            yield Case(options=options, mend=lambda: None, mended_options={})
        else:
            yield Case(
                options=options,
                mend=lambda: standby.configure(hot_standby_feedback="on"),
                # A slot of the primary's is none of the standby's.
                then=frozenset({"slot_exists"}),
            )


@breaks("wal_level")
def wal_for_standbys_only(ready: Ready) -> Iterator[Case]:
    ready.admin(f"SELECT pg_drop_replication_slot('{SLOT}')", "ALTER SYSTEM SET wal_level = 'replica'")
    with _restarted(ready, wal_level=None):
        yield Case(admin=True, after=lambda: ready.server.restart(wal_level=None), then=frozenset({"slot_exists"}))


@breaks("replication_slots_free")
def all_slots_taken(ready: Ready) -> Iterator[Case]:
    ready.admin(
        "SELECT pg_create_physical_replication_slot('taken_' || n) FROM generate_series(1, 10"
        " - (SELECT count(*) FROM pg_replication_slots)) AS n"
    )
    with _restarted(ready):
        yield Case(
            options={"slot": ""},
            admin=True,
            after=lambda: ready.server.restart(max_replication_slots=None, max_wal_senders=None),
        )
        ready.admin("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


@breaks("wal_senders_free")
def all_walsenders_busy(ready: Ready) -> Iterator[Case]:
    with contextlib.ExitStack() as connections, _restarted(ready):

        def take() -> None:
            for _number in range(10):
                connections.enter_context(
                    contextlib.closing(
                        psycopg2.connect(ready.database.admin_dsn, connection_factory=LogicalReplicationConnection)
                    )
                )

        def restart() -> None:
            ready.server.restart(max_wal_senders=None)
            take()

        take()
        yield Case(admin=True, after=restart)


@breaks("wal_senders_enough")
def fewer_walsenders_than_slots(ready: Ready) -> Iterator[Case]:
    ready.admin("ALTER SYSTEM SET max_wal_senders = 5")
    with _restarted(ready, max_wal_senders=None):
        yield Case(admin=True, after=lambda: ready.server.restart(max_wal_senders=None))


@breaks("wal_kept_for_slots")
def little_wal_is_kept(ready: Ready) -> Case:
    ready.configure(max_slot_wal_keep_size="512MB")
    return Case(admin=True, after=lambda: ready.reload(max_slot_wal_keep_size="10GB"))


@breaks("wal_kept_is_bounded")
def all_wal_is_kept(ready: Ready) -> Case:
    ready.configure(max_slot_wal_keep_size="-1")
    return Case(admin=True, after=lambda: ready.reload(max_slot_wal_keep_size="100GB"))


@breaks("idle_slot_timeout", 18)
def idle_slots_go(ready: Ready) -> Iterator[Case]:
    ready.configure(idle_replication_slot_timeout="1h")
    yield Case(admin=True, after=lambda: ready.reload(idle_replication_slot_timeout="0"))
    ready.admin("ALTER SYSTEM RESET idle_replication_slot_timeout", "SELECT pg_reload_conf()")


breaks("wal_sender_timeout")(
    owner_broke(
        "ALTER PUBLICATION streamkap_pub DROP TABLE streamkap.streamkap_heartbeat",
        options={"heartbeat_table": ""},
        admin_before_16=True,
    )
)
breaks("statement_timeout")(admin_broke(f"ALTER ROLE {USER} SET statement_timeout = '30s'", admin_before_16=True))
breaks("idle_in_transaction_timeout")(
    admin_broke(f"ALTER ROLE {USER} SET idle_in_transaction_session_timeout = '5min'", admin_before_16=True)
)
breaks("value_formats")(
    admin_broke(
        f"ALTER ROLE {USER} SET IntervalStyle = sql_standard",
        f"ALTER ROLE {USER} SET bytea_output = escape",
        f"ALTER ROLE {USER} SET extra_float_digits = 0",
        admin_before_16=True,
    )
)
breaks("decoding_memory")(admin_broke(f"ALTER ROLE {USER} SET logical_decoding_work_mem = '1MB'", admin_before_16=True))


@breaks("long_transactions")
def a_forgotten_transaction(ready: Ready) -> Iterator[Case]:
    with contextlib.closing(psycopg2.connect(ready.database.dsn)) as session:
        session.cursor().execute("SELECT 1")
        yield Case(options={"max_transaction_age": 0})


@breaks("prepared_transactions")
def a_forgotten_prepared_transaction(ready: Ready) -> Iterator[Case]:
    with _restarted(ready, max_prepared_transactions=2):
        ready.owner("BEGIN", "UPDATE app.orders SET status = 'open' WHERE id = 1", "PREPARE TRANSACTION 'it''s'")
        yield Case(options={"max_transaction_age": 0})


# --- user

breaks("user_exists")(lambda _ready: Case(options={"connector_user": "another_user"}, admin_before_16=True))
breaks("user_login")(admin_broke(f"ALTER ROLE {USER} NOLOGIN", admin_before_16=True))
breaks("user_replication")(admin_broke(f"ALTER ROLE {USER} NOREPLICATION", admin_before_16=True))
breaks("password_valid")(admin_broke(f"ALTER ROLE {USER} VALID UNTIL '2020-01-01'", admin_before_16=True))


@breaks("database_connect")
def no_connect(ready: Ready) -> Case:
    ready.admin(f'REVOKE CONNECT ON DATABASE "{ready.database.name}" FROM PUBLIC, streamkap_role')
    return Case()


@breaks("membership_inherited")
def no_inheritance(ready: Ready) -> Case:
    if ready.server.major >= 16:
        ready.owner(f"GRANT streamkap_role TO {USER} WITH INHERIT FALSE")
    else:
        ready.admin(f"ALTER ROLE {USER} NOINHERIT")
    return Case(admin_before_16=True)


breaks("connection_limit")(admin_broke(f"ALTER ROLE {USER} CONNECTION LIMIT 2", admin_before_16=True))
breaks("no_excess_rights")(admin_broke(f"ALTER ROLE {USER} CREATEDB CREATEROLE", admin_before_16=True))
breaks("no_other_schemas")(
    admin_broke(
        "CREATE SCHEMA past AUTHORIZATION neondb_owner",
        "CREATE TABLE past.orders (id int PRIMARY KEY)",
        "ALTER TABLE past.orders OWNER TO neondb_owner",
        "SET ROLE neondb_owner; GRANT USAGE ON SCHEMA past TO streamkap_role;"
        " GRANT SELECT ON past.orders TO streamkap_role;"
        " ALTER DEFAULT PRIVILEGES IN SCHEMA past GRANT SELECT ON TABLES TO streamkap_role; RESET ROLE",
    )
)
breaks("group_role_without_login")(admin_broke("ALTER ROLE streamkap_role PASSWORD 'Of-the-group-3'"))

# --- tables


@breaks("tables_exist")
def a_mistyped_schema(_ready: Ready) -> Case:
    return Case(options={"schemas": ["app", "billing", "Billing"]}, mend=lambda: None, mended_options={})


breaks("schema_usage")(owner_broke("REVOKE USAGE ON SCHEMA billing FROM streamkap_role"))
breaks("tables_readable")(owner_broke("REVOKE SELECT ON app.orders, billing.payments FROM streamkap_role"))


@breaks("tables_read")
def a_partition_on_a_server_that_is_gone(ready: Ready) -> Case:
    ready.admin(
        "CREATE EXTENSION file_fdw",
        "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw",
        "CREATE SCHEMA archive",
        "CREATE TABLE app.visits (day date NOT NULL, page text) PARTITION BY RANGE (day)",
        "CREATE FOREIGN TABLE archive.visits_2020 PARTITION OF app.visits FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')"
        " SERVER files OPTIONS (filename '/nowhere', format 'csv')",
        "GRANT SELECT ON app.visits TO streamkap_role",
        "ALTER PUBLICATION streamkap_pub ADD TABLE app.visits",
    )
    return Case(
        mend=lambda: ready.admin(
            "DROP FOREIGN TABLE archive.visits_2020", "ALTER TABLE app.visits ADD PRIMARY KEY (day)"
        ),
        # Nor are its changes published, and no key can be had with it.
        also=frozenset({"tables_publishable", "tables_keyed"}),
    )


breaks("row_security")(owner_broke("ALTER TABLE app.customers ENABLE ROW LEVEL SECURITY", admin_before_16=True))
breaks("replica_identity")(
    owner_broke(
        "CREATE TABLE app.log (at timestamptz, line text)",
        "ALTER PUBLICATION streamkap_pub ADD TABLE app.log",
        then=frozenset({"tables_keyed"}),
    )
)

PARTITIONED = (
    "CREATE TABLE app.visits (day date, page int, PRIMARY KEY (day, page)) PARTITION BY RANGE (day)",
    "CREATE TABLE app.visits_2026 PARTITION OF app.visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    "ALTER PUBLICATION streamkap_pub ADD TABLE app.visits",
)

breaks("partition_identities")(owner_broke(*PARTITIONED, "ALTER TABLE app.visits_2026 REPLICA IDENTITY FULL"))
breaks("toasted_values")(
    owner_broke(
        "ALTER TABLE app.customers ALTER name SET STORAGE EXTERNAL",
        "UPDATE app.customers SET name = repeat('a long name ', 10000) WHERE id = 1",
        "VACUUM app.customers",
    )
)
breaks("tables_publishable")(
    owner_broke("CREATE UNLOGGED TABLE app.cache (id int PRIMARY KEY)", then=frozenset({"tables_published"}))
)


@breaks("generated_columns")
def a_generated_column(ready: Ready) -> Case:
    ready.owner("ALTER TABLE app.orders ADD COLUMN shouted text GENERATED ALWAYS AS (upper(status)) STORED")
    if ready.server.major >= 18:
        return Case()
    return Case(
        mend=lambda: ready.owner("ALTER PUBLICATION streamkap_pub DROP TABLE app.orders"),
        mended_options={"exclude_tables": ["app.orders"]},
    )


@breaks("event_keys")
def a_replica_identity_that_lacks_the_key(ready: Ready) -> Case:
    ready.owner(
        "CREATE TABLE app.codes (id int PRIMARY KEY, code text NOT NULL UNIQUE)",
        "ALTER TABLE app.codes REPLICA IDENTITY USING INDEX codes_code_key",
        "ALTER PUBLICATION streamkap_pub ADD TABLE app.codes",
    )
    return Case()


@breaks("tables_keyed")
def a_table_without_a_key(ready: Ready) -> Case:
    ready.owner(
        "CREATE TABLE app.log (id int NOT NULL, line text)",
        "ALTER TABLE app.log REPLICA IDENTITY FULL",
        "ALTER PUBLICATION streamkap_pub ADD TABLE app.log",
    )
    return Case(mend=lambda: ready.owner("ALTER TABLE app.log ADD PRIMARY KEY (id)"))


@breaks("inherited_changes")
def a_child_that_is_not_captured(ready: Ready) -> Case:
    ready.owner(
        "CREATE SCHEMA parts",
        "CREATE TABLE app.readings (id int PRIMARY KEY)",
        "CREATE TABLE parts.readings_2026 (PRIMARY KEY (id)) INHERITS (app.readings)",
        "ALTER PUBLICATION streamkap_pub ADD TABLE ONLY app.readings",
    )

    def mend() -> None:
        ready.owner(
            "GRANT USAGE ON SCHEMA parts TO streamkap_role",
            "GRANT SELECT ON parts.readings_2026 TO streamkap_role",
            "ALTER PUBLICATION streamkap_pub ADD TABLE parts.readings_2026",
        )

    return Case(mend=mend, mended_options={"tables": ["parts.readings_2026"]}, then=frozenset({"inherited_rows"}))


@breaks("inherited_rows")
def a_child_that_is_captured(ready: Ready) -> Case:
    ready.owner(
        "CREATE TABLE app.readings (id int PRIMARY KEY)",
        "CREATE TABLE app.readings_2026 (PRIMARY KEY (id)) INHERITS (app.readings)",
        "ALTER PUBLICATION streamkap_pub ADD TABLE app.readings",
    )

    def mend() -> None:
        ready.owner("ALTER PUBLICATION streamkap_pub DROP TABLE ONLY app.readings")

    return Case(mend=mend, mended_options={"exclude_tables": ["app.readings"]})


@breaks("key_types")
def a_binary_key(ready: Ready) -> Case:
    ready.owner("CREATE TABLE app.blobs (id bytea PRIMARY KEY)", "ALTER PUBLICATION streamkap_pub ADD TABLE app.blobs")
    return Case(
        mend=lambda: ready.owner("ALTER PUBLICATION streamkap_pub DROP TABLE app.blobs"),
        mended_options={"exclude_tables": ["app.blobs"]},
    )


@breaks("column_types")
def a_column_that_is_left_out(ready: Ready) -> Case:
    ready.owner("ALTER TABLE app.products ADD COLUMN shape polygon")
    return Case(mend=lambda: ready.owner("ALTER TABLE app.products ALTER shape TYPE text USING shape::text"))


@breaks("snapshots_end_well")
def a_column_of_cursors(ready: Ready) -> Case:
    ready.owner("ALTER TABLE app.products ADD COLUMN pages refcursor")
    return Case(
        mend=lambda: ready.owner("ALTER TABLE app.products ALTER pages TYPE text"), also=frozenset({"column_types"})
    )


breaks("types_loadable")(owner_broke("CREATE TYPE app.nothing AS ENUM ()"))
breaks("default_privileges")(
    owner_broke("ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA app REVOKE SELECT ON TABLES FROM streamkap_role")
)

# --- publication

breaks("publication_exists")(owner_broke("DROP PUBLICATION streamkap_pub"))


@breaks("publication_not_empty")
def nothing_is_published(ready: Ready) -> Case:
    tables = ready.database.sql(
        "SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_publication_tables"
    )
    ready.owner(f"ALTER PUBLICATION streamkap_pub DROP TABLE {tables[0][0]}")
    return Case()


breaks("tables_published")(owner_broke("ALTER PUBLICATION streamkap_pub DROP TABLE app.orders, billing.payments"))
breaks("no_extra_tables")(
    owner_broke(
        "CREATE TABLE public.extra (id int PRIMARY KEY)", "ALTER PUBLICATION streamkap_pub ADD TABLE public.extra"
    )
)


@breaks("publication_narrow")
def everything_is_published(ready: Ready) -> Case:
    ready.admin("DROP PUBLICATION streamkap_pub", "CREATE PUBLICATION streamkap_pub FOR ALL TABLES")

    def mend() -> None:
        ready.admin(f"SELECT pg_drop_replication_slot('{SLOT}')", "DROP PUBLICATION streamkap_pub")
        ready.owner(*ready.publishing)
        ready.owner(f"SELECT pg_create_logical_replication_slot('{SLOT}', 'pgoutput')")

    return Case(options={"dsn": ready.database.admin_dsn}, mend=mend)


breaks("publication_operations")(owner_broke("ALTER PUBLICATION streamkap_pub SET (publish = 'insert, truncate')"))
breaks("partition_root")(
    owner_broke(*PARTITIONED, "ALTER PUBLICATION streamkap_pub SET (publish_via_partition_root = false)")
)
breaks("column_lists", 15, 18)(
    owner_broke(
        "ALTER PUBLICATION streamkap_pub DROP TABLE app.orders",
        "ALTER PUBLICATION streamkap_pub ADD TABLE app.orders (status, customer_id)",
    )
)
breaks("row_filters_use_key", 15, 18)(
    owner_broke(
        "ALTER PUBLICATION streamkap_pub DROP TABLE app.orders",
        "ALTER PUBLICATION streamkap_pub ADD TABLE app.orders WHERE (status <> 'open')",
        then=frozenset({"no_row_filters"}),
    )
)
breaks("no_row_filters", 15, 18)(
    owner_broke(
        "ALTER PUBLICATION streamkap_pub DROP TABLE app.orders",
        "ALTER PUBLICATION streamkap_pub ADD TABLE app.orders WHERE (id > 5)",
    )
)
breaks("publication_owner")(admin_broke("ALTER PUBLICATION streamkap_pub OWNER TO cloud_admin", admin=True))

# --- slot


@breaks("slot_name")
def a_slot_with_capitals(_ready: Ready) -> Case:
    return Case(options={"slot": "Streamkap-Slot"}, mend=lambda: None, mended_options={})


breaks("slot_exists")(owner_broke(f"SELECT pg_drop_replication_slot('{SLOT}')"))


@breaks("slot_database")
def a_slot_of_another_database(ready: Ready) -> Case:
    ready.server.sql(f"SELECT pg_create_logical_replication_slot('{OTHER_SLOT}', 'pgoutput')")
    return Case(options={"slot": OTHER_SLOT}, mend=lambda: None, mended_options={})


breaks("slot_plugin")(
    owner_broke(
        f"SELECT pg_create_logical_replication_slot('{OTHER_SLOT}', 'test_decoding')", options={"slot": OTHER_SLOT}
    )
)


@breaks("slot_complete")
def a_slot_that_waits_for_a_writer(ready: Ready) -> Iterator[Case]:
    create = f"SELECT pg_create_logical_replication_slot('{OTHER_SLOT}', 'pgoutput')"
    with contextlib.closing(psycopg2.connect(ready.database.dsn)) as writer:
        writer.cursor().execute("SELECT pg_current_xact_id()")
        creation = threading.Thread(target=ready.owner, args=(create,))
        creation.start()
        eventually(
            lambda: ready.server.sql(f"SELECT active FROM pg_replication_slots WHERE slot_name = '{OTHER_SLOT}'")
        )
        yield Case(options={"slot": OTHER_SLOT}, after=creation.join)


@breaks("slot_not_lost")
def a_slot_whose_wal_is_gone(ready: Ready) -> Case:
    ready.configure(max_slot_wal_keep_size="1MB")
    # More than wal_keep_size.
    for _segment in range(20):
        ready.admin("SELECT pg_logical_emit_message(false, '', '')", "SELECT pg_switch_wal()")
    ready.admin("CHECKPOINT")
    ready.configure(max_slot_wal_keep_size="8GB")
    return Case()


@breaks("slot_reads_publication")
def a_publication_made_after_changes(ready: Ready) -> Case:
    ready.owner(
        "DROP PUBLICATION streamkap_pub", "UPDATE app.orders SET status = 'open' WHERE id = 1", *ready.publishing
    )
    return Case()


@breaks("slot_of_this_server", 17, 18)
def a_slot_that_is_synchronized(ready: Ready) -> Iterator[Case]:
    ready.admin(
        "SELECT pg_create_physical_replication_slot('standby')",
        f"SELECT pg_drop_replication_slot('{SLOT}')",
        f"SELECT pg_create_logical_replication_slot('{SLOT}', 'pgoutput', failover => true)",
    )
    with ready.server.standby() as server:
        primary = ready.server
        server.restart(
            primary_slot_name="standby",
            hot_standby_feedback="on",
            primary_conninfo=f"host={primary.host} port={primary.port} user={SUPERUSER} password={SUPERUSER_PASSWORD} dbname=postgres",
        )
        server.catch_up()
        standby = Ready(Database(server, ready.database.name), [])
        eventually(lambda: _synchronized(ready, standby))
        yield Case(options={"dsn": standby.database.dsn}, mend=lambda: None, mended_options={})
    ready.admin("SELECT pg_drop_replication_slot('standby')")


def _synchronized(ready: Ready, standby: Ready) -> bool:
    """Moves the slot on the primary to where the standby's copy can begin, and copies it."""
    for _time in range(2):
        ready.admin("SELECT pg_log_standby_snapshot()")
        ready.consume()
    standby.server.catch_up()
    standby.admin("SELECT pg_sync_replication_slots()")
    copies = standby.server.sql(
        "SELECT synced AND NOT temporary FROM pg_replication_slots WHERE slot_name = %s", [SLOT]
    )
    return copies == [(True,)]


@breaks("slot_publication_known")
def a_publication_made_again_that_nobody_tries(ready: Ready) -> Case:
    ready.owner("DROP PUBLICATION streamkap_pub", *ready.publishing)
    return Case(options={"read_slot": False}, mend=lambda: None, mended_options={})


@breaks("slot_consumer")
def somebody_else_reads(ready: Ready) -> Iterator[Case]:
    with ready.reading(user="neondb_owner", password="Owner-of-neondb-7-of-the-tests"):
        yield Case()


@breaks("slot_read")
def a_connector_that_does_not_run(ready: Ready) -> Iterator[Case]:
    with contextlib.ExitStack() as stack:
        yield Case(options={"connector_running": True}, mend=lambda: stack.enter_context(ready.reading()))


@breaks("slot_progress")
def a_connector_that_confirms_nothing(ready: Ready) -> Iterator[Case]:
    with contextlib.ExitStack() as reader:
        reader.enter_context(ready.reading())
        before = ready.look()["slot"]
        ready.owner("SELECT pg_logical_emit_message(true, '', repeat('x', 100000))")

        def mend() -> None:
            reader.close()
            eventually(lambda: not ready.look()["slot"]["active"])
            ready.consume()
            reader.enter_context(ready.reading())

        yield Case(options={"connector_running": True, "slot_before": before}, mend=mend)


@breaks("slot_in_use", 17, 18)
def nobody_reads(ready: Ready) -> Iterator[Case]:
    eventually(lambda: (ready.look()["slot"]["idle_seconds"] or 0) >= 1)
    with contextlib.ExitStack() as stack:
        yield Case(options={"max_idle": 0}, mend=lambda: stack.enter_context(ready.reading()))


@breaks("slot_lag")
def much_was_written(ready: Ready) -> Case:
    ready.owner("SELECT pg_logical_emit_message(true, '', repeat('x', 1000000))")
    return Case(options={"max_lag": 500000}, mend=ready.consume)


@breaks("slot_retained_wal")
def a_long_writer(ready: Ready) -> Iterator[Case]:
    with contextlib.closing(psycopg2.connect(ready.database.dsn)) as writer:
        writer.cursor().execute("UPDATE app.orders SET status = 'open' WHERE id = 1")

        def move() -> None:
            # The slot learns of what is running from the checkpoint's record, and moves when it has read one more.
            for _time in range(3):
                ready.owner("SELECT pg_logical_emit_message(true, '', repeat('x', 1000000))")
                ready.admin("CHECKPOINT")
                ready.consume()

        move()
        yield Case(options={"max_retained": 2000000}, after=move)


@breaks("neon_slot_removal")
def idle_on_neon(ready: Ready) -> Iterator[Case]:
    ready.admin(f"ALTER DATABASE \"{ready.database.name}\" SET neon.project_id = 'emulated-project-1'")
    ready.owner(f"SELECT pg_create_logical_replication_slot('{OTHER_SLOT}', 'pgoutput')")
    with contextlib.ExitStack() as stack, ready.reading(OTHER_SLOT):
        yield Case(mend=lambda: stack.enter_context(ready.reading()))


@breaks("slot_failover", 17, 18)
def a_standby_without_the_slot(ready: Ready) -> Case:
    ready.admin("SELECT pg_create_physical_replication_slot('standby')")

    def mend() -> None:
        (check,) = (check for check in ready.look()["checks"] if check["id"] == "slot_failover")
        command = check["remedy"].partition("command: ")[2].rstrip(".")
        dsn = ready.database.admin_dsn
        with contextlib.closing(psycopg2.connect(dsn, connection_factory=LogicalReplicationConnection)) as connection:
            connection.cursor().execute(command)

    return Case(mend=mend)


# --- the connector's tables

for _table, _column in (("signal", "type"), ("heartbeat", "text")):
    _name = f"streamkap.streamkap_{_table}"
    breaks(f"{_table}_table_exists")(owner_broke(f"DROP TABLE {_name}"))
    breaks(f"{_table}_table_shape")(owner_broke(f"ALTER TABLE {_name} RENAME {_column} TO kind"))
    breaks(f"{_table}_table_privileges")(
        owner_broke(
            f"REVOKE INSERT ON {_name} FROM streamkap_role"
            if _table == "signal"
            else "REVOKE USAGE ON SEQUENCE streamkap.streamkap_heartbeat_id_seq FROM streamkap_role"
        )
    )
    breaks(f"{_table}_table_published")(owner_broke(f"ALTER PUBLICATION streamkap_pub DROP TABLE {_name}"))

breaks("signal_table_writable")(owner_broke("ALTER TABLE streamkap.streamkap_signal ENABLE ROW LEVEL SECURITY"))
breaks("heartbeat_table_writable")(
    owner_broke("CREATE RULE silence AS ON UPDATE TO streamkap.streamkap_heartbeat DO INSTEAD NOTHING")
)
breaks("signal_table_rows")(
    owner_broke(
        "INSERT INTO streamkap.streamkap_signal SELECT n, 'log' FROM generate_series(1, 3) AS n",
        options={"max_signal_rows": 2},
    )
)
breaks("heartbeat_table_row")(owner_broke("DELETE FROM streamkap.streamkap_heartbeat"))


@breaks("heartbeat_fresh")
def no_heartbeat(ready: Ready) -> Iterator[Case]:
    ready.owner("UPDATE streamkap.streamkap_heartbeat SET last_update = now() - interval '2 hours'")
    with ready.reading():
        yield Case(mend=lambda: ready.owner("UPDATE streamkap.streamkap_heartbeat SET last_update = now()"))


@contextlib.contextmanager
def _restarted(ready: Ready, **settings: object) -> Iterator[None]:
    """Restarts, and puts everything back that a remedy may have set for the whole server."""
    ready.server.restart(**settings)
    try:
        yield
    finally:
        ready.server.restart()
        for name in ("wal_level", "max_wal_senders", "max_replication_slots"):
            ready.admin(f"ALTER SYSTEM RESET {name}")
        ready.server.restart()
