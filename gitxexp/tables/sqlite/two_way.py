"""Two-way merge and rebase of the rows of one table that have a key.

The insert finds existing rows through the unique index (which costs about an append), so a
comparison is needed only if fewer rows were inserted than offered. For a declared key an index is
created. A rebase first deletes what the offered rows
replace; a plain merge adds them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from gitxexp.common.sql import literal, quote
from gitxexp.tables.plan import MergeOptions, OnConflict, Value
from gitxexp.tables.rules import (
    Stamps,
    ambiguous_key,
    both_forbidden,
    earlier,
    fold,
    merged_stamp,
    renumbered,
    renumbers,
    stamps_of,
    two_stamps,
)
from gitxexp.tables.sqlite.feed import Feed, match, not_null, tallies, tree
from gitxexp.tables.sqlite.keyless import Subset, find_hits, grouping, merge_keyless
from gitxexp.tables.sqlite.schema import Key, Table
from gitxexp.tables.sqlite.write import (
    Cells,
    Writer,
    fresh,
    last_rowid,
    list_conflicts,
    stage,
    update_cells,
)

TAKEN = "taken"  #: temporary table: offered numbers that the target had before
LAST_PLAIN = 1 << 62  #: a new row's number is the largest plus one, unless that could be too large


def merge_keyed(
    con: sqlite3.Connection, feed: Feed, key: Key, options: MergeOptions, write: Writer
) -> None:
    """Merge the rows whose key is whole into a target with a unique index on ``key``."""
    tally = write.account.of(feed.target.name)
    feed = feed.only(not_null(feed, key))
    offered: int = con.execute(f"SELECT count(*) {feed.source()}").fetchone()[0]
    if not offered:
        return
    write.account.of(feed.target.name).incoming += offered
    select = f"SELECT {feed.select()} {feed.source()}"
    if not feed.ranges:
        select += " " + feed.order()
    last = _last_row(con, feed.target)
    if renumbers(options, _is_number(feed, key)) and references(
        con, feed, {fold(feed.target.name)}
    ):
        fresh(con, TAKEN, "id INTEGER PRIMARY KEY")
        con.execute(f"INSERT INTO temp.{TAKEN} SELECT t.{feed.target.rowid} {feed.joined(key)}")
    added = write.insert(feed, feed.columns, select, None)
    tally.new += added
    if added < offered:
        _compare(con, feed, key, options, write, offered, added, last)


def _is_number(feed: Feed, key: Key) -> bool:
    """Whether the key is the target's INTEGER PRIMARY KEY, which is its rowid."""
    return key.folded == (fold(feed.target.alias or ""),)


def _last_row(con: sqlite3.Connection, target: Table) -> int | None:
    """The rowid after which SQLite puts new rows; None if they can have any."""
    if target.virtual or target.alias or not target.rowid:
        return None
    last = last_rowid(con, target)
    return last if 0 <= last < LAST_PLAIN else None


def _compare(
    con: sqlite3.Connection,
    feed: Feed,
    key: Key,
    options: MergeOptions,
    write: Writer,
    offered: int,
    added: int,
    last: int | None = None,
) -> None:
    """Resolve the offered rows whose key the target has already.

    Rows after ``last`` are those just added; they are left out if no other offered row has their key.
    """
    alias = _is_number(feed, key)
    once = renumbers(options, alias) or unique_on(con, feed, key)
    if once and last is not None:
        feed, offered, added = replace(feed, last=last), offered - added, 0
    everything, tally = feed, write.account.of(feed.target.name)
    feed = align_stamps(con, feed, key, write, apart=renumbers(options, alias))
    cells = Cells(feed, options.fill)
    if once:
        tests = [cells.conflict, f"{cells.fillable} AND NOT {cells.conflict}"]
        matched, clashing, fillable = con.execute(
            tallies(tests, feed.joined(key), len(feed.columns))
        ).fetchone()
        tally.filled += fillable
        tally.identical += matched - added - clashing - fillable
        if fillable:  # before rows get new numbers: a row that is filled is no longer what it was
            update_cells(con, feed, key, f"NOT {cells.conflict} AND {cells.fillable}", "t")
        if clashing:
            _settle(con, feed, key, options, write, clashing)
        if feed is not everything:
            stamped = f"s.rowid IN temp.restamped AND NOT {cells.conflict}"
            count = con.execute(f"SELECT count(*) {feed.joined(key, stamped)}").fetchone()[0]
            count = min(count, tally.identical)
            tally.filled += count
            tally.identical -= count
    else:
        matched = con.execute(f"SELECT count(*) {feed.joined(key)}").fetchone()[0]
        # If theirs wins, a row equal to the target's may have to replace an earlier one of the sources.
        wanted = "1" if options.on_conflict == OnConflict.THEIRS else f"NOT {cells.identical}"
        differing = f"SELECT {feed.select()} {feed.joined(key, wanted)}"
        tally.identical += matched - added
        merge_in_turn(con, feed, key, differing, options, write)
    if matched < offered:
        _place_strangers(everything, key, write)


