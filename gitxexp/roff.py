"""Prose in a small Markdown as man(7), clean for ``mandoc -T lint`` and ``man --warnings``.

``## SECTION``, paragraphs, ``- `` items, ``` console blocks, tables, **bold**, *italic* and `code`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator


def sections(text: str) -> dict[str, str]:
    """``## TITLE`` → the text below it."""
    found = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def escape(text: str) -> str:
    """Plain text as roff: backslashes, hyphens that may be typed, and control characters."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = text.replace("…", "...").replace("→", "\\(->").replace("—", "\\(em").replace("×", "x")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def roff(text: str) -> str:
    """The small Markdown of the prose as man(7)."""
    blocks = re.split(r"(^```.*?^```$)", text.strip(), flags=re.MULTILINE | re.DOTALL)
    lines: list[str] = []
    for block in blocks:
        if block.startswith("```"):
            inner = block.split("\n")[1:-1]
            lines += [".sp", ".RS 4", ".nf", *(escape(line) for line in inner), ".fi", ".RE"]
            continue
        for paragraph in re.split(r"\n\s*\n", block.strip()):
            lines += _paragraph(paragraph) if paragraph else []
    return "\n".join(lines[1:] if lines[:1] == [".PP"] else lines)


def _paragraph(text: str) -> list[str]:
    if text.startswith("\b"):  # click's mark for lines that stay as they are
        lines = textwrap.dedent(text[1:].strip("\n")).split("\n")
        return [".sp", ".nf", *map(escape, lines), ".fi"]
    if text.startswith("### "):
        head, _, rest = text[4:].partition("\n")
        return [f".SS {escape(head)}", *(_paragraph(rest)[rest[0] != "-" :] if rest else ())]
    if text.startswith("|"):
        return _table(text.split("\n"))
    if not text.startswith("- "):
        return [".PP", *_sentences(text)]
    lines = []
    for item in re.split(r"^- ", text, flags=re.MULTILINE)[1:]:
        head, colon, rest = item.partition(":: ")
        lines += [".TP", _inline(head), *_sentences(rest)] if colon else [
            ".IP \\(bu 2", *_sentences(item)]  # fmt: skip
    return lines


def _sentences(text: str) -> list[str]:
    """One sentence a line, as roff wants it."""
    joined = " ".join(text.split())
    return [_inline(part) for part in re.split(r"(?<=[.!?:]) (?=[A-Z`*])", joined)]


_INLINE = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*")


def _inline(text: str) -> str:
    def styled(found: re.Match[str]) -> str:
        style = "I" if found[3] else "B"
        return f"\0{style}{found[1] or found[2] or found[3]}\0R"

    marked = escape(_INLINE.sub(styled, text))
    return re.sub("\0([BIR])", r"\\f\1", marked)


def _table(rows: list[str]) -> list[str]:
    split = [re.split(r"(?<!\\)\|", row.strip("|")) for row in rows]
    cells = [[_inline(cell.strip().replace("\\|", "|")) for cell in row] for row in split]
    body = [row for row in cells if not re.fullmatch(r"[\\:-]+", "".join(row))]
    columns = len(body[0])
    widths = ["lx" if number == columns - 1 else "l" for number in range(columns)]
    lines = [".TS", "tab(@);", " ".join("lb" for _ in body[0]), " ".join(widths) + "."]
    for row in body:
        lines.append("@".join([*row[:-1], f"T{{\n.ad l\n{row[-1]}\nT}}"]))
    return [".PP", *lines, ".TE"]


def joined(parts: list[str]) -> str:
    """The page that these parts make."""
    text = "\n".join(_wrapped("\n".join(parts).split("\n"))) + "\n"
    return f"'\\\" t\n{text}" if ".TS\n" in text else text


def _wrapped(lines: list[str]) -> Iterator[str]:
    """Filled text in lines that mandoc's lint likes."""
    as_it_is = False
    for line in lines:
        if line in (".nf", ".TS", ".fi", ".TE"):
            as_it_is = line in (".nf", ".TS")
        if as_it_is or len(line) <= 78 or line.startswith((".", "'")):
            yield line
            continue
        for part in textwrap.wrap(line, 78, break_long_words=False, break_on_hyphens=False):
            yield f"\\&{part}" if part.startswith((".", "'")) else part
