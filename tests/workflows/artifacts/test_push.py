"""``git xexp push``: complete or an error, whatever happened before; refs last and all at once."""

from __future__ import annotations

import hashlib
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitxexp.storage.dvc.add import add
from gitxexp.storage.dvc.pointers import outputs_in
from gitxexp.storage.objects import manifest, object_path
from tests.conftest import copy_template
from tests.helpers import Clock, Repo, run

pytestmark = pytest.mark.usefixtures("quick")  # git starts the drivers

MESSAGE = 'model=softmax | lr=0.1 | test\n\n[xexp]\nschema = 1\nversion = "{}"\n'


def objects(folder: Path) -> set[str]:
    files = [p for p in (folder / "files/md5").rglob("*") if p.is_file()]
    return {p.parent.name + p.name for p in files if p.suffix != ".tmp"}  # DVC's, of a killed push


def tag(repo: Repo, version: str) -> None:
    """An experiment at HEAD."""
    repo.git("tag", "-a", "--cleanup=verbatim", "-m", MESSAGE.format(version), version)


def with_origin(repo: Repo) -> Repo:
    run("git", "init", "-q", "--bare", "-b", "main", "../origin", cwd=repo.path).good()
    repo.git("remote", "add", "origin", str(repo.path.parent / "origin"))
    return repo


@pytest.fixture
def origin(tmp_path: Path) -> Repo:
    """The bare git remote of ``many``."""
    return Repo(tmp_path / "origin")


@pytest.fixture(scope="session")
def many_template(dvc_template: Path, sealed: Path) -> Path:
    Clock()
    folder = sealed / "many-template"
    made = copy_template(dvc_template, folder)
    for i in range(300):
        made.write(f"raw/f{i}", f"{i}")
    add(made.path, ["raw"])
    made.commit("data")
    tag(made, "e0.1.0")
    return folder


@pytest.fixture
def many(many_template: Path, tmp_path: Path) -> Repo:
    """Experiment ``e0.1.0`` with a directory of 300 files, nothing of it pushed; ``origin`` is a
    bare git remote, empty."""
    return with_origin(copy_template(many_template, tmp_path))


def test_artifacts_branch_and_tag_arrive(many: Repo, origin: Repo) -> None:
    done = many.xexp("push").good()
    assert done.out == ("artifacts: 301 objects sent, 2 outputs verified\n"
                        "pushed main -> origin\npushed e0.1.0 -> origin\n")  # fmt: skip
    assert done.err == "" and origin.refs() == many.refs().replace(
        next(line for line in many.refs().splitlines() if "refs/remotes" in line) + "\n", ""
    )
    assert many.remote and objects(many.remote) == objects(many / ".dvc/cache")
    again = many.xexp("push").good()
    assert again.out == "nothing to push: every experiment is on the remote\n"
    assert re.fullmatch(
        r"note: not checked: the artifacts of 1 experiment that origin has \(proved \d+ seconds? ago\);"
        r" git xexp push --all checks them\n",
        again.err,
    )


def test_a_branch_goes_with_the_artifacts_of_its_last_commit(many: Repo, origin: Repo) -> None:
    """What a promotion or a merge of results leaves: a commit with new artifacts, and no tag."""
    many.xexp("push").good()
    many.write("model.bin", "the promoted one")
    add(many.path, ["model.bin"])
    many.commit("promoted")
    assert "1 ahead of origin/main" not in many.xexp().good().out  # a push sets no upstream
    plan = many.xexp("push", "-n", "--json").good().json()
    assert plan["refs"] == ["refs/heads/main"] and "model.bin" in plan["outputs"]
    assert many.xexp("push").good().out.endswith("\npushed main -> origin\n")
    assert many.remote and objects(many.remote) == objects(many / ".dvc/cache")
    assert many.head in origin.refs()
    assert many.xexp("push").good().out.startswith("nothing to push")


def test_the_commits_on_the_way_bring_their_artifacts(many: Repo, origin: Repo) -> None:
    """Only those of tagged commits and of the last one went: the remote never had the others."""
    many.xexp("push").good()
    for text in ("first", "second", "third"):
        many.write("model.bin", text)
        add(many.path, ["model.bin"])
        many.commit(text)
    assert "(3 versions of it)" in many.xexp("push", "-n").good().out
    done = many.xexp("push").good()
    assert done.out.startswith("artifacts: 3 objects sent, ") and done.err == ""
    assert many.remote and objects(many.remote) == objects(many / ".dvc/cache")


def test_what_is_left_of_earlier_commits_does_not_stop_a_push(many: Repo, origin: Repo) -> None:
    many.xexp("push").good()
    gone = hashlib.md5(b"first").hexdigest()
    for text in ("first", "second"):
        many.write("model.bin", text)
        add(many.path, ["model.bin"])
        many.commit(text)
    object_path(many / ".dvc/cache", gone).unlink()
    done = many.xexp("push").good()
    assert done.err == "warning: model.bin was not pushed: no valid copy\n"
    assert many.head in origin.refs()


