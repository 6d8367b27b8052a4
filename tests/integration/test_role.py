# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module role: passwords that work and stay secret, attributes that only change when they differ, memberships that work,
and a drop that never takes anything along.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import psycopg2
import psycopg2.errors
import pytest
from ansible_collections.streamkap.neon.plugins.module_utils import _engine
from ansible_collections.streamkap.neon.plugins.module_utils._connection import Connection
from ansible_collections.streamkap.neon.plugins.module_utils._engine import Plan
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._resources.role import Role

from support.modules import run_module
from support.neon import CONSOLE_PASSWORD, CONSOLE_USER, OWNER, Database

Run = Callable[..., dict[str, object]]

pytestmark = [pytest.mark.database(shop=False), pytest.mark.every_version]
SHOP = pytest.mark.database()
NEON = pytest.mark.database(shop=False, neon=True)
BEFORE_16 = pytest.mark.postgres(14, 15)
SINCE_16 = pytest.mark.postgres(16, 17, 18)

PASSWORD = "Strong-Pa55word-of-the-tests"
PASSWORDS = [
    "".join(chr(code) for code in range(32, 127)),
    "x",
    " ",
    "'",
    '"',
    "\\",
    "\\'; DROP ROLE neondb_owner; --",
    "100% %s %(password)s {0} $1 $$ ${HOME}",
    "\ttab\nnew line\r",
    "Grüße, 世界 🌍",
    "e\u0301\u00a0\u2168\u00ad",  # what SASLprep maps and composes
    "e\u0301\u0221",  # what it prohibits
    "\u05d0\u05d1" + "\u0627a",
    "long" * 50,
]
NAMES = ['Capital. "quoted"; --100%s \'', "größe_世界", "current_user", "n" * 63]


@pytest.mark.parametrize("options", [{}, {"login": False}], ids=["login", "group"])
def test_role_is_made_once(database: Database, run: Run, options: dict[str, object]) -> None:
    first = run("role", name="r", connection_limit=3, comment="It's ours: 100%", **options)
    assert first["changed"]
    assert attributes(database, "r") == {
        "login": not options,
        "replication": False,
        "bypassrls": False,
        "superuser": False,
        "createrole": False,
        "createdb": False,
        "inherit": True,
        "connection_limit": 3,
        "comment": "It's ours: 100%",
    }
    unchanged(run("role", name="r", connection_limit=3, comment="It's ours: 100%", **options))


def test_result_describes_the_role(run: Run) -> None:
    run("role", name="g", login=False)
    assert run("role", name="r", password=PASSWORD, member_of=["g"])["role"] == {
        "name": "r",
        "exists": True,
        "login": True,
        "replication": False,
        "bypassrls": False,
        "superuser": False,
        "connection_limit": -1,
        "comment": None,
        "valid_until": None,
        "password_set": True,
        "member_of": [{"role": "g", "admin": False, "inherit": True, "set": True}],
    }


def test_only_what_differs_is_altered(database: Database, run: Run) -> None:
    database.sql("CREATE ROLE r CONNECTION LIMIT 5; COMMENT ON ROLE r IS 'theirs'")
    assert run("role", name="r", login=False, connection_limit=6)["queries"] == ['ALTER ROLE "r" CONNECTION LIMIT 6']
    assert run("role", name="r")["queries"] == ['ALTER ROLE "r" LOGIN']
    assert run("role", name="r", comment="")["queries"] == ['COMMENT ON ROLE "r" IS NULL']
    found = attributes(database, "r")
    assert (found["login"], found["connection_limit"], found["comment"]) == (True, 6, None)
    unchanged(run("role", name="r", connection_limit=6, comment=""))


def test_check_mode_foretells_everything_and_does_nothing(database: Database, run: Run) -> None:
    database.sql("CREATE ROLE g; CREATE ROLE old")
    for options in (
        {"name": "r", "password": PASSWORD, "member_of": ["g"], "comment": "c"},
        {"name": "old", "password": PASSWORD, "member_of": ["g"], "connection_limit": 2},
        {"name": "old", "state": "absent"},
    ):
        before = catalogs(database)
        foretold = run("role", check=True, **options)
        assert catalogs(database) == before
        done = run("role", **options)
        assert foretold["changed"]
        assert (foretold["queries"], foretold["diff"]) == (done["queries"], done["diff"])


def test_check_mode_works_on_a_standby(database: Database, standby: Database) -> None:
    database.sql("CREATE ROLE g; CREATE ROLE r LOGIN PASSWORD 'old'")
    standby.server.catch_up()
    options = {"name": "r", "password": PASSWORD, "member_of": ["g"]}
    foretold = run_module("role", check=True, dsn=standby.dsn, **options)
    assert len(foretold["queries"]) == 2
    refused = run_module("role", dsn=standby.dsn, **options)
    assert refused["failed"]
    assert "standby" in refused["msg"]


