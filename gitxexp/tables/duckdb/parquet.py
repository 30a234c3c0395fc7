"""Write a parquet file in the style of the one it replaces: codec, row groups, metadata.

Also reads a file's footer, and determines what a rewrite cannot preserve.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.sql import literal, quote
from gitxexp.tables.duckdb.align import Aligned, null
from gitxexp.tables.duckdb.rows import TableOutcome, count, final_query
from gitxexp.tables.duckdb.session import EMPTY, Session, Source

#: Up to this many rows a single writer is fast enough.
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
    session: Session, outcome: TableOutcome, manner: Manner, schema: bytes | None, temp: Path
) -> None:
    """Write ours with the outcome applied to ``temp``, rows in order, ours first.

    ``schema`` replaces the Arrow schema in the metadata; without one it is omitted.
    """
    link = session.inside(temp)
    options = [
        "FORMAT parquet",
        f"COMPRESSION {literal('lz4_raw' if manner.codec == 'LZ4' else manner.codec.lower())}",
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
        listed = ", ".join(f"{quote(key)}: {_blob(value)}" for key, value in pairs.items())
        options.append(f"KV_METADATA {{{listed}}}")
    if _compact(outcome, manner):
        session.rows("SET threads = 1")  # only a single writer fills every row group
    query = final_query(outcome)
    loose = [c for c in outcome.table.names if c not in manner.required]
    if loose and manner.required:
        cells = ", ".join(
            f"CASE WHEN {c} IS NOT NULL THEN {c} END AS {c}" for c in map(quote, loose)
        )
        query = f"SELECT * REPLACE ({cells}) FROM ({query})"
    elif loose:
        session.rows("SET disabled_optimizers = 'statistics_propagation'")
    session.thrifty(f"COPY ({query}) TO {literal(link)} ({', '.join(options)})")
    session.rows("RESET disabled_optimizers")


def _compact(outcome: TableOutcome, manner: Manner) -> bool:
    """Small files, and large ones that many merges left with small groups at the end."""
    report = outcome.report
    needed = -(-report.here // manner.rows)
    return report.here + report.new <= SMALL or manner.groups > 4 + needed * 1.1


def _blob(value: bytes) -> str:
    return "'" + "".join(f"\\x{byte:02X}" for byte in value) + "'::BLOB"


def _metadata(
    outcome: TableOutcome, manner: Manner, schema: bytes | None, rows: int
) -> dict[str, bytes]:
    """Return the key-value metadata that still holds."""
    kept: dict[str, bytes] = {}
    for key, value in manner.metadata:
        if key.lower() in {known.lower() for known in kept}:
            continue  # DuckDB accepts one spelling of a key
        if key != ARROW:
            kept[key] = _pandas(value, outcome, rows) if key == "pandas" else value
    return kept if schema is None else {**kept, ARROW: schema}


def _pandas(value: bytes, outcome: TableOutcome, rows: int) -> bytes:
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


#: The metadata key under which Arrow's writers leave their schema.
ARROW = "ARROW:schema"

#: DuckDB's default number of rows per row group, the minimum if a file has only one group.
ROWS = 122_880


@dataclass(frozen=True)
class Manner:
    """The way a parquet file was written."""

    codec: str = "SNAPPY"
    rows: int = ROWS
    dictionary: bool = True
    bloom: bool = False
    groups: int = 0  #: row groups that the file has
    metadata: tuple[tuple[str, bytes], ...] = ()
    #: its columns that are REQUIRED: DuckDB makes that of all without NULLs, by statistics
    required: frozenset[str] = frozenset()


def manner_of(session: Session, source: Source) -> Manner:
    """Read it from the footer; the codec is the one that compresses the most bytes."""
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
        _footer_metadata(session, source),
        frozenset(rows[0][0] for rows in _columns(session, link) if rows[0][-1] == "REQUIRED"),
    )


def _footer_metadata(session: Session, source: Source) -> tuple[tuple[str, bytes], ...]:
    pairs = session.rows(f"SELECT key, value FROM parquet_kv_metadata({source.alias})")
    return tuple((bytes(key).decode("utf-8", "replace"), bytes(value)) for key, value in pairs)


class ArrowSchema(NamedTuple):
    """A schema as the metadata holds it, None for none; ``loose`` are the columns whose fixed-size
    lists become variable-size."""

    value: bytes | None = None
    loose: tuple[str, ...] = ()


def arrow_schema(
    session: Session, files: Sequence[Source], manner: Manner, table: Aligned
) -> ArrowSchema:
    """Return the Arrow schema for a file with the table's columns, if any input has one.

    It tells readers what parquet itself cannot express: categories, durations, names of time zones.
    Each column's field is that of the first file that has the column with this type. It is
    unchanged if the columns are. Fixed-size lists become variable-size in a column that gets NULLs,
    because pyarrow cannot read NULLs among fixed-size lists. None if it cannot be extended without
    pyarrow.
    """
    held = [(source, dict(_footer_metadata(session, source)).get(ARROW)) for source in files]
    mine = dict(manner.metadata).get(ARROW)
    sides = [*table.others, *([table.ours] if table.ours else [])]
    absent = {name for name in table.columns if any(name not in side.has for side in sides)}
    first = files[0].tables[0].columns if files else {}
    if mine is not None and not absent and list(first.items()) == list(table.columns.items()):
        return ArrowSchema(mine)
    schemas = [(v, source.tables[0].columns) for source, v in held if v is not None]
    return _extended(session, table, schemas, absent) if schemas else ArrowSchema()


def check_durations(session: Session, sources: Iterable[Source]) -> None:
    """Raise XexpError if a column counts time in other units in one file than in another, or in one
    alone: DuckDB reads durations as whole numbers, so values of both would become one.

    Only files with an Arrow schema say it; without pyarrow it cannot be read.
    """
    held = []
    for source in sources:
        if source.kind == "parquet":
            value = dict(_footer_metadata(session, source)).get(ARROW)
            counts = any(
                "BIGINT" in kind for table in source.tables for kind in table.columns.values()
            )
            held += [(source, value)] if value is not None and counts else []
    if len({value for _, value in held}) < 2:
        return
    try:
        import pyarrow as pa  # late: only for files by Arrow's writers that differ
    except ImportError:
        return
    seen: dict[str, tuple[Source, Any]] = {}
    for source, value in held:
        try:
            schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(value)))
        except (pa.ArrowException, OSError, ValueError):
            continue
        for field in schema:
            first, kind = seen.setdefault(field.name.lower(), (source, field.type))
            if _units(kind) != _units(field.type):
                raise XexpError(
                    f"column {field.name} is {kind} in {first.path}, but {field.type} in {source.path}",
                    hint="convert it to one unit in all files first",
                )


def _units(kind: Any) -> list[str]:
    """The units of the durations in an Arrow type."""
    if str(kind).startswith("duration["):
        return [str(kind)]
    return [unit for i in range(kind.num_fields) for unit in _units(kind.field(i).type)]


def has_arrow_schema(session: Session, files: Sequence[Source]) -> bool:
    """Whether any file has one, so that omitting it is a loss."""
    return any(key == ARROW for file in files for key, _ in _footer_metadata(session, file))


def _extended(
    session: Session,
    table: Aligned,
    schemas: Sequence[tuple[bytes, Mapping[str, str]]],
    absent: Collection[str],
) -> ArrowSchema:
    """A schema of the fields of ``schemas`` (each with the DuckDB types of its file's columns).

    Arrow columnar format, "Encapsulated message format", in base64 as parquet-cpp writes it.
    """
    try:
        import pyarrow as pa  # late: only files by Arrow's writers need it
        from pyarrow import parquet as pq
    except ImportError:
        return ArrowSchema()
    path = session.scratch / f"{session.name('plain')}.parquet"
    cells = ", ".join(f"{null(kind)} AS {quote(c)}" for c, kind in table.columns.items())
    session.rows(f"COPY (SELECT {cells}) TO {literal(str(path))} (FORMAT parquet)")
    try:
        known = [(pa.ipc.read_schema(pa.py_buffer(base64.b64decode(v))), c) for v, c in schemas]
        fields = {field.name: field for field in pq.read_schema(path)}
        loose: list[str] = []
        for name, kind in table.columns.items():
            own = (s.field(name) for s, c in known if c.get(name) == kind and name in s.names)
            field = next(own, fields[name])
            if name in absent and _fixed(field.type):
                loose.append(name)
            else:
                fields[name] = field
        joined = pa.schema([fields[name] for name in table.columns], known[0][0].metadata)
        return ArrowSchema(base64.b64encode(joined.serialize().to_pybytes()), tuple(loose))
    except (pa.ArrowException, OSError, ValueError, KeyError):
        return ArrowSchema()


def _fixed(kind: Any) -> bool:
    """Whether there is a list of a fixed size in an Arrow type."""
    inner = [kind.field(i).type for i in range(kind.num_fields)]
    return str(kind).startswith("fixed_size_list<") or any(map(_fixed, inner))


def store_as_before(files: Sequence[Source], manner: Manner, written: Path) -> bool:
    """Rewrite a file with pyarrow, so that its columns have the types that DuckDB cannot write.

    DuckDB reads half floats, binaries of a fixed size, and times in milliseconds as wider
    types; a column that all ``files`` (the only inputs) store as one such type is cast back to it,
    which is exact. Returns False, with nothing done, without pyarrow or if a cast fails.
    """
    try:
        import pyarrow as pa  # late: only for files with such columns
        from pyarrow import parquet as pq
    except ImportError:
        return False
    codec = {"UNCOMPRESSED": "none", "LZ4_RAW": "lz4"}.get(manner.codec, manner.codec.lower())
    cast = written.with_name(f"{written.name}.cast")
    try:
        made = pq.ParquetFile(written)
        schemas = [{f.name.lower(): f.type for f in pq.read_schema(file.path)} for file in files]
        schema = made.schema_arrow
        for at, field in enumerate(schema):
            types = {str(s[field.name.lower()]) for s in schemas if field.name.lower() in s}
            if len(types) == 1:
                kind = next(s[field.name.lower()] for s in schemas if field.name.lower() in s)
                if _fixed(kind) and not _fixed(field.type):
                    continue  # there are NULLs, see arrow_schema
                schema = schema.set(at, field.with_type(kind))
        with pq.ParquetWriter(
            cast, schema, compression=codec, use_dictionary=manner.dictionary
        ) as writer:
            for group in range(made.num_row_groups):
                writer.write_table(made.read_row_group(group).cast(schema), manner.rows)
        cast.replace(written)
    except (pa.ArrowException, OSError, ValueError):
        return False
    finally:
        cast.unlink(missing_ok=True)
    return True


def stored_otherwise(session: Session, sources: Sequence[Source], written: Path) -> tuple[str, ...]:
    """Return a note for each column with unchanged values but another storage type than in the
    first file that has it."""
    before: dict[str, str] = {}
    strict: dict[str, int] = {}
    for source in sources:
        before = _stored(session, source.alias) | before
        strict = _required_inside(session, source.alias) | strict
    link = literal(session.link(written, ".parquet"))
    after, left = _stored(session, link), _required_inside(session, link)
    rare = (
        f"column {name}: {kind} can only be written as {after[name] or 'a wider type'}; "
        "every value is the same"
        for name, kind in before.items()
        if kind and name in after and after[name] != kind
    )
    loose = (
        f"column {name}: values inside that must not be NULL may be now; every value is the same"
        for name, number in strict.items()
        if number > left.get(name, number)
    )
    return (*rare, *loose)


def _stored(session: Session, link: str) -> dict[str, str]:
    """Describe, by top-level column, how the first part of a rare type is stored, or ""."""
    return {
        rows[0][0]: next(filter(None, (_rare(*row[1:4]) for row in rows)), "")
        for rows in _columns(session, link)
    }


def _required_inside(session: Session, link: str) -> dict[str, int]:
    """How many parts inside each top-level column must not be NULL; the keys of maps never may."""
    return {
        rows[0][0]: sum(row[-1] == "REQUIRED" for row in rows[1:])
        for rows in _columns(session, link)
    }


def _columns(session: Session, link: str) -> list[list[tuple[Any, ...]]]:
    """The parts of each top-level column, itself first: name, physical type, length, logical type and
    REQUIRED, OPTIONAL or REPEATED."""
    rows = session.rows(
        "SELECT name, coalesce(type, ''), type_length, "
        "concat(logical_type, ' ', converted_type), num_children, repetition_type "
        f"FROM parquet_schema({link})"
    )
    columns: list[list[tuple[Any, ...]]] = []
    inside = 0
    for *part, children, repetition in rows[1:]:
        if not inside:
            inside = 1
            columns.append([])
        columns[-1].append((*part, repetition))
        inside += (children or 0) - 1
    return columns


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
