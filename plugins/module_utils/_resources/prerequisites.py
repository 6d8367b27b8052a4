# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""All that a connector needs of a database, composed of the resources that are it.

One transaction holds everything but two things. Giving a table its full replica identity locks it against reading and writing, so that
has a short one of its own. And a slot is no object of a transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._engine import Logins, Plan, Resource, Stages, Together
from .._errors import Failure
from .._server import Server
from .._sql import QualifiedName, listed
from ._catalog import names_not_matched
from .grant import Grant
from .heartbeat_table import HeartbeatTable
from .partition_grant import PartitionGrant
from .publication import Publication, with_full_identity
from .replica_identity import ReplicaIdentity
from .role import Role
from .signal_table import SignalTable
from .slot import Slot

# Fixed by Streamkap, which recognizes its tables by these names only.
_SIGNAL_TABLE = "streamkap_signal"
_HEARTBEAT_TABLE = "streamkap_heartbeat"

# What the result tells besides the publication.
_DESCRIBED = ("connector_role", "connector_user", "signal_table", "heartbeat_table", "slot")


class _ConnectorUser(Role):
    """The connector's user, with a warning where another password is in use that the connector may have been given."""

    def plan(self, seen: Any, server: Server, logins: dict[str, bool] | None) -> Plan:
        plan = super().plan(seen, server, logins)
        role = seen["role"]
        if role and role["verifier"] != "none" and not self._password_fits(role, logins):
            plan.warnings.append(
                "The password of %s is another than the given one, which replaces it: a connector that logs in with the other one is "
                "refused from then on. Where the password was rotated, give the new one in connector_password."
                % self.name
            )
        return plan


class Prerequisites(Stages):
    """What a connector needs of the current database.

    :param bypassrls: None leaves it as it is.
    :param schemas: their tables are captured, and the single ``tables``, but not ``exclude_tables``.
    :param keyless_tables: what to do about tables whose updates could not be published: fail, skip or replica_identity_full.
    :param publication_scope: tables, schemas or all_tables.
    :param slot: empty when none is to be made.
    """

    key = "prerequisites"

    def __init__(
        self,
        connector_user: str,
        connector_password: str,
        connector_role: str,
        bypassrls: bool | None,
        schemas: list[str],
        tables: list[str],
        exclude_tables: list[str],
        database_privileges: list[str],
        schema_privileges: list[str],
        signal_schema: str,
        heartbeat: bool,
        keyless_tables: str,
        publication: str,
        publication_scope: str,
        publish_via_partition_root: bool,
        slot: str,
    ) -> None:
        _check_options(connector_user, connector_role, schemas, tables, publication_scope)
        privileges = {
            "role": connector_role,
            "database_privileges": database_privileges,
            "schema_privileges": schema_privileges,
            "table_privileges": ["SELECT"],
        }
        before: dict[str, Resource] = {
            "connector_role": _role(connector_role, login=False),
            "connector_user": _role(
                connector_user,
                kind=_ConnectorUser,
                password=connector_password,
                replication=True,
                bypassrls=bypassrls,
                member_of=[connector_role],
            ),
        }
        if schemas:
            before["privileges_on_schemas"] = _grant(
                **privileges, schemas=schemas, exclude_tables=exclude_tables, default_table_privileges=["SELECT"]
            )
        if tables:
            before["privileges_on_tables"] = _grant(**privileges, tables=tables)
        if not publish_via_partition_root:
            before["privileges_on_partitions"] = PartitionGrant(connector_role, schemas, tables, exclude_tables)
        own = {"signal_table": SignalTable(signal_schema, _SIGNAL_TABLE, [connector_role], "present")}
        if heartbeat:
            own["heartbeat_table"] = HeartbeatTable(signal_schema, _HEARTBEAT_TABLE, [connector_role], "present")
        before.update(own)
        published = _publication(
            publication,
            publication_scope,
            schemas,
            [*tables, *(str(table.table) for table in own.values())],
            exclude_tables,
            keyless_tables="skip" if keyless_tables == "skip" else "fail",
            via_root=publish_via_partition_root,
        )
        if keyless_tables == "replica_identity_full":
            stages: dict[str, Resource] = {
                "access": Together(before),
                "replica_identities": Together(_identities(schemas, tables, exclude_tables)),
                "published": Together({"publication": published}),
            }
        else:
            stages = {"access": Together({**before, "publication": published})}
        if slot:
            stages["slot"] = _slot(slot, publication)
        super().__init__(stages)
        self.roles = (connector_user, connector_role)
        self.own = [table.table for table in own.values()]
        # Otherwise the publication names schemas, or the tables of which the partitions are captured.
        self.names_captured = publication_scope == "tables" and publish_via_partition_root

    def plans(self, seen: Any, server: Server, logins: Logins | None) -> dict[str, Plan]:
        self._check_own_role(server)
        identities = self.parts.get("replica_identities")
        if identities:
            try:
                becoming = identities.plan(seen["replica_identities"], server, logins).after
            except Failure:
                becoming = {}  # It is told with all other failures.
            full = [table for tables in becoming.values() for table in tables]
            published = with_full_identity(seen["published"]["publication"], full)
            seen = {**seen, "published": {"publication": published}}
        plans = super().plans(seen, server, logins)
        published = next(stage for stage in plans.values() if "publication" in stage.parts)
        strange = names_not_matched(self._strange_names(published.parts["publication"]))
        if strange:
            published.warnings.append(
                "Debezium reads its list of tables as regular expressions with commas between, and does not match by their names: %s. What "
                "Streamkap makes of such a name is not known: see whether the tables arrive, or rename or exclude them."
                % listed(strange)
            )
        return plans

    def _strange_names(self, plan: Plan) -> list[str]:
        """Of the tables that are to be published by themselves, those that may not be matched by their names."""
        shown = [table["name"] if isinstance(table, dict) else table for table in plan.after.get("tables", [])]
        # Of ten thousand few are looked at twice.
        names = [QualifiedName.parse(table) for table in names_not_matched(shown)]
        return [name.plain for name in names if name not in self.own]

    def _check_own_role(self, server: Server) -> None:
        """Fail before the administrator's password is replaced, or its role made a group."""
        user, _role = self.roles
        if server.session_user not in self.roles:
            return
        its = "the connector's user" if server.session_user == user else "the connector's group role"
        raise Failure(
            "%s cannot be %s: it is the role that this task logs in as, and could not log in with its password any more."
            % (server.session_user, its),
            hint="Name a role of the connector's own, which is created where it does not exist. Nothing was changed.",
        )

    def describe(self, seen: Any) -> dict[str, Any]:
        """The tables by their names only: there may be many thousands."""
        described: dict[str, Any] = dict.fromkeys((*_DESCRIBED, "captured"))
        for key, part, its in self._leaves(seen):
            if isinstance(part, Publication):
                described[key] = part.describe_without_tables(its)
                names = sorted(name.plain for name in part.names(its) if name not in self.own)
                described["captured_not_matched"] = names_not_matched(names)
                if self.names_captured:
                    described["captured"] = names
            elif key in _DESCRIBED:
                described[key] = part.describe(its)
        return described

    def _leaves(self, seen: Any) -> Iterator[tuple[str, Resource, Any]]:
        """Each resource, with what was seen of it."""
        for name, part in self.parts.items():
            parts = part.parts if isinstance(part, Together) else {}
            yield from ((inner, each, seen[name][inner]) for inner, each in parts.items())
            if not parts:
                yield name, part, seen[name]


