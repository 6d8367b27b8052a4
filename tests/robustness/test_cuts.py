# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task whose connection breaks has done all of its work or none, says so, and run again does what is still to do.

Every module goes to and fro between two states of a database, cut off at each message that it sends, in turn, before, in and after
it. Of each cut there are two kinds: after one the server can be reached again, after the other it cannot, so that the module has to
say what it knows.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from support import neon
from support.faults import Cut, Line, Message, Place, Tally, faulty
from support.figures import Figures
from support.hurting import PASSWORD, USER, make_user_where_sql_cannot
from support.modules import run_module
from support.neon import Database
from support.postgres import Server
from support.state import State, Watcher, difference

ANOTHER_PASSWORD = "Another-9-of-the-tests"
# The messages of a module that logs nobody else in: four of the handshake, the look, the statements, COMMIT.
STATEMENTS, COMMIT = 5, 6

PASSWORDS = {"the password": PASSWORD, "another password": ANOTHER_PASSWORD}

GRANTED = {
    "role": "readers",
    "schemas": ["app", "billing"],
    "database_privileges": ["CONNECT"],
    "schema_privileges": ["USAGE"],
    "table_privileges": ["SELECT"],
    "default_table_privileges": ["SELECT"],
}
CONNECTOR = {"name": USER, "password": PASSWORD, "member_of": ["readers"], "comment": "Reads."}
LACKING_A_KEY = "CREATE TABLE app.keyless (id int)"
READERS = "CREATE ROLE readers"


@dataclass(frozen=True)
class Way:
    """From one state to another: by a module, or by SQL where no module goes back.

    and_then: what has to be made again, on the server
    """

    module: str | None = None
    options: dict[str, object] = field(default_factory=dict)
    sql: str | None = None
    and_then: Callable[[Server], None] | None = None


@dataclass(frozen=True)
class Case:
    """
    prepared, before: what there must be, made by SQL and by modules
    user: who goes, and his password
    """

    forth: Way
    back: Way
    prepared: tuple[str, ...] = ()
    before: tuple[Way, ...] = ()
    user: tuple[str, str] = (neon.OWNER, neon.OWNER_PASSWORD)


def module(module_name: str, /, **options: object) -> Way:
    return Way(module_name, options)


def there_and_gone(module_name: str, /, *prepared: str, **options: object) -> Case:
    return Case(module(module_name, **options), module(module_name, **options, state="absent"), prepared)


FOR_SIGNALS = (
    module("signal_table"),
    module("publication", tables_from_schemas=["app"], tables=["streamkap.streamkap_signal"]),
)

CASES = {
    "role": Case(module("role", **CONNECTOR), module("role", name=USER, state="absent"), (READERS,)),
    # Who may not read verifiers finds out by logging in whether a password is the given one.
    "password": Case(
        module("role", name=USER, password=ANOTHER_PASSWORD),
        module("role", name=USER, password=PASSWORD),
        (f"CREATE ROLE limited LOGIN CREATEROLE PASSWORD '{PASSWORD}'",),
        (module("role", name=USER, password=PASSWORD),),
        ("limited", PASSWORD),
    ),
    "grant": there_and_gone("grant", READERS, **GRANTED),
    "signal_table": there_and_gone("signal_table", READERS, grant_to=["readers"]),
    "heartbeat_table": there_and_gone("heartbeat_table", READERS, grant_to=["readers"]),
    "replica_identity": Case(
        module("replica_identity", tables=["app.keyless", "app.orders"], identity="full"),
        module("replica_identity", tables=["app.keyless", "app.orders"], identity="default"),
        (LACKING_A_KEY,),
    ),
    "publication": there_and_gone("publication", tables_from_schemas=["app", "billing"]),
    "slot": there_and_gone("slot"),
    "signal": Case(
        module("signal", type="execute-snapshot", data_collections=["app.orders"], id="one"),
        Way(sql="DELETE FROM streamkap.streamkap_signal"),
        before=FOR_SIGNALS,
    ),
    "prerequisites": Case(
        module(
            "prerequisites",
            connector_password=PASSWORD,
            schemas=["app", "billing"],
            keyless_tables="replica_identity_full",
        ),
        Way(
            sql=f"""
            SELECT pg_drop_replication_slot('streamkap_pgoutput_slot');
            DROP PUBLICATION streamkap_pub;
            DROP SCHEMA streamkap CASCADE;
            ALTER TABLE app.keyless REPLICA IDENTITY DEFAULT;
            DROP OWNED BY {USER}, streamkap_role;
            DROP ROLE {USER}, streamkap_role""",
            and_then=make_user_where_sql_cannot,
        ),
        (LACKING_A_KEY,),
    ),
}

# The transactions of those that have more than one.
STAGES = {"prerequisites": 4}


