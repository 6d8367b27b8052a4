# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the collection's SQL modules in the worker that has forked for the task, where the connection is local.

Most of what a module's task costs is the start of another Python. Here the same module, as it is, gets its options from this
process and gives its result to it: only what stands between the module and Ansible is another class. Where the task is to run
elsewhere, as somebody else, detached, or with another Python, the module is executed the ordinary way.

meta/runtime.yml has all SQL modules run through this plugin.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Callable, NoReturn

from ansible import constants
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.errors import UnsupportedError
from ansible.plugins.action import ActionBase
from ansible_collections.streamkap.neon.plugins.module_utils import _task
from ansible_collections.streamkap.neon.plugins.module_utils._connection import PSYCOPG2_IMPORT_ERROR

# The names of the modules that run here: those that meta/runtime.yml points to this plugin.
MODULES = (
    "prerequisites",
    "role",
    "grant",
    "signal_table",
    "heartbeat_table",
    "replica_identity",
    "publication",
    "slot",
    "signal",
    "readiness_info",
)

# A collection's code is compiled at every import, which takes longer than most modules do, and each task has a worker of its own.
# plugins/action/__init__.py has this file imported before the workers are forked, and so they find here all that they need.
_MAIN: dict[str, Callable[[], None]] = {
    name: import_module(f"ansible_collections.streamkap.neon.plugins.modules.{name}").main for name in MODULES
}


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        if not self._may_run_here(task_vars or {}):
            result.update(self._execute_module(task_vars=task_vars, wrap_async=bool(self._task.async_val)))
            return result
        with self._environment():
            done = _run(self._task.action, _plain(self._task.args), self._task.check_mode)
        if not _tells_invocation(task_vars):
            del done["invocation"]
        result.update(done)
        return result

    def _may_run_here(self, task_vars: dict[str, Any]) -> bool:
        """Whether the module would run on this machine, as this user, with this Python, while the task waits."""
        return (
            self._connection.transport == "local"
            and not self._connection.become
            and not self._task.async_val
            and PSYCOPG2_IMPORT_ERROR is None
            and self._is_this_python(task_vars)
        )

    def _is_this_python(self, task_vars: dict[str, Any]) -> bool:
        variables = task_vars
        if self._task.delegate_to:
            variables = task_vars.get("ansible_delegated_vars", {}).get(self._task.delegate_to, {})
        asked = self._templar.template(variables.get("ansible_python_interpreter", "auto"))
        # Who leaves the choice to Ansible asks for no other than this.
        return asked.startswith("auto") or os.path.realpath(asked) == os.path.realpath(sys.executable)

    @contextmanager
    def _environment(self) -> Iterator[None]:
        """The task's keyword ``environment``, which libpq and the options' fallbacks read."""
        given: dict[str, Any] = {}
        self._compute_environment_string(raw_environment_out=given)
        before = dict(os.environ)
        os.environ.update({name: str(value) for name, value in given.items()})
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def _tells_invocation(task_vars: dict[str, Any] | None) -> bool:
    try:
        return constants.config.get_config_value("INJECT_INVOCATION", variables=task_vars)
    except AnsibleError:  # before ansible-core 2.21 every module did
        return True


def _plain(value: Any) -> Any:
    """What a module in a process of its own would get: text that knows nothing of where it came from."""
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def _run(name: str, arguments: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """:param name: of the module, as the task has it."""

    def front(argument_spec: dict[str, Any], supports_check_mode: bool, **constraints: Any) -> _Front:
        del supports_check_mode  # all of them do
        return _Front(name, arguments, check_mode, ArgumentSpecValidator(argument_spec, **constraints))

    with _task.behind(front):
        try:
            _MAIN[name.rpartition(".")[2]]()
        except _Done as done:
            return done.result
    raise AnsibleError(f"The module {name} has ended without a result.")


class _Done(Exception):
    """The module has its result."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__("the module has its result")
        self.result = result


class _Front:
    """To a module what AnsibleModule is, as far as the collection's modules use it."""

    def __init__(
        self, name: str, arguments: dict[str, Any], check_mode: bool, validator: ArgumentSpecValidator
    ) -> None:
        self.check_mode = check_mode
        self._warnings: list[str] = []
        validated = validator.validate(arguments)
        self.params: dict[str, Any] = validated.validated_parameters
        self.no_log_values: set[str] = validated._no_log_values
        if validated.error_messages:
            msg = validated.errors.msg
            if isinstance(validated.errors[0], UnsupportedError):
                msg = f"Unsupported parameters for ({name}) module: {msg}"
            self.fail_json(msg=msg)

    def warn(self, warning: str) -> None:
        if warning not in self._warnings:
            self._warnings.append(warning)

    def fail_json(self, **result: Any) -> NoReturn:
        self._end({**result, "failed": True})

    def exit_json(self, **result: Any) -> NoReturn:
        self._end(result)

    def _end(self, result: dict[str, Any]) -> NoReturn:
        result["invocation"] = {"module_args": self.params}
        if self._warnings:
            result["warnings"] = self._warnings
        masked = remove_values(result, self.no_log_values)
        # A secret that is called true or null is no reason to hide whether anything was changed.
        masked.update({key: value for key, value in result.items() if value is None or isinstance(value, bool)})
        raise _Done(json.loads(json.dumps(masked)))
