# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Passwords and connection strings are in nothing that comes out, whatever fails, whoever says it, and however it is written there."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest import mock
from urllib.parse import quote, quote_plus

import pytest
import yaml
from ansible.module_utils import basic

from support import modules, neon
from support.figures import Figures
from support.hurting import USER
from support.modules import run_module, run_playbook
from support.neon import Database

# Long enough and strange enough to be found nowhere by chance.
SECRETS = {
    "plain": "Plain-secret-5-of-the-tests",
    "quotes": "Quo'te''d\"secret-5-of-the-tests",
    "backslashes": "Back\\slash\\\\secret-5\\n-of-the-tests",
    "percent": "Per%cent%41%%secret-5-%s-of-the-tests",
    "blanks": " Blank secret 5 of the tests ",
    "not ASCII": "Gehéimnis-密碼-5-of-the-tests",
    "a line's end": "Two\nlines-secret-5-of-the-tests",
    "a template": "{{ 40 + 2 }}-secret-5-{% raw %}-of-the-tests",
    "SQL": "$$;--/*secret-5*/%L-of-the-tests",
    "URI": "u:p@h/d?a=b&c#secret-5-of-the-tests",
}
# Of ordinary modules only what shows in other ways there.
SHAPES = pytest.mark.parametrize(
    ("way", "shape"),
    [(modules.IN_PROCESS, shape) for shape in SECRETS]
    + [(modules.ORDINARY, shape) for shape in ("quotes", "backslashes", "not ASCII", "a line's end")],
    indirect=["way"],
)


def forms(secret: str) -> set[str]:
    """How a secret may be written."""
    quoted = secret.replace("'", "''")
    twice = quoted.replace("'", "''")
    return {
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        quoted,
        quoted.replace("\\", "\\\\"),
        twice,
        twice.replace("\\", "\\" * 4),
        secret.replace("\\", "\\\\").replace("'", "\\'"),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(secret))[3:-3],
        repr(secret)[1:-1],
        secret.encode("unicode_escape").decode(),
        yaml.safe_dump(secret, width=1000).strip(),
        yaml.safe_dump(secret, width=1000, allow_unicode=True, default_style='"').strip()[1:-1],
        base64.b64encode(secret.encode()).decode(),
        secret.encode().hex(),
    }


class Search:
    """Looks for secrets, and counts."""

    def __init__(self, figures: Figures, secrets: list[str]) -> None:
        self._figures = figures
        self._forms = {form for secret in secrets for form in forms(secret)}

    def __call__(self, where: str, text: str) -> None:
        leaked = [form for form in self._forms if form in text]
        self._figures.add("searched", 1)
        self._figures.add("leaks", len(leaked))
        around = [text[max(0, text.index(form) - 200) : text.index(form) + 200] for form in leaked]
        assert not leaked, f"{where}: {leaked}\n{around}"


def test_every_form_is_found(figures: Figures) -> None:
    for secret in SECRETS.values():
        for text in (f"<{secret}>", json.dumps({"a": [secret]}), yaml.safe_dump({"a": secret}), repr([secret])):
            with pytest.raises(AssertionError):
                Search(mock.Mock(spec=figures), [secret])("a text", text)


@pytest.fixture
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Modules in both ways; gives what they write to the system's log meanwhile."""
    monkeypatch.setattr(modules, "WAY", request.param)
    monkeypatch.setattr(basic, "has_journal", False)
    logged: list[str] = []
    monkeypatch.setattr(basic.syslog, "syslog", lambda _priority, words: logged.append(words))
    yield logged
    assert bool(logged) == (request.param == modules.ORDINARY)


# Repeats everything that it hears, as an audit trigger may do in good faith: all that was sent in the same message.
PARROT = """
CREATE FUNCTION parrot() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
  heard text := current_query();
BEGIN
  RAISE NOTICE 'heard: %', heard;
  RAISE '%', format('heard: %s', heard) USING DETAIL = format('so: %L', heard), HINT = format('or: %s', heard);
END $$;
CREATE EVENT TRIGGER parrot ON ddl_command_end EXECUTE FUNCTION parrot();
"""


