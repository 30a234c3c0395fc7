"""Write a parquet file of plain Python values without another library.

Columns hold numbers, truth values, texts or blobs, each of one kind, with NULLs. Each column has one
uncompressed page per row group; repeated texts are stored in a dictionary. The format is that of
github.com/apache/parquet-format (Encodings.md, src/main/thrift/parquet.thrift), its metadata in
Thrift's compact protocol (github.com/apache/thrift, doc/specs/thrift-compact-protocol.md).
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

#: The kind of each type of value.
KINDS: dict[type, str] = {bool: "bool", int: "integer", float: "real", str: "text", bytes: "blob"}

#: A kind's physical type (parquet.thrift, Type).
_PHYSICAL = {"bool": 0, "integer": 2, "real": 5, "text": 6, "blob": 6}
_PLAIN, _RLE, _DICTIONARY = 0, 3, 8  #: parquet.thrift, Encoding
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2

#: The encoded lengths of short texts.
_LENGTHS = [length.to_bytes(4, "little") for length in range(1024)]
_DIGITS = bytes.maketrans(b"\0\1", b"01")


class MixedColumn(Exception):
    """A column has values of more than one kind."""


class _Chunk(NamedTuple):
    """One column of one group of rows: where its pages begin, 0 for no dictionary."""

    values: int
    size: int
    data: int
    dictionary: int


class _Group(NamedTuple):
    rows: int
    chunks: Sequence[_Chunk]


class ParquetWriter:
    """A parquet file writer; the file is valid once closed."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._names = names
        self._kinds: dict[str, str] = {}
        self._groups: list[_Group] = []
        self._file = path.open("wb")
        self._file.write(b"PAR1")

    @property
    def kinds(self) -> Mapping[str, str]:
        """The kind of each column that has had a value."""
        return self._kinds

    def add(self, columns: Sequence[Sequence[Any]]) -> None:
        """Write a group of rows, given column by column.

        Raises MixedColumn, and OverflowError for an integer of more than 64 bits.
        """
        chunks = []
        for name, values in zip(self._names, columns, strict=True):
            types = set(map(type, values))
            nulls = type(None) in types
            types.discard(type(None))
            kind = KINDS[types.pop()] if types else ""
            if types or (kind and self._kinds.setdefault(name, kind) != kind):
                raise MixedColumn(name)
            chunks.append(self._chunk(kind, values, nulls))
        self._groups.append(_Group(len(columns[0]), chunks))

    def _chunk(self, kind: str, values: Sequence[Any], nulls: bool) -> _Chunk:
        start, dictionary = self._file.tell(), 0
        present = [value for value in values if value is not None] if nulls else values
        encoding, body = _PLAIN, b""
        if kind in ("text", "blob"):
            distinct = dict.fromkeys(present)
            if 2 * len(distinct) <= len(present):
                dictionary, encoding = start, _DICTIONARY
                head = _struct((1, _i32(len(distinct))), (2, _i32(_PLAIN)))
                self._page(_DICTIONARY_PAGE, 7, head, _texts(distinct, kind))
                body = _codes(distinct, present)
            else:
                body = _texts(present, kind)
        elif kind:
            body = _numbers(kind, present)
        data = self._file.tell()
        head = _struct(
            (1, _i32(len(values))), (2, _i32(encoding)), (3, _i32(_RLE)), (4, _i32(_RLE))
        )
        self._page(_DATA_PAGE, 5, head, _levels(values, nulls) + body)
        return _Chunk(len(values), self._file.tell() - start, data, dictionary)

    def _page(self, kind: int, field: int, head: _Value, body: bytes) -> None:
        sizes = (2, _i32(len(body))), (3, _i32(len(body)))
        self._file.write(_struct((1, _i32(kind)), *sizes, (field, head)).data)
        self._file.write(body)

    def close(self, otherwise: Mapping[str, str]) -> None:
        """Write the footer. ``otherwise`` is the kind of a column without any value."""
        kinds = {name: self._kinds.get(name) or otherwise[name] for name in self._names}
        root = _struct((4, _text("schema")), (5, _i32(len(kinds))))
        leaves = [_leaf(name, kind) for name, kind in kinds.items()]
        footer = _struct(
            (1, _i32(1)),
            (2, _list([root, *leaves])),
            (3, _i64(sum(group.rows for group in self._groups))),
            (4, _list([_row_group(group, kinds) for group in self._groups])),
            (6, _text("git-xexp")),
        ).data
        self._file.write(footer + len(footer).to_bytes(4, "little") + b"PAR1")
        self._file.close()

    def abandon(self) -> None:
        """Close the incomplete file, which is not readable."""
        self._file.close()


