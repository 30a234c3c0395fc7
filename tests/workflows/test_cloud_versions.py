"""A remote that keeps versions of files by their paths (``version_aware``), as DVC writes pointers for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import servers
from tests.helpers import Repo, run


def test_outputs_of_a_remote_that_versions_files(dvc_repo: Repo, tmp_path: Path) -> None:
    for package in ("moto", "dvc_s3"):
        pytest.importorskip(package)
    with servers.s3_server() as server:
        client = servers.s3_client(server.options["endpointurl"])
        client.put_bucket_versioning(
            Bucket="experiments", VersioningConfiguration={"Status": "Enabled"}
        )
        server.default_of(dvc_repo)
        server.give_access(dvc_repo)
        config = dvc_repo / ".dvc/config"
        config.write_text(f"{config.read_text()}    version_aware = true\n")
        dvc_repo.write("model.bin", "first")
        dvc_repo.write("images/a.txt", "a")
        dvc_repo.write("images/b.txt", "b")
        dvc_repo.dvc_add("model.bin", "images")
        plain = (dvc_repo / "images.dvc").read_text()
        dvc_repo.dvc("push", "-q")
        listed = (dvc_repo / "images.dvc").read_text()
        assert "version_id" in listed and ".dir" not in listed
        origin = tmp_path / "origin.git"
        run("git", "init", "-q", "--bare", "-b", "main", origin, cwd=tmp_path).good()
        dvc_repo.git("remote", "add", "origin", str(origin))
        dvc_repo.xexp("init").good()
        dvc_repo.commit("pushed")
        dvc_repo.xexp("tag", "-m", "one").good()
        dvc_repo.xexp("push").good()

        # A folder whose files are listed in its pointer is on record by the hash that it has without.
        shown = dvc_repo.xexp("show", "--json").good().json()
        hashes = {each["path"]: each["hash"] for each in shown["artifacts"]}
        assert hashes["images"].removeprefix("md5:") in plain

        clone = Repo(tmp_path / "clone")
        run("git", "clone", "-q", origin, clone.path, cwd=tmp_path).good()
        server.give_access(clone)
        clone.xexp("init").good()
        for path, target in (("model.bin", "m"), ("images/b.txt", "b"), ("images", "i")):
            clone.xexp("get", "e0.1.0", path, "-o", target).good()
        assert [(clone / name).read_text() for name in ("m", "b", "i/a.txt")] == ["first", "b", "a"]

        # What DVC has not pushed has no version: the tag is right, and push changes nothing.
        dvc_repo.write("images/a.txt", "another")
        dvc_repo.write("model.bin", "second")
        dvc_repo.xexp("tag", "-m", "two").good()
        assert "images changed" in dvc_repo.git("tag", "-l", "--format=%(contents)", "e1.0.0")
        before = dvc_repo.head
        refused = dvc_repo.xexp("push")
        assert refused.code == 128 and "dvc push writes the versions" in refused.err
        assert dvc_repo.git("status", "--porcelain") == "" and dvc_repo.head == before
        assert clone.git("ls-remote", "--tags", "origin", "e1.0.0") == ""

        # A later commit has the versions. The experiment tagged before has none: it is not proved.
        dvc_repo.dvc("push", "-q")
        dvc_repo.commit("pushed")
        for words in (("push",), ("push", "e1.0.0")):
            refused = dvc_repo.xexp(*words)
            assert refused.code == 128 and "which version a remote has of images" in refused.err
        dvc_repo.git("push", "-q", "origin", "main", "e1.0.0")
        clone.xexp("pull").good()
        assert (clone / "images/a.txt").read_text() == "another"
        assert (clone / "model.bin").read_text() == "second"

        # In a worktree of an empty cache the versions are downloaded, and DVC finds them right.
        clone.xexp("worktree", "new", "w", "e0.1.0").good()
        assert (tmp_path / "exp-w/images/a.txt").read_text() == "a"
        assert clone.xexp("worktree", "list", "--json").good().json()[1]["changed"] == 0
        clone.xexp("worktree", "remove", "w").good()
