# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Convert the roles' variables, which may be text: -e name=value, a survey and an environment variable give nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml
from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.validation import check_type_bool, check_type_dict

# Between commas and ends of lines; neither of them separates inside of double quotes.
_ITEM = re.compile(r'(?:"(?:[^"]|"")*"|[^,\n])+')


def to_bool(value: Any, name: str) -> bool:
    """Return what Ansible's modules take the value for, and fail for what is neither a yes nor a no."""
    try:
        return check_type_bool(value)
    except TypeError:
        raise AnsibleFilterError(
            f"{name} is {_shown(value)}, which is neither true nor false. Write one of them."
        ) from None


def to_list(value: Any, name: str) -> list[Any]:
    """Return the items of a list, or of text: ``app``, ``app, billing``, or a list as JSON or YAML writes it."""
    items = value
    if value is None:
        items = []
    elif isinstance(value, str):
        items = _items_of(value, name)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        items = [value]
    elif isinstance(value, (bool, Mapping)) or not hasattr(value, "__iter__"):
        raise AnsibleFilterError(f"{name} is {_shown(value)}, which is no list. Write it as [app, billing].")
    return [str(item) if isinstance(item, (int, float)) and not isinstance(item, bool) else item for item in items]


def to_dict(value: Any, name: str) -> dict[str, Any]:
    """Return a dictionary, or what text says as JSON or as ``key=value, key=value``."""
    if value is None:
        return {}
    try:
        return check_type_dict(value)
    except TypeError:
        # What it holds may be secret.
        raise AnsibleFilterError(
            f'{name} is no dictionary. Write it as JSON, for example -e \'{{"{name}": {{"key": "value"}}}}\'.'
        ) from None


def _items_of(text: str, name: str) -> list[Any]:
    text = text.strip()
    if not text.startswith("["):
        return [item.strip() for item in _ITEM.findall(text) if item.strip()]
    try:
        items = yaml.safe_load(text)
    except yaml.YAMLError:
        items = None
    if not isinstance(items, list):
        raise AnsibleFilterError(
            f"{name} is {_shown(text)}, which is no list. Write names with commas between them, or a list as JSON."
        )
    return items


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    return f"'{value}'" if isinstance(value, str) else str(value)
