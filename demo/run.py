# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `make demo` runs: the collection's main job, on a PostgreSQL of its own or on the one that DSN names.

On its own server the demo plays all parts: Neon, the shop whose database it is, the engineer who runs the playbook, and
Streamkap's connector, which has only what the playbook granted.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support import binaries, neon
from support.modules import collections_path
from support.pgoutput import changes
from support.postgres import Server

SLOT, PUBLICATION, USER = "streamkap_pgoutput_slot", "streamkap_pub", "streamkap_user"


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


def main() -> int:
    try:
        if os.environ.get("DSN"):
            on_the_users_database()
        else:
            on_an_own_server()
    except DemoError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


def on_the_users_database() -> None:
    schemas = [name for name in os.environ.get("SCHEMAS", "").split(",") if name]
    password = os.environ.get("STREAMKAP_PASSWORD")
    if not schemas or not password:
        raise DemoError(
            "Say which schemas to capture, and the password that streamkap_user is to have:\n"
            "  DSN=postgresql://... STREAMKAP_PASSWORD=... make demo SCHEMAS=app,billing"
        )
    if is_on_a_command_line("DSN") or is_on_a_command_line("STREAMKAP_PASSWORD"):
        raise DemoError(
            "Behind make, a password is in the list of processes, where every user of this machine can read it. Nothing was done. "
            "Write it in front of make:\n"
            "  DSN=postgresql://... STREAMKAP_PASSWORD=... make demo SCHEMAS=app,billing"
        )
    step(f"setup, on your database: schemas {', '.join(schemas)}")
    setup(os.environ["DSN"], password, schemas)


def is_on_a_command_line(name: str) -> bool:
    """Tell whether make was given a variable as an argument, and not by its environment."""
    return f" {name}=" in f" {os.environ.get('MAKEFLAGS', '')}"


def on_an_own_server() -> None:
    # libpq's variables are about a database of the user's.
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    step("A PostgreSQL with Neon's roles, and in it the database of a small shop")
    with Server(binaries.embedded()) as server:
        neon.prepare(server)
        database = neon.create_database(server, "neondb")
        for schema, table, owner, rows in database.sql(TABLES):
            print(f"  {schema}.{table:<12} of {owner:<13} {rows:>3} rows")
        password = secrets.token_urlsafe(24)

        step("setup, as neondb_owner, who is no superuser")
        setup(database.dsn, password, ["app", "billing"])

        step("setup again: nothing changes")
        if "changed=0" not in setup(database.dsn, password, ["app", "billing"]):
            raise DemoError("The second run changed something, which it must not.")

        step("The shop sells something")
        print(f"  {SALE}")
        database.sql(SALE)

        step(f"Streamkap's connector, as {USER} with what it was granted, reads the slot {SLOT} through {PUBLICATION}")
        for change in changes(database.dsn_as(USER, password), slot=SLOT, publication=PUBLICATION, count=2):
            print(f"  {change.kind} {change.table} {change.row}")

        step("Done: changed, then unchanged, then captured. The form of the connector was filled in above.")


TABLES = """
    SELECT schemaname, s.relname, pg_get_userbyid(relowner), n_live_tup
    FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = relid
    ORDER BY 1, 2
"""
SALE = (
    "INSERT INTO app.orders (customer_id) SELECT min(id) FROM app.customers; "
    "UPDATE app.products SET price = price + 1 WHERE sku = (SELECT min(sku) FROM app.products)"
)


def setup(dsn: str, password: str, schemas: list[str]) -> str:
    """Runs the playbook as a user would, prints what it prints, and returns that."""
    with tempfile.TemporaryDirectory(prefix="streamkap-neon-demo-") as folder:
        command = [
            # By the interpreter: the script names the folder in which it was installed, and the checkout may have moved since.
            sys.executable,
            str(Path(sys.executable).with_name("ansible-playbook")),
            "streamkap.neon.setup",
            "--extra-vars",
            # The secrets stay out of the process list.
            "{\"cdc_dsn\": \"{{ lookup('env', 'DEMO_DSN') }}\", \"cdc_password\": \"{{ lookup('env', 'DEMO_PASSWORD') }}\"}",
            "--extra-vars",
            json.dumps({"cdc_schemas": schemas}),
        ]
        configuration = Path(folder) / "ansible.cfg"
        configuration.touch()
        environment = {
            # What the user has set for Ansible is about something else.
            **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
            "ANSIBLE_CONFIG": str(configuration),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(collections_path()),
            "ANSIBLE_LOCAL_TEMP": folder,
            "ANSIBLE_REMOTE_TEMP": folder,
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
            "DEMO_DSN": dsn,
            "DEMO_PASSWORD": password,
        }
        lines = []
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as playbook:
            for line in playbook.stdout:
                print("  " + line, end="", flush=True)
                lines.append(line)
    if playbook.returncode:
        raise DemoError("The playbook failed; what it says is above.")
    return "".join(lines)


def step(text: str) -> None:
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
