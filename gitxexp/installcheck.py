"""``setup --check``: whether man and the shells find what ``setup`` put in place."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gitxexp.installing import Link, absolute, data_home, home, links, man_home, tilde, typed

#: Where systems keep the package that loads a command's completion at its first TAB.
BASH_LOADERS = tuple(
    Path(prefix) / "share/bash-completion/bash_completion"
    for prefix in ("/usr", "/usr/local", "/opt/homebrew", "/run/current-system/sw")
)


@dataclass(frozen=True)
class Check:
    """Whether one topic works; ``fix`` is the next step where it does not."""

    topic: str
    ok: bool
    text: str
    fix: str = ""


def zsh_line() -> str:
    """The line that makes zsh look where its functions are; before compinit."""
    return f"fpath=({typed(data_home() / 'zsh/site-functions')} $fpath)"


def check() -> list[Check]:
    """What works, and what to do about the rest. Nothing is changed."""
    found = [_check_man()]
    every = links()
    for shell in ("bash", "zsh", "fish"):
        if shutil.which(shell) is None:
            found.append(Check(shell, True, "not installed"))
            continue
        broken = [link for link in every if link.topic == shell and not link.works]
        if broken:
            found.append(_broken(shell, broken[0]))
        elif shell == "bash" and not _bash_looks():
            fix = "install bash-completion, which loads git's completion and this one"
            found.append(Check(shell, False, "bash-completion was not found", fix))
        elif shell == "zsh" and not _zsh_looks():
            text = f"{tilde(data_home() / 'zsh/site-functions')} is not in fpath"
            file = tilde(_zdot() / ".zshrc")
            found.append(Check(shell, False, text, f"add to {file}: {zsh_line()}"))
        else:
            found.append(Check(shell, True, "completion is in place"))
    return found


def _broken(topic: str, link: Link) -> Check:
    if link.target.exists():
        text, fix = f"{tilde(link.target)} is not ours", "move it away, then: git xexp setup"
        return Check(topic, False, text, fix)
    return Check(topic, False, "no completion", "git xexp setup")


def _check_man() -> Check:
    if shutil.which("man") is None:
        return Check("manual pages", True, "man is not installed; --help prints the usage")
    done = subprocess.run(
        ["man", "-w", "git-xexp"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode == 0:
        return Check("manual pages", True, done.stdout.strip())
    placed = all(link.works for link in links() if link.topic == "manual pages")
    rest = "$MANPATH" if os.environ.get("MANPATH") else ""  # an empty part is man's own path
    fix = f'export MANPATH="{man_home()}:{rest}"' if placed else "git xexp setup"
    return Check("manual pages", False, "man does not find git-xexp", fix)


def _zsh_looks() -> bool:
    """Whether zsh's start-up files name the folder, or it is where zsh looks by itself."""
    folder = data_home() / "zsh/site-functions"
    short = tilde(folder)
    forms = [typed(folder)] if " " in short else [str(folder), short]
    if short.startswith("~"):
        forms += [f"$HOME{short[1:]}", f"{{HOME}}{short[1:]}"]
    return _mentioned(_zdot(), (".zshrc", ".zshenv", ".zprofile"), forms)


def _zdot() -> Path:
    return absolute("ZDOTDIR") or home()


def _bash_looks() -> bool:
    """Whether something loads completions when they are needed, or start-up files source them."""
    if any(loader.is_file() for loader in BASH_LOADERS):
        return True
    words = ("bash_completion", "bash-completion", "git-completion", "git-xexp")
    return _mentioned(home(), (".bashrc", ".bash_profile", ".profile"), words)


def _mentioned(home: Path, names: tuple[str, ...], words: Sequence[str]) -> bool:
    """Whether one of the start-up files has one of the words."""
    for name in names:
        try:
            text = (home / name).read_text("utf-8", "replace")
        except OSError:
            continue
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
        if any(word in line for line in lines for word in words):
            return True
    return False