def align_stamps(
    con: sqlite3.Connection, feed: Feed, key: Key, write: Writer, *, apart: bool = False
) -> Feed:
    """Give the target's row and the offered one the same stamp if they are one row: of one key or,
    where different rows of one key stay ``apart``, alike but for their stamps.

    Returns the feed itself if nothing differs, else a feed of the rows that have a partner;
    ``temp.restamped`` has the numbers of those whose partner has a new stamp.
    """
    target = feed.target
    stamps = stamps_of(feed.columns, key.columns)
    if not stamps.columns or target.virtual:
        return feed
    pairs = [(f"t.{quote(c)}", feed.expr(c)) for c in stamps.columns]
    differ = " OR ".join(f"+{t} IS NOT +{s}" for t, s in pairs)

    def one(rows: Feed) -> str:
        rest = [c for c in target.stored if not stamps.holds(c.name)] if apart else []
        return tree([one_row(rows, stamps), *map(Cells(rows, fill=False).same, rest)], "AND")

    if not con.execute(f"SELECT 1 {feed.joined(key, f'({differ})', one(feed))} LIMIT 1").fetchone():
        return feed
    tally = write.account.of(target.name)
    rows = f"SELECT {feed.select()} {feed.joined(key)}"
    staged = stage(con, feed, rows, f"stamped{tally.number}")
    same_row = one(staged)
    mine = ", ".join(f"t.{quote(c)}" for c in stamps.columns)
    others = ", ".join(staged.expr(c) for c in stamps.columns)
    stamp = [f"xexp_stamp({i}, {stamps.versions}, {mine}, {others})" for i in range(len(pairs))]
    changes = " OR ".join(
        f"{new} IS NOT t.{quote(c)}" for new, c in zip(stamp, stamps.columns, strict=True)
    )
    register_stamps(con)
    _note_two_stamps(con, staged, key, stamps, write, same_row)
    fresh(con, "restamped", "turn INTEGER PRIMARY KEY")
    con.execute(
        "INSERT OR IGNORE INTO temp.restamped "
        f"SELECT s.rowid {staged.joined(key, same_row, f'({changes})')}"
    )
    sets = ", ".join(f"{quote(c)} = {new}" for c, new in zip(stamps.columns, stamp, strict=True))
    done = con.execute(
        f"UPDATE main.{quote(target.name)} AS t SET {sets} "
        f"{staged.offered(key, 's.rowid IN temp.restamped')}"
    ).rowcount
    tally.settled = tally.settled or done > 0
    sets = ", ".join(f"{staged.expr(c).removeprefix('s.')} = t.{quote(c)}" for c in stamps.columns)
    con.execute(
        f"UPDATE temp.{staged.table.name} AS s SET {sets} FROM main.{quote(target.name)} AS t "
        f"WHERE {match(staged, key)} AND {same_row}"
    )
    return staged


def one_row(feed: Feed, stamps: Stamps) -> str:
    """SQL: the stamps of ``s`` and ``t`` may be two of one row (:func:`rules.merge_stamped`)."""
    gaps = " AND ".join(
        f"(t.{quote(c)} IS NULL OR {feed.expr(c)} IS NULL OR (+t.{quote(c)} IS +{feed.expr(c)} "
        f"AND typeof(t.{quote(c)}) = typeof({feed.expr(c)})))"
        for c in stamps.columns
    )
    if stamps.run is None or not feed.has(stamps.run):
        return f"({gaps})"
    mine, other = f"t.{quote(stamps.run)}", feed.expr(stamps.run)
    return f"(({gaps}) OR ({mine} IS NOT NULL AND +{mine} IS +{other}))"


