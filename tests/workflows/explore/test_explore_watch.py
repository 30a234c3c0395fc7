"""git xexp list --watch."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pexpect

from tests import experiments
from tests.helpers import Clock, Repo


def test_a_terminal_is_drawn_again_until_ctrl_c(repo: Repo, clock: Clock) -> None:
    experiments.tag(repo, clock, "e0.1.0", {"lr": 0.1}, {"f1": 0.5})
    child = pexpect.spawn("git-xexp", ["list", "--watch"], cwd=str(repo.path), timeout=30,
                          dimensions=(6, 80), encoding="utf-8",
                          env={**os.environ, "TERM": "xterm"})  # fmt: skip
    child.expect("e0.1.0")
    for at in range(2, 9):
        experiments.tag(repo, clock, f"e0.{at}.0", {"lr": 0.1}, {"f1": at / 10})
    child.expect("\x1b\\[H")  # over what was there
    child.expect("e0.8.0")
    child.expect("... and 5 more")  # of nine lines those that the screen has
    child.sendintr()
    child.expect(pexpect.EOF)
    assert "Traceback" not in child.before
    child.close()
    assert (child.exitstatus, child.signalstatus) == (0, None)


def test_a_pipe_gets_each_new_list(repo: Repo, clock: Clock) -> None:
    experiments.tag(repo, clock, "e0.1.0", {"lr": 0.1}, {"f1": 0.5})
    command = ["git-xexp", "list", "--watch", "--porcelain", "--columns", "version"]
    with subprocess.Popen(command, cwd=repo.path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "e0.1.0\n"
        repo.git("tag", "other")  # no change of the list
        config = repo / ".xexp/config.toml"
        config.parent.mkdir()
        config.write_text("[metrics\n")  # which cannot be read for a while
        time.sleep(1)
        config.unlink()
        experiments.tag(repo, clock, "e0.2.0", {"lr": 0.1}, {"f1": 0.6})
        assert [process.stdout.readline() for _ in range(2)] == ["e0.2.0\n", "e0.1.0\n"]
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "" and process.wait(20) == 0
    refused = repo.xexp("list", "--watch", "--csv")
    assert (refused.code, refused.out) == (129, "")


def test_it_ends_with_its_reader(repo: Repo, clock: Clock) -> None:
    """Also where nothing changes, so that nothing is written."""
    experiments.tag(repo, clock, "e0.1.0", {"lr": 0.1}, {"f1": 0.5})
    command = ["git-xexp", "list", "--watch", "--json", "--columns", "version,f1"]
    with subprocess.Popen(
        command, cwd=repo.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == '[{"version": "e0.1.0", "f1": 0.5}]\n'
        process.stdout.close()
        assert process.wait(20) == 141 and process.stderr.read() == ""
