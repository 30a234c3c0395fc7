"""Which table of which input belongs to which table of the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gitxexp.common.errors import XexpError
from gitxexp.common.files import Kind
from gitxexp.tables.duckdb.session import Source, Table
from gitxexp.tables.plan import MergeOptions


@dataclass
class Matched:
    """One table of the result with its inputs, in order."""

    name: str
    ours: tuple[str, Table] | None
    others: list[tuple[str, Table]]


def match_tables(
    target: Source | None, sources: Sequence[Source], out: Path, kind: Kind, options: MergeOptions
) -> list[Matched]:
    """The tables of the result, the target's first.

    A parquet file's one table is the result's only table, or the one named like the file. Raises
    :class:`XexpError` where that is not clear and for a table that no input has.
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
            raise XexpError(f"no input has a table called {name}")


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
