"""Man pages in git's style, from the click tree and a hand-written prose file for each verb.

Prose is in ``prose/VERB.md``, in a small Markdown that becomes man(7), clean for ``mandoc -T lint``
and ``man --warnings``:
``## SECTION``, paragraphs, ``- `` items, ``` console blocks, tables, **bold**, *italic* and `code`.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from importlib.resources import files

import click

from gitxexp._version import __version__
from gitxexp.cli.group import Group
from gitxexp.cli.options import COMMON
from gitxexp.cli.shell import completion_spec

#: Of the text, not of the build: pages made twice are the same.
DATE = "2026-11-21"
#: In git's order; OPTIONS and COMMANDS come from the click tree.
_SECTIONS = ("DESCRIPTION", "COMMANDS", "OPTIONS", "RULES", "GLOSSARY", "CONFIGURATION", "EXAMPLES",
             "EXIT STATUS", "FILES", "SEE ALSO")  # fmt: skip
#: Pages that are prose, and their sections of the manual.
_ESSAYS = {"tutorial": 7, "workflows": 7, "roles": 7, "benchmarking": 7, "faq": 7, "security": 7,
           "json": 7, "config": 5}  # fmt: skip
_MANUAL = "Git Experiments Manual"


def generate(root: click.Command) -> dict[str, str]:
    """File name below ``man/`` → page: git-xexp.1, one for every verb, and those that are prose."""
    pages = {f"man{n}/git-xexp-{name}.{n}": essay(name, n) for name, n in _ESSAYS.items()}
    for path, command in completion_spec.commands(root):
        if " " not in path:
            name = f"git-xexp-{path}" if path else "git-xexp"
            pages[f"man1/{name}.1"] = page(name, path, command, _summary(root, path))
    return dict(sorted(pages.items()))


def page(name: str, path: str, command: click.Command, summary: str) -> str:
    """The page of one verb (a group's holds its sub-verbs), or of git-xexp itself."""
    prose = sections(_prose(path or "git-xexp"))
    if path == "check":
        prose["RULES"] = f"{prose['RULES']}\n\n{_rules()}"
    parts = {
        **{title: roff(text) for title, text in prose.items()},
        "DESCRIPTION": _described(command, prose),
        "EXIT STATUS": roff(prose.get("EXIT STATUS", _EXIT_STATUS)),
        "SEE ALSO": _see_also(path, prose.get("SEE ALSO", "")),
        "COMMANDS": _commands(path, command) if isinstance(command, click.Group) else "",
        "OPTIONS": _options(command),
    }
    head = [_head(name, "1"), ".SH NAME", f"{escape(name)} \\- {escape(summary)}"]
    head += [".SH SYNOPSIS", *_synopsis(path, command)]
    body = [f".SH {title}\n{parts[title]}" for title in _SECTIONS if parts.get(title)]
    return joined([*head, *body])


def _rules() -> str:
    """What the rules of ``check`` say of themselves, those of one id together."""
    from gitxexp.workflows.checks.rule import rules  # for this page alone

    found: dict[str, list[str]] = {}
    for one in rules():
        when = ", before a run" if one.is_before else ""
        head = "" if one.id in found else f"### {one.id} ({one.level}{when})\n"
        found.setdefault(one.id, []).append(f"{head}{one.manual}")
    return "\n\n".join(text for texts in found.values() for text in texts)


def essay(name: str, section: int) -> str:
    """A page that is prose throughout, such as the workflows or what ``--json`` prints."""
    prose = sections(_prose(name))
    name = f"git-xexp-{name}"
    head = [
        _head(name, str(section)),
        ".SH NAME",
        f"{escape(name)} \\- {escape(prose.pop('NAME').strip())}",
    ]
    seen = _see_also(name, prose.pop("SEE ALSO", ""))
    body = [f".SH {title}\n{roff(text)}" for title, text in prose.items()]
    return joined([*head, *body, f".SH SEE ALSO\n{seen}"])


def _prose(name: str) -> str:
    return files("gitxexp.cli.shell").joinpath("prose", f"{name}.md").read_text("utf-8")


def _head(name: str, section: str) -> str:
    title = escape(name.upper())
    return f'.TH "{title}" "{section}" "{DATE}" "git\\-xexp {__version__}" "{_MANUAL}"'


def _summary(root: click.Command, path: str) -> str:
    """What git-xexp(1) lists the verb with, too."""
    if not path or not isinstance(root, Group):
        return "version machine-learning experiments with git, DVC and your tracker's database"
    return root.summaries(click.Context(root))[path]


# -- from the click tree -----------------------------------------------------------------------


def _synopsis(path: str, command: click.Command) -> Iterator[str]:
    yield ".nf"
    for words, one in completion_spec.commands(command):
        alone = getattr(one, "default", None) or getattr(one, "invoke_without_command", False)
        if not isinstance(one, click.Group) or not path or alone:
            yield _usage(f"{path} {words}".strip(), one)
            if not path:
                break
    yield ".fi"


def _usage(path: str, command: click.Command) -> str:
    if not path:
        return r"\fBgit xexp\fR [\-q] [\-v] [\-\-color \fIWHEN\fR] \fICOMMAND\fR [\fIARGS\fR]"
    words = [f"\\fBgit xexp {escape(path)}\\fR"]
    for option in command.params:
        if isinstance(option, click.Option) and option.required:
            words.append(_option(option.opts[-1], _value(option)))
    words.append("[\\fIoptions\\fR]")
    for param in command.params:
        if isinstance(param, click.Argument):
            words.append(_argument(param))
    return " ".join(words)


def _argument(param: click.Argument) -> str:
    shown = param.metavar or (param.name or "").upper()
    if "[" in shown.strip("[]"):
        return re.sub(r"\w+(\.\.\.)?", lambda m: f"\\fI{m[0]}\\fR", escape(shown))
    many = "..." if param.nargs == -1 and not param.metavar else ""
    inner = escape(shown.strip("[]") + many)
    return (
        f"[\\fI{inner}\\fR]"
        if not param.required or shown.startswith("[")
        else (f"\\fI{inner}\\fR")
    )


def _described(command: click.Command, prose: Mapping[str, str]) -> str:
    own = inspect.cleandoc(command.help or "")
    text = "" if isinstance(command, click.Group) and "DESCRIPTION" in prose else own
    return roff(f"{text}\n\n{prose.get('DESCRIPTION', '')}")


def _sections(root: Group) -> str:
    """Every verb with one line, as the short usage lists them."""
    lines = []
    for title, verbs in root.sections.items():
        lines.append(f".SS {escape(title)}")
        for name, text in verbs.items():
            lines += [".TP", f".BR git\\-xexp\\-{escape(name)} (1)", escape(_sentence(text))]
    lines.append(".SS Short forms")
    for name, words in {**root.shorts, "status": "(alone)"}.items():
        lines += [".TP", f".B git xexp {escape(name)}", f".B git xexp {escape(words)}"]
    return "\n".join(lines)


def _commands(path: str, group: click.Group) -> str:
    if isinstance(group, Group) and not path:
        return _sections(group)
    lines = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        text = roff(inspect.cleandoc(command.help or "")).strip().replace(".PP", ".IP")
        lines += [".TP", _usage(f"{path} {name}", command), text]
        lines += [".RS", *_option_lines(_own(command)), ".RE"] if _own(command) else []
    return "\n".join(lines)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."


def _own(command: click.Command) -> list[click.Option]:
    return [option for option in completion_spec.options(command) if option not in COMMON]


def _options(command: click.Command) -> str:
    return "\n".join(_option_lines(completion_spec.options(command)))


def _option_lines(options: list[click.Option]) -> Iterator[str]:
    for option in options:
        value = "" if option.is_flag or option.count else _value(option)
        names = ", ".join(_option(name, value) for name in (*option.opts, *option.secondary_opts))
        yield ".TP"
        yield names
        yield roff(_sentence(option.help or "-")).removeprefix(".PP\n").rstrip()


def _option(name: str, value: str) -> str:
    joint = "=" if value and name.startswith("--") else " " if value else ""
    shown = f"\\fI{escape(value)}\\fR" if value else ""
    return f"\\fB{escape(name)}\\fR{joint}{shown}"


def _value(option: click.Option) -> str:
    if isinstance(option.type, click.Choice) and not option.metavar:
        return "|".join(str(choice) for choice in option.type.choices)
    return option.metavar or {"integer": "N", "integer range": "N", "path": "PATH"}.get(
        option.type.name, option.type.name.upper()
    )


_EXIT_STATUS = """\
0 when all is well, 1 for a plain *no* (a refusal, a conflict, a difference that was asked for), 128 for
an error, 129 for wrong usage, 130 after Ctrl-C and 141 when nobody reads the output any more.
"""


def _see_also(path: str, text: str) -> str:
    named = ["git-xexp(1)"] if path else []
    named += [name for name in text.replace(",", " ").split() if name not in named]
    for page in ("git-xexp-workflows", "git-xexp-json"):
        if f"{page}(7)" not in named and page != path:
            named.append(f"{page}(7)")
    shown = [re.sub(r"(.*)\((\d)\)", lambda m: f"\\fB{escape(m[1])}\\fR({m[2]})", n) for n in named]
    return ",\n".join(shown)


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
    return "\n".join(lines[1:] if lines[:1] in ([".PP"], [".sp"]) else lines)


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
