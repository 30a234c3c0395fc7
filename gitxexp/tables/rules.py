"""The rules of merging that hold whatever kind of file the rows are in."""

from __future__ import annotations

#: Columns that name the run of a row, by which ``rebase`` replaces rows unless told another key.
RUN_IDS = ("track_id", "run_id", "run_uuid")
#: Columns that name the experiment that a row belongs to.
VERSION_COLUMNS = ("version", "experiment_version")
