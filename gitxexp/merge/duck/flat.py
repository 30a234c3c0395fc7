"""Just enough of FlatBuffers to read tables and to write new ones before old buffers.

Source: FlatBuffers' "Internals": little endian; a table begins with the distance back to its vtable
(size of vtable, size of table, place of each slot or 0); references are distances forward.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

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
