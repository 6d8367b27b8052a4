# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes through the tunnel, and what does not.

Whatever is refused to the tunnel's user is tried by the administrator as well, who gets it: so it is the role that refuses.
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import make_dsn
from psycopg2.extras import LogicalReplicationConnection

from support.bastion import Bastion, greeter, sessions
from support.hurting import PASSWORD, PUBLICATION, SLOT, USER, VARIABLES
from support.modules import run_playbook
from support.neon import Database
from support.pgoutput import changes
from support.postgres import free_port
from support.waiting import eventually

HELLO = b"hello"


@dataclass(frozen=True)
class Tunnel:
    """A bastion to which the role has come, and the one place to which its tunnel leads."""

    bastion: Bastion
    place: str


@pytest.fixture(scope="module")
def tunnel() -> Iterator[Tunnel]:
    with greeter() as (host, port), Bastion("-t") as bastion:
        bastion.apply(ssh_tunnel_databases=[f"{host}:{port}"])
        yield Tunnel(bastion, f"{host}:{port}")


@pytest.fixture
def without_options(tunnel: Tunnel) -> Iterator[Tunnel]:
    """As if somebody had made a plain key of it: what sshd is told has to do alone."""
    written = tunnel.bastion.keys.read_text()
    tunnel.bastion.keys.write_text((tunnel.bastion.folder / "key.pub").read_text())
    yield tunnel
    tunnel.bastion.keys.write_text(written)


@pytest.fixture
def without_drop_in(tunnel: Tunnel) -> Iterator[Tunnel]:
    """As if somebody had removed the drop-in: the options of the key have to do alone."""
    bastion = tunnel.bastion
    elsewhere = bastion.folder / "keys" / bastion.user
    elsewhere.write_text(bastion.keys.read_text())
    elsewhere.chmod(0o644)
    written = bastion.drop_in.read_text()
    bastion.drop_in.unlink()
    bastion.reload()
    yield tunnel
    elsewhere.unlink()
    bastion.drop_in.write_text(written)
    bastion.reload()


# What was got, as the given user.


def shell(tunnel: Tunnel, user: str) -> bool:
    return b"it is 42" in tunnel.bastion.ssh("-tt", "", given=b"echo it is $((6 * 7))\nexit\n", user=user).stdout


def command(tunnel: Tunnel, user: str) -> bool:
    return b"it is 42" in tunnel.bastion.ssh("echo it is $((6 * 7))", user=user).stdout


def sftp(tunnel: Tunnel, user: str) -> bool:
    return (
        b"Remote working directory: /"
        in tunnel.bastion.ssh("-b", "-", "", given=b"pwd\n", user=user, program="sftp").stdout
    )


