"""``git xexp run``: what is refused before, what is recorded and tagged after, whatever the tracker."""

from __future__ import annotations

import json
import shlex
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import Repo, run
from tests.test_reads import HEAVY, PROBE
from tests.workflows.sweeps.sweep_tools import begin, ended, until


def train(repo: Repo, *options: str, words: tuple[str, ...] = ()) -> Any:
    """``run … -- python train.py`` in this process."""
    return repo.xexp("run", *options, "--", sys.executable, "train.py", *words)


def records(repo: Repo) -> list[dict[str, Any]]:
    """The run records, newest first."""
    rows: list[dict[str, Any]] = repo.xexp("explore", "list", "--runs", "--json").good().json()
    return rows


def registered(repo: Repo) -> list[dict[str, Any]]:
    """The rows of ``runs``, newest first."""
    from gitxexp.repository.registry import Registry

    return Registry(repo / ".xexp/registry.db").runs()


def test_a_run_is_an_experiment_in_one_command(ready: Repo) -> None:
    done = train(ready, "-m", "first try", words=("--version", "{version}")).good()
    assert "trained 0.1\n" in done.out
    assert "e0.1.0  the first experiment" in done.out
    assert ready.git("status", "--porcelain") == ""
    assert ready.git("tag", "-l") == "e0.1.0"
    (row,) = registered(ready)
    assert row["version"] == "e0.1.0"
    assert (row["status"], row["code"], row["folder"]) == ("done", 0, "")
    assert row["command"][1:] == ["train.py", "--version", "{version}"]
    assert row["metrics"] == {"f1": 0.6}
    assert row["params"]["lr"] == 0.1
    (found,) = row["tables"]
    assert (found["database"], found["table"], found["rows"]) == (
        "results/experiments.db",
        "events",
        3,
    )
    assert set(row["outputs"]) == {"models/production/model.bin", "metrics.json"}
    assert row["python"] == ".".join(map(str, sys.version_info[:3]))
    names = subprocess.run(
        ["git", "show", "HEAD:.xexp/registry.db"], cwd=ready.path, capture_output=True, check=True
    ).stdout
    assert row["id"].encode() in names  # the commit that is tagged holds the record
    assert row["run_commit"] == ready.git("rev-parse", "HEAD^")
    # its model is its candidate, a link into the cache
    candidate = ready / f"models/candidates/{found['run']}_model.bin"
    assert candidate.read_text() == "weights 0.1\n" * 100
    assert candidate.stat().st_nlink > 1
    assert not candidate.stat().st_mode & 0o222
    # and all of it can be asked for
    assert ready.xexp("explore", "log", "e0.1.0").good().out == "trained 0.1\n"
    shown = ready.xexp("explore", "show", "e0.1.0", "--json").good().json()
    assert (shown["run"], shown["text"]) == (found["run"], "first try")
    (listed,) = records(ready)
    assert (listed["record"], listed["version"], listed["rows"]) == (row["id"], "e0.1.0", 3)


def test_parameters_are_set_and_committed_and_raise_the_level(ready: Repo) -> None:
    train(ready).good()
    done = train(ready, "-S", "lr=0.2", "--json").good()
    facts = done.json()
    assert "trained 0.2" in done.err  # standard output is JSON alone
    assert facts["version"] == "e0.2.0"
    assert facts["reason"] == "minor: lr changed since e0.1.0"
    assert ready.git("show", "e0.2.0:params.yaml").splitlines()[1] == "lr: 0.2"
    assert facts["run_commit"] == ready.git("rev-parse", "e0.2.0^")
    assert ready.git("show", f"{facts['run_commit']}:params.yaml").splitlines()[1] == "lr: 0.2"
    assert ready.git("status", "--porcelain") == ""
    # the same again is a patch; another command may set what no file has
    train(ready).good()
    train(ready, words=("--quick",)).good()
    assert ready.git("tag", "-l").split() == ["e0.1.0", "e0.2.0", "e0.2.1", "e0.3.0"]
    assert "minor: the command changed since e0.2.1" in ready.git("tag", "-l", "e0.3.0", "-n40")
    # levels, names and versions of the user's own
    train(ready, "--major").good()
    train(ready, "--name", "wide").good()
    train(ready, "--version", "e3.0.0").good()
    assert {"e1.0.0", "exp-wide-v1", "e3.0.0"} <= {*ready.git("tag", "-l").split()}
    assert train(ready, "--version", "e3.0.0").code == 128


