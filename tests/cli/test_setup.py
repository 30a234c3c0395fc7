"""After each installer one ``git xexp setup`` makes the manual and completion work."""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from gitxexp.cli.shell import install as shell_install
from tests.cli.shells import GIT_BASH
from tests.conftest import GUARD, ROOT
from tests.helpers import Done, Repo, run

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DEPENDENCIES = [re.split("[<>=]", line)[0] for line in PROJECT["dependencies"]]
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_BREAK_SYSTEM_PACKAGES": "1",
           "PIP_DISABLE_PIP_VERSION_CHECK": "1", "UV_OFFLINE": "1", "PIP_NO_COMPILE": "1"}  # fmt: skip


@pytest.fixture(scope="session")
def wheel(sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built once by its own backend; beside it, what it depends on."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT).good()
    for name in DEPENDENCIES:
        _name_only(folder, name, metadata.version(name))
    return next(folder.glob("git_xexp-*.whl"))


def _name_only(folder: Path, name: str, version: str) -> None:
    """A wheel of nothing but a name: installers resolve it; the code is the tests' own."""
    stem = f"{name.replace('-', '_').replace('.', '_')}-{version}"
    info = f"{stem}.dist-info"
    texts = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    texts[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*texts, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        for path, text in texts.items():
            archive.writestr(path, text)


class Installed:
    """A machine of its own: a home, one installer's ``git-xexp`` on PATH, and nothing of the tests'."""

    def __init__(self, home: Path, bin_dir: Path, packages: Path) -> None:
        self.home = home
        self.bin = bin_dir
        self.env = {
            "PATH": os.pathsep.join((str(bin_dir), "/usr/local/bin", "/usr/bin", "/bin")),
            "PYTHONPATH": str(GUARD),
            "XDG_DATA_HOME": "",
            "XDG_CONFIG_HOME": "",
            "ZDOTDIR": str(home),
            "MANWIDTH": "80",
        }
        # What it depends on comes from the tests' environment, which is after its own packages.
        packages.mkdir(parents=True, exist_ok=True)
        paths = dict.fromkeys(p for p in sys.path if p.endswith(("site-packages", "dist-packages")))
        (packages / "dependencies.pth").write_text("\n".join(paths) + "\n")

    def __call__(self, *words: str, cwd: Path | None = None) -> Done:
        return run(*words, cwd=cwd or self.home, env=self.env)

    def tree(self) -> set[str]:
        """Everything in the home but caches of Python and of the installer."""
        return {
            str(path.relative_to(self.home))
            for path in self.home.rglob("*")
            if "__pycache__" not in path.parts and not path.is_relative_to(self.home / "cache")
        }


def _site(prefix: Path) -> Path:
    return next(prefix.glob("lib/python*/site-packages"))


def by_venv(wheel: Path, home: Path) -> Installed:
    prefix = home / "venv"
    venv.create(prefix, with_pip=False, symlinks=True)
    _pip(prefix / "bin/python", wheel)
    return Installed(home, prefix / "bin", _site(prefix))


def _pip(python: Path | str, wheel: Path, *more: str) -> None:
    places = {"PYTHONPATH": "", "PIP_FIND_LINKS": str(wheel.parent)}
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", *more, wheel,
        cwd=wheel.parent, env=OFFLINE | places).good()  # fmt: skip


def by_user(wheel: Path, home: Path) -> Installed:
    base = Path(sys.base_prefix) / f"bin/python{sys.version_info.major}.{sys.version_info.minor}"
    _pip(base, wheel, "--user")
    scheme = sysconfig.get_preferred_scheme("user")
    packages = sysconfig.get_path("purelib", scheme, {"userbase": str(home / ".local")})
    return Installed(home, home / ".local/bin", Path(packages))


def by_pipx(wheel: Path, home: Path) -> Installed:
    places = {"PIPX_HOME": str(home / "pipx"), "PIPX_BIN_DIR": str(home / ".local/bin"),
              "PIPX_MAN_DIR": str(home / ".local/share/man"), "PYTHONPATH": "",
              "PIPX_DEFAULT_PYTHON": sys.executable, "PIP_FIND_LINKS": str(wheel.parent)}  # fmt: skip
    # pipx upgrades its shared pip from the network unless there is a young one.
    shared = home / "pipx/shared"
    venv.create(shared, with_pip=False, symlinks=True)
    import pip

    shutil.copytree(Path(pip.__file__).parent, _site(shared) / "pip")
    (shared / "bin/pip").write_text(f'#!/bin/sh\nexec {shared}/bin/python -m pip "$@"\n')
    (shared / "bin/pip").chmod(0o755)
    run(sys.executable, "-m", "pipx", "install", "--backend", "pip", wheel, cwd=home,
        env=OFFLINE | places).good()  # fmt: skip
    return Installed(home, home / ".local/bin", _site(home / "pipx/venvs/git-xexp"))


def by_uv(wheel: Path, home: Path) -> Installed:
    places = {"UV_TOOL_DIR": str(home / "uv"), "UV_TOOL_BIN_DIR": str(home / ".local/bin"),
              "UV_CACHE_DIR": str(home / "cache/uv"), "PYTHONPATH": "",
              "UV_PYTHON_DOWNLOADS": "never"}  # fmt: skip
    run(sys.executable, "-m", "uv", "tool", "install", "-q", "--python", sys.executable,
        "--no-index", "--find-links", wheel.parent, wheel, cwd=home, env=OFFLINE | places).good()  # fmt: skip
    return Installed(home, home / ".local/bin", _site(home / "uv/git-xexp"))


INSTALLERS: list[Callable[[Path, Path], Installed]] = [by_venv, by_user, by_pipx, by_uv]


@pytest.mark.parametrize("install", INSTALLERS, ids=lambda f: f.__name__)
def test_one_setup_makes_all_of_it_work(
    install: Callable[[Path, Path], Installed], wheel: Path, home: Path, repo: Repo
) -> None:
    machine = install(wheel, home)
    where = machine("git", "xexp", "tag", "--help", cwd=repo.path).good()
    assert where.out.startswith("GIT-XEXP-TAG(1)"), "the manual page needs no setup"
    before = machine.tree()
    first = machine("git", "xexp", "setup").good()
    assert "linked" in first.out
    assert "fpath=(~/.local/share/zsh/site-functions $fpath)" in first.out
    assert machine("git", "xexp", "setup", "--check").code == 1  # zsh needs its line
    bash_rc, rc = home / ".bashrc", home / ".zshrc"
    bash_rc.write_text("source /somewhere/git-completion.bash\n")
    rc.write_text("fpath=(~/.local/share/zsh/site-functions $fpath)\n"
                  "autoload -Uz compinit && compinit -u -D\n")  # fmt: skip
    works(machine, repo)
    check = machine("git", "xexp", "setup", "--check").good()
    assert check.out.count("ok") == 4 and "NO" not in check.out
    after = machine.tree()
    again = machine("git", "xexp", "setup").good()
    assert "linked" not in again.out and machine.tree() == after
    bash_rc.unlink()
    rc.unlink()
    machine("git", "xexp", "setup", "--uninstall").good()
    assert machine.tree() == before


def works(machine: Installed, repo: Repo) -> None:
    """git's help, man and the three shells find what they look for."""
    assert machine("git", "help", "xexp").good().out.startswith("GIT-XEXP(1)")
    assert machine("man", "git-xexp-workflows").good().out.startswith("GIT-XEXP-WORKFLOWS(7)")
    for shell, name in (("bash", "git-xexp.bash"), ("zsh", "_git-xexp")):
        printed = machine("git", "xexp", "completion", shell).good().out
        assert printed == (ROOT / "completions" / name).read_text("utf-8")
    loader = (
        '_completion_loader() { source "$HOME/.local/share/bash-completion/completions/$1"; };'
        f" source {GIT_BASH}; COMP_WORDS=(git xexp work); COMP_LINE='git xexp work';"
        " COMP_POINT=13; COMP_CWORD=2; __git_func_wrap __git_main; echo ${COMPREPLY[@]}"
    )
    assert machine("bash", "-c", loader, cwd=repo.path).out.strip() == "worktree"
    found = machine("zsh", "-d", "-i", "-c", "print $+functions[_git-xexp] $+functions[_git_xexp]")
    assert found.out.split() == ["1", "1"]
    own = f"XDG_DATA_HOME='{machine.home}/cache'"  # fish's own data, which it makes
    fish = machine("sh", "-c", f"{own} fish -c \"complete -C 'git-xexp work'\"", cwd=repo.path)
    assert fish.out.startswith("worktree\t")


def test_a_file_of_the_users_own_stays(repo: Repo, home: Path) -> None:
    own = home / "data/bash-completion/completions/git-xexp"
    own.parent.mkdir(parents=True)
    own.write_text("# mine\n")
    done = repo.xexp("setup").good()
    assert f"warning: {own} was not made by setup" in done.err
    repo.xexp("setup", "--uninstall").good()
    assert own.read_text() == "# mine\n"
    assert repo.xexp("setup", "--uninstall").out == "nothing to remove\n"


def test_a_link_that_leads_nowhere_is_renewed(repo: Repo, home: Path) -> None:
    repo.xexp("setup").good()
    page = home / ".local/share/man/man1/git-xexp.1"
    page.unlink()
    page.symlink_to(home / "gone")
    repo.xexp("setup").good()
    assert page.read_text().startswith(".TH") or page.exists()


def test_what_check_says_of_manpath_works(repo: Repo) -> None:
    env = {"MANPATH": "/nowhere", "MANWIDTH": "80"}
    repo.xexp("setup").good()
    said = repo.xexp_process("setup", "--check", env=env)
    assert "NO  manual pages" in said.out
    line = next(x for x in said.err.splitlines() if "MANPATH" in x).removeprefix("hint: ")
    assert line.endswith('man:$MANPATH"')
    for shown in ("git help xexp", "man git-xexp"):
        done = run("sh", "-c", f"{line}; {shown}", cwd=repo.path, env=env).good()
        assert done.out.startswith("GIT-XEXP(1)")
    done = run("sh", "-c", f"{line}; git xexp setup --check", cwd=repo.path, env=env)
    assert "ok  manual pages" in done.out


def test_check_changes_nothing(repo: Repo, home: Path) -> None:
    before = sorted(home.rglob("*"))
    done = repo.xexp("setup", "--check")
    assert done.code == 1 and "NO  bash" in done.out and "hint: git xexp setup" in done.err
    assert sorted(home.rglob("*")) == before
    assert repo.xexp("setup", "--check", "--uninstall").code == 129


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_what_the_shell_can_read(shell: str, repo: Repo, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(repo.xexp("completion", shell).good().out)
    run(shell, "-n", script, cwd=tmp_path).good()


def test_bash_needs_somebody_who_loads_completions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(shell_install, "BASH_LOADERS", (tmp_path / "loader",))
    assert not shell_install._bash_looks()
    (tmp_path / ".bashrc").write_text("alias ll='ls -l'\n")
    assert not shell_install._bash_looks()
    (tmp_path / ".bashrc").write_text("source /usr/share/bash-completion/bash_completion\n")
    assert shell_install._bash_looks()
    (tmp_path / ".bashrc").write_text(f"{shell_install.BASH_LINE}\n")
    assert shell_install._bash_looks()
    (tmp_path / ".bashrc").unlink()
    (tmp_path / "loader").touch()  # the package alone is not enough: something has to source it
    monkeypatch.setattr(shell_install, "BASH_SYSTEM", tmp_path)
    assert not shell_install._bash_looks()
    (tmp_path / "bash.bashrc").write_text("# . /usr/share/bash-completion/bash_completion\n")
    assert not shell_install._bash_looks()
    (tmp_path / "bash.bashrc").write_text(". /usr/share/bash-completion/bash_completion\n")
    assert shell_install._bash_looks()


def test_bash_without_bash_completion_needs_one_line(repo: Repo) -> None:
    """The line loads git's completion, which calls ours; without git's, ``git xexp`` alone is completed."""
    ask = "COMP_WORDS=(git xexp work) COMP_LINE='git xexp work' COMP_POINT=13 COMP_CWORD=2"
    script = f"""{shell_install.BASH_LINE}; {ask}; complete -p git | grep -o 'F [a-z_]*'
        __git_wrap__git_main; echo "${{COMPREPLY[@]}}"; COMPREPLY=(); __git_xexp_git
        echo "${{COMPREPLY[@]}}"; COMP_CWORD=1 COMP_WORDS=(git chec); __git_xexp_git
        echo "${{COMPREPLY[@]}}" """
    done = run("bash", "--norc", "--noprofile", "-c", script, cwd=repo.path).good()
    first, *found = done.out.splitlines()
    assert first == "F __git_wrap__git_main"
    assert [line.strip() for line in found] == ["worktree", "worktree", "checkout"]


@pytest.mark.parametrize(
    ("blocked", "said"),
    [
        ("zsh", "_git-xexp cannot be made: Not a directory"),
        ("zsh/site-functions/_git-xexp/x", "was not made by setup"),
    ],
)
def test_what_is_in_the_way_stays_and_the_rest_is_made(
    blocked: str, said: str, repo: Repo, home: Path
) -> None:
    in_the_way = repo.write(str(home / "data" / blocked), "mine\n")
    before = sorted(home.rglob("*"))
    done = repo.xexp("setup").good()
    assert said in done.err and "left out" in done.out
    assert (home / "config/fish/completions/git-xexp.fish").is_symlink()
    check = repo.xexp("setup", "--check")
    assert check.code == 1 and "NO  zsh" in check.out and "ok  fish" in check.out
    assert ("was not made by setup" in check.out) == ("was not made by setup" in said)
    repo.xexp("setup", "--uninstall").good()
    assert in_the_way.read_text() == "mine\n" and sorted(home.rglob("*")) == before


def test_nothing_is_made_where_it_cannot_be_noted(repo: Repo, home: Path) -> None:
    repo.write(str(home / "data/git-xexp"), "a file\n")
    before = sorted(home.rglob("*"))
    done = repo.xexp("setup")
    assert done.code == 128 and "cannot write" in done.err and "XDG_DATA_HOME" in done.err
    assert sorted(home.rglob("*")) == before


def test_folders_that_are_not_absolute_do_not_count(
    repo: Repo, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    repo.xexp("setup").good()
    assert not (repo / "relative").exists()
    assert (home / ".local/share/zsh/site-functions/_git-xexp").exists()
    assert (home / ".config/fish/conf.d/git-xexp.fish").exists()
    monkeypatch.setenv("HOME", "")
    done = repo.xexp("setup")
    assert done.code == 128 and "HOME" in done.err


def test_zshs_line_with_a_space_in_it(
    repo: Repo, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It works as it is printed; and a line that does not work is not taken for it."""
    dot = home / "z dot"
    dot.mkdir()
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "my data"))
    monkeypatch.setenv("ZDOTDIR", str(dot))
    repo.xexp("setup").good()
    hint = next(x for x in repo.xexp("setup", "--check").err.splitlines() if "fpath" in x)
    assert "add to ~/z dot/.zshrc: " in hint
    line = hint.partition(".zshrc: ")[2]
    for wrong in (line.replace("\\", ""), f"# {line}"):
        (dot / ".zshrc").write_text(f"{wrong}\n")
        assert "NO  zsh" in repo.xexp("setup", "--check").out
    fpath, _, start = line.partition("; ")
    assert start == "autoload -Uz compinit && compinit"
    (dot / ".zshrc").write_text(f"{fpath}\n")
    assert f"add to the end of ~/z dot/.zshrc: {start}" in repo.xexp("setup", "--check").err
    (dot / ".zshrc").write_text(f"{line} -u -D\n")
    assert "ok  zsh" in repo.xexp("setup", "--check").out
    found = run("zsh", "-d", "-i", "-c", "print $+functions[_git-xexp]", cwd=repo.path)
    assert found.out == "1\n"


def test_a_link_that_took_the_place_of_ours_stays(repo: Repo, home: Path) -> None:
    repo.xexp("setup").good()
    mine = repo.write(str(home / "my-completion.fish"), "# mine\n")
    taken = home / "config/fish/completions/git-xexp.fish"
    taken.unlink()
    taken.symlink_to(mine)
    assert "was not made by setup" in repo.xexp("setup").good().err
    assert str(taken) not in repo.xexp("setup", "--uninstall").good().out
    assert taken.readlink() == mine


def test_what_an_older_version_linked_goes(repo: Repo, home: Path) -> None:
    """Its note had no sources; the package that they were in is gone."""
    folder = home / ".local/share/man/man1"
    pages = [folder / "git-xexp.1", folder / "git-xexp-frobnicate.1"]
    folder.mkdir(parents=True)
    for page in pages:
        page.symlink_to(home / "old-venv/share/man/man1" / page.name)
    repo.write(str(home / "data/git-xexp/setup"), "".join(f"{x}\n" for x in [folder, *pages]))
    repo.xexp("setup").good()
    assert pages[0].exists() and not pages[1].is_symlink()
    repo.xexp("setup", "--uninstall").good()
    assert not folder.exists()
