"""What a DuckDB table declares, read from the statement that DuckDB gives for it.

``duckdb_constraints()`` binds the constraints of every attached file, and fails for one that calls a
macro of its own file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from gitxexp.common.dataclass import dataclass

_TOKEN = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[\w$]+|\S")
_PART = r'(?:"(?:[^"]|"")*"|[\w$]+)'
_CALLED = re.compile(rf"('(?:[^']|'')*')|{_PART}(?:\.{_PART})+\(")
_SEQUENCE = re.compile(r"\b(?:nextval|currval)\('((?:[^']|'')*)'", re.IGNORECASE)
_CONSTRAINTS = ("PRIMARY", "UNIQUE", "CHECK", "FOREIGN")
#: Words after a column's type; as names they are quoted.
_AFTER_TYPE = (*_CONSTRAINTS, "DEFAULT", "NOT", "COLLATE", "GENERATED")


@dataclass(frozen=True)
class Constraint:
    """One constraint: ``kind`` is PRIMARY KEY, UNIQUE, NOT NULL, CHECK or FOREIGN KEY."""

    kind: str
    columns: tuple[str, ...]  #: those that it names
    text: str
    parent: tuple[str, ...] = ()  #: of a foreign key: the table that it refers to, after its schema
    parents: tuple[str, ...] = ()  #: and its columns


@dataclass(frozen=True)
class Declaration:
    """A table's columns, with the place of their types in the statement, and its constraints."""

    ddl: str
    types: Mapping[str, tuple[int, int]]
    constraints: tuple[Constraint, ...]
    generated: Mapping[str, tuple[str, ...]]  #: computed columns: what they are computed from

    @property
    def keys(self) -> tuple[tuple[str, ...], ...]:
        """The unique keys, the primary key first."""
        found = [c for c in self.constraints if c.kind in ("PRIMARY KEY", "UNIQUE")]
        return tuple(c.columns for c in sorted(found, key=lambda c: c.kind))

    @property
    def computes(self) -> bool:
        """Whether DuckDB evaluates an expression of the statement where rows are written."""
        return bool(self.generated) or any(c.kind == "CHECK" for c in self.constraints)

    @property
    def called(self) -> tuple[tuple[str, ...], ...]:
        """The functions and sequences that it names with a schema or a database, with those."""
        text = _SEQUENCE.sub(lambda found: found[1].replace("''", "'") + "(", self.ddl)
        names = (found[0][:-1] for found in _CALLED.finditer(text) if not found[1])
        return tuple(tuple(map(_name, re.findall(_PART, name))) for name in names)

    def needs_type(self, column: str) -> bool:
        """Whether DuckDB refuses to change the type of a column."""
        bound = [c.columns for c in self.constraints if c.kind != "NOT NULL"]
        return any(column in names for names in (*bound, *self.generated.values()))

    def retyped(self, types: Mapping[str, str]) -> str:
        """The statement with other types for some columns."""
        sql = self.ddl
        for name, (start, end) in reversed(list(self.types.items())):
            if name in types:
                sql = f"{sql[:start]}{types[name]}{sql[end:]}"
        return sql


@lru_cache(maxsize=1024)
def declaration(ddl: str) -> Declaration:
    """Read a statement of ``duckdb_tables()``."""
    items = list(_items(ddl))
    columns = [item for item in items if item[0][0] not in _CONSTRAINTS]
    types: dict[str, tuple[int, int]] = {}
    generated: dict[str, tuple[str, ...]] = {}
    found: list[Constraint] = []
    names = [_name(item[0][0]) for item in columns]
    for name, item in zip(names, columns, strict=True):
        rest = [token for token, _ in item[1:]]
        flat = list(_flat(rest))
        end = next((i for i, depth in flat if not depth and rest[i] in _AFTER_TYPE), len(rest))
        last, start = item[end]
        types[name] = (item[1][1], start + len(last)) if end else (item[0][1], item[0][1])
        top = [rest[i] if not depth else "" for i, depth in flat]
        pairs = list(zip(top, [*top[1:], ""], strict=True))
        for kind, pair in _INLINE.items():
            if pair in pairs or (kind == "UNIQUE" and kind in top):
                shown = kind if kind == "NOT NULL" else f"{kind}({item[0][0]})"
                found.append(Constraint(kind, (name,), shown))
        if ("GENERATED", "ALWAYS") in pairs:
            place = pairs.index(("GENERATED", "ALWAYS"))
            generated[name] = _named(rest[place:], names)
    found += [_constraint(ddl, item, names) for item in items if item not in columns]
    return Declaration(ddl, types, tuple(found), generated)


_INLINE = {
    "PRIMARY KEY": ("PRIMARY", "KEY"),
    "NOT NULL": ("NOT", "NULL"),
    "UNIQUE": ("UNIQUE", ""),
}


def _constraint(ddl: str, item: list[tuple[str, int]], names: list[str]) -> Constraint:
    tokens = [token for token, _ in item]
    last, start = item[-1]
    text = ddl[item[0][1] : start + len(last)]
    if tokens[0] == "CHECK":
        return Constraint("CHECK", _named(tokens, names), text)
    kind = "UNIQUE" if tokens[0] == "UNIQUE" else f"{tokens[0]} KEY"
    columns, after = _list(tokens, 0)
    if kind != "FOREIGN KEY":
        return Constraint(kind, columns, text)
    begin = tokens.index("REFERENCES", after) + 1
    parents, _ = _list(tokens, begin)
    parent = (_name(t) for t in tokens[begin : tokens.index("(", begin)] if t != ".")
    return Constraint(kind, columns, text, tuple(parent), parents)


def _items(ddl: str) -> Iterator[list[tuple[str, int]]]:
    """The parts between the outer commas: tokens with their places."""
    depth, item = 0, list[tuple[str, int]]()
    for match in _TOKEN.finditer(ddl):
        token = match.group()
        if token == ")" and depth == 1:
            break
        if token == "," and depth == 1:
            yield item
            item = []
        elif depth:
            item.append((token, match.start()))
        depth += (token == "(") - (token == ")")
    if item:
        yield item


def _flat(tokens: list[str]) -> Iterator[tuple[int, int]]:
    """The places of tokens, with how many parentheses they are in."""
    depth = 0
    for place, token in enumerate(tokens):
        depth -= token == ")"
        yield place, depth
        depth += token == "("


def _list(tokens: list[str], start: int) -> tuple[tuple[str, ...], int]:
    """The names in the next parentheses, and where those end."""
    first = tokens.index("(", start) + 1
    end = tokens.index(")", first)
    return tuple(_name(token) for token in tokens[first:end] if token != ","), end


def _named(tokens: list[str], names: list[str]) -> tuple[str, ...]:
    """The columns that an expression names."""
    inside = {_name(token).lower() for token in tokens if not token.startswith("'")}
    return tuple(name for name in names if name.lower() in inside)


def _name(token: str) -> str:
    return token[1:-1].replace('""', '"') if token.startswith('"') else token
