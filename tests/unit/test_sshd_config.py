# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters of the role ssh_tunnel, and the variables of the role as they come to them."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.streamkap.neon.plugins.filter.sshd_config import FilterModule

from support.modules import ROOT

ROLE = ROOT / "roles" / "ssh_tunnel"
FILTERS = FilterModule().filters()
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFaa0w streamkap"
HEAD = "# Made by the role."
LINE = 'restrict,port-forwarding,permitopen="db:5432"'
OPTIONS = {
    "present": True,
    "public_key": KEY,
    "databases": ["db:5432"],
    "user": "streamkap",
    "group": "tunnel",
    "home": "/home/streamkap",
    "adopt": False,
    "port": "",
    "sshd": "/usr/sbin/sshd",
    "sshd_config": "/etc/ssh/sshd_config",
    "drop_in": "/etc/ssh/sshd_config.d/00-streamkap.conf",
    "add_include": False,
    "include": "Include /etc/ssh/sshd_config.d/00-streamkap.conf",
    "os_family": "Debian",
    "service": "ssh",
    "reload_command": [],
    "mark": "The mark",
    "head": HEAD,
    "new_keys": f"{HEAD}\n{LINE} {KEY}\n",
}
NEW = {
    "login": "admin",
    "root_config": "port 22\nport 2222\nhostkey /etc/ssh/key\npermitrootlogin no",
    "login_config": "port 22",
    "user_config": "",
    "config": "Include /etc/ssh/sshd_config.d/*.conf\n",
    "folder": "/etc/ssh/sshd_config.d",
    "fingerprint": "256 SHA256:abc streamkap (ED25519)",
}
OWN = {
    **NEW,
    "passwd": "streamkap:x:995:994:The mark:/home/streamkap:/usr/sbin/nologin\n",
    "group": "tunnel:x:994:\n",
    "home": "/home/streamkap",
    "drop_in": f"{HEAD}\nMatch User streamkap\n",
    "keys": OPTIONS["new_keys"],
}


def printed(state: dict[str, str | bytes]) -> str:
    """The state as the role's script prints it."""
    values = {name: value if isinstance(value, bytes) else value.encode() for name, value in state.items()}
    return "".join(f"{name} {base64.b64encode(value).decode()}\n" for name, value in values.items())


def inspect(state: dict[str, str | bytes], **options: object) -> dict[str, object]:
    return FILTERS["ssh_tunnel_inspection"](printed(state), {**OPTIONS, **options})


def option_errors(**options: object) -> list[str]:
    return FILTERS["ssh_tunnel_option_errors"]({**OPTIONS, **options})


def config_errors(after: dict[str, str], before: dict[str, str] | None = None, **options: object) -> list[str]:
    return FILTERS["ssh_tunnel_config_errors"](
        printed(after), printed(before or NEW), {**OPTIONS, **options}, {"X11Forwarding": "no", "PermitOpen": "db:5432"}
    )


def test_each_filter_is_documented() -> None:
    documented = {file.stem: yaml.safe_load(file.read_text()) for file in (ROOT / "plugins" / "filter").glob("*.yml")}
    assert {name: page["DOCUMENTATION"]["name"] for name, page in documented.items()} == {
        name: name for name in FILTERS
    }


def test_the_output_of_sshd_is_read() -> None:
    read = FILTERS["sshd_config"]("port 22\nPort 2222\n# a comment\n\nsubsystem sftp internal-sftp\nallowusers\n")
    assert read == {"port": ["22", "2222"], "subsystem": ["sftp internal-sftp"], "allowusers": [""]}
    with pytest.raises(AnsibleFilterError, match="expected the output of sshd -T as text, got dict"):
        FILTERS["sshd_config"]({})


