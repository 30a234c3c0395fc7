"""One parquet file, in the manner of the one it replaces: codec, row groups, metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gitxexp.merge.duck.final import final_query
from gitxexp.merge.duck.footer import ARROW, Manner
from gitxexp.merge.duck.outcome import Outcome
from gitxexp.merge.duck.rows import count
from gitxexp.merge.duck.session import Session, quote, text
from gitxexp.merge.duck.types import EMPTY

#: Up to this many rows a single writer is quick enough.
SMALL = 500_000

#: What pandas calls DuckDB's types (pandas developer guide, "Storing pandas DataFrame objects").
_PANDAS = {
    "BIGINT": ("int64", "int64"),
    "INTEGER": ("int32", "int32"),
    "DOUBLE": ("float64", "float64"),
    "FLOAT": ("float32", "float32"),
    "BOOLEAN": ("bool", "bool"),
    "VARCHAR": ("unicode", "object"),
    "BLOB": ("bytes", "object"),
}


def write_parquet(
    session: Session, outcome: Outcome, manner: Manner, schema: bytes | None, temp: Path
) -> None:
    """Write ours with the outcome applied to ``temp``, rows in order, ours first.

    ``schema`` takes the place of the Arrow schema in the metadata; without one it is left out.
    """
    link = session.inside(temp)
    options = [
        "FORMAT parquet",
        f"COMPRESSION {text('lz4_raw' if manner.codec == 'LZ4' else manner.codec.lower())}",
        f"ROW_GROUP_SIZE {manner.rows}",
        f"WRITE_BLOOM_FILTER {str(manner.bloom).lower()}",
        "USE_TMP_FILE false",
    ]
    if not manner.dictionary:
        options.append("DICTIONARY_SIZE_LIMIT 1")
    gone = count(session, f"SELECT 1 FROM {outcome.drop}") if outcome.drop else 0
    rows = outcome.report.here + outcome.report.new - gone
    pairs = _metadata(outcome, manner, schema, rows)
    if pairs:
        literal = ", ".join(f"{quote(key)}: {_blob(value)}" for key, value in pairs.items())
        options.append(f"KV_METADATA {{{literal}}}")
    if _compact(outcome, manner):
        session.rows("SET threads = 1")  # only a single writer fills every row group
    query = final_query(outcome)
    session.thrifty(f"COPY ({query}) TO {text(link)} ({', '.join(options)})")


def _compact(outcome: Outcome, manner: Manner) -> bool:
    """Small files, and large ones that many merges have left with small groups at the end."""
    report = outcome.report
    needed = -(-report.here // manner.rows)
    return report.here + report.new <= SMALL or manner.groups > 4 + needed * 1.1


def _blob(value: bytes) -> str:
    return "'" + "".join(f"\\x{byte:02X}" for byte in value) + "'::BLOB"


def _metadata(
    outcome: Outcome, manner: Manner, schema: bytes | None, rows: int
) -> dict[str, bytes]:
    """Key-value metadata that is still true."""
    kept: dict[str, bytes] = {}
    for key, value in manner.metadata:
        if key.lower() in {known.lower() for known in kept}:
            continue  # DuckDB takes one spelling of a key
        if key == ARROW and schema is None:
            continue
        kept[key] = _pandas(value, outcome, rows) if key == "pandas" else value
        if key == ARROW and schema:
            kept[key] = schema
    return kept


def _pandas(value: bytes, outcome: Outcome, rows: int) -> bytes:
    """pandas metadata with the new row count and columns; unreadable metadata stays as it is."""
    try:
        found: dict[str, Any] = json.loads(value)
        names = {column["field_name"] for column in found["columns"]}
        for index in found.get("index_columns", []):
            if isinstance(index, dict) and (index.get("start"), index.get("step")) == (0, 1):
                index["stop"] = rows
        found["columns"] += [
            _column(name, kind) for name, kind in outcome.table.columns.items() if name not in names
        ]
    except (ValueError, KeyError, TypeError):
        return value
    return json.dumps(found).encode()


def _column(name: str, kind: str) -> dict[str, Any]:
    pandas, numpy = _PANDAS.get(kind, ("empty" if kind == EMPTY else "object", "object"))
    if kind.startswith("TIMESTAMP"):
        pandas, numpy = "datetime", "datetime64[us]"
    return {
        "name": name,
        "field_name": name,
        "pandas_type": pandas,
        "numpy_type": numpy,
        "metadata": None,
    }
