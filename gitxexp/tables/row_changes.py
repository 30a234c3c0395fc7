"""The result of comparing two files: rows added, removed and changed, table by table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from gitxexp.common.dataclass import dataclass
from gitxexp.tables.plan import Value

Row = Mapping[str, Value]
Kind = Literal["added", "removed", "changed"]
_Mark = frozenset[tuple[str, tuple[str, Value]]]


@dataclass(frozen=True)
class TableRows:
    """A whole table, read lazily. ``columns`` are names and declared types, ``names`` those of the
    cells of each row."""

    name: str
    columns: Sequence[tuple[str, str]]
    names: Sequence[str]
    rows: Iterable[Sequence[Value]]


def key_first(columns: Sequence[str], key: Sequence[str]) -> tuple[str, ...]:
    """Key columns first, the others by name."""
    return (*key, *sorted(c for c in columns if c not in key))


@dataclass(frozen=True)
class RowChange:
    """One row: ``old`` is None for an added one, ``new`` for a removed one.

    For a changed row both hold only the key and the cells that differ; a column that one side lacks
    counts as NULL there.
    """

    kind: Kind
    key: Row
    old: Row | None
    new: Row | None

    @property
    def cells(self) -> dict[str, tuple[Value, Value]]:
        """Column to (old, new) for each cell that differs."""
        old, new = self.old or {}, self.new or {}
        names = dict.fromkeys([*old, *new])
        return {
            c: (old.get(c), new.get(c))
            for c in names
            if c not in self.key and exact(old.get(c)) != exact(new.get(c))
        }


@dataclass(frozen=True)
class TableDiff:
    """One table. The counts are complete; ``rows`` has at most the requested limit."""

    name: str
    key: tuple[str, ...] = ()  #: empty: whole rows were compared, so nothing is ever "changed"
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    created: bool = False
    dropped: bool = False
    added: int = 0
    removed: int = 0
    changed: int = 0
    rows: tuple[RowChange, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether anything differs."""
        return bool(
            self.added or self.removed or self.changed or self.created or self.dropped
        ) or bool(self.columns_added or self.columns_removed)


def exact(value: Value) -> tuple[str, Value]:
    """Return a value that equals only itself: ``1`` and ``1.0`` differ, as do ``-0.0`` and ``0.0``."""
    if isinstance(value, float):
        return "float", value.hex()
    return type(value).__name__, value


class TableChanges:
    """The differences of one table, from rows ordered by key; at most ``limit`` kept."""

    def __init__(self, key: tuple[str, ...], limit: int | None) -> None:
        self.key, self.limit = key, limit
        self._counts: dict[Kind, int] = {"added": 0, "removed": 0, "changed": 0}
        self._kept: dict[Kind, list[RowChange]] = {"changed": [], "removed": [], "added": []}
        self._mark: tuple[tuple[str, Value], ...] | None = None
        self._gone: list[Row] = []
        self._come: list[Row] = []

    def add(self, row: Row, count: int) -> None:
        """A row that the new side has ``count`` times more often (or less often)."""
        if not self.key or any(row.get(c) is None for c in self.key):
            self.lone(row, count)
            return
        mark = tuple(exact(row[c]) for c in self.key)
        if mark != self._mark:
            self._settle()
            self._mark = mark
        (self._come if count > 0 else self._gone).extend([row] * abs(count))

    def lone(self, row: Row, count: int) -> None:
        """Add a row that no key pairs with another."""
        kind: Kind = "added" if count > 0 else "removed"
        room = self._room(kind, abs(count))
        if room:
            old, new = (None, row) if count > 0 else (row, None)
            self._kept[kind] += [RowChange(kind, _key(row, self.key), old, new)] * room

    def change(self, old: Row, new: Row) -> None:
        """A row with the same key on both sides and other cells."""
        if self._room("changed", 1):
            self._kept["changed"].append(_change(old, new, self.key))

    def unlisted(self, kind: Kind, count: int) -> None:
        """Count more rows without listing them."""
        self._counts[kind] += count

    def counts(self) -> tuple[int, int, int]:
        """Rows added, removed, changed."""
        self._settle()
        return self._counts["added"], self._counts["removed"], self._counts["changed"]

    def listed(self) -> tuple[RowChange, ...]:
        """Changed rows, then removed and added ones, by key or else in their own order."""
        self._settle()
        return tuple(c for kept in self._kept.values() for c in kept)[: self.limit]

    def _settle(self) -> None:
        """Pair rows of one key as far as both sides have them."""
        for old, new in zip(self._gone, self._come, strict=False):
            self.change(old, new)
        both = min(len(self._gone), len(self._come))
        for row in self._gone[both:]:
            self.lone(row, -1)
        for row in self._come[both:]:
            self.lone(row, 1)
        self._gone, self._come = [], []

    def _room(self, kind: Kind, times: int) -> int:
        """Count changes; return how many of them may still be listed."""
        self._counts[kind] += times
        if self.limit is None:
            return times
        return min(times, self.limit - len(self._kept[kind]))


