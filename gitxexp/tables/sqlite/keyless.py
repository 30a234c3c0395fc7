"""Merge rows without a key: the result has each row as often as the input that has it most often.

One scan of the target finds the rows that could be equal, by one discriminating column against a
temporary index of the offered values. Only those are compared whole, by one grouping sort.

A cheap test excludes rows first: those outside the range of a column's offered values. Results are
appended in time order, so most older rows are outside the range of a new source.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence

from gitxexp.common.dataclass import dataclass
from gitxexp.common.sql import quote
from gitxexp.tables.rules import (
    Stamp,
    StampedRow,
    Stamps,
    fold,
    merge_stamped,
    stamps_of,
    two_stamps,
)
from gitxexp.tables.sqlite.feed import Feed, tree, typed
from gitxexp.tables.sqlite.schema import Column, Table
from gitxexp.tables.sqlite.write import RowsAlike, Tally, Writer, fresh, stage

SAMPLE = 2000  #: sampled rows for choosing a discriminating column
TERMS = 1900  #: SQLite allows 2,000 terms in GROUP BY and 2,000 result columns


@dataclass(frozen=True)
class Subset:
    """Which target rows to compare with: all that meet ``where`` (over ``t``), by ``columns``."""

    columns: tuple[Column, ...]
    where: str = "1"
    ranges: str = ""  #: temp table of rowid ranges of the target


@dataclass(frozen=True)
class Counts:
    """How many rows were offered and how many were inserted."""

    offered: int
    new: int
    filled: int = 0  #: rows of the target that got a stamp

    def add_to(self, tally: Tally) -> None:
        tally.incoming += self.offered
        tally.new += self.new
        tally.filled += self.filled
        tally.identical += self.offered - self.new - self.filled


def merge_keyless(con: sqlite3.Connection, feed: Feed, subset: Subset, write: Writer) -> Counts:
    """Add what the target has fewer copies of. Raises Careful if a constraint forbids a row."""
    offered: int = con.execute(f"SELECT count(*) {feed.source()}").fetchone()[0]
    if not offered:
        return Counts(0, 0)
    filled = 0
    if find_hits(con, feed, subset, write) or feed.target.virtual:
        feed, filled = pair_stamps(con, feed, subset, write)
        surplus(con, feed, subset)
        new = insert_surplus(con, feed, subset.columns, write)
    else:
        names = [c.name for c in subset.columns]
        select = f"SELECT {feed.select(names)} {feed.source()}"
        new = write.insert(feed, names, select, offered)
    return Counts(offered, new, filled)


def find_hits(
    con: sqlite3.Connection, feed: Feed, subset: Subset, write: Writer | None = None
) -> int:
    """Fill ``temp.hits`` with the rowids of target rows that may equal an offered row."""
    fresh(con, "hits", "rid INTEGER PRIMARY KEY")
    target = feed.target
    table = f"main.{quote(target.name)} AS t"
    where = subset.where
    if subset.ranges:
        table = f"temp.{subset.ranges} AS r CROSS JOIN {table}"
        where += f" AND t.{target.rowid} BETWEEN r.lo AND r.hi"
    elif write is not None and write.alike is not None and subset.where == "1":
        return _hits_alike(con, feed, subset, write.alike, write)
    probe = None if subset.ranges else _probe_column(con, feed, subset)
    if probe is not None and write is not None and subset.where == "1" and write.together:
        return _shared_hits(con, feed, subset, probe, write)
    if probe is not None:
        nulls = _fill_probe(con, [feed], probe)
        name = f"t.{quote(probe.name)}"
        if fold(probe.name) in target.indexed and not nulls:
            table = f"temp.probe AS p CROSS JOIN {table}"
            where += f" AND {name} = p.v"
        else:
            where += f" AND {_probed(probe, nulls)}"
    sql = f"INSERT OR IGNORE INTO temp.hits SELECT t.{target.rowid} FROM {table} WHERE {where}"
    return con.execute(sql).rowcount


def _hits_alike(
    con: sqlite3.Connection, feed: Feed, subset: Subset, alike: RowsAlike, write: Writer
) -> int:
    """The same where it is known which of the target's own rows come into question."""
    target = feed.target
    table, rowid = f"main.{quote(target.name)} AS t", f"t.{target.rowid}"
    added = f"{rowid} > {write.account.of(target.name).last_rowid} AND {alike.test}"
    parts = [f"FROM {table} WHERE {added}"]
    if alike.ranges:
        own = (
            f"FROM temp.{alike.ranges} AS r CROSS JOIN {table} WHERE {rowid} BETWEEN r.lo AND r.hi"
        )
        parts.append(f"{own} AND {alike.test}")
    parts = [p for p in parts if con.execute(f"SELECT 1 {p} LIMIT 1").fetchone()]
    probe = _probe_column(con, feed, subset) if parts else None
    test = ""
    if probe is not None:
        test = " AND " + _probed(probe, _fill_probe(con, [feed], probe))
    for rows in parts:
        con.execute(f"INSERT OR IGNORE INTO temp.hits SELECT {rowid} {rows}{test}")
    return int(con.execute("SELECT count(*) FROM temp.hits").fetchone()[0])


