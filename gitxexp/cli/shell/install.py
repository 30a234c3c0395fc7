"""``setup``: link man pages and completion to where man and the shells look, for any installer.

An installer leaves them below its own prefix (``share/...``). They are linked into the user's own
folders, so that an upgrade is followed; what was made is noted, so that it can be taken back.

``setup --check``: whether man and the shells find what ``setup`` put in place.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError

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
        try:
            return (
                self.target.samefile(self.source)
                or self.target.read_bytes() == self.source.read_bytes()
            )
        except OSError:  # nothing is there, or a folder, or what may not be read
            return False


def data_home() -> Path:
    """``$XDG_DATA_HOME``, as the XDG base directory specification has it."""
    return absolute("XDG_DATA_HOME") or home() / ".local/share"


def _config_home() -> Path:
    return absolute("XDG_CONFIG_HOME") or home() / ".config"


def absolute(name: str) -> Path | None:
    """The folder that the variable names; the specification has a relative one ignored."""
    path = Path(os.environ.get(name, ""))
    return path if path.is_absolute() else None


def home() -> Path:
    """The user's own folder; raises XexpError where HOME is empty."""
    found = Path.home()
    if not found.is_absolute() or os.environ.get("HOME") == "":
        raise XexpError("HOME is not a folder", "set it: export HOME=/home/...")
    return found


def man_home() -> Path:
    """man looks next to each ``bin`` on PATH: for ``~/.local/bin`` here, whatever XDG says."""
    return home() / ".local/share/man"


def page_files() -> list[Path]:
    """The man pages of this installation; raises XexpError where it has none."""
    # A checkout's are newer than what an editable install put below its prefix.
    for folder in (_checkout() / "man", *(prefix / "share/man" for prefix in _prefixes())):
        pages = sorted(folder.glob("man[157]/git-xexp*.[157]"))
        if pages:
            return pages
    raise XexpError(
        "this installation has no manual pages",
        "install git-xexp from its wheel: pip, pipx or uv",
    )


def _prefixes() -> list[Path]:
    """Where this Python's installers put data: its own prefix, then the user's."""
    user = sysconfig.get_path("data", sysconfig.get_preferred_scheme("user"))
    found = [Path(sysconfig.get_path("data")), Path(user)]
    here = Path(__file__)
    return sorted(found, key=lambda prefix: not here.is_relative_to(prefix))


def _checkout() -> Path:
    return Path(__file__).resolve().parents[3]


def _completion(name: str) -> Path:
    found = [_checkout() / _COMPLETIONS[name], *(prefix / name for prefix in _prefixes())]
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


def tilde(path: Path) -> str:
    """The path with ``~`` for the user's own folder."""
    start = str(home())
    return f"~{str(path)[len(start) :]}" if path.is_relative_to(start) else str(path)


def typed(path: Path) -> str:
    """The path as a shell reads it: ``~`` stays what it is, a space does not part it."""
    return re.sub(r"[^\w@%+=:,./~-]", r"\\\g<0>", tilde(path))


def _note() -> Path:
    return data_home() / "git-xexp/setup"


#: What setup made: a folder, or a link with what it led to ("" in the note of an older version).
Made = dict[Path, str]


def _noted() -> Made:
    try:
        lines = _note().read_text("utf-8").splitlines()
    except OSError:
        return {}
    return {Path(path): source for path, _, source in (line.partition("\t") for line in lines)}


def _keep(made: Made) -> None:
    text = "".join(f"{path}\t{source}".rstrip() + "\n" for path, source in made.items())
    _note().write_text(text, "utf-8")


def _is_ours(path: Path, made: Made) -> bool:
    """Whether the link is the one that setup made, and not one that took its place."""
    if path not in made or not path.is_symlink():
        return False
    leads = str(path.readlink())
    return leads == made[path] or (not made[path] and "git-xexp" in Path(leads).name)


def install() -> Iterator[tuple[str, Path, str]]:
    """Link what is not in place; yields ``(topic, target, what)`` for each, ``what`` being linked,
    there, kept (a file of the user's own is in the way) or the reason why it cannot be made.

    Raises XexpError, before anything is linked, where what was made cannot be noted.
    """
    wanted, made = links(), _noted()
    try:
        _make_folders(_note().parent, made)
        _note().touch()
    except OSError as error:
        raise XexpError(
            f"cannot write {_note()}: {error.strerror}",
            "setup records there what it installs; make the folder writable, or set XDG_DATA_HOME",
        ) from error
    try:
        _drop_stale(made, {link.target for link in wanted})
        for link in wanted:
            yield link.topic, link.target, _place(link, made)
    finally:
        if any(path.is_symlink() for path in made):
            _keep(made)
        else:
            _take_back(made)


def _place(link: Link, made: Made) -> str:
    if link.works:
        return "there"
    try:
        if _is_ours(link.target, made) or (link.target.is_symlink() and not link.target.exists()):
            link.target.unlink()
        elif link.target.exists():
            return "kept"
        _make_folders(link.target.parent, made)
        link.target.symlink_to(link.source)
    except OSError as error:
        return error.strerror or "failed"
    made[link.target] = str(link.source)
    return "linked"


def _drop_stale(made: Made, wanted: set[Path]) -> None:
    """Links of an older version that lead nowhere now, to what this one does not have."""
    for path in [path for path in made if path not in wanted]:
        if _is_ours(path, made) and not path.exists():
            path.unlink()
            del made[path]


