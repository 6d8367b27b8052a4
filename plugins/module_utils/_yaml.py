# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Plain data as a small YAML document, for diffs. Targets need not have a YAML library."""

from __future__ import annotations

import json
import re
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def dump(data: dict[str, Any]) -> str:
    """Keys in the order given; the empty dict is the empty document."""
    return "".join(line + "\n" for line in _lines(data)) if data else ""


def _lines(data: Any) -> list[str]:
    if isinstance(data, dict):
        return [line for key, value in data.items() for line in _entry("%s:" % _scalar(key), value, "  ")]
    return [line for value in data for line in _item(value)]


def _entry(label: str, value: Any, indent: str) -> list[str]:
    if isinstance(value, (dict, list)) and value:
        return [label] + [indent + line for line in _lines(value)]
    return ["%s %s" % (label, _scalar(value))]


def _item(value: Any) -> list[str]:
    if isinstance(value, (dict, list)) and value:
        first, *rest = _lines(value)
        return ["- " + first] + ["  " + line for line in rest]
    return ["- " + _scalar(value)]


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    # JSON is YAML, but for what it writes as two halves of a character.
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(character: str) -> str:
    """What cannot be printed comes out escaped, so that no name can steer a terminal."""
    if character.isprintable():
        return character
    return ("\\u%04x" if character <= "\uffff" else "\\U%08x") % ord(character)
