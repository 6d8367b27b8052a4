# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks as a whole, and what of them no server of the tests can show."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._readiness.check import CRITICAL, INFO, WARNING
from ansible_collections.streamkap.neon.plugins.module_utils._readiness.subject import quantity
from ansible_collections.streamkap.neon.plugins.module_utils._resources.readiness import CHECKS, Readiness

from support.checks_page import PAGE, page


def readiness(**options: Any) -> Readiness:
    defaults: dict[str, Any] = {
        "connector_user": "streamkap_user",
        "connector_password": None,
        "connector_role": "streamkap_role",
        "schemas": ["app"],
        "tables": None,
        "exclude_tables": None,
        "publication": "streamkap_pub",
        "slot": "streamkap_pgoutput_slot",
        "signal_table": "streamkap.streamkap_signal",
        "heartbeat_table": "streamkap.streamkap_heartbeat",
        "read_slot": False,
        "connector_running": False,
        "slot_before": None,
        "max_transaction_age": 1800,
        "max_signal_rows": 10000,
    }
    return Readiness(**{**defaults, **options})


def test_ids_are_words_and_unique() -> None:
    ids = [check.id for check in CHECKS]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in ids)


def test_a_check_needs_only_checks_that_are_there_and_none_needs_itself() -> None:
    needs = {check.id: check.needs for check in CHECKS}

    def all_needs(name: str, above: tuple[str, ...]) -> None:
        assert name not in above
        for other in needs[name]:
            all_needs(other, (*above, name))

    for name in needs:
        all_needs(name, ())


def test_what_is_critical_does_not_hang_on_what_is_not() -> None:
    severity = {check.id: check.severity for check in CHECKS}
    assert set(severity.values()) == {CRITICAL, WARNING, INFO}
    assert not [
        (check.id, other)
        for check in CHECKS
        for other in check.needs
        if check.severity == CRITICAL and severity[other] != CRITICAL
    ]


def test_titles_are_sentences() -> None:
    assert all(re.fullmatch(r"[A-Z].*\.", check.title) for check in CHECKS)


def test_the_page_of_checks_is_the_one_of_the_code() -> None:
    assert PAGE.read_text() == page(), "run: make docs"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-1", -1),
        ("30s", 30_000),
        ("5min", 300_000),
        ("1.5h", 5_400_000),
        ("500us", 0),
        ("64MB", 65536),
        ("1GB", 1048576),
        ("2048", 2048),
        ("on", 0),
    ],
)
def test_a_setting_is_read_in_its_base_unit(text: str, value: int) -> None:
    assert quantity(text) == value


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(Failure, match="'orders' is not the name of a table"):
        readiness(tables=["orders"])


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(Failure, match="max_transaction_age is -1"):
        readiness(max_transaction_age=-1)


@pytest.mark.parametrize("before", [{}, {"lag_bytes": 5}, {"ready": True}])
def test_what_is_no_earlier_look_at_the_slot_is_refused(before: dict[str, object]) -> None:
    with pytest.raises(Failure, match="slot_before is not what an earlier look told"):
        readiness(slot_before=before)


def test_the_connectors_side_takes_a_password() -> None:
    assert readiness().connector is None
    assert readiness(connector_password="Secret-1").connector == ("streamkap_user", "Secret-1")
