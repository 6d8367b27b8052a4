# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases on which a careless remedy of a check would make the application's updates fail.

Each has column lists, row filters, partitions, generated columns, and replica identities that do not fit them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_LONG = "repeat('a long value ', 10000)"

# What each table needs in the end is said beside it.
PARTS = (
    # DEFAULT, not FULL
    "CREATE TABLE app.listed (id int PRIMARY KEY, v text, secret text)",
    "ALTER TABLE app.listed REPLICA IDENTITY NOTHING",
    "ALTER PUBLICATION streamkap_pub ADD TABLE app.listed (id, v)",
    # nothing: FULL would stop its updates
    "CREATE TABLE app.listed_long (id int PRIMARY KEY, v text, secret text)",
    "ALTER TABLE app.listed_long ALTER v SET STORAGE EXTERNAL",
    f"INSERT INTO app.listed_long VALUES (1, {_LONG})",
    "VACUUM app.listed_long",
    "ALTER PUBLICATION streamkap_pub ADD TABLE app.listed_long (id, v)",
    # FULL
    "CREATE TABLE app.long (id int PRIMARY KEY, v text)",
    "ALTER TABLE app.long ALTER v SET STORAGE EXTERNAL",
    f"INSERT INTO app.long VALUES (1, {_LONG})",
    "VACUUM app.long",
    "ALTER PUBLICATION streamkap_pub ADD TABLE app.long",
    # a longer column list
    "CREATE TABLE app.short_list (id int PRIMARY KEY, v text, secret text)",
    "ALTER PUBLICATION streamkap_pub ADD TABLE app.short_list (v)",
    # the key in its column list, and DEFAULT
    "CREATE TABLE app.full_list (id int PRIMARY KEY, v text, secret text)",
    "ALTER TABLE app.full_list REPLICA IDENTITY FULL",
    "ALTER PUBLICATION streamkap_pub ADD TABLE app.full_list (v)",
    # no row filter, because of the column list
    "CREATE TABLE app.filter_and_list (id int PRIMARY KEY, v text, secret text)",
    "ALTER PUBLICATION streamkap_pub ADD TABLE app.filter_and_list (id, v) WHERE (v > 'a')",
    # FULL
    "CREATE TABLE app.filtered (id int PRIMARY KEY, v text)",
    "ALTER PUBLICATION streamkap_pub ADD TABLE app.filtered WHERE (v > 'a')",
    # FULL before it is published
    "CREATE TABLE app.log (line text)",
    # its partition DEFAULT
    "CREATE TABLE app.by_list (id int PRIMARY KEY, v text, w text) PARTITION BY RANGE (id)",
    "CREATE TABLE app.by_list_1 PARTITION OF app.by_list DEFAULT",
    "ALTER TABLE app.by_list_1 REPLICA IDENTITY FULL",
    "ALTER PUBLICATION streamkap_pub ADD TABLE app.by_list (id, v)",
    # itself DEFAULT, not its partition FULL
    "CREATE TABLE app.by_list_full (id int PRIMARY KEY, v text, w text) PARTITION BY RANGE (id)",
    "CREATE TABLE app.by_list_full_1 PARTITION OF app.by_list_full DEFAULT",
    "ALTER TABLE app.by_list_full REPLICA IDENTITY FULL",
    "ALTER PUBLICATION streamkap_pub ADD TABLE app.by_list_full (id, v)",
    # its partition FULL
    "CREATE TABLE app.by_filter (id int PRIMARY KEY, v text, w text) PARTITION BY RANGE (id)",
    "CREATE TABLE app.by_filter_1 PARTITION OF app.by_filter DEFAULT",
    "ALTER TABLE app.by_filter REPLICA IDENTITY FULL",
    "ALTER PUBLICATION streamkap_pub ADD TABLE app.by_filter WHERE (w > 'a')",
    # itself FULL, not its partition DEFAULT
    "CREATE TABLE app.by_filter_full (id int PRIMARY KEY, v text, w text) PARTITION BY RANGE (id)",
    "CREATE TABLE app.by_filter_full_1 PARTITION OF app.by_filter_full DEFAULT",
    "ALTER TABLE app.by_filter_full_1 REPLICA IDENTITY FULL",
    "ALTER PUBLICATION streamkap_pub ADD TABLE app.by_filter_full WHERE (w > 'a')",
    # nothing by itself: another publication lists its columns
    "CREATE TABLE app.elsewhere (id int PRIMARY KEY, v text)",
    "ALTER TABLE app.elsewhere ALTER v SET STORAGE EXTERNAL",
    f"INSERT INTO app.elsewhere VALUES (1, {_LONG})",
    "VACUUM app.elsewhere",
    "ALTER PUBLICATION streamkap_pub ADD TABLE app.elsewhere",
    "CREATE PUBLICATION of_others FOR TABLE app.elsewhere (id)",
    "GRANT SELECT ON ALL TABLES IN SCHEMA app TO streamkap_role",
)

