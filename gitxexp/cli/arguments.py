"""The command line before click sees it: shortened options, and what is understood everywhere.

git accepts a long option by any unique prefix (gitcli(7)) and its global options before the verb;
here ``-q``, ``-v``, ``--color`` and ``--help`` may stand on either side of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from gitxexp.common.errors import UsageError

#: Understood everywhere, unless a verb has one of that name itself.
GLOBAL = ("--quiet", "--verbose", "--color", "--no-color", "--help")
_SHORT = {"q": "quiet", "v": "verbose"}
_COLOURS = ("auto", "always", "never")


class Line:
    """``words`` for click, ``path`` the verb and sub-verb, the rest as it was asked for."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.words: list[str] = []
        self.path = ""
        self.quiet = False
        self.verbose = False
        self.color = "auto"
        self.manual = False  #: --help
        self.as_json = as_json


def read(root: click.Command, argv: list[str]) -> Line:
    """``argv`` with options spelled out and global ones taken off. Raises UsageError."""
    line, command, words = Line(), root, list(argv)
    early: list[str] = []  # --json before the verb is the verb's own
    while words:
        word = words.pop(0)
        if word == "--":
            line.words += [word, *words]
            break
        if not line.path and len(word) > 2 and "--json".startswith(word):
            early, line.as_json = ["--json"], True
        elif word.startswith("-") and word != "-":
            command = _with_default(command, word)
            handle = _long if word.startswith("--") else _short
            handle(line, command, word, words)
        else:
            if not word:
                raise UsageError("an argument is empty", "leave it out, or say what is meant")
            if word == "help" and not line.path:
                line.manual = True
                continue
            line.words.append(word)
            command = _inner(line, command, word)
            if early and not isinstance(command, click.Group):
                line.words.append(early.pop())
    line.words += early
    return line


def _inner(line: Line, command: click.Command, word: str) -> click.Command:
    if not isinstance(command, click.Group):
        return command
    inner = command.get_command(click.Context(command), word)
    if inner is None:
        return command
    line.path = f"{line.path} {word}".strip()
    return inner


def _with_default(command: click.Command, word: str) -> click.Command:
    """The verb that a group means when an option that is not the group's stands first."""
    default = getattr(command, "default", None)
    name = word.partition("=")[0]
    if default and isinstance(command, click.Group) and name not in (*GLOBAL, "-h", "-q", "-v"):
        return command.get_command(click.Context(command), default) or command
    return command


def _options(command: click.Command) -> Iterator[tuple[str, click.Option]]:
    for param in command.params:
        if isinstance(param, click.Option):
            for name in (*param.opts, *param.secondary_opts):
                yield name, param


def _long(line: Line, command: click.Command, word: str, words: list[str]) -> None:
    own = dict(_options(command))
    name, equals, value = word.partition("=")
    name = _spelled_out(name, own)
    option = own.get(name)
    if option is None and name in GLOBAL:
        _global(line, name, value if equals else None, words)
        return
    line.words.append(name + equals + value)
    line.as_json = line.as_json or name == "--json"
    if option is None or option.is_flag or option.count:
        return
    if not equals and words:
        value = words.pop(0)
        line.words.append(value)
    elif not equals:
        return
    _not_empty(option, name, value)


def _not_empty(option: click.Option, name: str, value: str) -> None:
    """A variable that a script forgot to set must not be taken for an option left out."""
    if not value and not getattr(option.type, "may_be_empty", False):
        raise UsageError(f"{name}: the value is empty", "leave it out, or say what is meant")


def _spelled_out(name: str, own: dict[str, click.Option]) -> str:
    known = [
        *(n for n in own if n.startswith("--")),
        *(n for n in GLOBAL if n not in own and n != "--no-color"),
    ]
    if name in known or len(name) < 3:
        return name
    found = [n for n in known if n.startswith(name)]
    if len(found) > 1 and len({id(own.get(n, n)) for n in found}) > 1:
        raise UsageError(
            f"ambiguous option: {name} (could be {' or '.join(found)})", "spell it out further"
        )
    return found[0] if found else name


def _global(line: Line, name: str, value: str | None, words: list[str]) -> None:
    if name == "--help":
        line.manual = True
    elif name == "--quiet":
        line.quiet = True
    elif name == "--verbose":
        line.verbose = True
    elif name == "--no-color":
        line.color = "never"
    else:
        chosen = value if value is not None else words.pop(0) if words[:1] and (
            words[0] in _COLOURS) else "always"  # fmt: skip
        if chosen not in _COLOURS:
            raise UsageError(f"--color: '{chosen}' is not auto, always or never")
        line.color = chosen


def _short(line: Line, command: click.Command, word: str, words: list[str]) -> None:
    own = dict(_options(command))
    if word[1:].isdigit() and "--limit" in own and own.get("-n") is own["--limit"]:
        line.words += ["-n", word[1:]]  # git log -3
        return
    kept, letters = "", word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        option = own.get(f"-{letter}")
        if option is None and letter in _SHORT:
            setattr(line, _SHORT[letter], True)
            continue
        kept += letter
        if option is not None and not option.is_flag and not option.count:
            line.words.append(f"-{kept}{letters}")
            if not letters and words:
                line.words.append(words.pop(0))
                _not_empty(option, f"-{letter}", line.words[-1])
            return
    if kept:
        line.words.append(f"-{kept}")
