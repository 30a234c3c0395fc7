"""Compare two data files: find the rows in both with DuckDB, within bounded memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gitxexp.common import sqlite
from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError, suggestion
from gitxexp.common.files import database_kind
from gitxexp.common.sql import literal, quote
from gitxexp.tables.duckdb.session import Session
from gitxexp.trackers.event_rows import plain
from gitxexp.workflows.checks.layout import ID_COLUMNS
from gitxexp.workflows.checks.profile import MOST

#: Bytes that DuckDB may use; it spills the rest.
MEMORY = 400_000_000
_LINES = (".jsonl", ".ndjson", ".json")
_TEXT = (".csv", ".tsv", ".txt", ".tab")


@dataclass(frozen=True)
class Shared:
    """The rows that both files have; ``by`` says how rows are matched."""

    total: int
    by: str
    rows: tuple[Mapping[str, Any], ...]


def shared(train: Path, test: Path, key: str | None) -> Shared:
    """Return the rows of ``test`` that are also in ``train``: matched by the column ``key``, else
    by an input column of both, else by all common columns.

    Raises XexpError for an unreadable file or an unknown column.
    """
    with Session(MEMORY) as session:
        names = [
            _opened(session, path, alias) for path, alias in ((train, "train"), (test, "test"))
        ]
        columns = [session.describe(name) for name in names]
        own = [{name.lower(): name for name in each} for each in columns]
        both = [name for name in own[0] if name in own[1]]
        if not both:
            raise XexpError(
                f"{train} and {test} have no column in common",
                f"columns: {', '.join([*columns[0]][:10])}; {', '.join([*columns[1]][:10])}",
            )
        chosen = _key([own[1][name] for name in both], key, train, test)
        compared = [chosen.lower()] if chosen else both
        pairs = [(own[0][name], own[1][name]) for name in compared]
        alike = [columns[0][one] == columns[1][other] != "VARCHAR" for one, other in pairs]
        keys = [
            (
                _comparable(f"a.{quote(one)}", same, is_key=bool(chosen)),
                _comparable(f"b.{quote(other)}", same, is_key=bool(chosen)),
            )
            for (one, other), same in zip(pairs, alike, strict=True)
        ]
        known = ", ".join(f"{ours} AS k{at}" for at, (ours, _) in enumerate(keys))
        known = f"SELECT DISTINCT {known} FROM {names[0]} AS a"
        by = f"by {chosen}" if chosen else "whole rows"
        if not chosen and not len(both) == len(own[0]) == len(own[1]):
            by = f"by {', '.join(own[1][name] for name in both)}"
            _require_distinct(session, names[0], known, by)
        tests = [f"a.k{at} IS NOT DISTINCT FROM {theirs}" for at, (_, theirs) in enumerate(keys)]
        tests += [f"b.{quote(chosen)} IS NOT NULL"] if chosen else []
        shown = [own[1][name] for name in both]
        inner = (
            f"SELECT {', '.join(f'b.{quote(name)}' for name in shown)} FROM {names[1]} AS b"
            f" SEMI JOIN ({known}) AS a ON {' AND '.join(tests)}"
        )
        total = session.value(f"SELECT count(*) FROM ({inner}) AS s")
        rows = session.rows(f"{inner} LIMIT {MOST}") if total else []
        found = tuple(dict(zip(shown, map(plain, row), strict=True)) for row in rows)
        return Shared(total, by, found)


def _comparable(column: str, same: bool, *, is_key: bool) -> str:
    """An SQL expression with which values of two files compare: CSV has only text, SQLite no truth values,
    and a column of integers with a gap is written as fractions.

    Text that is not a number as programs write it (007, and of a key also 1e5 and 1.10) stays as it is.
    ``same``: both columns have one type, which is not text.
    """
    text = f"CAST({column} AS VARCHAR)"
    if same and is_key:
        return text
    number = r"-?(0|[1-9]\d{0,14})" + (r"(\.0+)?" if is_key else r"(\.\d+)?([eE][-+]?\d+)?")
    time = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?"
    truths = (
        "" if is_key else
        f" WHEN lower({text}) = 'true' THEN '1.0' WHEN lower({text}) = 'false' THEN '0.0'"
    )  # fmt: skip
    return (
        f"CASE WHEN {text} = '' THEN NULL"
        f" WHEN regexp_full_match({text}, '{number}') THEN CAST(CAST({text} AS DOUBLE) AS VARCHAR){truths}"
        f" WHEN regexp_full_match({text}, '{time}')"
        f" THEN coalesce(CAST(TRY_CAST({text} AS TIMESTAMP) AS VARCHAR), {text}) ELSE {text} END"
    )


def _require_distinct(session: Session, rows: str, known: str, by: str) -> None:
    """Raise XexpError if the columns that both files have, such as a label, do not tell rows apart."""
    ((every, distinct),) = session.rows(
        f"SELECT (SELECT count(*) FROM {rows}), (SELECT count(*) FROM ({known}) AS k)"
    )
    if 2 * distinct < every:
        raise XexpError(
            f"the columns that both files have do not tell rows apart ({by})",
            "name the one that does: --id COLUMN",
        )


def _key(both: list[str], asked: str | None, train: Path, test: Path) -> str | None:
    lowered = {name.lower(): name for name in both}
    if asked:
        if asked.lower() not in lowered:
            raise XexpError(
                f"{train} and {test} do not both have a column {asked}",
                suggestion(asked, both, f"both have: {', '.join(both[:10])}"),
            )
        return lowered[asked.lower()]
    return next((lowered[name] for name in (*ID_COLUMNS, "id") if name in lowered), None)


def _opened(session: Session, path: Path, alias: str) -> str:
    """A FROM item of the file."""
    if not path.is_file():
        raise XexpError(f"no such file: {path}", "is it pulled? dvc pull")
    kind = database_kind(path)
    if kind == "sqlite":
        return _from_sqlite(session, path, alias)
    if kind == "duckdb":
        session.rows(f"ATTACH {literal(session.link(path, '.duckdb'))} AS {alias} (READ_ONLY)")
        tables = session.rows(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = ? AND NOT internal",
            [alias],
        )
        return f"{alias}.{quote(_only_table([name for (name,) in tables], path))}"
    suffix = ".parquet" if kind == "parquet" else path.suffix.lower()
    link = literal(session.link(path, suffix))
    if kind == "parquet":
        return f"read_parquet({link}, hive_partitioning = false)"
    if suffix in _LINES:
        return f"read_json_auto({link})"
    if suffix in _TEXT:
        return f"read_csv({link}, all_varchar = true)"
    raise XexpError(
        f"cannot tell what kind of file {path} is",
        "CSV, TSV, JSON lines, parquet, SQLite or DuckDB",
    )


def _only_table(names: list[str], path: Path) -> str:
    if len(names) != 1:
        raise XexpError(
            f"{path} has {len(names)} tables, but one is expected",
            f"tables: {', '.join(names[:10])}",
        )
    return names[0]


def _from_sqlite(session: Session, path: Path, alias: str) -> str:
    """Copy a SQLite table to a table that can spill: DuckDB reads SQLite only with an extension."""
    import csv  # for a SQLite file only

    con = sqlite.connect(path, "ro")
    try:
        names = [item.name for item in sqlite.tables(con) if item.kind == "table"]
        table = _only_table(names, path)
        cursor = con.execute(f"SELECT * FROM {quote(table)}")
        copy = session.scratch / f"{alias}.csv"
        with copy.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([item[0] for item in cursor.description])
            while rows := cursor.fetchmany(5000):
                writer.writerows(rows)
    except sqlite3.Error as error:
        raise XexpError(f"cannot read {path}: {error}") from error
    finally:
        con.close()
    return f"read_csv({literal(str(copy))}, all_varchar = true)"
