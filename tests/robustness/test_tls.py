# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is connected to over TLS, who is refused, and that nobody gets a password who has not proven to be the server."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from support import neon
from support.figures import Figures
from support.modules import run_module
from support.postgres import Server
from support.relay import asks_for_encryption, listening, startup_packet

pytestmark = [pytest.mark.postgres(14, 18), pytest.mark.newest_version]

HOST = "db.example.test"
NEON_HOST = "ep-a-b-1.us-east-2.aws.neon.tech"
PASSWORD = "Over-tls-8-of-the-tests"
KEY_PASSWORD = "Of-the-key-2-of-the-tests"

# Who logs in, and how the server lets them in.
HBA = {
    "tls_scram": "scram-sha-256",
    "tls_md5": "md5",
    "tls_password": "password",
    "tls_trust": "trust",
    "tls_certificate": "cert",
    "tls_both": "scram-sha-256 clientcert=verify-ca",
}

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
CLEARTEXT_PASSWORD = b"R" + struct.pack("!ii", 8, 3)


class Pki:
    """Who may vouch for the server and for clients, and files of certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority, self.clients = trustme.CA(), trustme.CA()
        self.now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        self_signed = trustme.CA()
        issue = self.authority.issue_cert
        self.servers: dict[str, trustme.LeafCert | trustme.CA] = {
            "right": issue(HOST, NEON_HOST),
            "of another host": issue("elsewhere.example.test"),
            "expired": issue(HOST, not_after=self.now - day),
            "not yet valid": issue(HOST, not_before=self.now + day, not_after=self.now + 2 * day),
            "of a foreign authority": trustme.CA().issue_cert(HOST),
            "self-signed": self_signed,
        }
        self.ca_cert = self.file("authority.pem", self.authority.cert_pem.bytes())

    def chain(self, name: str) -> bytes:
        server = self.servers[name]
        if isinstance(server, trustme.CA):
            return server.cert_pem.bytes()
        return b"".join(pem.bytes() for pem in server.cert_chain_pems)

    def key(self, name: str) -> bytes:
        return self.servers[name].private_key_pem.bytes()

    def file(self, name: str, content: bytes, mode: int = 0o600) -> str:
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(mode)
        return str(path)

    def context(self, name: str) -> ssl.SSLContext:
        """For who poses as the server with such a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file("impostor.crt", self.chain(name)), self.file("impostor.key", self.key(name)))
        return context


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@dataclass
class Encrypted:
    """A server that takes TLS only, and whose certificate can be changed."""

    server: Server
    pki: Pki

    def show(self, certificate: str) -> None:
        self._write(certificate)
        self.server.sql("SELECT pg_reload_conf()")
        expected = ssl.PEM_cert_to_DER_cert(
            self.pki.chain(certificate).decode().partition("-----END")[0] + "-----END CERTIFICATE-----\n"
        )
        deadline = time.monotonic() + 20
        while self._shown() != expected:
            assert time.monotonic() < deadline, "the server goes on with its old certificate"
            time.sleep(0.02)

    def _write(self, certificate: str) -> None:
        data = self.server.folder / "data"
        self.server.write(data / "server.crt", self.pki.chain(certificate))
        self.server.write(data / "server.key", self.pki.key(certificate))

    def _shown(self) -> bytes | None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection((self.server.host, self.server.port)) as connection:
            connection.sendall(SSL_REQUEST)
            if connection.recv(1) != b"S":
                return None
            with context.wrap_socket(connection) as encrypted:
                return encrypted.getpeercert(binary_form=True)


@pytest.fixture(scope="module")
def encrypted(server: Server, pki: Pki) -> Iterator[Encrypted]:
    data = server.folder / "data"
    before = (data / "pg_hba.conf").read_bytes()
    lines = [
        f"hostssl all {user} 127.0.0.1/32 {method}\nhostnossl all {user} 127.0.0.1/32 reject\n"
        for user, method in HBA.items()
    ]
    server.write(data / "clients.crt", pki.clients.cert_pem.bytes())
    server.write(data / "pg_hba.conf", "".join(lines).encode() + before)
    settings = {"ssl": "on", "ssl_ca_file": "clients.crt"}
    for user in HBA:
        encryption = "md5" if user == "tls_md5" else "scram-sha-256"
        server.sql(
            f"SET password_encryption = '{encryption}'; CREATE ROLE {user} LOGIN REPLICATION PASSWORD '{PASSWORD}'"
        )
    for name, value in settings.items():
        server.sql(f"ALTER SYSTEM SET {name} = '{value}'")
    encrypted = Encrypted(server, pki)
    try:
        encrypted.show("right")
        yield encrypted
    finally:
        for name in settings:
            server.sql(f"ALTER SYSTEM RESET {name}")
        server.sql("DROP ROLE " + ", ".join(HBA))
        server.write(data / "pg_hba.conf", before)
        server.sql("SELECT pg_reload_conf()")


