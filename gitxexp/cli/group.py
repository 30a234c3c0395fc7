"""click's commands with git's habits.

A long option may be shortened to any unique prefix (gitcli(7)); ``-q``, ``-v``, ``--color``, ``-h``
and ``--help`` stand on either side of the verb; a group imports a verb's module when the verb is
used (click's documentation, "Lazily Loading Subcommands").
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click
from click.parser import _OptionParser, _ParsingState

from gitxexp.cli import hints
from gitxexp.cli.options import COMMON, NO_COLOUR, When
from gitxexp.common import streams
from gitxexp.common.errors import UsageError, suggestion

_EMPTY = "omit it or give a value"


class OptionParser(_OptionParser):
    """click's parser, reading options as git does."""

    prefixes = True  #: whether an option may be shortened

    def _process_opts(self, arg: str, state: _ParsingState) -> None:
        limit = self._short_opt.get("-n")
        if limit and arg[1:].isdigit() and "--limit" in limit.obj.opts:
            state.rargs[:0] = ["-n", arg[1:]]  # git log -3
            return
        super()._process_opts(arg, state)

    def _match_long_opt(self, opt: str, explicit_value: str | None, state: _ParsingState) -> None:
        opt = self._spelled_out(opt)
        option = self._long_opt.get(opt)
        if option and isinstance(option.obj.type, When) and explicit_value is None:
            given = state.rargs[:1] and state.rargs[0] in option.obj.type.choices
            explicit_value = state.rargs.pop(0) if given else "always"
        super()._match_long_opt(opt, explicit_value, state)

    def _spelled_out(self, opt: str) -> str:
        if not self.prefixes or opt in self._long_opt or len(opt) < 3:
            return opt
        known = [name for name in self._long_opt if name not in NO_COLOUR.opts]
        options = [name for name in known if name.startswith(opt)]
        if len({id(self._long_opt[name].obj) for name in options}) > 1:
            names = " or ".join(options)
            raise UsageError(f"ambiguous option: {opt} (could be {names})", "use more of its name")
        return options[0] if options else opt

    def _get_value_from_state(self, option_name: str, option: Any, state: _ParsingState) -> Any:
        """A variable that a script forgot to set must not be taken for an option left out."""
        value = super()._get_value_from_state(option_name, option, state)
        if value == "" and not getattr(option.obj.type, "may_be_empty", False):
            raise UsageError(f"{option_name}: the value is empty", _EMPTY)
        return value

    def _process_args_for_args(self, state: _ParsingState) -> None:
        words = state.largs + state.rargs
        if "" in (words if self.allow_interspersed_args else words[:1]):
            raise UsageError("an argument is empty", _EMPTY)
        super()._process_args_for_args(state)


class _Habits(click.Command):
    """What commands and groups share."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own, then what every command understands."""
        own = super().get_params(ctx)
        taken = {name for param in own for name in param.opts}
        return [*own, *(option for option in (*COMMON, NO_COLOUR) if not taken & {*option.opts})]

    def make_parser(self, ctx: click.Context) -> _OptionParser:
        """Like click's."""
        parser = OptionParser(ctx)
        for param in self.get_params(ctx):
            param.add_to_parser(parser, ctx)
        return parser

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Like click's; an error of the parser names the command, too."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise


class Command(_Habits):
    """A verb."""

    def invoke(self, ctx: click.Context) -> Any:
        """Like click's; then says what is sensible next."""
        from gitxexp.storage.git import settings_read_once  # not for ``-h``

        with settings_read_once():
            result = super().invoke(ctx)
            streams.flush()
            hints.advise(ctx)
        return result


class WordCommand(Command):
    """A verb whose arguments may begin with a dash (``-word``): options are those that it has."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Moves what is an argument behind a ``--``."""
        takes = {
            name: isinstance(param, click.Option) and not param.is_flag and not param.count
            for param in self.get_params(ctx)
            for name in param.opts
        }
        options: list[str] = []
        words: list[str] = []
        left = iter(args)
        for arg in left:
            if arg == "--":
                words += left
            elif arg.startswith("--") or arg in takes or (arg[:2] in takes and arg[2:].isdigit()):
                options.append(arg)
                options += [following for following in [next(left, None)] if following is not None
                            ] if takes.get(arg) else []  # fmt: skip
            else:
                words.append(arg)
        return super().parse_args(ctx, [*options, "--", *words])


