"""Kills at random moments and full disks: the target is the old file or the new one."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitxexp.common.errors import XexpError
from gitxexp.tables.plan import MergeOptions, Mode
from gitxexp.tables.sqlite.files import SMALL
from gitxexp.tables.sqlite.merge import merge3_files, merge_files
from tests.tables.sqlite.test_objects import query, script
from tests.tables.sqlite.test_two_way import check_sound
from tests.tables.support import in_a_copy

KILLS = int(os.environ.get("XEXP_TEST_KILLS", "5"))  #: per mode; more by command
MODES = ["merge", "rebase", "merge in place", "rebase in place", "three"]

TABLE = "CREATE TABLE t (version TEXT, k INTEGER, v TEXT, PRIMARY KEY (version, k));"
ROWS = (
    "WITH n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
    "INSERT INTO t SELECT '{}', i, hex(i) FROM n;"
)
SUM = "SELECT count(*), total(k), min(version) FROM t"


def merged(mode: str, base: Path, target: Path, source: Path, out: Path) -> Path:
    """What the mode makes of the files, in a file of its own."""
    if mode == "three":
        assert merge3_files(base, target, source, out).written
    else:
        options = MergeOptions(mode=mode.split()[0])  # type: ignore[arg-type]
        assert merge_files(target, [source], out=out, options=options).written
    return out


def merge(mode: str, base: Path, target: Path, source: Path) -> None:
    if mode == "three":
        merge3_files(base, target, source, target)
    else:
        options = MergeOptions(mode=Mode(mode.split()[0]), in_place="place" in mode)
        merge_files(target, [source], options=options)


@pytest.mark.parametrize("mode", MODES)
def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path, files, mode):
    base = script(tmp_path / "base.db", TABLE)
    old, source = files / "20000 a.db", files / "20000 b.db"
    new, target = merged(mode, base, old, source, tmp_path / "new.db"), tmp_path / "t.db"
    rows, full = query(old, SUM), query(new, SUM)
    whole = old.read_bytes(), new.read_bytes()
    chance = random.Random(4)
    for _ in range(KILLS):
        target.write_bytes(whole[0])
        child = in_a_copy(lambda: merge(mode, base, target, source))
        time.sleep(chance.random() * 0.2)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if "place" not in mode:
            assert not Path(f"{target}-journal").exists()
            assert target.read_bytes() in whole
        assert query(target, SUM) in (rows, full)
        check_sound(target)
    child = in_a_copy(lambda: merge(mode, base, target, source))
    assert os.waitpid(child, 0)[1] == 0
    assert query(target, SUM) == full
    assert not [p for p in tmp_path.iterdir() if ".xexp-" in p.name]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of databases, each named by its count of rows and their version."""
    folder = tmp_path_factory.mktemp("files")
    for size, version in ((20000, "a"), (20000, "b"), (60000, "b")):
        script(folder / f"{size} {version}.db", TABLE + ROWS.format(size, version))
    wide = shutil.copyfile(folder / "20000 a.db", folder / "large a.db")
    script(wide, "UPDATE t SET v = hex(zeroblob(250)) || k")
    assert wide.stat().st_size > SMALL  # it is copied, not read through SQLite
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little space; only root may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)]
    subprocess.run(mount, check=False, capture_output=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", ["20000", "large"], ids=["while merging", "while copying"])
def test_a_full_disk(tmp_path, small_disk, files, mode, size):
    """Where nothing can be mounted, a limit on the size of files stands in for the full disk."""
    base, source, target = tmp_path / "base.db", files / "60000 b.db", small_disk / "t.db"
    script(base, TABLE)
    shutil.copyfile(files / f"{size} a.db", target)
    held, filler, limit = target.stat().st_size, small_disk / "filler", resource.RLIM_INFINITY
    room = 300_000 if size == "large" or "place" in mode else held + 500_000
    if os.path.ismount(small_disk):
        space = os.statvfs(small_disk)
        filler.write_bytes(b"\0" * (space.f_bavail * space.f_frsize - room))
    else:
        filler.touch()
        limit = held + room if "place" in mode else room
    before = target.read_bytes()
    reader, writer = os.pipe()

    def fail() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            merge(mode, base, target, source)
        except XexpError as error:
            os.write(writer, str(error).encode())

    child = in_a_copy(fail)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    assert os.waitpid(child, 0)[1] == 0
    assert f"cannot write {target}" in said and "\n" not in said
    assert target.read_bytes() == before
    assert sorted(p.name for p in small_disk.iterdir()) == ["filler", "t.db"]
    filler.unlink()
    if size != "large":
        merge(mode, base, target, source)
        assert query(target, SUM)[0][0] > int(size)