def register_stamps(con: sqlite3.Connection) -> None:
    """Register ``xexp_stamp(number, versions, ours…, theirs…)``, one cell of the merged stamp."""

    def cell(number: int, versions: int, *values: Value) -> Value:
        half = len(values) // 2
        return merged_stamp(values[:half], values[half:], versions)[number]

    con.create_function("xexp_stamp", -1, cell, deterministic=True)


def _note_two_stamps(
    con: sqlite3.Connection, feed: Feed, key: Key, stamps: Stamps, write: Writer, same_row: str
) -> None:
    names = stamps.columns[: stamps.versions]
    if not names:
        return
    mine = f"coalesce({', '.join(f't.{quote(c)}' for c in names)}, NULL)"
    other = f"coalesce({', '.join(feed.expr(c) for c in names)}, NULL)"
    found = con.execute(
        f"SELECT DISTINCT {mine}, {other} {feed.joined(key, same_row)} AND {mine} <> {other}"
    ).fetchall()
    pairs = [(b, a) if earlier(b, a) else (a, b) for a, b in found]
    for text in two_stamps(feed.target.name, pairs):
        write.account.note(text)


def unique_on(con: sqlite3.Connection, feed: Feed, key: Key) -> bool:
    """Whether no two offered rows have the same key."""
    names = {fold(c.name): fold(feed.renamed.get(fold(c.name), c.name)) for c in feed.table.columns}
    plain = all(fold(c) == "binary" for c in key.collations)
    for own in feed.table.keys if plain else ():
        if {names[c] for c in own.folded} <= set(key.folded):
            return True
    terms = ", ".join(
        f"+{feed.expr(c)} COLLATE {quote(k)}"
        for c, k in zip(key.columns, key.collations, strict=True)
    )
    if key.exact:
        terms += "".join(f", typeof({feed.expr(c)})" for c in key.columns)
    double = f"SELECT 1 {feed.source()} GROUP BY {terms} HAVING count(*) > 1 LIMIT 1"
    return con.execute(double).fetchone() is None


def _settle(
    con: sqlite3.Connection, feed: Feed, key: Key, options: MergeOptions, write: Writer, n: int
) -> None:
    """Resolve ``n`` keys in conflict as the options say, or record them."""
    tally, cells = write.account.of(feed.target.name), Cells(feed, options.fill)
    alias = _is_number(feed, key)
    if renumbers(options, alias):
        _renumber(con, feed, key, cells, write)
        return
    tally.conflicting += n
    if options.on_conflict == OnConflict.THEIRS:
        tally.replaced += n
        update_cells(con, feed, key, cells.conflict, "s" if options.fill else "s only")
        return
    if options.on_conflict != OnConflict.OURS:
        if options.on_conflict == OnConflict.BOTH:
            write.account.note(both_forbidden(feed.target.name))
        kind = "primary key" if alias else "value"
        write.account.conflict(list_conflicts(con, feed, key, cells, kind))
    if options.fill and update_cells(con, feed, key, f"{cells.conflict} AND {cells.fillable}", "t"):
        tally.settled = True


