# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Whether the connector reaches the server, and what lets it in."""

from __future__ import annotations

import re

from .._sql import ident
from .check import CRITICAL, INFO, PASSWORD, PASSWORD_NOTE, WARNING, Area, Outcome, failed, passed, skipped
from .subject import Subject

AREA = Area("connection")

_POOLERS = re.compile(r"(-pooler\.|\.pooler\.|pgbouncer)", re.IGNORECASE)

_NO_PASSWORD = "connector_password was not given, so that nothing was tried from the connector's side."


@AREA.check(
    "direct_host",
    CRITICAL,
    "The host is the server itself, not a connection pooler.",
    source="https://neon.com/docs/guides/logical-replication-concepts",
)
def direct_host(it: Subject) -> Outcome:
    if _POOLERS.search(it.line.host):
        return failed(
            "%s is a connection pooler, and a pooler carries no replication." % it.line.host,
            "Give the connector the host of the server itself, without the pooler, and check again with that.",
            objects=[it.line.host],
        )
    return passed("%s is taken for the server itself." % (it.line.host or "The host"))


@AREA.check(
    "round_trip_time",
    INFO,
    "The server answers quickly.",
)
def round_trip_time(it: Subject) -> Outcome:
    found = "A round trip to the server takes %.0f ms." % it.line.round_trip
    if it.line.round_trip > it.limit("max_round_trip"):
        return failed(
            found,
            "Nothing has to be done. If captured changes come late, choose a region of Streamkap's closer to the database.",
        )
    return passed(found)


@AREA.check(
    "encryption",
    WARNING,
    "The server takes encrypted connections.",
    source="https://www.postgresql.org/docs/current/ssl-tcp.html",
)
def encryption(it: Subject) -> Outcome:
    if it.line.encrypted:
        return passed("The connection is encrypted.")
    if it.seen["settings"]["ssl"] == "on":
        return passed("This connection is not encrypted, but the server offers it.")
    return failed(
        "The server offers no encryption, and Streamkap asks for it unless told otherwise.",
        "Give the server a certificate and set ssl = on, or choose SSL mode disable in Streamkap where the network itself is private.",
        sql=["ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"],
    )


@AREA.check(
    "connector_login",
    CRITICAL,
    "The connector's user can log in with its password.",
    needs=("user_exists", "user_login", "password_valid", "database_connect"),
)
def connector_login(it: Subject) -> Outcome:
    if not it.connector:
        return skipped(_NO_PASSWORD)
    if it.connector.refused and not it.connector.has_wrong_password:
        return failed(
            it.connector.refused,
            it.connector.refused_hint
            or "Remove what the server names here. Whether the password is right is not known.",
            objects=[it.options.user],
        )
    if it.connector.refused:
        return failed(
            it.connector.refused,
            "Give the connector the password that the server knows, or set this one. %s" % PASSWORD_NOTE,
            sql=["ALTER ROLE %s PASSWORD %s" % (ident(it.options.user), PASSWORD)],
            task={"streamkap.neon.role": {"name": it.options.user, "password": "{{ streamkap_password }}"}},
            objects=[it.options.user],
        )
    asked = "" if it.connector.used_password else ", and the server did not ask for the password"
    return passed("%s has logged in%s." % (it.options.user, asked))


@AREA.check(
    "replication_connection",
    CRITICAL,
    "The connector's user can open a replication connection.",
    needs=("connector_login", "user_replication", "wal_level", "wal_senders_free"),
    source="https://www.postgresql.org/docs/current/protocol-replication.html",
)
def replication_connection(it: Subject) -> Outcome:
    if it.connector.walsender:
        return failed(
            it.connector.walsender,
            "Connect to the server itself: connection poolers and some proxies refuse replication, and so may pg_hba.conf.",
        )
    return passed("A replication connection was opened and the server identified itself.")


@AREA.check(
    "acts_as_itself",
    CRITICAL,
    "The connector's sessions act as its user.",
    needs=("connector_login",),
    source="https://www.postgresql.org/docs/current/sql-alterrole.html",
)
def acts_as_itself(it: Subject) -> Outcome:
    if it.connector.unanswered:
        return skipped("Its session was refused the look. %s" % it.connector.unanswered)
    if it.connector.acts_as != it.options.user:
        return failed(
            "The sessions of %s begin as %s: a setting of the role makes it another."
            % (it.options.user, it.connector.acts_as),
            "Take that setting back.",
            sql=[
                "ALTER ROLE %s RESET role" % ident(it.options.user),
                "ALTER ROLE %s IN DATABASE %s RESET role" % (ident(it.options.user), ident(it.server.database)),
            ],
            objects=[it.options.user],
        )
    return passed("The sessions of %s are its own." % it.options.user)
