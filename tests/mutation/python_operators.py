# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mutants of a Python file: what is replaced is found in its syntax tree, and replaced in its text.

Documentation, annotations, decorators and strings are left alone, and so are f-strings, whose parts have no reliable position
before Python 3.12.
"""

from __future__ import annotations

import ast
import itertools
import re
import warnings
from collections.abc import Iterator

from .mutant import Mutant, apply

COMPARISONS: dict[type[ast.cmpop], tuple[str, str, str]] = {
    # The operator, a pattern that finds it, and the operator in its place.
    ast.Eq: ("==", r"==", "!="),
    ast.NotEq: ("!=", r"!=", "=="),
    ast.Lt: ("<", r"<", "<="),
    ast.LtE: ("<=", r"<=", "<"),
    ast.Gt: (">", r">", ">="),
    ast.GtE: (">=", r">=", ">"),
    ast.In: ("in", r"\bin\b", "not in"),
    ast.NotIn: ("not in", r"\bnot\s+in\b", "in"),
    ast.Is: ("is", r"\bis\b", "is not"),
    ast.IsNot: ("is not", r"\bis\s+not\b", "is"),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}
TEXT = (ast.JoinedStr, ast.List, ast.ListComp)


def mutants_of(path: str, source: bytes) -> list[Mutant]:
    """Return all mutants of a file."""
    return sorted({mutant.id: mutant for mutant in _Finder(path, source).find()}.values())


def is_valid(source: bytes, mutant: Mutant) -> bool:
    """Return whether the file still compiles with the mutant."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(apply(source, [mutant]), "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


