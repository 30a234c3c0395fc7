"""``merge``: accumulate, by whole rows or by key."""

from __future__ import annotations

from gitxexp.tables.duckdb.align import Aligned
from gitxexp.tables.duckdb.keyed import merge_keyed
from gitxexp.tables.duckdb.outcome import Outcome, counted
from gitxexp.tables.duckdb.partition import in_parts
from gitxexp.tables.duckdb.rows import collated, count, marks, missing_rows, shared
from gitxexp.tables.duckdb.session import Session
from gitxexp.tables.plan import MergeOptions


def key_of(table: Aligned, options: MergeOptions) -> tuple[tuple[str, ...], bool]:
    """The key to merge by, in the aligned spelling, and whether the user declared it.

    Empty where the table has none: then whole rows are compared.
    """
    spelled = {name.lower(): name for name in table.columns}
    if options.key:
        found = tuple(spelled[k.lower()] for k in options.key if k.lower() in spelled)
        return (found, True) if len(found) == len(options.key) else ((), False)
    owner = table.ours or table.others[0]
    for unique in owner.table.unique:
        if all(column.lower() in spelled for column in unique):
            return tuple(spelled[column.lower()] for column in unique), False
    return (), False


def merge_table(session: Session, table: Aligned, options: MergeOptions) -> Outcome:
    """Bring the others' rows into ours; ours may be absent."""
    key, declared = key_of(table, options)

    def decide(part: Aligned) -> Outcome:
        if key:
            return merge_keyed(session, part, key, declared, options)
        return _by_rows(session, part)

    # new numbers continue after the highest of the whole table
    return in_parts(session, table, key, decide, whole=options.renumber)


def _by_rows(session: Session, table: Aligned) -> Outcome:
    here = count(session, table.ours.query) if table.ours else 0
    incoming = sum(count(session, side.query) for side in table.others)
    queries = [side.query for side in table.others]
    ours = table.ours.query if table.ours else None
    fresh = missing_rows(
        session, table.columns, ours, queries, marks(table.columns, collated(table)), shared(table)
    )
    report = counted(table, here, incoming, new=fresh.count, identical=incoming - fresh.count)
    return Outcome(table, report, add=fresh.query if fresh.count else "")
