"""Every verb that touches a remote, against real servers, from a clone with an empty cache."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests import servers
from tests.conftest import copy_template
from tests.helpers import Clock, Repo, run
from tests.servers import Server
from tests.workflows.experiments.test_two_clones import DB, log
from tests.workflows.models.model_tools import (
    FOLDER,
    PRODUCTION,
    RUNS,
    candidate,
    content,
)

KINDS = ("s3", "ssh", "webdav", "http")
#: What each needs beside the `test` extra (`test-remotes` has it).
NEEDED = {"s3": ("moto", "dvc_s3"), "ssh": ("dvc_ssh",), "webdav": ("wsgidav", "dvc_webdav")}


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    for package in NEEDED.get(request.param, ()):
        pytest.importorskip(package)
    if request.param == "ssh" and not servers.sshd_path():
        pytest.skip("no sshd")
    # a folder of its own: a module may be begun twice where tests are stolen from another worker
    folder = tmp_path_factory.mktemp(f"server-{request.param}") / "server"
    start = {
        "s3": servers.s3_server,
        "ssh": lambda: servers.ssh_server(folder),
        "webdav": lambda: servers.webdav_server(folder),
        "http": lambda: servers.http_server(folder),
    }
    with servers.few_authorities(folder.parent), start[request.param]() as made:
        yield made


@pytest.fixture(scope="module")
def published(
    server: Server, models_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder with a bare ``origin.git`` whose experiment and models are on the server."""
    Clock().tick(600)
    folder = tmp_path_factory.mktemp(f"published-{server.kind}")
    made = copy_template(models_template, folder)
    if server.kind == "http":
        config = made / ".dvc/config"
        config.write_text(config.read_text().replace("../../remote", str(server.folder)))
    else:
        server.default_of(made)
        server.give_access(made)
    made.commit("where the data goes")
    run("git", "init", "-q", "--bare", "-b", "main", folder / "origin.git", cwd=folder).good()
    made.git("remote", "add", "origin", str(folder / "origin.git"))
    made.xexp("push", "--all").good()
    if server.kind == "http":
        server.default_of(made)
        made.commit("read it over HTTP")
        made.git("push", "-q", "origin", "main")
    return folder


def clone_of(published: Path, server: Server, target: Path) -> Repo:
    run("git", "clone", "-q", published / "origin.git", target, cwd=published).good()
    made = Repo(target)
    server.give_access(made)
    made.xexp("init").good()
    return made


def md5_of(repo: Repo, path: str) -> str:
    return hashlib.md5((repo / path).read_bytes(), usedforsecurity=False).hexdigest()


def remote_column(repo: Repo, *options: str) -> dict[str, str]:
    shown = repo.xexp("explore", "show", "e0.1.0", "--json", *options).good().json()
    return {a["path"]: a["remote"] for a in shown["artifacts"]}


@pytest.mark.parametrize("server", KINDS, indirect=True)
def test_verbs_from_a_clone_with_an_empty_cache(
    server: Server, published: Path, models_template: Path, tmp_path: Path
) -> None:
    """Each verb on its own: nothing has fetched before it what it needs."""
    original = Repo(models_template / "repo")
    repo = clone_of(published, server, tmp_path / "clone")
    assert set(remote_column(repo).values()) == {"?"}
    assert set(remote_column(repo, "--remote").values()) == {"yes"}
    pushed = repo.xexp("push", "--all").good()  # the folder's list is in no cache
    assert "0 objects sent" in pushed.out
    asked = len(server.requests)
    assert set(remote_column(repo).values()) == {"proved"}
    assert "proved 0 seconds ago" in repo.xexp("explore", "show", "e0.1.0").out
    assert "proved" in repo.xexp("push").good().err
    assert len(server.requests) == asked
    repo.xexp("get", "e0.1.0", "data/train.csv", "-o", "got.csv").good()
    assert (repo / "got.csv").read_bytes() == (original / "data/train.csv").read_bytes()
    (repo / "got.csv").unlink()
    shutil.rmtree(repo / ".dvc/cache")
    asked = len(server.requests)
    done = repo.xexp("get", "HEAD", FOLDER, "-o", "got", "--strategy", "dvc").good()
    assert done.out.count("from remote far") == 2
    # The list, what there is, and each object once; the client of WebDAV asks before each.
    assert len(server.requests) - asked <= (12 if server.kind == "webdav" else 9)
    shutil.rmtree(repo / "got")
    repo.xexp("worktree", "new", "w").good()
    tree = Repo(repo.path.parent / "exp-w")
    assert (tree / PRODUCTION).read_bytes() == content(RUNS[2])
    assert repo.xexp("pull").good().out.startswith("outputs: ")
    listed = repo.xexp("worktree", "list", "--remote", "--json").good().json()
    assert [row["unpushed"] for row in listed] == [0, 0]
    listed = repo.xexp("candidates", "list", "--remote", "--json").good().json()
    assert [row["remote"] for row in listed] == [True] * 3
    damaged(server, repo)
    if server.kind == "http":
        assert server.folder is not None
        with servers.http_server(server.folder, sizes=False) as silent:
            hashed(silent, repo)
        return
    published_again(server, published, repo, tree)


