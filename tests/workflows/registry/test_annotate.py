"""Labels and descriptions given after the tag, in two clones; deletion and its undo."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gitxexp.repository.registry import Registry
from tests.conftest import copy_repo
from tests.experiments import three
from tests.helpers import Clock, Repo, copy_tree

REGISTRY = ".xexp/registry.db"


@pytest.fixture(scope="session")
def known_template(ready_template: Path, sealed: Path) -> Path:
    """The repository that ``known`` copies."""
    made = Repo(sealed / "known-template")
    copy_tree(ready_template, made.path)
    three(made, Clock())
    made.xexp("registry", "rebuild").good()
    made.commit("registry")
    return made.path


@pytest.fixture
def known(known_template: Path, tmp_path: Path, clock: Clock) -> Repo:
    """Three experiments (see :func:`tests.experiments.three`), all in the committed registry."""
    clock.tick(240)
    return copy_repo(known_template, tmp_path)


def labels(repo: Repo, version: str) -> list[str]:
    found: list[str] = repo.xexp("show", version, "--json").good().json()["labels"]
    return found


def test_labels_are_shown_everywhere_and_the_tag_stays(known: Repo) -> None:
    tags = known.git("for-each-ref", "refs/tags")
    done = known.xexp("label", "e0.2.0", "e1.0.0", "+paper,prod", "-good").good()
    assert done.out == "e0.2.0  baseline, paper, prod\ne1.0.0  paper, prod\n"
    assert known.git("for-each-ref", "refs/tags") == tags
    assert known.git("log", "-1", "--format=%s") == "Label e0.2.0, e1.0.0: +paper +prod -good"
    assert known.git("status", "--porcelain") == ""
    listed = known.xexp("list", "--label", "prod", "--columns", "version,label").good().out
    assert listed.splitlines()[1:] == ["e1.0.0\tpaper, prod", "e0.2.0\tbaseline, paper, prod"]
    assert known.xexp("list", "--label", "good", "--json").json() == []
    shown = known.xexp("show", "e0.2.0").good().out
    assert "labels  baseline, paper, prod" in shown
    assert "Ada Lovelace <ada@example.org>  -good" in shown
    # again: nothing to do, and so no commit and nothing to undo but the first
    head = known.head
    known.xexp("label", "e0.2.0", "+prod").good()
    assert known.head == head
    assert known.xexp("label", "e0.2.0").out == "e0.2.0  baseline, paper, prod\n"
    bare = known.xexp("label", "e0.2.0", "two words")
    assert (
        bare.code == 128
        and "hint: to add a label: git xexp registry label e0.2.0 '+two words'" in bare.err
    )
    known.xexp("undo").good()
    assert labels(known, "e0.2.0") == ["baseline", "good"]


def test_a_description_stands_in_the_place_of_the_text(known: Repo) -> None:
    known.xexp("describe", "e0.2.0", "-m", "the one of the paper").good()
    assert known.xexp("describe", "e0.2.0").out == "e0.2.0  the one of the paper\n"
    shown = known.xexp("show", "e0.2.0", "--json").json()
    assert shown["headline"] == "e0.2.0 | the one of the paper"
    (change,) = shown["changes"]
    assert (change["what"], change["value"]) == ("description", "the one of the paper")
    # an editor that appends a line
    known.git("config", "core.editor", "sh -c 'echo and more >> \"$1\"' -")
    known.xexp("describe", "e0.2.0", "--edit").good()
    assert known.xexp("describe", "e0.2.0").out == "e0.2.0  the one of the paper and more\n"
    assert known.xexp("registry", "rebuild", "--json").json()["restored"] == []
    assert known.xexp("describe", "e0.2.0").out == "e0.2.0  the one of the paper and more\n"
    assert known.xexp("explore", "verify", "e0.2.0", "--json").json()[0]["claims"][-1] == {
        "claim": "registry", "verdict": "holds", "detail": "",
    }  # fmt: skip
    assert known.xexp("describe", "e0.2.0", "-m", " ").code == 128


def test_a_tag_made_again_says_what_it_said(known: Repo) -> None:
    before = known.git("tag", "-l", "--format=%(contents)", "e0.2.0")
    known.xexp("label", "e0.2.0", "+late", "-good").good()
    known.xexp("describe", "e0.2.0", "-m", "other words").good()
    known.git("tag", "-d", "e0.2.0")
    known.xexp("registry", "restore-tags").good()
    assert known.git("tag", "-l", "--format=%(contents)", "e0.2.0") == before
    assert labels(known, "e0.2.0") == ["baseline", "late"]


def test_labels_of_both_sides_merge(known: Repo, clock: Clock) -> None:
    known.xexp("drivers", "install").good()
    known.commit("drivers")
    known.git("switch", "-q", "-c", "other")
    known.xexp("label", "e0.2.0", "+theirs", "-good").good()
    known.xexp("describe", "e0.1.0", "-m", "described there").good()
    known.xexp("label", "e1.0.0", "+lost").good()
    known.git("switch", "-q", "main")
    known.xexp("label", "e0.2.0", "+ours", "-baseline").good()
    known.xexp("delete", "e1.0.0", "--force").good()
    known.git("merge", "-q", "--no-edit", "other")
    assert labels(known, "e0.2.0") == ["ours", "theirs"] or labels(known, "e0.2.0") == [
        "theirs",
        "ours",
    ]
    assert known.xexp("describe", "e0.1.0").out == "e0.1.0  described there\n"
    with closing(sqlite3.connect(known / REGISTRY)) as db:
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        versions = [v for (v,) in db.execute("SELECT version FROM experiments ORDER BY 1")]
        assert versions == ["e0.1.0", "e0.2.0"]
        assert db.execute("SELECT 1 FROM changes WHERE version = 'e1.0.0'").fetchall() == []


def test_registries_of_two_formats_merge(known: Repo) -> None:
    known.xexp("drivers", "install").good()
    shutil.copy(Path(__file__).parents[2] / "repository/data/registry-1.db", known / REGISTRY)
    known.commit("format 1")
    known.git("switch", "-q", "-c", "other")
    with closing(sqlite3.connect(known / REGISTRY)) as db, db:
        db.execute("INSERT INTO labels VALUES ('e0.1.0', 'old format')")
    known.commit("written by an older release")
    known.git("switch", "-q", "main")
    known.xexp("label", "e0.2.0", "+new").good()
    known.git("merge", "-q", "--no-edit", "other")
    rows = Registry(known / REGISTRY).rows()
    assert "old format" in rows["e0.1.0"].labels
    assert [c.value for c in Registry(known / REGISTRY).changes()] == ["new"]


def test_delete_takes_tag_and_row_and_undo_brings_both_back(known: Repo, tmp_path: Path) -> None:
    before, rows = known.refs(), Registry(known / REGISTRY).rows()
    refused = known.xexp("delete", "e0.1.0")
    assert (refused.code, known.refs()) == (1, before)
    done = known.xexp("delete", "e0.1.0", "e0.2.0", "--force").good()
    assert done.out == "deleted  e0.1.0\ndeleted  e0.2.0\n"
    assert known.tags == ["e1.0.0"]
    assert list(Registry(known / REGISTRY).rows()) == ["e1.0.0"]
    known.xexp("undo").good()
    assert (known.refs(), Registry(known / REGISTRY).rows()) == (before, rows)
    known.xexp("redo").good()
    assert known.tags == ["e1.0.0"]
    known.xexp("undo").good()
    # what was pushed is refused, and goes there only if it is the one that is here
    known.git("init", "-q", "--bare", "../origin")
    known.git("remote", "add", "origin", "../origin")
    known.git("push", "-q", "origin", "main", "e0.1.0")
    refused = known.xexp("delete", "e0.1.0", "--yes")
    assert refused.code == 1
    assert "e0.1.0 was pushed to origin" in refused.err
    known.git("tag", "-a", "-f", "-m", "another", "e0.1.0", "HEAD~1")
    other = known.xexp("delete", "e0.1.0", "--remote", "--force")
    assert "origin has another e0.1.0" in other.err
    known.git("fetch", "-q", "--tags", "--force", "origin")
    known.xexp("delete", "e0.1.0", "--remote", "--force").good()
    assert known.git("ls-remote", "--tags", "origin") == ""
    assert "e0.1.0" not in known.tags
    assert known.xexp("undo").code == 1  # it was pushed: others may know that it is gone
    known.xexp("undo", "--force").good()
    assert "e0.1.0" in known.tags


def test_names_that_mean_nothing(known: Repo) -> None:
    for words in (("label", "e9.9.9", "+a"), ("delete", "nothing"), ("describe", "abc", "-m", "x")):
        done = known.xexp(*words)
        assert done.code == 128, done.err
    assert "too short for a hash prefix" in known.xexp("show", "abc").err
    assert known.xexp("label", "+a").code == 129
    assert known.xexp("label", "e0.1.0", "+a", "-a").code == 128
    assert known.head == known.git("rev-parse", "main")
