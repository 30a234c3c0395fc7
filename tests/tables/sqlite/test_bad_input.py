"""Bad input: one clear message each, and the target as it was."""

from __future__ import annotations

import os
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from gitxexp.common.errors import XexpError
from gitxexp.tables.plan import MergeOptions, Mode
from gitxexp.tables.sqlite.files import is_sqlite
from gitxexp.tables.sqlite.merge import merge3_files, merge_files
from gitxexp.tables.sqlite.row_diff import diff_sqlite
from tests.tables import oracle
from tests.tables.sqlite.strategies import quote, write


def rows(path: Path, values, table="t") -> Path:
    return write(
        path,
        [(f"CREATE TABLE {quote(table)} (v)", ())]
        + [(f"INSERT INTO {quote(table)} VALUES (?)", (v,)) for v in values],
    )


@pytest.fixture
def target(tmp_path):
    path = rows(tmp_path / "target.db", [1])
    before = path.read_bytes()
    yield path
    assert path.read_bytes() == before
    assert not [p for p in tmp_path.iterdir() if ".xexp-" in p.name]


def header_byte(at: int, value: int):
    def spoil(raw: bytes) -> bytes:
        changed = bytearray(raw)
        changed[at] = value
        return bytes(changed)

    return spoil


BEGIN = "c.execute('BEGIN IMMEDIATE')"

