"""What plain files are merged into, by which rules, and rows whose counted ids clash."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from gitxexp.repository.repository import Project
from gitxexp.workflows.experiments.outputs import untracked
from tests.helpers import Repo, run


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as con:
        for statement in statements:
            con.executescript(statement)
        con.commit()


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as con:
        return con.execute(sql).fetchall()


def results(path: Path, run_id: str, *values: float) -> Path:
    path.parent.mkdir(exist_ok=True)
    execute(path, "CREATE TABLE IF NOT EXISTS events (track_id TEXT, timestamp TEXT, f1 REAL)")
    for n, value in enumerate(values):
        at = f"2026-01-01 00:00:0{n}"
        execute(path, f"INSERT INTO events VALUES ('{run_id}', '{at}', {value})")
    return path


def set_up(repo: Repo) -> None:
    repo.xexp("init", "-q").good()
    repo.commit("set up")


def test_the_first_of_several_files_is_the_target_where_it_is_tracked(trained: Repo) -> None:
    set_up(trained)
    target = results(trained / "results/mine.db", "one", 0.1)
    trained.git("add", "-f", "results/mine.db")
    trained.commit("results")
    before = len(query(target, "SELECT * FROM events"))
    parts = [results(trained / f"results/p{n}.db", f"part-{n}", 0.5) for n in range(2)]
    trained.xexp("merge", str(target), *map(str, parts)).good()
    rows = query(target, "SELECT track_id FROM events")
    assert {("part-0",), ("part-1",)} <= set(rows) and len(rows) >= before + 2


def test_the_parts_of_a_merged_file_are_no_results_of_their_own(trained: Repo) -> None:
    set_up(trained)
    trained.git("config", "xexp.results.databases", "results/*.db")
    for n in range(2):
        results(trained / f"results/a{n}.db", f"part-{n}", 0.1 * n)
        results(trained / f"results/a{n}.db", f"more-{n}", 0.2 * n)
    trained.xexp("merge", "results/a0.db", "results/a1.db", "-o", "results/z.db").good()
    listed = trained.xexp("explore", "list", "--runs", "--porcelain", "--columns", "run,results")
    parts = [line for line in listed.good().out.splitlines() if line.startswith(("part", "more"))]
    assert len(parts) == 4 and all(line.endswith("results/z.db") for line in parts)
    seen = trained.xexp("tag", "--run", "more-1", "--dry-run").good().out
    assert 'results = "results/z.db"' in seen
    files = untracked(Project.open(trained.path)).results
    assert "results/z.db" in files and not {"results/a0.db", "results/a1.db"} & {*files}


def test_an_untracked_first_file_may_be_a_part_and_the_hint_works(trained: Repo) -> None:
    set_up(trained)
    one, two = (results(trained / f"results/p{n}.db", f"part-{n}", 0.5) for n in range(2))
    refused = trained.xexp("merge", "results/p0.db", "results/p1.db")
    assert refused.code == 128
    command = "git xexp merge results/p0.db results/p1.db -o results/p0.db"
    assert command in refused.err
    trained.xexp(*command.split()[2:]).good()
    assert query(one, "SELECT track_id FROM events ORDER BY 1") == [("part-0",), ("part-1",)]
    assert query(two, "SELECT track_id FROM events") == [("part-1",)]


def test_parts_of_a_merged_file_are_listed_once(trained: Repo) -> None:
    for n in range(2):
        results(trained / f"results/p{n}.db", f"part-{n}", 0.5, 0.6)
    trained.xexp("merge", "results/p0.db", "results/p1.db", "-o", "results/all.db").good()
    listed = trained.xexp("explore", "list", "--runs").good().out
    assert listed.count("part-0") == 1 and listed.count("part-1") == 1


def test_files_follow_the_merge_section_of_the_parameters(trained: Repo) -> None:
    trained.write("params.yaml", "merge:\n  strategy: rebase\n  key_columns: [track_id]\n")
    out = results(trained / "all.db", "one", 0.1)
    results(trained / "new.db", "one", 0.9)
    trained.xexp("merge", "new.db", "-o", "all.db").good()
    assert query(out, "SELECT f1 FROM events") == [(0.9,)]
    trained.write("params.yaml", "merge:\n  strategy: merge\n  key_columns: [version]\n")
    results(trained / "more.db", "one", 0.5)
    trained.xexp("merge", "more.db", "-o", "all.db").good()
    assert query(out, "SELECT f1 FROM events ORDER BY 1") == [(0.5,), (0.9,)]
    trained.write("params.yaml", "merge:\n  strategy: keep\n")
    kept = trained.xexp("merge", "new.db", "-o", "all.db")
    assert kept.code == 1 and "left alone" in kept.err


SCHEMA = """
CREATE TABLE studies (study TEXT PRIMARY KEY, at TEXT);
CREATE TABLE trials (id INTEGER PRIMARY KEY AUTOINCREMENT, study TEXT REFERENCES studies, n INT);
CREATE TABLE steps (id INTEGER PRIMARY KEY, trial INT REFERENCES trials (id), loss REAL);
CREATE TABLE notes (step INT REFERENCES steps, text TEXT, PRIMARY KEY (step, text));
"""


def study(path: Path, name: str) -> None:
    execute(path, f"INSERT INTO studies VALUES ('{name}', 'now')")
    for n in range(2):
        execute(
            path,
            f"INSERT INTO trials (study, n) VALUES ('{name}', {n})",
            f"INSERT INTO steps (trial, loss) SELECT max(id), 0.{n + 1} FROM trials",
            f"INSERT INTO notes SELECT max(id), 'of {name} {n}' FROM steps",
        )


JOINED = """SELECT study, n, loss, text FROM notes JOIN steps ON steps.id = step
JOIN trials ON trials.id = trial ORDER BY study, n"""


def test_counted_ids_get_new_numbers_through_all_generations(repo: Repo) -> None:
    path = repo / "r.db"
    execute(path, SCHEMA)
    study(path, "first")
    repo.xexp("drivers", "install").good()
    repo.commit("base")
    repo.git("switch", "-q", "-c", "other")
    study(path, "theirs")
    repo.commit("theirs")
    repo.git("switch", "-q", "main")
    study(path, "ours")
    repo.commit("ours")
    stopped = run("git", "merge", "other", cwd=repo.path)
    assert stopped.code == 1 and "git xexp conflicts resolve --both" in stopped.err
    assert "--both" in repo.xexp("conflicts").good().err
    repo.xexp("conflicts", "resolve", "--both").good()
    rows = query(path, JOINED)
    assert rows == [
        (name, n, (n + 1) / 10, f"of {name} {n}")
        for name in ("first", "ours", "theirs")
        for n in range(2)
    ]
    assert query(path, "PRAGMA foreign_key_check") == []
    repo.git("commit", "-q", "--no-edit")
    repo.xexp("merge", "other", "--renumber", "--only", "r.db")
    assert query(path, JOINED) == rows
