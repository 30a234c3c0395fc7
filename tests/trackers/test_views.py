"""Runs in parquet files and in views, whose rows have no identity of their own."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from gitxexp.common.errors import XexpError
from gitxexp.trackers import runs
from gitxexp.trackers.databases import reading
from gitxexp.trackers.tables import tables_of
from tests.helpers import Repo
from tests.workflows.checks.support import report_of

ROWS = (
    "SELECT TIMESTAMP '2026-01-01' + INTERVAL (i) MINUTE AS timestamp, 'm' || i % 2 AS model,"
    " 0.1 * (1 + i % 2) AS lr, i / 4 AS accuracy FROM range(4) t(i)"
)


def parquet(path: Path, rows: str = ROWS) -> Path:
    with closing(duckdb.connect()) as db:
        db.execute(f"COPY ({rows}) TO '{path}' (FORMAT parquet)")
    return path


def test_a_parquet_file_is_never_loaded(tmp_path: Path) -> None:
    """Each row is a run, by its number; the number is no column."""
    path = parquet(tmp_path / "a[1].parquet")
    assert [run.id for run in runs.runs(path)] == ["row-3", "row-2", "row-1", "row-0"]
    assert runs.find_run(path, "row-2").metrics == {"accuracy": 0.5}
    latest = runs.latest_run(path)
    assert latest is not None and latest.id == "row-3" and latest.tracker == "table"
    assert len(runs.logged(path)) == len(runs.run_rows(path)) == 4
    assert [facts.column for facts in runs.columns(path)] == [
        "timestamp",
        "model",
        "lr",
        "accuracy",
    ]

    def loaded(database: object) -> int:
        return len(database.raw.execute("FROM duckdb_tables()").fetchall())  # type: ignore[attr-defined]

    assert reading(path, loaded) == 0
    assert report_of(path).findings == ()


def test_columns_that_are_named_as_the_number_of_a_row(tmp_path: Path) -> None:
    """They are the file's own, and what names its rows."""
    for name in ("RowID", "file_row_number"):
        path = parquet(tmp_path / f"{name}.parquet", f"SELECT *, 7 * lr AS {name} FROM ({ROWS})")
        (table,) = reading(path, tables_of)
        assert name in table.columns and not table.has_rowid
        assert len(runs.runs(path)) in (2, 4)  # by the column; by the time
        assert report_of(path).findings == ()
    nothing = parquet(tmp_path / "n.parquet", "SELECT 1 AS rowid, 'e0.1.0' AS version, 0.5 AS f1")
    assert [run.id for run in runs.runs(nothing, "n")] == ["e0.1.0"]


def test_a_view_is_read_where_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.duckdb"
    with closing(duckdb.connect(str(path))) as db:
        db.execute(f"CREATE TABLE base AS {ROWS}")
        db.execute('CREATE VIEW "my view" AS SELECT * FROM base WHERE accuracy > 0.3')
        db.execute("CREATE VIEW outside AS SELECT * FROM base")
        db.execute('CREATE VIEW "no time" AS SELECT model, accuracy FROM base')
    assert [table.name for table in reading(path, tables_of)] == ["base"]
    assert [run.id for run in runs.runs(path, "my view")] == [
        "row-2026-01-01 00:03:00", "row-2026-01-01 00:02:00",
    ]  # fmt: skip
    assert runs.find_run(path, "row-2026-01-01 00:02:00", "my view").params == {
        "model": "m0",
        "lr": 0.1,
    }
    assert [run.id for run in runs.runs(path, "no time")] == ["row"]
    with pytest.raises(XexpError, match="no table myview"):
        runs.runs(path, "myview")


def test_every_reader_of_a_repository(repo: Repo) -> None:
    parquet(repo.path / "res.parquet")
    repo.git("config", "xexp.results.databases", "res.parquet")
    repo.xexp("init")
    repo.git("add", "-A")
    repo.git("commit", "-qm", "init")
    listed = repo.xexp("explore", "list", "--runs").out.splitlines()
    assert len(listed) == 5 and listed[1].startswith("row-3")
    assert repo.xexp("check").out.startswith("21 rules, nothing found")
    assert "model=m1 | lr=0.2 | accuracy=0.7500" in repo.xexp("tag", "-y").out
    assert repo.xexp("sql", "SELECT count(*), min(lr) FROM res").out.splitlines()[1] == "4\t0.1"
