# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""The way through every module, once: look, plan, apply, look again, report. And the way of what only looks.

The engine knows neither Ansible nor which resource it runs. It is the only place that opens a transaction.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Union

from . import _server
from ._connection import Session
from ._differences import differences
from ._errors import UNCHANGED, Failure, combine_failures, from_server, is_loss
from ._password import UnknownPassword
from ._server import Server
from ._sql import Statement, listed, literal

# What a first round of statements makes may bring further ones along, which go into the same transaction.
_ROUNDS = 3

# A conflict means that somebody else made progress, so a few tries settle any that is not a standing refusal. Who meets whom at the same
# object, as runs on other databases of the server do at a role, tries again after a while that grows and is never the same.
_TRIES = 8
_FIRST_PAUSE = 0.02  # seconds

# How often a transaction that lost its connection is begun anew. Not as often: it may be what the server breaks down under.
_LOSSES = 2

_OLDEST = 140000  # server_version_num

# Serializes the runs of this collection within one database. The number is arbitrary and must only stay the same.
_LOCK = "SELECT pg_advisory_xact_lock(7236273141)"

# Whatever is the default of the server, the database or the role.
_BEGIN = "BEGIN READ WRITE"

# What ``_noted_query`` has found in this transaction; NULL without one.
_NOTED = "nullif(current_setting('streamkap_neon.noted', true), '')::json"

# Ends the session of a lost connection, which would go on with what it was sent before it notices.
_END = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE pid = %d AND usename = session_user AND datname = current_database()
   AND application_name = current_setting('application_name')"""

# What trying a password has shown, by user.
Logins = dict[str, Union[bool, UnknownPassword]]

_MOST_DIFFERENCES = 20  # sentences that a failure adds
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

    def plan(self, seen: Any, server: Server, logins: Logins | None) -> Plan:
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

    def plans(self, seen: Any, server: Server, logins: Logins | None) -> dict[str, Plan]:
        """The plan of each part. What is missing to one may be just what an earlier one is about to make.

        Where parts fail, all of them are planned, so that one Failure tells all problems and what else differs.
        """
        plans: dict[str, Plan] = {}
        failures: list[Failure] = []
        for name, part in self.parts.items():
            try:
                plan = part.plan(seen[name], server, logins)
            except Failure as failure:
                failures.append(failure)
                continue
            is_first = not any(earlier.statements for earlier in plans.values())
            plans[name] = plan if is_first else replace(plan, missing=[])
        if failures:
            parts = [each for name, plan in plans.items() for each in _parts(name, self.parts[name], plan)]
            raise combine_failures(
                failures, [sentence for _name, part, plan in parts for sentence in _said(part, plan)]
            )
        return plans

    def plan(self, seen: Any, server: Server, logins: Logins | None) -> Plan:
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
    :param session_settings: the names of the settings that the connection options make for the administrator's session alone.
    """

    host: str
    encrypted: bool
    round_trip: float
    session_settings: frozenset[str] = frozenset()


@dataclass(frozen=True)
class OtherSide:
    """What the connector's side gave.

    :param refused: why it could not log in; the rest is then empty.
    :param refused_sqlstate: None where libpq does not tell it, and ``refused_hint`` where no remedy is known.
    :param used_password: whether the server asked for the password.
    :param walsender: why no replication connection was to be had; None when there was one.
    :param unanswered: why its session did not answer; ``seen`` is then None.
    :param seen: what its session answered.
    :param notices: what the server remarked meanwhile.
    """

    refused: str | None = None
    refused_sqlstate: str | None = None
    refused_hint: str | None = None
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
    warnings: list[str] = []
    sent = _Sent()
    conflicts = losses = 0
    has_waited = was_refused = False
    while True:
        try:
            server, seen, logins = _look_and_log_in(session, stages, sent)
            try:
                plans = stages.plans(seen, server, logins)
            except Failure as failure:
                # What asks whether a role may do something, as pg_has_role does, knows of what was committed since the look began,
                # and the rest of the look does not. Two looks in a row are not both overtaken.
                was_refused, passing = True, not was_refused
                # Where nothing was sent yet, a refusal of what was asked for tells so by itself.
                raise _with_differences(failure).adding(str(sent) if sent else "", passing) from None
            was_refused = False
            plan = stages.as_one(plans) if resource is stages else plans[resource.key]
            first = first or plan
            outline = outline or _outline(session, stages, plans, server)
            warnings = sent.settle(plan.statements) + (warnings if sent.done else [])
            _check_room(plan.statements, server, sent)
            too_large = [text for stage in plans.values() for text in _size_warnings(stage.statements, server)]
            warnings += _besides(plan.warnings + too_large, warnings)
            if plan.missing and not check_mode:
                missing = Failure(" ".join(plan.missing), hint=str(sent), passing=not has_waited)
                if not has_waited:
                    _let_others_end(session, sent)
                    has_waited = True
                raise missing
            if plan.statements and not check_mode:
                _check_writable(server, plan)
                for name, stage in stages.parts.items():
                    if plans[name].statements:
                        seen[name] = None  # which may be large, as what is seen afterwards
                        seen[name] = _apply(session, stage, plans[name], server, logins, sent)
            break
        except _Loss as loss:
            losses += 1
            if losses > _LOSSES:
                raise loss.failure from None
            _go_on(session, loss, server.pid, sent)
        except Failure as failure:
            conflicts += 1
            if not failure.passing or conflicts == _TRIES:
                raise
            time.sleep(random.uniform(0, _FIRST_PAUSE * 2**conflicts))
    statements = plan.statements if check_mode else sent.done
    return Report(
        server=server,
        changed=bool(statements),
        queries=_shown(statements),
        plan=first,
        warnings=warnings + (plan.missing if check_mode else []),
        resource=resource.describe(seen if resource is stages else seen[resource.key]),
        outline=outline,
    )


