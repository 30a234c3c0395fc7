"""``git xexp check`` as it is typed: formats, exit codes, corrections, and what has not changed."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pexpect
import pytest
from ruamel.yaml import YAML

from gitxexp.repository.repository import Project
from gitxexp.workflows.runs.record import RunRecord, write
from tests.conftest import ROOT, copy_template
from tests.helpers import Repo, xexp_inside
from tests.workflows.checks.support import change, sound
from tests.workflows.checks.test_tables import RUN


@pytest.fixture(scope="module")
def bench_template(tmp_path_factory: pytest.TempPathFactory, dvc_template: Path) -> Path:
    """A repository with a sound benchmark that git tracks, set up and tagged e0.1.0."""
    folder = tmp_path_factory.mktemp("bench")
    made = copy_template(dvc_template, folder)
    made.git("remote", "add", "origin", "../nowhere")
    made.git("switch", "-q", "-c", "exp/one")
    sound(made / "bench.db")
    made.write("params.yaml", "model: bert\nlr: 0.1\n")
    made.write("metrics.json", "{}\n")
    made.git("add", "-A")
    made.xexp("init").good()
    made.commit("set up")
    made.xexp("tag", "-m", "first").good()
    return folder


@pytest.fixture
def bench(bench_template: Path, tmp_path: Path) -> Repo:
    return copy_template(bench_template, tmp_path)


def test_what_is_printed_and_with_which_code(bench: Repo) -> None:
    done = bench.xexp("check").good()
    assert done.out.endswith("nothing found (3 not applied)\n"), done.out
    change(
        bench / "bench.db",
        f"UPDATE predictions SET latency = 'slow' WHERE {RUN} AND input_id = 'in-1'",
    )
    done = bench.xexp("check").good()
    assert done.out.splitlines()[1].split("\t") == [
        "warning", "mixed-types", "bench.db:predictions",
        "latency holds numbers, and text in 1 row: 'slow'",
    ]  # fmt: skip
    assert bench.xexp("check", "--strict").code == 1
    change(bench / "bench.db", f"UPDATE metrics SET accuracy = 0.95 WHERE {RUN}")
    done = bench.xexp("check")
    assert done.code == 1 and done.err.startswith("1 error, 1 warning (3 not")
    shown = bench.xexp("check", "-v").out
    assert "run=run-bert  reported=0.95  recomputed=0.9  predictions=200\n" in shown
    assert "hint: compute it from the predictions" in shown
    assert bench.xexp("check", "--skip", "two-tables").code == 0
    assert bench.xexp("check", "--only", "two-tables,leak").code == 1
    found = bench.xexp("check", "--json").json()
    assert [one["rule"] for one in found["findings"]] == ["two-tables", "mixed-types"]
    bench.git("config", "xexp.check.ignore", "two-tables@accuracy: rounded by hand")
    found = bench.xexp("check", "--json").good().json()
    assert found["ignored"][0]["reason"] == "rounded by hand"
    assert "(1 ignored" in bench.xexp("check", "--md").good().out


def test_markdown_and_annotations_are_only_text(bench: Repo) -> None:
    text = "a|b <b>@you</b>\n::error::x %0A"
    with closing(sqlite3.connect(bench / "bench.db")) as db, db:
        db.execute("UPDATE predictions SET error = ?", (text,))
    done = bench.xexp("check", "--md", "--only", "failures")
    table = [line for line in done.out.splitlines() if line.startswith("| error")]
    assert len(table) == 2 and "<b>" not in done.out and "@you" not in done.out
    (line,) = bench.xexp("check", "--github", "--only", "failures").out.splitlines()
    assert line.startswith(
        "::error file=bench.db,title=failures predictions::400 of 400 rows failed"
    )
    assert "%250A" in line or "error::x" not in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--only leek", "there is no rule 'leek'"),
        ("--json --md --github", "--json, --md and --github cannot be used together"),
        ("--train a.csv", "go together"),
        ("--before bench.db", "PATH and --before cannot be used together"),
        ("--params-from train:Config bench.db", "PATH and --params-from cannot"),
        ("--params-from train:Config --after", "--params-from and --after cannot"),
        ("--dry-run", "--dry-run requires --fix"),
        ("--merge HEAD --before", "cannot be used together"),
    ],
)
def test_wrong_usage(bench: Repo, words: str, said: str) -> None:
    done = bench.xexp("check", *words.split())
    assert done.code == 129 and said in done.err and "hint" in done.err


def test_without_a_repository(bench: Repo, tmp_path: Path) -> None:
    folder = tmp_path / "alone"
    folder.mkdir()
    shutil.copy(bench / "bench.db", folder / "results.db")
    assert xexp_inside("check", "results.db", cwd=folder).code == 0
    assert xexp_inside("check", ".", cwd=folder).code == 0
    (folder / "train.csv").write_text("input_id,x\na,1\nb,2\n")
    (folder / "test.csv").write_text("input_id,x\nb,3\nc,4\n")
    done = xexp_inside("check", "--train", "train.csv", "--test", "test.csv", "-v", cwd=folder)
    assert done.code == 1 and "1 row of test.csv in train.csv (by input_id)" in done.out
    assert "input_id=b  x=3" in done.out
    done = xexp_inside("check", "results.db", "--since", "e0.1.0", cwd=folder)
    assert done.code == 128 and "names a version, and there is no repository" in done.err
    done = xexp_inside("check", cwd=folder)
    assert (done.code, done.out) == (128, "") and "not a git repository" in done.err
    done = xexp_inside("check", "none.db", cwd=folder)
    assert done.code == 128 and "no such results database: none.db" in done.err


def test_databases_that_are_not_there_or_not_whole(bench: Repo) -> None:
    bench.git("config", "xexp.results.databases", "none.db")
    bench.git("config", "--add", "xexp.results.databases", "empty.db")
    bench.write("empty.db", "")
    done = bench.xexp("check", "--only", "leak", "-v")
    assert done.code == 1 and "the results database is empty (0 bytes): empty.db" in done.out
    assert "skipped  results: none.db does not exist: train first, or dvc pull" in done.out
    assert str(bench.path) not in done.out


def test_nothing_has_changed_until_something_has(bench: Repo) -> None:
    def unchanged(*words: str) -> bool:
        return bool(bench.xexp("check", *words, "--json").json()["unchanged"])

    assert [unchanged(), unchanged()] == [False, True]
    assert not unchanged("--only", "leak")  # another question
    assert not unchanged() and unchanged()
    change(bench / "bench.db", "UPDATE metrics SET loss = loss + 0.25")
    assert not unchanged() and unchanged()
    bench.git("tag", "other")
    assert not unchanged() and unchanged()
    bench.git("config", "xexp.check.bounds", "samples=10")
    assert not unchanged() and unchanged()
    object_ = next(path for path in (bench / ".dvc/cache/files/md5").rglob("*") if path.is_file())
    object_.chmod(0o644)
    object_.write_bytes(b"different bytes")
    done = bench.xexp("check", "--json")
    assert done.code == 1 and [one["rule"] for one in done.json()["findings"]] == [
        "record", "corrupt-cache"
    ]  # fmt: skip
    assert bench.xexp("check").code == 1  # an error is never remembered


def test_what_is_recorded(bench: Repo) -> None:
    def found(*only: str) -> dict[str, str]:
        done = bench.xexp("check", "--only", ",".join(only), "--json")
        return {one["rule"]: one["message"] for one in done.json()["findings"]}

    only = ("record", "unpushed", "stale-registry", "drivers-missing")
    assert found(*only) == {}
    other = bench.git("commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "other")
    message = bench.git("tag", "-l", "--format=%(contents)", "e0.1.0").replace("e0.1.0", "e9.0.0")
    bench.git("tag", "-a", "--cleanup=verbatim", "-m", message, "e9.0.0", other)
    assert found("stale-registry") == {}  # its row comes with a merge
    bench.git("tag", "-d", "e9.0.0")
    bench.git("tag", "-a", "--cleanup=verbatim", "-m", message, "e9.0.0", "HEAD")
    assert found("stale-registry") == {
        "stale-registry": "the registry lacks 1 tagged experiment: e9.0.0"
    }
    bench.git("tag", "-d", "e9.0.0")
    bench.git("update-ref", "refs/remotes/origin/main", "main")
    assert found(*only) == {"unpushed": "1 experiment not pushed: e0.1.0"}
    bench.git("config", "--remove-section", "merge.xexp")
    bench.git("tag", "-d", "e0.1.0")
    assert found(*only) == {
        "stale-registry": "the registry has 1 experiment without a tag: e0.1.0",
        "drivers-missing": "this clone has no merge drivers, so git does not merge rows",
    }
    done = bench.xexp("check", "--only", "drivers-missing", "--fix", "--dry-run").good()
    assert "would: git xexp drivers install" in done.err
    done = bench.xexp("check", "--only", "drivers-missing", "--fix").good()
    assert "corrected: git xexp drivers install" in done.err and found("drivers-missing") == {}
    bench.xexp("undo", "--yes").good()
    assert "drivers-missing" in found("drivers-missing")


def test_a_false_record(bench: Repo) -> None:
    message = bench.git("tag", "-l", "--format=%(contents)", "e0.1.0").replace(
        "lr = 0.1", "lr = 0.2"
    )
    bench.git("tag", "-f", "-a", "--cleanup=verbatim", "-m", message, "e0.1.0", "HEAD")
    done = bench.xexp("check", "--only", "record", "--json")
    assert done.code == 1 and "e0.1.0: " in done.json()["findings"][0]["message"]


def test_a_renamed_parameter_is_renamed_everywhere_and_back(bench: Repo) -> None:
    """The column in both tables; where a tracker has added the new one already, they become one."""
    bench.write("params.yaml", "model: bert\nlearning_rate: 0.1\nextra: 3\n")
    found = (
        bench.xexp("check", "--before", "--only", "schema-drift", "--json")
        .good()
        .json()["findings"]
    )
    assert [one["message"] for one in found] == [
        "params_lr is now params_learning_rate, it seems (two names for one thing)",
        "new: extra",
    ]
    change(
        bench / "bench.db",
        "ALTER TABLE metrics ADD COLUMN params_learning_rate REAL",
        "INSERT INTO metrics (track_id, timestamp, params_learning_rate)"
        " VALUES ('new', '2026-02-01 00:00:00', 0.5)",
    )
    before = (bench / "bench.db").read_bytes()
    words = ("check", "--before", "--only", "schema-drift", "--fix")
    assert "would: rename params_lr" in bench.xexp(*words, "--dry-run").err
    done = bench.xexp(*words, "--yes").good()
    assert "corrected: rename params_lr to params_learning_rate in bench.db" in done.err
    with closing(sqlite3.connect(bench / "bench.db")) as db:
        for table, rows in (("predictions", 400), ("metrics", 3)):
            names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            assert "params_lr" not in names and names.count("params_learning_rate") == 1
            filled = db.execute(f"SELECT count(params_learning_rate) FROM {table}").fetchone()
            assert filled == (rows,)
    bench.xexp("undo", "--yes").good()
    assert (bench / "bench.db").read_bytes() == before
    change(bench / "bench.db", f"UPDATE metrics SET params_learning_rate = 9 WHERE {RUN}")
    done = bench.xexp(*words, "--yes")
    assert done.code == 128 and "1 row of metrics have another params_lr" in done.err
    change(bench / "bench.db", "CREATE VIEW best AS SELECT Params_LR FROM metrics",
           "CREATE VIEW other AS SELECT params_lr2 FROM metrics",
           "CREATE TRIGGER late AFTER INSERT ON metrics"
           " BEGIN DELETE FROM metrics WHERE params_lr < 0; END")  # fmt: skip
    before = (bench / "bench.db").read_bytes()
    done = bench.xexp(*words, "--yes")
    assert done.code == 128 and (bench / "bench.db").read_bytes() == before
    assert "not renamed: view best and trigger late of bench.db may use it" in done.err


def test_a_parameter_that_was_renamed_between_runs(bench: Repo) -> None:
    change(bench / "bench.db", "ALTER TABLE metrics ADD COLUMN params_learning_rate REAL",
           f"UPDATE metrics SET params_learning_rate = 0.1, params_lr = NULL WHERE NOT {RUN}")  # fmt: skip
    bench.xexp("check", "--only", "schema-drift", "--fix").good()
    with closing(sqlite3.connect(bench / "bench.db")) as db:
        sql = "SELECT DISTINCT params_learning_rate FROM"
        assert db.execute(f"{sql} metrics").fetchall() == [(0.1,)]
        assert db.execute(f"{sql} predictions").fetchall() == [(0.1,)]


def test_parameters_of_a_dataclass_and_keys_of_a_cache(bench: Repo) -> None:
    bench.write("src/settings.py", "import nothing_that_exists\nfrom dataclasses import dataclass, field\n\n"
                "@dataclass\nclass Base:\n    model: str = 'bert'\n\n\n"
                "class Params(Base):\n    lr: float = 0.1 + 0.2\n    sizes: list[int] = field(default=None)\n"
                "    rate: 'float' = 0.30000000000000004\n")  # fmt: skip
    words = ("check", "--params-from", "settings:Params", "--json", "--only")
    found = bench.xexp(*words, "cache-key").good().json()["findings"]
    assert {one["message"] for one in found} == {
        "settings:Params is not frozen, so it cannot be hashed", "cannot be hashed: sizes",
    }  # fmt: skip
    drift = bench.xexp(*words, "schema-drift").good().json()["findings"]
    assert [one["message"] for one in drift] == ["new: rate, sizes"]
    done = bench.xexp("check", "--params-from", "settings:Parms")
    assert done.code == 128 and "did you mean Params?" in done.err
    bench.write("params.yaml", "model: bert\nlr: 0.10000000000000002\n")
    found = (
        bench.xexp("check", "--before", "--only", "cache-key", "--json").good().json()["findings"]
    )
    assert found[0]["message"].startswith("lr is 0.10000000000000002, and 0.1 in ")
    bench.write("params.yaml", "model: bert\nlr: fast\n")
    found = bench.xexp("check", "--before", "--only", "schema-drift", "--json").json()["findings"]
    assert found[0]["message"] == "params_lr holds numbers, and will get text: 'fast'"


def test_files_are_added_and_columns_asked_for(bench: Repo) -> None:
    """``--fix`` without a terminal corrects all; on one it asks."""
    bench.write("data/more.csv", "x\n1\n")
    bench.write("params.yaml", "model: bert\nlearning_rate: 0.1\n")
    done = bench.xexp("check", "--before", "--only", "not-tracked", "--fix", "--json").good()
    assert done.json()["fixed"] == ["dvc add data/more.csv"] and not done.json()["findings"]
    assert (bench / "data/more.csv.dvc").exists()
    bench.xexp("undo", "--yes").good()
    assert not (bench / "data/more.csv.dvc").exists() and (bench / "data/more.csv").exists()
    words = ("check", "--before", "--only", "not-tracked,schema-drift", "--fix")
    child = pexpect.spawn(sys.executable, ["-m", "gitxexp", *words], cwd=str(bench.path), timeout=60,
                          encoding="utf-8", dimensions=(40, 200))  # fmt: skip
    child.expect(
        r"rename params_lr to params_learning_rate in bench.db: predictions, metrics\? \[y/N\]"
    )
    child.sendline("y")
    child.expect(r"dvc add data/more.csv\? \[y/N\]")
    child.sendline("n")
    child.expect("corrected: rename params_lr")
    child.expect(pexpect.EOF)
    assert not (bench / "data/more.csv.dvc").exists()


def test_since_a_version(bench: Repo) -> None:
    """What was there before a version is not looked at: git's clock in tests is that of 2023."""
    change(bench / "bench.db", f"UPDATE metrics SET accuracy = 1.3 WHERE {RUN}")
    only = ("check", "--only", "metric-out-of-range", "--since")
    assert bench.xexp(*only, "e0.1.0").code == 1
    change(bench / "bench.db", f"UPDATE metrics SET timestamp = '2022-01-01 00:00:00' WHERE {RUN}")
    assert bench.xexp(*only, "e0.1.0").code == 0
    done = bench.xexp(*only, "e9.9.9")
    assert done.code == 128 and "e9.9.9" in done.err


