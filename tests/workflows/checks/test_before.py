"""``check --before``: each rule where it must speak, and where it must not."""

from __future__ import annotations

import pytest

from gitxexp.common.errors import UsageError
from gitxexp.repository.repository import Project
from gitxexp.workflows.checks.check import checks_before
from gitxexp.workflows.checks.rule import Finding, Severity
from tests.helpers import Repo


def found(repo: Repo, *only: str, **given: object) -> dict[str, list[Finding]]:
    """The findings by rule."""
    by_rule: dict[str, list[Finding]] = {}
    for one in checks_before(Project.open(repo.path), only=only, **given):  # type: ignore[arg-type]
        by_rule.setdefault(one.rule, []).append(one)
    return by_rule


def test_a_sound_repository_has_nothing_to_say(dvc_repo: Repo) -> None:
    dvc_repo.git("remote", "add", "origin", "../elsewhere")
    dvc_repo.git("switch", "-q", "-c", "exp/one")
    assert found(dvc_repo) == {}


def test_what_is_not_committed(dvc_repo: Repo) -> None:
    dvc_repo.write("train.py", "print(1)\n")
    dvc_repo.commit("code")
    dvc_repo.write("train.py", "print(2)\n")
    dvc_repo.write("other.py", "print(3)\n")
    dvc_repo.write("notes.md", "prose is no code\n")
    dvc_repo.write("data/train.csv", "x,y\n1,1\n")
    dvc_repo.write("data/new.csv", "x,y\n1,1\n")
    said = found(dvc_repo)
    assert [one.message for one in said["data-uncommitted"]] == [
        "1 output changed and not added: data/train.csv"
    ]
    assert said["data-uncommitted"][0].level is Severity.ERROR
    assert [one.message for one in said["code-uncommitted"]] == [
        "1 code file changed and not committed: train.py",
        "1 code file not in git: other.py",
    ]
    (one,) = said["not-tracked"]
    assert one.rows == ({"path": "data/new.csv"},) and one.fix is not None


def test_a_pointer_that_is_staged(dvc_repo: Repo) -> None:
    pointer = dvc_repo / "data/train.csv.dvc"
    pointer.write_text(pointer.read_text() + "desc: other\n")
    dvc_repo.git("add", "-A")
    (one,) = found(dvc_repo, "data-uncommitted")["data-uncommitted"]
    assert one.message == "1 pointer not committed: data/train.csv.dvc"


def test_the_version_is_taken(dvc_repo: Repo) -> None:
    dvc_repo.git("tag", "-a", "-m", "first", "e0.1.0")
    assert found(dvc_repo, "version-taken") == {}
    dvc_repo.write("params.yaml", "version: e0.2.0\n")
    assert found(dvc_repo, "version-taken") == {}
    dvc_repo.write("params.yaml", "version: e0.1.0\n")
    (one,) = found(dvc_repo, "version-taken")["version-taken"]
    assert (one.subject, one.hint) == ("e0.1.0", "the next free one is e0.1.1")
    dvc_repo.write("params.yaml", "experiment:\n  version: e0.1.0\n")
    assert "experiment.version says" in found(dvc_repo, "version-taken")["version-taken"][0].message


def test_places(repo: Repo) -> None:
    said = found(repo, "on-main", "remote-missing")
    assert [one.subject for one in said["on-main"]] == ["main"]
    assert [one.subject for one in said["remote-missing"]] == ["git"]
    repo.git("switch", "-q", "-c", "mine")
    assert "on-main" not in found(repo)


def test_ignored_with_a_reason(repo: Repo) -> None:
    repo.git("config", "xexp.check.ignore", "on-main: we work on main")
    assert "on-main" not in found(repo)
    repo.git("config", "xexp.check.ignore", "on-main@mai?: here, remote-missing@dvc: nothing")
    assert set(found(repo, "on-main", "remote-missing")) == {"remote-missing"}


def test_settings_in_tables_of_their_own(repo: Repo) -> None:
    """``[check.ignore]`` and ``[check.bounds]`` with a key each; what names no rule is said."""
    repo.write(".xexp/config.toml", '[check.ignore]\non-main = "here"\nonmain = "there"\n'
               "[check.bounds]\nsamples = 50\nscore = [0, 10]\n")  # fmt: skip
    assert "on-main" not in found(repo)
    config = Project.open(repo.path).config
    assert config.check_bounds == ("samples=50", "score=0..10")
    done = repo.xexp("check", "--before")
    assert "note: [check] ignore names no rule 'onmain'" in done.err


def test_no_such_rule(repo: Repo) -> None:
    with pytest.raises(UsageError, match="no rule 'leek'"):
        found(repo, "leek")
