"""The Arrow schema that writers leave in a parquet file's metadata, for other columns than it had.

Readers take from it what parquet itself cannot say: categories, durations, names of time zones.
It is base64 of an encapsulated IPC message (Arrow columnar format, "Encapsulated message format";
tables and slots from Arrow's Schema.fbs and Message.fbs), a FlatBuffer whose references only point
forward. So a new head is put before the old buffers, and the old fields stay where they are.

Just enough of FlatBuffers to read tables and to write new ones before old buffers.

Source: FlatBuffers' "Internals": little endian; a table begins with the distance back to its vtable
(size of vtable, size of table, place of each slot or 0); references are distances forward.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

_MARK = b"\xff\xff\xff\xff"

#: Slots of the tables, in the order of their declaration.
_VERSION, _HEADER_TYPE, _HEADER, _BODY = range(4)
_ENDIANNESS, _FIELDS, _SCHEMA_METADATA = range(3)
_NAME, _NULLABLE, _TYPE_TYPE, _TYPE, _DICTIONARY, _CHILDREN = range(6)

_FIXED_SIZE_LIST = 16  #: its number in the union Type

#: DuckDB's type → number in the union Type, and the slots of its table.
_SIMPLE: dict[str, tuple[int, tuple[int, ...]]] = {
    **{
        f"{'' if signed else 'U'}{name}": (2, (bits, signed))
        for name, bits in (("TINYINT", 8), ("SMALLINT", 16), ("INTEGER", 32), ("BIGINT", 64))
        for signed in (0, 1)
    },
    "FLOAT": (3, (1,)),
    "DOUBLE": (3, (2,)),
    "BLOB": (4, ()),
    "VARCHAR": (5, ()),
    "BOOLEAN": (6, ()),
    "DATE": (8, (0,)),
    "TIMESTAMP": (10, (2,)),
    "TIMESTAMP_NS": (10, (3,)),
}


@dataclass(frozen=True)
class Part:
    """The schema of one input and the DuckDB types of its columns."""

    value: bytes  #: as it is in the metadata
    columns: Mapping[str, str]


def schema_for(
    columns: Mapping[str, str], parts: Sequence[Part], absent: Collection[str]
) -> bytes | None:
    """The schema of a file with these ``columns`` (names and DuckDB types), in this order.

    Each field is that of the first part that has the column with this type, else a plain one.
    None where a part is not understood, where a column has no plain field, and where one of the
    ``absent`` (which get NULLs) has lists of a fixed size: pyarrow cannot read a NULL there.
    """
    try:
        opened = [_Schema(part) for part in parts]
        picked = [_pick(name, kind, opened) for name, kind in columns.items()]
        for name, number in zip(columns, picked, strict=True):
            if number is not None and name in absent and opened[number].fixed(name):
                return None
        if len(parts) == 1 and list(columns.items()) == list(parts[0].columns.items()):
            return parts[0].value
        return _assembled(columns, opened, picked)
    except (ValueError, KeyError, struct.error, binascii.Error):
        return None


class _Schema:
    def __init__(self, part: Part) -> None:
        raw = base64.b64decode(part.value)
        if not raw.startswith(_MARK):
            raise ValueError("not an encapsulated message")
        size = struct.unpack_from("<i", raw, 4)[0]
        self.buffer = Reader(raw[8 : 8 + size])
        self.types = part.columns
        self.message = self.buffer.follow(0)
        self.schema = self.buffer.child(self.message, _HEADER)
        found = self.buffer.vector(self.buffer.child(self.schema, _FIELDS))
        self.fields = {self.buffer.text(self.buffer.child(at, _NAME)): at for at in found}

    def plain(self, name: str) -> bool:
        """Numbers of dictionaries are unique in one schema only."""
        return not self.buffer.slot(self.fields[name], _DICTIONARY)

    def fixed(self, name: str) -> bool:
        """Whether there is a list of a fixed size in the column."""
        return self._any_fixed(self.fields[name])

    def _any_fixed(self, field: int) -> bool:
        if self.buffer.number("<B", field, _TYPE_TYPE) == _FIXED_SIZE_LIST:
            return True
        held = self.buffer.slot(field, _CHILDREN)
        children = self.buffer.vector(self.buffer.follow(held)) if held else []
        return any(map(self._any_fixed, children))


def _pick(name: str, kind: str, parts: Sequence[_Schema]) -> int | None:
    """The number of the part whose field it is; None for a new plain one."""
    for number, part in enumerate(parts):
        has = name in part.fields and part.types.get(name) == kind
        if has and (number == 0 or part.plain(name)):
            return number
    return None


def _assembled(
    columns: Mapping[str, str], parts: Sequence[_Schema], picked: Sequence[int | None]
) -> bytes:
    first = parts[0]
    version = first.buffer.number("<h", first.message, _VERSION)
    head = Writer()
    root = head.reference()
    head.point(root)
    message = head.table({_VERSION: version, _HEADER_TYPE: 1, _HEADER: None, _BODY: 0})
    head.point(message[_HEADER])
    metadata = first.buffer.slot(first.schema, _SCHEMA_METADATA)
    slots: dict[int, int | None] = {_ENDIANNESS: 0, _FIELDS: None}
    if metadata:
        slots[_SCHEMA_METADATA] = None
    schema = head.table(slots)
    head.point(schema[_FIELDS])
    places = head.vector(len(columns))
    for (name, kind), part, place in zip(columns.items(), picked, places, strict=True):
        if part is None:
            head.point(place)
            _field(head, name, kind)
    starts = _starts(head, parts)
    for name, part, place in zip(columns, picked, places, strict=True):
        if part is not None:
            head.aim(place, starts[part] + parts[part].fields[name])
    if metadata:
        head.aim(schema[_SCHEMA_METADATA], starts[0] + first.buffer.follow(metadata))
    body = head.joined([part.buffer.raw for part in parts])
    return base64.b64encode(_MARK + struct.pack("<i", len(body)) + body)


def _starts(head: Writer, parts: Sequence[_Schema]) -> list[int]:
    """Where each part's buffer will lie, all on multiples of 8."""
    at = head.end()
    found = []
    for part in parts:
        found.append(at)
        at += -(-len(part.buffer.raw) // 8) * 8
    return found


def _field(head: Writer, name: str, kind: str) -> None:
    number, slots = _plain(kind)
    field = head.table(
        {_NAME: None, _NULLABLE: 1, _TYPE_TYPE: number, _TYPE: None, _CHILDREN: None}
    )
    head.point(field[_NAME])
    head.string(name)
    head.point(field[_TYPE])
    zoned = kind == "TIMESTAMP WITH TIME ZONE"
    table = head.table({**dict(enumerate(slots)), **({1: None} if zoned else {})})
    if zoned:
        head.point(table[1])
        head.string("UTC")
    head.point(field[_CHILDREN])
    head.vector(0)


def _plain(kind: str) -> tuple[int, tuple[int, ...]]:
    """Raises KeyError for a type without a plain field."""
    decimal = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind)
    if decimal:
        return 7, (int(decimal[1]), int(decimal[2]))
    if kind == "TIMESTAMP WITH TIME ZONE":
        return 10, (2,)
    return _SIMPLE[kind]