class Journey:
    """One way, recorded on a line that is whole: the messages that it takes, and the states in which it can be found."""

    def __init__(self, way: Way, database: Database, dsn: str, line: Line, watcher: Watcher) -> None:
        self.way = way
        self._database = database
        self._dsn = dsn
        self._line = line
        self._watcher = watcher
        self.states: list[State] = [watcher.state()]
        self.messages: list[Message] = []
        if way.module:
            line.watch(settled=self._note)
            self.result = self._run()
            assert self.result["changed"] is (len(self.states) > 1), self.result
            self.messages = list(line.messages)
        else:
            self.go()
            self._note()

    def go(self) -> None:
        """All the way, undisturbed."""
        if self.way.module:
            self._run()
        else:
            self._database.admin(self.way.sql)
            if self.way.and_then:
                self.way.and_then(self._database.server)

    def _run(self) -> dict[str, object]:
        result = run_module(self.way.module, dsn=self._line.dsn(self._dsn), **self.way.options)
        assert not result.get("failed"), result
        return result

    def _note(self) -> None:
        state = self._watcher.state()
        if state != self.states[-1]:
            self.states.append(state)

    def cuts(self, seed: int) -> Iterator[Cut]:
        """Each message in each place, shared out among five seeds: once, but a query of the shorter ways once in either kind."""
        twice = len(self.messages) < 10
        for number, (message, place) in enumerate(itertools.product(range(len(self.messages)), Place)):
            share = (number + seed) % 5
            if self.messages[message].is_query and twice:
                if share in (0, 2):
                    yield Cut(message, place, is_for_good=share == 0)
            elif share == 0:
                yield Cut(message, place, is_for_good=number % 2 == 0)

    def try_cut(self, cut: Cut, tally: Tally) -> None:
        tally.cuts += 1
        what = f"{self.way.module} {self.way.options.get('state', '')} {cut}"
        self._line.watch(cut)
        result = run_module(self.way.module, dsn=self._line.dsn(self._dsn), **self.way.options)
        assert self._line.has_cut, what
        self._line.wait()
        if result.get("failed"):
            self._watcher.wait_for_the_end()
        found = self._watcher.state()
        if found not in self.states:
            tally.half_applied.append(f"{what}: {difference(self.states[0], found)}")
        elif why := self.untruth(result, self.states.index(found), cut):
            tally.untrue.append(f"{what}: {why}: {result.get('msg', result)}")
        tally.lost_commits += "was lost before the server had answered" in str(result.get("warnings"))
        self._converge(found, what, tally)

    def untruth(self, result: dict[str, object], found: int, cut: Cut) -> str | None:
        """What is wrong with what a task said after it was cut off there, when that state was found."""
        last = len(self.states) - 1
        if not result.get("failed"):
            if "is not known, and it stays as it is" in str(result.get("warnings")):
                # A login that could not be tried tells nothing of the password.
                return None if (found, result["changed"]) == (0, False) else f"changed: state {found}"
            if found != last or result["changed"] is not (last > 0):
                return f"successful, but in state {found}"
            # Sent twice or not, it was done once.
            return None if result["queries"] == self.result["queries"] else f"tells of {result['queries']}"
        said = result["msg"]
        if not cut.is_for_good:
            return "could have gone on"
        if not ("connection to server at" in said or "The connection to the server was lost" in said):
            return "does not say what happened"
        if "is not known" in said:
            # Who has the whole answer learns of the cut from the next message.
            unanswered = self.messages[cut.message + (cut.place is Place.ANSWERED)]
            return None if unanswered.writes else "nothing was sent that could have been done"
        if "stays:" in said:
            return None if 0 < found < last else f"does not stay: state {found}"
        if "Nothing was changed." in said or said.startswith("Cannot connect"):
            return None if found == 0 else f"changed: state {found}"
        return "does not say whether anything was changed"

    def _converge(self, found: State, what: str, tally: Tally) -> None:
        """Run again, until nothing is changed: once, or not at all where all was done."""
        for is_due in dict.fromkeys([found != self.states[-1], False]):
            result = run_module(self.way.module, dsn=self._dsn, **self.way.options)
            if result.get("failed") or result["changed"] is not is_due:
                tally.not_converged.append(f"{what}: {result.get('msg', result.get('queries'))}")
                return
        if self._watcher.state() != self.states[-1]:
            tally.not_converged.append(f"{what}: {difference(self.states[-1], self._watcher.state())}")


@pytest.fixture
def line(database: Database) -> Iterator[Line]:
    with faulty(database.server.port) as line:
        yield line


@pytest.fixture
def tally(figures: Figures) -> Iterator[Tally]:
    tally = Tally()
    yield tally
    assert tally.cuts
    tally.record(figures)


@pytest.mark.newest_version
@pytest.mark.parametrize("name", CASES)
def test_a_cut_leaves_all_or_nothing(database: Database, line: Line, figures: Figures, name: str) -> None:
    both = journeys(name, database, line)
    assert len(both[0].states) == 1 + STAGES.get(name, 1)
    tally = Tally()
    seed = database.server.major
    for cuts in itertools.zip_longest(*(journey.cuts(seed) for journey in both)):
        for journey, cut in zip(both, cuts, strict=True):
            if cut:
                journey.try_cut(cut, tally)
            else:
                journey.go()
    tally.record(figures)


