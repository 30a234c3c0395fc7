"""Text from anywhere, on a terminal or a pipe: nothing steers it, no line is forged, none is endless."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gitxexp.cli.main import run as run_line
from gitxexp.cli.render import console
from gitxexp.common import streams
from gitxexp.common.errors import GitError, NoAnswer, XexpError, suggestion
from gitxexp.common.text import MOST, one_line
from tests.helpers import Clock, Done, Repo, copy_tree, run

#: Colours, a title, C1, bidi overrides and isolates, a mark of direction, separators of lines.
EVIL = (
    "\x1b[58;5;77m\x1b]0;T\x07\x9b31m\u202e\u2066\u200f\u061c\u2028\u2029"
    "\r\n+FORGED line\nfatal: FORGED line"
)
WRONG = f"wrong {EVIL}"  #: what no name is
BAD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
TAG = """model={evil} | f1=0.9 | said

[xexp]
schema = 1
version = "e0.1.0"
text = {text}
run = {text}
labels = [{text}]
reason = {text}
parent = {text}
[params]
{text} = {text}
lr = 0.1
[metrics]
{text} = 0.5
f1 = 0.9
[artifacts]
{text} = "md5:00000000000000000000000000000000"
"""


def check(done: Done, what: object) -> None:
    """Neither stream steers a terminal, no line of either is the attacker's."""
    for text in (done.out, done.err):
        found = BAD.search(text)
        assert not found, (what, ascii(text[max(0, found.start() - 60) :][:120]))
        assert not re.search(r"^[-+ ]*(fatal: )?FORGED", text, re.MULTILINE), (what, text)
        assert "Traceback" not in text and "is a bug" not in text, (what, text)


