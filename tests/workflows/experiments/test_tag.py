"""``git xexp tag`` on a repository with a real model, real rows and real DVC."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gitxexp.repository import tag_message
from gitxexp.repository.registry import Registry
from gitxexp.repository.tag_message import Payload
from tests.helpers import Clock, Done, Repo, run


@pytest.fixture
def ready(set_up: Repo) -> Repo:
    return set_up


def message(repo: Repo, tag: str) -> Payload:
    """The payload of a tag."""
    return tag_message.decode(repo.git("tag", "-l", "--format=%(contents)", tag))


def rows(repo: Repo, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(repo / "results/experiments.db")) as db:
        return db.execute(sql).fetchall()


def add_run(repo: Repo, run_id: str, **values: Any) -> None:
    """One more row, in the way the tracker writes it."""
    columns = {"track_id": run_id, "timestamp": f"2030-01-01 00:00:{len(run_id):02}", **values}
    names = ", ".join(columns)
    marks = ", ".join("?" * len(columns))
    with closing(sqlite3.connect(repo / "results/experiments.db")) as db, db:
        known = {row[1] for row in db.execute("PRAGMA table_info(predictions)")}
        for name in columns.keys() - known:
            db.execute(f"ALTER TABLE predictions ADD COLUMN {name}")
        db.execute(f"INSERT INTO predictions ({names}) VALUES ({marks})", list(columns.values()))


def test_the_first_tag_holds_everything(ready: Repo) -> None:
    done = ready.xexp("tag", "-m", "a first look").good()
    assert "e0.1.0  the first experiment" in done.out
    found = message(ready, "e0.1.0")
    data = next(v for p, v in found.artifacts.items() if p == "data/train.csv")
    assert found.headline == (
        "model=softmax | lr=1.0 | batch_size=32 | epochs=3 | f1=0.4500 | accuracy=0.9000"
        f" | data={data[4:10]} | a first look"
    )
    assert found.run == "run-lr-1.0"
    assert found.params == {"model": "softmax", "lr": 1.0, "epochs": 3, "batch_size": 32, "seed": 7}
    assert found.metrics == {"f1": 0.45, "accuracy": 0.9, "loss": 0.25}
    assert set(found.artifacts) == {
        "data/train.csv", "models/production/model.bin", "results/experiments.db",
    }  # fmt: skip
    assert ready.git("cat-file", "-t", "e0.1.0") == "tag"
    assert ready.git("rev-parse", "e0.1.0^{commit}") == ready.head
    assert ready.git("status", "--porcelain") == ""


def test_the_hash_chain_holds_both_ways(ready: Repo) -> None:
    code = ready.head
    ready.xexp("tag", "-m", "x").good()
    found = message(ready, "e0.1.0")
    assert found.run_commit == code
    stamped = rows(ready, "SELECT DISTINCT track_id, git_commit, dvc_hash FROM predictions"
                          " WHERE version = 'e0.1.0'")  # fmt: skip
    assert stamped == [(found.run, code, found.data)]
    pointer = ready.git("show", "e0.1.0:results/experiments.db.dvc")
    assert found.artifacts["results/experiments.db"].removeprefix("md5:") in pointer
    assert ready.dvc("status").strip() == "Data and pipelines are up to date."


def test_the_commit_holds_the_row_of_its_version(ready: Repo, tmp_path: Path) -> None:
    ready.xexp("tag").good()
    target = tmp_path / "registry.db"
    target.write_bytes(blob(ready, "e0.1.0:.xexp/registry.db"))
    assert Registry(target).rows() == {"e0.1.0": message(ready, "e0.1.0")}


def blob(repo: Repo, name: str) -> bytes:
    return subprocess.run(
        ["git", "cat-file", "blob", name], cwd=repo.path, capture_output=True, check=True
    ).stdout


@pytest.mark.parametrize(
    ("args", "run_id"),
    [((), "run-lr-1.0"), (("--run", "run-lr-0.01"), "run-lr-0.01"), (("--best", "f1"), "run-lr-0.1"),
     (("--best", "accuracy"), "run-lr-1.0"), (("--best", "loss"), "run-lr-1.0")],
)  # fmt: skip
def test_the_run_that_is_taken(ready: Repo, args: tuple[str, ...], run_id: str) -> None:
    ready.xexp("tag", *args).good()
    assert message(ready, "e0.1.0").run == run_id


def test_best_follows_the_configured_direction(ready: Repo) -> None:
    ready.git("config", "xexp.metrics.minimize", "accuracy")
    ready.xexp("tag", "--best", "accuracy").good()
    assert message(ready, "e0.1.0").run == "run-lr-0.01"


def test_a_parent_that_was_tagged_again_by_hand_is_compared_by_its_row(tagged: Repo) -> None:
    tagged.git("tag", "-f", "-a", "-m", "the baseline, in better words", "e0.1.0", "e0.1.0^{}")
    said = tagged.xexp("tag", "--run", "run-lr-0.01", "--allow-mismatch", "--dry-run").good().out
    assert "lr changed since e0.1.0" in said


def test_precedence_of_values(ready: Repo) -> None:
    """Files, then the run, then the command line."""
    ready.write("params.yaml", "model: other\ntrain:\n  lr: 9\nonly_here: 1\n")
    ready.write("metrics.json", '{"f1": 0.1, "recall": 0.7}')
    ready.commit("values")
    ready.xexp("tag", "-P", "epochs=99", "-M", "accuracy=0.123").good()
    found = message(ready, "e0.1.0")
    assert found.params == {
        "model": "softmax", "train.lr": 1.0, "only_here": 1, "epochs": 99, "batch_size": 32, "seed": 7,
    }  # fmt: skip
    assert found.metrics == {"f1": 0.45, "recall": 0.7, "accuracy": 0.123, "loss": 0.25}


def test_the_level_is_chosen_and_explained(ready: Repo, clock: Clock) -> None:
    ready.xexp("tag").good()
    assert "e0.1.1  patch: nothing changed since e0.1.0 (reruns e0.1.0)" in ready.xexp("tag").out
    out = ready.xexp("tag", "--best", "f1").good().out
    assert "e0.2.0  minor: lr changed since e0.1.1" in out
    ready.write("train.py", "print('other code')\n")
    out = ready.xexp("tag", "--best", "f1", "--all-runs", "-a").good().out
    assert "e0.3.0  minor: train.py changed since e0.2.0" in out
    again = ready.xexp("tag", "--best", "f1", "--all-runs", "-n").err
    assert "run run-lr-0.1 was tagged before" in again
    ready.write("data/train.csv", "x,y\n1,1\n")
    out = ready.xexp("tag", "--best", "f1", "--all-runs").good().out
    assert "added   data/train.csv" in out
    assert "e1.0.0  major: data/train.csv changed since e0.3.0" in out
    out = ready.xexp("tag", "--best", "f1", "--all-runs", "-P", "model=forest").good().out
    assert "e2.0.0  major: model changed since e1.0.0" in out
    assert ready.tags == ["e0.1.0", "e0.1.1", "e0.2.0", "e0.3.0", "e1.0.0", "e2.0.0"]


def test_going_back_to_an_old_configuration_says_so(ready: Repo) -> None:
    ready.xexp("tag", "--best", "f1", "--all-runs").good()
    ready.xexp("tag").good()
    out = ready.xexp("tag", "--best", "f1", "--all-runs").good().out
    assert "e0.3.0  minor: lr changed since e0.2.0 (reruns e0.1.0)" in out


def test_version_level_and_name_can_be_given(ready: Repo) -> None:
    ready.xexp("tag", "e3.1.4").good()
    ready.xexp("tag", "--major").good()
    assert ready.xexp("tag", "--name", "wide net").code == 129
    ready.xexp("tag", "--name", "wide").good()
    ready.xexp("tag", "--name", "wide").good()
    assert ready.tags == ["e3.1.4", "e4.0.0", "exp-wide-v1", "exp-wide-v2"]
    taken = ready.xexp("tag", "e3.1.4")
    assert taken.code == 128
    assert taken.err == "fatal: e3.1.4 exists already\nhint: the next free version is e4.0.1\n"


def test_suggest_and_dry_run_change_nothing(ready: Repo) -> None:
    before = state(ready)
    assert ready.xexp("tag", "--suggest").good().out == "e0.1.0\n"
    out = ready.xexp("tag", "--dry-run", "-m", "words").good().out
    assert out.startswith("e0.1.0  the first experiment\n\nmodel=softmax | lr=1.0")
    assert "would commit  .xexp/registry.db" in out
    assert state(ready) == before


def state(repo: Repo) -> tuple[Any, ...]:
    """All that a refused command must leave alone."""
    cache = sorted(str(p) for p in (repo / ".dvc/cache").rglob("*") if p.is_file())
    files = {
        str(p): p.read_bytes()
        for p in repo.path.rglob("*")
        if p.is_file() and not {".git", "cache", "tmp"} & set(p.relative_to(repo.path).parts)
    }
    return repo.refs(), repo.head, repo.git("status", "--porcelain"), cache, files


def test_json_has_the_facts(ready: Repo) -> None:
    found = ready.xexp("tag", "--json", "-l", "baseline", "-l", "keep").good().json()
    assert found["version"] == "e0.1.0"
    assert found["labels"] == ["baseline", "keep"]
    assert found["commit"] == ready.head
    assert found["tag"] == ready.git("rev-parse", "e0.1.0")


def test_modified_files_are_named_and_all_includes_them(ready: Repo) -> None:
    ready.write("train.py", "print(2)\n")
    ready.write("untracked.txt", "never blocks")
    before = state(ready)
    done = ready.xexp("tag")
    assert (done.code, done.out) == (128, "")
    assert done.err == (
        "fatal: tracked files are modified, so no commit holds what ran:\n  train.py\n"
        "hint: include them: git xexp tag -a, or commit or restore them first\n"
    )
    assert state(ready) == before
    ready.xexp("tag", "-a").good()
    assert ready.git("show", "e0.1.0:train.py") == "print(2)"
    assert ready.git("status", "--porcelain") == "?? untracked.txt"


def test_what_is_staged_is_neither_swept_in_nor_lost(ready: Repo) -> None:
    ready.write("notes.txt", "staged")
    ready.git("add", "notes.txt")
    done = ready.xexp("tag").good()
    assert "note: staged, and not part of the snapshot: notes.txt" in done.err
    assert ready.git("status", "--porcelain") == "A  notes.txt"
    assert "notes.txt" not in ready.git("ls-tree", "-r", "--name-only", "e0.1.0")


def test_no_stamp_leaves_the_database_alone(ready: Repo) -> None:
    before = (ready / "results/experiments.db").read_bytes()
    ready.xexp("tag", "--no-stamp").good()
    assert (ready / "results/experiments.db").read_bytes() == before


def test_no_commit_tags_head(ready: Repo) -> None:
    before = ready.head
    ready.xexp("tag", "--no-commit").good()
    assert ready.head == before == ready.git("rev-parse", "e0.1.0^{commit}")
    assert ready.git("status", "--porcelain") == ""


def test_the_version_that_the_run_names_is_taken(ready: Repo) -> None:
    ready.xexp("tag").good()
    add_run(ready, "new-run-0001", lr=5.0, model="softmax", f1=0.5, version="e0.1.1")
    add_run(ready, "new-run-0002", lr=5.0, model="softmax", f1=0.5, version="e0.1.0")
    assert ready.xexp("tag", "--suggest", "--run", "new-run-0001").good().out == "e0.1.1\n"
    assert ready.xexp("tag", "--suggest").good().out == "e0.2.0\n"  # e0.1.0 is taken
    done = ready.xexp("tag", "--run", "new-run-0001").good()
    assert "as its run says (minor: lr changed since e0.1.0)" in done.out
    assert ready.tags == ["e0.1.0", "e0.1.1"]
    assert rows(ready, "SELECT version FROM predictions WHERE track_id = 'new-run-0001'") == [
        ("e0.1.1",)
    ]


def test_a_version_that_the_run_recorded_is_brought_up_to_date(ready: Repo) -> None:
    ready.xexp("tag").good()
    add_run(ready, "new-run-0001", lr=5.0, model="softmax", f1=0.5, version="e0.1.1")
    ready.xexp("tag", "--minor").good()
    assert ready.tags == ["e0.1.0", "e0.2.0"]
    assert rows(ready, "SELECT version FROM predictions WHERE track_id = 'new-run-0001'") == [
        ("e0.2.0",)
    ]
    ready.xexp("undo").good()
    assert rows(ready, "SELECT version FROM predictions WHERE track_id = 'new-run-0001'") == [
        ("e0.1.1",)
    ]


def test_in_a_subdirectory_and_a_linked_worktree(ready: Repo, tmp_path: Path) -> None:
    (ready / "deep/er").mkdir(parents=True)
    run_in(ready / "deep/er", "tag").good()
    ready.git("worktree", "add", "-q", str(tmp_path / "other tree"), "-b", "other")
    out = run_in(tmp_path / "other tree", "tag", "-m", "from afar").good().out
    assert "e0.1.1" in out or "e0.2.0" in out
    assert len(ready.tags) == 2
    assert ready.git("log", "-1", "--format=%s", "other").endswith("from afar")


def run_in(folder: Path, *args: str) -> Done:
    from tests.helpers import xexp_inside

    return xexp_inside(*args, cwd=folder)


def test_on_a_detached_head(ready: Repo) -> None:
    ready.git("checkout", "-q", "--detach")
    done = ready.xexp("tag").good()
    assert "HEAD is detached" in done.err
    assert ready.git("rev-parse", "e0.1.0^{commit}") == ready.head
    ready.xexp("undo").good()
    assert ready.tags == []


def test_without_dvc(repo: Repo) -> None:
    repo.write("params.yaml", "model: tree\ndepth: 4\n")
    repo.write("metrics.json", '{"auc": 0.75}')
    repo.commit("params")
    repo.xexp("init", "--no-dvc").good()
    repo.commit("set up")
    done = repo.xexp("tag", "-m", "no data at all").good()
    assert "model=tree | auc=0.7500 | data=none | no data at all" in done.out
    assert not (repo / ".dvc").exists()


def test_the_tag_message_is_verbatim(ready: Repo) -> None:
    ready.xexp("tag", "-m", "# not a comment", "-P", "#odd key=a # b").good()
    found = message(ready, "e0.1.0")
    assert found.text == "# not a comment"
    assert found.params["#odd key"] == "a # b"


def test_hooks_run_and_a_refusal_takes_everything_back(ready: Repo) -> None:
    hook = ready.write(".git/hooks/pre-commit", "#!/bin/sh\necho no tabs allowed >&2\nexit 1\n")
    hook.chmod(0o755)
    before = state(ready)
    done = ready.xexp("tag")
    assert done.code == 128
    assert "no tabs allowed" in done.err
    after = state(ready)
    assert after[:3] == before[:3]
    assert rows(ready, "SELECT * FROM predictions LIMIT 1") is not None
    assert "version" not in [r[1] for r in rows(ready, "PRAGMA table_info(predictions)")]
    hook.unlink()
    ready.xexp("tag").good()


def test_tag_gpg_sign_without_a_key_leaves_no_tag(ready: Repo, home: Path) -> None:
    ready.git("config", "tag.gpgSign", "true")
    ready.git("config", "gpg.format", "ssh")
    ready.git("config", "user.signingKey", str(home / "missing.pub"))
    before = ready.head
    done = ready.xexp("tag")
    assert done.code == 128
    assert ready.tags == []
    assert ready.head == before


def test_a_signed_tag_reads_back(ready: Repo, home: Path) -> None:
    key = home / "key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key, cwd=home).good()
    allowed = home / "allowed"
    allowed.write_text(f"ada@example.org {key.with_suffix('.pub').read_text()}")
    for name, value in (("tag.gpgSign", "true"), ("gpg.format", "ssh"), ("user.signingKey", str(key)),
                        ("gpg.ssh.allowedSignersFile", str(allowed))):  # fmt: skip
        ready.git("config", name, value)
    ready.xexp("tag", "-m", "signed").good()
    assert "BEGIN SSH SIGNATURE" in ready.git("cat-file", "tag", "e0.1.0")
    assert message(ready, "e0.1.0").text == "signed"


def test_the_editor_has_the_last_word(ready: Repo) -> None:
    editor = ready.write(".git/ed", "#!/bin/sh\necho 'model=mine | my own words' > \"$1\"\n")
    editor.chmod(0o755)
    os.environ["GIT_EDITOR"] = str(editor)
    ready.xexp("tag", "-e").good()
    assert message(ready, "e0.1.0").headline == "model=mine | my own words"
    assert message(ready, "e0.1.0").text == "my own words"


def stale(ready: Repo) -> None:
    """HEAD's pointer holds run ``theirs``; the database does not, and has run ``mine``."""
    ready.xexp("tag", "-m", "first").good()
    database = ready / "results/experiments.db"
    before = database.read_bytes()
    add_run(ready, "theirs", lr=0.5, f1=0.8)
    ready.xexp("tag", "-m", "theirs").good()
    database.unlink()
    database.write_bytes(before)
    add_run(ready, "mine", lr=0.25, f1=0.9)


