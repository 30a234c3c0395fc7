"""Reads what a tracker wrote: its database (SQLite or DuckDB), parameter and metrics files."""

from __future__ import annotations

from gitxexp.results.counting import run_rows
from gitxexp.results.engines import kind_of
from gitxexp.results.files import read_metrics, read_params
from gitxexp.results.linked import Linked, linked
from gitxexp.results.runs import Best, Run, best_run, find_run, latest_run, runs
from gitxexp.results.stamping import StampRecord, restamp, stamp, unstamp
from gitxexp.results.tables import Table, event_tables
from gitxexp.results.times import Moment, moment

__all__ = [
    "Best",
    "Linked",
    "Moment",
    "Run",
    "StampRecord",
    "Table",
    "best_run",
    "event_tables",
    "find_run",
    "kind_of",
    "latest_run",
    "linked",
    "moment",
    "read_metrics",
    "read_params",
    "restamp",
    "run_rows",
    "runs",
    "stamp",
    "unstamp",
]
