# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role ssh_tunnel: what it makes and removes, what it refuses to touch, and that a wrong configuration is put back."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from support.bastion import PLAYBOOK, SSHD, Bastion, account, greeter, group, sessions
from support.modules import ROOT, PlaybookRun, run_playbook
from support.waiting import eventually

HELLO = b"hello"


def test_it_is_made_once_and_taken_back_without_a_trace(bastion: Bastion) -> None:
    """Before each step, a check shows what would be and changes nothing."""
    before = bastion.state()
    check = bastion.apply(check=True)
    assert check.changed > 0
    assert re.search(r"^\+ +PermitOpen 127\.0\.0\.1:5432$", check.stdout, re.MULTILINE), check.stdout
    assert bastion.state() == before

    first = bastion.apply()
    made = bastion.state()
    assert first.changed > 0
    assert account(bastion.user).pw_shell == "/usr/sbin/nologin"
    assert _shadow(bastion.user).startswith("*:")
    assert {path: Path(path).stat().st_uid for path in made["files"]} == dict.fromkeys(made["files"], 0)
    assert bastion.keys.stat().st_mode & 0o777 == 0o640
    assert bastion.starts == before["starts"] + 1
    told = _told(first)
    assert told["host"] == "127.0.0.1"
    assert told["port"] == str(bastion.port)
    assert told["user"] == bastion.user
    assert told["fingerprint"].startswith("SHA256:")

    second = bastion.apply()
    assert (second.changed, bastion.state()) == (0, made), second.stdout

    # The drop-in, the removal of the old key, and the new one: nothing else would change.
    other = bastion.apply(check=True, ssh_tunnel_databases=["127.0.0.1:5433"])
    assert other.changed == 3, other.stdout
    assert re.search(r"^\+.*permitopen=\"127\.0\.0\.1:5433\"", other.stdout, re.MULTILINE), other.stdout
    assert bastion.apply(check=True, ssh_tunnel_state="absent").changed > 0
    assert bastion.state() == made

    gone = bastion.apply(ssh_tunnel_state="absent", ssh_tunnel_public_key=None, ssh_tunnel_databases=None)
    assert gone.changed > 0
    assert bastion.state() == {**before, "starts": made["starts"] + 1}
    again = bastion.apply(ssh_tunnel_state="absent", ssh_tunnel_public_key=None, ssh_tunnel_databases=None)
    assert again.changed == 0, again.stdout


def test_a_key_is_rotated_and_the_old_one_is_out_at_once_and_absent_ends_the_new_one(bastion: Bastion) -> None:
    with greeter() as (host, port):
        place = f"{host}:{port}"
        bastion.apply(ssh_tunnel_databases=[place])
        with bastion.held() as ssh:
            eventually(lambda: sessions(bastion.user))
            new = bastion.make_key("new", "ecdsa")
            bastion.apply(ssh_tunnel_databases=[place], ssh_tunnel_public_key=new)
            assert sessions(bastion.user) == []
            assert ssh.wait(10) != 0
        refused = bastion.ssh("-W", place, "")
        assert b"Permission denied (publickey)" in refused.stderr
        assert bastion.ssh("-W", place, "", key="new").stdout == HELLO
        with bastion.held(key="new") as ssh:
            eventually(lambda: sessions(bastion.user))
            bastion.apply(ssh_tunnel_state="absent")
            assert ssh.wait(10) != 0
    assert (account(bastion.user), group(bastion.user), bastion.home.exists()) == (None, None, False)


def test_a_session_goes_on_when_a_database_is_added_and_ends_when_one_is_removed(bastion: Bastion) -> None:
    """Of a user who is on the list of those that may log in."""
    bastion.drop_in.with_name("00-administrator.conf").write_text(
        "AllowUsers root streamkap-test-*@127.0.0.1\nDenyUsers somebody\n"
    )
    with greeter() as (host, one), greeter() as (_host, two):
        places = [f"{host}:{one}", f"{host}:{two}"]
        bastion.apply(ssh_tunnel_databases=places[:1])
        with bastion.held() as ssh:
            eventually(lambda: sessions(bastion.user))
            bastion.apply(ssh_tunnel_databases=places)
            assert ssh.poll() is None
            assert bastion.ssh("-W", places[1], "").stdout == HELLO
            bastion.apply(ssh_tunnel_databases=places[1:])
            assert ssh.wait(10) != 0
        assert bastion.ssh("-W", places[0], "").stdout == b""
        assert bastion.ssh("-W", places[1], "").stdout == HELLO


