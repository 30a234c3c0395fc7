"""The rows of a results database that belong to an experiment: the hash chain, seen from the rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gitxexp.results.engines import Database, reading
from gitxexp.results.tables import Table, quoted, tables_of


class Linked(NamedTuple):
    """``rows`` rows of ``table`` name the experiment by ``column`` = ``value``."""

    database: Path
    table: str
    column: str
    value: str
    rows: int


def linked(
    path: Path,
    version: str,
    run: str,
    commits: Sequence[str],
    table: str | None = None,
) -> list[Linked]:
    """How many rows name the version, the run or one of the commits (whole or at least 7 digits).

    Only counts above zero. Raises XexpError when the file is not a readable database.
    """

    def action(database: Database) -> list[Linked]:
        found = []
        for each in tables_of(database, table):
            found += [_count(database, each, c, version) for c in each.version_columns]
            if run and each.run_column:
                found.append(_count(database, each, each.run_column, run))
            for column in each.commit_columns:
                found += [_count(database, each, column, c, shortened=True) for c in commits]
        return [link for link in found if link.rows]

    return reading(path, action)


def _count(
    database: Database, table: Table, column: str, value: str, *, shortened: bool = False
) -> Linked:
    name = quoted(column)
    where = f"CAST({name} AS VARCHAR) = ?"
    params = [value]
    if shortened:
        where = f"({where} OR (length({name}) >= 7 AND ? LIKE CAST({name} AS VARCHAR) || '%'))"
        params = [value, value]
    sql = f"SELECT count(*) FROM {quoted(table.name)} WHERE {where}"
    ((rows,),) = database.rows(sql, params)
    return Linked(database.path, table.name, column, value, int(rows))