def test_runs_of_other_trackers_and_of_none(bench: Repo) -> None:
    change(bench / "mlflow.db", "CREATE TABLE experiments (experiment_id INTEGER, name TEXT)",
           "CREATE TABLE runs (run_uuid TEXT, experiment_id INT, start_time INT, end_time INT, status TEXT,"
           " lifecycle_stage TEXT)",
           "CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT)",
           "CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT)",
           "CREATE TABLE metrics (key TEXT, value REAL, timestamp INT, run_uuid TEXT, step INT,"
           " is_nan INT)",
           "INSERT INTO experiments VALUES (1, 'digits')",
           "INSERT INTO runs VALUES ('a', 1, 1700000000000, 1700000009000, 'FINISHED', 'active'),"
           " ('b', 1, 1700000010000, 1700000019000, 'FINISHED', 'active')",
           "INSERT INTO params VALUES ('lr', '0.1', 'a'), ('lr', '0.1', 'b')",
           "INSERT INTO metrics VALUES ('accuracy', 0.9, 1700000009000, 'a', 0, 0),"
           " ('accuracy', 1.3, 1700000019000, 'b', 0, 0), ('error', 0.1, 1, 'b', 0, 0)")  # fmt: skip
    (bench / "dvclive").mkdir()
    (bench / "dvclive/metrics.json").write_text('{"auc": 1.5}')
    metrics = {"f1": 1.5}
    write(Project.open(bench.path), [RunRecord("r-1", "done", params={"lr": 1}, metrics=metrics)])
    bench.git("config", "xexp.results.databases", "mlflow.db")
    done = bench.xexp("check", "--only", "metric-out-of-range,duplicate-run,failures", "--json")
    found = {(one["path"], one["table"], one["message"]) for one in done.json()["findings"]}
    again = "2 runs of one configuration (a) have accuracy from 0.9 to 1.3: not deterministic"
    assert (done.code, found) == (1, {
        ("mlflow.db", "digits", "accuracy is 1.3 in run b, outside of 0..1"),
        ("mlflow.db", "digits", again),
        ("dvclive", "runs", "auc is 1.5 in run dvclive-ae59da9a, outside of 0..1"),
        (".xexp/registry.db", "runs", "f1 is 1.5 in run r-1, outside of 0..1"),
    })  # fmt: skip
    named = bench.xexp("check", "mlflow.db", "dvclive", "--run", "b")
    assert "accuracy is 1.3 in run b" in named.out and "auc" not in named.out
    assert (
        "no run 'c' in mlflow.db, dvclive"
        in bench.xexp("check", "mlflow.db", "dvclive", "--run", "c").err
    )