@pytest.fixture(scope="module")
def shared(ready_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """A repository in which every name that its author could choose is hostile; nothing changes it."""
    Clock()
    repo = Repo(tmp_path_factory.mktemp("evil") / "repo")
    copy_tree(ready_template, repo.path)
    with closing(sqlite3.connect(repo / "x.db")) as db, db:
        quote = lambda name: '"' + name.replace('"', '""') + '"'  # noqa: E731
        db.execute("CREATE TABLE plain (k TEXT PRIMARY KEY, v TEXT)")
        db.execute(
            f"CREATE TABLE {quote('t' + EVIL)} (k PRIMARY KEY, {quote('c' + EVIL)} {quote('T' + EVIL)})"
        )
        db.execute(f"INSERT INTO {quote('t' + EVIL)} VALUES ('a', 1)")
        db.execute("INSERT INTO plain VALUES (?, ?)", ("k" + EVIL, "v" + EVIL))
    repo.write(f"odd{EVIL.replace('/', '')}.txt", "text\n")
    repo.commit(f"subject {EVIL}")
    with closing(sqlite3.connect(repo / "x.db")) as db, db:
        db.execute("UPDATE plain SET v = ?", ("w" + EVIL,))
    repo.commit(f"again {EVIL}")
    message = TAG.format(evil=EVIL, text=json.dumps(EVIL))
    repo.git("tag", "-a", "--cleanup=verbatim", "-F", "-", "e0.1.0", stdin=message)
    repo.git("tag", "-a", "--cleanup=verbatim", "-m", f"by hand | {EVIL}", "e0.2.0")
    return repo


@pytest.fixture
def evil(shared: Repo, tmp_path: Path) -> Repo:
    """A copy of it."""
    copy_tree(shared.path, tmp_path / "repo")
    run("git", "update-index", "-q", "--refresh", cwd=tmp_path / "repo")
    return Repo(tmp_path / "repo")


READS = (
    [], ["explore"], ["explore", "--csv"], ["explore", "--porcelain"],
    ["explore", "--columns", "version,text,headline,run,label"], ["explore", "--runs"],
    ["explore", "show", "e0.1.0"], ["explore", "show", "e0.2.0"],
    ["explore", "diff", "e0.1.0", "e0.2.0"], ["explore", "diff", "HEAD~1", "--code"], ["log"],
    ["diff", "HEAD~1", "HEAD"], ["diff", "--stat", "HEAD~1", "HEAD"], ["worktree", "list"],
    ["worktree", "list", "--porcelain"], ["candidates"], ["conflicts"], ["drivers", "status"],
    ["get", "HEAD", "*", "-o", "got/"], ["push", "--dry-run"], ["tag", "--dry-run"],
    ["check", "--merge", "HEAD~1"], ["promote", "--history"], ["prune", "--dry-run"],
)  # fmt: skip


def test_nothing_that_is_read_steers_a_terminal_or_a_pipe(evil: Repo) -> None:
    for words in READS:
        check(evil.xexp(*words), words)
        if "--csv" not in words and "--porcelain" not in words:
            done = evil.xexp(*words, "--json")
            check(done, (*words, "--json"))
            if done.code in (0, 1) and done.out:
                done.json()


def test_json_holds_what_the_others_do_not_show(shared: Repo) -> None:
    _hand, mine = shared.xexp("explore", "--json").good().json()
    assert mine["run"] == EVIL and mine["params"][EVIL] == EVIL
    done = shared.xexp("diff", "HEAD~1", "HEAD", "--json").good()
    assert {"v" + EVIL, "w" + EVIL} <= set(texts(done.json()))


def texts(value: Any) -> Iterator[str]:
    """Every string in what JSON holds."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)


@pytest.mark.parametrize(
    "words",
    [
        ["explore", "show", WRONG], ["explore", "--sort", WRONG], ["explore", "--filter", WRONG],
        ["get", WRONG, "x"], ["get", "HEAD", WRONG], ["diff", WRONG], ["merge", WRONG],
        ["tag", "--run", WRONG], ["tag", WRONG], ["tag", "-P", WRONG], ["worktree", "new", WRONG],
        ["worktree", "remove", WRONG], ["promote", "--run", WRONG], ["push", WRONG],
        ["push", "--git-remote", WRONG], [WRONG], ["tag", f"--{WRONG}"], ["check", "--merge", WRONG],
        ["candidates", "add", WRONG],
    ],
)  # fmt: skip
def test_errors_repeat_nothing_that_steers(shared: Repo, words: list[str]) -> None:
    done = shared.xexp(*words)
    assert done.code in (1, 128, 129), words
    check(done, words)
    done = shared.xexp(*words, "--json") if words != [WRONG] else shared.xexp("--json", WRONG)
    check(done, words)
    assert json.loads(done.err.splitlines()[-1])["error"]["exit_code"] == done.code


def test_git_shows_rows_without_what_steers(evil: Repo) -> None:
    evil.xexp("drivers", "install").good()
    for words in (
        ("diff", "HEAD~1", "HEAD", "--", "x.db"),
        ("log", "-p", "--format=%h", "--", "x.db"),
    ):
        text = evil.git(*words)
        check(Done(0, text, ""), words)
        assert "row k=" in text
    pointer = "outs:\n- md5: x\n  path: a\x1b[31m\u202eb\n"
    path = evil.write("p.db.dvc", pointer)
    check(run("git-xexp", "textconv", path, cwd=evil.path), "textconv")


def test_a_conflict_is_told_without_what_steers(evil: Repo) -> None:
    evil.xexp("drivers", "install").good()
    evil.commit("drivers")
    evil.git("switch", "-q", "-c", "other")
    for branch, value in (("other", "o"), ("main", "m")):
        evil.git("switch", "-q", branch)
        with closing(sqlite3.connect(evil / "x.db")) as db, db:
            db.execute("UPDATE plain SET v = ?", (value + EVIL,))
        evil.commit(branch)
    check(run("git", "merge", "-q", "other", cwd=evil.path), "git merge")
    check(evil.xexp("conflicts").good(), "conflicts")
    assert evil.xexp("conflicts", "--json").good().json()[0]["conflicts"]


@pytest.mark.parametrize("form", [[], ["--columns", "version,headline,text"], ["--porcelain"]])
def test_no_line_is_endless(repo: Repo, form: list[str]) -> None:
    repo.git("tag", "-a", "--cleanup=verbatim", "-F", "-", "e0.1.0", stdin="long " * 60_000)
    for words in (["explore", *form], ["explore", "show", "e0.1.0"], []):
        out = repo.xexp(*words).good().out
        assert max(map(len, out.splitlines())) <= MOST, words


def test_one_line() -> None:
    assert one_line("plain é 漢字 👩\u200d🔬\ttab") == "plain é 漢字 👩\u200d🔬\ttab"
    assert not BAD.search(one_line(EVIL)) and "\n" not in one_line(EVIL)
    assert len(one_line("x" * 5_000_000)) == MOST
    assert console.as_json(EVIL) and json.loads(console.as_json(EVIL)) == EVIL
    assert not BAD.search(console.as_json({EVIL: EVIL}))
    assert streams.shown(streams.paint("red\x1b[1m", "red")) == "\x1b[31mred\\x1b[1m\x1b[0m"


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (XexpError("a\nfatal: FORGED"), ["fatal: a\\nfatal: FORGED"]),
        (NoAnswer("modified:\n  one\n  two"), ["error: modified:", "  one", "  two"]),
        (XexpError("no", suggestion("ab", ["a\nFORGED b", "abc"])), ["fatal: no"]),
        (GitError(["x"], 128, "fatal: one\ntwo\x1b[31m"), ["fatal: one", "two\\x1b[31m"]),
    ],
)
def test_errors_have_their_own_lines_only(
    error: XexpError, lines: list[str], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    from gitxexp.cli.main import main

    def fail(*_args: object, **_kw: object) -> None:
        raise error

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "invoke", fail)
    run_line([])
    told = capsys.readouterr().err.splitlines()
    assert told[: len(lines)] == lines
    assert all(line.startswith("hint: ") for line in told[len(lines) :])


def test_a_patch_keeps_gits_colours_and_nothing_else() -> None:
    patch = "\x1b[1mdiff\x1b[m\r\n+a\x1b]0;T\x07\u202e\tb\n"
    assert console._harmless(patch) == "\x1b[1mdiff\x1b[m\r\n+a?]0;T??\tb\n"
