"""The only place that writes to standard output: tables, TSV, JSON, colour and the pager.

git's pager, and where ``pager.xexp`` has another.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

from gitxexp.common import streams
from gitxexp.common.text import STEERING, counted, visible

#: The narrowest that a column which may be cut becomes; and where that is still too wide.
_NARROWEST, _CRAMPED = 12, 6
#: The narrowest that the header of any other column becomes, if its cells allow it.
_HEADER = 8


class Column(NamedTuple):
    """One column of a table. ``marked`` holds the rows to show as best, ``red`` those to beware of.

    Cells are plain text: what is no printable character is shown as its escape.
    """

    name: str
    cells: Sequence[str]
    right: bool = False
    flexible: bool = False  #: may be cut to fit the terminal
    #: may be left out to fit the terminal: 1 before 2 before 3, the last one first
    optional: int = 0
    marked: frozenset[int] = frozenset()
    red: frozenset[int] = frozenset()


#: Whether a notebook shows the output, which has aligned tables and colours; nothing started here is told.
_IN_NOTEBOOK = os.environ.pop("XEXP_NOTEBOOK", "") == "true"


def is_terminal() -> bool:
    """Whether standard output is a terminal, git's own pager in front of one, or a notebook."""
    piped = _IN_NOTEBOOK or os.environ.get("GIT_PAGER_IN_USE") == "true"
    return piped or sys.stdout.isatty()


def _terminal() -> tuple[int, int]:
    """Columns and lines of the terminal, or of a usual one."""
    import shutil  # 2 ms, which output to a pipe needs not wait for

    return shutil.get_terminal_size((80, 24))


def columns() -> int:
    """The width of the terminal, or of a usual one."""
    return _terminal()[0]


def width(text: str) -> int:
    """Columns that ``text`` takes on a terminal: wide characters two, an emoji of several joined
    ones two, combining ones none."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth, wcwidth  # large tables, which plain text needs not

    whole = wcswidth(text)
    return whole if whole >= 0 else sum(max(wcwidth(c), 0) for c in text)


def size(count: float | None) -> str:
    """Bytes for people, in units of 1000; "?" where not known."""
    if count is None:
        return "?"
    unit = "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if count < 999.5:
            break
        count, unit = count / 1000, larger
    return f"{count:.0f} {unit}" if unit == "B" or count >= 9.95 else f"{count:.1f} {unit}"


def ago(seconds: float) -> str:
    """How long ago a time since 1970 is, in the largest unit that fits, as git writes it."""
    past = max(0.0, time.time() - seconds)
    units = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
    name, length = next((unit for unit in units if past >= unit[1]), units[-1])
    return f"{counted(int(past // length), name)} ago"


def moment(seconds: float | None) -> str | None:
    """A time since 1970 as JSON has it: ISO 8601, in UTC."""
    if seconds is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def rounded(value: Any) -> str:
    """A number with four decimals, or four digits where that would show fewer; with all of them where
    ``--full`` is given."""
    return rounded_all([value])[0]


def or_dash(value: Any) -> str:
    """:func:`rounded` on one line; a dash where there is no value."""
    return "-" if value is None else one_line(rounded(value))


def rounded_all(values: Sequence[Any]) -> list[str]:
    """:func:`rounded` of each of many values."""
    from gitxexp.repository.tag_message import show_all  # a floor that ``-h`` waits not for

    kinds = set(map(type, values))
    if _Chosen.full or float not in kinds:
        return show_all(values)
    if kinds == {float}:
        return list(map(_rounded, values))
    shown = zip(values, show_all(values), strict=True)
    return [_rounded(value) if type(value) is float else text for value, text in shown]


def _rounded(value: float) -> str:
    if not 0.1 <= abs(value) < 1e6:  # nor is NaN
        return f"{value:.4g}"
    exact = repr(value)  # never with an exponent: six characters have at most four decimals
    return exact if len(exact) <= 6 else f"{value:.4f}"


def clip(text: str, limit: int) -> str:
    """``text`` cut to ``limit`` terminal columns, the cut shown as an ellipsis."""
    if width(text) <= limit:
        return text
    if text.isascii():
        return f"{text[: limit - 1]}…"
    from wcwidth import iter_graphemes  # late, as above

    kept, used = [], 0
    for shown in iter_graphemes(text):
        used += width(shown)
        if used > limit - 1:
            break
        kept.append(shown)
    return "".join(kept) + "…"


class _Chosen:
    """What the command line says, whatever the configuration."""

    color = "auto"
    quiet = False
    full = False


def choose(
    *, color: str | None = None, quiet: bool | None = None, full: bool | None = None
) -> None:
    """Colour auto, always or never; quiet leaves notes and progress out; full shows all digits of
    numbers. None: as before."""
    _Chosen.color = _Chosen.color if color is None else color
    _Chosen.full = _Chosen.full if full is None else full
    _Chosen.quiet = _Chosen.quiet if quiet is None else quiet
    colour.cache_clear()


def quiet() -> bool:
    """Whether only results and errors are wanted."""
    return _Chosen.quiet


@cache
def colour() -> bool:
    """Whether to colour: --color, NO_COLOR (no-color.org), then git's color.xexp and color.ui."""
    if _Chosen.color != "auto":
        return _Chosen.color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    from gitxexp.common.errors import XexpError
    from gitxexp.storage.git import Git, boolean

    try:
        value = Git(".").setting("color.xexp", "color.ui")
    except (XexpError, OSError):
        return False
    value = "auto" if value is None else value.lower()
    if value in ("always", "never"):
        return value == "always"
    wanted = value == "auto" or boolean(value)
    return bool(wanted) and is_terminal() and os.environ.get("TERM", "dumb") != "dumb"


