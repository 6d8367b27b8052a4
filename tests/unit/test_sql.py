# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names, literals and statements, and the YAML of diffs."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.streamkap.neon.plugins.module_utils import _yaml
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._sql import (
    QualifiedName,
    Secret,
    Statement,
    check_name,
    ident,
    listed,
    literal,
    portions,
)


@pytest.mark.parametrize(
    ("text", "schema", "name"),
    [
        ("app.orders", "app", "orders"),
        ("App.Orders", "App", "Orders"),
        ("my app.a;b", "my app", "a;b"),
        ('"a.b"."c""d"', "a.b", 'c"d'),
        ('app."select"', "app", "select"),
    ],
)
def test_a_qualified_name_is_read_as_written(text: str, schema: str, name: str) -> None:
    assert QualifiedName.parse(text) == QualifiedName(schema, name)


@pytest.mark.parametrize("text", ["", "orders", "a.b.c", ".b", "a.", 'a."b', 'a"b.c', '"a"b.c', "a..b"])
def test_what_is_no_qualified_name_is_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(Failure) as failure:
        QualifiedName.parse(text)
    assert "schema.table" in failure.value.as_result()["msg"]


@pytest.mark.parametrize("parts", [("app", "orders"), ("a.b", 'c"d'), (" blank ", "100%"), ("é", "it's")])
def test_a_name_that_is_shown_reads_back_the_same(parts: tuple[str, str]) -> None:
    name = QualifiedName(*parts)
    assert QualifiedName.parse(str(name)) == name


@pytest.mark.parametrize(
    ("name", "said"), [("", "empty"), ("a" * 64, "64 bytes"), ("é" * 32, "64 bytes"), ("a\0b", "NUL")]
)
def test_names_that_postgresql_would_refuse_or_cut_are_refused(name: str, said: str) -> None:
    with pytest.raises(Failure, match=said):
        check_name(name, "schema")


def test_63_bytes_are_a_name() -> None:
    assert check_name("é" * 31 + "a", "schema") == "é" * 31 + "a"


def test_identifiers_and_literals_are_quoted() -> None:
    assert ident('we"ird') == '"we""ird"'
    assert literal("it's") == "'it''s'"
    assert literal("back\\slash'") == "E'back\\\\slash'''"


def test_a_statement_shows_no_secret() -> None:
    statement = Statement("ALTER ROLE x PASSWORD ", Secret("it's"), " VALID UNTIL 'infinity'")
    assert statement.sql == "ALTER ROLE x PASSWORD 'it''s' VALID UNTIL 'infinity'"
    assert str(statement) == "ALTER ROLE x PASSWORD '********' VALID UNTIL 'infinity'"
    assert "it" not in repr(Secret("it's")) + repr(statement).replace("ALTER", "").replace("infinity", "")


def test_a_statement_is_what_it_says_however_many_locks_it_takes() -> None:
    assert Statement("SELECT 1", locks=2) == Statement("SELECT 1")
    assert hash(Statement("SELECT 1", locks=2)) == hash(Statement("SELECT 1"))
    assert str(Statement("SELECT 1", locks=2)) == "SELECT 1"


def test_portions_are_as_few_as_possible() -> None:
    assert portions("abcde", 2) == [["a", "b"], ["c", "d"], ["e"]]
    assert portions("ab", 2) == [["a", "b"]]
    assert portions("ab", -3) == [["a"], ["b"]]
    assert portions([], 0) == []


def test_long_lists_are_cut_and_counted() -> None:
    assert listed(range(3)) == "0, 1, 2"
    assert listed(range(25), most=2) == "0, 1 and 23 more"


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"a": 1, "b": True, "c": None, "d": "yes", "e": "null", "f": "1.5", "g": "plain"},
        {"nested": {"list": ["x", {"y": [], "z": {}}, ["deep", ["deeper"]]]}},
        {'k: "é\u001b[31m': "v # \u0085 \u007f"},
    ],
)
def test_yaml_reads_back_equal(data: dict) -> None:
    assert (yaml.safe_load(_yaml.dump(data)) or {}) == data


def test_yaml_escapes_what_could_steer_a_terminal() -> None:
    assert "\x1b" not in _yaml.dump({"a\x1b]0;x": "\x1b[2J"})