def test_names_that_hurt(database: Database, run: Run) -> None:
    database.sql('CREATE ROLE "Group; ""g"" 100%"')
    for name in NAMES:
        options = {"name": name, "password": PASSWORD, "member_of": ['Group; "g" 100%'], "comment": name}
        assert run("role", **options)["changed"], name
        unchanged(run("role", **options))
        assert can_login(database, name, PASSWORD), name
        assert is_member(database, name, 'Group; "g" 100%'), name
        database.sql("GRANT USAGE ON SCHEMA public TO " + '"' + name.replace('"', '""') + '"')
        assert run("role", name=name, state="absent")["changed"], name
        assert attributes(database, name) is None, name


def test_every_password_works_and_is_recognised(database: Database, run: Run) -> None:
    for number, password in enumerate(PASSWORDS):
        result = run("role", name=f"r{number}", password=password)
        assert result["changed"], password
        assert can_login(database, f"r{number}", password), password
        unchanged(run("role", name=f"r{number}", password=password))


def test_verifiers_of_the_server_are_recognised(database: Database, run: Run) -> None:
    statements, values = "", []
    for encryption in ("scram-sha-256", "md5"):
        statements += f"SET password_encryption = '{encryption}';"
        for number, password in enumerate(PASSWORDS):
            statements += f'CREATE ROLE "{encryption}{number}" LOGIN PASSWORD %s;'
            values.append(password)
    database.sql(statements, values)
    for number, password in enumerate(PASSWORDS):
        for encryption in ("scram-sha-256", "md5"):
            unchanged(run("role", name=f"{encryption}{number}", password=password))
    for encryption in ("scram-sha-256", "md5"):
        assert run("role", check=True, name=f"{encryption}0", password=PASSWORDS[0] + ".")["changed"]


def test_another_password_replaces_the_old_one(database: Database, run: Run) -> None:
    run("role", name="r", password="old")
    result = run("role", name="r", password=PASSWORD)
    assert result["queries"] == ["ALTER ROLE \"r\" PASSWORD '********'"]
    assert can_login(database, "r", PASSWORD)
    assert not can_login(database, "r", "old")


def test_password_of_an_existing_role_stays_with_on_create(database: Database, run: Run) -> None:
    assert run("role", name="r", password="first", update_password="on_create")["changed"]
    unchanged(run("role", name="r", password="second", update_password="on_create"))
    assert can_login(database, "r", "first")


@SINCE_16
def test_verifier_has_the_iterations_of_the_server(database: Database, run: Run) -> None:
    database.admin(f"ALTER DATABASE {database.name} SET scram_iterations = 5000")
    run("role", name="r", password=PASSWORD)
    assert database.admin("SELECT rolpassword LIKE 'SCRAM-SHA-256$5000:%%' FROM pg_authid WHERE rolname = 'r'") == [
        (True,)
    ]
    assert can_login(database, "r", PASSWORD)
    unchanged(run("role", name="r", password=PASSWORD))


def test_password_is_tried_where_no_verifier_can_be_read(database: Database) -> None:
    dsn = limited_administrator(database)
    assert run_module("role", dsn=dsn, name="r", password="first")["changed"]
    unchanged(run_module("role", dsn=dsn, name="r", password="first"))
    assert run_module("role", dsn=dsn, name="r", password=PASSWORD)["changed"]
    assert can_login(database, "r", PASSWORD)
    assert run_module("role", dsn=dsn, name="r", password=PASSWORD)["role"]["password_set"] is None


@pytest.mark.newest_version
def test_databases_of_other_encodings_agree_on_a_comment(database: Database) -> None:
    """All databases share it, in the encoding of that from which it was written."""
    others = []
    for encoding in ("LATIN1", "SQL_ASCII"):
        name = f"{database.name}_{encoding.lower()}"
        database.server.maintain(
            f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
        )
        others.append(Database(database.server, name))
    latin, ascii_only = others
    assert run_module("role", dsn=latin.dsn, name="r", comment="f\u00fcr alle")["changed"]
    for each in (database, latin, ascii_only, database):
        unchanged(run_module("role", dsn=each.dsn, name="r", comment="f\u00fcr alle"))
    # In a database where it cannot be read, another comment is not guessed.
    for each in (database, ascii_only):
        told = run_module("role", dsn=each.dsn, name="r", comment="gr\u00fcn")["msg"]
        assert "rename it" in told or "not of the database's encoding" in told
    lacking = run_module("role", dsn=latin.dsn, name="r \u20ac")
    assert "has no such character as \u20ac" in lacking["msg"]


# What refuses a login for another reason than the password, with what of its remedy is told.
OTHER_REASONS = {
    "no CONNECT": (
        ["REVOKE CONNECT ON DATABASE {db} FROM public", "GRANT CONNECT ON DATABASE {db} TO limited"],
        "GRANT CONNECT ON DATABASE",
    ),
    "limit of the role": (["ALTER ROLE r CONNECTION LIMIT 0"], "ALTER ROLE ... CONNECTION LIMIT"),
    "limit of the database": (["ALTER DATABASE {db} CONNECTION LIMIT 1"], "ALTER DATABASE ... CONNECTION LIMIT"),
    "trigger on login": (
        [
            "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS"
            " $$ BEGIN IF session_user = 'r' THEN RAISE 'not today'; END IF; END $$",
            "CREATE EVENT TRIGGER refuse ON login EXECUTE FUNCTION refuse()",
        ],
        "not today",
    ),
}


