"""Two-way merge and rebase of one table.

With a key, NULLs are filled, equal values kept and others reported. If each side has at most one row
per key, the sides are joined, which costs far less than grouping. Without a key, whole rows are
counted. A rebase drops the rows that the incoming ones replace; a plain merge adds rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from gitxexp.common.dataclass import dataclass
from gitxexp.common.sql import quote
from gitxexp.tables.duckdb.align import ROW, Aligned, Side, null
from gitxexp.tables.duckdb.partition import in_parts, total
from gitxexp.tables.duckdb.rows import (
    Fresh,
    TableOutcome,
    collated,
    conflicts_of,
    count,
    counted,
    listed,
    marks,
    missing_rows,
    positioned,
    shared,
    unlike,
)
from gitxexp.tables.duckdb.session import Session
from gitxexp.tables.duckdb.stamps import restamped
from gitxexp.tables.plan import Conflict, MergeOptions, OnConflict
from gitxexp.tables.rules import (
    VERSION_COLUMNS,
    RowKey,
    ambiguous_key,
    both_forbidden,
    fold,
    keeps_both,
    merge_key,
    only_added,
    rebase_key,
    renumbered,
    renumbers,
    run_column,
    stamps_of,
)


@dataclass(frozen=True)
class _Keyed:
    """``rows`` has all inputs' rows of the keys that others offer; side 0 is ours."""

    session: Session
    table: Aligned
    key: tuple[str, ...]
    options: MergeOptions
    rows: str
    both: bool = False  #: rows that disagree both stay
    groups: str = ""
    turns: bool = False  #: several offered rows may have one key

    @property
    def cells(self) -> list[str]:
        return self.table.cells(self.key)


def merge_keyed(
    session: Session, table: Aligned, key: tuple[str, ...], declared: bool, options: MergeOptions
) -> TableOutcome:
    """Merge the rows whose key is whole by that key, the others as whole rows."""
    others = positioned([side.query for side in table.others])
    full = " AND ".join(f"{quote(k)} IS NOT NULL" for k in key)
    rows = _gather(session, table, key, others, full)
    both = keeps_both(options, RowKey(key, declared))
    if declared and not both:
        check_unique(session, table.name, rows, key)
    work = _Keyed(session, table, key, options, rows, both)
    turns = len(table.others) > 1 or not single(session, rows, key)
    work = replace(work, turns=turns)
    work = replace(work, groups=_groups(work))
    bad = count(session, f"SELECT 1 FROM {work.groups} WHERE xexp_bad")
    apart = both or _renumbers(work)
    extra = _apart(work) if apart and bad else []
    nulls = _null_rows(work, full)
    fresh = [*_added(work, skip_bad=bool(apart)), *extra, *nulls]
    change, changed = _changed(work, skip_bad=bool(apart))
    met = _one_by_one(work, apart) if work.turns else _Met(changed, 0 if apart else bad)
    here = count(session, table.ours.query) if table.ours else 0
    incoming = count(session, others)
    new = sum(part.count for part in fresh)
    report = counted(
        table,
        here,
        incoming,
        new=new,
        filled=met.filled,
        replaced=met.conflicting if options.on_conflict is OnConflict.THEIRS else 0,
        conflicting=met.conflicting,
        identical=incoming - new - met.filled - met.conflicting,
    )
    stop = bad and not apart and options.on_conflict in (OnConflict.FAIL, OnConflict.BOTH)
    conflicts = _conflicts(work) if stop else []
    notes = []
    if stop and options.on_conflict is OnConflict.BOTH:
        notes.append(both_forbidden(table.name))
    moved = extra[-1].count if _renumbers(work) and extra else 0
    found = TableOutcome(table, report, add=joined(fresh), change=change, renumbered=moved)
    return replace(found, conflicts=tuple(conflicts), notes=tuple(notes))


def joined(parts: Sequence[Fresh]) -> str:
    """The rows of all parts one after the other; empty if there are none."""
    return " UNION ALL ".join(f"(SELECT * FROM ({p.query}))" for p in parts if p.count)


