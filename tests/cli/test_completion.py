"""TAB in the real shells: what is completed, for every way of writing the command."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gitxexp.cli.main import main
from gitxexp.cli.shell import completion
from tests.cli.completion_project import completion_project
from tests.cli.shells import COMPLETIONS, Shell
from tests.conftest import seal
from tests.helpers import Repo, run

SHELLS = ("bash", "zsh", "fish")
VERSION = re.compile(r"e\d+\.\d+\.\d+|exp-[a-z]+-v\d+")


@pytest.fixture(scope="module")
def project(sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """e0.9.0 to e0.11.0 and exp-sweep-v1 with artifacts of every kind, a branch and a worktree."""
    return completion_project(tmp_path_factory.mktemp("completion"))


@pytest.fixture(scope="module", params=SHELLS)
def shell(
    request: pytest.FixtureRequest, project: Repo, sealed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shell]:  # fmt: skip
    """Each shell in turn, in the project; no Python may have run when it ends."""
    seal(sealed / f"home-{request.param}")
    with Shell(request.param, project.path, tmp_path_factory.mktemp(request.param)) as started:
        yield started
        assert not started.python_ran


def test_the_committed_scripts_are_what_the_generator_makes() -> None:
    made = completion.generate(main)
    committed = {
        str(path.relative_to(COMPLETIONS)): path.read_text("utf-8")
        for path in COMPLETIONS.rglob("*")
        if path.is_file()
    }
    assert committed == made, "run: python -m gitxexp.cli.shell.generate"


@pytest.mark.parametrize(
    ("typed", "becomes"),
    [
        ("git xe", "git xexp "),
        ("git xexp work", "git xexp worktree "),
        ("git xexp explore sho", "git xexp explore show "),
        ("git xexp worktree rem", "git xexp worktree remove "),
        ("git xexp list --rev", "git xexp list --reverse "),
        ("git xexp show e0.9", "git xexp show e0.9.0 "),
        ("git xexp download e0.9.0 --strat", "git xexp download e0.9.0 --strategy="),
        ("git xexp worktree new a --no-f", "git xexp worktree new a --no-fetch "),
        ("git xexp get e0.9.0 --strat", "git xexp get e0.9.0 --strategy="),
        ("git xexp get e0.9.0 --strategy=d", "git xexp get e0.9.0 --strategy=dvc "),
        ("git xexp get e0.9.0 --strategy d", "git xexp get e0.9.0 --strategy dvc "),
        ("git xexp tag --best=l", "git xexp tag --best=loss "),
        ("git xexp tag -P l", "git xexp tag -P lr="),
        ("git xexp tag --run new", "git xexp tag --run new-run-2 "),
        ("git xexp tag --run=old", "git xexp tag --run=old-run-1 "),
        ("git xexp explore list -l be", "git xexp explore list -l best "),
        ("git xexp explore --revers", "git xexp explore --reverse "),
        ("git xexp promote --slot n", "git xexp promote --slot ner "),
        ("git xexp worktree remove w", "git xexp worktree remove wide "),
        ("git xexp worktree new a --branch fea", "git xexp worktree new a --branch feature/one "),
        ("git xexp explore show exp-", "git xexp explore show exp-sweep-v1 "),
        ("git xexp get e0.11", "git xexp get e0.11.0 "),
        ("git xexp get e0.9.0 mod", "git xexp get e0.9.0 models/"),
        ("git xexp get e0.9.0 models/st", "git xexp get e0.9.0 models/staged.bin "),
        ("git xexp get e0.9.0 models/prod", "git xexp get e0.9.0 models/production/"),
        ("git xexp get e0.9.0 src/deep/t", "git xexp get e0.9.0 src/deep/tool.py "),
        ("git xexp get e0.9.0 train.py src/d", "git xexp get e0.9.0 train.py src/deep/"),
        ("git xexp get e0.9.0 images/b", "git xexp get e0.9.0 images/b.png "),
        ("git xexp get e0.9.0 images/c", "git xexp get e0.9.0 images/cats/"),
        ("git xexp get e0.9.0 -f tra", "git xexp get e0.9.0 -f train.py "),
        ("git xexp get -r store e0.9.0 tra", "git xexp get -r store e0.9.0 train.py "),
        ("git x tag --be", "git x tag --best="),
        ("git xget e0.10", "git xget e0.10.0 "),
        ("git look sho", "git look show "),
        ("git look list --sort f", "git look list --sort f1 "),
        ("git xexp plot los", "git xexp plot loss "),
        ("git xexp explore plot f1 --x ste", "git xexp explore plot f1 --x step "),
        ("git xexp explore list --sort=acc", "git xexp explore list --sort=acc"),
        ("git xexp explore diff e0.9.0 e0.11", "git xexp explore diff e0.9.0 e0.11.0 "),
        ("git xexp candidates add --slot=n", "git xexp candidates add --slot=ner "),
        ("git xexp prune --metric lo", "git xexp prune --metric loss "),
        ("git xexp explore list --columns los", "git xexp explore list --columns loss "),
        ("git xexp explore list --columns=+lr,f", "git xexp explore list --columns=+lr,f1 "),
        ("git xexp completion z", "git xexp completion zsh "),
        ("git-xexp work", "git-xexp worktree "),
        ("git-xexp get e0.10", "git-xexp get e0.10.0 "),
        ("git-xexp get e0.9.0 --strategy=d", "git-xexp get e0.9.0 --strategy=dvc "),
        ("git xexp -q get e0.10", "git xexp -q get e0.10.0 "),
        ("true; git xexp get e0.10", "true; git xexp get e0.10.0 "),
    ],
)  # fmt: skip
def test_one_candidate_is_put_in(shell: Shell, typed: str, becomes: str) -> None:
    assert shell.completed(typed) == becomes


@pytest.mark.parametrize(
    ("typed", "folder"),
    [("git -C {} xexp get e0.1", "repo"), ("git -C '{}' xexp get e0.1", "repo"),
     ("git --git-dir={}/.git xexp get e0.1", "repo"), ("git -C {} xexp get e0.1", "exp-wide"),
     ("git -C {}/src xexp get e0.1", "repo")],
)  # fmt: skip
def test_gits_own_options_are_followed(
    shell: Shell, project: Repo, typed: str, folder: str, tmp_path: Path
) -> None:
    shell.run(f"cd {tmp_path}")
    line = typed.format(project.path.parent / folder)
    try:
        done, shown = shell.tab(line)
        assert "e0.11.0" in shown and "e0.10.0" in shown and "e0.9.0" not in shown
        assert done in (line, f"{line}1.0", f"{line}.")
    finally:
        shell.run(f"cd {project.path}")


def test_versions_are_listed_newest_first(shell: Shell) -> None:
    listed = [word for word in shell.listed("git xexp get e") if VERSION.fullmatch(word)]
    by_row = ["e0.11.0", "e0.10.0", "e0.9.0", "exp-sweep-v1"]
    in_two_columns = ["e0.11.0", "e0.9.0", "e0.10.0", "exp-sweep-v1"]
    assert list(dict.fromkeys(listed)) == (in_two_columns if shell.name == "fish" else by_row)


def test_descriptions_are_shown_where_the_shell_can(shell: Shell) -> None:
    shown = shell.tab("git xexp get e0.")[1]
    assert ("about e0.10.0" in shown) == (shell.name != "bash")
    shown = shell.tab("git xexp ")[1]
    assert ("snapshot the experiment" in shown) == (shell.name != "bash")


def test_names_with_spaces_and_quotes(shell: Shell) -> None:
    ends = {"bash": r"data/it\'s\ a\ set.csv ", "zsh": r"data/it\'s\ a\ set.csv ",
            "fish": r"data/it\'s\ a\ set.csv "}  # fmt: skip
    assert shell.completed("git xexp get e0.9.0 data/it") == (
        "git xexp get e0.9.0 " + ends[shell.name]
    )
    assert shell.completed('git xexp get e0.9.0 "data/it').startswith(
        "git xexp get e0.9.0 \"data/it's a set.csv"
    )
    inside = shell.completed("git xexp get e0.9.0 images/cats/o")
    assert inside == r"git xexp get e0.9.0 images/cats/one\ cat.png "
    done = shell.completed("git xexp tag -l ba")
    assert done == r"git xexp tag -l base\ line "
    assert shell.completed("git xexp tag -P my") in (
        r"git xexp tag -P my\ batch=", r"git xexp tag -P my\ batch\=",
    )  # fmt: skip


def test_a_quote_is_closed_before_the_space(shell: Shell) -> None:
    done = 'git xexp get "e0.11.0" '
    assert shell.completed('git xexp get "e0.11') == done
    assert shell.completed("git xexp get 'e0.11") == done.replace('"', "'")
    inside = shell.completed('git xexp get e0.9.0 tr"ai')
    assert inside in ('git xexp get e0.9.0 tr"ai', "git xexp get e0.9.0 train.py ",
                      'git xexp get e0.9.0 tr"ain.py" ')  # fmt: skip


def test_names_that_are_not_ascii(shell: Shell) -> None:
    """git quotes them, DVC's manifests spell them as JSON does."""
    assert shell.completed("git xexp get e0.9.0 gr") == "git xexp get e0.9.0 größe/"
    assert shell.completed("git xexp get e0.9.0 größe/") == (r"git xexp get e0.9.0 größe/α\ β.csv ")
    assert shell.completed("git xexp get e0.9.0 images/v") == "git xexp get e0.9.0 images/vögel/"
    assert shell.completed("git xexp get e0.9.0 images/vögel/日") in (
        r"git xexp get e0.9.0 images/vögel/日本\ \"1\"\ 🐦.png ",
    )


