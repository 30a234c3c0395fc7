"""git xexp sql: tables, versions, forms, refusals."""

from __future__ import annotations

import gc
import io
import json
import math
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pexpect
import pyarrow
import pytest

from gitxexp.api import Repository
from gitxexp.common.errors import UsageError
from gitxexp.tables.duckdb import parallel_scan, scan
from tests import experiments
from tests.helpers import Clock, Repo

DATABASE = "results/experiments.db"


def change(repo: Repo, *statements: str, path: str = DATABASE) -> None:
    file = repo / path
    file.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(file) as con:
        for statement in statements:
            con.execute(statement)
    con.close()


def test_tables_and_forms(repo: Repo, clock: Clock) -> None:
    """What is known of experiments, in every form."""
    experiments.three(repo, clock)
    asked = "SELECT version, value FROM metrics WHERE name = 'f1' ORDER BY value DESC LIMIT 2"
    rows = repo.xexp("sql", asked, "--json").json()
    assert [set(row) for row in rows] == [{"version", "value"}] * 2
    best = rows[0]["version"]
    assert repo.xexp("sql", asked).out.splitlines()[0] == "version\tvalue"
    assert repo.xexp("sql", asked, "--csv").out.splitlines()[1].startswith(f"{best},")
    lines = repo.xexp("sql", asked, "--ndjson").out.splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert repo.xexp("sql", asked, "--md").out.splitlines()[:2] == [
        "| version | value |", "| --- | ---: |",
    ]  # fmt: skip
    out = repo / "out.parquet"
    repo.xexp("sql", f"-- the best\n{asked};", "--parquet", out).good()
    assert duckdb.sql(f"FROM '{out}'").fetchall() == [tuple(row.values()) for row in rows]
    large = "SELECT sum(n) AS n, -1 AS one FROM (VALUES (9007199254740993), (0)) AS t(n)"
    repo.xexp("sql", large, "--parquet", out).good()
    assert duckdb.sql(f"FROM '{out}'").fetchall() == [(9007199254740993, -1)]
    huge = repo.xexp("sql", f"SELECT {2**127 - 1} AS n", "--parquet", out)
    assert huge.code == 129 and "an integer of 39 digits is more than parquet has" in huge.err
    stream = subprocess.run(
        ["git-xexp", "sql", asked, "--arrow"], cwd=repo.path, check=True, capture_output=True
    )
    assert pyarrow.ipc.open_stream(io.BytesIO(stream.stdout)).read_all().num_rows == 2
    for table in ("experiments", "params", "params_wide", "metrics_wide", "runs", "artifacts", "labels",
                  "promotions"):  # fmt: skip
        repo.xexp("sql", f"FROM {table}", "--csv").good()
    for place, message in (
        (".", ". is a folder"), ("no/such.parquet", "cannot write no/such.parquet: No such file"),
    ):  # fmt: skip
        done = repo.xexp("sql", asked, "--parquet", place)
        assert done.code == 128 and f"fatal: {message}" in done.err, done.err
    refused = repo.xexp("sql", asked, "--csv", "--json")
    error = {"message": "--json and --csv cannot be used together", "hint": "use only one of them",
             "exit_code": 129}  # fmt: skip
    assert refused.code == 129
    assert json.loads(refused.err.splitlines()[0]) == {"error": error}


