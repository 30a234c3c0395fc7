"""Merge the objects of a DuckDB file besides its tables: schemas, types, sequences, macros, views,
indexes, comments.

A merge keeps those of the target, whose file it edits, and creates those that only a source has.
The statements come from ``EXPORT DATABASE`` of a copy of the schema in memory, because the functions
that list objects omit the defaults of a macro's parameters and list named types under other names.
No view is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.sql import literal, quote
from gitxexp.tables.duckdb.align import enum_of
from gitxexp.tables.duckdb.declaration import declaration
from gitxexp.tables.duckdb.session import Session, Source, Table
from gitxexp.tables.rules import carried, constraint_left, stored_values

_NAME = r'(?:"(?:[^"]|"")*"|[^\s(.";]+)'
_CREATE = re.compile(rf"CREATE\s+(SCHEMA|SEQUENCE|TYPE|MACRO|VIEW)\s+({_NAME}(?:\.{_NAME})?)")
_ON = re.compile(rf"^CREATE (?:UNIQUE )?INDEX {_NAME} ON ({_NAME}\.){_NAME}")
_START = re.compile(r"(?<=\bSTART )-?\d+")

#: Kinds that tables may depend on, in dependency order; the others depend on tables.
_BEFORE = ("SCHEMA", "TYPE", "SEQUENCE", "MACRO")

#: Objects that may have a comment: SQL's word, the function that lists them, the name's column.
_COMMENTED = (
    ("TABLE", "duckdb_tables()", "table_name"),
    ("VIEW", "duckdb_views()", "view_name"),
    ("INDEX", "duckdb_indexes()", "index_name"),
    ("SEQUENCE", "duckdb_sequences()", "sequence_name"),
    ("TYPE", "duckdb_types()", "type_name"),
    ("MACRO", "duckdb_functions()", "function_name"),
)


@dataclass(frozen=True)
class Object:
    """One object. ``kind`` is SQL's word, or COMMENT; ``name`` as SQL has it, with its schema."""

    kind: str
    name: str
    sql: str

    @property
    def label(self) -> str:
        """Its name in reports, like that of SQLite objects."""
        return carried(self.kind.lower(), self.name.replace('"', ""))

    @property
    def early(self) -> bool:
        """Whether it is created before the tables."""
        return self.kind in _BEFORE


def objects_of(session: Session, source: Source) -> list[Object]:
    """All objects of an attached DuckDB file, in an order in which they may be created."""
    return [*_created(session, source.alias), *_comments(session, source.alias)]


@dataclass(frozen=True)
class Incoming:
    """The outcome for the sources' objects in a merge."""

    new: tuple[Object, ...] = ()  #: created
    changed: tuple[Object, ...] = ()  #: only theirs changed them since the base: they replace ours
    lost: tuple[str, ...] = ()  #: descriptions of objects that the result would lack
    kept: tuple[str, ...] = ()  #: descriptions of comments that differ, and of what has no place


def left_out(session: Session, sources: Sequence[Source], kind: str) -> tuple[str, ...]:
    """Descriptions of the views, macros and triggers of files of another kind than the result's, which
    cannot have them; types, sequences and indexes are only how a file of that kind holds its rows.
    They are no reason to refuse: who names the result chose its kind."""
    others = [source for source in sources if source.kind != kind]
    holding = _holding(session) if any(s.kind == "duckdb" for s in others) else set()
    left = []
    for source in others:
        items = objects_of(session, source) if source.alias in holding else []
        labels = [item.label for item in items if item.kind in ("VIEW", "MACRO")]
        labels += [
            carried(what, name)
            for name, sql in source.objects.items()
            if (what := statement_kind(sql)) != "index"
        ]
        left += [f"{label} of {source.path} has no place in {_FILE[kind]}" for label in labels]
    return tuple(left)


_FILE = {"sqlite": "a SQLite file", "duckdb": "a DuckDB file", "parquet": "a parquet file"}


def statement_kind(sql: str) -> str:
    """Return the kind of object that a CREATE statement of SQLite makes, in lower case."""
    words = (word for word in sql.split() if word.lower() in ("index", "view", "trigger"))
    return next(words, "index").lower()


