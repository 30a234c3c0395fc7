"""Dialogs over the screen: the question before a command, and the list of keys."""

from __future__ import annotations

import asyncio
import shlex
from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Button, Input, Label, Static
from textual.worker import Worker

from gitxexp.cli.ui.commands import Question, output
from gitxexp.cli.ui.keys import KEYS
from gitxexp.cli.ui.table import Lines
from gitxexp.common.text import visible

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer]):
    """A screen that says when it can take keys."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = asyncio.Event()

    def begin(self, widget: Widget) -> None:
        """Take keys, ``widget`` first."""
        self.set_focus(widget)
        self.ready.set()


class Ask(Dialog[list[str] | None]):
    """A question; its answer is the words of the command, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "answer(False)", "No"),
        Binding("y", "answer(True)", "Yes"),
        Binding("n", "answer(False)", "No"),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]
    CSS = """
    Ask { align: center middle; }
    Ask > Vertical { width: 76; max-width: 100%; height: auto; max-height: 100%; padding: 0 1;
                     border: round $accent; background: $surface; }
    Ask Label, Ask #command { width: 1fr; height: auto; }
    Ask Lines { height: auto; max-height: 12; min-height: 1; }
    Ask Input { border: none; height: 1; padding: 0; width: 1fr; }
    Ask .field { height: 1; }
    Ask .field Label { width: 12; }
    Ask #buttons { height: 1; align-horizontal: right; }
    Ask Button { margin-left: 2; }
    """

    def __init__(self, question: Question, *, run: bool = True) -> None:
        super().__init__()
        self.question = question
        self.runs = run

    def compose(self) -> ComposeResult:
        question = self.question
        with Vertical():
            yield Label(visible(question.text), markup=False)
            if question.plan:
                yield Lines(id="plan")
            for at, field in enumerate(question.fields):
                with Horizontal(classes="field"):
                    yield Label(field.name)
                    known = SuggestFromList(field.known, case_sensitive=False)
                    yield Input(field.value, id=f"field-{at}", suggester=known, compact=True)
            yield Static(id="command", markup=False)
            with Horizontal(id="buttons"):
                yield Button("Yes" if self.runs else "OK", id="yes", compact=True)
                yield Button("No" if self.runs else "Cancel", id="no", compact=True)

    def on_mount(self) -> None:
        """No is what Enter means, where there is nothing to type."""
        self._say()
        self.begin(self.query_one("#field-0" if self.question.fields else "#no"))
        if self.question.plan:
            _: Worker[None] = self.run_worker(self._plan)

    async def _plan(self) -> None:
        lines = self.query_one("#plan", Lines)
        lines.show(["looking…"])
        lines.styles.height = 1
        _, printed = await output(self.question.plan)
        lines.show(printed)
        lines.styles.height = max(1, min(12, len(printed)))

    def words(self) -> list[str]:
        """The command, as it is typed now."""
        values = [box.value for box in self.query(Input)]
        if len(values) < len(self.question.fields):  # it is being made, or closed
            return []
        return self.question.words(values)

    def _say(self) -> None:
        words = self.words()
        shown = f"git xexp {shlex.join(words)}" if words else ""
        self.query_one("#command", Static).update(visible(shown) if self.runs else "")

    def on_input_changed(self) -> None:
        """Show the command that it makes."""
        self._say()

    def on_input_submitted(self) -> None:
        """Enter is yes once something is typed."""
        if self.words():
            self.action_answer(True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Yes or no."""
        self.action_answer(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """Go back with the answer."""
        words = self.words() if yes else None
        if not yes or words:
            self.dismiss(words)


class Help(Dialog[None]):
    """The keys and what they do."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "Close")
    ]
    CSS = """
    Help { align: center middle; }
    Help Lines { width: 74; max-width: 100%; height: auto; max-height: 100%; padding: 0 1;
                 border: round $accent; background: $surface; }
    """

    def compose(self) -> ComposeResult:
        yield Lines(id="keys")

    def on_mount(self) -> None:
        """Fill it."""
        wide = max(len(each.shown) for each in KEYS)
        lines = self.query_one("#keys", Lines)
        lines.show(f"{each.shown.ljust(wide)}  {each.text}" for each in KEYS)
        lines.styles.height = len(KEYS) + 2
        self.begin(lines)

    def action_dismiss(self) -> None:  # type: ignore[override]
        """Go back."""
        self.dismiss(None)
