"""DVC's adapter: what changed, adding (also live databases), remotes by full listing."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from gitxexp.common.errors import XexpError
from gitxexp.storage.dvc import changes
from gitxexp.storage.dvc import changes as dvc_changes
from gitxexp.storage.dvc.add import add
from gitxexp.storage.dvc.changes import status
from gitxexp.storage.dvc.databases import databases_in
from gitxexp.storage.dvc.listing import Remote
from gitxexp.storage.dvc.places import (
    cache_dir,
    cache_dirs,
    is_dvc_repo,
    local_remote_dir,
    remote_name,
)
from gitxexp.storage.dvc.pointers import Output, outputs_at, outputs_in
from gitxexp.storage.dvc.remote import (
    FetchReport,
    PushReport,
    checkout,
    fetch,
    missing_on_remote,
    push,
    pushable,
)
from gitxexp.storage.dvc.session import init
from gitxexp.storage.git import Git
from gitxexp.storage.objects import find_object, manifest, object_path
from tests.conftest import copy_template
from tests.helpers import Clock, Repo

OLD = time.time() - 100


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def age(*paths: Path) -> None:
    """Make files look quiet for long enough to be trusted by their stat."""
    for path in paths:
        os.utime(path, (OLD, OLD))


def changed(repo: Repo, cache: Path) -> list[str]:
    return [out.path for out in dvc_changes.changed(repo.path, outputs_in(repo.path), cache)]


def kinds(repo: Repo, cache: Path) -> dict[str, str]:
    found = status(repo.path, outputs_in(repo.path), cache)
    return {change.output.path: change.kind.value for change in found}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "stat.db"


@pytest.fixture(scope="module")
def big_template(dvc_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that ``big`` copies."""
    Clock()
    made = copy_template(dvc_template, tmp_path_factory.mktemp("big"))
    for i in range(30):
        made.write(f"data/raw/{i % 3}/f{i}.txt", f"content {i}")
    add(made.path, ["data/raw"])
    made.commit()
    return made.path.parent


@pytest.fixture
def big(big_template: Path, tmp_path: Path) -> Repo:
    """A tracked directory ``data/raw`` of 30 files besides ``data/train.csv``."""
    return copy_template(big_template, tmp_path)


def test_init_makes_a_project_and_says_which_files(repo: Repo) -> None:
    assert not is_dvc_repo(repo.path)
    made = init(repo.path)
    assert made == [".dvc/config", ".dvc/.gitignore", ".dvcignore"]
    assert is_dvc_repo(repo.path)
    with pytest.raises(XexpError, match="cannot set DVC up"):
        init(repo.path)


# -- what changed --------------------------------------------------------------------------------


def test_changed_modified_missing_new(big: Repo, cache: Path) -> None:
    assert kinds(big, cache) == {}
    big.write("data/raw/0/f0.txt", "other")
    (big / "data/train.csv").unlink()
    big.write("new.dvc", "outs:\n- path: new\n  hash: md5\n")
    big.write("new", "x")
    assert kinds(big, cache) == {"data/raw": "modified", "data/train.csv": "missing", "new": "new"}
    assert changed(big, cache) == ["data/raw", "new"]


@pytest.mark.parametrize("change", ["add", "remove", "rename", "empty-dir", "swap"])
def test_every_kind_of_change_in_a_directory(big: Repo, cache: Path, change: str) -> None:
    age(*(p for p in (big / "data/raw").rglob("*") if p.is_file()))
    assert changed(big, cache) == []
    raw = big / "data/raw"
    match change:
        case "add":
            big.write("data/raw/new", "")
        case "remove":
            (raw / "1/f1.txt").unlink()
        case "rename":
            (raw / "1/f1.txt").rename(raw / "1/g1.txt")
        case "empty-dir":
            (raw / "nothing").mkdir()
        case "swap":
            shutil.rmtree(raw)
            raw.write_text("now a file")
    assert changed(big, cache) == ([] if change == "empty-dir" else ["data/raw"])