def _gather(session: Session, table: Aligned, key: Sequence[str], others: str, full: str) -> str:
    names = listed(table.names)
    rows = session.keep(
        "rows", f"SELECT {names}, xexp_side, xexp_pos, {ROW} FROM ({others}) WHERE {full}"
    )
    if table.ours:
        same = " AND ".join(f"mine.{quote(k)} = theirs.{quote(k)}" for k in key)
        session.rows(
            f"INSERT INTO {rows} SELECT {names}, 0, {ROW}, {ROW} FROM ({table.ours.query}) AS mine "
            f"SEMI JOIN (SELECT DISTINCT {listed(key)} FROM {rows}) AS theirs ON {same}"
        )
    return rows


def check_unique(session: Session, name: str, rows: str, key: Sequence[str]) -> None:
    """Refuse a declared key that is not unique; ``rows`` has the key and ``xexp_side``."""
    cells = ", ".join(f"{quote(k)}::VARCHAR" for k in key)
    found = session.rows(
        f"SELECT {cells}, count(*) FROM {rows} GROUP BY xexp_side, {listed(key)} "
        "HAVING count(*) > 1 LIMIT 3"
    )
    if found:
        several = [(", ".join(map(str, row[:-1])), int(row[-1])) for row in found]
        raise ambiguous_key(name, key, several)


def _renumbers(work: _Keyed) -> bool:
    owner = work.table.ours or work.table.others[0]
    counted = owner.table.primary and (*owner.table.unique[0],) == work.key
    return renumbers(work.options, counted)


def _groups(work: _Keyed) -> str:
    """One row per key: each cell's merged value (v0…) and whether the inputs disagree (x0…)."""
    bad = " OR ".join(["false", *(f"x{i}" for i in range(len(work.cells)))])
    if work.both:
        bad += " OR xexp_many"
    if work.turns:
        query = _grouped(work)
    else:
        query = paired(work.table, work.key, work.cells, work.options, work.rows)
    return work.session.keep("groups", f"SELECT *, {bad} AS xexp_bad FROM ({query})")


def _grouped(work: _Keyed) -> str:
    parts = []
    for index, name in enumerate(work.cells):
        parts += [f"{_picked(work, name)} AS v{index}", f"{_differs(work, name)} AS x{index}"]
    gaps = " OR ".join(["false", *(f"count({quote(c)}) NOT IN (0, count(*))" for c in work.cells)])
    many = "false"
    if work.both:
        many = "count(*) > count(DISTINCT xexp_side)"
    return (
        f"SELECT {listed(work.key)}, {''.join(part + ', ' for part in parts)}"
        "bool_or(xexp_side = 0) AS xexp_has, min(xexp_pos) AS xexp_pos, "
        f"{many} AS xexp_many, {gaps} AS xexp_gaps "
        f"FROM {work.rows} GROUP BY {listed(work.key)}"
    )


def _picked(work: _Keyed, name: str) -> str:
    """The value of the first input, or the last one if theirs wins; with filling, that is not NULL."""
    cell, kind = quote(name), work.table.columns[name]
    last, fill = work.options.on_conflict is OnConflict.THEIRS, work.options.fill
    if marks({name: kind}, collated(work.table)) and (_nested(kind) or not fill):
        # arg_min compares nested values in a form without the sign of -0.0, and gives that back
        where = f" FILTER ({cell} IS NOT NULL)" if fill else ""
        return f"(list({cell} ORDER BY xexp_pos{' DESC' if last else ''}){where})[1]"
    pick = "arg_max" if last else "arg_min"
    if fill:
        return f"{pick}({cell}, xexp_pos)"
    return f"{pick}({{'v': {cell}}}, xexp_pos)['v']"


def _nested(kind: str) -> bool:
    return "(" in kind.replace("DECIMAL(", "") or kind.endswith("]")


def _differs(work: _Keyed, name: str) -> str:
    cell, kind = quote(name), work.table.columns[name]
    flag = f"count(DISTINCT {cell}) > 1" if _nested(kind) else f"min({cell}) < max({cell})"
    for mark in marks({name: kind}, collated(work.table)):
        flag += f" OR min({mark}) < max({mark})"
    if not work.options.fill:
        flag += f" OR count({cell}) NOT IN (0, count(*))"
    return f"coalesce({flag}, false)"


def _merged(work: _Keyed) -> str:
    cells = {name: f"v{i}" for i, name in enumerate(work.cells)}
    return ", ".join(
        f"groups.{quote(name)}" if name in work.key else f"{cells[name]} AS {quote(name)}"
        for name in work.table.columns
    )