def test_any_table_at_any_version(tagged: Repo, clock: Clock) -> None:
    """A table at a version or revision, all versions of it, and a file of a version."""
    change(
        tagged,
        "INSERT INTO predictions (track_id, timestamp, f1, lr) VALUES ('later', '2026-03-01', 0.7, 3)",
    )
    tagged.write("data/extra.csv", "a,b\n1,x\n2,y\n")
    tagged.commit("data")
    clock.tick()
    tagged.xexp("tag", "-m", "more").good()

    def value(query: str) -> object:
        (row,) = tagged.xexp("sql", query, "--json").good().json()
        (cell,) = row.values()
        return cell

    before = value('SELECT count(*) FROM "predictions@e0.1.0"')
    assert value('SELECT count(*) FROM "experiments.predictions@HEAD"') == before + 1
    assert value("SELECT count(*) FROM predictions") == before + 1
    assert value('SELECT sum(a) FROM "data/extra.csv@HEAD"') == 3
    rows = tagged.xexp(
        "sql",
        "SELECT version, count(*) AS n FROM all_versions('predictions') GROUP BY 1 ORDER BY 1",
        "--json",
    ).json()
    assert [row["n"] for row in rows] == [before, 1]
    assert (
        value("SELECT max(track_id) FROM all_versions('predictions') WHERE version <> 'e0.1.0'")
        == "later"
    )
    # PIVOT, a common table, a join of two versions, DESCRIBE and EXPLAIN go through the parser too
    for query in (
        "PIVOT predictions ON lr USING count(*) GROUP BY track_id",
        "WITH x AS (FROM \"predictions@e0.1.0\") SELECT count(*) FROM x JOIN predictions USING (track_id)",
        "pivot predictions on lr",
        "WITH p AS (PIVOT predictions ON lr USING max(f1)) SELECT * FROM p",
        "FROM (PIVOT (SELECT lr, f1 FROM predictions) ON lr USING max(f1))",
        "PIVOT \"predictions@e0.1.0\" ON lr USING max(f1); SELECT 1",
        "PIVOT all_versions('predictions') ON version USING count(*) GROUP BY lr",
        "UNPIVOT metrics_wide ON f1 INTO NAME k VALUE v",
        "DESCRIBE predictions", "SUMMARIZE predictions", "EXPLAIN SELECT f1 FROM predictions",
    ):  # fmt: skip
        assert tagged.xexp("sql", query).good().out
    for query in ("SHOW TABLES", "FROM (SHOW ALL TABLES)", "FROM information_schema.tables"):
        shown = tagged.xexp("sql", query).good().out
        assert "promotions" in shown and "predictions" in shown and "metrics_wide" in shown
    unknown = tagged.xexp("sql", 'FROM "prediction@e0.1.0"')
    assert unknown.err.splitlines() == [
        "fatal: there is no table 'prediction' at e0.1.0",
        "hint: did you mean predictions?",
    ]
    assert tagged.xexp("sql", 'FROM "predictions@e7.0.0"').err.startswith(
        "fatal: 'e7.0.0' is not an experiment"
    )
    # the work tree's file is not read for a version: it may be gone
    (tagged / DATABASE).unlink()
    assert value('SELECT count(*) FROM "predictions@e0.1.0"') == before


def test_two_databases_with_one_table(tagged: Repo) -> None:
    change(tagged, 'CREATE TABLE predictions (f1 REAL, "my column" TEXT)', path="results/second.db")
    config = tagged / ".xexp/config.toml"
    text = config.read_text()
    assert '"results/experiments.db"' in text
    config.write_text(
        text.replace('"results/experiments.db"', '"results/experiments.db", "results/second.db"')
    )
    for name in ("second.predictions", '"second.predictions"', "Second.predictions"):
        tagged.xexp("sql", f"SELECT f1 FROM {name}").good()
    with duckdb.connect(str(tagged / "results/third.duckdb")) as third:
        third.execute("CREATE TABLE runs (f1 REAL)")
    config.write_text(
        config.read_text().replace('second.db"', 'second.db", "results/third.duckdb"')
    )
    ours = tagged.xexp("sql", "SELECT f1 FROM runs").err
    assert "hint: the results have a table third.runs, too" in ours, ours
    wrong = tagged.xexp("sql", 'FROM "second.predictons"').err
    assert "there is no table 'second.predictons'" in wrong and "mean second.predictions" in wrong
    both = tagged.xexp("sql", "SELECT f1 FROM predictions")
    assert both.code == 129
    assert "hint: name one: experiments.predictions or second.predictions" in both.err
    listed = tagged.xexp("sql", "--schema", "--json").json()
    assert {"table": "second.predictions", "column": "my column", "type": "VARCHAR"} in listed
    assert {"table": "experiments", "column": "version", "type": "VARCHAR"} in listed


