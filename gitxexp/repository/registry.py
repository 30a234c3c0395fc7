"""The registry: one SQLite file, tracked by git, that records every experiment.

It is written to a temporary file and renamed into place, so git never sees a partial one, and it
contains no generated rowids or timestamps: the same experiments give the same rows on every
machine, and, with the same SQLite release, the same bytes.

Written with sqlite-utils, read with sqlite3 alone.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gitxexp.common import checked, sqlite
from gitxexp.common.errors import XexpError, is_full
from gitxexp.repository.tag_message import Payload
from gitxexp.storage import paths

if TYPE_CHECKING:
    from sqlite_utils import Database

# 1: experiments, params, metrics, labels, artifacts, promotions, merges
# 2: context
# 3: runs, packages
# 4: changes, configurations, configuration_labels; foreign keys, indices
SCHEMA = {
    "experiments": """
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
""",
    "params": """
    version TEXT NOT NULL REFERENCES experiments (version) ON DELETE CASCADE,
    name TEXT NOT NULL, value TEXT NOT NULL,  -- value: JSON
    PRIMARY KEY (version, name)
""",
    "metrics": """
    version TEXT NOT NULL REFERENCES experiments (version) ON DELETE CASCADE,
    name TEXT NOT NULL, value NOT NULL,  -- value: a number, or text where SQLite has none for it
    PRIMARY KEY (version, name)
""",
    "context": """
    version TEXT NOT NULL REFERENCES experiments (version) ON DELETE CASCADE,
    name TEXT NOT NULL, value TEXT NOT NULL,  -- value: JSON
    PRIMARY KEY (version, name)
""",
    "labels": """
    version TEXT NOT NULL REFERENCES experiments (version) ON DELETE CASCADE,
    label TEXT NOT NULL,                -- as the tag has it; see changes
    PRIMARY KEY (version, label)
""",
    "artifacts": """
    version TEXT NOT NULL REFERENCES experiments (version) ON DELETE CASCADE,
    path TEXT NOT NULL, hash TEXT NOT NULL,
    PRIMARY KEY (version, path)
""",
    "changes": """
    version TEXT NOT NULL REFERENCES experiments (version) ON DELETE CASCADE,
    at TEXT NOT NULL,                   -- ISO 8601, UTC: of two changes the later one holds
    what TEXT NOT NULL,                 -- '+' a label added, '-' one removed, 'text' a description
    value TEXT NOT NULL,                -- the label, or the description
    who TEXT NOT NULL,
    PRIMARY KEY (version, at, what, value, who)
""",
    "configurations": """
    hash TEXT PRIMARY KEY NOT NULL,     -- config hash of the parameters
    params TEXT NOT NULL,               -- JSON
    description TEXT NOT NULL DEFAULT '',
    source TEXT NOT NULL DEFAULT '',    -- the file that it was read from
    who TEXT NOT NULL DEFAULT '',
    at TEXT NOT NULL DEFAULT ''         -- ISO 8601, UTC
""",
    "configuration_labels": """
    hash TEXT NOT NULL REFERENCES configurations (hash) ON DELETE CASCADE,
    label TEXT NOT NULL,
    PRIMARY KEY (hash, label)
""",
    "promotions": """
    id TEXT PRIMARY KEY NOT NULL,       -- random, so that two machines never clash
    slot TEXT NOT NULL, version TEXT NOT NULL, run TEXT NOT NULL,
    who TEXT NOT NULL, at TEXT NOT NULL,-- ISO 8601
    why TEXT NOT NULL, metric TEXT NOT NULL, value,
    hash_before TEXT NOT NULL, hash_after TEXT NOT NULL
""",
    "merges": """
    id TEXT PRIMARY KEY NOT NULL,       -- hash of the rest
    target TEXT NOT NULL, sources TEXT NOT NULL,  -- sources: JSON
    at TEXT NOT NULL, mode TEXT NOT NULL, counts TEXT NOT NULL,  -- counts: JSON
    hash_before TEXT NOT NULL, hash_after TEXT NOT NULL