def _with_differences(failure: Failure) -> Failure:
    """Tell what else was found to differ, which the failure has left as it is."""
    found = failure.details.get("drift")
    if not found:
        return failure
    failure.besides = "Besides, and left as it is: %s" % " ".join(found[:_MOST_DIFFERENCES])
    if len(found) > _MOST_DIFFERENCES:
        failure.besides += " And %d more." % (len(found) - _MOST_DIFFERENCES)
    return failure


def _look_and_log_in(session: Session, resource: Resource, sent: _Sent) -> tuple[Server, Any, Logins]:
    try:
        server, seen = _look(session, resource, [_LOCK] if sent.unsure else [])
        return server, seen, {user: session.probe_password(user, password) for user, password in resource.logins(seen)}
    except Failure as failure:
        raise failure.adding(str(sent)) from None


def _let_others_end(session: Session, sent: _Sent) -> None:
    """Another run may be making just now what is missing."""
    try:
        session.ask([_LOCK])
    except session.Error as error:
        raise from_server(error, changed=str(sent)) from None


def _check_writable(server: Server, plan: Plan) -> None:
    if server.in_recovery:
        raise Failure(
            "The server is a read-only standby, and %d statements are due." % len(plan.statements),
            hint="Connect to the primary.",
            sqlstate="25006",
            queries=_shown(plan.statements),
        )


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
    try:
        line = Line(
            host=session.host,
            encrypted=session.encrypted,
            round_trip=session.round_trip(),
            session_settings=session.own_settings,
        )
        server, seen = _look(session, inspection)
    except Failure as failure:
        raise failure.adding(UNCHANGED) from None
    other = _other_side(session, inspection, seen) if inspection.connector else None
    return server, inspection.judge(server, seen, line, other)


def _other_side(session: Session, inspection: Inspection, seen: Any) -> OtherSide:
    connection = session.as_user(*inspection.connector)
    try:
        connectors = connection.open()
    except Failure as failure:
        return OtherSide(refused=failure.msg, refused_sqlstate=failure.sqlstate, refused_hint=failure.hint)
    with connectors:
        side = OtherSide(used_password=connectors.used_password)
        questions = inspection.connector_look(connectors.version, seen)
        try:
            side = replace(side, seen=connectors.ask(questions), notices=tuple(connectors.notices))
        except connectors.Error as error:
            side = replace(side, unanswered=from_server(error).msg)
        except Failure as failure:
            side = replace(side, unanswered=failure.msg)
    try:
        connection.identify_system()
    except Failure as failure:
        return replace(side, walsender=failure.msg)
    return side


