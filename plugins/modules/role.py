#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: role
short_description: A PostgreSQL role, its password, attributes and memberships, or its absence
version_added: 0.1.0
description:
  - Makes one role what the options say, or drops it. What is not given is left alone, and so are memberships that are
    not named.
  - Only what differs is sent. A role that fits already needs no right to alter it, which matters for a role made in
    Neon's console, that nobody can alter by SQL.
  - What the current role may not do fails before anything is changed. From PostgreSQL 16 on, altering or dropping a
    role needs C(CREATEROLE) and the C(ADMIN) option on that role, and before only C(CREATEROLE), but a superuser for a
    role with C(REPLICATION) (U(https://www.postgresql.org/docs/current/role-attributes.html),
    U(https://www.postgresql.org/docs/15/sql-alterrole.html)).
author:
  - The streamkap.neon contributors (@streamkap)
extends_documentation_fragment:
  - streamkap.neon._connection
  - streamkap.neon._attributes
options:
  name:
    description:
      - Name of the role, as written; no case is folded.
      - At most 63 bytes. V(public) and V(none) are reserved, and so is what begins with C(pg_), for a role that does
        not exist.
    type: str
    required: true
  state:
    description:
      - V(present) makes the role or alters it.
      - V(absent) drops it, with its privileges and default privileges in this database and on what all databases share.
        It is not dropped while it owns anything, unless O(reassign_owned_to) is given, nor while a row-level security
        policy or a user mapping names it, another database holds anything of it, or it has privileges that the current
        role cannot revoke. Each of these is named, with its remedy.
      - Sessions that are logged in as a dropped role stay connected without its privileges; their number is a warning.
    type: str
    choices: [present, absent]
    default: present
  login:
    description: Whether it may log in. V(false) makes it a group.
    type: bool
    default: true
  replication:
    description:
      - Whether it may connect for replication, as a connector does. Members of the role do not inherit this, so it
        belongs on the login user (U(https://www.postgresql.org/docs/current/role-attributes.html)). If not given, it is
        left alone.
      - A role that has it is left as it is. Giving and taking it needs a superuser before PostgreSQL 16, and from 16 on
        a current role that has it itself. On Neon before PostgreSQL 16 the role must be made in the console or by the
        API, whose roles have it.
      - Where the role C(rds_replication) exists and the current role cannot give the attribute, membership in
        C(rds_replication) is granted instead.
    type: bool
  bypassrls:
    description:
      - Whether it sees all rows of tables under row-level security. Without it a connector's snapshot of such a table
        is empty. If not given, it is left alone.
      - Giving and taking it needs a superuser before PostgreSQL 16, and from 16 on a current role that has it itself.
    type: bool
  password:
    description:
      - Its password, any characters but NUL. Not together with O(login=false).
      - It is compared with the stored verifier (C(SCRAM-SHA-256) or C(md5)) where the current role may read
        C(pg_authid), as Neon's owners may, and otherwise by logging in with it. Only another password is a change, and
        only a login that is refused because of the password shows that. A server that lets the role in without a
        password, or refuses it for another reason (a limit of connections, C(pg_hba.conf), a trigger on login), cannot
        tell, and nor can one where its validity has expired. The password then stays, with a warning.
      - On Neon it is sent in plain text, because Neon takes no verifier, and must have 60 bits of entropy
        (U(https://neon.com/docs/manage/roles)); the statement, and so Neon's log, holds it. Any other server gets a
        C(SCRAM-SHA-256) verifier (RFC 5802), so that no statement and no log holds the password.
    type: str
  update_password:
    description:
      - V(always) sets the password when it differs.
      - V(on_create) sets it only for a role that does not exist yet.
      - V(force) is as V(always), but sets it also where it is not known whether it differs. It then does so in every run.
    type: str
    choices: [always, on_create, force]
    default: always
  member_of:
    description:
      - Roles that it is a direct member of. Other memberships stay.
      - From PostgreSQL 16 on a membership must let it inherit and C(SET ROLE); what a creator of a role gets, C(ADMIN)
        alone, is completed (U(https://www.postgresql.org/docs/current/sql-grant.html)). Before, a role that does not
        inherit is made to.
    type: list
    elements: str
    default: []
  connection_limit:
    description: Number of connections that it may have at a time, V(-1) for no limit. If not given, it is left alone.
    type: int
  comment:
    description: Comment on the role, empty for none. If not given, it is left alone.
    type: str
  reassign_owned_to:
    description:
      - Role that gets what the role owns in this database, and the databases that it owns, before it is dropped. The
        current role must be a member of it (U(https://www.postgresql.org/docs/current/sql-reassign-owned.html)). Only
        for O(state=absent).
    type: str
  used_elsewhere:
    description:
      - What O(state=absent) does about a role that has privileges or objects in other databases of the server, which nobody can take
        away from here. V(fail) names them. V(keep) leaves the role as it is, with a warning that names them.
    type: str
    choices: [fail, keep]
    default: fail
  if_own:
    description:
      - What to do when another password, or O(login=false), is asked for the very role that the task logs in as, so that
        the next task could not log in. V(refuse) fails before anything is changed. V(allow) does as asked.
      - The role that the task logs in as is never dropped.
    type: str
    choices: [refuse, allow]
    default: refuse
  dropped_before:
    description:
      - What tasks before this one drop, so that a check of O(state=absent) does not count it as something that the role owns. A schema that
        these modules have created goes with the last of its tables.
      - In a real run it is gone by then.
    type: dict
    suboptions:
      publications:
        description: Names of publications.
        type: list
        elements: str
      tables:
        description: Names of tables, as V(schema.table).
        type: list
        elements: str
seealso:
  - module: streamkap.neon.grant
    description: What the role may do in the database.
"""


EXAMPLES = r"""
- name: The group that holds the privileges
  streamkap.neon.role:
    name: streamkap_role
    login: false

- name: The user that the connector logs in as
  streamkap.neon.role:
    name: streamkap_user
    password: "{{ streamkap_password }}"
    replication: true
    member_of: [streamkap_role]

- name: A user of former times
  streamkap.neon.role:
    name: former_user
    password: "{{ streamkap_password }}"

- name: Drop a role, and give what it owns to the application's owner
  streamkap.neon.role:
    name: former_user
    state: absent
    reassign_owned_to: app_owner
"""

RETURN = r"""
queries:
  description: The SQL statements that were executed, or in check mode would be. Passwords and verifiers are masked.
  returned: success
  type: list
  elements: str
  sample: ['CREATE ROLE "streamkap_user" LOGIN REPLICATION PASSWORD ''********''']
role:
  description: The role as it now stands. Its attributes are null when it does not exist.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: streamkap_user
    exists:
      description: Whether it exists.
      type: bool
      sample: true
    login:
      description: Whether it may log in.
      type: bool
      sample: true
    replication:
      description: Whether it has the attribute C(REPLICATION).
      type: bool
      sample: true
    bypassrls:
      description: Whether it has the attribute C(BYPASSRLS).
      type: bool
      sample: false
    superuser:
      description: Whether it is a superuser.
      type: bool
      sample: false
    connection_limit:
      description: Number of connections that it may have at a time, -1 for no limit.
      type: int
      sample: -1
    comment:
      description: The comment on it, or null.
      type: str
      sample: Streamkap's connector
    valid_until:
      description: Time at which its password expires, ISO 8601 or C(infinity), or null when it does not.
      type: str
      sample: "2027-01-01T00:00:00+00:00"
    password_set:
      description: Whether it has a password, or null when the current role may not see that.
      type: bool
      sample: true
    member_of:
      description: The roles that it is a direct member of, sorted.
      type: list
      elements: dict
      contains:
        role:
          description: The role that it is a member of.
          type: str
          sample: streamkap_role
        admin:
          description: Whether it may grant that role to others.
          type: bool
          sample: false
        inherit:
          description: Whether it has the privileges of that role.
          type: bool
          sample: true
        set:
          description: Whether it may C(SET ROLE) to that role.
          type: bool
          sample: true
plan:
  description: What the task has found to do, as M(streamkap.neon.prerequisites) returns it.
  returned: success
  type: dict
server:
  description: The server that was spoken to, as M(streamkap.neon.prerequisites) returns it.
  returned: success
  type: dict
sqlstate:
  description: PostgreSQL's error code, when the server refused something.
  returned: failure
  type: str
  sample: "42501"
blockers:
  description: Whom the task has waited for in vain, as M(streamkap.neon.prerequisites) returns them.
  returned: failure, when it has waited for somebody
  type: list
  elements: dict
hint:
  description: What to do about a failure. It is part of RV(ignore:msg) too.
  returned: failure
  type: str
  sample: Say in reassign_owned_to who gets what it owns.
"""

from ansible_collections.streamkap.neon.plugins.module_utils._resources.role import Role
from ansible_collections.streamkap.neon.plugins.module_utils._task import run


def main() -> None:
    run(
        Role,
        {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "login": {"type": "bool", "default": True},
            "replication": {"type": "bool"},
            "bypassrls": {"type": "bool"},
            "password": {"type": "str", "no_log": True},
            "update_password": {
                "type": "str",
                "choices": ["always", "on_create", "force"],
                "default": "always",
                "no_log": False,
            },
            "member_of": {"type": "list", "elements": "str", "default": []},
            "connection_limit": {"type": "int"},
            "comment": {"type": "str"},
            "reassign_owned_to": {"type": "str"},
            "used_elsewhere": {"type": "str", "choices": ["fail", "keep"], "default": "fail"},
            "if_own": {"type": "str", "choices": ["refuse", "allow"], "default": "refuse"},
            "dropped_before": {
                "type": "dict",
                "options": {
                    "publications": {"type": "list", "elements": "str"},
                    "tables": {"type": "list", "elements": "str"},
                },
            },
        },
    )


if __name__ == "__main__":
    main()
