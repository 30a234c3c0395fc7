"""Prepare the target for a source: add tables and columns, and choose types that keep values.

Two column names that may mean one thing: ``lr`` and ``learning_rate``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace

from gitxexp.common.errors import XexpError
from gitxexp.common.sql import literal, quote
from gitxexp.tables.plan import Conflict, MergeOptions
from gitxexp.tables.rules import (
    carried,
    constraint_left,
    fold,
    missing_table,
    renamed,
    stored_elsewhere,
    stored_values,
)
from gitxexp.tables.sqlite.feed import Feed, make_feed
from gitxexp.tables.sqlite.schema import (
    Clause,
    Column,
    Schema,
    Table,
    clauses,
    drop_type,
    read_schema,
    type_sql,
)
from gitxexp.tables.sqlite.write import Account

#: Sorts above every number and below every text, so finds text that numeric affinity did not convert.
_INFINITY = "CAST(9e999 AS NUMERIC)"


def align(
    con: sqlite3.Connection,
    db: str,
    schema: Schema,
    label: str,
    options: MergeOptions,
    account: Account,
    base: Schema | None = None,
) -> list[Feed]:
    """Prepare the target for one source and return what the source offers, table by table."""
    main = read_schema(con)
    present = {*main.tables, *(fold(table.name) for table in _wanted(schema, options))}
    account.note_unreadable(schema, label)
    for table in _wanted(schema, options):
        _refuse_views(main, schema, table, label)
        old = main.tables.get(fold(table.name))
        if old is None:
            _create(con, schema, table, _renames(table, options, label), account)
        else:
            account.count_here(con, old, exact=options.count or not options.in_place)
            renames = _renames(table, options, label)
            left = _add_columns(con, old, table, renames, account, present)
            was = base.tables.get(fold(table.name)) if base else None
            _tell_constraints(old, table, left, was, renames, label, account)
    main = read_schema(con)
    feeds = []
    for table in _wanted(schema, options):
        target = main.tables[fold(table.name)]
        if target.content is not None or table.content is not None:
            continue
        feed = make_feed(db, table, target, _renames(table, options, label), label)
        _refuse_unnumbered(target)
        _refuse_computed(con, feed)
        feeds.append(_widen(con, feed, options, account))
    return feeds


def check_tables(options: MergeOptions, schemas: list[Schema]) -> None:
    """Raise XexpError for a requested table that is in no database."""
    for name in options.tables:
        if any(fold(name) in s.tables for s in schemas):
            continue
        if any(s.has("view", name) for s in schemas):
            raise XexpError(
                f"{name} is a view, and only tables are merged", "drop or rename the view"
            )
        raise missing_table(name)


def _wanted(schema: Schema, options: MergeOptions) -> list[Table]:
    chosen = {fold(t) for t in options.tables}
    return [t for k, t in schema.tables.items() if not chosen or k in chosen]


def _renames(table: Table, options: MergeOptions, label: str) -> dict[str, str]:
    return renamed(table.name, [c.name for c in table.columns], options.rename, label)


def _refuse_views(main: Schema, schema: Schema, table: Table, label: str) -> None:
    if main.has("view", table.name):
        raise XexpError(
            f"{table.name} is a view in the target and a table in {label}",
            "drop or rename the view",
        )
    for name, t in main.tables.items():
        if schema.has("view", t.name) and name not in schema.tables:
            raise XexpError(
                f"{t.name} is a table in the target and a view in {label}",
                "drop or rename the view",
            )


def _create(
    con: sqlite3.Connection,
    schema: Schema,
    table: Table,
    renames: Mapping[str, str],
    account: Account,
) -> None:
    con.execute(table.sql)
    for old, new in renames.items():
        con.execute(f"ALTER TABLE {quote(table.name)} RENAME COLUMN {quote(old)} TO {quote(new)}")
    for kind, name, owner, sql in schema.objects:
        if kind == "index" and fold(owner) == fold(table.name):
            account.carry(con, kind, name, sql)
    tally = account.of(table.name)
    tally.created = True
    tally.before = [renames.get(fold(c.name), c.name) for c in table.columns]
    account.carried.append(carried("table", table.name))


def _add_columns(
    con: sqlite3.Connection,
    old: Table,
    new: Table,
    renames: Mapping[str, str],
    account: Account,
    present: set[str],
) -> list[Clause]:
    """Add the columns that only a source has, with what it declares of them as far as SQLite can add
    that; return the declarations that were not added, those of the other columns among them.

    ``present``: the tables to which a column may refer.
    """
    incoming = [replace(c, name=renames.get(fold(c.name), c.name)) for c in new.columns]
    fresh = [c for c in incoming if not old.column(c.name)]
    if fresh and old.virtual:
        names = ", ".join(c.name for c in fresh)
        raise XexpError(
            f"the virtual table {old.name} cannot take new columns: {names}",
            "make it again with them",
        )
    tally = account.of(old.name)
    tally.before = tally.before or [c.name for c in old.columns]
    tally.offered.append([c.name for c in incoming])
    left = [] if old.virtual or new.virtual else clauses(new.sql)
    for column in fresh:
        declared = column.declared
        if old.strict and declared.upper() not in ("INT", "INTEGER", "REAL", "TEXT", "BLOB", "ANY"):
            declared = "ANY"
        later = {fold(c.name) for c in fresh[fresh.index(column) + 1 :]}
        taken = [
            c for c in left if not renames and _fits(con, old, fold(column.name), later, c, present)
        ]
        place, name = f"main.{quote(old.name)}", quote(column.name)
        words = " ".join((type_sql(declared), *(clause.inline for clause in taken)))
        con.execute(f"ALTER TABLE {place} ADD COLUMN {name} {words}")
        if any(clause.kind == "DEFAULT" for clause in taken):
            # SQLite gives it to the rows that are there, in which no tracker wrote it
            con.execute(f"UPDATE {place} SET {name} = NULL")
        left = [clause for clause in left if clause not in taken]
        if column.generated:
            account.note(stored_values(f"generated column {old.name}.{column.name}"))
    tally.columns_added += [c.name for c in fresh]
    own = {fold(c.name) for c in fresh}
    return [c for c in left if c.kind not in ("DEFAULT", "COLLATE") or fold(c.column or "") in own]


def _fits(
    con: sqlite3.Connection,
    table: Table,
    column: str,
    later: set[str],
    clause: Clause,
    present: set[str],
) -> bool:
    """Whether ALTER TABLE can add a declaration with a column that is NULL in all rows (see
    sqlite.org/lang_altertable.html); ``later``: the columns that are not there yet.

    It is not tried: without a journal a statement that fails cannot be taken back.
    """
    words = clause.words
    if clause.kind in ("REFERENCES", "FOREIGN"):
        parent = words[words.index("references") + 1]
        return clause.listed == (column,) and parent in present
    if clause.kind == "CHECK" and column in words and not later.intersection(words):
        test = clause.text[clause.text.index("(") :]
        rows = f"(SELECT *, NULL AS {quote(column)} FROM main.{quote(table.name)})"
        try:
            return not con.execute(
                f"SELECT 1 FROM {rows} AS {quote(table.name)} WHERE NOT {test} LIMIT 1"
            ).fetchone()
        except sqlite3.Error:
            return False
    if fold(clause.column or "") != column:
        return False
    if clause.kind == "DEFAULT":
        return "(" not in words and not words[-1].startswith("current_")
    return clause.kind == "COLLATE" and words[-1] in ("binary", "nocase", "rtrim")


def _tell_constraints(
    old: Table,
    new: Table,
    left: Sequence[Clause],
    base: Table | None,
    renames: Mapping[str, str],
    label: str,
    account: Account,
) -> None:
    """Note the constraints of a source that the target's table does not have."""
    if not left:
        return
    have = {clause.words for t in (old, base) if t is not None for clause in clauses(t.sql)}
    keys = {frozenset(key.folded) for t in (old, base) if t is not None for key in t.keys}
    for clause in left:
        words = tuple(fold(renames.get(word, word)) for word in clause.words)
        if clause.kind in ("PRIMARY", "UNIQUE"):
            known = frozenset(fold(renames.get(c, c)) for c in clause.listed) in keys
        else:
            known = clause.kind in ("NULL", "AS", "GENERATED") or words in have
        if not known:
            account.note(constraint_left(clause.label, new.name, label))


