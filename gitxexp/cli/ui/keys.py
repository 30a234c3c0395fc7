"""The keys of ``git xexp ui``, for the footer, the help and the manual."""

from __future__ import annotations

from gitxexp.common.dataclass import dataclass


@dataclass(frozen=True)
class KeyBinding:
    """``key`` in Textual's spelling, ``shown`` in ours; ``short`` stands in the footer, "" for none."""

    key: str
    shown: str
    action: str
    short: str
    text: str


KEYS = (
    KeyBinding("up,down,j,k", "Up, Down", "", "", "move between rows; also j, k, PageUp, Home, the mouse"),
    KeyBinding("left,right", "Left, Right", "", "", "scroll to columns that do not fit"),
    KeyBinding("slash", "/", "filter", "Filter", "filter as you type: words, or 'f1 > 0.8 and lr < 1'"),
    KeyBinding("r", "r", "turn", "Runs", "switch between experiments and runs"),
    KeyBinding("space", "Space", "mark", "Mark", "mark or unmark a row"),
    KeyBinding("enter", "Enter", "details", "", "show the row in full"),
    KeyBinding("d", "d", "diff", "Diff", "compare the marked rows, or a row with its parent"),
    KeyBinding("v", "v", "curves", "Curves", "plot the marked runs; again for the next metric"),
    KeyBinding("l", "l", "log", "Log", "show the log of the run"),
    KeyBinding("s", "s", "sort", "", "sort by a column; so does a click on its name"),
    KeyBinding("S", "S", "reverse", "", "reverse the order"),
    KeyBinding("tab", "Tab", "", "", "move to the lower part, to scroll it, and back"),
    KeyBinding("z", "z", "zoom", "", "maximize the lower part, and restore it"),
    KeyBinding("escape", "Esc", "close", "", "clear the filter, then the marks; close the lower part"),
    KeyBinding("c", "c", "ask('checkout')", "", "check it out in a worktree"),
    KeyBinding("g", "g", "ask('get')", "", "get one of its files"),
    KeyBinding("p", "p", "ask('promote')", "", "promote its model to production"),
    KeyBinding("t", "t", "ask('label')", "", "label it"),
    KeyBinding("w", "w", "ask('worktree')", "", "start a new experiment from it in a worktree"),
    KeyBinding("u", "u", "ask('undo')", "", "undo the last operation"),
    KeyBinding("f5", "F5", "reload", "", "reload"),
    KeyBinding("question_mark", "?", "help", "Keys", "this list"),
    KeyBinding("q", "q", "leave", "Quit", "quit"),
)  # fmt: skip
