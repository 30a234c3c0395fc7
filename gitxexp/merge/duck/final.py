"""A table as it will be: ours with the outcome applied, as one query in order."""

from __future__ import annotations

from gitxexp.merge.duck.align import ROW
from gitxexp.merge.duck.outcome import Outcome
from gitxexp.merge.duck.rows import listed
from gitxexp.merge.duck.session import quote
from gitxexp.merge.duck.types import null


def final_query(outcome: Outcome) -> str:
    """All rows: ours (changed, without the dropped ones), then the added ones."""
    names = outcome.table.names
    parts = []
    if outcome.table.ours is not None:
        parts.append(_ours(outcome, outcome.table.ours.query))
    if outcome.add:
        parts.append(f"SELECT {listed(names)} FROM ({outcome.add})")
    if not parts:
        cells = ", ".join(
            f"{null(kind)} AS {quote(c)}" for c, kind in outcome.table.columns.items()
        )
        parts.append(f"SELECT {cells} WHERE false")
    return " UNION ALL ".join(f"({part})" for part in parts)


def _ours(outcome: Outcome, query: str) -> str:
    names = outcome.table.names
    if not outcome.change and not outcome.drop:
        return f"SELECT {listed(names)} FROM ({query})"
    rows = f"({query}) AS mine"
    cells = listed(names)
    if outcome.change:
        rows = f"{rows} LEFT JOIN {outcome.change} AS changed ON mine.{ROW} = changed.{ROW}"
        cells = ", ".join(
            f"CASE WHEN changed.{ROW} IS NULL THEN mine.{quote(c)} ELSE changed.{quote(c)} END "
            f"AS {quote(c)}"
            for c in names
        )
    if outcome.drop:
        rows = f"{rows} ANTI JOIN {outcome.drop} AS gone ON mine.{ROW} = gone.{ROW}"
    return f"SELECT {cells} FROM {rows} ORDER BY mine.{ROW}"
