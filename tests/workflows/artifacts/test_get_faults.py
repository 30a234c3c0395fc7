"""``git xexp get`` when something is wrong: damaged caches and remotes, kills, a full disk."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitxexp.storage.dvc.add import add
from gitxexp.storage.dvc.pointers import outputs_in
from gitxexp.storage.dvc.remote import push
from gitxexp.storage.objects import object_path
from gitxexp.workflows.artifacts import write
from tests.conftest import copy_template
from tests.helpers import Clock, Repo, run
from tests.servers import http_server

SIZE = 40_000_000


def object_of(repo: Repo, path: str, folder: Path | None = None) -> Path:
    """Where the cache (or a remote) keeps an output."""
    (out,) = [o for o in outputs_in(repo.path) if o.path == path]
    assert out.oid
    return object_path(folder or repo / ".dvc/cache", out.oid)


def damage(path: Path, kind: str) -> None:
    """Missing, cut short, or full of something else of the same size, as a disk leaves it."""
    if kind == "missing":
        path.unlink()
        return
    size = path.stat().st_size
    path.chmod(0o644)
    path.write_bytes(
        b"" if kind == "empty" else b"\1" * (size // 2 if kind == "truncated" else size)
    )
    path.chmod(0o444)


@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "garbage"])
def test_a_damaged_cache_object_is_told_and_the_remote_serves(
    trained: Repo, tmp_path: Path, kind: str
) -> None:
    kept = object_of(trained, "models/production/model.bin")
    content = kept.read_bytes()
    damage(kept, kind)
    (trained / "models/production/model.bin").unlink()
    done = trained.xexp("get", "HEAD", "models/production/model.bin", "-o", tmp_path / "m").good()
    assert done.out == f"{tmp_path / 'm'}  5.0 kB  from remote store\n"
    assert (tmp_path / "m").read_bytes() == content
    again = trained.xexp("get", "HEAD", "models/production/model.bin", "-o", tmp_path / "n",
                         "--strategy", "cache")  # fmt: skip
    if kind == "missing":
        assert done.err == ""
        assert again.code == 128 and "no valid copy" in again.err
        assert not (tmp_path / "n").exists()
    else:
        start = "warning: cache has a corrupt copy of models/production/model.bin ("
        repaired = f"{kept}\nwarning: {kept} was repaired from the remote store\n"
        assert done.err.startswith(start) and done.err.endswith(repaired)
        assert kept.read_bytes() == content and again.code == 0


@pytest.mark.parametrize("kind", ["truncated", "garbage"])
def test_what_is_damaged_on_a_server_does_not_enter_the_cache(trained: Repo, kind: str) -> None:
    """DVC, which is asked last, does not hash what it downloads."""
    assert trained.remote is not None
    damage(object_of(trained, "models/production/model.bin", trained.remote), kind)
    shutil.rmtree(trained / ".dvc/cache")
    (trained / "models/production/model.bin").unlink()
    with http_server(trained.remote) as server:
        server.default_of(trained)
        trained.commit("over HTTP")
        done = trained.xexp("get", "HEAD", "models/production/model.bin")
        assert done.code == 128 and "no valid copy" in done.err
        assert not object_of(trained, "models/production/model.bin").exists()


def test_a_work_tree_stands_in_for_the_cache(trained: Repo, tmp_path: Path) -> None:
    """Nobody else has the bytes; a file that was changed since is not taken for them."""
    path, kept = "models/production/model.bin", object_of(trained, "models/production/model.bin")
    content = kept.read_bytes()
    assert trained.remote
    shutil.rmtree(trained.remote)
    damage(kept, "garbage")
    done = trained.xexp("get", "HEAD", path, "-o", tmp_path / "m").good()
    assert done.out.endswith("from work tree\n") and (tmp_path / "m").read_bytes() == content
    assert kept.read_bytes() == content and kept.stat().st_mode & 0o777 == 0o444
    damage(kept, "garbage")
    trained.write(path, b"\2" * len(content))
    done = trained.xexp("get", "HEAD", path, "-o", tmp_path / "n")
    assert done.code == 128 and not (tmp_path / "n").exists()


@pytest.mark.parametrize("kind", ["missing", "truncated", "garbage"])
def test_nowhere_sound_is_an_error_and_leaves_nothing(
    trained: Repo, tmp_path: Path, kind: str
) -> None:
    path = "models/production/model.bin"
    assert trained.remote
    damage(object_of(trained, path), kind)
    damage(object_of(trained, path, trained.remote), kind)
    (trained / path).unlink()
    (tmp_path / "o").mkdir()
    done = trained.xexp("get", "HEAD", path, "-o", tmp_path / "o/m")
    assert done.code == 128 and done.out == ""
    assert done.err.startswith(f"fatal: no valid copy of {path} in any cache or remote (md5:")
    assert "hint: asked: cache" in done.err and "remote store" in done.err
    assert "does not exist" not in done.err
    assert list((tmp_path / "o").iterdir()) == []
    assert "get-" not in trained.git("worktree", "list")


def test_garbage_is_believed_only_when_told_not_to_look(trained: Repo, tmp_path: Path) -> None:
    path = "models/production/model.bin"
    damage(object_of(trained, path), "garbage")
    (trained / path).unlink()
    trained.xexp("get", "HEAD", path, "-o", tmp_path / "m", "--no-verify").good()
    assert (tmp_path / "m").read_bytes() == b"\1" * 5000
    damage(object_of(trained, path), "truncated")
    done = trained.xexp("get", "HEAD", path, "-o", tmp_path / "n", "--no-verify").good()
    assert "from remote" in done.out, "the size costs nothing to check"


def test_a_remote_out_of_reach_or_of_unknown_kind(trained: Repo, tmp_path: Path) -> None:
    path = "models/production/model.bin"
    damage(object_of(trained, path), "missing")
    (trained / path).unlink()
    assert trained.remote
    trained.remote.rename(tmp_path / "unplugged")
    done = trained.xexp("get", "HEAD", path, "-o", tmp_path / "m")
    assert done.code == 128 and "no valid copy" in done.err
    assert f"remote store ({trained.remote} does not exist)" in done.err
    trained.dvc("remote", "modify", "store", "url", "s3://nowhere/x")
    done = trained.xexp("get", "HEAD", path, "-o", tmp_path / "m", "--strategy", "dvc")
    assert done.code == 128 and done.err.startswith("fatal: cannot fetch from remote 'store'")
    assert not (tmp_path / "m").exists()


def test_a_manifest_that_is_gone_or_garbage_comes_from_the_remote(
    dvc_repo: Repo, tmp_path: Path
) -> None:
    for i in range(3):
        dvc_repo.write(f"raw/f{i}", str(i))
    add(dvc_repo.path, ["raw"])
    dvc_repo.commit()
    push(dvc_repo.path, outputs_in(dvc_repo.path))
    listed = object_of(dvc_repo, "raw")
    shutil.move(dvc_repo / "raw", tmp_path / "aside")
    for number, kind in enumerate(["garbage", "missing"]):
        damage(listed, kind)
        dvc_repo.xexp("get", "HEAD", "raw/f1", "-o", tmp_path / f"{number}").good()
        assert (tmp_path / f"{number}").read_text() == "1"
    assert dvc_repo.remote
    damage(object_of(dvc_repo, "raw", dvc_repo.remote), "missing")
    listed.unlink(missing_ok=True)
    done = dvc_repo.xexp("get", "HEAD", "raw/f1", "-o", tmp_path / "lost")
    assert done.code == 128 and not (tmp_path / "lost").exists()
    shutil.move(tmp_path / "aside", dvc_repo / "raw")
    dvc_repo.xexp("get", "HEAD", "raw/f1", "-o", tmp_path / "back").good()
    assert (tmp_path / "back").read_text() == "1", "the work tree's folder is the same"


def test_an_unwritable_place_is_an_error_in_words(trained: Repo, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = trained.xexp("get", "HEAD", "params.yaml", "-o", tmp_path / "file/below")
    assert done.code == 128 and "Traceback" not in done.err
    (tmp_path / "folder/params.yaml").mkdir(parents=True)
    done = trained.xexp("get", "HEAD", "params.yaml", "-o", tmp_path / "folder", "-f")
    assert done.code == 128 and "is a folder" in done.err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 2 MB, or one whose writes fail alike where none may be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = (
        run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder), cwd=tmp_path).code == 0
    )
    yield folder if mounted else Path("/dev/full")
    if mounted:
        run("umount", str(folder), cwd=tmp_path).good()


def test_a_full_disk_leaves_nothing_and_says_so(trained: Repo, small_disk: Path) -> None:
    if small_disk == Path("/dev/full"):
        with small_disk.open("wb", buffering=0) as full, pytest.raises(OSError, match="No space"):
            write.copy(trained / "params.yaml", full, write.Expected(), verify=True, report=len)
        return
    trained.write("big.bin", os.urandom(3_000_000))
    add(trained.path, ["big.bin"])
    trained.commit()
    for flag in ([], ["--no-verify"]):
        done = trained.xexp("get", "HEAD", "big.bin", "-o", small_disk / "big.bin", *flag)
        assert done.code == 128 and "No space left on device" in done.err
        assert list(small_disk.iterdir()) == []
    trained.xexp("get", "HEAD", "models/production/model.bin", "-o", small_disk / "m").good()


@pytest.fixture(scope="session")
def heavy_template(dvc_template: Path, sealed: Path) -> Path:
    """The folder that ``heavy`` copies."""
    Clock()
    folder = sealed / "heavy-template"
    made = copy_template(dvc_template, folder)
    made.write("big.bin", os.urandom(1000) * (SIZE // 1000))
    for i in range(400):
        made.write(f"many/{i}", f"{i}\n" * 50)
    add(made.path, ["big.bin", "many"])
    made.commit()
    return folder


@pytest.fixture
def heavy(heavy_template: Path, tmp_path: Path) -> Repo:
    """``big.bin`` of 40 MB in the cache, and ``many`` with 400 files."""
    return copy_template(heavy_template, tmp_path)


def killed(repo: Repo, delay: float, how: int, *args: str | Path) -> int:
    """``git-xexp ARGS`` ended by a signal after a while; its exit code."""
    process = repo.forked(*args)
    time.sleep(delay)
    process.kill(how)
    return process.done().code


@pytest.mark.parametrize("done", [0, 1, 2, 150, 399])
def test_kill_9_at_any_moment_leaves_whole_files_only(
    heavy: Repo, tmp_path: Path, done: int
) -> None:
    """Killed when that many files are there; the big one is written first."""
    out = tmp_path / "out"

    def there() -> int:
        return sum(len(names) for _, _, names in os.walk(out))

    process = heavy.forked("get", "HEAD", "big.bin", "many", "-o", out)
    while process.poll() is None and (not out.exists() or there() < done):
        time.sleep(0.001)
    process.kill()
    code = process.done().code
    if done < 150:
        assert code == -signal.SIGKILL and len(files(out)) < 401
    for file in files(out):
        assert file.name.isdigit() or file.name == "big.bin", "a temporary file was left"
        if file.name == "big.bin":
            assert file.read_bytes() == (heavy / "big.bin").read_bytes()
        else:
            assert file.read_text() == f"{file.name}\n" * 50
    heavy.xexp("get", "HEAD", "big.bin", "many", "-o", out).good()
    assert len(files(out)) == 401


def files(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file()]


def test_a_temporary_worktree_is_gone_after_ctrl_c_and_after_kill_9(
    heavy: Repo, tmp_path: Path
) -> None:
    command = ("get", "HEAD", "big.bin", "-f", "-o", tmp_path / "b", "--strategy", "worktree")
    trees = heavy.git("worktree", "list")
    for delay in (0.05, 0.2, 0.4):
        killed(heavy, delay, signal.SIGINT, *command)
        assert heavy.git("worktree", "list") == trees
        assert list((heavy / ".git/xexp").glob("get-*")) == []
    for delay in (0.1, 0.3):
        killed(heavy, delay, signal.SIGKILL, *command)
    heavy.xexp(*command).good()
    assert heavy.git("worktree", "list") == trees
    assert list((heavy / ".git/xexp").glob("get-*")) == []
    assert heavy.git("fsck", "--no-dangling") == "" and heavy.git("status", "--porcelain") == ""


def test_the_cache_is_never_changed_by_a_get(heavy: Repo, tmp_path: Path) -> None:
    def state() -> list[tuple[str, int, int]]:
        files = sorted(p for p in (heavy / ".dvc/cache").rglob("*") if p.is_file())
        return [(str(p), p.stat().st_mtime_ns, p.stat().st_mode) for p in files]

    before = state()
    heavy.xexp("get", "HEAD", "big.bin", "many", "-o", tmp_path / "o").good()
    shutil.rmtree(tmp_path / "o")
    assert state() == before