class Decisions:
    """Connects with options, and compares what was decided with what must be."""

    def __init__(self, figures: Figures, given: dict[str, object]) -> None:
        self._figures = figures
        self._given = given

    def check(self, refused: str | None, **options: object) -> dict[str, object]:
        """refused: words of the refusal, which also names the option to look at; None where it is to connect."""
        given = {**self._given, **options}
        given["connect_params"] = {**self._given["connect_params"], **options.get("connect_params", {})}
        result = run_module("role", name="nobody_of_the_tests", state="absent", check=True, **given)
        self._figures.add("certificates", 1)
        self._figures.add("certificates_bad", int(refused is not None))
        wrong = bool(result.get("failed")) != (refused is not None)
        self._figures.add("certificates_wrong", int(wrong))
        assert not wrong, (options, result.get("msg"))
        if refused:
            assert refused in result["msg"], (options, result["msg"])
        assert PASSWORD not in str(result)
        return result


@pytest.fixture
def decide(encrypted: Encrypted, figures: Figures) -> Callable[..., dict[str, object]]:
    server = encrypted.server
    given = {
        "login_host": HOST,
        "login_port": server.port,
        "login_user": "tls_scram",
        "login_password": PASSWORD,
        "login_db": "postgres",
        "connect_params": {"hostaddr": server.host},
    }
    return Decisions(figures, given).check


def client_files(pki: Pki, certificate: trustme.LeafCert, name: str) -> dict[str, str]:
    return {
        "ssl_cert": pki.file(f"{name}.crt", certificate.cert_chain_pems[0].bytes()),
        "ssl_key": pki.file(f"{name}.key", certificate.private_key_pem.bytes()),
    }


VERIFIED = "The server's certificate is not to be trusted: check the host, that ca_cert holds"
MISMATCH = "Connect by a name that the certificate is of."


@pytest.mark.parametrize(
    ("certificate", "verify_full", "verify_ca"),
    [
        ("right", None, None),
        ("of another host", MISMATCH, None),
        ("expired", VERIFIED, VERIFIED),
        ("not yet valid", VERIFIED, VERIFIED),
        ("of a foreign authority", VERIFIED, VERIFIED),
        ("self-signed", VERIFIED, VERIFIED),
    ],
)
def test_certificates(
    encrypted: Encrypted, decide, certificate: str, verify_full: str | None, verify_ca: str | None
) -> None:
    encrypted.show(certificate)
    ca_cert = encrypted.pki.ca_cert
    decide(verify_full, ssl_mode="verify-full", ca_cert=ca_cert)
    decide(verify_ca, ssl_mode="verify-ca", ca_cert=ca_cert)
    # Encrypted, whoever it is; but with an authority to ask it is asked, as libpq has always done.
    decide(None, ssl_mode="require")
    decide(verify_ca, ssl_mode="require", ca_cert=ca_cert)