def _probed(probe: Column, nulls: bool) -> str:
    """SQL: the target's row has one of the offered values, or NULL where one of them is."""
    value = f"t.{quote(probe.name)}"
    test = f"+{value} COLLATE BINARY IN temp.probe"
    return f"({test} OR {value} IS NULL)" if nulls else f"({test})"


def _shared_hits(
    con: sqlite3.Connection, feed: Feed, subset: Subset, probe: Column, write: Writer
) -> int:
    """One scan of the target's own rows serves all sources that are attached together."""
    target, tally = feed.target, write.account.of(feed.target.name)
    table = f"main.{quote(target.name)}"
    name = f"scan{tally.number}"
    before = f"t.{target.rowid} <= {tally.last_rowid}"
    scan = write.scans.get(fold(target.name))
    if scan is None or feed.db not in scan:
        others = [o for o in write.upcoming(feed) if o.has(probe.name)]
        feeds = [feed, *others]
        fresh(con, name, "rid INTEGER PRIMARY KEY")
        test = _probed(probe, _fill_probe(con, feeds, probe))
        narrow = outside(con, feeds, [c.name for c in subset.columns], tally.held)
        con.execute(
            f"INSERT INTO temp.{name} SELECT t.{target.rowid} FROM {table} AS t "
            f"WHERE {before} AND {narrow} AND {test}"
        )
        write.scans[fold(target.name)] = {f.db for f in feeds}
    con.execute(f"INSERT INTO temp.hits SELECT rid FROM temp.{name}")
    after = f"t.{target.rowid} > {tally.last_rowid}"
    if con.execute(f"SELECT 1 FROM {table} AS t WHERE {after} LIMIT 1").fetchone():
        test = _probed(probe, _fill_probe(con, [feed], probe))
        con.execute(
            f"INSERT OR IGNORE INTO temp.hits SELECT t.{target.rowid} FROM {table} AS t "
            f"WHERE {after} AND {test}"
        )
    return int(con.execute("SELECT count(*) FROM temp.hits").fetchone()[0])


def _fill_probe(con: sqlite3.Connection, feeds: Sequence[Feed], probe: Column) -> bool:
    """Put the offered values of one column into ``temp.probe``; whether any of them is NULL."""
    fresh(con, "probe", "v PRIMARY KEY", " WITHOUT ROWID")
    nulls = False
    for feed in feeds:
        value = feed.expr(probe.name)
        con.execute(
            f"INSERT OR IGNORE INTO temp.probe SELECT {value} "
            f"{feed.source(f'{value} IS NOT NULL')} ORDER BY {value} COLLATE BINARY"
        )
        missing = con.execute(f"SELECT 1 {feed.source(f'{value} IS NULL')} LIMIT 1").fetchone()
        nulls = nulls or missing is not None
    return nulls