def test_a_run_that_was_cut_short_is_finished_by_the_next(bastion: Bastion) -> None:
    """The drop-in was put in place, but sshd was not told; or a key was taken away, and not put back."""
    with greeter() as (host, port):
        place = f"{host}:{port}"
        bastion.apply(ssh_tunnel_databases=[place])
        bastion.keys.unlink()
        starts = bastion.starts
        run = bastion.apply(ssh_tunnel_databases=[place])
        assert run.changed > 0
        assert bastion.starts == starts + 1
        assert bastion.ssh("-W", place, "").stdout == HELLO


def test_what_does_not_take_leaves_the_tunnel_as_it_was(bastion: Bastion) -> None:
    """Of an update, what was there before is put back, and serves on."""
    with greeter() as (host, port), greeter() as (_host, other):
        bastion.apply(ssh_tunnel_databases=[f"{host}:{port}"])
        before = bastion.state()
        tries = bastion.folder / "tries"
        failing = ["sh", "-c", f"echo >> {tries}; exit 1"]
        run = bastion.run(ssh_tunnel_databases=[f"{host}:{other}"], ssh_tunnel_reload_command=failing)
        assert run.rc == 2, run.stdout
        # With the new configuration, and with the old one again.
        assert tries.read_text() == "\n\n"
        assert "The configuration was put back as it was." in _words(run)
        bastion.reload()
        assert bastion.state() == {**before, "starts": before["starts"] + 1}
        assert bastion.ssh("-W", f"{host}:{port}", "").stdout == HELLO
        gone = bastion.run(ssh_tunnel_state="absent", ssh_tunnel_reload_command=["false"])
        assert gone.rc == 2, gone.stdout
        assert bastion.drop_in.exists()
        assert bastion.apply(ssh_tunnel_state="absent").changed > 0
        assert not bastion.drop_in.exists()


def test_a_file_that_is_not_included_is_included_on_request_and_variables_may_be_text(bastion: Bastion) -> None:
    """As extra variables on the command line are."""
    _exclude_drop_in(bastion)
    before = bastion.state()
    with greeter() as (host, one), greeter() as (_host, two):
        given = {
            "ssh_tunnel_state": "present",
            "ssh_tunnel_public_key": (bastion.folder / "key.pub").read_text(),
            "ssh_tunnel_databases": f"{host}:{one}, {host}:{two}",
            "ssh_tunnel_user": bastion.user,
            "ssh_tunnel_group": bastion.user,
            "ssh_tunnel_home": str(bastion.home),
            "ssh_tunnel_adopt": "false",
            "ssh_tunnel_host": "bastion.example.com",
            "ssh_tunnel_port": "2222",
            "ssh_tunnel_sshd": str(SSHD),
            "ssh_tunnel_sshd_config": str(bastion.config),
            "ssh_tunnel_drop_in": str(bastion.drop_in),
            "ssh_tunnel_add_include": "true",
            "ssh_tunnel_service": "",
            "ssh_tunnel_reload_command": f"/bin/kill,-HUP,{bastion.pid}",
        }
        specification = (ROOT / "roles" / "ssh_tunnel" / "meta" / "argument_specs.yml").read_text()
        assert set(given) == set(yaml.safe_load(specification)["argument_specs"]["main"]["options"])

        failing = bastion.run(**{**given, "ssh_tunnel_reload_command": "false"})
        assert (failing.rc, bastion.state()) == (2, before), failing.stdout
        told = _told(bastion.apply(**given))
        assert (told["host"], told["port"]) == ("bastion.example.com", "2222")
        assert bastion.config.read_text().splitlines()[0] == f"Include {bastion.drop_in}"
        assert bastion.apply(**given).changed == 0
        eventually(lambda: bastion.ssh("-W", f"{host}:{one}", "").stdout == HELLO)
        assert bastion.ssh("-W", f"{host}:{two}", "").stdout == HELLO
    bastion.apply(**{**given, "ssh_tunnel_state": "absent"})
    assert bastion.state()["files"] == before["files"]


