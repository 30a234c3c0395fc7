"""The registry: one SQLite file, tracked by git, that holds what every experiment was.

It is written beside and renamed into place, so git never sees half of it, and holds no rowid or
timestamp of its own making, so that the same experiments give the same rows on every machine.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from gitxexp.common.errors import XexpError
from gitxexp.repository.tag_message import Payload

# 1: experiments, params, metrics, labels, artifacts, promotions, merges
SCHEMA = """
CREATE TABLE IF NOT EXISTS experiments (
    version TEXT PRIMARY KEY NOT NULL,  -- eX.Y.Z or exp-NAME-vN
    headline TEXT NOT NULL,             -- first line of the tag message
    text TEXT NOT NULL DEFAULT '',      -- its prose part
    config_hash TEXT NOT NULL DEFAULT '',
    data TEXT NOT NULL DEFAULT '',      -- data hash, six digits, or none
    run TEXT NOT NULL DEFAULT '',       -- tracker run (track_id)
    run_commit TEXT NOT NULL DEFAULT '',-- the code that ran
    code TEXT NOT NULL DEFAULT '',      -- hash of the code files
    parent TEXT NOT NULL DEFAULT '',    -- the experiment it was compared with
    reason TEXT NOT NULL DEFAULT '',    -- why the version is at its level
    results TEXT NOT NULL DEFAULT '',   -- results database of the run
    "table" TEXT NOT NULL DEFAULT ''    -- and its table
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS params (
    version TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,  -- value: JSON
    PRIMARY KEY (version, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS metrics (
    version TEXT NOT NULL, name TEXT NOT NULL, value NOT NULL,
    PRIMARY KEY (version, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS labels (
    version TEXT NOT NULL, label TEXT NOT NULL,
    PRIMARY KEY (version, label)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS artifacts (
    version TEXT NOT NULL, path TEXT NOT NULL, hash TEXT NOT NULL,
    PRIMARY KEY (version, path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS promotions (
    id TEXT PRIMARY KEY NOT NULL,       -- random, so that two machines never clash
    slot TEXT NOT NULL, version TEXT NOT NULL, run TEXT NOT NULL,
    who TEXT NOT NULL, at TEXT NOT NULL,-- ISO 8601
    why TEXT NOT NULL, metric TEXT NOT NULL, value,
    hash_before TEXT NOT NULL, hash_after TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS merges (
    id TEXT PRIMARY KEY NOT NULL,
    target TEXT NOT NULL, sources TEXT NOT NULL,  -- sources: JSON
    at TEXT NOT NULL, mode TEXT NOT NULL, counts TEXT NOT NULL,  -- counts: JSON
    hash_before TEXT NOT NULL, hash_after TEXT NOT NULL
) WITHOUT ROWID;
"""
USER_VERSION = 1

_COLUMNS = ("version", "headline", "text", "config_hash", "data", "run", "run_commit", "code", "parent",
            "reason", "results", "table")  # fmt: skip


class Promotion(NamedTuple):
    """One model that became production. Hashes are "md5:…"; "" before means there was none."""

    id: str
    slot: str
    version: str  #: "" when no experiment is known of it
    run: str
    who: str
    at: str  #: ISO 8601, UTC, so that text order is time order
    why: str
    metric: str
    value: Any
    hash_before: str
    hash_after: str


class Registry:
    """The registry file at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> bool:
        """Make an empty registry if there is none; returns whether it did."""
        if self.path.exists():
            return False
        with self.rewrite():
            pass
        return True

    def rows(self) -> dict[str, Payload]:
        """Every experiment by version; empty when there is no registry."""
        if not self._exists():
            return {}
        with self._errors(), closing(_connect(self.path)) as db:
            return {payload.version: payload for payload in _read(db)}

    def promotions(self) -> list[Promotion]:
        """Every promotion, newest first; none when there is no registry."""
        if not self._exists():
            return []
        names = ", ".join(Promotion._fields)
        sql = f"SELECT {names} FROM promotions ORDER BY at DESC, id"
        with self._errors(), closing(_connect(self.path)) as db:
            return [Promotion(*row) for row in db.execute(sql)]

    @contextmanager
    def rewrite(self) -> Iterator[sqlite3.Connection]:
        """A connection to a copy that takes the registry's place when the block ends well."""
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._errors():
                if self._exists():
                    import shutil  # 2 ms, which reading need not wait for

                    shutil.copyfile(self.path, temporary)
                with closing(_connect(temporary)) as db:
                    _migrate(db)
                    with db:
                        yield db
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)
            temporary.with_name(temporary.name + "-journal").unlink(missing_ok=True)

    def _exists(self) -> bool:
        """An empty file would be an empty database to SQLite, and what it held would be forgotten."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return False
        if not size:
            raise self._unusable("the file is empty")
        return True

    def _unusable(self, why: object) -> XexpError:
        return XexpError(
            f"the registry {self.path} cannot be used: {why}",
            f"restore it (git checkout -- '{self.path}'), or remove it and run: "
            "git xexp registry rebuild",
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, json.JSONDecodeError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                raise XexpError(
                    f"the registry {self.path} is in use by another program",
                    "try again when it is done",
                ) from error
            raise self._unusable(error) from error


def put(db: sqlite3.Connection, version: str, payload: Payload) -> None:
    """Insert the experiment with all that belongs to it, in place of an older row of ``version``."""
    remove(db, version)
    names = ", ".join(f'"{name}"' for name in _COLUMNS)
    marks = ", ".join("?" * len(_COLUMNS))
    values = [version, *(getattr(payload, name) for name in _COLUMNS[1:])]
    db.execute(f"INSERT INTO experiments ({names}) VALUES ({marks})", values)
    _put_many(db, "params", version, ((k, json.dumps(v)) for k, v in payload.params.items()))
    _put_many(db, "metrics", version, ((k, _sql(v)) for k, v in payload.metrics.items()))
    _put_many(db, "artifacts", version, payload.artifacts.items())
    db.executemany("INSERT INTO labels VALUES (?, ?)", [(version, v) for v in set(payload.labels)])


def put_merge(db: sqlite3.Connection, merge: Mapping[str, Any]) -> None:
    """Insert one row of ``merges``; lists and mappings become JSON. Its id is that of its content."""
    import hashlib  # 2 ms, as above

    names = ("target", "sources", "at", "mode", "counts", "hash_before", "hash_after")
    values = [
        json.dumps(merge[n], sort_keys=True) if n in ("sources", "counts") else merge[n]
        for n in names
    ]
    identity = hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]
    marks = ", ".join("?" * (len(names) + 1))
    db.execute(
        f"INSERT OR REPLACE INTO merges (id, {', '.join(names)}) VALUES ({marks})",
        [identity, *values],
    )


def add_promotion(db: sqlite3.Connection, promotion: Promotion) -> None:
    """Insert a promotion."""
    names = Promotion._fields
    marks = ", ".join("?" * len(names))
    db.execute(f"INSERT INTO promotions ({', '.join(names)}) VALUES ({marks})", promotion)


def remove(db: sqlite3.Connection, version: str) -> None:
    """Delete the experiment ``version`` and all that belongs to it."""
    for table in ("experiments", "params", "metrics", "labels", "artifacts"):
        db.execute(f"DELETE FROM {table} WHERE version = ?", (version,))


def _put_many(
    db: sqlite3.Connection, table: str, version: str, items: Iterable[tuple[str, Any]]
) -> None:
    db.executemany(
        f"INSERT INTO {table} VALUES (?, ?, ?)",
        [(version, name, value) for name, value in items if value is not None],
    )


def _sql(value: Any) -> Any:
    """A metric as SQLite can hold it: it turns NaN into NULL, so that one is stored as text."""
    if isinstance(value, float) and value != value:
        return "NaN"
    return value if isinstance(value, int | float | str) else json.dumps(value)


def _metric(value: Any) -> Any:
    return float("nan") if value == "NaN" else value


def _read(db: sqlite3.Connection) -> Iterator[Payload]:
    names = ", ".join(f'"{name}"' for name in _COLUMNS)
    params = _grouped(db, "SELECT version, name, value FROM params ORDER BY 1, 2")
    metrics = _grouped(db, "SELECT version, name, value FROM metrics ORDER BY 1, 2")
    artifacts = _grouped(db, "SELECT version, path, hash FROM artifacts ORDER BY 1, 2")
    labels = _grouped(db, "SELECT version, label, label FROM labels ORDER BY 1, 2")
    for values in db.execute(f"SELECT {names} FROM experiments ORDER BY version"):
        version = values[0]
        texts: dict[str, Any] = dict(zip(_COLUMNS, values, strict=True))
        yield Payload(
            labels=tuple(labels.get(version, {})),
            params={k: json.loads(v) for k, v in params.get(version, {}).items()},
            metrics={k: _metric(v) for k, v in metrics.get(version, {}).items()},
            artifacts=artifacts.get(version, {}),
            **texts,
        )


def _grouped(db: sqlite3.Connection, sql: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for version, name, value in db.execute(sql):
        found.setdefault(version, {})[name] = value
    return found


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=10)
    db.execute("PRAGMA trusted_schema = OFF")
    return db


def _migrate(db: sqlite3.Connection) -> None:
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if found > USER_VERSION:
        raise XexpError(
            f"the registry has format {found}; this git-xexp knows up to {USER_VERSION}",
            "upgrade: pip install --upgrade git-xexp",
        )
    if found < USER_VERSION:
        db.executescript(f"PRAGMA page_size = 4096;{SCHEMA}PRAGMA user_version = {USER_VERSION};")