def test_the_command_knows_of_its_run(ready: Repo) -> None:
    script = 'env | grep ^XEXP_ | sort; echo {run} {version} {lr} {other}; cat "$XEXP_LOG" | wc -l'
    done = ready.xexp("run", "--no-tag", "-S", "lr=0.3", "--", "sh", "-c", script).good()
    (row,) = registered(ready)
    head = ready.git("rev-parse", "HEAD")
    values = dict(line.split("=", 1) for line in done.out.splitlines() if line.startswith("XEXP_"))
    assert values["XEXP_RUN"] == row["id"]
    assert values["XEXP_VERSION"] == "e0.1.0"
    assert (values["XEXP_GIT_COMMIT"], values["XEXP_GIT_BRANCH"]) == (head, "main")
    assert values["XEXP_DVC_HASH"] == row["data"]
    assert values["XEXP_CONFIG_HASH"] == row["config_hash"]
    assert Path(values["XEXP_LOG"]).read_text() in done.out
    assert f"{row['id']} e0.1.0 0.3 {{other}}" in done.out
    assert ready.git("tag", "-l") == ""


def test_a_failed_run_is_recorded_and_passes_its_exit_code_on(ready: Repo) -> None:
    done = train(ready, words=("--fail",))
    assert done.code == 1
    assert "out of memory" in done.err
    assert "failed: exit code 1 after" in done.err
    assert ready.git("tag", "-l") == ""
    (row,) = registered(ready)
    assert (row["status"], row["code"], row["version"]) == ("failed", 1, "")
    assert len(row["tables"]) == 1
    assert not (ready / "models/candidates").exists()
    refused = ready.xexp("tag", "--run", row["id"])
    assert refused.code == 1
    assert f"run {row['id']} failed: exit code 1" in refused.err
    quiet = ready.xexp("-q", "run", "--", "sh", "-c", "echo why >&2; kill -9 $$")
    assert (quiet.code, quiet.out) == (137, "")
    assert "why" in quiet.err  # the end of the log, which was not shown
    assert ready.xexp("run", "--", "no-such-program").code == 128
    assert len(registered(ready)) == 2
    late = ready.xexp("run", "--timeout", "0.2s", "--", "sleep", "60")
    assert late.code == 143
    assert registered(ready)[0]["status"] == "timeout"
    assert "timed out" in late.err


@pytest.mark.parametrize("named", [False, True])
def test_a_failed_run_that_is_tagged_later_has_its_metrics_files(ready: Repo, named: bool) -> None:
    """As one that is tagged at once, and the tag says that it failed."""
    live = """
for name in ("dvclive/metrics.json", "dvclive/plots/metrics/f1.tsv", "elsewhere/notes.json"):
    pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(name).write_text('{"f1": 0.6}')
if"""
    ready.write("train.py", (ready / "train.py").read_text().replace("\nif", live, 1))
    ready.git("rm", "-q", "metrics.json")
    ready.commit("dvclive")
    train(ready, words=("--fail",))
    (row,) = registered(ready)
    options = ("--run", row["id"], "--allow-mismatch") if named else ("--no-track",)
    done = ready.xexp("tag", *options).good()
    assert f"run {row['id']} failed: exit code 1" in done.err
    held = set(ready.git("ls-tree", "-r", "--name-only", "HEAD").split("\n"))
    assert {"metrics.json", "dvclive/metrics.json", "dvclive/plots/metrics/f1.tsv"} <= held
    assert "elsewhere/notes.json" not in held


def test_a_metrics_file_that_no_run_left_like_this_is_not_committed(ready: Repo) -> None:
    ready.git("rm", "-q", "metrics.json")
    ready.commit("no metrics")
    train(ready, words=("--fail",))
    ready.write("metrics.json", '{"f1": 0.99}')
    ready.xexp("tag", "--no-track", "--allow-mismatch").good()
    assert "metrics.json" not in ready.git("ls-tree", "-r", "--name-only", "HEAD").split("\n")


def test_what_could_not_be_tagged_is_not_run(ready: Repo) -> None:
    ready.write("train.py", (ready / "train.py").read_text() + "# changed\n")
    done = train(ready)
    assert done.code == 128
    assert "tracked files are modified, so no commit holds what would run:\n  train.py" in done.err
    assert registered(ready) == []
    assert not (ready / "results").exists()
    train(ready, "-a").good()
    assert ready.git("show", "e0.1.0:train.py").endswith("# changed")
    assert ready.git("show", f"{registered(ready)[0]['run_commit']}:train.py").endswith("# changed")
    ready.write("data/train.csv", "x,y\n1,2\n")
    changed = train(ready)
    assert changed.code == 128
    assert "data differs from its pointer: data/train.csv" in changed.err
    (ready / "data/train.csv").unlink()
    assert "data is not here: data/train.csv" in train(ready).err
    assert train(ready, "-S", "lrr=1").code == 129
    assert len(registered(ready)) == 1


