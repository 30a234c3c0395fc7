"""xetrack 0.3 and later: SQLite files, whichever of its engines wrote them, any names of tables.

Every table of events has ``PRIMARY KEY (track_id, timestamp)``; objects are in ``assets``, ``keys`` and
``counts`` (``engine.py``, ``assets.py``). It inserts by name and adds columns by itself, so columns
may be added to its tables.
"""

from __future__ import annotations

from gitxexp.trackers.adapters.event_tables import EventTables
from gitxexp.trackers.databases import Database
from gitxexp.trackers.tables import all_tables


class Xetrack(EventTables):
    """Reads the runs that xetrack logged."""

    name = "xetrack"
    order = 30

    def recognises(self, database: Database, table: str | None) -> bool:
        """Whether any table has xetrack's key."""
        return any(each.is_xetrack for each in all_tables(database))


ADAPTER = Xetrack()