def test_a_branch_whose_artifacts_are_nowhere_stays(many: Repo, origin: Repo) -> None:
    many.xexp("push").good()
    many.write("model.bin", "the promoted one")
    add(many.path, ["model.bin"])
    many.commit("promoted")
    shutil.rmtree(many / ".dvc/cache")
    (many / "model.bin").unlink()
    before = origin.refs()
    done = many.xexp("push")
    assert done.code == 1 and "model.bin: neither in a cache nor on remote" in done.err
    assert origin.refs() == before


def test_json_dry_run_and_named_versions(many: Repo, origin: Repo) -> None:
    tag(many, "e0.2.0")
    before = many.refs()
    plan = many.xexp("push", "-n").good().out
    assert "would push            refs/tags/e0.2.0 -> origin" in plan
    assert origin.refs() == "" and many.refs() == before
    facts = many.xexp("push", "e0.1.0", "--json").good().json()
    assert facts["experiments"] == ["e0.1.0"] and facts["objects_sent"] == 301
    assert origin.tags == ["e0.1.0"]
    assert many.xexp("push", "HEAD").good().out.count("pushed") == 2
    bad = many.xexp("push", "e9.9.9")
    assert bad.code == 128 and "e9.9.9" in bad.err


@pytest.mark.parametrize("what", ["files", "manifest", "everything"])
def test_all_repairs_what_is_gone_from_the_remote(many: Repo, what: str) -> None:
    many.xexp("push").good()
    assert many.remote
    for path in list((many.remote / "files/md5").rglob("*")):
        if path.is_file() and (
            what == "everything" or path.name.endswith(".dir") == (what == "manifest")
        ):
            path.unlink()
    many.xexp("push", "--all").good()
    assert objects(many.remote) == objects(many / ".dvc/cache")


def test_what_nobody_has_stops_the_refs_unless_told(many: Repo, origin: Repo) -> None:
    entries = manifest(outputs_in(many.path)[1], [many / ".dvc/cache"])
    assert entries
    object_path(many / ".dvc/cache", (entries[7].hash or "")[4:]).unlink()
    (many / "raw" / entries[7].path).unlink()
    done = many.xexp("push")
    assert done.code == 1 and origin.refs() == ""
    assert done.err.startswith("error: 1 object cannot be pushed, so no branch or tag was pushed\n")
    assert f"raw/{entries[7].path}: neither in a cache nor on remote store" in done.err
    many.xexp("push", "--incomplete").good()
    assert origin.tags == ["e0.1.0"]


def test_damaged_objects_are_restored_from_the_work_tree(many: Repo, origin: Repo) -> None:
    """One gone, one damaged; of the same size, so that only a hash tells."""
    entries = manifest(outputs_in(many.path)[1], [many / ".dvc/cache"])
    assert entries and many.remote
    gone, other = ((entries[number].hash or "")[4:] for number in (7, 8))
    object_path(many / ".dvc/cache", gone).unlink()
    damaged = object_path(many / ".dvc/cache", other)
    content = damaged.read_bytes()
    damaged.chmod(0o644)
    damaged.write_bytes(b"\1" * len(content))
    many.xexp("push").good()
    assert object_path(many.remote, gone).is_file()
    assert damaged.read_bytes() == object_path(many.remote, other).read_bytes() == content


def test_a_clash_on_the_git_remote_pushes_no_ref(many: Repo, origin: Repo, tmp_path: Path) -> None:
    run("git", "clone", "-q", str(many.path), str(tmp_path / "other"), cwd=tmp_path).good()
    other = Repo(tmp_path / "other")
    other.git("commit", "-q", "--allow-empty", "-m", "theirs")
    other.git("push", "-q", str(origin.path), "main")
    before = origin.refs()
    assert many.xexp("push").code == 128 and origin.refs() == before
    many.git("commit", "-q", "--allow-empty", "-m", "mine")
    tag(many, "e0.2.0")
    before = origin.refs()
    done = many.xexp("push", "e0.2.0")
    assert done.code == 128 and origin.refs() == before
    assert "the artifacts are pushed, no ref is" in done.err
    assert "hint: bring its work in first: git pull --rebase origin" in done.err


def test_a_tag_that_the_remote_has_otherwise(many: Repo, origin: Repo, tmp_path: Path) -> None:
    run("git", "clone", "-q", str(many.path), str(tmp_path / "other"), cwd=tmp_path).good()
    other = Repo(tmp_path / "other")
    other.git("tag", "-d", "e0.1.0")
    tag(other, "e0.1.0")
    other.git("tag", "-f", "-a", "-m", "different", "e0.1.0")
    other.git("push", "-q", str(origin.path), "e0.1.0")
    done = many.xexp("push", "e0.1.0")
    assert done.code == 1 and "git fetch --tags --force origin" in done.err
    assert origin.tags == ["e0.1.0"] and "refs/heads" not in origin.refs()


