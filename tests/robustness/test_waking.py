# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server that wakes up is waited for, and one that refuses for good is asked once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator

import psycopg2
import pytest

from support.faults import Cut, Line, Place, error_response, faulty
from support.figures import Figures
from support.hurting import PASSWORD, USER
from support.modules import run_module
from support.neon import Database
from support.relay import listening, startup_packet

pytestmark = pytest.mark.newest_version

LineWith = Callable[..., Line]

STARTING = error_response("57P03", "the database system is starting up")

# What passes: of PostgreSQL, and of Neon's proxy while it wakes a compute, which has one code for everything.
PASSING = {
    "starting": STARTING,
    "stopping": error_response("57P03", "the database system is shutting down"),
    "recovering": error_response("57P03", "the database system is not yet accepting connections"),
    "stopped": error_response("57P01", "terminating connection due to administrator command"),
    "full": error_response("53300", "sorry, too many clients already"),
    "reserved": error_response(
        "53300", "remaining connection slots are reserved for roles with the SUPERUSER attribute"
    ),
    "wordless": b"",
    "no compute": error_response("XX000", "Couldn't connect to compute node: connection timed out", "ERROR"),
    "no control plane": error_response("XX000", "Control plane request failed", "ERROR"),
    "no permit": error_response("XX000", "Failed to acquire permit to connect to the database.", "ERROR"),
}

# What does not: of Neon's proxy.
STANDING = {
    "endpoint": error_response(
        "XX000", "The requested endpoint could not be found, or you don't have access to it.", "ERROR"
    ),
    "disabled": error_response("XX000", "Control plane request failed: endpoint is disabled", "ERROR"),
    "unnamed": error_response("XX000", "Endpoint ID is not specified.", "ERROR"),
    "address": error_response("XX000", "This IP address 1.2.3.4 is not allowed to connect to this endpoint.", "ERROR"),
    "quota": error_response("XX000", "You have exceeded the limit of concurrently active endpoints.", "ERROR"),
    "unheard of": error_response("XX000", "Something that nobody has ever seen.", "ERROR"),
}

# The message with which a module looks.
LOOK = 4


@pytest.fixture
def line_with(database: Database) -> Iterator[LineWith]:
    """A line that refuses the first connections so."""
    with contextlib.ExitStack() as stack:
        yield lambda *refusals: stack.enter_context(faulty(database.server.port, refusals=refusals))


def look(line: Line, dsn: str, **options: object) -> dict[str, object]:
    return run_module("signal_table", dsn=line.dsn(dsn), check=True, **options)


def pauses(attempts: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(attempts)]


