"""``--where``: a condition in DuckDB's SQL over the rows of a list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gitxexp.common.errors import UsageError
from gitxexp.common.notes import note
from gitxexp.common.sql import literal, quote
from gitxexp.common.text import counted
from gitxexp.repository.tag_message import show
from gitxexp.tables.duckdb import scan
from gitxexp.tables.duckdb.session import Session
from gitxexp.workflows.explore.rows import ColumnName, ColumnNames, Row, column
from gitxexp.workflows.sql import statement
from gitxexp.workflows.sql.mistakes import KnownNames, explained

#: The row number column, a name that no parameter has.
_AT = "xexp_at"


def select(rows: Sequence[Row], condition: str, names: ColumnNames) -> list[Row]:
    """Return the rows for which the condition is true; it may use fields, metrics and parameters,
    with dotted names in quotes. ``date`` is a UTC timestamp, ``label`` a list of strings.

    Raises UsageError for an invalid condition.
    """
    if not condition.strip():
        raise UsageError("the condition is empty", "such as: f1 > 0.8")
    if not names.any:  # no name is known, so none is wrong
        return []
    columns = _columns(rows, names)
    with Session(0) as session:
        out = session.scratch / "rows.parquet"
        kinds = dict.fromkeys(columns, "text")
        scan.write_records(out, kinds, list(zip(*columns.values(), strict=True)))
        session.rows(
            f"CREATE TEMP TABLE list AS SELECT {_shown(columns)} FROM read_parquet({literal(str(out))})"
        )
        session.seal(())
        query = f"SELECT {_AT} FROM list WHERE (\n{condition}\n)"
        try:
            known = KnownNames(lambda: ["list"], lambda: [name for name in columns if name != _AT])
            with explained(known, query):
                # in brackets, too: "a) OR (b" would close those of the query
                session.connection.extract_statements(f"SELECT [\n{condition}\n]")
                parsed = statement.parse(session, query)
                if len(parsed) != 1:
                    raise UsageError("--where takes one condition", "such as: --where 'f1 > 0.8'")
                found = session.connection.execute(parsed[0].text).fetchall()
        except UsageError as error:
            hint = _dotted(columns, condition) or _keyword(columns, error.message) or error.hint
            raise UsageError(_in_place(error.message, condition), hint) from None
    kept = sorted(at for (at,) in found)
    _tell_of_nan(columns, condition, kept)
    return [rows[at] for at in kept]


def _tell_of_nan(columns: Mapping[str, Sequence[Any]], condition: str, kept: Sequence[int]) -> None:
    """Note that a comparison was true of NaN, which to SQL is greater than any number
    (duckdb.org/docs/stable/sql/data_types/numeric, "Floating-Point Types")."""
    if not re.search(r"[<>]", condition) or "nan" in condition.lower():
        return
    for name, values in columns.items():
        count = sum(values[at] != values[at] for at in kept)
        if count and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", condition, re.IGNORECASE):
            note(
                f"{counted(count, 'row')} with NaN as {name}, to SQL greater than any number:"
                f" AND NOT isnan({quote(name)}) leaves {'it' if count == 1 else 'them'} out"
            )


def _dotted(columns: Iterable[str], condition: str) -> str | None:
    """Return a hint if the condition contains an unquoted dotted name."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", condition)
    names = (name for name in columns if "." in name and name in bare)
    found = next(names, None)
    return f'a name with a dot goes in double quotes: "{found}"' if found else None


def _keyword(columns: Iterable[str], message: str) -> str | None:
    """Return a hint if the word where parsing fails is a column, called like a keyword."""
    word = re.match(r'syntax error at or near "(.*)"', message)
    found = next((name for name in columns if word and name.lower() == word[1].lower()), None)
    return f'a name that is a keyword of SQL goes in double quotes: "{found}"' if found else None


def _in_place(message: str, condition: str) -> str:
    """Adjust a message that points into the surrounding query so that it points into ``condition``."""
    match = re.search(r"\n  LINE (\d+): .*\n( *)(\^+)", message)
    if match is None:
        return message
    lines, number, before = (
        condition.split("\n"),
        int(match[1]) - 2,
        len(match[2]) - len(match[1]) - 9,
    )
    if number < 0:  # points at what stands around it
        return message[: match.start()]
    if number >= len(lines):  # points behind it
        line = lines[-1]
        return f"the condition is not complete, or has a parenthesis too many\n  {line}\n  {' ' * len(line)}^"
    return f"{message[: match.start()]}\n  {lines[number]}\n  {' ' * before}{match[3]}"


def _columns(rows: Sequence[Row], names: ColumnNames) -> dict[str, list[Any]]:
    """Fields, metrics, parameters; the first of two names that DuckDB treats as equal."""
    fields = list(rows[0].fields()) if rows else ["version"]
    wanted = [ColumnName("field", name) for name in fields]
    wanted += [ColumnName("metric", name) for name in names.metrics]
    wanted += [ColumnName("param", name) for name in names.params]
    columns: dict[str, list[Any]] = {_AT: list(range(len(rows)))}
    taken = {_AT}
    for name in wanted:
        if name.name.lower() not in taken:
            taken.add(name.name.lower())
            columns[name.name] = [_cell(value) for value in column(rows, name)]
    return columns


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        return "\x1f".join(value) or None
    return value if value is None or isinstance(value, bool | int | float | str) else show(value)


def _shown(columns: Iterable[str]) -> str:
    shown = []
    for name in columns:
        cell = quote(name)
        if name == "date":
            cell = f"make_timestamp(CAST({cell} * 1000000 AS BIGINT)) AS {cell}"
        elif name == "label":
            cell = f"coalesce(string_split(CAST({cell} AS VARCHAR), chr(31)), []) AS {cell}"
        shown.append(cell)
    return ", ".join(shown)
