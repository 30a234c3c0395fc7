"""``git xexp ui``: experiments and runs in the terminal, by Textual."""

from __future__ import annotations

import asyncio
import gc
import os
import shlex
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App, ComposeResult, ScreenStackError
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.events import Event, Key, Paste, Resize
from textual.filter import LineFilter, NoColor
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.widgets import Input, Static
from textual.worker import Worker

from gitxexp.cli import failures
from gitxexp.cli.render import console
from gitxexp.cli.ui import commands
from gitxexp.cli.ui.dialogs import Ask, Dialog, Help
from gitxexp.cli.ui.keys import KEYS
from gitxexp.cli.ui.listing import Arranged, Listing, name_of
from gitxexp.cli.ui.table import Lines, RowsTable
from gitxexp.cli.ui.threads import beside
from gitxexp.common.errors import XexpError
from gitxexp.common.garbage import no_collection
from gitxexp.common.text import counted, visible
from gitxexp.repository.repository import Project

if TYPE_CHECKING:
    from gitxexp.cli.ui.panes import Shown

#: Seconds of rest before a filter is applied, and before the lower part follows the cursor.
_TYPED, _FOLLOWED = 0.08, 0.12
#: Seconds for which a key waits for the one before.
_PATIENCE = 2.0
#: Rows that are shown before all are read.
_FIRST = 200
#: Columns from which the parts stand side by side.
_WIDE = 130
#: Lines of a log that are shown.
_LOG = 20_000


