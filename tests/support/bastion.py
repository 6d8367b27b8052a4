# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bastion host in small: a real sshd on a free loopback port, and OpenSSH's own client in front of it.

    with Bastion() as bastion:
        bastion.apply(ssh_tunnel_databases=["127.0.0.1:5432"])
        with bastion.forward("127.0.0.1:5432") as port:
            ...

The sshd has its configuration and its keys in one temporary folder, and the administrator, root, may do everything that can
be forbidden: what is refused to the user of the tunnel is refused by the role. The accounts are those of this machine, so
the user has a name of its own, which is removed at the end with all that is his.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from .modules import PlaybookRun, run_playbook
from .postgres import free_port
from .prerequisites import SSHD, has_openssh, is_root
from .waiting import eventually

LACKING = (
    "sshd was not tried: it takes root, openssh-server and openssh-client. So neither the role ssh_tunnel nor its tunnel"
    " has been tested."
)
PLAYBOOK = """
- hosts: "{{ hosts | default('localhost') }}"
  gather_facts: false
  tasks:
    - ansible.builtin.set_fact:
        "{{ item.key }}": "{{ item.value }}"
        cacheable: true
      loop: "{{ facts | dict2items }}"
    - ansible.builtin.include_role:
        name: streamkap.neon.ssh_tunnel
    - ansible.builtin.debug:
        var: ssh_tunnel_bastion | default('')
"""
# All that the role is to forbid to one user.
PERMISSIVE = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile {folder}/pid
LogLevel VERBOSE
MaxStartups 100
UsePAM yes
PermitRootLogin prohibit-password
AuthorizedKeysFile {folder}/keys/%u
TrustedUserCAKeys {folder}/authority.pub
AllowTcpForwarding yes
AllowStreamLocalForwarding yes
AllowAgentForwarding yes
GatewayPorts clientspecified
PermitTunnel yes
X11Forwarding yes
XAuthLocation /bin/true
Subsystem sftp internal-sftp
"""
OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": "10",
    "ExitOnForwardFailure": "yes",
    "IdentitiesOnly": "yes",
    "LogLevel": "INFO",
    "StrictHostKeyChecking": "yes",
    "XAuthLocation": "/bin/true",
}


def lacking() -> bool:
    return not (is_root() and has_openssh())


class Bastion:
    """`with` starts the sshd, and ends and removes it, and the user."""

    # The Python that runs the modules of the role.
    interpreter = sys.executable

    def __init__(self, name: str = "") -> None:
        self.user = f"streamkap-test-{os.getpid()}{name}"
        self.administrator = pwd.getpwuid(os.geteuid()).pw_name

    def __enter__(self) -> Bastion:
        # The keys in it are the users' own to read, and sshd trusts no folder below one that everybody may write to.
        self.folder = Path(tempfile.mkdtemp(prefix="streamkap-neon-", dir="/run"))
        self.folder.chmod(0o755)
        self.port = free_port()
        self.config = self.folder / "sshd_config"
        self.drop_in = self.folder / "sshd_config.d" / f"00-{self.user}.conf"
        self.home = Path("/home") / self.user
        self.keys = self.home / ".ssh" / "authorized_keys"
        self.drop_in.parent.mkdir()
        for key in ("host_key", "key", "authority"):
            self.make_key(key)
        keys = self.folder / "keys"
        keys.mkdir()
        # sshd reads in it as the user who logs in, whatever the umask here is.
        keys.chmod(0o755)
        shutil.copy(self.folder / "key.pub", keys / self.administrator)
        (self.folder / "known_hosts").write_text(
            f"[127.0.0.1]:{self.port} {(self.folder / 'host_key.pub').read_text()}"
        )
        self.config.write_text(
            f"Include {self.drop_in.parent}/*.conf\n{PERMISSIVE.format(folder=self.folder, port=self.port)}"
        )
        # Where sshd puts those who have not logged in yet; on a machine with systemd it is there.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        # It ends with this process, however that ends.
        with self.log.open("ab") as log:
            self._sshd = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", SSHD, "-D", "-e", "-f", self.config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        eventually(lambda: "Server listening" in self.log.read_text())
        return self

    def __exit__(self, *_exception: object) -> None:
        self._sshd.terminate()
        self._sshd.wait()
        for process in sessions(self.user):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if account(self.user):
            eventually(lambda: not sessions(self.user))
            subprocess.run(["userdel", self.user], check=True, capture_output=True)
        if group(self.user):
            subprocess.run(["groupdel", self.user], check=True)
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(self.folder)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def pid(self) -> int:
        return self._sshd.pid

    @property
    def _reloads(self) -> Path:
        return self.folder / "reloads"

    @property
    def reloads(self) -> int:
        """How often the role has told sshd to read its configuration, which sshd does a moment later."""
        return len(self._reloads.read_text().splitlines()) if self._reloads.exists() else 0

    @property
    def starts(self) -> int:
        """How often sshd has read its configuration."""
        return self.log.read_text(errors="replace").count("Server listening")

    def make_key(self, name: str, kind: str = "ed25519") -> str:
        """Makes a key in the folder, and returns its public half."""
        key = self.folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", f"{name} of the tests", "-f", key], check=True)
        return key.with_suffix(".pub").read_text().strip()

    def variables(self, **given: object) -> dict[str, object]:
        """The variables of the role. What is given as None is left out."""
        given = {
            "ansible_connection": "local",
            "ansible_python_interpreter": self.interpreter,
            # Each run makes an archive of each module that it uses, which nobody sends anywhere.
            "ansible_module_compression": "ZIP_STORED",
            "ssh_tunnel_user": self.user,
            "ssh_tunnel_group": self.user,
            "ssh_tunnel_public_key": (self.folder / "key.pub").read_text().strip(),
            "ssh_tunnel_databases": ["127.0.0.1:5432"],
            "ssh_tunnel_sshd_config": str(self.config),
            "ssh_tunnel_reload_command": ["sh", "-c", f"echo >> {self._reloads} && kill -HUP {self.pid}"],
            **given,
        }
        return {name: value for name, value in given.items() if value is not None}

    def run(
        self,
        *,
        check: bool = False,
        facts: dict[str, str] | None = None,
        env: dict[str, str] | None = None,
        **given: object,
    ) -> PlaybookRun:
        """Runs the role.

        facts: what Ansible is to know of the host, whatever is true
        """
        starts, reloads = self.starts, self.reloads
        extra_vars = {"facts": facts or {}, **self.variables(**given)}
        run = run_playbook(PLAYBOOK, extra_vars=extra_vars, check=check, diff=True, env=env)
        eventually(lambda: self.starts - starts >= self.reloads - reloads)
        return run

    def apply(self, **given: object) -> PlaybookRun:
        """Runs the role, which must succeed."""
        run = self.run(**given)
        assert run.rc == 0, run.stdout + run.stderr
        return run

    def reload(self) -> None:
        before = self.starts
        self._sshd.send_signal(signal.SIGHUP)
        eventually(lambda: self.starts > before)

    def state(self) -> dict[str, object]:
        """All that the role may touch."""
        files = [self.config, *self.drop_in.parent.rglob("*"), self.home, *self.home.rglob("*")]
        return {
            "account": account(self.user),
            "group": group(self.user),
            "starts": self.starts,
            "files": {str(file): _seen(file) for file in files if file.exists()},
        }

    def command(self, *arguments: object, user: str = "", key: str = "key", program: str = "ssh") -> list[str]:
        """A call of ssh, as the tunnel's user when no other is given; the last argument is the command, or empty."""
        options = {**OPTIONS, "Port": self.port, "UserKnownHostsFile": self.folder / "known_hosts"}
        destination = f"{user or self.user}@127.0.0.1"
        given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        *arguments, command = arguments
        words = ["-F", "none", *given, "-i", self.folder / key, *arguments, destination, *[command] * bool(command)]
        return [program, *map(str, words)]

    def ssh(
        self, *arguments: object, given: bytes = b"", env: dict[str, str] | None = None, **who: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs ssh to its end, with the command as the last argument, or none."""
        return subprocess.run(
            self.command(*arguments, **who),
            input=given,
            env={**os.environ, **(env or {})},
            capture_output=True,
            timeout=60,
            check=False,
        )

    @contextlib.contextmanager
    def held(self, *arguments: object, user: str = "", key: str = "key") -> Iterator[subprocess.Popen[str]]:
        """An ssh that stays, opening no session."""
        with subprocess.Popen(
            self.command("-N", *arguments, "", user=user, key=key),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as ssh:
            try:
                yield ssh
            finally:
                # It may miss a TERM that comes right before it waits for its connections, and would then wait for good.
                ssh.kill()

    @contextlib.contextmanager
    def forward(self, target: str, **who: str) -> Iterator[int]:
        """A local port that leads to the target for as long as the `with` goes on."""
        port = free_port()
        with self.held("-L", f"127.0.0.1:{port}:{target}", **who) as ssh:
            eventually(lambda: answers(port) or ssh.poll() is not None)
            assert ssh.poll() is None, ssh.stderr.read()
            yield port


def account(name: str) -> pwd.struct_passwd | None:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(name)
    return None


def group(name: str) -> grp.struct_group | None:
    with contextlib.suppress(KeyError):
        return grp.getgrnam(name)
    return None


def sessions(name: str) -> list[int]:
    """The processes that run as the user."""
    entry = account(name)
    found = []
    for status in Path("/proc").glob("[0-9]*/status") if entry else ():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if f"Uid:\t{entry.pw_uid}\t" in status.read_text() and "State:\tZ" not in status.read_text():
                found.append(int(status.parent.name))
    return found


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def greeter(family: int = socket.AF_INET, address: object = ("127.0.0.1", 0)) -> Iterator[object]:
    """A server that says hello to everybody; the address on which it does so."""
    with socket.socket(family) as server:
        server.bind(address)
        server.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _peer = server.accept()
                    with connection:
                        connection.sendall(b"hello")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _seen(file: Path) -> tuple[object, ...]:
    status = file.stat()
    content = file.read_text() if file.is_file() else None
    return content, status.st_mode, status.st_uid, status.st_gid