def test_a_cut_look_is_made_again(database: Database, line: Line, figures: Figures) -> None:
    """Nor is the line between here and the server taken for a fault of the server's."""
    (there, _back) = journeys("prerequisites", database, line)
    there.go()
    watcher = Watcher(database)
    options = {"connector_user": USER, "connector_password": PASSWORD, "schemas": ["app", "billing"]}
    look = Journey(module("readiness_info", **options), database, database.dsn, line, watcher)
    assert len({message.connection for message in look.messages}) == 3
    tally = Tally()
    for cut in look.cuts(database.server.major):
        tally.cuts += 1
        line.watch(cut)
        looked = run_module("readiness_info", dsn=line.dsn(database.dsn), **options)
        assert line.has_cut
        if not cut.is_for_good:
            assert verdicts(looked) == verdicts(look.result), cut
        elif looked.get("failed"):
            assert look.untruth(looked, 0, cut) is None
        else:
            # Of what the connector met nobody says that it was well.
            assert (cut.message, cut.place) == (len(look.messages) - 1, Place.ANSWERED) or not looked["ready"], cut
        if watcher.state() != look.states[0]:
            tally.half_applied.append(f"{cut}: {difference(look.states[0], watcher.state())}")
    tally.record(figures)


def verdicts(looked: dict[str, object]) -> dict[str, str]:
    return {check["id"]: check["status"] for check in looked["checks"]}


@pytest.mark.parametrize("place", [Place.SENT, Place.UNANSWERED])
def test_a_signal_without_an_id_is_sent_once(database: Database, line: Line, figures: Figures, place: Place) -> None:
    """It has one all the same, by which it is found again."""
    for way in FOR_SIGNALS:
        assert run_module(way.module, dsn=database.dsn, **way.options)["changed"]
    line.watch(Cut(COMMIT, place))
    sent = run_module("signal", dsn=line.dsn(database.dsn), type="log", log_message="Here I am.")
    assert line.messages[COMMIT].commits
    assert sent["changed"], sent
    assert database.sql("SELECT id FROM streamkap.streamkap_signal") == [(sent["signal"]["id"],)]
    figures.add("cuts", 1)
    figures.add("lost_commits", place is Place.UNANSWERED)


def test_what_a_lost_connection_left_at_work_is_ended(database: Database, line: Line, figures: Figures) -> None:
    """The network is gone, and the server has not noticed: it would keep the transaction, and its locks, for hours."""
    line.watch(Cut(COMMIT, Place.BEFORE, is_noticed=False))
    started = time.monotonic()
    made = run_module("signal_table", dsn=line.dsn(database.dsn))
    assert line.has_cut
    assert made["changed"], made
    assert time.monotonic() - started < 5, "it waited for the lock of what was lost"
    assert database.sql("SELECT count(*) FROM streamkap.streamkap_signal") == [(0,)]
    figures.add("cuts", 1)


def test_also_for_a_session_role(database: Database, line: Line, figures: Figures) -> None:
    """Which may not end the sessions of the role that has logged in."""
    database.sql(f'GRANT CREATE ON DATABASE "{database.name}" TO app_owner')
    line.watch(Cut(COMMIT, Place.BEFORE, is_noticed=False))
    made = run_module("signal_table", dsn=line.dsn(database.dsn), session_role="app_owner")
    assert made["signal_table"]["owner"] == "app_owner", made
    figures.add("cuts", 1)


def test_a_transaction_in_which_every_connection_breaks_is_not_begun_for_ever(database: Database, line: Line) -> None:
    """It may be what the server breaks down under."""
    database.admin(
        "CREATE FUNCTION public.die() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM pg_terminate_backend(pg_backend_pid()); END $$;"
        "CREATE EVENT TRIGGER die ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.die()"
    )
    failed = run_module("signal_table", dsn=line.dsn(database.dsn))
    assert failed["msg"].startswith("The connection to the server was lost. Nothing was changed.")
    assert sum(message.writes for message in line.messages) == 3
    assert database.sql("SELECT to_regnamespace('streamkap')") == [(None,)]


def test_a_server_that_crashes_meanwhile_is_waited_for(database: Database, line: Line, figures: Figures) -> None:
    tally = Tally()
    forth, back = journeys("prerequisites", database, line)
    writing = [number for number, message in enumerate(forth.messages) if message.writes]
    for number, message in list(enumerate(writing))[database.server.major % 2 :: 2]:
        place = Place.UNANSWERED if number % 4 < 2 else Place.SENT
        forth.try_cut(Cut(message, place, meanwhile=database.server.crash), tally)
        back.go()
    tally.record(figures)


def journeys(name: str, database: Database, line: Line) -> list[Journey]:
    """There and back again, on a database that is at the beginning."""
    case = CASES[name]
    for statement in case.prepared:
        database.sql(statement)
    dsn = database.dsn_as(*case.user)
    for way in case.before:
        assert run_module(way.module, dsn=dsn, **way.options)["changed"]
    if case.back.and_then:
        case.back.and_then(database.server)
    watcher = Watcher(database, PASSWORDS)
    there, back = (Journey(way, database, dsn, line, watcher) for way in (case.forth, case.back))
    assert there.states[0] == back.states[-1], "something of it stays"
    return [there, back]
