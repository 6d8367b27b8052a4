# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Find what PostgreSQL refuses in a row filter, without creating a publication.

PostgreSQL takes columns, constants, and immutable functions, operators, types and collations of its own
(https://www.postgresql.org/docs/current/logical-replication-row-filter.html#LOGICAL-REPLICATION-ROW-FILTER-RESTRICTIONS). It checks that
only when the publication is created, which check mode does not do. EXPLAIN takes any expression, but prints it with all parentheses and
types, and with a schema before whatever is not PostgreSQL's own; from that most of it can be told. What cannot be told is taken for
allowed, and PostgreSQL then refuses it itself.
"""

from __future__ import annotations

import re
from typing import Any

# What the look asks, where there are filters: the rules of this server, and the types of the filtered tables' columns.
LOOK = """(SELECT json_build_object(
      'functions', (SELECT coalesce(json_agg(json_build_array(
          p.proname, p.proargtypes::regtype[]::text[], p.provolatile <> 'i')), '[]')
        FROM pg_proc p WHERE p.oid < 16384 AND p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY ({functions})),
      'operators', (SELECT json_agg(json_build_array(o.oprname, o.oprleft::regtype::text, o.oprright::regtype::text))
        FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode WHERE o.oid < 16384 AND p.provolatile <> 'i'),
      'casts', (SELECT json_agg(json_build_array(c.castsource::regtype::text, c.casttarget::regtype::text,
                                                c.castmethod <> 'i' AND coalesce(p.provolatile, 'i') = 'i'))
        FROM pg_cast c LEFT JOIN pg_proc p ON p.oid = c.castfunc WHERE c.oid < 16384),
      'columns', (SELECT coalesce(json_agg(json_build_array(
          n.nspname, c.relname, a.attname, format_type(a.atttypid, NULL), a.atttypid >= 16384, a.attcollation >= 16384)), '[]')
        FROM unnest({tables}) AS t(schema, name)
        JOIN pg_namespace n ON n.nspname = t.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)))"""

_USER_FUNCTION = "it uses the function %s, and only PostgreSQL's own are allowed"
_MUTABLE = "%s is not immutable, because it depends on the time or on settings"
_OTHER = "it has %s, which PostgreSQL does not allow there"

_IDENT = r'(?:"(?:[^"]|"")*"|[a-zA-Z_\u0080-\uffff][\w$]*)'
# Built-in types as format_type prints them, with a length or the like.
_TYPE = (
    r"(?:(?:timestamp|time)(?:\(\d+\))? with(?:out)? time zone|double precision|character varying(?:\(\d+\))?|bit varying(?:\(\d+\))?"
    r"|interval(?: (?:year|month|day|hour|minute|second)(?: to \w+)?)?(?:\(\d+\))?|%(ident)s(?:\.%(ident)s)?(?:\([\d,-]+\))?)(?:\[\])*"
) % {"ident": _IDENT}
_LITERAL = re.compile(r"\bE'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'", re.DOTALL | re.IGNORECASE)
# In SQL as it is written by hand, what is not read for words.
_UNREAD = re.compile(
    r'%s|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|(\$\w*\$).*?\1' % _LITERAL.pattern, re.DOTALL | re.IGNORECASE
)
_SUBQUERY = re.compile(r"\(\s*(?:SELECT|VALUES|TABLE|WITH)\b", re.IGNORECASE)
_NAMED_OPERATOR = re.compile(r"OPERATOR\((?!pg_catalog\.)(%s)\." % _IDENT)
_COLLATION = re.compile(r"COLLATE (%s)\.(%s)" % (_IDENT, _IDENT))
_QUALIFIED_CALL = re.compile(r"(%s)\.(%s)\(" % (_IDENT, _IDENT))
_QUALIFIED_TYPE = re.compile(r"::(%s)\.(%s)" % (_IDENT, _IDENT))
_COLUMN = re.compile(r"(?<![:\w.\"])%s\.(%s)(?![\w(.\"])" % (_IDENT, _IDENT))
_KEYWORD = re.compile(
    r"\b(CURRENT_(?:DATE|TIME|TIMESTAMP|USER|ROLE|CATALOG|SCHEMA)|LOCALTIME(?:STAMP)?|SESSION_USER|SYSTEM_USER|USER|IS (?:NOT )?JSON)\b"
)
_NUMBER = re.compile(r"(?<![\w@.])\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.])")
# What is reduced already: its number, in the place of a part of the expression.
_SLOT = r"@(\d+)@"
_CAST = re.compile(r"(?:\(%s\)|%s)::(%s)" % (_SLOT, _SLOT, _TYPE))
_CALL = re.compile(r"(?<![\w\".])([a-zA-Z_]\w*)\(([^()]*)\)")
_OPERATION = re.compile(r"\(%s ([-+*/<>=~!@#%%^&|`?]+) %s\)" % (_SLOT, _SLOT))
_GROUP = re.compile(r"\(([^()]*)\)")
_EXTRACT = re.compile(r"\w+ FROM %s" % _SLOT)

_TEXT = ("text", "character varying", "character", "name", '"char"')
_COMPARISONS = ("=", "<>", "<", ">", "<=", ">=", "~~", "!~~", "~", "!~", "~*", "@>", "<@", "&&")
_SAME_TYPE = ("coalesce", "greatest", "least", "nullif")


class RowFilterRules:
    """What this server allows in row filters, as read by ``LOOK``."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._functions: dict[str, dict[tuple[str, ...], bool]] = {}
        for name, arguments, is_mutable in found["functions"]:
            self._functions.setdefault(name, {})[tuple(arguments)] = is_mutable
        self._operators = {tuple(row) for row in found["operators"]}
        self._casts = {(source, target): is_allowed for source, target, is_allowed in found["casts"]}
        self._columns: dict[tuple[str, str], dict[str, tuple[str, bool, bool]]] = {}
        for schema, table, column, *facts in found["columns"]:
            self._columns.setdefault((schema, table), {})[column] = tuple(facts)

    def find_refusal(self, condition: str, plan: dict[str, Any], schema: str, table: str) -> str | None:
        """Say why PostgreSQL refuses a filter, from how EXPLAIN has planned it; None where nothing is found.

        :param condition: as it was written, of which the planner may have folded a subquery into a constant.
        """
        if _SUBQUERY.search(_UNREAD.sub(" ", condition)):
            return _OTHER % "a subquery"
        if plan.get("Node Type") not in ("Subquery Scan", "Result"):
            return _OTHER % "a subquery"  # which is planned as a join
        text = plan.get("Filter") or plan.get("One-Time Filter") or ""
        return _Expression(self, self._columns.get((schema, table), {})).examine(text)

    def is_mutable_function(self, name: str, types: list[str | None]) -> bool:
        signatures = self._functions.get(name, {})
        if not signatures:
            return False
        fitting = [
            is_mutable
            for arguments, is_mutable in signatures.items()
            if len(arguments) == len(types) and all(given in (None, taken) for given, taken in zip(types, arguments))
        ]
        return all(fitting) if fitting else all(signatures.values())

    def is_mutable_operator(self, name: str, left: str | None, right: str | None) -> bool:
        if name == "||" and left != right and "text" in (left, right):
            other = left if right == "text" else right
            return other is not None and other not in _TEXT and not other.endswith("[]") and other != "unknown"
        return (name, left, right) in self._operators

    def is_refused_cast(self, source: str | None, target: str) -> bool:
        if source is None or source == target or source.endswith("[]") or target.endswith("[]"):
            return False
        if source in _TEXT and target in _TEXT:
            return False
        return not self._casts.get((source, target), False)


class _Expression:
    """One filter, reduced from its innermost parentheses outwards, with the type of each part as far as it can be told."""

    def __init__(self, rules: RowFilterRules, columns: dict[str, tuple[str, bool, bool]]) -> None:
        self._rules = rules
        self._columns = columns
        self._types: list[str | None] = []
        self._is_literal: list[bool] = []

    def examine(self, text: str) -> str | None:
        text = _LITERAL.sub(lambda _match: self._put("unknown", is_literal=True), text)
        found = self._find_foreign(text) or self._find_columns(text)
        if found:
            return found
        text = _COLUMN.sub(lambda match: self._put(self._columns.get(_plain(match[1]), (None,))[0]), text)
        keyword = _KEYWORD.search(text)
        if keyword:
            return _OTHER % keyword[1]
        text = re.sub("::%s" % _TYPE, lambda match: _without_length(match[0]), text)
        text = _NUMBER.sub(lambda match: self._put(_number_type(match[0])), text)
        while True:
            reduced, found = self._reduce(text)
            if found or reduced == text:
                break
            text = reduced
        if found:
            return found
        return _OTHER % "a subscript" if re.search(r"%s\[" % _SLOT, text) else None

    def _put(self, type: str | None, is_literal: bool = False) -> str:
        self._types.append(type)
        self._is_literal.append(is_literal)
        return "@%d@" % (len(self._types) - 1)

    def _find_foreign(self, text: str) -> str | None:
        """What is not PostgreSQL's own has a schema before its name."""
        # Before PostgreSQL 17 the value of a subquery is a parameter.
        if re.search(r"SubPlan|InitPlan|\$\d", text):
            return _OTHER % "a subquery"
        found = _QUALIFIED_TYPE.search(text)
        if found:
            return "it uses the type %s.%s, and only PostgreSQL's own are allowed" % found.groups()
        found = _COLLATION.search(text)
        if found:
            return "it uses the collation %s.%s, and only PostgreSQL's own are allowed" % found.groups()
        found = _NAMED_OPERATOR.search(text)
        if found:
            return "it uses an operator of the schema %s, and only PostgreSQL's own are allowed" % found[1]
        found = _QUALIFIED_CALL.search(text)
        return _USER_FUNCTION % (".".join(found.groups())) if found else None

    def _find_columns(self, text: str) -> str | None:
        for match in _COLUMN.finditer(text):
            type, has_user_type, has_user_collation = self._columns.get(_plain(match[1]), ("", False, False))
            if has_user_type:
                return "the column %s has the type %s, and only PostgreSQL's own are allowed" % (_plain(match[1]), type)
            if has_user_collation:
                return "the column %s has a collation that is not PostgreSQL's own" % _plain(match[1])
        return None

    def _reduce(self, text: str) -> tuple[str, str | None]:
        """Replace one part, and say what is refused in it."""
        match = _CAST.search(text)
        if match:
            slot, target = int(match[1] or match[2]), _without_length(match[3])
            source = self._types[slot]
            found = None
            if not self._is_literal[slot] and source != "unknown" and self._rules.is_refused_cast(source, target):
                found = _OTHER % ("a conversion of %s to %s" % (source, target))
            return text[: match.start()] + self._put(target, self._is_literal[slot]) + text[match.end() :], found
        match = re.search(r"%s\[" % _SLOT, text)
        if match:
            return text, _OTHER % "a subscript"
        match = _OPERATION.search(text)
        if match:
            left, operator, right = self._types[int(match[1])], match[2], self._types[int(match[3])]
            found = None
            if self._rules.is_mutable_operator(operator, left, right):
                found = _MUTABLE % ("the operator %s of %s and %s" % (operator, left, right))
            return text[: match.start()] + self._put(_operation_type(operator, left, right)) + text[
                match.end() :
            ], found
        match = _CALL.search(text)
        if match:
            name, arguments = match[1], self._argument_types(match[2])
            found = None
            if match[1].isupper() or name.lower() in _SAME_TYPE:
                name = name.lower()
            if self._rules.is_mutable_function(name, arguments):
                found = _MUTABLE % ("the function %s(%s)" % (name, ", ".join(type or "?" for type in arguments)))
            type = arguments[0] if name in _SAME_TYPE and arguments else None
            return text[: match.start()] + self._put(type) + text[match.end() :], found
        match = _GROUP.search(text)
        if match:
            inner = re.fullmatch(_SLOT, match[1])
            type = self._types[int(inner[1])] if inner else None
            return text[: match.start()] + self._put(type) + text[match.end() :], None
        return text, None

    def _argument_types(self, text: str) -> list[str | None]:
        extracted = _EXTRACT.fullmatch(text)
        if extracted:
            return ["text", self._types[int(extracted[1])]]
        slots = [re.fullmatch(_SLOT, part.strip()) for part in text.split(",")] if text.strip() else []
        return [self._types[int(slot[1])] if slot else None for slot in slots]


def function_names(filters: list[str]) -> list[str]:
    """The functions that may be in filters: what stands before a parenthesis, and what other words become."""
    names = {name.lower() for text in filters for name in re.findall(r"(\w+)\"?\s*\(", text)}
    return sorted(names | {"extract", "timezone", "overlaps", "date_part"})


def _plain(identifier: str) -> str:
    return identifier[1:-1].replace('""', '"') if identifier.startswith('"') else identifier


def _without_length(type: str) -> str:
    return re.sub(r"\([\d,-]+\)", "", type).replace("  ", " ")


def _number_type(text: str) -> str:
    if not text.isdigit():
        return "numeric"
    return "integer" if int(text) < 2**31 else "bigint" if int(text) < 2**63 else "numeric"


def _operation_type(operator: str, left: str | None, right: str | None) -> str | None:
    if operator in _COMPARISONS:
        return "boolean"
    if operator in ("->>", "#>>"):
        return "text"
    if operator in ("->", "#>"):
        return left
    if operator == "||" and "text" in (left, right):
        return "text"
    return left if left == right and operator in "+-*/%" else None
