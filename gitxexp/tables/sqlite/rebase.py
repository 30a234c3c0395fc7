"""Rebase: delete the target's rows that the sources' rows replace, before any row is merged.

Then the rows of each source that no later one replaces are merged as in a plain merge. So a row of
the target that any source replaces meets none, and the sources meet in their order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from gitxexp.common.dataclass import dataclass
from gitxexp.common.sql import quote
from gitxexp.tables.rules import VERSION_COLUMNS, fold, rebase_key, run_column, stamps_of
from gitxexp.tables.sqlite.feed import Feed, same, target_null, tree
from gitxexp.tables.sqlite.keyless import grouping
from gitxexp.tables.sqlite.schema import Column, Table
from gitxexp.tables.sqlite.two_way import among
from gitxexp.tables.sqlite.write import Tally, Writer, fresh


def replacing_key(feeds: Sequence[Feed], declared: Sequence[str], tally: Tally) -> tuple[str, ...]:
    """The columns by which the rows of all sources replace the target's; () if there are none.

    They are the same for each source: rows of one that lacks a version are known by their run.
    """
    both = [c for c in tally.before if any(feed.has_column(c) for feed in feeds)]
    return () if feeds[0].target.virtual else rebase_key(both, declared)


def make_way(
    con: sqlite3.Connection,
    feed: Feed,
    names: tuple[str, ...],
    turn: int,
    write: Writer,
) -> str:
    """Delete what the offered rows replace; return a test for those that no later source replaces.

    Later sources come first here. A temporary table has the keys of all sources so far with the
    ``turn`` of the last source that has them.
    """
    values = _rebase_values(con, feed, names, write)
    whole = " AND ".join(f"{v} IS NOT NULL" for v in values.offered)
    ks = [f"k{i}" for i in range(len(names))]
    columns = ", ".join([*ks, *(f"y{k}" for k in ks)])
    tally, left = write.account.of(feed.target.name), ""
    claims = f"claims{tally.number}"
    con.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS {claims}({columns}, turn, PRIMARY KEY({columns})) "
        "WITHOUT ROWID"
    )
    if con.execute(f"SELECT 1 FROM temp.{claims} LIMIT 1").fetchone():
        taken = among(claims, values.offered, f"b.turn > {turn}")
        tally.incoming += con.execute(f"SELECT count(*) {feed.source(whole, taken)}").fetchone()[0]
        left = f"NOT ({whole} AND {taken})"
        feed = feed.only(left)
    fresh(con, "brought", f"{columns}, PRIMARY KEY({columns})", " WITHOUT ROWID")
    picks = ", ".join([*values.offered, *(f"typeof({v})" for v in values.offered)])
    con.execute(f"INSERT OR IGNORE INTO temp.brought SELECT {picks} {feed.source(whole)}")
    remove = _delete_rows if feed.target.rowid else _delete_by_key
    tally.replaced += remove(con, feed, values, whole)
    if turn:
        con.execute(f"INSERT OR IGNORE INTO temp.{claims} SELECT *, {turn} FROM temp.brought")
    return left


@dataclass(frozen=True)
class _RebaseValues:
    """The key by which a rebase replaces rows, as SQL over the offered row and the target's."""

    offered: list[str]
    held: list[str]
    index: str = ""  #: the target's column to look up, where the key is the column itself

    @property
    def alike(self) -> list[str]:
        """Tests that the offered row and the target's have the same key."""
        pairs = zip(self.offered, self.held, strict=True)
        return [f"+{s} IS +{t} COLLATE BINARY AND typeof({s}) = typeof({t})" for s, t in pairs]


def lacks_versions(con: sqlite3.Connection, feed: Feed, names: tuple[str, ...]) -> bool:
    """Whether rows of a run, offered or the target's, have no version where that is the key."""
    run = run_column(feed.columns)
    if len(names) != 1 or fold(names[0]) not in VERSION_COLUMNS or run is None:
        return False
    return any(
        con.execute(f"SELECT 1 {rows} AND {v} IS NULL AND {r} IS NOT NULL LIMIT 1").fetchone()
        for r, v, rows in _sides(feed, run, names[0])
    )


def learn_versions(con: sqlite3.Connection, feed: Feed, name: str, write: Writer) -> None:
    """Remember the version of each run that offered rows or the target's know; the least of several.

    To be called for all sources before any row is replaced.
    """
    runs = _versions(feed, write)
    con.execute(f"CREATE TEMP TABLE IF NOT EXISTS {runs}(run PRIMARY KEY, version) WITHOUT ROWID")
    for r, v, rows in _sides(feed, run_column(feed.columns) or "", name):
        con.execute(
            f"INSERT INTO temp.{runs} SELECT {r}, min({v}) {rows} AND {r} IS NOT NULL "
            f"AND {v} IS NOT NULL GROUP BY {r} "
            "ON CONFLICT DO UPDATE SET version = min(version, excluded.version)"
        )


def _sides(feed: Feed, run: str, version: str) -> list[tuple[str, str, str]]:
    """The run, the version and the place of the target's rows and of those offered, as SQL."""
    held = f"FROM main.{quote(feed.target.name)} AS t WHERE 1"
    sides = [(f"t.{quote(run)}", f"t.{quote(version)}", held)]
    if feed.has(run):
        sides.append((feed.expr(run), feed.expr(version), feed.source("1")))
    return sides


def _versions(feed: Feed, write: Writer) -> str:
    return f"runs{write.account.of(feed.target.name).number}"


def _exists(con: sqlite3.Connection, name: str) -> bool:
    sql = "SELECT 1 FROM sqlite_temp_schema WHERE name = ?"
    return con.execute(sql, (name,)).fetchone() is not None