def _check_options(user: str, role: str, schemas: list[str], tables: list[str], publication_scope: str) -> None:
    if not (schemas or tables):
        raise Failure(
            "Nothing to capture: schemas and tables are both empty.",
            hint="Name the schemas whose tables are to be captured in schemas, or single tables in tables.",
        )
    if user == role:
        raise Failure(
            "connector_user and connector_role are both %s." % user,
            hint="One is a login, the other the group that it is a member of: give them two names.",
        )
    if publication_scope == "schemas" and not schemas:
        raise Failure(
            "publication_scope is schemas, and schemas is empty.", hint="List them, or use publication_scope: tables."
        )


def _role(name: str, login: bool = True, kind: type[Role] = Role, **given: Any) -> Role:
    options = dict.fromkeys(
        ("replication", "bypassrls", "password", "member_of", "connection_limit", "comment", "reassign_owned_to")
    )
    fixed = {"state": "present", "update_password": "always", "used_elsewhere": "fail"}
    return kind(name=name, login=login, **{**options, **fixed, **given})


def _grant(**given: Any) -> Grant:
    options = dict.fromkeys(
        ("schemas", "tables", "exclude_tables", "default_table_privileges", "default_privileges_for")
    )
    return Grant(state="present", exclusive=False, **{**options, **given})


def _identities(schemas: list[str], tables: list[str], exclude_tables: list[str]) -> dict[str, Resource]:
    by_option: dict[str, dict[str, Any]] = {
        "replica_identity_of_schemas": {"schemas": schemas, "tables": None, "exclude_tables": exclude_tables},
        "replica_identity_of_tables": {"schemas": None, "tables": tables, "exclude_tables": None},
    }
    return {
        name: ReplicaIdentity(identity="full", index=None, only_keyless=True, **options)
        for name, options in by_option.items()
        if options["schemas"] or options["tables"]
    }


def _publication(
    name: str,
    scope: str,
    schemas: list[str],
    tables: list[str],
    exclude_tables: list[str],
    keyless_tables: str,
    via_root: bool,
) -> Publication:
    one_by_one = schemas if scope == "tables" and schemas else None
    return Publication(
        name=name,
        state="present",
        all_tables=scope == "all_tables",
        schemas=schemas if scope == "schemas" else None,
        tables=None if scope == "all_tables" else tables,
        tables_from_schemas=one_by_one,
        exclude_tables=exclude_tables if one_by_one else None,
        keyless_tables=keyless_tables,
        publish=["insert", "update", "delete", "truncate"],
        publish_via_partition_root=via_root,
        owner=None,
        exclusive=True,
    )


def _slot(name: str, publication: str) -> Slot:
    return Slot(
        name=name,
        plugin="pgoutput",
        publication=publication,
        failover=None,
        two_phase=None,
        state="present",
        force=False,
        recreate_lost=False,
        leave_lost=True,
    )
