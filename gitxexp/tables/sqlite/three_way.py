"""Three-way merge of one table: what theirs changed since the base, applied to ours.

Tables with a key are merged cell by cell, rows without a whole key by counting equal rows on each
side.
"""

from __future__ import annotations

import sqlite3
from dataclasses import field, replace

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.sql import quote
from gitxexp.tables.plan import Conflict, MergeOptions, OnConflict, Value
from gitxexp.tables.rules import (
    Stamps,
    combined,
    fold,
    merge_stamped,
    merged_stamp,
    stamps_of,
    two_stamps,
    version_of,
)
from gitxexp.tables.sqlite.feed import (
    WIDE,
    Feed,
    match,
    not_null,
    same,
    some_null,
    tallies,
    target_null,
    tree,
)
from gitxexp.tables.sqlite.keyless import (
    Subset,
    find_hits,
    grouping,
    insert_surplus,
    read_stamps,
    write_stamps,
)
from gitxexp.tables.sqlite.pages import Near
from gitxexp.tables.sqlite.schema import Column, Key, Table
from gitxexp.tables.sqlite.two_way import merge_keyed, unique_on
from gitxexp.tables.sqlite.write import SHOWN, Writer, fresh, stage


@dataclass(frozen=True)
class Three:
    """One table at the base (``b`` in SQL), theirs (``s``) and ours (``t``)."""

    base: Feed
    theirs: Feed
    key: Key
    options: MergeOptions
    write: Writer

    @property
    def name(self) -> str:
        return self.theirs.target.name

    def old(self, column: str) -> str:
        """The base's value, as an expression over ``b``."""
        return under_b(self.base.expr(column))

    def linked(self, seek: str = "b") -> str:
        """The base row ``b`` and theirs ``s`` have the same key; ``seek`` by an index of which."""
        tests = []
        for name, collation in zip(self.key.columns, self.key.collations, strict=True):
            b, s = self.old(name), self.theirs.expr(name)
            number = "typeof({0}) IN ('integer', 'real')"
            here, there = (b, s) if seek == "b" else (s, b)
            tests += [
                f"{here} = +{there} COLLATE {quote(collation)}",
                f"({number.format(b)}) = ({number.format(s)})",
            ]
            if self.key.exact:
                tests.append(f"typeof({b}) = typeof({s})")
        return " AND ".join(tests)


def under_b(expression: str) -> str:
    """Rewrite an expression over ``s`` as one over ``b``."""
    return "b." + expression[2:] if expression.startswith("s.") else expression


def merge_table3(
    con: sqlite3.Connection,
    base: Feed,
    theirs: Feed,
    options: MergeOptions,
    write: Writer,
    near: Near | None = None,
) -> None:
    """Bring what theirs changed since ``base`` into the target.

    ``near``: the two feeds are only the rows on differing pages, the others are the same in both.
    """
    key = _key_of(con, base, theirs)
    if near is not None:
        near.count_others(con, write)
    if key is None:
        merge_counts3(con, base, theirs, "1", write, near)
        return
    _refuse_wide(con, theirs.target)
    three = Three(
        base.only(not_null(base, key)), theirs.only(not_null(theirs, key)), key, options, write
    )
    _changed(con, three)
    _deleted(con, three)
    linked, table = three.linked(), f"{quote(base.db)}.{quote(base.table.name)} AS b"
    added = theirs.only(f"NOT EXISTS (SELECT 1 FROM {table} WHERE {linked})")
    merge_keyed(con, added, key, options, write)
    if theirs.target.rowid and key.folded != (fold(theirs.target.alias or ""),):
        merge_counts3(
            con,
            base.only(some_null(base, key)),
            theirs.only(some_null(theirs, key)),
            target_null(key),
            write,
            near.only(some_null(base, key), some_null(theirs, key)) if near else None,
        )


