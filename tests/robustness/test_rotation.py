# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A new password for the connector's user: it works, it is known to whoever ordered it, and to nobody else, whatever is cut off."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import select
import shlex
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import make_dsn
from psycopg2.extras import LogicalReplicationConnection

from support import neon
from support.figures import Figures
from support.hurting import PASSWORD, PUBLICATION, SLOT, USER, make_user_where_sql_cannot
from support.modules import PlaybookRun, run_module, run_playbook
from support.neon import Database
from support.relay import listening

NEW_PASSWORD = "Another-4-of-the-tests"

# Does something at the moment at which a task begins: no other process of Ansible's runs then.
AT_TASK = """
import os, subprocess
from ansible.plugins.callback import CallbackBase
DOCUMENTATION = "name: at_task\\ntype: aggregate\\nshort_description: does something when a task begins\\ndescription: for tests"
class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "aggregate", "at_task"
    def v2_playbook_on_task_start(self, task, is_conditional):
        if task.get_name().endswith(os.environ["AT_TASK"]):
            subprocess.run(os.environ["AT_TASK_DO"], shell=True, check=True)
"""
KILL = "kill -9 $PPID"

STEPS = [
    "Look whether it can be changed",
    "A new password, in a file before anybody has it",
    "The new password is set",
    "The user logs in with it",
    "Who must be told",
    "What to do with it",
    "The new password takes the place of the old one",
]


@pytest.fixture
def prepared(database: Database) -> Database:
    make_user_where_sql_cannot(database.server)
    made = run_module("prerequisites", dsn=database.dsn, connector_password=PASSWORD, schemas=["app"])
    assert made["changed"], made
    return database


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """As an earlier rotation has left it."""
    file = tmp_path / "secrets" / "streamkap.password"
    file.parent.mkdir()
    file.write_text(f"{PASSWORD}\n")
    file.chmod(0o600)
    return file


def variables(database: Database, **given: object) -> dict[str, object]:
    """As the owner; where only a superuser may, as that one."""
    dsn = database.dsn if database.server.major >= 16 else database.admin_dsn
    return {"cdc_dsn": dsn, **{name: str(value) for name, value in given.items()}}


def rotate(database: Database, at: tuple[str, str, Path] | None = None, **given: object) -> PlaybookRun:
    """at: the task at whose beginning, the command that, and a folder for the plugin that does so."""
    env = {}
    if at:
        task, command, folder = at
        (folder / "at_task.py").write_text(AT_TASK)
        env = {"ANSIBLE_CALLBACK_PLUGINS": str(folder), "AT_TASK": task, "AT_TASK_DO": command}
    verbosity = given.pop("verbosity", 0)
    check = given.pop("check", False)
    return run_playbook(
        "streamkap.neon.rotate_password",
        extra_vars=variables(database, **given),
        env=env,
        verbosity=verbosity,
        check=check,
    )


def logs_in(database: Database, password: str) -> bool:
    try:
        psycopg2.connect(database.dsn_as(USER, password)).close()
    except psycopg2.OperationalError as error:
        if "password authentication failed" not in str(error):
            raise
        return False
    return True


def kept(file: Path) -> dict[str, str]:
    """The passwords in the folder, which is where a person looks for them, and nothing else is in it."""
    found = {path.name: path.read_text().rstrip("\n") for path in file.parent.iterdir()}
    assert set(found) <= {file.name, f"{file.name}.new"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in file.parent.iterdir())
    return found


@contextlib.contextmanager
def reader(database: Database) -> Iterator[Callable[[], bytes]]:
    """A connector that reads; gives what waits for the next message."""
    dsn = database.dsn_as(USER, PASSWORD)
    with contextlib.closing(psycopg2.connect(dsn, connection_factory=LogicalReplicationConnection)) as connection:
        cursor = connection.cursor()
        options = {"proto_version": "1", "publication_names": PUBLICATION}
        cursor.start_replication(slot_name=SLOT, decode=False, options=options)

        def read() -> bytes:
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                message = cursor.read_message()
                if message and message.payload[:1] == b"I":
                    return message.payload
                select.select([connection], [], [], 0.1)
            raise AssertionError("nothing came within 10 s")

        yield read


