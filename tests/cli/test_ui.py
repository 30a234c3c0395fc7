"""``git xexp ui``, by Textual's pilot."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input

from gitxexp.cli.shell import man_pages
from gitxexp.cli.ui import commands, panes
from gitxexp.cli.ui.app import Browser
from gitxexp.cli.ui.keys import KEYS
from gitxexp.cli.ui.listing import Listing
from gitxexp.common.errors import XexpError
from gitxexp.repository.repository import Project
from tests import experiments
from tests.helpers import Clock, Repo


class Screen:
    """The browser under test."""

    def __init__(self, app: Browser, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def lines(self) -> list[str]:
        """What is on the screen."""
        return [line.text for line in self.app.screen._compositor.render_strips()]

    @property
    def rows(self) -> list[str]:
        """The first words of the rows of the table."""
        data = self.app.table.data
        return [data.columns[0].cell(row) for row in data.rows] if data else []

    async def until(self, true: Callable[[], Any], seconds: float = 30) -> None:
        """Wait for what is done beside the screen."""
        for _ in range(int(seconds / 0.02)):
            await self.pilot.pause(0.02)
            if true():
                return
        pytest.fail("\n".join(self.lines))

    async def shows(self, *texts: str) -> None:
        """Wait for texts on the screen."""
        await self.until(lambda: all(any(text in line for line in self.lines) for text in texts))

    async def press(self, *keys: str) -> None:
        """Press keys, without waiting for a machine at rest as the pilot does."""
        for key in keys:
            self.app.simulate_key(key)
            await self.pilot.pause(0)
        await self.until(lambda: not self.app.typed)

    def burst(self, *keys: str) -> None:
        """Press keys all at once, before any of them has done anything."""
        for key in keys:
            self.app.post_message(Key(key, key if len(key) == 1 else None))

    async def type(self, text: str) -> None:
        """Type into the box that has the focus."""
        await self.until(lambda: isinstance(self.app.focused, Input))
        assert isinstance(self.app.focused, Input)
        self.app.focused.insert_text_at_cursor(text)
        await self.pilot.pause(0)


def browse(
    test: Callable[[Screen], Coroutine[Any, Any, None]], runs: bool = False, **size: Any
) -> None:
    """Run a test on the browser of the current folder."""

    async def run() -> None:
        app = Browser(Project.open("."), runs=runs)
        async with app.run_test(size=size.get("size", (80, 24))) as pilot:
            screen = Screen(app, pilot)
            await screen.until(lambda: screen.rows)
            await test(screen)

    asyncio.run(run())


@pytest.fixture
def three(with_three: Repo) -> Repo:
    os.chdir(with_three.path)
    return with_three


def test_looking(three: Repo) -> None:
    """Rows, filter, order, marks, differences, help, the mouse: at 80 columns."""

    async def test(screen: Screen) -> None:
        app = screen.app
        assert screen.rows == ["e1.0.0", "e0.2.0", "e0.1.0"]
        assert " repo  3 experiments" in screen.lines[0] and screen.lines[2].startswith("> e1.0.0")
        await screen.shows("e1.0.0  e1.0.0 | other model", "tagged")
        assert screen.lines[-1].rstrip().endswith("q Quit")
        app.simulate_key("slash")
        for key in "bert low":  # all at once, as over a slow line
            app.post_message(Key("space" if key == " " else key, key))
        await screen.until(lambda: screen.rows == ["e0.2.0"])
        assert not app.table.marked
        await screen.press("escape")
        await screen.until(lambda: len(screen.rows) == 3 and app.focused is app.table)
        await screen.press("slash")
        await screen.type("f1 > 0.5 and nonsense = 1")
        await screen.shows("no parameter, metric or field is named 'nonsense'")
        assert len(screen.rows) == 3  # as they were
        await screen.press("escape")
        await screen.until(lambda: len(screen.rows) == 3)
        await screen.press("s")
        await screen.type("nonsense")
        await screen.press("enter")
        await screen.shows("no parameter, metric or field is named 'nonsense'")
        await screen.press("slash")
        await screen.type("bert low")
        await screen.until(lambda: screen.rows == ["e0.2.0"])
        await screen.press("escape")
        await screen.until(lambda: len(screen.rows) == 3)
        await screen.press("s")
        await screen.type("loss")
        await screen.press("enter")
        await screen.until(lambda: screen.rows == ["e0.2.0", "e0.1.0", "e1.0.0"])
        await screen.pilot.click("#table", offset=(4, 0))  # the title of the versions
        await screen.until(lambda: screen.rows == ["e1.0.0", "e0.2.0", "e0.1.0"])
        await screen.press("S")
        await screen.until(lambda: screen.rows == ["e0.1.0", "e0.2.0", "e1.0.0"])
        await screen.pilot.click("#table", offset=(4, 1))
        await screen.press("space", "d")
        await screen.shows("e0.1.0 → e0.2.0", "0.1 → 0.0001", "better")
        assert app.table.row and app.table.row.experiment and app.table.at == 1
        await screen.press("space", "space", "d")
        await screen.shows("3 side by side")
        await screen.press("v")
        await screen.shows("no curve: nothing was logged more than once")
        await screen.press("l")
        await screen.shows("there is no record of a run")
        await screen.press("question_mark")
        await screen.shows("promote its model to production")
        await screen.press("escape", "escape", "escape")
        await screen.until(lambda: app.screen.has_class("closed") and not app.table.marked)
        await screen.press("z")
        assert app.focused is app.lines
        await screen.pilot.resize_terminal(160, 40)
        assert app.screen.has_class("wide")

    browse(test)


def test_commands(tagged: Repo) -> None:
    """Each is asked about, run as a process, and taken back by undo."""
    os.chdir(tagged.path)

    async def test(screen: Screen) -> None:
        app = screen.app
        await screen.press("t")
        await screen.shows("Label e0.1.0 (no labels)?")
        await screen.type("good")
        await screen.shows("git xexp label e0.1.0 +good")
        await screen.press("escape")
        assert (
            not tagged.git("status", "--porcelain") and tagged.xexp("log").out.count("label") == 0
        )
        await screen.press("t")
        await screen.type("good")
        await screen.press("enter")
        await screen.shows("git xexp label e0.1.0 +good: done", "e0.1.0  good")
        screen.burst("t", "n", "o", "w", "q", "enter")
        await screen.shows("git xexp label e0.1.0 +nowq: done", "e0.1.0  good, nowq")
        screen.burst("question_mark", "escape", "down", "t", "escape", "s", "q", "escape")
        await screen.until(lambda: not app.typed)
        assert app.screen is app.base and app.focused is app.table and app.is_running
        screen.burst("slash", "g", "o", "o", "d", "enter", "d", "escape")
        await screen.until(lambda: not app.typed and app.pane == "diff" and not app.text)
        await screen.press("u", "y")
        await screen.shows("git xexp undo --yes: done")
        await screen.press("u")
        await screen.shows("Undo the last operation?", "label")
        await screen.press("enter")  # on No, which is where it begins
        await screen.press("u", "y")
        await screen.shows("git xexp undo --yes: done")
        await screen.press("c", "n", "g")
        await screen.shows("Get a file of e0.1.0?", "git xexp get e0.1.0 -o e0.1.0-model.bin --")
        await screen.press("enter")
        await screen.until(lambda: (tagged / "e0.1.0-model.bin").exists())
        await screen.press("r")
        await screen.until(lambda: "run-lr-0.1" in screen.rows)
        await screen.pilot.click("#keys", offset=(screen.lines[-1].index("Curves"), 0))
        await screen.shows("loss by step (1 of ", "●")

    browse(test)
    assert "good" not in tagged.xexp("label", "e0.1.0").good().out


def test_questions(tagged: Repo) -> None:
    """The words of every command, and what has no sense."""
    os.chdir(tagged.path)
    listing = Listing(Project.open("."))
    listing.read()
    row = listing.rows[0]

    def words(name: str, *typed: str) -> list[str]:
        return commands.question(name, row).words(typed)

    assert words("checkout") == ["explore", "checkout", "e0.1.0"]
    assert words("get", "a b", "") == ["get", "e0.1.0", "--", "a b"] and not words("get", " ", "x")
    assert words("promote") == ["promote", "e0.1.0", "--yes"]
    assert words("label", "a, -b +c") == ["label", "e0.1.0", "+a", "-b", "+c"]
    assert words("worktree", "wide") == ["worktree", "new", "--at", "e0.1.0", "--", "wide"]
    runs = Listing(Project.open("."), runs=True)
    runs.read()
    row = next(each for each in runs.rows if each.experiment is None)
    assert words("promote") == ["promote", "--run", "run-lr-0.1", "--yes"]
    with pytest.raises(XexpError, match="has no version"):
        commands.question("label", row)
    with pytest.raises(XexpError, match="there is no row"):
        commands.question("get", None)


def test_names_steer_no_terminal(repo: Repo, clock: Clock) -> None:
    os.chdir(repo.path)
    evil = "\x1b[31m\u202e[bold]x[/bold]\n"
    experiments.tag(repo, clock, "e0.1.0", {"model": evil}, {"f1": 0.5}, text=evil, labels=(evil,))
    experiments.tag(repo, clock, "e0.2.0", {"model": "日本"}, {"f1": 0.25}, text="two")

    async def test(screen: Screen) -> None:
        await screen.press("down")
        await screen.shows("parameters", "\\x1b[31m\\u202e[bold]x[/bold]\\n")
        assert all("\x1b" not in line and "\u202e" not in line for line in screen.lines)
        await screen.press("t")
        await screen.shows("Label e0.1.0 (\\x1b")

    browse(test, size=(80, 60))


def test_no_colours(three: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def test(screen: Screen) -> None:
        await screen.press("space")
        await screen.shows(" *e1.0.0")
        strips = screen.app.table.render_lines(screen.app.table.region.reset_offset)
        styles = [part.style for strip in strips for part in strip if part.style]
        assert {str(s.color and s.color.name) for s in styles} == {"default"}
        assert {str(s.bgcolor and s.bgcolor.name) for s in styles} == {"default"}
        assert any(style.reverse for style in styles)  # the cursor

    browse(test)


def test_a_mistake_of_ours_is_told_and_no_end(three: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong beside the screen is said on it, whatever it is; keys go on."""

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("by zero")

    async def test(screen: Screen) -> None:
        monkeypatch.setattr("gitxexp.cli.ui.panes.difference", broken)
        monkeypatch.setitem(panes.PANES, "diff", broken)
        await screen.press("d")
        await screen.shows("unexpected ZeroDivisionError: by zero", "this is a bug")
        monkeypatch.setattr(Listing, "arranged", broken)
        await screen.press("S")
        await screen.until(lambda: "unexpected ZeroDivisionError" in screen.lines[0])
        monkeypatch.undo()
        await screen.press("S")
        await screen.until(lambda: screen.rows == ["e0.1.0", "e0.2.0", "e1.0.0"])

    browse(test)