# -- values --------------------------------------------------------------------------------------


def _numbers(kind: str, present: Sequence[Any]) -> bytes:
    if kind == "bool":
        return _bitmap(bytes(present))
    numbers = array("q" if kind == "integer" else "d", present)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _texts(present: Iterable[Any], kind: str) -> bytes:
    """Encode values, each preceded by its length."""
    encoded = [value.encode() for value in present] if kind == "text" else list(present)
    lengths = list(map(len, encoded))
    if max(lengths, default=0) < len(_LENGTHS):
        heads = list(map(_LENGTHS.__getitem__, lengths))
    else:
        heads = [length.to_bytes(4, "little") for length in lengths]
    return b"".join(chain.from_iterable(zip(heads, encoded, strict=True)))


def _codes(distinct: Iterable[Any], present: Sequence[Any]) -> bytes:
    """The number of each value in the dictionary: one run of whole bytes (Encodings.md, RLE)."""
    places = {value: number for number, value in enumerate(distinct)}
    form, width = (
        ("B", 8) if len(places) <= 256 else ("H", 16) if len(places) <= 65536 else ("I", 32)
    )
    codes = array(form, map(places.__getitem__, present))
    codes.extend([0] * (-len(codes) % 8))
    if sys.byteorder == "big":
        codes.byteswap()
    return bytes([width]) + _varint(len(codes) // 8 << 1 | 1) + codes.tobytes()


def _levels(values: Sequence[Any], nulls: bool) -> bytes:
    """Encode which values are present: one run, all ones if none is NULL (Encodings.md, RLE)."""
    if nulls:
        bits = _bitmap(bytes([value is not None for value in values]))
        run = _varint(len(bits) << 1 | 1) + bits
    else:
        run = _varint(len(values) << 1) + b"\1"
    return len(run).to_bytes(4, "little") + run


def _bitmap(flags: bytes) -> bytes:
    """Bytes of 0 and 1 as bits, the first one lowest."""
    if not flags:
        return b""
    number = int(flags[::-1].translate(_DIGITS), 2)
    return number.to_bytes((len(flags) + 7) // 8, "little")


# -- metadata ------------------------------------------------------------------------------------


class _Value(NamedTuple):
    """An encoded value and the number of its type in Thrift's compact protocol."""

    type: int
    data: bytes


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _i32(number: int) -> _Value:
    return _Value(5, _varint(number << 1))


def _i64(number: int) -> _Value:
    return _Value(6, _varint(number << 1))


def _text(text: str) -> _Value:
    data = text.encode()
    return _Value(8, _varint(len(data)) + data)


def _list(values: Sequence[_Value]) -> _Value:
    kind = values[0].type if values else 12
    head = (
        bytes([len(values) << 4 | kind])
        if len(values) < 15
        else bytes([240 | kind]) + _varint(len(values))
    )
    return _Value(9, head + b"".join(value.data for value in values))


def _struct(*fields: tuple[int, _Value]) -> _Value:
    out, last = bytearray(), 0
    for number, value in fields:  # in order, with gaps of at most 15
        out.append(number - last << 4 | value.type)
        out += value.data
        last = number
    return _Value(12, bytes(out) + b"\0")


def _leaf(name: str, kind: str) -> _Value:
    """A SchemaElement; ConvertedType 0 is UTF8, repetition 1 OPTIONAL."""
    utf8 = [(6, _i32(0))] if kind == "text" else []
    return _struct((1, _i32(_PHYSICAL[kind])), (3, _i32(1)), (4, _text(name)), *utf8)


def _row_group(group: _Group, kinds: Mapping[str, str]) -> _Value:
    columns = [
        _struct((2, _i64(chunk.data)), (3, _column(chunk, name, kind)))
        for chunk, (name, kind) in zip(group.chunks, kinds.items(), strict=True)
    ]
    size = sum(chunk.size for chunk in group.chunks)
    return _struct((1, _list(columns)), (2, _i64(size)), (3, _i64(group.rows)))


def _column(chunk: _Chunk, name: str, kind: str) -> _Value:
    encodings = [_i32(each) for each in (_PLAIN, _RLE, _DICTIONARY)]
    dictionary = [(11, _i64(chunk.dictionary))] if chunk.dictionary else []
    return _struct(
        (1, _i32(_PHYSICAL[kind])),
        (2, _list(encodings)),
        (3, _list([_text(name)])),
        (4, _i32(0)),
        (5, _i64(chunk.values)),
        (6, _i64(chunk.size)),
        (7, _i64(chunk.size)),
        (9, _i64(chunk.data)),
        *dictionary,
    )