@dataclass
class _Sent:
    """What has become of the statements that were sent.

    :param done: those that were committed, which stay.
    :param unsure: those of which the server may have been told to commit them when the connection was lost.
    """

    done: list[Statement] = field(default_factory=list)
    unsure: list[Statement] = field(default_factory=list)

    def settle(self, due: list[Statement]) -> list[str]:
        """What is due, as a new look shows, was not done, and what is not due any more was.

        :returns: warnings.
        """
        texts = {str(statement) for statement in due}  # a new verifier of the same password reads the same
        found = [statement for statement in self.unsure if str(statement) not in texts]
        self.unsure = []
        self.done += found
        if not found:
            return []
        return [
            "The connection was lost before the server had answered. Looking again showed that this was done: %s."
            % _listed(found, most=5)
        ]

    def __bool__(self) -> bool:
        return bool(self.done or self.unsure)

    def __str__(self) -> str:
        """In a sentence or two, where it ends with that."""
        sentences = []
        if self.unsure:
            sentences.append("Whether this was done is not known: %s." % _listed(self.unsure, most=5))
        if self.done:
            sentences.append("What was done before it stays: %s." % _listed(self.done, most=5))
        return " ".join(sentences) or UNCHANGED


class _Loss(Exception):
    """The connection was lost after something was sent that may write.

    :param error: psycopg2's.
    :param failure: what to say when it ends with that.
    """

    def __init__(self, error: Any, failure: Failure) -> None:
        super().__init__(failure.msg)
        self.error = error
        self.failure = failure


def _go_on(session: Session, loss: _Loss, pid: int, sent: _Sent) -> None:
    """Connect again, and leave nobody at work on what was sent.

    :param pid: the process that served the lost connection.
    """
    try:
        session.reconnect(loss.error)
        # Who may not end it waits for its lock.
        with contextlib.suppress(session.Error):
            session.ask(["SET LOCAL ROLE NONE", _END % pid])
    except Failure as failure:
        raise Failure("%s %s" % (failure.msg, sent), failure.hint, failure.sqlstate, **loss.failure.details) from None


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


