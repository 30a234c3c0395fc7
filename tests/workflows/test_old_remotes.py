"""Remotes move; worktrees at the commits of before use those of today."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.helpers import Repo


def moved(repo: Repo, name: str) -> None:
    """The data is elsewhere now, under the default remote ``name``."""
    assert repo.remote is not None
    repo.remote.rename(repo.path.parent / "moved")
    config = repo / ".dvc/config"
    text = config.read_text().replace("../../remote", "../../moved")
    config.write_text(text.replace('"store"', f'"{name}"').replace("= store", f"= {name}"))
    repo.commit("the data has moved")


def test_an_old_commit_in_a_worktree(tagged: Repo) -> None:
    moved(tagged, "fresh")
    assert tagged.remote is not None
    content = (tagged / "data/train.csv").read_bytes()
    shutil.rmtree(tagged / ".dvc/cache")
    tagged.xexp("worktree", "new", "old", "--at", "e0.1.0").good()
    tree = Repo(tagged.path.parent / "exp-old")
    assert (tree / "data/train.csv").read_bytes() == content
    shutil.rmtree(tagged / ".dvc/cache")
    get = ("get", "e0.1.0", "data/train.csv", "-o", "got.csv", "--strategy", "dvc")
    assert "from remote fresh" in tree.xexp(*get).good().out
    (tree / "got.csv").unlink()
    shown = tree.xexp("explore", "show", "e0.1.0", "--json").good().json()
    assert {a["remote"] for a in shown["artifacts"] if a["role"] == "data"} == {"yes"}
    tree.write("models/production/model.bin", b"another")
    tagged.git("init", "-q", "--bare", "../origin.git")
    tagged.git("remote", "add", "origin", "../origin.git")
    tree.xexp("tag", "--all", "--allow-mismatch", "-m", "again", "--push").good()
    assert not tagged.remote.exists()
    listed = tagged.xexp("worktree", "list", "--json").good().json()
    assert listed[1]["unpushed"] == 0
    # what neither has is looked for on the remote of the commit, and both are named
    digest = "ab" * 16
    pointer = tree / "data/train.csv.dvc"
    lines = pointer.read_text().splitlines()
    pointer.write_text(
        "\n".join(f"- md5: {digest}" if "md5:" in x and "- " in x else x for x in lines)
    )
    tree.commit("nobody has this")
    done = tree.xexp("get", "HEAD", "data/train.csv", "-o", "got.csv")
    assert done.code == 128 and "remote fresh" in done.err and "remote store" in done.err


def test_what_only_the_old_remote_has(tagged: Repo) -> None:
    """It stays where it was, and the new one is empty."""
    assert tagged.remote is not None
    config = tagged / ".dvc/config"
    new = "['remote \"fresh\"']\n    url = ../../new\n"
    config.write_text(config.read_text().replace("remote = store", "remote = fresh") + new)
    tagged.commit("another remote")
    (tagged.path.parent / "new").mkdir()
    content = (tagged / "data/train.csv").read_bytes()
    shutil.rmtree(tagged / ".dvc/cache")
    (tagged / "data/train.csv").unlink()
    tagged.xexp("worktree", "new", "old", "--at", "e0.1.0").good()
    tree = Repo(tagged.path.parent / "exp-old")
    assert (tree / "data/train.csv").read_bytes() == content
    shutil.rmtree(tagged / ".dvc/cache")
    (tree / "data/train.csv").unlink()
    get = ("get", "e0.1.0", "data/train.csv", "-o", "got.csv", "--strategy", "dvc")
    assert "from remote store" in tree.xexp(*get).good().out
    (tree / "got.csv").unlink()
    tagged.xexp("get", "e0.1.0", "data/train.csv", "-o", "got.csv").good()
    assert (tagged / "got.csv").read_bytes() == content


def test_a_temporary_worktree_asks_both(tagged: Repo, tmp_path: Path) -> None:
    """Also in a bare repository, and for standard output."""
    moved(tagged, "fresh")
    config = tagged / ".dvc/config"
    config.write_text(config.read_text().replace("../../moved", str(tmp_path / "moved")))
    tagged.commit("the remote's address")
    content = (tagged / "data/train.csv").read_bytes()
    tagged.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    get = ("get", "e0.1.0", "data/train.csv", "--strategy", "worktree", "-o")
    got = Repo(tmp_path / "bare.git").xexp(*get, tmp_path / "got.csv").good()
    assert "from temporary worktree" in got.out
    assert (tmp_path / "got.csv").read_bytes() == content
    shutil.rmtree(tagged / ".dvc/cache")
    assert tagged.xexp(*get, "-").good().out == content.decode()
