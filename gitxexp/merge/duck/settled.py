"""Single conflicts of a three-way merge that the user settled by name, one side each."""

from __future__ import annotations

from collections.abc import Sequence

from gitxexp.merge.duck.align import ROW, Aligned, Side
from gitxexp.merge.duck.outcome import plain
from gitxexp.merge.duck.rows import listed
from gitxexp.merge.duck.session import Session, quote
from gitxexp.merge.plan import Conflict, MergeOptions, OnConflict


def settled_in(table: str, options: MergeOptions) -> list[tuple[Conflict, OnConflict]]:
    """What was settled in one table."""
    return [(c, side) for c, side in options.settled if c.table.lower() == table.lower()]


def whole(table: str, column: str | None, options: MergeOptions) -> OnConflict:
    """Which side has a column, or the whole table, that the other one dropped."""
    for conflict, side in settled_in(table, options):
        if not conflict.key and (conflict.column or "").lower() == (column or "").lower():
            return side
    return options.on_conflict


def settled_rows(
    session: Session,
    table: Aligned,
    key: Sequence[str],
    names: Sequence[str],
    options: MergeOptions,
    rows: str,
) -> str:
    """A table: the key, ``s0``… with "ours" or "theirs" for each of ``names``, ``sg`` for the row.

    It has those of the settled conflicts whose key is one of ``rows`` (a FROM item).
    """
    columns = [f"s{i}" for i in range(len(names))] + ["sg"]
    held = session.keep(
        "settled",
        f"SELECT {listed(key)}, "
        + ", ".join(f"NULL::VARCHAR AS {c}" for c in columns)
        + f" FROM {rows} WHERE false",
    )
    place = {name.lower(): f"s{i}" for i, name in enumerate(names)}
    same = [f"{plain(table.columns[k], quote(k))} IS NOT DISTINCT FROM ?" for k in key]
    for conflict, side in settled_in(table.name, options):
        values = {name.lower(): value for name, value in conflict.key.items()}
        column = place.get(conflict.column.lower()) if conflict.column else "sg"
        if column and values.keys() == {k.lower() for k in key}:
            session.rows(
                f"INSERT INTO {held} ({listed(key)}, {column}) SELECT DISTINCT {listed(key)}, "
                f"'{side}' FROM {rows} WHERE {' AND '.join(same)}",
                [values[k.lower()] for k in key],
            )
    chosen = ", ".join(f"max({c}) AS {c}" for c in columns)
    return f"(SELECT {listed(key)}, {chosen} FROM {held} GROUP BY {listed(key)})"


def restored(side: Side, base: Side, columns: Sequence[str], key: Sequence[str]) -> Side:
    """A side that dropped ``columns`` with the values that the base has in them.

    A row is the base's of the same key; without a key, the one that is the same otherwise, where
    there are several the first for the first.
    """
    rest = [c for c in side.has & base.has if c not in columns]
    join = list(key) or sorted(rest)
    order = f"row_number() OVER (PARTITION BY {listed(join)} ORDER BY {ROW}) AS xexp_nth"
    same = [f"here.{quote(c)} IS NOT DISTINCT FROM was.{quote(c)}" for c in join]
    was = ", ".join([*map(quote, dict.fromkeys([*join, *columns])), order])
    replaced = ", ".join(f"was.{quote(c)} AS {quote(c)}" for c in columns)
    query = (
        f"SELECT here.* EXCLUDE (xexp_nth) REPLACE ({replaced}) FROM "
        f"(SELECT *, {order} FROM ({side.query})) AS here LEFT JOIN "
        f"(SELECT {was} FROM ({base.query})) AS was "
        f"ON {' AND '.join([*same, 'here.xexp_nth = was.xexp_nth'])}"
    )
    return Side(side.label, side.table, query, side.has | set(columns))
