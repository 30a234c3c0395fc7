"""Bad input gets one message with a hint and the right exit code, and changes nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gitxexp.repository.registry import Registry
from tests.helpers import Repo, run, xexp_inside, xexp_process


@pytest.fixture
def ready(tagged: Repo) -> Repo:
    return tagged


def everything(repo: Repo) -> tuple[object, ...]:
    """Refs, status, files and the DVC cache."""
    files = {
        str(p): p.read_bytes()
        for p in repo.path.rglob("*")
        if p.is_file() and ".git" not in p.parts and "tmp" not in p.parts
    }
    return repo.refs(), repo.git("status", "--porcelain"), files


def refused(repo: Repo, *args: str, code: int = 128) -> str:
    """Standard error of a command that must fail and change nothing."""
    before = everything(repo)
    done = repo.xexp(*args)
    assert done.code == code, done.out + done.err
    assert "Traceback" not in done.err
    assert everything(repo) == before
    return done.err


VERBS = (("tag",), ("init",), ("explore", "list"), ("explore", "show", "e0.1.0"), ("undo",), ("log",),
         ("registry", "rebuild"))  # fmt: skip


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_no_repository(tmp_path: Path, verb: tuple[str, ...]) -> None:
    done = xexp_inside(*verb, cwd=tmp_path)
    assert (done.code, done.out) == (128, "")
    fatal, hint = done.err.splitlines()
    assert fatal.startswith("fatal: not a git repository (or any ")  # git's own words
    assert hint == "hint: change into your project, or make one: git init && git xexp init"


def test_not_set_up(repo: Repo) -> None:
    done = repo.xexp("tag")
    assert done.code == 128
    assert done.err == (
        "fatal: git xexp is not set up in this repository\nhint: run: git xexp init\n"
    )


def test_an_unborn_branch(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "repo")
    repo.path.mkdir()
    repo.git("init", "-q", "-b", "main")
    repo.xexp("init", "--no-dvc").good()
    done = repo.xexp("tag")
    assert done.code == 128
    assert done.err == (
        "fatal: branch main has no commits yet: there is nothing to tag\n"
        "hint: commit your code first: git add -A && git commit\n"
    )
    assert repo.xexp("explore", "list").code == 0


def test_a_bare_repository(ready: Repo, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    ready.git("clone", "-q", "--bare", ".", str(bare))
    for verb in (("tag",), ("init",)):
        done = xexp_inside(*verb, cwd=bare)
        assert done.code == 128
        assert done.err.startswith("fatal: this is a bare repository")
        assert "hint: " in done.err
    assert "e0.1.0" in xexp_inside("explore", "list", cwd=bare).good().out


def test_a_shallow_clone_can_tag(ready: Repo, tmp_path: Path) -> None:
    ready.git("clone", "-q", "--depth", "1", f"file://{ready.path}", str(tmp_path / "shallow"))
    shallow = Repo(tmp_path / "shallow")
    done = shallow.xexp("tag", "-M", "f1=0.5", "-P", "lr=3")
    assert done.code == 0, done.err
    assert "e0.2.0" in shallow.tags or "e0.1.1" in shallow.tags


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("tag", "v1.0"), "'v1.0' is not a version"),
        (("tag", "-P", "novalue"), "'novalue' is not key=value"),
        (("tag", "-M", "f1=good"), "'f1=good': a metric is a number"),
        (("tag", "--major", "e1.0.0"), "a version and a level or --name cannot be used together"),
        (("tag", "--run", "a", "--best", "f1"), "--run and --best cannot be used together"),
        (("tga",), "'tga' is not a git-xexp command. Did you mean tag?"),
        (("tag", "--nonsense"), "--nonsense"),
        (("undo", "0"), "0"),
    ],
)
def test_usage_errors_exit_129(ready: Repo, args: tuple[str, ...], message: str) -> None:
    err = refused(ready, *args, code=129)
    assert message in err
    assert err.startswith("fatal: ")


def test_unknown_runs_and_metrics_name_what_there_is(ready: Repo) -> None:
    err = refused(ready, "tag", "--run", "run-lr-9")
    assert err.startswith("fatal: no run 'run-lr-9' in the results\nhint: did you mean run-lr-")
    err = refused(ready, "tag", "--run", "run-lr-")
    assert "is ambiguous" in err
    err = refused(ready, "tag", "--best", "nope")
    assert err == (
        "fatal: no run has a value for metric 'nope'\n"
        "hint: the metrics of the runs are: accuracy, f1, loss\n"
    )


def test_no_git_identity(ready: Repo) -> None:
    for name in list(os.environ):
        if name.startswith(("GIT_AUTHOR_", "GIT_COMMITTER_")) or name == "EMAIL":
            del os.environ[name]
    ready.git("config", "user.useConfigOnly", "true")
    err = refused(ready, "tag")
    assert err.startswith("fatal: git does not know who you are\nhint: git config user.name")


@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"SQLite format 3\0" + b"\0" * 50])
def test_a_corrupt_results_database(ready: Repo, content: bytes) -> None:
    path = ready / "results/experiments.db"
    path.write_bytes(content)
    err = refused(ready, "tag")
    assert "experiments.db" in err
    assert "hint: " in err


#: The program, in a process of its own (locks are a process's), that does not wait for a lock.
IMPATIENT = """
import sqlite3, sys
connect = sqlite3.connect
sqlite3.connect = lambda *args, **more: connect(*args, **more | {"timeout": 0.1})
from gitxexp.entry import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_locked_results_database(ready: Repo) -> None:
    path = ready / "results/experiments.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE predictions SET version = NULL")
        db.commit()
        db.execute("BEGIN EXCLUSIVE")
        before = ready.refs()
        done = ready.python("-c", IMPATIENT, "tag")
        db.rollback()
    assert done.code == 128
    assert "experiments.db" in done.err
    assert "hint: " in done.err
    assert ready.refs() == before
    ready.xexp("tag").good()