def _refuse_unnumbered(target: Table) -> None:
    """Refuse a table without a readable rowid: it distinguishes equal rows, and columns can hide it."""
    if not (target.virtual or target.without_rowid or target.rowid):
        raise XexpError(
            f"{target.name} has columns called rowid, _rowid_ and oid, which hide its row numbers",
            "rename one of them",
        )


def _refuse_computed(con: sqlite3.Connection, feed: Feed) -> None:
    """Refuse a column that the target computes and the source stores: its values would be lost."""
    for column in feed.table.stored:
        name = feed.renamed.get(fold(column.name), column.name)
        mine = feed.target.column(name)
        if mine is None or not mine.generated:
            continue
        test = feed.source(f"s.{quote(column.name)} IS NOT NULL")
        if con.execute(f"SELECT 1 {test} LIMIT 1").fetchone():
            raise stored_elsewhere(feed.target.name, name, feed.label)


def changes_value(column: Column, value: str) -> str:
    """SQL: ``column`` would change ``value`` (sqlite.org/datatype3.html section 3)."""
    if column.affinity == "BLOB":
        return "0"
    if column.affinity == "TEXT":
        return f"typeof({value}) IN ('integer', 'real')"
    number = f"(typeof({value}) = 'text' AND NOT (+{value} > {_INFINITY}))"
    if column.affinity == "REAL":
        return f"(typeof({value}) = 'integer' OR {number})"
    return f"({number} OR (typeof({value}) = 'real' AND {value} = CAST({value} AS INTEGER)))"