""",
    "runs": """
    id TEXT PRIMARY KEY NOT NULL,       -- start and random digits, so that two machines never clash
    version TEXT NOT NULL,              -- the experiment that it was tagged as, or ""
    status TEXT NOT NULL,               -- done, failed, stopped, timeout or killed
    code INTEGER,                       -- exit code; 128 and the signal that ended it
    command TEXT NOT NULL,              -- its words, JSON
    folder TEXT NOT NULL,               -- where it ran, from the top of the work tree
    started TEXT NOT NULL, ended TEXT NOT NULL,  -- ISO 8601, UTC
    host TEXT NOT NULL, "user" TEXT NOT NULL, python TEXT NOT NULL,
    packages TEXT NOT NULL,             -- hash of their list
    params TEXT NOT NULL, metrics TEXT NOT NULL,  -- JSON
    config_hash TEXT NOT NULL, data TEXT NOT NULL,
    run_commit TEXT NOT NULL,           -- the code that ran
    code_hash TEXT NOT NULL,            -- of its code files
    branch TEXT NOT NULL,
    patch TEXT NOT NULL,                -- hash of what differed from the commit, or ""
    outputs TEXT NOT NULL,              -- path → hash, JSON: what it changed
    kept TEXT NOT NULL,                 -- the same of what is kept of it
    log TEXT NOT NULL,                  -- hash of its log
    tables TEXT NOT NULL,               -- its rows: database, table, run and number, JSON
    sweep TEXT NOT NULL,                -- the sweep that it is of, or ""
    note TEXT NOT NULL                  -- why there is less than there could be
""",
    "packages": """
    hash TEXT PRIMARY KEY NOT NULL,
    list TEXT NOT NULL                  -- name==version, a line each
