"""The keys of ``git xexp ui``: what the footer, the help and the manual say of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Key:
    """``key`` in Textual's spelling, ``shown`` in ours; ``short`` stands in the footer, "" for none."""

    key: str
    shown: str
    action: str
    short: str
    text: str


KEYS = (
    Key("up,down,j,k", "Up, Down", "", "", "another row; also j, k, PageUp, Home, the mouse"),
    Key("left,right", "Left, Right", "", "", "columns that do not fit"),
    Key("slash", "/", "filter", "Filter", "filter as you type: words, or 'f1 > 0.8 and lr < 1'"),
    Key("r", "r", "turn", "Runs", "runs instead of experiments, and back"),
    Key("space", "Space", "mark", "Mark", "mark a row, or no longer"),
    Key("enter", "Enter", "details", "Details", "all about the row"),
    Key("d", "d", "diff", "Diff", "the marked rows side by side; what changed in one"),
    Key("v", "v", "curves", "Curves", "curves of the marked runs; again: the next metric"),
    Key("l", "l", "log", "Log", "what the run printed"),
    Key("s", "s", "sort", "", "sort by a column; so does a click on its name"),
    Key("S", "S", "reverse", "", "turn the order"),
    Key("tab", "Tab", "", "", "go to the lower part, to scroll it, and back"),
    Key("z", "z", "zoom", "", "the lower part alone, and back"),
    Key("escape", "Esc", "close", "", "drop the filter, then the marks; close the lower part"),
    Key("c", "c", "ask('checkout')", "", "check it out, in a worktree of its own"),
    Key("g", "g", "ask('get')", "", "get a file of it"),
    Key("p", "p", "ask('promote')", "", "make its model the one in production"),
    Key("t", "t", "ask('label')", "", "label it"),
    Key("w", "w", "ask('worktree')", "", "begin a new experiment from it, in a worktree"),
    Key("u", "u", "ask('undo')", "", "take the last operation back"),
    Key("f5", "F5", "reload", "", "read everything again"),
    Key("question_mark", "?", "help", "Keys", "this list"),
    Key("q", "q", "leave", "Quit", "quit"),
)  # fmt: skip
