# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Evaluate the configuration of sshd, and for the role ssh_tunnel the state of a bastion.

Each filter is documented in a file of its own name beside this one.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.text.converters import to_text
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.utils.unsafe_proxy import wrap_var

NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
PATH = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9._-]*){2,}")
PUBLIC_KEY = re.compile(
    r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+={0,2}( [^\x00-\x1f\x7f]*)?"
)
# An address in brackets or a name, and a port. No asterisk, which would stand for every host.
DATABASE = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?):[1-9][0-9]{0,4}")
NEON_POOLER = re.compile(r"ep-[^.]*-pooler\.")
LAST_PORT = 65535

Options = Mapping[str, object]
Settings = dict[str, list[str]]


def sshd_config(text: str) -> Settings:
    """Return the values of each keyword, which is in small letters, as `sshd -T` prints them."""
    if not isinstance(text, str):
        raise AnsibleFilterError(f"sshd_config: expected the output of sshd -T as text, got {type(text).__name__}.")
    settings: Settings = {}
    for line in text.splitlines():
        keyword, _space, value = line.strip().partition(" ")
        if keyword and not keyword.startswith("#"):
            settings.setdefault(keyword.lower(), []).append(value.strip())
    return settings


def option_errors(options: Options) -> list[str]:
    """Return what is wrong with the variables of the role, with the remedies."""
    errors = []
    for name in ("user", "group"):
        given = _text(options[name])
        if not NAME.fullmatch(given) or given == "root":
            errors.append(
                f"ssh_tunnel_{name} is {json.dumps(given)}, which cannot be used. Give a name of small letters, digits,"
                " underscores and hyphens that begins with a letter, and not root."
            )
    for name in ("home", "sshd", "sshd_config", "drop_in"):
        given = _text(options[name])
        if not PATH.fullmatch(given):
            errors.append(
                f"ssh_tunnel_{name} is {json.dumps(given)}, which cannot be used. Give a whole path below a folder,"
                " of letters, digits, dots, underscores and hyphens."
            )
    port = _text(options["port"])
    if port and not _is_port(port):
        errors.append(f"ssh_tunnel_port is {json.dumps(port)}. Give a port from 1 to {LAST_PORT}.")
    # A command with spaces was given as text. To split it would take a shell's rules for quotes.
    program = _text(next(iter(options["reload_command"]), ""))
    if len(program.split()) > 1:
        errors.append(
            f"ssh_tunnel_reload_command begins with {json.dumps(program)}, which is no program. Give a list of words, such"
            " as [systemctl, reload, sshd]."
        )
    if _is_true(options["present"]):
        errors += [*_key_errors(_text(options["public_key"])), *_database_errors(options["databases"])]
    return errors


def inspection(output: str, options: Options) -> dict[str, object]:
    """Return the state of the bastion, as the role's script printed it, and what keeps the role from changing it."""
    state = _State(output, options)
    result = {
        "errors": state.errors(),
        "folder_exists": "folder" in state.found,
        "drop_in": state.found.get("drop_in"),
        "has_keys": "keys" in state.found,
        "has_new_keys": state.found.get("keys") == options["new_keys"],
        "includes_drop_in": state.includes_drop_in(),
        "has_include_line": options["include"] in state.found.get("config", "").splitlines(),
        "account_exists": bool(state.account),
        "uid": state.account[1] if state.account else None,
        "owns_home": state.owns_home,
        "group_exists": bool(state.group),
        "owns_group": state.owns_group and not state.group[2],
        "withdraws": state.withdraws(),
        # A line of ssh-keygen is the length, the fingerprint, the comment and the type.
        "fingerprint": state.found["fingerprint"].split()[1] if "fingerprint" in state.found else None,
        "sshd": state.found.get("root_config", ""),
    }
    # Before ansible-core 2.19 braces in a file of the host would be evaluated as a template.
    return wrap_var(result)