class _Finder:
    def __init__(self, path: str, source: bytes) -> None:
        self._path = path
        self._source = source
        self._line_starts = [0]
        for line in source.splitlines(keepends=True):
            self._line_starts.append(self._line_starts[-1] + len(line))
        self._statement: ast.AST = ast.Pass()
        self._names: list[str] = []
        # The number of functions around the node: without one, it runs at import.
        self._depth = 0

    def find(self) -> Iterator[Mutant]:
        yield from self._block(ast.parse(self._source).body)

    def _block(self, statements: list[ast.stmt]) -> Iterator[Mutant]:
        for statement in statements:
            if not _is_docstring(statement) and not _is_type_checking(statement):
                yield from self._visit(statement)

    def _visit(self, node: ast.AST) -> Iterator[Mutant]:
        if isinstance(node, (ast.JoinedStr, ast.Import, ast.ImportFrom)):
            return
        outer = self._statement
        if isinstance(node, (ast.stmt, ast.ExceptHandler)):
            self._statement = node
        yield from self._mutate(node)
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list"):
                continue
            is_body = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and field == "body"
            if is_body:
                self._names.append(node.name)
                self._depth += isinstance(node, ast.FunctionDef)
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                yield from self._block(value)
            else:
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        yield from self._visit(child)
            if is_body:
                self._names.pop()
                self._depth -= isinstance(node, ast.FunctionDef)
        self._statement = outer

    def _mutate(self, node: ast.AST) -> Iterator[Mutant]:
        if isinstance(node, ast.Compare):
            yield from self._comparison(node)
        elif isinstance(node, ast.BoolOp):
            yield from self._boolean(node)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield self._mutant("not removed", self._start(node), self._start(node.operand), "")
        elif isinstance(node, ast.BinOp):
            yield from self._arithmetic(node)
        elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
            yield from self._condition(node.test, with_true=not isinstance(node, ast.While))
        elif isinstance(node, ast.comprehension):
            for test in node.ifs:
                yield from self._condition(test)
        elif isinstance(node, ast.Return) and node.value and not _is_constant(node.value, None):
            yield self._replace(node.value, "return None", "None")
        elif isinstance(node, ast.Constant):
            yield from self._constant(node)
        elif isinstance(node, ast.ExceptHandler) and node.type:
            yield self._replace(node.type, "except catches nothing", "()")
        elif isinstance(node, ast.Break):
            yield self._replace(node, "break to continue", "continue")
        elif isinstance(node, ast.Continue):
            yield self._replace(node, "continue to break", "break")
        elif _is_deletable(node):
            yield self._replace(node, f"{type(node).__name__.lower()} deleted", "pass")

    def _comparison(self, node: ast.Compare) -> Iterator[Mutant]:
        left = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            name, pattern, other = COMPARISONS[type(operator)]
            if found := self._operator_between(left, right, pattern):
                yield self._mutant(f"{name} to {other}", *found, other)
            left = right

    def _boolean(self, node: ast.BoolOp) -> Iterator[Mutant]:
        name, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        text, start = self._source[self._start(node) : self._end(node)], self._start(node)
        for left, right in reversed(list(itertools.pairwise(node.values))):
            found = self._operator_between(left, right, rf"\b{name}\b")
            if not found:
                return
            text = text[: found[0] - start] + other.encode() + text[found[1] - start :]
        yield self._replace(node, f"{name} to {other}", f"({text.decode()})")

    def _arithmetic(self, node: ast.BinOp) -> Iterator[Mutant]:
        if type(node.op) not in ARITHMETIC or _is_text(node.left) or _is_text(node.right):
            return
        name, other = ARITHMETIC[type(node.op)]
        if found := self._operator_between(node.left, node.right, re.escape(name)):
            yield self._mutant(f"{name} to {other}", *found, other)

    def _condition(self, test: ast.expr, with_true: bool = True) -> Iterator[Mutant]:
        if isinstance(test, ast.Constant):
            return
        if with_true:
            yield self._replace(test, "condition True", "True")
        yield self._replace(test, "condition False", "False")

    def _constant(self, node: ast.Constant) -> Iterator[Mutant]:
        if isinstance(node.value, bool):
            yield self._replace(node, f"{node.value} to {not node.value}", str(not node.value))
        elif isinstance(node.value, (int, float)):
            yield self._replace(node, "number + 1", f"({node.value} + 1)")

    def _operator_between(self, left: ast.AST, right: ast.AST, pattern: str) -> tuple[int, int] | None:
        """Return where the operator stands; none if only a comment holds it."""
        start, end = self._end(left), self._start(right)
        gap = re.sub(rb"#[^\n]*", lambda comment: b" " * len(comment[0]), self._source[start:end])
        found = re.search(pattern.encode(), gap)
        return (start + found.start(), start + found.end()) if found else None

    def _replace(self, node: ast.AST, operator: str, replacement: str) -> Mutant:
        return self._mutant(operator, self._start(node), self._end(node), replacement)

    def _mutant(self, operator: str, start: int, end: int, replacement: str) -> Mutant:
        first, last = _header_lines(self._statement)
        line = next(index for index, begin in enumerate(self._line_starts) if begin > start)
        return Mutant(
            path=self._path,
            line=line,
            column=start - self._line_starts[line - 1] + 1,
            operator=operator,
            start=start,
            end=end,
            replacement=replacement,
            first_line=first,
            last_line=last,
            scope=f"{self._path}:{'.'.join(self._names)}",
            loaded=not self._depth,
        )

    def _start(self, node: ast.AST) -> int:
        return self._line_starts[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.AST) -> int:
        return self._line_starts[node.end_lineno - 1] + node.end_col_offset


def _header_lines(statement: ast.AST) -> tuple[int, int]:
    """Return the lines of a statement without those of the statements in it."""
    inner = [child.lineno for child in ast.walk(statement) if isinstance(child, ast.stmt) and child is not statement]
    if isinstance(statement, (ast.If, ast.While, ast.For, ast.With, ast.Try, ast.ExceptHandler)) and inner:
        return statement.lineno, max(statement.lineno, min(inner) - 1)
    return statement.lineno, statement.end_lineno


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_type_checking(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and ast.unparse(statement.test) in ("TYPE_CHECKING", "__name__ == '__main__'")


def _is_constant(node: ast.AST, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _is_text(node: ast.AST) -> bool:
    """Return whether arithmetic on it would fail at once, which tells nothing about the tests."""
    return isinstance(node, TEXT) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_deletable(node: ast.AST) -> bool:
    if isinstance(node, ast.Raise):
        return not (node.exc and "NotImplementedError" in ast.unparse(node.exc))
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call)
    if isinstance(node, ast.Assign):
        return all(isinstance(target, (ast.Attribute, ast.Subscript)) for target in node.targets)
    return isinstance(node, ast.AugAssign)
