"""The keys of ``git xexp ui``, for the footer, the help and the manual."""

from __future__ import annotations

from gitxexp.common.dataclass import dataclass


@dataclass(frozen=True)
class Key:
    """``key`` in Textual's spelling, ``shown`` in ours; ``short`` stands in the footer, "" for none."""

    key: str
    shown: str
    action: str
    short: str
    text: str


KEYS = (
    Key("up,down,j,k", "Up, Down", "", "", "move between rows; also j, k, PageUp, Home, the mouse"),
    Key("left,right", "Left, Right", "", "", "scroll to columns that do not fit"),
    Key("slash", "/", "filter", "Filter", "filter as you type: words, or 'f1 > 0.8 and lr < 1'"),
    Key("r", "r", "turn", "Runs", "switch between experiments and runs"),
    Key("space", "Space", "mark", "Mark", "mark or unmark a row"),
    Key("enter", "Enter", "details", "", "show the row in full"),
    Key("d", "d", "diff", "Diff", "compare the marked rows, or a row with its parent"),
    Key("v", "v", "curves", "Curves", "plot the marked runs; again for the next metric"),
    Key("l", "l", "log", "Log", "show the log of the run"),
    Key("s", "s", "sort", "", "sort by a column; so does a click on its name"),
    Key("S", "S", "reverse", "", "reverse the order"),
    Key("tab", "Tab", "", "", "move to the lower part, to scroll it, and back"),
    Key("z", "z", "zoom", "", "maximize the lower part, and restore it"),
    Key("escape", "Esc", "close", "", "clear the filter, then the marks; close the lower part"),
    Key("c", "c", "ask('checkout')", "", "check it out in a worktree"),
    Key("g", "g", "ask('get')", "", "get one of its files"),
    Key("p", "p", "ask('promote')", "", "promote its model to production"),
    Key("t", "t", "ask('label')", "", "label it"),
    Key("w", "w", "ask('worktree')", "", "start a new experiment from it in a worktree"),
    Key("u", "u", "ask('undo')", "", "undo the last operation"),
    Key("f5", "F5", "reload", "", "reload"),
    Key("question_mark", "?", "help", "Keys", "this list"),
    Key("q", "q", "leave", "Quit", "quit"),
)  # fmt: skip
