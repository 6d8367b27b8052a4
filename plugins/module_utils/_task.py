# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Between Ansible and the engine: from a task's options to its result."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule, env_fallback, missing_required_lib

from . import _engine, _yaml
from ._connection import PSYCOPG2_IMPORT_ERROR, Connection, Session
from ._errors import Failure
from ._server import Server

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


# What reads the options and takes the result. In a process of its own that is AnsibleModule.
_FRONT: ContextVar[Callable[..., Any]] = ContextVar("front", default=AnsibleModule)


@contextlib.contextmanager
def behind(front: Callable[..., Any]) -> Iterator[None]:
    """Have what stands in for AnsibleModule take the module's options and result."""
    token = _FRONT.set(front)
    try:
        yield
    finally:
        _FRONT.reset(token)


def run(resource: Callable[..., _engine.Resource], options: dict[str, dict[str, Any]], **constraints: Any) -> None:
    """Run one SQL module that converges something.

    :param resource: called with the module's own options as keywords; raises Failure for what does not fit.
    :param options: the argument spec of these options.
    :param constraints: what AnsibleModule takes besides: required_if, mutually_exclusive, ...
    """

    def converge(module: AnsibleModule, session: Session, desired: _engine.Resource) -> tuple[Server, dict[str, Any]]:
        report = _engine.converge(session, desired, module.check_mode)
        for warning in report.warnings:
            module.warn(warning)
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


def _perform(
    work: Callable[[AnsibleModule, Session, Any], tuple[Server, dict[str, Any]]],
    subject: Callable[..., Any],
    options: dict[str, dict[str, Any]],
    constraints: dict[str, Any],
) -> None:
    module = _FRONT.get()({**CONNECTION_OPTIONS, **options}, supports_check_mode=True, **constraints)
    if PSYCOPG2_IMPORT_ERROR:
        module.fail_json(
            msg=missing_required_lib("psycopg2"),
            exception="".join(traceback.format_exception_only(type(PSYCOPG2_IMPORT_ERROR), PSYCOPG2_IMPORT_ERROR)),
        )
    try:
        connection = Connection.from_options(module.params)
        module.no_log_values.update(connection.secrets)
        for warning in connection.warnings:
            module.warn(warning)
        asked = subject(**{name: module.params[name] for name in options})
        with connection.open() as session:
            server, result = work(module, session, asked)
    except Failure as failure:
        module.fail_json(**failure.as_result())
    module.exit_json(
        server={
            "host": session.host,
            "port": session.port,
            "database": server.database,
            "version": server.version,
            "neon_project": server.neon_project,
        },
        **result,
    )