def _check_room(statements: list[Statement], server: Server, sent: _Sent) -> None:
    """Fail for what cannot be cut and would fill the lock table."""
    largest = max(statements, key=lambda statement: statement.locks, default=None)
    if largest and largest.locks > server.lock_room:
        raise Failure(
            "This cannot be cut and takes about %d locks, but %s: %s. %s"
            % (largest.locks, _room(server), _listed([largest]), sent),
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
    return [*_questions(resource, session.version), "SELECT %s" % _answer(session, resource)]


def _answer(session: Session, resource: Resource | Inspection) -> str:
    return "json_build_object('server', (SELECT %s), 'seen', (%s))" % (_server.LOOK, resource.look(session.version))


def _noted_query(session: Session, resource: Resource) -> list[str]:
    """A look whose answer the transaction keeps to itself, until it is asked for with ``_NOTED``."""
    note = "SELECT set_config('streamkap_neon.noted', (SELECT %s)::text, true)" % _answer(session, resource)
    return [*_questions(resource, session.version), note]


def _questions(resource: Resource | Inspection, version: int) -> list[str]:
    questions = getattr(resource, "questions", None)
    return questions(version) if questions else []


def _look(session: Session, resource: Resource | Inspection, before: Sequence[str] = ()) -> tuple[Server, Any]:
    """One message, one answer.

    :param before: statements that go ahead of the questions.
    :raises Failure: that says nothing of whether anything was changed.
    """
    if session.version < _OLDEST:
        raise Failure(
            "The server is PostgreSQL %d, and this collection is for 14 and newer." % (session.version // 10000),
            hint="Check the host and the port, or upgrade the server.",
        )
    try:
        found = session.ask([*before, *_query(session, resource)])
    except session.Error as error:
        raise from_server(error, changed="") from None
    return Server(**found["server"]), found["seen"]


def _apply(session: Session, resource: Resource, plan: Plan, server: Server, logins: Logins, sent: _Sent) -> Any:
    """Statements and second look travel in one message, COMMIT in the next; what differs still is rolled back.

    Before the statements goes another look, because only one run at a time gets so far: what the one before has done is not to be done
    twice. What is too large for one transaction goes ahead in some of its own, and stays whatever becomes of the last one.

    :param sent: what was committed before, which stays; what is committed here is added.
    :returns: what the second look saw.
    """
    *ahead, due = transactions(plan.statements, server.lock_room)
    parted = bool(ahead)

    def refused(error: Any, statements: list[Statement], unsure: list[Statement]) -> Exception:
        """What to raise for what the server has refused, after ROLLBACK, or not answered.

        :param unsure: what may have been done where it has not answered.
        """
        if is_loss(error):
            sent.unsure = unsure
            return _Loss(error, from_server(error, _shown(statements), str(sent)))
        session.roll_back()
        return from_server(error, _shown(statements), *_aftermath(session, resource, plan, sent, parted))

    for part in ahead:
        try:
            session.send([*_begin(session), *_texts(session, part), "COMMIT"])
        except session.Error as error:
            raise refused(error, plan.statements, part) from None
        sent.done += part
    going: list[Statement] = []
    begin = _begin(session)
    if not (parted or plan.lasting):
        begin += _noted_query(session, resource)
    for _round in range(_ROUNDS):
        going += due
        questions = _questions(resource, session.version)
        answer = "SELECT json_build_object('noted', %s, 'found', %s)" % (_NOTED, _answer(session, resource))
        try:
            answers = session.send([*begin, *_texts(session, due), *questions, answer])
        except session.Error as error:
            raise refused(error, going, going if plan.lasting else []) from None
        _check_still_due(session, resource, plan, answers["noted"], logins, sent)
        found = answers["found"]
        left = _planned(session, resource, found, None, sent)
        if not (left.statements or left.missing):
            break
        # What was not sent is due to what was, or to something that somebody else has made or dropped meanwhile.
        overtaken = not plan.lasting and not set(left.statements) <= {*plan.statements, *going}
        if not overtaken:
            break
        begin, due = [], left.statements
    if left.statements or left.missing:
        session.roll_back()
        changed, _hints = _aftermath(session, resource, plan, sent, parted)
        raise Failure(
            "PostgreSQL accepted the statements, but these did not take: %s. %s"
            % (_listed(left.statements or left.missing), changed),
            hint="The current role may lack the right to them.",
            passing=overtaken,
            queries=_shown(going),
        )
    try:
        session.send(["COMMIT"])
    except session.Error as error:
        raise refused(error, going, going) from None
    sent.done += going
    return found["seen"]


def _check_still_due(session: Session, resource: Resource, plan: Plan, noted: Any, logins: Logins, sent: _Sent) -> None:
    """Roll back what was planned before somebody else did the same, or something else."""
    if noted is None:
        return
    due = _planned(session, resource, noted, logins, sent)
    if _shown(due.statements) != _shown(plan.statements):
        session.roll_back()
        raise Failure(
            "Somebody else keeps changing the same objects. %s" % sent,
            hint="Run again when that has ended.",
            passing=True,
            queries=_shown(plan.statements),
        )


def _texts(session: Session, statements: list[Statement]) -> list[str]:
    """The SQL of statements.

    What keeps the application off is held until the end of the transaction, and lock_timeout is for each lock anew. So that nobody is
    held up for longer, such statements share one lock_timeout between them.
    """
    exclusive = [statement for statement in statements if statement.exclusive]
    if not exclusive:
        return [statement.sql for statement in statements]
    texts: list[str] = []
    for statement in statements:
        if statement.exclusive:
            texts += session.shared_patience(first=statement is exclusive[0])
        texts.append(statement.sql)
        if statement is exclusive[-1]:
            texts += session.patience
    return texts


def _begin(session: Session) -> list[str]:
    return [_BEGIN, *session.settings, _LOCK]


def _planned(session: Session, resource: Resource, found: Any, logins: Logins | None, sent: _Sent) -> Plan:
    """The plan for what a look inside the transaction shows, which is rolled back when there can be none."""
    try:
        return resource.plan(found["seen"], Server(**found["server"]), logins)
    except Failure as failure:
        # There was a plan before: somebody else was faster, or a look overtaken.
        session.roll_back()
        raise failure.adding(str(sent), passing=True) from None


def _aftermath(
    session: Session, resource: Resource, plan: Plan, sent: _Sent, parted: bool
) -> tuple[str, dict[str, str]]:
    """After a failure and ROLLBACK: one sentence on whether anything was changed, and what to do by SQLSTATE.

    :param parted: whether the plan was too large for one transaction.
    """
    if not (plan.lasting or parted):
        return str(sent), plan.hints
    before = " %s" % sent if sent and not parted else ""
    try:
        server, seen = _look(session, resource)
        left = resource.plan(seen, server, None)
    except Failure:
        return "Whether anything was changed is not known.%s" % before, plan.hints
    if left.statements == plan.statements:
        return str(sent), left.hints
    rest = "running again does the rest" if parted else "still to be done"
    return "A part was done and stays; %s: %s.%s" % (rest, _listed(left.statements) or "nothing", before), left.hints


def _listed(statements: Sequence[Statement | str], most: int = 20) -> str:
    """For a message. Of a statement that names thousands of tables the beginning will do."""
    texts = [str(statement) for statement in statements]
    return listed((text if len(text) <= _MOST_QUOTED else text[:_MOST_QUOTED] + "..." for text in texts), most)


def _shown(statements: list[Statement]) -> list[str]:
    return [str(statement) for statement in statements]
