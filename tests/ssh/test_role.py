# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role ssh_tunnel: what it makes and removes, what it refuses to touch, and that a wrong configuration is put back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.bastion import PLAYBOOK, SSHD, Bastion, account, greeter, group, sessions
from support.modules import PlaybookRun, run_playbook
from support.waiting import eventually

HELLO = b"hello"
KEPT_OUT = " in the configuration of sshd would keep {user} out"


@pytest.fixture(scope="module")
def untouched() -> Iterator[Bastion]:
    """For those that change nothing."""
    with Bastion("-u") as bastion:
        yield bastion


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

    assert bastion.apply(check=True).changed == 0
    other = bastion.apply(check=True, ssh_tunnel_databases=["127.0.0.1:5433"])
    assert other.changed > 0
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


def test_a_configuration_that_is_broken_already_is_not_touched(bastion: Bastion) -> None:
    with bastion.config.open("a") as config:
        config.write("Nonsense yes\n")
    before = bastion.state()
    run = bastion.run()
    assert (run.rc, run.changed, bastion.state()) == (2, 0, before), run.stdout
    assert "not valid as it stands, and nothing was changed" in _words(run)
    assert "Nonsense" in _words(run)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "Match all\n    X11Forwarding yes\n",
            r"sshd would not go by what .* says of x11forwarding\. Another Match .* Move that behind it",
        ),
        (
            "AllowUsers root@127.0.0.1 somebody\nDenyUsers streamkap-*\nAllowGroups wheel\nDenyGroups *-test-*\n",
            "AllowUsers and DenyUsers and AllowGroups and DenyGroups" + KEPT_OUT,
        ),
        # Each by itself.
        *(
            pytest.param(f"{line}\n", line.split()[0] + KEPT_OUT, marks=pytest.mark.full)
            for line in ("AllowUsers root@127.0.0.1 somebody", "AllowGroups wheel", "DenyUsers streamkap-*")
        ),
    ],
)
def test_what_sshd_would_not_go_by_is_put_back(bastion: Bastion, line: str, message: str) -> None:
    bastion.drop_in.with_name("00-administrator.conf").write_text(line)
    before = bastion.state()
    run = bastion.run()
    assert (run.rc, bastion.state()) == (2, before), run.stdout
    assert re.search(message.format(user=bastion.user), _words(run)), run.stdout
    assert "put back as it was, and sshd was not reloaded" in _words(run)


def test_a_user_who_is_on_the_list_is_let_in(bastion: Bastion) -> None:
    bastion.drop_in.with_name("00-administrator.conf").write_text(
        "AllowUsers root streamkap-test-*@127.0.0.1\nDenyUsers somebody\n"
    )
    with greeter() as (host, port):
        bastion.apply(ssh_tunnel_databases=[f"{host}:{port}"])
        assert bastion.ssh("-W", f"{host}:{port}", "").stdout == HELLO


@pytest.mark.parametrize(
    ("ailment", "message"),
    [
        # As an OpenSSH before 7.8 has it: found before the file is in place.
        ('case "$*" in "-t -h "*) echo "Bad configuration option: PermitListen" >&2; exit 255;; esac', "PermitListen"),
        # Only when it is in place, by -t.
        ('case "$*" in "-t -f {config}") test -e {drop_in} && echo "{drop_in}: no" >&2 && exit 255;; esac', "{drop_in}: no"),
        # What the administrator may do is no longer the same.
        (
            'case "$*" in *user=root,*) test -e {drop_in} && echo "permitrootlogin no";; esac',
            "would change for root, in permitrootlogin no",
        ),
    ],
)  # fmt: skip
def test_what_sshd_finds_wrong_is_put_back(bastion: Bastion, ailment: str, message: str) -> None:
    """By an sshd that is the real one but for one complaint."""
    names = {"config": bastion.config, "drop_in": bastion.drop_in}
    program = bastion.folder / "sshd"
    program.write_text(f'#!/bin/sh\n{ailment.format(**names)}\nexec {SSHD} "$@"\n')
    program.chmod(0o755)
    before = bastion.state()
    run = bastion.run(ssh_tunnel_sshd=str(program))
    assert (run.rc, bastion.state()) == (2, before), run.stdout
    assert message.format(**names) in _words(run)
    assert "put back as it was, and sshd was not reloaded" in _words(run)


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


def test_a_file_that_is_not_included_is_told_and_on_request_included(bastion: Bastion) -> None:
    include, *rest = bastion.config.read_text().splitlines(keepends=True)
    # One that does not mean this file, and one that means nothing.
    bastion.config.write_text("".join([f"Include {bastion.folder}/other.d/*.conf\n", f"# {include}", *rest]))
    before = bastion.state()
    run = bastion.run()
    assert (run.rc, run.changed, bastion.state()) == (2, 0, before), run.stdout
    assert (
        f"does not include {bastion.drop_in}. Put the line `Include {bastion.drop_in.parent}/*.conf` at its top"
        in _words(run)
    )

    with greeter() as (host, port):
        given = {"ssh_tunnel_databases": [f"{host}:{port}"], "ssh_tunnel_add_include": True}
        failing = bastion.run(**given, ssh_tunnel_reload_command=["false"])
        assert (failing.rc, bastion.state()) == (2, before), failing.stdout
        bastion.apply(**given)
        assert bastion.config.read_text().splitlines()[0] == f"Include {bastion.drop_in}"
        assert bastion.apply(**given).changed == 0
        assert bastion.ssh("-W", f"{host}:{port}", "").stdout == HELLO
    bastion.apply(**given, ssh_tunnel_state="absent")
    assert bastion.state()["files"] == before["files"]


