# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long and how often a server is waited for, by a clock that only goes on while somebody sleeps."""

from __future__ import annotations

import psycopg2
import pytest
from ansible_collections.streamkap.neon.plugins.module_utils import _connection
from ansible_collections.streamkap.neon.plugins.module_utils._connection import Connection
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(_connection.time, "sleep", slept.append)
    monkeypatch.setattr(_connection.time, "monotonic", lambda: sum(slept))
    return slept


def connection(connect_timeout: int) -> Connection:
    return Connection({"password": "Secret-5"}, None, connect_timeout, lock_timeout=10, statement_timeout=60)


def refused(monkeypatch: pytest.MonkeyPatch, words: str) -> list[dict[str, object]]:
    asked: list[dict[str, object]] = []

    def connect(**parameters: object) -> None:
        asked.append(parameters)
        raise psycopg2.OperationalError(words)

    monkeypatch.setattr(psycopg2, "connect", connect)
    return asked


def test_the_pauses_double_and_then_stay(slept: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = refused(monkeypatch, "FATAL:  the database system is starting up")
    with pytest.raises(Failure, match=r"Cannot connect within 30 seconds: FATAL: the database system is starting up\."):
        connection(30).open()
    assert slept[:6] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    assert set(slept[5:]) == {2.0}
    assert 28 <= sum(slept) < 30
    # None may take longer than what is left, but for what libpq takes at least.
    assert [parameters["connect_timeout"] for parameters in (asked[0], asked[-1])] == [30, 2]


def test_a_refusal_that_stands_costs_no_time_and_tells_no_secret(
    slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = refused(monkeypatch, "FATAL:  password authentication failed: Secret-5")
    with pytest.raises(Failure) as caught:
        connection(30).open()
    assert (len(asked), slept) == (1, [])
    assert "Secret-5" not in str(caught.value.as_result())


@pytest.mark.usefixtures("slept")
@pytest.mark.parametrize(
    "words",
    [
        "Connection refused",
        'connection to server at "db", port 5432 failed: timeout expired',
        "could not connect: Connection timed out",
        "could not translate host name: Temporary failure in name resolution",
        "server closed the connection unexpectedly",
        "Connection reset by peer",
        "SSL SYSCALL error: EOF detected",
        "FATAL:  sorry, too many clients already",
        "ERROR:  Couldn't connect to compute node",
        "ERROR:  Control plane request failed",
    ],
)
def test_what_may_pass_is_tried_again(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    asked = refused(monkeypatch, words)
    with pytest.raises(Failure, match="Cannot connect within 30 seconds"):
        connection(30).open()
    assert len(asked) > 10


GERMAN = 'connection to server at "db", port 5432 failed: FATAL:  %s'
REFUSED = GERMAN % "Passwort-Authentifizierung fuer Benutzer r fehlgeschlagen"
NOT_ASKED = GERMAN % "Anmeldung von hier ist nicht vorgesehen"


@pytest.mark.parametrize(
    ("answers", "known"),
    [
        # By password: the given one, another one, none.
        ([REFUSED, REFUSED, "fe_sendauth: no password supplied"], True),
        ([GERMAN % "zu viele Verbindungen", REFUSED, "fe_sendauth: no password supplied"], False),
        ([NOT_ASKED, NOT_ASKED, NOT_ASKED], False),
    ],
)
def test_a_wrong_password_is_told_in_every_language(
    monkeypatch: pytest.MonkeyPatch, answers: list[str], known: bool
) -> None:
    left = iter(answers)

    def connect(**_parameters: object) -> None:
        raise psycopg2.OperationalError(next(left))

    monkeypatch.setattr(psycopg2, "connect", connect)
    found = connection(30).probe_password("r", "Secret-5")
    assert (found is False) is known
    if not known:
        assert answers[0].partition("FATAL:  ")[2] in found.reason


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ("-c role=app", ""),
        ("endpoint=ep-x -c statement_timeout=5s --lock_timeout=1s -cjit=off", "endpoint=ep-x"),
        (r"-c search_path=a\ b endpoint=ep-x", "endpoint=ep-x"),
        ("endpoint=ep-c--x", "endpoint=ep-c--x"),
    ],
)
def test_what_the_administrators_session_begins_with_is_not_the_connectors(options: str, left: str) -> None:
    admin = Connection({"options": options, "sslmode": "require"}, None, 1, 1, 1)
    assert admin.as_user("r", "p").parameters == {"options": left, "sslmode": "require", "user": "r", "password": "p"}
