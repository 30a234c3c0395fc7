"""Counts and lists of names in sentences; untrusted text on one line."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def counted(count: int, thing: str) -> str:
    """``1 row``, ``2 rows``"""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def some(names: Sequence[str], most: int) -> str:
    """Return the first ``most`` names and the number of others: ``a, b and 3 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def lines_of(names: Sequence[str]) -> str:
    """The names, one on a line, and after ten the number of others."""
    more = [f"and {len(names) - 10} more"] if len(names) > 10 else []
    return "\n".join(f"  {line}" for line in [*names[:10], *more])


def show_date(seconds: float) -> str:
    """Local time, ISO 8601 with the zone's offset."""
    text = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))
    return f"{text[:-2]}:{text[-2:]}"


#: Joiners in words and emoji: the only invisible characters that affect nothing else.
_JOINERS = "\u200c\u200d"


def visible(text: str) -> str:
    """Escape each character that is invisible, breaks a line or controls a terminal (``\\n``,
    ``\\x1b``, ``\\u202e``), so that the text stays on one line and shows its content."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _JOINERS else _escaped(c) for c in text)


def not_utf8(text: str) -> str:
    """The word of a text that has bytes which are not UTF-8, as Python holds them."""
    import re  # 2 ms, which only an error needs

    found = re.search("[^\\s\"']*[\ud800-\udfff][^\\s\"']*", text)
    return found[0] if found else text


def html_text(text: str) -> str:
    """Escape ``text`` for HTML, so that it is shown and none of it is markup."""
    import html  # 2 ms, which a terminal listing need not pay

    return html.escape(visible(text))


def _escaped(char: str) -> str:
    return ascii(char)[1:-1]


#: Control characters (C0, C1) except tab, directional marks and line separators: they control a
#: terminal, or make one line look like two (Unicode, UAX #9 and #14).
STEERING = "\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
#: The longest line that is shown in full.
MOST = 10_000


def one_line(text: str) -> str:
    """Escape terminal controls and line breaks; cut the line after :data:`MOST`. Tabs stay, because
    they separate fields."""
    if len(text) > MOST:
        text = f"{text[: MOST - 1]}…"
    if text.isprintable() or text.replace("\t", "").isprintable():
        return text
    import re  # plain text does not need it

    return re.sub(f"[{STEERING}]", lambda found: _escaped(found[0]), text)
