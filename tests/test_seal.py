"""The seal around the tests holds: home, network, dates; and the fixtures are what they claim."""

from __future__ import annotations

import os
import socket
import sqlite3
from pathlib import Path

import pytest

from tests.conftest import GUARD
from tests.helpers import Clock, Repo, run


@pytest.fixture
def caught(sealed: Path):
    """Take the violations that the test made on purpose off the guard's log."""
    log = sealed / "violations"
    lines: list[str] = []
    yield (
        lambda: (
            lines.extend(log.read_text().splitlines()) or [line.split(" ", 1)[1] for line in lines]
        )
    )
    log.unlink()


def real_home() -> Path:
    return Path(os.environ["XEXP_TEST_REAL_HOME"])


def test_home_is_sealed(home: Path) -> None:
    assert Path.home() == home
    assert home != real_home()


def test_writing_to_the_real_home_is_refused_and_recorded(caught) -> None:
    target = real_home() / "xexp-test-must-not-exist"
    with pytest.raises(PermissionError):
        target.write_text("x")
    with pytest.raises(PermissionError):
        target.mkdir()
    assert not target.exists()
    assert len(caught()) == 2


def test_a_child_process_is_guarded_too(repo: Repo, caught) -> None:
    target = real_home() / "xexp-test-must-not-exist"
    done = repo.python("-c", f"import os; os.mkdir({str(target)!r})")
    assert done.code == 1 and "sealed test" in done.err
    assert caught() == [f"os.mkdir {str(target)!r}"]


def test_no_network_here_or_in_a_child(repo: Repo, caught) -> None:
    with socket.socket() as one, pytest.raises(PermissionError):
        one.connect(("192.0.2.1", 80))
    with pytest.raises(PermissionError):
        socket.getaddrinfo("example.org", 80)
    done = repo.python("-c", "import socket; socket.create_connection(('192.0.2.1', 80), 1)")
    assert done.code == 1
    assert len(caught()) == 3


def test_loopback_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()


def test_the_guard_imports_nothing(repo: Repo) -> None:
    done = repo.python(
        "-c", "import sys; print('sitecustomize' in sys.modules, sorted(sys.modules))"
    )
    assert done.good().out.startswith("True")
    assert "tempfile" not in done.out and "socket" not in done.out
    assert GUARD.name == "guard"


def test_dates_are_fixed_and_move_only_by_the_clock(repo: Repo, clock: Clock) -> None:
    assert repo.git("log", "-1", "--format=%ct %an") == f"{Clock.START} Ada Lovelace"
    clock.tick()
    repo.commit("second")
    assert repo.git("log", "-1", "--format=%at") == str(Clock.START + 60)


def test_git_reads_no_configuration_but_ours(repo: Repo, home: Path) -> None:
    origins = {
        line.split("\t")[0] for line in repo.git("config", "-l", "--show-origin").splitlines()
    }
    assert origins == {f"file:{home}/.gitconfig", "file:.git/config"}


def test_dvc_repo_is_pushed_and_clean(dvc_repo: Repo) -> None:
    assert dvc_repo.git("status", "--porcelain") == ""
    assert dvc_repo.remote is not None
    assert len([p for p in dvc_repo.remote.rglob("*") if p.is_file()]) == 1
    assert "in sync" in dvc_repo.dvc("status", "-c")


def test_trained_holds_a_real_sweep(trained: Repo) -> None:
    assert trained.git("status", "--porcelain") == ""
    connection = sqlite3.connect(trained / "results/experiments.db")
    rows = connection.execute(
        "SELECT track_id, count(*), max(f1) FROM predictions GROUP BY 1 ORDER BY 1"
    ).fetchall()
    connection.close()
    assert rows == [("run-lr-0.01", 4, 0.855), ("run-lr-0.1", 4, 0.9), ("run-lr-1.0", 4, 0.45)]
    assert "up to date" in trained.dvc("status")


def test_copies_are_independent(trained: Repo, dvc_template: Path, trained_template: Path) -> None:
    trained.write("models/production/model.bin", b"new")
    trained.commit("change")
    template = run("git", "rev-parse", "HEAD", cwd=trained_template / "repo").good().out.strip()
    assert trained.head != template
    assert len((trained_template / "repo/models/production/model.bin").read_bytes()) == 5000


def test_a_home_below_an_allowed_folder_is_guarded_too(repo: Repo, tmp_path: Path) -> None:
    """In many containers HOME lies below the temporary folder, or is it."""
    log, home = tmp_path / "log", tmp_path / "home/me"
    env = {
        "XEXP_TEST_REAL_HOME": str(home),
        "XEXP_TEST_GUARD_LOG": str(log),
        "XEXP_TEST_ALLOWED": os.pathsep.join((str(tmp_path), str(home / "work"))),
    }
    (home / "work").mkdir(parents=True)
    write = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('x')"
    assert repo.python("-c", write, str(home / "work/file"), env=env).code == 0
    assert repo.python("-c", write, str(tmp_path / "beside"), env=env).code == 0
    assert repo.python("-c", write, str(home / "file"), env=env).code == 1
    assert "home/me/file" in log.read_text()
