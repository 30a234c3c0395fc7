"""``setup``: man pages and completion where man and the shells look, for any installer.

An installer leaves them below its own prefix (``share/...``). They are linked into the user's own
folders, so that an upgrade is followed; what was made is noted, so that it can be taken back.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gitxexp.errors import XexpError

#: Where hatchling puts them below the prefix (pyproject.toml, shared-data), and in a checkout.
_COMPLETIONS = {
    "share/bash-completion/completions/git-xexp": "completions/git-xexp.bash",
    "share/zsh/site-functions/_git-xexp": "completions/_git-xexp",
    "share/zsh/site-functions/_git_xexp": "completions/_git_xexp",
    "share/fish/vendor_completions.d/git-xexp.fish": "completions/git-xexp.fish",
    "share/fish/vendor_conf.d/git-xexp.fish": "completions/conf.d/git-xexp.fish",
}


@dataclass(frozen=True)
class Link:
    """``target`` (the user's) is to lead to ``source`` (the installer's)."""

    topic: str  #: manual pages, bash, zsh or fish
    source: Path
    target: Path

    @property
    def works(self) -> bool:
        """Whether the target has the source's content already, linked or not."""
        return self.target.exists() and (
            self.target.samefile(self.source)
            or self.target.read_bytes() == self.source.read_bytes()
        )


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


def data_home() -> Path:
    """``$XDG_DATA_HOME``, as the XDG base directory specification has it."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")


def _config_home() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")


def man_home() -> Path:
    """man looks beside each ``bin`` on PATH: for ``~/.local/bin`` here, whatever XDG says."""
    return Path.home() / ".local/share/man"


def page_files() -> list[Path]:
    """The man pages of this installation; raises XexpError where it has none."""
    for prefix in _prefixes():
        pages = sorted((prefix / "share/man").glob("man[17]/git-xexp*.[17]"))
        if pages:
            return pages
    pages = sorted((_checkout() / "man").glob("git-xexp*.[17]"))
    if not pages:
        raise XexpError(
            "this installation has no manual pages",
            "install git-xexp from its wheel: pip, pipx or uv",
        )
    return pages


def _prefixes() -> list[Path]:
    """Where this Python's installers put data: its own prefix, then the user's."""
    user = sysconfig.get_path("data", sysconfig.get_preferred_scheme("user"))
    found = [Path(sysconfig.get_path("data")), Path(user)]
    here = Path(__file__)
    return sorted(found, key=lambda prefix: not here.is_relative_to(prefix))


def _checkout() -> Path:
    return Path(__file__).resolve().parent.parent


def _completion(name: str) -> Path:
    found = [prefix / name for prefix in _prefixes()] + [_checkout() / _COMPLETIONS[name]]
    return next((path for path in found if path.is_file()), found[-1])


def links() -> list[Link]:
    """Everything that ``setup`` puts in place."""
    found = [
        Link("manual pages", page, man_home() / f"man{page.suffix[1:]}" / page.name)
        for page in page_files()
    ]
    data, fish = data_home(), _config_home() / "fish"
    targets = {
        "bash": data / "bash-completion/completions/git-xexp",
        "zsh": data / "zsh/site-functions/_git-xexp",
        "zsh ": data / "zsh/site-functions/_git_xexp",
        "fish": fish / "completions/git-xexp.fish",
        "fish ": fish / "conf.d/git-xexp.fish",
    }
    for name, (topic, target) in zip(_COMPLETIONS, targets.items(), strict=True):
        found.append(Link(topic.strip(), _completion(name), target))
    return found


def zsh_line() -> str:
    """The line that makes zsh look where its functions are; before compinit."""
    return f"fpath=({_tilde(data_home() / 'zsh/site-functions')} $fpath)"


def _tilde(path: Path) -> str:
    home = str(Path.home())
    return f"~{str(path)[len(home) :]}" if path.is_relative_to(home) else str(path)


def _note() -> Path:
    return data_home() / "git-xexp/setup"


def _noted() -> list[Path]:
    try:
        return [Path(line) for line in _note().read_text("utf-8").splitlines()]
    except OSError:
        return []


def install() -> Iterator[tuple[str, Path, str]]:
    """Link what is not in place; yields ``(topic, target, what)`` for each, ``what`` being linked,
    there or kept (a file of the user's own is in the way)."""
    made = _noted()
    try:
        for link in links():
            yield link.topic, link.target, _place(link, made)
    finally:
        if made:
            _make_folders(_note().parent, made)
            _note().write_text("".join(f"{path}\n" for path in dict.fromkeys(made)), "utf-8")


def _place(link: Link, made: list[Path]) -> str:
    if link.works:
        return "there"
    if link.target.is_symlink() and (link.target in made or not link.target.exists()):
        link.target.unlink()
    elif link.target.exists():
        return "kept"
    _make_folders(link.target.parent, made)
    link.target.symlink_to(link.source)
    made.append(link.target)
    return "linked"


def _make_folders(folder: Path, made: list[Path]) -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir()
        made.append(path)


def uninstall() -> Iterator[Path]:
    """Take every link back that ``install`` made, and its folders where they are empty now."""
    made = _noted()
    _note().unlink(missing_ok=True)
    for path in reversed(made):
        if path.is_symlink():
            path.unlink()
            yield path
    for path in sorted((p for p in made if not p.is_symlink()), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


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
            found.append(Check(shell, False, "no completion", "git xexp setup"))
        elif shell == "bash" and not _bash_looks():
            fix = "install bash-completion, which loads git's completion and this one"
            found.append(Check(shell, False, "bash-completion was not found", fix))
        elif shell == "zsh" and not _zsh_looks():
            text = f"{_tilde(data_home() / 'zsh/site-functions')} is not in fpath"
            found.append(Check(shell, False, text, f"add to ~/.zshrc: {zsh_line()}"))
        else:
            found.append(Check(shell, True, "completion is in place"))
    return found


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
    home = Path(os.environ.get("ZDOTDIR") or Path.home())
    forms = (str(folder), _tilde(folder), f"$HOME{_tilde(folder)[1:]}")
    return _mentioned(home, (".zshrc", ".zshenv", ".zprofile"), forms)


def _bash_looks() -> bool:
    """Whether something loads completions when they are needed, or start-up files source them."""
    if any(loader.is_file() for loader in BASH_LOADERS):
        return True
    words = ("bash_completion", "bash-completion", "git-completion", "git-xexp")
    return _mentioned(Path.home(), (".bashrc", ".bash_profile", ".profile"), words)


def _mentioned(home: Path, names: tuple[str, ...], words: tuple[str, ...]) -> bool:
    """Whether one of the start-up files has one of the words."""
    for name in names:
        try:
            text = (home / name).read_text("utf-8", "replace")
        except OSError:
            continue
        if any(word in text for word in words):
            return True
    return False
