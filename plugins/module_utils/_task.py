# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Between Ansible and the engine: from a task's options to its result."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule, env_fallback

from . import _engine, _yaml
from ._connection import PSYCOPG2_IMPORT_ERROR, Connection, Session, secrets_among
from ._errors import Failure
from ._server import Server
from ._sql import MASK, SHORTEST_MASKED, written
from ._text import printable

# Documented in plugins/doc_fragments/_connection.py.
CONNECTION_OPTIONS: dict[str, dict[str, Any]] = {
    "dsn": {"type": "str", "no_log": True, "fallback": (env_fallback, ["NEON_DATABASE_URL", "DATABASE_URL"])},
    "login_host": {"type": "str"},
    "login_port": {"type": "int"},
    "login_user": {"type": "str"},
    "login_password": {"type": "str", "no_log": True},
    "login_db": {"type": "str"},
    "ssl_mode": {"type": "str", "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]},
    "ca_cert": {"type": "path"},
    "ssl_cert": {"type": "path"},
    "ssl_key": {"type": "path"},
    "session_role": {"type": "str"},
    "connect_params": {"type": "dict"},
    "connect_timeout": {"type": "int", "default": 30},
    "lock_timeout": {"type": "int", "default": 10},
    "statement_timeout": {"type": "int", "default": 60},
}


def missing_psycopg2() -> str:
    """Return what to do where the driver is missing, or does not load, for the Python that runs the module."""
    python = sys.executable or "python3"
    return (
        "psycopg2 is missing for the Python that the module runs on, %s (%s). Install it: %s -m pip install psycopg2-binary, or the "
        "distribution's package python3-psycopg2 for its own Python. Where another Python has it, name that one by "
        "ansible_python_interpreter." % (python, PSYCOPG2_IMPORT_ERROR, python)
    )


def may_hold(told: Any, texts: Iterable[str]) -> bool:
    """Whether one of the texts may be in a value, anywhere; where not, it is in none for sure.

    Ten thousand tables are soon written down as one text, and slowly looked through one by one. Whatever a text holds, it holds too when
    both are written as JSON.
    """
    all_of_it = json.dumps(told, default=list, ensure_ascii=False)
    return any(json.dumps(text, ensure_ascii=False)[1:-1] in all_of_it for text in texts)


def cover(masked: set[str], secrets: list[str]) -> None:
    """Have Ansible mask these as well, and all that it masks in whatever way it is written in a message."""
    masked.update({text for secret in [*masked, *secrets] for text in written(secret)})


class _Module(AnsibleModule):
    """Takes for a secret also what no argument spec can tell from other options, before it says or logs anything."""

    def _log_invocation(self) -> None:
        cover(self.no_log_values, secrets_among(self.params))
        super()._log_invocation()

    def fail_json(self, msg: str, **kwargs: Any) -> None:
        cover(self.no_log_values, secrets_among(self.params))
        super().fail_json(msg, **kwargs)


# What reads the options and takes the result. In a process of its own that is AnsibleModule.
_FRONT: ContextVar[Callable[..., Any]] = ContextVar("front", default=_Module)


@contextlib.contextmanager
def behind(front: Callable[..., Any]) -> Iterator[None]:
    """Have what stands in for AnsibleModule take the module's options and result."""
    token = _FRONT.set(front)
    try:
        yield
    finally:
        _FRONT.reset(token)


def front() -> Callable[..., Any]:
    """What reads the options of the module that runs, and takes its result."""
    return _FRONT.get()


def run(resource: Callable[..., _engine.Resource], options: dict[str, dict[str, Any]], **constraints: Any) -> None:
    """Run one SQL module that converges something.

    :param resource: called with the module's own options as keywords; raises Failure for what does not fit.
    :param options: the argument spec of these options.
    :param constraints: what AnsibleModule takes besides: required_if, mutually_exclusive, ...
    """

    def converge(module: AnsibleModule, session: Session, desired: _engine.Resource) -> tuple[Server, dict[str, Any]]:
        report = _engine.converge(session, desired, module.check_mode)
        for warning in report.warnings:
            module.warn(printable(warning))
        return report.server, {
            "changed": report.changed,
            "queries": report.queries,
            "diff": {"before": _yaml.dump(report.plan.before), "after": _yaml.dump(report.plan.after)},
            desired.key: report.resource,
            "plan": report.outline,
        }

    _perform(converge, resource, options, constraints)


def inform(inspection: Callable[..., _engine.Inspection], options: dict[str, dict[str, Any]]) -> None:
    """Run one SQL module that only looks. The parameters are those of ``run``."""

    def examine(_module: AnsibleModule, session: Session, asked: _engine.Inspection) -> tuple[Server, dict[str, Any]]:
        server, result = _engine.examine(session, asked)
        return server, {"changed": False, **result}

    _perform(examine, inspection, options, {})


def look_through(dsn: str, inspection: _engine.Inspection) -> dict[str, Any]:
    """What an inspection finds over a connection string, for a module whose work is elsewhere."""
    if PSYCOPG2_IMPORT_ERROR:
        raise Failure(missing_psycopg2(), hint="Or leave out the dsn.")
    defaults = {name: option.get("default") for name, option in CONNECTION_OPTIONS.items()}
    with Connection.from_options({**defaults, "dsn": dsn}).open() as session:
        return _engine.examine(session, inspection)[1]


def _perform(
    work: Callable[[AnsibleModule, Session, Any], tuple[Server, dict[str, Any]]],
    subject: Callable[..., Any],
    options: dict[str, dict[str, Any]],
    constraints: dict[str, Any],
) -> None:
    module = front()({**CONNECTION_OPTIONS, **options}, supports_check_mode=True, **constraints)
    if PSYCOPG2_IMPORT_ERROR:
        module.fail_json(msg=missing_psycopg2())
    try:
        connection = Connection.from_options(module.params)
        cover(module.no_log_values, connection.secrets)
        spared = _spare_short_ones(module, {**CONNECTION_OPTIONS, **options})
        for warning in connection.warnings:
            module.warn(printable(warning))
        asked = subject(**{name: spared.get(name, module.params[name]) for name in options})
        with connection.open() as session:
            server, result = work(module, session, asked)
    except Failure as failure:
        module.fail_json(**failure.as_result())
    told = {
        "server": {
            "host": session.host,
            "port": session.port,
            "database": server.database,
            "version": server.version,
            "neon_project": server.neon_project,
        },
        **result,
    }
    hidden = [secret for secret in module.no_log_values if secret not in MASK]
    if may_hold(told, hidden) and _holds(told, hidden):
        module.warn(
            "A password is also a part of what this task tells, where Ansible hides it: names in it are incomplete, in reports too. "
            "Choose another password."
        )
    module.exit_json(**told)


def _spare_short_ones(module: AnsibleModule, options: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Have secrets of a letter or three masked as options, but not wherever these letters stand, which would leave no word readable.

    :returns: the values of these options.
    """
    short = {secret for secret in module.no_log_values if len(secret) < SHORTEST_MASKED}
    module.no_log_values.difference_update(short)
    spared = {
        name: module.params[name]
        for name, option in options.items()
        if option.get("no_log") and module.params[name] in short
    }
    module.params.update(dict.fromkeys(spared, MASK))
    return spared


def _holds(told: Any, texts: list[str]) -> bool:
    """Whether one of the texts is in a value, anywhere."""
    if isinstance(told, dict):
        return any(_holds(value, texts) for value in told.values())
    if isinstance(told, (list, tuple)):
        return any(_holds(value, texts) for value in told)
    return isinstance(told, str) and any(text in told for text in texts)
