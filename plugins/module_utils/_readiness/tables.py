# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Whether the tables to be captured can be read, and their changes be told."""

from __future__ import annotations

from .._sql import QualifiedName, ident, idents, listed
from .check import CRITICAL, INFO, WARNING, Area, Outcome, failed, passed, skipped
from .remedies import fix_identities, publish_generated_columns, update_refusal
from .subject import LOCKED, Subject, Table, grants

AREA = Area("tables")

_KINDS = {"f": "a foreign table", "m": "a materialized view", "v": "a view"}
_IDENTITIES = {"d": "DEFAULT", "f": "FULL", "n": "NOTHING", "i": "an index"}


@AREA.check("tables_exist", CRITICAL, "Every schema and table to be captured exists.")
def tables_exist(it: Subject) -> Outcome:
    there = {schema["name"] for schema in it.seen["schemas"]}
    names = {table.name for table in it.tables}
    absent: list[object] = [schema for schema in it.options.schemas if schema not in there]
    absent += [name for name in it.options.tables if name not in names]
    if absent:
        return failed(
            "Not there: %s." % listed(absent),
            "Correct the spelling, capitals included, or the database; or take the name off the list.",
            objects=absent,
        )
    if not it.captured:
        if not (it.options.schemas or it.options.tables):
            return skipped("Neither schemas nor tables were named.")
        return failed(
            "There is no table to capture in what was named: %s." % listed([*it.options.schemas, *it.options.tables]),
            "Name schemas or tables that hold what is to be captured.",
            objects=it.options.schemas,
        )
    return passed("%d tables are to be captured." % len(it.captured))


@AREA.check(
    "schema_usage",
    CRITICAL,
    "The connector may use the schemas of all tables.",
    needs=("user_exists",),
    source="https://www.postgresql.org/docs/current/ddl-priv.html",
)
def schema_usage(it: Subject) -> Outcome:
    lacking = [schema["name"] for schema in it.seen["table_schemas"] if schema["usage"] == "no"]
    if lacking:
        return failed(
            "No USAGE on: %s." % listed(lacking),
            "Grant it.",
            sql=["GRANT USAGE ON SCHEMA %s TO %s" % (idents(lacking), ident(it.grantee))],
            task={
                "streamkap.neon.grant": {"role": it.grantee, "schemas": lacking, "schema_privileges": ["USAGE"]},
            },
            objects=lacking,
        )
    return passed("It has USAGE on %d schemas." % len(it.seen["table_schemas"]))


@AREA.check(
    "tables_readable",
    CRITICAL,
    "The connector has the right to read every table.",
    needs=("user_exists",),
    source="https://www.postgresql.org/docs/current/ddl-priv.html",
)
def tables_readable(it: Subject) -> Outcome:
    lacking = [table.name for table in it.captured if table.readable == "no"]
    if lacking:
        return failed(
            "No SELECT on: %s." % listed(lacking),
            "Grant it.",
            sql=grants("SELECT", "TABLE", lacking, it.grantee),
            task={
                "streamkap.neon.grant": {
                    "role": it.grantee,
                    "tables": [str(name) for name in lacking],
                    "table_privileges": ["SELECT"],
                }
            },
            objects=lacking,
        )
    return passed("It has SELECT on %d tables." % len(it.captured))


@AREA.check(
    "tables_read",
    CRITICAL,
    "The connector can really read every table.",
    needs=("connector_login", "acts_as_itself", "schema_usage", "tables_readable", "membership_inherited"),
)
def tables_read(it: Subject) -> Outcome:
    errors = it.connector.errors("read")
    refused = {error["name"]: error["error"] for error in errors if error["sqlstate"] != LOCKED}
    refused.update((str(table.name), "no right") for table in it.tables if table.oid in it.connector.withheld)
    if refused:
        return failed(
            "PostgreSQL refused: %s." % listed("%s (%s)" % each for each in refused.items()),
            "Mend what PostgreSQL says, or leave these tables out.",
            objects=list(refused),
        )
    if errors:
        return skipped(
            "Locked by somebody just now: %s. The others can be read." % listed(error["name"] for error in errors)
        )
    return passed("It has read %d tables." % len(it.captured))