@pytest.mark.newest_version
@pytest.mark.parametrize(
    "reason",
    [
        "no CONNECT",
        "limit of the role",
        "limit of the database",
        pytest.param("trigger on login", marks=pytest.mark.postgres(17, 18)),
    ],
)
def test_password_stays_where_something_else_refuses_the_login(database: Database, reason: str) -> None:
    dsn = limited_administrator(database)
    assert run_module("role", dsn=dsn, name="r", password=PASSWORD)["changed"]
    statements, remedy = OTHER_REASONS[reason]
    for statement in statements:
        database.admin(statement.format(db=database.name))
    started = time.monotonic()
    result = run_module("role", dsn=dsn, name="r", password=PASSWORD)
    assert time.monotonic() - started < 5, "a limit that is reached is not waited for"
    unchanged(result)
    (warning,) = result["warnings"]
    assert "Whether the password of the role r is the given one is not known" in warning
    assert remedy in warning
    assert PASSWORD not in warning


def test_options_of_the_administrators_session_are_not_the_connectors(database: Database) -> None:
    dsn = limited_administrator(database) + "?options=" + quote("-c role=limited -c statement_timeout=5s")
    assert run_module("role", dsn=dsn, name="r", password=PASSWORD)["changed"]
    result = run_module("role", dsn=dsn, name="r", password=PASSWORD)
    unchanged(result)
    assert not result.get("warnings")


def test_password_of_a_group_that_becomes_a_login_is_set_where_it_cannot_be_tried(database: Database) -> None:
    dsn = limited_administrator(database)
    database.sql_as("limited", PASSWORD, "CREATE ROLE r PASSWORD 'another'")
    result = run_module("role", dsn=dsn, name="r", password=PASSWORD)
    assert result["queries"] == ["ALTER ROLE \"r\" LOGIN PASSWORD '********'"]
    assert can_login(database, "r", PASSWORD)


def test_password_cannot_be_told_where_the_server_does_not_ask_for_it(database: Database) -> None:
    limited_administrator(database)
    database.sql_as("limited", PASSWORD, "CREATE ROLE r LOGIN PASSWORD 'another'")
    # Over the socket everybody is trusted.
    socket = {"login_host": str(database.server.folder), "login_port": database.server.port, "login_db": database.name}
    result = run_module("role", login_user="limited", **socket, name="r", password=PASSWORD)
    unchanged(result)
    (warning,) = result["warnings"]
    assert "lets r in from here without asking for it" in warning
    assert "pg_hba.conf" in warning
    assert can_login(database, "r", "another")
    forced = run_module("role", login_user="limited", **socket, name="r", password=PASSWORD, update_password="force")
    assert forced["changed"]
    assert can_login(database, "r", PASSWORD)


def test_expired_password_is_a_warning(database: Database, run: Run) -> None:
    database.sql("CREATE ROLE r LOGIN PASSWORD 'Made-up-5' VALID UNTIL '2020-01-01 00:00 UTC'")
    result = run("role", name="r", password="Made-up-5")
    assert not result["changed"]
    (warning,) = result["warnings"]
    assert "expired at 2020-01-01T00:00:00+00:00" in warning
    dsn = limited_administrator(database)
    unchanged(run_module("role", dsn=dsn, name="r", password="x"))


def test_password_is_in_no_output_and_in_no_log(database: Database, run: Run) -> None:
    secret = "Se/cret%:@ '\\\"-ünd mehr-" + database.name
    dsn = database.dsn_as("limited", secret)
    database.admin("CREATE ROLE limited CREATEROLE LOGIN; ALTER ROLE limited SET log_statement = none")
    results = [
        run("role", check=True, name="r", password=secret),
        run("role", name="r", password=secret),
        run("role", name="r", password=secret),
        run("role", name="r", password="other"),
        run("role", name="r", password=secret),
        run("role", name="r", password=secret, login=False),
        run("role", name="r", password=secret, member_of=["nobody"]),
        run("role", name="r", password=secret, login_password="wrong"),
        run("role", name="r", password=secret, statement_timeout=0),
        run("role", name="r", password=secret, login_host="127.0.0.1", login_port=1, connect_timeout=1),
        run("role", name=CONSOLE_USER, password=secret),
        run("role", name="limited", password=secret),
        run_module("role", dsn=dsn, name="r", password=secret),
        run_module("role", dsn=dsn.replace(f"/{database.name}", "/nowhere"), name="r", password=secret),
        run_module("role", dsn=dsn + "?nonsense=" + quote(secret), name="r", password=secret),
    ]
    assert sum("failed" in result for result in results) >= 7
    verifiers = [row[0] for row in database.admin("SELECT rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL")]
    for place in (*map(json.dumps, results), *map(repr, results), *map(str, results), database.server.log):
        for hidden in (
            secret,
            json.dumps(secret)[1:-1],
            secret.replace("'", "''"),
            quote(secret, safe=""),
            quote(secret),
        ):
            assert hidden not in place
    for verifier in verifiers:
        assert all(verifier not in json.dumps(result) for result in results)


