# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Whether the publication holds what is to be captured, and nothing that hurts."""

from __future__ import annotations

from .._resources._catalog import publication_conflicts
from .._sql import QualifiedName, ident, idents, listed
from .check import CRITICAL, INFO, WARNING, Area, Outcome, failed, passed, skipped
from .remedies import add_tables, fix_identities, primary_key, published_parts, update_refusal
from .subject import Subject, Table, alter_publication

AREA = Area("publication")

_PUBLICATIONS = "https://www.postgresql.org/docs/current/logical-replication-publication.html"


@AREA.check("publication_exists", CRITICAL, "The publication exists.", source=_PUBLICATIONS)
def publication_exists(it: Subject) -> Outcome:
    name = it.options.publication
    if not name:
        return skipped("No publication was named.")
    if it.seen["publication"]:
        return passed("The publication %s exists." % name)
    _sql, publishable, fixes = add_tables(it, it.captured)
    tables = [*publishable, *_own_tables(it)]
    found = "There is no publication %s in this database." % name
    objects = " FOR TABLE %s" % ", ".join(table.sql for table in tables) if tables else ""
    remedy = "Make it, as the owner of the tables and before the slot.%s" % fixes.words
    obstacles = _obstacles(it)
    if obstacles:
        remedy += " The current role, %s, may not: it %s." % (it.server.user, " and ".join(obstacles))
    if it.seen["slot"] and it.seen["slot"]["slot"]:
        remedy += (
            " The slot is there already: if changes were made since, drop it, make it again after the publication, and take a new "
            "snapshot."
        )
    names = [str(table.name if isinstance(table, Table) else table) for table in tables]
    task = {"name": name, "tables": names, "publish_via_partition_root": True}
    return failed(
        found,
        remedy,
        sql=[*fixes.sql, "CREATE PUBLICATION %s%s WITH (publish_via_partition_root = true)" % (ident(name), objects)],
        task={"streamkap.neon.publication": task} if tables and not fixes.identities else None,
        objects=[name],
    )


def _obstacles(it: Subject) -> list[str]:
    """Why the current role could not make a publication of the tables."""
    if it.server.superuser:
        return []
    foreign = sorted({table.owner for table in it.captured if not table.mine})
    obstacles = [] if it.seen["may_create"] else ["lacks CREATE on the database"]
    return obstacles + (["is no member of %s" % listed(foreign)] if foreign else [])


def _own_tables(it: Subject) -> list[QualifiedName]:
    """The connector's own tables that are there."""
    own = ((it.options.signal_table, "signal"), (it.options.heartbeat_table, "heartbeat"))
    return [name for name, seen in own if name and it.seen[seen]["shape"]["table"]]


@AREA.check(
    "publication_not_empty",
    CRITICAL,
    "The publication publishes something.",
    needs=("publication_exists",),
    source=_PUBLICATIONS,
)
def publication_not_empty(it: Subject) -> Outcome:
    published = [table for table in it.tables if table.published]
    if published or it.publication["all_tables"] or it.publication["schemas"]:
        return passed("It publishes %d tables." % len(published))
    sql, _publishable, fixes = add_tables(it, it.captured)
    return failed(
        "It has no tables.",
        "Add what is to be captured, and the connector's own tables.%s" % fixes.words,
        sql=sql + alter_publication(it.options.publication, "ADD", _own_tables(it)),
        objects=[it.options.publication],
    )


@AREA.check(
    "tables_published",
    CRITICAL,
    "Every table to be captured is published.",
    needs=("publication_not_empty",),
    source=_PUBLICATIONS,
)
def tables_published(it: Subject) -> Outcome:
    missing = [table for table in it.captured if not it.is_published(table)]
    if not missing:
        return passed("All %d are." % len(it.captured))
    foreign = sorted({table.owner for table in missing if not table.mine})
    remedy = "Add them; only the owner of both the publication and the table may."
    if foreign and not it.server.superuser:
        remedy += " The current role is no member of %s." % listed(foreign)
    sql, _publishable, fixes = add_tables(it, missing)
    task = {
        "name": it.options.publication,
        "tables": [str(table.name) for table in missing],
        "exclusive": False,
    }
    return failed(
        "Nothing is captured of: %s." % listed(table.name for table in missing),
        remedy + fixes.words,
        sql=sql,
        task=None if fixes.identities or fixes.unfixable else {"streamkap.neon.publication": task},
        objects=[table.name for table in missing],
    )


