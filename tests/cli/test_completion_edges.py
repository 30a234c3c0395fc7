"""TAB where it is easily wrong: glued values, groups without a verb, aliases, nothing to offer."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitxexp.cli.main import main
from gitxexp.cli.shell import completion_spec
from gitxexp.repository import operation, tag_message
from gitxexp.repository.tag_message import Payload
from tests.cli.completion_project import completion_project
from tests.cli.shells import COMPLETIONS, DUMP, Shell
from tests.conftest import seal
from tests.helpers import Clock, Repo, run

LEFT = "\x02"  #: Ctrl-B

#: git alias → what it stands for.
ALIASES = {
    "gx": "!git xexp",
    "again": "x",
    "said": "xexp tag -m 'in two words'",
    "broken": "nonsense",
    "loop": "loop",
}


@pytest.fixture(scope="module")
def project(sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """The usual one with tables, operations, aliases, a plain tag and folders without experiments."""
    folder = tmp_path_factory.mktemp("edges")
    made = completion_project(folder)
    for name, text in ALIASES.items():
        made.git("config", f"alias.{name}", text)
    made.git("tag", "v1.0")
    with sqlite3.connect(made / "results/runs.db") as db:
        db.execute('ALTER TABLE predictions ADD COLUMN "my col" TEXT')
        db.execute("CREATE TABLE other (id INTEGER)")
    (made / ".git/xexp").mkdir()
    with sqlite3.connect(made / ".git/xexp/oplog.db") as db:
        db.executescript(operation.SCHEMA)
        add = "INSERT INTO operations (verb, summary, status, worktree, started, pid)"
        db.executemany(
            f"{add} VALUES (?, ?, ?, '', 0, 0)",
            [("tag", "e0.10.0", "done"), ("tag", "e0.11.0", "done"), ("get", "x", "failed")],
        )
    made.write("src/inner.db", "")
    Repo(folder).git("init", "-q", "empty")
    return made


@pytest.fixture(scope="module", params=["bash", "zsh", "fish"])
def shell(
    request: pytest.FixtureRequest, project: Repo, sealed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shell]:  # fmt: skip
    """Each shell in turn, in the project; no Python may have run when it ends."""
    home = sealed / f"home-edges-{request.param}"
    seal(home)
    (home / "my own.db").touch()
    with Shell(request.param, project.path, tmp_path_factory.mktemp(request.param)) as started:
        yield started
        assert not started.python_ran


@pytest.mark.parametrize(
    ("typed", "becomes"),
    [
        # options of the verb that a group means
        ("git xexp explore --sort f", "git xexp explore --sort f1 "),
        ("git xexp explore --sort=f", "git xexp explore --sort=f1 "),
        ("git xexp explore -q sho", "git xexp explore -q show "),
        ("git xexp explore --sort f1 sho", "git xexp explore --sort f1 sho"),
        ("git xexp candidates --slot n", "git xexp candidates --slot ner "),
        # what a verb takes, and no more
        ("git xexp nosuch ge", "git xexp nosuch ge"),
        ("git xexp tag e0.12", "git xexp tag e0.12.0 "),
        ("git xexp tag e0.9", "git xexp tag e0.9"),
        ("git xexp tag --name sw", "git xexp tag --name sweep "),
        ("git xexp promote feat", "git xexp promote feat"),
        ("git xexp explore show run-e0.9", "git xexp explore show run-e0.9.0 "),
        ("git xexp explore diff e0.9.0..e0.11", "git xexp explore diff e0.9.0..e0.11.0 "),
        ("git xexp explore diff e0.9.0..feat", "git xexp explore diff e0.9.0..feature/one "),
        ("git xexp explore show H", "git xexp explore show HEAD "),
        ("git xexp explore show v1", "git xexp explore show v1.0 "),
        ("git xexp check --merge feat", "git xexp check --merge feature/one "),
        ("git xexp merge wi", "git xexp merge wide "),
        ("git xexp merge --table pre", "git xexp merge --table predictions "),
        ("git xexp merge --key f1,tr", "git xexp merge --key f1,track_id "),
        ("git xexp merge --rename tr", "git xexp merge --rename track_id="),
        ("git xexp conflicts resolve --row 1=o", "git xexp conflicts resolve --row 1=ours "),
        ("git xexp diff e0.9.0 wi", "git xexp diff e0.9.0 wide "),
        ("git xexp diff e0.9.0 e0.10.0 tra", "git xexp diff e0.9.0 e0.10.0 train.py "),
        ("git xexp diff e0.9.0 -- tra", "git xexp diff e0.9.0 -- train.py "),
        ("git xexp prune --cache --project sr", "git xexp prune --cache --project src/"),
        ("git xexp worktree remove ../exp-w", "git xexp worktree remove ../exp-wide/"),
        # a value that is glued to its letter
        ("git xexp get e0.9.0 -osr", "git xexp get e0.9.0 -osrc/"),
        ("git xexp get e0.9.0 -fosr", "git xexp get e0.9.0 -fosrc/"),
        # the user's own folder
        ("git xexp merge ~/my", r"git xexp merge ~/my\ own.db "),
        ("git xexp merge --output=~/my", r"git xexp merge --output=~/my\ own.db "),
        # git's aliases
        ("git gx get e0.11", "git gx get e0.11.0 "),
        ("git said --be", "git said --best="),
        ("git said e0.12", "git said e0.12.0 "),
    ],
)  # fmt: skip
def test_one_candidate_is_put_in(shell: Shell, typed: str, becomes: str) -> None:
    assert shell.completed(typed) == becomes


@pytest.mark.parametrize(
    ("typed", "value"),
    [("git xexp tag -Mf", "-Mf1="), ("git xexp tag -qMlo", "-qMloss="), ("git xexp tag -Pl", "-Plr="),
     ("git xexp explore list -lbes", "-lbest"), ("git xexp tag -qn", "-qn")],
)  # fmt: skip
def test_a_value_glued_to_its_letter(shell: Shell, typed: str, value: str) -> None:
    """fish's rules for git offer ``-h`` after every letter: it must never be put in."""
    done, shown = shell.tab(typed)
    if shell.name == "fish":
        assert done.removesuffix(" ") in (typed, typed.rpartition("-")[0] + value)
        assert value in f"{done} {shown}"
    else:
        assert done.removesuffix(" ") == typed.rpartition("-")[0] + value