#: Every slot is written this wide, so that any scalar is aligned.
_WIDE = 8


class Reader:
    """A finished buffer; positions are bytes from its start. Raises ``struct.error`` beyond it."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def follow(self, at: int) -> int:
        """Where the reference at ``at`` points."""
        return at + int(struct.unpack_from("<I", self.raw, at)[0])

    def slot(self, table: int, number: int) -> int:
        """Where the slot of a table is, 0 if it is absent."""
        vtable = table - int(struct.unpack_from("<i", self.raw, table)[0])
        size = int(struct.unpack_from("<H", self.raw, vtable)[0])
        if 4 + 2 * number >= size:
            return 0
        place = int(struct.unpack_from("<H", self.raw, vtable + 4 + 2 * number)[0])
        return table + place if place else 0

    def child(self, table: int, number: int) -> int:
        """Where the table, vector or string of a slot is; raises ValueError if it is absent."""
        at = self.slot(table, number)
        if not at:
            raise ValueError(f"slot {number} is absent")
        return self.follow(at)

    def number(self, form: str, table: int, slot: int) -> int:
        """A scalar, 0 if it is absent."""
        at = self.slot(table, slot)
        return int(struct.unpack_from(form, self.raw, at)[0]) if at else 0

    def vector(self, at: int) -> list[int]:
        """Where the items of a vector of tables are."""
        count = int(struct.unpack_from("<I", self.raw, at)[0])
        return [self.follow(at + 4 + 4 * i) for i in range(count)]

    def text(self, at: int) -> str:
        """A string; raises ValueError if it is not UTF-8."""
        size = int(struct.unpack_from("<I", self.raw, at)[0])
        return self.raw[at + 4 : at + 4 + size].decode("utf-8")


class Writer:
    """A buffer that grows at its end; references are given out first and set when their aim is."""

    def __init__(self) -> None:
        self._raw = bytearray()

    def end(self) -> int:
        """The next free place, a multiple of 8."""
        self._raw += bytes(-len(self._raw) % 8)
        return len(self._raw)

    def reference(self) -> int:
        """Room for a reference; gives its place."""
        at = self.end()
        self._raw += bytes(4)
        return at

    def aim(self, reference: int, at: int) -> None:
        """Let a reference point to ``at``."""
        struct.pack_into("<I", self._raw, reference, at - reference)

    def point(self, reference: int) -> None:
        """Let a reference point to what is written next."""
        if self._pending is not None:
            raise ValueError("two references wait for one place")
        self._pending = reference

    _pending: int | None = None

    def _arrive(self) -> int:
        at = self.end()
        if self._pending is not None:
            self.aim(self._pending, at)
        self._pending = None
        return at

    def table(self, slots: Mapping[int, int | None]) -> dict[int, int]:
        """Write a table of small non-negative numbers and (None) references; gives their places."""
        count = max(slots, default=-1) + 1
        places = {slot: _WIDE * (i + 1) for i, slot in enumerate(slots)}
        self.end()
        vtable = len(self._raw)
        size = _WIDE * (len(slots) + 1)
        self._raw += struct.pack("<HH", 4 + 2 * count, size)
        self._raw += b"".join(struct.pack("<H", places.get(i, 0)) for i in range(count))
        table = self._arrive()
        self._raw += struct.pack("<iI", table - vtable, 0)
        self._raw += b"".join(struct.pack("<Q", value or 0) for value in slots.values())
        return {slot: table + place for slot, place in places.items()}

    def vector(self, count: int) -> list[int]:
        """Write a vector of so many references; gives their places."""
        at = self._arrive()
        self._raw += struct.pack("<I", count) + bytes(4 * count)
        return [at + 4 + 4 * i for i in range(count)]

    def string(self, value: str) -> None:
        """Write a string."""
        self._arrive()
        raw = value.encode()
        self._raw += struct.pack("<I", len(raw)) + raw + b"\0"

    def joined(self, others: Sequence[bytes]) -> bytes:
        """The whole, followed by other buffers, each padded to a multiple of 8."""
        self.end()
        for other in others:
            self._raw += other
            self.end()
        return bytes(self._raw)
