"""What one table's merge amounts to: rows to append, to change and to drop in ours.

A table as it will be: ours with the outcome applied, as one query in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitxexp.tables.duckdb.align import ROW, Aligned
from gitxexp.tables.duckdb.rows import listed
from gitxexp.tables.duckdb.session import Session, quote
from gitxexp.tables.duckdb.types import null
from gitxexp.tables.plan import Conflict, TableReport, Value

#: Conflicts shown in full; the report's counter has all of them.
SHOWN = 1000

_INTEGERS = frozenset(
    f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
) | {"HUGEINT", "UHUGEINT"}


@dataclass(frozen=True)
class Outcome:
    """``add`` is a query of aligned columns; ``change`` and ``drop`` are tables with xexp_row."""

    table: Aligned
    report: TableReport
    add: str = ""
    change: str = ""
    drop: str = ""
    conflicts: tuple[Conflict, ...] = ()
    notes: tuple[str, ...] = ()
    gone: bool = False  #: the table itself leaves the result


def plain(kind: str, expression: str) -> str:
    """``expression`` as a value that Python gets unchanged: text where it has no such type."""
    if kind in _INTEGERS or kind in ("DOUBLE", "FLOAT", "VARCHAR", "BLOB"):
        return expression
    if kind == "BOOLEAN":
        return f"{expression}::INTEGER"
    return f"{expression}::VARCHAR"


def conflicts_of(
    session: Session,
    table: Aligned,
    key: Sequence[str],
    column: str,
    query: str,
    kind: str,
    sources: Mapping[int, str],
) -> list[Conflict]:
    """The rows of ``query`` (key columns, ours, theirs, base, side number) as conflicts."""
    shown = [plain(table.columns[c], quote(c)) for c in key]
    cell = table.columns[column]
    cells = [plain(cell, name) for name in ("xexp_ours", "xexp_theirs", "xexp_base")]
    rows = session.rows(
        f"SELECT {', '.join([*shown, *cells, 'xexp_side'])} FROM ({query}) LIMIT {SHOWN}"
    )
    return [
        Conflict(
            table.name,
            named(key, row),
            column,
            row[-4],
            row[-3],
            row[-2],
            kind,
            sources.get(row[-1], ""),
        )
        for row in rows
    ]


def named(key: Sequence[str], row: Sequence[Any]) -> dict[str, Value]:
    """The key columns of a fetched row as a mapping."""
    return dict(zip(key, row, strict=False))


def counted(table: Aligned, here: int, incoming: int, **numbers: int) -> TableReport:
    """A report with what the columns' side of the merge contributes."""
    return TableReport(
        table.name,
        here,
        incoming,
        columns_added=table.added,
        types_widened=table.widened,
        created=table.ours is None,
        **numbers,
    )


def final_query(outcome: Outcome) -> str:
    """All rows: ours (changed, without the dropped ones), then the added ones."""
    names = outcome.table.names
    parts = []
    if outcome.table.ours is not None:
        parts.append(_ours(outcome, outcome.table.ours.query))
    if outcome.add:
        parts.append(f"SELECT {listed(names)} FROM ({outcome.add})")
    if not parts:
        cells = ", ".join(
            f"{null(kind)} AS {quote(c)}" for c, kind in outcome.table.columns.items()
        )
        parts.append(f"SELECT {cells} WHERE false")
    return " UNION ALL ".join(f"({part})" for part in parts)


def _ours(outcome: Outcome, query: str) -> str:
    names = outcome.table.names
    if not outcome.change and not outcome.drop:
        return f"SELECT {listed(names)} FROM ({query})"
    rows = f"({query}) AS mine"
    cells = listed(names)
    if outcome.change:
        rows = f"{rows} LEFT JOIN {outcome.change} AS changed ON mine.{ROW} = changed.{ROW}"
        cells = ", ".join(
            f"CASE WHEN changed.{ROW} IS NULL THEN mine.{quote(c)} ELSE changed.{quote(c)} END "
            f"AS {quote(c)}"
            for c in names
        )
    if outcome.drop:
        rows = f"{rows} ANTI JOIN {outcome.drop} AS gone ON mine.{ROW} = gone.{ROW}"
    return f"SELECT {cells} FROM {rows} ORDER BY mine.{ROW}"
