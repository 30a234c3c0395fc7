"""Kills at random moments and full disks: the target is the old file or the new one."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitxexp.tables.plan import MergeOptions, Mode
from gitxexp.tables.sqlite.merge import merge3_files, merge_files
from tests.tables.sqlite.test_objects import query, script
from tests.tables.sqlite.test_two_way import check_sound

KILLS = int(os.environ.get("XEXP_TEST_KILLS", "5"))  #: per mode; more by command
MODES = ["merge", "rebase", "merge in place", "rebase in place", "three"]
PACKAGE = str(Path(__file__).parents[3])

PROGRAM = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
from gitxexp.common.errors import XexpError
from gitxexp.tables.plan import MergeOptions, Mode
from gitxexp.tables.sqlite.merge import merge_files
from gitxexp.tables.sqlite.merge import merge3_files
mode, (base, target, source) = sys.argv[2], map(Path, sys.argv[3:])
print("go", flush=True)
try:
    if mode == "three":
        merge3_files(base, target, source, target)
    else:
        options = MergeOptions(mode=Mode(mode.split()[0]), in_place="place" in mode)
        merge_files(target, [source], options=options)
except XexpError as error:
    sys.exit(str(error))
"""

TABLE = "CREATE TABLE t (version TEXT, k INTEGER, v TEXT, PRIMARY KEY (version, k));"
ROWS = (
    "WITH n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
    "INSERT INTO t SELECT '{}', i, hex(i) FROM n;"
)
SUM = "SELECT count(*), total(k), min(version) FROM t"


def command(mode: str, base: Path, target: Path, source: Path) -> list[str]:
    return [sys.executable, "-c", PROGRAM, PACKAGE, mode, str(base), str(target), str(source)]


def merged(mode: str, base: Path, target: Path, source: Path, out: Path) -> Path:
    """What the mode makes of the files, in a file of its own."""
    if mode == "three":
        assert merge3_files(base, target, source, out).written
    else:
        options = MergeOptions(mode=mode.split()[0])  # type: ignore[arg-type]
        assert merge_files(target, [source], out=out, options=options).written
    return out


def forked(mode: str, base: Path, target: Path, source: Path) -> int:
    """The id of a copy of this process that merges and ends."""
    child = os.fork()
    if child == 0:
        try:
            if mode == "three":
                merge3_files(base, target, source, target)
            else:
                options = MergeOptions(mode=Mode(mode.split()[0]), in_place="place" in mode)
                merge_files(target, [source], options=options)
        finally:
            os._exit(0)
    return child


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
        child = forked(mode, base, target, source)
        time.sleep(chance.random() * 0.2)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if "place" not in mode:
            assert not Path(f"{target}-journal").exists()
            assert target.read_bytes() in whole
        assert query(target, SUM) in (rows, full)
        check_sound(target)
    done = subprocess.run(command(mode, base, target, source), check=False)
    assert done.returncode == 0
    assert query(target, SUM) == full
    assert not [p for p in tmp_path.iterdir() if ".xexp-" in p.name]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of databases, each named by its count of rows and their version."""
    folder = tmp_path_factory.mktemp("files")
    for size, version in ((20000, "a"), (250_000, "a"), (20000, "b"), (60000, "b")):
        script(folder / f"{size} {version}.db", TABLE + ROWS.format(size, version))
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
@pytest.mark.parametrize("size", [20000, 250_000], ids=["while merging", "while copying"])
def test_a_full_disk(tmp_path, small_disk, files, mode, size):
    """Where nothing can be mounted, a limit on the size of files stands in for the full disk."""
    base, source, target = tmp_path / "base.db", files / "60000 b.db", small_disk / "t.db"
    script(base, TABLE)
    shutil.copyfile(files / f"{size} a.db", target)
    held, filler, limit = target.stat().st_size, small_disk / "filler", "unlimited"
    room = 300_000 if size > 100_000 or "place" in mode else held + 500_000
    if os.path.ismount(small_disk):
        space = os.statvfs(small_disk)
        filler.write_bytes(b"\0" * (space.f_bavail * space.f_frsize - room))
    else:
        filler.touch()
        limit = str((held + room if "place" in mode else room) // 1024)
    before = target.read_bytes()
    shell = ["bash", "-c", f'ulimit -f {limit}; exec "$@"', "bash"]
    done = subprocess.run(
        [*shell, *command(mode, base, target, source)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"cannot write {target}" in done.stderr
    assert target.read_bytes() == before
    assert sorted(p.name for p in small_disk.iterdir()) == ["filler", "t.db"]
    filler.unlink()
    if size < 100_000:
        assert subprocess.run(command(mode, base, target, source), check=False).returncode == 0
        assert query(target, SUM)[0][0] > size