def test_a_value_with_a_space_after_an_equals_sign(shell: Shell) -> None:
    assert shell.completed("git xexp explore list --label=ba") == (
        r"git xexp explore list --label=base\ line "
    )


@pytest.mark.parametrize("command", ["git xexp ", "git-xexp ", "git x "])
def test_every_verb_is_listed(shell: Shell, command: str) -> None:
    assert isinstance(main, click.Group)
    context = click.Context(main)
    verbs = {name: main.get_command(context, name) for name in main.list_commands(context)}
    visible = {name for name, verb in verbs.items() if verb and not verb.hidden}
    assert {*verbs} - visible == {"status"}  # git xexp alone is the status page
    assert visible <= set(shell.listed(command))


def test_outside_a_repository_nothing_is_said(shell: Shell, project: Repo, tmp_path: Path) -> None:
    shell.run(f"cd {tmp_path}")
    try:
        done, shown = shell.tab("git xexp get e0")
        assert done == "git xexp get e0" and "fatal" not in shown
        assert shell.completed("git xexp explore sho") == "git xexp explore show "
        assert shell.completed("git xexp tag --be") == "git xexp tag --best="
    finally:
        shell.run(f"cd {project.path}")


def test_in_a_subfolder_and_a_linked_worktree(shell: Shell, project: Repo) -> None:
    shell.run(f"cd {project.path}/src")
    try:
        assert shell.completed("git xexp get e0.9.0 de") == "git xexp get e0.9.0 deep/"
        assert shell.completed("git xexp get e0.9.0 ../tr") == "git xexp get e0.9.0 ../train.py "
        assert shell.completed("git xexp get e0.9.0 ima") == "git xexp get e0.9.0 images"[:-6] + (
            "images/"
        )
        shell.run(f"cd {project.path.parent}/exp-wide")
        assert shell.completed("git xexp get e0.9.0 tra") == "git xexp get e0.9.0 train.py "
        assert shell.completed("git xexp get e0.9.0 images/b") == (
            "git xexp get e0.9.0 images/b.png "
        )
    finally:
        shell.run(f"cd {project.path}")