def _added(work: _Keyed, skip_bad: bool) -> list[Fresh]:
    where = "NOT xexp_has" + (" AND NOT xexp_bad" if skip_bad else "")
    total = count(work.session, f"SELECT 1 FROM {work.groups} WHERE {where}")
    query = f"SELECT {_merged(work)} FROM {work.groups} AS groups WHERE {where} ORDER BY xexp_pos"
    return [Fresh(query, total)]


def _changed(work: _Keyed, skip_bad: bool) -> tuple[str, int]:
    """Return a table of our changed rows, and how many of them were only filled."""
    differs = ["false"]
    for index, name in enumerate(work.cells):
        differs += unlike(work.table, name, f"groups.v{index}", f"mine.{quote(name)}")
    same = " AND ".join(f"groups.{quote(k)} = mine.{quote(k)}" for k in work.key)
    table = work.session.keep(
        "change",
        f"SELECT mine.{ROW}, {_merged(work)}, xexp_bad FROM {work.groups} AS groups "
        f"JOIN {work.rows} AS mine ON {same} WHERE mine.xexp_side = 0 "
        f"{'AND NOT xexp_bad' if skip_bad else ''} AND ({' OR '.join(differs)})",
    )
    total, filled = work.session.rows(
        f"SELECT count(*), count(*) FILTER (NOT xexp_bad) FROM {table}"
    )[0]
    return (table if total else ""), filled


@dataclass(frozen=True)
class _Met:
    """How many offered rows filled a row and how many contradicted one."""

    filled: int
    conflicting: int


def _one_by_one(work: _Keyed, apart: bool) -> _Met:
    """Count the offered rows in turn: each meets what those before it made of its key.

    Only keys whose rows differ are looked at: the others' offered rows are new or identical.
    """
    last, fill = work.options.on_conflict is OnConflict.THEIRS, work.options.fill
    keys = f"PARTITION BY {listed(work.key)} ORDER BY xexp_pos"
    before = f"({keys} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    held, clash, gap = [], ["false"], ["false"]
    for index, name in enumerate(work.cells):
        cell, was = quote(name), f"h{index}"
        value = f"{'last' if last else 'first'}_value({cell}{' IGNORE NULLS' if fill else ''})"
        held.append(f", {value} OVER {before} AS {was}")
        differs = f"({' OR '.join(unlike(work.table, name, was, cell))})"
        known = f"{was} IS NOT NULL AND {cell} IS NOT NULL AND " if fill else ""
        clash.append(known + differs)
        gap.append(f"{was} IS NULL AND {cell} IS NOT NULL")
    which = "xexp_gaps AND NOT xexp_bad" if apart else "xexp_gaps OR xexp_bad"
    found = work.session.rows(
        "SELECT count(*) FILTER (NOT xexp_clash AND xexp_gap), count(*) FILTER (xexp_clash) FROM ("
        f"SELECT {' OR '.join(clash)} AS xexp_clash, {' OR '.join(gap)} AS xexp_gap FROM ("
        f"SELECT *, row_number() OVER ({keys}) AS xexp_turn{''.join(held)} "
        f"FROM {work.rows} AS rows SEMI JOIN (SELECT * FROM {work.groups} WHERE {which}) AS groups "
        f"USING ({listed(work.key)})) WHERE xexp_turn > 1)"
    )[0]
    return _Met(found[0] if fill else 0, found[1])


def _null_rows(work: _Keyed, full: str) -> list[Fresh]:
    """Merge rows whose key has a NULL as whole rows."""
    table = work.table
    others = [f"SELECT * FROM ({side.query}) WHERE NOT ({full})" for side in table.others]
    if not any(count(work.session, query) for query in others):
        return []
    ours = f"SELECT * FROM ({table.ours.query}) WHERE NOT ({full})" if table.ours else None
    exact = marks(table.columns, collated(table))
    return [missing_rows(work.session, table.columns, ours, others, exact, shared(table))]


def _bad_rows(work: _Keyed, where: str) -> str:
    return (
        f"SELECT rows.* FROM {work.rows} AS rows SEMI JOIN "
        f"(SELECT * FROM {work.groups} WHERE xexp_bad) AS groups "
        f"USING ({listed(work.key)}) WHERE {where}"
    )