def test_a_run_logged_before_checkout_loses_no_merged_rows(ready: Repo) -> None:
    stale(ready)
    before = ready.refs(), ready.git("status", "--porcelain")
    for args in (["tag", "-m", "mine"], ["tag", "--dry-run"]):
        done = ready.xexp(*args)
        assert done.code == 1 and done.err == (
            "error: results/experiments.db lacks rows that its version in the last commit has:\n"
            "  theirs: 1 row\n"
            "hint: bring them back: git xexp tag --bring-rows (or git xexp merge HEAD), or leave"
            " them out: git xexp tag --drop-rows\n"
        )
    assert (ready.refs(), ready.git("status", "--porcelain")) == before
    ready.xexp("merge", "HEAD").good()
    ready.xexp("tag", "-m", "mine").good()
    found = {run for (run,) in rows(ready, "SELECT track_id FROM predictions")}
    assert {"theirs", "mine"} <= found


def test_rows_are_brought_by_tag_itself(ready: Repo) -> None:
    """The run of the work tree is tagged, not the one that the merge brought."""
    stale(ready)
    ready.xexp("tag", "-m", "mine", "--bring-rows").good()
    found = {run for (run,) in rows(ready, "SELECT track_id FROM predictions")}
    assert {"theirs", "mine"} <= found
    assert message(ready, ready.tags[-1]).run == "mine"