def _refuse_wide(con: sqlite3.Connection, table: Table) -> None:
    """Raise XexpError for a table of which SQLite cannot hold two rows in one."""
    most = con.getlimit(sqlite3.SQLITE_LIMIT_COLUMN) // 2
    if len(table.stored) > most:
        raise XexpError(
            f"{table.name} has {len(table.stored)} columns: changes are merged by key in tables of at"
            f" most {most}",
            "keep one side's file, then: git xexp merge BRANCH, which combines the rows",
        )


def _key_of(con: sqlite3.Connection, base: Feed, theirs: Feed) -> Key | None:
    """The target's unique key, where the base and theirs keep it too."""
    if theirs.target.virtual or not theirs.target.keys:
        return None
    key = theirs.target.keys[0]
    if not all(f.has(c) for f in (base, theirs) for c in key.columns):
        return None
    whole = (f.only(not_null(f, key)) for f in (base, theirs))
    return key if all(unique_on(con, f, key) for f in whole) else None


def _pairs(con: sqlite3.Connection, three: Three, select: str) -> tuple[Feed, Feed]:
    """Stage rows of theirs and of the base side by side; feeds of the two halves."""
    columns = three.theirs.target.stored
    count = len(columns)
    wide = replace(
        three.theirs.target,
        columns=columns + tuple(Column(f"base of {c.name}") for c in columns),
    )
    exprs = dict.fromkeys((fold(c.name) for c in wide.columns), "NULL")
    staged = stage(con, replace(three.theirs, target=wide, exprs=exprs), select, "pairs")
    target = three.theirs.target
    theirs = {fold(c.name): f's."c{i}"' for i, c in enumerate(columns)}
    old = {fold(c.name): f's."c{i + count}"' for i, c in enumerate(columns)}
    return replace(staged, target=target, exprs=theirs), replace(staged, target=target, exprs=old)


def _changed(con: sqlite3.Connection, three: Three) -> None:
    """Apply the cells that theirs changed where ours left them unchanged."""
    theirs, key = three.theirs, three.key
    known = [c for c in theirs.target.stored if theirs.has(c.name)]
    alike = tree([same(c, theirs.expr(c.name), three.old(c.name)) for c in known], "AND")
    picks = [
        theirs.expr(c.name) if theirs.has(c.name) else three.old(c.name)
        for c in theirs.target.stored
    ]
    picks += [three.old(c.name) for c in theirs.target.stored]
    rows = theirs.beside(f"{quote(three.base.db)}.{quote(three.base.table.name)} AS b")
    new, old = _pairs(
        con, three, f"SELECT {', '.join(picks)} {rows} AND {three.linked()} AND NOT {alike}"
    )
    tally = three.write.account.of(three.name)
    total = con.execute(f"SELECT count(*) {new.source()}").fetchone()[0]
    unchanged = con.execute(f"SELECT count(*) {rows} AND {three.linked()}").fetchone()[0] - total
    tally.incoming += total + unchanged
    tally.identical += unchanged
    if total:
        _align_stamps(con, three, new, old)
        _gone_here(con, three, new, old)
        _apply(con, three, new, old, key)


def _stamps(three: Three) -> Stamps:
    return stamps_of(three.theirs.columns, three.key.columns)


