"""What every word of the command line is, as the completion engine reads it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from gitxexp.lazygroup import Group

#: The kinds of files that are databases, for ``file:``.
DATABASES = "db sqlite sqlite3 duckdb parquet"

#: "verb.parameter" or "parameter" → what completes it; the first that fits, by this order.
KINDS = {
    "worktree new.name": "text",
    "worktree new.at": "rev",
    "worktree new.path": "dir",
    "worktree remove.name": "worktree",
    "explore checkout.path": "dir",
    "explore cleanup.version": "explored",
    "explore list.sort": "column",
    "tag.name": "text",
    "tag.remote": "remote",
    "tag.best": "metric",
    "push.versions": "version",
    "demo.directory": "dir",
    "diff.sides": "rev",
    "check.base": "rev",
    "merge.strategy": "choice:merge rebase keep",
    "promote.worktree": "worktree",
    "conflicts resolve.paths": f"file:{DATABASES}",
    "candidates add.path": "file",
    "completion.shell": "choice:bash zsh fish",
    "sources": "source",
    "source": "source",
    "version": "rev",
    "versions": "rev",
    "before": "rev",
    "after": "rev",
    "at": "rev",
    "rev": "rev",
    "paths": "path",
    "metric": "metric",
    "metrics": "metric=",
    "params": "param=",
    "param": "param=",
    "best": "metric",
    "columns": "columns",
    "x": "column",
    "y": "column",
    "labels": "label",
    "label": "label",
    "run": "run",
    "runs": "run",
    "slot": "slot",
    "branch": "branch",
    "key": "column",
    "stringify": "column",
    "remote": "dvcremote",
    "git_remote": "remote",
    "out": "file",
    "output": "file",
    "only": "choice:results data models",
    "directory": "dir",
    "path": "file",
}


def kind_of(verb: str, param: click.Parameter) -> str:
    """What completes the value of ``param``: a kind of the engine, ``text`` where nothing does."""
    if isinstance(param.type, click.Choice):
        return "choice:" + " ".join(str(choice) for choice in param.type.choices)
    name = param.name or ""
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
    """The engine's lines for one command: v(erbs), d(efault verb), o(ptions), a(rguments)."""
    if isinstance(command, Group):
        for name, text in command.summaries(click.Context(command)):
            yield f"v\t{name}\t{text}"
        if command.default:
            yield f"d\t{command.default}"
    for option in options(command):
        names = " ".join([*option.opts, *option.secondary_opts])
        kind = "-" if option.is_flag or option.count else kind_of(path, option)
        many = "many" if option.multiple or option.count else "once"
        yield f"o\t{names}\t{kind}\t{many}\t{_first_line(option.help)}"
    for param in command.params:
        if isinstance(param, click.Argument):
            yield f"a\t{kind_of(path, param)}\t{'many' if param.nargs == -1 else 'once'}"


def options(command: click.Command) -> list[click.Option]:
    """The options that are shown, ``--help`` last."""
    own = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    taken = {name for option in own for name in option.opts}
    return [*own, *(option for option in COMMON if not taken & {*option.opts})]


#: Understood everywhere, before the verb and after it.
COMMON = (
    click.Option(["-q", "--quiet"], is_flag=True, help="Say nothing but results and errors."),
    click.Option(["-v", "--verbose"], is_flag=True, help="Say which git commands are run."),
    click.Option(
        ["--color"],
        type=click.Choice(["auto", "always", "never"]),
        metavar="WHEN",
        help="Colour: auto, always or never.",
    ),
    click.Option(["-h"], is_flag=True, help="Show the short usage."),
    click.Option(["--help"], is_flag=True, help="Show the manual page."),
)


def _first_line(text: str | None) -> str:
    return " ".join((text or "-").split()).rstrip(".") or "-"
