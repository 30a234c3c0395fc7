"""Numbers of things, and lists of names, in sentences; text from anywhere on one line."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def counted(count: int, thing: str) -> str:
    """``1 row``, ``2 rows``"""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def some(names: Sequence[str], most: int) -> str:
    """The first ``most`` names, and how many more there are: ``a, b and 3 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


#: What joins the parts of words and emoji; of all that cannot be seen, it alone changes nothing else.
_JOINERS = "\u200c\u200d"


def visible(text: str) -> str:
    """``text`` with each character that cannot be seen, breaks a line or steers a terminal as its
    escape (``\\n``, ``\\x1b``, ``\\u202e``), so that it stays on its line and shows what it holds."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _JOINERS else _escaped(c) for c in text)


def html_text(text: str) -> str:
    """``text`` as it stands in HTML: what it holds is shown, and nothing of it is markup."""
    import html  # 2 ms, which a list in a terminal needs not wait for

    return html.escape(visible(text))


def _escaped(char: str) -> str:
    return ascii(char)[1:-1]


#: Control characters (C0, C1) but for the tab, marks of direction, separators of lines: they steer
#: a terminal, or make one line look like two (Unicode, UAX #9 and #14).
STEERING = "\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
#: The longest line that is shown whole.
MOST = 10_000


def one_line(text: str) -> str:
    """A line with whatever steers a terminal, and each break of it, as its escape; what is longer
    than :data:`MOST` is cut. Tabs, which part the fields of a line, stay."""
    if len(text) > MOST:
        text = f"{text[: MOST - 1]}…"
    if text.isprintable():
        return text
    import re  # plain text needs it not

    return re.sub(f"[{STEERING}]", lambda found: _escaped(found[0]), text)