def _same_rows(work: _Keyed, side: int) -> str:
    """The rows of one side that the result has under their own key."""
    same = " AND ".join(f"groups.{quote(k)} = rows.{quote(k)}" for k in work.key)
    differs = ["groups.xexp_bad"]
    for index, name in enumerate(work.cells):
        differs += unlike(work.table, name, f"groups.v{index}", f"rows.{quote(name)}")
    return (
        f"SELECT rows.* FROM {work.rows} AS rows JOIN {work.groups} AS groups ON {same} "
        f"WHERE rows.xexp_side = {side} AND NOT ({' OR '.join(differs)})"
    )


def _apart(work: _Keyed) -> list[Fresh]:
    """Keep disagreeing rows as separate rows, under the same key or a new number."""
    columns = dict(work.table.columns)
    if _renumbers(work):
        return _renumbered(work)
    exact = marks(columns, collated(work.table))
    ours = _bad_rows(work, "xexp_side = 0")
    sides = [_bad_rows(work, f"xexp_side = {i}") for i in range(1, len(work.table.others) + 1)]
    return [missing_rows(work.session, columns, ours, sides, exact, list(columns))]


def _renumbered(work: _Keyed) -> list[Fresh]:
    """The first row of a number keeps it; others, unless already there, get the next free ones."""
    session, table, key = work.session, work.table, work.key[0]
    first = session.keep(
        "first",
        f"SELECT * FROM ({_bad_rows(work, 'true')}) QUALIFY "
        f"row_number() OVER (PARTITION BY {quote(key)} ORDER BY xexp_pos) = 1",
    )
    columns = {name: kind for name, kind in table.columns.items() if name != key}
    cells = listed(tuple(columns))
    held = [
        f"SELECT {cells} FROM {first}",
        f"SELECT {cells} FROM (SELECT {_merged(work)} FROM {work.groups} AS groups WHERE NOT xexp_bad)",
    ]
    if table.ours:
        held.append(
            f"SELECT {cells} FROM ({table.ours.query}) ANTI JOIN {work.groups} USING ({quote(key)})"
        )
    sides = [
        f"{_bad_rows(work, f'xexp_side = {i}')} UNION ALL {_same_rows(work, i)}"
        for i in range(1, len(table.others) + 1)
    ]
    exact = marks(columns, collated(table))
    fresh = missing_rows(session, columns, " UNION ALL ".join(held), sides, exact, list(columns))
    every = [side.query for side in (*table.others, *([table.ours] if table.ours else []))]
    top = " UNION ALL ".join(f"SELECT max({quote(key)}) AS n FROM ({query})" for query in every)
    number = f"(SELECT max(n) FROM ({top})) + row_number() OVER ()"
    shown = ", ".join(
        f"({number})::{table.columns[key]} AS {quote(key)}" if name == key else quote(name)
        for name in table.columns
    )
    kept = f"SELECT {listed(table.names)} FROM {first} WHERE xexp_side > 0 ORDER BY xexp_pos"
    return [
        Fresh(kept, count(session, kept)),
        Fresh(f"SELECT {shown} FROM ({fresh.query})", fresh.count),
    ]


def _conflicts(work: _Keyed) -> list[Conflict]:
    found: list[Conflict] = []
    owner = work.table.ours or work.table.others[0]
    counted = owner.table.primary and (*owner.table.unique[0],) == work.key
    kind = "primary key" if counted else "value"
    sources = {i: side.label for i, side in enumerate(work.table.others, 1)}
    for index, name in enumerate(work.cells):
        cell = quote(name)
        keys = ", ".join(f"groups.{quote(k)}" for k in work.key)
        differs = unlike(work.table, name, f"theirs.{cell}", f"groups.v{index}")
        query = (
            f"SELECT {keys}, groups.v{index} AS xexp_ours, theirs.{cell} AS xexp_theirs, "
            f"{null(work.table.columns[name])} AS xexp_base, theirs.xexp_side "
            f"FROM {work.groups} AS groups JOIN {work.rows} AS theirs USING ({listed(work.key)}) "
            f"WHERE x{index} AND theirs.xexp_side > 0 AND ({' OR '.join(differs)}) "
            + (f"AND theirs.{cell} IS NOT NULL " if work.options.fill else "")
            + "ORDER BY theirs.xexp_pos"
        )
        found += conflicts_of(work.session, work.table, work.key, name, query, kind, sources)
    return found


def single(session: Session, rows: str, key: Sequence[str]) -> bool:
    """Whether no side has two rows of one key; ``rows`` has the key and ``xexp_side``."""
    cells = f"xexp_side, {listed(key)}"
    return not session.rows(f"SELECT 1 FROM {rows} GROUP BY {cells} HAVING count(*) > 1 LIMIT 1")


