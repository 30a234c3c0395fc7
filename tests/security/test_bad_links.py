"""Symbolic links that git tracks, as parents and as targets, for reading and for writing."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.security.hostile import SECRET, Evil, git


@pytest.mark.parametrize("name", ["params.yaml", "metrics.json", "dvc.yaml", "dvc.lock", "m.dvc"])
def test_files_that_are_read(evil: Evil, name: str) -> None:
    path = evil.clone / name
    path.unlink(missing_ok=True)
    source = name if name in ("params.yaml", "metrics.json") else "params.yaml"
    path.symlink_to(evil.outside / source)
    evil.commit()
    for verb in (["tag", "--suggest"], ["tag", "--all", "-m", "x"], [], ["explore", "show"]):
        done = evil.xexp(*verb)
        assert SECRET not in done.out + done.err
        assert "7654321" not in done.out + done.err
    assert "7654321" not in git(evil.clone, "for-each-ref", "--format=%(contents)", "refs/tags")


@pytest.mark.parametrize("name", [".gitattributes", ".xexp", ".xexp/config.toml", ".dvc/config"])
def test_files_that_are_written(evil: Evil, name: str) -> None:
    path = evil.clone / name
    if path.is_dir():
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    path.unlink(missing_ok=True)
    path.symlink_to(evil.outside / ("folder" if name == ".xexp" else "new"))
    evil.commit()
    evil.refused("init")
    evil.xexp("tag", "--all", "-m", "x")


@pytest.mark.parametrize("name", [".gitignore", "new.dvc"])
def test_what_dvc_writes_beside_an_output(evil: Evil, name: str) -> None:
    (evil.clone / "sub").mkdir()
    (evil.clone / "sub" / name).symlink_to(evil.outside / "id_rsa")
    evil.pointer("sub/m", evil.store(b"hacked"), "m")
    evil.commit()
    evil.write("sub/m", "trained")
    evil.write("sub/new", "new")
    evil.xexp("tag", "--all", "-m", "x")


@pytest.mark.parametrize(("link", "path"), [("data", "data/x"), ("a/b", "a/b/c/x"), ("m", "m")])
def test_outputs_behind_a_link(evil: Evil, link: str, path: str) -> None:
    (evil.clone / link).parent.mkdir(exist_ok=True)
    (evil.clone / link).symlink_to(evil.outside / ("folder" if link != "m" else "new"))
    evil.pointer("p", evil.store(b"hacked"), path)
    evil.commit()
    (evil.xexp if link == "m" else evil.refused)("worktree", "new", "x")
    evil.xexp("get", "HEAD", path, "-f")
    evil.xexp("tag", "--all", "-m", "x")
    evil.xexp("get", "HEAD", path, "-f", "--strategy", "worktree")


def test_a_model_that_is_a_link_to_a_private_file(evil: Evil) -> None:
    (evil.clone / "model.pkl").symlink_to(evil.outside / "id_rsa")
    evil.pointer("model.pkl", evil.store(b"hacked"), "model.pkl")
    evil.commit()
    evil.refused("tag", "--all", "-m", "x")


def test_a_private_file_in_a_data_folder(evil: Evil) -> None:
    evil.pointer("data", evil.folder("a"), "data")
    (evil.clone / "data").mkdir()
    (evil.clone / "data/a").symlink_to(evil.outside / "id_rsa")
    evil.commit()
    evil.refused("tag", "--all", "-m", "x")


@pytest.mark.parametrize(
    "name", ["store/cache/files", "store/cache/files/md5/57", "store/remote", ".dvc/tmp"]
)
def test_caches_and_remotes_behind_a_link(evil: Evil, name: str) -> None:
    oid = evil.store(b"elsewhere", place="remote" if "cache" in name else "cache")
    evil.pointer("m", oid, "m", 9)
    path = evil.clone / name
    if path.exists():
        git(evil.clone, "add", "-A", "-f")
        path.rename(path.with_name("aside"))
    path.symlink_to(evil.outside / "folder")
    evil.commit()
    evil.xexp("get", "HEAD", "m")
    evil.xexp("worktree", "new", "x")
    evil.xexp("push", "--all", "--incomplete")


def test_a_folder_that_is_a_link_inside(evil: Evil) -> None:
    (evil.clone / "real").mkdir()
    evil.write("real/keep", "")
    (evil.clone / "data").symlink_to("real")
    evil.pointer("p", evil.store(b"hacked"), "data/x")
    evil.commit()
    assert evil.xexp("worktree", "new", "x").code == 0
    assert (evil.base / "exp-x/real/x").read_bytes() == b"hacked"


@pytest.mark.parametrize("named", ["../outside/private.db", "{outside}/private.db", "x.db"])
def test_a_database_that_a_link_or_a_tag_names(evil: Evil, named: str) -> None:
    """Its rows are not shown as changes, as rows of an experiment or as a model."""
    table = "CREATE TABLE events (track_id, timestamp, lr, model, f1, version)"
    for place, text in ((evil.outside / "private.db", SECRET), (evil.base / "mine.db", "mine")):
        with closing(sqlite3.connect(place)) as con, con:
            con.execute(table)
            con.execute("INSERT INTO events VALUES ('r1', '2026', 0.5, ?, 0.9, 'e0.1.0')", (text,))
    data = (evil.base / "mine.db").read_bytes()
    evil.pointer("x.db", evil.store(data), "x.db", len(data))
    (evil.clone / "x.db").symlink_to(evil.outside / "private.db")
    evil.commit()
    message = (
        'f1=0.9\n\n[xexp]\nschema = 2\nversion = "e0.1.0"\nrun = "r1"\ntable = "events"\n'
        f'results = "{named.format(outside=evil.outside)}"\n[metrics]\nf1 = 0.9\n'
    )
    git(evil.clone, "tag", "-a", "--cleanup=verbatim", "-m", message, "e0.1.0")
    for words in (
        ["explore", "show", "e0.1.0"],
        ["explore", "show", "e0.1.0", "--json"],
        ["diff", "e0.1.0"],
        ["candidates", "add", "x.db", "--run", "r1"],
    ):
        done = evil.xexp(*words)
        assert SECRET not in done.out + done.err
        assert "1 row" not in done.out, (words, done.out)
