"""Fixtures of what several clones do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import copy_template
from tests.helpers import Clock, Repo, copy_tree


@pytest.fixture(scope="session")
def pair_template(trained_template: Path, sealed: Path) -> Path:
    """``repo`` (ann) with e0.1.0 pushed to ``origin``, and ``mate`` (bob), its clone with data."""
    Clock().tick(240)
    folder = sealed / "pair-template"
    ann = copy_template(trained_template, folder)
    ann.xexp("init").good()
    ann.commit("set up")
    ann.git("init", "-q", "--bare", "-b", "main", "../origin")
    ann.git("remote", "add", "origin", "../origin")
    ann.xexp("tag", "--push").good()
    ann.git("push", "-q", "-u", "origin", "main")
    ann.git("clone", "-q", "../origin", "../mate")
    return folder


@pytest.fixture
def pair(pair_template: Path, tmp_path: Path) -> tuple[Repo, Repo]:
    ann = copy_template(pair_template, tmp_path)
    for name in ("origin", "mate"):
        copy_tree(pair_template / name, tmp_path / name)
    bob = Repo(tmp_path / "mate", ann.remote)
    bob.git("remote", "set-url", "origin", "../origin")
    return ann, bob
