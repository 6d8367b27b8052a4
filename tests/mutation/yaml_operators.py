# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mutants of the roles' and playbooks' YAML: of tasks, of conditions, and of the expressions in variables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import yaml

from .mutant import Mutant, apply

# Keys whose value is an expression without braces.
CONDITIONS = ("when", "that", "until", "failed_when", "changed_when")
# Keys whose value is read by people only.
PROSE = ("name", "msg", "fail_msg", "success_msg", "quiet", "tags")
# Keys that hold tasks.
BLOCKS = ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks", "handlers")
STATES = {
    "present": "absent",
    "absent": "present",
    "started": "stopped",
    "stopped": "started",
    "reloaded": "stopped",
    "restarted": "stopped",
    "directory": "absent",
    "file": "absent",
    "touch": "absent",
    "link": "absent",
}
# Operators of Jinja that stand for the same ones in Python.
EXPRESSION = {
    "==": (r"==", "!="),
    "!=": (r"!=", "=="),
    "and": (r"\band\b", "or"),
    "or": (r"\bor\b", "and"),
    "not in": (r"\bnot in\b", "in"),
    "is not": (r"\bis not\b", "is"),
    "not": (r"\bnot (?!in\b)(?<!is not )", ""),
    "selectattr": (r"\bselectattr\b", "rejectattr"),
    "rejectattr": (r"\brejectattr\b", "selectattr"),
}
QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


def mutants_of(path: str, source: bytes) -> list[Mutant]:
    """Return all mutants of a file."""
    return sorted({mutant.id: mutant for mutant in _Finder(path, source.decode()).find()}.values())


def is_valid(source: bytes, mutant: Mutant) -> bool:
    """Return whether the file is still YAML with the mutant, and means something else."""
    try:
        return yaml.safe_load(apply(source, [mutant])) != yaml.safe_load(source)
    except yaml.YAMLError:
        return False


class _Finder:
    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._text = text
        self._lines = (1, 1)

    def find(self) -> Iterator[Mutant]:
        root = yaml.compose(self._text, Loader=yaml.SafeLoader)
        if isinstance(root, yaml.SequenceNode):
            for item in root.value:
                # A play, or a task of a role.
                keys = {key.value for key, _value in item.value}
                is_play = bool(keys & {"hosts", "import_playbook", "ansible.builtin.import_playbook"})
                yield from self._mapping(item) if is_play else self._task(item)
        elif root:
            yield from self._mapping(root, variables=True)

    def _task(self, task: yaml.MappingNode) -> Iterator[Mutant]:
        outer, self._lines = self._lines, (task.start_mark.line + 1, self._own_last_line(task))
        start = task.start_mark.index
        when = next((value for key, value in task.value if key.value == "when"), None)
        if when is None:
            indentation = " " * task.start_mark.column
            yield self._mutant("task dropped", start, start, f"when: false\n{indentation}")
        else:
            yield self._mutant("task dropped", when.start_mark.index, self._end(when), "false")
        yield from self._mapping(task)
        self._lines = outer

    def _own_last_line(self, task: yaml.MappingNode) -> int:
        """Return the last line of a task, or the line before the tasks of a block."""
        inner = [key.start_mark.line for key, _value in task.value if key.value in BLOCKS]
        return max(task.start_mark.line + 1, min(inner) if inner else task.end_mark.line)

    def _mapping(self, node: yaml.MappingNode, variables: bool = False) -> Iterator[Mutant]:
        for key, value in node.value:
            if variables:
                self._lines = (key.start_mark.line + 1, value.end_mark.line + 1)
            if key.value in PROSE and not (variables or isinstance(value, yaml.MappingNode)):
                continue
            if key.value in BLOCKS and isinstance(value, yaml.SequenceNode):
                for task in value.value:
                    yield from self._task(task)
            elif key.value in CONDITIONS:
                yield from self._condition(key.value, value)
            elif key.value == "state" and value.value in STATES:
                other = STATES[value.value]
                yield self._mutant(f"{value.value} to {other}", value.start_mark.index, self._end(value), other)
            else:
                yield from self._value(value)

    def _condition(self, key: str, node: yaml.Node) -> Iterator[Mutant]:
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                yield self._mutant(f"{key}: one dropped", item.start_mark.index, self._end(item), "true")
                yield from self._condition(key, item)
        elif _boolean(node) is not None:
            yield from self._value(node)
        else:
            negated = "'not ({})'".format(node.value.strip().replace("'", "''"))
            yield self._mutant(f"{key} negated", node.start_mark.index, self._end(node), negated)
            yield from self._expression(node, every_text=True)

    def _value(self, node: yaml.Node) -> Iterator[Mutant]:
        if isinstance(node, yaml.MappingNode):
            yield from self._mapping(node)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                yield from self._value(item)
        elif (value := _boolean(node)) is not None:
            other = json.dumps(not value)
            yield self._mutant(f"{node.value} to {other}", node.start_mark.index, self._end(node), other)
        elif node.tag == "tag:yaml.org,2002:int":
            yield self._mutant("number + 1", node.start_mark.index, self._end(node), str(int(node.value) + 1))
        elif "{{" in node.value or "{%" in node.value:
            yield from self._expression(node)

    def _expression(self, node: yaml.ScalarNode, every_text: bool = False) -> Iterator[Mutant]:
        """Change one operator of an expression; the text in quotes and outside of braces is no expression."""
        start, end = node.start_mark.index, self._end(node)
        text = self._text[start:end]
        # YAML's own quotes are no quotes of the expression.
        quotes = 1 if text[0] in "'\"" else 0
        body = text[quotes : len(text) - quotes]
        readable = QUOTED.sub(lambda quoted: " " * len(quoted[0]), body.replace("''", "~~").replace('\\"', "~~"))
        if not every_text:
            kept = [match.span() for match in re.finditer(r"\{\{.*?\}\}|\{%.*?%\}", readable, re.DOTALL)]
            readable = "".join(
                letter if any(first <= index < last for first, last in kept) else " "
                for index, letter in enumerate(readable)
            )
        for name, (pattern, other) in EXPRESSION.items():
            for found in re.finditer(pattern, readable):
                operator = f"{name} to {other}" if other else "not removed"
                yield self._mutant(operator, start + quotes + found.start(), start + quotes + found.end(), other)

    def _end(self, node: yaml.Node) -> int:
        """Return where a node's own text ends; the end of a block in YAML is where the next thing begins."""
        while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
            node = node.value[-1][1] if isinstance(node, yaml.MappingNode) else node.value[-1]
        start, end = node.start_mark.index, node.end_mark.index
        return start + len(self._text[start:end].rstrip())

    def _mutant(self, operator: str, start: int, end: int, replacement: str) -> Mutant:
        before = self._text[:start]
        return Mutant(
            path=self._path,
            line=before.count("\n") + 1,
            column=start - (before.rfind("\n") + 1) + 1,
            operator=operator,
            start=len(before.encode()),
            end=len(self._text[:end].encode()),
            replacement=replacement,
            first_line=self._lines[0],
            last_line=self._lines[1],
            scope=self._path,
        )


def _boolean(node: yaml.Node) -> bool | None:
    if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:bool":
        return None
    return node.value.lower() in ("true", "yes", "on")