def _renumber(con: sqlite3.Connection, feed: Feed, key: Key, cells: Cells, write: Writer) -> None:
    """Give rows with a taken number a new one, unless the target has the same row already.

    ``write.moved`` has the old and new numbers; rows that refer to them are changed, too.
    """
    target, alias = feed.target, feed.target.alias or ""
    tally = write.account.of(target.name)
    rows = f"SELECT {feed.select()} {feed.joined(key)} AND ({cells.conflict} OR {cells.identical})"
    staged = stage(con, feed, rows)
    rest = tuple(c for c in target.stored if fold(c.name) != fold(alias))
    find_hits(con, staged, Subset(rest))
    names = [f"c{i}" for i in range(len(rest))]
    offered = ", ".join(f"+{staged.expr(c.name)} AS {n}" for c, n in zip(rest, names, strict=True))
    held = ", ".join(f"+t.{quote(c.name)} AS {n}" for c, n in zip(rest, names, strict=True))
    groups = con.execute(
        f"SELECT group_concat(turn), group_concat(rid) FROM (SELECT {offered}, s.rowid AS turn, "
        f"NULL AS rid {staged.source()} UNION ALL SELECT {held}, NULL, h.rid "
        f"FROM temp.hits AS h CROSS JOIN main.{quote(target.name)} AS t "
        f"ON t.{target.rowid} = h.rid) GROUP BY {grouping(rest, names)} HAVING count(turn) > 0"
    ).fetchall()
    old = dict(con.execute(f"SELECT s.rowid, {staged.expr(alias)} {staged.source()}").fetchall())
    highest = f"SELECT max({target.rowid}) FROM main.{quote(target.name)}"
    number = con.execute(highest).fetchone()[0] or 0
    known, added = dict[int, int](), list[int]()
    for turns, rids in groups:
        free = set(map(int, rids.split(","))) if rids else set()
        left = []
        for turn in sorted(map(int, turns.split(","))):
            if old[turn] in free:  # the same row under the same number
                free.remove(old[turn])
            else:
                left.append(turn)
        known |= dict(zip(left, sorted(free), strict=False))
        added += left[len(free) :]
    moved = known | {turn: number + i for i, turn in enumerate(sorted(added), 1)}
    name = f"moved{tally.number}_{write.turn}"
    fresh(con, name, "turn INTEGER PRIMARY KEY, old INTEGER, new INTEGER, added INTEGER")
    con.executemany(
        f"INSERT INTO temp.{name} VALUES (?, ?, ?, ?)",
        [(turn, old[turn], new, turn not in known) for turn, new in moved.items()],
    )
    con.execute(f"CREATE INDEX temp.{name}_old ON {name} (old)")
    write.moved[fold(target.name)] = name
    columns = [alias, *(c.name for c in rest)]
    picks = ", ".join(["m.new", *(staged.expr(c.name) for c in rest)])
    select = (
        f"SELECT {picks} FROM temp.{name} AS m CROSS JOIN temp.{staged.table.name} AS s "
        "ON s.rowid = m.turn WHERE m.added ORDER BY m.new"
    )
    new = write.insert(staged, columns, select, len(added))
    tally.new += new
    tally.identical += len(moved) - new
    if new:
        write.account.note(renumbered(target.name, new, alias))
    _follow_own(con, feed, name)


def _follow_own(con: sqlite3.Connection, feed: Feed, moved: str) -> None:
    """Rows of this source that refer to renumbered rows of their own table."""
    target = feed.target
    for column in references(con, feed, {fold(target.name)}):
        name, number = quote(column), f"t.{target.rowid}"
        con.execute(
            f"UPDATE main.{quote(target.name)} AS t SET {name} = "
            f"(SELECT m.new FROM temp.{moved} AS m WHERE m.old = t.{name} LIMIT 1) "
            f"WHERE t.{name} IN (SELECT old FROM temp.{moved}) AND ({number} IN "
            f"(SELECT new FROM temp.{moved} WHERE added) OR {number} NOT IN temp.{TAKEN} "
            f"AND {number} IN (SELECT {feed.expr(target.alias or '')} {feed.source()}))"
        )


def references(con: sqlite3.Connection, feed: Feed, parents: Collection[str]) -> list[str]:
    """The target's columns that refer to the number of a row of one of ``parents``."""
    found = []
    for parent, column, to in foreign_keys(con, feed):
        if fold(parent) not in parents:
            continue
        info = con.execute(f"PRAGMA main.table_info({literal(parent)})").fetchall()
        primary = [fold(r[1]) for r in info if r[5]]
        if to is None or [fold(to)] == primary:
            found.append(column)
    return list(dict.fromkeys(found))


