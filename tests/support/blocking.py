# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sessions that are in the way, and an application that has to go on meanwhile.

with held(database, "LOCK TABLE app.orders IN SHARE MODE") as pid:
    ...
with application(database, ["SELECT count(*) FROM app.orders"]) as statements:
    ...
assert max(statements) < 1
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import psycopg2

from .neon import CONSOLE_PASSWORD, CONSOLE_USER, Database
from .waiting import eventually

# What a session that is in the way calls itself.
APPLICATION = "nightly job"
# What runs for as long as a test takes: each page of a table, or each row, takes a while.
SLOW = """
CREATE FUNCTION app.slow(bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(60); RETURN $1; END$$;
INSERT INTO app.customers (email, name) VALUES ('a@example.com', 'A');
INSERT INTO app.orders (customer_id) SELECT 1 FROM generate_series(1, 20000);
UPDATE app.orders SET status = 'paid' WHERE id % 2 = 0;
"""


@contextlib.contextmanager
def held(database: Database, statement: str, *, as_admin: bool = True) -> Iterator[int]:
    """Runs SQL in a transaction that stays open meanwhile, as cloud_admin or as console_user; gives the process."""
    with contextlib.closing(_connect(database, as_admin)) as connection:
        connection.cursor().execute(statement)
        yield connection.info.backend_pid


@contextlib.contextmanager
def running(database: Database, *statements: str) -> Iterator[int]:
    """Has the last of these statements run meanwhile, without a transaction around it; gives the process."""
    with contextlib.closing(_connect(database, as_admin=True)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        for statement in statements[:-1]:
            cursor.execute(statement)
        process = connection.info.backend_pid

        def work() -> None:
            with contextlib.suppress(psycopg2.errors.QueryCanceled):
                cursor.execute(statements[-1])

        thread = threading.Thread(target=work)
        thread.start()
        eventually(
            lambda: database.admin(
                "SELECT 1 FROM pg_locks WHERE pid = %s AND relation::regclass::text = 'app.orders'", [process]
            )
        )
        yield process
        assert thread.is_alive(), "it has ended before its time"
        connection.cancel()
        thread.join()


@contextlib.contextmanager
def application(database: Database, statements: list[str], threads: int = 2) -> Iterator[list[float]]:
    """Has an application run these statements, over and over, each in a transaction of its own; gives how many seconds each took."""
    taken: list[float] = []
    refused: list[psycopg2.Error] = []
    end = threading.Event()

    def work(shift: int) -> None:
        with contextlib.closing(psycopg2.connect(database.dsn_as(CONSOLE_USER, CONSOLE_PASSWORD))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                while not end.is_set():
                    for statement in statements[shift:] + statements[:shift]:
                        begin = time.monotonic()
                        try:
                            cursor.execute(statement)
                        except psycopg2.Error as error:
                            refused.append(error)
                            return
                        taken.append(time.monotonic() - begin)
                    # Or nothing else would get on.
                    time.sleep(0.01)

    workers = [threading.Thread(target=work, args=[number]) for number in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield taken
    finally:
        end.set()
        for worker in workers:
            worker.join()
    assert refused == []


def _connect(database: Database, as_admin: bool) -> psycopg2.extensions.connection:
    dsn = database.admin_dsn if as_admin else database.dsn_as(CONSOLE_USER, CONSOLE_PASSWORD)
    return psycopg2.connect(dsn, application_name=APPLICATION)
