# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""In which words it is told who was waited for, and when who is asked."""

from __future__ import annotations

import threading

from ansible_collections.streamkap.neon.plugins.module_utils._blockers import Waiting, Watch


def blocker(**known: object) -> dict[str, object]:
    unknown = dict.fromkeys(
        ("pid", "gid", "user", "database", "application", "state", "transaction_seconds", "state_seconds")
    )
    return {**unknown, "autovacuum": False, **known}


def waiting(*blockers: dict[str, object], **lock: object) -> Waiting:
    unknown = {"mode": "ShareLock", "kind": "transactionid", "schema": None, "relation": None}
    return Waiting(**{**unknown, **lock, "blockers": list(blockers)})


def test_the_lock_the_process_and_its_ages_are_named() -> None:
    seen = waiting(
        blocker(
            pid=7,
            user="alice",
            database="shop",
            application="psql",
            state="active",
            transaction_seconds=62,
            state_seconds=60,
        ),
        mode="AccessExclusiveLock",
        kind="relation",
        schema="app",
        relation="or.ders",
    )
    assert seen.words == (
        'It waited for ACCESS EXCLUSIVE on app."or.ders", behind the process 7 of alice in shop '
        "(application psql, transaction open for 62 s, query running for 60 s)."
    )
    assert seen.hint == "By force that is ended by: SELECT pg_terminate_backend(7)."


def test_what_may_not_be_seen_is_said_to_be_so() -> None:
    assert waiting(blocker(pid=7, user="alice")).words == (
        "It waited behind the process 7 of alice (since when is for members of pg_read_all_stats to see)."
    )


def test_a_prepared_transaction_has_no_process() -> None:
    seen = waiting(
        blocker(gid="it's", user="alice", database="shop", state="prepared", transaction_seconds=5),
        blocker(pid=8, state="idle in transaction", transaction_seconds=4, state_seconds=3),
    )
    assert seen.words == (
        'It waited behind the prepared transaction "it\'s" of alice in shop (transaction open for 5 s), '
        "the process 8 (transaction open for 4 s, idle in transaction for 3 s)."
    )
    assert seen.hint.endswith("by: ROLLBACK PREPARED 'it''s'; SELECT pg_terminate_backend(8).")


def test_an_autovacuum_is_better_let_end() -> None:
    seen = waiting(blocker(pid=7, autovacuum=True, database="shop"))
    assert "the process 7, an autovacuum in shop (" in seen.words
    assert "better let it end" in seen.hint


def test_another_run_is_called_so() -> None:
    assert waiting(blocker(pid=7), kind="advisory").words.startswith(
        "It waited for another run of this collection, behind the process 7 ("
    )


def test_many_are_not_all_named() -> None:
    seen = waiting(*(blocker(pid=number) for number in range(1, 18)))
    assert "the process 5 (" in seen.words
    assert seen.words.endswith(" and 12 more.")
    assert seen.hint.count("pg_terminate_backend") == 5


def test_nobody_is_asked_for_an_answer_that_comes_soon() -> None:
    asked: list[str] = []
    with Watch(asked.append, 7, patience=60):
        pass
    assert asked == []


def test_an_answer_of_nobody_does_not_outdo_the_one_before() -> None:
    found = {"mode": "ShareLock", "kind": "relation", "schema": None, "relation": None, "blockers": [blocker(pid=8)]}
    answers = iter([found, {**found, "blockers": []}, None])
    ended = threading.Event()

    def ask(query: str) -> object:
        assert "pg_blocking_pids(7)" in query
        answer = next(answers, None)
        if answer is None:
            ended.set()
        return answer

    with Watch(ask, 7, patience=0.4) as watch:
        assert ended.wait(10)
    assert list(answers) == []
    # What was seen last is no longer what is waited for, once it is some time ago.
    watch._seen_at -= 0.3
    assert watch.seen is None
    watch._seen_at += 60
    assert watch.seen == Waiting(**found)