""",
}
USER_VERSION = 4

#: Indices for look-ups by columns other than the primary key.
INDICES = {
    "experiments by config_hash": "experiments (config_hash)",
    "experiments by run": "experiments (run)",
    "params by name": "params (name, value)",
    "metrics by name": "metrics (name, value)",
    "labels by label": "labels (label)",
    "artifacts by hash": "artifacts (hash)",
}

#: Tables with the content of a tag, by version.
_PARTS = ("params", "metrics", "context", "labels", "artifacts")

#: Limits for an untrusted registry: bytes per cell, seconds per statement.
_CELL, _SECONDS = 16_000_000, 20.0

#: Columns of ``runs``, and those of them that hold JSON.
RUN_COLUMNS = ("id", "version", "status", "code", "command", "folder", "started", "ended", "host",
               "user", "python", "packages", "params", "metrics", "config_hash", "data",
               "run_commit", "code_hash", "branch", "patch", "outputs", "kept", "log", "tables",
               "sweep", "note")  # fmt: skip
_RUN_JSON = frozenset(("command", "params", "metrics", "outputs", "kept", "tables"))

_COLUMNS = ("version", "headline", "text", "config_hash", "data", "run", "run_commit", "code", "parent",
            "reason", "results", "table")  # fmt: skip


class Promotion(NamedTuple):
    """One model promoted to production. Hashes are "md5:…"; an empty ``before`` means there was
    none."""

    id: str
    slot: str
    version: str  #: "" if no experiment is known
    run: str
    who: str
    at: str  #: ISO 8601, UTC, so that it sorts by time
    why: str
    metric: str
    value: Any
    hash_before: str
    hash_after: str


class AnnotationChange(NamedTuple):
    """A label or description given to an experiment after it was tagged."""

    version: str
    at: str  #: ISO 8601, UTC, so that it sorts by time
    what: str  #: "+", "-" or "text"
    value: str
    who: str


class Configuration(NamedTuple):
    """A configuration registered without a run: from a file or from Python."""

    hash: str
    params: Mapping[str, Any]
    description: str = ""
    labels: tuple[str, ...] = ()
    source: str = ""
    who: str = ""
    at: str = ""


class Registry:
    """The registry file at ``path``. No folder from ``top`` to the file may be a link, not even one
    put there while it is opened."""

    def __init__(self, path: Path, top: Path | None = None) -> None:
        self.path = path
        self._top = top or path.parent

    def create(self) -> bool:
        """Create an empty registry if there is none; returns whether it did."""
        if self.path.exists():
            return False
        with self.rewrite():
            pass
        return True

    def rows(self) -> dict[str, Payload]:
        """Every experiment by version; empty if there is no registry."""
        with self._reading() as db:
            return {payload.version: payload for payload in _read(db)} if db else {}

    def row(self, version: str) -> Payload | None:
        """Return one experiment; None if the registry does not have it."""
        with self._reading() as db:
            return next(_read(db, version), None) if db else None

    def run_with(self, artifacts: Mapping[str, str]) -> str | None:
        """Return the run of the first experiment with all these artifacts (hash by path); None if
        there is none."""
        sql = (
            "SELECT run FROM experiments AS e WHERE run > '' AND ? = (SELECT count(*) FROM json_each(?)"
            " JOIN artifacts AS a ON a.version = e.version AND a.path = key AND hash = value)"
            " ORDER BY version LIMIT 1"
        )
        with self._reading() as db:
            asked = (len(artifacts), json.dumps(dict(artifacts)))
            found = db.execute(sql, asked).fetchone() if db else None
            return str(found[0]) if found else None

    def versions(self) -> list[str]:
        """The version of every experiment; none if there is no registry."""
        with self._reading() as db:
            return [name for (name,) in db.execute("SELECT version FROM experiments")] if db else []

    def promotions(self) -> list[Promotion]:
        """Every promotion, newest first; none if there is no registry."""
        names = ", ".join(Promotion._fields)
        sql = f"SELECT {names} FROM promotions ORDER BY at DESC, id"
        with self._reading() as db:
            return [Promotion(*row) for row in db.execute(sql)] if db else []

    def runs(self) -> list[dict[str, Any]]:
        """Every run record, newest first, as a mapping of its columns; none if there is no
        registry, or it has an older format."""
        names = ", ".join(f'"{name}"' for name in RUN_COLUMNS)
        with self._reading() as db:
            if db is None or "runs" not in _tables(db):
                return []
            rows = db.execute(f"SELECT {names} FROM runs ORDER BY started DESC, id DESC")
            return [_loaded(dict(zip(RUN_COLUMNS, row, strict=True))) for row in rows]

    def packages(self, hash: str) -> list[str]:
        """Return the packages with this hash, as ``name==version``; none if it is unknown."""
        with self._reading() as db:
            if db is None or "packages" not in _tables(db):
                return []
            found = db.execute("SELECT list FROM packages WHERE hash = ?", (hash,)).fetchone()
            return str(found[0]).split("\n") if found else []

    def changes(self) -> list[AnnotationChange]:
        """Every label and description given after tagging, oldest first; none without a registry."""
        names = ", ".join(AnnotationChange._fields)
        with self._reading() as db:
            if db is None or "changes" not in _tables(db):
                return []
            return [
                AnnotationChange(*row)
                for row in db.execute(f"SELECT {names} FROM changes ORDER BY at")
            ]

    def configurations(self) -> list[Configuration]:
        """The configurations registered without a run, newest first."""
        with self._reading() as db:
            if db is None or "configurations" not in _tables(db):
                return []
            labels = _grouped(
                db.execute("SELECT hash, label, label FROM configuration_labels ORDER BY 1, 2")
            )
            sql = "SELECT hash, params, description, source, who, at FROM configurations ORDER BY at DESC, 1"
            return [
                Configuration(hash, json.loads(params), text, tuple(labels.get(hash, ())), *rest)
                for hash, params, text, *rest in db.execute(sql)
            ]

    @contextmanager
    def rewrite(self) -> Iterator[Database]:
        """Yield the registry in memory; it replaces the file if the block succeeds."""
        from gitxexp.storage.sqlite_write import database

        with self._copied() as memory:
            db = database(memory)
            with db.atomic():
                yield db

    def put_runs(
        self, runs: Iterable[Mapping[str, Any]], packages: Mapping[str, Iterable[str]]
    ) -> None:
        """Add run records, and lists of packages by their hashes, as one rewrite. Without
        sqlite-utils, whose import takes longer than all else that a run without a tag writes."""
        with self._copied() as memory, memory:
            for run in runs:
                put_run(memory, run)
            for digest, names in packages.items():
                put_packages(memory, digest, names)

    @contextmanager
    def _copied(self) -> Iterator[sqlite3.Connection]:
        """Yield the registry in memory, in today's format; it replaces the file if the block
        succeeds."""
        with self._errors(), closing(sqlite3.connect(":memory:")) as memory:
            if self._exists():
                with closing(_connect(self.path)) as file:
                    file.backup(memory)
            if not _is_current(memory):
                _migrate(memory)
            yield memory
            self._replace(memory)

    def _replace(self, memory: sqlite3.Connection) -> None:
        """Write ``memory`` to a temporary file and rename it into place.

        VACUUM stores tables and rows in a fixed order, whatever the insertion order. What is left of
        history in the header is the schema's and the file's change counters, and the SQLite that
        wrote it: they are as VACUUM INTO would write them (sqlite.org/fileformat.html, 1.3).
        """
        from gitxexp.common.files import atomic_write

        self.path.parent.mkdir(parents=True, exist_ok=True)
        memory.execute("PRAGMA schema_version = 1")
        memory.execute("PRAGMA temp_store = MEMORY")  # else VACUUM writes a copy to a file first
        memory.execute("VACUUM")
        written = bytearray(memory.serialize())
        counter, (major, minor, patch) = (1).to_bytes(4), sqlite3.sqlite_version_info
        written[24:28] = written[92:96] = counter
        written[96:100] = (major * 1_000_000 + minor * 1000 + patch).to_bytes(4)
        with paths.held(self._top, self._below) as place, atomic_write(place) as temporary:
            temporary.write_bytes(written)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """Return a read connection; None if there is no registry."""
        if not self._exists():
            yield None
            return
        with self._errors(), closing(_connect(self.path)) as db:
            yield db

    def _exists(self) -> bool:
        """Refuse an empty file: SQLite would treat it as an empty database, and its content would
        be lost."""
        for path in (self.path, self.path.parent):
            if path.is_symlink():
                raise self._unusable(f"{path.name} is a symbolic link")
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return False
        if not size:
            raise self._unusable("the file is empty")
        checked.remember(self.path, lambda: paths.identity(self._top, self._below))
        return True

    @property
    def _below(self) -> str:
        return self.path.relative_to(self._top).as_posix()

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
        except UnicodeEncodeError:  # what was to be written or looked up is wrong, not the registry
            raise
        except (sqlite3.Error, ValueError, RecursionError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                raise XexpError(
                    f"the registry {self.path} is in use by another program",
                    "try again when it is done",
                ) from error
            if is_full(error):
                raise XexpError(
                    f"cannot write the registry {self.path}: no space is left, or a limit is reached",
                    "make room, then try again",
                ) from error
            raise self._unusable(error) from error


def versions_in(data: bytes) -> set[str]:
    """The versions in a registry's bytes, such as those of another commit; none if invalid."""
    return {str(name) for (name,) in _rows_in(data, "SELECT version FROM experiments")}