def _rebase_values(
    con: sqlite3.Connection, feed: Feed, names: tuple[str, ...], write: Writer
) -> _RebaseValues:
    """Return the key; rows without a version use that of their run in other rows, else the run."""
    offered, held = [feed.expr(c) for c in names], [f"t.{quote(c)}" for c in names]
    run, runs = run_column(feed.columns), _versions(feed, write)
    if run is None or not _exists(con, runs):
        return _RebaseValues(offered, held, fold(names[0]))

    def value(version: str, name: str) -> str:
        found = f"(SELECT r.version FROM temp.{runs} AS r WHERE r.run = {name})"
        return f"coalesce({version}, {found}, {name})"

    return _RebaseValues([value(offered[0], feed.expr(run))], [value(held[0], f"t.{quote(run)}")])


def _delete_rows(con: sqlite3.Connection, feed: Feed, values: _RebaseValues, whole: str) -> int:
    """Delete the target rows of the incoming keys that exceed their number in the source."""
    target = feed.target
    table = f"main.{quote(target.name)}"
    mine = values.held
    if values.index in target.indexed:
        tests = [f"{v} = b.k{i} AND typeof({v}) = b.yk{i}" for i, v in enumerate(mine)]
        tests += [f"+{v} = b.k{i} COLLATE BINARY" for i, v in enumerate(mine)]
        found = f"temp.brought AS b CROSS JOIN {table} AS t WHERE {' AND '.join(tests)}"
    else:
        found = f"{table} AS t WHERE {among('brought', mine)}"
    fresh(con, "hits", "rid INTEGER PRIMARY KEY")
    con.execute(f"INSERT OR IGNORE INTO temp.hits SELECT t.{target.rowid} FROM {found}")
    fresh(con, "doomed", "rid INTEGER PRIMARY KEY")
    unlike = _unlike_by_key(con, feed, values, whole)
    if unlike is not None:
        con.execute(f"INSERT INTO temp.doomed {unlike}")
    else:
        con.executemany(
            "INSERT INTO temp.doomed VALUES (?)", _not_offered(con, feed, values, whole)
        )
    return con.execute(f"DELETE FROM {table} WHERE {target.rowid} IN temp.doomed").rowcount


def _unlike_by_key(
    con: sqlite3.Connection, feed: Feed, values: _RebaseValues, whole: str
) -> str | None:
    """SQL for the hits that equal no offered row, where both tables have the same unique key.

    None if they have different ones, or if a hit has a NULL in it: then rows must be counted.
    """
    target = feed.target
    if (
        not target.keys
        or feed.renamed
        or target.keys[0].folded not in (k.folded for k in feed.table.keys)
    ):
        return None
    key = target.keys[0]
    hits = (
        f"FROM temp.hits AS h CROSS JOIN main.{quote(target.name)} AS t ON t.{target.rowid} = h.rid"
    )
    if con.execute(f"SELECT 1 {hits} WHERE {target_null(key)} LIMIT 1").fetchone():
        return None
    linked = [f"{feed.expr(c)} = +t.{quote(c)}" for c in key.columns]
    equal = [same(c, feed.expr(c.name), f"t.{quote(c.name)}") for c in _identity(target)]
    equal += values.alike
    alike = feed.source(whole, *linked, tree(equal, "AND"))
    return f"SELECT h.rid {hits} WHERE NOT EXISTS (SELECT 1 {alike})"


def _not_offered(
    con: sqlite3.Connection, feed: Feed, values: _RebaseValues, whole: str
) -> Iterator[tuple[int]]:
    """Return the rowids of hits that exceed the number of equal rows in the source."""
    columns = _identity(feed.target)
    names = [f"c{i}" for i in range(len(columns))]
    held = ", ".join(f"+t.{quote(c.name)} AS {n}" for c, n in zip(columns, names, strict=True))
    offered = ", ".join(f"+{feed.expr(c.name)} AS {n}" for c, n in zip(columns, names, strict=True))
    keys = [f"k{i}" for i in range(len(values.held))]
    held += "".join(f", +{v} AS {k}" for v, k in zip(values.held, keys, strict=True))
    offered += "".join(f", +{v} AS {k}" for v, k in zip(values.offered, keys, strict=True))
    terms = "".join(f", {k} COLLATE BINARY, typeof({k})" for k in keys)
    rows = con.execute(
        f"SELECT group_concat(rid), count(*) - count(rid) FROM (SELECT {held}, h.rid AS rid "
        f"FROM temp.hits AS h CROSS JOIN main.{quote(feed.target.name)} AS t "
        f"ON t.{feed.target.rowid} = h.rid UNION ALL SELECT {offered}, NULL {feed.source(whole)}) "
        f"GROUP BY {grouping(columns, names)}{terms} HAVING count(rid) > count(*) - count(rid)"
    )
    for rids, kept in rows:
        yield from ((rid,) for rid in sorted(map(int, rids.split(",")))[kept:])


def _identity(table: Table) -> tuple[Column, ...]:
    """Return the columns that identify a row: all but the stamps."""
    stamps = stamps_of([c.name for c in table.stored], table.keys[0].columns if table.keys else ())
    return tuple(c for c in table.stored if not stamps.holds(c.name)) or table.stored


def _delete_by_key(con: sqlite3.Connection, feed: Feed, values: _RebaseValues, whole: str) -> int:
    """Delete them in a table WITHOUT ROWID, whose rows are all different."""
    table = f"main.{quote(feed.target.name)}"
    equal = [same(c, feed.expr(c.name), f"t.{quote(c.name)}") for c in _identity(feed.target)]
    equal += values.alike
    return con.execute(
        f"DELETE FROM {table} AS t WHERE {among('brought', values.held)} "
        f"AND NOT EXISTS (SELECT 1 {feed.source(whole, tree(equal, 'AND'))})"
    ).rowcount
