# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Who keeps a session waiting.

PostgreSQL does not name who held the lock that was waited for in vain, and once the wait is over nobody can tell. So somebody else has
to ask meanwhile (https://www.postgresql.org/docs/current/functions-info.html, pg_blocking_pids).
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Callable

from ._sql import QualifiedName, listed, literal

# What a session waits for and behind whom; null when it does not wait. Of those of other roles everybody sees process, user, database and
# application, but only members of pg_read_all_stats since when. A process without a user is the server's own. Queries may hold secrets,
# so none is read, but for the words that autovacuum has for its own. A prepared transaction has no process.
_LOOK = """
WITH l AS MATERIALIZED (SELECT * FROM pg_locks),
     w AS (SELECT * FROM l WHERE pid = {pid} AND NOT granted LIMIT 1),
     b AS (SELECT unnest(pg_blocking_pids({pid})) AS pid),
     h AS (SELECT a.pid, NULL AS gid, a.usename AS "user", a.datname AS database, nullif(a.application_name, '') AS application,
                  a.state, a.xact_start, CASE WHEN a.state = 'active' THEN a.query_start ELSE a.state_change END AS since,
                  a.usesysid IS NULL AND EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = a.pid) AS autovacuum
             FROM pg_stat_activity a WHERE a.pid IN (SELECT pid FROM b)
            UNION  -- of the locks on one thing it may hold several
           SELECT NULL, p.gid, p.owner, p.database, NULL, 'prepared', p.prepared, NULL, false
             FROM w JOIN l ON l.granted AND l.pid IS NULL
                    AND ROW(l.locktype, l.database, l.relation, l.page, l.tuple, l.transactionid, l.classid, l.objid, l.objsubid)
                        IS NOT DISTINCT FROM
                        ROW(w.locktype, w.database, w.relation, w.page, w.tuple, w.transactionid, w.classid, w.objid, w.objsubid)
                    JOIN l x ON x.pid IS NULL AND x.virtualtransaction = l.virtualtransaction AND x.locktype = 'transactionid'
                    JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
            WHERE 0 IN (SELECT pid FROM b))
SELECT json_build_object(
  'mode', w.mode,
  'kind', w.locktype,
  'schema', (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = w.relation),
  'relation', (SELECT relname FROM pg_class WHERE oid = w.relation),
  'blockers', (SELECT coalesce(json_agg(json_build_object(
      'pid', h.pid,
      'gid', h.gid,
      'user', h."user",
      'database', h.database,
      'application', h.application,
      'state', h.state,
      'transaction_seconds', extract(epoch FROM clock_timestamp() - h.xact_start)::int,
      'state_seconds', extract(epoch FROM clock_timestamp() - h.since)::int,
      'autovacuum', h.autovacuum) ORDER BY h.xact_start), '[]') FROM h))
  FROM w"""

# As LOCK TABLE calls them, and the documentation.
_MODES = {
    "AccessShareLock": "ACCESS SHARE",
    "RowShareLock": "ROW SHARE",
    "RowExclusiveLock": "ROW EXCLUSIVE",
    "ShareUpdateExclusiveLock": "SHARE UPDATE EXCLUSIVE",
    "ShareLock": "SHARE",
    "ShareRowExclusiveLock": "SHARE ROW EXCLUSIVE",
    "ExclusiveLock": "EXCLUSIVE",
    "AccessExclusiveLock": "ACCESS EXCLUSIVE",
}

_MOST_NAMED = 5


@dataclass(frozen=True)
class Waiting:
    """What a session waits for, and behind whom.

    :param mode: of the lock, as pg_locks calls it.
    :param kind: of what is locked, likewise.
    :param schema: of the relation, where the lock is on one of this database, and so ``relation``.
    :param blockers: the oldest transaction first. Plain types only.
    """

    mode: str
    kind: str
    schema: str | None
    relation: str | None
    blockers: list[dict[str, Any]]

    @property
    def words(self) -> str:
        """One sentence."""
        return "It waited%s behind %s." % (self._lock, listed(map(_blocker, self.blockers), most=_MOST_NAMED))

    @property
    def hint(self) -> str:
        """What to do about them."""
        ends = [
            "ROLLBACK PREPARED %s" % literal(blocker["gid"])
            if blocker["pid"] is None
            else "SELECT pg_terminate_backend(%d)" % blocker["pid"]
            for blocker in self.blockers
        ]
        text = "By force that is ended by: %s." % "; ".join(ends[:_MOST_NAMED])
        if any(blocker["autovacuum"] for blocker in self.blockers):
            text += (
                " An autovacuum that does not give way keeps transaction IDs from wrapping around: better let it end."
            )
        return text

    @property
    def _lock(self) -> str:
        if self.kind == "advisory":  # this collection takes no other
            return " for another run of this collection,"
        if self.kind == "relation" and self.schema and self.relation:
            return " for %s on %s," % (_MODES.get(self.mode, self.mode), QualifiedName(self.schema, self.relation))
        return ""


class Watch:
    """Asks from a thread what is waited for, when an answer is long in coming. Before that it costs the server nothing.

    :param ask: asks a query of the server, from another session; gives None when it has no answer.
    :param pid: the process of the session that is watched over.
    :param patience: seconds after which a wait is given up. It is asked after one half of them, and then after each quarter.
    """

    def __init__(self, ask: Callable[[str], Any], pid: int, patience: float) -> None:
        self._ask = ask
        self._query = _LOOK.format(pid=pid)
        self._patience = patience
        self._answered = threading.Event()
        self._seen: Waiting | None = None
        self._seen_at = 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._answered.set()
        self._thread.join()

    @property
    def seen(self) -> Waiting | None:
        """What was waited for when the patience was over; None when that was nothing, or is not known.

        What was seen longer ago than that may be another wait, which has ended.
        """
        return self._seen if time.monotonic() - self._seen_at < self._patience else None

    def _watch(self) -> None:
        pause = self._patience / 2
        while not self._answered.wait(pause):
            pause = self._patience / 4
            found = self._ask(self._query)
            # Who asks at the very end may find that nobody waits any more.
            if found and found["blockers"]:
                self._seen, self._seen_at = Waiting(**found), time.monotonic()


def _blocker(blocker: dict[str, Any]) -> str:
    words = "the prepared transaction %(gid)r" if blocker["pid"] is None else "the process %(pid)d"
    if blocker["autovacuum"]:
        words += ", an autovacuum"
    words += "".join(" %s %%(%s)s" % (word, key) for word, key in (("of", "user"), ("in", "database")) if blocker[key])
    return "%s (%s)" % (words % blocker, ", ".join(_particulars(blocker)))


def _particulars(blocker: dict[str, Any]) -> list[str]:
    known = ["application %s" % blocker["application"]] if blocker["application"] else []
    if blocker["transaction_seconds"] is None:
        return [*known, "since when is for members of pg_read_all_stats to see"]
    known.append("transaction open for %d s" % blocker["transaction_seconds"])
    if blocker["state_seconds"] is not None:
        state = "query running" if blocker["state"] == "active" else blocker["state"]
        known.append("%s for %d s" % (state, blocker["state_seconds"]))
    return known
