"""Print the rows of a query: a table, Markdown, CSV or JSON."""

from __future__ import annotations

import datetime
import decimal
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gitxexp.cli.render import console, markdown
from gitxexp.cli.render.console import Column
from gitxexp.common import streams
from gitxexp.common.text import visible
from gitxexp.common.values import is_number
from gitxexp.repository.tag_message import show

if TYPE_CHECKING:
    from gitxexp.workflows.sql.database import ColumnEntry

#: Rows that a terminal shows; a pipe gets all.
_MOST = 10_000
_BATCH = 2_000

#: Text between the ends of lines and tabs.
_BREAK = re.compile(r"(?:[^\r\n\t]|\r(?!\n))+")

#: What prints the rows of DuckDB's cursor.
Form = Callable[[Any], None]


def _names(cursor: Any) -> list[str]:
    return [str(column[0]) for column in cursor.description or ()]


def _rows(cursor: Any) -> Iterator[Sequence[Any]]:
    while batch := cursor.fetchmany(_BATCH):
        yield from batch


def as_table(cursor: Any) -> None:
    """A table on a terminal, numbers rounded there; tab-separated lines with all digits in a pipe."""
    names = _names(cursor)
    if names == ["explain_key", "explain_value"]:  # EXPLAIN: it is laid out already
        console.page([line for row in cursor.fetchall() for line in str(row[1]).splitlines()])
        return
    if not console.is_terminal():
        console.out("\t".join(map(console.one_line, names)))
        for row in _rows(cursor):
            streams.write("\t".join(console.one_line(text(value)) for value in row) + "\n")
        return
    rows = cursor.fetchmany(_MOST)
    more = cursor.fetchone() is not None
    console.page(console.table(_columns(names, rows, short=True)))
    if more:
        console.remark(f"only the first {_MOST} rows are shown; --csv has all")


def as_markdown(cursor: Any) -> None:
    """A table of GitHub's Markdown."""
    names = _names(cursor)
    for line in markdown.table(_columns(names, cursor.fetchall(), short=True)):
        streams.write(f"{line}\n")


def _columns(names: Sequence[str], rows: Sequence[Sequence[Any]], *, short: bool) -> list[Column]:
    columns = []
    for name, values in zip(
        names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True
    ):
        number = all(v is None or _is_number(v) for v in values) and bool(values)
        cells = [text(value, short=short) for value in values]
        columns.append(Column(name, cells, right=number, flexible=not number))
    return columns


def _is_number(value: Any) -> bool:
    return is_number(value) or isinstance(value, decimal.Decimal)


def as_csv(cursor: Any) -> None:
    """RFC 4180 with a header, all digits, an empty field for NULL; records end in a plain newline. Text
    of several lines stays so; other control characters, which --json has, are escaped."""
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([visible(name) for name in _names(cursor)])
    for row in _rows(cursor):
        writer.writerow([_lines(text(value)) for value in row])
        if out.tell() > 1 << 16:
            _drain(out)
    _drain(out)


def _lines(value: str) -> str:
    return value if value.isprintable() else _BREAK.sub(lambda m: visible(m[0]), value)


def _drain(out: Any) -> None:
    streams.write(out.getvalue())
    out.seek(0)
    out.truncate()


def as_json(cursor: Any) -> None:
    """One array with an object for each row."""
    names = _keys(cursor)
    first = True
    for row in _rows(cursor):
        streams.write(f"{'[' if first else ','}\n  {_object(names, row)}")
        first = False
    streams.write("[]\n" if first else "\n]\n")


def as_ndjson(cursor: Any) -> None:
    """An object on each line."""
    names = _keys(cursor)
    for row in _rows(cursor):
        streams.write(f"{_object(names, row)}\n")


def _keys(cursor: Any) -> list[str]:
    """The names of the columns; the second ``a`` is ``a_1``, as in a table that DuckDB makes."""
    names = _names(cursor)
    keys: dict[str, None] = {}
    for at, name in enumerate(names):
        free, number = name, 0
        while free in keys or (number and free in names[at:]):
            number += 1
            free = f"{name}_{number}"
        keys[free] = None
    return list(keys)


def _object(names: Sequence[str], row: Sequence[Any]) -> str:
    if any(map(_is_long, row)):
        return _json(dict(zip(names, row, strict=True)))
    return console.as_json({name: plain(value) for name, value in zip(names, row, strict=True)})


def _is_long(value: Any) -> bool:
    """Whether a value is or has a decimal with more digits than a float holds."""
    if isinstance(value, decimal.Decimal):
        return value != value.to_integral_value() and decimal.Decimal(repr(float(value))) != value
    if isinstance(value, dict):
        return any(map(_is_long, value.values()))
    return isinstance(value, list | tuple) and any(map(_is_long, value))


def _json(value: Any) -> str:
    """JSON with all digits of decimals, of which Python's makes floats."""
    if _is_long(value):
        if isinstance(value, decimal.Decimal):
            return f"{value:f}".rstrip("0")
        if isinstance(value, dict):
            return f"{{{', '.join(f'{console.as_json(str(k))}: {_json(v)}' for k, v in value.items())}}}"
        return f"[{', '.join(map(_json, value))}]"
    return console.as_json(plain(value))


def plain(value: Any) -> Any:
    """A value of DuckDB as JSON can hold it: times as text, decimals as numbers."""
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    return text(value)


def text(value: Any, *, short: bool = False) -> str:
    """A value as text, "" for NULL; ``short`` rounds numbers as every table does."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return console.rounded(value) if short else show(value)
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if isinstance(value, datetime.datetime | datetime.date | datetime.time | datetime.timedelta):
        return str(value)
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    return _json(value) if isinstance(value, list | dict | tuple) else str(value)


def arrow(cursor: Any) -> None:
    """An Arrow IPC stream (arrow.apache.org/docs/format/IPC.html); raises ImportError without pyarrow."""
    import sys
    import warnings

    import duckdb  # noqa: F401, which gives connections their Arrow
    import pyarrow

    read = (
        getattr(cursor, "to_arrow_reader", None) or cursor.fetch_record_batch
    )  # before DuckDB 2.0
    with warnings.catch_warnings():  # that a result which is read once is in memory
        warnings.simplefilter("ignore", UserWarning)
        reader = read(1 << 16)
    streams.flush()
    with pyarrow.ipc.new_stream(sys.stdout.buffer, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)


def schema_table(entries: Sequence[ColumnEntry]) -> list[str]:
    """The tables and their columns."""
    return console.table(
        [
            Column("table", [entry.table for entry in entries]),
            Column("column", [entry.column for entry in entries], flexible=True),
            Column("type", [entry.type for entry in entries]),
        ]
    )


def schema_objects(entries: Sequence[ColumnEntry]) -> list[dict[str, str]]:
    """``--schema --json``."""
    return [{"table": e.table, "column": e.column, "type": e.type} for e in entries]
