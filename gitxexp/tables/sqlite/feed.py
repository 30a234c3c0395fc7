"""The rows that one source offers to one table, with an SQL expression per target column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace

from gitxexp.common.dataclass import dataclass
from gitxexp.common.sql import quote
from gitxexp.tables.rules import fold
from gitxexp.tables.sqlite.schema import Column, Key, Table


@dataclass(frozen=True)
class Feed:
    """Rows of one source table, aligned by name with a target table.

    The SQL names the source row ``s`` and the target row ``t``. ``exprs`` has an entry for
    every stored target column; a column the source lacks is NULL (or, where the target forbids
    NULL, the target's constant default: what ADD COLUMN would have given it).
    """

    db: str
    table: Table
    target: Table
    exprs: dict[str, str]  #: folded target column -> expression over ``s``
    label: str
    where: str = ""
    ranges: str = ""  #: temp table of rowid ranges (lo, hi) to look at; "" for all rows
    renamed: dict[str, str] = field(default_factory=dict)  #: folded source name -> target name
    last: int | None = None  #: rowid of the last target row to find partners among

    @property
    def columns(self) -> list[str]:
        return [c.name for c in self.target.stored]

    def expr(self, column: str) -> str:
        return self.exprs[fold(column)]

    def source(self, *conditions: str) -> str:
        """``FROM … WHERE …`` for the rows offered, with more conditions."""
        return f"FROM {self._tables()} WHERE {self._tests(conditions)}"

    def joined(self, key: Key, *conditions: str) -> str:
        """``FROM … WHERE …`` for offered rows ``s`` with the target row ``t`` of the same key."""
        tests = self._tests((self._partner(key), *conditions))
        return f"FROM {self._tables()} CROSS JOIN main.{quote(self.target.name)} AS t WHERE {tests}"

    def offered(self, key: Key, *conditions: str) -> str:
        """The same without naming ``t``: for ``UPDATE … AS t SET … FROM``."""
        return f"FROM {self._tables()} WHERE {self._tests((self._partner(key), *conditions))}"

    def _partner(self, key: Key) -> str:
        earlier = "" if self.last is None else f" AND t.{self.target.rowid} <= {self.last}"
        return match(self, key) + earlier

    def beside(self, table: str) -> str:
        """``FROM … WHERE …`` for the offered rows next to those of another table."""
        return f"FROM {self._tables()} CROSS JOIN {table} WHERE {self._tests(())}"

    def _tables(self) -> str:
        table = f"{quote(self.db)}.{quote(self.table.name)} AS s"
        return f"temp.{self.ranges} AS r CROSS JOIN {table}" if self.ranges else table

    def _tests(self, conditions: Sequence[str]) -> str:
        tests = [c for c in (self.where, *conditions) if c]
        if self.ranges:
            tests.insert(0, f"s.{self.table.rowid} BETWEEN r.lo AND r.hi")
        return " AND ".join(tests) or "1"

    def select(self, columns: Sequence[str] | None = None) -> str:
        """The offered values in the order of ``columns`` (all stored target columns)."""
        return ", ".join(self.expr(c) for c in (self.columns if columns is None else columns))

    def only(self, *conditions: str) -> Feed:
        """The same feed with fewer rows."""
        return replace(self, where=" AND ".join(c for c in (self.where, *conditions) if c))

    def order(self) -> str:
        return f"ORDER BY s.{self.table.rowid}" if self.table.rowid else ""

    def has_column(self, column: str) -> bool:
        """Whether both the target and the source have the column."""
        return fold(column) in self.exprs and self.has(column)

    def has(self, column: str) -> bool:
        """Whether the source really has the column (it is not padded)."""
        return self.expr(column).startswith("s.")


def make_feed(db: str, source: Table, target: Table, rename: dict[str, str], label: str) -> Feed:
    """Align ``source`` with ``target`` by (renamed) name, without case."""
    names = {fold(rename.get(fold(c.name), c.name)): c.name for c in source.columns}
    exprs = {}
    for column in target.stored:
        name = names.get(fold(column.name))
        exprs[fold(column.name)] = "s." + quote(name) if name is not None else _padding(column)
    return Feed(db, source, target, exprs, label, renamed=rename)


def _padding(column: Column) -> str:
    default = column.default
    if column.notnull and default is not None and not default.upper().startswith("CURRENT_"):
        # a bare number would be the place of a column to GROUP BY
        return f"ifnull({default}, NULL)" if "(" not in default else "NULL"
    return "NULL"


def match(feed: Feed, key: Key) -> str:
    """``s`` and ``t`` have the same key, as the target's index compares it.

    The ``+`` takes the source column's affinity away, so that nothing is converted.
    """
    tests = [
        f"t.{quote(c)} = +{feed.expr(c)} COLLATE {quote(k)}"
        for c, k in zip(key.columns, key.collations, strict=True)
    ]
    if key.exact:
        tests += [f"typeof(t.{quote(c)}) = typeof({feed.expr(c)})" for c in key.columns]
    return " AND ".join(tests)


def tree(tests: Sequence[str], operator: str) -> str:
    """The tests joined by AND or OR, nested evenly: SQLite limits the depth of an expression."""
    if len(tests) < 3:
        return "(" + f" {operator} ".join(tests) + ")"
    half = len(tests) // 2
    return f"({tree(tests[:half], operator)} {operator} {tree(tests[half:], operator)})"


WIDE = 600  #: columns compared in one SELECT with three values each (SQLite's limit is 2,000)


def tallies(tests: Sequence[str], source: str, columns: int) -> str:
    """A query: how many rows ``source`` (FROM and on) has, and how many pass each of ``tests`` on so
    many ``columns``, which may be more than an aggregate can have."""
    if columns <= WIDE:
        return f"SELECT count(*), {', '.join(f'coalesce(sum({t}), 0)' for t in tests)} {source}"
    names = [f"n{i}" for i in range(len(tests))]
    inner = ", ".join(f"{test} AS {name}" for test, name in zip(tests, names, strict=True))
    # Without LIMIT, SQLite flattens it into the outer query.
    rows = f"(SELECT {inner} {source} LIMIT -1)"
    return tallies(names, f"FROM {rows}", 0)


def not_null(feed: Feed, key: Key) -> str:
    """The offered row has a whole key."""
    return " AND ".join(f"{feed.expr(c)} IS NOT NULL" for c in key.columns)


def some_null(feed: Feed, key: Key) -> str:
    """The offered row has a NULL in its key."""
    return "(" + " OR ".join(f"{feed.expr(c)} IS NULL" for c in key.columns) + ")"


def target_null(key: Key) -> str:
    """The target row has a NULL in its key."""
    return "(" + " OR ".join(f"t.{quote(c)} IS NULL" for c in key.columns) + ")"


def typed(column: Column) -> bool:
    """Whether equal values may be of two storage classes in this column (1 and 1.0)."""
    return column.affinity not in ("TEXT", "REAL")


def same(column: Column, left: str, right: str) -> str:
    """Two values are exactly the same: binary comparison, storage class included."""
    test = f"+{left} IS +{right} COLLATE BINARY"
    if typed(column):
        test += f" AND typeof({left}) = typeof({right})"
    return f"({test})"
