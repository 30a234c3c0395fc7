"""The speed table of the SQLite merge, as ratios measured in one run.

    python tests/bench/bench_merge_sqlite.py [--base 10000000] [--add 100000] [--repeat 5] [--dir D]
                                             [--only 1,3] [--others 2500000]

Data is made here: 13 columns, about 160 bytes a row. Each case runs in a process of its own, so
that its peak memory (without file pages mapped from disk) can be told. Reference and case run in
turn and from the same state: inputs warm in the page cache, nothing waiting for the disk, no older
output, and as much memory as they will fill just used and given back, for in a virtual machine its
first use takes several times as long as its second. Ratios are medians. Below a case stand the
seconds of pandas, polars and sqlite-utils for the same work, where the result has no more rows than
``--others``: beyond that they take minutes, and pandas and polars more memory than most machines
have.
"""

from __future__ import annotations

import argparse
import mmap
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


def settle(*outputs: Path, size: int) -> None:
    """The state that every timing begins with; ``size`` is about what will be written, in bytes."""
    for path in outputs:
        path.unlink(missing_ok=True)
    os.sync()
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return
    fields = dict(x.split(":", 1) for x in Path("/proc/meminfo").read_text().splitlines())
    size = min(2 * size, int(fields["MemFree"].split()[0]) * 800) >> 21 << 21
    if size:
        with closing(mmap.mmap(-1, size)) as memory:
            memory.madvise(mmap.MADV_HUGEPAGE)
            memory[::4096] = b"x" * (size // 4096)


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
from gitxexp.tables.plan import MergeOptions
from gitxexp.tables.sqlite.merge import merge_files
from gitxexp.tables.sqlite.merge import merge3_files
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


class Bench:
    """The files that cases share, and one method per case."""

    def __init__(self, folder: Path, chosen: argparse.Namespace) -> None:
        self.folder, self.base, self.add = folder, chosen.base, chosen.add
        self.repeat, self.most = chosen.repeat, chosen.others
        self.out, self.copy = folder / "out.db", folder / "copy.db"

    def case(self, name, must, target: Path, reference, run) -> None:
        """Time ``reference`` and ``run`` in turn, each ``repeat`` times, and print the ratio."""
        pairs = []
        counts, peak = "", 0.0
        for _ in range(self.repeat):
            settle(self.out, self.copy, size=target.stat().st_size)
            base = reference()
            settle(self.out, self.copy, size=target.stat().st_size)
            seconds, counts, memory = run()
            pairs.append((seconds, base))
            peak = max(peak, memory)
        say(name, must, pairs, counts, peak)

    def beside_cp(self, name, must, mode, target: Path, sources: list[Path]) -> None:
        """A merge into a new file beside ``cp`` of the target."""
        self.case(
            name,
            must,
            target,
            lambda: cp(target, self.copy),
            lambda: ours(mode, False, self.out, target, sources),
        )

    def others(self, target: Path, sources: list[Path], rows: int) -> None:
        if rows <= self.most:
            print_others(target, sources, self.folder)
        else:
            print(f"    pandas, polars, sqlite-utils: not run for {rows:,} rows (--others)")

    def made(self, name: str, first: int, rows: int, key: bool, index: str = "") -> Path:
        """An input file, made once."""
        path = self.folder / name
        if not path.exists():
            sync(make(path, first, rows, key, index))
        return path

    def keyed(self) -> Path:
        return self.made("base.db", 0, self.base, True, "version")

    def adds(self, key: bool = True) -> list[Path]:
        names = [f"{'a' if key else 'm'}{i}.db" for i in range(3)]
        return [self.made(n, self.base * (i + 2), self.add, key) for i, n in enumerate(names)]

    def grown(self, name: str, more: Path) -> Path:
        """A copy of the base to which rows were added."""
        cp(self.keyed(), self.folder / name)
        append(self.folder / name, [more])
        return self.folder / name

    def small(self) -> None:
        target = self.made("small.db", 0, self.base // 10, True)
        parts = [self.made(f"p{i}.db", self.base * (i + 2), self.base // 20, True) for i in (0, 1)]

        def native() -> float:
            shutil.copyfile(target, self.copy)
            return append(self.copy, parts)

        def run():
            return ours("merge", False, self.out, target, parts)

        self.case("1M + 2 x 500k, key, new file", 2.0, target, native, run)
        self.others(target, parts, self.base // 5)

    def in_place(self) -> None:
        def native() -> float:
            cp(self.keyed(), self.copy)
            return append(self.copy, self.adds())

        def run():
            cp(self.keyed(), self.copy)
            return ours("merge", True, None, self.copy, self.adds())

        self.case("10M + 3 x 100k, key, in place / append", 1.5, self.keyed(), native, run)

    def new_file(self) -> None:
        name = "10M + 3 x 100k, key, new file / cp"
        self.beside_cp(name, 1.5, "merge", self.keyed(), self.adds())
        self.others(self.keyed(), self.adds(), self.base + 3 * self.add)

    def keyless(self) -> None:
        target, sources = self.made("plain.db", 0, self.base, False), self.adds(key=False)
        self.beside_cp("10M + 3 x 100k, keyless, new file / cp", 1.5, "merge", target, sources)
        self.others(target, sources, self.base + 3 * self.add)
        target.unlink()

    def copied(self) -> None:
        source = self.grown("grown.db", self.adds()[0])
        self.beside_cp("copy of 10M + 100k, new file / cp", 1.5, "merge", self.keyed(), [source])
        self.others(self.keyed(), [source], 2 * self.base + self.add)
        source.unlink()

    def rebase(self) -> None:
        source = self.made("r.db", 0, self.add, True)
        with closing(sqlite3.connect(source)) as con:
            con.execute('UPDATE "default" SET loss = loss + 1')
            con.commit()
        name = "rebase 100k of 10M, indexed, new file / cp"
        self.beside_cp(name, 1.6, "rebase", self.keyed(), [source])

    def three_way(self) -> None:
        sides = [self.grown(f"side{i}.db", more) for i, more in enumerate(self.adds()[:2])]
        name = "three-way of copies, each 100k more / cp"
        self.beside_cp(name, 1.5, "three", self.keyed(), sides)
        for side in sides:
            side.unlink()


CASES = {
    1: Bench.small,
    2: Bench.in_place,
    3: Bench.new_file,
    5: Bench.copied,
    7: Bench.three_way,
    6: Bench.rebase,
    4: Bench.keyless,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", type=int, default=10_000_000)
    parser.add_argument("--add", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--dir")
    parser.add_argument("--only", default="")
    parser.add_argument("--others", type=int, default=2_500_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.dir) as folder:
        bench = Bench(Path(folder), chosen)
        for number, case in CASES.items():
            if not chosen.only or str(number) in chosen.only.split(","):
                case(bench)


if __name__ == "__main__":
    main()