def test_dirty_keeps_the_patch_and_tags_nothing(ready: Repo) -> None:
    ready.write("train.py", (ready / "train.py").read_text() + "# changed\n")
    done = train(ready, "--dirty", "-S", "lr=0.4").good()
    assert "not tagged: no commit holds the code that ran (--dirty)" in done.err
    (row,) = registered(ready)
    patch = (ready / f".git/xexp/runs/{row['id']}/patch").read_text()
    assert "+# changed" in patch
    assert "+lr: 0.4" in patch
    assert row["patch"].startswith("sha256:")
    assert ready.git("log", "--format=%s", "-1") == "set up"


def test_a_run_without_a_tracker_has_what_there_is(ready: Repo) -> None:
    script = "import json; json.dump({'f1': 0.42}, open('metrics.json', 'w'))"
    ready.xexp("run", "--", sys.executable, "-c", script).good()
    (row,) = registered(ready)
    assert (row["metrics"], row["tables"], row["version"]) == ({"f1": 0.42}, [], "e0.1.0")
    shown = ready.xexp("explore", "show", "e0.1.0", "--json").good().json()
    assert (shown["run"], shown["metrics"]) == (row["id"], {"f1": 0.42})
    assert ready.git("show", "e0.1.0:metrics.json") == '{"f1": 0.42}'
    # what was not written is not its own: a stale metrics file is no result
    done = ready.xexp("run", "--", "echo", "nothing").good()
    assert "not tagged: it left no rows, no metrics and no outputs" in done.err
    assert registered(ready)[0]["metrics"] == {}
    assert ready.git("tag", "-l") == "e0.1.0"


def test_the_best_run_without_a_tracker_is_chosen_by_its_record(ready: Repo) -> None:
    for f1 in ("0.5", "0.7", "0.6"):
        script = f"import json; json.dump({{'f1': {f1}}}, open('metrics.json', 'w'))"
        ready.xexp("run", "--no-tag", "--", sys.executable, "-c", script).good()
    ready.xexp("tag", "--best", "f1", "-m", "the best of three").good()
    assert ready.git("show", "e0.1.0:metrics.json") == '{"f1": 0.7}'
    assert [row["version"] for row in registered(ready)] == ["", "e0.1.0", ""]
    ready.xexp("tag", "--best", "f1", "-m", "the second").good()
    assert ready.git("show", "HEAD:metrics.json") == '{"f1": 0.6}'
    ready.xexp("tag", "--best", "f1").good()
    done = ready.xexp("tag", "--best", "f1")
    assert done.code == 128 and "fatal: no run is untagged (3 in total)\n" in done.err


@pytest.mark.usefixtures("quick")
def test_the_default_command_is_the_configured_one_else_the_pipeline(ready: Repo) -> None:
    assert ready.xexp("run").code == 129
    ready.write(
        "dvc.yaml", "stages:\n  one:\n    cmd: echo made > made.txt\n    outs: [made.txt]\n"
    )
    ready.commit("pipeline")
    ready.xexp("run", "--no-tag").good()
    assert registered(ready)[0]["command"] == ["dvc", "repro"]
    ready.git("config", "xexp.run.command", "sh -c 'echo configured'")
    ready.git("add", "-A")
    ready.commit("configured")
    assert "configured" in ready.xexp("run", "--no-tag", "--").good().out


def test_a_tag_of_an_earlier_run_takes_what_is_kept_of_it(ready: Repo) -> None:
    for lr in ("0.1", "0.2", "0.3"):
        train(ready, "--no-tag", "-S", f"lr={lr}").good()
    third, second, first = registered(ready)
    got = ready.xexp("get", second["id"], "models/production/model.bin", "metrics.json", "-o", "..")
    assert got.good().out.count("from kept") == 2
    assert (ready.path.parent / "model.bin").read_text() == "weights 0.2\n" * 100
    assert (ready.path.parent / "metrics.json").read_text() == '{"f1": 0.5}'
    ready.xexp("get", second["id"], "data/train.csv", "-o", "../copy.csv").good()
    ready.xexp("tag", "--run", first["id"], "-m", "the first").good()
    assert (ready / "models/production/model.bin").read_text() == "weights 0.1\n" * 100
    assert json.loads((ready / "metrics.json").read_text()) == {"f1": 0.6}
    assert ready.git("show", "e0.1.0:params.yaml").splitlines()[1] == "lr: 0.1"
    assert ready.git("show", "e0.1.0:metrics.json") == '{"f1": 0.6}'
    shown = ready.xexp("explore", "show", "e0.1.0", "--json").good().json()
    assert shown["run"] == first["tables"][0]["run"]
    rows = {row["id"]: row["version"] for row in registered(ready)}
    assert rows == {first["id"]: "e0.1.0", second["id"]: "", third["id"]: ""}
    assert ready.xexp("promote", "--run", second["id"], "-y").code == 0
    assert (ready / "models/production/model.bin").read_text() == "weights 0.2\n" * 100


