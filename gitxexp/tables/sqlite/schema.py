"""Names and types in SQL text: quoting, affinity, and a column's type inside ``CREATE TABLE``.

Rules: sqlite.org/datatype3.html section 3.1 (affinity), sqlite.org/lang_keywords.html (quoting).

The tables, columns, keys and other objects of a database are frozen values.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property

from gitxexp.common import sqlite
from gitxexp.common.dataclass import dataclass
from gitxexp.common.sql import literal, quote
from gitxexp.tables.rules import fold

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*(?:\n|$)|/\*.*?(?:\*/|$))
      | (?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*(?:\]|\Z)|'(?:[^']|'')*'|[^\s"'`\[\](),;]+)
      | (?P<mark>.)""",
    re.VERBOSE | re.DOTALL,
)
_TABLE_CONSTRAINTS = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})
_CONSTRAINTS = (_TABLE_CONSTRAINTS - {"FOREIGN"}) | frozenset(
    {"NOT", "NULL", "DEFAULT", "COLLATE", "REFERENCES", "GENERATED", "AS"}
)
_PLAIN_TYPE = re.compile(r"[A-Za-z_][\w ]*(\(\s*[+-]?[\d.]+\s*(,\s*[+-]?[\d.]+\s*)?\))?\Z")

Token = tuple[str, str, int, int]


def affinity(declared: str) -> str:
    """The affinity of a declared type: INTEGER, TEXT, BLOB (none), REAL or NUMERIC."""
    up = declared.upper()
    if "INT" in up:
        return "INTEGER"
    if "CHAR" in up or "CLOB" in up or "TEXT" in up:
        return "TEXT"
    if "BLOB" in up or not up:
        return "BLOB"
    if "REAL" in up or "FLOA" in up or "DOUB" in up:
        return "REAL"
    return "NUMERIC"


def type_sql(declared: str) -> str:
    """Return a declared type for use in new DDL; unusual ones are quoted, never interpreted."""
    if not declared or (_PLAIN_TYPE.match(declared) and not _has_keyword(declared)):
        return declared
    return quote(declared)


def _has_keyword(declared: str) -> bool:
    return any(word.upper() in _CONSTRAINTS for word in re.findall(r"\w+", declared))


def drop_type(create: str, column: str, instead: str = "") -> str | None:
    """``CREATE TABLE`` text with ``instead`` as the declared type of ``column``; None if it is not
    there.

    Without a type the column has no affinity and keeps every value bit for bit; so does ``ANY`` in a
    STRICT table, where a type must stand (sqlite.org/stricttables.html).
    """
    for group in _definitions(create):
        first = group[0]
        if fold(unquote(first[1])) != fold(column):
            continue
        if first[1].upper() in _TABLE_CONSTRAINTS:
            continue
        span = _type_span(group[1:])
        if span is None:
            return create
        parts = (create[: span[0]].rstrip(), instead, create[span[1] :].lstrip())
        return " ".join(filter(None, parts))
    return None


def unquote(token: str) -> str:
    """The name inside a possibly quoted token."""
    mark = token[:1]
    if mark in {'"', "`", "'"}:
        return token[1:-1].replace(mark * 2, mark)
    return token[1:-1] if mark == "[" else token


def _definitions(create: str) -> Iterator[list[Token]]:
    """The comma-separated parts in the first parentheses, as tokens without white space."""
    depth, group = 0, list[Token]()
    for match in _TOKEN.finditer(create):
        kind, text = match.lastgroup or "", match.group()
        if kind == "space":
            continue
        depth_before = depth
        depth += (text == "(") - (text == ")")
        at_end = depth_before == 1 and (text == "," or depth == 0)
        if at_end and group:
            yield group
            group = []
        elif depth_before >= 1 and not at_end:
            group.append((kind, text, match.start(), match.end()))
        if depth_before == 1 and depth == 0:
            return


def _type_span(rest: list[Token]) -> tuple[int, int] | None:
    """Return the position of the declared type among the tokens after the column's name."""
    end, depth, start = 0, 0, 0
    for kind, text, begin, stop in rest:
        if depth == 0 and kind == "name" and text.upper() in _CONSTRAINTS:
            break
        start = start or begin
        depth += (text == "(") - (text == ")")
        end = stop
    return (start, end) if end else None