def damaged(server: Server, repo: Repo) -> None:
    """An object of five bytes in place of another proves nothing, and the other copy stays."""
    worst = md5_of(repo, candidate(RUNS[0]))
    before = (repo / candidate(RUNS[0])).read_bytes()
    model = md5_of(repo, PRODUCTION)
    prune = ("prune", "--keep", "1", "-y", "--no-commit")
    server.replace(worst, b"short")
    server.replace(model, b"short")
    shown = remote_column(repo, "--remote")
    assert shown == {"data/train.csv": "yes", DB: "yes", PRODUCTION: "damaged"}
    kept = repo.xexp(*prune)
    assert kept.code == 1 and "but it is the only copy" in kept.out
    assert (repo / candidate(RUNS[0])).read_bytes() == before
    if server.kind == "http":
        done = repo.xexp("push", "--all")
        assert done.code == 128 and "remote 'far': it is read-only" in done.err
        server.replace(worst, before)
        server.replace(model, content(RUNS[2]))
    else:
        assert "2 objects sent" in repo.xexp("push", "--all").good().out
    assert set(remote_column(repo, "--remote").values()) == {"yes"}
    repo.xexp(*prune).good()
    assert not (repo / candidate(RUNS[0])).exists()
    repo.xexp("undo").good()
    if server.kind != "http":
        data = md5_of(repo, "data/train.csv")
        server.replace(data, None)
        assert repo.xexp("check", "--only", "vanished").code == 0
        done = repo.xexp("check", "--only", "vanished", "--remote")
        assert done.code == 1 and "vanished from remote 'far': data/train.csv" in done.out
        repo.xexp("push", "--all").good()
        repo.xexp("check", "--only", "vanished", "--remote").good()


def hashed(silent: Server, repo: Repo) -> None:
    """Where the server names no sizes, what it has is read."""
    (repo / ".dvc/config.local").write_text(f"['remote \"far\"']\n    url = {silent.url}\n")
    assert set(remote_column(repo, "--remote").values()) == {"yes"}
    model = md5_of(repo, PRODUCTION)
    silent.replace(model, content(RUNS[1]))  # as long, and another
    assert remote_column(repo, "--remote")[PRODUCTION] == "damaged"
    silent.replace(model, content(RUNS[2]))


def published_again(server: Server, published: Path, repo: Repo, tree: Repo) -> None:
    """A run of one clone, tagged and pushed, is merged and promoted in another."""
    log(tree, "mine", 0.3)
    tree.xexp("tag", "--run", "mine", "--allow-mismatch", "-m", "more", "--push").good()
    other = clone_of(published, server, repo.path.parent / "other")
    other.git("fetch", "-q", "origin", "exp/w:exp/w")
    assert other.xexp("merge", "exp/w").good()
    with closing(sqlite3.connect(other / DB)) as db:
        (rows,) = db.execute("SELECT count(*) FROM predictions WHERE track_id = 'mine'").fetchone()
    assert rows == 1
    other.xexp("promote", "--run", RUNS[1], "-y").good()
    assert (other / PRODUCTION).read_bytes() == content(RUNS[1])