#: Kinds that can be replaced without dropping tables or other objects.
_REPLACED = ("MACRO", "VIEW", "INDEX", "COMMENT")
_ORDER = (*_BEFORE, "INDEX", "VIEW", "COMMENT")


def incoming(
    session: Session, ours: Source | None, others: Sequence[Source], base: Source | None = None
) -> Incoming:
    """Decide which objects of the DuckDB files among ``others`` to add; the first file wins for a
    name. Ours stay, unless only theirs changed them since ``base``."""
    sources = [source for source in others if source.kind == "duckdb"]
    holding = _holding(session) if sources else set()

    listed = [
        (source, objects_of(session, source) if source.alias in holding else [])
        for source in sources
    ]
    offered = any(items for _, items in listed)
    mine, was = (  # also where there is nothing but schemas, which are objects, too
        {_key(o): o for o in objects_of(session, source)}
        if offered and source and source.kind == "duckdb"
        else {}
        for source in (ours, base)
    )
    new: dict[tuple[str, str], Object] = {}
    changed: dict[tuple[str, str], Object] = {}
    lost, kept = list[str](), list[str]()
    for source, items in listed:
        for item in items:
            key = _key(item)
            held = changed.get(key) or mine.get(key) or new.get(key)
            own, before = _spelled(held), _spelled(was.get(key))
            if not own and not (ours and before):
                new[key] = item
            elif _spelled(item) in (own, before):
                continue
            elif held and (both := _with_values_of(held, item)):
                if _spelled(both) != own:
                    (changed if key in mine else new)[key] = both
            elif base and own == before and item.kind in _REPLACED:
                changed[key] = item
            else:
                name = "comment " + item.name if item.kind == "COMMENT" else item.label
                here = "the target's is kept" if key in mine else "the first one is kept"
                here = here if own else "the target dropped it"
                line = f"{name} differs in {source.path}: {here}"
                (kept if item.kind == "COMMENT" else lost).append(line)
    kept += _constraints([*([ours] if ours else []), *sources], base)
    lost += _generated(session, ours, sources, base)
    first, second = (
        tuple(sorted(found.values(), key=lambda o: _ORDER.index(o.kind)))
        for found in (new, changed)
    )
    return Incoming(first, second, tuple(lost), tuple(kept))


def _spelled(item: Object | None) -> str:
    """Its statement; the current value of a sequence is ignored."""
    if item is None:
        return ""
    sql = re.sub(r" AS ENUM \( (.*) \);$", r" AS ENUM(\1);", " ".join(item.sql.split()))
    return _START.sub("", sql)


def _with_values_of(held: Object, other: Object) -> Object | None:
    """The type ENUM with the values of both, if both are one and order their values alike."""
    if held.kind != "TYPE" or not all(" AS ENUM" in _spelled(item) for item in (held, other)):
        return None
    both = enum_of(held.sql, other.sql)
    return replace(held, sql=f"CREATE TYPE {held.name} AS {both};") if both else None


def _constraints(files: Sequence[Source], base: Source | None) -> list[str]:
    """Constraints that a file declares and the first one with the table does not, whose declaration is
    kept: DuckDB cannot add them to a table. They are no reason to refuse: no row is lost or changed."""
    known, was = dict[tuple[str, str], Source](), _declared(base) if base else {}
    have = set[tuple[str, str, str]]()
    left = []
    for source in files:
        declared = _declared(source)
        for table in source.tables:
            first = known.setdefault((table.schema, table.short), source) is source
            have.update(key for key in declared if first and key[:2] == (table.schema, table.short))
        for schema, name, what in (key for key in declared if key not in have and key not in was):
            full = name if schema == "main" else f"{schema}.{name}"
            left.append(constraint_left(what, full, str(source.path)))
    return left


def _generated(
    session: Session, ours: Source | None, sources: Sequence[Source], base: Source | None
) -> list[str]:
    """Generated columns that a file computes otherwise than the first one with the table does, whose
    declaration is kept."""
    kept: dict[tuple[str, str], str] = {}
    known: dict[str, Source] = {}
    was = _expressions(session, base) if base else {}
    lost = []
    for source in (*([ours] if ours else []), *sources):
        for table in source.tables:
            known.setdefault((table.name or "").lower(), source)
        for key, expression in _expressions(session, source).items():
            first = known[key[0].lower()] is source
            own = kept.setdefault(key, expression) if first else kept.get(key)
            if expression not in (own, was.get(key)):
                line = f"generated column {'.'.join(key)} is {expression} in {source.path}"
                lost.append(f"{line}: {own} is kept" if own else stored_values(line))
    return lost


