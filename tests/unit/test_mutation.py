# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the mutation run (tests/mutation) rests on: the operators, the sample, and the search for what a group's tests notice."""

from __future__ import annotations

import textwrap
from collections import Counter
from pathlib import Path

import pytest

from mutation import python_operators, sample, yaml_operators
from mutation.coverage_map import CoverageMap, in_order
from mutation.groups import Search, partition
from mutation.layers import FULL, QUICK
from mutation.mutant import Mutant, apply
from mutation.node_ids import base_id, major_of
from mutation.report import page
from mutation.runner import KILLED, OPEN, SURVIVED, Results
from mutation.workspace import Outcome

ROOT = Path(__file__).resolve().parents[2]


def python(code: str) -> dict[str, str]:
    """Return the mutated line by operator."""
    source = textwrap.dedent(code).encode()
    mutants = python_operators.mutants_of("plugins/a.py", source)
    assert all(python_operators.is_valid(source, mutant) for mutant in mutants)
    return {mutant.operator: apply(source, [mutant]).decode() for mutant in mutants}


@pytest.mark.parametrize(
    ("before", "operator", "after"),
    [
        ("x = a == b", "== to !=", "x = a != b"),
        ("x = (a) < (b)", "< to <=", "x = (a) <= (b)"),
        ("x = a not in b", "not in to in", "x = a in b"),
        ("x = a is  not b", "is not to is", "x = a is b"),
        ("x = a and b and c", "and to or", "x = (a or b or c)"),
        ("x = a and (b and c)", "and to or", "x = a and ((b or c))"),
        ("x = not a", "not removed", "x = a"),
        ("x = a + b", "+ to -", "x = a - b"),
        ("x = b if a else c", "condition True", "x = b if True else c"),
        ("x = [b for b in a if b.c]", "condition False", "x = [b for b in a if False]"),
        ("x = 5", "number + 1", "x = (5 + 1)"),
        ("x = True", "True to False", "x = False"),
        ("x.y = z", "assign deleted", "pass"),
        ("x += z", "augassign deleted", "pass"),
        ("x(\n    y,\n)", "expr deleted", "pass"),
        ("raise X(y)", "raise deleted", "pass"),
        ("é = 'ü', a == b", "== to !=", "é = 'ü', a != b"),
    ],
)
def test_a_fault_is_put_where_it_belongs(before, operator, after):
    assert python(before)[operator] == after


def test_the_faults_of_a_function():
    found = python(
        """\
        def f(a):
            for b in a:
                try:
                    if b:
                        continue
                    break
                except KeyError:
                    return a
        """
    )
    assert set(found) == {
        "condition True",
        "condition False",
        "continue to break",
        "break to continue",
        "except catches nothing",
        "return None",
    }


@pytest.mark.parametrize(
    "code",
    [
        '"""1 == 2"""',
        "DOCUMENTATION = '''1 == 2'''",
        "x: Literal[1]",
        "def f(a: Literal[True]) -> Literal[1]: ...",
        "@decorated(True)\ndef f(): ...",
        "x = f'{a == b}'",
        "if TYPE_CHECKING:\n    x = 1",
        "x = 'a' + b",
        "x = [a] + b",
        "raise NotImplementedError",
        "def f():\n    return None",
        "x = y",
    ],
)
def test_what_says_nothing_about_tests_is_left_alone(code):
    assert python(code) == {}


def test_lines_are_those_of_the_statement_without_the_ones_in_it():
    source = b"def f(a):\n    if (a and\n            b):\n        c(\n            1)\n"
    lines = {
        mutant.operator: (mutant.first_line, mutant.last_line, mutant.scope, mutant.loaded)
        for mutant in python_operators.mutants_of("plugins/a.py", source)
    }
    assert lines["and to or"] == (2, 3, "plugins/a.py:f", False)
    assert lines["number + 1"] == (4, 5, "plugins/a.py:f", False)


def test_what_runs_at_import_is_known():
    source = b"A = 1\nclass B:\n    C = 2\n    def f(self, d=3):\n        return 4\n"
    loaded = {
        mutant.line: mutant.loaded
        for mutant in python_operators.mutants_of("plugins/a.py", source)
        if mutant.operator == "number + 1"
    }
    assert loaded == {1: True, 3: True, 4: True, 5: False}