def test_a_corrupt_registry(ready: Repo) -> None:
    ready.write(".xexp/registry.db", b"not a database, not at all " * 40)
    err = refused(ready, "tag")
    assert err.startswith("fatal: the registry ")
    assert "git xexp registry rebuild" in err


def test_a_corrupt_operation_log(ready: Repo) -> None:
    ready.write(".git/xexp/oplog.db", b"not a database, not at all " * 40)
    err = refused(ready, "tag")
    assert err.startswith("fatal: the operation log ")
    assert "hint: move it away" in err


def test_a_corrupt_cache_is_made_anew(ready: Repo) -> None:
    before = ready.xexp("explore", "list").good().out
    assert (ready / ".git/xexp/tags.cache").is_file()
    ready.write(".git/xexp/tags.cache", b"not a cache, not at all " * 40)
    assert ready.xexp("explore", "list").good().out == before
    assert ready.xexp("explore", "list").good().out == before


@pytest.mark.parametrize(
    ("text", "message"),
    [("[results\n", "is not valid TOML"), ("[tag]\npush = 3\n", "[tag] push"),
     ("[params]\nfiles = [1]\n", "[params] files")],
)  # fmt: skip
def test_a_broken_configuration(ready: Repo, text: str, message: str) -> None:
    ready.write(".xexp/config.toml", text)
    err = refused(ready, "tag")
    assert message in err
    assert ".xexp/config.toml" in err


def test_a_broken_parameter_file(ready: Repo) -> None:
    ready.write("params.yaml", "a: [1\nb: }")
    err = refused(ready, "tag", "-a")
    assert "params.yaml" in err


def test_without_an_index(ready: Repo) -> None:
    (ready / ".git/index").unlink()
    done = ready.xexp("tag", "-a")
    assert "Traceback" not in done.err
    ready.git("reset", "-q")
    assert ready.git("status", "--porcelain") == ""


def test_a_worktree_with_a_name_too_long_for_a_folder(ready: Repo) -> None:
    """It is rolled back: it stopped itself, and then each command that changes something."""
    assert "File name too long" in refused(ready, "worktree", "new", "a" * 256)
    assert "interrupted" not in ready.xexp("log").good().err


def test_a_candidate_with_a_name_too_long_for_a_file(tagged: Repo) -> None:
    with closing(sqlite3.connect(tagged / "results/experiments.db")) as db:
        db.execute("UPDATE predictions SET track_id = ?", ("a" * 300,))
        db.commit()
    args = ("candidates", "add", "models/production/model.bin", "--run", "a" * 300)
    assert "File name too long" in refused(tagged, *args)
    assert "interrupted" not in tagged.xexp("log").good().err


def test_a_long_word_of_a_command_is_no_file(ready: Repo) -> None:
    """Such as the text of a prompt."""
    ready.xexp("run", "--no-tag", "--", "true", "a" * 300).good()


def test_textconv_of_what_is_no_file(repo: Repo) -> None:
    done = repo.xexp("textconv", "nosuch")
    assert (done.code, done.err) == (128, "fatal: No such file or directory: nosuch\n")


