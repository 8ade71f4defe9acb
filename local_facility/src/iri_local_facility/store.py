"""The state that survives a restart: one SQLite file, shared by the server and the token command."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tokens (
    hash TEXT PRIMARY KEY, user TEXT NOT NULL, expires REAL, revoked INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, resource_id TEXT NOT NULL, user TEXT NOT NULL,
    account TEXT NOT NULL, queue TEXT NOT NULL, name TEXT NOT NULL,
    node_count INTEGER NOT NULL, duration INTEGER NOT NULL,
    request TEXT NOT NULL, document TEXT NOT NULL, state TEXT NOT NULL, message TEXT, exit_code INTEGER,
    ending TEXT, submitted REAL NOT NULL, started REAL, ended REAL, changed REAL NOT NULL,
    pid INTEGER, birth TEXT);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, resource_id);
CREATE TABLE IF NOT EXISTS tasks (
    id TEXT PRIMARY KEY, user TEXT NOT NULL, resource_id TEXT NOT NULL, command TEXT NOT NULL,
    args TEXT NOT NULL, status TEXT NOT NULL, result TEXT, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS idempotency (
    scope TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, response TEXT, created REAL NOT NULL,
    PRIMARY KEY (scope, key));
CREATE TABLE IF NOT EXISTS requests (
    number INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
    query TEXT NOT NULL, operation TEXT, status INTEGER NOT NULL, principal TEXT, request_id TEXT NOT NULL,
    bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, seconds REAL NOT NULL);
CREATE TABLE IF NOT EXISTS attempts (
    job INTEGER NOT NULL, restarts INTEGER NOT NULL, nodes TEXT NOT NULL, started REAL NOT NULL, ended REAL,
    message TEXT, exit_code INTEGER, PRIMARY KEY (job, restarts));
CREATE TABLE IF NOT EXISTS faults (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT, document TEXT NOT NULL, placed REAL NOT NULL,
    counts TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS incidents (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL, status TEXT NOT NULL,
    type TEXT NOT NULL, resolution TEXT NOT NULL, start REAL NOT NULL, "end" REAL, modified REAL NOT NULL,
    resources TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    id TEXT PRIMARY KEY, incident_id TEXT, resource_id TEXT NOT NULL, name TEXT NOT NULL,
    description TEXT NOT NULL, status TEXT NOT NULL, occurred REAL NOT NULL);
CREATE TABLE IF NOT EXISTS s3m_tokens (hash TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS s3m_clusters (
    project TEXT NOT NULL, engine TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
    settings TEXT NOT NULL, provisioned REAL NOT NULL, extended REAL NOT NULL,
    PRIMARY KEY (project, engine, name));
CREATE TABLE IF NOT EXISTS s3m_released (
    number INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, engine TEXT NOT NULL,
    name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS globus_collections (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS globus_codes (
    hash TEXT PRIMARY KEY, document TEXT NOT NULL, expires REAL NOT NULL);
CREATE TABLE IF NOT EXISTS globus_refresh_tokens (
    hash TEXT PRIMARY KEY, user TEXT NOT NULL, client TEXT NOT NULL, audience TEXT NOT NULL,
    scope TEXT NOT NULL, session INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS globus_consents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, client TEXT NOT NULL, path TEXT NOT NULL,
    created REAL NOT NULL, UNIQUE (user, client, path));
CREATE TABLE IF NOT EXISTS globus_tasks (
    id TEXT PRIMARY KEY, user TEXT NOT NULL, submission TEXT NOT NULL, label TEXT, document TEXT NOT NULL,
    items TEXT NOT NULL, likeness TEXT NOT NULL, status TEXT NOT NULL, requested REAL NOT NULL,
    deadline REAL NOT NULL, completed REAL, progress TEXT NOT NULL, trouble TEXT,
    fatal TEXT, faults TEXT NOT NULL, UNIQUE (user, submission));
CREATE TABLE IF NOT EXISTS globus_files (
    number INTEGER PRIMARY KEY AUTOINCREMENT, task TEXT NOT NULL, source TEXT NOT NULL,
    destination TEXT NOT NULL, size INTEGER NOT NULL, checksum TEXT, error TEXT, details TEXT);
CREATE INDEX IF NOT EXISTS globus_files_by_task ON globus_files (task);
CREATE TABLE IF NOT EXISTS globus_events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, task TEXT NOT NULL, time REAL NOT NULL, code TEXT NOT NULL,
    is_error INTEGER NOT NULL, description TEXT NOT NULL, details TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS globus_events_by_task ON globus_events (task);
CREATE TABLE IF NOT EXISTS globus_flows (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, document TEXT NOT NULL, created REAL NOT NULL,
    updated REAL NOT NULL);
CREATE TABLE IF NOT EXISTS globus_runs (
    id TEXT PRIMARY KEY, flow TEXT NOT NULL, user TEXT NOT NULL, client TEXT, session INTEGER NOT NULL,
    label TEXT, document TEXT NOT NULL, status TEXT NOT NULL, state TEXT NOT NULL, begun INTEGER NOT NULL,
    context TEXT NOT NULL, details TEXT NOT NULL, due REAL, submission TEXT, action TEXT,
    started REAL NOT NULL, completed REAL, released INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS globus_run_log (
    number INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, time REAL NOT NULL, code TEXT NOT NULL,
    description TEXT NOT NULL, details TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS globus_run_log_by_run ON globus_run_log (run);
CREATE TABLE IF NOT EXISTS globus_endpoints (id TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS globus_functions (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS globus_calls (
    id TEXT PRIMARY KEY, grp TEXT NOT NULL, user TEXT NOT NULL, endpoint TEXT NOT NULL,
    function TEXT NOT NULL, payload TEXT NOT NULL, serializers TEXT NOT NULL, status TEXT NOT NULL,
    result TEXT, exception TEXT, begun INTEGER NOT NULL, submitted REAL NOT NULL, completed REAL);
CREATE INDEX IF NOT EXISTS globus_calls_by_group ON globus_calls (grp);
CREATE TABLE IF NOT EXISTS superfacility_clients (
    id TEXT PRIMARY KEY, user TEXT NOT NULL, name TEXT NOT NULL, public_key TEXT NOT NULL,
    scope TEXT NOT NULL, created REAL NOT NULL, expires REAL NOT NULL);
CREATE TABLE IF NOT EXISTS superfacility_tasks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, kind TEXT NOT NULL, document TEXT NOT NULL,
    request TEXT NOT NULL, status TEXT NOT NULL, begun INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL,
    ended REAL, result TEXT);
CREATE TABLE IF NOT EXISTS sense_instances (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS reservations (
    number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, document TEXT NOT NULL,
    "end" REAL NOT NULL, deleted REAL);
CREATE TABLE IF NOT EXISTS superfacility_groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, project TEXT NOT NULL,
    users TEXT NOT NULL);
"""

