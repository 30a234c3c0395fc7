"""``git xexp setup``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from gitxexp.cli.group import Command
from gitxexp.cli.options import shared
from gitxexp.cli.render import console
from gitxexp.common.errors import NoAnswer, only_one

if TYPE_CHECKING:
    from gitxexp.cli.shell.install import SetupCheck


@click.command(cls=Command)
@click.option("--check", is_flag=True, help="Report what works and what does not.")
@click.option("--uninstall", is_flag=True, help="Remove what setup installed.")
@shared(json=True)
def setup(check: bool, uninstall: bool, as_json: bool) -> None:
    """Enable manual pages and shell completion, after any installer.

    Links them into your own folders and touches nothing else.
    """
    only_one({"--check": check, "--uninstall": uninstall})
    if check:
        _check(as_json=as_json)
    elif uninstall:
        _uninstall(as_json=as_json)
    else:
        _install(as_json=as_json)


_PLACED = ("linked", "there")


def _install(*, as_json: bool) -> None:
    from gitxexp.cli.shell import install

    topics: dict[str, list[str]] = {}
    links = list(install.install())
    if as_json:
        placed = [{"topic": topic, "path": str(t), "state": what} for topic, t, what in links]
        console.print_json({"links": placed, "checks": _facts(install.check())})
        return
    for topic, target, what in links:
        topics.setdefault(topic, []).append(what)
        if what == "kept":
            console.say(f"warning: {target} was not made by setup, and was left as it is")
        elif what not in _PLACED:
            console.say(f"warning: {target} cannot be made: {what}")
    for topic, done in topics.items():
        fresh, other = done.count("linked"), len(done) - sum(map(done.count, _PLACED))
        text = f"{fresh} linked" if fresh else "already in place" if not other else ""
        if other:
            text = f"{text}, {other} left out".removeprefix(", ")
        console.done(f"{topic:<13} {text}")
    for found in install.check():
        if not found.ok and found.fix:
            console.out(f"{found.topic:<13} {found.text}; {found.fix}")


def _facts(checks: list[SetupCheck]) -> list[dict[str, Any]]:
    return [asdict(check) for check in checks]


def _uninstall(*, as_json: bool) -> None:
    from gitxexp.cli.shell import install

    removed = list(install.uninstall())
    if as_json:
        console.print_json({"removed": [str(path) for path in removed]})
        return
    for path in removed:
        console.done(f"removed {path}")
    if not removed:
        console.done("nothing to remove")


def _check(*, as_json: bool) -> None:
    from gitxexp.cli.shell import install

    checks = install.check()
    if as_json:
        console.print_json({"checks": _facts(checks)})
    for topic in () if as_json else checks:
        mark = console.paint("ok", "green") if topic.ok else console.paint("NO", "red")
        console.out(f"{mark}  {topic.topic:<13} {topic.text}")
    fixes = dict.fromkeys(topic.fix for topic in checks if not topic.ok)
    if fixes:
        raise NoAnswer("some parts do not work yet", "\n".join(fixes))