@SHAPES
@pytest.mark.postgres(18)
def test_passwords_are_in_no_result(databases, figures: Figures, way: list[str], shape: str) -> None:
    secret = SECRETS[shape]
    wrong = secret[::-1]
    look = Search(figures, [secret, wrong])
    vanilla, other = databases(), databases(neon=True)
    begin = len(vanilla.server.log)
    user = {"name": "made_up", "password": secret}
    results = [
        run_module("role", dsn=vanilla.dsn, check=True, **user),
        run_module("role", dsn=vanilla.dsn, **user),
        run_module("role", dsn=vanilla.dsn, **{**user, "password": wrong}),
        run_module("readiness_info", dsn=vanilla.dsn, connector_user="made_up", connector_password=wrong),
        run_module("readiness_info", dsn=vanilla.dsn, connector_user="made_up", connector_password=secret),
        run_module("prerequisites", dsn=vanilla.dsn, connector_password=secret, schemas=["app"], check=True),
    ]
    assert [bool(result.get("failed")) for result in results] == [False] * 6, results
    assert results[1]["changed"]
    assert results[2]["changed"]
    # The verifier is in the log of a server that logs everything, and neither of the passwords.
    assert "SCRAM-SHA-256" in vanilla.server.log[begin:]
    look("the server's log", vanilla.server.log[begin:])
    # Neon gets the password itself, and here somebody repeats it.
    other.admin(PARROT)
    results.append(run_module("prerequisites", dsn=other.admin_dsn, connector_password=secret, schemas=["app"]))
    assert "heard:" in results[-1]["msg"]
    assert re.search(r"PASSWORD E?'[*]{8}'", results[-1]["msg"])
    as_made_up = vanilla.dsn_as("made_up", secret)
    mistakes: list[dict[str, object]] = [
        {"dsn": as_made_up},
        {"dsn": f"postgresql://made_up:{quote(secret, safe='')}@[::1/{vanilla.name}"},
        {"dsn": f"host=127.0.0.1 password='{secret}"},
        {"dsn": vanilla.dsn, "login_password": secret},
        {"dsn": vanilla.dsn, "connect_params": {"password": secret}},
        {"dsn": vanilla.dsn, "connect_params": {"password": secret, "no_such_parameter": 1}},
        {"dsn": vanilla.dsn, "connect_params": {"password": secret, "connect_timeout": "soon"}},
        {"dsn": vanilla.dsn, "connect_params": {"sslpassword": secret}, "no_such_option": 1},
        {"dsn": vanilla.dsn, "connect_params": {"sslpassword": secret}, "connect_timeout": 0},
        {"dsn": vanilla.dsn, "connect_params": {"sslpassword": secret}, "lock_timeout": "soon"},
        {"dsn": vanilla.dsn, "login_db": as_made_up},
        {"dsn": vanilla.dsn, "login_host": as_made_up, "statement_timeout": "soon"},
        {"dsn": vanilla.dsn, "login_user": as_made_up},
        {"dsn": as_made_up, "connect_params": {"hostaddr": "no address"}},
        {"dsn": as_made_up, "ssl_mode": "verify-full", "ca_cert": "/no/such/file"},
        {"dsn": as_made_up, "ssl_mode": "sometimes"},
        {"dsn": as_made_up, "session_role": "nobody"},
        {"dsn": as_made_up, "login_password": secret + "\0"},
    ]
    if modules.WAY == modules.IN_PROCESS:
        # Newer AnsibleModules refuse it themselves.
        mistakes.append({"dsn": as_made_up, "login_password": secret + "\ud800"})
    results += [run_module("slot", state="absent", name="nothing", **mistake) for mistake in mistakes]
    refused = [
        {"password": secret, "login": False},
        {"password": secret + "\0"},
        {"password": secret, "update_password": secret},
        {"password": secret, "name": secret * 3},
        {"password": secret, "member_of": ["nobody"]},
    ]
    results += [run_module("role", **{"dsn": vanilla.dsn, "name": "made_up", **options}) for options in refused]
    for result in results[7:]:
        assert result.get("failed"), result
    for number, result in enumerate(results):
        look(f"result {number}", json.dumps(result, ensure_ascii=False))
        look(f"result {number}", str(result))
    look("the system's log", "\n".join(way))