SPOILT = {
    "empty": (lambda raw: b"", "zero bytes"),
    "text": (lambda raw: b"track_id,f1\n" * 20, "not a SQLite database"),
    "encrypted": (lambda raw: bytes(range(256)) * 16, "encrypted"),
    "short": (lambda raw: raw[:50], "not a SQLite database"),
    "truncated": (lambda raw: raw[: len(raw) // 2], "truncated"),
    "newer": (lambda raw: header_byte(18, 9)(header_byte(19, 9)(raw)), "newer file format"),
    "corrupt": (lambda raw: raw[:4096] + b"\xff" * 4096 + raw[8192:], "corrupt"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_source(tmp_path, target, name):
    spoil, message = SPOILT[name]
    source = rows(tmp_path / "s.db", ["x" * 500] * 100)
    source.write_bytes(spoil(source.read_bytes()))
    for options in (MergeOptions(), MergeOptions(in_place=True)):
        with pytest.raises(XexpError, match=message):
            merge_files(target, [source], options=options)
    with pytest.raises(XexpError, match=message):
        merge3_files(source if name != "empty" else target, target, source, tmp_path / "out.db")
    assert not (tmp_path / "out.db").exists()


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_target(tmp_path, name):
    spoil, message = SPOILT[name]
    bad = rows(tmp_path / "bad.db", ["x" * 500] * 100)
    bad.write_bytes(spoil(bad.read_bytes()))
    before = bad.read_bytes()
    source = rows(tmp_path / "s.db", [2])
    for options in (MergeOptions(), MergeOptions(in_place=True)):
        with pytest.raises(XexpError, match=message):
            merge_files(bad, [source], options=options)
    assert bad.read_bytes() == before


def test_missing_folder_same_file_and_no_source(tmp_path, target):
    link = tmp_path / "link.db"
    link.symlink_to(target)
    for sources, message in (
        ([tmp_path / "no.db"], "does not exist"),
        ([tmp_path], "is a folder"),
        ([target], "both a source and the target"),
        ([link], "both a source and the target"),
        ([], "no source"),
    ):
        with pytest.raises(XexpError, match=message):
            merge_files(target, sources)
    with pytest.raises(XexpError, match="cannot write in"):
        merge_files(target, [rows(tmp_path / "s.db", [2])], out=tmp_path / "no" / "out.db")


def test_links_are_refused(tmp_path, target):
    source = rows(tmp_path / "s.db", [2])
    soft, hard = tmp_path / "soft.db", tmp_path / "hard.db"
    soft.symlink_to(target)
    for options in (MergeOptions(), MergeOptions(in_place=True)):
        with pytest.raises(XexpError, match="symbolic link"):
            merge_files(soft, [source], options=options)
    hard.hardlink_to(target)
    for options in (MergeOptions(), MergeOptions(in_place=True)):
        with pytest.raises(XexpError, match="hard link"):
            merge_files(target, [source], options=options)
    assert merge_files(target, [source], out=tmp_path / "out.db").written


@pytest.mark.parametrize("in_place", [False, True])
def test_a_target_locked_by_a_writer(tmp_path, target, in_place, monkeypatch):
    monkeypatch.setattr("gitxexp.tables.sqlite.source.BUSY_SECONDS", 0.05)
    source = rows(tmp_path / "s.db", [2])
    with closing(sqlite3.connect(target, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(XexpError, match="locked by a writer"):
            merge_files(target, [source], options=MergeOptions(in_place=in_place))
        held = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], 0)\n" + BEGIN,
                str(target),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "locked" in held.stderr  # our reading did not drop the writer's lock


def test_a_source_locked_by_a_writer(tmp_path, target, monkeypatch):
    monkeypatch.setattr("gitxexp.tables.sqlite.source.BUSY_SECONDS", 0.05)
    source = rows(tmp_path / "s.db", [2])
    with closing(sqlite3.connect(source, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(XexpError, match="locked by a writer"):
            merge_files(target, [source])


def test_a_live_wal_source_gives_a_whole_snapshot(tmp_path):
    target = rows(tmp_path / "t.db", [1])
    source = tmp_path / "live.db"
    with closing(sqlite3.connect(source, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE t (v)")
        writer.execute("INSERT INTO t VALUES (2), (3)")
        writer.execute("BEGIN")
        writer.execute("INSERT INTO t VALUES (4)")
        main = source.read_bytes()
        assert merge_files(target, [source]).written
        writer.execute("COMMIT")
        assert source.read_bytes() == main
    assert sorted(r["v"][1] for r in oracle.read(target)["t"].rows) == [1, 2, 3]


@pytest.mark.parametrize("suffix", ["-journal", "-wal"])
def test_what_a_killed_writer_left_is_recovered_in_a_copy(tmp_path, suffix):
    source = tmp_path / "killed.db"
    rows(source, range(50))
    program = (
        "import sqlite3, os, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute(sys.argv[2]); c.execute('PRAGMA cache_size=1'); c.execute('BEGIN');"
        "c.executemany('INSERT INTO t VALUES (?)', [('x' * 900,)] * 500);"
        "c.execute(sys.argv[3]); os.kill(os.getpid(), 9)"
    )
    mode = "PRAGMA journal_mode=" + ("WAL" if suffix == "-wal" else "DELETE")
    end = "COMMIT" if suffix == "-wal" else "UPDATE t SET v = 'torn'"
    subprocess.run([sys.executable, "-c", program, str(source), mode, end], check=False)
    Path(f"{source}-shm").unlink(missing_ok=True)
    left = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert f"killed.db{suffix}" in left
    target = tmp_path / "t.db"
    assert merge_files(target, [source]).written
    assert {n: (tmp_path / n).read_bytes() for n in left} == left
    found = oracle.multiset(oracle.read(target)["t"])
    assert sum(found.values()) == (550 if suffix == "-wal" else 50)


def test_a_wal_target_stays_one_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("gitxexp.tables.sqlite.source.BUSY_SECONDS", 0.05)
    target, source = tmp_path / "t.db", rows(tmp_path / "s.db", [9])
    with closing(sqlite3.connect(target, isolation_level=None)) as con:
        con.execute("PRAGMA journal_mode=WAL")
        con.execute("CREATE TABLE t (v)")
        con.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(XexpError, match="locked by a writer"):
            merge_files(target, [source])
    for value in (2, 3):
        with closing(sqlite3.connect(target, isolation_level=None)) as con:
            con.execute("INSERT INTO t VALUES (?)", (value,))
        assert merge_files(target, [source]).written
    with closing(sqlite3.connect(target)) as con:
        assert con.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert sorted(v for (v,) in con.execute("SELECT v FROM t")) == [1, 2, 3, 9]


def test_three_hundred_sources(tmp_path):
    sources = [rows(tmp_path / f"s{i}.db", [i]) for i in range(300)]
    report = merge_files(tmp_path / "all.db", sources)
    assert report.written
    assert sorted(r["v"][1] for r in oracle.read(tmp_path / "all.db")["t"].rows) == list(range(300))
    with pytest.raises(XexpError, match="in place"):
        merge_files(tmp_path / "all.db", sources, options=MergeOptions(in_place=True))


NAMES = [
    'a "quoted" name',
    "a b",
    "select",
    "default",
    "a.b",
    "größe",
    "💾",
    "100%",
    "what?",
    "#1",
    "it's",
    "a;DROP TABLE t;--",
    "[x]",
    "`y`",
    "s.",
    " WHERE 1",
]


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_of_files_tables_and_columns(tmp_path, name):
    folder = tmp_path / name.replace("/", "")
    folder.mkdir()
    q = quote(name)
    for kind in ("a", "b"):
        write(
            folder / f"{name}{kind}.db",
            [
                (f"CREATE TABLE {q} ({q} TEXT PRIMARY KEY, {quote(name + '2')} INTEGER)", ()),
                (f"INSERT INTO {q} VALUES (?, 1), ('both', 2)", (kind,)),
                (f"CREATE TABLE {quote(name + 't')} ({q} REAL)", ()),
                (f"INSERT INTO {quote(name + 't')} VALUES (1), (?)", ({"a": 1, "b": 2.5}[kind],)),
            ],
        )
    target, source = folder / f"{name}a.db", folder / f"{name}b.db"
    with closing(sqlite3.connect(source)) as con:
        con.execute(f"ALTER TABLE {q} ADD COLUMN {quote(name + '3')} {quote('odd NOT NULL type')}")
        con.execute(f"UPDATE {q} SET {quote(name + '3')} = '12'")
        con.commit()
    base = folder / "base"
    base.write_bytes(target.read_bytes())
    merge3_files(base, target, source, folder / "three")
    report = merge_files(target, [source])
    assert report.written
    tables = oracle.read(target)
    assert len(tables[name.lower()].rows) == 3
    assert len(tables[name.lower() + "t"].rows) == 3
    rebase = MergeOptions(mode="rebase", key=(name,))  # type: ignore[arg-type]
    assert merge_files(target, [source], options=rebase, write=False).tables


def test_views_where_tables_are_expected(tmp_path, target):
    source = write(tmp_path / "s.db", [("CREATE VIEW t AS SELECT 1 AS v", ())])
    with pytest.raises(XexpError, match="view"):
        merge_files(target, [source])
    viewed = write(tmp_path / "v.db", [("CREATE VIEW t AS SELECT 1 AS v", ())])
    with pytest.raises(XexpError, match="t is a view in the target"):
        merge_files(viewed, [rows(tmp_path / "w.db", [1])])
    with pytest.raises(XexpError, match="no input has a table nope"):
        merge_files(target, [rows(tmp_path / "u.db", [1])], options=MergeOptions(tables=("nope",)))


@pytest.mark.parametrize("how", ["out", "target", "in place"])
def test_a_folder_nobody_may_write(tmp_path, how):
    source, locked = rows(tmp_path / "s.db", [2]), tmp_path / "locked"
    locked.mkdir()
    target = rows(locked / "t.db", [1])
    before = target.read_bytes()
    target.chmod(0o444)
    locked.chmod(0o555)
    program = (
        "import os, sys; sys.path[:0] = sys.argv[4].split(os.pathsep)\n"
        "from pathlib import Path\nfrom gitxexp.common.errors import XexpError\n"
        "from gitxexp.tables.plan import MergeOptions\n"
        "from gitxexp.tables.sqlite.merge import merge_files\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "target, source, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]\n"
        "out = target.parent / 'out.db' if how == 'out' else None\n"
        "options = MergeOptions(in_place=how == 'in place')\n"
        "try: merge_files(target, [source], out, options)\n"
        "except XexpError as error: print(error)"
    )
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith((tmp_path.name, "pytest-", "popen-")):
            folder.chmod(0o755)  # another user is to reach it
    path = os.pathsep.join(p for p in sys.path if p)
    command = [sys.executable, "-c", program, str(target), str(source), how, path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    message = (
        "cannot be opened: attempt to write a readonly" if "place" in how else "cannot write in"
    )
    assert message in done.stdout, (done.stdout, done.stderr)
    assert (target.read_bytes(), [p.name for p in locked.iterdir()]) == (before, ["t.db"])


def test_is_sqlite(tmp_path, target):
    text = tmp_path / "x.csv"
    text.write_text("a" * 500)
    assert is_sqlite(target)
    assert not is_sqlite(text)
    assert not is_sqlite(tmp_path / "none.db")
    (tmp_path / "zero.db").touch()
    assert not is_sqlite(tmp_path / "zero.db")


def test_page_count_in_the_header_is_believed(tmp_path, target):
    source = rows(tmp_path / "s.db", [2])
    raw = bytearray(source.read_bytes())
    raw[28:32] = struct.pack(">I", 10_000)
    source.write_bytes(raw)
    with pytest.raises(XexpError, match="truncated"):
        merge_files(target, [source])


def test_row_numbers_that_columns_hide(tmp_path, target):
    columns = "(rowid, _rowid_, oid)"
    hidden = [("CREATE TABLE hidden " + columns, ()), ("INSERT INTO hidden VALUES (1, 1, 1)", ())]
    source = write(tmp_path / "s.db", hidden)
    with pytest.raises(XexpError, match="hide its row numbers"):
        merge_files(target, [source])


def test_a_newer_schema_or_a_file_that_may_only_be_read(tmp_path, target):
    """Bytes 44 to 47 name the schema format, byte 18 who may write (file format, section 1.3)."""
    for at, value, message in ((47, 9, "newer file format"), (18, 3, "newer file format")):
        source = rows(tmp_path / f"s{at}.db", [2])
        source.write_bytes(header_byte(at, value)(source.read_bytes()))
        with pytest.raises(XexpError, match=message):
            merge_files(target, [source])
        with pytest.raises(XexpError, match=message):
            merge_files(source, [target])


def test_as_many_columns_as_sqlite_has(tmp_path):
    """Names were compared pair by pair: a diff of 1,900 columns took minutes."""
    columns = [f"Column_{number}" for number in range(1900)]
    paths = [tmp_path / f"{name}.db" for name in "abc"]
    for path in paths:
        with closing(sqlite3.connect(path)) as con, con:
            con.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, {', '.join(columns)})")
            con.execute(f"INSERT INTO t (id, column_7) VALUES (1, '{path.stem}'), (2, 0)")
    found = [d for d in diff_sqlite(*paths[:2], (), None) if d.name == "t"]
    assert (found[0].added, found[0].removed, found[0].changed) == (0, 0, 1)
    assert [c.column for c in merge_files(paths[0], paths[1:2]).conflicts] == ["Column_7"]
    with pytest.raises(
        XexpError, match="t has 1901 columns: changes are merged by key in tables of at"
    ):
        merge3_files(*paths, paths[1])
    rebase = MergeOptions(mode=Mode.REBASE, key=("id",))
    assert merge_files(paths[0], paths[1:2], options=rebase).tables[0].replaced == 1
    assert [row["Column_7"] for row in oracle.read(paths[0])["t"].rows] == [
        ("str", "b"),
        ("int", 0),
    ]