# From PostgreSQL 18 on generated columns have a say.
GENERATED = (
    # DEFAULT
    "CREATE TABLE app.sums (id int PRIMARY KEY, s int GENERATED ALWAYS AS (id + 1) STORED)",
    "ALTER TABLE app.sums REPLICA IDENTITY FULL",
    "ALTER PUBLICATION streamkap_pub ADD TABLE app.sums",
    # its generated column published, and FULL
    "CREATE TABLE app.keyless_sums (id int, s int GENERATED ALWAYS AS (id + 1) STORED)",
    "ALTER PUBLICATION streamkap_pub ADD TABLE app.keyless_sums",
    # nothing, because it cannot be published
    "CREATE TABLE app.virtual_sums (id int PRIMARY KEY, v text, s int GENERATED ALWAYS AS (id + 1) VIRTUAL)",
    "ALTER TABLE app.virtual_sums ALTER v SET STORAGE EXTERNAL",
    f"INSERT INTO app.virtual_sums VALUES (1, {_LONG})",
    "VACUUM app.virtual_sums",
    "ALTER PUBLICATION streamkap_pub ADD TABLE app.virtual_sums",
    "GRANT SELECT ON ALL TABLES IN SCHEMA app TO streamkap_role",
)

# Only a superuser publishes schemas.
SCHEMAS = (
    "CREATE UNLOGGED TABLE app.scratch (v text)",
    "ALTER TABLE app.scratch OWNER TO app_owner",
    "CREATE TABLE app.unwanted (id int PRIMARY KEY)",
    "ALTER TABLE app.unwanted OWNER TO app_owner",
    "ALTER PUBLICATION streamkap_pub DROP TABLE app.customers, app.orders, app.products, app.order_items",
    "ALTER PUBLICATION streamkap_pub ADD TABLES IN SCHEMA app",
    "GRANT SELECT ON ALL TABLES IN SCHEMA app TO streamkap_role",
)

# Nothing but inserts is published, and so a table without a key does no harm yet.
INSERTS = (
    "CREATE TABLE app.log (line text)",
    "ALTER PUBLICATION streamkap_pub ADD TABLE app.log",
    "CREATE TABLE app.listed (id int PRIMARY KEY, v text, secret text)",
    "ALTER TABLE app.listed REPLICA IDENTITY FULL",
    "ALTER PUBLICATION streamkap_pub SET (publish = 'insert')",
    "GRANT SELECT ON ALL TABLES IN SCHEMA app TO streamkap_role",
    "ALTER PUBLICATION streamkap_pub ADD TABLE app.listed",
)

# The publication is gone, or empty, and has to be had again with tables that have no key.
GONE = (
    "CREATE TABLE app.log (line text)",
    "CREATE TABLE app.keyed (id int PRIMARY KEY)",
    "DROP PUBLICATION streamkap_pub",
    "GRANT SELECT ON ALL TABLES IN SCHEMA app TO streamkap_role",
)
EMPTY = (*GONE[:2], "DROP PUBLICATION streamkap_pub", "CREATE PUBLICATION streamkap_pub", GONE[3])


@dataclass(frozen=True)
class Awkward:
    """A database, and what remains of it to be decided by somebody.

    majors: the versions of PostgreSQL that have such
    as_admin: whether a superuser lays it out and runs the remedies
    options: with which it is looked at
    undecided: by check, the tables that no remedy is for
    failing: checks that go on failing for other reasons
    """

    statements: tuple[str, ...]
    majors: tuple[int, ...] = (15, 16, 17, 18)
    as_admin: bool = False
    options: dict[str, object] = field(default_factory=dict)
    undecided: dict[str, set[str]] = field(default_factory=dict)
    failing: frozenset[str] = frozenset()


AWKWARD = {
    "parts": Awkward(
        PARTS,
        undecided={"toasted_values": {"app.listed_long", "app.elsewhere"}},
        failing=frozenset({"tables_keyed"}),
    ),
    "generated": Awkward(
        GENERATED,
        majors=(18,),
        undecided={"toasted_values": {"app.virtual_sums"}, "generated_columns": {"app.virtual_sums"}},
        failing=frozenset({"tables_keyed"}),
    ),
    "schemas": Awkward(
        SCHEMAS,
        as_admin=True,
        options={"schemas": ["billing"], "tables": ["app.orders", "app.scratch"]},
        failing=frozenset({"tables_keyed"}),
    ),
    "inserts": Awkward(INSERTS, failing=frozenset({"tables_keyed"})),
    "gone": Awkward(GONE, failing=frozenset({"tables_keyed"})),
    "empty": Awkward(EMPTY, failing=frozenset({"tables_keyed"})),
}