@pytest.mark.postgres(18)
@pytest.mark.parametrize("way", modules.WAYS, indirect=True)
def test_a_short_password_leaves_the_result_readable(database: Database, way: list[str]) -> None:
    del way
    for secret in ("a", "é", "pw"):
        made = run_module("role", dsn=database.dsn, name="short", password=secret)
        assert made["changed"]
        assert made["queries"][-1].endswith("PASSWORD '********'"), made["queries"]
        assert made["role"]["name"] == "short"
        assert made["invocation"]["module_args"]["password"] != secret
        assert not made["warnings"]
        assert not run_module("role", dsn=database.dsn, name="short", password=secret)["changed"]
        failed = run_module("slot", dsn=database.dsn, login_password=secret)
        assert "password authentication failed for user" in failed["msg"]
    # What a longer one hides is said.
    (warning,) = run_module("role", dsn=database.dsn, name="short_of", password="short")["warnings"]
    assert "names in it are incomplete" in warning


class Watch:
    """Reads command lines and environments of all processes but this one, again and again."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        own = str(os.getpid())
        while not self._end.wait(0.1):
            for process in Path("/proc").iterdir():
                if process.name.isdigit() and process.name != own:
                    for name in ("cmdline", "environ"):
                        with contextlib.suppress(OSError):
                            self.seen.add((process / name).read_bytes().decode(errors="replace"))


ADMINISTRATOR = "Adm'in\\secret%41-7-of-the-tests"

ALL_OF_IT = """
- hosts: localhost
  gather_facts: false
  vars:
    connection: &connection
      cdc_dsn: "{{ dsn }}"
      cdc_password: "{{ secret }}"
      cdc_schemas: [app]
      cdc_output_dir: "{{ output }}"
  tasks:
    - block:
        - ansible.builtin.include_role: {name: streamkap.neon.cdc}
          vars: *connection
      rescue:
        - ansible.builtin.debug: {msg: "{{ ansible_failed_result }}"}
    - ansible.builtin.debug: {var: cdc_connector}
    - ansible.builtin.include_role: {name: streamkap.neon.cdc}
      vars: {<<: *connection, cdc_password: "{{ wrong }}", cdc_connect_params: {sslpassword: "{{ wrong }}"}}
    - block:
        - ansible.builtin.include_role: {name: streamkap.neon.cdc, tasks_from: verify}
          vars: {<<: *connection, cdc_login_password: "{{ wrong }}"}
      rescue:
        - ansible.builtin.debug: {msg: "{{ ansible_failed_result }}"}
    - block:
        - ansible.builtin.include_role: {name: streamkap.neon.cdc}
          vars: {<<: *connection, cdc_connect_params: "{{ secret }}"}
      rescue:
        - ansible.builtin.debug: {msg: "{{ ansible_failed_result }}"}
    - block:
        - streamkap.neon.role: {dsn: "{{ dsn }}", name: refused, password: "{{ secret }}", member_of: [refused]}
      rescue:
        - ansible.builtin.debug: {msg: "{{ ansible_failed_result }}"}
    - streamkap.neon.role: {dsn: "{{ dsn }}", name: made, password: "{{ secret }}"}
      register: made
    - ansible.builtin.debug: {var: made}
    # Ansible writes it into the command line of a module in a process of its own.
    - when: in_process
      block:
        - streamkap.neon.slot: {name: s, state: absent}
          environment: {NEON_DATABASE_URL: "{{ dsn }}", PGOPTIONS: "-c nonsense=1"}
      rescue:
        - ansible.builtin.debug: {msg: "{{ ansible_failed_result }}"}
    - ansible.builtin.include_role: {name: streamkap.neon.cdc}
      vars: {<<: *connection, cdc_state: absent}
    - streamkap.neon.role: {dsn: "{{ dsn }}", name: made, state: absent}
