"""Parameter types and option decorators that verbs share: strings become types at the door."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import click

from gitxexp.cli.render import console
from gitxexp.repository import version
from gitxexp.repository.repository import Project
from gitxexp.repository.tag_message import read_scalar
from gitxexp.repository.version import AnyVersion

F = TypeVar("F", bound=Callable[..., Any])


class VersionType(click.ParamType[AnyVersion]):
    """``eX.Y.Z`` or ``exp-NAME-vN``."""

    name = "version"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> AnyVersion:
        found = value if not isinstance(value, str) else version.parse(value)
        if found is None:
            self.fail(f"'{value}' is not a version (like e0.3.0 or exp-NAME-v1)", param, ctx)
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


class Assignment(click.ParamType[tuple[str, Any]]):
    """``key=value``; the value is a number or truth value if it spells one."""

    name = "key=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        key, equals, text = Text().convert(value, param, ctx).partition("=")
        if not equals or not key.strip():
            self.fail(f"'{value}' is not key=value", param, ctx)
        return Label().convert(key, param, ctx), read_scalar(text)


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
        text = str(value).strip().lower()
        digits = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
        unit = text[len(digits) :].strip()
        try:
            number = float(digits)
        except ValueError:
            number = -1.0
        if unit not in self.units or not 0 <= number < 1e6:
            self.fail(f"'{value}' is not an age (like 12h, 30d, 2w, 6mo or 1y)", param, ctx)
        return number * self.units[unit]


def message_option(text: str) -> Callable[[F], F]:
    """``-m``, several of them paragraphs as in git-commit(1); None without one."""

    def paragraphs(
        ctx: click.Context, param: click.Parameter, given: tuple[str, ...]
    ) -> str | None:
        return "\n\n".join(given) if given else None

    return click.option("-m", "--message", type=Text(), metavar="TEXT", multiple=True,
                        callback=paragraphs, help=text)  # fmt: skip


def json_option(function: F) -> F:
    """``--json``"""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def nul_option(text: str) -> Callable[[F], F]:
    """``-z``"""
    return click.option("-z", "nul", is_flag=True, help=text)


def no_wait_option(function: F) -> F:
    """``--no-wait``"""
    return click.option(
        "--no-wait", is_flag=True, help="Fail at once if another operation holds the lock."
    )(function)


def open_project() -> Project:
    """The project around the current folder, its remarks going to standard error."""
    context = click.get_current_context(silent=True)
    git = context.obj if context else None
    return Project.open(".", console.say, git)