def test_files_of_authorities(encrypted: Encrypted, decide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encrypted.show("right")
    monkeypatch.setenv("HOME", str(tmp_path))
    remedy = "Name the file of the authorities that are trusted in ca_cert"
    decide(remedy, ssl_mode="verify-full", ca_cert=str(tmp_path / "missing.pem"))
    decide(remedy, ssl_mode="verify-full", ca_cert=encrypted.pki.file("nothing.pem", b"no certificate\n"))
    decide("Connect by a name", ssl_mode="verify-full", ca_cert=encrypted.pki.ca_cert, login_host="127.0.0.1")
    decide("set ssl_mode: require", ssl_mode="disable")


def test_certificates_of_clients(encrypted: Encrypted, decide) -> None:
    encrypted.show("right")
    pki = encrypted.pki
    right = client_files(pki, pki.clients.issue_cert(common_name="tls_certificate"), "right")
    another = client_files(pki, pki.clients.issue_cert(common_name="somebody_else"), "another")
    foreign = client_files(pki, trustme.CA().issue_cert(common_name="tls_certificate"), "foreign")
    server = {"ssl_mode": "verify-full", "ca_cert": pki.ca_cert}
    user = {**server, "login_user": "tls_certificate", "login_password": None}
    decide(None, **user, **right)
    decide("Give a certificate of the client's in ssl_cert", **user)
    decide("it must be of the user who logs in", **user, **another)
    decide("give it in ssl_cert, its key in ssl_key", **user, **foreign)
    decide("Check ssl_key", **user, **{**right, "ssl_key": another["ssl_key"]})
    decide("Check ssl_key", **user, **{**right, "ssl_key": str(pki.folder / "missing.key")})
    decide(
        "passes over a certificate that does not exist",
        **user,
        **{**right, "ssl_cert": str(pki.folder / "missing.crt")},
    )
    readable = pki.file("readable.key", Path(right["ssl_key"]).read_bytes(), 0o644)
    decide("Check ssl_key", **user, **{**right, "ssl_key": readable})

    both = {**server, "login_user": "tls_both"}
    decide(None, **both, **right)
    decide("Check the user and the password.", **{**both, "login_password": "wrong-1-of-the-tests"}, **right)
    decide("Give a certificate of the client's in ssl_cert", **both)


def test_keys_of_clients_may_be_encrypted(encrypted: Encrypted, decide) -> None:
    encrypted.show("right")
    pki = encrypted.pki
    certificate = pki.clients.issue_cert(common_name="tls_certificate")
    files = client_files(pki, certificate, "encrypted")
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    scheme = serialization.BestAvailableEncryption(KEY_PASSWORD.encode())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, scheme)
    user = {
        **files,
        "ssl_key": pki.file("encrypted.key", pem),
        "ssl_mode": "verify-full",
        "ca_cert": pki.ca_cert,
        "login_user": "tls_certificate",
        "login_password": None,
    }
    told = decide(None, **user, connect_params={"sslpassword": KEY_PASSWORD})
    assert KEY_PASSWORD not in str(told)
    decide("connect_params: {sslpassword: PASSWORD}", **user)
    told = decide("Check ssl_key", **user, connect_params={"sslpassword": KEY_PASSWORD + "!"})
    assert KEY_PASSWORD not in str(told)


def test_channel_binding(encrypted: Encrypted, decide) -> None:
    encrypted.show("right")
    bound = {"connect_params": {"channel_binding": "require"}, "ssl_mode": "require"}
    decide(None, **bound)
    # Whom the server takes without TLS too.
    owner = {"login_user": neon.OWNER, "login_password": neon.OWNER_PASSWORD, "ssl_mode": "disable"}
    decide(None, **owner)
    decide("scram-sha-256 cannot prove it", **{**bound, **owner})
    for user in ("tls_md5", "tls_password", "tls_trust"):
        decide(None, ssl_mode="require", login_user=user)
        decide("scram-sha-256 cannot prove it", **bound, login_user=user)


# --- who poses as the server


@dataclass
class Impostor:
    """Poses as a server, asks for the password in plain text, and remembers what it was told.

    context: None says that it takes no TLS
    behind: the port of the true server, which the first connection is passed on to
    """

    context: ssl.SSLContext | None
    behind: int | None = None

    def __post_init__(self) -> None:
        self.port = 0
        self.asked = 0
        self.told: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.behind:
            port, self.behind = self.behind, None
            await _pass_through(reader, writer, port)
            return
        self.asked += 1
        while asks_for_encryption(packet := await startup_packet(reader)):
            takes_tls = self.context and packet == SSL_REQUEST
            writer.write(b"S" if takes_tls else b"N")
            if takes_tls:
                with contextlib.suppress(ssl.SSLError):
                    await writer.start_tls(self.context)
        writer.write(CLEARTEXT_PASSWORD)
        kind, length = struct.unpack("!ci", await reader.readexactly(5))
        words = await reader.readexactly(length - 4)
        if kind == b"p":
            self.told.append(words.rstrip(b"\0"))


