"""A remote that does not answer is not a remote without the data."""

from __future__ import annotations

import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.helpers import Repo


class _Answer(BaseHTTPRequestHandler):
    status = 404

    def do_GET(self) -> None:
        self.send_error(self.status)

    do_HEAD = do_GET  # noqa: N815 (http.server's name)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(params=["closed", 503, 401])
def silent(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server that is not there, is overloaded, or wants a password."""
    if request.param == "closed":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        yield f"http://127.0.0.1:{port}/store"
        return
    with Serving(request.param) as address:
        yield address


class Serving:
    def __init__(self, status: int) -> None:
        handler = type("Handler", (_Answer,), {"status": status})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}/store"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def moved(repo: Repo, address: str) -> None:
    repo.dvc("remote", "add", "-q", "-d", "-f", "store", address)
    repo.commit("another remote")


def test_unreachable_is_not_absent(tagged: Repo, silent: str) -> None:
    tagged.write("raw/a.txt", "a folder\n")
    tagged.dvc_add("raw")
    moved(tagged, silent)
    tagged.xexp("worktree", "new", "w").good()
    tree = tagged.path.parent / "exp-w"
    listed = tagged.xexp("worktree", "list", "--json").good()
    assert listed.err == "" and {row["unpushed"] for row in listed.json()} == {None}
    assert "could not be asked" in tagged.xexp("worktree", "list", "--remote").good().err
    done = tagged.xexp("worktree", "remove", "w")
    assert done.code == 128 and tree.is_dir()
    assert "artifacts remote 'store' could not be asked" in done.out
    done = tagged.xexp("push", "--all")
    assert (done.code == 128 and "could not be asked" in done.err) or "cannot push" in done.err
    shutil.rmtree(tagged / ".dvc/cache")
    shutil.rmtree(tree)
    tagged.git("worktree", "prune")
    (tagged / "data/train.csv").unlink()
    shutil.rmtree(tagged / "raw")
    for version, path in (("e0.1.0", "data/train.csv"), ("HEAD", "raw")):
        done = tagged.xexp("get", version, path, "-o", "got")
        assert done.code == 128 and "remote 'store' could not be asked" in done.err
        assert not (tagged / "got").exists()
    done = tagged.xexp("worktree", "new", "v")
    assert done.code == 128 and "remote 'store' could not be asked" in done.err
    assert "hint: when it answers: cd " in done.err
    tagged.git("remote", "add", "origin", str(tagged.path))
    done = tagged.xexp("pull", "origin", "main")
    assert done.code == 128 and "remote 'store' could not be asked" in done.err


def test_no_remote_is_not_one_that_does_not_answer(tagged: Repo) -> None:
    tagged.dvc("remote", "remove", "store")
    tagged.commit("no remote")
    shutil.rmtree(tagged / ".dvc/cache")
    (tagged / "data/train.csv").unlink()
    done = tagged.xexp("worktree", "new", "v")
    assert done.code == 1 and "no DVC remote is set" in done.err
    assert "hint: git xexp push where they were made, then: cd " in done.err
    tagged.git("remote", "add", "origin", str(tagged.path))
    done = tagged.xexp("pull", "origin", "main")
    assert done.code == 1 and "missing: data/train.csv" in done.err


def test_a_remote_that_answers_that_it_has_nothing(tagged: Repo) -> None:
    with Serving(404) as address:
        moved(tagged, address)
        assert tagged.remote is not None
        for folder in (tagged / ".dvc/cache", tagged.remote):
            shutil.rmtree(folder)
        (tagged / "data/train.csv").unlink()
        done = tagged.xexp("get", "e0.1.0", "data/train.csv", "-o", "got.csv")
        assert done.code == 128
        assert "no valid copy of data/train.csv in any cache or remote" in done.err


def test_a_remote_whose_package_is_missing(tagged: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    for url, package, extra in (
        ("s3://bucket/store", "dvc-s3", "s3"),
        ("gs://bucket/store", "dvc-gs", "gs"),
        ("webdav://127.0.0.1/store", "dvc-webdav", "webdav"),
        ("gdrive://folder/store", "dvc-gdrive", None),
    ):
        monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
        moved(tagged, url)
        done = tagged.xexp("push", "--all")
        assert done.code == 128 and f"{package} is not installed: cannot ask remote" in done.err
        wanted = f"'git-xexp[{extra}]'" if extra else package
        assert f"python -m pip install {wanted}\n" in done.err
        assert f"pipx inject git-xexp {package}\n" in done.err
        assert f"uv tool install --with {package} git-xexp\n" in done.err


def test_a_time_limit(tagged: Repo) -> None:
    """A server that takes the question and says nothing."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(50)
        moved(tagged, f"http://127.0.0.1:{mute.getsockname()[1]}/store")
        tagged.git("config", "xexp.remote.timeout", "0.3")
        began = time.monotonic()
        done = tagged.xexp("push", "--all")
        assert done.code == 128 and time.monotonic() - began < 20
        assert "remote 'store' could not be asked: no answer within 0.3 seconds" in done.err
        tagged.git("config", "xexp.remote.timeout", "soon")
        done = tagged.xexp("push", "--all")
        assert (
            done.code == 128 and "xexp.remote.timeout is not a number of seconds: soon" in done.err
        )