def promotions_in(data: bytes) -> set[str]:
    """The ids of the promotions in a registry's bytes; none if invalid."""
    return {str(each) for (each,) in _rows_in(data, "SELECT id FROM promotions")}


def _rows_in(data: bytes, query: str) -> list[tuple[Any, ...]]:
    if not data.startswith(b"SQLite format 3\0"):  # a pointer of LFS, say
        return []
    with closing(sqlite.connect("file::memory:")) as db:
        try:
            db.deserialize(data)
            db.limit(_SECONDS, _CELL)
            _check(db)
            return db.execute(query).fetchall()
        except (sqlite3.Error, XexpError):
            return []


def put(db: Database, version: str, payload: Payload) -> None:
    """Insert the experiment with all its rows, replacing an older row of ``version``."""
    remove(db, version)
    row = {name: getattr(payload, name) for name in _COLUMNS} | {"version": version}
    db.table("experiments").upsert(row, pk="version")
    params = {k: json.dumps(v) for k, v in payload.params.items() if v is not None}
    metrics = {k: _sql(v) for k, v in payload.metrics.items() if v is not None}
    context = {k: json.dumps(v) for k, v in payload.context.items() if v is not None}
    _put_parts(db, "params", version, ("name", "value"), params.items())
    _put_parts(db, "metrics", version, ("name", "value"), metrics.items())
    _put_parts(db, "context", version, ("name", "value"), context.items())
    _put_parts(db, "artifacts", version, ("path", "hash"), payload.artifacts.items())
    _put_parts(db, "labels", version, ("label",), ((label,) for label in set(payload.labels)))


def put_merge(db: Database, merge: Mapping[str, Any]) -> None:
    """Insert one row of ``merges``; lists and mappings become JSON. Its id is derived from its
    content."""
    import hashlib  # late: 2 ms, which readers do not need

    names = ("target", "sources", "at", "mode", "counts", "hash_before", "hash_after")
    row = {
        n: json.dumps(merge[n], sort_keys=True) if n in ("sources", "counts") else merge[n]
        for n in names
    }
    identity = hashlib.sha256(json.dumps(list(row.values())).encode()).hexdigest()[:32]
    db.table("merges").upsert({"id": identity, **row}, pk="id")


def add_promotion(db: Database, promotion: Promotion) -> None:
    """Insert a promotion."""
    db.table("promotions").insert(promotion._asdict())