def test_a_damaged_index(ready: Repo) -> None:
    (ready / ".git/index").write_bytes(b"DIRC garbage")
    done = ready.xexp("explore", "show", "e0.1.0")
    assert (done.code, done.err.splitlines()[1:]) == (
        128, ["hint: build it again: rm .git/index && git reset"],
    )  # fmt: skip


def test_in_the_middle_of_a_merge(ready: Repo) -> None:
    ready.git("checkout", "-q", "-b", "other")
    ready.write("train.py", "print(1)\n")
    ready.commit("one", "train.py")
    ready.git("checkout", "-q", "main")
    ready.write("train.py", "print(2)\n")
    ready.commit("two", "train.py")
    assert run("git", "merge", "other", cwd=ready.path).code != 0
    err = refused(ready, "tag", "-a")
    assert err.startswith("fatal: a merge is in progress in this work tree\nhint: finish it first")


def test_a_lightweight_tag_in_the_way(ready: Repo) -> None:
    """It occupies its version, and is no experiment."""
    ready.git("tag", "e0.5.0")
    out = ready.xexp("tag").good().out
    assert "e0.5.1" in out
    assert "e0.5.0" not in ready.xexp("explore", "list").good().out


def test_odd_paths(trained: Repo, tmp_path: Path) -> None:
    place = tmp_path.joinpath(
        *(names := ("a b", "new\nline", "quo'te", 'dou"ble', "ünï — 日本", "$HOME", "a;b"))
    )
    place.mkdir(parents=True)
    shutil.move(trained.path, place / "repo")
    shutil.move(tmp_path / "remote", place / "remote")
    repo = Repo(place / "repo")
    repo.xexp("init").good()
    repo.commit("set up")
    repo.xexp("tag", "-m", " ".join(names)).good()
    assert repo.tags == ["e0.1.0"]
    assert repo.git("status", "--porcelain") == ""
    repo.xexp("explore", "show", "e0.1.0").good()
    repo.xexp("undo").good()
    assert repo.tags == []


def test_odd_file_names_in_the_repository(ready: Repo) -> None:
    for name in ("sp ace.py", "quo'te\".py", "ünï.py", "new\nline.py", ":(glob)*.py"):
        ready.write(name, "x = 1\n")
    ready.commit("odd names")
    for name in ("sp ace.py", "new\nline.py", ":(glob)*.py"):
        ready.write(name, "x = 2\n")
    err = refused(ready, "tag")
    assert "sp ace.py" in err
    ready.xexp("tag", "-a").good()
    assert ready.git("status", "--porcelain") == ""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with next to no space; only root may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place, cwd=tmp_path)
    yield place
    run("umount", "-l", place, cwd=tmp_path)


def test_a_full_disk(ready: Repo, small_disk: Path) -> None:
    """Where nothing can be mounted, a limit on the size of files stands in for the full disk."""
    place = small_disk / "repo"
    shutil.copytree(ready.path, place, symlinks=True)
    repo = Repo(place)
    repo.git("update-index", "-q", "--refresh")
    repo.write("models/production/model.bin", os.urandom(300_000))
    filler = small_disk / "filler"
    before = repo.refs(), repo.git("status", "--porcelain")
    if os.path.ismount(small_disk):
        space = os.statvfs(small_disk)
        filler.write_bytes(b"\0" * (space.f_bavail * space.f_frsize - 150_000))
        done = repo.forked("tag").done()
    else:
        filler.touch()
        command = f"ulimit -f 150; exec '{sys.executable}' -m gitxexp tag"
        done = run("bash", "-c", command, cwd=place)
    assert done.code == 128, done.out
    assert "Traceback" not in done.err
    assert "hint: " in done.err
    filler.unlink()
    assert (repo.refs(), repo.git("status", "--porcelain")) == before
    repo.xexp("tag").good()


def test_a_closed_pipe_is_silent(ready: Repo) -> None:
    command = "git-xexp explore show e0.1.0 | head -n 0; exit ${PIPESTATUS[0]}"
    done = run("bash", "-c", command.replace("git-xexp", "python -m gitxexp"), cwd=ready.path)
    assert done.err == ""
    assert done.code in (0, 141)


def test_push_without_a_remote(ready: Repo) -> None:
    err = refused(ready, "tag", "--push")
    assert err == ("fatal: this repository has no git remote\nhint: git remote add origin URL\n")
    for name in ("one", "two"):  # push names a DVC remote by --remote, pull a git one by none
        ready.git("remote", "add", name, "nowhere")
    for verb in (("tag", "--push"), ("pull",)):
        assert "hint: choose one: git config remote.pushDefault NAME\n" in refused(ready, *verb)


