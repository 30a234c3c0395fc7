"""Three-way: what each side changed since the base, by whole rows or cell by cell."""

from __future__ import annotations

from collections.abc import Sequence

from gitxexp.errors import NoAnswer
from gitxexp.merge.duck.align import ROW, Aligned, Side
from gitxexp.merge.duck.keyed import check_unique
from gitxexp.merge.duck.outcome import Outcome, counted
from gitxexp.merge.duck.parts import by_label, in_parts
from gitxexp.merge.duck.pivot import Pivot
from gitxexp.merge.duck.rows import collated, count, listed, marks
from gitxexp.merge.duck.session import Session, quote
from gitxexp.merge.duck.twoway import key_of
from gitxexp.merge.plan import MergeOptions, OnConflict


def three_way(
    session: Session, table: Aligned, base: Side | None, theirs: Side | None, options: MergeOptions
) -> Outcome:
    """What must happen to ours so that it holds both sides' changes since ``base``."""
    key, declared = key_of(table, options)

    def decide(part: Aligned) -> Outcome:
        sides = (by_label(part, base), by_label(part, theirs))
        return _three_way(session, part, *sides, key, declared, options)

    return in_parts(session, table, key, decide, meets=False)


def _three_way(
    session: Session,
    table: Aligned,
    base: Side | None,
    theirs: Side | None,
    key: tuple[str, ...],
    declared: bool,
    options: MergeOptions,
) -> Outcome:
    changes = differing(session, table, {"b": base, "o": table.ours, "t": theirs})
    full = " AND ".join(f"{quote(k)} IS NOT NULL" for k in key)
    loose = session.keep("loose", f"SELECT * FROM {changes} WHERE NOT ({full or 'false'})")
    _balance(session, loose)
    add, new = _additions(session, table, loose)
    drop = _removals(session, table, loose)
    here = count(session, table.ours.query) if table.ours else 0
    incoming = count(session, theirs.query) if theirs else 0
    if not key:
        removed = count(session, f"SELECT 1 FROM {drop}")
        report = counted(
            table, here, incoming, new=new, removed=removed, identical=max(0, incoming - new)
        )
        return Outcome(table, report, add=add if new else "", drop=drop if removed else "")
    if options.on_conflict is OnConflict.BOTH:
        raise NoAnswer("both rows of one key cannot be kept", hint="choose ours or theirs")
    firm = session.keep("firm", f"SELECT * FROM {changes} WHERE {full}")
    if declared:
        _check_sides(session, table, firm, key)
    pivot = Pivot(session, table, key, options, firm, theirs.label if theirs else "")
    return pivot.outcome(here, incoming, (add, new), drop)


def differing(session: Session, table: Aligned, sides: dict[str, Side | None]) -> str:
    """A table of the distinct rows that the sides do not have equally often.

    Columns: the table's, ``n_<letter>`` counts per side, ``xexp_pos`` (first row number in the last
    side that has it).
    """
    names = listed(table.names)
    parts = [
        f"SELECT {names}, '{letter}' AS xexp_of, {ROW} AS xexp_at FROM ({side.query})"
        for letter, side in sides.items()
        if side is not None
    ]
    counts = [f"count(*) FILTER (xexp_of = '{letter}')" for letter in sides]
    cells = ", ".join([*map(quote, table.names), *marks(table.columns, collated(table))])
    shown = ", ".join(f"{n} AS n_{letter}" for letter, n in zip(sides, counts, strict=True))
    unequal = " OR ".join(f"{counts[0]} <> {n}" for n in counts[1:])
    last = list(sides)[-1]
    return session.keep(
        "differ",
        f"SELECT {names}, {shown}, min(xexp_at) FILTER (xexp_of = '{last}') AS xexp_pos "
        f"FROM ({' UNION ALL '.join(parts)}) GROUP BY {cells} HAVING {unequal}",
    )


def _balance(session: Session, loose: str) -> None:
    """The wanted change of ours per row: the same change on both sides counts once.

    With an empty base this is the maximum of both sides, as in a two-way merge.
    """
    session.rows(f"ALTER TABLE {loose} ADD COLUMN xexp_delta BIGINT")
    session.rows(
        f"UPDATE {loose} SET xexp_delta = n_b + greatest(n_o - n_b, n_t - n_b, 0) "
        "+ least(n_o - n_b, n_t - n_b, 0) - n_o"
    )


def _additions(session: Session, table: Aligned, loose: str) -> tuple[str, int]:
    names = listed(table.names)
    total = session.value(
        f"SELECT coalesce(sum(xexp_delta), 0)::BIGINT FROM {loose} WHERE xexp_delta > 0"
    )
    query = (
        f"SELECT {names} FROM (SELECT *, unnest(range(xexp_delta)) AS xexp_i FROM {loose} "
        "WHERE xexp_delta > 0) ORDER BY xexp_pos, xexp_i"
    )
    return query, int(total)


def _removals(session: Session, table: Aligned, loose: str) -> str:
    """The last of our equal rows go first."""
    if table.ours is None or not count(session, f"SELECT 1 FROM {loose} WHERE xexp_delta < 0"):
        return session.keep("drop", f"SELECT 0::BIGINT AS {ROW} WHERE false")
    same = [f"mine.{quote(c)} IS NOT DISTINCT FROM gone.{quote(c)}" for c in table.names]
    for column, kind in table.columns.items():
        for mark in marks({column: kind}, collated(table)):
            cell = quote(column)
            sides = [mark.replace(cell, f"{side}.{cell}") for side in ("mine", "gone")]
            same.append(f"{sides[0]} IS NOT DISTINCT FROM {sides[1]}")
    return session.keep(
        "drop",
        f"SELECT {ROW} FROM (SELECT mine.{ROW}, gone.xexp_delta, row_number() OVER "
        f"(PARTITION BY gone.xexp_id ORDER BY mine.{ROW} DESC) AS xexp_i "
        f"FROM ({table.ours.query}) AS mine JOIN (SELECT *, rowid AS xexp_id FROM {loose} "
        f"WHERE xexp_delta < 0) AS gone ON {' AND '.join(same)}) WHERE xexp_i <= -xexp_delta",
    )


def _check_sides(session: Session, table: Aligned, firm: str, key: Sequence[str]) -> None:
    spread = " UNION ALL ".join(
        f"SELECT {listed(key)}, '{s}' AS xexp_side, unnest(range(n_{s})) FROM {firm}" for s in "bot"
    )
    check_unique(session, table.name, f"({spread})", key)
