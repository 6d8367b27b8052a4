# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Between Ansible and the control planes: from a task's options to its result, for the modules that speak to an API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable

from . import _task, _yaml
from ._errors import Failure
from ._text import printable


@dataclass
class Outcome:
    """What a module has come to.

    :param before: the part of the thing that the options speak of, as it was. Plain types, no secrets.
    :param after: the same as it is now, or in check mode would be.
    :param result: the further keys of the task's result.
    """

    changed: bool = False
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)


def run(
    work: Callable[[dict[str, Any], bool], Outcome],
    api_options: dict[str, dict[str, Any]],
    options: dict[str, dict[str, Any]],
    **constraints: Any,
) -> None:
    """Run one module.

    :param work: called with all options and whether it is check mode; raises Failure.
    :param api_options: the argument spec of the options that lead to the API.
    :param options: that of the module's own.
    :param constraints: what AnsibleModule takes besides: required_if, mutually_exclusive, ...
    """
    module = _task.front()({**api_options, **options}, supports_check_mode=True, **constraints)
    try:
        outcome = work(module.params, module.check_mode)
    except Failure as failure:
        module.fail_json(**{key: value for key, value in failure.as_result().items() if key != "sqlstate"})
    for warning in outcome.warnings:
        module.warn(printable(warning))
    result = {"changed": outcome.changed, **outcome.result}
    if outcome.before is not None:
        result["diff"] = {"before": _yaml.dump(outcome.before), "after": _yaml.dump(outcome.after or {})}
    module.exit_json(**result)