def test_no_git_remote_no_dvc_remote_and_none_reachable(many: Repo, origin: Repo) -> None:
    shutil.rmtree(origin.path)
    done = many.xexp("push")
    assert done.code == 128 and "does not appear to be a git repository" in done.err
    many.git("remote", "remove", "origin")
    done = many.xexp("push").good()
    assert "note: there is no git remote" in done.err and "301 objects sent" in done.out
    many.dvc("remote", "remove", "store")
    done = many.xexp("push")
    assert done.code == 128
    assert done.err == "fatal: no DVC remote is set\nhint: dvc remote add -d NAME URL\n"


@pytest.fixture
def read_only(many: Repo) -> Iterator[Repo]:
    """``many`` with its DVC remote on a read-only file system, or read-only by its mode."""
    assert many.remote
    keep = many.remote.with_name("kept")
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(many.remote)]
    mounted = run(*mount, cwd=many.path).code == 0
    if mounted:
        run("mount", "-o", "remount,ro", str(many.remote), cwd=many.path).good()
    else:
        many.remote.rename(keep)
        many.remote.mkdir(mode=0o555)
    yield many
    if mounted:
        run("umount", str(many.remote), cwd=many.path).good()
    else:
        many.remote.chmod(0o755)


def test_a_read_only_remote_says_so_and_no_ref_goes(read_only: Repo, origin: Repo) -> None:
    done = read_only.xexp("push")
    assert done.code == 128 and origin.refs() == ""
    assert done.err.startswith("fatal: cannot push to remote 'store': ")
    assert "Read-only file system" in done.err or "Permission denied" in done.err


def test_a_full_remote_says_so_and_the_next_push_completes(many: Repo, origin: Repo) -> None:
    assert many.remote
    many.write("big.bin", b"x" * 3_000_000)
    add(many.path, ["big.bin"])
    many.commit()
    tag(many, "e0.2.0")
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(many.remote)]
    if run(*mount, cwd=many.path).code == 0:
        try:
            done = many.xexp("push")
            assert done.code == 128 and "No space left on device" in done.err
            assert origin.refs() == "" and "hint: free some space" in done.err
        finally:
            run("umount", str(many.remote), cwd=many.path).good()
    many.xexp("push").good()
    assert objects(many.remote) == objects(many / ".dvc/cache")


@pytest.mark.parametrize("sent", [1, 90, 250, 300, 301])
def test_killed_anywhere_the_next_push_completes(many: Repo, origin: Repo, sent: int) -> None:
    assert many.remote
    process = many.forked("push")
    while len(objects(many.remote)) < sent and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    code = process.done().code
    there = objects(many.remote)
    if origin.tags:
        assert there == objects(many / ".dvc/cache"), "a tag came before its data"
    if sent < 250:
        assert code == -signal.SIGKILL and len(there) < 300
        assert not any(name.endswith(".dir") for name in there), "a manifest before its files"
    many.xexp("push").good()
    assert objects(many.remote) == objects(many / ".dvc/cache")
    assert origin.tags == ["e0.1.0"]


def test_a_plain_dvc_push_is_repaired_too(many: Repo) -> None:
    """DVC's index remembers that the directory was pushed; only a listing knows better."""
    many.dvc("push", "-q")
    assert many.remote
    victims = [
        p for p in (many.remote / "files/md5").rglob("*") if p.is_file() and p.suffix != ".dir"
    ]
    for victim in victims[:50]:
        victim.unlink()
    assert "in sync" in many.dvc("status", "-c")
    assert many.xexp("push").good().out.startswith("artifacts: 50 objects sent")
    assert objects(many.remote) == objects(many / ".dvc/cache")


def test_check_finds_what_vanished(tagged: Repo) -> None:
    tagged.xexp("push").good()
    tagged.xexp("check", "--only", "vanished").good()
    digest = hashlib.md5(
        (tagged / "data/train.csv").read_bytes(), usedforsecurity=False
    ).hexdigest()
    assert tagged.remote is not None
    (tagged.remote / f"files/md5/{digest[:2]}/{digest[2:]}").unlink()
    for _ in range(2):  # also after another verb has asked
        done = tagged.xexp("check", "--only", "vanished")
        assert done.code == 1 and "1 object of experiments vanished from remote 'store'" in done.out
        tagged.xexp("explore", "show", "e0.1.0", "--remote").good()
        listed = tagged.xexp("worktree", "list", "--remote", "--json").good().json()
        assert listed[0]["unpushed"] == 1
    tagged.git("init", "-q", "--bare", "../origin.git")
    tagged.git("remote", "add", "origin", "../origin.git")
    tagged.git("push", "-q", "origin", "main", "e0.1.0")
    assert "has (1 not complete when last asked)" in tagged.xexp("push").good().err
    assert tagged.xexp("push", "--all").good().out.startswith("artifacts: 1 object sent")
    tagged.xexp("check", "--only", "vanished").good()
    assert "not complete" not in tagged.xexp("push").good().err
