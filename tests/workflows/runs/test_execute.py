"""A command in a process group of its own: its output, its end, and what is left of it."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pexpect
import pytest

from gitxexp.common.errors import XexpError
from gitxexp.workflows.runs.execute import Execution, execute, processes_of

ENV = {"PATH": os.environ["PATH"], "XEXP_RUN": "20230101-000000-abcdef"}


def sh(script: str, tmp_path: Path, **how: object) -> Execution:
    """A shell script, run without echo."""
    how.setdefault("echo", False)
    return execute(
        ["sh", "-c", script], cwd=tmp_path, env=ENV, log=tmp_path / "logs" / "log", **how
    )  # type: ignore[arg-type]


def alive(marker: str) -> bool:
    """Whether a process whose arguments hold the marker is there and no zombie."""
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if marker.encode() in words and b"pytest" not in words:
            return True
    return False


def gone(marker: str) -> bool:
    """Whether it is gone within two seconds."""
    for _ in range(200):
        if not alive(marker):
            return True
        time.sleep(0.01)
    return False


def test_output_of_both_streams_is_the_log_and_the_exit_code_is_ours(tmp_path: Path) -> None:
    done = sh("printf 'one\\n\\377\\0'; printf 'two' >&2; exit 7", tmp_path)
    log = (tmp_path / "logs/log").read_bytes()
    assert (done.code, done.why) == (7, "exit")
    assert sorted([b"one\n\xff\0", b"two"]) == sorted(log.partition(b"two")[:2]) or b"two" in log
    assert done.log_hash == f"sha256:{hashlib.sha256(log).hexdigest()}"
    assert done.log_size == len(log) == 9
    assert 0 <= done.seconds < 5


def test_a_signal_is_told_as_a_shell_tells_it(tmp_path: Path) -> None:
    assert sh("kill -9 $$", tmp_path).code == 137


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["no-such-program"], "there is no command 'no-such-program' on PATH"),
        (["./no/such"], "there is no command './no/such'"),
        (["./plain"], "cannot run ./plain: Permission denied"),
        ([], "there is no command to run"),
        (["a\0b"], "cannot run 'a\\x00b': embedded null byte"),
    ],
)
def test_what_cannot_be_started_is_one_clear_error(
    tmp_path: Path, command: list[str], message: str
) -> None:
    (tmp_path / "plain").write_text("x")
    with pytest.raises(XexpError) as caught:
        execute(command, cwd=tmp_path, env=ENV, log=tmp_path / "log", echo=False)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("name", "said"), [("train.py", "python train.py"), ("./plain", "sh ./plain")]
)
def test_a_script_that_is_named_like_a_program_says_how_to_run_it(
    tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(XexpError) as caught:
        execute([name], cwd=tmp_path, env=ENV, log=tmp_path / "log", echo=False)
    assert caught.value.hint == f"run it with its interpreter: {said}"


def test_time_out_ends_the_group_and_daemons_that_left_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitxexp.workflows.runs.execute._GRACE", 1.0)
    script = (
        "trap '' TERM; setsid sleep 987.11 & sleep 987.12 & touch ready;"
        " while :; do sleep 987.13; done"
    )
    began = time.monotonic()
    done = sh(script, tmp_path, timeout=0.3, stop=lambda: False)
    assert (done.code, done.why) == (137, "timeout")
    assert 1 < time.monotonic() - began < 8
    assert gone("987.1")
    assert processes_of(ENV["XEXP_RUN"]) == []


def test_a_command_that_ends_leaves_nothing_of_its_group_and_need_not_close_its_output(
    tmp_path: Path,
) -> None:
    began = time.monotonic()
    done = sh("yes & sleep 986.1 & exit 0", tmp_path)
    assert done.code == 0
    assert time.monotonic() - began < 3
    assert gone("986.1")


def test_stop_is_asked_and_threads_have_commands_of_their_own(tmp_path: Path) -> None:
    stopped = threading.Event()
    results: dict[int, Execution] = {}

    def one(number: int) -> None:
        results[number] = execute(
            ["sh", "-c", f"echo {number}; sleep 985.{number}"],
            cwd=tmp_path, env=ENV | {"XEXP_RUN": f"run-{number}"}, log=tmp_path / f"log-{number}",
            stop=stopped.is_set, echo=False,
        )  # fmt: skip

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        logs = [tmp_path / f"log-{number}" for number in range(4)]
        if all(log.exists() and log.read_text() for log in logs):
            break
        time.sleep(0.02)
    stopped.set()
    for thread in threads:
        thread.join(10)
    assert {each.why for each in results.values()} == {"stopped"}
    assert {each.code for each in results.values()} == {128 + signal.SIGTERM}
    assert [(tmp_path / f"log-{n}").read_text() for n in range(4)] == ["0\n", "1\n", "2\n", "3\n"]
    assert gone("985.")


def test_a_full_disk_ends_the_log_and_not_the_command(tmp_path: Path) -> None:
    done = execute(
        ["sh", "-c", "echo much; exit 3"], cwd=tmp_path, env=ENV, log=Path("/dev/full"), echo=False
    )
    assert (done.code, done.log_error) == (3, "No space left on device")


def test_a_long_log_is_kept_whole_and_takes_no_memory(tmp_path: Path) -> None:
    """XEXP_TEST_LOG_MB=1000 is the longer run."""
    megabytes = int(os.environ.get("XEXP_TEST_LOG_MB", "30"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = sh(f"yes 0123456789abcdef | head -c {megabytes}000000", tmp_path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (done.code, done.log_error) == (0, "")
    assert done.log_size == (tmp_path / "logs/log").stat().st_size == megabytes * 1_000_000
    assert grown < 8_000  # KB


#: Runs a command with echo, as ``git xexp run`` does, and says how it ended.
DRIVER = """
import os, sys
from pathlib import Path
from gitxexp.workflows.runs.execute import execute
done = execute(["sh", "-c", sys.argv[1]], cwd=Path("."), env=dict(os.environ), log=Path("log"))
print(f"ended {done.code} {done.why}")
"""


def driver(script: str, tmp_path: Path) -> pexpect.spawn:  # type: ignore[type-arg]
    """The driver on a terminal."""
    return pexpect.spawn(
        sys.executable, ["-c", DRIVER, script], cwd=str(tmp_path), timeout=20, encoding="utf-8"
    )


def test_on_a_terminal_the_command_has_one_and_the_log_has_what_it_printed(tmp_path: Path) -> None:
    script = "test -t 0 && test -t 1 && echo terminal; read line; printf 'got %s\\n' $line"
    child = driver(script, tmp_path)
    child.expect("terminal\r\n")
    child.sendline("words")
    child.expect("got words\r\n")
    child.expect("ended 0 exit")
    assert (tmp_path / "log").read_bytes() == b"terminal\nwords\ngot words\n"


def test_ctrl_c_once_ends_it_gently_and_twice_at_once(tmp_path: Path) -> None:
    gentle = driver("trap 'echo saved; exit 4' INT; echo up; while :; do sleep 0.1; done", tmp_path)
    gentle.expect("up")
    gentle.sendintr()
    gentle.expect("saved")
    gentle.expect("ended 4 interrupted")
    stubborn = driver("trap '' INT; echo up; sleep 984.1", tmp_path)
    stubborn.expect("up")
    stubborn.sendintr()
    time.sleep(0.2)
    stubborn.sendintr()
    stubborn.expect("ended 137 interrupted")
    assert gone("984.1")


@pytest.mark.parametrize("by_python", [False, True])
def test_a_tied_command_is_killed_with_the_process_that_began_it(
    tmp_path: Path, by_python: bool
) -> None:
    script = DRIVER.replace('log=Path("log")', 'log=Path("log"), echo=False, tied=True')
    if by_python:  # where there is no setpriv(1)
        tie = "e._tie = lambda: (sys.executable, '-I', '-S', '-c', e._TIED)"
        script = script.replace(
            "done =", f"import gitxexp.workflows.runs.execute as e\n{tie}\ndone ="
        )
    asleep = f"sleep\0983.{by_python:d}"
    words = [sys.executable, "-c", script, f"exec sleep 983.{by_python:d}"]
    with subprocess.Popen(words, cwd=tmp_path) as process:
        last = time.monotonic() + 20
        while not alive(asleep):
            assert time.monotonic() < last
            time.sleep(0.01)
        process.kill()
    assert gone(asleep)