TASKS = """\
- name: Créer
  when: a == 'x and y'
  ansible.builtin.file:
    path: "{{ a and b }}"
    state: present
  changed_when: false

- name: Check
  ansible.builtin.assert:
    that:
      - not a
      - b is not defined
    fail_msg: a and b

- name: Group
  when:
    - a
    - b
  block:
    - name: Inner
      ansible.builtin.ping:
"""


def of_yaml(text: str, path: str = "roles/r/tasks/main.yml") -> dict[str, tuple[str, int, int]]:
    """Return the mutated lines, without the indentation, and the lines of the task, by line and operator."""
    source = text.encode()
    found = {}
    for mutant in yaml_operators.mutants_of(path, source):
        assert yaml_operators.is_valid(source, mutant), mutant
        before, after = source.decode().splitlines(), apply(source, [mutant]).decode().splitlines()
        changed = " / ".join(line.strip() for line in after if line not in before)
        found[f"{mutant.line} {mutant.operator}"] = (changed, mutant.first_line, mutant.last_line)
    return found


def test_the_faults_of_tasks():
    assert of_yaml(TASKS) == {
        "2 task dropped": ("when: false", 1, 7),
        "2 when negated": ("when: 'not (a == ''x and y'')'", 1, 7),
        "2 == to !=": ("when: a != 'x and y'", 1, 7),
        "4 and to or": ('path: "{{ a or b }}"', 1, 7),
        "5 present to absent": ("state: absent", 1, 7),
        "6 false to true": ("changed_when: true", 1, 7),
        "8 task dropped": ("- when: false / name: Check", 8, 14),
        "11 that: one dropped": ("- true", 8, 14),
        "11 that negated": ("- 'not (not a)'", 8, 14),
        "11 not removed": ("- a", 8, 14),
        "12 that: one dropped": ("- true", 8, 14),
        "12 that negated": ("- 'not (b is not defined)'", 8, 14),
        "12 is not to is": ("- b is defined", 8, 14),
        "17 task dropped": ("false", 15, 18),
        "17 when: one dropped": ("- true", 15, 18),
        "17 when negated": ("- 'not (a)'", 15, 18),
        "18 when: one dropped": ("- true", 15, 18),
        "18 when negated": ("- 'not (b)'", 15, 18),
        "20 task dropped": ("- when: false / name: Inner", 20, 21),
    }


def test_the_faults_of_variables():
    text = "# é\na: true\nb: 3\nc: >-\n  {{ x | selectattr('and') if y == 1 or not z }} and\nd: a and b\n"
    assert {key: changed for key, (changed, _first, _last) in of_yaml(text, "roles/r/vars/main.yml").items()} == {
        "2 true to false": "a: false",
        "3 number + 1": "b: 4",
        "5 selectattr to rejectattr": "{{ x | rejectattr('and') if y == 1 or not z }} and",
        "5 == to !=": "{{ x | selectattr('and') if y != 1 or not z }} and",
        "5 or to and": "{{ x | selectattr('and') if y == 1 and not z }} and",
        "5 not removed": "{{ x | selectattr('and') if y == 1 or z }} and",
    }


def test_mutants_that_overlap_are_not_applied_together():
    source = b"x = a == b\n"
    mutants = [Mutant("a.py", 1, 1, "o", start, 10, "1", 1, 1, "a.py") for start in (4, 6)]
    with pytest.raises(ValueError, match="overlaps"):
        apply(source, mutants)


def test_the_sample_is_the_seeds():
    mutants = sample.all_mutants(ROOT, "plugins/module_utils/_s") + sample.all_mutants(ROOT, "roles/neon")
    chosen = sample.draw(list(mutants), 40, 5, ROOT)
    assert chosen == sample.draw(list(mutants), 40, 5, ROOT)
    assert chosen != sample.draw(list(mutants), 40, 6, ROOT)
    assert Counter(mutant.kind for mutant in chosen) == {"Python": 34, "YAML": 6}
    assert len({mutant.id for mutant in chosen}) == 40
    assert not [mutant for mutant in mutants if "doc_fragments" in mutant.path]


