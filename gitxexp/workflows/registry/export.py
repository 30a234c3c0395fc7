"""``registry export``: export entries as documents or as table rows."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gitxexp.common.errors import XexpError
from gitxexp.common.files import output_file
from gitxexp.common.sql import literal
from gitxexp.common.text import visible
from gitxexp.repository.config_hash import flatten
from gitxexp.repository.configuration import dumped
from gitxexp.workflows.registry.configurations import RegistryConfig


def text_of(entries: Sequence[RegistryConfig], form: str, *, full: bool = False) -> str:
    """Entries as ``json``, ``toml``, ``csv`` or ``ndjson``. Raises XexpError for values that TOML
    lacks."""
    if form in ("json", "toml"):
        documents = [one.document(full=full) for one in entries]
        return dumped(documents, "toml" if form == "toml" else "json")
    rows = [_row(one) for one in entries]
    if form == "ndjson":
        return "".join(json.dumps(_finite(row), ensure_ascii=False) + "\n" for row in rows)
    out = io.StringIO()
    names = _names(rows)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(visible, names))
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return out.getvalue()


def to_file(
    entries: Sequence[RegistryConfig], path: Path, form: str, *, full: bool = False
) -> None:
    """Write entries to a file atomically. Raises XexpError if that fails."""
    if form == "parquet":
        from gitxexp.tables.duckdb.core import core  # late: only needed for this format

        try:
            _to_parquet([_row(one) for one in entries], path)
        except core().IOException as error:
            raise XexpError(f"cannot write {path}", "is the folder there and writable?") from error
        return
    text = text_of(entries, form, full=full)
    with output_file(path) as temporary:
        temporary.write_text(text, "utf-8")


def _row(one: RegistryConfig) -> dict[str, Any]:
    """An entry as a row: ``params_NAME`` and ``metrics_NAME`` next to its identifying columns."""
    payload, more = one.payload, dict(one.more)
    row: dict[str, Any] = {
        "version": one.version or None,
        "config_hash": one.config_hash,
        "date": more.get("date"),
        "run": payload.run or None if payload else None,
        "git_commit": more.get("commit"),
        "labels": ", ".join(one.config.labels) or None,
        "description": one.config.description or None,
    }
    row |= {f"params_{name}": value for name, value in flatten(one.config.params).items()}
    return row | {f"metrics_{name}": value for name, value in one.metrics.items()}


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """The row with null for the numbers that JSON does not have (RFC 8259, section 6)."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }


def _names(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


def _to_parquet(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Columns have the common type of their values, else text."""
    from gitxexp.tables.duckdb.core import core  # late: only needed for this format

    names = _names(rows)
    if not names:
        raise XexpError("there is nothing to export", "parquet files have columns")
    kinds = {name: _kind([row.get(name) for row in rows]) for name in names}
    columns = ", ".join(f'"{name.replace(chr(34), chr(34) * 2)}" {kinds[name]}' for name in names)
    with output_file(path) as temporary, core().connect(":memory:") as db:
        db.execute(f"CREATE TABLE experiments ({columns})")
        marks = ", ".join("?" * len(names))
        values = [
            [
                _cell(v) if kinds[n] == "VARCHAR" and v is not None else v
                for n in names
                for v in [row.get(n)]
            ]
            for row in rows
        ]
        db.executemany(f"INSERT INTO experiments VALUES ({marks})", values)
        db.execute(f"COPY experiments TO {literal(str(temporary))} (FORMAT parquet)")


def _kind(values: Sequence[Any]) -> str:
    found = {type(value) for value in values if value is not None}
    if found == {bool}:
        return "BOOLEAN"
    if any(type(value) is int and not -(2**63) <= value < 2**63 for value in values):
        return "VARCHAR"  # a DOUBLE cannot hold all its digits
    if found == {int}:
        return "BIGINT"
    return "DOUBLE" if found and found <= {int, float} else "VARCHAR"