def test_undo_and_a_record_that_stays(ready: Repo) -> None:
    train(ready).good()
    ready.xexp("undo", "-y").good()
    assert ready.git("tag", "-l") == ""
    (row,) = registered(ready)
    assert (row["version"], row["status"]) == ("", "done")
    ready.xexp("tag", "--run", row["id"]).good()
    assert registered(ready)[0]["version"] == "e0.1.0"


def test_a_killed_run_is_recorded_by_the_next_command(ready: Repo) -> None:
    script = "echo begun; sleep 982.5; echo never"
    process = ready.forked("run", "--", "sh", "-c", script)
    process.wait_until(lambda: process.said(1).startswith("begun\n"))
    assert [row["status"] for row in records(ready)] == ["running"]
    process.kill()
    process.done()
    assert [row["status"] for row in records(ready)] == ["killed"]
    done = ready.xexp("run", "--no-tag", "--", "echo", "next").good()
    assert "was killed: recorded" in done.err
    assert [row["status"] for row in registered(ready)] == ["done", "killed"]
    from tests.workflows.runs.test_execute import gone

    assert gone("982.5")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_interrupted_at_its_tag_is_recorded_says_so_and_is_tagged_later(
    ready: Repo, number: signal.Signals
) -> None:
    hook = ready.write(".git/hooks/commit-msg", "#!/bin/sh\ntouch .git/here\nsleep 9\n")
    hook.chmod(0o755)
    process = ready.forked("run", "--", sys.executable, "train.py")
    process.wait_until((ready / ".git/here").exists)
    process.kill(number)
    done = process.done()
    hook.unlink()
    (row,) = registered(ready)
    assert done.code == 130 and "all changes were rolled back" not in done.err
    assert f"run {row['id']} is recorded; tag it later: git xexp tag --run {row['id']}" in done.err
    assert "'candidates add' (models/candidates/" in done.err
    assert (row["status"], row["version"], ready.tags) == ("done", "", [])
    ready.xexp("tag", "--run", row["id"]).good()
    assert (registered(ready)[0]["version"], ready.tags) == ("e0.1.0", ["e0.1.0"])


def test_a_run_that_ended_and_could_not_be_recorded_is_recorded_as_it_ended(ready: Repo) -> None:
    before = (ready / ".xexp/registry.db").read_bytes()
    spoil = "open('.xexp/registry.db', 'w').close()"
    failed = ready.xexp("run", "--no-tag", "--", sys.executable, "-c", spoil)
    assert failed.code == 128 and "the next command that changes something records it" in failed.err
    ready.write(".xexp/registry.db", before)
    done = ready.xexp("run", "--no-tag", "--", "echo", "next").good()
    assert "had ended: recorded" in done.err
    assert [row["status"] for row in registered(ready)] == ["done", "done"]


@pytest.mark.parametrize(
    ("words", "size"),
    [
        (("registry", "describe", "e0.1.0", "-m", "more"), 40),
        (("tag", "-a"), 1),
        (("tag", "-a"), 80),
    ],
)
def test_a_limit_on_the_size_of_files_names_the_file(
    ready: Repo, words: tuple[str, ...], size: int
) -> None:
    train(ready).good()
    train(ready, "-S", "lr=0.2", "--no-tag").good()
    command = shlex.join([sys.executable, "-m", "gitxexp", *words])
    failed = run("sh", "-c", f"ulimit -f {2 * size}; {command}", cwd=ready.path)
    said, hint = failed.err.splitlines()[-2:]
    assert failed.code == 128 and hint.startswith("hint: "), failed
    assert f" {ready.path}/" in said or "DVC's own databases" in said, failed
    assert "move it away" not in hint
    ready.xexp(*words).good()