def test_a_table_of_another_database_is_no_version(
    tagged: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which database a name means does not depend on the version; nor does all_versions() leave out
    what is ambiguous. Revisions and tables may have an @ in their names."""
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'xexp.results.databases=results/*.db'")
    change(tagged, "CREATE TABLE predictions (f1 REAL)", "CREATE TABLE late (a)",
           "CREATE TABLE own (a)", path="other/other.duckdb.db")  # fmt: skip
    tagged.git("add", "-f", "other")
    tagged.commit("another database")
    change(tagged, "CREATE TABLE late (a)", path="results/late.db")
    rows = len(tagged.xexp("sql", "FROM predictions", "--ndjson").good().out.splitlines())
    for name in ('"predictions@HEAD"', '"predictions@HEAD@{0}"', '"predictions@@"'):
        asked = f"SELECT count(*) AS n FROM {name}"
        assert tagged.xexp("sql", asked, "--json").good().json() == [{"n": rows}]
    dotted = "FROM all_versions('experiments.predictions')"
    assert len(tagged.xexp("sql", dotted, "--ndjson").good().out.splitlines()) == rows
    lost = tagged.xexp("sql", 'FROM "late@HEAD"')
    assert "results/late.db, which has late now, is not in HEAD" in lost.err, lost.err
    # a database that is no results: by its path, as the hint says
    path = '"other/other.duckdb.db"'
    assert f'hint: name one: {path}."predictions"' in tagged.xexp("sql", f"FROM {path}").err
    for name in ("own", '"own@HEAD"'):
        assert tagged.xexp("sql", f"FROM {path}.{name}").good().out == "a\n"
    # two of which a version means either
    change(tagged, "CREATE TABLE predictions (f1 REAL)", path="results/second.db")
    tagged.git("add", "-f", "results/second.db")
    tagged.commit("two of them")
    tagged.xexp("tag", "-m", "two").good()
    both = tagged.xexp("sql", "FROM all_versions('predictions')")
    assert both.code == 129 and "several databases have a table predictions" in both.err


def test_values_are_printed_as_they_are(repo: Repo) -> None:
    """Not as the nearest value that Python has; and of two columns with one name, both."""
    query = """SELECT INTERVAL '1 year 1 month' AS i, 0.1::FLOAT AS f, 'infinity'::DATE AS d,
        TIMESTAMP_NS '2024-01-01 00:00:00.123456789' AS t,
        12345678901234567890.123456789::DECIMAL(38,9) AS n,
        {'DATE': [0.1::FLOAT], 'x': INTERVAL 1 MONTH, 'n': 99999999999999.9999::DECIMAL(18,4)} AS s,
        1 AS a, 2 AS a -- the last"""
    assert repo.xexp("sql", query, "--ndjson").good().out == (
        '{"i": "1 year 1 month", "f": 0.1, "d": "infinity", "t": "2024-01-01 00:00:00.123456789", '
        '"n": 12345678901234567890.123456789, "s": {"DATE": [0.1], "x": "1 month", '
        '"n": 99999999999999.9999}, "a": 1, "a_1": 2}\n'
    )
    assert repo.xexp("sql", query, "--csv").out.splitlines()[1] == (
        "1 year 1 month,0.1,infinity,2024-01-01 00:00:00.123456789,12345678901234567890.123456789,"
        '"{""DATE"": [0.1], ""x"": ""1 month"", ""n"": 99999999999999.9999}",1,2'
    )
    lines = r"SELECT E'one\ntwo\t3\r\n' AS a, E'\x1b[31m\r' AS b, '\n' AS c"
    assert repo.xexp("sql", lines, "--csv").out == 'a,b,c\n"one\ntwo\t3\r\n",\\x1b[31m\\r,\\n\n'
    bad = repo.xexp("sql", "SELECT DATE '2024-01-01', CAST('x' AS INT)")
    assert bad.err.splitlines()[1] == "  LINE 1: SELECT DATE '2024-01-01', CAST('x' AS INT)"


def test_nan_and_times_are_the_same_in_every_table(tagged: Repo, clock: Clock) -> None:
    """A metric that is NaN is one in the long table, too; times of runs can be subtracted."""
    experiments.tag(tagged, clock, "e9.0.0", {}, {"f1": math.nan, "loss": math.inf})
    query = """SELECT isnan(value) AS nan, isinf(value) AS inf, value = (
        SELECT loss FROM metrics_wide WHERE version = 'e9.0.0') AS same
        FROM metrics WHERE version = 'e9.0.0' ORDER BY name"""
    assert tagged.xexp("sql", query, "--ndjson").good().out == (
        '{"nan": true, "inf": false, "same": false}\n{"nan": false, "inf": true, "same": true}\n'
    )
    with closing(sqlite3.connect(tagged / "results/experiments.db")) as db:
        first, last = db.execute(
            "SELECT min(timestamp), max(timestamp) FROM predictions WHERE track_id = 'run-lr-0.1'"
        ).fetchone()
    took = "SELECT started, epoch(ended - started) AS took FROM runs WHERE id = 'run-lr-0.1'"
    (row,) = tagged.xexp("sql", took, "--json").good().json()
    began, ended = map(datetime.fromisoformat, (first, last))
    assert datetime.fromisoformat(row["started"]) == began
    assert row["took"] == pytest.approx((ended - began).total_seconds(), abs=1e-6)


def test_schemas_and_views_of_a_database(repo: Repo) -> None:
    """A table in a schema of its own is read by the name that ``--schema`` lists; a view is not, for
    what it reads is up to the file, and a name of the query's own is no view."""
    repo.xexp("init", "--no-dvc").good()
    change(
        repo, "CREATE TABLE plain (a)", "CREATE VIEW Seen AS SELECT * FROM plain", path="plain.db"
    )
    with duckdb.connect(str(repo / "own.duckdb")) as con:
        con.execute("CREATE SCHEMA s")
        con.execute("CREATE TABLE s.inner AS SELECT 7 AS a")
        con.execute("CREATE VIEW secret AS SELECT * FROM read_csv('/etc/passwd')")
    repo.write(".xexp/config.toml", '[results]\ndatabases = ["plain.db", "own.duckdb"]\n')
    repo.git("add", "own.duckdb")
    repo.commit("a database")
    for query in ("FROM s.inner", 'FROM "s.inner@HEAD"', "WITH seen AS (SELECT 7 AS a) FROM seen"):
        assert repo.xexp("sql", query, "--json").json() == [{"a": 7}], query
    for name in ("seen", "secret"):
        done = repo.xexp("sql", f"FROM {name}")
        assert done.code == 129 and "is a view, and only tables are read" in done.err, done.err
    for name in ("nope", "s.nope"):
        assert f"there is no table '{name}'" in repo.xexp("sql", f"FROM {name}").err


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("DROP TABLE predictions", "DROP is refused: sql only reads"),
        ("COPY (SELECT 1) TO 'x'", "COPY is refused: sql only reads"),
        ("ATTACH 'x.db'", "ATTACH is refused: sql only reads"),
        ("SET enable_external_access = true", "SET is refused: sql only reads"),
        ("INSTALL sqlite", "INSTALL is refused: sql only reads"),
        ("FROM read_csv('/etc/passwd')", "the query reads a file outside the project: refused"),
        ("FROM '/etc/passwd'", "the project has no file '/etc/passwd'"),
        ("FROM read_text('params.yaml')", "functions that read files are refused"),
        ("FROM nope.parquet", "the project has no file 'nope.parquet'"),
        ('FROM "train.py@e0.1.0"', "there is no table 'train.py' at e0.1.0"),
        ("FROM '../secret.csv'", "the query reads a file outside the project: refused"),
        ("FROM '.git/config'", "the project has no file '.git/config'"),
        ("SELECT 1 +", 'syntax error at or near "+"'),
        ("FROM predicitons", "there is no table 'predicitons'"),
        ("", "an argument is empty"),
        (";", "the query is empty"),
    ],
)  # fmt: skip
def test_refusals(tagged: Repo, query: str, message: str) -> None:
    """One clear error, nothing written and no file of others read."""
    (tagged.path.parent / "secret.csv").write_text("a\n1\n")
    before = tagged.git("status", "--porcelain")
    done = tagged.xexp("sql", query)
    assert (done.code, done.out) == (129, "")
    assert done.err.splitlines()[0] == f"fatal: {message}"
    assert tagged.git("status", "--porcelain") == before