def config_errors(after: str, before: str, options: Options, settings: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the configuration of sshd that holds the drop-in, with the remedies."""
    new, old = _fields(after), _fields(before)
    if "invalid" in new:
        return [
            f"The configuration of sshd would not be valid: {new['invalid'].strip()}. OpenSSH 8.2 or newer is needed."
        ]
    errors = []
    changed = [name for name in ("root_config", "login_config") if new.get(name) != old.get(name)]
    if changed:
        lines: set[str] = set()
        for name in changed:
            lines |= set(new.get(name, "").splitlines()) ^ set(old.get(name, "").splitlines())
        errors.append(
            f"The configuration of sshd would change for {' and '.join(_administrators(new))}, in"
            f" {', '.join(sorted(lines)) or 'the order of its lines'}. Look where {options['sshd_config']} includes"
            f" {options['drop_in']}; it has to be before every Match."
        )
    if _is_true(options["present"]):
        errors += _user_errors(new.get("user_config", ""), options, settings)
    return errors


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _is_true(value: object) -> bool:
    """Read a boolean as the argument specification does, in which a null counts as not given."""
    return boolean(value or False)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) <= LAST_PORT


def _key_errors(public_key: str) -> list[str]:
    if PUBLIC_KEY.fullmatch(public_key):
        return []
    return [
        "ssh_tunnel_public_key is no public key. Give the one that the form of Streamkap's connector shows, on one line"
        " that begins with ssh-ed25519, ssh-rsa or ecdsa-sha2-nistp256, and without options before it."
    ]


def _database_errors(databases: Iterable[object]) -> list[str]:
    errors = []
    databases = [_text(database) for database in databases]
    if not databases:
        errors.append(
            "ssh_tunnel_databases is empty, so the tunnel would lead nowhere. Give at least one HOST:PORT, or"
            " ssh_tunnel_state=absent to remove the tunnel."
        )
    for database in databases:
        if not DATABASE.fullmatch(database) or not _is_port(database.rpartition(":")[2]):
            errors.append(
                f"{json.dumps(database)} in ssh_tunnel_databases is not of the form HOST:PORT. Write a name or an address"
                f" without wildcards and a port from 1 to {LAST_PORT}, such as db.example.com:5432 or [2001:db8::7]:5432."
            )
        elif NEON_POOLER.match(database):
            errors.append(
                f"{database} in ssh_tunnel_databases is Neon's connection pooler, which carries no replication. Write the"
                " direct host, which is the same without -pooler."
            )
    return errors


def _fields(output: str) -> dict[str, str]:
    """Return what the role's script printed, by name. Files may hold any bytes, which are kept."""
    lines = (line.partition(" ") for line in output.splitlines())
    # Of several complaints the first counts.
    fields: dict[str, str] = {}
    for name, _space, value in lines:
        fields.setdefault(name, to_text(base64.b64decode(value), errors="surrogateescape"))
    return fields


def _administrators(fields: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys(["root", fields["login"]]))


class _State:
    """A bastion as it is, in view of the options."""

    def __init__(self, output: str, options: Options) -> None:
        self.found = _fields(output)
        self.options = options
        self.present = _is_true(options["present"])
        # The fields of an entry are those behind its name: of an account the password, the numbers of user and group, the comment,
        # the home; of a group the password, the number, the members.
        self.account = self.found.get("passwd", "").strip().split(":")[1:]
        self.group = self.found.get("group", "").strip().split(":")[1:]
        self.owns_home = bool(self.account) and self.account[4] == options["home"]
        self.owns_group = bool(self.account and self.group) and self.account[2] == self.group[1]

    def errors(self) -> list[str]:
        """Return what keeps the role from changing the bastion, with the remedies."""
        found, options = self.found, self.options
        errors = []
        if "missing" in found:
            errors.append(f"There is no {options['sshd']}. Install openssh-server, or give ssh_tunnel_sshd.")
        # An error of today would be blamed on the drop-in.
        if "invalid" in found:
            errors.append(
                f"The configuration of sshd is not valid as it stands, and nothing was changed: {found['invalid'].strip()}."
                f" Correct it until `{options['sshd']} -t -f {options['sshd_config']}` prints nothing, and run this again."
            )
        if "unreadable" in found:
            errors.append(f"A file could not be read: {found['unreadable'].strip()}. Remove it, or give another path.")
        if not options["service"] and not options["reload_command"]:
            errors.append(
                f"It is not known what the service of sshd is called on {options['os_family']}. Give ssh_tunnel_service, or"
                " ssh_tunnel_reload_command."
            )
        if options["user"] in _administrators(found) or (self.account and self.account[1] == "0"):
            errors.append(
                f"{options['user']} is an administrator of this host, and would be locked out. Give ssh_tunnel_user a name"
                " that nobody else has."
            )
        if not _is_true(options["adopt"]):
            errors += [
                f"{subject} is there already, and not of this role's making. Give {variable} another value, or"
                f" ssh_tunnel_adopt=true if it may be taken over{'' if self.present else ', and removed'}."
                for subject, variable in self._foreign()
            ]
        if self.present:
            errors += self._key_and_include_errors()
        return errors

    def _foreign(self) -> list[tuple[str, str]]:
        """Return the objects that the role has not created but would change, and the variables that name them."""
        found, options = self.found, self.options
        drop_in = found.get("drop_in", "")
        candidates = [
            ("The account", "user", self.account and self.account[3] != options["mark"]),
            ("The group", "group", self.present and self.group and not self.owns_group),
            ("The folder", "home", self.present and "home" in found and not self.owns_home),
            ("The file", "drop_in", drop_in and not drop_in.startswith(str(options["head"]))),
        ]
        return [
            (f"{kind} {options[name]}", f"ssh_tunnel_{name}") for kind, name, is_foreign in candidates if is_foreign
        ]

    def _key_and_include_errors(self) -> list[str]:
        options = self.options
        errors = []
        if "fingerprint" not in self.found:
            errors.append(
                "ssh_tunnel_public_key has the form of a key, but ssh-keygen cannot read it. Copy it again, as one line and"
                " to its end."
            )
        if not self.includes_drop_in() and not _is_true(options["add_include"]):
            folder = str(options["drop_in"]).rpartition("/")[0]
            errors.append(
                f"{options['sshd_config']} does not include {options['drop_in']}. Put the line `Include {folder}/*.conf` at"
                " its top, or give ssh_tunnel_add_include=true to have one put there for this file alone."
            )
        return errors

    def includes_drop_in(self) -> bool:
        return _includes(self.found.get("config", ""), str(self.options["drop_in"]))

    def withdraws(self) -> bool:
        """Return whether a login that was allowed no longer is, so that its sessions have to end.

        An account without a key is what an interrupted run leaves that has removed the key.
        """
        if not self.account:
            return False
        old, new = self.found.get("keys", ""), str(self.options["new_keys"])
        return (
            not self.present
            or not _places(old)
            or _public_keys(old) != _public_keys(new)
            or not _places(old) <= _places(new)
        )


def _public_keys(lines: str) -> list[str]:
    return re.findall(r"(?<!\S)(?:ssh|ecdsa)-\S+ [A-Za-z0-9+/=]+", lines)


def _places(lines: str) -> set[str]:
    return set(re.findall(r'permitopen="([^"]*)"', lines))


def _includes(config: str, file: str) -> bool:
    """Return whether a configuration includes a file. A relative path is below /etc/ssh, whichever file it stands in."""
    for line in re.findall(r"(?im)^[ \t]*Include[ \t=]+(.+)$", config):
        for pattern in line.replace('"', "").split():
            whole = pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"
            names, patterns = file.split("/"), whole.split("/")
            # An asterisk does not stand for a slash.
            if len(names) == len(patterns) and all(map(fnmatchcase, names, patterns)):
                return True
    return False


def _user_errors(user_config: str, options: Options, settings: Mapping[str, str]) -> list[str]:
    errors = []
    lines = user_config.splitlines()
    overruled = [name.lower() for name, value in settings.items() if f"{name.lower()} {value}" not in lines]
    user = options["user"]
    if overruled:
        errors.append(
            f"sshd would not go by what {options['drop_in']} says of {', '.join(overruled)}. Another Match that comes"
            f" before it holds for {user} too. Move that behind it, or except {user} there."
        )
    if refused_by := _refused_by(sshd_config(user_config), str(user), str(options["group"])):
        errors.append(
            f"{' and '.join(refused_by)} in the configuration of sshd would keep {user} out. Allow {user} there, which"
            " this role does not do by itself."
        )
    return errors


def _refused_by(settings: Settings, user: str, group: str) -> list[str]:
    """Return the lists of users and groups that keep a user out. The host in USER@HOST is left out of account."""
    refusing = []
    for kind, name in (("Users", user), ("Groups", group)):
        for verb in ("Allow", "Deny"):
            patterns = [value.partition("@")[0] for value in settings.get(f"{verb}{kind}".lower(), [])]
            is_listed = any(_matches(name, pattern) for pattern in patterns)
            if (verb == "Allow" and patterns and not is_listed) or (verb == "Deny" and is_listed):
                refusing.append(verb + kind)
    return refusing


def _matches(name: str, pattern: str) -> bool:
    """Return whether a pattern of sshd stands for a name. It knows asterisks and question marks, and no brackets."""
    return fnmatchcase(name, pattern.replace("[", "[[]"))


class FilterModule:
    def filters(self) -> dict[str, object]:
        return {
            "sshd_config": sshd_config,
            "ssh_tunnel_option_errors": option_errors,
            "ssh_tunnel_inspection": inspection,
            "ssh_tunnel_config_errors": config_errors,
        }
