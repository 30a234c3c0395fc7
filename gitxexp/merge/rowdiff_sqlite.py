"""Row differences of two SQLite files, without any other engine."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote as percent

from gitxexp.errors import XexpError
from gitxexp.interrupting import Connection
from gitxexp.merge import rowdiff_pages as pages
from gitxexp.merge.plan import Value
from gitxexp.merge.rowdiff import TableDiff, pair
from gitxexp.merge.textconv import quote, sqlite_key, sqlite_tables

#: Above this share of changed leaves, SQL compares faster than ranges do.
_MOST = 0.2

Row = dict[str, Value]


@dataclass(frozen=True)
class _Table:
    name: str
    root: int
    columns: tuple[str, ...]
    key: tuple[str, ...]
    rowid: str | None
    defaults: bool  #: some column has a DEFAULT, so old rows may read differently


def diff_sqlite(
    a: Path | None, b: Path | None, key: tuple[str, ...], limit: int | None
) -> list[TableDiff]:
    """The differences of all user tables; see :func:`gitxexp.merge.rowdiff.diff_files`.

    Pages are looked at before SQLite opens the files: closing a file that this process also has
    open would drop SQLite's locks. A file that changes meanwhile is an error.
    """
    stamps = [_stamp(path) for path in (a, b)]
    old, new = _tables(a), _tables(b)
    spans = _spans(a, b, old, new)
    found = []
    with contextlib.closing(_attached(a, b)) as con:
        try:
            for name in dict.fromkeys([*old, *new]):
                found.append(_diff(con, old.get(name), new.get(name), spans.get(name), key, limit))
        except sqlite3.Error as error:
            raise XexpError(f"cannot compare {a} with {b}: {error}") from None
    if [_stamp(path) for path in (a, b)] != stamps:
        raise XexpError("a database changed while it was being compared", hint="try again")
    return found


def _stamp(path: Path | None) -> tuple[int, int]:
    if path is None:
        return 0, 0
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _uri(path: Path) -> str:
    """Immutable where no log is there: then SQLite makes no files beside it and takes no lock."""
    busy = any(
        path.with_name(path.name + suffix).exists() for suffix in ("-wal", "-journal", "-shm")
    )
    return f"file:{percent(str(path.absolute()))}?mode=ro{'' if busy else '&immutable=1'}"


def _attached(a: Path | None, b: Path | None) -> sqlite3.Connection:
    con = sqlite3.connect(":memory:", isolation_level=None, uri=True, factory=Connection)
    try:
        for path, name in ((a, "a"), (b, "b")):
            con.execute("ATTACH ? AS " + name, [_uri(path) if path else ":memory:"])
        con.execute("BEGIN")
        for name in "ab":
            con.execute(f"SELECT count(*) FROM {name}.sqlite_master").fetchone()
    except sqlite3.Error as error:
        con.close()
        raise XexpError(f"cannot read {a} or {b}: {error}") from None
    return con


def _tables(path: Path | None) -> dict[str, _Table]:
    if path is None:
        return {}
    try:
        with contextlib.closing(sqlite3.connect(_uri(path), uri=True)) as con:
            return {name.lower(): _table(con, name, root) for name, root in sqlite_tables(con)}
    except sqlite3.Error as error:
        raise XexpError(f"cannot read {path}: {error}") from None


def _table(con: sqlite3.Connection, name: str, root: int) -> _Table:
    info = con.execute(f"PRAGMA table_xinfo({quote(name)})").fetchall()
    columns = tuple(row[1] for row in info if row[6] != 1)
    taken = {c.lower() for c in columns}
    alias = next((r for r in ("_rowid_", "rowid", "oid") if r not in taken), None)
    if alias:
        try:
            con.execute(f"SELECT {alias} FROM {quote(name)} LIMIT 0")
        except sqlite3.OperationalError:
            alias = None
    defaults = any(row[4] is not None for row in info)
    return _Table(name, root, columns, sqlite_key(con, name), alias, defaults)


def _spans(
    a: Path | None, b: Path | None, old: dict[str, _Table], new: dict[str, _Table]
) -> dict[str, pages.Ranges]:
    """Per table the rowid ranges that can differ; a table that is absent must be compared whole."""
    if a is None or b is None:
        return {}
    one, two = pages.open_pages(a), pages.open_pages(b)
    try:
        changed = pages.changed_pages(one, two) if one and two else None
        if not one or not two or changed is None:
            return {}
        if not (pages.no_overflow(one, changed) and pages.no_overflow(two, changed)):
            return {}
        found = {}
        for name in set(old) & set(new):
            mine, theirs = old[name], new[name]
            if not _comparable(mine, theirs):
                continue
            with contextlib.suppress(ValueError, IndexError, RecursionError):
                parts = [
                    pages.ranges(file, table.root, changed, _MOST)
                    for file, table in ((one, mine), (two, theirs))
                ]
                if parts[0] is not None and parts[1] is not None and mine.root == theirs.root:
                    found[name] = _joined(parts[0] + parts[1])
        return found
    finally:
        for file in (one, two):
            if file:
                file.stream.close()


def _comparable(a: _Table, b: _Table) -> bool:
    """Whether the same page means the same rows: by rowid, and read through the same columns."""
    grown = len(b.columns) >= len(a.columns) and b.columns[: len(a.columns)] == a.columns
    plain = a.columns == b.columns or not (a.defaults or b.defaults)
    return bool(a.rowid and b.rowid) and grown and plain


def _joined(spans: pages.Ranges) -> pages.Ranges:
    found: pages.Ranges = []
    for low, high in sorted(spans):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found


def _diff(
    con: sqlite3.Connection,
    old: _Table | None,
    new: _Table | None,
    spans: pages.Ranges | None,
    key: tuple[str, ...],
    limit: int | None,
) -> TableDiff:
    one = new or old
    assert one is not None
    mine = {c.lower() for c in (old.columns if old else ())}
    theirs = {c.lower() for c in (new.columns if new else ())}
    spelled = {c.lower(): c for t in (old, new) if t for c in t.columns}
    chosen = one.key or tuple(spelled[k.lower()] for k in key if k.lower() in spelled)
    if old and new and not one.key and len(chosen) != len(key):
        chosen = ()
    before = _rows(con, "a", old, new, spans, spelled)
    after = _rows(con, "b", new, old, spans, spelled)
    added, removed, changed, rows = pair(before, after, chosen, limit)
    return TableDiff(
        one.name,
        chosen,
        tuple(c for c in (new.columns if new else ()) if old and c.lower() not in mine),
        tuple(c for c in (old.columns if old else ()) if new and c.lower() not in theirs),
        old is None,
        new is None,
        added,
        removed,
        changed,
        rows,
    )


def _rows(
    con: sqlite3.Connection,
    side: str,
    table: _Table | None,
    other: _Table | None,
    spans: pages.Ranges | None,
    spelled: dict[str, str],
) -> Iterator[Row]:
    """The rows of one side that can differ from the other's."""
    if table is None:
        return
    names = [spelled[c.lower()] for c in table.columns]
    cells = ", ".join(f"x.{quote(c)}" for c in table.columns)
    source = f"{side}.{quote(table.name)} AS x"
    if other is None:
        statements: list[tuple[str, tuple[int, ...]]] = [(f"SELECT {cells} FROM {source}", ())]
    elif spans is not None:
        where = f"x.{table.rowid} BETWEEN ? AND ?"
        statements = [(f"SELECT {cells} FROM {source} WHERE {where}", span) for span in spans]
    else:
        statements = [(f"SELECT {cells} FROM {source} {_unlike(side, table, other)}", ())]
    for sql, span in statements:
        for row in con.execute(sql, span):
            yield dict(zip(names, row, strict=True))


def _unlike(side: str, table: _Table, other: _Table) -> str:
    """Leave out rows that the other side has at the same place, values and classes alike."""
    far = "b" if side == "a" else "a"
    theirs = {c.lower(): c for c in other.columns}
    tests = []
    for column in table.columns:
        cell = f"x.{quote(column)}"
        if column.lower() not in theirs:
            tests.append(f"{cell} IS NULL")
            continue
        twin = f"y.{quote(theirs[column.lower()])}"
        tests.append(f"{cell} IS {twin} COLLATE BINARY AND typeof({cell}) = typeof({twin})")
    missing = [c for c in other.columns if c.lower() not in {t.lower() for t in table.columns}]
    tests += [f"y.{quote(c)} IS NULL" for c in missing]
    if table.rowid and other.rowid:
        place = f"x.{table.rowid} = y.{other.rowid}"
    else:
        place = " AND ".join(f"x.{quote(c)} IS y.{quote(c)}" for c in table.key) or "false"
    same = " AND ".join(tests)
    twin_table = f"{far}.{quote(other.name)} AS y"
    return f"WHERE NOT EXISTS (SELECT 1 FROM {twin_table} WHERE {place} AND {same})"