def test_what_is_somebody_elses_is_left_alone_unless_it_may_be_taken(bastion: Bastion) -> None:
    """Such as what Streamkap's own instructions make."""
    subprocess.run(["groupadd", bastion.user], check=True)
    subprocess.run(["useradd", "-m", "-g", bastion.user, "-G", "users", "-s", "/bin/sh", bastion.user], check=True)
    before = bastion.state()
    for state in ("present", "absent"):
        run = bastion.run(ssh_tunnel_state=state)
        assert (run.rc, run.changed, bastion.state()) == (2, 0, before), run.stdout
        assert f"The account {bastion.user} is there already, and not of this role's making" in _words(run)
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


def test_a_home_a_group_and_a_file_of_somebody_elses_are_left_alone(bastion: Bastion) -> None:
    """All of them in one run, which tells of each by itself."""
    bastion.drop_in.write_text("# of somebody else\n")
    bastion.home.mkdir()
    subprocess.run(["groupadd", bastion.user], check=True)
    before = bastion.state()
    run = bastion.run()
    assert (run.rc, run.changed, bastion.state()) == (2, 0, before), run.stdout
    for what in (f"The file {bastion.drop_in}", f"The folder {bastion.home}", f"The group {bastion.user}"):
        assert f"{what} is there already" in _words(run)


CANNOT_BE_MEANT = [
    ({"ssh_tunnel_public_key": None}, "ssh_tunnel_public_key is no public key"),
    ({"ssh_tunnel_public_key": "ssh-ed25519 AAAA\nssh-ed25519 AAAA"}, "ssh_tunnel_public_key is no public key"),
    ({"ssh_tunnel_public_key": 'command="sh" ssh-ed25519 AAAA'}, "without options before it"),
    ({"ssh_tunnel_public_key": "ssh-dss AAAAB3NzaC1kc3M"}, "ssh_tunnel_public_key is no public key"),
    ({"ssh_tunnel_public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFaa0w"}, "ssh-keygen cannot read it"),
    ({"ssh_tunnel_databases": []}, "ssh_tunnel_databases is empty"),
    ({"ssh_tunnel_databases": None}, "ssh_tunnel_databases is empty"),
    ({"ssh_tunnel_databases": ["*:5432"]}, "is not of the form HOST:PORT"),
    ({"ssh_tunnel_databases": ["127.0.0.1:5432", "db.example.com"]}, '"db.example.com" in ssh_tunnel_databases is not'),
    ({"ssh_tunnel_databases": ["db:5432\nMatch all"]}, "is not of the form HOST:PORT"),
    ({"ssh_tunnel_databases": ['db:5432",command="sh']}, "is not of the form HOST:PORT"),
    ({"ssh_tunnel_databases": ["db:65536"]}, "is not of the form HOST:PORT"),
    ({"ssh_tunnel_databases": ["ep-cool-1-pooler.eu.aws.neon.tech:5432"]}, "the same without -pooler"),
    ({"ssh_tunnel_user": "root"}, "ssh_tunnel_user is"),
    ({"ssh_tunnel_user": "*"}, "ssh_tunnel_user is"),
    ({"ssh_tunnel_user": "daemon", "ansible_user": "daemon"}, "daemon is an administrator of this host"),
    ({"ssh_tunnel_home": "/"}, "ssh_tunnel_home is"),
    ({"ssh_tunnel_home": "/home/../etc"}, "ssh_tunnel_home is"),
    ({"ssh_tunnel_sshd": "/nowhere/sshd"}, "There is no /nowhere/sshd"),
]  # fmt: skip


def test_what_cannot_be_meant_is_refused_before_anything_is_changed(untouched: Bastion) -> None:
    """Each on a host of its own, which all are this one."""
    before = untouched.state()
    hosts = {f"case{number}": untouched.variables(**given) for number, (given, _message) in enumerate(CANNOT_BE_MEANT)}
    run = run_playbook(
        PLAYBOOK, inventory=json.dumps({"all": {"hosts": hosts}}, indent=1), extra_vars={"hosts": "all", "facts": {}}
    )
    assert untouched.state() == before
    for host, (given, message) in zip(hosts, CANNOT_BE_MEANT, strict=True):
        assert (run.stats[host]["failed"], run.stats[host]["changed"]) == (1, 0), given
        said = " ".join(re.findall(rf"^(?:fatal|failed): \[{host}\].*$", run.stdout, re.MULTILINE))
        assert message in said.replace('\\"', '"'), (given, said)


def test_who_has_become_root_is_an_administrator(untouched: Bastion) -> None:
    before = untouched.state()
    run = untouched.run(env={"SUDO_USER": "daemon"}, ssh_tunnel_user="daemon", ssh_tunnel_adopt=True)
    assert (run.rc, run.changed, untouched.state()) == (2, 0, before), run.stdout
    assert "daemon is an administrator of this host" in _words(run)


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


def test_another_family_is_told_what_to_give(bastion: Bastion) -> None:
    before = bastion.state()
    run = bastion.run(facts={"os_family": "Suse"}, ssh_tunnel_reload_command=None)
    assert (run.rc, run.changed, bastion.state()) == (2, 0, before), run.stdout
    assert "Give ssh_tunnel_service" in _words(run)


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