def paint(text: str, style: str) -> str:
    """``text`` in ``style`` (a colour, bold, dim) where colour is wanted."""
    return streams.paint(text, style) if colour() else text


def table(columns: Sequence[Column]) -> list[str]:
    """The lines of an aligned table that fits the terminal, or as TSV where there is none.

    A best value carries a star, because colour may be off.
    """
    return aligned(columns, paint) if is_terminal() else tsv(columns)


def _plainly(text: str, _style: str) -> str:
    return text


def aligned(columns: Sequence[Column], paint: Callable[[str, str], str] = _plainly) -> list[str]:
    """The lines of :func:`table` for a terminal, without colours unless ``paint`` gives them."""
    columns, widths = _fitted([_starred(_visible(column)) for column in columns])
    head = [_pad(clip(c.name, w), w, c.right) for c, w in zip(columns, widths, strict=True)]
    lines = [_line([paint(cell, "bold") for cell in head])]
    for row in range(len(columns[0].cells) if columns else 0):
        cells = []
        for column, size in zip(columns, widths, strict=True):
            cell = _pad(clip(column.cells[row], size), size, column.right)
            style = "green" if row in column.marked else "red" if row in column.red else ""
            cells.append(paint(cell, style) if style else cell)
        lines.append(_line(cells))
    return lines


def _visible(column: Column) -> Column:
    cells = [visible(cell) for cell in column.cells]
    return column._replace(name=visible(column.name), cells=cells)


def _starred(column: Column) -> Column:
    if not column.marked:
        return column
    cells = [f"{cell}{'*' if at in column.marked else ' '}" for at, cell in enumerate(column.cells)]
    return column._replace(name=f"{column.name} ", cells=cells)