@AREA.check(
    "no_extra_tables",
    WARNING,
    "The publication publishes nothing that is not to be captured.",
    needs=("publication_not_empty",),
    source=_PUBLICATIONS,
)
def no_extra_tables(it: Subject) -> Outcome:
    if it.publication["all_tables"]:
        return skipped("It is FOR ALL TABLES: see publication_narrow.")
    if not (it.options.schemas or it.options.tables):
        return skipped("Neither schemas nor tables were named.")
    asked, left_out = set(it.options.schemas), set(it.options.exclude_tables)
    surplus = [
        table
        for table in it.tables
        if table.published
        and (
            table.name in left_out
            or (
                table.name not in it.own
                and table.name.schema not in asked
                and not any(member.wanted for member in it.lineage(table))
            )
        )
    ]
    if not surplus:
        return passed("There is no other table in it.")
    return failed(
        "Published and not to be captured: %s." % listed(table.name for table in surplus),
        "Take them out, or name them among what is to be captured.",
        sql=_taking_out(it, surplus),
        objects=[table.name for table in surplus],
    )


def _taking_out(it: Subject, surplus: list[Table]) -> list[str]:
    """The statements, in one transaction where some are to stay that would go along: those of the same schema, and partitions."""
    publication = it.options.publication
    leaving = {table.oid for table in surplus}
    schemas = {table.name.schema for table in surplus} & set(it.publication["schemas"])
    single = [table for table in surplus if table.name.schema not in schemas]
    staying = [
        table
        for table in it.tables
        if table.oid not in leaving
        and (table in it.captured or table.name in it.own or table.published)
        and table.is_permanent_table
        and it.is_published(table)
        and any(member.oid in leaving or member.name.schema in schemas for member in it.lineage(table))
        and not _stays_published(it, table, leaving, schemas)
    ]
    topmost = [table for table in staying if not any(above in staying for above in it.lineage(table)[1:])]
    sql = (
        ["ALTER PUBLICATION %s DROP TABLES IN SCHEMA %s" % (ident(publication), idents(sorted(schemas)))]
        if schemas
        else []
    )
    sql += alter_publication(publication, "DROP", single) if single else []
    sql += alter_publication(publication, "ADD", topmost) if topmost else []
    return ["BEGIN", *sql, "COMMIT"] if len(sql) > 1 else sql


def _stays_published(it: Subject, table: Table, leaving: set[int], schemas: set[str]) -> bool:
    """Whether something else of the publication holds it too."""
    return any(
        member.published and member.oid not in leaving and member.name.schema not in schemas
        for member in it.lineage(table)
    )


@AREA.check(
    "publication_narrow",
    WARNING,
    "The publication is no FOR ALL TABLES.",
    needs=("publication_exists",),
    source=_PUBLICATIONS,
)
def publication_narrow(it: Subject) -> Outcome:
    if it.publication["all_tables"]:
        return failed(
            "It is FOR ALL TABLES: the updates and deletes of every keyless table made from now on fail in the application, and "
            "nothing can be taken out of it.",
            "Stop the connector, drop its slot and then the publication, make a publication of single tables and then the slot, and "
            "take a new snapshot.",
            objects=[it.options.publication],
        )
    return passed("It is a list.")