def pair(
    old: Iterable[Row], new: Iterable[Row], key: tuple[str, ...], limit: int | None
) -> tuple[int, int, int, tuple[RowChange, ...]]:
    """Added, removed, changed counts and the changes between two collections of rows.

    Rows that are on both sides equally often cancel out. By key, what is left with the same key on
    both sides is one changed row; rows with NULL in the key are whole rows.
    """
    gone, come = _cancelled(old, new)
    changes: list[RowChange] = []
    if key:
        gone, come, changes = _matched(gone, come, key)
    found = [
        *changes,
        *(RowChange("removed", _key(row, key), row, None) for row in gone),
        *(RowChange("added", _key(row, key), None, row) for row in come),
    ]
    shown = found if limit is None else found[:limit]
    return len(come), len(gone), len(changes), tuple(shown)


def _cancelled(old: Iterable[Row], new: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    def mark(row: Row) -> _Mark:
        return frozenset((c, exact(v)) for c, v in row.items() if v is not None)

    before = [(mark(row), row) for row in old]
    after = [(mark(row), row) for row in new]
    spare = Counter(m for m, _ in after)
    gone = [row for m, row in before if not _take(spare, m)]
    spare = Counter(m for m, _ in before)
    return gone, [row for m, row in after if not _take(spare, m)]


def _take(spare: Counter[_Mark], mark: _Mark) -> bool:
    if spare[mark] <= 0:
        return False
    spare[mark] -= 1
    return True


def _key(row: Row, key: tuple[str, ...]) -> Row:
    return {c: row.get(c) for c in key}


def _matched(
    gone: list[Row], come: list[Row], key: tuple[str, ...]
) -> tuple[list[Row], list[Row], list[RowChange]]:
    def whole(row: Row) -> tuple[tuple[str, Value], ...] | None:
        cells = tuple(exact(row.get(c)) for c in key)
        return None if any(row.get(c) is None for c in key) else cells

    waiting: dict[tuple[tuple[str, Value], ...], list[Row]] = {}
    for row in come:
        found = whole(row)
        if found is not None:
            waiting.setdefault(found, []).append(row)
    left: list[Row] = []
    changes: list[RowChange] = []
    used: set[int] = set()
    for row in gone:
        found = whole(row)
        others = waiting.get(found) if found is not None else None
        if not others:
            left.append(row)
            continue
        other = others.pop(0)
        used.add(id(other))
        changes.append(_change(row, other, key))
    return left, [row for row in come if id(row) not in used], changes


def _change(old: Row, new: Row, key: tuple[str, ...]) -> RowChange:
    names = dict.fromkeys([*old, *new])
    cells = [c for c in names if c in key or exact(old.get(c)) != exact(new.get(c))]
    return RowChange(
        "changed", _key(old, key), {c: old.get(c) for c in cells}, {c: new.get(c) for c in cells}
    )
