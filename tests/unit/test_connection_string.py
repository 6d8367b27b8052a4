# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connection strings that libpq cannot use: each is refused by the sentence that says why, which quotes nothing behind the user's name."""

from __future__ import annotations

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils._connection import Connection, secrets_among
from ansible_collections.streamkap.neon.plugins.module_utils._connection_string import parse_connection_string
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure

NOT_ENCODED = "not percent-encoded"
SEPARATED = "separated by a ;"
OTHER_SCHEME = "begins with something else than postgresql://"
GENERIC = "not a valid libpq connection string"

# The password is made of S3 and cret, with what is wrong with it in between; its parts are in no message.
MALFORMED = [
    ("postgresql://u:S3cret@h/db?schema=public", "does not know: schema (Prisma)"),
    (
        "postgresql://u:S3cret@h/db?sslmode=require&pgbouncer=true&connection_limit=1",
        "pgbouncer (Prisma), connection_limit (Prisma)",
    ),
    ("postgresql://u:S3cret@h/db?currentSchema=app", "currentSchema (JDBC)"),
    ("postgresql://u:S3cret@h/db?what_is_it=1", "does not know: what_is_it"),
    ("postgresql://u:S3cret@h/db?sslmode", "no parameter of libpq"),
    ("postgresql://u:12?S3cret=1", "no parameter of libpq"),
    ("psql 'postgresql://u:S3cret@h/db'", "a whole command"),
    ('psql "postgresql://u:S3cret@h/db?sslmode=require"\n', "a whole command"),
    ("/usr/bin/psql -h h -U u", "a whole command"),
    ("'postgresql://u:S3cret@h/db'", "quotation mark"),
    ('"postgresql://u:S3cret@h/db"', "quotation mark"),
    ("\u201cpostgresql://u:S3cret@h/db\u201d", "quotation mark"),
    ("DATABASE_URL=postgresql://u:S3cret@h/db", "name of a variable"),
    ('export DATABASE_URL="postgresql://u:S3cret@h/db"', "name of a variable"),
    ("DATABASE_URL: postgresql://u:S3cret@h/db", "name of a variable"),
    ("${DATABASE_URL}", "placeholder"),
    ("{{ vault_dsn }}", "placeholder"),
    ("postgresql://u:S3cret@h/db\n", "ends with a line break"),
    ("postgresql://u:S3cret@h/db\r\n", "ends with a line break"),
    (" postgresql://u:S3cret@h/db", "begins with a blank"),
    ("\ufeffpostgresql://u:S3cret@h/db", "begins with a blank"),
    ("postgresql://u:S3cret@h/db\u200b", "ends with a blank"),
    ("postgresql://u:S3cret@h/\ndb", "a line break or a tab within"),
    ("  ", "is blank"),
    ("jdbc:postgresql://h/db?user=u&password=S3cret", "begins with jdbc:"),
    ("postgresql+asyncpg://u:S3cret@h/db", OTHER_SCHEME),
    ("mysql://u:S3cret@h/db?a=b", OTHER_SCHEME),
    ("POSTGRESQL://u:S3cret@h/db", OTHER_SCHEME),
    ("postgresql:/u:S3cret@h/db", OTHER_SCHEME),
    ("u:S3cret@h/db", OTHER_SCHEME),
    ("u:S3=cret@h/db", OTHER_SCHEME),
    ("postgresql://u:S3@cret@h/db", NOT_ENCODED),
    ("postgresql://u:S3cret@@h/db", NOT_ENCODED),
    ("postgresql://u:S3/cret@h/db", NOT_ENCODED),
    ("postgresql://u:3/cret@h/db", NOT_ENCODED),
    ("postgresql://u:3/cret@h", NOT_ENCODED),
    ("postgresql://u:S3@cr/et@h/db", NOT_ENCODED),
    ("postgresql://u:S3/cr?a=et@h/db", NOT_ENCODED),
    ("postgresql://u:S3?cr/et@h/db", NOT_ENCODED),
    ("postgresql://u:S3@cr?a=et@h/db", NOT_ENCODED),
    ("postgresql://u@corp:S3cret@h/db", NOT_ENCODED),
    ("postgresql://u:S3%cret@h/db", "does not begin a percent-encoded character"),
    ("postgresql://u:S3cret/db", "no @ between user:password and the host"),
    ("postgresql://u:S3cret@h:cret/db", "where the port stands"),
    ("postgresql://u:****************@h/db", "asterisks in place of the password"),
    ("Host=h;Username=u;Password=S3cret", SEPARATED),
    ("host=h;user=u;password=S3cret", SEPARATED),
    ("host=h user=u dbname=d,password=S3cret", SEPARATED),
    ("host=h user=u password=S3 cret", GENERIC),
    ("host=h user=u password=S3 cr=et", GENERIC),
    ("host=h port=S3cret user=u", "The port is no number"),
    ("postgresql://u:S3cret@[h/db", GENERIC),
    ("{'host': 'h', 'password': 'S3cret'}", GENERIC),
]