def _probe_column(con: sqlite3.Connection, feed: Feed, subset: Subset) -> Column | None:
    """Return the offered column that distinguishes rows best, judged by a sample.

    None if there is none, and everything must be compared.
    """
    stamps = stamps_of([c.name for c in subset.columns])
    shared = [c for c in subset.columns if feed.has(c.name) and not stamps.holds(c.name)]
    shared = shared[: TERMS // 2]
    if not shared:
        return None
    parts = ", ".join(
        f"count(DISTINCT {feed.expr(c.name)}), count({feed.expr(c.name)})" for c in shared
    )
    inner = f"(SELECT s.* {feed.source()} LIMIT {SAMPLE}) AS s"
    *row, total = con.execute(f"SELECT {parts}, count(*) FROM {inner}").fetchone()

    def worth(i: int) -> float:
        distinct, filled = row[2 * i : 2 * i + 2]
        indexed = fold(shared[i].name) in feed.target.indexed
        return float(distinct) * (1.0 if filled == total else 0.2) * (1.5 if indexed else 1.0)

    best = max(range(len(shared)), key=worth)
    return shared[best] if worth(best) > 0 else None


def pair_stamps(
    con: sqlite3.Connection, feed: Feed, subset: Subset, write: Writer
) -> tuple[Feed, int]:
    """Give one stamp to rows of the target (among the hits) and offered ones that are the same row.

    Returns the feed with these stamps, and how many rows of the target have a new one.
    """
    target = feed.target
    key = target.keys[0].columns if target.keys else ()
    stamps = stamps_of([c.name for c in subset.columns], key)
    if not stamps.columns or target.virtual:
        return feed, 0
    identity = [c for c in subset.columns if not stamps.holds(c.name)]
    if (
        not identity
        or not con.execute(
            f"{_stamp_groups(feed, subset, identity, stamps, 'NULL', '1')} LIMIT 1"
        ).fetchone()
    ):
        return feed, 0
    tally = write.account.of(target.name)
    rows = f"SELECT {feed.select()} {feed.source()} {feed.order() if not feed.ranges else ''}"
    feed = stage(con, feed, rows, f"paired{tally.number}")
    places = "group_concat(turn), group_concat(rid)"
    groups = con.execute(
        _stamp_groups(feed, subset, identity, stamps, "s.rowid", places)
    ).fetchall()
    parts = [[list(map(int, part.split(","))) for part in group] for group in groups]
    theirs = read_stamps(con, f"temp.{feed.table.name} AS s", "s.rowid", stamps, feed.expr,
                         [n for offered, _ in parts for n in offered])  # fmt: skip
    ours = read_stamps(con, f"main.{quote(target.name)} AS t", f"t.{target.rowid}", stamps,
                       lambda c: f"t.{quote(c)}", [n for _, held in parts for n in held])  # fmt: skip
    filled = 0
    for offered, held in parts:
        mine, other = [ours[n] for n in sorted(held)], [theirs[n] for n in sorted(offered)]
        group = merge_stamped((), mine, other, stamps.versions)
        filled += write_stamps(con, target, stamps, group.ours, ours)
        sets = ", ".join(f"{feed.expr(c).removeprefix('s.')} = ?" for c in stamps.columns)
        con.executemany(
            f"UPDATE temp.{feed.table.name} SET {sets} WHERE rowid = ?",
            [(*stamp, turn) for turn, stamp in group.theirs.items()],
        )
        for text in two_stamps(target.name, group.differing):
            write.account.note(text)
    tally.settled = tally.settled or filled > 0
    return feed, filled


def _stamp_groups(
    feed: Feed,
    subset: Subset,
    identity: Sequence[Column],
    stamps: Stamps,
    place: str,
    picks: str,
) -> str:
    """A query for the groups of rows, offered and held, that are the same but for their stamps."""
    target = feed.target
    names = [f"c{i}" for i in range(len(identity))]
    offered = ", ".join(
        f"+{feed.expr(c.name)} AS {n}" for c, n in zip(identity, names, strict=True)
    )
    held = ", ".join(f"+t.{quote(c.name)} AS {n}" for c, n in zip(identity, names, strict=True))
    mine = "||','||".join(f"quote(t.{quote(c)})" for c in stamps.columns)
    other = "||','||".join(f"quote({feed.expr(c)})" for c in stamps.columns)
    return (
        f"SELECT {picks} FROM (SELECT {offered}, {other} AS stamp, 0 AS side, {place} AS turn, "
        f"NULL AS rid {feed.source()} UNION ALL SELECT {held}, {mine}, 1, NULL, h.rid "
        f"FROM temp.hits AS h CROSS JOIN main.{quote(target.name)} AS t "
        f"ON t.{target.rowid} = h.rid WHERE {subset.where}) GROUP BY {grouping(identity, names)} "
        "HAVING min(side) < max(side) AND min(stamp) <> max(stamp)"
    )


def read_stamps(
    con: sqlite3.Connection,
    rows: str,
    place: str,
    stamps: Stamps,
    expr: Callable[[str], str],
    places: Sequence[int],
) -> dict[int, StampedRow]:
    """The rows at these places (row numbers of ``rows``) with their run and stamp."""
    fresh(con, "places", "n INTEGER PRIMARY KEY")
    con.executemany("INSERT OR IGNORE INTO temp.places VALUES (?)", [(n,) for n in places])
    run = expr(stamps.run) if stamps.run else "NULL"
    picks = ", ".join([place, run, *(expr(c) for c in stamps.columns)])
    found = con.execute(
        f"SELECT {picks} FROM temp.places AS p CROSS JOIN {rows} ON {place} = p.n"
    ).fetchall()
    return {row[0]: StampedRow(row[0], row[1], tuple(row[2:])) for row in found}


def write_stamps(
    con: sqlite3.Connection,
    target: Table,
    stamps: Stamps,
    wanted: Mapping[int, Stamp | None],
    held: Mapping[int, StampedRow],
) -> int:
    """Give rows of the target their new stamps; return how many changed."""
    changed = [(*s, n) for n, s in wanted.items() if s is not None and s != held[n].stamp]
    sets = ", ".join(f"{quote(c)} = ?" for c in stamps.columns)
    con.executemany(
        f"UPDATE main.{quote(target.name)} SET {sets} WHERE {target.rowid} = ?", changed
    )
    return len(changed)


def surplus(con: sqlite3.Connection, feed: Feed, subset: Subset) -> None:
    """Fill ``temp.need``: exact rows, how many more (n) the feed has than the hits, a rowid."""
    columns = subset.columns
    names = [f"c{i}" for i in range(len(columns))]
    fresh(con, "need", ", ".join([*names, "n", "rid"]))
    target = feed.target
    offered = ", ".join(f"+{feed.expr(c.name)} AS {n}" for c, n in zip(columns, names, strict=True))
    held = ", ".join(f"+t.{quote(c.name)} AS {n}" for c, n in zip(columns, names, strict=True))
    # The + takes affinity away: a REAL column in a compound SELECT would convert the other side.
    rowid = f"s.{feed.table.rowid}" if feed.table.rowid else "NULL"
    con.execute(
        f"INSERT INTO temp.need SELECT {', '.join(names)}, sum(d) AS n, min(rid) FROM ("
        f"SELECT {offered}, 1 AS d, {rowid} AS rid {feed.source()} UNION ALL "
        f"SELECT {held}, -1, NULL FROM temp.hits AS h "
        f"CROSS JOIN main.{quote(target.name)} AS t ON t.{target.rowid} = h.rid "
        f"WHERE {subset.where}"
        f") GROUP BY {grouping(columns, names)} HAVING n > 0 ORDER BY min(rid)"
    )


def grouping(columns: Sequence[Column], names: Sequence[str]) -> str:
    """GROUP BY terms that tell storage classes apart and compare text by its bytes."""
    terms = [f"{n} COLLATE BINARY" for n in names]
    classes = [f"typeof({n})" for c, n in zip(columns, names, strict=True) if typed(c)]
    if len(terms) + len(classes) > TERMS:
        classes = [tree(classes, "||")]
    return ", ".join(terms + classes)


def insert_surplus(
    con: sqlite3.Connection, feed: Feed, columns: Sequence[Column], write: Writer
) -> int:
    """Insert every row of ``temp.need`` n times; returns the number of rows inserted."""
    values = ", ".join(f"c{i}" for i in range(len(columns)))
    names = [c.name for c in columns]
    if feed.target.virtual:
        return _insert_virtual(con, feed.target, names, values)
    once, more = con.execute("SELECT count(*), coalesce(sum(n - 1), 0) FROM temp.need").fetchone()
    select = f"SELECT {values} FROM temp.need"
    done = write.insert(feed, names, f"{select} WHERE 1 ORDER BY rid", once)
    if more:
        con.execute("CREATE INDEX temp.need_n ON need(n)")
        copies = (
            "WITH RECURSIVE k(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM k "
            f"WHERE i < (SELECT max(n) FROM temp.need)) {select} JOIN k ON n >= k.i WHERE 1"
        )
        done += write.insert(feed, names, copies, more)
    return done


def _insert_virtual(
    con: sqlite3.Connection, target: Table, names: Sequence[str], values: str
) -> int:
    """Keep the rowid of a virtual table's rows where it is free: triggers may rely on it."""
    table, into = f"main.{quote(target.name)}", ", ".join(map(quote, names))
    fresh(con, "placed", "rid INTEGER PRIMARY KEY")
    con.execute(
        "INSERT INTO temp.placed SELECT rid FROM temp.need WHERE rid IS NOT NULL "
        f"AND rid NOT IN (SELECT rowid FROM {table})"
    )
    done = con.execute(
        f"INSERT INTO {table} (rowid, {into}) SELECT rid, {values} FROM temp.need "
        "WHERE rid IN temp.placed"
    ).rowcount
    con.execute("UPDATE temp.need SET n = n - 1 WHERE rid IN temp.placed")
    return (
        done
        + con.execute(
            f"INSERT INTO {table} ({into}) WITH RECURSIVE k(i) AS (SELECT 1 UNION ALL "
            f"SELECT i + 1 FROM k WHERE i < (SELECT max(n) FROM temp.need)) "
            f"SELECT {values} FROM temp.need JOIN k ON n >= k.i"
        ).rowcount
    )


SPAN_SAMPLE = 200  #: sampled target rows for choosing the column
WORTH = 100_000  #: number of target rows from which on choosing pays off
COLUMNS = 4  #: the first ones: run, time and step are usually there


def outside(
    con: sqlite3.Connection, feeds: Sequence[Feed], columns: Sequence[str], rows: int
) -> str:
    """SQL over ``t`` that no row equal to an offered one fails; "1" where there is none."""
    stamps = stamps_of(columns)  # a row without a stamp may equal one with it
    names = [c for c in columns if all(f.has(c) for f in feeds) and not stamps.holds(c)][:COLUMNS]
    if rows < WORTH or not names:
        return "1"
    _measure(con, feeds, names)
    target = feeds[0].target
    table, rowid = f"main.{quote(target.name)}", target.rowid
    low = con.execute(f"SELECT min({rowid}) FROM {table}").fetchone()[0]  # one seek each
    high = con.execute(f"SELECT max({rowid}) FROM {table}").fetchone()[0]
    fresh(con, "sample", "rid INTEGER PRIMARY KEY")
    for i in range(SPAN_SAMPLE):
        con.execute(
            f"INSERT OR IGNORE INTO temp.sample SELECT {rowid} FROM {table} "
            f"WHERE {rowid} >= ? ORDER BY {rowid} LIMIT 1",
            (low + (high - low) * i // SPAN_SAMPLE,),
        )
    tests = [_within(i, c) for i, c in enumerate(names)]
    inside = con.execute(
        f"SELECT {', '.join(f'total({t})' for t in tests)} FROM temp.sample AS x "
        f"CROSS JOIN {table} AS t ON t.{rowid} = x.rid"
    ).fetchone()
    whole = con.execute(
        f"SELECT {', '.join(f'min(n{i})' for i in range(len(names)))} FROM temp.spans"
    ).fetchone()
    usable = [i for i in range(len(names)) if whole[i] == 1]
    best = min(usable, key=lambda i: inside[i], default=None)
    return "1" if best is None or inside[best] > SPAN_SAMPLE / 2 else tests[best]


def _within(i: int, column: str) -> str:
    value = f"+t.{quote(column)} COLLATE BINARY"
    low = f"(SELECT min(a{i} COLLATE BINARY) FROM temp.spans)"
    high = f"(SELECT max(b{i} COLLATE BINARY) FROM temp.spans)"
    return f"({value} >= {low} AND {value} <= {high})"


def _measure(con: sqlite3.Connection, feeds: Sequence[Feed], names: Sequence[str]) -> None:
    """``temp.spans``: per feed and column the smallest, the largest, and whether none is NULL."""
    fresh(con, "spans", ", ".join(f"a{i}, b{i}, n{i}" for i in range(len(names))))
    for feed in feeds:
        picks = ", ".join(
            f"min({v} COLLATE BINARY), max({v} COLLATE BINARY), count({v}) = count(*)"
            for v in map(feed.expr, names)
        )
        con.execute(f"INSERT INTO temp.spans SELECT {picks} {feed.source()}")