def test_rows_may_be_dropped_on_purpose(ready: Repo) -> None:
    stale(ready)
    ready.xexp("tag", "-m", "mine", "--drop-rows").good()
    (ready / "results/experiments.db").unlink()
    with closing(sqlite3.connect(ready / "results/experiments.db")) as db, db:
        db.execute("CREATE TABLE predictions (track_id TEXT, timestamp TEXT, f1 REAL)")
    add_run(ready, "fresh", f1=0.7)
    done = ready.xexp("tag", "-m", "a database for each run")
    assert done.code == 1 and "lacks rows" in done.err  # that it shares no run excuses nothing
    ready.xexp("tag", "-m", "a database for each run", "--drop-rows").good()


STAGE = """\
import sqlite3
lr = float(open("params.yaml").read().split(":")[1])
with sqlite3.connect("runs.db") as db:
    db.execute("CREATE TABLE IF NOT EXISTS runs (run_id TEXT, timestamp TEXT, lr REAL, f1 REAL)")
    db.execute("INSERT INTO runs (run_id, timestamp, lr, f1) VALUES (?, ?, ?, ?)",
               (f"run-{lr}", f"2026-01-01 00:00:0{int(10 * lr)}", lr, 0.5 + lr))
"""


@pytest.fixture
def pipeline(dvc_repo: Repo) -> Repo:
    """A repository whose results database is the output of a DVC stage, set up and committed."""
    dvc_repo.write("train.py", STAGE)
    dvc_repo.write("params.yaml", "lr: 0.1\n")
    dvc_repo.write("dvc.yaml", "stages:\n  train:\n    cmd: python train.py\n    deps: [train.py]\n"
                   "    params: [lr]\n    outs:\n      - runs.db: {persist: true}\n")  # fmt: skip
    dvc_repo.dvc("repro", "-q")
    dvc_repo.xexp("init").good()
    dvc_repo.commit("a pipeline")
    return dvc_repo


