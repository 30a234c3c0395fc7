"""The rules of results files: each where it must speak, and a sound file where none does."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gitxexp.common.errors import XexpError
from gitxexp.workflows.checks import profile
from gitxexp.workflows.checks.rule import Severity
from tests.workflows.checks.support import TABLES, change, found_in, report_of, sound


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sound(tmp_path_factory.mktemp("sound") / "sound.db")


@pytest.fixture
def results(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(template, tmp_path / "results.db"))


def as_duckdb(template: Path, path: Path) -> Path:
    """The same tables in a DuckDB file."""
    with closing(sqlite3.connect(template)) as old, closing(duckdb.connect(str(path))) as new:
        for statement in TABLES.split(";")[:2]:
            new.execute(statement.replace("TEXT", "VARCHAR").replace("REAL", "DOUBLE"))
        for name in ("predictions", "metrics"):
            rows = old.execute(f"SELECT * FROM {name}").fetchall()
            new.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows)
    return path


def test_a_sound_benchmark_has_nothing_to_say(template: Path, tmp_path: Path) -> None:
    path = as_duckdb(template, tmp_path / "results.duckdb")
    with closing(duckdb.connect(str(path), read_only=True)) as db:
        db.execute(f"COPY predictions TO '{tmp_path / 'predictions.parquet'}' (FORMAT parquet)")
    for file in (template, path, tmp_path / "predictions.parquet"):
        report = report_of(file)
        assert report.findings == (), file
        assert {"leak", "two-tables", "clock"} <= {*report.rules}


RUN = "track_id = 'run-bert'"
AGAIN = ("INSERT INTO predictions SELECT 'run-again', replace(timestamp, '2026-03-01', '2026-03-05'),"
         " input_id, params_model, params_lr, prediction, ground_truth, raw_response, score, latency, error,"
         f" cache, git_commit FROM predictions WHERE {RUN}")  # fmt: skip
CLOSE = ("UPDATE predictions SET prediction = ground_truth WHERE track_id = 'run-gpt'"
         " AND CAST(substr(input_id, 4) AS INT) < 181")  # fmt: skip
#: What is done to the sound file → the rule, its level, and what it says.
WRONG = [
    ([f"UPDATE predictions SET input_id = 'in-3' WHERE input_id = 'in-4' AND {RUN}"],
     "leak", "error", "1 input evaluated more than once within a run"),
    ([AGAIN], "leak", "error", "200 inputs evaluated in 2 runs of one configuration (model=bert)"),
    ([AGAIN], "duplicate-run", "note", "2 runs of one configuration (model=bert) have the same metrics"),
    ([AGAIN, "UPDATE predictions SET prediction = '8' WHERE track_id = 'run-again' AND input_id = 'in-1'"],
     "duplicate-run", "warning", "accuracy (prediction = truth) from 0.895 to 0.9: not deterministic"),
    (["ALTER TABLE predictions ADD COLUMN split TEXT", "UPDATE predictions SET split = 'test'",
      f"UPDATE predictions SET split = 'train' WHERE input_id = 'in-9' AND {RUN}"],
     "leak", "error", "1 input both in the training and in the held-out data"),
    ([f"DELETE FROM predictions WHERE input_id > 'in-5' AND {RUN}"],
     "unbalanced", "warning", "2 configurations were evaluated on different inputs: from 146 to 200 inputs"),
    ([f"UPDATE predictions SET input_id = 'x' || input_id WHERE {RUN}"],
     "unbalanced", "warning", "different inputs: 200 inputs each, of 400"),
    (["UPDATE predictions SET params_lr = NULL WHERE input_id IN ('in-1', 'in-2')"],
     "missing-params", "warning", "params_lr is NULL in 4 rows of 400 (1.0%), in 2 runs"),
    (["UPDATE predictions SET score = 0.5"], "constant-metric", "warning", "score is 0.5 in all 400 rows"),
    ([f"UPDATE metrics SET accuracy = 1.3 WHERE {RUN}"],
     "metric-out-of-range", "error", "accuracy is 1.3 in run run-bert, outside of 0..1"),
    ([f"UPDATE metrics SET loss = 1e999 WHERE {RUN}"], "metric-out-of-range", "error", "loss is inf in 1"),
    ([f"UPDATE metrics SET loss = 'nan' WHERE {RUN}"], "metric-out-of-range", "error", "loss is nan in 1"),
    (["ALTER TABLE metrics ADD COLUMN mse REAL", f"UPDATE metrics SET mse = -0.1 WHERE {RUN}"],
     "metric-out-of-range", "error", "mse is -0.1 in run run-bert, outside of 0..inf"),
    ([f"UPDATE predictions SET error = 'CUDA out of memory' WHERE input_id < 'in-102' AND {RUN}"],
     "failures", "warning", "5 of 400 rows failed (1.2%): CUDA out of memory"),
    ([f"UPDATE predictions SET error = 'timeout' WHERE input_id < 'in-150' AND {RUN}"],
     "failures", "error", "58 of 400 rows failed (14.5%): timeout"),
    (["DELETE FROM predictions WHERE input_id > 'in-13'"],
     "few-samples", "warning", "is 1 (0.9036 to 1), on 36 rows only"),
    ([CLOSE],
     "few-samples", "warning", "model=gpt is better than model=bert by 0.005 of accuracy"),
    ([f"UPDATE predictions SET raw_response = NULL WHERE input_id = 'in-7' AND {RUN}"],
     "raw-missing", "note", "1 prediction without raw_response, in 1 run"),
    ([f"UPDATE predictions SET latency = 'slow' WHERE input_id = 'in-7' AND {RUN}"],
     "mixed-types", "warning", "latency holds numbers, and text in 1 row: 'slow'"),
    ([f"UPDATE predictions SET timestamp = '2099-01-01 00:00:00' WHERE input_id = 'in-199' AND {RUN}"],
     "clock", "warning", "1 run of the future: run-bert at 2099-01-01 00:00:00"),
    ([f"UPDATE predictions SET timestamp = '2026-02-01 00:00:00' WHERE input_id = 'in-50' AND {RUN}"],
     "clock", "warning", "times go backwards in 1 run: run-bert"),
    ([f"UPDATE predictions SET cache = 'run-gpt' WHERE input_id < 'in-102' AND {RUN}"],
     "cache", "note", "5 of 400 results from the cache (1.2%)"),
    ([f"UPDATE predictions SET cache = 'run-gpt' WHERE input_id < 'in-102' AND {RUN}",
      f"UPDATE predictions SET git_commit = 'decade2' WHERE {RUN}"],
     "cache", "warning", "5 results of 1 run computed by another code version: run-bert (git_commit"),
    ([f"UPDATE predictions SET cache = 'gone' WHERE input_id = 'in-1' AND {RUN}"],
     "cache", "warning", "1 result from a run that is not in the table: gone"),
    ([f"UPDATE metrics SET accuracy = 0.95 WHERE {RUN}"],
     "two-tables", "error", "accuracy of run-bert is 0.95, and 0.9 by its 200 predictions"),
    (["ALTER TABLE metrics ADD COLUMN params_learning_rate REAL",
      f"UPDATE metrics SET params_learning_rate = params_lr, params_lr = NULL WHERE NOT {RUN}"],
     "schema-drift", "warning", "params_lr and params_learning_rate are one parameter, in different runs"),
    (["UPDATE predictions SET params_lr = 0.1 + 1e-12 WHERE track_id = 'run-gpt'"],
     "cache-key", "warning", "params_lr is 0.1 in run-bert, and 0.1000000000010"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("statements", "rule", "level", "said"), WRONG, ids=[f"{w[1]}-{n}" for n, w in enumerate(WRONG)]
)
def test_what_is_wrong_is_named(
    results: Path, statements: list[str], rule: str, level: str, said: str
) -> None:
    change(results, *statements)
    found = found_in(results, only=(rule,))
    messages = [(one.level, one.message) for one in found.get(rule, ())]
    assert any(got == level and said in text for got, text in messages), messages
    for one in found[rule]:  # the rows are all that there are, or the first of more
        if one.rows:
            assert one.more <= 0 if len(one.rows) < profile.MOST else one.more >= 0, one


def test_every_rule_of_tables_is_tried() -> None:
    from gitxexp.workflows.checks.rule import Scope, rules

    known = {one.id for one in rules() if one.scope in (Scope.TABLE, Scope.FILE)}
    assert known == {wrong[1] for wrong in WRONG}


def test_the_engines_agree(template: Path, tmp_path: Path) -> None:
    """The same findings in SQLite and in DuckDB, which has no text in a column of numbers."""
    again = AGAIN.replace("replace(timestamp", "replace(CAST(timestamp AS VARCHAR)")
    statements = [
        again, f"UPDATE predictions SET input_id = 'in-3' WHERE input_id = 'in-4' AND {RUN}",
        f"UPDATE metrics SET accuracy = 1.3 WHERE {RUN}",
        f"UPDATE predictions SET error = 'timeout' WHERE input_id < 'in-150' AND {RUN}",
        "UPDATE predictions SET params_lr = NULL WHERE input_id IN ('in-1', 'in-2')",
        f"UPDATE predictions SET cache = 'gone' WHERE input_id = 'in-1' AND {RUN}",
        f"UPDATE predictions SET timestamp = '2026-02-01 00:00:00' WHERE input_id = 'in-50' AND {RUN}",
    ]  # fmt: skip
    first = Path(shutil.copy(template, tmp_path / "r.db"))
    change(first, *statements)
    other = as_duckdb(template, tmp_path / "r.duckdb")
    with closing(duckdb.connect(str(other))) as db:
        for statement in statements:
            db.execute(statement)
    one, two = report_of(first), report_of(other)
    assert [(f.rule, f.level, f.message, f.count) for f in one.findings] == [
        (f.rule, f.level, f.message, f.count) for f in two.findings
    ]
    assert one.count(Severity.ERROR) == 4


def test_a_large_table_is_sorted_once_with_the_same_findings(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = AGAIN.replace("replace(timestamp", "replace(CAST(timestamp AS VARCHAR)")
    statements = [
        again, again.replace("run-again", "run-third"),
        f"UPDATE predictions SET input_id = 'in-3' WHERE input_id IN ('in-4', 'in-5') AND {RUN}",
        "DELETE FROM predictions WHERE track_id = 'run-third' AND input_id > 'in-5'",
        "ALTER TABLE predictions ADD COLUMN split TEXT", "UPDATE predictions SET split = 'test'",
        f"UPDATE predictions SET split = 'Train' WHERE input_id < 'in-102' AND {RUN}",
        "UPDATE predictions SET split = NULL WHERE input_id = 'in-7'",
        "DELETE FROM predictions WHERE track_id = 'run-gpt' AND input_id > 'in-7'",
        "UPDATE predictions SET input_id = NULL WHERE input_id = 'in-8'",
    ]  # fmt: skip
    small = Path(shutil.copy(template, tmp_path / "r.db"))
    change(small, *statements)
    other = as_duckdb(template, tmp_path / "r.duckdb")
    with closing(duckdb.connect(str(other))) as db:
        for statement in statements:
            db.execute(statement)
    usual = [report_of(path).findings for path in (small, other)]
    monkeypatch.setattr(profile, "LARGE", 1)
    large = [report_of(path).findings for path in (small, other)]
    for one, two in zip(usual, large, strict=True):
        said = [(f.rule, f.level, f.message, f.count) for f in one]
        assert said == [(f.rule, f.level, f.message, f.count) for f in two]
        assert {"leak", "unbalanced"} <= {rule for rule, *_ in said}
        for few, every in zip(two, one, strict=True):
            assert len(few.rows) > 0 if every.rows else few.rows == ()


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_more_runs_than_an_integer_has_bits(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """50 runs in three parts of the data: every tenth input is in two runs, and in train and test."""
    path = tmp_path / f"many.{kind}"
    rows = [
        (f"run-{n // 20:02}", f"2026-01-01 10:00:{n // 20:02}", f"in-{n // 2 if n % 10 == 0 else n}",
         ("train", "test", "dev")[n % 3], 0.1 if n < 500 else 0.2, n % 7 / 10)
        for n in range(1000)
    ]  # fmt: skip
    names = "track_id TEXT, timestamp TEXT, input_id TEXT, split TEXT, params_lr DOUBLE, f1 DOUBLE"
    connect: Any = sqlite3.connect if kind == "sqlite" else duckdb.connect
    with closing(connect(str(path))) as db:
        db.execute(f"CREATE TABLE predictions ({names})")
        db.executemany("INSERT INTO predictions VALUES (?, ?, ?, ?, ?, ?)", rows)
        db.commit()
    usual = report_of(path).findings
    monkeypatch.setattr(profile, "LARGE", 1)
    large = report_of(path).findings
    assert [(f.rule, f.message, f.count) for f in usual] == [
        (f.rule, f.message, f.count) for f in large
    ]
    assert "leak" in {f.rule for f in usual}


def test_configurations_within_a_run(tmp_path: Path) -> None:
    """One tracker that evaluates two configurations: an input is seen once by each."""
    path = tmp_path / "one.db"
    change(path, TABLES.split(";")[0])
    with closing(sqlite3.connect(path)) as db, db:
        for n in range(400):
            db.execute(
                "INSERT INTO predictions (track_id, timestamp, input_id, params_model, params_lr, prediction,"
                " ground_truth) VALUES ('one', ?, ?, 'bert', ?, ?, '1')",
                (f"2026-01-01 10:00:00.{n:06d}", f"in-{n % 200}", 0.1 if n < 200 else 0.01,
                 "1" if n < 330 else "0"),
            )  # fmt: skip
    assert found_in(path, only=("leak", "unbalanced", "few-samples")) == {}
    change(
        path, "UPDATE predictions SET input_id = 'in-0' WHERE input_id = 'in-1' AND params_lr = 0.1"
    )
    found = found_in(path, only=("leak", "unbalanced"))
    assert found["leak"][0].rows == ({"run": "one", "input": "in-0", "times": 2},)
    assert [row["inputs"] for row in found["unbalanced"][0].rows] == [199, 200]


def evaluation(path: Path, also: str, values: str, each: int = 3) -> Path:
    """Two models on 120 inputs, ``each`` rows of an input, with further columns by the number ``k``."""
    numbers = "WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < {0})"
    change(path, "CREATE TABLE evals (run_id TEXT, timestamp TEXT, question_id INT, model TEXT, f1 REAL,"
           f" {also})",
           f"INSERT INTO evals {numbers.format(240 * each - 1)} SELECT 'r' || (n / {120 * each}),"
           f" strftime('%Y-%m-%d %H:%M:%S', 1760000000 + n, 'unixepoch'), n % 120, 'm' || (n / {120 * each}),"
           f" (n % 7 + 3 * (n / {120 * each})) / 10.0, {values.replace('k', f'(n / 120 % {each})')}"
           " FROM c")  # fmt: skip
    return path


#: Layouts in which an input has several rows on purpose.
SEVERAL = [
    ("sample_idx INT, prompt_tokens INT", "k, n % 50"),
    ("iteration INT", "k"),
    ("fold INT, split TEXT", "k, CASE WHEN n % 3 = k THEN 'test' ELSE 'train' END"),
    ("seed INT, split TEXT", "k, CASE WHEN n % 3 = k THEN 'test' ELSE 'train' END"),
    ("box TEXT", "'[' || (n % 120) || ', ' || k || ']'"),
    ("task TEXT", "'task ' || k"),
]


@pytest.mark.parametrize(("also", "values"), SEVERAL, ids=[also.split()[0] for also, _ in SEVERAL])
def test_several_rows_of_an_input_on_purpose(tmp_path: Path, also: str, values: str) -> None:
    path = evaluation(tmp_path / "e.db", also, values)
    assert found_in(path) == {}
    change(path, "INSERT INTO evals SELECT * FROM evals WHERE run_id = 'r1' AND question_id = 5")
    (one,) = found_in(path, only=("leak",))["leak"]
    assert one.message == "1 input evaluated more than once within a run"


def test_one_configuration_in_several_runs(tmp_path: Path) -> None:
    """Workers that share the inputs, and a run that goes on with another: together they have all."""
    path = evaluation(tmp_path / "e.db", "k INT", "k", each=1)
    change(path, "UPDATE evals SET run_id = run_id || '-' || (question_id % 4)")
    assert found_in(path) == {}
    change(path, "DELETE FROM evals WHERE run_id = 'r1-2'")
    (one,) = found_in(path)["unbalanced"]
    assert one.message.endswith("from 90 to 120 inputs") and one.rows[0]["runs"] == 3


def test_more_configurations_than_are_listed(tmp_path: Path) -> None:
    """Each of 30 is evaluated twice, on 10 inputs: the rest is counted."""
    path = tmp_path / "t.db"
    change(path, "CREATE TABLE p (run_id TEXT, timestamp TEXT, input_id INT, lr INT, f1 REAL)",
           "INSERT INTO p WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < 599)"
           " SELECT 'r' || (n / 10), '2026-01-01', n % 10, n / 20, n % 7 / 10.0 FROM c")  # fmt: skip
    found = found_in(path, only=("leak", "few-samples"))
    assert len(found["leak"]) == 21 and sum(one.count for one in found["leak"]) == 300
    assert found["leak"][-1].message == "100 evaluations repeated in 10 more configurations"
    assert "and 29 more configurations alike" in found["few-samples"][0].message


def test_errors_that_are_none(tmp_path: Path) -> None:
    path = evaluation(tmp_path / "e.db", "error TEXT", "'None'", each=1)
    for value in ("'None'", "'False'", "0", "'nan'", "NULL", "''"):
        change(path, f"UPDATE evals SET error = {value}")
        assert found_in(path, only=("failures",)) == {}, value
    change(path, "UPDATE evals SET error = 'timeout' WHERE question_id = 3")
    (one,) = found_in(path, only=("failures",))["failures"]
    assert (one.message, one.count) == ("2 of 240 rows failed (0.8%): timeout", 2)
    path = evaluation(tmp_path / "f.db", "error REAL", "0.5 + n % 3", each=1)  # of a regression
    assert found_in(path, only=("failures",)) == {}
    path = evaluation(tmp_path / "g.db", "error BOOLEAN", "n % 120 = 7", each=1)
    assert found_in(path, only=("failures",))["failures"][0].count == 2


def test_more_columns_than_a_statement_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ", ".join(f"feature_{n} REAL" for n in range(700))
    path = tmp_path / "wide.db"
    change(path, f"CREATE TABLE p (run_id TEXT, timestamp TEXT, {names}, f1 REAL)",
           *(f"INSERT INTO p (run_id, timestamp, feature_7, f1) VALUES ('{run}', '2026-01-01', {f1}, {f1})"
             for run, f1 in (("a", 0.5), ("b", 0.6), ("a", 0.7), ("b", 1.5))))  # fmt: skip
    for large in (profile.LARGE, 1):
        monkeypatch.setattr(profile, "LARGE", large)
        (one,) = found_in(path)["metric-out-of-range"]
        assert one.rows == ({"run": "b", "least": 0.6, "most": 1.5, "rows": 2},)


def test_times_that_do_not_sort_as_text(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    change(path, "CREATE TABLE p (run_id TEXT, timestamp TEXT, f1 REAL)")
    for times, backwards in (
        (("10:00:00Z", "10:00:00.5Z", "10:00:01Z"), False),
        (("10:00:00+02:00", "09:30:00+01:00"), False),
        (("10:00:00Z", "09:59:59.5Z"), True),
    ):
        change(
            path,
            "DELETE FROM p",
            *(f"INSERT INTO p VALUES ('a', '2026-01-01T{time}', 0.5)" for time in times),
        )
        assert ("clock" in found_in(path)) is backwards, times
    change(
        path,
        "DELETE FROM p",
        *(f"INSERT INTO p VALUES ('a', '{day}/01/2026', 0.5)" for day in ("31", "01")),
    )
    assert found_in(path) == {}


def test_an_input_in_both_parts_of_one_fold(tmp_path: Path) -> None:
    path = evaluation(tmp_path / "e.db", *SEVERAL[2])
    change(path, "INSERT INTO evals SELECT 'r2', timestamp, question_id, 'm2', f1, fold, 'train' FROM evals"
           " WHERE question_id IN (6, 9) AND model = 'm1' AND split = 'test'")  # fmt: skip
    (one,) = found_in(path, only=("leak",))["leak"]
    assert one.message == "2 inputs both in the training and in the held-out data"


def test_one_run_and_another_column(results: Path) -> None:
    change(results, AGAIN)
    assert "leak" in found_in(results, only=("leak",))
    assert found_in(results, only=("leak",), run="run-gpt") == {}
    with pytest.raises(XexpError, match="no run 'run-x'") as said:
        found_in(results, run="run-x")
    assert "run-gpt" in str(said.value.hint)
    with pytest.raises(XexpError, match="no column 'input'") as said:
        found_in(results, id_column="input")
    assert said.value.hint == "did you mean input_id?"
    change(results, "ALTER TABLE predictions RENAME COLUMN input_id TO place")
    skipped = {one.rule: one.reason for one in report_of(results).skipped}
    assert skipped["leak"].endswith("no column names the inputs (--id COLUMN)")
    assert "leak" in found_in(results, only=("leak",), id_column="place")


def test_files_that_cannot_be_read(results: Path, tmp_path: Path) -> None:
    def said(path: Path) -> str:
        with pytest.raises(XexpError) as error:
            found_in(path)
        return error.value.message

    assert said(tmp_path / "none.db") == f"no such results database: {tmp_path / 'none.db'}"
    (tmp_path / "empty.db").touch()
    assert "is empty (0 bytes)" in said(tmp_path / "empty.db")
    (tmp_path / "text.db").write_text("hello, world, this is text")
    assert "not a SQLite or DuckDB database" in said(tmp_path / "text.db")
    with closing(duckdb.connect()) as db:
        db.execute(f"COPY (SELECT 1 AS run_id) TO '{tmp_path / 'cut.parquet'}'")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "cut.parquet").read_bytes()[:-20])
    assert "is damaged" in (text := said(tmp_path / "cut.parquet")) and "\n" not in text
    data = bytearray(results.read_bytes())
    data[4096:12288] = b"\xff" * 8192
    (tmp_path / "torn.db").write_bytes(data)
    assert "damaged" in said(tmp_path / "torn.db")
    with closing(duckdb.connect(str(tmp_path / "open.duckdb"))) as db:
        db.execute("CREATE TABLE t (a INTEGER)")
        code = (
            "import sys; from pathlib import Path; from tests.workflows.checks.support import *\n"
        )
        code += "from gitxexp.common.errors import XexpError\ntry: found_in(Path(sys.argv[1]))\n"
        code += "except XexpError as error: print(error.message)"
        from tests.conftest import ROOT
        from tests.helpers import run

        done = run("python", "-c", code, tmp_path / "open.duckdb", cwd=ROOT).good()
        assert "in use by another process" in done.out
    change(tmp_path / "other.db", "CREATE TABLE t (a)")
    assert "no table of runs" in report_of(tmp_path / "other.db").skipped[0].reason
    change(tmp_path / "bare.db", TABLES.split(";")[0])
    assert "table predictions is empty" in report_of(tmp_path / "bare.db").skipped[0].reason


def test_parameters_of_runs_in_another_table(results: Path) -> None:
    """Predictions that name their run only; a parameter that not all runs have tells none apart."""
    change(results, AGAIN, "ALTER TABLE predictions DROP COLUMN params_model",
           "INSERT INTO metrics SELECT 'run-again', '2026-03-05 10:59:00', 'other', params_lr, accuracy,"
           f" loss, git_commit FROM metrics WHERE {RUN}")  # fmt: skip
    assert found_in(results, only=("leak", "duplicate-run")) == {}
    change(results, "UPDATE metrics SET params_model = 'bert' WHERE track_id = 'run-again'")
    (one,) = found_in(results, only=("leak",))["leak"]
    assert one.message == "200 inputs evaluated in 2 runs of one configuration (model=bert)"
    change(results, "DELETE FROM metrics WHERE track_id = 'run-again'")
    (one,) = found_in(results, only=("leak",))["leak"]
    assert one.message.startswith("200 inputs evaluated in 3 runs of one configuration")


def test_runs_that_no_parameter_tells_apart(results: Path) -> None:
    """They may differ in what the tables do not tell: the part of the data is no parameter."""
    change(results, "DROP TABLE metrics", "ALTER TABLE predictions DROP COLUMN params_model",
           "ALTER TABLE predictions DROP COLUMN params_lr",
           "ALTER TABLE predictions ADD COLUMN split TEXT DEFAULT 'test'")  # fmt: skip
    found = found_in(results, only=("leak", "duplicate-run"))
    ((one,),) = found.values()
    assert (one.level, one.message) == (
        "warning", "200 inputs evaluated in 2 runs that no parameter tells apart",
    )  # fmt: skip


def test_truth_values(tmp_path: Path) -> None:
    """As text they are no numbers, and none is missing; as numbers they give a rate."""
    path = tmp_path / "t.db"
    change(path, "CREATE TABLE p (run_id TEXT, timestamp TEXT, input_id INT, model TEXT, correct TEXT,"
           " shuffle BOOLEAN)",
           *(f"INSERT INTO p VALUES ('{run}', '2026-01-01 10:00:{n:02}', {n}, '{run}', '{n % right > 0}',"
             " 'true')" for run, right in (("a", 5), ("b", 4)) for n in range(40)))  # fmt: skip
    assert found_in(path) == {}
    change(path, "UPDATE p SET shuffle = 'sometimes' WHERE run_id = 'a'")
    assert [one.message for one in found_in(path)["mixed-types"]] == [
        "shuffle is declared as a number, and holds text in 80 rows: 'sometimes'"
    ]
    change(path, "CREATE TABLE q (run_id TEXT, timestamp TEXT, input_id INT, model TEXT, correct BOOLEAN)",
           "INSERT INTO q SELECT run_id, timestamp, input_id, model, correct = 'True' FROM p",
           "DROP TABLE p")  # fmt: skip
    few, _ = found_in(path)["few-samples"]
    assert few.message.startswith("correct of model=a is 0.8 (0.6524 to 0.895), on 40 rows only")


def test_types_that_are_no_numbers(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with closing(duckdb.connect()) as db:
        db.execute(
            "COPY (SELECT 'r' || i % 2 AS run_id, TIMESTAMP '2026-01-01' + INTERVAL (i) MINUTE AS timestamp,"
            " 'm' || i % 2 AS model, INTERVAL (i) DAY AS waited, {'n': i} AS pair, MAP {'n': i} AS names,"
            " [i] AS list, 'INT'::ENUM('INT', 'DOUBLE') AS kind, '\\x00'::BLOB AS bytes, TIME '10:00' AS at,"
            f" i::HUGEINT AS huge, uuid() AS unique_id, i % 7 / 7 AS f1 FROM range(90) t(i)) TO '{path}'"
        )
    assert report_of(path).findings == ()


def test_rates_of_a_table_that_counts_its_inputs(tmp_path: Path) -> None:
    """A row for each run: the interval of its accuracy is that of so many inputs."""
    path = tmp_path / "runs.db"
    change(path, "CREATE TABLE runs (run_id TEXT, timestamp TEXT, model TEXT, accuracy REAL, n_samples INT)",
           "INSERT INTO runs VALUES ('a', '2026-01-01 00:00:00', 'x', 0.840, 50),"
           " ('b', '2026-01-01 00:01:00', 'y', 0.836, 50)")  # fmt: skip
    small, noise = found_in(path)["few-samples"]
    assert "accuracy of model=x is 0.84 (0.7149 to 0.9166), on 50 rows only" in small.message
    assert "better than model=y by 0.004 of accuracy on 50 rows: that is noise" in noise.message
    change(
        path, "UPDATE runs SET n_samples = 5000", "UPDATE runs SET accuracy = 0.7 WHERE model = 'y'"
    )
    assert found_in(path) == {}


def test_a_table_of_data_has_no_runs(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    change(path, "CREATE TABLE examples (id INTEGER, split TEXT, text TEXT)",
           "INSERT INTO examples VALUES (1, 'train', 'a'), (2, 'test', 'b'), (3, 'val', 'c')")  # fmt: skip
    assert found_in(path) == {}
    change(path, "INSERT INTO examples VALUES (1, 'test', 'a')")
    assert [one.message for one in found_in(path)["leak"]] == [
        "1 input both in the training and in the held-out data"
    ]
    change(path, "INSERT INTO examples VALUES (3, 'val', 'c')")
    assert found_in(path)["leak"][0].message == "1 input more than once in the table"


def test_bounds_and_reasons(results: Path) -> None:
    from gitxexp.workflows.checks.bounds import parse

    bounds = parse(["samples=50", "score=0..10", "loss=..3"])
    assert (bounds.samples, str(bounds.range_of("score")), str(bounds.range_of("loss"))) == (
        50, "0..10", "-inf..3",
    )  # fmt: skip
    assert bounds.range_of("val_accuracy") == (0, 1) and bounds.range_of("something") is None
    assert parse(["failures=0", "f1=0.5..0.5"]).failures == 0
    for text in ("samples", "samples=x", "nonsense=3", "samples=-3", "tolerance=nan", "failures=10",
                 "f1=1..0", "f1=..nan", "=0..1", "0..1"):  # fmt: skip
        with pytest.raises(XexpError, match="is not a bound"):
            parse([text])
