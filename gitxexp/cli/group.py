"""A click group that imports a verb's module when the verb is used, not before."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import click

from gitxexp.common.errors import suggestion
from gitxexp.common.streams import ClosedPipe

#: verb → (module, one line of help). The module has a command named like the verb, with an
#: underscore after a name that Python itself uses (``list_``).
Verbs = Mapping[str, tuple[str, str]]


def summary(command: click.Command) -> str:
    """The first sentence of a command's help, as a phrase."""
    text = command.get_short_help_str(200).rstrip(".")
    return text[:1].lower() + text[1:]


class Group(click.Group):
    """A group that says in git's words that it has no such verb.

    ``default`` is the verb that is meant when none is given.
    """

    default: str | None = None

    def __init__(self, *args: Any, **kw: Any) -> None:
        optional = kw.get("invoke_without_command")
        kw.setdefault(  # which releases of click put differently
            "subcommand_metavar", f"{'[COMMAND]' if optional else 'COMMAND'} [ARGS]..."
        )
        super().__init__(*args, **kw)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Like click's, with names that look like an unknown one."""
        name, known = args[0], self.list_commands(ctx)
        if name not in known and not name.startswith("-"):
            where = ctx.command_path.replace(" ", "-", 1)
            close = suggestion(name, known, "") or ""
            message = f"'{name}' is not a {where} command. {close[:1].upper()}{close[1:]}"
            raise click.UsageError(message.rstrip(), ctx)
        return super().resolve_command(ctx, args)

    def summaries(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Each verb that is shown, with one line on it, in the order that they are helped with."""
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        return [(name, summary(one)) for name, one in commands if one and not one.hidden]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, with the whole line on each."""
        with formatter.section("Commands"):
            formatter.write_dl(self.summaries(ctx))


class LazyGroup(Group):
    """A group of :data:`Verbs`.

    ``sections``, title → names of verbs, are how the help lists them.
    """

    def __init__(
        self,
        *args: Any,
        verbs: Verbs,
        default: str | None = None,
        sections: Mapping[str, Sequence[str]] | None = None,
        **kw: Any,
    ) -> None:
        super().__init__(*args, **kw)
        self.verbs = verbs
        self.default = default
        self.sections = sections or {"Commands": list(verbs)}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order that they are helped with."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command; its module is imported now."""
        if cmd_name not in self.verbs:
            return None
        module = importlib.import_module(self.verbs[cmd_name][0])
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(module, name if hasattr(module, name) else f"{name}_")
        return command

    def summaries(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Like :class:`Group`'s, without importing any verb."""
        return [(name, text) for name, (_, text) in self.verbs.items()]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs, section by section, in one column."""
        width = max(map(len, self.verbs))
        for title, names in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), self.verbs[name][1]) for name in names])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts the default verb first where options of it, or nothing, are given."""
        own = {name for param in self.get_params(ctx) for name in param.opts}
        if self.default and (not args or (args[0].startswith("-") and args[0] not in own)):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Like click's, but a closed pipe is told from other failures, and Ctrl-C prints nothing."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ClosedPipe from error
        except KeyboardInterrupt as error:  # for which click itself would print an empty line
            raise click.Abort from error
