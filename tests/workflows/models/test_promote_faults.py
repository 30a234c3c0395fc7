"""Promote and prune where something goes wrong: killed, at once, read-only, full, by hand."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from gitxexp.common.errors import XexpError
from gitxexp.workflows.models import promote
from tests.helpers import Repo
from tests.workflows.models.model_tools import (
    FOLDER,
    PRODUCTION,
    candidate,
    content,
    killed,
    models,
    state,
    together,
)

ARGS = ("promote", "--best", "f1")


def test_promote_killed_at_every_step(modelled: Repo) -> None:
    before = state(modelled)
    stride = int(os.environ.get("XEXP_TEST_STRIDE", "29"))
    steps = []
    for step in killed(modelled, *ARGS, stride=stride):
        if models(modelled)[PRODUCTION] != content("run-lr-1.0"):
            modelled.xexp("undo").good()  # it died when everything was done
        assert state(modelled) == before, f"after step {step}"
        steps.append(step)
    assert len(steps) * stride > 30
    assert models(modelled)[PRODUCTION] == content("run-lr-0.1")
    assert modelled.dvc("status") == "Data and pipelines are up to date.\n"


def test_promote_of_a_tagged_model_killed(modelled: Repo) -> None:
    modelled.xexp("promote", "--best", "f1", "--no-keep").good()
    before = state(modelled)
    for step in killed(modelled, "promote", "e0.1.0", "-y", "--tag", stride=61):
        assert state(modelled) == before, f"after step {step}"
    assert models(modelled)[PRODUCTION] == content("run-lr-1.0")


def test_prune_killed_at_every_step(modelled: Repo) -> None:
    modelled.dvc("push")
    before = state(modelled)
    stride = int(os.environ.get("XEXP_TEST_STRIDE", "23"))
    steps = []
    for step in killed(modelled, "prune", "--keep", "0", stride=stride):
        if candidate("run-lr-0.1") not in models(modelled):
            modelled.xexp("undo").good()  # it died when everything was done
        assert state(modelled) == before, f"after step {step}"
        steps.append(step)
    assert len(steps) * stride > 20
    assert set(models(modelled)) == {PRODUCTION}
    modelled.xexp("undo").good()
    assert state(modelled) == before


def test_undo_killed(modelled: Repo) -> None:
    """What an undo that died left is finished by the next operation."""
    before = state(modelled)
    for start in (2, 5):
        modelled.xexp(*ARGS).good()
        next(killed(modelled, "undo", start=start))
        assert state(modelled) == before, f"after step {start}"


def test_two_promotes_at_once(modelled: Repo) -> None:
    done = together(
        modelled,
        ("promote", "--run", "run-lr-0.1", "-y"),
        ("promote", "--run", "run-lr-0.01", "-y"),
        ("promote", "--run", "run-lr-0.1", "-y"),
    )
    assert [d.code for d in done] == [0, 0, 0], [d.err for d in done]
    assert sorted(models(modelled).values()) == sorted(
        content(run) for run in ("run-lr-0.01", "run-lr-0.1", "run-lr-1.0")
    )
    assert modelled.git("status", "--porcelain") == ""
    assert modelled.dvc("status") == "Data and pipelines are up to date.\n"
    rows = modelled.xexp("promote", "--history", "--json").good().json()
    for newer, older in pairwise(rows):
        assert newer["hash_before"] == older["hash_after"]


def test_a_promote_that_is_worse_by_now_is_refused(modelled: Repo) -> None:
    """Both were better when they looked; the one that comes second would be worse."""
    done = together(
        modelled, ("promote", "--run", "run-lr-0.1"), ("promote", "--run", "run-lr-0.01")
    )
    assert (modelled / PRODUCTION).read_bytes() == content("run-lr-0.1")
    assert done[0].code == 0
    if done[1].code:
        assert done[1].code == 1
        assert "it is worse than production by f1" in done[1].err


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The folder on a file system that is mounted read-only, or without write permission."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        try:
            yield
        finally:
            folder.chmod(0o755)
        return
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("folder", ["models/production", "models/candidates", "models"])
@pytest.mark.parametrize("args", [ARGS, ("prune", "--keep", "0")])
def test_a_read_only_folder(modelled: Repo, folder: str, args: tuple[str, ...]) -> None:
    modelled.dvc("push")
    before = state(modelled)
    with read_only(modelled / folder):
        done = modelled.xexp(*args)
        if folder == "models/production" and args[0] == "prune":
            done.good()
            return
        assert done.code == 128, done.err
        assert len(done.err.splitlines()) <= 4, done.err
        assert "Traceback" not in done.err
    assert state(modelled) == before


def test_candidates_on_another_file_system(modelled: Repo) -> None:
    """A bind mount: renaming into and out of it is refused as across file systems."""
    modelled.dvc("push")
    if os.geteuid() != 0:
        pytest.fail("run the tests as root, who may mount")
    folder = modelled / FOLDER
    before = models(modelled)
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        modelled.xexp(*ARGS).good()
        assert models(modelled)[PRODUCTION] == content("run-lr-0.1")
        modelled.xexp("undo").good()
        assert models(modelled) == before
        modelled.xexp("prune", "--keep", "0").good()
        assert set(models(modelled)) == {PRODUCTION}
        modelled.xexp("undo").good()
        assert models(modelled) == before
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        os.chdir(tmp_path)
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path, leave: int) -> Path:
    """Fill the file system, but for ``leave`` bytes."""
    path = folder / "filler"
    with path.open("wb") as file:
        free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
        file.write(b"\0" * max(0, free - leave))
    return path


@pytest.mark.parametrize("leave", [600_000, 0])
def test_a_full_disk(modelled: Repo, small_disk: Path, leave: int) -> None:
    for folder in (modelled.path, modelled.remote):
        assert folder is not None
        shutil.copytree(folder, small_disk / folder.name, symlinks=True)
    repo = Repo(small_disk / "repo", small_disk / "remote")
    repo.write(PRODUCTION, os.urandom(1_000_000))
    repo.xexp("tag", "-m", "large").good()
    repo.xexp(*ARGS, "--no-keep", "-y").good()
    before = state(repo)
    filler = fill(small_disk, leave)
    done = repo.xexp("promote", "e0.1.1", "-y")
    assert done.code == 128
    assert len(done.err.splitlines()) <= 3, done.err
    filler.unlink()
    repo.xexp("log").good()
    assert state(repo) == before
    repo.xexp("promote", "e0.1.1", "-y").good()
    assert (repo / PRODUCTION).stat().st_size == 1_000_000


def test_nothing_is_left_staged_by_dvc(modelled: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """core.autostage: DVC would stage what the rollback restores only in the work tree."""
    modelled.dvc("config", "core.autostage", "true")
    modelled.git("commit", "-qam", "autostage")
    before = state(modelled)

    def fails(*_: object) -> None:
        raise XexpError("no record")

    with monkeypatch.context() as patch:
        patch.setattr(promote, "_register", fails)
        assert modelled.xexp("promote", "--run", "run-lr-0.1").code == 128
    assert state(modelled) == before
    modelled.xexp("promote", "--run", "run-lr-0.1", "--no-commit").good()
    assert modelled.git("diff", "--cached", "--name-only") == ""