def test_what_is_somebody_elses_is_taken_when_it_may_be(bastion: Bastion) -> None:
    """Such as what Streamkap's own instructions make."""
    _make_account(bastion)
    with greeter() as (host, port):
        given = {"ssh_tunnel_databases": [f"{host}:{port}"], "ssh_tunnel_adopt": True}
        bastion.apply(**given)
        assert account(bastion.user).pw_shell == "/usr/sbin/nologin"
        users = subprocess.run(["getent", "group", "users"], capture_output=True, text=True, check=True).stdout
        assert bastion.user not in users
        assert bastion.apply(**given).changed == 0
        assert bastion.ssh("-W", f"{host}:{port}", "").stdout == HELLO
    bastion.apply(ssh_tunnel_state="absent")
    assert (account(bastion.user), bastion.home.exists()) == (None, False)


# What is done to a bastion, so that the role refuses to change it, or puts everything back. They return the variables.


def _exclude_drop_in(bastion: Bastion) -> dict[str, object]:
    """Have an Include that does not mean the file, and one that means nothing."""
    include, *rest = bastion.config.read_text().splitlines(keepends=True)
    bastion.config.write_text("".join([f"Include {bastion.folder}/other.d/*.conf\n", f"# {include}", *rest]))
    return {}


def _make_account(bastion: Bastion) -> dict[str, object]:
    subprocess.run(["groupadd", bastion.user], check=True)
    subprocess.run(["useradd", "-m", "-g", bastion.user, "-G", "users", "-s", "/bin/sh", bastion.user], check=True)
    return {}


def _make_account_for_removal(bastion: Bastion) -> dict[str, object]:
    return {**_make_account(bastion), "ssh_tunnel_state": "absent", "ssh_tunnel_adopt": "false"}


def _make_home_group_and_file(bastion: Bastion) -> dict[str, object]:
    bastion.drop_in.write_text("# of somebody else\n")
    bastion.home.mkdir()
    subprocess.run(["groupadd", bastion.user], check=True)
    return {}


def _break_config(bastion: Bastion) -> dict[str, object]:
    """With what Ansible must not take for a template."""
    with bastion.config.open("a") as config:
        config.write("{{6*7}} yes\n")
    return {}


def _overrule(bastion: Bastion) -> dict[str, object]:
    bastion.drop_in.with_name("00-administrator.conf").write_text(
        "AllowUsers root@127.0.0.1 somebody\nDenyUsers streamkap-*\nAllowGroups wheel\nDenyGroups *-test-*\n"
        "Match all\n    X11Forwarding yes\n"
    )
    return {}


def _ailing(ailment: str) -> Callable[[Bastion], dict[str, object]]:
    """Have an sshd that is the real one but for one complaint."""

    def prepare(bastion: Bastion) -> dict[str, object]:
        program = bastion.folder / "sshd"
        command = ailment.format(config=bastion.config, drop_in=bastion.drop_in)
        program.write_text(f'#!/bin/sh\n{command}\nexec {SSHD} "$@"\n')
        program.chmod(0o755)
        return {"ssh_tunnel_sshd": str(program)}

    return prepare


