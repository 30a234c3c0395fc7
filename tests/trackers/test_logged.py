"""Which rows of a run are new: added to those before, written in their place, or none."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gitxexp.trackers import event_rows
from gitxexp.trackers.run import Window
from gitxexp.trackers.runs import find_run, logged

KEY = ("log", "a")
TABLES = {
    "rowid": "CREATE TABLE log (run_id TEXT, ts TEXT, f1 REAL, version TEXT)",
    "key": "CREATE TABLE log (run_id TEXT, ts TEXT, f1 REAL, version TEXT, PRIMARY KEY (run_id, ts))"
    " WITHOUT ROWID",
}
CHANGES = {
    "INSERT INTO log VALUES ('a', '2026-01-03', 0.9, NULL)": Window(2, 1),
    "INSERT INTO log VALUES ('b', '2026-01-03', 0.9, NULL)": None,
    "UPDATE log SET version = 'e0.1.0'": None,  # a stamp
    "ALTER TABLE log ADD COLUMN lr REAL": None,
    "DELETE FROM log WHERE f1 < 0.7": None,
    "UPDATE log SET ts = '2026-01-04', f1 = 0.95 WHERE f1 > 0.7": Window(0, 2),
    "DELETE FROM log; INSERT INTO log VALUES ('a', '2026-01-05', 0.5, NULL), ('a', '2026-01-06', 0.5, NULL),"
    " ('a', '2026-01-07', 0.5, NULL)": Window(0, 3),
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("most", [5000, 0], ids=["each", "ends"])
def test_new_rows(
    tmp_path: Path, table: str, change: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_rows, "_EACH", most)
    path = tmp_path / "r.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(TABLES[table])
        db.execute(
            "INSERT INTO log VALUES ('a', '2026-01-01', 0.6, NULL), ('a', '2026-01-02', 0.8, NULL)"
        )
        db.commit()
        before = logged(path)
        db.executescript(change)
        db.commit()
    window = logged(path)[KEY].since(before[KEY])
    assert window == CHANGES[change]
    if window is not None:
        run = find_run(path, "a", windows={KEY: window})
        assert run.rows == window.rows
        assert run.parts[0].window == window


def test_what_was_not_there_is_new_and_what_is_as_it_was_is_not(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(TABLES["rowid"])
        db.execute("INSERT INTO log VALUES ('a', '2026-01-01', 0.6, NULL)")
        db.commit()
    now = logged(path)[KEY]
    assert now.since(None) == Window(0, 1)
    assert now.since(logged(path)[KEY]) is None
