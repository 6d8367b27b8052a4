# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of the resource slot, and how it reads its options."""

from __future__ import annotations

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._resources.slot import Slot
from ansible_collections.streamkap.neon.plugins.module_utils._server import Server

CREATE = ["SET LOCAL lock_timeout = 0", "SELECT pg_create_logical_replication_slot('s', 'pgoutput')"]
DROP = "SELECT pg_drop_replication_slot('s')"


def desired(**options: object) -> Slot:
    defaults = {
        "name": "s",
        "plugin": "pgoutput",
        "publication": None,
        "failover": None,
        "two_phase": None,
        "state": "present",
        "force": False,
        "recreate_lost": False,
    }
    return Slot(**{**defaults, **options})


def server(**facts: object) -> Server:
    defaults = {
        "version": 170011,
        "database": "neondb",
        "user": "owner",
        "in_recovery": False,
        "wal_level": "logical",
        "neon_project": None,
        "neon_privileged": False,
        "superuser": False,
        "createrole": True,
        "replication": True,
        "bypassrls": True,
    }
    return Server(**{**defaults, **facts})


def slot(**facts: object) -> dict[str, object]:
    defaults = {
        "plugin": "pgoutput",
        "database": "neondb",
        "slot_type": "logical",
        "temporary": False,
        "active": False,
        "active_pid": None,
        "wal_status": "reserved",
        "invalidation_reason": None,
        "restart_lsn": "0/1",
        "confirmed_flush_lsn": "0/2",
        "lag_bytes": 3,
        "safe_wal_size": None,
        "failover": False,
        "two_phase": False,
    }
    return {**defaults, **facts}


def seen(found: dict[str, object] | None = None, **facts: object) -> dict[str, object]:
    defaults = {
        "slot": found,
        "reader": None,
        "publication": None,
        "slots": 1,
        "max_slots": 10,
        "rds_replication": False,
        "writers": [],
    }
    return {**defaults, **facts}


def sent(resource: Slot, found: dict[str, object], **facts: object) -> list[str]:
    return [str(statement) for statement in resource.plan(found, server(**facts), {}).statements]


def refusal(resource: Slot, found: dict[str, object], **facts: object) -> str:
    with pytest.raises(Failure) as failure:
        resource.plan(found, server(**facts), {})
    return failure.value.as_result()["msg"]


@pytest.mark.parametrize("name", ["", "Slot", "my-slot", "a" * 64, "slöt", "a b", "a\n", "x'; DROP"])
def test_names_that_postgresql_would_refuse_are_refused(name: str) -> None:
    with pytest.raises(Failure, match="cannot be the name of a slot") as failure:
        desired(name=name)
    assert "lower-case letters, digits and underscores" in failure.value.hint


@pytest.mark.parametrize("name", ["s", "streamkap_pgoutput_slot", "0" * 63, "_"])
def test_names_that_postgresql_takes_are_taken(name: str) -> None:
    assert desired(name=name).name == name


@pytest.mark.parametrize("options", [{"plugin": ""}, {"publication": ""}, {"publication": "p" * 64}])
def test_other_names_that_cannot_be_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(Failure, match="name of"):
        desired(**options)


@pytest.mark.parametrize(
    ("version", "has", "lacks"),
    [
        (140000, "NULL::bool", "s.failover"),
        (160000, "NULL::text", "s.invalidation_reason"),
        (170000, "s.failover", "NULL::text"),
    ],
)
def test_look_names_only_what_the_version_has(version: int, has: str, lacks: str) -> None:
    look = desired().look(version)
    assert has in look
    assert lacks not in look


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({}, "'s', 'pgoutput'"),
        ({"plugin": "it's"}, "'s', 'it''s'"),
        ({"failover": False, "two_phase": False}, "'s', 'pgoutput'"),
        ({"two_phase": True}, "'s', 'pgoutput', twophase => true"),
        ({"failover": True, "two_phase": True}, "'s', 'pgoutput', twophase => true, failover => true"),
    ],
)
def test_slot_that_does_not_exist_is_made(options: dict[str, object], arguments: str) -> None:
    plan = desired(**options).plan(seen(), server(), {})
    assert str(plan.statements[-1]) == f"SELECT pg_create_logical_replication_slot({arguments})"
    assert plan.before == {}
    assert plan.lasting


@pytest.mark.parametrize(
    ("found", "facts", "words"),
    [
        ({}, {"wal_level": "replica"}, "its wal_level is replica. Set wal_level = logical and restart"),
        (
            {},
            {"wal_level": "replica", "neon_project": "p"},
            "Enable logical replication in the settings of the Neon project",
        ),
        ({}, {"replication": False}, "owner may not make or drop a slot: it lacks REPLICATION. Run as"),
        ({"slots": 10}, {}, "10 of max_replication_slots = 10. Drop a slot"),
    ],
)
def test_what_keeps_a_slot_from_being_made_is_found_before(
    found: dict[str, object], facts: dict[str, object], words: str
) -> None:
    assert words in refusal(desired(), seen(**found), **facts)


@pytest.mark.parametrize(("found", "facts"), [({}, {"superuser": True}), ({"rds_replication": True}, {})])
def test_who_may_make_a_slot_without_the_attribute(found: dict[str, object], facts: dict[str, object]) -> None:
    assert sent(desired(), seen(**found), replication=False, **facts) == CREATE