def test_push_to_a_remote_that_cannot_be_reached(ready: Repo, tmp_path: Path) -> None:
    ready.git("remote", "add", "origin", str(tmp_path / "nowhere"))
    err = refused(ready, "tag", "--push")
    assert "nowhere" in err


def test_xexp_process_is_what_a_user_runs(ready: Repo) -> None:
    done = subprocess.run(
        ["git", "xexp", "--version"], cwd=ready.path, capture_output=True, check=True
    )
    assert done.stdout.startswith(b"git-xexp version ")
    assert xexp_process("--version", cwd=ready.path).good().out.startswith("git-xexp version ")


def test_a_registry_that_is_gone_is_not_begun_anew(ready: Repo) -> None:
    """A registry with one row in the place of all that was known would be committed."""
    path = ready / ".xexp/registry.db"
    path.write_bytes(b"")
    for words in (("tag", "-m", "x"), ("explore", "show", "e0.1.0"), ("promote", "--history")):
        err = refused(ready, *words)
        assert "cannot be used: the file is empty\nhint: restore it (git checkout" in err
    path.unlink()
    err = refused(ready, "tag", "-m", "x")
    assert err.startswith(f"fatal: the registry {path} is missing, and the last commit has it\n")
    ready.xexp("registry", "rebuild").good()
    ready.xexp("tag", "-m", "x").good()


def test_a_registry_in_use(ready: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """To remove it, as for a damaged one, would be bad advice."""
    from gitxexp.repository import registry

    connect = sqlite3.connect
    monkeypatch.setattr(
        registry.sqlite3, "connect", lambda *a, **k: connect(*a, **k | {"timeout": 0})
    )
    with closing(sqlite3.connect(ready / ".xexp/registry.db")) as db:
        db.execute("BEGIN EXCLUSIVE")
        done = ready.xexp("promote", "--history")
    assert done.code == 128
    assert done.err.endswith("is in use by another program\nhint: try again when it is done\n")


def test_what_stands_in_the_way(tagged: Repo) -> None:
    """An error of the system has a hint, also where a sentence of ours is made of it."""
    config = tagged / ".xexp/config.toml"
    text = config.read_text()
    config.unlink()
    config.mkdir()
    done = tagged.xexp("explore", "list")
    config.rmdir()
    config.write_text(text)
    assert done.err.splitlines() == [
        "fatal: cannot read .xexp/config.toml: Is a directory",
        "hint: a folder is where a file should be: move it away",
    ]
    state = tagged / ".git/xexp"
    state.rename(tagged / "kept")
    state.touch()
    assert "e0.1.0" in tagged.xexp("search", "lr").good().out  # without an index
    done = tagged.xexp("rerun", "e0.1.0", "--", "true")
    assert done.code == 128 and done.err.startswith("fatal: Not a directory: ")
    assert done.err.endswith("hint: a file is where a folder should be: move it away\n")


@pytest.mark.parametrize(
    "words",
    [("run", "--", "echo", "a\udcff"), ("sweep", "-S", "lr=1,2", "--", "echo", "a\udcff"),
     ("sql", "SELECT 'a\udcff'"), ("explore", "list", "--where", "a\udcff = 1")],
    ids=lambda words: words[0],
)  # fmt: skip
def test_text_that_is_not_utf8(ready: Repo, words: tuple[str, ...]) -> None:
    hint = "hint: the registry, DVC and SQL hold UTF-8 only\n"
    assert refused(ready, *words, code=129) == f"fatal: 'a\\udcff' is not UTF-8\n{hint}"


def test_a_run_with_names_that_are_not_utf8(ready: Repo) -> None:
    """It is recorded with their escapes; its record would stop each command that follows."""
    folder = ready / "a\udcff"
    folder.mkdir()
    xexp_inside("run", "--no-tag", "--", "true", cwd=folder).good()
    (run,) = Registry(ready / ".xexp/registry.db").runs()
    assert (run["folder"], run["status"], run["command"]) == ("a\\udcff", "done", ["true"])
    done = ready.xexp("registry", "show", "a\udcff")
    assert done.err.startswith("fatal: the registry has no 'a\\udcff'")
    done = ready.xexp("registry", "search", "a\udcff")
    assert "is not UTF-8" in done.err and "rebuild" not in done.err
