"""The manual: made from the commands, clean, true, and shown."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from pathlib import Path

import click
import pytest

from gitxexp.cli.main import SECTIONS, main
from gitxexp.cli.shell import install, man_pages
from gitxexp.repository.config import NO_SETTINGS, Config
from tests.cli.conftest import Demo
from tests.conftest import ROOT
from tests.helpers import WITHOUT_XETRACK, Repo, run

MAN = ROOT / "man"
PROSE = ROOT / "gitxexp/cli/shell/prose"
PAGES = sorted(str(path.relative_to(MAN)) for path in MAN.glob("*/*"))
VERBS = [verb for verbs in SECTIONS.values() for verb in verbs]


def test_the_committed_pages_are_what_the_generator_makes() -> None:
    made = man_pages.generate(main)
    assert {name: (MAN / name).read_text("utf-8") for name in PAGES} == made, (
        "run: python -m gitxexp.cli.shell.generate"
    )


def test_every_verb_has_a_page_and_the_wheel_takes_all() -> None:
    prose = {f"man7/git-xexp-{name}.7" for name in ("tutorial", "workflows", "roles", "benchmarking",
             "faq", "security", "json")}  # fmt: skip
    verbs = {f"man1/git-xexp-{verb}.1" for verb in VERBS}
    assert verbs | prose | {"man1/git-xexp.1", "man5/git-xexp-config.5"} == set(PAGES)
    document = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    shared = document["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared["man"] == "share/man"


def test_no_linter_has_anything_to_say() -> None:
    done = run("mandoc", "-T", "lint", "-W", "style", *PAGES, cwd=MAN)
    assert (done.code, done.out, done.err) == (0, "", "")
    for name in PAGES:
        done = run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", name, cwd=MAN,
                   env={"MANROFFSEQ": "", "MANWIDTH": "80"})  # fmt: skip
        assert (done.code, done.err) == (0, ""), name


def test_every_setting_is_listed() -> None:
    text = (PROSE / "config.md").read_text("utf-8")
    fields = {*Config._fields} - {*NO_SETTINGS}
    missing = [
        name for name in fields
        if "xexp." + name.replace("_", ".") not in text
    ]  # fmt: skip
    assert missing == []


def test_every_option_is_on_its_page() -> None:
    def options(command: click.Command) -> set[str]:
        found = {n for p in command.params if isinstance(p, click.Option) for n in p.opts}
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                found |= options(inner)
        return found

    for verb in VERBS:
        command = main.get_command(click.Context(main), verb)
        assert command is not None
        page = (MAN / f"man1/git-xexp-{verb}.1").read_text("utf-8")
        for option in options(command):
            assert f"\\fB{man_pages.escape(option)}\\fR" in page, (verb, option)


def examples(name: str) -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", (PROSE / name).read_text("utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    return [line[2:] for line in lines]


@pytest.mark.parametrize("name", sorted(path.name for path in PROSE.iterdir()))
def test_every_example_runs(
    name: str, demo: Demo, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name != "tutorial.md":  # its template needs the tracker
        monkeypatch.setenv("PYTHONPATH", WITHOUT_XETRACK, prepend=os.pathsep)
    commands = examples(name)
    assert commands
    project = demo.copied(tmp_path / "demo")
    script = "set -e\n" + "\n".join(f"echo '+' {i} >&2; {c}" for i, c in enumerate(commands))
    done = run("bash", "-c", script, cwd=project)
    assert done.code == 0, f"{commands}\n{done.out}\n{done.err}"


def test_help_shows_the_page(repo: Repo) -> None:
    for words in (("tag", "--help"), ("--help", "tag"), ("tag", "--message", "x", "--he")):
        done = repo.xexp_process(*words, env={"MANWIDTH": "80"}).good()
        assert done.out.startswith("GIT-XEXP-TAG(1)") and "EXIT STATUS" in done.out
    done = repo.xexp_process("explore", "list", "--help").good()
    assert done.out.startswith("GIT-XEXP-EXPLORE(1)")
    assert repo.xexp_process("--help").good().out.startswith("GIT-XEXP(1)")


def test_help_is_the_usage_where_man_is_missing(repo: Repo, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    git = shutil.which("git")
    assert git
    (tools / "git").symlink_to(git)
    done = repo.xexp_process("tag", "--help", env={"PATH": str(tools)}).good()
    assert done.out.startswith("Usage: git xexp tag") and "--dry-run" in done.out
    (tools / "man").write_text("#!/bin/sh\necho minimized >&2\nexit 1\n")
    (tools / "man").chmod(0o755)
    assert "Usage: git xexp tag" in repo.xexp_process("tag", "--help", env={"PATH": str(tools)}).out


def test_h_is_short(repo: Repo) -> None:
    done = repo.xexp("get", "-h").good()
    assert done.out.startswith("Usage: git xexp get") and len(done.out.splitlines()) < 40


def test_a_help_that_is_a_value_is_a_value(repo: Repo) -> None:
    done = repo.xexp("explore", "list", "--filter", "--help")
    assert "EXIT STATUS" not in done.out


def test_pages_are_found_in_a_checkout() -> None:
    names = {f"{path.parent.name}/{path.name}" for path in install.page_files()}
    assert names == set(PAGES)


def test_prose_becomes_roff() -> None:
    assert man_pages.roff("### A\nb") == ".SS A\nb"
    assert man_pages.roff("### A\n- b") == ".SS A\n.IP \\(bu 2\nb"
    text = "A `-x` and *y*. New sentence.\n\n- `a`:: Is b.\n\n```console\n$ .rc \\n\n```\n"
    assert man_pages.roff(text) == "\n".join(
        [r"A \fB\-x\fR and \fIy\fR.", "New sentence.", ".TP", r"\fBa\fR", "Is b.",
         ".sp", ".RS 4", ".nf", r"$ .rc \en", ".fi", ".RE"]
    )  # fmt: skip


def test_a_synopsis_is_what_can_be_typed() -> None:
    """Brackets in pairs, options that must be there, a group that does something by itself."""
    for name in PAGES:
        synopsis = (MAN / name).read_text("utf-8").partition(".SH SYNOPSIS")[2].partition(".SH")[0]
        assert synopsis.count("[") == synopsis.count("]"), name
    assert "conflicts\\fR [\\fIoptions\\fR]\n" in (MAN / "man1/git-xexp-conflicts.1").read_text(
        "utf-8"
    )


def test_no_paragraph_is_there_twice() -> None:
    for name in PAGES:
        text = (MAN / name).read_text("utf-8").partition(".SH DESCRIPTION")[2].partition("\n.SH")[0]
        paragraphs = [p.strip() for p in text.split(".PP\n") if len(p) > 80]
        assert len(paragraphs) == len(set(paragraphs)), name


def test_a_pipe_in_a_table() -> None:
    rows = man_pages.roff("| a | b |\n|---|---|\n| x | `y \\| z` |").split("\n")
    assert rows[-5:] == [r"x@T{", ".ad l", r"\fBy | z\fR", "T}", ".TE"]


def test_fields_and_the_form_for_scripts_are_described() -> None:
    from gitxexp.cli.render.lists import porcelain_columns
    from gitxexp.workflows.explore.rows import FIELDS

    text = " ".join((PROSE / "explore.md").read_text("utf-8").split())
    assert all(f"`{name}`" in text for name in FIELDS)
    for runs in (False, True):
        names = [f"`{name}`" for name in porcelain_columns("porcelain", runs=runs)]
        places = [
            text.rindex(name) if runs else text.index(name, text.index("For scripts"))
            for name in names
        ]
        assert places == sorted(places)
