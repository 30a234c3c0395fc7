"""Progress on a terminal, and Ctrl-C while something lasts."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from gitxexp.cli import progress
from tests.helpers import Repo
from tests.terminal import Terminal

BIG = 3_000_000_000  #: of nothing: a file with a hole takes no place, and is read like any other


def spawn(*words: str, cwd: Path, **env: str) -> Terminal:
    """``git xexp WORDS`` on a terminal of 80 columns, its progress shown at once."""
    return Terminal(words, cwd, {"GIT_PROGRESS_DELAY": "0", **env})


def finish(child: Terminal) -> str:
    """All that is left of its output; asserts exit code 0."""
    text, code = child.finish()
    assert code == 0, text
    return text


def interrupted(child: Terminal) -> None:
    """Press Ctrl-C; asserts that it is answered soon and with 130."""
    begun = time.monotonic()
    child.sendintr()
    text, code = child.finish()
    assert "interrupted; all changes were rolled back" in text and "Traceback" not in text
    assert code == 130 and time.monotonic() - begun < 10


def hole(path: Path, size: int, mark: bytes = b"x") -> None:
    with path.open("wb") as file:
        file.write(mark)
        file.truncate(size)


def rows(path: Path, first: int, count: int) -> Path:
    """A database of ``count`` rows without a key."""
    numbers = f"WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n LIMIT {count})"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE runs (k TEXT, a REAL, b TEXT)")
        db.execute(f"INSERT INTO runs {numbers} SELECT 'k' || i, i * 0.1, 'text ' || i FROM n")
    return path


def state(repo: Repo) -> tuple[str, str, list[str]]:
    inside = [p for p in (repo / ".dvc/cache").rglob("*") if p.is_file()]
    return repo.refs(), repo.git("status", "--porcelain"), sorted(map(str, inside))


def test_tag_shows_bytes_and_is_interrupted(dvc_repo: Repo) -> None:
    dvc_repo.xexp("init").good()
    dvc_repo.commit("set up")
    hole(dvc_repo / "model.bin", 1_000_000)
    dvc_repo.dvc("add", "-q", "model.bin")
    dvc_repo.commit("model")
    hole(dvc_repo / "model.bin", BIG)
    before = state(dvc_repo)
    child = spawn("tag", "-a", "-m", "x", cwd=dvc_repo.path)
    child.expect(r"tagging: [\d.]+MB/[\d.]+GB \d+%")
    interrupted(child)
    assert state(dvc_repo) == before
    hole(dvc_repo / "model.bin", 300_000_000, b"y")
    child = spawn("tag", "-a", "-m", "x", cwd=dvc_repo.path)
    child.expect(r"tagging: [\d.]+MB/[\d.]+MB \d+%")
    assert "e0.1.0" in finish(child)


def test_merge_shows_bytes_and_is_interrupted(tmp_path: Path) -> None:
    names = [str(rows(tmp_path / f"{at}.db", at * 1000, 300_000)) for at in range(3)]
    child = spawn("merge", *names, "-o", "all.db", cwd=tmp_path)
    child.expect(r"merging: [\d.]+MB/[\d.]+MB \d+%")
    interrupted(child)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{at}.db" for at in range(3)]
    small = str(rows(tmp_path / "small.db", 0, 1000))
    child = spawn("merge", names[0], small, "-o", "all.db", cwd=tmp_path)
    assert "incoming" in finish(child)


def test_get_shows_bytes(dvc_repo: Repo) -> None:
    dvc_repo.xexp("init").good()
    hole(dvc_repo / "model.bin", 300_000_000)
    dvc_repo.dvc("add", "-q", "model.bin")
    dvc_repo.commit("model")
    child = spawn("get", "HEAD", "model.bin", "-o", "copy.bin", cwd=dvc_repo.path)
    child.expect(r"getting: [\d.]+MB/[\d.]+MB \d+%")
    assert "copy.bin  300 MB  from cache" in finish(child)


def test_it_is_silent_when_short_quiet_or_nowhere(tmp_path: Path) -> None:
    names = [str(rows(tmp_path / f"{at}.db", at * 1000, 100_000)) for at in range(2)]
    assert "merging" in finish(spawn("merge", *names, "-o", "all.db", cwd=tmp_path))
    for words, env in (
        (["-q"], {}), ([], {"GIT_PROGRESS_DELAY": "9"}), ([], {"TERM": "dumb"}),
    ):  # fmt: skip
        (tmp_path / "all.db").unlink()
        text = finish(spawn("merge", *words, *names, "-o", "all.db", cwd=tmp_path, **env))
        assert "merging" not in text and ("incoming" in text) == ("-q" not in words)


def test_a_statement_without_an_end_is_ended(tmp_path: Path) -> None:
    script = (
        "import sqlite3\nfrom gitxexp.common import sqlite\ndb = sqlite.connect(':memory:')\n"
        "try:\n    print('begun', flush=True)\n"
        "    db.execute('WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)'\n"
        "               ' SELECT count(*) FROM c')\n"
        "except KeyboardInterrupt:\n    print('answered')\n"
        "try:\n    db.execute('no sql')\n"
        "except sqlite3.OperationalError as error:\n    print(error)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    try:
        assert child.stdout is not None and child.stdout.readline() == "begun\n"
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=30)[0] == 'answered\nnear "no": syntax error\n'
    finally:
        child.kill()


def test_every_kind_of_work_has_its_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes, counts without a total, and a clock where nothing is reported."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("GIT_PROGRESS_DELAY", "0")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("TQDM_DISABLE", "1")  # meant for DVC's own
    with progress.line("working") as report:
        assert report is not None
        time.sleep(0.7)
        report(1_500_000, 6_000_000, "B")
        time.sleep(0.7)
        report(3_000_000, 6_000_000, "B")
        report(5, 0, "objects")
        time.sleep(0.7)
    drawn = capsys.readouterr().err
    assert re.search(r"working: 00:00\b", drawn)
    assert re.search(r"working: 1\.50MB/6\.00MB 25% ", drawn)
    assert re.search(r"working: 5 objects ", drawn)
    assert drawn.endswith("\r")


def test_a_line_that_is_closed_draws_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    line = progress.Line("preparing")
    line.begins = 0.0
    line.refresh()
    line.close()
    assert "preparing" in capsys.readouterr().err
    line.refresh()
    assert (line.bar, capsys.readouterr().err) == (None, "")
