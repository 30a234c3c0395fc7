"""What is said and what is not: quiet, hints that make sense, words from anywhere."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pexpect
import pytest

from tests.helpers import Repo


@pytest.fixture
def ready(repo: Repo) -> Repo:
    """Set up and committed."""
    repo.xexp("init", "--no-dvc").good()
    repo.commit("set up")
    return repo


def on_terminal(repo: Repo, *words: str, width: int = 80, **env: str) -> tuple[str, int | None]:
    """What is shown on a terminal, and the exit code."""
    child = pexpect.spawn(
        sys.executable, ["-m", "gitxexp", *words], cwd=str(repo.path), encoding="utf-8",
        timeout=30, dimensions=(40, width),
        env={**os.environ, "TERM": "xterm", "GIT_PAGER": "cat"} | env,
    )  # fmt: skip
    text = child.read().replace("\r\n", "\n")
    child.close()
    return text, child.exitstatus


STEERING = "\x1b[31mred\x1b]0;title\x07\x9b5m\u202e"


def test_no_word_steers_the_terminal(ready: Repo) -> None:
    """Escape sequences in a message, a name or a label are shown as question marks."""
    ready.xexp("tag", "-m", f"said {STEERING}", "-P", f"lr=a{STEERING}", "-M", "f1=1").good()
    ready.git("tag", "-a", "-m", f"by hand {STEERING}", "e0.2.0")
    ready.git("branch", f"odd{chr(0x9B)}31m")
    ours = re.compile(r"\x1b\[(?:0|1|2|3[1-6])m")
    for words in (("explore",), ("explore", "show", "e0.1.0"), ("explore", "show", "e0.2.0"), ("log",), (),
                  ("explore", "diff", "e0.1.0", "e0.2.0"), ("explore", "show", STEERING),
                  ("worktree", "list"), ("undo",)):  # fmt: skip
        text, _ = on_terminal(ready, *words)
        plain = ours.sub("", text)
        assert "\x1b[31mred" not in text, words
        assert not set("\x1b\x07\x9b\u202e") & set(plain), words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-P", "lr=\udcff"], "-P: 'lr=\\udcff' is not UTF-8"),
        (["-P", "\udcff=1"], "-P: '\\udcff=1' is not UTF-8"),
        (["-m", "caf\udce9"], "--message: 'caf\\udce9' is not UTF-8"),
        (["-l", "\udce9"], "--label: '\\udce9' is not UTF-8"),
        (["-l", " "], "--label: '' is not a name"),
        (["-l", "a\nb"], "--label: 'a\nb' is not a name"),
        (["-P", "a\nb=1"], "-P: 'a\nb' is not a name"),
    ],
)
def test_words_that_no_tag_can_hold(ready: Repo, words: list[str], said: str) -> None:
    before = ready.refs()
    done = ready.xexp("tag", *words)
    assert (done.code, done.out) == (129, "")
    assert done.err.startswith(f"fatal: {said}\nhint: git xexp tag -h")
    assert ready.refs() == before


def test_several_messages_are_all_kept(ready: Repo) -> None:
    out = ready.xexp("tag", "-m", "one", "-m", "two").good().out
    assert out.endswith("one two\n")


def test_quiet_says_nothing_of_what_went_well(repo: Repo) -> None:
    def quietly(*words: str | Path) -> str:
        done = repo.xexp(*words, "-q").good()
        assert done.err == "", words
        return done.out

    assert quietly("init", "--no-dvc") == ""
    repo.commit("set up")
    assert quietly("tag", "-m", "x") == "e0.1.0\n"  # its name is the result
    for words in ("init", "log --limit 1 --json", "get e0.1.0 README.md -o ../copy", "worktree new a",
                  "worktree remove a", "worktree prune", "explore checkout e0.1.0",
                  "explore cleanup", "explore cleanup", "registry rebuild", "conflicts",
                  "drivers uninstall", "drivers install", "promote --history", "undo"):  # fmt: skip
        out = quietly(*words.split())
        assert out == "" or "--json" in words, words


def test_nothing_done_has_no_next_step(ready: Repo) -> None:
    """A hint of what to do with the change, where nothing changed, would mislead."""
    ready.xexp("tag").good()
    for words, said in (
        (("worktree", "prune"), "nothing to prune: every worktree's folder is there\n"),
        (("explore", "cleanup"), "nothing to remove: explore checkout made nothing that is still there\n"),
        (("drivers", "install"), "everything is registered already\n"),
        (("init", "--no-dvc"), "everything is set up already\nhint: next: git xexp tag"),
    ):  # fmt: skip
        text, code = on_terminal(ready, *words)
        assert code == 0 and text.startswith(said), words
        assert ("hint" in text) == (words[0] == "init")
    ready.xexp("drivers", "uninstall").good()
    assert on_terminal(ready, "drivers", "uninstall") == ("nothing is registered here\n", 0)


def test_merging_what_is_there_already_has_no_next_step(trained: Repo) -> None:
    trained.xexp("init").good()
    trained.commit("set up")
    trained.xexp("tag").good()
    text, code = on_terminal(trained, "merge", "e0.1.0")
    assert code == 0 and "nothing to merge: every row is here already" in text
    assert "hint" not in text