def test_a_pipeline_and_the_small_files_that_a_run_makes_are_committed(ready: Repo) -> None:
    ready.git("rm", "-q", "--cached", "metrics.json")
    (ready / "metrics.json").unlink()
    ready.write(
        "dvc.yaml",
        "stages:\n  one:\n"
        "    cmd: grep lr params.yaml > out/made.txt && echo '{\"f1\":0.5}' > metrics.json\n"
        "    params: [lr]\n    outs: [out/made.txt]\n    metrics: [metrics.json: {cache: false}]\n",
    )
    ready.write("out/.keep", "")
    ready.commit("pipeline")
    ready.xexp("run").good()
    assert ready.git("status", "--porcelain") == ""
    assert ready.git("show", "e0.1.0:metrics.json") == '{"f1":0.5}'
    done = ready.xexp("run", "-S", "params.yaml:lr=0.7").good()
    assert "[e0.2.0 (minor: lr changed since e0.1.0)]" in done.err  # not what dvc.lock says


def test_runs_of_two_clones_meet(ready: Repo, tmp_path: Path) -> None:
    run("git", "clone", "-q", ready.path, tmp_path / "other", cwd=tmp_path)
    other = Repo(tmp_path / "other")
    other.xexp("init").good()
    other.dvc("pull")
    for each in (ready, other):
        assert each.xexp("run", "--no-track", "--", "false").code == 1
        each.git("commit", "-qam", "runs")
    other.git("pull", "-q", "--no-rebase", "--no-edit")
    assert len(registered(other)) == 2
    other.xexp("registry", "rebuild").good()
    assert len(registered(other)) == 2


def test_code_that_is_edited_meanwhile_is_not_what_ran(ready: Repo) -> None:
    script = (
        "import json; open('train.py', 'a').write('# later\\n');"
        " json.dump({'f1': 0.1}, open('metrics.json', 'w'))"
    )
    ready.xexp("run", "--", sys.executable, "-c", script).good()
    assert ready.git("diff", "--name-only", "HEAD") == "train.py"
    assert not ready.git("show", "e0.1.0:train.py").endswith("# later")