# Columns that came later: a facility whose state is older gets them at its next start.
_ADDED = {
    "jobs": {
        "nodes": "TEXT NOT NULL DEFAULT '[]'",
        "restarts": "INTEGER NOT NULL DEFAULT 0",
        "requeue": "INTEGER NOT NULL DEFAULT 0",
        "array_job": "INTEGER",
        "array_index": "INTEGER",
    },
    "requests": {
        "user": "TEXT",
        "job": "TEXT",
        "created": "TEXT",
        "idempotency_key": "TEXT",
        "acted": "INTEGER NOT NULL DEFAULT 0",
        "faults": "TEXT NOT NULL DEFAULT '[]'",
    },
    "tokens": {
        "audience": "TEXT",
        "scope": "TEXT NOT NULL DEFAULT ''",
        "client": "TEXT",
        "session": "INTEGER NOT NULL DEFAULT 0",
    },
}


class Store:
    """A SQLite database in WAL mode.

    Every statement commits on its own. WAL with ``synchronous=NORMAL`` loses nothing when the process is
    killed (only when the machine loses power), and a commit then costs tens of microseconds.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)
        for table, columns in _ADDED.items():
            there = {row["name"] for row in self._db.execute(f"PRAGMA table_info({table})")}
            for name in columns.keys() - there:
                # The token command may open the same new database at the same moment.
                with contextlib.suppress(sqlite3.OperationalError):
                    self._db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {columns[name]}")

    def rows(self, sql: str, *params: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock:
            return self._db.execute(sql, params).fetchall()

    def row(self, sql: str, *params: Any) -> sqlite3.Row | None:
        """The first row of a query."""
        with self._lock:
            return self._db.execute(sql, params).fetchone()

    def run(self, sql: str, *params: Any) -> sqlite3.Cursor:
        """Execute one statement; it is durable when this returns."""
        with self._lock:
            return self._db.execute(sql, params)

    def insert(self, table: str, **values: Any) -> int:
        """Insert a row and return its rowid."""
        columns = ", ".join(f'"{name}"' for name in values)
        marks = ", ".join("?" * len(values))
        return self.run(f"INSERT INTO {table} ({columns}) VALUES ({marks})", *values.values()).lastrowid or 0

    def update(self, table: str, key: Any, **values: Any) -> int:
        """Change columns of the row whose ``id`` is ``key``; returns how many rows that were."""
        sets = ", ".join(f'"{name}" = ?' for name in values)
        return self.run(f"UPDATE {table} SET {sets} WHERE id = ?", *values.values(), key).rowcount

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Statements of which all are kept or none."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def meta(self, key: str, default: str) -> str:
        """A value made once in the facility's life, such as its OAuth client secret."""
        self.run("INSERT OR IGNORE INTO meta VALUES (?, ?)", key, default)
        row = self.row("SELECT value FROM meta WHERE key = ?", key)
        return row["value"] if row else default

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()