@AREA.check(
    "publication_operations",
    CRITICAL,
    "Inserts, updates and deletes are published.",
    needs=("publication_exists",),
    source=_PUBLICATIONS,
)
def publication_operations(it: Subject) -> Outcome:
    publish = it.publication["publish"]
    missing = [action for action in ("insert", "update", "delete") if not publish[action]]
    if not missing:
        return passed("They are.")
    wanted = [action for action, on in publish.items() if on or action in missing]
    refused = [table for table in it.written if it.is_published(table) and update_refusal(it, table)]
    fixes = fix_identities(it, refused)
    sql = ["ALTER PUBLICATION %s SET (publish = '%s')" % (ident(it.options.publication), ", ".join(wanted))]
    return failed(
        "Not published: %s." % ", ".join(missing),
        "Publish them.%s" % fixes.words,
        sql=[] if fixes.unfixable else fixes.sql + sql,
        objects=missing,
    )


@AREA.check(
    "partition_root",
    WARNING,
    "Partitioned tables are published as one.",
    needs=("publication_exists",),
    source="https://www.postgresql.org/docs/current/sql-createpublication.html",
)
def partition_root(it: Subject) -> Outcome:
    partitioned = [
        table.name for table in it.tables if table.kind == "p" and table.parent is None and it.is_published(table)
    ]
    if not partitioned or it.publication["via_root"]:
        return passed("They are." if partitioned else "There are none.")
    return failed(
        "Each partition arrives as a table of its own: %s." % listed(partitioned),
        "Publish them via their root. Do so while no connector reads, and take a new snapshot of them.",
        sql=["ALTER PUBLICATION %s SET (publish_via_partition_root = true)" % ident(it.options.publication)],
        objects=partitioned,
    )


@AREA.check(
    "column_lists",
    CRITICAL,
    "Column lists hold the columns by which updates and deletes find their row.",
    needs=("publication_exists",),
    source="https://www.postgresql.org/docs/current/logical-replication-col-lists.html",
)
def column_lists(it: Subject) -> Outcome:
    """Where they do not, the application's own updates and deletes fail."""
    if not it.publishes_changes:
        return skipped("The publication publishes neither updates nor deletes.")
    narrow = {}
    for table in it.written:
        columns = it.part(table).get("columns")
        if columns is None or not it.is_published(table):
            continue
        missing = [column for column in table.key if column not in columns]
        if missing or table.identity == "f":
            narrow[table] = missing
    if not narrow:
        return passed("They do." if any(table.column_list for table in it.tables) else "There are none.")
    sql, undecided = _widening(it, narrow)
    remedy = "Publish these columns too."
    if any(table.identity == "f" for table in narrow):
        remedy = (
            "Publish these columns too, and all columns or the primary key alone where the replica identity is FULL."
        )
    if undecided:
        remedy += " Publish all columns, or give a primary key that is published: %s." % listed(undecided)
    return failed(
        "Updates and deletes fail in the application: %s."
        % listed(
            "%s (%s%s)"
            % (
                table.name,
                "" if it.governing(table) is table else "of %s: " % it.governing(table).name,
                "lacks %s" % listed(missing) if missing else "its replica identity is FULL",
            )
            for table, missing in narrow.items()
        ),
        remedy,
        sql=sql,
        objects=[table.name for table in narrow],
    )


def _widening(it: Subject, narrow: dict[Table, list[str]]) -> tuple[list[str], list[QualifiedName]]:
    """The statements with which updates go on, and the tables that nobody but the user can decide about.

    A column that is left out may be left out for a reason: no more than the key is published of itself.
    """
    missing: dict[Table, list[str]] = {}
    sql, undecided = [], []
    for table, columns in narrow.items():
        governing = it.governing(table)
        if table.identity != "f":
            missing.setdefault(governing, []).extend(columns)
            continue
        key = primary_key(table)
        widened = [*it.part(table)["columns"], *key]
        if key and not publication_conflicts(published_parts(it, table, columns=widened), "d", key):
            sql.append("ALTER TABLE %s REPLICA IDENTITY DEFAULT" % table.name.sql)
            missing.setdefault(governing, []).extend(key)
        else:
            undecided.append(table.name)
    for governing, columns in missing.items():
        added = [column for column in dict.fromkeys(columns) if column not in governing.column_list]
        if added:
            # The list first: with it the default identity goes.
            sql = _republishing(it, governing, [*governing.column_list, *added], governing.filter) + sql
    return sql, undecided