def test_good_options_have_no_errors() -> None:
    assert option_errors() == []
    assert option_errors(port="65535", reload_command=["systemctl", "reload", "my sshd"], group="_a-1") == []
    for key in ("ssh-rsa AAAA", "ecdsa-sha2-nistp521 AAAA== of somebody"):
        assert option_errors(public_key=key) == []
    assert option_errors(databases=["[2001:db8::7]:5432", "10.0.0.1:1", "ep-cool-1.eu.aws.neon.tech:65535"]) == []
    assert option_errors(present=False, public_key="", databases=[]) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"public_key": ""}, "ssh_tunnel_public_key is no public key"),
        ({"public_key": "ssh-ed25519 AAAA\nssh-ed25519 AAAA"}, "ssh_tunnel_public_key is no public key"),
        ({"public_key": 'command="sh" ssh-ed25519 AAAA'}, "without options before it"),
        ({"public_key": "ssh-dss AAAAB3NzaC1kc3M"}, "ssh_tunnel_public_key is no public key"),
        ({"databases": []}, "ssh_tunnel_databases is empty"),
        ({"databases": ["*:5432"]}, "is not of the form HOST:PORT"),
        ({"databases": ["db:1", "db.example.com"]}, '"db.example.com" in ssh_tunnel_databases is not of the form'),
        ({"databases": ["db:5432\nMatch all"]}, "is not of the form HOST:PORT"),
        ({"databases": ['db:5432",command="sh']}, "is not of the form HOST:PORT"),
        ({"databases": ["db:65536"]}, "is not of the form HOST:PORT"),
        ({"databases": ["db:1 db:2"]}, "is not of the form HOST:PORT"),
        ({"databases": ['["db:1"]']}, "is not of the form HOST:PORT"),
        ({"databases": [""]}, "is not of the form HOST:PORT"),
        ({"databases": ["ep-cool-1-pooler.eu.aws.neon.tech:5432"]}, "the same without -pooler"),
        *(
            ({name: given}, f"ssh_tunnel_{name} is {json.dumps(given or '')}, which cannot be used. Give a name")
            for name in ("user", "group")
            for given in ("root", "*", "Name", "", None, "a" * 33, "a\n")
        ),
        *(
            ({name: given}, f"ssh_tunnel_{name} is {json.dumps(given)}, which cannot be used. Give a whole path")
            for name in ("home", "sshd", "sshd_config", "drop_in")
            for given in ("/", "relative/path", "/home/../etc", "/home/a b", "/home/a\n", "/home/%u")
        ),
        *(({"port": port}, f'ssh_tunnel_port is "{port}". Give a port from 1 to 65535.') for port in (0, "0", 65536)),
        ({"reload_command": ["systemctl reload ssh"]}, 'begins with "systemctl reload ssh", which is no program'),
    ],
)
def test_an_option_that_cannot_be_meant_is_named_with_its_remedy(options: dict[str, object], message: str) -> None:
    (error,) = option_errors(**options)
    assert message in error


def test_all_errors_of_the_options_are_told_at_once() -> None:
    errors = option_errors(user="root", home="/", port=0, public_key="", databases=["*:1", "db"])
    assert len(errors) == 6


def test_a_new_bastion_is_inspected() -> None:
    assert inspect(NEW) == {
        "errors": [],
        "folder_exists": True,
        "drop_in": None,
        "has_keys": False,
        "has_new_keys": False,
        "includes_drop_in": True,
        "has_include_line": False,
        "account_exists": False,
        "uid": None,
        "owns_home": False,
        "group_exists": False,
        "owns_group": False,
        "withdraws": False,
        "fingerprint": "SHA256:abc",
        "sshd": NEW["root_config"],
    }


def test_what_the_role_has_created_is_recognized() -> None:
    found = inspect(OWN)
    assert found["errors"] == []
    assert (found["uid"], found["drop_in"]) == ("995", OWN["drop_in"])
    for name in ("account_exists", "owns_home", "group_exists", "owns_group", "has_keys", "has_new_keys"):
        assert found[name] is True, name
    assert inspect({**OWN, "group": "tunnel:x:994:somebody"})["owns_group"] is False
    assert inspect({**OWN, "drop_in": b"# \xff"}, adopt=True)["drop_in"].encode(errors="surrogateescape") == b"# \xff"