def test_stats_prove_it_without_reading(big: Repo, cache: Path, monkeypatch) -> None:
    age(big / "data/train.csv", *(p for p in (big / "data/raw").rglob("*") if p.is_file()))
    assert changed(big, cache) == []
    monkeypatch.setattr(changes, "hash_file", lambda *_: pytest.fail("read a file"))
    assert changed(big, cache) == []


def test_a_glance_leaves_many_files_alone(big: Repo, cache: Path, monkeypatch) -> None:
    """The status page took 0.6 s beside a directory of 50,000 files."""
    big.write("data/raw/0/more.txt", "more")
    big.write("data/train.csv", "other")

    def glance() -> tuple[str, ...]:
        return changes.standing(big.path, outputs_in(big.path), cache, Git(big.path)).changed

    assert set(glance()) == {"data/raw", "data/train.csv"}
    monkeypatch.setattr(changes, "FILES", 29)
    monkeypatch.setattr(changes, "walk", lambda *_: pytest.fail("looked into a directory"))
    assert glance() == ("data/train.csv",)


def test_one_new_file_reads_one_file(big: Repo, cache: Path, monkeypatch) -> None:
    age(big / "data/train.csv", *(p for p in (big / "data/raw").rglob("*") if p.is_file()))
    changed(big, cache)
    read: list[str] = []
    real = changes.hash_file
    monkeypatch.setattr(changes, "hash_file", lambda p, r=None: read.append(p.name) or real(p, r))
    big.write("data/raw/2/f2.txt", "content 2")
    assert changed(big, cache) == [] and read == ["f2.txt"]


def test_a_change_within_the_clocks_tick_is_seen(dvc_repo: Repo, cache: Path) -> None:
    file = dvc_repo / "data/train.csv"
    info = file.stat()
    os.utime(file)
    stamp = file.stat().st_mtime_ns
    assert changed(dvc_repo, cache) == []
    text = file.read_text().replace("1,1", "1,2")
    file.write_text(text)
    os.utime(file, ns=(stamp, stamp))
    assert file.stat().st_size == info.st_size
    assert changed(dvc_repo, cache) == ["data/train.csv"]


def test_a_broken_or_unwritable_stat_cache_only_costs_time(dvc_repo: Repo, cache: Path) -> None:
    cache.write_bytes(b"garbage" * 1000)
    assert changed(dvc_repo, cache) == []
    assert sqlite3.connect(cache).execute("SELECT count(*) FROM stat").fetchone() == (1,)
    cache.unlink()
    db = sqlite3.connect(cache)
    db.execute("CREATE TABLE stat (other TEXT)")
    db.close()
    assert changed(dvc_repo, cache) == []
    assert changed(dvc_repo, Path("/proc/nowhere/stat.db")) == []


def test_dvcignore_is_respected(big: Repo, cache: Path) -> None:
    big.write(".dvcignore", "*.log\n")
    big.write("data/raw/0/x.log", "noise")
    assert changed(big, cache) == []
    big.write("data/raw/0/x.txt", "signal")
    assert changed(big, cache) == ["data/raw"]


