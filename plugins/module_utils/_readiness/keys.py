# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Whether what arrives of a table tells its rows apart: keys, and the tables that inherit from it.

These checks are of the same area as those in tables.py.
"""

from __future__ import annotations

from .._sql import QualifiedName, listed
from .check import CRITICAL, WARNING, Outcome, failed, passed
from .remedies import fix_identities, leaves
from .subject import Subject, Table
from .tables import AREA


@AREA.check(
    "event_keys",
    CRITICAL,
    "The key of every event has what tells rows apart.",
    source="https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-change-events-key",
)
def event_keys(it: Subject) -> Outcome:
    """Downstream, rows whose events have one key are one row."""
    poor = {table.name: words for table in it.captured for words in [_key_losses(it, table)] if words}
    losing = {
        table.name: leaves_losing
        for table in it.captured
        for leaves_losing in [_leaves_losing_deletes(it, table)]
        if leaves_losing
    }
    if not (poor or losing):
        return passed("No column of a key is missing in events.")
    found = ""
    if poor:
        found = "In the keys of events is no value of: %s. Rows that differ in nothing else become one." % listed(
            "%s (%s)" % (name, ", ".join(words)) for name, words in poor.items()
        )
    fixes = fix_identities(it, [])
    if losing:
        found += " " * bool(
            found
        ) + "Deletes come with a key of zeros, because the replica identity lacks the key: %s." % listed(losing)
        fixes = fix_identities(it, [leaf for each in losing.values() for leaf in each])
    remedy = "Give the key the replica identity DEFAULT or FULL.%s" % fixes.words if losing else ""
    if poor:
        remedy += " " * bool(remedy) + "Give the table a primary key of columns that are captured, or exclude it."
    return failed(found, remedy, sql=fixes.sql, task=None if poor else fixes.task, objects=[*poor, *losing])


def _key_losses(it: Subject, table: Table) -> list[str]:
    """The columns of the key that no event has a value of."""
    published = it.part(table).get("columns") or []
    # Only from PostgreSQL 18 on generated columns can be published, stored ones.
    generated = [
        column
        for column in table.generated_key
        if not (column in published or (it.publication and it.publication["generated"] and column in table.stored))
    ]
    return [*table.lost_key, *("%s (generated)" % column for column in generated)]


def _leaves_losing_deletes(it: Subject, table: Table) -> list[Table]:
    """The tables with rows of this one whose deletes tell of other columns than the key."""
    if not table.event_key or (it.publication and not it.publication["publish"]["delete"]):
        return []
    return [
        leaf
        for leaf in leaves(it, table)
        if leaf.identity != "f" and leaf.key and not set(table.event_key) <= set(leaf.key)
    ]


@AREA.check(
    "tables_keyed",
    WARNING,
    "Every table has a key by which a destination can merge changes.",
    source="https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-change-events-key",
)
def tables_keyed(it: Subject) -> Outcome:
    """The replica identity of a table without one can be full: then changes are told, but not of which row in the destination."""
    # Those without a replica identity are told of by replica_identity.
    keyless = [
        table
        for table in it.captured
        if not table.event_key and not any(leaf.lacks_identity(()) for leaf in leaves(it, table))
    ]
    loose = [table for table in it.captured if table.loose_key]
    if not (keyless or loose):
        return passed("All %d have." % len(it.captured))
    found = []
    if keyless:
        with_keys = [table for table in keyless if any(leaf.event_key for leaf in it.partitions_of(table))]
        found.append("No key: %s." % listed(table.name for table in keyless))
        if with_keys:
            found.append("Those of partitions do not count: %s." % listed(table.name for table in with_keys))
    if loose:
        found.append(
            "The key may repeat, because it is of a unique index that is partial or has columns that may be NULL: %s."
            % listed("%s (%s)" % (table.name, ", ".join(table.loose_key)) for table in loose)
        )
    return failed(
        " ".join(found),
        "Give each a primary key; or let the destination append all changes, or name key columns in Streamkap.",
        objects=[table.name for table in [*keyless, *loose]],
    )


@AREA.check(
    "inherited_changes",
    CRITICAL,
    "Of every table the changes of the tables that inherit from it come too.",
    source="https://www.postgresql.org/docs/current/ddl-inherit.html",
)
def inherited_changes(it: Subject) -> Outcome:
    """A snapshot reads their rows with the parent's, and changes come under the name of the child, if it is published."""
    missing = {
        table.name: children
        for table in it.captured
        for children in [
            [_child(child) for child in table.children if not _is_captured(child) and not child["excluded"]]
        ]
        if children
    }
    if not missing:
        return passed(
            "There is no table that others inherit from." if not _parents(it) else "They do, as of tables of their own."
        )
    names = sorted(
        {name for children in missing.values() for name in children}, key=lambda name: (name.schema, name.name)
    )
    return failed(
        "In snapshots of a table are the rows of what inherits from it, and changes of these never come: %s."
        % listed("%s (%s)" % (name, listed(children)) for name, children in missing.items()),
        "Capture the children as tables of their own too (name them, or their schema, among what is to be captured): %s. Or exclude the "
        "parents." % listed(names),
        objects=[*missing, *names],
    )


@AREA.check(
    "inherited_rows",
    WARNING,
    "Snapshots hold every row once.",
    source="https://www.postgresql.org/docs/current/ddl-inherit.html",
)
def inherited_rows(it: Subject) -> Outcome:
    parents = [
        table for table in _parents(it) if any(_is_captured(child) or child["excluded"] for child in table.children)
    ]
    if not parents:
        return passed("There is no table that others inherit from.")
    return failed(
        "Snapshots of these hold the rows of the tables that inherit from them too, which no change brings up to date there: %s."
        % listed("%s (%s)" % (table.name, listed(_child(child) for child in table.children)) for table in parents),
        "Downstream take these rows from the children alone; or exclude the parent if it has no rows of its own; or make it a partitioned "
        "table.",
        objects=[table.name for table in parents],
    )


def _parents(it: Subject) -> list[Table]:
    return [table for table in it.captured if table.children]


def _child(child: dict[str, object]) -> QualifiedName:
    return QualifiedName(child["schema"], child["name"])


def _is_captured(child: dict[str, object]) -> bool:
    """Whether it is published is the business of tables_published."""
    return bool(child["wanted"] and child["kind"] != "f")


@AREA.check(
    "key_types",
    WARNING,
    "Primary keys are of types that identify a row downstream, and that incremental snapshots can be ordered by.",
    source="https://docs.aws.amazon.com/dms/latest/userguide/CHAP_Tasks.AssessmentReport.PG.html",
)
def key_types(it: Subject) -> Outcome:
    poor = [table for table in it.captured if table.key_types]
    breaking = [table for table in it.captured if table.snapshot_key]
    found = []
    if poor:
        found.append(
            "Binary or document columns in the primary key: %s."
            % listed("%s (%s)" % (table.name, ", ".join(table.key_types)) for table in poor)
        )
    if breaking:
        found.append(
            "Incremental snapshots break off, or end the connector, at the key of: %s."
            % listed("%s (%s)" % (table.name, ", ".join(table.snapshot_key)) for table in breaking)
        )
    if found:
        return failed(
            " ".join(found),
            "Order snapshots of these tables with a surrogate key or take blocking ones, check what the destination makes of the key, or "
            "exclude them.",
            objects=dict.fromkeys(table.name for table in [*poor, *breaking]),
        )
    return passed("There are no binary or document columns in them, and none of time.")