def test_errors_point_at_the_word(tagged: Repo) -> None:
    done = tagged.xexp("sql", "SELECT track FROM predictions")
    assert done.err.splitlines() == [
        "fatal: there is no column 'track'",
        "  LINE 1: SELECT track FROM predictions",
        "                 ^^^^^",
        "hint: did you mean track_id?",
    ]
    for query, word, close in (
        ("SELECT p.trackid FROM predictions p", "p.trackid", "track_id"),
        ("SELECT f11 FROM predictions", "f11", "f1"),  # a column that was not read
        ("SELECT p.zz FROM predictions p", "p.zz", "columns: track_id, timestamp"),
        ("SELECT x.f1 FROM predictions", "x.f1", "tables: predictions"),
        (
            "FROM pragma_table_info('predictions')",
            "pragma_table_info('predictions')",
            "DESCRIBE predictions",
        ),
        ('SELECT 1 FROM predictions WHERE track_id = "run"', '"run"', "single quotes: 'run'"),
        ("FROM predicitons", "predicitons", "predictions"),
        ("SELECT lenght(track_id) FROM predictions", "lenght(track_id)", "length"),
        ("FROM predictions@HEAD~1 LIMIT 1", "@", 'double quotes: "predictions@HEAD~1"'),
        ("FROM all_version('predictions')", "all_version('predictions')", "all_versions"),
        ("SELECT * EXCLUDE (trackid) FROM predictions", "trackid", "track_id"),
        ("PIVOT predictions ON lrr", "lrr", "lr"),
        ("SELEC f1 FROM predictions", "SELEC", "SELECT"),
        ("SELECT f1 FORM predictions", "predictions", "FROM"),
        ("SELECT f1 FROM predictions ODER BY f1", "BY", "ORDER"),
        ("SELECT track_id, max(f1) FROM predictions", "track_id", "GROUP BY"),
        ("SELECT CAST(track_id AS INT) FROM predictions", "CAST(track_id AS INT)", ""),
    ):
        done = tagged.xexp("sql", query)
        (_, line, marks), hints = done.err.splitlines()[:3], done.err.splitlines()[3:]
        assert done.code == 129 and not done.err.startswith("fatal: unexpected"), done.err
        assert line[marks.index("^") : marks.rindex("^") + 1] == word, done.err
        assert close in "".join(hints) if close else hints == [], done.err
    files = tagged.xexp(
        "sql", "--allow-files", "SELECT count(*) AS n FROM read_csv('/etc/passwd', sep = ':')"
    )
    assert files.good().out.startswith("n\n")


