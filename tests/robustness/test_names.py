# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is quoted comes back equal, whatever it is, and names out of a database do no harm to who reads them."""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
import yaml
from ansible_collections.streamkap.neon.plugins.module_utils import _password, _yaml
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._sql import (
    MAX_NAME_BYTES,
    QualifiedName,
    Secret,
    Statement,
    array,
    guarded,
    ident,
    literal,
)
from ansible_collections.streamkap.neon.plugins.module_utils._text import printable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.figures import Figures
from support.hurting import PASSWORD
from support.modules import run_module, run_playbook
from support.neon import Database, quoted

# The same inputs in every run, so that what fails fails again.
REPEATABLE = settings(
    derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False
)
OFTEN, SELDOM = settings(REPEATABLE, max_examples=200), settings(REPEATABLE, max_examples=40)

# What PostgreSQL can store: no NUL, nothing that is not UTF-8.
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
# And what means something to somebody more often than chance would have it.
MEANING = st.sampled_from(
    [
        "'",
        '"',
        "\\",
        ".",
        "%",
        "%s",
        "%%",
        "$$",
        "$1",
        ":'a'",
        ";",
        "--",
        "/*",
        "*/",
        "{{",
        "}}",
        "{%",
        "E'",
        " ",
        "\n",
        "\r",
        "\t",
        "\x1b[2J",
        "\x07",
        "\x9b",
        "\u202e",
        "\ufeff",
        "é",
        "密",
        "😀",
        "<b>",
        "&amp;",
        "=cmd()",
        "|",
        "`",
        "#",
        "null",
        "A",
        "a",
    ]
)
TEXTS = st.lists(CHARACTERS | MEANING, max_size=40).map("".join)
NAMES = (
    st.lists(CHARACTERS | MEANING, min_size=1, max_size=40)
    .map("".join)
    .map(lambda text: text.encode()[:MAX_NAME_BYTES].decode(errors="ignore"))
)


class Fuzz:
    """Counts inputs, of which none may come back different."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def same(self, given: object, back: object) -> None:
        self._figures.add("fuzzed", 1)
        self._figures.add("fuzzed_wrong", back != given)
        assert back == given


@pytest.fixture
def fuzz(figures: Figures) -> Fuzz:
    return Fuzz(figures)


@pytest.fixture
def ask(database: Database) -> Iterator[Callable[..., list[tuple]]]:
    """Sends statements in one message, as the collection does, and takes back what they did."""
    with contextlib.closing(psycopg2.connect(database.admin_dsn)) as connection, connection.cursor() as cursor:

        def ask(*statements: str) -> list[tuple]:
            try:
                cursor.execute(";\n".join(statements))
                return cursor.fetchall()
            finally:
                connection.rollback()

        yield ask


def test_a_name_is_read_back_from_what_is_shown(fuzz: Fuzz) -> None:
    @OFTEN
    @given(NAMES, NAMES)
    def check(schema: str, name: str) -> None:
        qualified = QualifiedName(schema, name)
        fuzz.same(qualified, QualifiedName.parse(str(qualified)))
        fuzz.same(qualified, QualifiedName.parse(qualified.sql))

    check()


def test_names_are_parsed_as_postgresql_parses_them(fuzz: Fuzz, ask: Callable[..., list[tuple]]) -> None:
    part = NAMES.map(quoted) | st.from_regex(r"[a-z_][a-z_0-9]{0,20}", fullmatch=True)

    @OFTEN
    @given(st.lists(part, min_size=1, max_size=3).map(".".join) | TEXTS)
    def check(text: str) -> None:
        try:
            name = QualifiedName.parse(text)
        except Failure as failure:
            # Whatever it is, the message stays on one line.
            fuzz.same(1, len(failure.as_result()["msg"].splitlines()))
            return
        # A part without quotes is taken as written; PostgreSQL is asked to read it in quotes.
        parts = [literal(name.sql), literal(ident(name.name))]
        ((parsed, alone),) = ask(f"SELECT parse_ident({parts[0]}), parse_ident({parts[1]})")
        fuzz.same([name.schema, name.name], parsed)
        fuzz.same([name.name], alone)

    check()


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_texts_come_back_equal(fuzz: Fuzz, ask: Callable[..., list[tuple]], conforming: str) -> None:
    setting = f"SET LOCAL standard_conforming_strings = {conforming}"

    @OFTEN
    @given(TEXTS, st.lists(TEXTS, max_size=5))
    def check(text: str, texts: list[str]) -> None:
        secret = Statement("SELECT ", Secret(text)).sql
        ((back, backs, hidden),) = ask(setting, f"SELECT {literal(text)}, {array(texts)}, ({secret})")
        fuzz.same(text, back)
        fuzz.same(texts, backs)
        fuzz.same(text, hidden)
        if len(text.encode()) <= 2000 and text:
            ((found,),) = ask(
                setting, "SELECT " + guarded("true", literal("SELECT %s AS found" % literal(text)), "found")
            )
            fuzz.same(text, found)

    check()


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_what_is_made_has_the_name_that_was_given(fuzz: Fuzz, ask: Callable[..., list[tuple]], conforming: str) -> None:
    @SELDOM
    @given(NAMES, NAMES, NAMES, TEXTS)
    def check(schema: str, name: str, column: str, comment: str) -> None:
        if schema.startswith("pg_") or column in ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"):
            return
        table = QualifiedName(schema, name)
        made = ask(
            f"SET LOCAL standard_conforming_strings = {conforming}",
            f"CREATE SCHEMA IF NOT EXISTS {ident(schema)}",
            f"CREATE TABLE {table.sql} ({ident(column)} int PRIMARY KEY)",
            f"COMMENT ON TABLE {table.sql} IS {literal(comment)}",
            "SELECT n.nspname, c.relname, a.attname, coalesce(obj_description(c.oid, 'pg_class'), '')"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = 1"
            f" WHERE c.oid = {literal(table.sql)}::regclass",
        )
        fuzz.same([(schema, name, column, comment)], made)

    check()


def test_a_verifier_is_the_servers_own(fuzz: Fuzz, database: Database) -> None:
    """The server knows the password from our verifier, and we know it from the server's."""

    @settings(REPEATABLE, max_examples=25)
    @given(TEXTS.filter(bool))
    def check(password: str) -> None:
        with contextlib.closing(psycopg2.connect(database.admin_dsn)) as connection, connection.cursor() as cursor:
            cursor.execute(Statement("CREATE ROLE fuzzed LOGIN PASSWORD ", Secret(password)).sql)
            cursor.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'fuzzed'")
            fuzz.same(True, _password.verify(password, cursor.fetchone()[0], "fuzzed"))
            cursor.execute(f"ALTER ROLE fuzzed PASSWORD {literal(_password.make_verifier(password, 4096))}")
            connection.commit()
            try:
                psycopg2.connect(database.dsn, user="fuzzed", password=password).close()
                fuzz.same(True, True)
            finally:
                cursor.execute("DROP ROLE fuzzed")
                connection.commit()

    check()


