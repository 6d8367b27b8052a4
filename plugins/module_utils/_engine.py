# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""The way through every module, once: look, plan, apply, look again, report. And the way of what only looks.

The engine knows neither Ansible nor which resource it runs. It is the only place that opens a transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from . import _server
from ._connection import Session
from ._differences import differences
from ._errors import UNCHANGED, Failure, from_server, is_conflict
from ._server import Server
from ._sql import Statement, listed, literal

# What a first round of statements makes may bring further ones along, which go into the same transaction.
_ROUNDS = 3

# A conflict means that somebody else made progress, so a few tries settle any that is not a standing refusal.
_TRIES = 5

_OLDEST = 140000  # server_version_num

# Serializes the runs of this collection within one database. The number is arbitrary and must only stay the same.
_LOCK = "SELECT pg_advisory_xact_lock(7236273141)"

_MOST_QUOTED = 300  # characters of a statement in a message


@dataclass
class Plan:
    """What is to be done to get from what was seen to what is desired.

    :param statements: in the order in which they must run; empty when nothing differs.
    :param before: the part of the resource that the options speak of, as it is. Plain types.
    :param after: the same as it will be.
    :param warnings: what the user should know; they do not stop anything.
    :param missing: what must exist first and does not, a sentence each. A task before this one may be about to make it, so check
        mode warns of it, and only a real run fails.
    :param hints: what to do about a refusal, by SQLSTATE, where the resource knows more than the code alone tells.
    :param lasting: whether the statements outlive ROLLBACK, as what is done to a slot does.
    :param parts: the plans that it was put together from, by name, if it was.
    """

    statements: list[Statement] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    hints: dict[str, str] = field(default_factory=dict)
    lasting: bool = False
    parts: dict[str, Plan] = field(default_factory=dict)


class Resource(Protocol):
    """One kind of thing that is converged. An instance is what the user desires of it, parsed and checked.

    What no SELECT can find out, a resource may ask in a further method, ``questions(version) -> list[str]``: statements that go before
    each look in the same message, write nothing, and leave what they find in settings of the transaction, for the look to read.
    """

    # The key under which the resource stands in the task's result.
    key: str
    # What it is, as in "the role streamkap_user".
    title: str

    def look(self, version: int) -> str:
        """The one query: SQL for a SELECT of a single JSON value, for a server of this server_version_num."""

    def logins(self, seen: Any) -> list[tuple[str, str]]:
        """The users and passwords that have to be tried because the catalogs do not tell whether they work."""

    def plan(self, seen: Any, server: Server, logins: dict[str, bool] | None) -> Plan:
        """Pure. Raises Failure for what must not or cannot be done.

        :param logins: the outcome of each of ``logins``; None inside the transaction, where a new password cannot be tried yet.
        """

    def describe(self, seen: Any) -> dict[str, Any]:
        """The resource as it stands, for the result. Plain types, no secrets."""


class Together:
    """Several resources that are converged in one transaction: one look, one plan.

    :param parts: by name, in the order in which they are made.
    """

    key = "together"
    title = "everything"

    def __init__(self, parts: Mapping[str, Resource]) -> None:
        self.parts = parts

    def questions(self, version: int) -> list[str]:
        return [question for part in self.parts.values() for question in _questions(part, version)]

    def look(self, version: int) -> str:
        looks = ["%s, (%s)" % (literal(name), part.look(version)) for name, part in self.parts.items()]
        return "SELECT json_build_object(%s)" % ", ".join(looks)

    def logins(self, seen: Any) -> list[tuple[str, str]]:
        return [login for name, part in self.parts.items() for login in part.logins(seen[name])]

    def plans(self, seen: Any, server: Server, logins: dict[str, bool] | None) -> dict[str, Plan]:
        """The plan of each part. What is missing to one may be just what an earlier one is about to make."""
        plans: dict[str, Plan] = {}
        for name, part in self.parts.items():
            plan = part.plan(seen[name], server, logins)
            is_first = not any(earlier.statements for earlier in plans.values())
            plans[name] = plan if is_first else replace(plan, missing=[])
        return plans

    def plan(self, seen: Any, server: Server, logins: dict[str, bool] | None) -> Plan:
        return self.as_one(self.plans(seen, server, logins))

    def as_one(self, plans: dict[str, Plan]) -> Plan:
        whole = Plan(parts=plans)
        for name, plan in plans.items():
            # What two parts need, such as the schema of two tables, is made once.
            whole.statements += _besides(plan.statements, whole.statements)
            whole.warnings += _besides(plan.warnings, whole.warnings)
            whole.missing += _besides(plan.missing, whole.missing)
            whole.hints.update(plan.hints)
            whole.lasting = whole.lasting or plan.lasting
            if isinstance(self.parts[name], Together):
                whole.before.update(plan.before)
                whole.after.update(plan.after)
            elif plan.before != plan.after:
                whole.before[name], whole.after[name] = plan.before, plan.after
        return whole

    def describe(self, seen: Any) -> dict[str, Any]:
        described: dict[str, Any] = {}
        for name, part in self.parts.items():
            its = part.describe(seen[name])
            described.update(its if isinstance(part, Together) else {name: its})
        return described