@pytest.mark.parametrize("typed", ["git xexp tag -Mzz", "git xexp tag -mff", "git xexp tag -qZ",
                                   "git xexp push -rnone"])  # fmt: skip
def test_a_glued_value_that_nothing_completes_stays(shell: Shell, typed: str) -> None:
    assert shell.completed(typed).rstrip() == typed


def test_an_alias_of_an_alias(shell: Shell) -> None:
    """zsh's own completion of git looks an alias up once."""
    done = shell.completed("git again get e0.11")
    assert done == ("git again get e0.11" if shell.name == "zsh" else "git again get e0.11.0 ")


@pytest.mark.parametrize(
    "typed",
    ["git xexp get ", "git xexp get e0.9.0 ", "git xexp tag --best=", "git xexp tag -l ",
     "git xexp tag --run=", "git xexp worktree remove ", "git xexp undo ",
     "git xexp conflicts resolve ", "git xexp promote --slot="],
)  # fmt: skip
def test_where_there_is_nothing_nothing_is_put_in(shell: Shell, project: Repo, typed: str) -> None:
    """No empty word, no file of the folder, no word of a shell's own about it."""
    empty = project.path.parent / "empty"
    shell.run(f"cd {empty}")
    try:
        done, shown = shell.tab(typed)
        assert done == typed
        assert "no matches" not in shown and ".git/" not in shown
    finally:
        shell.run(f"cd {project.path}")


@pytest.mark.parametrize("typed", ["git xexp merge src/i", "git xexp merge --output=src/in"])
def test_files_are_looked_for_in_silence(shell: Shell, typed: str) -> None:
    done, shown = shell.tab(typed)
    assert done.endswith("src/inner.db ")
    assert "eval" not in shown and "no matches" not in shown


