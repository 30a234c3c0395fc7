"""Match the tables of the inputs to the tables of the result.

Find a common column type for several inputs that changes no value.

DuckDB's own rule for ``UNION ALL BY NAME`` proposes the type; this module accepts it only where
it is lossless, by the types themselves or by trying every value.

Align the columns of several inputs by name, with one type each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.files import Kind
from gitxexp.common.sql import quote
from gitxexp.tables.duckdb.session import EMPTY, Session, Source, Table
from gitxexp.tables.plan import MergeOptions, SimilarColumn
from gitxexp.tables.rules import fold, missing_table, renamed, similar_columns, stored_elsewhere


@dataclass
class Matched:
    """One table of the result with its inputs, in order."""

    name: str
    ours: tuple[str, Table] | None
    others: list[tuple[str, Table]]


def match_tables(
    target: Source | None, sources: Sequence[Source], out: Path, kind: Kind, options: MergeOptions
) -> list[Matched]:
    """Return the tables of the result, the target's first.

    A parquet file's one table is the result's only table, or the one named like the file. Raises
    :class:`XexpError` if that is ambiguous, or for a table that no input has.
    """
    if kind == "parquet":
        return [_single(target, sources, out, options)]
    found: dict[str, Matched] = {}
    for source in ([target] if target else []) + list(sources):
        for table in _wanted(source, options):
            name = table.name or _parquet_name(source, target, options)
            held = found.setdefault(name.lower(), Matched(name, None, []))
            if source is target:
                held.ours = (str(source.path), table)
            else:
                held.others.append((str(source.path), table))
    _check_asked(found, options)
    return list(found.values())


def _wanted(source: Source, options: MergeOptions) -> list[Table]:
    asked = {name.lower() for name in options.tables}
    return [t for t in source.tables if not asked or t.name is None or t.name.lower() in asked]


def _parquet_name(source: Source, target: Source | None, options: MergeOptions) -> str:
    if len(options.tables) == 1:
        return options.tables[0]
    stem = source.path.stem
    names = [t.name for t in target.tables if t.name] if target else []
    if any(name.lower() == stem.lower() for name in names) or len(names) != 1:
        return stem
    return names[0]


def _check_asked(found: dict[str, Matched], options: MergeOptions) -> None:
    for name in options.tables:
        if name.lower() not in found:
            raise missing_table(name)


def _single(
    target: Source | None, sources: Sequence[Source], out: Path, options: MergeOptions
) -> Matched:
    ours = (str(target.path), _only(target, out, options)) if target else None
    others = [(str(s.path), _only(s, out, options)) for s in sources]
    return Matched(out.stem, ours, others)


def _only(source: Source, out: Path, options: MergeOptions) -> Table:
    tables = _wanted(source, options)
    if len(tables) > 1:
        tables = [t for t in tables if (t.name or "").lower() == out.stem.lower()] or tables
    if len(tables) == 1:
        return tables[0]
    names = ", ".join(t.name or "" for t in tables) or "none"
    raise XexpError(
        f"{source.path} has not exactly one table for a parquet file: {names}",
        hint="name the table with --table",
    )


_SIGNED = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64, "HUGEINT": 128}
_UNSIGNED = {"UTINYINT": 8, "USMALLINT": 16, "UINTEGER": 32, "UBIGINT": 64, "UHUGEINT": 128}
_FLOATS = {"FLOAT": 24, "DOUBLE": 53}
_WIDE = ("HUGEINT", "UHUGEINT")
_ZONED = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS", "TIME WITH TIME ZONE")
#: Types that SQLite can store only as text; the text counts as the value if it converts back exactly.
_AS_TEXT = re.compile(r"DATE|TIME|TIMESTAMP|UUID|DECIMAL|JSON|INTERVAL")


@dataclass(frozen=True)
class Use:
    """One input's column: its position and type."""

    label: str
    relation: str
    column: str
    type: str
    kind: Kind


def null(kind: str) -> str:
    """NULL of a type, as an expression."""
    return "NULL" if kind == EMPTY else f"NULL::{kind}"


def common_type(
    session: Session, name: str, uses: Sequence[Use], options: MergeOptions, out: Kind
) -> str:
    """The type for column ``name``; raises :class:`XexpError` if every choice changes a value."""
    valued = [use for use in uses if use.type != EMPTY]
    kinds = list(dict.fromkeys(use.type for use in valued))
    if name.lower() in {column.lower() for column in options.stringify}:
        return "VARCHAR" if kinds else EMPTY
    if not kinds:
        return EMPTY
    if len(kinds) == 1:
        return kinds[0]
    if out == "sqlite" and all(use.kind == "sqlite" for use in valued):
        raise _refusal(
            name, valued, "storage classes differ", "use --engine sqlite, which keeps both"
        )
    texts = _text_twins(session, valued, kinds)
    if texts:
        return texts
    enums = all(kind.startswith("ENUM(") and kind.endswith(")") for kind in kinds)
    merged = enum_of(*kinds) if enums else None
    if merged is None:
        merged = kinds[0]
        for other in kinds[1:]:
            merged = _pair(session, name, merged, other, valued)
    return _checked(session, name, merged, valued, options, out)