NOT_THIS_ROLES = "is there already, and not of this role's making"
REFUSED = {
    "not_included": (
        _exclude_drop_in,
        ["does not include {0.drop_in}. Put the line `Include {0.drop_in.parent}/*.conf` at its top"],
    ),
    "account": (_make_account, [f"The account {{0.user}} {NOT_THIS_ROLES}"]),
    "account_for_removal": (_make_account_for_removal, [f"The account {{0.user}} {NOT_THIS_ROLES}"]),
    # All of them are told at once.
    "home_group_and_file": (
        _make_home_group_and_file,
        [f"The {what} {NOT_THIS_ROLES}" for what in ("file {0.drop_in}", "folder {0.home}", "group {0.user}")],
    ),
    "broken": (_break_config, ["not valid as it stands, and nothing was changed", "{{{{6*7}}}}"]),
}
PUT_BACK = {
    "overruled": (
        _overrule,
        [
            "sshd would not go by what {0.drop_in} says of x11forwarding. Another Match",
            "AllowUsers and DenyUsers and AllowGroups and DenyGroups in the configuration of sshd would keep {0.user} out",
        ],
    ),
    # As an OpenSSH before 7.8 has it: found before the file is in place.
    "old_sshd": (
        _ailing('case "$*" in "-t -h "*) echo "Bad configuration option: PermitListen" >&2; exit 255;; esac'),
        ["PermitListen"],
    ),
    # Only when it is in place, by -t.
    "whole": (
        _ailing('case "$*" in "-t -f {config}") test -e {drop_in} && echo "{drop_in}: no" >&2 && exit 255;; esac'),
        ["The configuration of sshd would not be valid: {0.drop_in}: no."],
    ),
    # What the administrator may do is no longer the same.
    "administrator": (
        _ailing('case "$*" in *user=daemon,*) test -e {drop_in} && echo "permitrootlogin no";; esac'),
        ["would change for root and daemon, in permitrootlogin no"],
    ),
}
# Of one bastion for all of them. The unit tests have more.
CANNOT_BE_MEANT = [
    ({"ssh_tunnel_public_key": None}, "ssh_tunnel_public_key is no public key"),
    ({"ssh_tunnel_public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFaa0w"}, "ssh-keygen cannot read it"),
    ({"ssh_tunnel_databases": None}, "ssh_tunnel_databases is empty"),
    ({"ssh_tunnel_databases": "127.0.0.1:5432 db.example.com:5432"}, "is not of the form HOST:PORT"),
    ({"ssh_tunnel_user": "daemon", "ssh_tunnel_adopt": True}, "daemon is an administrator of this host"),
    ({"ssh_tunnel_user": "games", "ssh_tunnel_adopt": "false"}, f"The account games {NOT_THIS_ROLES}"),
    ({"ssh_tunnel_adopt": "perhaps"}, "ssh_tunnel_adopt"),
    ({"ssh_tunnel_reload_command": "systemctl reload ssh"}, "Give a list of words"),
    ({"ssh_tunnel_sshd": "/nowhere/sshd"}, "There is no /nowhere/sshd"),
]


@dataclass(frozen=True)
class Refusal:
    """A bastion that was refused, its state before, and what the run counted and printed of it."""

    bastion: Bastion
    before: dict[str, object]
    counts: dict[str, int]
    words: str


@pytest.fixture(scope="module")
def refusals() -> Iterator[dict[str, Refusal]]:
    """All of them in one run, by the name of the host. Root has come by sudo from the account daemon."""
    given = {}
    with contextlib.ExitStack() as stack:
        for number, (name, (prepare, _messages)) in enumerate({**REFUSED, **PUT_BACK}.items()):
            bastion = stack.enter_context(Bastion(f"-r{number}"))
            given[name] = (bastion, prepare(bastion))
        untouched = stack.enter_context(Bastion("-u"))
        given |= {f"case{number}": (untouched, case) for number, (case, _message) in enumerate(CANNOT_BE_MEANT)}
        hosts = {name: bastion.variables(**variables) for name, (bastion, variables) in given.items()}
        before = {name: bastion.state() for name, (bastion, _variables) in given.items()}
        run = run_playbook(
            PLAYBOOK,
            inventory=json.dumps({"all": {"hosts": hosts}}, indent=1),
            extra_vars={"hosts": "all", "facts": {}},
            env={"SUDO_USER": "daemon"},
        )
        yield {
            name: Refusal(
                bastion,
                before[name],
                run.stats[name],
                " ".join(re.findall(rf"^fatal: \[{name}\].*$", run.stdout, re.MULTILINE)).replace('\\"', '"'),
            )
            for name, (bastion, _variables) in given.items()
        }


# The group keeps them on one worker of pytest-xdist, so that one run is made for all of them.
@pytest.mark.xdist_group("refusals")
@pytest.mark.parametrize("name", REFUSED)
def test_what_the_role_must_not_change_is_refused(refusals: dict[str, Refusal], name: str) -> None:
    refusal = refusals[name]
    assert refusal.bastion.state() == refusal.before
    assert (refusal.counts["failed"], refusal.counts["changed"]) == (1, 0), refusal
    for message in REFUSED[name][1]:
        assert message.format(refusal.bastion) in refusal.words


@pytest.mark.xdist_group("refusals")
@pytest.mark.parametrize("name", PUT_BACK)
def test_what_sshd_would_not_go_by_is_put_back(refusals: dict[str, Refusal], name: str) -> None:
    refusal = refusals[name]
    assert refusal.bastion.state() == refusal.before
    assert (refusal.counts["failed"], refusal.counts["rescued"]) == (1, 1), refusal
    for message in [*PUT_BACK[name][1], "put back as it was, and sshd was not reloaded"]:
        assert message.format(refusal.bastion) in refusal.words