def _make_folders(folder: Path, made: Made) -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir()
        made[path] = ""


def uninstall() -> Iterator[Path]:
    """Take every link back that ``install`` made, and its folders where they are empty now."""
    made = _noted()
    for path in reversed(made):
        if _is_ours(path, made):
            path.unlink()
            yield path
    _take_back(made)


def _take_back(made: Made) -> None:
    """The note, and the folders that are empty without what was in them."""
    _note().unlink(missing_ok=True)
    for path in sorted((p for p in made if not p.is_symlink()), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


#: Where systems keep the package that loads a command's completion at its first TAB.
BASH_LOADERS = tuple(
    Path(prefix) / "share/bash-completion/bash_completion"
    for prefix in ("/usr", "/usr/local", "/opt/homebrew", "/run/current-system/sw")
)

#: Where systems keep the start-up file of every interactive bash, which may load that package.
BASH_SYSTEM = Path("/etc")

#: For a bash without that package.
BASH_LINE = 'eval "$(git xexp completion bash)"'


@dataclass(frozen=True)
class SetupCheck:
    """Whether one topic works; ``fix`` is the next step where it does not."""

    topic: str
    ok: bool
    text: str
    fix: str = ""


def zsh_line() -> str:
    """The line that makes zsh look where its functions are; before compinit."""
    return f"fpath=({typed(data_home() / 'zsh/site-functions')} $fpath)"


def check() -> list[SetupCheck]:
    """What works, and what to do about the rest. Nothing is changed."""
    checks = [_check_man()]
    every = links()
    for shell in ("bash", "zsh", "fish"):
        if shutil.which(shell) is None:
            checks.append(SetupCheck(shell, True, "not installed"))
            continue
        broken = [link for link in every if link.topic == shell and not link.works]
        if broken:
            checks.append(_broken(shell, broken[0]))
        elif shell == "bash" and not _bash_looks():
            fix = f"add to ~/.bashrc: {BASH_LINE}"
            there = any(loader.is_file() for loader in BASH_LOADERS)
            text = "bash-completion is not " + ("loaded by ~/.bashrc" if there else "installed")
            checks.append(SetupCheck(shell, False, text, fix))
        elif shell == "zsh" and not _zsh_looks():
            text = f"{tilde(data_home() / 'zsh/site-functions')} is not in fpath"
            file = tilde(_zdot() / ".zshrc")
            line = zsh_line() if _zsh_completes() else f"{zsh_line()}; {_COMPINIT}"
            checks.append(SetupCheck(shell, False, text, f"add to {file}: {line}"))
        elif shell == "zsh" and not _zsh_completes():
            file = tilde(_zdot() / ".zshrc")
            text = f"{file} does not start completion (compinit)"
            checks.append(SetupCheck(shell, False, text, f"add to the end of {file}: {_COMPINIT}"))
        else:
            checks.append(SetupCheck(shell, True, "completion is in place"))
    return checks


def _broken(topic: str, link: Link) -> SetupCheck:
    if link.target.exists():
        text, fix = (
            f"{tilde(link.target)} was not made by setup",
            "move it away, then: git xexp setup",
        )
        return SetupCheck(topic, False, text, fix)
    return SetupCheck(topic, False, "no completion", "git xexp setup")


def _check_man() -> SetupCheck:
    if shutil.which("man") is None:
        return SetupCheck("manual pages", True, "man is not installed; --help prints the usage")
    done = subprocess.run(
        ["man", "-w", "git-xexp"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode == 0:
        return SetupCheck("manual pages", True, done.stdout.strip())
    placed = all(link.works for link in links() if link.topic == "manual pages")
    rest = "$MANPATH" if os.environ.get("MANPATH") else ""  # an empty part is man's own path
    fix = f'export MANPATH="{man_home()}:{rest}"' if placed else "git xexp setup"
    return SetupCheck("manual pages", False, "man does not find git-xexp", fix)


def _zsh_looks() -> bool:
    """Whether zsh's start-up files name the folder, or it is where zsh looks by itself."""
    folder = data_home() / "zsh/site-functions"
    short = tilde(folder)
    forms = [typed(folder)] if " " in short else [str(folder), short]
    if short.startswith("~"):
        forms += [f"$HOME{short[1:]}", f"{{HOME}}{short[1:]}"]
    return _mentioned(_zdot(), (".zshrc", ".zshenv", ".zprofile"), forms)


#: Starts zsh's completion; Ubuntu's own call of it comes before ``.zshrc`` and its ``fpath``.
_COMPINIT = "autoload -Uz compinit && compinit"


def _zsh_completes() -> bool:
    """Whether zsh's start-up files start its completion, perhaps by loading another file."""
    starters = ["compinit", "source ", ". ", "eval ", "zinit ", "antigen ", "zplug "]
    return _mentioned(_zdot(), (".zshrc", ".zshenv", ".zprofile"), starters)


def _zdot() -> Path:
    return absolute("ZDOTDIR") or home()


def _bash_looks() -> bool:
    """Whether something loads completions when they are needed, or start-up files source them."""
    words = (
        "bash_completion",
        "bash-completion",
        "git-completion",
        "git-xexp",
        "git xexp completion",
    )
    if _mentioned(home(), (".bashrc", ".bash_profile", ".profile"), words):
        return True
    loads = any(loader.is_file() for loader in BASH_LOADERS)
    return loads and _mentioned(BASH_SYSTEM, ("bash.bashrc", "bashrc"), (*words[:2], "profile.d"))


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
