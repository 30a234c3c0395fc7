"""The short usage, ``-h``: generated beside the man pages, so that nothing is imported to show it."""

from __future__ import annotations

from pathlib import Path

from gitxexp.common import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    import click


#: Below this folder. A form feed and the words of a command begin each text.
FILE = "usage.txt"

#: As click wraps for a terminal of 80 columns.
_WIDTH = 78


def show(words: Sequence[str]) -> int | None:
    """Print the usage of ``git xexp WORDS``; 0, or None where there is no such command."""
    try:
        known = Path(__file__).with_name(FILE).read_text("utf-8")
    except OSError:
        return None
    _, found, text = known.partition(f"\f{' '.join(words)}\n")
    if not found:
        return None
    text = text.partition("\f")[0]
    streams.write(text)
    return 0


def generate(root: click.Command) -> str:
    """The usage of every command, as :data:`FILE` has it."""
    import click

    from gitxexp.cli.shell import completion_spec

    texts = []
    for path, command in completion_spec.commands(root):
        context = click.Context(root, info_name="git xexp", **root.context_settings)
        at: click.Command = root
        for word in path.split():
            assert isinstance(at, click.Group)
            at = at.get_command(context, word) or at
            context = click.Context(at, context, word, **at.context_settings)
        context.terminal_width = _WIDTH
        texts.append(f"\f{path}\n{command.get_help(context)}\n")
    return "".join(texts)
