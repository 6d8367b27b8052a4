# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Remedies with which the application's updates and deletes go on.

PostgreSQL refuses them once a replica identity does not fit what a publication publishes of the table, whatever publication that is
(https://www.postgresql.org/docs/current/logical-replication-publication.html). So no statement that changes an identity, or what is
published, is given before its effect was evaluated by the same rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .._resources._catalog import publication_conflicts
from .._sql import QualifiedName, ident, listed
from .subject import Subject, Table, alter_publication

_IDENTITIES = {"d": "DEFAULT", "f": "FULL"}


@dataclass(frozen=True)
class IdentityFixes:
    """The identities that make updates of tables go through.

    :param identities: by table, the letter of pg_class.relreplident.
    :param unfixable: tables that none does it for, with the reasons.
    :param publish_generated: whether the stored generated columns have to be published first.
    """

    publication: str
    identities: dict[QualifiedName, str] = field(default_factory=dict)
    unfixable: dict[QualifiedName, str] = field(default_factory=dict)
    publish_generated: bool = False

    @property
    def sql(self) -> list[str]:
        first = publish_generated_columns(self.publication) if self.publish_generated else []
        return first + [
            "ALTER TABLE %s REPLICA IDENTITY %s" % (name.sql, _IDENTITIES[identity])
            for name, identity in self.identities.items()
        ]

    @property
    def task(self) -> dict[str, dict[str, Any]] | None:
        """One task, where all tables are to have the same."""
        if self.publish_generated or len(set(self.identities.values())) != 1:
            return None
        identity = next(iter(self.identities.values()))
        return {
            "streamkap.neon.replica_identity": {
                "tables": [str(name) for name in self.identities],
                "identity": _IDENTITIES[identity].lower(),
            }
        }

    @property
    def words(self) -> str:
        """A sentence for the tables that need a decision."""
        if not self.unfixable:
            return ""
        return (
            " No replica identity fits what is published of %s: publish all of it (streamkap.neon.publication), give it a primary key "
            "that is published, or leave the table out."
        ) % listed("%s (%s)" % each for each in self.unfixable.items())


def publish_generated_columns(publication: str) -> list[str]:
    return ["ALTER PUBLICATION %s SET (publish_generated_columns = stored)" % ident(publication)]


def update_refusal(ctx: Subject, table: Table) -> str | None:
    """Say why PostgreSQL refuses updates of a table, or would once it is published whole."""
    columns = ctx.part(table).get("columns") or ()
    conflicts = publication_conflicts(published_parts(ctx, table), table.identity, table.key)
    return table.lacks_identity(columns) or "; ".join(conflicts) or None


def fix_identities(ctx: Subject, tables: Iterable[Table], prefer: str = "df") -> IdentityFixes:
    """Choose for each table the first of the preferred identities with which its updates go through.

    :param prefer: letters of pg_class.relreplident.
    """
    identities, unfixable, publish_generated = {}, {}, False
    for table in tables:
        conflicts: dict[str, list[str]] = {}
        for identity in prefer:
            key = primary_key(table) if identity == "d" else []
            if identity == "d" and not key:
                continue
            conflicts[identity] = publication_conflicts(published_parts(ctx, table), identity, key)
        fitting = [identity for identity, why in conflicts.items() if not why]
        if fitting:
            identities[table.name] = fitting[0]
        elif "f" in conflicts and _needs_generated_only(ctx, table):
            identities[table.name] = "f"
            publish_generated = True
        else:
            unfixable[table.name] = "; ".join(dict.fromkeys(why for each in conflicts.values() for why in each))
    return IdentityFixes(ctx.options.publication, identities, unfixable, publish_generated)


def add_tables(ctx: Subject, tables: list[Table]) -> tuple[list[str], list[Table], IdentityFixes]:
    """Have tables published so that their updates go on.

    Returns the statements, the tables that they publish, and what the identities of their leaves need.
    """
    refused = [leaf for table in tables for leaf in leaves(ctx, table) if update_refusal(ctx, leaf)]
    fixes = fix_identities(ctx, refused) if ctx.publishes_changes else IdentityFixes(ctx.options.publication)
    unfixable = set(fixes.unfixable)
    added = [table for table in tables if not any(leaf.name in unfixable for leaf in leaves(ctx, table))]
    names = {leaf.name for table in added for leaf in leaves(ctx, table)}
    identities = {name: identity for name, identity in fixes.identities.items() if name in names}
    fixes = IdentityFixes(fixes.publication, identities, fixes.unfixable, fixes.publish_generated and bool(identities))
    return fixes.sql + alter_publication(ctx.options.publication, "ADD", added), added, fixes


def leaves(ctx: Subject, table: Table) -> list[Table]:
    """The tables that hold the rows of a table: itself, or its partitions that are no foreign ones."""
    if table.kind != "p":
        return [table]
    return [leaf for leaf in ctx.partitions_of(table) if leaf.kind == "r"]


def primary_key(table: Table) -> list[str]:
    return table.key if table.identity == "d" else table.primary_key


def published_parts(ctx: Subject, table: Table, columns: list[str] | None = None) -> list[dict[str, Any]]:
    """What publications publish of a table, with the one of the connector as it will be when it publishes the table whole.

    :param columns: what that publishes in place of its column list.
    """
    own = ctx.part(table)
    others = [part for part in table.narrow if part is not own]
    if columns is not None:
        return [*others, {**own, "columns": columns}]
    if ctx.is_published(table) or ctx.server.major < 18:
        return table.narrow
    stored = [] if ctx.publication and ctx.publication["generated"] else table.stored
    hidden = [*table.virtual, *stored]
    return [*others, *([{"publication": ctx.options.publication, "generated": hidden}] if hidden else [])]


def _needs_generated_only(ctx: Subject, table: Table) -> bool:
    """Whether a full identity fits once the stored generated columns are published."""
    if ctx.server.major < 18 or table.virtual or not ctx.publication:
        return False
    own = [part for part in published_parts(ctx, table) if part["publication"] == ctx.options.publication]
    others = [part for part in published_parts(ctx, table) if part["publication"] != ctx.options.publication]
    listing = any(part.get("columns") is not None for part in own)
    return bool(own) and not listing and not publication_conflicts(others, "f", [])