def _republishing(it: Subject, table: Table, columns: list[str] | None, where: str | None) -> list[str]:
    """The statements that publish a table with another column list or row filter, without a gap."""
    name = ident(it.options.publication)
    return [
        "BEGIN",
        "ALTER PUBLICATION %s DROP TABLE %s" % (name, table.sql),
        "ALTER PUBLICATION %s ADD TABLE %s%s%s"
        % (name, table.sql, " (%s)" % idents(columns) if columns else "", " WHERE (%s)" % where if where else ""),
        "COMMIT",
    ]


@AREA.check(
    "row_filters_use_key",
    CRITICAL,
    "Row filters use only columns by which updates and deletes find their row.",
    needs=("publication_exists",),
    source="https://www.postgresql.org/docs/current/logical-replication-row-filter.html",
)
def row_filters_use_key(it: Subject) -> Outcome:
    """Where they use others, the application's own updates and deletes fail."""
    if not it.publishes_changes:
        return skipped("The publication publishes neither updates nor deletes.")
    wrong = _wrong_filters(it)
    if not wrong:
        return passed("They do." if any(table.filter for table in it.tables) else "There are none.")
    fixes = fix_identities(it, wrong)
    unfiltered = dict.fromkeys(it.governing(table) for table in wrong if table.name in fixes.unfixable)
    sql = fixes.sql
    for table in unfiltered:
        sql += _republishing(it, table, table.column_list, None)
    remedy = "Make the whole row the replica identity, or leave the row filter out."
    if unfiltered:
        remedy = (
            "Make the whole row the replica identity, and leave the row filter out where there is a column list: %s."
            % listed(table.name for table in unfiltered)
        )
    return failed(
        "Updates and deletes fail in the application: %s."
        % listed("%s WHERE %s" % (table.name, it.governing(table).filter) for table in wrong),
        remedy,
        sql=sql,
        task=None if unfiltered else fixes.task,
        objects=[table.name for table in wrong],
    )


def _wrong_filters(it: Subject) -> list[Table]:
    """The tables with rows whose updates fail because of a row filter, their own or that of what they are partitions of."""
    if not it.publishes_changes:
        return []
    return [
        table
        for table in it.written
        if table.identity != "f" and not set(it.part(table).get("filter_columns") or ()) <= set(table.key)
    ]


@AREA.check(
    "no_row_filters",
    INFO,
    "All rows of the tables are published.",
    needs=("publication_exists",),
    source="https://www.postgresql.org/docs/current/logical-replication-row-filter.html",
)
def no_row_filters(it: Subject) -> Outcome:
    """Those that row_filters_use_key finds are not named again."""
    wrong = {it.governing(table) for table in _wrong_filters(it)}
    filtered = [table for table in it.tables if table.filter and table not in wrong]
    if not filtered:
        return passed("No other table has a row filter." if wrong else "No table has a row filter.")
    sql = []
    for table in filtered:
        sql += _republishing(it, table, table.column_list, None)
    return failed(
        "Filtered: %s. A snapshot holds the rows that are filtered out."
        % listed("%s WHERE %s" % (table.name, table.filter) for table in filtered),
        "If it is meant, nothing has to be done. Otherwise publish all rows.",
        sql=sql,
        objects=[table.name for table in filtered],
    )


@AREA.check(
    "publication_owner",
    WARNING,
    "The current role may add tables to the publication later.",
    needs=("publication_exists",),
    source="https://www.postgresql.org/docs/current/sql-alterpublication.html",
)
def publication_owner(it: Subject) -> Outcome:
    owner, me = it.publication["owner"], it.server.user
    if me == it.options.user:
        return skipped("The check was made as the connector's user, who is not to.")
    if it.server.superuser or it.publication["mine"]:
        return passed("It belongs to %s." % owner)
    return failed(
        "It belongs to %s, and %s is no member of that." % (owner, me),
        "Give it to the role that administers it, as a superuser; or run as %s." % owner,
        sql=["ALTER PUBLICATION %s OWNER TO %s" % (ident(it.options.publication), ident(me))],
        objects=[it.options.publication],
    )
