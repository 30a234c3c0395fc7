"""The kind of every word of the command line, for the completion engine."""

from __future__ import annotations

from collections.abc import Iterator

import click

from gitxexp.cli.group import Group
from gitxexp.cli.options import COMMON

#: The kinds of files that are databases, for ``file:``.
DATABASES = "db sqlite sqlite3 duckdb parquet"

#: "verb.parameter" or "parameter" → what completes it; the first that fits, by this order.
KINDS = {
    "worktree new.path": "dir",
    "worktree new.rev": "rev",
    "worktree remove.name": "worktree",
    "explore checkout.path": "dir",
    "explore cleanup.version": "explored",
    "explore diff.versions": "range",
    "explore list.sort": "column",
    "explore list.names": "version",
    "explore plot.metric": "plotted",
    "explore plot.along": "along",
    "explore plot.by": "param",
    "explore plot.sort": "column",
    "run.write_config": "file",
    "run.config": "version",
    "tag.version": "next",
    "tag.name": "experiment",
    "tag.remote": "remote",
    "push.versions": "version",
    "report.versions": "version",
    "import.source": "file",
    "import.into": "file:" + DATABASES,
    "registry label.versions": "version",
    "registry describe.version": "version",
    "registry delete.versions": "version",
    "registry show.name": "version",
    "registry compare.before": "version",
    "registry compare.after": "version",
    "registry export.names": "version",
    "registry import.files": "file",
    "db": "file:" + DATABASES,
    "promote.version": "version",
    "promote.worktree": "worktree",
    "undo.count": "operations",
    "redo.count": "operations",
    "merge.strategy": "choice:merge rebase keep",
    "conflicts resolve.paths": "unmerged",
    "check.paths": "file:" + DATABASES,
    "check.since": "version",
    "version": "rev",
    "at": "rev",
    "base": "rev",
    "sources": "source",
    "paths": "path",
    "best": "metric",
    "metric": "metric",
    "metrics": "metric=",
    "params": "param=",
    "axes": "param=",
    "columns": "columns",
    "labels": "label",
    "run": "run",
    "slot": "slot",
    "branch": "branch",
    "remote": "dvcremote",
    "git_remote": "remote",
    "tables": "table",
    "key": "key",
    "stringify": "key",
    "rename": "tablecolumn=",
    "only": "only",
    "rows": "side",
    "projects": "dir",
    "out": "file",
    "directory": "dir",
}

#: Where arguments mean other things than click is told: kind and "many", or "rest" for what is the
#: last and follows ``--``, too.
ARGUMENTS = {"diff": ("source\tonce", "source\tonce", "path\trest")}


def kind_of(verb: str, param: click.Parameter) -> str:
    """What completes the value of ``param``: a kind of the engine, ``text`` where nothing does."""
    if isinstance(param.type, click.Choice):
        return "choice:" + " ".join(str(choice) for choice in param.type.choices)
    name = param.name or ""
    if verb == "check" and name in ("only", "skip"):
        from gitxexp.workflows.checks.rule import rules  # for the generator alone

        return "choice:" + " ".join(dict.fromkeys(rule.id for rule in rules()))
    for key in (f"{verb}.{name}", name):
        if key in KINDS:
            return KINDS[key]
    return "file" if isinstance(param.type, click.Path | click.File) else "text"


def commands(root: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Every command below ``root`` with its words (the root has none), in the order of the help."""

    def walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
        yield path, command
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                if inner is not None and not inner.hidden:
                    yield from walk(inner, f"{path} {name}".strip())

    return walk(root, "")


def lines(path: str, command: click.Command) -> Iterator[str]:
    """The engine's lines for one command: v(erbs), s(hort forms), d(efault), o(ptions), a(rguments)."""
    if isinstance(command, Group):
        for name, text in command.summaries(click.Context(command)).items():
            yield f"v\t{name}\t{text}"
        for name, words in command.shorts.items():
            yield f"s\t{name}\t{words}"
        if command.default:
            yield f"d\t{command.default}"
    for option in options(command):
        names = " ".join([*option.opts, *option.secondary_opts])
        kind = "-" if option.is_flag or option.count else kind_of(path, option)
        many = "many" if option.multiple or option.count else "once"
        yield f"o\t{names}\t{kind}\t{many}\t{_first_line(option.help)}"
    yield from (f"a\t{text}" for text in ARGUMENTS.get(path, _arguments(path, command)))


def _arguments(path: str, command: click.Command) -> Iterator[str]:
    for param in command.params:
        if isinstance(param, click.Argument):
            yield f"{kind_of(path, param)}\t{'many' if param.nargs == -1 else 'once'}"


def options(command: click.Command) -> list[click.Option]:
    """The options that are shown, ``--help`` last."""
    own = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    taken = {name for option in own for name in option.opts}
    return [*own, *(option for option in COMMON if not taken & {*option.opts})]


def _first_line(text: str | None) -> str:
    return " ".join((text or "-").split()).rstrip(".") or "-"
