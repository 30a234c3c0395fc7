"""What the workers of a sweep get to clone with."""

from __future__ import annotations

from pathlib import Path

from gitxexp.repository.repository import Project
from gitxexp.storage.dvc import places, share
from gitxexp.workflows.sweeps.clone import source_of
from tests.helpers import Repo


def test_an_address_goes_without_its_password_and_folders_by_any_name(
    set_up: Repo, tmp_path: Path
) -> None:
    repo, folder = set_up, tmp_path / "store, of #1"
    folder.mkdir()
    repo.git("remote", "add", "origin", "https://me:SECRET-PW@example.org/x.git")
    repo.git("update-ref", "refs/remotes/origin/main", "HEAD")
    repo.dvc("remote", "add", "--local", "-d", "my-store", str(folder))
    source = source_of(Project.open(repo.path), "sweep", repo.head)
    assert source.url == "https://example.org/x.git"
    assert source.default == {"": "my-store"}
    assert source.folders[""]["my-store"] == str(folder)
    # and so the worker's DVC reads it
    (repo / ".dvc/config.local").unlink()
    share.name_remotes(repo.path, source.default[""], source.folders[""])
    assert places.local_remote_dir(repo.path) == folder
    listed = "".join(repo.dvc("remote", "list").split())  # long paths are wrapped
    assert "".join(f"my-store{folder}(default)".split()) in listed