@NEON
def test_neon_gets_plain_text(database: Database, run: Run) -> None:
    result = run("role", name="r", password=PASSWORD + database.name)
    assert result["queries"] == ["CREATE ROLE \"r\" LOGIN PASSWORD '********'"]
    assert PASSWORD not in json.dumps(result)
    assert f"PASSWORD '{PASSWORD}{database.name}'" in database.server.log
    assert can_login(database, "r", PASSWORD + database.name)
    unchanged(run("role", name="r", password=PASSWORD + database.name))


@NEON
def test_weak_password_is_refused_before_neon_gets_it(database: Database, run: Run) -> None:
    database.sql("CREATE ROLE old LOGIN PASSWORD 'weak'")
    before = catalogs(database)
    for check in (True, False):
        result = run("role", check=check, name="r", password="qwertyuiop0123456789")
        assert "too weak for Neon" in result["msg"]
        assert "Use a longer one" in result["hint"]
    assert catalogs(database) == before
    unchanged(run("role", name="old", password="weak"))


@SINCE_16
def test_replication_and_bypassrls_are_given_and_taken(database: Database, run: Run) -> None:
    assert run("role", name="r", replication=True)["queries"] == ['CREATE ROLE "r" LOGIN REPLICATION']
    assert run("role", name="r", bypassrls=True)["queries"] == ['ALTER ROLE "r" BYPASSRLS']
    unchanged(run("role", name="r", replication=True, bypassrls=True))
    unchanged(run("role", name="r"))
    assert run("role", name="r", replication=False)["queries"] == ['ALTER ROLE "r" NOREPLICATION']
    found = attributes(database, "r")
    assert (found["replication"], found["bypassrls"]) == (False, True)


@BEFORE_16
def test_before_16_no_owner_can_give_replication(database: Database, run: Run) -> None:
    for attribute, command in (("replication", 'CREATE ROLE "r" LOGIN'), ("bypassrls", 'ALTER ROLE "r"')):
        before = catalogs(database)
        for check in (True, False):
            result = run("role", check=check, name="r", comment="c", password=PASSWORD, **{attribute: True})
            assert "only a superuser" in result["msg"]
            assert f"{command} {attribute.upper()}" in result["hint"]
        assert catalogs(database) == before
        database.admin(f"{command} {attribute.upper()}; ALTER ROLE r NOREPLICATION")
    unchanged(run("role", name="r", bypassrls=True))


@BEFORE_16
@NEON
def test_before_16_neon_gives_replication_in_the_console_only(run: Run) -> None:
    result = run("role", name="r", replication=True, password=PASSWORD)
    assert "Make it in Neon's console or by its API" in result["hint"]


def test_superuser_gives_every_attribute(database: Database) -> None:
    options = {"name": "r", "replication": True, "bypassrls": True, "password": PASSWORD}
    assert run_module("role", dsn=database.admin_dsn, **options)["changed"]
    unchanged(run_module("role", dsn=database.admin_dsn, **options))
    assert run_module("role", dsn=database.admin_dsn, **{**options, "bypassrls": False})["changed"]


@SINCE_16
def test_administrator_without_replication_cannot_give_it(database: Database) -> None:
    dsn = limited_administrator(database)
    before = catalogs(database)
    result = run_module("role", dsn=dsn, name="r", replication=True, bypassrls=True)
    assert "cannot be made REPLICATION BYPASSRLS" in result["msg"]
    assert 'CREATE ROLE "r" LOGIN REPLICATION BYPASSRLS' in result["hint"]
    assert catalogs(database) == before


def test_rds_replication_is_granted_where_the_attribute_cannot_be(database: Database) -> None:
    dsn = limited_administrator(database)
    database.admin("CREATE ROLE rds_replication; GRANT rds_replication TO limited WITH ADMIN OPTION")
    assert run_module("role", dsn=dsn, name="r", replication=True)["changed"]
    assert is_member(database, "r", "rds_replication")
    assert not attributes(database, "r")["replication"]
    unchanged(run_module("role", dsn=dsn, name="r", replication=True))


def test_console_role_that_fits_is_left_alone(run: Run) -> None:
    options = {"name": CONSOLE_USER, "password": CONSOLE_PASSWORD, "replication": True, "bypassrls": True}
    unchanged(run("role", **options, member_of=["neon_superuser"]))


def test_console_role_cannot_be_altered(database: Database, run: Run) -> None:
    before = catalogs(database)
    for option, value in {"connection_limit": 5, "password": PASSWORD, "login": False}.items():
        result = run("role", name=CONSOLE_USER, **{option: value})
        assert f"may not alter the role {CONSOLE_USER} ({option})" in result["msg"]
        assert result["hint"]
    assert catalogs(database) == before


def test_superuser_cannot_be_altered_by_others(run: Run) -> None:
    result = run("role", name="cloud_admin", comment="c", connection_limit=5)
    assert "may not alter the role cloud_admin (connection_limit)" in result["msg"]
    unchanged(run("role", name="cloud_admin"))