def test_a_new_password_works_and_is_handed_over_in_the_file_alone(prepared: Database, file: Path) -> None:
    logged_before = len(prepared.server.log)
    with reader(prepared) as read:
        run = rotate(prepared, cdc_password_file=file, verbosity=4)
        prepared.sql("INSERT INTO app.products VALUES ('read by', 'who was there before', 1)")
        assert b"who was there before" in read()
    assert run.rc == 0, run.stdout + run.stderr
    (new,) = kept(file).values()
    assert new != PASSWORD
    assert len(new) == 32
    assert logs_in(prepared, new)
    assert not logs_in(prepared, PASSWORD)
    assert new not in run.stdout + run.stderr
    assert new not in prepared.server.log[logged_before:]
    for told in (USER, "127.0.0.1", str(prepared.server.port), prepared.name, SLOT, PUBLICATION, str(file)):
        assert re.search(rf"^  \w.* {re.escape(told)}$", run.stdout, re.MULTILINE), told
    assert "is refused until it is told" in run.stdout


@pytest.mark.newest_version
@pytest.mark.postgres(15, 18)
def test_a_killed_rotation_leaves_a_known_password_and_the_next_one_goes_on_with_it(
    prepared: Database, file: Path, tmp_path: Path, figures: Figures
) -> None:
    generated = set()
    for step in STEPS:
        run = rotate(prepared, (step, KILL, tmp_path), cdc_password_file=file)
        assert run.rc == -9, f"not killed at {step}\n{run.stdout}"
        passwords = kept(file)
        figures.add("rotations_cut", 1)
        figures.add("rotations_lost", not any(logs_in(prepared, password) for password in passwords.values()))
        assert any(logs_in(prepared, password) for password in passwords.values()), step
        generated |= {passwords[name] for name in passwords if name.endswith(".new")}
    assert len(generated) == 1
    run = rotate(prepared, cdc_password_file=file)
    assert run.rc == 0, run.stdout
    assert "was the new one already" in run.stdout
    assert kept(file) == {file.name: generated.pop()}
    assert logs_in(prepared, kept(file)[file.name])


@pytest.mark.postgres(14, 17)
@pytest.mark.parametrize(
    ("step", "gone", "back", "said"),
    [
        (
            "The new password is set",
            "DATABASE {} ALLOW_CONNECTIONS false",
            "DATABASE {} ALLOW_CONNECTIONS true",
            "Cannot connect",
        ),
        (
            "The user logs in with it",
            "DATABASE {} ALLOW_CONNECTIONS false",
            "DATABASE {} ALLOW_CONNECTIONS true",
            "Cannot connect",
        ),
        (
            "The user logs in with it",
            f"ROLE {USER} CONNECTION LIMIT 0",
            f"ROLE {USER} CONNECTION LIMIT -1",
            "too many connections for role",
        ),
    ],
    ids=["before it is set", "before it is tried", "when it is tried"],
)
def test_a_server_that_refuses_half_way_leaves_a_known_password_and_the_message_says_where(
    prepared: Database, file: Path, tmp_path: Path, figures: Figures, step: str, gone: str, back: str, said: str
) -> None:
    gone, back = (f"ALTER {statement}".format(prepared.name) for statement in (gone, back))
    program = (
        "import psycopg2, sys; c = psycopg2.connect(sys.argv[1]); c.autocommit = True; c.cursor().execute(sys.argv[2])"
    )
    command = shlex.join([sys.executable, "-c", program, prepared.server.dsn(), gone])
    run = rotate(prepared, (step, command, tmp_path), cdc_password_file=file)
    prepared.server.sql(back)
    figures.add("rotations_cut", 1)
    assert run.rc == 2, run.stdout
    passwords = kept(file)
    assert set(passwords) == {file.name, f"{file.name}.new"}
    assert said in run.stdout
    assert f"that is in {file}.new, and what is in {file} stays" in run.stdout
    valid = [password for password in passwords.values() if logs_in(prepared, password)]
    figures.add("rotations_lost", not valid)
    assert valid == [passwords[file.name if step == "The new password is set" else f"{file.name}.new"]]
    assert not any(password in run.stdout + run.stderr for password in passwords.values())
    assert rotate(prepared, cdc_password_file=file).rc == 0
    assert kept(file) == {file.name: passwords[f"{file.name}.new"]}
    assert logs_in(prepared, passwords[f"{file.name}.new"])


class Cut:
    """Cuts the connection once: before the server gets what the client sends, or before the client gets the answer.

    :param at: which piece of what the client sends, counted through all connections.
    """

    def __init__(self, server_port: int, at: int, before: bool) -> None:
        self._server_port = server_port
        self._at = at
        self._before = before
        self.seen = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        cut = asyncio.Event()

        async def back() -> None:
            while data := await from_server.read(65536):
                if cut.is_set():
                    return
                writer.write(data)

        answers = asyncio.ensure_future(back())
        while data := await reader.read(65536):
            self.seen += 1
            if self.seen == self._at:
                cut.set()
                if not self._before:
                    to_server.write(data)
                    await answers
                break
            to_server.write(data)
        to_server.close()
        writer.close()
        answers.cancel()