def paired(
    table: Aligned, key: Sequence[str], cells: Sequence[str], options: MergeOptions, rows: str
) -> str:
    """A query with one row per key, ours (side 0) and one input's (side 1) cells decided.

    Columns: the key, for each of ``cells`` the merged value (v0…) and whether both disagree
    (x0…), ``xexp_has`` (ours has the key), ``xexp_pos``, ``xexp_many`` (never).
    """
    sides = ("theirs", "ours") if options.on_conflict is OnConflict.THEIRS else ("ours", "theirs")
    parts = []
    for i, name in enumerate(cells):
        one, other = (f"{side}.{quote(name)}" for side in sides)
        first = f"coalesce({one}, {other})"
        if not options.fill:
            here = "true" if sides[0] == "theirs" else "ours.xexp_pos IS NOT NULL"
            first = f"CASE WHEN {here} THEN {one} ELSE {other} END"
        parts += [f"{first} AS v{i}", f"{_disagree(table, name, options)} AS x{i}"]
    same = " AND ".join(f"ours.{quote(k)} = theirs.{quote(k)}" for k in key)
    shown = ", ".join([*(f"theirs.{quote(k)} AS {quote(k)}" for k in key), *parts])
    return (
        f"SELECT {shown}, ours.xexp_pos IS NOT NULL AS xexp_has, "
        "coalesce(ours.xexp_pos, theirs.xexp_pos) AS xexp_pos, false AS xexp_many "
        f"FROM (SELECT * FROM {rows} WHERE xexp_side = 1) AS theirs "
        f"LEFT JOIN (SELECT * FROM {rows} WHERE xexp_side = 0) AS ours ON {same}"
    )


def _disagree(table: Aligned, name: str, options: MergeOptions) -> str:
    cell = quote(name)
    one, other = f"ours.{cell}", f"theirs.{cell}"
    tests = unlike(table, name, one, other)
    both = f"{one} IS NOT NULL AND {other} IS NOT NULL AND ({' OR '.join(tests)})"
    if options.fill:
        return f"({both})"
    return f"({both} OR ours.xexp_pos IS NOT NULL AND ({one} IS NULL) <> ({other} IS NULL))"


def key_of(table: Aligned, options: MergeOptions) -> tuple[tuple[str, ...], bool]:
    """The key to merge by, in the aligned spelling, and whether the user declared it."""
    owner = table.ours or table.others[0]
    key = merge_key(table.names, owner.table.unique, options.key)
    return key.columns, key.declared


def merge_table(session: Session, table: Aligned, options: MergeOptions) -> TableOutcome:
    """Merge the others' rows into ours, which may be absent."""
    key, declared = key_of(table, options)
    owner = table.ours or table.others[0]
    counted = owner.table.primary and (*owner.table.unique[0],) == key
    apart = keeps_both(options, RowKey(key, declared)) or renumbers(options, counted)
    stamped = restamped(session, table, key, apart=apart, options=options)

    def decide(part: Aligned) -> TableOutcome:
        if key:
            return merge_keyed(session, part, key, declared, options)
        return _by_rows(session, part)

    # new numbers continue after the highest of the whole table
    whole = options.renumber or options.on_conflict is OnConflict.BOTH

    def all_of(part: Aligned) -> TableOutcome:
        turns = whole and key and len(part.others) > 1
        return _in_turn(session, part, decide) if turns else decide(part)

    merged = in_parts(session, stamped.table, key, all_of, whole=whole)
    if merged.renumbered:
        note = renumbered(table.name, merged.renumbered, key[0])
        merged = replace(merged, notes=(*merged.notes, note))
    return stamped.outcome(session, merged)