def _fitted(columns: list[Column]) -> tuple[list[Column], list[int]]:
    """The columns that fit the terminal, and the width of each."""
    bodies = [max(map(width, c.cells), default=0) for c in columns]
    widths = [max(width(c.name), body) for c, body in zip(columns, bodies, strict=True)]
    terminal = _terminal()[0]

    def narrow(at: int, least: int, header: int = _HEADER) -> int:
        return min(widths[at], least if columns[at].flexible else max(bodies[at], header))

    def excess(least: int, header: int = _HEADER) -> int:
        narrowed = sum(narrow(at, least, header) for at in range(len(columns)))
        return narrowed + 2 * (len(columns) - 1) - terminal

    def drop(at: int) -> None:
        del columns[at], bodies[at], widths[at]

    for level in (1, 2, 3):
        for at in reversed(range(len(columns))):
            header = terminal if level < 3 else _HEADER  # parameters stay rather than long headers
            if columns[at].optional == level and excess(_NARROWEST, header) > 0:
                drop(at)
    while excess(_CRAMPED) > 0 and len(columns) > 2:
        at = max(range(2, len(columns)), key=lambda n: (columns[n].flexible, n))
        drop(at)
    least = _NARROWEST if excess(_NARROWEST) <= 0 else _CRAMPED
    room = terminal - 2 * (len(columns) - 1)
    for at in sorted(range(len(columns)), key=lambda n: (not columns[n].flexible, -widths[n])):
        if sum(widths) > room:
            widths[at] = max(narrow(at, least), widths[at] - (sum(widths) - room))
    return columns, widths


def _line(cells: Iterable[str]) -> str:
    return "  ".join(cells).rstrip()


def _pad(text: str, size: int, right: bool) -> str:
    space = " " * (size - width(text))
    return space + text if right else text + space


def tsv(columns: Sequence[Column]) -> list[str]:
    """A header and the rows, separated by tabs; tabs and line breaks in a cell become spaces."""
    rows = zip(*(_on_one_line(column.cells) for column in columns), strict=True)
    return ["\t".join(_on_one_line([c.name for c in columns])), *map("\t".join, rows)]


#: The longest cell that is shown whole where no terminal cuts it.
_LONGEST = 2000


def _on_one_line(cells: Sequence[str]) -> Sequence[str]:
    if "".join(cells).isprintable() and max(map(len, cells), default=0) <= _LONGEST:
        return cells
    return [one_line(cell) for cell in cells]


def one_line(cell: str) -> str:
    """A cell without tabs and line breaks, cut where it is endless."""
    cell = cell if len(cell) <= _LONGEST else f"{cell[: _LONGEST - 1]}…"
    return cell if cell.isprintable() else visible(" ".join(cell.split()))


def print_json(value: Any) -> None:
    """Write indented JSON (RFC 8259) of :func:`plain`'s values to standard output."""
    streams.write(f"{as_json(value, indent=2)}\n")


def as_json(value: Any, indent: int | None = None) -> str:
    """JSON of :func:`plain`'s values; characters that cannot be seen are escaped."""
    import json  # 1 ms, which a table needs not wait for
    import re

    utf8 = (sys.stdout.encoding or "utf-8").lower().replace("-", "") == "utf8"
    dumped = json.dumps(plain(value), indent=indent, ensure_ascii=not utf8)
    unseen = (c for c in set(re.findall(r"[^\n -~]", dumped)) if not c.isprintable())
    return dumped.translate({ord(c): json.dumps(c)[1:-1] for c in unseen})