def test_a_server_that_wakes_up_is_waited_for_longer_each_time(
    database: Database, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    """Nobody listens at first; then somebody does and is not ready, then Neon's proxy has no compute yet, and then there is one."""
    connect, attempts, refused = psycopg2.connect, [], 2
    with contextlib.ExitStack() as stack, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        lines: list[Line] = []

        def watched(*arguments: object, **parameters: object) -> object:
            attempts.append(time.monotonic())
            try:
                return connect(*arguments, **parameters)
            except psycopg2.Error:
                if len(attempts) == refused:
                    taken.close()
                    refusals = [STARTING, PASSING["no compute"]]
                    lines.append(stack.enter_context(faulty(database.server.port, port=port, refusals=refusals)))
                raise

        monkeypatch.setattr(psycopg2, "connect", watched)
        looked = run_module("signal_table", dsn=database.dsn, login_port=port, check=True)
    assert not looked.get("failed"), looked
    assert len(attempts) == 5
    assert len(lines[0].attempts) == 5 - refused
    for pause, least in zip(pauses(attempts), [0.1, 0.2, 0.4, 0.8], strict=True):
        assert pause >= least
    figures.add("passing_refusals", 4)


@pytest.mark.parametrize("refusal", PASSING)
def test_what_passes_is_tried_again(database: Database, line_with: LineWith, figures: Figures, refusal: str) -> None:
    line = line_with(PASSING[refusal])
    looked = look(line, database.dsn)
    assert not looked.get("failed"), looked
    assert len(line.attempts) == 2
    figures.add("passing_refusals", 1)


def test_a_server_that_does_not_wake_up_is_given_up_and_what_it_said_last_is_told(database: Database) -> None:
    with faulty(
        database.server.port, refusals=itertools.chain([PASSING["no compute"]], itertools.repeat(STARTING))
    ) as line:
        started = time.monotonic()
        failed = look(line, database.dsn, connect_timeout=2)
        assert time.monotonic() - started < 4
    assert failed["msg"].startswith("Cannot connect within 2 seconds: ")
    assert "the database system is starting up." in failed["msg"]
    assert "compute node" not in failed["msg"]
    assert failed["sqlstate"] == "57P03"
    # After 0, 0.1, 0.3 and 0.7 seconds; the next would come at 1.5.
    assert 3 <= len(line.attempts) <= 5


@pytest.mark.parametrize("refusal", STANDING)
def test_what_neon_refuses_for_good_is_tried_once(
    database: Database, line_with: LineWith, figures: Figures, refusal: str
) -> None:
    line = line_with(*[STANDING[refusal]] * 3)
    failed = look(line, database.dsn)
    assert failed["msg"].startswith("Cannot connect: ")
    assert_asked_once(line, figures)


@pytest.mark.parametrize(
    ("given", "sqlstate"),
    [
        ({"login_password": "Wrong-7-of-the-tests"}, "28P01"),
        ({"login_user": "nobody_at_all"}, "28P01"),
        ({"login_db": "no_such_database"}, "3D000"),
        ({"login_user": "sleeper", "login_password": PASSWORD}, "28000"),
    ],
    ids=["password", "role", "database", "nologin"],
)
def test_what_postgresql_refuses_for_good_is_tried_once(
    database: Database, line_with: LineWith, figures: Figures, given: dict[str, str], sqlstate: str | None
) -> None:
    database.sql(f"CREATE ROLE sleeper NOLOGIN PASSWORD '{PASSWORD}'")
    line = line_with()
    failed = look(line, database.dsn, **given)
    assert failed["msg"].startswith("Cannot connect: ")
    assert failed["sqlstate"] == sqlstate
    assert_asked_once(line, figures)


def assert_asked_once(line: Line, figures: Figures) -> None:
    figures.add("standing_refusals", 1)
    figures.add("repeated_refusals", len(line.attempts) - 1)
    assert len(line.attempts) == 1


def test_tls_that_breaks_while_it_is_negotiated_is_tried_again(database: Database) -> None:
    """Neon's hosts are only ever connected to with TLS, and a proxy that restarts breaks it anywhere."""
    broken: list[bytes] = []

    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broken.append(await startup_packet(reader))
        writer.write(b"S")
        await writer.drain()
        # The beginning of the handshake, so that it is not cut off before.
        await reader.read(1)

    with listening(break_off) as port:
        failed = run_module(
            "signal_table", dsn=database.dsn, login_port=port, ssl_mode="require", connect_timeout=1, check=True
        )
    assert failed["msg"].startswith("Cannot connect within 1 seconds: "), failed
    assert len(broken) > 1


def test_a_password_is_tried_again_where_the_server_is_not_ready(
    database: Database, line_with: LineWith, figures: Figures
) -> None:
    """Else nobody knows whether it is the given one, or it is taken for another and set anew."""
    # Who may not read verifiers has to log in.
    database.sql(f"CREATE ROLE limited LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
    dsn = database.dsn_as("limited", PASSWORD)
    assert run_module("role", dsn=dsn, name=USER, password=PASSWORD)["changed"]
    line = line_with(None, STARTING)
    found = run_module("role", dsn=line.dsn(dsn), name=USER, password=PASSWORD)
    assert found["changed"] is False, found
    assert len(line.attempts) == 3
    figures.add("passing_refusals", 1)


def test_the_connectors_side_is_waited_for_too(database: Database, line_with: LineWith, figures: Figures) -> None:
    """A connector would: it is no reason to call the database not ready."""
    database.server.sql(f"CREATE ROLE {USER} LOGIN REPLICATION PASSWORD '{PASSWORD}'")
    asked = {"connector_user": USER, "connector_password": PASSWORD}
    undisturbed = run_module("readiness_info", dsn=database.dsn, **asked)
    line = line_with(None, STARTING, None, STARTING)
    looked = run_module("readiness_info", dsn=line.dsn(database.dsn), **asked)
    assert verdicts(looked) == verdicts(undisturbed)
    assert len(line.attempts) == 5
    figures.add("passing_refusals", 2)


def verdicts(looked: dict[str, object]) -> dict[str, str]:
    return {check["id"]: check["status"] for check in looked["checks"]}


def test_a_session_that_an_administrator_ends_is_begun_anew(
    database: Database, line_with: LineWith, figures: Figures
) -> None:
    """As Neon does with all of them when it moves or restarts a compute."""
    line = line_with()
    looked: dict[str, object] = {}

    def run() -> None:
        looked.update(run_module("publication", dsn=line.dsn(database.dsn), tables_from_schemas=["app"], check=True))

    looking = threading.Thread(target=run)
    with contextlib.closing(psycopg2.connect(database.admin_dsn)) as holder:
        # Nothing of the collection's waits for this, but the look at the catalog itself.
        holder.cursor().execute("LOCK TABLE pg_publication IN ACCESS EXCLUSIVE MODE")
        looking.start()
        ended = []
        while not ended:
            ended = database.server.sql(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'",
                [database.name],
            )
    looking.join()
    assert ended == [(True,)]
    assert looked["changed"], looked
    assert len(line.attempts) == 2
    figures.add("passing_refusals", 1)


def test_a_server_that_restarts_during_the_look_is_waited_for(
    database: Database, line_with: LineWith, figures: Figures
) -> None:
    line = line_with()
    line.watch(Cut(LOOK, Place.SENT, meanwhile=database.server.crash))
    looked = look(line, database.dsn)
    line.wait()
    assert line.messages[LOOK].is_query
    assert not looked.get("failed"), looked
    # Those while it was down count as one.
    figures.add("passing_refusals", 1)