def agent(tunnel: Tunnel, user: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "agent"
        process = subprocess.Popen(["ssh-agent", "-D", "-a", place], stdout=subprocess.DEVNULL)
        try:
            eventually(place.exists)
            run = tunnel.bastion.ssh("-A", "echo at $SSH_AUTH_SOCK", env={"SSH_AUTH_SOCK": str(place)}, user=user)
        finally:
            process.terminate()
            process.wait()
    return b"at /" in run.stdout


def x11(tunnel: Tunnel, user: str) -> bool:
    run = tunnel.bastion.ssh("-Y", "echo at $DISPLAY", env={"DISPLAY": "127.0.0.1:99"}, user=user)
    return re.search(rb"at \S+:\d+", run.stdout) is not None


def another_forward(tunnel: Tunnel, user: str) -> bool:
    with greeter() as (host, port):
        return tunnel.bastion.ssh("-W", f"{host}:{port}", "", user=user).stdout == HELLO


def the_same_place_by_another_name(tunnel: Tunnel, user: str) -> bool:
    place = tunnel.place.replace("127.0.0.1", "localhost")
    return tunnel.bastion.ssh("-4", "-W", place, "", user=user).stdout == HELLO


def forward_to_a_socket(tunnel: Tunnel, user: str) -> bool:
    place = tunnel.bastion.folder / f"socket-of-{user}"
    with greeter(socket.AF_UNIX, str(place)):
        place.chmod(0o777)
        with (
            tunnel.bastion.forward(str(place), user=user) as port,
            socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
        ):
            greeting = connection.recv(100)
    place.unlink()
    return greeting == HELLO


def remote_forward(tunnel: Tunnel, user: str) -> bool:
    with tunnel.bastion.held("-R", f"127.0.0.1:0:{tunnel.place}", user=user) as ssh:
        return any("Allocated port" in line for line in ssh.stderr)


def remote_forward_for_everybody(tunnel: Tunnel, user: str) -> bool:
    with tunnel.bastion.held("-R", f"0.0.0.0:0:{tunnel.place}", user=user) as ssh:
        return any("Allocated port" in line for line in ssh.stderr)


def remote_forward_of_a_socket(tunnel: Tunnel, user: str) -> bool:
    place = Path(tempfile.gettempdir()) / f"streamkap-neon-{free_port()}"
    with tunnel.bastion.held("-R", f"{place}:{tunnel.place}", user=user) as ssh:
        eventually(lambda: place.exists() or ssh.poll() is not None)
        found = place.exists()
        place.unlink(missing_ok=True)
        return found


def network_interface(tunnel: Tunnel, user: str) -> bool:
    """The client makes one first, and the server another one. That only root could make it is not what is asked here."""
    number = 2 * free_port()
    made = Path(f"/sys/class/net/tun{number}")
    with tunnel.bastion.held("-v", "-w", f"{number + 1}:{number}", user=user) as ssh:
        eventually(lambda: made.exists() or ssh.poll() is not None)
        return made.exists() or "Server has rejected tunnel device forwarding" not in ssh.stderr.read()


def another_key(tunnel: Tunnel, user: str) -> bool:
    """One that the server accepts for other users: a certificate of the authority that it trusts."""
    folder = tunnel.bastion.folder
    if not (folder / "other").exists():
        tunnel.bastion.make_key("other")
    sign = ["ssh-keygen", "-q", "-s", folder / "authority", "-I", "a test", "-n", user, folder / "other"]
    subprocess.run(sign, check=True)
    return tunnel.bastion.ssh("-W", tunnel.place, "", user=user, key="other").stdout == HELLO


def password(tunnel: Tunnel, user: str) -> bool:
    """Whether it is offered."""
    run = tunnel.bastion.ssh("-o", "PubkeyAuthentication=no", "", user=user)
    offered = re.search(rb"Permission denied \((.*)\)", run.stderr)
    return offered[1] != b"publickey"


ATTEMPTS = [
    shell,
    command,
    sftp,
    agent,
    x11,
    another_forward,
    the_same_place_by_another_name,
    forward_to_a_socket,
    remote_forward,
    remote_forward_for_everybody,
    remote_forward_of_a_socket,
    network_interface,
    another_key,
    password,
]
# The options of a key allow forwarding of all kinds or none, but for the places, and say nothing of other ways to log in.
BY_THE_KEY = [shell, command, sftp, agent, x11, another_forward, the_same_place_by_another_name]

Attempt = Callable[[Tunnel, str], bool]


# The group keeps them on one worker of pytest-xdist, so that one bastion is made for all of them.
@pytest.mark.xdist_group("tunnel")
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_the_user_is_refused_what_the_administrator_gets(tunnel: Tunnel, attempt: Attempt) -> None:
    assert attempt(tunnel, tunnel.bastion.administrator)
    assert not attempt(tunnel, tunnel.bastion.user)


@pytest.mark.xdist_group("tunnel")
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_what_sshd_is_told_refuses_all_of_it_alone(without_options: Tunnel, attempt: Attempt) -> None:
    assert not attempt(without_options, without_options.bastion.user)
    assert _goes_through(without_options)


@pytest.mark.xdist_group("tunnel")
@pytest.mark.parametrize("attempt", BY_THE_KEY)
def test_the_options_of_the_key_refuse_most_of_it_alone(without_drop_in: Tunnel, attempt: Attempt) -> None:
    assert not attempt(without_drop_in, without_drop_in.bastion.user)
    assert _goes_through(without_drop_in)


def test_a_database_is_reached_and_replicates(database: Database, bastion: Bastion) -> None:
    place = f"127.0.0.1:{database.server.port}"
    assert run_playbook("streamkap.neon.setup", extra_vars=VARIABLES | {"cdc_dsn": database.dsn}).rc == 0
    bastion.apply(ssh_tunnel_databases=["db.example.com:5432", place])
    with bastion.forward(place) as port:
        dsn = make_dsn(database.dsn_as(USER, PASSWORD), port=port)
        with contextlib.closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT current_user, count(*) > 0 FROM app.products")
            assert cursor.fetchone() == (USER, True)
            assert len(sessions(bastion.user)) == 1
        with contextlib.closing(psycopg2.connect(dsn, connection_factory=LogicalReplicationConnection)) as connection:
            cursor = connection.cursor()
            cursor.execute("IDENTIFY_SYSTEM")
            assert cursor.fetchone()[3] == database.name
        database.sql("INSERT INTO app.products VALUES ('through the tunnel', 'new', 1)")
        (change,) = changes(dsn, slot=SLOT, publication=PUBLICATION, count=1)
        assert change.row["sku"] == "through the tunnel"


def test_several_places_are_reached_and_each_of_them_only_by_its_own_port(bastion: Bastion) -> None:
    with greeter() as (_host, one), greeter() as (_host, two), greeter(socket.AF_INET6, ("::1", 0)) as three:
        bastion.apply(ssh_tunnel_databases=[f"127.0.0.1:{one}", f"127.0.0.1:{two}", f"[::1]:{three[1]}"])
        for place in (f"127.0.0.1:{one}", f"127.0.0.1:{two}", f"[::1]:{three[1]}"):
            assert bastion.ssh("-W", place, "").stdout == HELLO, place
        assert bastion.ssh("-W", f"127.0.0.1:{three[1]}", "").stdout == b""


def _goes_through(tunnel: Tunnel) -> bool:
    return tunnel.bastion.ssh("-W", tunnel.place, "").stdout == HELLO