def plain(value: Any) -> Any:
    """Values, mappings and dataclasses as JSON can hold them: a blob becomes ``{"blob": hex}``, NaN
    and infinities, which JSON does not have, null."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, bytes):
        return {"blob": value.hex()}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    names = getattr(value, "__dataclass_fields__", None)
    return value if names is None else {name: plain(getattr(value, name)) for name in names}


def out(*lines: str) -> None:
    """Write lines to standard output; nothing but our own colours steers a terminal, or whatever
    reads the pipe, and what its encoding does not have is replaced."""
    streams.write("".join(f"{streams.shown(line)}\n" for line in lines))


def done(*lines: str) -> None:
    """Say on standard output what was changed, unless it is to be quiet."""
    if not _Chosen.quiet:
        out(*lines)


def remark(text: str) -> None:
    """Say on standard error what is no error, such as that there is nothing to do, unless it is to
    be quiet."""
    if not _Chosen.quiet:
        say(text)


def notes(texts: Iterable[str]) -> None:
    """Say what is worth knowing beside the result."""
    for text in texts:
        say(f"note: {text}")


def names(values: Iterable[object]) -> None:
    """``-z``: each name as it is, followed by a NUL; bytes that are no text are kept."""
    for value in values:
        streams.write_bytes(os.fsencode(str(value)) + b"\0")
    streams.flush()


def say(*lines: str) -> None:
    """Write lines to standard error; a note is left out when it is to be quiet."""
    if _Chosen.quiet and lines and lines[0].startswith("note: "):
        return
    streams.tell(*lines)


def is_screen() -> bool:
    """Whether standard output is a terminal that can be drawn over."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def redraw(lines: Sequence[str]) -> None:
    """Draw lines over what is on the screen, as many as it has (ECMA-48: CUP, EL and ED)."""
    most = max(_terminal()[1] - 1, 1)
    shown = [streams.shown(line) for line in lines[:most]]
    if len(lines) > most:
        shown[-1] = f"... and {len(lines) - most + 1} more"
    text = "".join(f"{line}\x1b[K\n" for line in shown)
    streams.write(f"\x1b[H{text}\x1b[J")
    streams.flush()


def page(lines: Sequence[str], patch: str = "") -> None:
    """Write lines, through git's pager when there are more than the terminal has.

    A ``patch`` of git's follows after an empty line, in git's colours.
    """
    text = "\n".join(map(streams.shown, lines))
    _page(f"{text}\n\n{_harmless(patch)}" if patch else text)


def page_text(text: str) -> None:
    """Like :func:`page`, for a text of another program, whose colours stay."""
    _page(_harmless(text))


def _page(text: str) -> None:
    if not sys.stdout.isatty() or text.count("\n") + 1 < _terminal()[1]:
        streams.write(f"{text}\n")
    else:
        _through_pager(text)


def _harmless(patch: str) -> str:
    """A patch with nothing that steers a terminal but git's colours; CR LF stays."""
    import re

    steering = rf"(?!\n|\r\n|\x1b\[[0-9;]*m)[{STEERING}]"
    return re.sub(steering, "?", patch)


def _through_pager(text: str) -> None:
    """Write ``text`` through the pager; when it quits early, that is the end."""
    command = _pager()
    if command in ("", "cat"):
        streams.write(f"{text}\n")
        return
    import shlex
    import subprocess

    environment = {"LESS": "FRX", "LV": "-c", **os.environ}
    parts = ["sh", "-c", command] if not _simple(command) else shlex.split(command)
    try:
        process = subprocess.Popen(parts, stdin=subprocess.PIPE, env=environment)
    except OSError as error:  # git goes on without it, too
        streams.tell(f"warning: cannot run {command}: {error.strerror}")
        streams.write(f"{text}\n")
        return
    try:
        process.communicate((text + "\n").encode("utf-8", "replace"))
    except (BrokenPipeError, KeyboardInterrupt):
        process.wait()


def _pager() -> str:
    """The command of ``pager.xexp`` (git-config(1): a boolean or a command), else git's; "" for none.

    git itself starts the pager of ``pager.xexp``, but not where we are called as ``git-xexp``, and
    not to say that there shall be none.
    """

    import subprocess

    def git(*args: str) -> str:
        done = subprocess.run(["git", *args], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    own = git("config", "pager.xexp")
    if own.lower() in ("false", "no", "off", "0"):
        return ""
    if own.lower() in ("", "true", "yes", "on", "1") or "GIT_PAGER" in os.environ:
        return git("var", "GIT_PAGER")
    return own


def _simple(command: str) -> bool:
    return not any(char in command for char in "|&;<>()$`\\\"'*?[#~=%")
