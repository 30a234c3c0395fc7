"""Reading is quick because it imports little: looked up in ``sys.modules`` of a real process."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conftest import copy_template
from tests.helpers import Clock, Repo, xexp_process

PROBE = """
import atexit, json, sys
from gitxexp.entry import main
code = main(sys.argv[1:])
print("\\n" + json.dumps([code, sorted(sys.modules)]))
"""


def modules(repo: Repo, *args: str) -> set[str]:
    done = repo.python("-c", PROBE, *args)
    code, names = json.loads(done.out.splitlines()[-1])
    assert code == 0, done.err
    return set(names)


@pytest.fixture(scope="session")
def tagged(tagged_template: Path, sealed: Path) -> Repo:
    """Two experiments; nothing but its cache of tags changes."""
    Clock().tick(180)
    made = copy_template(tagged_template, sealed / "imports")
    made.xexp("tag", "--run", "run-lr-0.1", "-m", "two").good()
    return made


def test_a_query_reads_no_runs_to_find_configured_databases(tagged: Repo) -> None:
    (tagged / "more.csv").write_text("a\n1\n")
    for query in ("SELECT count(*) FROM predictions", "FROM 'more.csv'"):
        assert not modules(tagged, "sql", query) & {"gitxexp.trackers.runs", "duckdb"}
    (tagged / "more.csv").unlink()


def test_a_listing_reads_no_results_and_no_registry(tagged: Repo) -> None:
    tagged.xexp("explore", "list").good()  # labels given later are remembered by it
    loaded = modules(tagged, "explore", "list")
    assert (
        not {
            "gitxexp.trackers.runs",
            "gitxexp.repository.undo",
            "gitxexp.repository.registry",
        }
        & loaded
    )


def test_a_listing_begins_only_the_git_that_it_needs(tagged: Repo) -> None:
    trace = tagged / ".git" / "trace"
    tagged.xexp("explore", "list").good()  # which reads the tags into the cache
    done = xexp_process("explore", "list", cwd=tagged.path, env={"GIT_TRACE": str(trace)}).good()
    assert done.out.count("\n") == 3
    started = re.findall(r"trace: built-in: git (\S+)", trace.read_text())
    assert sorted(started) == ["config", "for-each-ref", "rev-parse"]


def test_what_was_begun_in_vain_ends_quietly(tagged: Repo, tmp_path: Path) -> None:
    done = xexp_process("explore", "list", cwd=tmp_path)
    assert (done.code, done.out) == (128, "")
    assert done.err.startswith("fatal: not a git repository")
    wrong = xexp_process("explore", "list", "--nonsense", cwd=tagged.path)
    assert (wrong.code, wrong.out) == (129, "")
    assert wrong.err.startswith("fatal: no such option")


def test_the_version_needs_no_click(tagged: Repo) -> None:
    assert not {"click", "typing", "subprocess"} & modules(tagged, "--version") - {"typing"}
    done = tagged.python("-X", "importtime", "-m", "gitxexp", "--version")
    assert done.out.startswith("git-xexp version ")
    assert "click" not in done.err
    assert "| typing" not in done.err
