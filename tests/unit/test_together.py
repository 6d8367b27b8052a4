# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several resources as one: what becomes of their plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils._engine import Plan, Stages, Together
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._sql import Statement


@dataclass
class Part:
    """Its plan is what is seen of it."""

    key: str = "part"

    def look(self, version: int) -> str:
        return f"SELECT {version}"

    def logins(self, _seen: Any) -> list[tuple[str, str]]:
        return [(self.key, "secret")]

    def plan(self, seen: Any, *_others: object) -> Plan:
        return seen

    def describe(self, _seen: Any) -> dict[str, Any]:
        return {"is": self.key}


def statements(*texts: str) -> list[Statement]:
    return [Statement(text) for text in texts]


def planned(**plans: Plan) -> Plan:
    return Together({name: Part(name) for name in plans}).plan(plans, None, {})


def test_statements_come_in_the_order_of_the_parts_and_what_two_need_comes_once() -> None:
    plan = planned(
        first=Plan(statements=statements("CREATE SCHEMA s", "CREATE TABLE s.a")),
        second=Plan(statements=statements("CREATE SCHEMA s", "CREATE TABLE s.b")),
    )
    assert plan.statements == statements("CREATE SCHEMA s", "CREATE TABLE s.a", "CREATE TABLE s.b")


def test_what_is_missing_counts_only_where_no_earlier_part_makes_anything() -> None:
    missing = Plan(missing=["The role r does not exist."])
    assert planned(role=Plan(), grant=missing).missing == missing.missing
    assert planned(role=Plan(statements=statements("CREATE ROLE r")), grant=missing).missing == []


def test_a_diff_shows_only_the_parts_that_differ() -> None:
    plan = planned(same=Plan(before={"a": 1}, after={"a": 1}), other=Plan(before={}, after={"b": 2}))
    assert (plan.before, plan.after) == ({"other": {}}, {"other": {"b": 2}})


def test_a_warning_is_given_once() -> None:
    assert planned(one=Plan(warnings=["w"]), two=Plan(warnings=["w", "v"])).warnings == ["w", "v"]


def test_parts_of_parts_stand_beside_each_other_in_the_diff_and_in_the_result() -> None:
    inner = Together({"role": Part("role"), "grant": Part("grant")})
    whole = Stages({"access": inner, "slot": Part("slot")})
    seen = {"access": {"role": Plan(after={"a": 1}), "grant": Plan()}, "slot": Plan(after={"b": 2})}
    assert whole.plan(seen, None, {}).after == {"role": {"a": 1}, "slot": {"b": 2}}
    assert whole.describe(seen) == {"role": {"is": "role"}, "grant": {"is": "grant"}, "slot": {"is": "slot"}}
    assert whole.logins(seen) == [("role", "secret"), ("grant", "secret"), ("slot", "secret")]
    assert whole.look(17) == (
        "SELECT json_build_object('access', (SELECT json_build_object('role', (SELECT 17), 'grant', (SELECT 17))), 'slot', (SELECT 17))"
    )


@dataclass
class Refused(Part):
    """It cannot be planned."""

    def plan(self, _seen: Any, *_others: object) -> Plan:
        raise Failure(f"{self.key} cannot be.", hint=f"Leave {self.key} out.", names=[self.key])


def test_all_parts_that_fail_are_told_with_what_differs_in_the_others() -> None:
    inner = Together({"a": Refused("a"), "b": Part("b")})
    whole = Stages({"first": inner, "c": Refused("c"), "d": Part("d")})
    inner.parts["b"].title, whole.parts["d"].title = "the part b", "the part d"
    seen = {
        "first": {"a": None, "b": Plan(before={"x": 1}, after={"x": 2}, statements=statements("DO b"))},
        "c": None,
        "d": Plan(before={"y": 1}, after={"y": 2}, statements=statements("DO d")),
    }
    with pytest.raises(Failure) as failure:
        whole.plan(seen, None, {})
    result = failure.value.as_result()
    assert result["msg"] == "a cannot be. c cannot be. Leave a out. Leave c out."
    assert result["names"] == ["a", "c"]
    assert [sentence.count("part b") + 2 * sentence.count("part d") for sentence in result["drift"]] == [
        1,
        2,
    ]
