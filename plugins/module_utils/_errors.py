# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""What went wrong, and what to do about it.

Every way in which a task can end badly is a Failure. What PostgreSQL says is translated here, by SQLSTATE
(https://www.postgresql.org/docs/current/errcodes-appendix.html) and never by the words of a message, which follow the
server's language. The exception to that is Neon's control plane, whose refusals all come as XX000.
"""

from __future__ import annotations

import re
from typing import Any

from ._text import printable


class Failure(Exception):
    """Ends the task: one clear sentence, what to do about it, and what else helps.

    :param msg: what is wrong, naming the thing.
    :param hint: what to do about it.
    :param sqlstate: PostgreSQL's five characters, when the server refused.
    :param passing: whether it may only mean that somebody else was faster, so that looking and planning again settles it.
    :param besides: what else was found, which is told last.
    :param details: further keys for the task's result. Plain types only, no secrets.
    """

    def __init__(
        self,
        msg: str,
        hint: str | None = None,
        sqlstate: str | None = None,
        passing: bool = False,
        besides: str = "",
        **details: Any,
    ) -> None:
        super().__init__(msg)
        self.msg = msg
        self.hint = hint
        self.sqlstate = sqlstate
        self.passing = passing
        self.besides = besides
        self.details = details

    def as_result(self) -> dict[str, Any]:
        return {
            "msg": printable(" ".join(filter(None, [self.msg, self.hint, self.besides]))),
            "hint": self.hint and printable(self.hint),
            "sqlstate": self.sqlstate,
            **self.details,
        }

    def adding(self, sentence: str, passing: bool = False) -> Failure:
        """The same, which says something more.

        :param passing: whether it may pass, even where this by itself did not know so.
        """
        msg = "%s %s" % (self.msg, sentence) if sentence else self.msg
        return Failure(msg, self.hint, self.sqlstate, self.passing or passing, self.besides, **self.details)


def combine_failures(failures: list[Failure], drift: list[str] | None = None) -> Failure:
    """Make one of several, which tells all problems and all that helps.

    :param drift: sentences on what differs besides, for the key of that name in the task's result.
    """
    details: dict[str, Any] = {}
    for failure in failures:
        for key, value in failure.details.items():
            # Lists of names add up.
            details[key] = [*details.get(key, []), *value] if isinstance(value, list) else value
    if drift:
        details["drift"] = [*details.get("drift", []), *drift]
    if len(failures) == 1 and not drift:
        return failures[0]
    return Failure(
        " ".join(dict.fromkeys(failure.msg for failure in failures)),
        " ".join(dict.fromkeys(failure.hint for failure in failures if failure.hint)) or None,
        next((failure.sqlstate for failure in failures if failure.sqlstate), None),
        any(failure.passing for failure in failures),
        **details,
    )


# Somebody else changed the same objects between our look and our transaction: looking and planning again settles it.
_CONFLICTS = {
    "23505",  # unique_violation, of a catalog's index
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "3F000",  # invalid_schema_name
    "42704",  # undefined_object
    "42710",  # duplicate_object
    "42P01",  # undefined_table
    "42P06",  # duplicate_schema
    "42P07",  # duplicate_table
}
# "tuple concurrently updated", "could not find tuple for role 16385", "cache lookup failed for relation 16390", ...
_OVERTAKEN = ("concurrently", "could not find tuple for", "cache lookup failed for", "could not open relation with OID")

_HINTS = {
    "25006": "On a standby: connect to the primary. A provider may also make a server read-only, when its disk is full or while it moves.",
    "2BP01": "Remove what depends on it first.",
    "42501": "Run as the owner of the object, as a member of that role, or as an administrator who may.",
    "53100": "The server's disk is full.",
    "53200": "The server ran out of memory or of lock space: raise max_locks_per_transaction, or do fewer tables in one task.",
    "53300": "The server has no connection left: close some, or raise max_connections.",
    "53400": "The server is at a configured limit, for a slot that of max_replication_slots: drop what is not used, or raise it.",
    "55000": "The server is not in the state that this needs; logical replication needs wal_level = logical.",
    "55006": "It is in use: stop what uses it and run again.",
    "55P03": "Run again later, or raise lock_timeout, which is how long a lock is waited for.",
    "57014": "Run again later, or raise statement_timeout, which is how long a statement may take.",
}

UNCHANGED = "Nothing was changed."

NOT_UTF8_HINT = (
    "A name or a text in this database, or a comment on a role, which all databases share, has bytes that are not of the database's "
    "encoding. psql finds it with SET client_encoding = 'SQL_ASCII'; SELECT oid, relname FROM pg_class WHERE relname ~ '[^ -~]', "
    "and so in pg_roles, pg_namespace and pg_attribute: rename it. A database of the encoding SQL_ASCII lets every client write as it "
    "likes."
)


def _is_conflict(error: Any) -> bool:
    """Whether a psycopg2 error may only mean that another session was faster.

    Where a row of a catalog changes or goes between two steps of a statement, PostgreSQL raises an internal error without a SQLSTATE of
    its own, in English only.
    """
    return error.pgcode in _CONFLICTS or (error.pgcode == "XX000" and any(words in str(error) for words in _OVERTAKEN))


def is_loss(error: Any) -> bool:
    """Whether a psycopg2 error means that there is no connection any more: it broke, or the server has ended the session."""
    diag = getattr(error, "diag", None)
    return not getattr(diag, "message_primary", None) or diag.severity_nonlocalized in ("FATAL", "PANIC")


def loss(error: Any) -> str:
    """One sentence on a connection that is lost."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    return "The connection to the server was lost%s." % (": %s" % primary if primary else "")


def from_server(
    error: Any, statements: list[str] | None = None, changed: str = UNCHANGED, known: dict[str, str] | None = None
) -> Failure:
    """Translate a psycopg2 error.

    Only the message, the detail and the hint are carried over: what psycopg2 prints also quotes the statement, with its secrets.

    :param error: a psycopg2.Error. Its attribute ``waiting``, if it has one, tells behind whom (see _blockers.py).
    :param statements: what was being applied, masked.
    :param changed: one sentence on whether anything was changed, or none.
    :param known: what to do about it, by SQLSTATE, where more is known than the code tells.
    """
    if is_loss(error):
        return Failure(
            _sentences(loss(error), changed),
            hint="Run again: it looks first and does only what is still to do.",
            sqlstate=error.pgcode,
            **_queries(statements),
        )
    diag, primary, waiting = error.diag, error.diag.message_primary, getattr(error, "waiting", None)
    hints = [
        diag.message_hint,
        waiting and waiting.hint,
        _encoding_hint(error.pgcode, primary),
        _neon_hint(primary) or {**_HINTS, **(known or {})}.get(error.pgcode),
    ]
    # A detail has a line for each object that it is about.
    detail = " (%s)" % "; ".join(diag.message_detail.splitlines()) if diag.message_detail else ""
    return Failure(
        _sentences("PostgreSQL refused: %s%s." % (primary, detail), waiting and waiting.words, changed),
        hint=_sentences(*hints) or None,
        sqlstate=error.pgcode,
        passing=_is_conflict(error),
        **({"blockers": waiting.blockers} if waiting else {}),
        **_queries(statements),
    )


def _sentences(*sentences: str | None) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def _queries(statements: list[str] | None) -> dict[str, Any]:
    return {"queries": statements} if statements else {}


def _encoding_hint(sqlstate: str | None, message: str) -> str | None:
    """What a character is that PostgreSQL tells by its bytes."""
    if sqlstate == "22021":
        return NOT_UTF8_HINT
    if sqlstate != "22P05":
        return None
    octets = bytes(int(octet, 16) for octet in re.findall(r"\b0x([0-9a-f]{2})\b", message))
    return (
        "The database's encoding has no such character%s: choose names, and texts such as comments and row filters, without it."
        % (" as %s" % octets.decode(errors="replace") if octets else "")
    )


def _neon_hint(message: str) -> str | None:
    """Neon forwards roles to its control plane when the transaction commits; its refusals come as internal errors."""
    if "control plane" not in message:
        return None
    if "insecure password" in message:
        return "Choose a longer password with capitals, digits and other characters: Neon wants 60 bits of entropy."
    if "plaintext" in message:
        return "Neon takes passwords in plain text only."
    return "Neon's control plane did not take the role: check Neon's status and run again."
