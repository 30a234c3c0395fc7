"""What is said and what is not: quiet, hints that make sense, words from anywhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers import Repo, sql
from tests.terminal import Terminal
from tests.workflows.merge.test_driver import KEYED


def on_terminal(repo: Repo, *words: str, width: int = 80, **env: str) -> tuple[str, int | None]:
    """What is shown on a terminal, and the exit code."""
    env = {"GIT_PAGER": "cat", **env}
    return Terminal(words, repo.path, env, width=width, height=40).finish()


STEERING = "\x1b[31mred\x1b]0;title\x07\x9b5m\u202e"


def test_no_word_steers_the_terminal(ready: Repo) -> None:
    """Escape sequences in a message, a name or a label are shown as escapes."""
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
        (["-l", "a\nb"], "--label: 'a\\nb' is not a name"),
        (["-P", "a\nb=1"], "-P: 'a\\nb' is not a name"),
    ],
)
def test_words_that_no_tag_can_hold(ready: Repo, words: list[str], said: str) -> None:
    before = ready.refs()
    done = ready.xexp("tag", *words)
    assert (done.code, done.out) == (129, "")
    assert done.err.startswith(f"fatal: {said}\nhint: git xexp tag -h")
    assert ready.refs() == before


def test_names_that_are_no_utf_8(ready: Repo) -> None:
    for words in (["tag", "--name", "n\udce9"], ["worktree", "new", "n\udce9"]):
        done = ready.xexp(*words)
        assert done.code == 129 and "n\\udce9' is not UTF-8\n" in done.err
    assert ready.git("worktree", "list").count("\n") == 0
    odd = Repo(ready.path.parent / "p\udce9")
    odd.path.mkdir()
    odd.git("init", "-q")
    done = odd.xexp("init")
    assert done.code == 128 and "p\\udce9" in done.err and done.err.endswith("hint: rename it\n")
    odd.xexp("init", "--no-dvc").good()
    odd.xexp("undo").good()
    assert odd.git("status", "--porcelain") == ""


def test_counts_in_lines_for_scripts_are_numbers(ready: Repo) -> None:
    ready.write("README.md", "changed\n")
    assert "changed 1\n" in ready.xexp("worktree", "list", "--porcelain").good().out
    ready.git("checkout", "-q", "README.md")
    assert "changed 0\n" in ready.xexp("worktree", "list", "--porcelain").good().out


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
        (("explore", "cleanup"), "nothing to remove: explore checkout has left no worktree\n"),
        (("drivers", "install"), "everything is already registered\n"),
        (("init", "--no-dvc"), "everything is already set up\nhint: next: git xexp run"),
    ):  # fmt: skip
        text, code = on_terminal(ready, *words)
        assert code == 0 and text.startswith(said), words
        assert ("hint" in text) == (words[0] == "init")
    ready.xexp("drivers", "uninstall").good()
    assert on_terminal(ready, "drivers", "uninstall") == ("nothing is registered here\n", 0)


def test_merging_what_is_there_already_has_no_next_step(set_up: Repo) -> None:
    set_up.xexp("tag").good()
    text, code = on_terminal(set_up, "merge", "e0.1.0")
    assert code == 0 and "nothing to merge: every row is here already" in text
    assert "hint" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tag", "--run", ""], "--run: the value is empty"),
        (["tag", "--run="], "--run: the value is empty"),
        (["promote", "--run", "", "-y"], "--run: the value is empty"),
        (["push", "--git-remote", ""], "--git-remote: the value is empty"),
        (["worktree", "new", "a", "--path", ""], "--path: the value is empty"),
        (["merge", "-o", "", "a.db"], "-o: the value is empty"),
        (["tag", "-l", ""], "-l: the value is empty"),
        (["get", "HEAD", ""], "an argument is empty"),
        (["get", "", "README.md"], "an argument is empty"),
        (["merge", ""], "an argument is empty"),
        ([""], "an argument is empty"),
    ],
)
def test_a_variable_that_is_not_set_is_not_an_option_left_out(
    ready: Repo, words: list[str], said: str
) -> None:
    done = ready.xexp(*words)
    assert (done.code, done.out) == (129, "")
    assert done.err == f"fatal: {said}\nhint: omit it or give a value\n"


def test_an_empty_message_may_be_meant(ready: Repo) -> None:
    assert ready.xexp("tag", "-m", "").good().out.startswith("e0.1.0  ")
    assert ready.xexp("tag", "--message=").good().out.startswith("e0.1.1  ")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("tag -m", "git xexp tag -h shows the usage"),
        ("explore list --reverse=1", "git xexp explore list -h shows the usage"),
        ("tag -d e0.1.0", "git xexp undo removes the last experiment"),
        ("filter", "git xexp explore list --filter 'f1 > 0.8'"),
        ("tag --list", "git xexp explore list"),
        ("merge --abort", "a merge is never left unfinished; git xexp undo undoes it"),
        ("worktree add x", "did you mean new?"),
        ("push origin", "git xexp push --git-remote origin"),
        ("diff HEAD...HEAD", "A..B compares the two"),
    ],
)
def test_hints_for_those_who_know_git(ready: Repo, words: str, hint: str) -> None:
    ready.git("remote", "add", "origin", "../nowhere")
    done = ready.xexp(*words.split())
    assert done.code in (128, 129)
    assert done.err.splitlines()[1:] == [f"hint: {hint}"]


def test_numbers_that_no_machine_holds(ready: Repo) -> None:
    huge = "9" * 30
    ready.xexp("tag").good()
    assert "e0.1.0" in ready.xexp("log", f"-{huge}").good().out
    assert "e0.1.0" in ready.xexp("explore", "-n", huge).good().out
    done = ready.xexp("undo", huge)
    assert done.code == 1 and "can be undone" in done.err


def test_two_sides_as_git_diff_takes_them(ready: Repo) -> None:
    sql(ready / "runs.db", KEYED, "INSERT INTO runs VALUES ('a', 0.1, NULL)")
    ready.commit("one")
    sql(ready / "runs.db", "UPDATE runs SET f1 = 0.2")
    ready.commit("two")
    plain = ready.xexp("diff", "HEAD~1", "HEAD").good().out
    assert plain and ready.xexp("diff", "HEAD~1..HEAD").good().out == plain
    assert ready.xexp("diff", "HEAD~1..").good().out == plain
    done = ready.xexp("diff", "--quiet", "HEAD~1")
    assert (done.code, done.out, done.err) == (1, "", "")
    assert ready.xexp("diff", "-q").code == 0


def test_help_and_version_as_words(repo: Repo) -> None:
    assert repo.xexp("version").good().out == repo.xexp("--version").good().out
    assert repo.xexp("--version", "-q").good().out == repo.xexp("--version").good().out


def test_tables_fit_narrow_terminals(ready: Repo) -> None:
    """Columns are cut, then left out from the right, but a line is never broken."""
    text, many = "a longer text about it", [f"metric{n}=0.{n}" for n in range(4)]
    words = [word for metric in many for word in ("-M", metric)]
    ready.xexp("tag", "-m", text, "-P", "learning_rate=0.001", *words).good()
    for width in (24, 40, 60, 80):
        for verb in (["log"], ["explore"], ["worktree", "list"]):
            shown, _ = on_terminal(ready, *verb, "--color=never", width=width)
            lines = shown.splitlines()
            assert len(lines) > 1 and max(map(len, lines)) <= width, shown


def test_where_to_go_without_a_remote_and_without_rows(ready: Repo) -> None:
    text, code = on_terminal(ready, "tag", "-m", "first")
    assert code == 0 and text.endswith("hint: next: git xexp explore list\n")
    text, code = on_terminal(ready, "diff", "e0.1.0", "HEAD", width=100)
    assert code == 0
    assert text == "hint: no row differs; parameters and code: git xexp explore diff e0.1.0 HEAD\n"
    assert ready.xexp("diff", "e0.1.0", "HEAD").good().err == ""