def _refusal(name: str, uses: Sequence[Use], why: str, hint: str) -> XexpError:
    held = ", ".join(f"{use.type} in {use.label}" for use in uses)
    return XexpError(f"column {name} cannot be merged unchanged: {held} ({why})", hint=hint)


def enum_of(*declared: str) -> str | None:
    """The type ENUM with the values of all, of the first one first; None if they order values differently.

    ``declared``: types, or statements that create one.
    """
    lists = [re.findall(r"'(?:[^']|'')*'", kind) for kind in declared]
    later = Counter(value for values in lists for value in values[1:])
    places, found = [0] * len(lists), list[str]()
    while heads := {i: lists[i][at] for i, at in enumerate(places) if at < len(lists[i])}:
        first = next((value for value in heads.values() if not later[value]), None)
        if first is None:
            return None
        found.append(first)
        for i in [i for i, value in heads.items() if value == first]:
            places[i] += 1
            later.subtract(lists[i][places[i] : places[i] + 1])
    return f"ENUM({', '.join(found)})"


def _pair(session: Session, name: str, one: str, other: str, uses: Sequence[Use]) -> str:
    try:
        sql = f"DESCRIBE SELECT NULL::{one} AS x UNION ALL SELECT NULL::{other}"
        proposed = str(session.rows(sql)[0][1])
    except XexpError:
        proposed = "VARCHAR"
    if proposed == "VARCHAR" and not all(map(_textual, (one, other))):
        why = "text is not a number or a date"
        raise _refusal(name, uses, why, f"turn all of them into text with --stringify {name}")
    return proposed


def _textual(kind: str) -> bool:
    return kind == "VARCHAR" or kind.startswith("ENUM")


def _text_twins(session: Session, uses: Sequence[Use], kinds: Sequence[str]) -> str | None:
    """Return the richer type if SQLite merely lacks it: text dates, 0/1 booleans."""
    rich = [k for k in kinds if _AS_TEXT.match(k) or k == "BOOLEAN"]
    poor = [use for use in uses if use.type not in rich]
    if len(rich) != 1 or any(use.kind != "sqlite" for use in poor):
        return None
    wanted = "BIGINT" if rich[0] == "BOOLEAN" else "VARCHAR"
    if any(use.type != wanted for use in poor) or any(_lost(session, u, rich[0]) for u in poor):
        return None
    return rich[0]


def _checked(
    session: Session,
    name: str,
    kind: str,
    uses: Sequence[Use],
    options: MergeOptions,
    out: Kind,
) -> str:
    for choice in _choices(kind, uses, out):
        losses = {use: _lost(session, use, choice) for use in uses if use.type != choice}
        if not any(losses.values()):
            return choice
    if options.allow_lossy:
        return _lossy(session, name, kind, uses, out)
    examples = ", ".join(value for lost in losses.values() for value in lost[:3])
    raise _refusal(
        name, uses, f"{choice} would change {examples}", "accept the loss with --allow-lossy"
    )


def _choices(kind: str, uses: Sequence[Use], out: Kind) -> list[str]:
    """The proposed type, or each input's own if parquet cannot store the proposal."""
    if out == "duckdb" or kind not in _WIDE:
        return [kind]
    return list(dict.fromkeys(use.type for use in uses)) or [kind]


#: Types inside others that parquet lacks.
_NOT_IN_PARQUET = re.compile(r"\bU?HUGEINT\b|\bUNION\(|\bTIME WITH TIME ZONE\b")