def test_undo_says_what_it_would_take_back(shell: Shell) -> None:
    shown = shell.tab("git xexp undo ")[1]
    words = shown.replace("\r", "").split()
    assert {"1", "2"} <= set(words) and "3" not in words
    if shell.name != "bash":
        assert "tag e0.11.0" in shown


@pytest.mark.parametrize("typed", ["git broken ge", "git loop e0.11"])
def test_other_aliases_are_none_of_ours(shell: Shell, typed: str) -> None:
    assert "e0.11.0" not in shell.completed(typed)


@pytest.mark.parametrize(
    ("typed", "becomes"),
    [
        (f"git xexp get e0.9.0 tr.py{LEFT * 3}", "git xexp get e0.9.0 train.py"),
        (f"git xexp wor list{LEFT * 5}", "git xexp worktree"),
        (f"git xexp tag --best=lo --yes{LEFT * 6}", "git xexp tag --best=loss"),
    ],
)
def test_what_is_before_the_cursor_stays(shell: Shell, typed: str, becomes: str) -> None:
    """zsh completes at the end of the word, unless COMPLETE_IN_WORD is set."""
    done = shell.completed(typed)
    assert done.startswith(becomes) or (shell.name == "zsh" and done == typed.rstrip(LEFT))


def test_where_one_stands_cannot_be_removed(shell: Shell, project: Repo) -> None:
    shell.run(f"cd {project.path.parent}/exp-wide")
    try:
        assert shell.completed("git xexp worktree remove w") == "git xexp worktree remove w"
    finally:
        shell.run(f"cd {project.path}")


def test_a_shell_alias(shell: Shell) -> None:
    """zsh and fish see through it; bash is told once, as git-xexp-completion(1) says."""
    shell.run("alias gx='git xexp'; alias gt='git xexp tag -q'")
    if shell.name == "bash":
        for name in ("gx", "gt"):
            shell.run(
                f"complete -o bashdefault -o default -o nospace -F __git_xexp_complete {name}"
            )
    assert shell.completed("gx get e0.11") == "gx get e0.11.0 "
    assert shell.completed("gx tag --best=lo") == "gx tag --best=loss "
    assert shell.completed("gt --be") == "gt --best="


def test_what_git_could_not_merge(shell: Shell, project: Repo, tmp_path: Path) -> None:
    clash = Repo(tmp_path)
    clash.git("init", "-q")
    clock = Clock()
    for branch, text in (("ours", "a"), ("theirs", "b")):
        clash.git("checkout", "-q", "--orphan", branch)
        for name in ("my results.db", "notes.txt"):
            clash.write(name, text)
        clock.tick()
        clash.commit(branch)
    done = run("git", "merge", "--allow-unrelated-histories", "ours", cwd=tmp_path)
    assert done.code == 1
    shell.run(f"cd {tmp_path}")
    try:
        typed = "git xexp conflicts resolve "
        assert shell.completed(typed) == typed + r"my\ results.db "
    finally:
        shell.run(f"cd {project.path}")