@AREA.check(
    "row_security",
    CRITICAL,
    "Row-level security hides no rows from the connector's snapshots.",
    source="https://www.postgresql.org/docs/current/ddl-rowsecurity.html",
)
def row_security(it: Subject) -> Outcome:
    hidden = [table.name for table in it.captured if table.row_security]
    if hidden:
        return failed(
            "Under row-level security, so that a snapshot lacks rows without a word: %s." % listed(hidden),
            "Let the connector's user bypass it (in the role cdc cdc_bypassrls: true), or give it a policy that shows all rows: "
            "FOR SELECT TO it USING (true).",
            sql=["ALTER ROLE %s BYPASSRLS" % ident(it.options.user)],
            task={"streamkap.neon.role": {"name": it.options.user, "bypassrls": True}},
            objects=hidden,
        )
    return passed("It sees all rows of every table.")


@AREA.check(
    "replica_identity",
    CRITICAL,
    "Every table says which row an update or a delete is about.",
    source="https://www.postgresql.org/docs/current/logical-replication-publication.html",
)
def replica_identity(it: Subject) -> Outcome:
    """Where it does not and is published, the application's own updates fail."""
    if not it.publishes_changes:
        return skipped("The publication publishes neither updates nor deletes.")
    lacking = [(table, table.lacks_identity(it.part(table).get("columns") or ())) for table in it.written]
    lacking = [(table, why) for table, why in lacking if why]
    if lacking:
        names = [table.name for table, _why in lacking]
        broken = [table.name for table, _why in lacking if it.is_published(table)]
        fixes = fix_identities(it, [table for table, _why in lacking])
        found = "Without: %s." % listed("%s (%s)" % (table.name, why) for table, why in lacking)
        if broken:
            found += " The application's updates and deletes fail now in: %s." % listed(broken)
        return failed(
            found,
            "Give each a primary key, or the whole row as its replica identity; or leave it out.%s" % fixes.words,
            sql=fixes.sql,
            task=fixes.task,
            objects=names,
        )
    return passed("%d tables do." % len(it.written))


@AREA.check(
    "partition_identities",
    WARNING,
    "The partitions of a table have the replica identity of the whole.",
    source="https://www.postgresql.org/docs/current/sql-altertable.html",
)
def partition_identities(it: Subject) -> Outcome:
    mixed = [
        (table, it.lineage(table)[-1])
        for table in it.written
        if table.parent is not None and table.identity != it.lineage(table)[-1].identity
    ]
    if not mixed:
        return passed("None differs.")
    aligned = _aligned_identities(it, mixed)
    return failed(
        "Updates and deletes come in different shapes: %s."
        % listed(
            "%s has %s, %s has %s" % (leaf.name, _IDENTITIES[leaf.identity], root.name, _IDENTITIES[root.identity])
            for leaf, root in mixed
        ),
        "Give all the same; a new partition takes PostgreSQL's default."
        + ("" if len(aligned) == len(mixed) else " Where nothing is said here, no other one fits what is published."),
        # Without ONLY, which the identity of a partitioned table needs not: it is that of the table alone.
        sql=dict.fromkeys(
            "ALTER TABLE %s REPLICA IDENTITY %s" % (table.name.sql, _IDENTITIES[identity])
            for table, identity in aligned.values()
        ),
        task=_identity_task(list(aligned.values())),
        objects=[leaf.name for leaf, _root in mixed],
    )


def _aligned_identities(it: Subject, mixed: list[tuple[Table, Table]]) -> dict[QualifiedName, tuple[Table, str]]:
    """For each partition the table that is to have another identity, and which one.

    Mostly the partition gets the partitioned table's. Where updates would fail with that, the partitioned table, whose own identity
    nothing depends on, gets the partitions'.
    """
    aligned: dict[QualifiedName, tuple[Table, str]] = {}
    unaligned: dict[QualifiedName, list[tuple[Table, Table]]] = {}
    for leaf, root in mixed:
        if root.identity in "df" and fix_identities(it, [leaf], prefer=root.identity).identities:
            aligned[leaf.name] = (leaf, root.identity)
        else:
            unaligned.setdefault(root.name, []).append((leaf, root))
    for pairs in unaligned.values():
        root = pairs[0][1]
        identities = {leaf.identity for leaf in it.partitions_of(root) if leaf.kind == "r"}
        if len(identities) == 1 and identities <= {"d", "f"}:
            aligned.update((leaf.name, (root, leaf.identity)) for leaf, _root in pairs)
    return aligned


