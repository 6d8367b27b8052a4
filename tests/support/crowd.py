# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs modules at the same time, each in a process of its own.

results = at_once([("slot", {"dsn": database.dsn, "name": "s"})] * 16)
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier

from .modules import in_process, run_module

Task = tuple[str, dict[str, object]]
Result = dict[str, object]

# What the processes have of their parent, collection and all.
_FORK = multiprocessing.get_context("fork")


def at_once(tasks: Iterable[Task]) -> list[Result]:
    """Runs the modules with these options, all of them beginning when the last process is ready; gives their results."""
    tasks = list(tasks)
    in_process()  # or each of them would have to import it all
    with ProcessPoolExecutor(len(tasks), _FORK, _wait_there, [_FORK.Barrier(len(tasks))]) as pool:
        return list(pool.map(_run_with_the_others, tasks))


@contextmanager
def crew(size: int) -> Iterator[Callable[[str, dict[str, object]], Result]]:
    """Gives what runs a module in one of so many processes, and may be called by as many threads."""
    in_process()
    with ProcessPoolExecutor(size, _FORK) as pool:
        # Nobody forks when threads are about.
        list(pool.map(abs, range(size)))
        yield lambda module, options: pool.submit(_run, (module, options)).result()


_barrier: Barrier


def _wait_there(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _run_with_the_others(task: Task) -> Result:
    _barrier.wait(60)
    return _run(task)


def _run(task: Task) -> Result:
    module, options = task
    return run_module(module, **options)