def mutant(name: str, scope: str = "") -> Mutant:
    return Mutant(f"plugins/{name}.py", 1, 1, "o", 0, 1, "1", 1, 1, scope or f"plugins/{name}.py:")


A, B, C, D = map(mutant, "abcd")


class FakeTests:
    """Tests that fail with some mutants, or with some of them together."""

    def __init__(self, fail_with: dict[str, list[set[Mutant]]], broken_with: tuple[set[Mutant], ...] = ()) -> None:
        self._fail_with = fail_with
        self._broken_with = broken_with
        self.whole_runs: list[tuple[int, int]] = []

    def together(self, mutants: list[Mutant], tests: list[str]) -> Outcome:
        self.whole_runs.append((len(mutants), len(tests)))
        return self._run(mutants, tests)

    def each(self, tries: list[tuple[Mutant, list[str]]]) -> list[Outcome]:
        return [self._run([mutant], tests) for mutant, tests in tries]

    def _run(self, mutants: list[Mutant], tests: list[str]) -> Outcome:
        if any(together <= set(mutants) for together in self._broken_with):
            return Outcome(broken="no result")
        failed = [test for test in tests if any(together <= set(mutants) for together in self._fail_with.get(test, []))]
        return Outcome(failed=failed, finished=tests)


def killed(tests: FakeTests, tests_of: dict[Mutant, set[str]]) -> dict[str, str]:
    search = Search({mutant.id: tests for mutant, tests in tests_of.items()}, tests.together, tests.each)
    return search.killed(list(tests_of))


def test_survivors_of_everything_cost_one_run():
    tests = FakeTests({})
    assert killed(tests, {A: {"t"}, B: {"t", "u"}, C: {"v"}}) == {}
    assert tests.whole_runs == [(3, 3)]


def test_whom_a_failing_test_notices_is_found_and_the_others_are_tried_again():
    tests = FakeTests({"t": [{A}], "u": [{B}]})
    assert killed(tests, {A: {"t", "u"}, B: {"t", "u"}, C: {"u", "v"}}) == {A.id: "t", B.id: "u"}
    assert tests.whole_runs == [(3, 3), (1, 2)]


def test_a_mutant_that_only_another_one_hid_is_found():
    class Hiding(FakeTests):
        def _run(self, mutants: list[Mutant], tests: list[str]) -> Outcome:
            return super()._run([mutant for mutant in mutants if not (A in mutants and mutant == B)], tests)

    assert killed(Hiding({"t": [{A}], "u": [{B}]}), {A: {"t"}, B: {"u"}}) == {A.id: "t", B.id: "u"}


def test_what_only_two_mutants_do_together_kills_neither():
    tests = FakeTests({"t": [{A, D}], "u": [{C}]})
    assert killed(tests, {A: {"t"}, B: {"t"}, C: {"u"}, D: {"t"}}) == {C.id: "u"}


def test_mutants_with_which_no_test_starts_are_parted():
    tests = FakeTests({"t": [{B}]}, broken_with=({C},))
    assert killed(tests, {A: {"t"}, B: {"t"}, C: {"t"}, D: {"t"}}) == {B.id: "t", C.id: "the tests cannot start"}


def test_a_test_that_fails_once_kills_nothing():
    class Flaky(FakeTests):
        def together(self, mutants: list[Mutant], tests: list[str]) -> Outcome:
            outcome = super().together(mutants, tests)
            return Outcome(failed=["t"]) if len(self.whole_runs) == 1 else outcome

    assert killed(Flaky({}), {A: {"t"}, B: {"t"}}) == {}


def test_no_two_mutants_of_a_function_are_tried_together():
    one, two, other = mutant("a", "f"), mutant("b", "f"), mutant("c", "g")
    assert partition([one, two, other]) == [[one, other], [two]]


