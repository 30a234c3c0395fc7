"""Little memory, a full disk, a folder that may not be written, more sources than SQLite attaches."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gitxexp.common.errors import XexpError
from gitxexp.tables.duckdb.merge import merge_files
from gitxexp.tables.duckdb.session import Session
from tests.helpers import run
from tests.tables.support import database, digest, in_a_copy, read, write

MERGE = """
import os, sys
from pathlib import Path
from gitxexp.common.errors import XexpError
from gitxexp.tables.duckdb.merge import merge_files
from gitxexp.tables.plan import MergeOptions, Mode

def attempt(target, source, *, write=True, **options):
    try:
        options = MergeOptions(**options)
        table = merge_files(Path(target), [Path(source)], options=options, write=write).tables[0]
    except XexpError as error:
        print(error.message)
    else:
        print(table.here, table.incoming, table.new, table.identical, table.conflicting)
"""


def attempt(code: str, *args: object) -> list[str]:
    """The lines that ``code`` prints in a Python of its own."""
    done = run(sys.executable, "-c", MERGE + textwrap.dedent(code), *map(str, args), cwd=Path.cwd())
    return done.good().out.splitlines()


def elsewhere(target: Path, source: Path, prepare: Callable[[], object], **how: Any) -> str:
    """What a merge in a copy of this process says after ``prepare``: its numbers, or its error."""
    reader, writer = os.pipe()

    def work() -> None:
        prepare()
        try:
            table = merge_files(target, [source], **how).tables[0]
            said = (
                f"{table.here} {table.incoming} {table.new} {table.identical} {table.conflicting}"
            )
        except XexpError as error:
            said = error.message
        os.write(writer, said.encode())

    child = in_a_copy(work)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    assert os.waitpid(child, 0)[1] == 0
    return said


def rows_of(folder: Path, number: str, rows: int) -> tuple[Path, Path]:
    """Rows, and the same again with 10,000 more; ``number`` makes an id of ``i``."""
    paths = folder / "target.parquet", folder / "source.parquet"
    with database(paths[0]) as con:
        for path, count in zip(paths, (rows, rows + 10_000), strict=True):
            con.execute(
                f"COPY (SELECT {number} AS id, md5(i::VARCHAR) || repeat('x', 100) AS note, "
                f"i / 7 AS loss, 'e' || i % 9 AS version FROM range({count}) t(i)) TO '{path}'"
            )
    return paths


@pytest.mark.parametrize(
    ("number", "mode"),
    [("i", "rows"), ("hash(i)", "rows"), ("i", "rebase")],
    ids=["in order", "scattered", "rebase"],
)
def test_more_rows_than_memory(number: str, mode: str, tmp_path: Path) -> None:
    """Some 110 MB of rows a side in 100 MB; the interpreter, its libraries and what DuckDB does not
    count need up to 140 more: without the bound it is 280 and more, 310 for a rebase of half."""
    rows = 150_000 if mode == "rebase" else 300_000
    target, source = rows_of(tmp_path, number, rows)
    chosen = "key=('id',), mode=Mode.REBASE" if mode == "rebase" else ""
    lines = attempt(
        f"""
        if {(number, mode) == ("i", "rows")}:
            attempt(*sys.argv[1:], write=False, memory=100_000_000)
        attempt(*sys.argv[1:], memory=100_000_000, {chosen})
        # not ru_maxrss, in which the process that started this one lives on
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        print(int(status["VmHWM"].split()[0]) // 1024)
        """,
        target,
        source,
    )
    told = f"{rows} {rows + 10_000} 10000 {rows} 0"
    assert lines[:-1] == [told] * len(lines[:-1])
    assert int(lines[-1]) < 240
    with database(target) as con:
        count = f"SELECT count(*), count(DISTINCT note) FROM read_parquet('{target}')"
        assert con.execute(count).fetchall() == [(rows + 10_000, rows + 10_000)]
    assert sorted(tmp_path.iterdir()) == sorted([target, source])


@pytest.mark.parametrize(("asked", "granted"), [(0, 1_000), (300_000_000, 300), (1, 64)])
def test_memory_is_a_gigabyte_unless_it_is_given(asked: int, granted: int) -> None:
    with Session(asked) as session:
        limit = session.value("SELECT current_setting('memory_limit')")
    assert float(limit.split()[0]) == pytest.approx(granted * 1e6 / 2**20, rel=0.1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with next to no space; only root may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", place, cwd=tmp_path)
    yield place
    run("umount", "-l", place, cwd=tmp_path)


@pytest.mark.parametrize("kind", ["parquet", "duckdb", "db"])
def test_a_full_disk(kind: str, small_disk: Path) -> None:
    """Where nothing can be mounted, a limit on the size of files stands in for the full disk."""
    noise = [os.urandom(30_000) for _ in range(40)]
    types: dict[str, Any] = {"n": "int", "b": "bytes"}
    rows = [{"n": n, "b": b} for n, b in enumerate(noise)]
    target = write(small_disk / f"target.{kind}", types, rows[:10])
    source = write(small_disk.parent / f"source.{kind}", types, rows)
    before = digest(target)
    filler, limit = small_disk / "filler", resource.RLIM_INFINITY
    if os.path.ismount(small_disk):
        space = os.statvfs(small_disk)
        filler.write_bytes(b"\0" * (space.f_bavail * space.f_frsize - 400_000))
    else:
        filler.touch()
        limit = 700_000
    line = elsewhere(
        target, source, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    assert any(word in line for word in ("disk is full", "No space left", "too large")), line
    assert digest(target) == before
    assert sorted(small_disk.iterdir()) == sorted([target, filler])
    filler.unlink()
    merge_files(target, [source])
    assert read(target) == rows


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    """As an ordinary user: root may write anywhere."""
    folder = tmp_path / "locked"
    folder.mkdir()
    target, source = (write(folder / f"{n}.parquet", {"n": "int"}, [{"n": n}]) for n in (1, 2))
    for place in (tmp_path, *tmp_path.parents):
        if place == Path(tempfile.gettempdir()).resolve():
            break
        place.chmod(0o755)
    folder.chmod(0o555)

    def ordinary() -> None:
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        tempfile.tempdir = None  # another folder, as in a process of this user's

    line = elsewhere(target, source, ordinary)
    assert line == f"cannot write in {folder}: Permission denied"
    assert elsewhere(target, source, ordinary, write=False) == "1 1 1 0 0"
    folder.chmod(0o755)
    assert sorted(folder.iterdir()) == sorted([target, source])
    assert read(target) == [{"n": 1}]


def test_three_hundred_sources_of_all_kinds(tmp_path: Path) -> None:
    kinds = ["duckdb", "db", *["parquet"] * 8]
    twice = {k: write(tmp_path / f"a.{k}", {"n": "int"}, [{"n": 0}, {"n": 0}]) for k in kinds[:3]}
    sources = list(twice.values())
    for n in range(3, 300):
        path = tmp_path / f"{n}.{kinds[n % 10]}"
        if n % 50 < 3:
            write(path, {"n": "int"}, [{"n": n}])
        else:
            os.link(twice[kinds[n % 10]], path)
        sources.append(path)
    merge_files(tmp_path / "all.parquet", sources)
    found = sorted(row["n"] for row in read(tmp_path / "all.parquet"))
    assert found == [0, 0, *(n for n in range(3, 300) if n % 50 < 3)]
    with pytest.raises(XexpError, match="is the target itself"):
        merge_files(sources[0], sources)