WELL_FORMED = [
    "postgresql://u:p@h/db",
    "postgres://u:p@h:5432/db?sslmode=require&channel_binding=require",
    "postgresql://u:p%40%2F%25@h/db",
    "postgresql://u:p?x#y&z=:@h/db",
    "postgresql://u:%2A%2A%2A%2A@h/db",
    "postgresql:///db?host=/tmp",
    "postgresql://",
    "postgresql://u@h:1,h2:2/db?target_session_attrs=any",
    "postgresql://u:p@[::1]:5432/db",
    "postgresql://u:p@[::1]/db",
    "postgresql://u:p@%2Ftmp%2Fsocket/db",
    "postgresql://h/db?user=me@srv&password=p@w",
    "postgresql://u:p@h/db?application_name=a@b",
    "postgresql://u:p@h/db?ssl=true",
    "postgresql://u:p@h/db?options=endpoint%3Dep-x",
    "host=h user=u password='a b;c=d'",
    "host=h options='-c a=b,c=d'",
    " host=h\nuser=u\n",
    "host=@abstract dbname=d",
]


def connect(**options: object) -> Connection:
    defaults = dict.fromkeys(("dsn", "login_host", "login_user", "login_db", "session_role", "connect_params"))
    timeouts = dict.fromkeys(("connect_timeout", "lock_timeout", "statement_timeout"), 5)
    return Connection.from_options({**defaults, **timeouts, **options})


@pytest.mark.parametrize(("text", "said"), MALFORMED, ids=[text for text, _said in MALFORMED])
def test_a_malformed_string_is_refused_without_being_quoted(text: str, said: str) -> None:
    with pytest.raises(Failure) as failed:
        connect(dsn=text)
    told = failed.value.as_result()["msg"]
    assert said in told
    assert failed.value.hint
    assert not [part for part in ("S3", "cret", "3/c", "cr?", "et@", "/et", "****") if part in told]


@pytest.mark.parametrize("text", WELL_FORMED)
def test_what_libpq_takes_is_taken(text: str) -> None:
    assert connect(dsn=text).parameters == parse_connection_string(text)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"login_host": "u:S3cret@h"}, "The host holds a @"),
        ({"login_host": "h:5433"}, "The host has a port behind it"),
        ({"login_host": "psql 'postgresql://u:S3cret@h/db'"}, "login_host is a connection string"),
        ({"login_db": "jdbc:postgresql://u:S3cret@h/db"}, "login_db is a connection string"),
        ({"connect_params": {"host": "u:S3cret@h"}}, "The host holds a @"),
        ({"connect_params": {"port": "S3cret"}}, "The port is no number"),
        ({"connect_params": {"dbname": "d;password=S3cret"}}, SEPARATED),
    ],
)
def test_other_options_are_checked_too(options: dict[str, object], said: str) -> None:
    with pytest.raises(Failure) as failed:
        connect(**options)
    told = failed.value.as_result()["msg"]
    assert said in told
    assert "S3cret" not in told
    # What is no secret option would stand in the task's invocation.
    if "login_host" in options and "S3cret" in str(options):
        assert set(secrets_among(options)) == {options["login_host"]}