def _expressions(session: Session, source: Source) -> dict[tuple[str, str], str]:
    """(table, column) → the expression of each generated column."""
    tables = [t for t in source.tables if t.kind == "duckdb" and t.generated]
    if not tables:
        return {}
    found = {}
    for schema, table, column, expression in session.rows(
        "SELECT schema_name, table_name, column_name, column_default FROM duckdb_columns() "
        "WHERE database_name = $1 AND column_default IS NOT NULL",
        [source.alias],
    ):
        full = table if schema == "main" else f"{schema}.{table}"
        if any(t.name == full and column in t.generated for t in tables):
            found[full, column] = expression
    return found


def _declared(source: Source) -> dict[tuple[str, str, str], Sequence[str]]:
    """(schema, table, constraint) → its columns."""
    found: dict[tuple[str, str, str], Sequence[str]] = {}
    for table in source.tables if source.kind == "duckdb" else ():
        for each in declaration(table.ddl).constraints:
            what = each.text if "(" in each.text else f"{each.text} on {', '.join(each.columns)}"
            found[table.schema, table.short, what] = each.columns
    return found


def replace_objects(session: Session, alias: str, objects: Iterable[Object]) -> list[str]:
    """Replace the objects of the same names; return descriptions of those that must stay."""
    stay = []
    for item in objects:
        if item.kind == "TYPE":
            try:
                session.rows(f"DROP TYPE {alias}.{item.name}")
            except XexpError as error:
                stay.append(f"{item.label} keeps its values: {error.message}")
                continue
        if item.kind == "INDEX":
            schema = _index_schema(item) or "main."
            session.rows(f"DROP INDEX IF EXISTS {alias}.{schema}{item.name}")
        with session.within(alias):
            session.rows(re.sub(r"^CREATE (MACRO|VIEW)\b", r"CREATE OR REPLACE \1", item.sql))
    return stay


def create(session: Session, alias: str, objects: Iterable[Object]) -> dict[Object, str]:
    """Create the objects in the catalog ``alias``; return those that failed, with the reason.

    A view may need one that comes later, so what failed is tried again as long as that helps.
    """
    failed: dict[Object, str] = dict.fromkeys(objects, "")
    while failed:
        before = len(failed)
        with session.within(alias):  # anew: the last turn may have made schemas
            for item in list(failed):
                try:
                    session.rows(item.sql)
                    del failed[item]
                except XexpError as error:
                    failed[item] = error.message
        if len(failed) == before:
            break
    return failed


def beside_table(session: Session, alias: str, table: Table) -> list[Object]:
    """The indexes of one table, and the comments on it, on its columns and on those."""
    indexes = _indexes(session, alias, table)
    full = f"{quote(table.schema)}.{quote(table.short)}"
    names = [f"on table {full}", *(f"on index {quote(table.schema)}.{i.name}" for i in indexes)]
    names += [f"on column {full}.{quote(c)}" for c in (*table.columns, *table.generated)]
    return [*indexes, *(item for item in _comments(session, alias) if item.name in names)]


def advance(session: Session, alias: str, sources: Sequence[Source]) -> None:
    """Advance each sequence past the highest number that any of the files used."""
    ours = _next_numbers(session, alias)
    for source in sources:
        theirs = _next_numbers(session, source.alias) if source.kind == "duckdb" else {}
        for (schema, name, step), number in theirs.items():
            behind = (number - ours.get((schema, name, step), number)) // step
            if behind > 0:
                place = literal(f"{alias}.{quote(schema)}.{quote(name)}")
                session.rows(f"SELECT count(nextval({place})) FROM range({behind})")
                ours[schema, name, step] = number


