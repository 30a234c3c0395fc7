"""What a parquet file's footer tells beside its rows, and what of it a rewrite cannot keep."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gitxexp.merge.duck.align import Aligned
from gitxexp.merge.duck.arrow import Part, schema_for
from gitxexp.merge.duck.opened import Source
from gitxexp.merge.duck.session import Session, text

#: The metadata key under which Arrow's writers leave their schema.
ARROW = "ARROW:schema"

#: DuckDB's own number of rows in a row group, a floor where a file has only one group.
ROWS = 122_880


@dataclass(frozen=True)
class Manner:
    """How a parquet file was written."""

    codec: str = "SNAPPY"
    rows: int = ROWS
    dictionary: bool = True
    bloom: bool = False
    groups: int = 0  #: row groups that the file has
    metadata: tuple[tuple[str, bytes], ...] = ()


def manner_of(session: Session, source: Source) -> Manner:
    """Read it from the footer; the codec is the one that most bytes have."""
    link = source.alias
    codecs = session.rows(
        f"SELECT compression, sum(total_compressed_size) FROM parquet_metadata({link}) "
        "GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    groups, rows, dictionary, bloom = session.rows(
        "SELECT count(DISTINCT row_group_id), max(row_group_num_rows), "
        "bool_or(encodings LIKE '%DICTIONARY%'), bool_or(bloom_filter_offset IS NOT NULL) "
        f"FROM parquet_metadata({link})"
    )[0]
    return Manner(
        codecs[0][0] if codecs else "SNAPPY",
        rows if groups and groups > 1 else max(rows or 0, ROWS),
        dictionary is not False,
        bool(bloom),
        groups or 0,
        _metadata(session, source),
    )


def _metadata(session: Session, source: Source) -> tuple[tuple[str, bytes], ...]:
    pairs = session.rows(f"SELECT key, value FROM parquet_kv_metadata({source.alias})")
    return tuple((bytes(key).decode("utf-8", "replace"), bytes(value)) for key, value in pairs)


def arrow_schema(
    session: Session, files: Sequence[Source], manner: Manner, table: Aligned
) -> bytes | None:
    """The Arrow schema for a file with the table's columns, if the first of the files has one.

    It stays as it is where the columns do; None also where it cannot be extended.
    """
    mine = dict(manner.metadata).get(ARROW)
    if mine is None:
        return None
    first = files[0].tables[0].columns
    sides = [*table.others, *([table.ours] if table.ours else [])]
    absent = {name for name in table.columns if any(name not in side.has for side in sides)}
    if not absent and list(first.items()) == list(table.columns.items()):
        return mine
    parts = [Part(mine, first)]
    for source in files[1:] if set(table.columns) - set(first) else ():
        value = dict(_metadata(session, source)).get(ARROW)
        if value is not None:
            parts.append(Part(value, source.tables[0].columns))
    return schema_for(table.columns, parts, absent)


def stored_otherwise(session: Session, source: Source, written: Path) -> tuple[str, ...]:
    """A note for each column whose values are the same but which is stored as another type."""
    before = _stored(session, source.alias)
    after = _stored(session, text(session.link(written, ".parquet")))
    return tuple(
        f"column {name}: {kind} can only be written as {after[name] or 'a wider type'}; "
        "every value is the same"
        for name, kind in before.items()
        if kind and name in after and after[name] != kind
    )


def _stored(session: Session, link: str) -> dict[str, str]:
    """Top-level column → in words, how the first of its parts of a rare type is stored, or ""."""
    rows = session.rows(
        "SELECT name, type, type_length, coalesce(logical_type, ''), coalesce(converted_type, ''), "
        f"num_children FROM parquet_schema({link})"
    )
    found: dict[str, str] = {}
    inside, name = 0, ""
    for column, physical, length, logical, converted, children in rows[1:]:
        if not inside:
            name, inside = column, 1
            found[name] = ""
        inside += (children or 0) - 1
        found[name] = found[name] or _rare(physical or "", length, f"{logical} {converted}")
    return found


#: As DuckDB shows logical types (``MILLIS=MilliSeconds()``) and the older converted ones.
_STAMP = re.compile(r"(Timestamp|Time)(?:Type\(.*=|_)(Milli|Micro|Nano)", re.IGNORECASE)


def _rare(physical: str, length: str | None, logical: str) -> str:
    stamp = _STAMP.search(logical)
    if stamp:
        return f"{stamp[1].lower()} in {stamp[2].lower()}seconds"
    if physical == "INT96":
        return "timestamp of 96 bits"
    if "FLOAT16" in logical.upper():
        return "float of 16 bits"
    if physical == "FLOAT":
        return "float of 32 bits"
    if physical == "FIXED_LEN_BYTE_ARRAY" and not logical.strip():
        return f"binary of {length} bytes"
    return "binary of any length" if physical == "BYTE_ARRAY" and not logical.strip() else ""