def test_a_pipeline(pipeline: Repo) -> None:
    """dvc.lock tells the parameters, and follows the database that tag stamps."""
    pipeline.xexp("tag", "-m", "first").good()
    assert message(pipeline, "e0.1.0").params == {"lr": 0.1}
    assert pipeline.git("status", "--porcelain") == "" and "changed" not in pipeline.dvc("status")
    pipeline.write("params.yaml", "lr: 0.2\n")
    done = pipeline.xexp("tag", "--all", "--dry-run")
    assert done.code == 1 and "params.yaml says lr=0.2, the run 0.1" in done.err
    assert "hint: dvc repro" in done.err
    done = pipeline.xexp("tag", "--all", "--dry-run", "--allow-mismatch").good()
    assert "note: the pipeline ran with lr=0.1, the file has lr=0.2: dvc repro" in done.err
    pipeline.dvc("repro", "-q")
    done = pipeline.xexp("tag", "--all", "-m", "faster").good()
    assert "minor: lr changed since e0.1.0" in done.out and "note" not in done.err
    assert message(pipeline, "e0.2.0").metrics["f1"] == 0.7


def test_outputs_that_are_not_here_are_said(ready: Repo) -> None:
    """A clone before ``dvc pull``: the experiment would be one without results or model."""
    ready.xexp("tag", "-m", "first").good()
    (ready / "results/experiments.db").unlink()
    done = ready.xexp("tag", "--dry-run").good()
    assert (
        "note: not in the work tree, and taken as the last commit has it: results/experiments.db"
        " (dvc pull)\n" in done.err
    )