@pytest.mark.parametrize("before", [True, False], ids=["not sent", "answer lost"])
def test_a_connection_cut_at_any_message_leaves_the_old_password_or_the_new_one(
    prepared: Database, figures: Figures, before: bool
) -> None:
    old, at = PASSWORD, 1
    given = {"name": USER, "connect_timeout": 3}
    dsn = variables(prepared)["cdc_dsn"]
    while True:
        new = f"{NEW_PASSWORD}-{at}"
        cut = Cut(prepared.server.port, at, before)
        with listening(cut.serve) as port:
            result = run_module("role", dsn=make_dsn(dsn, host="127.0.0.1", port=port), password=new, **given)
        if cut.seen < at:
            break
        works = [logs_in(prepared, password) for password in (old, new)]
        figures.add("rotations_cut", 1)
        figures.add("rotations_lost", works.count(True) != 1)
        assert works.count(True) == 1
        if "Nothing was changed" in result.get("msg", ""):
            assert works == [True, False]
        again = run_module("role", dsn=dsn, password=new, **given)
        assert "msg" not in again, again
        assert logs_in(prepared, new)
        old, at = new, at + 1
    assert result["changed"], result
    assert at > 6


@pytest.mark.postgres(18)
def test_what_cannot_be_changed_is_said_first_and_leaves_no_file(databases, file: Path) -> None:
    """Each database is a host of one run."""
    plain, strict = databases(), databases(neon=True)
    file.with_name("read by others.new").write_text("Known-to-everybody-8\n")
    file.with_name("read by others.new").chmod(0o644)
    made = run_module("prerequisites", dsn=plain.dsn, connector_password=PASSWORD, schemas=["app"])
    assert made["changed"], made
    own = file.parent
    cases = {
        "both": ({"cdc_password_file": own / "1", "cdc_new_password": NEW_PASSWORD}, "Give either cdc_password_file"),
        "neither": ({}, "Give either cdc_password_file"),
        "nobody": ({"cdc_password_file": own / "2", "cdc_user": "nobody_there"}, "There is no user nobody_there"),
        "folder": ({"cdc_password_file": own / "nowhere" / "file"}, "The file for the password cannot be written"),
        "known": ({"cdc_password_file": own / "read by others"}, "so its password may be known"),
        "foreign": ({"cdc_password_file": own / "3", "cdc_user": neon.CONSOLE_USER}, "may not alter the role"),
        "weak": ({"cdc_dsn": strict.dsn, "cdc_new_password": "letmein"}, "60 bits of entropy"),
    }
    inventory = {"all": {"hosts": {name: {"cdc_dsn": plain.dsn, **given} for name, (given, _said) in cases.items()}}}
    before = {path.name: path.read_text() for path in own.iterdir()}
    run = run_playbook(
        "streamkap.neon.rotate_password",
        inventory=json.dumps(inventory, indent=1, default=str),  # JSON is YAML
        extra_vars={"cdc_hosts": "all", "ansible_connection": "local"},
    )
    for name, (_given, said) in cases.items():
        assert (run.stats[name]["failed"], run.stats[name]["changed"]) == (1, 0), run.stdout
        (message,) = re.findall(rf'^fatal: \[{name}\].*"msg": (".*")', run.stdout, re.MULTILINE)
        assert said in message
        assert "Nothing was changed." in message or name in ("foreign", "weak")
    assert {path.name: path.read_text() for path in own.iterdir()} == before
    assert logs_in(plain, PASSWORD)


@pytest.mark.postgres(14, 18)
def test_a_check_writes_no_file_and_changes_nothing(prepared: Database, file: Path) -> None:
    run = rotate(prepared, cdc_password_file=file, check=True)
    assert run.rc == 0, run.stdout
    assert run.changed > 0
    assert "To be changed" in run.stdout
    assert kept(file) == {file.name: PASSWORD}
    assert logs_in(prepared, PASSWORD)


@pytest.mark.postgres(17)
def test_a_given_password_is_set_and_no_file_is_written(prepared: Database, file: Path) -> None:
    for changed in (1, 0):
        run = rotate(prepared, cdc_new_password=NEW_PASSWORD)
        assert (run.rc, run.changed) == (0, changed), run.stdout
        assert NEW_PASSWORD not in run.stdout
        assert logs_in(prepared, NEW_PASSWORD)
    assert kept(file) == {file.name: PASSWORD}