def test_rows_in_a_wal_are_a_change(trained: Repo, cache: Path) -> None:
    assert changed(trained, cache) == []
    db = sqlite3.connect(trained / "results/experiments.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    add(trained.path, ["results/experiments.db"])
    assert changed(trained, cache) == []
    db.execute("CREATE TABLE t (x)")
    assert changed(trained, cache) == ["results/experiments.db"]
    db.close()


def test_nothing_changed_imports_no_dvc(trained: Repo, cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from gitxexp.storage.dvc.changes import changed;"
        "from gitxexp.storage.dvc.remote import missing_on_remote;"
        "from gitxexp.storage.dvc.pointers import outputs_in; top = Path('.').absolute();"
        f"print(changed(top, outputs_in(top), Path({str(cache)!r})));"
        "print(missing_on_remote(top, outputs_in(top)));"
        "print([m for m in ('dvc', 'git', 'ruamel.yaml', 'configobj') if m in sys.modules])"
    )
    assert trained.python("-c", code).good().out == "[]\n[]\n[]\n"


# -- adding --------------------------------------------------------------------------------------


def test_add_updates_pointers_and_says_what_it_touched(big: Repo, cache: Path) -> None:
    big.write("data/train.csv", "x,y\n1,2\n")
    big.write("models/m.bin", b"weights")
    added = add(big.path, ["data/train.csv", "models/m.bin", "data/raw/0/f0.txt"])
    assert added.touched == ("data/train.csv.dvc", "models/.gitignore", "models/m.bin.dvc")
    assert [out.path for out in added.outputs] == ["data/train.csv", "models/m.bin", "data/raw"]
    assert added.outputs[1].hash == "md5:" + md5(big / "models/m.bin")
    assert big.git("status", "--porcelain", "-uall").split() == [
        "M", "data/train.csv.dvc", "??", "models/.gitignore", "??", "models/m.bin.dvc"]  # fmt: skip
    assert "up to date" in big.dvc("status")
    assert changed(big, cache) == []
    assert add(big.path, ["data/train.csv"]).touched == ()


def test_add_updates_a_pipeline_output(dvc_repo: Repo, cache: Path) -> None:
    stage = "stages:\n  s:\n    cmd: cp params.yaml out.txt\n    deps: [params.yaml]\n    outs: [out.txt]\n"
    dvc_repo.write("dvc.yaml", stage)
    dvc_repo.dvc("repro", "-q")
    dvc_repo.commit()
    (dvc_repo / "out.txt").unlink()
    dvc_repo.write("out.txt", "by hand")
    assert changed(dvc_repo, cache) == ["out.txt"]
    added = add(dvc_repo.path, ["out.txt"])
    assert added.touched == ("dvc.lock",)
    assert added.outputs[0].hash == "md5:" + md5(dvc_repo / "out.txt")
    assert "up to date" in dvc_repo.dvc("status")


def test_add_in_a_subrepo(dvc_repo: Repo, cache: Path) -> None:
    (dvc_repo / "sub").mkdir()
    init(dvc_repo / "sub")
    dvc_repo.write("sub/d.bin", b"one")
    added = add(dvc_repo.path, ["sub/d.bin"])
    assert added.outputs[0].root == "sub"
    assert find_object([dvc_repo / "sub/.dvc/cache"], md5(dvc_repo / "sub/d.bin"))


def test_add_refuses_in_words(dvc_repo: Repo) -> None:
    with pytest.raises(XexpError, match=r"cannot add: .*does not exist"):
        add(dvc_repo.path, ["nothing"])
    with pytest.raises(XexpError, match=r"params\.yaml.* is already tracked by SCM"):
        add(dvc_repo.path, ["params.yaml"])


def test_add_outside_dvc(tmp_path: Path) -> None:
    bare = Repo(tmp_path / "plain")
    bare.path.mkdir()
    bare.git("init", "-q")
    bare.write("x", "1")
    with pytest.raises(XexpError, match="not a DVC project") as error:
        add(bare.path, ["x"])
    assert error.value.hint == "git xexp init"


WRITER = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
db.execute("PRAGMA journal_mode=" + sys.argv[2])
db.execute("CREATE TABLE IF NOT EXISTS w (a INTEGER, b TEXT)")
print("ready", flush=True)
i = 0
while True:
    db.execute("BEGIN IMMEDIATE")
    for _ in range(3):
        i += 1
        db.execute("INSERT INTO w VALUES (?, ?)", (i, "x" * 2000))
    db.execute("COMMIT")
    time.sleep(0.002)
"""


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_database_under_constant_writes_is_added_whole(trained: Repo, mode: str) -> None:
    path = trained / "results/experiments.db"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), mode], stdout=subprocess.PIPE, text=True
    ) as writer:
        try:
            assert writer.stdout and writer.stdout.readline() == "ready\n"
            for _ in range(2):
                added = add(trained.path, ["results/experiments.db"])
                kept = find_object([trained / ".dvc/cache"], added.outputs[0].oid or "")
                assert kept and added.outputs[0].hash == "md5:" + md5(kept)
                db = sqlite3.connect(f"file:{kept}?mode=ro&immutable=1", uri=True)
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                count, last = db.execute("SELECT count(*), max(a) FROM w").fetchone()
                assert count == last and count % 3 == 0
                db.close()
        finally:
            writer.kill()


def test_a_database_in_a_long_transaction_is_refused_in_words(trained: Repo) -> None:
    path = trained / "results/experiments.db"
    before = (trained / "results/experiments.db.dvc").read_text()
    code = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "db.execute('BEGIN IMMEDIATE'); print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as writer:  # fmt: skip
        assert writer.stdout and writer.stdin and writer.stdout.readline() == "ready\n"
        with pytest.raises(XexpError, match=r"experiments\.db: another process is writing") as no:
            add(trained.path, ["results/experiments.db"], timeout=0.3)
        assert no.value.hint and "run the command again" in no.value.hint
        writer.stdin.close()
    assert (trained / "results/experiments.db.dvc").read_text() == before
    assert not list(trained.path.glob("results/*-wal"))


def test_a_linked_database_becomes_a_file_of_its_own(trained: Repo) -> None:
    path = trained / "results/experiments.db"
    (out,) = [o for o in outputs_in(trained.path) if o.path == "results/experiments.db"]
    kept = find_object([trained / ".dvc/cache"], out.oid or "")
    assert kept
    path.unlink()
    os.link(kept, path)
    path.chmod(0o644)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("CREATE TABLE extra (x)")
    db.close()
    assert md5(kept) != out.oid, "written through the link"
    added = add(trained.path, ["results/experiments.db"])
    assert path.stat().st_nlink == 1 and os.access(path, os.W_OK)
    assert not kept.exists(), "an object that lies about its content is gone"
    now = find_object([trained / ".dvc/cache"], added.outputs[0].oid or "")
    assert now and md5(now) == added.outputs[0].oid


def test_a_database_inside_a_directory_leaves_no_wal_behind(dvc_repo: Repo) -> None:
    dvc_repo.write("runs/note.txt", "x")
    db = sqlite3.connect(dvc_repo / "runs/log.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE t (x)")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    added = add(dvc_repo.path, ["runs"])
    files = manifest(added.outputs[0], [dvc_repo / ".dvc/cache"])
    assert files and [file.path for file in files] == ["log.db", "note.txt"]


# -- places --------------------------------------------------------------------------------------


def test_cache_dir_is_what_dvc_says(dvc_repo: Repo, home: Path) -> None:
    def dvc_says() -> str:
        return dvc_repo.dvc("cache", "dir").strip()

    assert str(cache_dir(dvc_repo.path)) == dvc_says()
    dvc_repo.dvc("cache", "dir", "--global", str(home / "shared"))
    assert str(cache_dir(dvc_repo.path)) == dvc_says() == str(home / "shared")
    dvc_repo.dvc("cache", "dir", "--local", "../elsewhere")
    assert str(cache_dir(dvc_repo.path)) == dvc_says() == str(dvc_repo.path.parent / "elsewhere")


def test_local_remotes_and_others(dvc_repo: Repo, tmp_path: Path) -> None:
    assert local_remote_dir(dvc_repo.path) == dvc_repo.remote
    dvc_repo.dvc("remote", "add", "Cloud", "s3://bucket/x")
    dvc_repo.dvc("remote", "add", "inner", "remote://store/deep")
    assert local_remote_dir(dvc_repo.path, "cloud") is None
    assert dvc_repo.remote and local_remote_dir(dvc_repo.path, "inner") == dvc_repo.remote / "deep"
    assert local_remote_dir(dvc_repo.path, "nothing") is None
    assert remote_name(dvc_repo.path) == "store"
    assert remote_name(tmp_path) is None


# -- remotes -------------------------------------------------------------------------------------


def objects(folder: Path) -> set[str]:
    return {p.parent.name + p.name for p in folder.rglob("*") if p.is_file()}


def test_push_lists_sends_and_lists_again(big: Repo) -> None:
    outputs = outputs_in(big.path)
    assert big.remote
    missing = missing_on_remote(big.path, outputs)
    assert len(missing) == 31 and {item.remote for item in missing} == {"store"}
    seen: list[tuple[int, int, str]] = []
    report = push(big.path, outputs, progress=lambda *step: seen.append(step))
    assert report.complete and len(report.pushed) == 31 and seen[-1] == (31, 31, "object")
    assert objects(big.remote / "files/md5") == objects(big / ".dvc/cache/files/md5")
    assert missing_on_remote(big.path, outputs) == []
    assert push(big.path, outputs) == PushReport()


@pytest.mark.parametrize("damage", ["entry", "manifest", "truncated"])
def test_push_repairs_what_dvc_calls_in_sync(big: Repo, damage: str) -> None:
    outputs = outputs_in(big.path)
    big.dvc("push", "-q")
    (raw,) = [out for out in outputs if out.is_dir]
    entries = manifest(raw, [big / ".dvc/cache"])
    assert entries and big.remote and raw.oid
    oid = raw.oid if damage == "manifest" else (entries[3].hash or "")[4:]
    victim = object_path(big.remote, oid)
    if damage == "truncated":
        victim.chmod(0o644)
        victim.write_bytes(b"")
        victim.chmod(0o444)
    else:
        victim.unlink()
    lacking = missing_on_remote(big.path, outputs)
    assert [item.oid for item in lacking] == [oid]
    report = push(big.path, outputs)
    assert report.complete and [item.oid for item in report.pushed] == [oid]
    assert md5(victim) == oid.removesuffix(".dir")


def test_push_reports_what_nobody_has_and_never_sends_garbage(big: Repo) -> None:
    entries = manifest(outputs_in(big.path)[0], [big / ".dvc/cache"])
    assert entries
    gone, bad = (object_path(big / ".dvc/cache", (e.hash or "")[4:]) for e in entries[:2])
    gone.unlink()
    bad.chmod(0o644)
    bad.write_bytes(b"CONTENT 1")
    report = push(big.path, outputs_in(big.path))
    assert [item.path for item in report.missing] == ["data/raw/0/f0.txt"]
    assert [item.path for item in report.corrupt] == ["data/raw/" + entries[1].path]
    assert not report.complete and len(report.pushed) == 29


def test_remote_errors_in_words(big: Repo, tmp_path: Path) -> None:
    outputs = outputs_in(big.path)
    with pytest.raises(XexpError, match=r"remote 'nothing'"):
        push(big.path, outputs, remote="nothing")
    big.dvc("remote", "add", "far", "../no/such/place")
    with pytest.raises(XexpError, match="cannot be reached"):
        push(big.path, outputs, remote="far")
    big.dvc("remote", "remove", "store")
    with pytest.raises(XexpError, match="no DVC remote is set") as error:
        missing_on_remote(big.path, outputs)
    assert error.value.hint == "dvc remote add -d NAME URL"


def test_fetch_and_checkout_bring_everything_back(big: Repo) -> None:
    outputs = outputs_in(big.path)
    push(big.path, outputs)
    shutil.rmtree(big / ".dvc/cache")
    shutil.rmtree(big / "data/raw")
    report = fetch(big.path, outputs)
    assert report.missing == () and len(report.fetched) == 32
    done = checkout(big.path, outputs, links=["copy"])
    assert [Path(name).name for name in done["added"]] == ["raw"] or done["added"]
    assert (big / "data/raw/0/f0.txt").read_text() == "content 0"
    assert fetch(big.path, outputs) == FetchReport()


def test_fetch_names_what_nobody_has_and_refuses_garbage(big: Repo) -> None:
    outputs = outputs_in(big.path)
    push(big.path, outputs)
    entries = manifest(outputs[0], [big / ".dvc/cache"])
    assert entries and big.remote
    gone, bad = (object_path(big.remote, (e.hash or "")[4:]) for e in entries[:2])
    gone.unlink()
    bad.chmod(0o644)
    bad.write_bytes(b"CONTENT 1")
    shutil.rmtree(big / ".dvc/cache")
    report = fetch(big.path, outputs)
    assert sorted(report.missing) == sorted(f"data/raw/{e.path}" for e in entries[:2])
    with pytest.raises(XexpError, match="cannot check data out"):
        shutil.rmtree(big / "data/raw")
        checkout(big.path, outputs)


def test_caches_of_other_worktrees_count(big: Repo, tmp_path: Path) -> None:
    big.git("worktree", "add", "-q", str(tmp_path / "wt"), "HEAD")
    outputs = outputs_at(Git(big.path), "HEAD")
    assert cache_dirs(tmp_path / "wt", [big.path]) == [big / ".dvc/cache"]
    assert len(missing_on_remote(tmp_path / "wt", outputs, siblings=[big.path])) == 31
    report = push(tmp_path / "wt", outputs, siblings=[big.path])
    assert report.complete and len(report.pushed) == 31


def test_an_old_layout_pushes_and_fetches(dvc_repo: Repo, cache: Path) -> None:
    content = b"a,b\r\n1,2\r\n"
    oid = hashlib.md5(content.replace(b"\r\n", b"\n")).hexdigest()
    dvc_repo.write("old.csv", content)
    dvc_repo.write(f".dvc/cache/{oid[:2]}/{oid[2:]}", content)
    dvc_repo.write("old.csv.dvc", f"outs:\n- md5: {oid}\n  size: {len(content)}\n  path: old.csv\n")
    assert changed(dvc_repo, cache) == []
    outputs = [out for out in outputs_in(dvc_repo.path) if out.path == "old.csv"]
    assert push(dvc_repo.path, outputs).complete
    assert dvc_repo.remote and (dvc_repo.remote / oid[:2] / oid[2:]).read_bytes() == content
    shutil.rmtree(dvc_repo / ".dvc/cache" / oid[:2])
    assert fetch(dvc_repo.path, outputs).fetched == (oid,)


def test_an_uncached_output_needs_no_remote(dvc_repo: Repo) -> None:
    out = Output("m.json", "md5:" + "0" * 32, 1, None, None, "dvc.lock", "s", cached=False)
    assert not pushable(out)
    assert missing_on_remote(dvc_repo.path, [out]) == []


def test_locked_dvc_is_an_error_in_words(dvc_repo: Repo) -> None:
    code = (
        "import sys; from dvc.repo import Repo; repo = Repo('.'); lock = repo.lock; lock.lock();"
        "print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=dvc_repo.path, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as other:  # fmt: skip
        assert other.stdout and other.stdin and other.stdout.readline() == "ready\n"
        dvc_repo.write("n.bin", "1")
        with pytest.raises(XexpError, match="another DVC process"):
            add(dvc_repo.path, ["n.bin"])
        other.stdin.close()


def test_an_object_written_through_a_hard_link_is_dropped(dvc_repo: Repo) -> None:
    """As root the cache's read-only mode stops nobody; the old content can be fetched again."""
    (old,) = outputs_in(dvc_repo.path)
    kept = object_path(dvc_repo / ".dvc/cache", str(old.oid))
    linked = dvc_repo / "data/train.csv"
    linked.unlink()
    os.link(kept, linked)
    linked.chmod(0o644)
    linked.write_text("written through the link\n")
    add(dvc_repo.path, ["data/train.csv"])
    assert not kept.exists()
    assert linked.stat().st_nlink == 1
    fetch(dvc_repo.path, [old])
    assert kept.read_text().startswith("x,y\n")


def test_threads_that_ask_a_remote_end_before_its_error_is_told() -> None:
    """OpenSSL crashes in a thread that connects while the program exits."""
    asked: list[int] = []

    def ask(number: int) -> int:
        if number == 0:
            raise OSError("refused")
        time.sleep(0.05)
        asked.append(number)
        return number

    remote = Remote(SimpleNamespace(fs=SimpleNamespace(jobs=4)), "far", legacy=False, limit=60)
    with pytest.raises(OSError, match="refused"):
        list(remote._ask(ask, list(range(100))))
    assert 0 < len(asked) < 10
    assert not [each for each in threading.enumerate() if "(work)" in each.name]


@pytest.mark.parametrize("ending", [".db", ".sqlite", ".sqlite3", ".db3", ".duckdb", ".ddb"])
def test_a_database_in_a_folder_is_known_by_any_of_the_endings(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"runs{ending}"
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE t (a)")
    assert list(databases_in(tmp_path)) == [(file, "sqlite")]
