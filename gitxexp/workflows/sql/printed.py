"""Select the values of a statement in types that Python has, none of them changed.

DuckDB's Python gives a month as 30 days, an infinite date as the last one that Python has, a time
without its nanoseconds, and a FLOAT with digits that it does not hold (0.10000000149011612).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gitxexp.common.sql import quote
from gitxexp.tables.duckdb.core import core
from gitxexp.tables.duckdb.session import Session

#: A type that changes, or a quoted name or label in a type; a name of a field has its type behind.
_TYPE = re.compile(
    r"\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'"
    r"|\b(INTERVAL|TIMESTAMP_NS|TIMESTAMP|DATE|FLOAT)(?=[,)\[]|$)"
)


def printed(session: Session, query: str) -> str | None:
    """The statement that selects the same values as text, or as DOUBLE; None if none would change,
    or if it is no statement that selects."""
    duckdb = core()
    try:
        rows = session.connection.execute(f"DESCRIBE {query}").fetchall()
    except duckdb.InterruptException:
        raise
    except duckdb.Error:
        return None
    types = [str(row[1]) for row in rows]
    columns = [f"c{at}" for at in range(len(rows))]
    values = list(map(_value, columns, types))
    if values == columns:
        return None
    chosen = ", ".join(
        f"{value} AS {quote(row[0])}" for value, row in zip(values, rows, strict=True)
    )
    inner = query.strip().rstrip(";")
    return f"SELECT {chosen} FROM (\n{inner}\n) AS printed({', '.join(columns)})"


def _value(column: str, kind: str) -> str:
    as_text = _replaced(kind, {})
    if as_text == kind:
        return column
    as_number = _replaced(kind, {"FLOAT": "DOUBLE"})
    value = f"{column}::{as_text}"
    return value if as_number == as_text else f"{value}::{as_number}"


def _replaced(kind: str, others: Mapping[str, str]) -> str:
    """The type with VARCHAR in place of each that changes, or what ``others`` has for it."""
    return _TYPE.sub(lambda m: others.get(m[1], "VARCHAR") if m[1] else m[0], kind)
