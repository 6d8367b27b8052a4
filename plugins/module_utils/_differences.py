# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""What a plan's before and after differ in, in sentences: for who checks every day and wants to know what somebody has changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ._sql import listed


def differences(title: str, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """A sentence for each difference.

    :param title: what it is about, as in "the role streamkap_user".
    """
    if before == after:
        return []
    subject = title[0].upper() + title[1:]
    # Of a table that is not there, its schema may be.
    if not before or ("table" in after and "table" not in before):
        return ["%s does not exist." % subject]
    if not after:
        return ["%s exists." % subject]
    return list(_sentences(subject, _in_words(before), _in_words(after)))


def _in_words(aspects: dict[str, Any]) -> dict[str, Any]:
    """A name of an object, which is no aspect, is qualified and so no identifier."""
    return {key.replace("_", " ") if key.isidentifier() else key: value for key, value in aspects.items()}


def _sentences(subject: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    alike: dict[tuple[str, str], list[str]] = {}
    for name in dict.fromkeys([*after, *before]):
        is_now, wanted = before.get(name), after.get(name)
        if isinstance(wanted, dict):
            yield from _sentences("%s, %s" % (subject, name), is_now or {}, wanted)
        elif isinstance(wanted, list) or isinstance(is_now, list):
            yield from _of_lists("%s, %s" % (subject, name), is_now or [], wanted or [])
        elif is_now != wanted:
            alike.setdefault((_word(is_now), _word(wanted)), []).append(name)
    for (is_now, wanted), names in alike.items():
        yield "%s, %s: %s, and should be %s." % (subject, listed(names), is_now, wanted)


def _of_lists(subject: str, before: list[Any], after: list[Any]) -> Iterator[str]:
    is_now, wanted = [dict.fromkeys(map(_word, items)) for items in (before, after)]
    lacking = [word for word in wanted if word not in is_now]
    surplus = [word for word in is_now if word not in wanted]
    if lacking:
        yield "%s: %s lacking." % (subject, _are(lacking))
    if surplus:
        yield "%s: %s not wanted." % (subject, _are(surplus))


def _are(names: list[str]) -> str:
    return "%s %s" % (listed(names), "is" if len(names) == 1 else "are")


def _word(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, dict):  # a table with a row filter or a column list
        name, *rest = value.items()
        return "%s (%s)" % (name[1], ", ".join("%s: %s" % (key, _word(item)) for key, item in rest))
    return listed(value) if isinstance(value, list) else str(value)