def test_modules_find_again_what_they_have_made(fuzz: Fuzz, database: Database) -> None:
    @settings(REPEATABLE, max_examples=12)
    @given(NAMES, NAMES, NAMES, TEXTS)
    def check(schema: str, table: str, role: str, comment: str) -> None:
        if schema.startswith("pg_") or role.startswith("pg_") or role in ("public", "none"):
            return
        options = {"schema": schema, "name": table, "grant_to": [role]}
        for state in ("present", "absent"):
            made = (
                run_module("role", dsn=database.dsn, name=role, login=False, comment=comment or None, state=state)
                if state == "present"
                else {}
            )
            assert not made.get("failed"), made
            for module in ("signal_table", "heartbeat_table"):
                given = {**options, "name": table if module == "signal_table" else "heartbeat"}
                first = run_module(module, dsn=database.dsn, state=state, **given)
                assert not first.get("failed"), first
                fuzz.same(True, first["changed"])
                fuzz.same(False, run_module(module, dsn=database.dsn, state=state, **given)["changed"])
        if comment:
            fuzz.same(
                comment, run_module("role", dsn=database.dsn, name=role, login=False, check=True)["role"]["comment"]
            )
        assert not run_module("role", dsn=database.dsn, name=role, state="absent").get("failed")

    check()


def test_diffs_are_yaml(fuzz: Fuzz) -> None:
    plain = st.none() | st.booleans() | st.integers() | TEXTS
    documents = st.dictionaries(
        TEXTS,
        st.recursive(
            plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
        ),
    )

    @OFTEN
    @given(documents)
    def check(document: dict) -> None:
        dumped = _yaml.dump(document)
        fuzz.same(document or None, yaml.safe_load(dumped))
        assert all(line.isprintable() for line in dumped.split("\n"))

    check()


def test_messages_are_one_line_that_steers_nothing(fuzz: Fuzz) -> None:
    @OFTEN
    @given(TEXTS)
    def check(text: str) -> None:
        shown = Failure(text, hint=text).as_result()["msg"]
        fuzz.same(True, shown.isprintable())
        fuzz.same(shown, printable(shown))

    check()


# --- who reads them

STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

