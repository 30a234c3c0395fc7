"""What the user's own configuration of git must not change: what is read, and what is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitxexp.storage.dvc.pointers import conflicted_at
from gitxexp.storage.git import Git
from tests.helpers import Repo, run, xexp_inside

SETTINGS = """
[color]
    ui = always
    status = always
    diff = always
    grep = always
    branch = always
[column]
    ui = always
[core]
    quotePath = true
    pager = cat
    abbrev = 40
[diff]
    noprefix = true
    mnemonicPrefix = true
    relative = true
    external = false
    renames = copies
    submodule = log
    context = 0
    wsErrorHighlight = all
    colorMoved = zebra
[status]
    showUntrackedFiles = no
    branch = true
    showStash = true
    short = true
    aheadBehind = false
[log]
    showSignature = true
    follow = true
    decorate = full
    date = relative
[format]
    pretty = oneline
[grep]
    patternType = fixed
    lineNumber = true
    column = true
    fullName = true
[tag]
    sort = -creatordate
[versionsort]
    suffix = -rc
[branch]
    sort = -committerdate
    autoSetupMerge = always
[push]
    followTags = true
    default = matching
    recurseSubmodules = check
[fetch]
    prune = true
    pruneTags = true
    recurseSubmodules = true
    output = compact
[submodule]
    recurse = true
[apply]
    whitespace = error-all
[merge]
    conflictStyle = diff3
    log = true
[i18n]
    logOutputEncoding = latin1
[index]
    version = 4
[commit]
    verbose = true
    cleanup = scissors
    status = false
[rerere]
    enabled = true
[worktree]
    guessRemote = true
[checkout]
    guess = false
    defaultRemote = nowhere
"""


@pytest.fixture
def odd(home: Path) -> None:
    """A ``~/.gitconfig`` in which everything is set."""
    file = home / ".gitconfig"
    file.write_text(file.read_text() + SETTINGS)


@pytest.mark.usefixtures("odd")
def test_settings_of_git_change_no_answer(tagged: Repo, tmp_path: Path) -> None:
    origin = tmp_path / "origin.git"
    run("git", "init", "-q", "--bare", "-b", "main", origin, cwd=tmp_path).good()
    tagged.git("remote", "add", "backup", str(tmp_path / "nowhere.git"))
    tagged.git("remote", "add", "central", str(origin))
    tagged.git("config", "remote.pushDefault", "central")
    tagged.write("src/deep/größe.py", "print('größe')  \n")
    tagged.commit("größe")
    tagged.xexp("tag", "-m", "größe").good()

    # only what was asked for is pushed, to where git would push
    tagged.git("tag", "-a", "v1", "-m", "not ours")
    tagged.xexp("push", "--all").good()
    refs = tagged.git("ls-remote", "--refs", "central")
    assert "refs/tags/e0.2.0" in refs and "refs/heads/main" in refs and "v1" not in refs

    # paths are from the top, though diff.relative is set
    diffed = xexp_inside("explore", "diff", "e0.1.0", "e0.2.0", "--json", cwd=tagged / "data")
    code = diffed.good().json()["code"]
    assert code == [{"path": "src/deep/größe.py", "added": 1, "deleted": 0}]
    shown = xexp_inside("explore", "show", "e0.2.0", "--json", cwd=tagged / "data").good().json()
    assert "src/deep/größe.py changed" in shown["reason"]

    # a patch that git can apply
    tagged.write("src/deep/größe.py", "print('größer')  \n")
    xexp_inside("run", "--dirty", "--", "true", cwd=tagged / "src").good()
    (patch,) = tagged.path.rglob(".git/xexp/**/patch")
    tagged.git("checkout", "--", "src")
    tagged.git("apply", "--whitespace=nowarn", str(patch))
    assert "größer" in (tagged / "src/deep/größe.py").read_text()
    tagged.git("checkout", "--", "src")

    # what git would not list is not lost
    tagged.xexp("worktree", "new", "a").good()
    unsaved = tmp_path / "exp-a/unsaved.txt"
    unsaved.write_text("work")
    refused = tagged.xexp("undo")
    assert refused.code == 1 and "exp-a has changes" in refused.err and unsaved.exists()


@pytest.mark.usefixtures("odd")
def test_pull_keeps_tags_that_were_not_pushed(tagged: Repo, tmp_path: Path) -> None:
    origin = tmp_path / "origin.git"
    run("git", "init", "-q", "--bare", "-b", "main", origin, cwd=tmp_path).good()
    tagged.git("remote", "add", "central", str(origin))
    tagged.xexp("push", "--all").good()
    run("git", "clone", "-q", "-o", "central", origin, tmp_path / "clone", cwd=tmp_path).good()
    clone = Repo(tmp_path / "clone")
    clone.xexp("init").good()
    clone.write("other.py", "1")
    clone.commit("other")
    clone.git("tag", "-a", "e0.3.0", "-m", "mine")
    tagged.write("more.py", "1")
    tagged.commit("more")
    tagged.xexp("push", "--all").good()
    clone.xexp("pull").good()
    assert clone.tags == ["e0.1.0", "e0.3.0"] and (clone / "more.py").exists()


@pytest.mark.usefixtures("odd")
def test_conflict_markers_are_found(repo: Repo) -> None:
    repo.write("a.dvc", "outs:\n<<<<<<< ours\n")
    assert conflicted_at(Git(repo.path), repo.commit("conflict")) == ["a.dvc"]