def _besides(those: list[Any], these: list[Any]) -> list[Any]:
    present = set(these)
    return [each for each in those if each not in present]


class Stages(Together):
    """Several resources of which each has a transaction of its own, one after the other.

    All of them are looked at and planned before the first is touched, so that what cannot be done changes nothing.
    """


class Inspection(Protocol):
    """What is only looked at, from the administrator's side and from the connector's."""

    # The user and the password to look with from the connector's side, if it is to be looked from there.
    connector: tuple[str, str] | None

    def look(self, version: int) -> str:
        """The one query of the administrator's session; see Resource."""

    def connector_look(self, version: int, seen: Any) -> list[str]:
        """The statements of the connector's session, of which the last gives a single JSON value."""

    def judge(self, server: Server, seen: Any, line: Line, other: OtherSide | None) -> dict[str, Any]:
        """What to make of it all: pure, and the result of the task. Plain types only."""


@dataclass(frozen=True)
class Line:
    """The administrator's connection.

    :param round_trip: milliseconds.
    """

    host: str
    encrypted: bool
    round_trip: float


@dataclass(frozen=True)
class OtherSide:
    """What the connector's side gave.

    :param refused: why it could not log in; the rest is then empty.
    :param used_password: whether the server asked for the password.
    :param walsender: why no replication connection was to be had; None when there was one.
    :param unanswered: why its session did not answer; ``seen`` is then None.
    :param seen: what its session answered.
    :param notices: what the server remarked meanwhile.
    """

    refused: str | None = None
    used_password: bool = False
    walsender: str | None = None
    unanswered: str | None = None
    seen: Any = None
    notices: tuple[str, ...] = ()


@dataclass
class Report:
    """What a task has done, or in check mode would do.

    :param outline: the plan, for who carries it out by hand or wants to know what differed; see ``_outline``.
    """

    server: Server
    changed: bool
    queries: list[str]
    plan: Plan
    warnings: list[str]
    resource: dict[str, Any]
    outline: dict[str, Any]


def converge(session: Session, resource: Resource, check_mode: bool) -> Report:
    """Make the server what the resource desires, or find that it is so already.

    In check mode nothing is executed but the look: no lock, no WAL, and a standby serves.
    """
    stages = resource if isinstance(resource, Stages) else Stages({resource.key: resource})
    first: Plan | None = None
    outline: dict[str, Any] = {}
    done: list[Statement] = []
    for last_try in [False] * (_TRIES - 1) + [True]:
        server, seen = _look(session, stages)
        logins = {user: session.can_login(user, password) for user, password in stages.logins(seen)}
        plans = stages.plans(seen, server, logins)
        plan = stages.as_one(plans) if resource is stages else plans[resource.key]
        first = first or plan
        outline = outline or _outline(session, stages, plans, server)
        _check_room(plan.statements, server, done)
        too_large = [text for stage in plans.values() for text in _size_warnings(stage.statements, server)]
        if plan.missing and not check_mode:
            raise Failure(" ".join(plan.missing), hint=_unchanged(done))
        if plan.statements and not check_mode:
            if server.in_recovery:
                raise Failure(
                    "The server is a read-only standby, and %d statements are due." % len(plan.statements),
                    hint="Connect to the primary.",
                    sqlstate="25006",
                    queries=_shown(plan.statements),
                )
            try:
                for name, stage in stages.parts.items():
                    if plans[name].statements:
                        seen[name] = _apply(session, stage, plans[name], server, done)
            except _Conflict as conflict:
                if last_try:
                    raise conflict.failure from None
                continue
        statements = plan.statements if check_mode else done
        return Report(
            server=server,
            changed=bool(statements),
            queries=_shown(statements),
            plan=first,
            warnings=plan.warnings + too_large + (plan.missing if check_mode else []),
            resource=resource.describe(seen if resource is stages else seen[resource.key]),
            outline=outline,
        )
    raise AssertionError("the last try returns or raises")


def _outline(session: Session, stages: Stages, plans: dict[str, Plan], server: Server) -> dict[str, Any]:
    """What differs, in words, and the transactions that make it equal, whose statements name the part that they are of."""
    parts = [part for name, stage in stages.parts.items() for part in _parts(name, stage, plans[name])]
    of = {statement: name for name, _resource, plan in reversed(parts) for statement in plan.statements}
    return {
        "differences": [sentence for _name, part, plan in parts for sentence in _said(part, plan)],
        "warnings": list(dict.fromkeys(warning for _name, _part, plan in parts for warning in plan.warnings)),
        "begin": _begin(session),
        "transactions": [
            [{"part": of[statement], "sql": statement.for_psql} for statement in transaction]
            for plan in plans.values()
            if plan.statements
            for transaction in transactions(plan.statements, server.lock_room)
        ],
    }