def _next_numbers(session: Session, alias: str) -> dict[tuple[str, str, int], int]:
    """(schema, name, step) of each sequence → the number that it gives next."""
    rows = session.rows(
        "SELECT schema_name, sequence_name, increment_by, sql FROM duckdb_sequences() "
        "WHERE database_name = $1 AND NOT cycle",
        [alias],
    )
    starts = {row[:3]: _START.search(row[3] or "") for row in rows}
    return {key: int(found[0]) for key, found in starts.items() if found}


def _key(item: Object) -> tuple[str, str]:
    return item.kind, (_index_schema(item) + item.name).lower().replace('"', "")


def _index_schema(item: Object) -> str:
    """The schema of an index's table, which its own name leaves out, with a dot; "" for main."""
    found = _ON.search(item.sql) if item.kind == "INDEX" else None
    return found[1] if found else ""


def _holding(session: Session) -> set[str]:
    """The attached databases that hold any object, by one statement: to list the functions, DuckDB's
    own among them, takes 25 ms."""
    functions = {function for _, function, _ in _COMMENTED} - {"duckdb_tables()"}
    parts = [
        f"SELECT database_name FROM {function}"
        f"{'' if function.startswith(('duckdb_seq', 'duckdb_ind')) else ' WHERE NOT internal'}"
        for function in sorted(functions)
    ]
    parts += [
        f"SELECT database_name FROM {function} WHERE comment IS NOT NULL"
        for function in ("duckdb_tables()", "duckdb_columns()")
    ]
    return {
        name for (name,) in session.rows(f"SELECT DISTINCT * FROM ({' UNION ALL '.join(parts)})")
    }


def _created(session: Session, alias: str) -> list[Object]:
    shape, folder = session.name("shape"), session.scratch / session.name("export")
    session.rows(f"ATTACH ':memory:' AS {shape}")
    try:
        with session.within(alias):  # where what tables declare finds the macros that it calls
            session.rows(f"COPY FROM DATABASE {alias} TO {shape} (SCHEMA)")
        _drop_tables(session, shape)
        with session.within(shape):
            session.rows(f"EXPORT DATABASE {literal(str(folder))}")
    finally:
        session.rows(f"DETACH {shape}")
    found = []
    for statement in session.statements((folder / "schema.sql").read_text("utf-8")):
        match = _CREATE.match(statement.strip())
        if match:
            found.append(Object(match[1], match[2], statement.strip()))
    return [*found, *_indexes(session, alias)]


def _drop_tables(session: Session, alias: str) -> None:
    """Drop all tables, those last to which others refer: DuckDB exports none that refers to itself."""
    left = session.rows(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = $1", [alias]
    )
    while left:
        before, refused = len(left), list[tuple[Any, ...]]()
        for schema, name in left:
            try:
                session.rows(f"DROP TABLE {alias}.{quote(schema)}.{quote(name)}")
            except XexpError:
                refused.append((schema, name))
        left = refused
        if len(left) == before:
            break


def _indexes(session: Session, alias: str, table: Table | None = None) -> list[Object]:
    """The indexes that were created, of one table or of all."""
    rows = session.rows(
        "SELECT schema_name, table_name, index_name, sql FROM duckdb_indexes() "
        "WHERE database_name = $1 AND sql IS NOT NULL",
        [alias],
    )
    return [
        Object("INDEX", quote(index), sql)
        for schema, name, index, sql in rows
        if table is None or (schema, name) == (table.schema, table.short)
    ]


def _comments(session: Session, alias: str) -> list[Object]:
    found = []
    for word, function, column in _COMMENTED:
        rows = session.rows(
            f"SELECT DISTINCT schema_name, {column}, comment FROM {function} "
            "WHERE database_name = $1 AND comment IS NOT NULL",
            [alias],
        )
        found += [_comment(word, f"{quote(s)}.{quote(n)}", comment) for s, n, comment in rows]
    rows = session.rows(
        "SELECT schema_name, table_name, column_name, comment FROM duckdb_columns() "
        "WHERE database_name = $1 AND comment IS NOT NULL",
        [alias],
    )
    names = ((".".join(map(quote, row[:3])), row[3]) for row in rows)
    return [*found, *(_comment("COLUMN", name, comment) for name, comment in names)]


def _comment(word: str, name: str, comment: str) -> Object:
    sql = f"COMMENT ON {word} {name} IS {literal(comment)}"
    return Object("COMMENT", f"on {word.lower()} {name}", sql)
