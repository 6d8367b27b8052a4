# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Passwords without a server. That PostgreSQL agrees is in tests/integration/test_role.py."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils import _password


def test_verifier_has_the_keys_of_the_rfc(monkeypatch: pytest.MonkeyPatch) -> None:
    # The exchange of RFC 7677, section 3: what the server signs it with tells that the key is right.
    salt, nonce = "W22ZaJ0SNY7soEsUEjb6gQ==", "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    exchange = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s={salt},i=4096,c=biws,r={nonce}"
    monkeypatch.setattr(_password.secrets, "token_bytes", lambda _size: base64.b64decode(salt))
    head, _dollar, keys = _password.make_verifier("pencil", 4096).rpartition("$")
    server_key = base64.b64decode(keys.split(":")[1])
    assert head == f"SCRAM-SHA-256$4096:{salt}"
    signature = hmac.digest(server_key, exchange.encode(), "sha256")
    assert base64.b64encode(signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


@pytest.mark.parametrize("iterations", [1, 4096, 10000])
def test_verifier_tells_its_password_from_others(iterations: int) -> None:
    verifier = _password.make_verifier("right", iterations)
    assert _password.verify("right", verifier, "role")
    assert not _password.verify("Right", verifier, "role")
    assert not _password.verify("", verifier, "role")


def test_every_verifier_has_a_salt_of_its_own() -> None:
    assert _password.make_verifier("same", 1) != _password.make_verifier("same", 1)


def test_md5_verifier_is_of_one_role_only() -> None:
    verifier = "md5" + hashlib.md5("rightrölé".encode()).hexdigest()
    assert _password.verify("right", verifier, "rölé")
    assert not _password.verify("right", verifier, "role")
    assert not _password.verify("wrong", verifier, "rölé")


@pytest.mark.parametrize("stored", ["none", "", "right", "SCRAM-SHA-1$1:c2FsdA==$c2FsdA==:c2FsdA==", "md5right"])
def test_what_is_no_verifier_fits_no_password(stored: str) -> None:
    assert not _password.is_verifier(stored)
    assert not _password.verify("right", stored, "role")


def test_verifiers_are_told_from_passwords() -> None:
    assert _password.is_verifier(_password.make_verifier("x", 4096))
    assert _password.is_verifier("md5" + "0123456789abcdef" * 2)
    assert not _password.is_verifier("md5" + "0123456789ABCDEF" * 2)
    assert not _password.is_verifier(_password.make_verifier("x", 4096) + " ")


@pytest.mark.parametrize(
    ("password", "same"),
    [
        ("e\u0301", "\u00e9"),  # composed
        ("\u2126", "\u03c9".upper()),  # the sign of Ohm is an omega
        ("a\u00a0b\u00e9", "a b\u00e9"),  # a space of another kind
        ("I\u00adX\u00e9", "IX\u00e9"),  # a soft hyphen is nothing
        ("a\u200bb\u00e9", "a b\u00e9"),  # a space to PostgreSQL, though it is nothing too
        ("\u2168\u00e9", "IX\u00e9"),
    ],
)
def test_passwords_that_look_the_same_are_the_same(password: str, same: str) -> None:
    assert _password.verify(same, _password.make_verifier(password, 1), "role")


@pytest.mark.parametrize(
    ("password", "other"),
    [
        ("e\u0301\u0007", "\u00e9\u0007"),  # a control character
        ("e\u0301\u0221", "\u00e9\u0221"),  # not in Unicode 3.2
        ("e\u0301\u0627", "\u00e9\u0627"),  # from both directions
        ("\u0627e\u0301", "\u0627\u00e9"),
        ("\u00ad", ""),
        ("\u0007", ""),
    ],
)
def test_what_the_profile_prohibits_is_taken_as_it_is(password: str, other: str) -> None:
    verifier = _password.make_verifier(password, 1)
    assert _password.verify(password, verifier, "role")
    assert not _password.verify(other, verifier, "role")


@pytest.mark.parametrize(
    ("password", "bits"),
    [
        ("", 0.0),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", 9.4),  # 26 ** 2
        ("0123456789abcdef0123456789abcdef", 41.36),  # 36 ** 8
        ("abcdefghijklmnopqrstuvwxyz", 28.2),  # the rows of the keyboard come first and break the run
        ("zyxwvutsrqponmlkjihgfedcba", 28.2),
        ("qwertyuiop", 9.4),
        ("QWERTYUIOP", 47.0),  # only small letters make a run
        ("gkwrbhvmtx", 47.0),  # 26 ** 10
        ("gKw3bHvmtX", 59.54),  # 62 ** 10
        ("gKw3b!vmtX", 60.66),  # 67 ** 10
        ("gKw3b-vmtX", 60.66),
        ("gKw3b%vmtX", 63.92),  # 84 ** 10
        ("ä", 0.0),  # 1 ** 2
        ("äöü", 9.51),  # 3 ** 6
    ],
)
def test_entropy_is_counted_as_neon_counts_it(password: str, bits: float) -> None:
    assert _password.entropy(password) == pytest.approx(bits, abs=0.01)


def test_a_generated_password_is_strong_of_every_kind_and_needs_no_quotes() -> None:
    generated = {_password.generate() for _number in range(200)}
    assert len(generated) == 200
    for password in generated:
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{31}", password)
        assert all(re.search(kind, password) for kind in ("[a-z]", "[A-Z]", "[0-9]", "[-_]"))
        assert _password.entropy(password) > 2 * _password.STRONG_ENOUGH_FOR_NEON
