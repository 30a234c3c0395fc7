"""Caches and remotes that serve something else than what was asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.security.hostile import SECRET, Evil

GOOD = b"the right bytes"


def spoilt(path: Path, how: str, outside: Path) -> None:
    """Make an object into something else."""
    path.unlink()
    if how == "other":
        path.write_bytes(b"THE WRONG BYTES")
    elif how == "shorter":
        path.write_bytes(GOOD[:-1])
    elif how == "longer":
        path.write_bytes(GOOD + b"!")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "link":
        path.symlink_to(outside / "id_rsa")
    elif how == "dangling":
        path.symlink_to(outside / "new")
    elif how == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)


WAYS = ["other", "shorter", "longer", "empty", "link", "dangling", "folder", "pipe"]


@pytest.mark.parametrize("place", ["cache", "remote"])
@pytest.mark.parametrize("how", WAYS)
def test_a_file(evil: Evil, how: str, place: str) -> None:
    oid = evil.store(GOOD, place=place)
    evil.pointer("m", oid, "m", len(GOOD))
    evil.commit()
    spoilt(evil.clone / "store" / place / "files/md5" / oid[:2] / oid[2:], how, evil.outside)
    assert evil.refused("get", "HEAD", "m").code
    evil.refused("worktree", "new", "x")
    assert not (evil.base / "exp-x/m").exists()
    kept = evil.clone / "store/cache/files/md5" / oid[:2] / oid[2:]
    assert place == "cache" or not kept.exists()
    done = evil.xexp("push", "--all")
    assert SECRET not in done.out + done.err


@pytest.mark.parametrize("text", [
    "", "{}", "[1]", "[[]]", '[{"md5": 1}]', '[{"relpath": "a"}]', '[{"md5": null, "relpath": "a"}]',
    "[" * 100_000, '[{"md5": "%s", "relpath": 5}]' % ("a" * 32), "nul\0l", '[{"size": 1e999}]',
])  # fmt: skip
def test_a_manifest_that_is_none(evil: Evil, text: str) -> None:
    evil.pointer("data", evil.store(text.encode(), ".dir"), "data")
    evil.commit()
    evil.refused("get", "HEAD", "data")
    evil.refused("worktree", "new", "x")


def test_manifests_that_name_each_other(evil: Evil) -> None:
    inner = evil.folder("a")
    rows = f'[{{"md5": "{inner}", "relpath": "a"}}]'
    evil.pointer("data", evil.store(rows.encode(), ".dir"), "data")
    evil.commit()
    evil.refused("get", "HEAD", "data")
    evil.refused("worktree", "new", "x")