"""


@pytest.mark.postgres(18)
@pytest.mark.parametrize(
    ("way", "callback", "check"),
    [
        (modules.IN_PROCESS, {"ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml"}, False),
        pytest.param(modules.ORDINARY, {"ANSIBLE_DISPLAY_TRACEBACK": "always"}, False, marks=pytest.mark.full),
        (modules.ORDINARY, {"ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml", "ANSIBLE_INJECT_INVOCATION": "1"}, True),
    ],
    ids=["in-process", "ordinary", "check"],
)
def test_passwords_are_in_no_output_of_ansible(
    database: Database,
    figures: Figures,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    way: str,
    callback: dict[str, str],
    check: bool,
) -> None:
    secret, wrong = SECRETS["quotes"], SECRETS["backslashes"]
    monkeypatch.setattr(modules, "WAY", way)
    server = database.server
    database.admin("CREATE ROLE administrator LOGIN CREATEROLE REPLICATION BYPASSRLS PASSWORD %s", [ADMINISTRATOR])
    database.admin(f"GRANT {neon.OWNER} TO administrator")
    dsn = database.dsn_as("administrator", ADMINISTRATOR)
    look = Search(figures, [secret, wrong, ADMINISTRATOR, dsn])
    output, temporary = tmp_path / "output", tmp_path / "temporary"
    temporary.mkdir()
    begin = len(server.log)
    with Watch() as watch:
        run = run_playbook(
            ALL_OF_IT,
            extra_vars={
                "dsn": dsn,
                "secret": secret,
                "wrong": wrong,
                "output": str(output),
                "in_process": way == modules.IN_PROCESS,
            },
            verbosity=4,
            check=check,
            diff=True,
            env={
                "ANSIBLE_LOG_PATH": str(tmp_path / "log"),
                "ANSIBLE_REMOTE_TMP": str(temporary / "remote"),
                "ANSIBLE_LOCAL_TEMP": str(temporary / "local"),
                "TMPDIR": str(temporary),
                **callback,
            },
        )
    look("standard output", run.stdout)
    look("standard error", run.stderr)
    assert run.rc == 0, run.stdout[-3000:]
    look("Ansible's log", (tmp_path / "log").read_text())
    look("the server's log", server.log[begin:])
    assert [path for path in temporary.rglob("*") if path.is_file()] == []
    reports = [path for path in output.rglob("*") if path.is_file()]
    assert bool(reports) != check
    for report in reports:
        look(report.name, report.read_text())
    assert any("ansible-playbook" in seen for seen in watch.seen)
    look("the process list", "\0".join(watch.seen))
    for word in (USER, "password authentication failed", "********"):
        assert word in run.stdout


@pytest.mark.full
@pytest.mark.postgres(18)
def test_passwords_are_in_no_output_of_another_callback(database: Database, figures: Figures, tmp_path: Path) -> None:
    secret = SECRETS["quotes"]
    look = Search(figures, [secret, neon.OWNER_PASSWORD, database.dsn])
    given = {"cdc_dsn": database.dsn, "cdc_password": secret, "cdc_schemas": ["app"], "cdc_output_dir": str(tmp_path)}
    for playbook, callback in (("setup", "minimal"), ("verify", "oneline"), ("teardown", "minimal")):
        run = run_playbook(
            f"streamkap.neon.{playbook}",
            extra_vars=given,
            verbosity=3,
            env={"ANSIBLE_STDOUT_CALLBACK": callback},
        )
        assert run.rc == 0, run.stdout
        look(playbook, run.stdout + run.stderr)