def put_run(db: sqlite3.Connection, run: Mapping[str, Any]) -> None:
    """Insert a run record (:data:`RUN_COLUMNS`), replacing an older one with the same id."""
    row = {
        name: json.dumps(value, sort_keys=True, ensure_ascii=False) if name in _RUN_JSON else value
        for name in RUN_COLUMNS
        for value in (_as_utf8(run[name]),)
    }
    names = ", ".join(f'"{name}"' for name in row)
    marks = ", ".join("?" * len(row))
    db.execute(f"INSERT OR REPLACE INTO runs ({names}) VALUES ({marks})", tuple(row.values()))


def _as_utf8(value: Any) -> Any:
    """Escape what is not UTF-8, such as the name of a folder: a run that ended has to be recorded."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_as_utf8(key): _as_utf8(each) for key, each in value.items()}
    return [*map(_as_utf8, value)] if isinstance(value, list | tuple) else value


def put_packages(db: sqlite3.Connection, hash: str, names: Iterable[str]) -> None:
    """Store a list of packages once."""
    db.execute("INSERT OR REPLACE INTO packages VALUES (?, ?)", (hash, "\n".join(names)))


def _loaded(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of ``runs`` with its JSON columns parsed."""
    return {name: json.loads(v) if name in _RUN_JSON else v for name, v in row.items()}


def add_changes(db: Database, changes: Iterable[AnnotationChange]) -> None:
    """Insert later labels and descriptions, without duplicates."""
    db.table("changes").insert_all((change._asdict() for change in changes), ignore=True)


def put_configuration(db: Database, found: Configuration) -> None:
    """Insert a configuration, replacing an older row with the same hash."""
    row = found._asdict() | {"params": json.dumps(found.params, sort_keys=True)}
    labels = row.pop("labels")
    db.table("configurations").upsert(row, pk="hash")
    db.table("configuration_labels").delete_where("hash = ?", [found.hash])
    db.table("configuration_labels").insert_all(
        {"hash": found.hash, "label": label} for label in sorted(set(labels))
    )


def remove_configuration(db: Database, hash_: str) -> None:
    """Delete a configuration registered without a run."""
    for table in ("configuration_labels", "configurations"):
        db.table(table).delete_where("hash = ?", [hash_])


def remove(db: Database, version: str) -> None:
    """Delete the tag's content of ``version``; later labels and descriptions stay."""
    for table in (*_PARTS, "experiments"):
        db.table(table).delete_where("version = ?", [version])


def delete(db: Database, version: str) -> None:
    """Delete the experiment ``version`` with its labels and descriptions; promotions and its run
    record stay."""
    db.execute("UPDATE runs SET version = '' WHERE version = ?", (version,))
    db.table("changes").delete_where("version = ?", [version])
    remove(db, version)


def rename(db: Database, version: str, new: str) -> None:
    """Move later labels and descriptions of ``version`` to ``new``."""
    db.execute("UPDATE OR REPLACE changes SET version = ? WHERE version = ?", (new, version))


def _put_parts(
    db: Database,
    table: str,
    version: str,
    names: tuple[str, ...],
    rows: Iterable[tuple[Any, ...]],
) -> None:
    columns = ("version", *names)
    db.table(table).insert_all(dict(zip(columns, (version, *row), strict=True)) for row in rows)


def _sql(value: Any) -> Any:
    """Convert a metric for SQLite: NaN would become NULL and integers end at 64 bits, so these are
    stored as text."""
    if isinstance(value, float) and value != value:
        return "NaN"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return value if isinstance(value, int | float | str) else json.dumps(value)


def same(one: Any, other: Any) -> bool:
    """Whether two payloads, or values of them, are equal; NaN is equal to NaN, which Python's is not."""
    return bool(one == other) or bool(_with_nan(one) == _with_nan(other))


def _with_nan(value: Any) -> Any:
    if isinstance(value, float) and value != value:
        return _NAN
    if isinstance(value, Mapping):
        return {name: _with_nan(item) for name, item in value.items()}
    return [_with_nan(item) for item in value] if isinstance(value, list | tuple) else value


_NAN = object()


