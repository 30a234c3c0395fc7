"""A table of any number of rows that creates only the visible ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from gitxexp.cli.render.console import clip, width
from gitxexp.cli.ui.listing import Arranged, TableColumn, name_of
from gitxexp.common import streams
from gitxexp.workflows.explore.rows import Row

#: Columns that stay while the others scroll sideways: that of the row's name.
_FIXED = 1
#: Signs in front of a row.
_MARK = 2
_MARKED, _BEST = Style(color="yellow", bold=True), Style(color="green", bold=True)
_HERE, _TITLES, _PLAIN = Style(reverse=True), Style(bold=True), Style()


class Lines(ScrollView, can_focus=True):
    """Text of any length: lines with the marks of :func:`gitxexp.common.streams.paint`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.texts: list[str] = []

    def show(self, texts: Iterable[str], *, end: bool = False) -> None:
        """Show other lines, from the first, or the last one."""
        self.texts = list(texts)
        widest = max((width(streams.plain(text)) for text in self.texts[:5000]), default=0)
        self.virtual_size = Size(widest, len(self.texts))
        self.scroll_to(0, len(self.texts) if end else 0, animate=False, force=True)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """A line of the screen."""
        x, top = self.scroll_offset
        at = y + top
        if at >= len(self.texts):
            return Strip.blank(self.size.width, self.rich_style)
        text = Text.from_ansi(streams.shown(self.texts[at]), end="")
        segments = [Segment(part.text, part.style) for part in text.render(self.app.console)]
        strip = Strip(segments).crop_extend(x, x + self.size.width, self.rich_style)
        return strip.apply_style(self.rich_style)


class RowsTable(ScrollView, can_focus=True):
    """Rows of experiments or runs, a cursor, and marks."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "move(-1000000000)", show=False),
        Binding("end,G", "move(1000000000)", show=False),
    ]

    class Moved(Message):
        """The cursor is on another row."""

    class Opened(Message):
        """A row was clicked twice."""

    class Sorted(Message):
        """The title of a column was clicked."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.data: Arranged | None = None
        self.at = 0
        self.marked: set[str] = set()
        self.order: tuple[str, bool] | None = None  #: the column, and whether it was turned
        self.empty = "reading…"

    def show(self, data: Arranged) -> None:
        """Show other rows; the cursor stays on its row where that is still there."""
        before, self.data = self.row, data
        self.at = data.place(before)
        across = _MARK + sum(column.width + 2 for column in data.columns)
        self.virtual_size = Size(across, len(data.rows) + 1)
        self._scroll_to_cursor()
        self.refresh()
        self.post_message(self.Moved())

    @property
    def count(self) -> int:
        """The number of rows."""
        return len(self.data.rows) if self.data else 0

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        return self.data.rows[self.at] if self.data and self.at < self.count else None

    def mark(self) -> None:
        """Mark the row, or no longer, and go to the next."""
        if self.row is not None:
            self.marked ^= {name_of(self.row)}
            self.refresh()
            self.action_move(1)

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        left, self.at = self.at, min(max(0, self.at + by), max(0, self.count - 1))
        if left != self.at:
            top = self.scroll_offset.y
            self._scroll_to_cursor()
            if top == self.scroll_offset.y:  # else all is drawn anew
                lines = (at - top + 1 for at in (left, self.at))
                self.refresh(*(Region(0, line, self.size.width, 1) for line in lines))
            self.post_message(self.Moved())

    def action_page(self, by: int) -> None:
        """Move the cursor by what is seen at once."""
        self.action_move(by * max(1, self._seen - 1))

    @property
    def _seen(self) -> int:
        """The rows that are seen at once: titles and a scroll bar are none."""
        return max(1, self.scrollable_content_region.height - 1)

    def _scroll_to_cursor(self) -> None:
        x, top = self.scroll_offset
        seen = self._seen
        if self.at < top:
            top = self.at
        elif self.at >= top + seen:
            top = self.at - seen + 1
        else:
            return
        self.scroll_to(x, top, animate=False, force=True, immediate=True)

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self._scroll_to_cursor()

    def on_click(self, event: Click) -> None:
        """Go to the row, open it with the second click, or sort by a title."""
        if self.data is None:
            return
        if event.y == 0:
            name = self._column_at(event.x)
            if name is not None:
                self.post_message(self.Sorted(name))
            return
        at = event.y - 1 + self.scroll_offset.y
        if at < self.count:
            self.action_move(at - self.at)
            if event.chain > 1:
                self.post_message(self.Opened())

    def _column_at(self, x: int) -> str | None:
        if self.data is None:
            return None
        start = _MARK
        for at, column in enumerate(self.data.columns):
            if at == _FIXED:
                x += self.scroll_offset.x
            if start <= x < start + column.width + 2:
                return column.name.name
            start += column.width + 2
        return None

    # -- drawing -------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """A line of the screen: the titles, then rows."""
        data = self.data
        across = self.size.width
        if data is None or not data.rows:
            text = self.empty if y == 1 else ""
            return Strip([Segment(f"  {text}".ljust(across), self.rich_style)])
        if y == 0:
            return self._line(self._titles(data), _TITLES)
        at = y - 1 + self.scroll_offset.y
        if at >= len(data.rows):
            return Strip.blank(across, self.rich_style)
        here = at == self.at
        style = _HERE if here else _PLAIN
        return self._line(self._cells(data, at, here), style)

    def _line(self, parts: Iterable[Segment], style: Style) -> Strip:
        """The fixed columns, then what is scrolled to of the others."""
        found = list(parts)
        fixed = Strip(found[: 1 + _FIXED])
        across = max(0, self.size.width - fixed.cell_length)
        x = self.scroll_offset.x
        rest = Strip(found[1 + _FIXED :]).crop_extend(x, x + across, _PLAIN)
        line = Strip.join([fixed, rest]).crop(0, self.size.width)
        return line.apply_style(self.rich_style + style)

    def _titles(self, data: Arranged) -> Iterator[Segment]:
        yield Segment(" " * _MARK)
        for column in data.columns:
            sign = ""
            if self.order and column.name.name == self.order[0]:
                sign = "↑" if self.order[1] else "↓"
            text = clip(column.title, column.width - len(sign)) + sign
            yield Segment(_padded(text, column))

    def _cells(self, data: Arranged, at: int, here: bool) -> Iterator[Segment]:
        row = data.rows[at]
        marked = bool(self.marked) and name_of(row) in self.marked
        signs = f"{'>' if here else ' '}{'*' if marked else ' '}"
        yield Segment(signs, _MARKED if marked else None)
        for column, best in zip(data.columns, data.best, strict=True):
            text = _padded(clip(column.cell(row), column.width), column)
            yield Segment(text, _BEST if at in best else None)


def _padded(text: str, column: TableColumn) -> str:
    space = " " * (column.width - width(text))
    return f"{space}{text}  " if column.right else f"{text}{space}  "