def _for_parquet(
    session: Session, name: str, kind: str, uses: Sequence[Use], options: MergeOptions
) -> str:
    """The type in which parquet keeps every value of a column of this type.

    DuckDB itself writes integers of 128 bits as DOUBLE, times of a zone as those of UTC, and unions
    as structs, and says nothing. Raises XexpError where that changes a value.
    """
    valued = [use for use in uses if use.type != EMPTY]
    found = _NOT_IN_PARQUET.search(kind)
    if found is None:
        return kind
    why = f"parquet has no {found[0].removesuffix('(')}"
    if kind in _WIDE:
        for choice in ("DOUBLE", "DECIMAL(38,0)"):
            if not any(_lost(session, use, choice) for use in valued):
                return choice
    elif kind == "TIME WITH TIME ZONE":
        why = "parquet has times of day in UTC only"
        moved = " UNION ALL ".join(
            f"SELECT {quote(u.column)} AS t FROM {u.relation}" for u in valued if u.type == kind
        )
        if not session.value(f"SELECT count(*) FROM ({moved}) WHERE date_part('timezone', t) <> 0"):
            return kind
    if options.allow_lossy:
        return "DOUBLE" if kind in _WIDE else kind
    hint = (
        f"turn all of them into text with --stringify {name}, or accept the loss with --allow-lossy"
    )
    raise _refusal(name, uses, why, hint)


def _lossy(session: Session, name: str, kind: str, uses: Sequence[Use], out: Kind) -> str:
    """A type for ``--allow-lossy``: values may be rounded but not lost."""
    numeric = all(_number(use.type) for use in uses)
    wide = kind in _WIDE and out != "duckdb"
    for choice in ["DOUBLE"] if wide else [kind, "DOUBLE"] if numeric else [kind]:
        if not any(_vanishes(session, use, choice) for use in uses if use.type != choice):
            return choice
    raise _refusal(name, uses, "some values do not fit at all", f"--stringify {name}")


def _number(kind: str) -> bool:
    return kind in {**_SIGNED, **_UNSIGNED, **_FLOATS} or kind.startswith("DECIMAL")


def _vanishes(session: Session, use: Use, kind: str) -> bool:
    cell = quote(use.column)
    sql = f"SELECT count({cell}) <> count(TRY_CAST({cell} AS {kind})) FROM {use.relation}"
    return bool(session.value(sql))


def _lost(session: Session, use: Use, kind: str) -> list[str]:
    """Up to three values of ``use`` that ``kind`` would change, as text."""
    if widens(use.type, kind):
        return []
    cell = quote(use.column)
    if (use.type in _ZONED) != (kind in _ZONED) and use.type != "VARCHAR":
        where = f"{cell} IS NOT NULL"
    else:
        back = f"TRY_CAST(TRY_CAST({cell} AS {kind}) AS {use.type})"
        where = f"{back} IS DISTINCT FROM {cell}"
    rows = session.rows(f"SELECT {cell}::VARCHAR FROM {use.relation} WHERE {where} LIMIT 3")
    return [str(row[0]) for row in rows]


def widens(one: str, other: str) -> bool:
    """Whether every value of type ``one`` is also one of type ``other``."""
    if one in _SIGNED and other in _SIGNED:
        return _SIGNED[one] <= _SIGNED[other]
    if one in _UNSIGNED and other in _UNSIGNED:
        return _UNSIGNED[one] <= _UNSIGNED[other]
    if one in _UNSIGNED and other in _SIGNED:
        return _UNSIGNED[one] < _SIGNED[other]
    if other in _FLOATS:
        bits = _FLOATS.get(one) or _SIGNED.get(one) or _UNSIGNED.get(one) or 999
        return bits <= _FLOATS[other]
    a, b = _decimal(one), _decimal(other)
    if a and b:
        return a[1] <= b[1] and a[0] - a[1] <= b[0] - b[1]
    return one.startswith("ENUM") and other == "VARCHAR"


def _decimal(kind: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind)
    return (int(found[1]), int(found[2])) if found else None


#: The name of the row number column in every aligned query.
ROW = "xexp_row"


@dataclass(frozen=True)
class Side:
    """One input's version of a table. ``query`` gives the aligned columns and ``xexp_row``."""

    label: str
    table: Table
    query: str
    has: frozenset[str]  #: the aligned columns that this input has itself


@dataclass(frozen=True)
class Aligned:
    """One table in all inputs that have it. ``ours`` is None if the target lacks the table."""

    name: str
    columns: Mapping[str, str]
    ours: Side | None
    others: tuple[Side, ...]
    added: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    similar: tuple[SimilarColumn, ...] = ()
    dropped: tuple[str, ...] = ()  #: columns that ours has and the result lacks

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.columns)

    def cells(self, key: Sequence[str]) -> list[str]:
        """The columns that are not in the key."""
        return [name for name in self.columns if name not in key]