def _align_stamps(con: sqlite3.Connection, three: Three, new: Feed, old: Feed) -> None:
    """Keep the earlier of two stamps that both sides gave to a row of one run."""
    stamps, name = _stamps(three), three.name
    if stamps.run is None or not stamps.columns:
        return
    mine = {c: f"t.{quote(c)}" for c in stamps.columns}
    moved = " OR ".join(f"+{new.expr(c)} IS NOT +{old.expr(c)}" for c in mine)
    here = " OR ".join(f"+{t} IS NOT +{old.expr(c)}" for c, t in mine.items())
    apart = " OR ".join(f"+{t} IS NOT +{new.expr(c)}" for c, t in mine.items())
    run = f"t.{quote(stamps.run)}"
    test = f"({moved}) AND ({here}) AND ({apart}) AND {run} IS NOT NULL"
    test += f" AND +{run} IS +{new.expr(stamps.run)}"
    picks = ", ".join(["s.rowid", *mine.values(), *map(new.expr, mine)])
    rows = con.execute(f"SELECT {picks} {new.joined(three.key, test)}").fetchall()
    count = len(mine)
    changes, differing = list[tuple[Value, ...]](), set[tuple[Value, Value]]()
    for turn, *cells in rows:
        ours, theirs = tuple(cells[:count]), tuple(cells[count:])
        stamp = merged_stamp(ours, theirs, stamps.versions)
        changes.append((*stamp, *ours, turn))
        for given in (ours, theirs):
            kept, other = (version_of(x, stamps.versions) for x in (stamp, given))
            if other is not None and other != kept:
                differing.add((kept, other))
    sets = ", ".join(f"{feed.expr(c).removeprefix('s.')} = ?" for feed in (new, old) for c in mine)
    con.executemany(f"UPDATE temp.{new.table.name} SET {sets} WHERE rowid = ?", changes)
    for text in two_stamps(name, differing):
        three.write.account.note(text)


def _apply(con: sqlite3.Connection, three: Three, new: Feed, old: Feed, key: Key) -> None:
    tally, columns = three.write.account.of(three.name), new.target.stored
    moved = {c: f"NOT {same(c, new.expr(c.name), old.expr(c.name))}" for c in columns}
    mine = {c: f"NOT {same(c, f't.{quote(c.name)}', old.expr(c.name))}" for c in columns}
    apart = {c: f"NOT {same(c, f't.{quote(c.name)}', new.expr(c.name))}" for c in columns}
    for c in columns:
        # Both sides added it, of two types: 1 and 1.0 are one number.
        if not three.base.has(c.name):
            apart[c] = f"({apart[c]} AND NOT {_one_number(f't.{quote(c.name)}', new.expr(c.name))})"
    clash = {c: f"({moved[c]} AND {mine[c]} AND {apart[c]})" for c in columns}
    conflict = tree(list(clash.values()), "OR")
    news = tree([f"({moved[c]} AND {apart[c]})" for c in columns], "OR")
    tests = [conflict, f"{news} AND NOT {conflict}"]
    met, clashing, updated = con.execute(tallies(tests, new.joined(key), len(columns))).fetchone()
    tally.identical += met - clashing - updated
    tally.replaced += updated
    tally.conflicting += clashing
    policy = three.options.on_conflict
    settled = policy in (OnConflict.OURS, OnConflict.THEIRS)
    if clashing and not settled:
        _list(con, three, new, old, clash)
    tally.settled = tally.settled or bool(clashing and settled)
    takes = "1" if policy == OnConflict.THEIRS else "0"
    sets = ", ".join(
        f"{quote(c.name)} = CASE WHEN {moved[c]} AND ({takes} OR NOT {mine[c]}) "
        f"THEN {new.expr(c.name)} ELSE t.{quote(c.name)} END"
        for c in columns
    )
    con.execute(f"UPDATE main.{quote(three.name)} AS t SET {sets} {new.offered(key, news)}")


def _one_number(one: str, other: str) -> str:
    numbers = [f"typeof({value}) IN ('integer', 'real')" for value in (one, other)]
    return f"coalesce({' AND '.join(numbers)} AND {one} = {other}, 0)"