EVIL = [
    "{{ lookup('pipe','touch PIPED') }}",
    "{% for i in [1] %}x{% endfor %}",
    "\x1b[2J\x1b[31mred\x1b]0;title\x07",
    "\x9b2J\u202eright to left\u2066",
    "\nok: [forged]\nPLAY RECAP ***\nforged : ok=99 failed=0",
    "=cmd|' /C calc'!A0",
    "'; DROP TABLE app.orders; --",
    "<img src=x onerror=alert(1)>",
    "- {a: &a [*a]}",
    "[x](javascript:alert(1))",
    "é" * 31,
]


@pytest.fixture
def evil(database: Database) -> Database:
    """Tables, columns, roles, policies and comments with such names; some can be captured, and some are in the way."""

    def sql(text: str) -> None:
        database.sql(text.replace("%", "%%"), [])

    sql("CREATE SCHEMA hurt")
    sql("CREATE TABLE hurt.nothing (id int PRIMARY KEY)")
    for name in EVIL:
        table, short = f"hurt.{quoted(name)}", quoted(name[:50])
        sql(f"CREATE TABLE {table} (id int PRIMARY KEY, {short} point[])")
        sql(f"COMMENT ON TABLE {table} IS {literal(name)}")
        sql(f"COMMENT ON COLUMN {table}.{short} IS {literal(name)}")
        sql(f"CREATE TABLE hurt.{quoted('k' + name[:50])} ({short} int)")
        sql(f"CREATE ROLE {quoted('r' + name[:50])}")
        sql(f"CREATE PUBLICATION {quoted('p' + name[:50])} FOR TABLE {table}")
    return database


@pytest.mark.postgres(18)
def test_names_do_no_harm_to_who_reads_the_terminal(evil: Database, figures: Figures, tmp_path: Path) -> None:
    given = {
        "cdc_dsn": evil.dsn,
        "cdc_password": PASSWORD,
        "cdc_schemas": ["hurt"],
        "cdc_output_dir": str(tmp_path / "output"),
        "cdc_exclude_tables": ["hurt.nothing"],
    }

    def play(playbook: str, rc: int, **more: object) -> str:
        run = run_playbook(f"streamkap.neon.{playbook}", extra_vars={**given, **more}, diff=True)
        assert run.rc == rc, run.stdout + run.stderr
        # The result of a failed task, names as data among it, Ansible prints as JSON, where it escapes ASCII's control characters only.
        said = re.sub(r"^(fatal: .* => )\{.*$", r"\1", run.stdout + run.stderr, flags=re.MULTILINE)
        assert "\x1b" not in run.stdout + run.stderr
        harm = STEERING.findall(said)
        assert not harm, (playbook, harm, STEERING.sub("<HERE>", said))
        assert not re.search(r"^(ok: .forged|forged : ok)", run.stdout + run.stderr, re.MULTILINE)
        return run.stdout + run.stderr

    assert "keyless_tables" in play("setup", 2)
    assert "Under row-level security" in play_with_policies(evil, play)
    play("setup", 0, cdc_keyless_tables="replica_identity_full")
    evil.sql("DROP PUBLICATION streamkap_pub")
    evil.sql("CREATE PUBLICATION streamkap_pub FOR TABLE streamkap.streamkap_signal")
    play("verify", 2)
    reports = list((tmp_path / "output").rglob("*.*"))
    assert len(reports) >= 7
    for report in reports:
        if report.is_file() and report.suffix == ".md":
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", report.read_text()), report.name
    (table,) = (tmp_path / "output").rglob("tables.csv")
    rows = [row for (row,) in csv.reader(table.open(newline=""))]
    # A spreadsheet takes nothing for a formula that begins with the schema's name, which who runs this has chosen.
    assert all(row.startswith("hurt.") for row in rows)
    assert {f"hurt.{name}" for name in EVIL} <= set(rows)
    play("teardown", 0)
    # Nothing was run, wherever it might have been run.
    sprung = [*tmp_path.rglob("PIPED"), *Path().glob("PIPED")]
    figures.add("attacks", 6 * len(EVIL))
    figures.add("attacks_sprung", len(sprung))
    assert sprung == []


def play_with_policies(evil: Database, play: Callable[..., str]) -> str:
    for name in EVIL:
        evil.sql(f"ALTER TABLE hurt.{quoted(name)} ENABLE ROW LEVEL SECURITY".replace("%", "%%"), [])
    try:
        return play("setup", 2, cdc_keyless_tables="replica_identity_full")
    finally:
        for name in EVIL:
            evil.sql(f"ALTER TABLE hurt.{quoted(name)} DISABLE ROW LEVEL SECURITY".replace("%", "%%"), [])
