"""The tables that hold runs of other trackers, as ``git xexp import`` writes them.

``imported_runs`` has a row for each run and a column for each parameter (``params_NAME``), last
value of a metric (``metrics_NAME``) and other fact (``tags_NAME``); names that differ only
in case, or exceed the number of columns, are in ``other``, as JSON.
``imported_values`` has every logged value of a metric.
"""

from __future__ import annotations

RUNS = "imported_runs"
VALUES = "imported_values"

#: Column → its declaration. The key distinguishes runs of two trackers or two files.
RUN_COLUMNS = {
    "origin": "TEXT NOT NULL",  # the tracker, or the file
    "run_id": "TEXT NOT NULL",  # as it is called there
    "name": "TEXT",
    "experiment": "TEXT",
    "status": "TEXT",
    "user": "TEXT",
    "started": "TEXT",  # ISO 8601
    "ended": "TEXT",
    "code_commit": "TEXT",  # where the tracker knew it
    "digest": "TEXT",  # hash of the whole run, to detect changes
    "other": "TEXT",  # {"params": {…}, "metrics": {…}, "tags": {…}}
}
VALUE_COLUMNS = {
    "origin": "TEXT NOT NULL",
    "run_id": "TEXT NOT NULL",
    "metric": "TEXT NOT NULL",
    "seq": "INTEGER NOT NULL",  # of the metric's values in the run, from 0
    "step": "INTEGER",
    "time": "REAL",  # seconds since 1970
    "value": "REAL",
}
KEY = ("origin", "run_id")
KINDS = ("params", "metrics", "tags")
