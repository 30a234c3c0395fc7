"""How quick the registry answers: ``python tests/bench/bench_registry.py [TAGS] [ROUNDS]``.

Makes a repository with TAGS (2,000) experiments in tags and registry, and prints medians of ROUNDS (11)
runs beside ``import click``, as bench_explore does. ``search`` has to stay within three of these.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import bench_explore
from bench_explore import compare, make, xexp

bench_explore.LIMITS |= {"search": 3.0}


def main() -> None:
    """Make the repository, measure, print."""
    tags = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 11
    click = [sys.executable, "-c", "import click"]
    folder = Path(tempfile.mkdtemp(prefix="xexp-bench-"))
    os.environ |= {"GIT_CONFIG_NOSYSTEM": "1", "HOME": str(folder)}
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "pycache")  # compiled, as when installed
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        repository = folder / "repository"
        make(repository, tags)
        for words in (("init", "--no-dvc"), ("registry", "rebuild")):
            subprocess.run([*xexp(), *words], cwd=repository, check=True, capture_output=True)
        where = (repository, rounds)
        compare("search", [*xexp(), "search", "bert", "-3", "-n", "20"], click, *where)
        compare("search all", [*xexp(), "search", "adam"], click, *where)
        compare("search json", [*xexp(), "search", "experiment", "--json"], click, *where)
        compare("list warm", [*xexp(), "explore", "list"], click, *where)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