def test_role_changes_its_own_password_on_request_only(database: Database) -> None:
    database.admin("CREATE ROLE r LOGIN PASSWORD 'old'; GRANT pg_read_all_data TO r")
    for check in (True, False):
        refused = run_module("role", dsn=database.dsn_as("r", "old"), name="r", password=PASSWORD, check=check)
        assert "is the one that this task logs in as" in refused["msg"]
    assert can_login(database, "r", "old")
    unchanged(run_module("role", dsn=database.dsn_as("r", "old"), name="r", password="old"))
    result = run_module("role", dsn=database.dsn_as("r", "old"), name="r", password=PASSWORD, if_own="allow")
    assert result["changed"], result
    assert can_login(database, "r", PASSWORD)


def test_role_without_createrole_cannot_make_one(database: Database) -> None:
    database.admin("CREATE ROLE plain LOGIN PASSWORD 'x'")
    result = run_module("role", dsn=database.dsn_as("plain", "x"), name="r")
    assert "may not create roles" in result["msg"]
    assert "CREATEROLE" in result["hint"]


def test_membership_is_added_to_others(database: Database, run: Run) -> None:
    database.sql("CREATE ROLE a; CREATE ROLE b; CREATE ROLE c; CREATE ROLE r IN ROLE a")
    result = run("role", name="r", login=False, member_of=["c", "b"])
    assert len(result["queries"]) == 1
    assert all(is_member(database, "r", group) for group in "abc")
    unchanged(run("role", name="r", login=False, member_of=["b"]))
    unchanged(run("role", name="r", login=False, member_of=["c", "b"]))


@SINCE_16
def test_membership_of_a_creator_is_completed(database: Database, run: Run) -> None:
    database.sql("CREATE ROLE creator LOGIN CREATEROLE PASSWORD 'x'")
    database.sql_as("creator", "x", "CREATE ROLE g")
    database.admin("GRANT g TO neondb_owner WITH ADMIN TRUE")
    assert not is_member(database, "creator", "g")
    result = run("role", name="creator", member_of=["g"])
    assert result["queries"] == ['GRANT "g" TO "creator" WITH INHERIT TRUE, SET TRUE']
    assert result["role"]["member_of"] == [{"role": "g", "admin": True, "inherit": True, "set": True}]
    assert is_member(database, "creator", "g")
    unchanged(run("role", name="creator", member_of=["g"]))


@SINCE_16
def test_memberships_by_several_grantors_count_together(database: Database, run: Run) -> None:
    database.sql("CREATE ROLE g; CREATE ROLE r LOGIN; CREATE ROLE other LOGIN PASSWORD 'x'")
    database.sql("GRANT g TO other WITH ADMIN TRUE; GRANT g TO r WITH INHERIT TRUE, SET FALSE")
    assert run("role", check=True, name="r", member_of=["g"])["changed"]
    database.sql_as("other", "x", "GRANT g TO r WITH INHERIT FALSE, SET TRUE")
    unchanged(run("role", name="r", member_of=["g"]))


@BEFORE_16
def test_before_16_a_member_is_made_to_inherit(database: Database, run: Run) -> None:
    database.sql("CREATE ROLE g; CREATE ROLE r LOGIN NOINHERIT IN ROLE g")
    result = run("role", name="r", member_of=["g"])
    assert result["queries"] == ['ALTER ROLE "r" INHERIT']
    assert is_member(database, "r", "g")
    unchanged(run("role", name="r", member_of=["g"]))


def test_membership_of_a_role_that_does_not_exist(database: Database, run: Run) -> None:
    before = catalogs(database)
    foretold = run("role", check=True, name="r", member_of=["nobody"])
    assert foretold["changed"]
    assert foretold["warnings"] == ["The role nobody does not exist."]
    result = run("role", name="r", member_of=["nobody"])
    assert "The role nobody does not exist." in result["msg"]
    assert catalogs(database) == before


def test_membership_in_a_circle_is_refused(database: Database, run: Run) -> None:
    database.sql("CREATE ROLE r LOGIN; CREATE ROLE between_them IN ROLE r; CREATE ROLE g IN ROLE between_them")
    before = catalogs(database)
    result = run("role", name="r", member_of=["g"], comment="c")
    assert "cannot become a member of g, which is a member of r" in result["msg"]
    assert catalogs(database) == before


def test_membership_that_the_current_role_may_not_grant(database: Database, run: Run) -> None:
    database.admin("CREATE ROLE theirs SUPERUSER; CREATE ROLE also_theirs SUPERUSER")
    result = run("role", name="r", member_of=["theirs", "also_theirs"])
    assert "may not grant the role theirs" in result["msg"]
    assert "may not grant the role also_theirs" in result["msg"]
    assert attributes(database, "r") is None


@SINCE_16
def test_membership_needs_the_admin_option(database: Database, run: Run) -> None:
    database.admin("CREATE ROLE theirs")
    result = run("role", name="r", member_of=["theirs"])
    assert "may not grant the role theirs" in result["msg"]
    assert 'GRANT "theirs" TO "neondb_owner" WITH ADMIN OPTION' in result["hint"]
    database.admin('GRANT "theirs" TO "neondb_owner" WITH ADMIN OPTION')
    assert run("role", name="r", member_of=["theirs"])["changed"]