def _said(resource: Resource, plan: Plan) -> list[str]:
    said = differences(resource.title, plan.before, plan.after)
    if plan.statements and not said:
        said = ["Due for %s: %s." % (resource.title, _listed(plan.statements))]
    return said


def _parts(name: str, resource: Resource, plan: Plan) -> Iterator[tuple[str, Resource, Plan]]:
    """The plans that are of one resource each."""
    if isinstance(resource, Together):
        for each, part in resource.parts.items():
            yield from _parts(each, part, plan.parts[each])
    else:
        yield name, resource, plan


def examine(session: Session, inspection: Inspection) -> tuple[Server, dict[str, Any]]:
    """Look from both sides and judge. As many round trips for any number of tables, and nothing is written."""
    line = Line(host=session.host, encrypted=session.encrypted, round_trip=session.round_trip())
    server, seen = _look(session, inspection)
    other = _other_side(session, inspection, seen) if inspection.connector else None
    return server, inspection.judge(server, seen, line, other)


def _other_side(session: Session, inspection: Inspection, seen: Any) -> OtherSide:
    connection = session.as_user(*inspection.connector)
    try:
        connectors = connection.open()
    except Failure as failure:
        return OtherSide(refused=failure.msg)
    with connectors:
        side = OtherSide(used_password=connectors.used_password)
        questions = ["SET LOCAL transaction_read_only = on", *inspection.connector_look(connectors.version, seen)]
        try:
            side = replace(side, seen=connectors.ask(questions), notices=tuple(connectors.notices))
        except connectors.Error as error:
            side = replace(side, unanswered=from_server(error).msg)
    try:
        connection.identify_system()
    except Failure as failure:
        return replace(side, walsender=failure.msg)
    return side


class _Conflict(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.msg)
        self.failure = failure


def transactions(statements: list[Statement], room: int) -> list[list[Statement]]:
    """What goes into one transaction each, in order: all into the same, if there is room for the locks that it takes.

    A statement without locks of its own stays in the transaction of the one before it.
    """
    parts: list[list[Statement]] = [[]]
    taken = 0
    for statement in statements:
        if taken and statement.locks and taken + statement.locks > room:
            parts.append([])
            taken = 0
        parts[-1].append(statement)
        taken += statement.locks
    return parts


def _check_room(statements: list[Statement], server: Server, done: list[Statement]) -> None:
    """Fail for what cannot be cut and would fill the lock table."""
    largest = max(statements, key=lambda statement: statement.locks, default=None)
    if largest and largest.locks > server.lock_room:
        raise Failure(
            "This cannot be cut and takes about %d locks, but %s: %s. %s"
            % (largest.locks, _room(server), _listed([largest]), _unchanged(done)),
            hint="Raise max_locks_per_transaction to %d, for which the server has to be restarted, or do it in portions."
            % _locks_needed(largest.locks, server),
        )


def _size_warnings(statements: list[Statement], server: Server) -> list[str]:
    parts = len(transactions(statements, server.lock_room))
    if parts == 1:
        return []
    locks = sum(statement.locks for statement in statements)
    return [
        "This takes about %d locks, but %s: it is done in %d transactions. With max_locks_per_transaction = %d it would be one."
        % (locks, _room(server), parts, _locks_needed(locks, server))
    ]


def _room(server: Server) -> str:
    return "a transaction may take %d, half of what the server has room for (max_locks_per_transaction = %d)" % (
        server.lock_room,
        server.max_locks_per_transaction,
    )