@pytest.mark.xdist_group("refusals")
def test_what_cannot_be_meant_is_refused_before_anything_is_changed(refusals: dict[str, Refusal]) -> None:
    for number, (given, message) in enumerate(CANNOT_BE_MEANT):
        refusal = refusals[f"case{number}"]
        assert (refusal.counts["failed"], refusal.counts["changed"]) == (1, 0), given
        assert message in refusal.words, given
        assert refusal.bastion.state() == refusal.before


@pytest.mark.parametrize(("family", "service"), [("Debian", "ssh"), ("RedHat", "sshd")])
def test_the_service_of_each_family_is_reloaded(bastion: Bastion, family: str, service: str) -> None:
    """By the real module for systemd, with a systemctl in small behind it, since the host here may have no systemd."""
    programs = bastion.folder / "bin"
    programs.mkdir()
    log = bastion.folder / "systemctl.log"
    (programs / "systemctl").write_text(
        f"""#!/bin/sh
echo "$@" >> {log}
case "$1" in
    show) printf 'Id={service}.service\\nLoadState=loaded\\nActiveState=active\\nSubState=running\\n' ;;
    reload) [ "$2" = {service} ] && kill -HUP {bastion.pid} ;;
esac
"""
    )
    (programs / "systemctl").chmod(0o755)
    path = {"PATH": f"{programs}:{os.environ['PATH']}"}
    facts = {"os_family": family, "service_mgr": "systemd"}
    starts = bastion.starts
    run = bastion.run(env=path, facts=facts, ssh_tunnel_reload_command=None)
    assert run.rc == 0, run.stdout
    assert f"reload {service}" in log.read_text().splitlines()
    eventually(lambda: bastion.starts == starts + 1)


def test_another_family_is_told_what_to_give_and_who_has_logged_in_is_an_administrator(bastion: Bastion) -> None:
    before = bastion.state()
    run = bastion.run(facts={"os_family": "Suse"}, ssh_tunnel_reload_command=None, ansible_user=bastion.user)
    assert (run.rc, run.changed, bastion.state()) == (2, 0, before), run.stdout
    assert "Give ssh_tunnel_service" in _words(run)
    assert f"{bastion.user} is an administrator of this host" in _words(run)


def test_the_playbook_takes_the_databases_of_those_that_were_made_ready(bastion: Bastion) -> None:
    """With modules that each start a Python of their own, as on any host."""
    connectors = {
        "one": {"hostname": "ep-one-1.eu.aws.neon.tech", "port": 5432, "ssh_tunnel": True},
        "two": {"hostname": "db.example.com", "port": 5433, "ssh_tunnel": True},
        "same": {"hostname": "db.example.com", "port": 5433, "ssh_tunnel": True},
        "direct": {"hostname": "open.example.com", "port": 5432, "ssh_tunnel": False},
    }
    hosts = {name: {"cdc_connector": connector} for name, connector in connectors.items()}
    given = bastion.variables(
        ansible_python_interpreter=sys.executable,
        ssh_tunnel_databases=None,
        ssh_tunnel_host="bastion.example.com",
        ssh_tunnel_port=2222,
    )
    inventory = bastion.folder / "hosts.json"
    inventory.write_text(
        json.dumps({"all": {"hosts": {**hosts, "not_ready": {}}}, "bastion": {"hosts": {"gate": given}}})
    )
    run = run_playbook("streamkap.neon.bastion", inventory=inventory)
    assert run.rc == 0, run.stdout + run.stderr
    assert list(run.stats) == ["gate"]
    opened = "db.example.com:5433 ep-one-1.eu.aws.neon.tech:5432"
    assert f"PermitOpen {opened}\n" in bastion.drop_in.read_text()
    assert "bastion.example.com" in run.stdout
    assert "2222" in run.stdout


def _shadow(name: str) -> str:
    """What stands behind the name in the line of the account."""
    (line,) = (line for line in Path("/etc/shadow").read_text().splitlines() if line.startswith(f"{name}:"))
    return line.partition(":")[2]


def _told(run: PlaybookRun) -> dict[str, str]:
    """The fact, as it was shown."""
    return dict(re.findall(r'^ +"(\w+)": "?([^"\[,]+)"?,?$', run.stdout, re.MULTILINE))


def _words(run: PlaybookRun) -> str:
    """What was said, however it was broken into lines and quoted."""
    return " ".join(run.stdout.replace('\\"', '"').split())