def test_zsh_may_also_source_the_script(
    project: Repo, sealed: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    seal(sealed / "home-sourced")
    with Shell("zsh", project.path, tmp_path_factory.mktemp("sourced"), sourced=True) as sourced:
        assert sourced.completed("git xexp get e0.11") == "git xexp get e0.11.0 "
        assert sourced.completed("git-xexp tag --best=lo") == "git-xexp tag --best=loss "
        assert sourced.completed("git again get e0") == "git again get e0"
        assert "error" not in sourced.tab("git xexp undo ")[1]


def test_every_sh_says_the_same(project: Repo) -> None:
    """``sh`` is dash here; elsewhere it is bash or another."""
    bash = run("bash", "-c", f'source {COMPLETIONS}/git-xexp.bash; printf %s "$__git_xexp_engine"',
               cwd=project.path).good()  # fmt: skip
    lines = ["get e0.9.0 images/", "get e", "tag -M", "tag -Ml", "tag --label=", "merge --key f1,",
             "explore --columns +lr,", "undo ", "worktree remove ", "tag --", "diff "]  # fmt: skip

    def said(*sh: str) -> str:
        return "".join(
            subprocess.run([*sh, "-c", bash.out, "sh", mode, "git", "xexp", *line.split(" ")],
                           cwd=project.path, capture_output=True, text=True).stdout
            for mode in ("plain", "full", "fish") for line in lines
        )  # fmt: skip

    expected = said("sh")
    assert "f1" in expected and "wide" in expected
    for other in (["dash"], ["bash", "--posix"], ["zsh", "--emulate", "sh"], ["busybox", "sh"]):
        assert shutil.which(other[0]) is None or said(*other) == expected, other


def test_names_in_a_database_are_names(shell: Shell, project: Repo, tmp_path: Path) -> None:
    """A table's name comes with a clone, and sqlite3 has functions that write files."""
    written = tmp_path / "written"
    name = f"a\" UNION SELECT writefile('{written}', 'x') --"
    with sqlite3.connect(project / "results/runs.db") as db:
        db.execute("CREATE TABLE a (track_id TEXT)")
        db.execute('CREATE TABLE "{}" (track_id TEXT)'.format(name.replace('"', '""')))
        db.execute("""INSERT INTO "{}" VALUES ('their-run')""".format(name.replace('"', '""')))
    try:
        assert shell.completed("git xexp tag --run their") == "git xexp tag --run their-run "
        assert not written.exists()
    finally:
        with sqlite3.connect(project / "results/runs.db") as db:
            db.execute('DROP TABLE "{}"'.format(name.replace('"', '""')))
            db.execute("DROP TABLE a")


@pytest.mark.parametrize("quote", ["", "'", '"'])
@pytest.mark.parametrize("label", ["c$(touch here)d", "x*y", "zb\\n", 'q"q', "s'q", "tick`id`"])
def test_what_is_put_in_is_that_word(
    shell: Shell, project: Repo, tmp_path: Path, quote: str, label: str
) -> None:
    """Whoever wrote the label: the shell that reads the line back sees it, and runs nothing."""
    made = completion_payload(label)
    project.git("tag", "-a", "--cleanup=verbatim", "-F", "-", "e0.99.2", stdin=made)
    try:
        done = shell.completed(f"git xexp tag -l {quote}{label[0]}")
    finally:
        project.git("tag", "-d", "e0.99.2")
    word = done.removeprefix("git xexp tag -l ").rstrip()
    run_in = [shell.name, "-c", f"printf %s {word}"]
    assert run(*run_in, cwd=tmp_path).out == label
    assert not (tmp_path / "here").exists()


def completion_payload(label: str) -> str:
    """The message of a tag with one label."""
    known = Payload(headline="x", version="e0.99.2", config_hash="sha256:00", labels=(label,))
    return tag_message.encode(known)


def test_what_a_tag_says_is_no_code_for_the_terminal(shell: Shell, project: Repo) -> None:
    project.git("tag", "-a", "e0.99.1", "-m", "evil \x1b]0;TITLE\x07 \x1b[31mred")
    project.git("tag", "-a", "e0.99.0", "-m", "a usual one")
    try:
        shell.child.send("git xexp get e0.99.\t" + DUMP)
        shell.child.expect("<<<")
        shown = shell.child.before
        assert "e0.99" in shown and "\x1b]0;TITLE" not in shown and "\x1b[31mred" not in shown
    finally:
        shell.child.expect(">>>")
        project.git("tag", "-d", "e0.99.0", "e0.99.1")


def test_every_kind_is_of_something() -> None:
    used = set()
    for path, command in completion_spec.commands(main):
        for param in command.params:
            names = (f"{path}.{param.name}", param.name)
            used.add(next((name for name in names if name in completion_spec.KINDS), ""))
    assert used - {""} == set(completion_spec.KINDS)