def _in_turn(
    session: Session, table: Aligned, decide: Callable[[Aligned], TableOutcome]
) -> TableOutcome:
    """Merge one input after the other: what one adds decides where rows of the next can stay.

    Rows that were added have the row numbers from ``end`` on.
    """
    names, ours, end = listed(table.names), table.ours, 0
    if ours is not None:
        end = int(session.value(f"SELECT coalesce(max({ROW}), -1) + 1 FROM ({ours.query})"))
    outcomes: list[TableOutcome] = []
    for side in table.others:
        outcome = decide(replace(table, ours=ours, others=(side,)))
        if outcome.conflicts:
            return decide(table)  # lists those of every input
        rows = []
        if ours is not None:
            rest = f" ANTI JOIN {outcome.change} USING ({ROW})" if outcome.change else ""
            rows.append(f"SELECT {names}, {ROW} FROM ({ours.query}){rest}")
        if outcome.change:
            rows.append(f"SELECT {names}, {ROW} FROM {outcome.change}")
        if outcome.add:
            number = end + sum(before.report.new for before in outcomes)
            added = f"{number - 1} + row_number() OVER () AS {ROW}"
            rows.append(f"SELECT {names}, {added} FROM ({outcome.add})")
        outcomes.append(outcome)
        if rows:
            held = session.keep("turn", " UNION ALL ".join(rows))
            ours = replace(
                ours or side,
                query=f"SELECT * FROM {held}",
                has=side.has.union(ours.has if ours else ()),
            )
    report = replace(total([each.report for each in outcomes]), here=outcomes[0].report.here)
    ids = " UNION ALL ".join(f"SELECT {ROW} FROM {each.change}" for each in outcomes if each.change)
    change = add = ""
    if ours is not None and ids:
        where = f"{ROW} < {end} AND {ROW} IN ({ids})"
        change = session.keep("change", f"SELECT {names}, {ROW} FROM ({ours.query}) WHERE {where}")
    if ours is not None and report.new:
        add = f"SELECT {names} FROM ({ours.query}) WHERE {ROW} >= {end} ORDER BY {ROW}"
    return TableOutcome(
        table,
        report,
        add,
        change,
        notes=tuple(dict.fromkeys(note for each in outcomes for note in each.notes)),
        renumbered=sum(each.renumbered for each in outcomes),
    )


def _by_rows(session: Session, table: Aligned) -> TableOutcome:
    here = count(session, table.ours.query) if table.ours else 0
    queries = [side.query for side in table.others]
    incoming = count(session, positioned(queries))
    ours = table.ours.query if table.ours else None
    fresh = missing_rows(
        session, table.columns, ours, queries, marks(table.columns, collated(table)), shared(table)
    )
    report = counted(table, here, incoming, new=fresh.count, identical=incoming - fresh.count)
    return TableOutcome(table, report, add=fresh.query if fresh.count else "")


def rebase_table(session: Session, table: Aligned, options: MergeOptions) -> TableOutcome:
    """Replace our rows by the rows of the last input that has the same key.

    Rows that are the same on both sides stay where they are, so that a second run changes nothing.
    A table without the key's columns is merged instead, with a note.
    """
    plain = replace(options, key=())
    both = set(shared(table)) if table.ours else set(table.columns)
    names = rebase_key(sorted(both), options.key)
    if not names:
        merged = merge_table(session, table, plain)
        note = only_added(table.name, options.key)
        return replace(merged, notes=(*merged.notes, note)) if merged.report.new else merged
    keyed, key = _with_key(session, table, names)
    drop = in_parts(session, keyed, key, lambda part: _dropped(session, part, key)).drop
    gone = count(session, f"SELECT 1 FROM {drop}") if drop else 0
    merged = merge_table(session, _winners(keyed, table, key, drop), plain)
    here = count(session, table.ours.query) if table.ours else 0
    incoming = count(session, positioned([side.query for side in table.others]))
    drops = [part for part in (drop, merged.drop) if part]
    if len(drops) == 2:
        drops = [session.keep("drop", " UNION ALL ".join(f"SELECT {ROW} FROM {d}" for d in drops))]
    report = replace(
        merged.report, here=here, incoming=incoming, replaced=merged.report.replaced + gone
    )
    return replace(merged, table=table, report=report, drop=drops[0] if drops else "")