async def _pass_through(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)

    async def pass_on(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            to.write(data)
            await to.drain()
        to.close()

    await asyncio.gather(pass_on(reader, server_writer), pass_on(server_reader, writer))


@contextlib.contextmanager
def impostor(context: ssl.SSLContext | None, behind: int | None = None) -> Iterator[Impostor]:
    posing = Impostor(context, behind)
    with listening(posing.serve) as posing.port:
        yield posing


@pytest.mark.parametrize(
    "certificate", ["of another host", "expired", "not yet valid", "of a foreign authority", "self-signed"]
)
@pytest.mark.parametrize(
    "proof",
    [
        {"ssl_mode": "verify-full", "ca_cert": "the authority"},
        {"ssl_mode": "require", "connect_params": {"channel_binding": "require"}},
        {"ssl_mode": "require", "connect_params": {"require_auth": "scram-sha-256"}},
    ],
    ids=["verify-full", "channel_binding", "require_auth"],
)
def test_who_poses_as_the_server_gets_no_password(encrypted: Encrypted, decide, certificate: str, proof: dict) -> None:
    options = {**proof}
    if "ca_cert" in options:
        options["ca_cert"] = encrypted.pki.ca_cert
    with impostor(encrypted.pki.context(certificate)) as posing:
        decide("Cannot connect", **options, login_port=posing.port)
    assert posing.asked
    assert posing.told == []


def test_without_proof_who_poses_as_the_server_gets_it(encrypted: Encrypted, decide) -> None:
    """Which is why the proof is documented; and it shows that the impostor of the other tests would get one."""
    with impostor(encrypted.pki.context("self-signed")) as posing:
        decide("Cannot connect", ssl_mode="require", login_port=posing.port, connect_timeout=1)
    assert set(posing.told) == {PASSWORD.encode()}


@pytest.mark.parametrize(
    "host", [NEON_HOST, NEON_HOST.upper(), NEON_HOST + ".", NEON_HOST.replace("-1.", "-1-pooler.")]
)
@pytest.mark.parametrize("by", ["option", "dsn", "environment"])
def test_neons_hosts_get_no_password_without_tls(decide, host: str, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with impostor(None) as posing:
        options: dict[str, object] = {"login_host": host}
        if by == "dsn":
            options = {"login_host": None, "dsn": f"postgresql://{host}/"}
        elif by == "environment":
            options = {"login_host": None}
            monkeypatch.setenv("PGHOST", host)
        decide("The server takes no TLS, which ssl_mode asks for", **options, login_port=posing.port)
    assert posing.asked
    assert posing.told == []


def test_neons_hosts_are_verified_where_the_environment_says_so(
    encrypted: Encrypted, decide, monkeypatch: pytest.MonkeyPatch
) -> None:
    encrypted.show("right")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", encrypted.pki.ca_cert)
    decide(None, login_host=NEON_HOST)
    with impostor(encrypted.pki.context("of a foreign authority")) as posing:
        decide(VERIFIED, login_host=NEON_HOST, login_port=posing.port)
    assert posing.told == []


# --- the connections that are made besides the administrator's


@pytest.fixture
def asked(encrypted: Encrypted) -> Iterator[dict[str, object]]:
    """How to be asked for the certificate, as an administrator who may not read verifiers."""
    encrypted.show("right")
    with neon.isolated(encrypted.server):
        database = neon.fresh_database(encrypted.server)
        database.admin(f"CREATE ROLE asking LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
        yield {
            "dsn": database.dsn_as("asking", PASSWORD),
            "login_host": HOST,
            "connect_params": {"hostaddr": "127.0.0.1"},
            "ssl_mode": "verify-full",
            "ca_cert": encrypted.pki.ca_cert,
        }


def test_the_connectors_connections_are_as_secure_as_the_administrators(asked: dict, figures: Figures) -> None:
    """The server takes the connector's user over TLS only."""
    looked = run_module(
        "readiness_info", connector_user="tls_scram", connector_password=PASSWORD, schemas=["app"], **asked
    )
    checks = {check["id"]: check for check in looked["checks"]}
    assert checks["encryption"]["found"] == "The connection is encrypted."
    assert looked["connector"]["looked"]
    assert checks["replication_connection"]["status"] == "pass", checks["replication_connection"]
    figures.add("certificates", 2)


@pytest.mark.parametrize("certificate", ["of another host", "self-signed"])
@pytest.mark.parametrize("module", ["readiness_info", "role"])
def test_the_connectors_password_goes_to_nobody_else(
    encrypted: Encrypted, asked: dict, figures: Figures, certificate: str, module: str
) -> None:
    options = {
        "readiness_info": {"connector_user": "tls_scram", "connector_password": PASSWORD},
        "role": {"name": "tls_scram", "password": PASSWORD},
    }[module]
    context = encrypted.pki.context(certificate)
    with impostor(context, behind=encrypted.server.port) as posing:
        result = run_module(module, check=True, **options, **asked, login_port=posing.port)
    assert posing.asked
    assert posing.told == []
    assert PASSWORD not in str(result)
    if module == "readiness_info":
        refused = next(check for check in result["checks"] if check["id"] == "connector_login")
        assert (MISMATCH if certificate == "of another host" else "certificate verify failed") in str(refused) or (
            "does not match host name" in refused["found"]
        )
    else:
        assert "not known" in str(result["warnings"]), "a certificate says nothing of the password"
        assert not result["changed"]
    figures.add("certificates", 1)
    figures.add("certificates_bad", 1)
