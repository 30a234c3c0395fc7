"""Standard streams that are closed, full or not read, and names that would steer a terminal."""

from __future__ import annotations

import sys

import pytest

from tests import experiments
from tests.helpers import Clock, Repo, run

XEXP = f"'{sys.executable}' -m gitxexp"
WORDS = ("--version", "tag -h", "log", "explore list", "explore list -z", "explore show e0.1.0",
         "worktree list -z", "get e0.1.0 README.md -o -", "setup --check")  # fmt: skip


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """Three experiments, an operation in the log; nothing changes it."""
    repo = Repo(tmp_path_factory.mktemp("listed"))
    repo.git("init", "-q", "-b", "main")
    repo.write("README.md", "text\n")
    repo.xexp("init", "--no-dvc").good()
    repo.commit("set up")
    experiments.three(repo, Clock())
    return repo


@pytest.mark.parametrize("words", WORDS)
def test_output_that_cannot_be_written(words: str, listed: Repo) -> None:
    """Every way in one shell: closed, full, and read by nobody (with and without a buffer)."""
    script = f"""
        unset PYTHONUNBUFFERED
        {XEXP} -q {words} >&-; echo exit $? >&2
        {XEXP} -q {words} >/dev/full; echo exit $? >&2
        {XEXP} -q {words} | (exec <&-; true); echo exit ${{PIPESTATUS[0]}} >&2
        PYTHONUNBUFFERED=1 {XEXP} {words} | (exec <&-; true); echo exit ${{PIPESTATUS[0]}} >&2
    """
    done = run("bash", "-c", script, cwd=listed.path)
    codes = [line.removeprefix("exit ") for line in done.err.splitlines() if "exit " in line]
    no = words.startswith("setup")  # its answer is no, whoever reads it
    assert codes == ["1" if no else "0", "1" if no else "128", "141", "141"], done.err
    assert "Traceback" not in done.err and "Exception ignored" not in done.err
    assert no or "No space left on device\n" in done.err


def test_error_streams_that_cannot_be_written(listed: Repo) -> None:
    script = f"""
        {XEXP} log 2>&- >/dev/null; echo $?
        {XEXP} explore show e9.0.0 2>&-; echo $?
        {XEXP} explore show e9.0.0 2>/dev/full; echo $?
        {XEXP} log -v 2>/dev/full >/dev/null; echo $?
        {XEXP} log 0<&- >/dev/null; echo $?
    """
    done = run("bash", "-c", script, cwd=listed.path)
    assert (done.out.split(), done.err) == (["0", "128", "128", "0", "0"], "")


def test_what_nobody_reads_is_not_written_over_a_file(listed: Repo) -> None:
    """A closed stream's number is not given to the next file that is opened."""
    script = f"{XEXP} get e0.1.0 README.md -o ../copy >&- 2>&-; cat ../copy; rm ../copy"
    assert run("bash", "-c", script, cwd=listed.path).out == "text\n"


def test_both_streams_in_one_file_are_in_order(listed: Repo) -> None:
    done = run("bash", "-c", f"{XEXP} drivers status 2>&1", cwd=listed.path)
    assert done.good().out.splitlines()[0].startswith("merge driver")
    run("git", "config", "--remove-section", "merge.xexp", cwd=listed.path)
    lines = run("bash", "-c", f"{XEXP} drivers status 2>&1", cwd=listed.path).out.splitlines()
    assert lines[0].startswith("merge driver") and lines[-1] == "hint: git xexp drivers install"
