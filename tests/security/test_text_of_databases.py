"""Names and cells of a database in what is printed: nothing steers a terminal or forges a line."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from gitxexp.common.text import visible
from gitxexp.tables.textconv import textconv
from tests.helpers import Repo, run

pytestmark = pytest.mark.usefixtures("quick")  # git starts the drivers

EVIL = "\x1b[58;5;77m\x1b]0;T\x07\u202e\x9b31m\r\n+FORGED line\n-FORGED line\u2028+FORGED\ufdd1"
#: C0 but the line break, C1, marks of direction, line separators, and the marks of our own colours
RAW = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ufdd0-\ufdef]"
)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def sqlite_file(path: Path, mark: str) -> Path:
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as con:
        con.execute(
            f"CREATE TABLE {quoted('tab' + EVIL)} "
            f"(k TEXT PRIMARY KEY, {quoted('col' + EVIL)} {quoted('type' + EVIL)}, t TEXT)"
        )
        con.execute("CREATE TABLE plain (k TEXT PRIMARY KEY, v TEXT)")
        con.execute("INSERT INTO plain VALUES ('a', ?)", (f"cell{EVIL}{mark}",))
        con.execute("INSERT INTO plain VALUES (?, 'v')", (f"key{EVIL}{mark}",))
        con.execute(f"INSERT INTO {quoted('tab' + EVIL)} VALUES ('a', ?, ?)", (mark, f"x{EVIL}"))
        if mark != "1":
            con.execute(f"CREATE TABLE {quoted('new' + EVIL)} (a)")
            con.execute(f"ALTER TABLE plain ADD COLUMN {quoted('added' + EVIL)}")
        con.commit()
    return path


def duckdb_file(path: Path, mark: str) -> Path:
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as con:
        con.execute(
            f"CREATE TABLE {quoted('tab' + EVIL)} (k VARCHAR PRIMARY KEY, {quoted('col' + EVIL)} "
            f"ENUM ({', '.join(repr(v) for v in ('a', 'b'))}))"
        )
        con.execute(f"INSERT INTO {quoted('tab' + EVIL)} VALUES (?, 'a')", [f"key{EVIL}{mark}"])
        if mark != "1":
            con.execute(f"CREATE TABLE {quoted('new' + EVIL)} (a INT)")
    return path


MAKE = {"x.db": sqlite_file, "x.duckdb": duckdb_file}


def harmless(text: str) -> None:
    """Neither a raw control character nor a line that the database wrote."""
    assert text
    assert RAW.findall(text) == []
    assert not re.search(r"^[+\- ]*FORGED", text, re.MULTILINE)
    assert "is a bug" not in text


@pytest.mark.parametrize("name", MAKE)
def test_the_lines_that_git_compares(name: str, tmp_path: Path) -> None:
    lines = list(textconv(MAKE[name](tmp_path / name, "2")))
    harmless("\n".join(lines))
    assert all(line.startswith(("table ", "  column ", "  row")) for line in lines)
    assert any(line.startswith(f'table "tab{visible(json.dumps(EVIL)[1:7])}') for line in lines)


@pytest.fixture
def hostile(repo: Repo) -> Repo:
    """Two branches that changed the same rows of a SQLite and a DuckDB file."""
    repo.xexp("init").good()
    for name, make in MAKE.items():
        make(repo.path / name, "1")
    repo.commit("one")
    repo.git("branch", "side")
    for name, make in MAKE.items():
        make(repo.path / name, "2")
    repo.commit("two")
    repo.git("checkout", "-q", "side")
    for name, make in MAKE.items():
        make(repo.path / name, "3")
    repo.commit("three")
    repo.git("checkout", "-q", "main")
    return repo


def test_diff_merge_and_conflicts_print_nothing_raw(hostile: Repo) -> None:
    diff = run("git", "diff", "HEAD~", "HEAD", cwd=hostile.path).good().out
    assert "Binary files" not in diff
    harmless(diff)
    for options in ([], ["--stat"], ["--key=t"]):
        done = hostile.xexp("diff", "HEAD~", "HEAD", *options)
        harmless(done.out + done.err)
    whole = hostile.xexp("diff", "HEAD~", "HEAD", "--json").good()
    assert not RAW.search(whole.out)
    assert f"tab{EVIL}" in {table["name"] for file in whole.json() for table in file["tables"]}
    plan = hostile.xexp("merge", "side", "--dry-run")
    harmless(plan.out + plan.err)
    merged = run("git", "merge", "-q", "-m", "m", "side", cwd=hostile.path)
    harmless(merged.out + merged.err)
    conflicts = hostile.xexp("conflicts").good()
    harmless(conflicts.out)
    assert "col\\x1b" in conflicts.out
    listed = hostile.xexp("conflicts", "--json").good()
    assert not RAW.search(listed.out)
    found = {c["column"] for report in listed.json() for c in report["conflicts"]}
    assert f"col{EVIL}" in found
