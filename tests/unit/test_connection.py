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