def test_several_processes(bench: Repo) -> None:
    def found() -> list[str]:
        words = ("check", "--before", "--only", "engine", "--json")
        return [one["message"] for one in bench.xexp(*words).json()["findings"]]

    bench.write("train.py", "from xetrack import Tracker\nTracker('a.db', engine='duckdb')\n")
    assert found() == []
    bench.write("train.py", "from multiprocessing import Pool\nfrom xetrack import Tracker\n"
                "Tracker('a.db', engine='duckdb', log_system_params=True)\n")  # fmt: skip
    assert found() == [
        "xetrack's DuckDB engine with several processes: train.py",
        "system monitoring with several processes: train.py",
    ]


def test_explore_diff_shows_the_same_interval(bench: Repo) -> None:
    """The metric of two tagged runs, with the interval that their predictions give."""
    change(bench / "bench.db", "UPDATE predictions SET prediction = ground_truth WHERE track_id = 'run-gpt'"
           " AND CAST(substr(input_id, 4) AS INT) < 181",
           "UPDATE metrics SET accuracy = 0.905 WHERE track_id = 'run-gpt'")  # fmt: skip
    bench.xexp("tag", "--all", "--run", "run-bert", "-m", "bert", "--allow-mismatch").good()
    bench.xexp("tag", "--run", "run-gpt", "-m", "gpt", "--allow-mismatch").good()
    one, other = sorted(bench.tags)[-2:]
    noise = bench.xexp("check", "bench.db", "--only", "few-samples", "--json").json()["findings"]
    found = bench.xexp("explore", "diff", one, other, "--json").good().json()["metrics"]
    (accuracy,) = (each for each in found if each["name"] == "accuracy")
    assert accuracy["low"] < 0 < accuracy["high"]
    assert f"{accuracy['low']:.4g} to {accuracy['high']:.4g}" in noise[0]["message"]
    assert "(noise: 95% from -" in bench.xexp("explore", "diff", one, other).out