def align(
    session: Session,
    name: str,
    ours: tuple[str, Table] | None,
    others: Sequence[tuple[str, Table]],
    options: MergeOptions,
    out: Kind,
) -> Aligned:
    """Match columns without regard to case and find a type for each that changes no value.

    Raises :class:`XexpError` if there is no such type and the options do not accept the loss.
    """
    ours, others = _with_generated(session, name, ours, others, options, out)
    inputs = ([ours] if ours else []) + list(others)
    spelled: dict[str, str] = {}
    offered: list[list[str]] = []
    uses: dict[str, list[tuple[int, Use]]] = {}
    for index, (label, table) in enumerate(inputs):
        mine = index == 0 and ours is not None
        rename = {} if mine else renamed(name, table.columns, options.rename, label)
        offered.append([rename.get(fold(column), column) for column in table.columns])
        for column, kind in table.columns.items():
            shown = rename.get(fold(column), column)
            key = shown.lower()
            spelled.setdefault(key, shown)
            use = Use(label, table.relation, column, kind, table.kind)
            held = uses.setdefault(key, [])
            if any(i == index for i, _ in held):
                raise XexpError(
                    f"{label}: two columns of {name} would both be called {shown}",
                    "rename one of them",
                )
            held.append((index, use))
    columns = {
        spelled[key]: common_type(session, spelled[key], [u for _, u in held], options, out)
        for key, held in uses.items()
    }
    if out == "parquet":
        columns = {
            name: _for_parquet(session, name, kind, [u for _, u in uses[name.lower()]], options)
            for name, kind in columns.items()
        }
    sides = [
        _side(label, table, index, columns, uses) for index, (label, table) in enumerate(inputs)
    ]
    first = sides.pop(0) if ours else None
    similar = tuple(similar_columns(name, offered[0], offered[1:]))
    return Aligned(name, columns, first, tuple(sides), *_changes(first, columns), similar)


def _with_generated(
    session: Session,
    name: str,
    ours: tuple[str, Table] | None,
    others: Sequence[tuple[str, Table]],
    options: MergeOptions,
    out: Kind,
) -> tuple[tuple[str, Table] | None, list[tuple[str, Table]]]:
    """The inputs with the columns that they compute and the result stores, without the others.

    The result computes what its declaration says, that of the first input. Raises XexpError if
    another one has values in such a column.
    """
    owner = (ours or others[0])[1]
    computed = {fold(c): c for c in owner.generated} if owner.kind == out else {}

    def shown(item: tuple[str, Table], mine: bool) -> tuple[str, Table]:
        label, table = item
        new = {} if mine else renamed(name, table.columns, options.rename, label)
        columns = {**table.columns}
        for column in table.columns:
            known = computed.get(fold(new.get(fold(column), column)))
            if known is None:
                continue
            if session.value(f"SELECT count({quote(column)}) FROM {table.relation}"):
                raise stored_elsewhere(name, known, label)
            del columns[column]
        more = {c: t for c, t in table.generated.items() if fold(c) not in computed}
        if more and table.kind == "duckdb":
            table = _with_values(session, table, list(more))
        return label, replace(table, columns=columns | more)

    return shown(ours, True) if ours else None, [shown(item, False) for item in others]


def _with_values(session: Session, table: Table, columns: Sequence[str]) -> Table:
    """The table with the values of computed columns, by the macros of its own file."""
    names = ", ".join(map(quote, (*table.columns, *columns)))
    held = session.name("computed")
    with session.within(table.relation.split(".")[0]):
        session.rows(
            f"CREATE TEMP TABLE {held} AS SELECT {names}, {table.row} AS {ROW} FROM {table.relation}"
        )
    return replace(table, relation=held, row=ROW)


def _side(
    label: str,
    table: Table,
    index: int,
    columns: Mapping[str, str],
    uses: Mapping[str, list[tuple[int, Use]]],
) -> Side:
    parts = []
    has = set()
    for column, kind in columns.items():
        use = next((u for i, u in uses[column.lower()] if i == index), None)
        if use is None or use.type == EMPTY:
            cell = null(kind)
        elif use.type == kind:
            cell = quote(use.column)
        else:
            cell = f"CAST({quote(use.column)} AS {kind})"
        if use is not None:
            has.add(column)
        parts.append(f"{cell} AS {quote(column)}")
    query = f"SELECT {', '.join([*parts, f'{table.row} AS {ROW}'])} FROM {table.relation}"
    return Side(label, table, query, frozenset(has))


def _changes(
    ours: Side | None, columns: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns added to ours, and those whose type changes."""
    if ours is None:
        return (), ()
    added = tuple(column for column in columns if column not in ours.has)
    before = {column.lower(): kind for column, kind in ours.table.columns.items()}
    widened = tuple(
        f"{column}: {before[column.lower()]} -> {kind}"
        for column, kind in columns.items()
        if column in ours.has and before[column.lower()] not in (kind, EMPTY)
    )
    return added, widened