def test_files_by_their_kind(shell: Shell) -> None:
    done = shell.completed("git xexp merge som")
    assert done == r"git xexp merge some\ results.db "
    assert shell.completed("git xexp merge feat") == "git xexp merge feature/one "


def test_nothing_is_offered_twice(shell: Shell) -> None:
    assert shell.completed("git xexp tag --no-st") == "git xexp tag --no-stamp "
    typed = "git xexp tag --no-stamp --no-st"
    assert shell.completed(typed) == typed


def test_git_lists_xexp(shell: Shell) -> None:
    assert shell.completed("git xex") == "git xexp "


@pytest.fixture(scope="module")
def wrapped(
    project: Repo, sealed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shell]:
    """zsh with git's contrib wrapper in the place of its own _git."""
    seal(sealed / "home-wrapper")
    with Shell("zsh", project.path, tmp_path_factory.mktemp("wrapper"), wrapper=True) as started:
        yield started
        assert not started.python_ran


@pytest.mark.parametrize(
    ("typed", "becomes"),
    [
        ("git xexp work", "git xexp worktree "),
        ("git xexp get e0.11", "git xexp get e0.11.0 "),
        ("git xexp get e0.9.0 mod", "git xexp get e0.9.0 models/"),
        ("git xexp get e0.9.0 --strategy=d", "git xexp get e0.9.0 --strategy=dvc "),
        ("git xexp get e0.9.0 data/it", r"git xexp get e0.9.0 data/it\'s\ a\ set.csv "),
        ("git xexp get e0.9.0 --strategy d", "git xexp get e0.9.0 --strategy dvc "),
        ("git xexp get e0.9.0 --strat", "git xexp get e0.9.0 --strategy="),
        ("git xexp merge som", r"git xexp merge some\ results.db "),
        ("git xexp tag --no-st", "git xexp tag --no-stamp "),
        ("git xexp tag -P l", "git xexp tag -P lr="),
        ("git --git-dir=.git xexp get e0.11", "git --git-dir=.git xexp get e0.11.0 "),
        ("git x tag --be", "git x tag --best="),
        ("git xget e0.10", "git xget e0.10.0 "),
        ("git-xexp get e0.10", "git-xexp get e0.10.0 "),
        ("git xex", "git xexp "),
    ],
)
def test_gits_contrib_wrapper_in_zsh(wrapped: Shell, typed: str, becomes: str) -> None:
    assert wrapped.completed(typed) == becomes


