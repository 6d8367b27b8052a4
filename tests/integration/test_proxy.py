# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proxy of the benchmarks counts exactly, delays as long as it is told to, and changes nothing else."""

from __future__ import annotations

import contextlib
import time

import psycopg2
import pytest

from support.neon import Database
from support.proxy import Counts, proxy

pytestmark = [pytest.mark.postgres(17), pytest.mark.database(shop=False)]

# Startup, and the two rounds of SCRAM.
HANDSHAKE = 3


def test_round_trips_are_counted_before_and_after_the_handshake(database: Database) -> None:
    with proxy(database.server.port) as between:
        with contextlib.closing(psycopg2.connect(between.dsn(database.dsn), sslmode="disable")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
                cursor.execute("SELECT 2; SELECT repeat('x', 300000)")
                assert len(cursor.fetchone()[0]) == 300000
        assert between.counts == Counts(connections=1, handshakes=HANDSHAKE, queries=2)

        between.reset()
        # To ask for encryption first, and be told that there is none, takes one more.
        psycopg2.connect(between.dsn(database.dsn), sslmode="prefer").close()
        psycopg2.connect(between.dsn(database.dsn), sslmode="disable").close()
        assert between.counts == Counts(connections=2, handshakes=2 * HANDSHAKE + 1, queries=0)


def test_round_trip_takes_as_long_as_asked_for(database: Database) -> None:
    with proxy(database.server.port, round_trip=0.05) as between:
        started = time.monotonic()
        with contextlib.closing(psycopg2.connect(between.dsn(database.dsn), sslmode="disable")) as connection:
            assert time.monotonic() - started >= HANDSHAKE * 0.05
            started = time.monotonic()
            connection.cursor().execute("SELECT 1")  # which sends BEGIN first
            assert time.monotonic() - started >= 2 * 0.05


def test_connection_that_cannot_be_made_fails_as_without_it(database: Database) -> None:
    with (
        proxy(database.server.port) as between,
        pytest.raises(psycopg2.OperationalError, match="password authentication failed"),
    ):
        psycopg2.connect(between.dsn(database.dsn), password="wrong")
