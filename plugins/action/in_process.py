# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the collection's modules in the worker that has forked for the task, where the connection is local.

Most of what a module's task costs is the start of another Python. Here the same module, as it is, gets its options from this
process and gives its result to it: only what stands between the module and Ansible is another class. Where the task is to run
elsewhere, as somebody else, detached, with a time limit, or with another Python, the module is executed the ordinary way.

Nobody sees from the task which way it went, but for two things: only a process of its own writes to the system's log, and what
no module should ever do, to end by an exception, is told without the secrets that may be in it.

meta/runtime.yml has all modules run through this plugin that converge or look at something.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Callable, NoReturn

from ansible import constants
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.errors import UnsupportedError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.streamkap.neon.plugins.module_utils import _task
from ansible_collections.streamkap.neon.plugins.module_utils._connection import PSYCOPG2_IMPORT_ERROR, secrets_among
from ansible_collections.streamkap.neon.plugins.plugin_utils import _role_terms

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
    "neon_project",
    "neon_role",
    "neon_project_info",
    "streamkap_source",
    "streamkap_source_info",
    "streamkap_snapshot",
    "streamkap_destination",
    "streamkap_destination_info",
    "streamkap_pipeline",
    "streamkap_pipeline_info",
)

# What is in a result for the task that comes next, and for no eye: Ansible then shows nothing of it, and registers all.
_HANDED_OVER = {"neon_role": "password"}

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
        name = self._task.action.rpartition(".")[2]
        if name not in MODULES:
            raise AnsibleError(f"{self._task.action} is no module for tasks: the modules are {', '.join(MODULES)}.")
        if self._may_run_here(task_vars or {}):
            with self._environment():
                done = run_here(self._task.action, _plain(self._task.args), self._task.check_mode)
            if not _configured("INJECT_INVOCATION", before=True, task_vars=task_vars):
                done.pop("invocation", None)
        else:
            done = self._execute_module(task_vars=task_vars, wrap_async=bool(self._task.async_val))
        result.update(_role_terms.translate(self._own_role, done))
        if result.get(_HANDED_OVER.get(name, "")):
            result["_ansible_no_log"] = True
        return result

    @property
    def _own_role(self) -> str:
        """The role of this collection that the task belongs to, if any."""
        role = self._task._role
        name = role.get_name() if role else ""
        return name.rpartition(".")[2] if name.startswith("streamkap.neon.") else ""

    def _may_run_here(self, task_vars: dict[str, Any]) -> bool:
        """Whether the module would run on this machine, as this user, with this Python, while the task waits."""
        return (
            self._connection.transport == "local"
            and not self._connection.become
            and not self._task.async_val
            # libpq goes on waiting for the server when the signal comes that the time is up.
            and not self._task.timeout
            and PSYCOPG2_IMPORT_ERROR is None
            and self._is_this_python(task_vars)
        )

    def _is_this_python(self, task_vars: dict[str, Any]) -> bool:
        variables = task_vars
        if self._task.delegate_to:
            variables = task_vars.get("ansible_delegated_vars", {}).get(self._task.delegate_to, {})
        configured = constants.config.get_config_value("INTERPRETER_PYTHON", variables=variables)
        asked = str(self._templar.template(configured)).strip()
        # Who leaves the choice to Ansible asks for no other than this.
        return not asked or asked.startswith("auto") or _place(asked) == _place(sys.executable)

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


def _place(python: str) -> tuple[str, str]:
    """Which program an interpreter is, and where it looks for packages: in a virtual environment that is where its link is."""
    return os.path.realpath(python), os.path.realpath(Path(python).parent)


def _configured(setting: str, before: Any, task_vars: dict[str, Any] | None = None) -> Any:
    """A setting of Ansible's.

    :param before: what holds with an ansible-core that does not have the setting yet.
    """
    try:
        return constants.config.get_config_value(setting, variables=task_vars)
    except AnsibleError:
        return before