@dataclass(frozen=True)
class Clause:
    """One constraint, default or collation in a ``CREATE TABLE``."""

    kind: (
        str  #: its first word: PRIMARY, UNIQUE, NOT, CHECK, FOREIGN, REFERENCES, DEFAULT, COLLATE…
    )
    text: str  #: without the name that CONSTRAINT gives it
    column: str | None = None  #: in whose definition it stands

    @property
    def label(self) -> str:
        """Its name in reports."""
        words = " ".join(self.text.split())
        return f"{words} on {self.column}" if self.column else words

    @property
    def inline(self) -> str:
        """Its text where it stands in the definition of a column."""
        return re.sub(r"(?is)^FOREIGN\b.*?(?=\bREFERENCES\b)", "", self.text)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Its tokens, folded: those of one spelling of all that mean the same."""
        own = fold(self.column or "")
        found = tuple(
            token if token[0] == "'" else fold(unquote(token))
            for part in _TOKEN.finditer(self.text)
            if part.lastgroup != "space"
            for token in _WORD.findall(part.group())
        )
        if self.kind == "REFERENCES":
            return ("foreign", "key", "(", own, ")", *found)
        return (own, *found) if self.kind != "CHECK" and self.column else found

    @property
    def listed(self) -> tuple[str, ...]:
        """The folded columns of a key or a foreign key."""
        if self.column:
            return (fold(self.column),)
        words = self.words
        end = words.index(")") if ")" in words else 0
        return tuple(w for w in words[words.index("(") + 1 : end] if w != ",") if end else ()


_WORD = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|\w+|\S""", re.VERBOSE
)


def clauses(create: str) -> list[Clause]:
    """What a ``CREATE TABLE`` declares besides names and types."""
    found = []
    for group in _definitions(create):
        own = None if group[0][1].upper() in _TABLE_CONSTRAINTS else unquote(group[0][1])
        for tokens in _split(group if own is None else group[1:], own is not None):
            text = create[tokens[0][2] : tokens[-1][3]]
            found.append(Clause(tokens[0][1].upper(), text, own))
    return found


def _split(tokens: list[Token], inline: bool) -> Iterator[list[Token]]:
    """The clauses of one definition, without the names that CONSTRAINT gives them."""
    words = [t[1].upper() for t in tokens]
    starts = _CONSTRAINTS if inline else _TABLE_CONSTRAINTS
    depth, part, after = 0, list[Token](), ""
    for token, word, before, following in zip(
        tokens, words, ["", *words], [*words[1:], ""], strict=False
    ):
        begins = not depth and token[0] == "name" and word in starts and after != "CONSTRAINT"
        if begins and before not in _GOES_ON.get(word, ()) and following != "DEFERRABLE":
            if part:
                yield part
            part = []
        after = word if begins and word == "CONSTRAINT" else ""
        if part or (begins and word != "CONSTRAINT"):
            part.append(token)
        depth += (word == "(") - (word == ")")
    if part:
        yield part


#: Words that begin no clause after these: NOT NULL, SET DEFAULT, GENERATED ALWAYS AS.
_GOES_ON = {"NULL": ("NOT", "DEFAULT", "SET"), "DEFAULT": ("SET",), "AS": ("ALWAYS",)}