def _locks_needed(locks: int, server: Server) -> int:
    """The max_locks_per_transaction with which as many fit into one transaction."""
    return -(-2 * locks // server.lock_holders)


def _query(session: Session, resource: Resource | Inspection) -> list[str]:
    """The statements of one look. The last one answers."""
    query = "SELECT json_build_object('server', (SELECT %s), 'seen', (%s))" % (
        _server.LOOK,
        resource.look(session.version),
    )
    return [*_questions(resource, session.version), query]


def _questions(resource: Resource | Inspection, version: int) -> list[str]:
    questions = getattr(resource, "questions", None)
    return questions(version) if questions else []


def _look(session: Session, resource: Resource | Inspection) -> tuple[Server, Any]:
    """One message, one answer. It could not write if it wanted to."""
    if session.version < _OLDEST:
        raise Failure(
            "The server is PostgreSQL %d, and this collection is for 14 and newer." % (session.version // 10000),
            hint="Check the host and the port, or upgrade the server.",
        )
    try:
        found = session.ask(["SET LOCAL transaction_read_only = on", *_query(session, resource)])
    except session.Error as error:
        raise from_server(error) from None
    return Server(**found["server"]), found["seen"]


def _apply(session: Session, resource: Resource, plan: Plan, server: Server, done: list[Statement]) -> Any:
    """Statements and second look travel in one message, COMMIT in the next; what differs still is rolled back.

    What is too large for one transaction goes ahead in some of its own, and stays whatever becomes of the last one.

    :param done: what was committed before, which stays; what is committed here is added.
    :returns: what the second look saw.
    """
    *ahead, due = transactions(plan.statements, server.lock_room)
    parted = bool(ahead)
    try:
        for part in ahead:
            session.send([*_begin(session), *(statement.sql for statement in part), "COMMIT"])
            done += part
    except session.Error as error:
        raise _refused(session, resource, plan, done, parted, error, plan.statements) from None
    sent: list[Statement] = []
    begin = _begin(session)
    for _round in range(_ROUNDS):
        sent += due
        try:
            found = session.send([*begin, *(statement.sql for statement in due), *_query(session, resource)])
        except session.Error as error:
            raise _refused(session, resource, plan, done, parted, error, sent) from None
        left = _left(session, resource, found, done)
        if not (left.statements or left.missing):
            break
        # What was not sent is due to what was, or to something that somebody else has made or dropped meanwhile.
        overtaken = not plan.lasting and not set(left.statements) <= {*plan.statements, *sent}
        if not overtaken:
            break
        begin, due = [], left.statements
    if left.statements or left.missing:
        session.roll_back()
        changed, _hints = _aftermath(session, resource, plan, done, parted)
        failure = Failure(
            "PostgreSQL accepted the statements, but these did not take: %s. %s"
            % (_listed(left.statements or left.missing), changed),
            hint="The current role may lack the right to them.",
            queries=_shown(sent),
        )
        raise _Conflict(failure) if overtaken else failure
    try:
        session.send(["COMMIT"])
    except session.Error as error:
        # With an answer of the server's the COMMIT was refused; without one nobody knows.
        if getattr(error.diag, "message_primary", None):
            changed, _hints = _aftermath(session, resource, plan, done, parted)
        else:
            changed = "Whether the transaction was committed is not known."
        raise from_server(error, _shown(sent), changed) from None
    done += sent
    return found["seen"]


def _begin(session: Session) -> list[str]:
    return ["BEGIN", *session.settings, _LOCK]


def _refused(
    session: Session,
    resource: Resource,
    plan: Plan,
    done: list[Statement],
    parted: bool,
    error: Any,
    statements: list[Statement],
) -> Exception:
    """What to raise for what the server has refused, after ROLLBACK."""
    session.roll_back()
    failure = from_server(error, _shown(statements), *_aftermath(session, resource, plan, done, parted))
    return _Conflict(failure) if is_conflict(error) else failure


def _left(session: Session, resource: Resource, found: Any, done: list[Statement]) -> Plan:
    """What is still to do after the statements, as the look inside the transaction shows it."""
    try:
        return resource.plan(found["seen"], Server(**found["server"]), None)
    except Failure as failure:
        session.roll_back()
        raise Failure(
            "%s %s" % (failure.msg, _unchanged(done)), failure.hint, failure.sqlstate, **failure.details
        ) from None


def _aftermath(
    session: Session, resource: Resource, plan: Plan, done: list[Statement], parted: bool
) -> tuple[str, dict[str, str]]:
    """After a failure and ROLLBACK: one sentence on whether anything was changed, and what to do by SQLSTATE.

    :param parted: whether the plan was too large for one transaction.
    """
    if not (plan.lasting or parted):
        return _unchanged(done), plan.hints
    before = " " + _unchanged(done) if done and not parted else ""
    try:
        server, seen = _look(session, resource)
        left = resource.plan(seen, server, None)
    except Failure:
        return "Whether anything was changed is not known.%s" % before, plan.hints
    if left.statements == plan.statements:
        return _unchanged(done), left.hints
    rest = "running again does the rest" if parted else "still to be done"
    return "A part was done and stays; %s: %s.%s" % (rest, _listed(left.statements) or "nothing", before), left.hints


def _unchanged(done: list[Statement]) -> str:
    """One sentence on what has changed when a transaction has come to nothing."""
    return "What was done before it stays: %s." % _listed(done, most=5) if done else UNCHANGED


def _listed(statements: list[Statement] | list[str], most: int = 20) -> str:
    """For a message. Of a statement that names thousands of tables the beginning will do."""
    texts = [str(statement) for statement in statements]
    return listed((text if len(text) <= _MOST_QUOTED else text[:_MOST_QUOTED] + "..." for text in texts), most)


def _shown(statements: list[Statement]) -> list[str]:
    return [str(statement) for statement in statements]