def foreign_keys(con: sqlite3.Connection, feed: Feed) -> Iterator[tuple[str, str, str | None]]:
    """Parent, column and the parent's column of each foreign key of one column that the target or the
    source declares: rows refer by the source's, too, where the target cannot get it."""
    for db, table in (("main", feed.target), (feed.db, feed.table)):
        if not table.foreign:
            continue
        rows = con.execute(f"PRAGMA {quote(db)}.foreign_key_list({literal(table.name)})").fetchall()
        for number, _, parent, column, to, *_ in rows:
            if sum(other[0] == number for other in rows) == 1:
                name = column if table is feed.target else feed.renamed.get(fold(column), column)
                yield parent, name, to


def follow_renumbered(con: sqlite3.Connection, feed: Feed, write: Writer) -> Feed:
    """The feed with the new numbers of the rows that it refers to."""
    if not write.moved or feed.target.virtual:
        return feed
    parents = set(write.moved) - {fold(feed.target.name)}
    columns = {c: p for p in parents for c in references(con, feed, {p})}
    columns = {fold(c): p for c, p in columns.items() if feed.has(c)}
    if not columns:
        return feed

    def pick(column: str) -> str:
        value, parent = feed.expr(column), columns.get(fold(column))
        if parent is None:
            return value
        moved = f"SELECT m.new FROM temp.{write.moved[parent]} AS m WHERE m.old = {value} LIMIT 1"
        return f"ifnull(({moved}), {value})"

    picks = ", ".join(pick(c) for c in feed.columns)
    number = write.account.of(feed.target.name).number
    return stage(con, feed, f"SELECT {picks} {feed.source()} {feed.order()}", f"followed{number}")


def _place_strangers(feed: Feed, key: Key, write: Writer) -> None:
    """Insert the remaining offered rows one by one, because another constraint refused them."""
    table = f"main.{quote(feed.target.name)}"
    lost = feed.source(f"NOT EXISTS (SELECT 1 FROM {table} AS t WHERE {match(feed, key)})")
    new = write.each(feed, feed.columns, f"SELECT {feed.select()} {lost}")
    write.account.of(feed.target.name).new += new


INDEX = "xexp declared key"


def merge_declared(
    con: sqlite3.Connection, feed: Feed, key: Key, options: MergeOptions, write: Writer
) -> None:
    """Merge the rows whose declared key is whole, by an index made for it.

    Raises XexpError if the key names several rows of one side, unless all rows are to be kept.
    """
    feed = feed.only(not_null(feed, key))
    offered: int = con.execute(f"SELECT count(*) {feed.source()}").fetchone()[0]
    if not offered:
        return
    table, tally = quote(feed.target.name), write.account.of(feed.target.name)
    lead = fold(key.columns[0]) in feed.target.indexed
    if not lead:
        into = ", ".join(quote(c) for c in key.columns)
        con.execute(f"CREATE INDEX main.{quote(INDEX)} ON {table} ({into})")
    if options.on_conflict is OnConflict.BOTH:
        feed, apart = _keep_both(con, feed, key, options, write)
        offered -= apart
    else:
        _check_unique(con, feed, key)
    tally.incoming += offered
    missing = f"NOT EXISTS (SELECT 1 FROM main.{table} AS t WHERE {match(feed, key)})"
    wanted = con.execute(f"SELECT count(*) {feed.source(missing)}").fetchone()[0]
    select = f"SELECT {feed.select()} {feed.source(missing)} {feed.order()}"
    added = write.insert(feed, feed.columns, select, wanted)
    tally.new += added
    if added < offered:
        _compare(con, feed, key, options, write, offered, added)
    if not lead:
        con.execute(f"DROP INDEX main.{quote(INDEX)}")


def _check_unique(con: sqlite3.Connection, feed: Feed, key: Key) -> None:
    offered = [feed.expr(c) for c in key.columns]
    held = [f"t.{quote(c)}" for c in key.columns]
    sides = (
        (offered, feed.source()),
        (held, feed.joined(key)),
    )
    for values, rows in sides:
        terms = ", ".join(f"+{v} COLLATE BINARY, typeof({v})" for v in values)
        shown = ", ".join(values)
        found = con.execute(
            f"SELECT {shown}, count(*) {rows} GROUP BY {terms} HAVING count(*) > 1 LIMIT 3"
        ).fetchall()
        if found:
            several = [(", ".join(map(str, row[:-1])), row[-1]) for row in found]
            raise ambiguous_key(feed.target.name, key.columns, several)