def _identity_task(aligned: list[tuple[Table, str]]) -> dict[str, dict[str, object]] | None:
    """One task does it when all are to have the same, and no partitioned table is among them, whose partitions would change along."""
    identities = {identity for _table, identity in aligned}
    if len(identities) != 1 or any(table.kind == "p" for table, _identity in aligned):
        return None
    return {
        "streamkap.neon.replica_identity": {
            "tables": [str(table.name) for table, _identity in aligned],
            "identity": _IDENTITIES[identities.pop()].lower(),
        }
    }


@AREA.check(
    "toasted_values",
    WARNING,
    "Updates carry large values too.",
    source="https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-toasted-values",
)
def toasted_values(it: Subject) -> Outcome:
    """Only tables that have such values: a text column alone says nothing."""
    lacking = [table for table in it.written if table.toasted and table.identity != "f"]
    if lacking:
        fixes = fix_identities(it, lacking, prefer="f")
        remedy = "Let Streamkap read them again (its reselect option)"
        if fixes.identities:
            remedy += ", or publish whole rows, which writes more WAL"
        if fixes.unfixable:
            remedy += ". With whole rows updates would fail in the application: %s" % listed(
                "%s (%s)" % each for each in fixes.unfixable.items()
            )
        return failed(
            "Values stored out of line arrive as a placeholder when an update leaves them alone: %s."
            % listed(table.name for table in lacking),
            remedy + ".",
            sql=fixes.sql,
            task=fixes.task,
            objects=[table.name for table in lacking],
        )
    return passed("No table with a key only has values stored out of line.")


@AREA.check(
    "tables_publishable",
    WARNING,
    "Everything that was named can be captured.",
    source="https://www.postgresql.org/docs/current/sql-createpublication.html",
)
def tables_publishable(it: Subject) -> Outcome:
    left_out = [table for table in it.tables if (table.wanted or table.included) and not table.is_permanent_table]
    if left_out:
        unlogged = [table for table in left_out if table.kind in "rp" and table.persistence == "u"]
        # Permanent, a table is published where its schema is, or what it is a partition of.
        joining = [table for table in unlogged if table.kind == "r" and _would_be_published(it, table)]
        fixes = fix_identities(it, [table for table in joining if update_refusal(it, table)])
        return failed(
            "Left out, because PostgreSQL publishes permanent tables only: %s."
            % listed("%s (%s)" % (table.name, _what(table)) for table in left_out),
            "Exclude them; or make unlogged ones permanent, which writes them anew and locks them meanwhile.%s"
            % fixes.words,
            sql=fixes.sql
            + ["ALTER TABLE %s SET LOGGED" % table.name.sql for table in unlogged if table.name not in fixes.unfixable],
            objects=[table.name for table in left_out],
        )
    return passed("There are only permanent tables.")


def _would_be_published(it: Subject, table: Table) -> bool:
    publication = it.publication
    return bool(publication) and (
        publication["all_tables"]
        or any(member.name.schema in publication["schemas"] or member.published for member in it.lineage(table))
    )


def _what(table: Table) -> str:
    return _KINDS.get(table.kind) or {"u": "unlogged", "t": "temporary"}[table.persistence]


@AREA.check(
    "generated_columns",
    WARNING,
    "Generated columns are captured like all others.",
    source="https://www.postgresql.org/docs/current/logical-replication-gencols.html",
)
def generated_columns(it: Subject) -> Outcome:
    publication = it.seen["publication"]
    mended = it.server.major >= 18 and publication and not publication["generated"]
    published = bool(publication and publication["generated"])
    lacking = [
        (table, columns)
        for table in it.written
        for columns in [table.virtual + ([] if published else table.stored)]
        if columns and not set(columns) <= set(it.part(table).get("columns") or ())
    ]
    if lacking:
        virtual = any(table.virtual for table, _columns in lacking)
        remedy = "Leave these columns or tables out in Streamkap, or exclude the tables: snapshots hold the columns, changes do not."
        return failed(
            "In snapshots, but not in changes: %s."
            % listed("%s (%s)" % (table.name, ", ".join(columns)) for table, columns in lacking),
            "Publish stored ones. %s" % remedy if mended and not virtual else remedy,
            sql=publish_generated_columns(it.options.publication) if mended else [],
            objects=[table.name for table, _columns in lacking],
        )
    return passed("No table has one that is not.")


