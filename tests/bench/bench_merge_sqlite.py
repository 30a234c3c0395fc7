"""The speed table of the SQLite merge, as ratios measured in one run.

    python tests/bench/bench_merge_sqlite.py [--base 10000000] [--add 100000] [--repeat 3] [--dir D]
                                             [--only 1,3] [--others 2500000]

Data is made here: 13 columns, about 160 bytes a row. Each case runs in a process of its own, so
that its peak memory (without file pages mapped from disk) can be told. Files are warm in the page
cache; every reference is measured beside its case. Below a case stand the seconds of pandas, polars
and sqlite-utils for the same work, where the result has no more rows than ``--others``: beyond that
they take minutes, and pandas and polars more memory than most machines have.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from merge_others import print_others

COLUMNS = (
    "track_id TEXT, timestamp TEXT, model TEXT, lr REAL, epoch INTEGER, batch INTEGER, loss REAL, "
    "acc REAL, f1 REAL, version TEXT, host TEXT, note TEXT, seed INTEGER"
)
ROW = (
    "SELECT printf('run-%06d', (i + {first}) / 1000), printf('2026-01-%02d %012d', 1 + i % 28, "
    "i + {first}), 'bert-base-' || (i % 7), 0.001 * (i % 13), i % 100, i, 1.0 / (1 + i % 1000), "
    "(i % 997) / 997.0, (i % 991) / 991.0, 'e0.' || ((i + {first}) / 100000) || '.0', "
    "'node-' || (i % 16), 'note ' || (i * 7919 % 100003), i % 5 FROM n"
)


def make(path: Path, first: int, rows: int, key: bool, index: str = "") -> Path:
    """A results table with ``rows`` rows that begin at number ``first``."""
    with closing(sqlite3.connect(path, isolation_level=None)) as con:
        con.execute("PRAGMA journal_mode=OFF")
        con.execute("PRAGMA synchronous=OFF")
        con.execute("PRAGMA cache_size=-200000")
        tail = ", PRIMARY KEY (track_id, timestamp)" if key else ""
        con.execute(f'CREATE TABLE "default" ({COLUMNS}{tail})')
        con.execute("BEGIN")
        numbers = f"WITH n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {rows - 1}) "
        con.execute(f'INSERT INTO "default" {numbers} ' + ROW.format(first=first))
        if index:
            con.execute(f'CREATE INDEX by_{index} ON "default" ({index})')
        con.execute("COMMIT")
    return path


def cp(source: Path, target: Path) -> float:
    """Seconds of ``cp`` and fsync."""
    start = time.perf_counter()
    subprocess.run(["cp", "--reflink=never", source, target], check=True)
    sync(target)
    return time.perf_counter() - start


def sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def append(target: Path, sources: list[Path]) -> float:
    """Seconds of SQLite's own ATTACH and INSERT … SELECT, in one transaction."""
    start = time.perf_counter()
    with closing(sqlite3.connect(target, isolation_level=None)) as con:
        for i, source in enumerate(sources):
            con.execute(f"ATTACH ? AS s{i}", (str(source),))
        con.execute("BEGIN")
        for i in range(len(sources)):
            con.execute(f'INSERT INTO main."default" SELECT * FROM s{i}."default"')
        con.execute("COMMIT")
    return time.perf_counter() - start


CHILD = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from gitxexp.merge.plan import MergeOptions
from gitxexp.merge.sqlite import merge3_files, merge_files
mode, place, out, target, *sources = sys.argv[2:]
paths = [Path(s) for s in sources]
begin = time.perf_counter()
if mode == "three":
    report = merge3_files(Path(target), *paths, Path(out))
else:
    options = MergeOptions(mode=mode, in_place=place == "1")
    report = merge_files(Path(target), paths, Path(out) if out else None, options)