def test_tests_are_ordered_by_what_they_cost_and_tell():
    seconds = {
        "tests/unit/test_a.py::test_u": 1,
        "tests/integration/test_a.py::test_f[pg18-1]": 2,
        "tests/integration/test_a.py::test_f[pg18-2]": 3,
        "tests/integration/test_a.py::test_g[pg18]": 9,
        "tests/integration/test_b.py::test_h[pg18]": 1,
        "tests/integration/test_a.py::test_f[pg14-1]": 1,
    }
    near = {test for test in seconds if "test_h" not in test}
    assert in_order(seconds, near, seconds) == [
        "tests/unit/test_a.py::test_u",
        "tests/integration/test_a.py::test_f[pg18-1]",
        "tests/integration/test_a.py::test_g[pg18]",
        "tests/integration/test_a.py::test_f[pg18-2]",
        "tests/integration/test_b.py::test_h[pg18]",
        "tests/integration/test_a.py::test_f[pg14-1]",
    ]


def test_names_of_tests():
    assert base_id("tests/a.py::t[pg14-x@y]@pg14") == "tests/a.py::t[pg14-x@y]"
    assert base_id("tests/a.py::t[x@y]") == "tests/a.py::t[x@y]"
    assert (major_of("t[pg14]"), major_of("t[a-pg18-b]"), major_of("t[a]"), major_of("t")) == (14, 18, None, None)


def test_who_covers_a_mutant(tmp_path):
    seconds = dict.fromkeys(["t", "u", "v", "fails"], 1.0)
    recorded = CoverageMap(
        ROOT,
        lines={
            "plugins/module_utils/_text.py": {15: {"t", "fails"}},
            "plugins/module_utils/_sql.py": {100: {"u"}},
        },
        tasks={"roles/cdc/tasks/look.yml": {7: {"t"}}, "roles/cdc/tasks/tell.yml": {7: {"u"}}},
        reads={"roles/cdc/vars/main.yml": {"v"}},
        seconds=seconds,
        failed=["fails"],
    )
    recorded.save(tmp_path / "map.json")
    recorded = CoverageMap.load(ROOT, tmp_path / "map.json")

    def covering(path: str, line: int, loaded: bool = False) -> set[str]:
        return recorded.covering(Mutant(path, line, 1, "o", 0, 1, "", line, line, path, loaded))

    assert covering("plugins/module_utils/_text.py", 15) == {"t"}
    assert covering("plugins/module_utils/_text.py", 16) == set()
    # _sql.py imports _text.py.
    assert covering("plugins/module_utils/_text.py", 2, loaded=True) == {"t", "u"}
    assert covering("roles/cdc/tasks/look.yml", 7) == {"t"}
    assert covering("roles/cdc/tasks/main.yml", 6) == {"t", "u"}
    assert covering("roles/cdc/vars/main.yml", 6) == {"t", "u", "v"}
    assert covering("roles/neon/vars/main.yml", 6) == set()


def test_results_are_kept_and_counted(tmp_path):
    mutants = sample.draw(sample.all_mutants(ROOT, "plugins/module_utils/_sql.py"), 4, 1, ROOT)
    file = tmp_path / "results.jsonl"
    results = Results(file, ROOT)
    results.add(mutants[0], QUICK, KILLED, "t", 3)
    results.add(mutants[1], QUICK, OPEN)
    results.add(mutants[1], QUICK, SURVIVED)
    results.add(mutants[1], FULL, KILLED, "u", 1)
    results.add(mutants[2], QUICK, SURVIVED)
    results.add(mutants[2], FULL, SURVIVED)
    text = page(ROOT, mutants, Results(file, ROOT), 4, 1)
    assert "| all | 3 | 1 | 2 | 1 |" in text
    assert "Of 2 mutants that all tests kill, the quick selection misses 1: 50.0 in 100" in text
    assert "3 were tried to the end" in text

    results.forget_survivors()
    again = Results(file, ROOT)
    assert [again.verdict(mutant, QUICK) for mutant in mutants] == [KILLED, "", "", ""]

    # What was found out about another content of the file does not count.
    file.write_text(file.read_text().replace(results.get(mutants[0], QUICK).content, "0" * 12))
    assert not Results(file, ROOT).verdict(mutants[0], QUICK)
