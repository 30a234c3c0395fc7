"""The click group, its verbs, and what is said of click's errors."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from gitxexp.cli import hints, outcome
from gitxexp.cli.group import Root
from gitxexp.common import streams
from gitxexp.common.errors import FATAL, USAGE, suggestion

#: What the verbs are for → verb → one line of help. A verb is ``VERB`` in ``cli/commands/VERB.py``.
SECTIONS = {
    "Start": {
        "init": "set up a repository (safe to run again)",
        "demo": "make a real experiment repository and walk through it",
        "setup": "enable man pages and completion",
        "completion": "print the completion script of a shell",
    },
    "Make and share experiments": {
        "run": "run a command as an experiment",
        "rerun": "run a past experiment again and compare",
        "tag": "snapshot the experiment as the next version",
        "sweep": "run a command for each configuration, in parallel",
        "worktree": "work on an experiment in its own branch and folder",
        "push": "push artifacts, branches and tags of experiments",
        "pull": "pull commits and experiments, and check out their outputs",
    },
    "Inspect experiments": {
        "explore": "list, show and compare experiments",
        "get": "get a file of any experiment",
        "sql": "query experiments, runs and results with SQL, at any version",
        "report": "report on experiments as one HTML page, or Markdown",
        "ui": "browse experiments and runs in the terminal",
        "diff": "show the rows that differ between two versions",
    },
    "Combine results": {
        "merge": "bring in the rows of other experiments, losing none",
        "rebase": "bring in the rows of other experiments, replacing by key",
        "conflicts": "list and resolve rows that git merge could not merge",
        "import": "bring in the runs of MLflow, dvc exp, W&B, CSV files and others",
        "check": "report whether a benchmark is sound",
        "drivers": "let git merge and show results row by row",
    },
    "Choose models": {
        "candidates": "list or add candidate models",
        "promote": "promote a candidate to production",
        "prune": "delete candidates that are stored elsewhere",
    },
    "Undo and repair": {
        "undo": "undo the last operation",
        "redo": "redo an undone operation",
        "log": "list the operations of this repository",
        "registry": "search, label, describe, export, delete and rebuild experiments",
    },
}
_COMMANDS = "gitxexp.cli.commands"
_VERBS = {name: f"{_COMMANDS}.{name}.{name}" for verbs in SECTIONS.values() for name in verbs}
_VERBS["status"] = f"{_COMMANDS}.status.status"  # hidden: git xexp alone is the status page
#: Names that people type for a verb, or a verb and its sub-verb, of another name.
SHORTS = {
    "list": "explore list",
    "show": "explore show",
    "info": "explore show",
    "compare": "explore diff",
    "plot": "explore plot",
    "checkout": "explore checkout",
    "download": "get",
    "search": "registry search",
    "label": "registry label",
    "export": "registry export",
    "describe": "registry describe",
    "delete": "registry delete",
}
_VERBS["import"] = f"{_COMMANDS}.import_runs.import_runs"  # a word of Python
_VERBS |= {name: f"{_COMMANDS}.{name}.group.{name}" for name in ("explore", "registry")}

#: ``-h`` is an option of ours (:mod:`gitxexp.cli.options`), not click's.
SETTINGS = {"help_option_names": [], "max_content_width": 100}


@click.group(
    cls=Root,
    lazy=_VERBS,
    sections=SECTIONS,
    shorts=SHORTS,
    context_settings=SETTINGS,
    invoke_without_command=True,
    epilog="Every command takes -q, -v, --color=WHEN, -h and --help (its manual page).",
)
@click.option("--version", is_flag=True, help="Print the version.")
@click.option("--json", "as_json", is_flag=True, help="Print the status page as JSON.")
@click.pass_context
def main(ctx: click.Context, version: bool, as_json: bool) -> None:
    """Version machine-learning experiments with git, DVC and the database your tracker writes.

    Without a command, shows where you are, the last experiment and the next command.
    """
    if version:
        from gitxexp._version import __version__

        streams.write(f"git-xexp version {__version__}\n")
        ctx.exit()
    if ctx.invoked_subcommand is None:
        from gitxexp.cli import status

        status.show(as_json=as_json)


def run(argv: Sequence[str]) -> int:
    """Run the command line; returns the exit code, and raises as :func:`.outcome.of` does."""
    return outcome.of(argv, lambda: _run(argv), _told)


def _run(argv: Sequence[str]) -> object:
    """Without click's own ``main``, which takes an EOFError for Ctrl-C and prints an empty line."""
    try:
        with main.make_context("git xexp", list(argv)) as ctx:
            return main.invoke(ctx)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        if outcome.wants_json(argv):
            raise
        outcome.say(*error.message.splitlines())
        return USAGE


def _told(error: Exception) -> outcome.Told | None:
    """What is said of click's errors."""
    if isinstance(error, click.UsageError):
        word = error.option_name if isinstance(error, click.NoSuchOption) else ""
        return _words(error), hints.elsewhere(error.ctx, word), USAGE
    if isinstance(error, click.ClickException):
        return error.format_message(), None, FATAL
    return None


def _words(error: click.UsageError) -> str:
    """click's message in the words of the others: the name in front, no full stop."""
    text = error.message.rstrip(".") if error.message else error.format_message().rstrip(".")
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return f"{_named(error.param)} is missing"
    if isinstance(error, click.BadParameter) and error.param is not None:
        text = re.sub(r"is not a valid integer( range)?$", "is not a number", text)
        text = re.sub(r"is not in the range x>=(\d+)$", r"is less than \1", text)
        return f"{_named(error.param)}: {text}"
    if isinstance(error, click.NoSuchOption):
        close = suggestion(error.option_name, error.possibilities or ())
        text = f"{text}. D{close[1:]}" if close else text
    return f"{text[:1].lower()}{text[1:]}"


def _named(param: click.Parameter) -> str:
    if isinstance(param, click.Argument):
        return (param.metavar or str(param.name).upper()).partition(" ")[0].strip("[]")
    return max(param.opts, key=len)