def _list(
    con: sqlite3.Connection, three: Three, new: Feed, old: Feed, clash: dict[Column, str]
) -> None:
    """List every cell that both sides changed, with its three values."""
    columns = list(clash)
    for start in range(0, len(columns), WIDE // 2):
        part = columns[start : start + WIDE // 2]
        picks = [f"t.{quote(c)}" for c in three.key.columns]
        for c in part:
            picks += [f"t.{quote(c.name)}", new.expr(c.name), old.expr(c.name), clash[c]]
        test = tree([clash[c] for c in part], "OR")
        rows = con.execute(f"SELECT {', '.join(picks)} {new.joined(three.key, test)} LIMIT {SHOWN}")
        for row in rows:
            named = dict(zip(three.key.columns, row, strict=False))
            cells = row[len(three.key.columns) :]
            three.write.account.conflict(
                [
                    Conflict(
                        three.name,
                        named,
                        c.name,
                        cells[4 * i],
                        cells[4 * i + 1],
                        cells[4 * i + 2],
                        "value",
                        three.theirs.label,
                    )
                    for i, c in enumerate(part)
                    if cells[4 * i + 3]
                ]
            )


def _missing(three: Three, feed: Feed) -> str:
    table = f"main.{quote(three.name)}"
    return f"NOT EXISTS (SELECT 1 FROM {table} AS t WHERE {match(feed, three.key)})"


def _gone_here(con: sqlite3.Connection, three: Three, new: Feed, old: Feed) -> None:
    """Handle rows that ours deleted and theirs changed."""
    stamps = _stamps(three)
    only_stamped = tree(
        [same(c, new.expr(c.name), old.expr(c.name)) for c in new.target.stored
         if not stamps.holds(c.name)] or ["0"], "AND")  # fmt: skip
    lost = new.only(_missing(three, new), f"NOT {only_stamped}")
    count = con.execute(f"SELECT count(*) {lost.source()}").fetchone()[0]
    if not count:
        return
    tally = three.write.account.of(three.name)
    tally.conflicting += count
    if three.options.on_conflict == OnConflict.THEIRS:
        tally.new += count
        select = f"SELECT {lost.select()} {lost.source()}"
        three.write.insert(lost, lost.columns, select, count)
    elif three.options.on_conflict != OnConflict.OURS:
        _whole(con, three, lost, "delete/change")


def _deleted(con: sqlite3.Connection, three: Three) -> None:
    """Delete rows that theirs deleted, unless ours changed them."""
    base, theirs = three.base, three.theirs
    flipped = three.linked(seek="s")
    table = f"{quote(theirs.db)}.{quote(theirs.table.name)} AS s"
    picks = ", ".join(three.old(c) for c in base.columns)
    whole = " AND ".join(f"{three.old(c)} IS NOT NULL" for c in three.key.columns)
    where = f"{whole} AND NOT EXISTS (SELECT 1 FROM {table} WHERE {flipped})"
    rows = f"{quote(base.db)}.{quote(base.table.name)} AS b"
    if base.ranges:
        rows = f"temp.{base.ranges} AS r CROSS JOIN {rows}"
        where = f"b.{base.table.rowid} BETWEEN r.lo AND r.hi AND {where}"
    gone = stage(con, base, f"SELECT {picks} FROM {rows} WHERE {where}", "gone")
    stamps = _stamps(three)
    alike = tree(
        [same(c, gone.expr(c.name), f"t.{quote(c.name)}") for c in gone.target.stored
         if not stamps.holds(c.name)] or ["1"], "AND")  # fmt: skip
    changed = con.execute(f"SELECT count(*) {gone.joined(three.key, f'NOT {alike}')}").fetchone()[0]
    tally, policy = three.write.account.of(three.name), three.options.on_conflict
    tally.conflicting += changed
    doomed = "1" if policy == OnConflict.THEIRS else alike
    if changed and policy not in (OnConflict.OURS, OnConflict.THEIRS):
        _whole(con, three, gone, "change/delete", f"NOT {alike}")
    names = [quote(c) for c in three.key.columns]
    rows = gone.joined(three.key, doomed)
    rowid = gone.target.rowid
    place = rowid or f"({', '.join(names)})"
    found = f"t.{rowid}" if rowid else ", ".join(f"t.{n}" for n in names)
    tally.removed += con.execute(
        f"DELETE FROM main.{quote(three.name)} WHERE {place} IN (SELECT {found} {rows})"
    ).rowcount


def _whole(
    con: sqlite3.Connection, three: Three, feed: Feed, kind: str, test: str | None = None
) -> None:
    """Record conflicts of whole rows, identified by their key."""
    names = three.key.columns
    rows = feed.joined(three.key, test) if test else feed.source()
    picks = ", ".join(feed.expr(c) for c in names)
    found = con.execute(f"SELECT {picks} {rows} LIMIT {SHOWN}").fetchall()
    three.write.account.conflict(
        [
            Conflict(
                three.name,
                dict(zip(names, row, strict=True)),
                None,
                None,
                None,
                None,
                kind,
                three.theirs.label,
            )
            for row in found
        ]
    )


@dataclass
class Steps:
    """The outcome for rows without a key: rowids to delete, and rows to insert with their numbers."""

    doomed: list[tuple[int]] = field(default_factory=list)
    needed: list[tuple[int, int]] = field(default_factory=list)
    done: set[int] = field(default_factory=set)  #: changed rows that are decided
    stamped: int = 0  #: rows that got a stamp


def _stamp_steps(con: sqlite3.Connection, changed: Feed, subset: Subset, write: Writer) -> Steps:
    """Decide the rows that are the same but for their stamps (:func:`rules.merge_stamped`)."""
    steps, target = Steps(), changed.target
    key = target.keys[0].columns if target.keys else ()
    stamps = stamps_of([c.name for c in subset.columns], key)
    identity = [c for c in subset.columns if not stamps.holds(c.name)]
    if not stamps.columns or not identity or target.virtual:
        return steps
    names = [f"c{i}" for i, c in enumerate(subset.columns) if not stamps.holds(c.name)]
    held = ", ".join(f"+t.{quote(c.name)} AS {n}" for c, n in zip(identity, names, strict=True))
    other = "||','||".join(
        f"quote(c{i})" for i, c in enumerate(subset.columns) if stamps.holds(c.name)
    )
    order = [c.name for c in subset.columns if stamps.holds(c.name)]
    mine = "||','||".join(f"quote(t.{quote(c)})" for c in order)
    groups = con.execute(
        f"SELECT group_concat(turn), group_concat(rid) FROM (SELECT {', '.join(names)}, "
        f"{other} AS stamp, rowid AS turn, NULL AS rid FROM temp.changes UNION ALL SELECT {held}, "
        f"{mine}, NULL, h.rid FROM temp.hits AS h CROSS JOIN main.{quote(target.name)} AS t "
        f"ON t.{target.rowid} = h.rid WHERE {subset.where}) GROUP BY {grouping(identity, names)} "
        "HAVING count(turn) > 0 AND min(stamp) <> max(stamp)"
    ).fetchall()
    parts = [[list(map(int, part.split(","))) if part else [] for part in g] for g in groups]
    if not parts:
        return steps
    numbers = dict[int, tuple[int, int]]()
    for turn, was, now in con.execute("SELECT rowid, was, now FROM temp.changes"):
        numbers[turn] = (was, now)
    known = read_stamps(con, f"temp.{changed.table.name} AS s", "s.rowid", stamps, changed.expr,
                        [n for turns, _ in parts for n in turns])  # fmt: skip
    ours = read_stamps(con, f"main.{quote(target.name)} AS t", f"t.{target.rowid}", stamps,
                       lambda c: f"t.{quote(c)}", [n for _, rids in parts for n in rids])  # fmt: skip
    for turns, rids in parts:
        was = [known[t] for t in sorted(turns) for _ in range(numbers[t][0])]
        now = [known[t] for t in sorted(turns) for _ in range(numbers[t][1])]
        turn_of = [row.place for row in (*was, *now)]
        base = [replace(row, place=i) for i, row in enumerate(was)]
        theirs = [replace(row, place=i) for i, row in enumerate(now, len(was))]
        held_rows = [ours[n] for n in sorted(rids)]
        group = merge_stamped(base, held_rows, theirs, stamps.versions)
        steps.doomed += [(rid,) for rid, stamp in group.ours.items() if stamp is None]
        steps.stamped += write_stamps(con, target, stamps, group.ours, ours)
        steps.needed += [(1, turn_of[row.place]) for row in group.added]
        steps.done |= set(turns)
        for text in two_stamps(target.name, group.differing):
            write.account.note(text)
    return steps


def merge_counts3(
    con: sqlite3.Connection,
    base: Feed,
    theirs: Feed,
    where: str,
    write: Writer,
    near: Near | None = None,
) -> None:
    """Apply to the target rows meeting ``where`` what theirs changed in numbers of equal rows."""
    offered = con.execute(f"SELECT count(*) {theirs.source()}").fetchone()[0]
    changed = _stage_changes(con, base, theirs)
    tally = write.account.of(theirs.target.name)
    tally.incoming += offered
    tally.identical += offered
    if not con.execute("SELECT 1 FROM temp.turn LIMIT 1").fetchone():
        return
    subset = Subset(theirs.target.stored, where)
    if near is not None and near.told:
        _hits_near(con, changed, subset, near)
        steps = _stamp_steps(con, changed, subset, write)
        _steps_near(con, changed, subset, near, steps)
    else:
        if near is not None:
            changed = _stage_changes(con, *near.whole())
        find_hits(con, changed, subset)
        steps = _stamp_steps(con, changed, subset, write)
        _steps(con, changed, subset, steps)
    fresh(con, "need", ", ".join([*(f"c{i}" for i in range(len(subset.columns))), "n", "rid"]))
    tally.removed += _delete(con, theirs, steps.doomed)
    tally.filled += steps.stamped
    values = ", ".join(f"c{i}" for i in range(len(subset.columns)))
    con.executemany(
        f"INSERT INTO temp.need SELECT {values}, ?, rowid FROM temp.turn WHERE rowid = ?",
        steps.needed,
    )
    new = insert_surplus(con, theirs, subset.columns, write)
    tally.new += new
    tally.identical -= new


def _steps(con: sqlite3.Connection, changed: Feed, subset: Subset, steps: Steps) -> None:
    """Decide the other rows from all that ours holds."""
    for turn, was, other, rids in _sides(con, changed, subset):
        if turn in steps.done:
            continue
        mine = sorted(map(int, rids.split(","))) if rids else []
        result = combined(was, len(mine), other)
        steps.doomed += [(r,) for r in mine[result:]]
        if result > len(mine):
            steps.needed.append((result - len(mine), turn))


def _hits_near(con: sqlite3.Connection, changed: Feed, subset: Subset, near: Near) -> None:
    """Find rows of ours near a change.

    A row that theirs deleted is in ours at its place in the base, unless ours deleted it too.
    """
    target, table = changed.target, f"main.{quote(changed.target.name)} AS t"
    fresh(con, "hits", "rid INTEGER PRIMARY KEY")
    for ranges in (near.base.ranges, near.ours):
        con.execute(
            f"INSERT OR IGNORE INTO temp.hits SELECT t.{target.rowid} FROM temp.{ranges} AS r "
            f"CROSS JOIN {table} WHERE {subset.where} AND t.{target.rowid} BETWEEN r.lo AND r.hi"
        )


def _steps_near(
    con: sqlite3.Connection, changed: Feed, subset: Subset, near: Near, steps: Steps
) -> None:
    """Decide the other rows from those near a change.

    ``combined`` minus ours depends only on what each side changed: the base cancels out.
    """
    moved = _moved_here(con, changed, subset, near)
    for turn, was, now, rids in _sides(con, changed, subset):
        if turn in steps.done:
            continue
        held = sorted(map(int, rids.split(","))) if rids else []
        # The smallest number with which no count is below zero.
        base = max(was, was - now, -moved[turn])
        step = combined(base, base + moved[turn], base + now - was) - base - moved[turn]
        if step < 0:
            steps.doomed += [(r,) for r in held[step:]]
        elif step > 0:
            steps.needed.append((step, turn))


def _moved_here(
    con: sqlite3.Connection, changed: Feed, subset: Subset, near: Near
) -> dict[int, int]:
    """Per changed row: how many more copies ours has than the base."""
    names = [f"c{i}" for i in range(len(subset.columns))]
    target, was = changed.target, near.changed_here()
    held = ", ".join(
        f"+t.{quote(c.name)} AS {n}" for c, n in zip(subset.columns, names, strict=True)
    )
    old = ", ".join(
        f"+{was.expr(c.name)} AS {n}" for c, n in zip(subset.columns, names, strict=True)
    )
    rows = con.execute(
        f"SELECT max(turn), sum(d) FROM (SELECT {', '.join(names)}, rowid AS turn, 0 AS d "
        f"FROM temp.changes UNION ALL SELECT {held}, NULL, 1 FROM temp.{near.ours} AS r CROSS JOIN "
        f"main.{quote(target.name)} AS t WHERE {subset.where} "
        f"AND t.{target.rowid} BETWEEN r.lo AND r.hi UNION ALL SELECT {old}, NULL, -1 "
        f"{was.source()}) GROUP BY {grouping(subset.columns, names)} HAVING count(turn) > 0"
    )
    return dict(rows.fetchall())


def _stage_changes(con: sqlite3.Connection, base: Feed, theirs: Feed) -> Feed:
    """``temp.turn``: each exact row whose number differs; ``temp.numbers``: both numbers."""
    columns = theirs.target.stored
    names = [f"c{i}" for i in range(len(columns))]
    fresh(con, "changes", ", ".join([*names, "was", "now"]))
    sides = []
    for feed, marks in ((base, "1 AS was, 0 AS now"), (theirs, "0, 1")):
        picks = ", ".join(
            f"+{feed.expr(c.name)} AS {n}" for c, n in zip(columns, names, strict=True)
        )
        sides.append(f"SELECT {picks}, {marks} {feed.source()}")
    cols = ", ".join(names)
    both = " UNION ALL ".join(sides)
    con.execute(
        f"INSERT INTO temp.changes SELECT {cols}, sum(was), sum(now) FROM ({both}) "
        f"GROUP BY {grouping(columns, names)} HAVING sum(was) <> sum(now)"
    )
    return stage(con, theirs, f"SELECT {cols} FROM temp.changes ORDER BY rowid")


def _sides(
    con: sqlite3.Connection, changed: Feed, subset: Subset
) -> list[tuple[int, int, int, str | None]]:
    """Per changed row: its place, its number at the base and in theirs, the rowids in ours."""
    target = changed.target
    names = [f"c{i}" for i in range(len(subset.columns))]
    cols = ", ".join(names)
    held = ", ".join(
        f"+t.{quote(c.name)} AS {n}" for c, n in zip(subset.columns, names, strict=True)
    )
    return con.execute(
        "SELECT max(turn), sum(was), sum(now), group_concat(rid) FROM ("
        f"SELECT {cols}, rowid AS turn, was, now, NULL AS rid FROM temp.changes UNION ALL "
        f"SELECT {held}, NULL, 0, 0, h.rid FROM temp.hits AS h CROSS JOIN "
        f"main.{quote(target.name)} AS t ON t.{target.rowid} = h.rid) "
        f"GROUP BY {grouping(subset.columns, names)} HAVING count(turn) > 0"
    ).fetchall()


def _delete(con: sqlite3.Connection, feed: Feed, rids: list[tuple[int]]) -> int:
    if not rids:
        return 0
    fresh(con, "doomed", "rid INTEGER PRIMARY KEY")
    con.executemany("INSERT INTO temp.doomed VALUES (?)", rids)
    table = f"main.{quote(feed.target.name)}"
    return con.execute(f"DELETE FROM {table} WHERE {feed.target.rowid} IN temp.doomed").rowcount