def test_the_prompt(tagged: Repo) -> None:
    """On a terminal: completion, statements of several lines, history, Ctrl-C and Ctrl-D."""
    pytest.importorskip("prompt_toolkit")
    child = pexpect.spawn(
        sys.executable, ["-m", "gitxexp", "sql"], cwd=str(tagged.path), encoding="utf-8", timeout=60,
        env={**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}, dimensions=(30, 120),
    )  # fmt: skip
    child.expect("Ctrl-D or .quit ends the session")
    child.expect("sql>")
    child.send("SELECT track\t")
    child.expect("track.*_id")  # completed
    child.sendintr()  # what is typed is dropped
    child.expect("sql>")
    child.send("SELECT count(*) + 1000 AS n\r")
    child.expect(r"\.\.\.>")
    child.send("FROM experiments;\r")
    child.expect("1001")
    child.send("FROM experimentz;\r")
    child.expect("did you mean experiments")  # and it goes on
    child.expect("sql>")
    child.send(".help\r")
    child.expect("Ctrl-D or .quit ends the session")
    child.expect("sql>")
    child.send("\x1b[A\x1b[A")  # the arrow up
    child.expect("experimentz;")
    child.sendintr()
    child.expect("sql>")
    child.send(
        "SELECT 'beg' || 'un'; SELECT sum(a.range) FROM range(1000000000) a, range(9999) b;\r"
    )
    child.expect("begun")
    child.sendintr()  # ends the query, not the session
    child.expect("interrupted")
    child.expect("sql>")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert (child.exitstatus, child.signalstatus) == (0, None)
    history = (tagged / ".git/xexp/sql_history").read_text()
    assert "+FROM experimentz;" in history and "SELECT track" not in history


def test_a_query_from_a_file(tagged: Repo, tmp_path: Path) -> None:
    """Several statements, one after the other; a form that holds one result takes one."""
    file = tmp_path / "q.sql"
    file.write_text("SELECT 1 AS a;\nSELECT 'x;y' AS b")
    assert tagged.xexp("sql", "-f", file).out == "a\n1\n\nb\nx;y\n"
    assert tagged.xexp("sql", "-f", file, "--csv").code == 0
    assert "takes one statement" in tagged.xexp("sql", "-f", file, "--json").err
    assert tagged.xexp("sql", "-f", file, "SELECT 1").code == 129
    assert tagged.xexp_process("sql", stdin="SELECT 3 AS c").good().out == "c\n3\n"