def _with_key(
    session: Session, table: Aligned, names: tuple[str, ...]
) -> tuple[Aligned, tuple[str, ...]]:
    """Return the table with the deciding key; rows without a version use their run's.

    That is the version that the run has in other rows, else the run itself.
    """
    run = run_column(table.columns)
    sides = [*([table.ours] if table.ours else []), *table.others]
    if len(names) > 1 or fold(names[0]) not in VERSION_COLUMNS or run is None:
        return table, names
    version, name = quote(names[0]), quote(run)
    rows = " UNION ALL ".join(f"SELECT {version}, {name} FROM ({side.query})" for side in sides)
    if not session.rows(
        f"SELECT 1 FROM ({rows}) WHERE {version} IS NULL AND {name} IS NOT NULL LIMIT 1"
    ):
        return table, names
    runs = session.keep(
        "runs",
        f"SELECT {name} AS xexp_run, min({version}::VARCHAR) AS xexp_version FROM ({rows}) "
        f"WHERE {version} IS NOT NULL AND {name} IS NOT NULL GROUP BY {name}",
    )

    def keyed(side: Side) -> Side:
        key = f"coalesce({version}::VARCHAR, xexp_version, {name}::VARCHAR) AS xexp_key"
        query = (
            f"SELECT mine.*, {key} FROM ({side.query}) AS mine "
            f"LEFT JOIN {runs} ON {name} = xexp_run"
        )
        return replace(side, query=query)

    ours = keyed(table.ours) if table.ours else None
    columns = {**table.columns, "xexp_key": "VARCHAR"}
    others = tuple(map(keyed, table.others))
    return replace(table, columns=columns, ours=ours, others=others), ("xexp_key",)


def _winners(keyed: Aligned, table: Aligned, key: tuple[str, ...], drop: str) -> Aligned:
    """The table without replaced rows: rows of ours, and of inputs before one with the same key."""
    names = f"{listed(table.names)}, {ROW}"
    same = " AND ".join(f"mine.{quote(k)} = later.{quote(k)}" for k in key)
    others = []
    for index, side in enumerate(keyed.others):
        query = side.query
        after = " UNION ALL ".join(
            f"SELECT {listed(key)} FROM ({other.query})" for other in keyed.others[index + 1 :]
        )
        if after:
            query = (
                f"SELECT mine.* FROM ({query}) AS mine ANTI JOIN "
                f"(SELECT DISTINCT {listed(key)} FROM ({after})) AS later ON {same}"
            )
        others.append(replace(side, query=f"SELECT {names} FROM ({query})"))
    ours = table.ours
    if ours is not None and drop:
        query = f"SELECT * FROM ({ours.query}) WHERE {ROW} NOT IN (SELECT {ROW} FROM {drop})"
        ours = replace(ours, query=query)
    return replace(table, ours=ours, others=tuple(others))


def _dropped(session: Session, table: Aligned, key: tuple[str, ...]) -> TableOutcome:
    """Our rows that are replaced."""
    full = " AND ".join(f"{quote(k)} IS NOT NULL" for k in key)
    stamps = stamps_of(table.names, (*key_of(table, MergeOptions())[0], "xexp_key"))
    columns = {c: kind for c, kind in table.columns.items() if c in key or not stamps.holds(c)}
    rows = _ranked(session, columns, _gather_winners(session, table, key, full), table)
    drop = session.keep("drop", f"SELECT {ROW} FROM {rows} WHERE xexp_side = 0 AND xexp_i > n_s")
    return TableOutcome(table, counted(table, 0, 0), drop=drop)


def _ranked(session: Session, columns: Mapping[str, str], rows: str, table: Aligned) -> str:
    """Number equal rows within each side, with the counts of each side."""
    cells = ", ".join([*map(quote, columns), *marks(columns, collated(table))])
    return session.keep(
        "ranked",
        f"SELECT *, row_number() OVER (PARTITION BY {cells}, xexp_side > 0 ORDER BY xexp_pos) "
        f"AS xexp_i, count(*) FILTER (xexp_side > 0) OVER (PARTITION BY {cells}) AS n_s FROM {rows}",
    )


def _gather_winners(session: Session, table: Aligned, key: tuple[str, ...], full: str) -> str:
    """The offered rows that win (side > 0) and our rows of those keys (side 0)."""
    names, keys = listed(table.names), listed(key)
    others = positioned([side.query for side in table.others])
    rows = session.keep(
        "rows",
        f"SELECT {names}, xexp_side, xexp_pos, {ROW} FROM ({others}) WHERE {full} "
        f"QUALIFY xexp_side = max(xexp_side) OVER (PARTITION BY {keys})",
    )
    if table.ours:
        same = " AND ".join(f"mine.{quote(k)} = theirs.{quote(k)}" for k in key)
        session.rows(
            f"INSERT INTO {rows} SELECT {names}, 0, {ROW}, {ROW} FROM ({table.ours.query}) AS mine "
            f"SEMI JOIN (SELECT DISTINCT {keys} FROM {rows}) AS theirs ON {same}"
        )
    return rows