def _metric(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value == "NaN":
        return float("nan")
    digits = value.removeprefix("-")
    return int(value) if 19 <= len(digits) <= 400 and digits.isdecimal() else value


def _read(db: sqlite3.Connection, version: str | None = None) -> Iterator[Payload]:
    """Every experiment, or one."""
    names = ", ".join(f'"{name}"' for name in _COLUMNS)
    one = () if version is None else (version,)
    where = " WHERE version = ?" if one else ""

    def grouped(table: str, columns: str) -> dict[str, dict[str, Any]]:
        sql = f"SELECT version, {columns} FROM {table}{where} ORDER BY 1, 2"
        return _grouped(db.execute(sql, one))

    params, metrics = grouped("params", "name, value"), grouped("metrics", "name, value")
    artifacts, labels = grouped("artifacts", "path, hash"), grouped("labels", "label, label")
    context = grouped("context", "name, value") if "context" in _tables(db) else {}
    for values in db.execute(f"SELECT {names} FROM experiments{where} ORDER BY version", one):
        version = values[0]
        texts: dict[str, Any] = dict(zip(_COLUMNS, values, strict=True))
        yield Payload(
            labels=tuple(labels.get(version, {})),
            params={k: json.loads(v) for k, v in params.get(version, {}).items()},
            metrics={k: _metric(v) for k, v in metrics.get(version, {}).items()},
            artifacts=artifacts.get(version, {}),
            context={k: json.loads(v) for k, v in context.get(version, {}).items()},
            **texts,
        )


def _grouped(rows: Iterable[tuple[str, str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for version, name, value in rows:
        found.setdefault(version, {})[name] = value
    return found


def _connect(path: Path) -> sqlite.Connection:
    """Connect to the file; raises sqlite3.DatabaseError if it is not in our format.

    The file comes with a clone: nothing in it may run code or keep a reader busy.
    """
    db = sqlite.connect(path, "rw")
    try:
        db.limit(_SECONDS, _CELL)
        _check(db)
    except BaseException:
        db.close()
        raise
    return db


def _check(db: sqlite3.Connection) -> None:
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if found > USER_VERSION:
        raise XexpError(
            f"the registry has format {found}; this git-xexp knows up to {USER_VERSION}",
            "upgrade: pip install --upgrade git-xexp",
        )
    for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_master"):
        if kind == "trigger" or (kind == "view" and name.lower() in SCHEMA):
            raise sqlite3.DatabaseError(f"it has a {kind} named {name!r}")
        virtual = kind == "table" and (sql or "").lstrip()[:14].upper() == "CREATE VIRTUAL"
        if virtual or (name.lower() in SCHEMA and _generated(db, name)):
            raise sqlite3.DatabaseError(f"{name!r} is not a plain table")


def _generated(db: sqlite3.Connection, table: str) -> bool:
    return any(
        hidden for (hidden,) in db.execute("SELECT hidden FROM pragma_table_xinfo(?)", (table,))
    )


def _tables(db: sqlite3.Connection) -> dict[str, str]:
    """Return table → CREATE statement."""
    return dict(db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))


_STATEMENTS = {
    name: f'CREATE TABLE "{name}" ({body}) WITHOUT ROWID' for name, body in SCHEMA.items()
}


def _is_current(db: sqlite3.Connection) -> bool:
    found = _tables(db)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return version == USER_VERSION and all(
        found.get(name) == sql for name, sql in _STATEMENTS.items()
    )


def _migrate(memory: sqlite3.Connection) -> None:
    """Migrate a registry of any format to :data:`SCHEMA`, and initialise a new one.

    Tables are recreated and their rows copied, so that the file does not depend on its history.
    ``Table.transform`` cannot do that: it copies rowids, which these tables do not have.
    """
    from gitxexp.storage.sqlite_write import database

    db = database(memory)
    with db.atomic():
        found = _tables(memory)
        (version,) = memory.execute("PRAGMA user_version").fetchone()
        db.execute("PRAGMA legacy_alter_table = ON")  # or references would follow the dropped table
        for name, sql in _STATEMENTS.items():
            if name not in found:
                db.execute(sql)
                continue
            db.rename_table(name, f"{name} of format {version}")
            db.execute(sql)
            old = db.table(f"{name} of format {version}")
            for column, kind in old.columns_dict.items():
                if column not in db.table(name).columns_dict:
                    db.table(name).add_column(column, kind)
            db.table(name).insert_all(old.rows)
            old.drop()
        for name, columns in INDICES.items():
            db.execute(f'CREATE INDEX IF NOT EXISTS "{name}" ON {columns}')
        db.execute(f"PRAGMA user_version = {USER_VERSION}")
