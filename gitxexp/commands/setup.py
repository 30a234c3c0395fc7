"""``git xexp setup``."""

from __future__ import annotations

import click

from gitxexp import installing, render
from gitxexp.errors import NoAnswer, UsageError


@click.command()
@click.option("--check", is_flag=True, help="Tell what works and what does not.")
@click.option("--uninstall", is_flag=True, help="Take back all that setup did.")
def setup(check: bool, uninstall: bool) -> None:
    """Make manual pages and shell completion work, after any installer.

    Links them into your own folders; nothing else is changed.
    """
    if check and uninstall:
        raise UsageError("--check and --uninstall exclude each other")
    if check:
        _check()
    elif uninstall:
        _uninstall()
    else:
        _install()


def _install() -> None:
    topics: dict[str, list[str]] = {}
    for topic, target, what in installing.install():
        topics.setdefault(topic, []).append(what)
        if what == "kept":
            render.say(f"warning: {target} is a file of your own, and was left as it is")
    for topic, done in topics.items():
        fresh = done.count("linked")
        text = f"{fresh} linked" if fresh else "already in place"
        render.out(f"{topic:<13} {text}")
    for found in installing.check():
        if not found.ok and found.fix:
            render.out(f"{found.topic:<13} {found.text}; {found.fix}")


def _uninstall() -> None:
    removed = list(installing.uninstall())
    for path in removed:
        render.out(f"removed {path}")
    if not removed:
        render.out("nothing to take back")


def _check() -> None:
    checks = installing.check()
    for found in checks:
        mark = render.paint("ok", "green") if found.ok else render.paint("NO", "red")
        render.out(f"{mark}  {found.topic:<13} {found.text}")
    fixes = dict.fromkeys(found.fix for found in checks if not found.ok)
    if fixes:
        raise NoAnswer("not everything works yet", "\n".join(fixes))