def _keep_both(
    con: sqlite3.Connection, feed: Feed, key: Key, options: MergeOptions, write: Writer
) -> tuple[Feed, int]:
    """Merge rows whose keys disagree, or name several rows, as whole rows.

    Returns the feed of the other rows, and the number of rows merged here.
    """
    cells = Cells(feed, options.fill)
    values = [feed.expr(c) for c in key.columns]
    picks = ", ".join([*values, *(f"typeof({v})" for v in values)])
    ks = [f"k{i}" for i in range(len(values))]
    columns = ", ".join([*ks, *(f"y{k}" for k in ks)])
    fresh(con, "disagreeing", f"{columns}, PRIMARY KEY({columns})", " WITHOUT ROWID")
    for rows in (
        f"{feed.source()} GROUP BY {picks} HAVING count(*) > 1",
        f"{feed.joined(key)} GROUP BY {picks} HAVING count(*) > 1",
        feed.joined(key, cells.conflict),
    ):
        con.execute(f"INSERT OR IGNORE INTO temp.disagreeing SELECT {picks} {rows}")
    whole = among("disagreeing", values)
    counts = merge_keyless(con, feed.only(whole), Subset(feed.target.stored), write)
    counts.add_to(write.account.of(feed.target.name))
    return feed.only(f"NOT {whole}"), counts.offered


def merge_in_turn(
    con: sqlite3.Connection,
    feed: Feed,
    key: Key,
    select: str,
    options: MergeOptions,
    write: Writer,
) -> None:
    """Merge the rows of ``select`` one by one; they have been counted as identical."""
    staged = stage(con, feed, select)
    cells = Cells(staged, options.fill)
    tally = write.account.of(feed.target.name)
    rowid = feed.target.rowid or "NULL"
    look = (
        f"SELECT t.{rowid}, {cells.conflict}, {cells.fillable} "
        f"{staged.joined(key, 's.rowid = ?')} ORDER BY t.{rowid}"
        if feed.target.rowid
        else f"SELECT NULL, {cells.conflict}, {cells.fillable} {staged.joined(key, 's.rowid = ?')}"
    )
    for (turn,) in con.execute("SELECT rowid FROM temp.turn ORDER BY rowid").fetchall():
        rows = con.execute(look, (turn,)).fetchall()
        one = staged.only(f"s.rowid = {turn}")
        fits = next((r for r in rows if not r[1]), None)
        if not rows:
            tally.identical -= 1
            tally.new += write.insert(one, one.columns, f"SELECT {one.select()} {one.source()}", 1)
        elif fits is None:
            tally.identical -= 1
            _clash(con, one, key, rows[0][0], options, write)
        elif fits[2]:
            tally.identical -= 1
            tally.filled += 1
            update_cells(con, one, key, _this(feed, fits[0]), "t")


def _this(feed: Feed, rowid: int | None) -> str:
    return "1" if rowid is None else f"t.{feed.target.rowid} = {rowid}"


def _clash(
    con: sqlite3.Connection,
    one: Feed,
    key: Key,
    rowid: int | None,
    options: MergeOptions,
    write: Writer,
) -> None:
    tally = write.account.of(one.target.name)
    here = _this(one, rowid)
    tally.conflicting += 1
    if options.on_conflict == OnConflict.THEIRS:
        tally.replaced += 1
        update_cells(con, one, key, here, "s" if options.fill else "s only")
        return
    if options.on_conflict != OnConflict.OURS:
        found = list_conflicts(con, one, key, Cells(one, options.fill), "value", here)
        write.account.conflict(found)
    if options.fill and update_cells(con, one, key, f"{here} AND {Cells(one, True).fillable}", "t"):
        tally.settled = True


def among(keys: str, values: Sequence[str], more: str = "1") -> str:
    """SQL: a temporary table ``b`` of keys (k0…) and their types (yk0…) has these values."""
    tests = [
        f"b.k{i} = +{v} COLLATE BINARY AND b.yk{i} = typeof({v})" for i, v in enumerate(values)
    ]
    return f"EXISTS (SELECT 1 FROM temp.{keys} AS b WHERE {' AND '.join([*tests, more])})"