class Browser(App[None]):
    """The screen: a table, what is shown of its row below, and the keys."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "git xexp"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(each.key, each.action, each.short, show=bool(each.short), key_display=each.shown)
        for each in KEYS
        if each.action
    ]
    CSS = """
    Screen { layers: base; }
    #head { height: 1; background: $panel; }
    #body { height: 1fr; layout: vertical; }
    #table { height: 3fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 1; }
    #part { height: 2fr; }
    #title { height: 1; background: $panel; }
    #lines { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 1; }
    #keys { height: 1; background: $panel; link-style: none; link-color: $foreground; }
    #filter { height: 1; border: none; padding: 0 1; display: none; }
    #filter.open { display: block; }
    .wide #body { layout: horizontal; }
    .wide #table { height: 1fr; width: 3fr; }
    .wide #part { height: 1fr; width: 2fr; }
    .closed #part { display: none; }
    .zoomed #table { display: none; }
    """

    def __init__(self, project: Project, *, runs: bool = False, text: str = "") -> None:
        super().__init__()
        self.project = project
        self.runs = runs
        self.text = text
        self.order: tuple[str, bool] | None = None  #: the column, and whether it is turned
        self.pane = "details"
        self.metric = 0  #: which of the metrics with steps the curves are of
        self.running = ""  #: the command under way
        self.said: list[str] = []
        project.notify = self.said.append
        self.lock = Lock()  # of the project: git's processes answer one thread at a time
        self.listings = {each: Listing(project.for_thread(), each) for each in (False, True)}
        self.readers: dict[bool, Worker[None]] = {}
        self.typed: deque[Event] = deque()  #: keys, the first of which is being taken

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's; without colours those of the terminal itself, where Textual has shades of grey."""
        return [*super().get_line_filters(), *([NoColor()] if self.no_color else [])]

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Input(
            self.text, placeholder="words, or: f1 > 0.8 and model = bert", id="filter", compact=True,
            select_on_focus=False,
        )  # fmt: skip
        with Container(id="body"):
            yield RowsTable(id="table")
            with Container(id="part"):
                yield Static(id="title", markup=False)
                yield Lines(id="lines")
        yield Static(_footer(), id="keys")

    @property
    def base(self) -> Screen[Any]:
        """The screen itself, whatever stands over it."""
        return self.screen_stack[0]

    @property
    def table(self) -> RowsTable:
        """The table."""
        return self.base.query_one("#table", RowsTable)

    @property
    def lines(self) -> Lines:
        """The lower part's text."""
        return self.base.query_one("#lines", Lines)

    @property
    def listing(self) -> Listing:
        """What the table is of."""
        return self.listings[self.runs]

    def on_mount(self) -> None:
        """Read, and show."""
        sys.setswitchinterval(0.0005)  # a key need not wait for what is done beside the screen
        self.table.focus()
        if self.text:
            self.base.query_one("#filter").add_class("open")
        self.action_reload()

    def on_unmount(self) -> None:
        """Leave the process as it was."""
        gc.unfreeze()

    def on_resize(self, event: Resize) -> None:
        """Side by side where there is room."""
        self.base.set_class(event.size.width >= _WIDE, "wide")

    # -- keys ----------------------------------------------------------------------------------

    async def on_event(self, event: Event) -> None:
        """Take keys one at a time: each goes to what the one before opened, however quick they come."""
        if isinstance(event, Key | Paste) and not event.is_forwarded:
            self.typed.append(event)
            if len(self.typed) == 1:
                _: Worker[None] = self.run_worker(self._type, group="keys")
        else:
            await super().on_event(event)

    async def _type(self) -> None:
        while self.typed:
            try:
                with suppress(ScreenStackError):  # it was left meanwhile
                    await self._take(self.typed[0])
            finally:
                self.typed.popleft()

    async def _take(self, event: Event) -> None:
        """Hand on a key, and wait for what it opens."""
        target = self.focused or self.screen
        await super().on_event(event)
        for pump in target.ancestors_with_self:  # what has no use for a key hands it on
            await _through(pump)
        if isinstance(self.screen, Dialog):
            await _soon(self.screen.ready)

    def _work(self, work: Callable[[], Coroutine[Any, Any, None]], group: str) -> Worker[None]:
        """Do something beside the screen, in place of what the group does."""

        async def whole() -> None:
            with suppress(ScreenStackError):  # it was left meanwhile
                await work()

        return self.run_worker(whole, group=group, exclusive=True)

    # -- the table -----------------------------------------------------------------------------

    def action_reload(self) -> None:
        """Read everything again; what was read is shown until then."""
        self.project, self.lock = self.project.for_thread(), Lock()
        for runs, old in self.listings.items():
            self.listings[runs] = Listing(self.project.for_thread(), runs, old.rows)
            if runs in self.readers:
                self.readers.pop(runs).cancel()
        self._begin_reading()

    def _begin_reading(self) -> None:
        """Read what the table is of, unless that is done or under way."""
        reader, runs = self.readers.get(self.runs), self.runs
        if not self.listing.whole and (reader is None or reader.is_finished):
            self.readers[runs] = self._work(partial(self._read, runs), f"read {runs}")

    async def _read(self, runs: bool) -> None:
        """Read and show the newest, then all."""
        if not self.listings[runs].rows:
            self.table.empty = "reading…"
            self._head("reading…")
            await self._read_and_show(runs, _FIRST)
            await self._drawn()
        if not self.listings[runs].whole:
            await self._read_and_show(runs)

    async def _read_and_show(self, runs: bool, newest: int | None = None) -> None:
        """Read into a listing of its own: the one that is shown answers meanwhile."""
        listing = Listing(self.project.for_thread(), runs)
        with no_collection():
            done = await self._done(listing, partial(listing.read, newest))
        gc.freeze()  # nor is garbage looked for in what was read: keys would wait for that
        if done:
            self.listings[runs] = listing
            if runs == self.runs:
                await self._arrange()

    async def _drawn(self) -> None:
        """Wait until what is shown is on the screen: nothing else is as urgent."""
        drawn = asyncio.Event()
        self.call_after_refresh(drawn.set)
        await drawn.wait()

    async def _arrange(self) -> None:
        """Filter and sort; what cannot be read as a filter leaves the rows as they are."""
        listing = self.listing
        found = await self._done(listing, lambda: listing.arranged(self.text, self.order))
        if found and listing is self.listing:
            self._show(found)
        elif not found:  # as they are: a name that is none must not refuse what is typed next
            self.order = self.table.order

    async def _done(self, listing: Listing, work: Callable[[], Any]) -> Any:
        """The result of ``work`` on a listing, done beside the screen; None, and a word on it, where it
        failed."""
        try:
            result = await beside(work, listing.lock)
        except Exception as error:
            self._refuse(error)
            return None
        return True if result is None else result

    def _show(self, data: Arranged) -> None:
        table, kind = self.table, "run" if self.runs else "experiment"
        table.order = self.order
        if not data.rows:
            none = f"there are no {kind}s yet"
            table.empty = f"none of {len(self.listing.rows)} match" if self.listing.rows else none
        # what a command printed stays until the cursor moves
        with self.prevent(RowsTable.Moved) if self.pane == "output" else nullcontext():
            table.show(data)
        self._head()

    def _head(self, problem: str = "") -> None:
        """The first line: where this is, and what the table holds."""
        table, kind = self.table, "run" if self.runs else "experiment"
        total = len(self.listing.rows)
        shown = f"{table.count} of {counted(total, kind)}" if self.text else counted(total, kind)
        shown += "" if self.listing.whole else ", reading the others…"
        marked = f", {len(table.marked)} marked" if table.marked else ""
        said = f"  note: {self.said[-1]}" if self.said else ""
        self.said.clear()
        name = (
            self.project.top.name if self.project.places.top else str(self.project.places.git_dir)
        )
        text = problem or f"{shown}{marked}{said}"
        self.base.query_one("#head", Static).update(f" {visible(name)}  {visible(text)}")

    def _refuse(self, error: Exception) -> None:
        message, hint = failures.words(error)
        self._head(f"{message} ({hint})" if hint else message)

    def on_rows_table_moved(self) -> None:
        """Have the lower part follow."""
        if self.pane == "output":
            self.pane = "details"
        self._follow()

    def on_rows_table_opened(self) -> None:
        """A second click."""
        self.action_details()

    def on_rows_table_sorted(self, event: RowsTable.Sorted) -> None:
        """A click on a title sorts, the second one the other way."""
        self._sort(event.name)

    def _sort(self, name: str | None) -> None:
        again = self.order is not None and self.order[0] == name
        self.order = (name, again and not (self.order or ("", True))[1]) if name else None
        self._work(self._arrange, "table")

    def action_reverse(self) -> None:
        """Turn the order."""
        if self.order is None:  # the newest first
            self.order = "date", False
        self._sort(self.order[0])

    def action_sort(self) -> None:
        """Ask for a column."""
        known = [column.name.name for column in self.table.data.columns] if self.table.data else []

        def words(typed: Sequence[str]) -> list[str]:
            return [typed[0].strip()] if typed[0].strip() else []

        question = commands.Question("Sort by", words, (commands.Field("Column", "", known),))
        self.push_screen(Ask(question, run=False), self._sorted)

    def _sorted(self, typed: list[str] | None) -> None:
        if typed:
            self._sort(typed[0])

    def action_turn(self) -> None:
        """Runs instead of experiments."""
        self.runs = not self.runs
        table = self.table
        table.data, table.empty, table.marked = None, "reading…", set()
        table.refresh()
        self.order = table.order = None
        if self.listing.rows:
            self._work(self._arrange, "table")
        self._begin_reading()

    def action_mark(self) -> None:
        """Mark the row."""
        self.table.mark()
        self._head()

    # -- the filter ----------------------------------------------------------------------------

    def action_filter(self) -> None:
        """Begin to type."""
        box = self.base.query_one("#filter", Input)
        box.add_class("open")
        self.base.set_focus(box)  # at once, for the next key

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as it is typed."""
        if event.input.id == "filter" and event.value != self.text:
            self.text = event.value
            self._work(self._typed, "table")

    async def _typed(self) -> None:
        await asyncio.sleep(_TYPED)
        await self._arrange()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Back to the rows."""
        if event.input.id == "filter":
            self.table.focus()
            event.input.set_class(bool(self.text), "open")

    def action_close(self) -> None:
        """What was opened last."""
        box = self.base.query_one("#filter", Input)
        if self.base.has_class("zoomed"):
            self.action_zoom()
        elif self.focused is box or self.text:
            box.value = ""
            box.remove_class("open")
            self.table.focus()
        elif self.table.marked:
            self.table.marked = set()
            self.table.refresh()
            self._head()
        else:
            self.base.toggle_class("closed")
            self.table.focus()

    # -- the lower part ------------------------------------------------------------------------

    def action_details(self) -> None:
        """All about the row."""
        self._open("details")

    def action_diff(self) -> None:
        """The marked rows side by side."""
        self._open("diff")

    def action_curves(self) -> None:
        """Curves of runs; of the next metric where they are shown already."""
        self.metric = self.metric + 1 if self.pane == "curves" else 0
        self._open("curves")

    def action_log(self) -> None:
        """What the run printed."""
        self._open("log")

    def action_zoom(self) -> None:
        """The lower part alone."""
        self.base.remove_class("closed")
        self.base.toggle_class("zoomed")
        (self.lines if self.base.has_class("zoomed") else self.table).focus()

    def _open(self, pane: str) -> None:
        self.pane = pane
        self.base.remove_class("closed")
        self._follow()

    def _follow(self) -> None:
        if self.is_running and not self.base.has_class("closed"):
            self._work(self._fill, "part")

    async def _fill(self) -> None:
        await asyncio.sleep(_FOLLOWED)
        row, pane = self.table.row, self.pane
        if row is None:
            self.show_part("", [])
            return
        size, listing, marked = self.lines.size, self.listing, frozenset(self.table.marked)

        def made() -> Shown:
            from gitxexp.cli.ui import panes  # the first frame waits not for all that is in them

            rows = [each for each in listing.rows if name_of(each) in marked] if marked else []
            about = panes.About(self.project, row, rows, self.metric, size.width, size.height)
            return panes.PANES[pane](about)

        try:
            title, lines = await beside(made, self.lock)
        except Exception as error:
            message, hint = failures.words(error)
            title, lines = pane, [*message.splitlines(), *hint.splitlines()]
        self.show_part(title, lines[:_LOG], end=pane == "log")

    def show_part(self, title: str, lines: Sequence[str], *, end: bool = False) -> None:
        """Put text into the lower part."""
        self.base.query_one("#title", Static).update(f" {visible(title)}")
        self.lines.show(lines, end=end)

    # -- commands ------------------------------------------------------------------------------

    def action_ask(self, name: str) -> None:
        """Ask before a command."""
        if self.running:
            self._head(f"wait: {self.running} is running")
            return
        try:
            question = commands.question(name, self.table.row)
        except XexpError as error:
            self._refuse(error)
            return
        self.push_screen(Ask(question), self._answered)

    def _answered(self, words: list[str] | None) -> None:
        if words:
            self._work(partial(self._run, words), "command")

    async def _run(self, words: Sequence[str]) -> None:
        """Run a command beside the screen, show what it printed, read everything again."""
        self.running = f"git xexp {shlex.join(words)}"
        self.pane = "output"
        self.base.remove_class("closed")
        self.show_part(f"{self.running} …", [])
        code, lines = await commands.output(words)
        how = "done" if code == 0 else f"exit {code}"
        self.show_part(f"{self.running}: {how}", lines)
        self.running = ""
        self.action_reload()

    def action_help(self) -> None:
        """The keys."""
        self.push_screen(Help())

    def action_leave(self) -> None:
        """Quit, but not in the middle of a command."""
        if self.running:
            self._head(f"wait: {self.running} is running")
        else:
            self.exit()

    async def action_quit(self) -> None:
        """Textual's own key, Ctrl-Q."""
        self.action_leave()


async def _through(pump: MessagePump) -> None:
    """Wait until a widget has done what it was sent."""
    done = asyncio.Event()
    if pump.call_later(done.set):
        await _soon(done)


async def _soon(event: asyncio.Event) -> None:
    """Wait for what happens at once, unless a widget is closed meanwhile."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), _PATIENCE)


def _footer() -> str:
    """The keys that are used most, each of which can be clicked. Textual's own is a widget a key, which
    the first frame waits for."""
    shown = (
        f"[@click=app.{key.action}][b]{key.shown}[/b] {key.short}[/]" for key in KEYS if key.short
    )
    return f" {'  '.join(shown)}"


def browse(project: Project, *, runs: bool, text: str) -> None:
    """Show the screen until it is left."""
    if not console.colour():
        os.environ["NO_COLOR"] = "1"  # Textual's way to none, as git's configuration asks
    console.choose(color="always")  # what is shown in the lower part; Textual takes it off again
    Browser(project, runs=runs, text=text).run()
