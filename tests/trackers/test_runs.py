"""Runs read from real tracker databases: xetrack's own files, hand-made ones, DuckDB's."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gitxexp.common.errors import XexpError
from gitxexp.trackers.column_names import Role
from gitxexp.trackers.databases import Database, kind_of, reading
from gitxexp.trackers.roles import NO_RULES, RoleRules
from gitxexp.trackers.run import Run
from gitxexp.trackers.runs import find_run, latest_run, runs
from gitxexp.trackers.tables import event_tables
from gitxexp.trackers.times import moment
from tests.helpers import Repo

XETRACK_SYSTEM = """
from xetrack import Tracker
tracker = Tracker("track.db", params={"model": "bert", "lr": 0.1, "use_cache": True},
                  log_system_params=True, log_network_params=True, warnings=False, track_id="one")
for epoch in range(3):
    tracker.log({"epoch": epoch, "loss": 1 / (1 + epoch), "kpi": 0.5 + epoch / 10})
tracker.track(lambda x: {"f1": 0.9}, args=[3])
"""


def make(path: Path, schema: str, rows: Iterable[Sequence[Any]] = (), kind: str = "sqlite") -> Path:
    """A database with one table ``t`` (or what ``schema`` creates) and these rows."""
    table = schema.split("(")[0].removeprefix("CREATE TABLE ").strip()
    with closing(sqlite3.connect(path) if kind == "sqlite" else duckdb.connect(str(path))) as c:
        c.execute(schema)
        for row in rows:
            c.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", list(row))
        c.commit()
    return path


KINDS = pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
XETRACK = 'CREATE TABLE "default" (track_id VARCHAR, timestamp VARCHAR, lr DOUBLE, epoch INTEGER,'
XETRACK += " loss DOUBLE, f1 DOUBLE, PRIMARY KEY (track_id, timestamp))"


def at(second: int) -> str:
    return f"2026-01-01 00:00:{second:02}.000001"


# -- what a file is --------------------------------------------------------------------------------


def test_kind_of_goes_by_content_not_by_name(tmp_path: Path) -> None:
    lite = make(tmp_path / "a.duckdb", "CREATE TABLE t (timestamp)")
    duck = make(tmp_path / "b.sqlite", "CREATE TABLE t (timestamp INTEGER)", kind="duckdb")
    text = tmp_path / "c.db"
    text.write_text("outs:\n- md5: abc\n")
    assert kind_of(lite) == "sqlite"
    assert kind_of(duck) == "duckdb"
    assert kind_of(text) is None
    assert kind_of(tmp_path) is None
    assert kind_of(tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such results database"),
        (b"", "is empty (0 bytes)"),
        (b"outs:\n- md5: 3a2f\n  path: results.db\n", "not a SQLite or DuckDB database"),
        (b"SQLite format 3\0" + b"\1" * 200, "damaged"),
        (b"\0" * 8 + b"DUCK" + b"\0" * 300, "damaged"),
    ],
)
def test_files_that_are_no_database(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "results.db"
    if content is not None:
        path.write_bytes(content)
    for action in (runs, latest_run, event_tables):
        with pytest.raises(XexpError) as error:
            action(path)
        assert message in error.value.message
        assert str(path) in error.value.message


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(XexpError, match="a folder"):
        runs(tmp_path)


def test_a_truncated_database(trained: Repo) -> None:
    path = trained / "results/experiments.db"
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(XexpError, match="damaged"):
        runs(path)


def test_a_truncated_duckdb_file(tmp_path: Path) -> None:
    path = make(tmp_path / "r.db", "CREATE TABLE t (ts INTEGER)", [(1,)] * 5, "duckdb")
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(XexpError) as error:
        runs(path)
    assert error.value.exit_code == 128


# -- xetrack ---------------------------------------------------------------------------------------


def test_a_sweep_of_the_real_xetrack(trained: Repo) -> None:
    path = trained / "results/experiments.db"
    found = runs(path)
    assert [run.id for run in found] == ["run-lr-1.0", "run-lr-0.1", "run-lr-0.01"]
    run = found[1]
    assert (run.table, run.rows, run.database) == ("predictions", 4, path)
    assert run.params == {"model": "softmax", "lr": 0.1, "epochs": 3, "batch_size": 32, "seed": 7}
    assert run.metrics == {"loss": 0.3226, "f1": 0.9, "accuracy": 0.81}
    assert run.values["epoch"] == 2 and run.values["track_id"] == "run-lr-0.1"
    assert run.versions == run.commits == ()
    assert run.started is not None and run.ended is not None and run.started < run.ended
    assert latest_run(path) == found[0]
    assert find_run(path, "run-lr-0.01") == found[2]


def test_xetracks_own_columns_are_neither(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", XETRACK_SYSTEM], cwd=tmp_path, check=True)
    run = latest_run(tmp_path / "track.db")
    assert run is not None
    assert run.params == {"model": "bert", "lr": 0.1, "use_cache": 1}
    assert set(run.metrics) == {"loss", "kpi", "f1"}
    assert run.metrics["kpi"] == 0.7
    assert {"cpu_percent", "ram_percent", "disk_percent", "bytes_sent"} <= set(run.values)


@KINDS
def test_the_layout_of_xetracks_duckdb_engine(tmp_path: Path, kind: str) -> None:
    rows = [("a", at(1), 0.1, 0, 0.9, None), ("a", at(2), 0.1, 1, 0.5, None)]
    rows += [("a", at(3), 0.1, None, None, 0.8), ("b", at(0), 0.2, 0, 0.7, 0.6)]
    path = make(tmp_path / "t.db", XETRACK, rows, kind)
    assert [t.name for t in event_tables(path)] == ["default"]
    new, old = runs(path)
    assert (new.id, new.params, new.metrics) == ("a", {"lr": 0.1}, {"loss": 0.5, "f1": 0.8})
    assert (new.started, new.ended, new.rows) == (at(1), at(3), 3)
    assert (old.id, old.params, old.metrics) == ("b", {"lr": 0.2}, {"loss": 0.7, "f1": 0.6})


# -- tables ----------------------------------------------------------------------------------------


@KINDS
def test_event_tables_by_preference(tmp_path: Path, kind: str) -> None:
    path = make(tmp_path / "t.db", "CREATE TABLE zoo (created_at VARCHAR, x INTEGER)", kind=kind)
    for name in ("default", "metrics", "predictions", "assets", "alpha"):
        with closing(sqlite3.connect(path) if kind == "sqlite" else duckdb.connect(str(path))) as c:
            c.execute(f'CREATE TABLE "{name}" (track_id VARCHAR, timestamp VARCHAR)')
            c.execute(f'CREATE VIEW "v {name}" AS SELECT * FROM "{name}"')
            c.commit()
    make(path, "CREATE TABLE settings (name VARCHAR, value VARCHAR)", kind=kind)
    names = [table.name for table in event_tables(path)]
    assert names == ["predictions", "metrics", "default", "alpha", "zoo"]
    assert event_tables(path, "settings")[0].columns == ("name", "value")
    with pytest.raises(XexpError) as error:
        event_tables(path, "nosuch")
    assert "no table nosuch" in error.value.message
    assert "predictions" in (error.value.hint or "")


def test_virtual_and_shadow_tables_are_not_events(tmp_path: Path) -> None:
    path = make(tmp_path / "t.db", "CREATE VIRTUAL TABLE notes USING fts5(timestamp, text)")
    assert event_tables(path) == []
    assert runs(path) == []
    assert latest_run(path) is None


def test_names_with_quotes_and_keywords(tmp_path: Path) -> None:
    schema = 'CREATE TABLE "a ""b"" select" ("run id" TEXT, run TEXT, "time" TEXT, "f1""x" REAL)'
    path = tmp_path / "odd 'name' #1?mode=rw&x=%41.db"
    with closing(sqlite3.connect(path)) as c:
        c.execute(schema)
        c.execute('INSERT INTO "a ""b"" select" VALUES (?, ?, ?, ?)', ("z", "r1", at(1), 0.5))
        c.commit()
    run = latest_run(path)
    assert run is not None
    assert (run.id, run.table) == ("r1", 'a "b" select')
    assert run.values['f1"x'] == 0.5


# -- which rows are a run --------------------------------------------------------------------------


@KINDS
def test_without_a_run_column_a_version_makes_the_run(tmp_path: Path, kind: str) -> None:
    schema = "CREATE TABLE predictions (timestamp VARCHAR, experiment_version VARCHAR, f1 DOUBLE)"
    rows = [(at(1), "e0.1.0", 0.5), (at(2), "e0.1.0", 0.6), (at(3), None, 0.7), (at(4), None, 0.8)]
    path = make(tmp_path / "t.db", schema, rows, kind)
    found = runs(path)
    assert [run.rows for run in found] == [1, 1, 2]
    assert found[2].id == "e0.1.0" and found[2].versions == ("e0.1.0",)
    assert found[0].id.startswith("row-") and found[0].metrics == {"f1": 0.8}
    assert find_run(path, found[0].id) == found[0]


def test_without_run_and_version_every_row_is_a_run(tmp_path: Path) -> None:
    schema = "CREATE TABLE log (id INTEGER PRIMARY KEY, date TEXT, lr REAL, accuracy REAL)"
    rows = [(7, "2026-01-02", 0.1, 0.9), (9, "2026-01-01", 0.2, 0.8)]
    path = make(tmp_path / "t.db", schema, rows)
    assert [run.id for run in runs(path)] == ["7", "9"]
    assert find_run(path, "9").metrics == {"accuracy": 0.8}


def test_rows_without_an_id_in_a_table_that_has_ids(tmp_path: Path) -> None:
    schema = "CREATE TABLE t (track_id TEXT, timestamp TEXT, f1 REAL)"
    path = make(tmp_path / "t.db", schema, [("a", at(1), 0.1), (None, at(2), 0.2)])
    assert [run.id for run in runs(path)] == ["row-2", "a"]


def test_a_table_without_rowid(tmp_path: Path) -> None:
    schema = "CREATE TABLE t (host TEXT, ts INTEGER, f1 REAL, PRIMARY KEY (host, ts)) WITHOUT ROWID"
    path = make(tmp_path / "t.db", schema, [("h", 1_700_000_000, 0.1), ("h", 1_700_000_060, 0.2)])
    found = runs(path)
    assert [run.id for run in found] == ["row-h/1700000060", "row-h/1700000000"]
    assert found[0].ended == "2023-11-14 22:14:20+00:00"


@KINDS
def test_numeric_run_ids(tmp_path: Path, kind: str) -> None:
    schema = "CREATE TABLE t (run_id INTEGER, timestamp VARCHAR, f1 DOUBLE)"
    path = make(tmp_path / "t.db", schema, [(12, at(1), 0.1), (12, at(2), 0.2)], kind)
    assert find_run(path, "12").rows == 2


# -- order -----------------------------------------------------------------------------------------


def test_newest_by_time_not_by_position(tmp_path: Path) -> None:
    rows = [("late", at(9), 0.1, 0, 0.5, None), ("early", at(1), 0.1, 0, 0.5, None)]
    path = make(tmp_path / "t.db", XETRACK, rows)
    run = latest_run(path)
    assert run is not None and run.id == "late"


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (None, "2026-01-01"),
        ("zzz garbage", "2026-01-01"),
        (None, "garbage"),
        ("", "garbage"),
        ("2026-01-01 10:00:00", "2026-01-01T10:00:01"),
        ("2026-01-01T12:00:00+02:00", "2026-01-01T10:00:01Z"),
        (1_700_000_000, "2026-01-01"),
        ("1700000000", 1_700_000_001.5),
        (1_700_000_000_000, 1_700_000_001),
        (1_700_000_000_123_456_789, 1_700_000_001),
        (float("inf"), "2026-01-01"),
        (1e300, 1e301),
        ("same", "same"),
        (None, None),
    ],
)
def test_odd_timestamps(tmp_path: Path, older: Any, newer: Any) -> None:
    schema = "CREATE TABLE t (run, timestamp, f1)"
    path = make(tmp_path / "t.db", schema, [("older", older, 0.1), ("newer", newer, 0.2)])
    assert [run.id for run in runs(path)] == ["newer", "older"]
    run = latest_run(path)
    assert run is not None and run.id == "newer"


@pytest.mark.parametrize(
    ("value", "rank", "seconds", "text"),
    [
        (None, 0, 0.0, None),
        ("  ", 0, 0.0, None),
        (b"x", 1, 0.0, "b'x'"),
        (True, 1, 0.0, "True"),
        ("1970-01-02", 2, 86400.0, "1970-01-02"),
        (date(1970, 1, 2), 2, 86400.0, "1970-01-02"),
        (datetime(1970, 1, 1, 0, 1), 2, 60.0, "1970-01-01 00:01:00"),
        ("60", 2, 60.0, "1970-01-01 00:01:00+00:00"),
        (float("nan"), 1, 0.0, "nan"),
    ],
)
def test_moment(value: Any, rank: int, seconds: float, text: str | None) -> None:
    assert moment(value) == (rank, seconds, text)


def test_an_odd_timestamp_within_a_run_does_not_hide_the_others(tmp_path: Path) -> None:
    rows = [("a", at(1), 0.1), ("a", "zzz", 0.9), ("a", None, 0.8), ("b", at(0), 0.2)]
    path = make(tmp_path / "t.db", "CREATE TABLE t (run, timestamp, f1)", rows)
    run = runs(path)[0]
    assert (run.id, run.ended, run.metrics) == ("a", at(1), {"f1": 0.1})


def test_native_duckdb_types(tmp_path: Path) -> None:
    schema = (
        "CREATE TABLE events (run_id UUID, created_at TIMESTAMP, day DATE, cost DECIMAL(8,2),"
        " ok BOOLEAN, tags VARCHAR[], f1 FLOAT, blob BLOB)"
    )
    row = ("6f1c2b5e-0000-4000-8000-000000000001", "2026-01-01 00:00:01", "2026-01-01", "1.25",
           True, ["a", "b"], 0.5, b"x")  # fmt: skip
    run = latest_run(make(tmp_path / "t.db", schema, [row], "duckdb"))
    assert run is not None
    assert run.id == row[0] and run.ended == "2026-01-01 00:00:01"
    assert run.metrics == {"cost": 1.25, "f1": 0.5}
    assert run.params == {"ok": True}
    assert run.context == {"day": "2026-01-01", "tags": ["a", "b"]}
    assert "blob" not in run.values


# -- parameters and metrics ------------------------------------------------------------------------


def one_run(tmp_path: Path, columns: dict[str, list[Any]], rules: RoleRules = NO_RULES) -> Run:
    count = len(next(iter(columns.values())))
    rows = [("r", at(i), *(values[i] for values in columns.values())) for i in range(count)]
    listed = ", ".join(f'"{name}"' for name in columns)
    path = make(tmp_path / "t.db", f"CREATE TABLE t (run, timestamp, {listed})", rows)
    run = latest_run(path, rules=rules)
    assert run is not None
    return run


def test_each_rule_of_params_and_metrics(tmp_path: Path) -> None:
    run = one_run(
        tmp_path,
        {
            "val_f1": [0.5, 0.5],  # a metric by name, though constant
            "lr": [0.1, 0.01],  # a parameter by name, but scheduled: neither
            "optimizer": ["adam", "adam"],  # the same everywhere
            "flavour": ["sweet", "sweet"],  # unknown, the same everywhere
            "novelty": [0.2, 0.3],  # unknown float that varies
            "label": [3, 4],  # integers that vary
            "text": ["a", "b"],  # text that varies
            "grade": [None, 7],  # a number in some rows only
            "note": [None, "late"],  # text in some rows only
            "accuracy": ["n/a", "n/a"],  # a metric's name without numbers: context
            "epoch": [1, 1],
            "git_commit": ["c1", "c2"],
            "empty": [None, None],
        },
    )
    assert run.metrics == {"val_f1": 0.5, "novelty": 0.3, "grade": 7}
    assert run.params == {"optimizer": "adam", "flavour": "sweet"}
    assert run.context["accuracy"] == "n/a" and run.context["lr"] == 0.01
    assert run.commits == ("c1", "c2")
    assert "empty" not in run.values and run.values["note"] == "late"


def test_explicit_lists_come_first(tmp_path: Path) -> None:
    columns = {"f1": [0.5], "lr": [0.1], "epoch": [4], "kappa_x": [0.7], "name": ["x"]}
    run = one_run(
        tmp_path,
        columns,
        RoleRules(
            {Role.METRIC: ("l?",)},
            params=frozenset(("f1", "epoch")),
            metrics=frozenset(("kappa_x", "name")),
        ),
    )
    assert run.params == {"f1": 0.5, "epoch": 4}
    assert run.metrics == {"lr": 0.1, "kappa_x": 0.7}


def test_a_metric_is_the_last_value_by_time(tmp_path: Path) -> None:
    rows = [("r", at(3), 0.3), ("r", at(1), 0.1), ("r", at(9), None), ("r", at(2), 0.2)]
    path = make(tmp_path / "t.db", "CREATE TABLE t (run, timestamp, f1)", rows)
    assert find_run(path, "r").metrics == {"f1": 0.3}
    rows = [("s", at(5), "n/a"), ("s", at(2), 0.2), ("s", at(4), 0.4), ("s", at(3), 0.3)]
    path = make(tmp_path / "u.db", "CREATE TABLE t (run, timestamp, f1)", rows)
    assert find_run(path, "s").metrics == {"f1": 0.4}


def test_mixed_storage_classes(tmp_path: Path) -> None:
    """xetrack's SQLite engine really leaves an INTEGER column holding 0.5 and 'auto'."""
    columns = {"width": [1, 0.5], "depth": [3, "auto"], "f1": [0.4, "n/a"], "x": ["n/a", 0.5]}
    run = one_run(tmp_path, columns | {"loss": [b"\x00", 0.7]})
    assert run.params == {}
    assert run.metrics == {"f1": 0.4, "loss": 0.7}
    assert run.values["depth"] == "auto" and run.values["f1"] == "n/a"


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = make(tmp_path / "t.db", "CREATE TABLE t (run, timestamp, model)")
    with closing(sqlite3.connect(path)) as c:
        c.execute("INSERT INTO t VALUES ('r', '2026-01-01', CAST(x'ff41' AS TEXT))")
        c.commit()
    assert find_run(path, "r").params == {"model": "\ufffdA"}