def test_parameters_stay_where_the_commit_is_refused(ready: Repo) -> None:
    hook = ready.write(".git/hooks/pre-commit", "#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    before = (ready / "params.yaml").read_bytes()
    assert train(ready, "-S", "lr=0.7").code == 128
    assert (ready / "params.yaml").read_bytes() == before
    assert ready.git("status", "--porcelain") == ""


def test_code_that_no_commit_holds_is_not_run_but_as_it_is(ready: Repo) -> None:
    command = ("--", sys.executable, "-S", "src/new.py")
    ready.write("src/new.py", "open('metrics.json', 'w').write('{\"f1\": 0.5}')\n")
    refused = ready.xexp("run", *command)
    assert refused.code == 128 and "git does not track src/new.py" in refused.err
    swept = ready.xexp("sweep", "-S", "lr=1,2", *command)
    assert swept.code == 128 and "src/new.py" in swept.err
    ready.xexp("run", "--dirty", *command).good()
    (made,) = registered(ready)
    assert made["patch"].startswith("sha256:")
    assert "reproduced" in ready.xexp("rerun", made["id"]).good().out
    ready.git("add", "src/new.py")
    refused = ready.xexp("run", *command)
    assert refused.code == 128 and "tracked files are modified" in refused.err
    ready.xexp("run", "-a", *command).good()
    assert ready.tags == ["e0.1.0"]
    assert ready.git("ls-tree", "--name-only", "e0.1.0", "src/new.py") == "src/new.py"
    assert ready.git("status", "--porcelain") == ""


def test_all_commits_what_tag_would_and_a_prompt_is_part_of_what_runs(ready: Repo) -> None:
    ready.write("README.md", "one")
    ready.write("prompt.txt", "Answer briefly.")
    ready.commit("documents")
    ready.write("README.md", "two")
    command = ("--no-tag", "--", sys.executable, "-S", "-c", "pass")
    ready.xexp("run", *command).good()  # a document stops nothing
    assert ready.git("show", "HEAD:README.md") == "one"
    ready.xexp("run", "-a", *command).good()
    assert ready.git("show", "HEAD:README.md") == "two"
    head = ready.git("rev-parse", "HEAD")
    ready.xexp("run", "-a", *command).good()  # the registry alone is no reason for a commit
    assert ready.git("rev-parse", "HEAD") == head
    ready.write("prompt.txt", "Answer at length.")
    refused = ready.xexp("run", *command)
    assert (refused.code, "prompt.txt" in refused.err) == (128, True)


def test_rows_that_a_sweep_merges_meanwhile_are_not_of_the_run(ready: Repo) -> None:
    from gitxexp.repository.repository import Project
    from gitxexp.workflows.runs.record import RowsFound, RunRecord, write

    swept = RowsFound("results/experiments.db", "events", "run-of-a-sweep", 1)
    write(Project.open(ready.path), [RunRecord("s-1", "done", sweep="s", tables=(swept,))])
    merge = (
        "import sqlite3; db = sqlite3.connect('results/experiments.db');"
        "db.execute(\"INSERT INTO events VALUES ('run-of-a-sweep', '2099-01-01', 9, NULL, 0.9)\");"
        "db.commit()"
    )
    both = f'{sys.executable} -S train.py && {sys.executable} -S -c "$0"'
    done = ready.xexp("run", "--", "sh", "-c", both, merge).good()
    assert "logged rows" not in done.err
    newest, _ = registered(ready)
    (found,) = newest["tables"]
    assert found["run"].startswith("run-0.1-") and newest["version"] == "e0.1.0"


def test_two_runs_at_once_have_their_own_rows_in_one_work_tree_and_in_two(ready: Repo) -> None:
    flag = ready.path.with_name("flag")
    wait = f"{sys.executable} -S train.py; while [ ! -e {flag} ]; do sleep 0.05; done"
    first = begin(ready, "--", "sh", "-c", wait, verb="run")
    until(lambda: (ready / "metrics.json").read_text() == '{"f1": 0.6}')
    second = train(ready, "-S", "lr=0.2")
    assert second.code == 1 and "which ran in this work tree meanwhile" in second.err
    ready.git("worktree", "add", "-q", "-b", "side", "../side")
    side = Repo(ready.path.with_name("side"))
    (side / ".dvc/config.local").write_text(f"[cache]\n    dir = {ready.path}/.dvc/cache\n")
    run("dvc", "checkout", "-q", cwd=side.path).good()
    assert train(side, "-S", "lr=0.3").code == 0  # another work tree is none of their business
    flag.touch()
    assert ended(first) == 1
    rows = {row["params"]["lr"]: row for row in registered(ready)}
    for lr in (0.1, 0.2):
        (found,) = rows[lr]["tables"]
        assert found["run"].startswith(f"run-{lr}-") and found["rows"] == 3
        assert rows[lr]["outputs"] == {} and "which ran in this work tree" in rows[lr]["note"]
    assert sorted(rows) == [0.1, 0.2] and ready.tags == ["e0.1.0"]
    (other,) = (row for row in registered(side) if row["params"]["lr"] == 0.3)
    assert other["version"] == "e0.1.0" and other["note"] == "" and other["outputs"]


def test_a_run_is_pushed_and_the_end_of_a_long_log_is_shown(
    ready: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready.git("init", "-q", "--bare", "-b", "main", "../origin")
    ready.git("remote", "add", "origin", "../origin")
    ready.git("push", "-q", "-u", "origin", "main")
    train(ready, "--push").good()
    there = ready.git("ls-remote", "origin")
    assert f"{ready.head}\trefs/heads/main" in there and "refs/tags/e0.1.0" in there
    assert ready.remote is not None
    stored = {path.parent.name + path.name for path in ready.remote.rglob("*") if path.is_file()}
    (made,) = registered(ready)
    assert made["outputs"]["models/production/model.bin"].removeprefix("md5:") in stored
    monkeypatch.setattr("gitxexp.cli.render.runs._SHOWN", 4)
    monkeypatch.setenv("GIT_PAGER_IN_USE", "true")
    shown = ready.xexp("explore", "log", "e0.1.0").good()
    assert shown.out == "0.1\n" and "are omitted; the whole log is in " in shown.err


#: Scripts of trackers, in the folder of a work tree; each logs acc 0.1, 0.2 and then 0.3.
TRACKERS = {
    "mlflow": """
import os
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
import mlflow
mlflow.set_tracking_uri("mlruns")
mlflow.set_experiment("iris")
with mlflow.start_run():
    mlflow.log_params({"depth": 4})
    for step in range(3):
        mlflow.log_metric("acc", (step + 1) / 10, step=step)
""",
    "dvclive": """
from dvclive import Live
with Live(save_dvc_exp=False) as live:
    live.log_params({"depth": 5})
    for step in range(3):
        live.log_metric("acc", (step + 1) / 10)
        live.next_step()
""",
}


@pytest.mark.parametrize("tracker", TRACKERS)
def test_what_other_trackers_log_is_bound_to_the_run(ready: Repo, tracker: str) -> None:
    pytest.importorskip(tracker)
    ready.write("log.py", TRACKERS[tracker])
    ready.write("metrics.json", '{"f1": 0.7}\n')  # of an earlier run
    with (ready / ".gitignore").open("a") as file:
        file.write("mlruns/\n")
    ready.commit("a tracker")
    ready.xexp("run", "--", sys.executable, "log.py").good()
    (made,) = registered(ready)
    (found,) = made["tables"]
    assert found["database"] == {"mlflow": "mlruns", "dvclive": "dvclive"}[tracker]
    assert {"mlflow": 4, "dvclive": 5}[tracker] == made["params"]["depth"]
    assert made["metrics"]["acc"] == pytest.approx(0.3) and "f1" not in made["metrics"]
    tag = ready.git("cat-file", "tag", "e0.1.0")
    assert f'run = "{found["run"]}"' in tag and "acc = 0.3" in tag and "\nf1 = " not in tag
    assert ready.git("status", "--porcelain") == ""


#: Logs one row under the id "same": adds it to those that are there, or writes it in their place.
SAME = """
import sqlite3, sys
from datetime import datetime
how, lr, accuracy = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
db = sqlite3.connect("results/experiments.db")
db.execute("CREATE TABLE IF NOT EXISTS runs (run_id TEXT, ts TEXT, lr REAL, optimizer TEXT, f1 REAL,"
           " accuracy REAL, version TEXT)")
if how == "anew":
    db.execute("DELETE FROM runs")
db.execute("INSERT INTO runs (run_id, ts, lr, optimizer, f1, accuracy) VALUES ('same', ?, ?, ?, ?, ?)", (
    str(datetime.now()), lr, "sgd" if accuracy else None, 0.5 + lr, *(accuracy or [None])))
db.commit()
"""


def test_a_run_under_an_id_that_is_there_has_its_own_rows_only(ready: Repo) -> None:
    ready.write("same.py", SAME)
    ready.write("params.yaml", "{}\n")
    ready.commit("a script that logs under one id")
    (ready / "results").mkdir(exist_ok=True)

    def again(how: str, *words: str) -> Any:
        return ready.xexp("run", "--", sys.executable, "same.py", how, *words).good()

    again("add", "0.1", "0.9")
    assert "f1=0.7000" in again("anew", "0.2").out  # as many rows as before, and others
    third = again("add", "0.3")
    assert "run same had 1 row before: only new ones belong to this run" in third.err
    assert "lr=0.3 | f1=0.8000" in third.out
    newest, middle, first = registered(ready)
    assert (first["version"], middle["version"], newest["version"]) == (
        "e0.1.0",
        "e0.2.0",
        "e0.3.0",
    )
    assert first["params"] == {"lr": 0.1, "optimizer": "sgd"}
    assert middle["metrics"] == {"f1": 0.7}  # no accuracy: that is the first run's
    (found,) = newest["tables"]
    assert (found["run"], found["rows"], found["before"]) == ("same", 1, 1)
    assert (newest["params"], newest["metrics"]) == ({"lr": 0.3}, {"f1": 0.8})
    listed = {one["version"]: one["metrics"] for one in records(ready)}
    assert listed == {
        "e0.1.0": {"f1": 0.6, "accuracy": 0.9}, "e0.2.0": {"f1": 0.7}, "e0.3.0": {"f1": 0.8},
    }  # fmt: skip
    assert ready.xexp("rerun", "e0.1.0").good().out.count("same\n") == 2
    later = ready.xexp("tag", "--run", middle["id"], "--dry-run").good()
    assert "lr=0.2 | f1=0.7000" in later.out


def test_a_run_without_a_tag_waits_for_little(ready: Repo, tmp_path: Path) -> None:
    """No heavy package, and git is asked once before the command and once after it."""
    trace = tmp_path / "trace"
    command = ("run", "--no-tag", "--no-keep", "--", sys.executable, "train.py")
    done = ready.python("-c", PROBE, json.dumps([command]), env={"GIT_TRACE": str(trace)})
    code, names = json.loads(done.out.partition("\n== of one\n")[0].splitlines()[-1])
    assert code == 0, done.err
    assert {*HEAVY, "ruamel.yaml"} & set(names) == set()
    asked = [line.partition("built-in: ")[2] for line in trace.read_text().splitlines()]
    assert len(asked) <= 24
    twice = {one for one in asked if asked.count(one) > 1}
    settings = {one for one in twice if one.startswith("git config")}  # hints ask for advice.xexp
    assert all(asked.count(one) == 2 + (one in settings) for one in twice)
    assert len(twice) <= 7  # those that the command may change the answer to


#: Logs its parameters and rows to two databases, each with a run id of its own, as two trackers do.
TWO = """
import os, sqlite3, sys, yaml
from datetime import datetime
lr = yaml.safe_load(open("params.yaml"))["lr"]
os.makedirs("two", exist_ok=True)
for name, metric, value in (("first", "f1", lr / 2), ("second", "auc", lr / 4)):
    db = sqlite3.connect(f"two/{name}.db")
    db.execute(f"CREATE TABLE IF NOT EXISTS {name} (track_id TEXT, timestamp TEXT, lr REAL, {metric} REAL)")
    run = sys.argv[1] if sys.argv[1:] else f"{name}-{lr}"
    db.execute(f"INSERT INTO {name} VALUES (?, ?, ?, ?)", (run, str(datetime.now()), lr, value))
    db.commit()
"""


def test_what_a_run_logs_to_two_databases_is_one_experiment(ready: Repo) -> None:
    """The metrics of the tracker that wrote first were lost; so were parameters of a file in the list."""
    ready.write("two.py", TWO)
    ready.write("params.yaml", "lr: 0.1\ndepth: 4\n")
    ready.write(".gitignore", "two/\n")
    ready.commit("two trackers")
    ready.git("config", "xexp.results.databases", "two/*.db")
    done = ready.xexp("run", "--", sys.executable, "two.py").good()
    assert "2 runs logged rows" not in done.err
    shown = ready.xexp("show", "--json").good().json()
    assert shown["metrics"] == {"auc": 0.025, "f1": 0.05} == registered(ready)[0]["metrics"]
    for row in records(ready):
        assert row["metrics"] == shown["metrics"] and row["params"] == {"depth": 4, "lr": 0.1}
    ready.git("config", "xexp.params.ignore", "depth")  # by today's settings
    assert [row["params"] for row in records(ready)] == [{"lr": 0.1}] * 2
    ready.git("config", "--unset", "xexp.params.ignore")
    sweep = ("sweep", "-S", "lr=0.2", "-j", "1", "--metric", "f1", "--", sys.executable, "two.py")
    ready.xexp(*sweep).good()
    assert registered(ready)[0]["metrics"] == {"auc": 0.05, "f1": 0.1}
    assert "Runs with the same parameters" not in ready.xexp("report", "--md").good().out
    # without run it is one where both have the id, and told of where they only ran at one time
    ready.python("two.py", "same").good()
    ready.xexp("tag", "-a", "-m", "by hand").good()
    metrics = ready.xexp("show", "--json").json()["metrics"]
    assert (metrics["auc"], metrics["f1"]) == (0.025, 0.05)
    with closing(sqlite3.connect(ready / "two/first.db")) as db, db:
        rows = [(f"2090-01-0{day} 00:00:00", 0.4, 0.2) for day in (1, 3)]
        db.executemany("INSERT INTO first VALUES ('long', ?, ?, ?)", rows)
    with closing(sqlite3.connect(ready / "two/second.db")) as db, db:
        db.execute("INSERT INTO second VALUES ('short', '2090-01-02 00:00:00', 0.4, 0.1)")
    said = ready.xexp("tag", "-P", "lr=0.4", "--dry-run").err
    assert "two/second.db has run short of the same time" in said


SHOWS = """
import pathlib
text = pathlib.Path("dvc.yaml").read_text()
if "plots" not in text:  # as DVCLive does
    pathlib.Path("dvc.yaml").write_text(text + "plots:\\n- plots/f1.tsv\\n")
"""


def test_what_a_tracker_writes_into_dvc_yaml_is_no_change_of_code(ready: Repo) -> None:
    """DVCLive puts its metrics and plots there as it ends: the next run was refused for it."""
    ready.write("train.py", (ready / "train.py").read_text() + SHOWS)
    ready.write("dvc.yaml", "stages:\n  one:\n    cmd: echo\nmetrics: [later.json]\n")
    ready.commit("pipeline")
    done = train(ready).good()
    assert "later.json" not in done.err  # no run has made it, and no dvc pull could
    assert ready.git("status", "--porcelain") == ""
    assert "plots/f1.tsv" in ready.git("show", "e0.1.0:dvc.yaml")
    assert "patch: nothing changed since e0.1.0 (reruns e0.1.0)" in train(ready).good().out
    ready.write("dvc.yaml", (ready / "dvc.yaml").read_text().replace("echo", "true"))
    failed = train(ready)
    assert failed.code == 128 and "dvc.yaml" in failed.err


def test_a_file_that_a_run_made_is_named_when_dvc_gets_it(ready: Repo) -> None:
    ready.write("train.py", "import pathlib\npathlib.Path('new.pkl').write_text('weights')\n")
    ready.commit("another script")
    assert "added   new.pkl\n" in train(ready).good().out
    assert "new.pkl.dvc" in ready.git("ls-files")