def test_workflows_for_ci_are_yaml_and_run_us(tmp_path: Path) -> None:
    github = YAML(typ="safe").load(xexp_inside("check", "--ci", "github", cwd=tmp_path).good().out)
    steps = [step.get("run", "") for step in github["jobs"]["check"]["steps"]]
    assert any('check --merge "origin/$BASE"' in step for step in steps)
    assert any("check --md" in step for step in steps) and any(
        "pr comment" in step for step in steps
    )
    assert "${{" not in " ".join(steps)  # what others write is no part of a script
    gitlab = YAML(typ="safe").load(xexp_inside("check", "--ci", "gitlab", cwd=tmp_path).good().out)
    script = "\n".join(gitlab["xexp-check"]["script"])
    assert "git xexp check --merge" in script and "check.md" in script
    hooks = YAML(typ="safe").load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    assert [hook["entry"] for hook in hooks] == ["git-xexp check", "git-xexp check --before"]
    assert json.dumps(hooks)


def test_a_merge_that_dropped_rows_for_a_pull_request(repo: Repo) -> None:
    change(repo / "runs.db", "CREATE TABLE runs (id TEXT PRIMARY KEY, f1 REAL)",
           "INSERT INTO runs VALUES ('base', 0.1)")  # fmt: skip
    repo.commit("base")
    repo.git("switch", "-q", "-c", "other")
    change(repo / "runs.db", "INSERT INTO runs VALUES ('theirs', 0.2)")
    repo.commit("theirs")
    repo.git("switch", "-q", "main")
    repo.write("note", "x")
    repo.commit("mine")
    repo.git("merge", "-q", "--no-edit", "-s", "ours", "other")
    done = repo.xexp("check", "--merge", "HEAD~1", "--md")
    assert done.code == 1 and "| error | merge-dropped-rows | runs.db:runs |" in done.out
    assert "theirs | 0.2 |" in done.out
    done = repo.xexp("check", "--merge", "HEAD~1", "--github")
    assert done.out.startswith("::error file=runs.db,title=merge-dropped-rows runs::")
    assert "dropped 1 row of runs in runs.db" in repo.xexp("check", "--merge", "HEAD~1").out


def test_the_api(bench: Repo) -> None:
    import gitxexp

    found = gitxexp.open(bench.path).check(only=["leak", "two-tables"])
    assert (found.findings, found.rules) == ((), ("two-tables", "leak")) and not found.failed()
    assert gitxexp.open(bench.path).check(before=True, only=["on-main"]).findings == ()
