"""What one table's merge amounts to: rows to append, to change and to drop in ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitxexp.merge.duck.align import Aligned
from gitxexp.merge.duck.session import Session, quote
from gitxexp.merge.plan import Conflict, TableReport, Value

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