seconds = time.perf_counter() - begin
text = Path("/proc/self/status").read_text()
peak = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
table = report.tables[0]
print(seconds, table.new, table.identical, table.replaced, peak["RssAnon"].split()[0])
"""


def ours(mode: str, place: bool, out: Path | None, target: Path, sources: list[Path]):
    """Seconds of the merge, its counts, and its anonymous memory at the end and at its peak."""
    package = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-c", CHILD, package, mode, "1" if place else "0"]
    command += [str(out) if out else "", str(target), *map(str, sources)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = 0
    status = Path(f"/proc/{child.pid}/status")
    while child.poll() is None:
        try:
            fields = dict(x.split(":", 1) for x in status.read_text().splitlines() if ":" in x)
            peak = max(peak, int(fields.get("RssAnon", "0 kB").split()[0]))
        except OSError:
            break
        time.sleep(0.01)
    text = child.stdout.read() if child.stdout else ""
    if child.wait():
        raise SystemExit("the merge failed")
    seconds, new, identical, replaced, _ = text.split()
    return float(seconds), f"new {new}, identical {identical}, replaced {replaced}", peak / 1024


def say(name: str, must: float, pairs: list[tuple[float, float]], counts: str, peak: float) -> None:
    mine = statistics.median(p[0] for p in pairs)
    reference = statistics.median(p[1] for p in pairs)
    ratio = statistics.median(p[0] / p[1] for p in pairs)
    verdict = "ok" if ratio <= must and peak <= 300 else "MISSED"
    print(
        f"{name:46} {mine:6.2f} s / {reference:6.2f} s = {ratio:5.2f} (must {must}) "
        f"{peak:4.0f} MB  {verdict}   [{counts}]",
        flush=True,
    )


def case(name, must, repeat, reference, run) -> None:
    pairs = []
    counts, peak = "", 0.0
    for _ in range(repeat):
        base = reference()
        seconds, counts, memory = run()
        pairs.append((seconds, base))
        peak = max(peak, memory)
    say(name, must, pairs, counts, peak)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", type=int, default=10_000_000)
    parser.add_argument("--add", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--dir")
    parser.add_argument("--only", default="")
    parser.add_argument("--others", type=int, default=2_500_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        run(Path(folder), options.base, options.add, options.repeat, options.only, options.others)


def run(folder: Path, base: int, add: int, repeat: int, only: str, most: int) -> None:
    out, copy = folder / "out.db", folder / "copy.db"

    def want(number: int) -> bool:
        return not only or str(number) in only.split(",")

    def others(target: Path, sources: list[Path], rows: int) -> None:
        if rows <= most:
            print_others(target, sources, folder)
        else:
            print(f"    pandas, polars, sqlite-utils: not run for {rows:,} rows (--others)")

    if want(1):
        small = make(folder / "small.db", 0, base // 10, True)
        parts = [make(folder / f"p{i}.db", base * (i + 2), base // 20, True) for i in range(2)]

        def appended() -> float:
            shutil.copyfile(small, copy)
            return append(copy, parts)

        case(
            "1M + 2 x 500k, key, new file",
            2.0,
            repeat,
            appended,
            lambda: ours("merge", False, out, small, parts),
        )
        others(small, parts, base // 5)
    keyed = make(folder / "base.db", 0, base, True, "version")
    adds = [make(folder / f"a{i}.db", base * (i + 2), add, True) for i in range(3)]
    for path in (keyed, *adds):
        sync(path)
    if want(2):

        def native() -> float:
            cp(keyed, copy)
            return append(copy, adds)

        def in_place():
            cp(keyed, copy)
            return ours("merge", True, None, copy, adds)

        case("10M + 3 x 100k, key, in place / append", 2.0, repeat, native, in_place)
    if want(3):
        case(
            "10M + 3 x 100k, key, new file / cp",
            1.5,
            repeat,
            lambda: cp(keyed, copy),
            lambda: ours("merge", False, out, keyed, adds),
        )
        others(keyed, adds, base + 3 * add)
    if want(5):
        cp(keyed, folder / "grown.db")
        append(folder / "grown.db", adds[:1])
        grown = [folder / "grown.db"]
        case(
            "copy of 10M + 100k, new file / cp",
            2.5,
            repeat,
            lambda: cp(keyed, copy),
            lambda: ours("merge", False, out, keyed, grown),
        )
        others(keyed, grown, 2 * base + add)
        grown[0].unlink()
    if want(7):
        sides = [folder / f"side{i}.db" for i in range(2)]
        for side, more in zip(sides, adds, strict=False):
            cp(keyed, side)
            append(side, [more])
        case(
            "three-way of copies, each 100k more / cp",
            5.0,  # three files are read; the issue names no figure
            repeat,
            lambda: cp(keyed, copy),
            lambda: ours("three", False, out, keyed, sides),
        )
        for side in sides:
            side.unlink()
    if want(6):
        rebase = [make(folder / "r.db", 0, add, True)]
        with closing(sqlite3.connect(rebase[0])) as con:
            con.execute('UPDATE "default" SET loss = loss + 1')
            con.commit()
        case(
            "rebase 100k of 10M, indexed, new file / cp",
            1.6,
            repeat,
            lambda: cp(keyed, copy),
            lambda: ours("rebase", False, out, keyed, rebase),
        )
    if want(4):
        for path in (keyed, out, copy):
            path.unlink(missing_ok=True)
        plain = make(folder / "plain.db", 0, base, False)
        more = [make(folder / f"m{i}.db", base * (i + 2), add, False) for i in range(3)]
        case(
            "10M + 3 x 100k, keyless, new file / cp",
            4.0,
            repeat,
            lambda: cp(plain, copy),
            lambda: ours("merge", False, out, plain, more),
        )
        others(plain, more, base + 3 * add)


if __name__ == "__main__":
    main()