def test_two_runs_at_once_both_succeed(databases: Callable[..., Database]) -> None:
    # In two databases, because within one the runs wait for each other anyway.
    ours = [databases(shop=False), databases(shop=False)]
    ours[0].sql("CREATE ROLE g")

    def make(number: int) -> bool:
        return converge(ours[number % 2], role(name=f"r{number // 2}", password=PASSWORD, member_of=["g"], comment="c"))

    with ThreadPoolExecutor(4) as threads:
        changed = list(threads.map(make, range(8)))
    assert [sum(changed[number : number + 2]) for number in range(0, 8, 2)].count(0) == 0
    for number in range(4):
        assert can_login(ours[0], f"r{number}", PASSWORD)
        assert is_member(ours[1], f"r{number}", "g")


@SHOP
def test_role_is_dropped_with_its_privileges(database: Database, run: Run) -> None:
    database.sql(f"CREATE ROLE r LOGIN PASSWORD 'x'; GRANT CONNECT ON DATABASE {database.name} TO r")
    database.sql("GRANT USAGE ON SCHEMA app TO r; GRANT SELECT ON ALL TABLES IN SCHEMA app TO r")
    database.sql("GRANT SELECT (sku) ON app.products TO r; ALTER ROLE r SET statement_timeout = 1000")
    database.sql("ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA app GRANT SELECT ON TABLES TO r")
    database.sql_as("r", "x", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app_owner")
    privileges = database.sql("SELECT count(*) FROM pg_class WHERE relacl::text LIKE '%r=r/%'")
    assert privileges != [(0,)]
    result = run("role", name="r", state="absent")
    assert result["changed"]
    assert "default privileges on new relations belonging to role app_owner in schema app" in result["diff"]["before"]
    assert not result["role"]["exists"]
    assert attributes(database, "r") is None
    unchanged(run("role", name="r", state="absent"))


def test_role_that_owns_something_is_not_dropped(database: Database, run: Run) -> None:
    make_owner(database)
    before = catalogs(database)
    result = run("role", name="r", state="absent")
    for owned in ('table mine."My Table"', "function mine.f()", "schema mine", f"publication p_{database.name}"):
        assert owned in result["msg"]
    assert "reassign_owned_to" in result["hint"]
    assert catalogs(database) == before


def test_what_a_dropped_role_owns_goes_to_the_heir(database: Database, run: Run) -> None:
    make_owner(database)
    foretold = run("role", check=True, name="r", state="absent", reassign_owned_to=OWNER)
    result = run("role", name="r", state="absent", reassign_owned_to=OWNER)
    assert foretold["queries"] == result["queries"]
    assert 'REASSIGN OWNED BY "r" TO "neondb_owner"' in result["queries"]
    assert 'owned by neondb_owner":\n  - "function mine.f()"' in result["diff"]["after"]
    assert database.sql(
        "SELECT tableowner::text, (SELECT a FROM mine.\"My Table\") FROM pg_tables WHERE schemaname = 'mine'"
    ) == [(OWNER, 1)]
    assert attributes(database, "r") is None
    unchanged(run("role", name="r", state="absent", reassign_owned_to=OWNER))


def test_heir_that_does_not_exist_is_missing(database: Database, run: Run) -> None:
    make_owner(database)
    foretold = run("role", check=True, name="r", state="absent", reassign_owned_to="nobody")
    assert foretold["warnings"] == ["The role nobody, who is to get what r owns, does not exist."]
    result = run("role", name="r", state="absent", reassign_owned_to="nobody")
    assert "The role nobody" in result["msg"]
    assert database.sql('SELECT a FROM mine."My Table"') == [(1,)]


def test_heir_must_be_able_to_own(database: Database, run: Run) -> None:
    make_owner(database)
    database.admin("CREATE ROLE heir")
    result = run("role", name="r", state="absent", reassign_owned_to="heir")
    assert "may not give anything to heir" in result["msg"]
    assert "no CREATE on" not in result["msg"].replace(f"no CREATE on DATABASE {database.name}", "")
    database.admin('GRANT "heir" TO "neondb_owner"')
    result = run("role", name="r", state="absent", reassign_owned_to="heir")
    assert f"no CREATE on DATABASE {database.name}" in result["msg"]
    assert f'GRANT CREATE ON DATABASE {database.name} TO "heir"' in result["hint"]
    database.sql(f'GRANT CREATE ON DATABASE {database.name} TO "heir"')
    # The schema changes hands too, before what is in it.
    assert run("role", name="r", state="absent", reassign_owned_to="heir")["changed"]


def test_other_databases_are_named(databases: Callable[..., Database]) -> None:
    here, owning, granting = databases(shop=False), databases(shop=False), databases(shop=False)
    here.sql(f"CREATE ROLE r; GRANT r TO {OWNER}; GRANT USAGE ON SCHEMA public TO r")
    owning.sql("CREATE TABLE public.t (); GRANT CREATE ON SCHEMA public TO r; ALTER TABLE public.t OWNER TO r")
    granting.sql("CREATE TABLE public.t (); GRANT SELECT ON public.t TO r")
    result = run_module("role", dsn=here.dsn, name="r", state="absent", reassign_owned_to=OWNER)
    assert f"In the database {owning.name} the role r owns 1 objects and is named by 1" in result["msg"]
    assert f"In the database {granting.name} the role r owns 0 objects and is named by 1" in result["msg"]
    kept = run_module("role", dsn=here.dsn, name="r", state="absent", used_elsewhere="keep")
    unchanged(kept)
    assert "other databases: " + ", ".join(sorted([owning.name, granting.name])) in kept["warnings"][0]
    owning.sql(f'REASSIGN OWNED BY "r" TO {OWNER}; DROP OWNED BY "r"')
    granting.sql('DROP OWNED BY "r"')
    assert run_module("role", dsn=here.dsn, name="r", state="absent")["changed"]


def test_policies_and_user_mappings_are_named(database: Database, run: Run) -> None:
    database.sql("CREATE ROLE r; CREATE TABLE public.t (a int); CREATE POLICY only_r ON public.t TO r USING (true)")
    database.admin("CREATE EXTENSION file_fdw; CREATE SERVER s FOREIGN DATA WRAPPER file_fdw")
    database.admin("CREATE USER MAPPING FOR r SERVER s")
    result = run("role", name="r", state="absent")
    assert "policy only_r on table t" in result["msg"].replace("public.t", "t")
    assert "user mapping for r on server s" in result["msg"]
    assert 'DROP USER MAPPING FOR "r"' in result["hint"]
    assert database.sql("SELECT policyname::text FROM pg_policies") == [("only_r",)]


@SHOP
def test_privileges_that_others_granted_are_named(database: Database, run: Run) -> None:
    database.admin("CREATE ROLE grantor LOGIN PASSWORD 'x'; CREATE TABLE public.secret (a int)")
    database.sql(
        "CREATE ROLE r; GRANT USAGE ON SCHEMA app TO grantor, r; GRANT SELECT ON app.orders TO grantor WITH GRANT OPTION"
    )
    database.sql_as("grantor", "x", "GRANT SELECT ON app.orders TO r")
    database.admin("GRANT SELECT (a) ON public.secret TO r")
    before = catalogs(database)
    result = run("role", name="r", state="absent")
    assert "on table app.orders were granted by grantor" in result["msg"]
    assert "were granted by cloud_admin" in result["msg"]
    assert "schema app were granted" not in result["msg"]
    assert catalogs(database) == before
    database.admin("REVOKE SELECT (a) ON public.secret FROM r")
    database.sql_as("grantor", "x", "REVOKE SELECT ON app.orders FROM r")
    assert run("role", name="r", state="absent")["changed"]


@SINCE_16
def test_memberships_that_a_dropped_role_granted_are_a_warning(database: Database, run: Run) -> None:
    database.sql("CREATE ROLE g; CREATE ROLE member; CREATE ROLE r LOGIN PASSWORD 'x'; GRANT g TO r WITH ADMIN TRUE")
    database.sql_as("r", "x", "GRANT g TO member")
    foretold = run("role", check=True, name="r", state="absent")
    result = run("role", name="r", state="absent")
    assert (
        foretold["warnings"]
        == result["warnings"]
        == ["With the role r goes what it granted: membership of role member in role g."]
    )
    assert not is_member(database, "member", "g")


def test_sessions_of_a_dropped_role_are_a_warning(database: Database, run: Run) -> None:
    database.sql("CREATE ROLE r LOGIN PASSWORD 'x'; CREATE TABLE public.t (); GRANT SELECT ON public.t TO r")
    with contextlib.closing(psycopg2.connect(database.dsn_as("r", "x"))) as session, session.cursor() as cursor:
        session.autocommit = True
        (warning,) = run("role", name="r", state="absent")["warnings"]
        assert "Sessions that are logged in as r: 1" in warning
        cursor.execute("SELECT 1")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SELECT FROM public.t")


def test_who_must_not_be_dropped(database: Database, run: Run) -> None:
    before = catalogs(database)
    own = "is PostgreSQL's own"
    for name, told in {OWNER: "is the one that this task runs as", "cloud_admin": own, "pg_monitor": own}.items():
        result = run("role", name=name, state="absent")
        assert told in result["msg"]
        assert result["hint"]
    assert catalogs(database) == before


def test_who_logged_in_is_not_dropped_by_whom_it_became(database: Database) -> None:
    database.admin(f"CREATE ROLE r LOGIN PASSWORD 'x' IN ROLE {OWNER}")
    result = run_module("role", dsn=database.dsn_as("r", "x"), session_role=OWNER, name="r", state="absent")
    assert "is the one that this task runs as" in result["msg"]


@SINCE_16
def test_console_role_cannot_be_dropped(run: Run) -> None:
    result = run("role", name=CONSOLE_USER, state="absent")
    assert f"may not drop the role {CONSOLE_USER}" in result["msg"]


@BEFORE_16
def test_member_of_the_current_role_that_has_privileges_is_not_dropped(database: Database, run: Run) -> None:
    database.admin(f"CREATE ROLE r IN ROLE {OWNER}; GRANT USAGE ON SCHEMA public TO r")
    result = run("role", name="r", state="absent")
    assert f"is a member of the current role {OWNER}" in result["msg"]
    database.admin(f'REVOKE "{OWNER}" FROM "r"')
    assert run("role", name="r", state="absent")["changed"]


def test_table_that_is_made_meanwhile_is_not_dropped(database: Database) -> None:
    database.sql("CREATE ROLE r LOGIN PASSWORD 'x'; GRANT CREATE, USAGE ON SCHEMA public TO r")

    class Overtaken(Role):
        overtaken = False

        def plan(self, *arguments: object) -> Plan:
            plan = super().plan(*arguments)
            if not self.overtaken:
                self.overtaken = True
                database.sql_as("r", "x", "CREATE TABLE public.meanwhile AS SELECT 1 AS a")
            return plan

    with pytest.raises(Failure, match=r"The role r owns table (public\.)?meanwhile"):
        converge(database, role(Overtaken, name="r", state="absent"))
    assert database.admin("SELECT a FROM public.meanwhile") == [(1,)]


def role(kind: type[Role] = Role, **options: object) -> Role:
    defaults: dict[str, object] = dict.fromkeys(
        ("replication", "bypassrls", "password", "member_of", "connection_limit", "comment", "reassign_owned_to")
    )
    defaults |= {"state": "present", "login": True, "update_password": "always", "used_elsewhere": "fail"}
    return kind(**{**defaults, **options})


def converge(database: Database, resource: Role) -> bool:
    """By the engine alone: unlike a module, many of them run at once in one process."""
    options = dict.fromkeys(
        (
            *("dsn", "login_host", "login_port", "login_user", "login_password", "login_db"),
            *("ssl_mode", "ca_cert", "ssl_cert", "ssl_key", "session_role", "connect_params"),
        )
    )
    timeouts = {"connect_timeout": 30, "lock_timeout": 10, "statement_timeout": 60}
    with Connection.from_options({**options, **timeouts, "dsn": database.dsn}).open() as session:
        return _engine.converge(session, resource, check_mode=False).changed


def make_owner(database: Database) -> None:
    """The role r, who owns a table with a row, a function, a schema and a publication, and nothing elsewhere."""
    database.sql(f"CREATE ROLE r LOGIN PASSWORD 'x'; GRANT CREATE ON DATABASE {database.name} TO r")
    database.sql_as(
        "r",
        "x",
        'CREATE SCHEMA mine; CREATE TABLE mine."My Table" AS SELECT 1 AS a;'
        " CREATE FUNCTION mine.f() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        f" CREATE PUBLICATION p_{database.name}",
    )


def limited_administrator(database: Database) -> str:
    """The DSN of one who may make roles but not read their verifiers, nor give REPLICATION."""
    database.admin(f"CREATE ROLE limited LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
    return database.dsn_as("limited", PASSWORD)


def attributes(database: Database, name: str) -> dict[str, object] | None:
    rows = database.admin(
        "SELECT json_build_object('login', rolcanlogin, 'replication', rolreplication, 'bypassrls', rolbypassrls,"
        " 'superuser', rolsuper, 'createrole', rolcreaterole, 'createdb', rolcreatedb, 'inherit', rolinherit,"
        " 'connection_limit', rolconnlimit, 'comment', shobj_description(oid, 'pg_authid'))"
        " FROM pg_roles WHERE rolname = %s",
        [name],
    )
    return rows[0][0] if rows else None


def is_member(database: Database, member: str, group: str) -> bool:
    """Whether it has the privileges of the group and may become it."""
    privilege = "SET" if database.server.major >= 16 else "MEMBER"
    return database.admin(
        "SELECT pg_has_role(%s, %s, 'USAGE') AND pg_has_role(%s, %s, %s)", [*[member, group] * 2, privilege]
    )[0][0]


def can_login(database: Database, name: str, password: str) -> bool:
    # By keywords, because not every password can be in a URI that psycopg2 takes apart.
    server = {"host": database.server.host, "port": database.server.port, "dbname": database.name}
    try:
        psycopg2.connect(**server, user=name, password=password).close()
    except psycopg2.OperationalError as error:
        if "password authentication failed" in str(error):
            return False
        raise
    return True


def catalogs(database: Database) -> list[tuple]:
    """All that is known of roles and of what depends on them."""
    return [
        *database.admin("SELECT to_jsonb(a) FROM pg_authid a ORDER BY oid"),
        *database.admin("SELECT to_jsonb(m) FROM pg_auth_members m ORDER BY 1"),
        *database.admin("SELECT to_jsonb(d) FROM pg_shdescription d ORDER BY 1"),
        *database.admin("SELECT to_jsonb(d) FROM pg_shdepend d ORDER BY 1"),
    ]


def unchanged(result: dict[str, object]) -> None:
    assert result.get("msg") is None
    assert (result["changed"], result["queries"]) == (False, [])
    assert result["diff"]["before"] == result["diff"]["after"]