_VIRTUAL = re.compile(r"\s*CREATE\s+VIRTUAL\s+TABLE\b", re.IGNORECASE)
_CONTENT = re.compile(r"[(,]\s*content\s*=\s*(?:'([^']*)'|\"([^\"]*)\"|([^\s,)]+))", re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """One visible column. ``generated`` ones are computed and never written."""

    name: str
    declared: str = ""
    affinity: str = "BLOB"
    notnull: bool = False
    default: str | None = None
    generated: bool = False


@dataclass(frozen=True)
class Key:
    """A unique key: column names and the collation that its index compares with."""

    columns: tuple[str, ...]
    collations: tuple[str, ...]
    exact: bool = False  #: a declared key: 1 and 1.0 are two keys

    @property
    def folded(self) -> tuple[str, ...]:
        return tuple(fold(c) for c in self.columns)


@dataclass(frozen=True)
class Table:
    """One user table. ``alias`` is its INTEGER PRIMARY KEY column (the rowid), if it has one."""

    name: str
    sql: str
    columns: tuple[Column, ...]
    keys: tuple[Key, ...] = ()
    virtual: bool = False
    without_rowid: bool = False
    strict: bool = False
    alias: str | None = None
    indexed: tuple[str, ...] = ()  #: columns that lead some index with binary collation
    content: str | None = None  #: FTS: the table (or "") that holds its text
    foreign: bool = False  #: has foreign keys

    @property
    def stored(self) -> tuple[Column, ...]:
        return tuple(c for c in self.columns if not c.generated)

    def column(self, name: str) -> Column | None:
        return self._by_name.get(fold(name))

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        """The columns by folded name, the first of each: a table may have 2,000."""
        return {fold(c.name): c for c in reversed(self.columns)}

    @property
    def rowid(self) -> str:
        """An expression for the rowid that no column shadows ('' where there is none)."""
        free = [n for n in ("rowid", "_rowid_", "oid") if n not in self._by_name]
        if self.alias:
            return quote(self.alias)
        return "" if self.without_rowid or not free else free[0]


@dataclass(frozen=True)
class Schema:
    """One database: its tables by folded name, and every row of ``sqlite_schema`` with SQL."""

    tables: Mapping[str, Table]
    objects: tuple[tuple[str, str, str, str], ...]  #: type, name, table, SQL
    unreadable: tuple[str, ...] = ()  #: virtual tables whose module is not available

    def has(self, kind: str, name: str) -> bool:
        return any(o[0] == kind and fold(o[1]) == fold(name) for o in self.objects)


def read_schema(con: sqlite3.Connection, db: str = "main") -> Schema:
    """The schema of one attached database; shadow tables and SQLite's own are left out."""
    rows = con.execute(
        f"SELECT type, name, tbl_name, sql FROM {quote(db)}.sqlite_schema "
        "WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid"
    ).fetchall()
    kinds = {fold(t.name): t for t in sqlite.tables(con, db)}
    tables: dict[str, Table] = {}
    unreadable: list[str] = []
    for kind, name, _, sql in rows:
        listed = kinds.get(fold(name))
        if kind != "table" or (listed and listed.kind == "shadow"):
            continue
        try:
            tables[fold(name)] = _read_table(con, db, name, sql, listed)
        except sqlite3.OperationalError as error:
            if "no such module" not in str(error):
                raise
            unreadable.append(name)
    hidden = tuple(fold(n) + "_" for n in unreadable)
    tables = {k: t for k, t in tables.items() if not (hidden and k.startswith(hidden))}
    return Schema(tables, tuple(rows), tuple(unreadable))


def _read_table(
    con: sqlite3.Connection, db: str, name: str, sql: str, listed: sqlite.TableEntry | None
) -> Table:
    info = con.execute(f"PRAGMA {quote(db)}.table_xinfo({literal(name)})").fetchall()
    columns = tuple(
        Column(r[1], r[2], affinity(r[2]), bool(r[3]), r[4], r[6] in (2, 3))
        for r in info
        if r[6] != 1
    )
    virtual = bool(_VIRTUAL.match(sql))
    table = Table(
        name,
        sql,
        columns,
        virtual=virtual,
        without_rowid=bool(listed and listed.without_rowid),
        strict=bool(listed and listed.strict),
        content=_content(sql) if virtual else None,
        foreign=bool(
            con.execute(f"PRAGMA {quote(db)}.foreign_key_list({literal(name)})").fetchone()
        ),
    )
    if virtual:
        return table
    if table.strict:
        columns = tuple(
            replace(c, affinity="BLOB") if c.declared.upper() == "ANY" else c for c in columns
        )
    pk = [r[1] for r in sorted(info, key=lambda r: r[5]) if r[5]]
    return _with_keys(con, db, replace(table, columns=columns), pk)


def _content(sql: str) -> str | None:
    """The ``content=`` option of an FTS table: '' when contentless, None if it keeps its own."""
    found = _CONTENT.search(sql)
    return None if found is None else next((g for g in found.groups() if g), "")


def _with_keys(con: sqlite3.Connection, db: str, table: Table, pk: list[str]) -> Table:
    primary: list[Key] = []
    others: list[Key] = []
    indexed: list[str] = []
    pk_index = False
    listing = con.execute(f"PRAGMA {quote(db)}.index_list({literal(table.name)})").fetchall()
    for _, name, unique, origin, partial in sorted(listing, key=lambda r: r[0], reverse=True):
        parts = con.execute(f"PRAGMA {quote(db)}.index_xinfo({literal(name)})").fetchall()
        cols = [(p[2], p[4]) for p in parts if p[5]]
        if not partial and cols[0][0] is not None and fold(cols[0][1]) == "binary":
            indexed.append(fold(cols[0][0]))
        if unique and not partial and all(c is not None for c, _ in cols):
            key = Key(tuple(c for c, _ in cols), tuple(k for _, k in cols))
            (primary if origin == "pk" else others).append(key)
        pk_index = pk_index or origin == "pk"
    alias = None
    if len(pk) == 1 and not pk_index and not table.without_rowid:
        alias = pk[0]
        primary = [Key((alias,), ("BINARY",))]
    return replace(table, keys=(*primary, *others), alias=alias, indexed=tuple(indexed))