def test_an_import_that_was_never_downloaded_is_an_artifact(dvc_repo: Repo, tmp_path: Path) -> None:
    """Of a repository by its commit, of a url by what it held: it has no hash of its own."""
    source = Repo(tmp_path / "source")
    source.path.mkdir()
    source.git("init", "-q", "-b", "main")
    source.dvc("init", "-q")
    source.write("m.bin", b"weights")
    source.dvc("add", "-q", "m.bin")
    source.commit("model")
    url = source.write("ext.csv", "1\n2\n")
    (dvc_repo / "models").mkdir()
    dvc_repo.dvc("import", "-q", "--no-download", str(source.path), "m.bin", "-o", "models/m.bin")
    dvc_repo.dvc("import-url", "-q", "--no-download", str(url), "data/ext.csv")
    dvc_repo.xexp("init").good()
    dvc_repo.commit("imports")
    dvc_repo.xexp("tag").good()
    said = message(dvc_repo, "e0.1.0").artifacts
    assert said["models/m.bin"] == f"rev:{source.git('rev-parse', 'HEAD')}"
    assert said["data/ext.csv"] == f"md5:{hashlib.md5(url.read_bytes()).hexdigest()}"
    shown = dvc_repo.xexp("explore", "show", "e0.1.0", "--json").good().json()
    assert {a["path"] for a in shown["artifacts"]} == said.keys()
    verified = dvc_repo.xexp("explore", "verify", "e0.1.0", "--json").good().json()
    assert "wrong" not in {c["verdict"] for c in verified[0]["claims"]}