def _plain(value: Any) -> Any:
    """What a module in a process of its own would get: text that knows nothing of where it came from."""
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def run_here(name: str, arguments: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Run a module in this process.

    :param name: of the module, as the task has it.
    :returns: what the module would have printed.
    """
    front = _Front(name, arguments, check_mode)
    with _task.behind(front):
        try:
            _MAIN[name.rpartition(".")[2]]()
        except _Done as done:
            return done.result
        except Exception as error:
            return front.result_of_crash(error)
    raise AnsibleError(f"The module {name} has ended without a result.")


class _Done(Exception):
    """The module has its result."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__("the module has its result")
        self.result = result


# In JSON these look different.
_AS_PYTHON_WRITES_THEM = "True False None"


class _Front:
    """To a module what AnsibleModule is, as far as the collection's modules use it."""

    def __init__(self, name: str, arguments: dict[str, Any], check_mode: bool) -> None:
        self.check_mode = check_mode
        self.params = arguments
        self.no_log_values: set[str] = set()
        self._name = name
        self._warnings: list[str] = []
        self._deprecations: list[dict[str, Any]] = []

    def __call__(self, argument_spec: dict[str, Any], supports_check_mode: bool, **constraints: Any) -> _Front:
        """Take the arguments of AnsibleModule."""
        del supports_check_mode  # all of them do
        validated = ArgumentSpecValidator(argument_spec, **constraints).validate(self.params)
        self.params = validated.validated_parameters
        self.no_log_values.update(validated._no_log_values)
        _task.cover(self.no_log_values, secrets_among(self.params))
        self._deprecations = [
            {key: value for key, value in deprecation.items() if value is not None}
            for deprecation in validated._deprecations
        ]
        for both in validated._warnings:
            self.warn("Both option {option} and its alias {alias} are set.".format(**both))
        if validated.error_messages:
            msg = validated.errors.msg
            if isinstance(validated.errors[0], UnsupportedError):
                msg = f"Unsupported parameters for ({self._name}) module: {msg}"
            self.fail_json(msg=msg)
        return self

    def warn(self, warning: str) -> None:
        if warning not in self._warnings:
            self._warnings.append(warning)

    def fail_json(self, **result: Any) -> NoReturn:
        if "exception" not in result and _tells_tracebacks(before=bool(sys.exc_info()[0]) and Display().verbosity >= 3):
            result["exception"] = traceback.format_exc() if sys.exc_info()[0] else "".join(traceback.format_stack())
        self._end({**result, "failed": True})

    def exit_json(self, **result: Any) -> NoReturn:
        self._end(result)

    def result_of_crash(self, error: Exception) -> dict[str, Any]:
        result = {
            "failed": True,
            "msg": f"The module {self._name} has failed unexpectedly. {type(error).__name__}: {error}",
        }
        # Before there was a setting, whoever shows the result decided how much of the traceback to show.
        if _tells_tracebacks(before=True):
            result["exception"] = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        return self._masked(result)

    def _end(self, result: dict[str, Any]) -> NoReturn:
        result["invocation"] = {"module_args": self.params}
        if self._warnings:
            result["warnings"] = self._warnings
        if self._deprecations:
            result["deprecations"] = self._deprecations
        raise _Done(self._masked(result))

    def _masked(self, result: dict[str, Any]) -> dict[str, Any]:
        # A secret that is called true or null is no reason to hide whether anything was changed.
        return {
            key: value if value is None or isinstance(value, bool) else self._without_secrets(value)
            for key, value in result.items()
        }

    def _without_secrets(self, value: Any) -> Any:
        if _task.may_hold([value, _AS_PYTHON_WRITES_THEM], self.no_log_values):
            value = remove_values(value, self.no_log_values)
        return json.loads(json.dumps(value, default=list))


def _tells_tracebacks(before: bool) -> bool:
    """Whether the user wants to see where in the code something failed, for which there is a setting from ansible-core 2.19 on."""
    events = _configured("DISPLAY_TRACEBACK", before=None)
    return before if events is None else not {"always", "error"}.isdisjoint(events)