def test_without_sqlite3_only_the_tags_know_runs(project: Repo, tmp_path: Path) -> None:
    """The engine alone, on a PATH that has what it needs and no sqlite3."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("git", "sh", "awk", "sed", "tr", "cat", "head"):
        found = shutil.which(name)
        assert found
        (tools / name).symlink_to(found)
    done = by_bash("tag --run ", project.path, {"PATH": str(tools)})
    assert done == ["run-e0.11.0", "run-e0.10.0", "run-e0.9.0", "run-exp-sweep-v1"]


def by_bash(line: str, cwd: Path, env: dict[str, str] | None = None) -> list[str]:
    """What bash offers after ``git-xexp LINE``, without a terminal."""
    bash = shutil.which("bash")
    assert bash
    script = (
        f'source {COMPLETIONS}/git-xexp.bash; COMP_LINE="git-xexp {line}";'
        f" COMP_WORDS=(git-xexp {line}''); COMP_POINT=${{#COMP_LINE}};"
        " COMP_CWORD=$((${#COMP_WORDS[@]} - 1));"
        ' __git_xexp_complete; printf "%s\n" "${COMPREPLY[@]}"'
    )
    return run(bash, "--norc", "-c", script, cwd=cwd, env=env).out.split()


def test_parameters_come_from_their_file_before_the_first_tag(repo: Repo) -> None:
    (repo / "params.yaml").write_text(
        "# lr: 3\nlr: 0.1  # rate\ntrain:\n  epochs: 3\n  optim: # nested\n    name: adam\n"
        "seeds:\n- 1\n- 2\nlast: {a: 1}\n"
    )
    (repo / "src").mkdir()
    names = ["last=", "lr=", "train.epochs=", "train.optim.name="]
    for line in ("run -S ", "sweep -S ", "tag -P "):
        assert sorted(by_bash(line, repo / "src")) == names
