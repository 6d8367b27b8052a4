# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Passwords: the verifiers that PostgreSQL stores in their place, and the strength that Neon asks for.

A SCRAM verifier is made here rather than by the server, so that the password is in no statement and in no log.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
import secrets
import string
import stringprep
import unicodedata
from typing import NamedTuple

# https://www.postgresql.org/docs/current/catalog-pg-authid.html
_SCRAM = re.compile(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")
_MD5 = re.compile(r"md5([0-9a-f]{32})")
_SALT_BYTES = 16  # as many as PostgreSQL takes

STRONG_ENOUGH_FOR_NEON = 60  # bits
_GENERATED_LENGTH = 32  # characters: 190 bits
_SYMBOL_SETS = [
    "!@$&*",
    "_-., ",
    "\"#%'()+/:;<=>?[\\]^{|}~",
    "abcdefghijklmnopqrstuvwxyz",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "0123456789",
]
_SEQUENCES = ["0123456789", "qwertyuiop", "asdfghjkl", "zxcvbnm", "abcdefghijklmnopqrstuvwxyz"]

_PROHIBITED = [
    stringprep.in_table_a1,  # unassigned in Unicode 3.2
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
]


class UnknownPassword(NamedTuple):
    """Why logging in did not tell whether a password is right.

    :param reason: to follow "is not known:".
    """

    reason: str
    hint: str | None


def generate() -> str:
    """A password that Neon takes, and whoever asks for every kind of character; of what needs no quotes in a URL, YAML or a shell."""
    kinds = [string.ascii_lowercase, string.ascii_uppercase, string.digits, "-_"]
    while True:
        password = "".join(secrets.choice("".join(kinds)) for _character in range(_GENERATED_LENGTH))
        has_all = all(any(character in kind for character in password) for kind in kinds)
        if has_all and password[0].isalpha() and entropy(password) >= STRONG_ENOUGH_FOR_NEON:
            return password


def is_verifier(text: str) -> bool:
    """Whether PostgreSQL would store this as a verifier when it is given for a password."""
    return bool(_SCRAM.fullmatch(text) or _MD5.fullmatch(text))


def make_verifier(password: str, iterations: int) -> str:
    """A SCRAM-SHA-256 verifier (RFC 5802 and 7677) with a salt of its own."""
    salt = secrets.token_bytes(_SALT_BYTES)
    stored_key, server_key = _scram_keys(password, salt, iterations)
    return "SCRAM-SHA-256$%d:%s$%s:%s" % (iterations, _base64(salt), _base64(stored_key), _base64(server_key))


def verify(password: str, verifier: str, role: str) -> bool:
    """Whether a stored verifier, SCRAM-SHA-256 or md5, is of this password.

    :param role: whose verifier it is: md5 ones are salted with the role's name.
    """
    scram = _SCRAM.fullmatch(verifier)
    if scram:
        iterations, salt, stored_key, _server_key = scram.groups()
        expected, _expected_server_key = _scram_keys(password, base64.b64decode(salt), int(iterations))
        return hmac.compare_digest(expected, base64.b64decode(stored_key))
    md5 = _MD5.fullmatch(verifier)
    if md5:
        expected_md5 = hashlib.md5((password + role).encode(), usedforsecurity=False).hexdigest()
        return hmac.compare_digest(expected_md5, md5.group(1))
    return False


def entropy(password: str) -> float:
    """Bits of entropy as Neon's control plane counts them before it takes a password.

    The number of symbols is that of every set that the password takes a character from, and one for each character of no set.
    The length is counted in bytes, without the third and further of the same character in a row, and without the third and
    further of a run along the alphabet, the digits or a row of the keyboard, in either direction.
    """
    others = {char for char in password if not any(char in symbols for symbols in _SYMBOL_SETS)}
    base = len(others) + sum(len(symbols) for symbols in _SYMBOL_SETS if any(char in symbols for char in password))
    return len(_without_patterns(password).encode()) * math.log2(base) if base else 0.0


def _scram_keys(password: str, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """StoredKey and ServerKey of RFC 5802."""
    salted = hashlib.pbkdf2_hmac("sha256", _saslprep(password), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256")


def _saslprep(password: str) -> bytes:
    """RFC 4013, as PostgreSQL reads it: ASCII stays as it is, and so does what the profile prohibits.

    PostgreSQL looks for what is prohibited before it normalizes, not after.
    """
    if password.isascii():
        return password.encode()
    mapped = "".join(_mapped(char) for char in password)
    if not mapped or any(table(char) for table in _PROHIBITED for char in mapped) or _mixes_directions(mapped):
        return password.encode()
    return unicodedata.normalize("NFKC", mapped).encode()


def _mapped(char: str) -> str:
    if stringprep.in_table_c12(char):
        return " "
    return "" if stringprep.in_table_b1(char) else char


def _mixes_directions(text: str) -> bool:
    """RFC 3454, section 6: text from right to left begins and ends so, and holds none from left to right."""
    if not any(map(stringprep.in_table_d1, text)):
        return False
    enclosed = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return not enclosed or any(map(stringprep.in_table_d2, text))


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _without_patterns(password: str) -> str:
    text = re.sub(r"(.)\1{2,}", r"\1\1", password, flags=re.DOTALL)
    for sequence in _SEQUENCES + [sequence[::-1] for sequence in _SEQUENCES]:
        text = _without_run(text, sequence)
    return text


def _without_run(text: str, sequence: str) -> str:
    """Drop the third and further characters of a run along the sequence.

    Neon goes through the whole sequence, then over the character that did not fit, and starts again. So no run begins with that one.
    """
    kept: list[str] = []
    position = run = 0
    while position < len(text):
        for expected in sequence:
            if text[position : position + 1] != expected:
                run = 0
                continue
            run += 1
            if run <= 2:
                kept.append(expected)
            position += 1
        kept.append(text[position : position + 1])
        position += 1
    return "".join(kept)
