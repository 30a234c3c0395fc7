"""Compare whole rows, counting duplicates.

Two rows are the same if every cell is: NULL equals NULL, NaN equals NaN, ``0.0`` is not ``-0.0``.
SQL's grouping does all of this but the last, hence the marks.

The outcome for one table: rows to append, change and drop in ours.

The resulting table: ours with the outcome applied, as one ordered query.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.sql import quote
from gitxexp.tables.duckdb.align import ROW, Aligned, null
from gitxexp.tables.duckdb.session import EMPTY, Session
from gitxexp.tables.plan import Conflict, TableReport, Value

#: Positions combine the input's number (high) and the row number, so they sort by input.
_SIDE = 1 << 42

#: Up to this many possible duplicates are stored rather than looked up twice.
KEPT = 1_000_000

#: With more inputs than this, counting each in its own column costs more than grouping twice.
SIDES = 8


@dataclass(frozen=True)
class Fresh:
    """Rows to append: a query in input order, and how many there are."""

    query: str
    count: int


def marks(columns: Mapping[str, str], collated: bool = False) -> list[str]:
    """Marks that distinguish values that SQL treats as equal: -0.0, 30 days and 1 month, NOCASE
    text."""
    found = []
    for name, kind in columns.items():
        if kind in ("FLOAT", "DOUBLE"):
            found.append(f"signbit({quote(name)})")
        elif any(word in kind for word in ("FLOAT", "DOUBLE", "INTERVAL", "TIME WITH TIME")):
            found.append(f"{quote(name)}::VARCHAR")
        elif kind == "VARCHAR" and collated:
            found.append(f"encode({quote(name)})")
    return found


def collated(table: Aligned) -> bool:
    """Whether any input compares text by a collation that could call different text equal."""
    sides = [*table.others, *([table.ours] if table.ours else [])]
    return any("COLLATE" in side.table.ddl.upper() for side in sides)


def compared(table: Aligned, name: str, one: str, other: str) -> list[tuple[str, str]]:
    """Pairs of expressions, all equal if two values of the column ``name`` are; those after the first
    distinguish values that SQL treats as equal."""
    found = [(one, other)]
    for mark in marks({name: table.columns[name]}, collated(table)):
        found.append((mark.replace(quote(name), one), mark.replace(quote(name), other)))
    return found


def unlike(table: Aligned, name: str, one: str, other: str) -> list[str]:
    """Tests of which one holds if two values of the column ``name`` differ."""
    return [f"{a} IS DISTINCT FROM {b}" for a, b in compared(table, name, one, other)]


def alike(table: Aligned, name: str, one: str, other: str) -> list[str]:
    """Tests that all hold if two values of the column ``name`` are the same."""
    return [f"{a} IS NOT DISTINCT FROM {b}" for a, b in compared(table, name, one, other)]


def listed(names: Sequence[str]) -> str:
    """The names as a quoted select list."""
    return ", ".join(map(quote, names))


def positioned(queries: Sequence[str]) -> str:
    """All inputs as one query with ``xexp_side`` (from 1) and ``xexp_pos``."""
    return " UNION ALL ".join(
        f"SELECT *, {i} AS xexp_side, {i * _SIDE} + {ROW} AS xexp_pos FROM ({query})"
        for i, query in enumerate(queries, 1)
    )


def count(session: Session, query: str) -> int:
    """How many rows a query has."""
    return int(session.value(f"SELECT count(*) FROM ({query})"))


def missing_rows(
    session: Session,
    columns: Mapping[str, str],
    ours: str | None,
    others: Sequence[str],
    exact: Sequence[str],
    common: Sequence[str],
) -> Fresh:
    """What must be appended to ``ours`` so that each row is there as often as in any input.

    ``common`` are the columns that both ours and the others have: a row of ours with a value in a
    column that the others lack cannot equal one of theirs. One column is probed first; if none of
    its values match, no row can, and nothing is grouped.
    """
    hits = _hits(session, columns, ours, others, common) if ours else None
    if hits is None and len(others) == 1:
        query = f"SELECT {listed(tuple(columns))} FROM ({others[0]})"
        return Fresh(query, count(session, others[0]))
    return _grouped(session, tuple(columns), hits, others, exact)


def _hits(
    session: Session,
    columns: Mapping[str, str],
    ours: str | None,
    others: Sequence[str],
    common: Sequence[str],
) -> str | None:
    """A query for the rows of ours that might equal one of theirs, or None if there are none."""
    theirs = " UNION ALL ".join(f"SELECT {listed(tuple(columns))} FROM ({q})" for q in others)
    mine = candidates(session, columns, ours or "", theirs, common)
    if count(session, ours or "") > KEPT and count(session, mine) > KEPT:
        return mine
    held = f"SELECT * FROM {session.keep('hits', mine)}"
    return held if count(session, held) else None


def candidates(
    session: Session, columns: Mapping[str, str], ours: str, theirs: str, common: Sequence[str]
) -> str:
    """A query for the rows of ours whose probed cell is also in theirs, with nothing in other
    columns."""
    alone = [c for c in columns if c not in common]
    empty = " AND ".join(f"{quote(c)} IS NULL" for c in alone) or "true"
    theirs = f"SELECT * FROM ({theirs}) WHERE {empty}"
    mine = f"SELECT * FROM ({ours}) WHERE {empty}"
    probe = _probe(session, {c: columns[c] for c in common}, theirs)
    return mine if probe is None else _met(session, mine, theirs, quote(probe))


def _met(session: Session, mine: str, theirs: str, name: str) -> str:
    """The rows of ``mine`` whose probed cell ``theirs`` has too.

    Joined by ``=``, for which DuckDB skips row groups by their statistics; NULLs apart.
    """
    query = (
        f"SELECT mine.* FROM ({mine}) AS mine SEMI JOIN "
        f"(SELECT DISTINCT {name} AS p FROM ({theirs})) AS theirs ON mine.{name} = theirs.p"
    )
    if session.rows(f"SELECT 1 FROM ({theirs}) WHERE {name} IS NULL LIMIT 1"):
        query += f" UNION ALL SELECT * FROM ({mine}) WHERE {name} IS NULL"
    return query


def _probe(session: Session, columns: Mapping[str, str], theirs: str) -> str | None:
    """The most selective column, preferring cheap types."""
    flat = [c for c, kind in columns.items() if _flat(kind)]
    if not flat:
        return None
    asked = ", ".join(f"approx_count_distinct({quote(c)})" for c in flat)
    found = session.rows(f"SELECT {asked} FROM (SELECT * FROM ({theirs}) LIMIT 20000)")[0]
    best = max(found)
    good = [c for c, n in zip(flat, found, strict=True) if n * 10 >= best * 8]
    return min(good, key=lambda c: (columns[c] in ("VARCHAR", "BLOB"), flat.index(c)))


def _flat(kind: str) -> bool:
    return not kind.endswith("]") and "(" not in kind.replace("DECIMAL(", "") and kind != EMPTY


def _grouped(
    session: Session,
    names: Sequence[str],
    hits: str | None,
    others: Sequence[str],
    exact: Sequence[str],
) -> Fresh:
    cells = ", ".join([*map(quote, names), *exact])
    rows = f"SELECT {listed(names)}, xexp_side, xexp_pos FROM ({positioned(others)})"
    if hits is not None:
        rows += f" UNION ALL SELECT {listed(names)}, 0, 0 FROM ({hits})"
    sides = [f"count(*) FILTER (xexp_side = {i})" for i in range(len(others) + 1)]
    most = f"greatest({', '.join(sides[1:])})"
    if len(others) > SIDES:
        sides = ["coalesce(max(xexp_n) FILTER (xexp_side = 0), 0)"]
        most = "coalesce(max(xexp_n) FILTER (xexp_side > 0), 0)"
        each = ", ".join([*map(quote, names), *exact, "xexp_side"])
        rows = (
            f"SELECT {', '.join([*map(quote, names), 'xexp_side', 'count(*) AS xexp_n'])}, "
            f"min(xexp_pos) AS xexp_pos FROM ({rows}) GROUP BY {each}"
        )
    table = session.keep(
        "new",
        f"SELECT {', '.join(filter(None, (listed(names), f'{most} - {sides[0]} AS xexp_n')))}, "
        f"min(xexp_pos) FILTER (xexp_side > 0) AS xexp_pos FROM ({rows}) "
        f"{'GROUP BY ' + cells if cells else ''} HAVING {most} > {sides[0]}",
    )
    total = session.value(f"SELECT coalesce(sum(xexp_n), 0)::BIGINT FROM {table}")
    query = (
        f"SELECT {listed(names)} FROM (SELECT *, unnest(range(xexp_n)) AS xexp_i FROM {table}) "
        "ORDER BY xexp_pos, xexp_i"
    )
    return Fresh(query, int(total))


def shared(table: Aligned) -> list[str]:
    """Columns that ours and at least one of the others have."""
    theirs: set[str] = set().union(*(side.has for side in table.others))
    return [c for c in table.columns if table.ours and c in table.ours.has and c in theirs]


#: Conflicts listed in full; the report's counter includes all of them.
SHOWN = 1000

_INTEGERS = frozenset(
    f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
) | {"HUGEINT", "UHUGEINT"}


@dataclass(frozen=True)
class TableOutcome:
    """``add`` is a query of aligned columns; ``change`` and ``drop`` are tables with xexp_row."""

    table: Aligned
    report: TableReport
    add: str = ""
    change: str = ""
    drop: str = ""
    conflicts: tuple[Conflict, ...] = ()
    notes: tuple[str, ...] = ()
    gone: bool = False  #: the table itself is dropped from the result
    renumbered: int = 0  #: rows that get a new number


def plain(kind: str, expression: str) -> str:
    """``expression`` as a value that Python gets unchanged: text if Python has no such type.

    That of a union is JSON, which names the member: 1 and '1' may be two values of it.
    """
    if kind in _INTEGERS or kind in ("DOUBLE", "FLOAT", "VARCHAR", "BLOB"):
        return expression
    if kind == "BOOLEAN":
        return f"{expression}::INTEGER"
    if _UNION.search(kind):
        return f"to_json({expression})::VARCHAR"
    return f"{expression}::VARCHAR"


_UNION = re.compile(r"\bUNION\(")


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
    """A report initialised with the column changes."""
    return TableReport(
        table.name,
        here,
        incoming,
        columns_added=table.added,
        types_widened=table.widened,
        created=table.ours is None,
        estimated=False,
        **numbers,
    )


def final_query(outcome: TableOutcome) -> str:
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


def _ours(outcome: TableOutcome, query: str) -> str:
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
