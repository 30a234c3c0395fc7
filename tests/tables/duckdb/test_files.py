"""Odd, damaged, locked and linked files: one clear error, and nothing touched."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gitxexp.common.errors import XexpError
from gitxexp.common.files import kind_by_name, kind_of
from gitxexp.tables.duckdb.merge import merge3_files, merge_files
from gitxexp.tables.plan import MergeOptions
from tests.tables.support import database, digest, in_a_copy, read, write

TYPES = {"a": "int", "s": "str"}
KINDS = ("parquet", "duckdb", "db")


def rows(*numbers: int) -> list[dict[str, Any]]:
    return [{"a": n, "s": f"n{n}"} for n in numbers]


def good(folder: Path, kind: str, name: str = "good") -> Path:
    return write(folder / f"{name}.{kind}", TYPES, rows(1, 2))


BAD = {
    "zero bytes": lambda raw: b"",
    "not a database": lambda raw: b"hello, this is some text\n" * 40,
    "cut to half": lambda raw: raw[: len(raw) // 2],
    "cut to 12 bytes": lambda raw: raw[:12],
    "rubbish inside": lambda raw: raw[:64] + b"\xa5" * (len(raw) - 64),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", BAD)
def test_a_damaged_source_or_target_is_one_clear_error(kind: str, bad: str, tmp_path: Path) -> None:
    target = good(tmp_path, "parquet")
    source = good(tmp_path, kind, "bad")
    source.write_bytes(BAD[bad](source.read_bytes()))
    before = {p: digest(p) for p in (target, source)}
    for one, other in ((target, source), (source, target)):
        for real in (True, False):
            with pytest.raises(XexpError) as error:
                merge_files(one, [other], write=real)
            assert "\n" not in error.value.message and str(source) in error.value.message
    assert {p: digest(p) for p in before} == before
    assert sorted(tmp_path.iterdir()) == sorted(before)


def test_an_encrypted_database_is_one_clear_error(tmp_path: Path) -> None:
    plain, secret = good(tmp_path, "duckdb"), tmp_path / "secret.duckdb"
    with duckdb.connect() as con:
        con.execute("SET force_mbedtls_unsafe = true")  # the only cipher without an extension
        con.execute(f"ATTACH '{secret}' AS secret (ENCRYPTION_KEY 'key')")
        con.execute("CREATE TABLE secret.t AS SELECT 1 AS a")
    before = {p: digest(p) for p in (plain, secret)}
    for real in (True, False):
        for one, other in ((plain, secret), (secret, plain)):
            with pytest.raises(XexpError) as error:
                merge_files(one, [other], write=real)
            assert error.value.message == f"{secret}: the file is encrypted"
            assert error.value.hint == "decrypt it first"
    with pytest.raises(XexpError, match="the file is encrypted"):
        merge3_files(plain, plain, secret, tmp_path / "out.duckdb")
    assert {p: digest(p) for p in tmp_path.iterdir()} == before


def test_kinds_are_told_by_content_and_new_files_by_name(tmp_path: Path) -> None:
    for kind, expected in zip(KINDS, ("parquet", "duckdb", "sqlite"), strict=True):
        path = good(tmp_path, kind)
        assert kind_by_name(path) == expected
        assert kind_of(path.rename(tmp_path / f"any-{kind}")) == expected
    with pytest.raises(XexpError, match="does not exist"):
        kind_of(tmp_path / "nothing")
    with pytest.raises(XexpError, match="is not a file"):
        kind_of(tmp_path)
    with pytest.raises(XexpError, match="what kind"):
        kind_by_name(tmp_path / "x.csv")
    (tmp_path / "e").write_bytes(b"PARE" + bytes(40))
    with pytest.raises(XexpError, match="encrypted"):
        kind_of(tmp_path / "e")


ODD = ["it's q\"t a b;c h#é🎈", "x%20", "w?*[1]", "select", "s3:", "year=1", "-o"]


@pytest.mark.parametrize("kind", KINDS)
def test_odd_paths(kind: str, tmp_path: Path) -> None:
    for name in ODD:
        folder = tmp_path / name
        folder.mkdir()
        target = write(folder / f"{name}.{kind}", TYPES, rows(1))
        source = write(folder / f"{name} 2.{kind}", TYPES, rows(1, 2))
        assert merge_files(target, [source]).tables[0].new == 1
        assert read(target) == rows(1, 2)


def test_odd_table_names(tmp_path: Path) -> None:
    for kind in ("duckdb", "db"):
        paths = [tmp_path / f"{n}.{kind}" for n in "xy"]
        for i, path in enumerate(paths):
            with database(path) as con:
                for name in ("default", "order by", 'a"b', "é.%?#", "it's"):
                    quoted = '"' + name.replace('"', '""') + '"'
                    con.execute(f"CREATE TABLE {quoted} (v INTEGER)")
                    con.execute(f"INSERT INTO {quoted} VALUES ({i})")
        report = merge_files(paths[0], paths[1:])
        assert [t.new for t in report.tables] == [1] * 5
        assert [r["v"] for r in read(paths[0], "default")] == [0, 1]


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Path]:
    """A DuckDB file that another process holds open for writing."""
    path = write(tmp_path / "live.duckdb", TYPES, rows(1))
    opened, done = os.pipe(), os.pipe()

    def hold() -> None:
        with duckdb.connect(path):
            os.write(opened[1], b"open")
            os.read(done[0], 1)

    child = in_a_copy(hold)
    assert os.read(opened[0], 4) == b"open"
    yield path
    os.write(done[1], b".")
    os.waitpid(child, 0)


def test_a_duckdb_file_that_is_being_written(writer: Path, tmp_path: Path) -> None:
    target = good(tmp_path, "duckdb")
    before = digest(target)
    with pytest.raises(XexpError, match=r"live\.duckdb.*open for writing"):
        merge_files(target, [writer])
    with pytest.raises(XexpError, match=r"live\.duckdb.*open for writing"):
        merge_files(writer, [target])
    assert digest(target) == before


def test_a_live_sqlite_source_is_read_at_one_moment(tmp_path: Path) -> None:
    """A writer keeps two tables equal; no merge may see them unequal, or it says it cannot."""
    live = tmp_path / "live.db"
    con = sqlite3.connect(live, check_same_thread=False, isolation_level=None)
    con.execute("PRAGMA journal_mode = WAL")
    con.execute("CREATE TABLE a (n INTEGER)")
    con.execute("CREATE TABLE b (n INTEGER)")
    stop = threading.Event()

    def work() -> None:
        n = 0
        while not stop.is_set():
            con.execute("BEGIN")
            con.execute("INSERT INTO a VALUES (?)", [n])
            con.execute("INSERT INTO b VALUES (?)", [n])
            con.execute("COMMIT")
            n += 1
            stop.wait(0.0005)  # a merge takes a hundred times as long

    thread = threading.Thread(target=work)
    thread.start()
    try:
        seen = 0
        for i in range(8):
            out = tmp_path / f"out{i}.duckdb"
            try:
                report = merge_files(out, [live])
            except XexpError as error:
                assert "changed" in error.message
                continue
            seen += 1
            assert report.tables[0].new == report.tables[1].new
    finally:
        stop.set()
        thread.join()
        con.close()
    assert seen


def test_a_locked_sqlite_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gitxexp.tables.duckdb import source as duckdb_source

    monkeypatch.setattr(duckdb_source, "PATIENCE", 0.05)
    target, source = good(tmp_path, "parquet"), good(tmp_path, "db", "locked")
    con = sqlite3.connect(source)
    con.execute("BEGIN EXCLUSIVE")
    with pytest.raises(XexpError, match="locked by another program"):
        merge_files(target, [source])
    con.close()


def test_rows_in_a_sqlite_log_are_included_and_the_source_stays(tmp_path: Path) -> None:
    source = good(tmp_path, "db", "src")
    con = sqlite3.connect(source)
    con.execute("PRAGMA journal_mode = WAL")
    con.execute("INSERT INTO t VALUES (9, 'in the log')")
    con.commit()
    wal = tmp_path / "src.db-wal"
    before = (digest(source), digest(wal))
    target = good(tmp_path, "parquet")
    merge_files(target, [source])
    assert (digest(source), digest(wal)) == before
    assert {"a": 9, "s": "in the log"} in read(target)
    con.close()


def crashed(path: Path) -> Path:
    """A DuckDB file whose last row is only in its write-ahead log."""

    def crash() -> None:
        con = duckdb.connect(path)
        con.execute("INSERT INTO t VALUES (9, chr(39))")
        os._exit(0)

    os.waitpid(in_a_copy(crash), 0)
    assert path.with_name(path.name + ".wal").stat().st_size
    return path


def test_rows_in_a_duckdb_log_are_included_and_the_source_stays(tmp_path: Path) -> None:
    source = crashed(good(tmp_path, "duckdb", "src"))
    wal = tmp_path / "src.duckdb.wal"
    before = (digest(source), digest(wal))
    target = good(tmp_path, "duckdb")
    merge_files(target, [source])
    assert (digest(source), digest(wal)) == before
    assert read(target) == [*rows(1, 2), {"a": 9, "s": "'"}]


@pytest.mark.parametrize("kind", ["duckdb", "db"])
def test_a_targets_log_is_merged_and_does_not_outlive_it(kind: str, tmp_path: Path) -> None:
    target = good(tmp_path, kind)
    con: Any = None
    if kind == "duckdb":
        crashed(target)
    else:

        def crash() -> None:
            own = sqlite3.connect(target)
            own.execute("PRAGMA journal_mode = WAL")
            own.execute("INSERT INTO t VALUES (9, char(39))")
            own.commit()
            os._exit(0)

        os.waitpid(in_a_copy(crash), 0)
        assert (tmp_path / "good.db-wal").stat().st_size
    source = write(tmp_path / f"new.{kind}", TYPES, rows(3))
    merge_files(target, [source])
    assert not [p for p in tmp_path.iterdir() if "wal" in p.name and p.stat().st_size]
    assert [row["a"] for row in read(target)] == [1, 2, 9, 3]
    del con


def test_storage_that_older_duckdb_reads(tmp_path: Path) -> None:
    merge_files(tmp_path / "new.duckdb", [good(tmp_path, "parquet")], options=MergeOptions())
    head = (tmp_path / "new.duckdb").read_bytes()[:20]
    assert int.from_bytes(head[12:20], "little") == 65  # v1.2, duckdb.org/docs/internals/storage


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_is_replaced_and_what_it_leads_to_stays(kind: str, tmp_path: Path) -> None:
    cache = good(tmp_path, kind, "cache")
    before = digest(cache)
    source = write(tmp_path / f"src.{kind}", TYPES, rows(3))
    for make in (os.symlink, os.link):
        link = tmp_path / f"link.{kind}"
        link.unlink(missing_ok=True)
        make(cache, link)
        merge_files(link, [source])
        assert digest(cache) == before
        assert not link.is_symlink() and read(link) == rows(1, 2, 3)


def test_paths_that_make_no_sense(tmp_path: Path) -> None:
    a = good(tmp_path, "parquet")
    with pytest.raises(XexpError, match="is the target itself"):
        merge_files(a, [a])
    with pytest.raises(XexpError, match="does not exist"):
        merge_files(a, [tmp_path / "missing.parquet"])
    with pytest.raises(XexpError, match="cannot write in"):
        merge_files(a, [good(tmp_path, "db")], tmp_path / "no" / "out.parquet")
    with pytest.raises(XexpError, match="in place"):
        merge_files(a, [good(tmp_path, "db")], options=MergeOptions(in_place=True))
    with pytest.raises(XexpError, match="no input has a table"):
        merge_files(
            good(tmp_path, "db"), [good(tmp_path, "duckdb")], options=MergeOptions(tables=("u",))
        )
    with pytest.raises(XexpError, match="does not exist"):
        merge3_files(None, a, tmp_path / "missing")


def test_the_mode_of_the_file_stays(tmp_path: Path) -> None:
    a, b = good(tmp_path, "parquet"), write(tmp_path / "b.parquet", TYPES, rows(5))
    a.chmod(0o640)
    merge_files(a, [b])
    assert a.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_file_has_the_umasks_permissions_and_no_thread_sees_none(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_mask, masks = os.umask, list[int]()
    monkeypatch.setattr(os, "umask", lambda mask: (masks.append(mask), set_mask(mask))[1])
    out = tmp_path / f"out.{kind}"
    merge_files(good(tmp_path, "parquet"), [good(tmp_path, "parquet", "more")], out)
    mask = set_mask(0o022)
    set_mask(mask)
    assert out.stat().st_mode & 0o777 == 0o666 & ~mask
    assert 0 not in masks  # while it is set, every thread's new files are anybody's to write