def test_runs_are_read_the_newest_first(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest are shown while the others are read, which no key and no leaving waits for."""
    with closing(sqlite3.connect(repo / "results.db")) as db, db:
        db.execute(
            "CREATE TABLE events (track_id, timestamp, lr, f1, PRIMARY KEY (track_id, timestamp))"
        )
        rows = (
            (f"run-{i:03}", f"2026-01-01 {i // 60:02}:{i % 60:02}:00", 0.1, i / 500)
            for i in range(500)
        )
        db.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
    os.chdir(repo.path)
    go_on, read = threading.Event(), Listing.read

    def slow(listing: Listing, newest: int | None = None) -> None:
        read(listing, newest)
        assert newest or go_on.wait(30)

    monkeypatch.setattr(Listing, "read", slow)

    async def test(screen: Screen) -> None:
        assert len(screen.rows) == 200 and screen.rows[0] == "run-499"
        await screen.shows("200 runs, reading the others…")
        await screen.press("down", "slash")
        await screen.type("run-42")
        await screen.until(lambda: screen.rows == [f"run-{i}" for i in range(429, 419, -1)])
        go_on.set()
        await screen.shows("10 of 500 runs")
        await screen.press("escape")
        await screen.until(lambda: len(screen.rows) == 500)
        go_on.clear()
        await screen.press("f5", "q")

    browse(test, runs=True)
    go_on.set()


def test_a_thread_sees_the_same_project(three: Repo) -> None:
    """Of several in a repository the one that was opened, or all where they are asked for."""
    project = Project(Project.open(".").git, Project.open(".").places, folder="ranker")
    project.every_project = True
    other = project.for_thread()
    assert other.git is not project.git and other.notify is project.notify
    assert (other._folder, other.every_project) == ("ranker", True)


def test_the_manual_has_every_key() -> None:
    prose = man_pages.sections(man_pages._prose("ui"))["DESCRIPTION"]
    listed = re.findall(r"^- (.+?)::", prose.partition("### Keys")[2], re.MULTILINE)
    assert [re.sub(r"[*`]", "", each) for each in listed] == [each.shown for each in KEYS]
    assert all(len(each.text) <= 56 for each in KEYS)


def test_without_a_terminal_or_textual(three: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    done = three.xexp("ui")
    assert done.code == 129 and "needs a terminal" in done.err and "explore list --json" in done.err
    monkeypatch.setattr("gitxexp.cli.commands.ui._is_terminal", lambda: True)
    monkeypatch.setitem(sys.modules, "textual.app", None)
    monkeypatch.delitem(sys.modules, "gitxexp.cli.ui.app")
    done = three.xexp("ui")
    assert done.code == 128 and "textual is not installed" in done.err
    assert "pip install 'git-xexp[ui]'" in done.err and "pipx inject git-xexp textual" in done.err
