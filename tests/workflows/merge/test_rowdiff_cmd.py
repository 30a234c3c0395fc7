"""``git xexp diff``: rows between files, versions, revisions and work trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import Repo, sql, xexp_inside

CREATE = "CREATE TABLE runs (k TEXT PRIMARY KEY, f1 REAL)"


@pytest.fixture
def two(tmp_path: Path) -> Path:
    sql(
        tmp_path / "a.db", CREATE, "INSERT INTO runs VALUES ('same', 0.1), ('old', 0.2), ('c', 0.3)"
    )
    sql(tmp_path / "b.db", CREATE, "ALTER TABLE runs ADD COLUMN note",
        "INSERT INTO runs VALUES ('same', 0.1, NULL), ('new', 0.4, 'n'), ('c', 0.5, NULL)")  # fmt: skip
    return tmp_path


def test_two_files(two: Path) -> None:
    done = xexp_inside("diff", "a.db", "b.db", cwd=two).good()
    lines = done.out.splitlines()
    assert lines[:3] == ["diff b.db", "@@ runs: 1 added, 1 removed, 1 changed @@", "+ column note"]
    assert sorted(lines[3:]) == [
        '+ k="new" f1=0.4 note="n"', '- k="old" f1=0.2', '~ k="c"  f1: 0.3 → 0.5',
    ]  # fmt: skip
    assert xexp_inside("diff", "a.db", "a.db", "--exit-code", cwd=two).good().out == ""
    assert xexp_inside("diff", "a.db", "b.db", "--exit-code", cwd=two).code == 1


def test_stat_limit_and_json(two: Path) -> None:
    done = xexp_inside("diff", "a.db", "b.db", "--stat", cwd=two).good()
    assert done.out.splitlines() == [
        "file\ttable\tadded\tremoved\tchanged\tcolumns", "b.db\truns\t1\t1\t1\t+note",
    ]  # fmt: skip
    limited = xexp_inside("diff", "a.db", "b.db", "--limit", "1", cwd=two).good().out
    assert "and 2 more rows" in limited
    (facts,) = xexp_inside("diff", "a.db", "b.db", "--json", cwd=two).good().json()
    (table,) = facts["tables"]
    assert (table["added"], table["removed"], table["changed"]) == (1, 1, 1)
    changed = next(row for row in table["rows"] if row["kind"] == "changed")
    assert (changed["key"], changed["old"]["f1"], changed["new"]["f1"]) == ({"k": "c"}, 0.3, 0.5)


def test_a_declared_key(tmp_path: Path) -> None:
    for name, value in (("a.db", 0.1), ("b.db", 0.2)):
        sql(tmp_path / name, "CREATE TABLE runs (k TEXT, f1 REAL)",
            f"INSERT INTO runs VALUES ('x', {value})")  # fmt: skip
    assert "1 added, 1 removed" in xexp_inside("diff", "a.db", "b.db", cwd=tmp_path).good().out
    done = xexp_inside("diff", "a.db", "b.db", "--key", "k", cwd=tmp_path).good()
    assert '~ k="x"  f1: 0.1 → 0.2' in done.out


def test_revisions_and_the_work_tree(repo: Repo) -> None:
    sql(repo / "sub/runs.db", CREATE, "INSERT INTO runs VALUES ('a', 0.1)")
    sql(repo / "other.db", CREATE)
    repo.commit("one")
    sql(repo / "sub/runs.db", "INSERT INTO runs VALUES ('b', 0.2)")
    repo.commit("two")
    sql(repo / "sub/runs.db", "UPDATE runs SET f1 = 0.9 WHERE k = 'a'")
    assert repo.xexp("diff", "HEAD~1", "HEAD").good().out.splitlines() == [
        "diff sub/runs.db", "@@ runs: 1 added @@", '+ k="b" f1=0.2',
    ]  # fmt: skip
    assert '~ k="a"  f1: 0.1 → 0.9' in repo.xexp("diff").good().out
    both = repo.xexp("diff", "HEAD~1", "--", "sub").good().out
    assert '+ k="b"' in both and '~ k="a"' in both
    assert repo.xexp("diff", "HEAD~1", "HEAD", "--", "other.db").good().out == ""
    assert repo.xexp("diff", "HEAD~1", "HEAD", "--", "none.db").code == 129
    inside = xexp_inside("diff", "HEAD~1", "HEAD", "--", "runs.db", cwd=repo / "sub").good()
    assert '+ k="b"' in inside.out
    assert repo.xexp("diff", "nowhere").code == 128
    repo.git("rm", "-q", "other.db")
    assert "@@ runs: dropped table @@" in repo.xexp("diff", "HEAD", "--", "other.db").good().out


def test_through_pointers_and_versions(set_up: Repo) -> None:
    set_up.xexp("tag", "--no-stamp", "-m", "first").good()
    sql(set_up / "results/experiments.db",
        "INSERT INTO predictions (track_id, timestamp, f1) VALUES ('more', '2030', 0.7)")  # fmt: skip
    assert '+ track_id="more"' in set_up.xexp("diff", "e0.1.0").good().out.replace(
        ' timestamp="2030"', ""
    )
    set_up.xexp("tag", "--no-stamp", "-m", "second").good()
    second = set_up.tags[-1]
    done = set_up.xexp("diff", "e0.1.0", second, "--json").good().json()
    (found,) = [f for f in done if f["path"] == "results/experiments.db"]
    assert found["tables"][0]["added"] == 1
    assert set_up.xexp("diff", second).good().out == ""


def test_parquet_and_duckdb(tmp_path: Path) -> None:
    import duckdb

    with duckdb.connect() as con:
        for name, rows in (("a", "(1, 'x')"), ("b", "(1, 'x'), (2, 'y')")):
            con.execute(
                f"COPY (SELECT * FROM (VALUES {rows}) t(i, s)) TO '{tmp_path}/{name}.parquet'"
            )
    done = xexp_inside("diff", "a.parquet", "b.parquet", cwd=tmp_path).good()
    assert '+ i=2 s="y"' in done.out