@AREA.check(
    "column_types",
    INFO,
    "Every column is of a type that the connector captures.",
    source="https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-data-types",
)
def column_types(it: Subject) -> Outcome:
    poor = [table for table in it.captured if table.unsupported]
    if poor:
        return failed(
            "Left out of changes and snapshots, or without their values: %s."
            % listed("%s (%s)" % (table.name, ", ".join(table.unsupported)) for table in poor),
            "Keep a copy of the value in a column of another type, or do without it.",
            objects=[table.name for table in poor],
        )
    return passed("No type is known to be left out.")


@AREA.check(
    "snapshots_end_well",
    CRITICAL,
    "No column ends the connector at a snapshot.",
    source="https://jdbc.postgresql.org/documentation/callproc/",
)
def snapshots_end_well(it: Subject) -> Outcome:
    """The driver takes the value of a refcursor for the name of a cursor that is open."""
    ending = [table for table in it.captured if table.ending]
    if not ending:
        return passed("There is no refcursor.")
    return failed(
        "A snapshot ends with an error at a refcursor that is not NULL: %s."
        % listed("%s (%s)" % (table.name, ", ".join(table.ending)) for table in ending),
        "Make the column a text, or exclude the table.",
        objects=[table.name for table in ending],
    )


@AREA.check(
    "types_loadable",
    CRITICAL,
    "No type in the database keeps Debezium from starting.",
    source="https://github.com/debezium/debezium/pull/7929",
)
def types_loadable(it: Subject) -> Outcome:
    """Debezium 3.6 reads all types of the database, used or not, and fails at these with a NullPointerException."""
    deadly = it.seen["deadly_types"]
    if not deadly:
        return passed("There is neither an enum without labels nor a domain over an enum.")
    empty = [QualifiedName(found["schema"], found["name"]) for found in deadly if found["kind"] == "e"]
    domains = [QualifiedName(found["schema"], found["name"]) for found in deadly if found["kind"] == "d"]
    found = ["%s (an enum without labels)" % name for name in empty]
    found += ["%s (a domain over an enum)" % name for name in domains]
    remedy = "Give enums a label, or drop them."
    if domains:
        remedy += " In place of a domain over an enum use the enum, with the domain's constraint on the table."
    return failed(
        "Debezium 3.6 does not start where there is such a type, in whatever schema: %s." % listed(found),
        remedy,
        sql=["ALTER TYPE %s ADD VALUE 'unused'" % name.sql for name in empty],
        objects=[*empty, *domains],
    )


@AREA.check(
    "default_privileges",
    WARNING,
    "The connector will have the right to read tables not made yet.",
    needs=("user_exists",),
    source="https://www.postgresql.org/docs/current/sql-alterdefaultprivileges.html",
)
def default_privileges(it: Subject) -> Outcome:
    if not it.options.schemas:
        return skipped("No schemas were named, only tables.")
    lacking = [
        (schema["name"], owner)
        for schema in it.seen["schemas"]
        for owner in schema["owners"]
        if owner["covered"] == "no" and not owner["superuser"]
    ]
    if not lacking:
        return passed("Every owner's default privileges give it.")
    owners: dict[str, list[str]] = {}
    for schema, owner in lacking:
        owners.setdefault(owner["name"], []).append(schema)
    forbidden = sorted({owner["name"] for _schema, owner in lacking if not owner["may"]})
    remedy = "Let every owner's default privileges grant SELECT."
    if forbidden:
        remedy += " The current role may not do so for %s: run it as a member of that role." % listed(forbidden)
    return failed(
        "Tables made later by these owners cannot be read: %s."
        % listed("%s in %s" % (owner, ", ".join(schemas)) for owner, schemas in owners.items()),
        remedy,
        sql=[
            "ALTER DEFAULT PRIVILEGES FOR ROLE %s IN SCHEMA %s GRANT SELECT ON TABLES TO %s"
            % (ident(owner), idents(schemas), ident(it.grantee))
            for owner, schemas in owners.items()
        ],
        task={
            "streamkap.neon.grant": {
                "role": it.grantee,
                "schemas": sorted({schema for schema, _owner in lacking}),
                "default_table_privileges": ["SELECT"],
                "default_privileges_for": sorted(owners),
            }
        },
        objects=sorted(owners),
    )