# -- choosing --------------------------------------------------------------------------------------


def test_an_unknown_run_names_candidates(trained: Repo) -> None:
    path = trained / "results/experiments.db"
    with pytest.raises(XexpError) as error:
        find_run(path, "run-lr-0")
    assert error.value.message == f"no run run-lr-0 in {path}"
    assert error.value.hint == "runs there: run-lr-0.1, run-lr-0.01"


# -- reading leaves no trace -----------------------------------------------------------------------


def test_reading_a_closed_wal_database_leaves_no_litter(tmp_path: Path) -> None:
    path = make(tmp_path / "t.db", XETRACK, [("a", at(1), 0.1, 0, 0.5, 0.5)])
    with closing(sqlite3.connect(path)) as c:
        c.execute("PRAGMA journal_mode = WAL")
    before = path.read_bytes()
    assert len(runs(path)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["t.db"]
    assert path.read_bytes() == before


def test_a_live_wal_database_is_read_with_its_wal(tmp_path: Path) -> None:
    path = make(tmp_path / "t.db", XETRACK, [("a", at(1), 0.1, 0, 0.5, 0.5)])
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute('INSERT INTO "default" VALUES (?, ?, 1, 1, 1, 1)', ("b", at(2)))
        writer.commit()
        writer.execute('INSERT INTO "default" VALUES (?, ?, 1, 1, 1, 1)', ("c", at(3)))
        assert [run.id for run in runs(path)] == ["b", "a"]
        writer.commit()
        assert [run.id for run in runs(path)] == ["c", "b", "a"]


def test_reading_a_read_only_file_in_a_read_only_folder(tmp_path: Path) -> None:
    folder = tmp_path / "ro"
    folder.mkdir()
    path = make(folder / "t.db", XETRACK, [("a", at(1), 0.1, 0, 0.5, 0.5)])
    path.chmod(0o444)
    folder.chmod(0o555)
    try:
        assert [run.id for run in runs(path)] == ["a"]
        assert [p.name for p in folder.iterdir()] == ["t.db"]
    finally:
        folder.chmod(0o755)


def test_a_duckdb_file_that_another_process_writes(tmp_path: Path) -> None:
    path = make(tmp_path / "t.db", XETRACK, kind="duckdb")
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('up', flush=True); input()"
    command = [sys.executable, "-c", code, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(XexpError, match="in use by another process") as error:
            runs(path)
        writer.communicate("\n")
    assert "training" in (error.value.hint or "")
    assert runs(path) == []


def test_sqlite_is_read_without_duckdb(trained: Repo) -> None:
    code = (
        "import sys, pathlib; from gitxexp.trackers import runs as results;"
        "assert results.latest_run(pathlib.Path('results/experiments.db'));"
        "heavy = {'duckdb', 'pandas', 'git', 'dvc', 'sqlite_utils', 'ruamel.yaml', 'click'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert trained.python("-c", code).good().out == "[]\n"


def test_a_writer_that_comes_while_an_immutable_file_is_read(tmp_path: Path) -> None:
    path = make(tmp_path / "t.db", XETRACK)
    with closing(sqlite3.connect(path)) as c:
        c.execute("PRAGMA journal_mode = WAL")
    seen: list[int] = []
    with closing(sqlite3.connect(path)) as writer:

        def action(database: Database) -> int:
            if not seen:
                writer.execute('INSERT INTO "default" VALUES (?, ?, 1, 1, 1, 1)', ("a", at(1)))
                writer.commit()
            seen.append(sum(1 for _ in database.rows('SELECT * FROM "default"')))
            return seen[-1]

        assert reading(path, action) == 1
    assert len(seen) == 2


def test_times_without_a_zone_are_local(monkeypatch: pytest.MonkeyPatch) -> None:
    """xetrack writes ``datetime.now()``: elsewhere than in Greenwich its runs were hours off."""
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    time.tzset()
    try:
        local = moment("2026-01-01 00:00:00.5")
        assert local.seconds == datetime(2026, 1, 1, 8, 0, 0, 500_000, UTC).timestamp()
        assert local == moment(datetime(2026, 1, 1, 0, 0, 0, 500_000))._replace(text=local.text)
        assert (
            moment("2026-01-01T08:00:00.5Z").seconds
            == local.seconds
            == moment(local.seconds).seconds
        )
        assert moment(date(2026, 1, 1)).seconds == local.seconds - 0.5
        assert moment(datetime.min).rank == moment("9999-12-31 23:59:59").rank == 2
    finally:
        monkeypatch.undo()
        time.tzset()