FOREIGN = {
    "passwd": ({"passwd": OWN["passwd"].replace("The mark", "")}, "The account streamkap", "user"),
    "group": ({"group": "tunnel:x:900:"}, "The group tunnel", "group"),
    "home": ({"passwd": OWN["passwd"].replace("/home/streamkap", "/")}, "The folder /home/streamkap", "home"),
    "drop_in": ({"drop_in": "# of somebody"}, f"The file {OPTIONS['drop_in']}", "drop_in"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_somebody_else_has_created_is_refused_unless_it_may_be_adopted(name: str) -> None:
    state, subject, variable = FOREIGN[name]
    (error,) = inspect({**OWN, **state})["errors"]
    assert error.startswith(f"{subject} is there already, and not of this role's making. Give ssh_tunnel_{variable}")
    assert error.endswith("if it may be taken over.")
    removed = [] if name in ("group", "home") else [f"{error[:-1]}, and removed."]
    assert inspect({**OWN, **state}, present=False)["errors"] == removed


@pytest.mark.parametrize("adopt", [True, "true", "yes", "y", "1", "on", "True"])
def test_a_true_text_adopts(adopt: object) -> None:
    assert inspect({**OWN, "drop_in": "# of somebody"}, adopt=adopt)["errors"] == []


@pytest.mark.parametrize("adopt", [False, "false", "no", "n", "0", "off", "False", None, ""])
def test_a_false_text_does_not_adopt(adopt: object) -> None:
    assert len(inspect({**OWN, "drop_in": "# of somebody"}, adopt=adopt)["errors"]) == 1


@pytest.mark.parametrize(
    ("state", "options", "message"),
    [
        ({"missing": "/usr/sbin/sshd"}, {}, "There is no /usr/sbin/sshd. Install openssh-server, or give ssh_tunnel_sshd"),
        ({"invalid": "line 7: {{ 6 * 7 }}\n"}, {}, "not valid as it stands, and nothing was changed: line 7: {{ 6 * 7 }}."),
        ({"unreadable": "base64: /x: Is a directory"}, {}, "could not be read: base64: /x: Is a directory."),
        ({}, {"service": "", "os_family": "Suse"}, "called on Suse. Give ssh_tunnel_service"),
        ({}, {"user": "admin"}, "admin is an administrator of this host"),
        ({"passwd": OWN["passwd"].replace("995", "0")}, {}, "streamkap is an administrator of this host"),
        ({"config": "# Include /etc/ssh/sshd_config.d/*.conf"}, {}, "at its top, or give ssh_tunnel_add_include=true"),
        ({"config": ""}, {"add_include": "false"}, "does not include /etc/ssh/sshd_config.d/00-streamkap.conf. Put the line"),
    ],
)  # fmt: skip
def test_what_keeps_the_role_from_changing_a_bastion_is_told(
    state: dict[str, str], options: dict[str, object], message: str
) -> None:
    (error,) = inspect({**OWN, **state}, **options)["errors"]
    assert message in error


def test_a_key_that_ssh_keygen_cannot_read_is_refused() -> None:
    (error,) = inspect({name: value for name, value in OWN.items() if name != "fingerprint"})["errors"]
    assert "ssh-keygen cannot read it" in error


def test_a_missing_include_is_no_error_where_it_may_be_added_or_is_not_needed() -> None:
    assert inspect({**OWN, "config": ""}, add_include="true")["errors"] == []
    assert inspect({**OWN, "config": ""}, present=False)["errors"] == []
    assert inspect(OWN, service="", reload_command=["true"])["errors"] == []


@pytest.mark.parametrize(
    ("line", "is_included"),
    [
        ("Include /etc/ssh/sshd_config.d/*.conf", True),
        ("Include sshd_config.d/*.conf", True),
        (" include  other.conf /etc/ssh/sshd_config.d/??-streamkap.conf", True),
        ('Include="/etc/ssh/sshd_config.d/0[0-9]-*"', True),
        ("Port 22\nInclude\tsshd_config.d/00-streamkap.conf\n", True),
        ("Include /etc/ssh/*", False),
        ("Include /etc/ssh/other.d/*.conf", False),
        ("Include /etc/ssh/sshd_config.d/1*.conf", False),
        ("Include /etc/ssh/sshd_config.d/00-streamkap.conf.old", False),
        ("#Include /etc/ssh/sshd_config.d/*.conf", False),
        ("AnInclude /etc/ssh/sshd_config.d/*.conf", False),
    ],
)
def test_an_include_is_read_as_sshd_reads_it(line: str, is_included: bool) -> None:
    assert inspect({**NEW, "config": line}, add_include=True)["includes_drop_in"] is is_included


def test_the_line_of_the_role_is_recognized_among_others() -> None:
    assert inspect({**NEW, "config": f"{OPTIONS['include']}\nPort 22\n"})["has_include_line"] is True
    assert inspect({**NEW, "config": f"# {OPTIONS['include']}\n"}, add_include=True)["has_include_line"] is False


@pytest.mark.parametrize(
    ("keys", "withdraws"),
    [
        (OPTIONS["new_keys"], False),
        # The comment and the other options may change, and a database may come.
        (OPTIONS["new_keys"].replace("streamkap\n", "another comment\n"), False),
        (OPTIONS["new_keys"].replace("db:5432", "db:5433"), True),
        (OPTIONS["new_keys"].replace("AAAAC3", "AAAAC4"), True),
        (f"{OPTIONS['new_keys']}{LINE} ssh-rsa AAAA\n", True),
        (f"{KEY}\n", True),
        ("", True),
        (None, True),
    ],
)
def test_sessions_end_when_something_is_withdrawn(keys: str | None, withdraws: bool) -> None:
    state = {name: value for name, value in {**OWN, "keys": keys}.items() if value is not None}
    assert inspect(state)["withdraws"] is withdraws
    assert inspect(state, present=False)["withdraws"] is True


def test_a_database_more_withdraws_nothing_even_by_a_name_like_a_key() -> None:
    new = OPTIONS["new_keys"].replace(LINE, f'{LINE},permitopen="ssh-db:5432"')
    assert inspect(OWN, new_keys=new)["withdraws"] is False
    assert inspect({**OWN, "keys": new}, new_keys=new)["withdraws"] is False


AFTER = {**NEW, "user_config": "x11forwarding no\npermitopen db:5432"}


def test_a_configuration_that_is_as_wanted_has_no_errors() -> None:
    assert config_errors(AFTER) == []
    assert config_errors(NEW, present=False) == []


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"invalid": "line 1: bad\n"}, "would not be valid: line 1: bad. OpenSSH 8.2 or newer is needed."),
        (
            {"root_config": f"{NEW['root_config']}es"},
            "would change for root and admin, in permitrootlogin no, permitrootlogin noes. Look where",
        ),
        (
            {"root_config": "\n".join(reversed(NEW["root_config"].splitlines()))},
            "in the order of its lines. Look where",
        ),
        ({"login_config": "port 23"}, "would change for root and admin, in port 22, port 23. Look where"),
        (
            {"user_config": "x11forwarding yes\npermitopen db:5432"},
            "says of x11forwarding. Another Match that comes before it holds for streamkap too.",
        ),
        ({"user_config": ""}, "says of x11forwarding, permitopen."),
    ],
)
def test_what_is_wrong_with_a_configuration_is_told(state: dict[str, str], message: str) -> None:
    (error,) = config_errors({**AFTER, **state})
    assert message in error