def test_a_hook_that_wants_another_subject(set_up: Repo) -> None:
    hook = set_up.write(
        ".git/hooks/commit-msg",
        "#!/bin/sh\ngrep -qE '^(feat|chore)(\\([a-z]+\\))?: .' \"$1\" && exit\n"
        'printf "2 problems:\\n\\nsubject may not be empty [subject-empty]\\n" >&2; exit 1\n',
    )
    hook.chmod(0o755)
    before = set_up.refs()
    done = set_up.xexp("tag")
    assert done.code == 128
    assert "git commit refused: 2 problems:\n  subject may not be empty [" in done.err
    assert 'such as "chore(exp): {version} {headline}"' in done.err
    assert set_up.refs() == before
    silent = set_up.write(".git/hooks/pre-commit", "#!/bin/sh\nexit 1\n")
    silent.chmod(0o755)
    assert "refused it without a word: pre-commit" in set_up.xexp("tag").err
    silent.unlink()
    set_up.git("config", "xexp.tag.commitMessage", "chore(exp): {version} {headline}")
    set_up.xexp("tag").good()
    assert set_up.git("log", "-1", "--format=%s").startswith("chore(exp): e0.1.0 model=softmax | ")
    assert message(set_up, "e0.1.0").headline.startswith("model=softmax | ")