def _widen(con: sqlite3.Connection, feed: Feed, options: MergeOptions, account: Account) -> Feed:
    """Drop the declared type of every target column that would change an offered value."""
    if feed.target.strict and feed.table.strict:
        feed = _widen_strict(con, feed, account)
    doubtful = [c for c in feed.target.stored if _may_change(c, feed)]
    if not doubtful or (options.allow_lossy and feed.target.strict):
        return feed
    tests = ", ".join(f"max({changes_value(c, feed.expr(c.name))})" for c in doubtful)
    row = con.execute(f"SELECT {tests} {feed.source()}").fetchone()
    clashing = [c for c, changes in zip(doubtful, row, strict=True) if changes]
    if not clashing:
        return feed
    if feed.target.strict:
        for column in clashing:
            account.conflicts.append(_strict_conflict(con, feed, column))
        return feed
    return _without_types(con, feed, clashing, account)


def _without_types(
    con: sqlite3.Connection, feed: Feed, columns: Sequence[Column], account: Account
) -> Feed:
    for column in columns:
        drop_column_type(con, feed.target, column)
        widened = f"{column.name}: {column.declared} -> any"
        account.of(feed.target.name).types_widened.append(widened)
    target = read_schema(con).tables[fold(feed.target.name)]
    return replace(feed, target=target)


#: The storage classes that a column of a STRICT table stores unchanged (sqlite.org/stricttables.html).
_TAKES = {"INT": "integer", "INTEGER": "integer", "REAL": "real", "TEXT": "text", "BLOB": "blob"}


def _widen_strict(con: sqlite3.Connection, feed: Feed, account: Account) -> Feed:
    """Declare a column ANY if the sides declare different types and a value does not fit ours."""
    clashing = []
    for column in feed.target.stored:
        taken = _TAKES.get(column.declared.upper())
        if taken is None or not feed.has(column.name) or fold(column.name) == _alias(feed.target):
            continue
        value = feed.expr(column.name)
        theirs = next(c for c in feed.table.columns if "s." + quote(c.name) == value)
        if _TAKES.get(theirs.declared.upper()) == taken:
            continue
        odd = f"typeof({value}) NOT IN ('null', '{taken}')"
        if con.execute(f"SELECT 1 {feed.source(odd)} LIMIT 1").fetchone():
            clashing.append(column)
    return _without_types(con, feed, clashing, account) if clashing else feed


def _alias(table: Table) -> str:
    return fold(table.alias) if table.alias else ""


def _may_change(column: Column, feed: Feed) -> bool:
    if column.affinity == "BLOB" or not feed.has(column.name) or feed.target.virtual:
        return False
    if feed.target.alias and fold(feed.target.alias) == fold(column.name):
        return False
    name = next(c for c in feed.table.columns if "s." + quote(c.name) == feed.expr(column.name))
    number = ("INTEGER", "NUMERIC")
    return name.affinity != column.affinity and not (
        name.affinity in number and column.affinity in number
    )


def _strict_conflict(con: sqlite3.Connection, feed: Feed, column: Column) -> Conflict:
    value = feed.expr(column.name)
    example = con.execute(
        f"SELECT {value} {feed.source(changes_value(column, value))} LIMIT 1"
    ).fetchone()[0]
    return Conflict(
        feed.target.name,
        {},
        column.name,
        column.declared,
        example,
        kind="schema",
        source=feed.label,
    )


def drop_column_type(con: sqlite3.Connection, table: Table, column: Column) -> None:
    """Remove the declared type in this transaction; every stored value is unchanged.

    Integral values of a REAL column are stored as integers (sqlite.org/datatype3.html section 2),
    so those rows are written again as what they were read as.
    """
    row = con.execute(
        "SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?", (table.name,)
    ).fetchone()
    sql = drop_type(row[0], column.name, "ANY" if table.strict else "")
    if sql is None:
        raise XexpError(
            f"the declaration of {table.name}.{column.name} cannot be read",
            "merge it with DuckDB: --engine duckdb",
        )
    version = con.execute("PRAGMA main.schema_version").fetchone()[0]
    con.execute("PRAGMA writable_schema=ON")
    con.execute(
        f"UPDATE main.sqlite_schema SET sql = {literal(sql)} WHERE type = 'table' AND name = ?",
        (table.name,),
    )
    con.execute(f"PRAGMA main.schema_version={version + 1}")
    con.execute("PRAGMA writable_schema=RESET")
    if column.affinity == "REAL":
        name = quote(column.name)
        con.execute(
            f"UPDATE main.{quote(table.name)} SET {name} = CAST({name} AS REAL) "
            f"WHERE typeof({name}) = 'integer'"
        )
    con.execute(f"REINDEX main.{quote(table.name)}")