def test_existing_slot_needs_neither_right_nor_room() -> None:
    found = seen(slot(), slots=10)
    assert sent(desired(), found, replication=False, wal_level="replica") == []


@pytest.mark.parametrize(("state", "force"), [("present", False), ("absent", False), ("absent", True)])
@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"slot_type": "physical", "plugin": None, "database": None}, "is a physical one"),
        ({"database": "shop"}, "belongs to the database shop, not to neondb"),
        ({"temporary": True, "active_pid": 7}, "a temporary one, of the process 7"),
        ({"plugin": "wal2json"}, "has the plugin wal2json, not pgoutput"),
    ],
)
def test_slot_that_is_not_meant_is_refused(state: str, force: bool, facts: dict[str, object], words: str) -> None:
    resource = desired(state=state, force=force, recreate_lost=True)
    assert words in refusal(resource, seen(slot(**facts, wal_status="lost")))


@pytest.mark.parametrize(
    ("option", "version", "can"),
    [("failover", 170000, True), ("two_phase", 170000, False), ("two_phase", 180000, True)],
)
def test_switch_that_differs_is_refused_with_what_can_change_it(option: str, version: int, can: bool) -> None:
    for on in (True, False):
        words = refusal(desired(**{option: on}), seen(slot(**{option: not on})), version=version)
        assert (f"ALTER_REPLICATION_SLOT s ({option.upper()} {str(on).lower()})" in words) is can
        assert "make it again" in words
        assert sent(desired(**{option: on}), seen(slot(**{option: on})), version=version) == []


def test_failover_that_is_off_is_no_difference_where_there_is_none() -> None:
    assert sent(desired(failover=False), seen(slot(failover=None)), version=160000) == []
    assert "need PostgreSQL 17" in refusal(desired(failover=True), seen(), version=160000)


@pytest.mark.parametrize("facts", [{"wal_status": "lost"}, {"invalidation_reason": "idle_timeout"}])
def test_lost_slot_is_made_anew_as_it_was_and_only_on_request(facts: dict[str, object]) -> None:
    found = seen(slot(**facts, two_phase=True, failover=True), slots=10)
    assert "recreate_lost: true" in refusal(desired(), found)
    arguments = "'s', 'pgoutput', twophase => true"
    assert sent(desired(recreate_lost=True, failover=False), found) == [
        DROP,
        CREATE[0],
        f"SELECT pg_create_logical_replication_slot({arguments})",
    ]
    assert sent(desired(state="absent"), found) == [DROP]


def test_slot_that_is_in_danger_is_a_warning() -> None:
    plan = desired().plan(seen(slot(wal_status="unreserved")), server(), {})
    assert plan.statements == []
    assert ["about to be lost" in warning for warning in plan.warnings] == [True]


def test_publication_that_does_not_exist_is_missing_for_a_new_slot_and_a_warning_for_an_old_one() -> None:
    resource = desired(publication="p")
    assert len(resource.plan(seen(publication=False), server(), {}).missing) == 1
    assert resource.plan(seen(publication=True), server(), {}).missing == []
    old = resource.plan(seen(slot(), publication=False), server(), {})
    assert (old.missing, len(old.warnings)) == ([], 1)


def test_slot_in_use_goes_only_by_force_and_by_who_may() -> None:
    def found(**reader: object) -> dict[str, object]:
        used = slot(active=True, active_pid=7)
        return seen(used, reader={"user": "connector", "superuser": False, "may_signal": True, **reader})

    forced = desired(state="absent", force=True)
    assert "in use by the process 7 of connector" in refusal(desired(state="absent"), found())
    assert sent(forced, found())[-1] == DROP
    assert "pg_terminate_backend" in sent(forced, found())[0]
    assert "member of connector or of pg_signal_backend" in refusal(forced, found(may_signal=False))
    assert "run as a superuser" in refusal(forced, found(superuser=True))
    assert sent(forced, found(superuser=True, may_signal=False), superuser=True)[-1] == DROP


def test_absence_twice_is_nothing() -> None:
    plan = desired(state="absent").plan(seen(), server(replication=False, wal_level="replica"), {})
    assert (plan.statements, plan.before, plan.after) == ([], {}, {})


def test_slot_that_is_being_made_is_missing_and_whom_it_waits_for_is_named() -> None:
    writers = [
        {"pid": None, "gid": "two phase", "user": "app", "database": "shop", "seconds": 90},
        {"pid": 7, "gid": None, "user": "app", "database": "neondb", "seconds": None},
        {"pid": 8, "gid": None, "user": None, "database": None, "seconds": None},
    ]
    half = slot(confirmed_flush_lsn=None, active=True, active_pid=9)
    plan = desired().plan(seen(half, writers=writers), server(), {})
    assert plan.statements == []
    assert plan.missing == [
        "The slot s is still being made, by the process 9 for the prepared transaction 'two phase' of app in shop "
        "(writing for 90 s), the process 7 of app in neondb, the process 8 to end."
    ]
    assert desired().plan(seen(half), server(), {}).missing == ["The slot s is still being made, by the process 9."]


def test_description_has_every_key_whether_the_slot_exists_or_not() -> None:
    none, one = desired().describe(seen()), desired().describe(seen(slot()))
    assert set(none) == set(one)
    assert {key for key, value in none.items() if value is not None} == {"name", "exists"}