@pytest.mark.parametrize(
    ("lines", "refused_by"),
    [
        ("allowusers root@127.0.0.1\nallowusers somebody", "AllowUsers"),
        ("allowgroups wheel", "AllowGroups"),
        ("denyusers streamk?p", "DenyUsers"),
        ("denygroups tun*@host\ndenyusers other", "DenyGroups"),
        ("allowusers no\ndenyusers *\nallowgroups no\ndenygroups *", "AllowUsers and DenyUsers and AllowGroups and DenyGroups"),
        ("allowusers [s]treamkap", "AllowUsers"),
        ("allowusers root\nallowusers stream*@10.0.0.*\nallowgroups tunnel\ndenyusers streamkap2\ndenygroups wheel", None),
    ],
)  # fmt: skip
def test_the_lists_that_keep_the_user_out_are_told(lines: str, refused_by: str | None) -> None:
    errors = config_errors({**AFTER, "user_config": f"{AFTER['user_config']}\n{lines}"})
    assert errors == [
        f"{refused_by} in the configuration of sshd would keep streamkap out. Allow streamkap there, which this role does"
        " not do by itself."
    ] * (refused_by is not None)


def run_inspection(folder: Path, sshd: str, *, config: str = "sshd_config", sudo_user: str = "") -> dict[str, str]:
    """Run the role's script, and decode what it prints."""
    arguments = [sshd, folder / config, folder / "d" / "drop_in", folder / "keys", folder / "home", "no-such-user"]
    run = subprocess.run(
        ["sh", ROLE / "files" / "inspect.sh", *arguments, "root", "somebody", "no key"],
        env={"PATH": "/usr/bin:/bin", **({"SUDO_USER": sudo_user} if sudo_user else {})},
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        name: base64.b64decode(value).decode() for name, value in (line.split(" ") for line in run.stdout.splitlines())
    }


def test_the_script_prints_what_is_there(tmp_path: Path) -> None:
    """With an sshd that prints what it is asked."""
    (tmp_path / "sshd").write_text('#!/bin/sh\necho "a warning" >&2\necho "asked $*"\n')
    (tmp_path / "sshd").chmod(0o755)
    (tmp_path / "sshd_config").write_text("Port 22\n\n" * 100)
    (tmp_path / "home").mkdir()
    found = run_inspection(tmp_path, str(tmp_path / "sshd"))
    asked = f"asked -T -f {tmp_path}/sshd_config -C user=%s,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22"
    assert found.pop("group").startswith("root:")
    assert found == {
        "login": "somebody",
        "root_config": asked % "root",
        "login_config": asked % "somebody",
        "user_config": asked % "no-such-user",
        "config": "Port 22\n\n" * 100,
        "home": f"{tmp_path}/home",
    }
    assert run_inspection(tmp_path, str(tmp_path / "sshd"), sudo_user="another")["login"] == "another"


def test_the_script_tells_what_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "sshd_config").mkdir()
    assert run_inspection(tmp_path, "/nowhere/sshd")["missing"] == "/nowhere/sshd"
    found = run_inspection(tmp_path, "/bin/false")
    assert "Is a directory" in found["unreadable"]
    assert found["invalid"] == ""