def test_versions_that_rewrite(repo: Repo, clock: Clock, tmp_path: Path) -> None:
    """A row that goes and comes back is given once; of two equal rows in one version both are."""

    def version(name: str, *rows: str) -> None:
        (repo / DATABASE).unlink(missing_ok=True)
        change(repo, "CREATE TABLE t (a TEXT, version TEXT)",
               *(f"INSERT INTO t VALUES ('{row}', NULL)" for row in rows))  # fmt: skip
        repo.commit(name)
        experiments.tag(repo, clock, name)

    version("e0.1.0", "x", "x", "y")
    version("e0.2.0", "y", "z")
    version("e0.3.0", "x", "x", "x", "y")
    rows = (
        repo.xexp("sql", "SELECT version, a FROM all_versions('t') ORDER BY ALL", "--csv")
        .good()
        .out
    )
    assert rows.splitlines()[1:] == ["e0.1.0,x", "e0.1.0,x", "e0.1.0,y", "e0.2.0,z", "e0.3.0,x"]
    none = repo.xexp("sql", "FROM all_versions('u')")
    assert none.err.startswith("fatal: no tagged version has a table 'u'")
    lone = tmp_path / "partial.git"  # where none can be read, the reason is named
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.git("clone", "-q", "--bare", "--filter=blob:none", f"file://{repo.path}", lone)
    Repo(lone).git("remote", "set-url", "origin", str(tmp_path / "gone"))
    lost = Repo(lone).xexp("sql", "FROM all_versions('t')")
    assert lost.err.startswith(
        "fatal: no tagged version of 't' can be read\nhint: e0.1.0 is left out"
    )


def test_what_is_converted_is_kept(tagged: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the next queries, until the database changes; a relation has its rows whatever is forgotten."""
    written, write = [], parallel_scan.write

    def counted(path: Path, part: scan.TablePart, out: Path) -> Any:
        written.append(part.columns and sorted(part.columns & {"f1", "lr", "seed"}))
        return write(path, part, out)

    monkeypatch.setattr(parallel_scan, "write", counted)
    project = Repository(tagged.path)
    first = project.sql("SELECT lr, f1 FROM predictions WHERE f1 IS NOT NULL ORDER BY lr")
    assert project.sql("SELECT max(f1) FROM predictions").fetchall() == [(0.9,)]
    assert project.sql("SELECT f1 FROM predictions LIMIT 1").fetchall() and written == [
        ["f1", "lr"]
    ]
    project.sql("SELECT seed FROM predictions")
    project.sql('SELECT seed FROM "predictions@e0.1.0"')  # the same content is another file
    assert written[1:] == [["seed"], ["seed"]]
    change(tagged, "UPDATE predictions SET f1 = 0.99 WHERE f1 = 0.9")
    assert project.sql("SELECT max(f1) FROM predictions").fetchall() == [(0.99,)]
    gc.collect()
    assert (0.1, 0.9) in first.fetchall()  # as it was when it was asked for
    folder = project._conversions._folder
    del first, project
    gc.collect()
    assert not folder.exists()


def test_from_python(tagged: Repo) -> None:
    """A relation, which keeps what it reads until it is gone."""
    repository = Repository(tagged.path)
    relation = repository.sql("SELECT track_id, f1 FROM predictions WHERE f1 IS NOT NULL")
    assert relation.columns == ["track_id", "f1"]
    assert len(relation.filter("f1 > 0.5").fetchall()) == 2
    with pytest.raises(UsageError, match="no column 'nothing'"):
        repository.sql("SELECT nothing FROM predictions")
    with pytest.raises(UsageError, match="only reads"):
        repository.sql("DELETE FROM predictions")


@pytest.mark.parametrize("ending", [".db", ".db3", ".ddb"])
def test_a_database_is_a_path_by_any_of_the_endings(tagged: Repo, ending: str) -> None:
    change(tagged, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)", path=f"x{ending}")
    assert tagged.xexp("sql", f"FROM 'x{ending}'").good().out == "a\n1\n"
