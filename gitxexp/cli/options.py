"""Parameter types and shared options: strings become types at the door.

Nothing of the domain is imported before a value is converted, so that ``-h`` waits for none of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click

from gitxexp.cli import hints, project
from gitxexp.cli.render import console
from gitxexp.common import streams

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project
    from gitxexp.repository.version import AnyVersion
    from gitxexp.workflows.sweeps.grid import Axis

#: As :data:`gitxexp.repository.config.LINKS`.
LINKS = ("auto", "reflink", "hardlink", "symlink", "copy")

F = TypeVar("F", bound=Callable[..., Any])


class VersionType(click.ParamType["AnyVersion"]):
    """``eX.Y.Z`` or ``exp-NAME-vN``."""

    name = "version"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> AnyVersion:
        from gitxexp.repository import version

        found = value if not isinstance(value, str) else version.parse(value)
        if found is None:
            bare = f"e{str(value).removeprefix('v')}"
            near = (
                f". Did you mean {bare}?"
                if version.parse(bare)
                else " (like e0.3.0 or exp-NAME-v1)"
            )
            self.fail(f"'{value}' is not a version{near}", param, ctx)
        return found


class Text(click.ParamType[str]):
    """Words that are kept in a tag or the registry, which are UTF-8."""

    name = "text"
    may_be_empty = True

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            self.fail(f"'{text}' is not UTF-8", param, ctx)
        return text


class Label(Text):
    """A name on one line."""

    name = "label"
    may_be_empty = False

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = super().convert(value, param, ctx).strip()
        if not text or any(ord(char) < 32 for char in text):
            self.fail(f"'{text}' is not a name", param, ctx)
        return text


class Labels(click.ParamType[tuple[str, ...]]):
    """Names separated by commas, each once."""

    name = "labels"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        return tuple(dict.fromkeys(Label().convert(part, param, ctx) for part in parts))


class Assignment(click.ParamType[tuple[str, Any]]):
    """``key=value``; the value is a number or truth value if it spells one."""

    name = "key=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        from gitxexp.common.limits import scalar

        key, equals, text = Text().convert(value, param, ctx).partition("=")
        if not equals or not key.strip():
            self.fail(f"'{value}' is not key=value", param, ctx)
        return Label().convert(key, param, ctx), scalar(text)


class Number(click.ParamType[tuple[str, float]]):
    """``key=number``, for a metric."""

    name = "key=number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        key, number = Assignment().convert(value, param, ctx)
        if isinstance(number, bool) or not isinstance(number, int | float):
            self.fail(f"'{value}': a metric is a number", param, ctx)
        return key, number


def _measured(value: object) -> tuple[float, str]:
    """A number and the unit after it; -1 where there is no number."""
    text = str(value).strip().lower()
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    try:
        number = float(digits)
    except ValueError:
        number = -1.0
    return number, text[len(digits) :].strip()


class Age(click.ParamType[float]):
    """A length of time in seconds, spelled ``12h``, ``30d``, ``2w``, ``6mo`` or ``1y``."""

    name = "age"
    units: ClassVar[dict[str, float]] = {
        "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "mo": 30.44 * 86400, "y": 365.25 * 86400,
    }  # fmt: skip

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        number, unit = _measured(value)
        if unit not in self.units or not 0 <= number < 1e6:
            self.fail(f"'{value}' is not an age (like 12h, 30d, 2w, 6mo or 1y)", param, ctx)
        return number * self.units[unit]


class Duration(click.ParamType[float]):
    """A length of time in seconds: ``90``, ``90s``, ``5min`` or ``2h``."""

    name = "time"
    units: ClassVar[dict[str, float]] = {"": 1, "s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        number, unit = _measured(value)
        if unit not in self.units or not 0 < number < 1e9:
            self.fail(f"'{value}' is not a length of time (like 90s, 5min or 2h)", param, ctx)
        return number * self.units[unit]


class Values(click.ParamType["Axis"]):
    """``name=value,…``: a parameter of a grid."""

    name = "name=values"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Axis:
        from gitxexp.workflows.sweeps import grid

        return (
            value if isinstance(value, grid.Axis) else grid.parse(Text().convert(value, param, ctx))
        )


class Setting(click.ParamType[tuple[str, Any]]):
    """``key=value`` of a parameter file; the value as YAML has it."""

    name = "key=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        from gitxexp.workflows.runs.parameters import read_value

        if isinstance(value, tuple):
            return value
        key, equals, text = Text().convert(value, param, ctx).partition("=")
        if not equals or not key.strip("+ "):
            self.fail(f"'{value}' is not key=value, such as {key.strip() or 'lr'}=0.1", param, ctx)
        return key.strip(), read_value(text)


class Columns(click.ParamType[tuple[str, ...]]):
    """Names separated by commas."""

    name = "columns"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(part.strip() for part in str(value).split(",") if part.strip())


class When(click.Choice[str]):
    """``auto``, ``always`` or ``never``; the value may be left out, and is ``always`` then."""

    def __init__(self) -> None:
        super().__init__(("auto", "always", "never"))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.choices:
            self.fail(f"'{value}' is not auto, always or never", param, ctx)
        return str(value)


def shared(
    *,
    json: bool = False,
    full: bool = False,
    no_wait: bool = False,
    nul: str | None = None,
    message: str | None = None,
    dry_run: str | None = None,
    yes: str | None = None,
) -> Callable[[F], F]:
    """The options that several verbs have; a text is the help of one that differs in it.

    ``--json`` (``as_json``), ``--full`` (which numbers obey wherever they are printed),
    ``--no-wait``, ``-z`` (``nul``), ``-m`` (``message``; several are paragraphs as in
    git-commit(1), None without one), ``-n`` (``dry_run``), ``-y`` (``yes``).
    """
    options = []
    if message:
        options.append(click.option("-m", "--message", type=Text(), metavar="TEXT", multiple=True,
                                    callback=_paragraphs, help=message))  # fmt: skip
    if yes:
        options.append(click.option("-y", "--yes", is_flag=True, help=yes))
    if dry_run:
        options.append(click.option("-n", "--dry-run", is_flag=True, help=dry_run))
    if nul:
        options.append(click.option("-z", "nul", is_flag=True, help=nul))
    if no_wait:
        text = "Fail at once if another operation holds the lock."
        options.append(click.option("--no-wait", is_flag=True, help=text))
    if full:
        options.append(click.option("--full", is_flag=True, expose_value=False, callback=_all_digits,
                                    help="Print numbers with all digits."))  # fmt: skip
    if json:
        options.append(click.option("--json", "as_json", is_flag=True, callback=_here_or_before,
                                    help="Print JSON."))  # fmt: skip

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _paragraphs(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> str | None:
    return "\n\n".join(given) if given else None


def _here_or_before(ctx: click.Context, param: click.Parameter, given: bool) -> bool:
    """``--json`` may stand before the verb, too."""
    while not given and ctx.parent is not None:
        ctx = ctx.parent
        given = bool(ctx.params.get(str(param.name)))
    return given


# -- what every command understands, on either side of the verb --------------------------------


def _quiet(_ctx: click.Context, _param: click.Parameter, given: bool) -> None:
    if given:
        console.choose(quiet=True)


def _verbose(_ctx: click.Context, _param: click.Parameter, given: bool) -> None:
    if given:
        hints.trace()


def _all_digits(_ctx: click.Context, _param: click.Parameter, given: bool) -> None:
    if given:
        console.choose(full=True)


def _colour(_ctx: click.Context, _param: click.Parameter, given: str | None) -> None:
    if given:
        console.choose(color=given)


def _no_colour(_ctx: click.Context, _param: click.Parameter, given: bool) -> None:
    if given:
        console.choose(color="never")


def _usage(ctx: click.Context, _param: click.Parameter, given: bool) -> None:
    if given:
        streams.write(f"{ctx.get_help()}\n")
        ctx.exit()


def _manual(ctx: click.Context, _param: click.Parameter, given: bool) -> None:
    """The manual page, or the usage where man is missing."""
    if given:
        code = hints.manual(ctx.command_path)
        if code is None:
            streams.write(f"{ctx.get_help()}\n")
        ctx.exit(code or 0)


def _everywhere(*names: str, **settings: Any) -> click.Option:
    return click.Option(names, expose_value=False, is_eager=True, **settings)


HELP = _everywhere("-h", is_flag=True, callback=_usage, help="Show this message and exit.")
#: ``-h`` shows them in one line for all commands.
COMMON = (
    _everywhere("-q", "--quiet", is_flag=True, hidden=True, callback=_quiet,
                help="Print only results and errors."),
    _everywhere("-v", "--verbose", is_flag=True, hidden=True, callback=_verbose,
                help="Print the git commands that are run."),
    _everywhere("--color", type=When(), metavar="WHEN", hidden=True, callback=_colour,
                help="Colour: auto, always or never."),
    HELP,
    _everywhere("--help", is_flag=True, hidden=True, callback=_manual,
                help="Show the manual page."),
)  # fmt: skip
NO_COLOUR = _everywhere("--no-color", is_flag=True, hidden=True, callback=_no_colour)


def open_project() -> Project:
    """The project around the current folder, for the command that is running."""
    context = click.get_current_context(silent=True)
    given = context.params if context else {}
    if "no_wait" in given and not given.get("dry_run"):  # it changes something
        return project.open_to_change(wait=not given["no_wait"])
    return project.open_to_read()
