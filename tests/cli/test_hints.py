"""What every command shares: options before and after the verb, quiet, verbose, colour, errors."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click
import pexpect
import pytest

from gitxexp.cli.main import main
from gitxexp.cli.render import console
from gitxexp.repository.config import Config
from tests import experiments
from tests.helpers import Clock, Repo, run, sql
from tests.terminal import Terminal


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("tag --dry", "tag --dry-run"),
        ("tag --mess=a --lab b", "tag --message=a --label b"),
        ("tag -m --dry", "tag -m --dry"),
        ("tag --message --dry", "tag --message --dry"),
        ("tag -- --dry", "tag -- --dry"),
        ("-q tag -aq", "tag -a"),
        ("tag -qv", "tag"),
        ("tag --qui --verb --col=never", "tag"),
        ("tag --no-color --no-c", "tag --no-commit"),
        ("tag -mq", "tag -mq"),
        ("explore --sor f1", "explore --sort f1"),
        ("explore list --rev", "explore list --reverse"),
        ("worktree new --no-f x", "worktree new --no-fetch x"),
        ("tag --nonsense", "tag --nonsense"),
        ("get e0.1.0 -", "get e0.1.0 -"),
        ("--json log", "log --json"),
        ("--js explore", "explore --json"),
        ("-q --json explore show e0.1.0", "explore show --json e0.1.0"),
        ("--json", "--json"),
        ("log -3", "log -n 3"),
        ("explore -12", "explore -n 12"),
        ("undo -1", "undo -1"),
    ],
)
def test_options_are_spelled_out_as_git_does(given: str, words: str) -> None:
    assert understood(given) == understood(words)


def understood(words: str) -> tuple[str, list[str], dict[str, object]]:
    """What click makes of a command line: the command, what is left over, all parameters."""
    ctx: click.Context | None = None
    command: click.Command = main
    name, args = "git xexp", words.split()
    while True:
        try:
            ctx = command.make_context(name, args, ctx)
        except click.UsageError as error:
            return name, args, {"error": error.format_message()}
        if not isinstance(command, click.Group) or not (ctx._protected_args or ctx.args):
            return ctx.command_path, ctx.args, ctx.params
        args = [*ctx._protected_args, *ctx.args]
        found, inner, args = command.resolve_command(ctx, args)
        assert inner is not None and found is not None
        command, name = inner, found


def test_what_is_understood_everywhere(repo: Repo, clock: Clock) -> None:
    experiments.three(repo, clock)
    words = ["-q", "explore", "list", "--verbose", "--color", "--json", "--limit=1"]
    done = repo.xexp_process(*words).good()
    assert "run: git " in done.err and json.loads(done.out)[0]["version"] == "e1.0.0"
    assert "\x1b[" in repo.xexp("--color", "explore", "show", "e1.0.0").good().out
    assert "\x1b[" in repo.xexp("explore", "--color", "always", "show", "e1.0.0").good().out
    assert (
        "\x1b["
        not in repo.xexp("--color=always", "explore", "show", "e1.0.0", "--no-color").good().out
    )
    assert repo.xexp("explore", "-q", "--sort", "f1", "-12").good().out.count("\n") == 4


@pytest.mark.parametrize("words", ["tag --m", "tag --no", "explore list --c", "tag --color=red"])
def test_ambiguous_or_wrong_is_a_usage_error(words: str, repo: Repo) -> None:
    assert repo.xexp(*words.split()).code == 129


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("tag --help", "git-xexp-tag.1"),
        ("--help tag", "git-xexp-tag.1"),
        ("--he worktree new", "git-xexp-worktree.1"),
        ("help explore", "git-xexp-explore.1"),
        ("explore list --he", "git-xexp-explore.1"),
        ("get --help", "git-xexp-get.1"),
        ("--help", "git-xexp.1"),
        ("help", "git-xexp.1"),
    ],
)
def test_help_is_the_manual_page(
    words: str, page: str, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    man = tmp_path / "bin/man"
    man.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/shown\n')
    man.chmod(0o755)
    monkeypatch.setenv("PATH", f"{man.parent}{os.pathsep}{os.environ['PATH']}")
    assert repo.xexp(*words.split()).code == 0
    assert (tmp_path / "shown").read_text().strip().endswith(f"/{page}")


@pytest.mark.parametrize(
    ("short", "words"),
    [
        ("list --json", "explore list --json"),
        ("-q list -n 1", "explore list -n 1"),
        ("show e1.0.0", "explore show e1.0.0"),
        ("info e1.0.0", "explore show e1.0.0"),
        ("compare e0.1.0 e1.0.0", "explore diff e0.1.0 e1.0.0"),
        ("status", ""),
        ("status --json", "--json"),
        ("list -h", "explore list -h"),
        ("download e1.0.0", "get e1.0.0"),
    ],
)
def test_names_that_people_type(short: str, words: str, repo: Repo, clock: Clock) -> None:
    experiments.three(repo, clock)
    assert repo.xexp(*short.split()) == repo.xexp(*words.split())


def test_names_that_people_type_are_in_no_list_but_are_meant(repo: Repo) -> None:
    listed = {line.split()[0] for line in repo.xexp("-h").good().out.splitlines() if line.strip()}
    assert not listed & {"list", "show", "info", "compare", "download", "status"}
    for wrong, meant in (("lst", "list"), ("statsu", "status"), ("compre", "compare")):
        assert f"Did you mean {meant}" in repo.xexp(wrong).err


@pytest.mark.parametrize("words", ["nonsense --help", "help nonsense", "--help nonsense"])
def test_help_on_nonsense_is_an_error(words: str, repo: Repo) -> None:
    done = repo.xexp(*words.split())
    assert done.code == 129 and "'nonsense' is not a git-xexp command" in done.err


def test_an_ambiguous_option_names_what_it_could_be(repo: Repo) -> None:
    done = repo.xexp("tag", "--mi", "--ma", "--m")
    assert done.err.startswith("fatal: ambiguous option: --m (could be --major or --minor")


def test_errors_are_json_where_json_is_asked_for(repo: Repo) -> None:
    done = repo.xexp("explore", "show", "e9.9.9", "--json")
    assert done.code == 128 and done.out == ""
    error = json.loads(done.err)["error"]
    assert set(error) == {"message", "hint", "exit_code"} and error["exit_code"] == 128
    assert "e9.9.9" in error["message"]
    done = repo.xexp("log", "--json", "--nonsense")
    assert done.code == 129 and json.loads(done.err)["error"]["exit_code"] == 129


def test_hints_can_be_turned_off(repo: Repo) -> None:
    assert "hint: " in repo.xexp("tga").err
    assert "hint: " not in repo.xexp("-q", "tga").err
    repo.git("config", "advice.xexp", "false")
    done = repo.xexp("tga")
    assert "Did you mean tag" in done.err and "hint: " not in done.err


def test_quiet_leaves_notes_out_and_verbose_says_what_is_run(repo: Repo, clock: Clock) -> None:
    experiments.three(repo, clock)
    repo.commit("later")
    assert "note: " in repo.xexp("explore", "show", "HEAD").err
    assert repo.xexp("explore", "show", "HEAD", "-q").err == ""
    assert "run: git " in repo.xexp_process("log", "-v").err
    assert "run: git " not in repo.xexp("log").err


def test_colour_as_asked(repo: Repo, clock: Clock) -> None:
    experiments.three(repo, clock)
    assert "\x1b[" in repo.xexp("--color=always").out
    assert "\x1b[" not in repo.xexp("--color=never").out
    assert "\x1b[" not in repo.xexp().out


def test_a_terminal_gets_hints_and_colour_and_ctrl_c_is_answered(repo: Repo) -> None:
    child = pexpect.spawn(
        sys.executable, ["-m", "gitxexp", "drivers", "install"], cwd=str(repo.path),
        encoding="utf-8", timeout=30,
    )  # fmt: skip
    child.expect("hint: next: git add .gitattributes")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_the_status_page(repo: Repo, clock: Clock) -> None:
    assert repo.xexp().good().out.splitlines() == [
        f"on         branch main  {repo.head[:7]}  clean",
        "last       no experiment yet",
        "next       git xexp init",
    ]
    experiments.three(repo, clock)
    facts = repo.xexp("--json").good().json()
    assert facts | {"commit": ""} == {
        "branch": "main", "commit": "", "changed": 0, "upstream": None, "ahead": 0, "behind": 0,
        "experiments": 3, "last": "e1.0.0", "commits_since_last": 0,
        "outputs": {"changed": [], "stale": [], "missing": [], "elsewhere": 0},
        "unpushed": ["e1.0.0", "e0.2.0", "e0.1.0"], "unmerged": [],
        "next": "git xexp init", "untracked": [], "untagged": [], "incomplete": [],
        "production": [],
        "drivers": True, "conflicts": 0, "unfinished": None,
    }  # fmt: skip


def test_the_status_page_counts_and_advises(repo: Repo, clock: Clock, tmp_path: Path) -> None:
    repo.xexp("init", "--no-dvc").good()
    repo.commit("set up")
    experiments.three(repo, clock)
    repo.git("init", "-q", "--bare", str(tmp_path / "origin"))
    repo.git("remote", "add", "origin", str(tmp_path / "origin"))
    repo.git("push", "-q", "-u", "origin", "main")
    assert repo.xexp("--json").json()["next"] == "git xexp explore list"
    repo.git("switch", "-q", "-c", "exp/wide")
    experiments.tag(repo, clock, "exp-wide-v1", {"lr": 1}, {"f1": 1})
    repo.git("switch", "-q", "main")
    facts = repo.xexp("--json").json()
    assert (facts["unmerged"], facts["unpushed"]) == (["exp-wide-v1"], ["exp-wide-v1"])
    assert facts["next"] == "git xexp merge exp-wide-v1"
    repo.commit("more")
    repo.write("README.md", "changed\n")
    shown = repo.xexp().out
    assert (
        "1 changed, 1 ahead of origin/main" in shown
        and "1 commit ago" in shown
        and "git xexp tag --all" in shown
    )
    repo.git("config", "advice.xexp", "false")
    assert "next" not in repo.xexp().out


def test_the_status_page_outside_detached_and_bare(repo: Repo, tmp_path: Path) -> None:
    from tests.helpers import xexp_inside

    outside = tmp_path / "nowhere"
    outside.mkdir()
    done = xexp_inside(cwd=outside)
    assert done.code == 128 and "not a git repository" in done.err
    repo.git("switch", "-q", "--detach")
    assert "no branch" in repo.xexp().good().out
    repo.git("clone", "-q", "--bare", ".", str(tmp_path / "bare"))
    assert xexp_inside(cwd=tmp_path / "bare").good().out.startswith("on         branch main")


ODD = 'we"ird\nnäme'


def test_names_ended_by_nul_are_as_they_are(repo: Repo) -> None:
    repo.xexp("init", "--no-dvc").good()
    repo.write(ODD, "text")
    repo.commit("odd")
    done = repo.xexp("get", "HEAD", ODD, "README.md", "-o", "../got/", "-z").good()
    assert done.out == f"../got/{ODD}\0../got/README.md\0"
    assert repo.xexp("get", "HEAD", ODD, "-o", "-", "-z").code == 129
    repo.xexp("worktree", "new", "a", "--path", f"../{ODD}").good()
    lines = repo.xexp("worktree", "list", "-z").good().out.split("\0")
    assert f"path {repo.path.parent / ODD}" in lines and lines[-3:] == ["locked no", "", ""]
    plain = repo.xexp("worktree", "list", "--porcelain").good().out
    assert plain.splitlines() == [line.replace("\n", "\\n") for line in lines[:-1]]
    assert repo.xexp("explore", "worktrees", "-z").good().out == ""


def test_conflicts_ended_by_nul(repo: Repo) -> None:
    from tests.workflows.merge.test_driver import KEYED

    sql(repo / f"{ODD}.db", KEYED, "INSERT INTO runs VALUES ('a', 0.1, NULL)")
    repo.xexp("drivers", "install").good()
    repo.commit("base")
    for branch, value in (("other", 0.2), ("main", 0.3)):
        repo.git("switch", "-q", *(["-c"] if branch == "other" else []), branch)
        sql(repo / f"{ODD}.db", f"UPDATE runs SET f1 = {value}")
        repo.commit(branch)
    assert run("git", "merge", "other", cwd=repo.path).code == 1
    assert repo.xexp("conflicts", "-z").good().out == f"{ODD}.db\0"


def test_candidates_ended_by_nul(modelled: Repo) -> None:
    folder = "models/candidates"
    assert modelled.xexp("candidates", "-z").good().out == "".join(
        f"{path}\0" for path in (f"{folder}/run-lr-0.1_model.bin",
                                 f"{folder}/run-lr-0.01_model.bin", "models/production/model.bin")
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    ["candidates --md --json", "explore columns --md --json", "explore plot f1 --out x --json",
     "tag --run a --best b", "setup --check --uninstall", "sweep --status --list"],
)  # fmt: skip
def test_options_that_exclude_each_other_say_how_to_go_on(repo: Repo, words: str) -> None:
    repo.xexp("init").good()
    done = repo.xexp(*words.split())
    assert done.code == 129 and "cannot be used together" in done.err
    assert "use only one of them" in done.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("check --only zzz", "rules: "),
        ("explore show", "make one: git xexp tag"),
        ("sql CHECKPOINT", "it runs FROM, SELECT, WITH, PIVOT and EXPLAIN"),
        ("conflicts resolve --ours", "git status lists those of files"),
        ("sweep --status a b", "git xexp sweep --list shows them"),
    ],
)
def test_errors_say_how_to_go_on(repo: Repo, words: str, hint: str) -> None:
    repo.xexp("init").good()
    done = repo.xexp(*words.split())
    assert done.code and f"hint: {hint}" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("pormote", "'pormote' is not a git-xexp command. Did you mean promote?"),
        ("tag --mesage x", "no such option '--mesage'. Did you mean --message?"),
        ("tga", "'tga' is not a git-xexp command. Did you mean tag?"),
        ("verify", "'verify' is not a git-xexp command. Did you mean git xexp explore verify?"),
        ("explore tag", "'tag' is not a git-xexp explore command. Did you mean git xexp tag?"),
        ("filter", "'filter' is not a git-xexp command."),
        ("worktree nw a", "'nw' is not a git-xexp worktree command. Did you mean new?"),
        ("conflicts resolv", "'resolv' is not a git-xexp conflicts command. Did you mean resolve?"),
        ("tag --dryrun", "no such option '--dryrun'. Did you mean --dry-run or --run?"),
        ("tag --zzz", "no such option '--zzz'"),
        ("tag e1.2", "VERSION: 'e1.2' is not a version (like e0.3.0 or exp-NAME-v1)"),
        ("tag 1.2.0", "VERSION: '1.2.0' is not a version. Did you mean e1.2.0?"),
        ("tag v1.2.0", "VERSION: 'v1.2.0' is not a version. Did you mean e1.2.0?"),
        ("tag -P lr", "-P: 'lr' is not key=value"),
        ("explore list --limit 0", "--limit: 0 is less than 1"),
        ("get e1.0.0", "PATH... is missing"),
        ("import", "SOURCE is missing"),
        ("undo no", "N: 'no' is not a number"),
        ("undo --for --m", "no such option '--m'"),
        ("completion tcsh", "SHELL: 'tcsh' is not one of 'bash', 'zsh', 'fish'"),
        ("log extra", "got unexpected extra argument (extra)"),
        ("tag --message", "option '--message' requires an argument"),
        ("merge a --on-conflict mine",
         "--on-conflict: 'mine' is not one of 'fail', 'ours', 'theirs', 'both'"),
        ("merge a --memory lots", "--memory: 'lots' is not a size (like 500MB)"),
        ("prune --older-than soon",
         "--older-than: 'soon' is not an age (like 12h, 30d, 2w, 6mo or 1y)"),
        ("--color=pink", "--color: 'pink' is not auto, always or never"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_clear_line(words: str, said: str, repo: Repo) -> None:
    done = repo.xexp(*words.split())
    first, *hints = done.err.splitlines()
    assert (done.code, done.out, first) == (129, "", f"fatal: {said}")
    assert all(line.startswith("hint: ") for line in hints) and len(hints) < 2


def test_a_group_alone_is_its_usage(repo: Repo) -> None:
    done = repo.xexp("worktree")
    assert (done.code, done.out) == (129, "")
    assert done.err.startswith("Usage: git xexp worktree")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("tag --best acuracy", "did you mean accuracy?"),
        ("tag --run run-lr-2.0", "did you mean run-lr-1.0 or run-lr-0.01 or run-lr-0.1?"),
        ("explore show e0.11.0", "did you mean e0.1.0 or e0.1.1?"),
        ("explore list --sort acuracy", "did you mean accuracy?"),
        ("explore list --columns epoch", "did you mean epochs?"),
        ("explore list -l bes", "did you mean best?"),
        ("get e0.1.0 data/trian.csv", "did you mean:"),
        ("worktree remove wid", "did you mean wide?"),
        ("promote --from-worktree exp-wid", "did you mean exp-wide?"),
        ("candidates list --slot modl", "did you mean model?"),
        ("candidates list --metric acuracy", "did you mean accuracy?"),
        ("push --git-remote orgin", "did you mean origin?"),
    ],
)
def test_did_you_mean(words: str, hint: str, guessed: Repo) -> None:
    lines = guessed.xexp(*words.split()).err.splitlines()
    assert f"hint: {hint}" in lines


@pytest.fixture(scope="module")
def guessed(models_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """``modelled`` with a worktree, a label and a git remote; nothing changes it."""
    from tests.conftest import copy_template

    made = copy_template(models_template, tmp_path_factory.mktemp("guessed"))
    made.git("remote", "add", "origin", "../origin")
    made.xexp("worktree", "new", "wide").good()
    made.xexp("tag", "-m", "x", "-l", "best").good()
    return made


def pages(repo: Repo, *words: str, **env: str) -> tuple[str, int | None]:
    """What ``git xexp explore`` prints on a terminal of four lines, and its exit code."""
    child = pexpect.spawn(
        "git", [*words, "xexp", "explore", "list", "--color=never"], cwd=str(repo.path),
        encoding="utf-8", timeout=30, dimensions=(4, 80), env={**os.environ, "TERM": "xterm", **env},
    )  # fmt: skip
    text = child.read()
    child.close()
    return text, child.exitstatus


def test_the_pager_is_gits_and_pager_xexp_has_the_last_word(
    repo: Repo, clock: Clock, quick: None
) -> None:
    experiments.three(repo, clock)
    experiments.tag(repo, clock, "e1.1.0", {"lr": 1})
    mark, other = "sed 's/^/paged: /'", "sed 's/^/other: /'"
    assert pages(repo, GIT_PAGER=mark)[0].count("paged: e") == 4
    assert pages(repo, "-c", f"core.pager={mark}")[0].count("paged: e") == 4
    assert "paged" not in pages(repo, "-c", "pager.xexp=false", GIT_PAGER=mark)[0]
    assert (
        pages(repo, "-c", f"core.pager={mark}", "-c", f"pager.xexp={other}")[0].count("other: e")
        == 4
    )
    assert "paged: paged" not in pages(repo, "-c", "pager.xexp=true", GIT_PAGER=mark)[0]
    assert pages(repo, "--no-pager", GIT_PAGER=mark)[0].count("paged") == 0
    assert pages(repo, GIT_PAGER="head -n 1")[1] == 0
    text, code = pages(repo, GIT_PAGER="no-such-pager")
    assert code == 0 and "warning: cannot run no-such-pager" in text and "e0.1.0" in text


def test_a_closed_pipe_is_silent(repo: Repo) -> None:
    told = "".join(
        f"tag e0.{n}.0\nfrom {repo.head}\ntagger A <a@b> 1700000000 +0000\ndata {len(text)}\n{text}\n"
        for n in range(300) for text in [f"lr={n} {'long ' * 60}"]
    )  # fmt: skip
    repo.git("fast-import", "--quiet", stdin=told)
    script = (
        "unset PYTHONUNBUFFERED; git xexp explore list --json | head -n 1; echo ${PIPESTATUS[0]}"
    )
    done = run("bash", "-c", script, cwd=repo.path)
    assert done.out.splitlines()[1] == "141" and done.err == ""


def test_colour_by_configuration(repo: Repo, clock: Clock) -> None:
    experiments.three(repo, clock)

    def coloured(*words: str, **env: str) -> bool:
        env["GIT_CONFIG_PARAMETERS"] = " ".join(f"'{word}'" for word in words)  # as git -c says it
        return "\x1b[" in Terminal([], repo.path, env).finish()[0]

    assert coloured()
    assert not coloured("color.ui=false") and not coloured("color.xexp=false")
    assert coloured("color.ui=false", "color.xexp=auto")
    piped = run("git", "-c", "color.ui=always", "xexp", cwd=repo.path).good()
    assert "\x1b[" in piped.out and "\x1b[" not in run("git", "xexp", cwd=repo.path).out
    assert not coloured(NO_COLOR="1") and not coloured(TERM="dumb")


def test_every_setting_can_be_given_for_one_command(repo: Repo) -> None:
    """``git -c xexp.SECTION.KEY=VALUE xexp …`` reaches the configuration, whatever its kind."""
    from typing import get_type_hints

    script = (
        "from gitxexp.repository.repository import Project; print(repr(Project.open('.').config))"
    )
    hints = get_type_hints(Config)
    names = [name for name in Config._fields if "_" in name and name != "models_slots"]
    chosen = {"worktree_link": "copy", "merge_strategy": "keep", "merge_data_strategy": "rebase",
              "tag_prefix": "ranker/"}  # fmt: skip
    truths = {name for name in names if hints[name] in (bool, bool | None)}
    given = {name: chosen.get(name, "no" if name in truths else "a,b") for name in names}
    words = [
        word for name in names for word in ("-c", f"xexp.{name.replace('_', '.')}={given[name]}")
    ]
    alias = ("-c", f'alias.show-config=!{sys.executable} -c "{script}"')
    shown = repo.git(*words, *alias, "show-config")
    for name in names:
        value = repr(given[name]) if hints[name] is str else "('a', 'b')"
        value = "False" if name in truths else value
        assert f"{name}={value}" in shown, name


def test_hints_by_one_door(repo: Repo) -> None:
    done = repo.xexp("init", "--no-dvc").good()
    assert "hint: next: git add" in done.err and "next" not in done.out
    repo.git("config", "advice.xexp", "false")
    assert "next" not in repo.xexp("drivers", "uninstall").good().err
    assert repo.xexp("drivers", "install").good().err == ""
    repo.git("config", "--unset", "advice.xexp")
    repo.xexp("drivers", "uninstall").good()
    assert repo.xexp("-q", "drivers", "install").good().err == ""


def test_wide_and_combining_names_are_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["plain", "漢字かな", "e\u0301te\u0301", "👩\u200d🔬 lab", "🧪x", "❤\ufe0f!"]
    assert [console.width(name) for name in names] == [5, 8, 3, 6, 3, 3]
    assert console.width("🇩🇪 👍🏽 a") == 7
    assert console.clip("漢字かな", 5) == "漢字…"
    assert console.clip("👩\u200d🔬👩\u200d🔬👩\u200d🔬", 5) == "👩\u200d🔬👩\u200d🔬…"
    assert console.clip("e\u0301te\u0301", 3) == "e\u0301te\u0301"
    monkeypatch.setattr(console, "is_terminal", lambda: True)
    columns = [console.Column("name", names), console.Column("n", list("123456"))]
    lines = console.table(columns)
    assert {console.width(line) for line in lines} == {11}


def test_long_headers_are_cut_before_ids_and_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "is_terminal", lambda: True)

    def drawn(wide: int) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(wide))
        return console.aligned(
            [
                console.Column("run", ["rampant-hippogriff-3482"]),
                console.Column("date", ["2026-11-27 16:25"], optional=2),
                console.Column("k", ["9"], right=True, optional=3),
                console.Column("validation_accuracy", ["0.965"], right=True),
                console.Column("text", ["more neighbours than before"], flexible=True),
            ]
        )

    assert drawn(100)[0].split() == ["run", "date", "k", "validation_accuracy", "text"]
    assert drawn(60) == [
        "run                      k  validation_accura…  text",
        "rampant-hippogriff-3482  9               0.965  more neighb…",
    ]
    assert drawn(50) == [
        "run                      k  validat…  text",
        "rampant-hippogriff-3482  9     0.965  more neighb…",
    ]
