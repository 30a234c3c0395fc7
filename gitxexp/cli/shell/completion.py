"""Completion scripts for bash, zsh and fish, generated from the click tree.

All share one engine (``engine/``): what the words on the line are comes from the click tree, what
completes them from ``git for-each-ref``, ``git ls-tree`` and ``sqlite3``. Each shell has a thin
front that hands its words over and shows what comes back.
"""

from __future__ import annotations

from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    import click


#: Shell → the files that a user of it needs, the main one first.
SHELLS = {
    "bash": ("git-xexp.bash",),
    "zsh": ("_git-xexp", "_git_xexp"),
    "fish": ("git-xexp.fish", "conf.d/git-xexp.fish"),
}

#: The parts of the engine, in order.
ENGINE = ("words", "refs", "tables", "paths", "values", "line")


def generate(root: click.Command) -> dict[str, str]:
    """File name below ``completions/`` → content, for every shell."""
    from gitxexp.cli.shell import completion_spec

    text = "\n".join(_template(f"engine/{part}.sh") for part in ENGINE)
    engine = text.replace("@DATABASES@", completion_spec.DATABASES)
    engine = engine.replace("@SPEC@", _spec(root))
    engine = _lean(engine)
    return {
        "git-xexp.bash": _template("bash.sh").replace("@ENGINE@", _quoted(engine)),
        "_git-xexp": _template("zsh.sh").replace("@ENGINE@", _quoted(engine)),
        "_git_xexp": _template("zsh_wrapper.sh"),
        "git-xexp.fish": _template("fish.sh")
        .replace("@DATABASES@", completion_spec.DATABASES.replace(" ", "|"))
        .replace("@ENGINE@", _quoted_for_fish(engine)),
        "conf.d/git-xexp.fish": _template("fish_conf.sh"),
    }


def script(shell: str) -> str:
    """The script that completes ``git xexp`` in ``shell``, to be sourced or saved: as it was
    generated, and is in the wheel (or the checkout). To make it takes a third of a second."""
    here = Path(__file__).parent
    made = next(
        path for path in (here / "generated", here.parents[2] / "completions") if path.is_dir()
    )
    names = (name for name in SHELLS[shell] if name != "_git_xexp")
    return "\n".join((made / name).read_text("utf-8") for name in names)


def _template(name: str) -> str:
    return (Path(__file__).parent / "scripts" / name).read_text("utf-8")


def _spec(root: click.Command) -> str:
    """The shell function that knows every verb's options and arguments."""
    from gitxexp.cli.shell import completion_spec

    cases = []
    for path, command in completion_spec.commands(root):
        text = "\n".join(completion_spec.lines(path, command)).replace("'", "'\\''")
        cases.append(f"'{path}') spec='{text}' ;;")
    return "\n".join(["spec_of() {", "case $1 in", *cases, "*) spec= ;;", "esac", "}"])


def _lean(text: str) -> str:
    """Without the comments: the text is handed to sh on every TAB."""
    kept = [line for line in text.splitlines() if not line.lstrip().startswith("# ")]
    return "\n".join(kept) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _quoted_for_fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