class Group(_Habits, click.Group):
    """Verbs. ``lazy`` maps those that are imported when they are used to ``module.command``;
    ``summaries`` has a line on each, and ``sections`` the order in which the help lists them.

    ``default`` is the verb that is meant when none is given. ``shorts`` are names that people type
    for a verb and sub-verb of another name; no list shows them.
    """

    command_class = Command

    def __init__(
        self,
        *args: Any,
        lazy: Mapping[str, str] | None = None,
        sections: Mapping[str, Mapping[str, str]] | None = None,
        default: str | None = None,
        shorts: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        optional = "[COMMAND]" if settings.get("invoke_without_command") else "COMMAND"
        settings.setdefault("subcommand_metavar", f"{optional} [ARGS]...")
        super().__init__(*args, **settings)
        self.lazy = lazy or {}
        self.sections = sections or {}
        self.default = default
        self.shorts = shorts or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order that they are helped with."""
        return [*self.lazy, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command; the module of a lazy one is imported now."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, name = self.lazy[cmd_name].rpartition(".")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def summaries(self, ctx: click.Context) -> dict[str, str]:
        """Each verb that is shown, with one line on it, in the order that they are helped with."""
        if self.sections:
            return {name: text for verbs in self.sections.values() for name, text in verbs.items()}
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        return {name: summary(one) for name, one in commands.items() if one and not one.hidden}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs, section by section, in one column."""
        sections = self.sections or {"Commands": self.summaries(ctx)}
        width = max(len(name) for verbs in sections.values() for name in verbs)
        for title, verbs in sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), text) for name, text in verbs.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Like click's; an unknown verb is answered in git's words, with those that look like it."""
        if args[0] in self.shorts:
            args = [*self.shorts[args[0]].split(), *args[1:]]
        name, known = args[0], [*self.list_commands(ctx), *self.shorts]
        if self.get_command(ctx, name) is None:
            verb = ctx.command_path.replace(" ", "-", 1)
            message = f"'{name}' is not a {verb} command."
            if not hints.way_here(ctx, name):
                others = " or ".join(_of_groups(ctx.find_root(), name))
                close = f"did you mean {others}?" if others else suggestion(name, known)
                message += f" D{close[1:]}" if close else ""
            raise UsageError(message, hints.elsewhere(ctx, name))
        return super().resolve_command(ctx, args)

    def make_parser(self, ctx: click.Context) -> _OptionParser:
        """Options of the default verb are left to it."""
        parser = super().make_parser(ctx)
        if self.default and isinstance(parser, OptionParser):
            parser.ignore_unknown_options, parser.prefixes = True, False
        return parser

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts the default verb first where options of it, or nothing, are given."""
        if self.default is None:
            return super().parse_args(ctx, args)
        super().parse_args(ctx, args or [self.default])
        rest = [*ctx._protected_args, *ctx.args]
        if not rest or rest[0].startswith("-"):
            ctx._protected_args, ctx.args = [self.default], rest
        return ctx.args


class Root(Group):
    """``git xexp`` itself."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """``help VERB`` and ``--help VERB`` are ``VERB --help``."""
        first = args[0] if args else ""
        if first == "help" or (len(first) > 3 and "--help".startswith(first)):
            args = [*args[1:], "--help"]
        return super().parse_args(ctx, args)


def _of_groups(root: click.Context, name: str) -> list[str]:
    """Every verb of exactly this name, as it is typed: of ``git xexp`` and of its groups."""
    assert isinstance(root.command, Group)
    verbs = {
        verb: root.command.get_command(root, verb) for verb in root.command.list_commands(root)
    }
    found = [name] if name in verbs else []
    groups = ((verb, group) for verb, group in verbs.items() if isinstance(group, Group))
    found += [f"{verb} {name}" for verb, group in groups if name in group.list_commands(root)]
    return [f"{root.command_path} {path}" for path in found]


def summary(command: click.Command) -> str:
    """The first sentence of a command's help, as a phrase."""
    text = command.get_short_help_str(200).rstrip(".")
    return text[:1].lower() + text[1:]
