"""``push`` and ``get`` on S3 against DVC's own, in the same run.

    python tests/bench/bench_remotes.py [FILES]

moto serves S3 from a process of its own. Each command runs in a process of its own, in repositories that
are alike; ``push`` sends a new directory of FILES small files and proves it complete, ``get`` brings it back
into an empty cache. Neither may take more processor time than DVC's, nor more requests than one an object
and ten.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

RUNS = 3
SERVER = """
import sys
sys.path.insert(0, sys.argv[1])
from tests import servers
with servers.s3_server() as server:
    print(server.options["endpointurl"], flush=True)
    for _ in sys.stdin:
        print(len(server.requests), flush=True)
"""


def run(*args: str, cwd: Path) -> tuple[float, float]:
    """The time by the clock and of the processor that a command takes, in seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    subprocess.run(args, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return perf_counter() - began, spent


def make(folder: Path, endpoint: str, files: int, number: int) -> Path:
    """A repository with data that no other has, tagged, and its remote a folder of the bucket."""
    repo = folder / f"repo-{number}"
    (repo / "data").mkdir(parents=True)
    for at in range(files):
        (repo / f"data/{at}").write_text(f"{number} {at} " * 500)
    config = {"url": f"s3://experiments/store-{number}", "endpointurl": endpoint,
              "access_key_id": "test", "secret_access_key": "test", "region": "us-east-1"}  # fmt: skip
    run("git", "init", "-q", cwd=repo)
    run("dvc", "init", "-q", cwd=repo)
    text = "".join(f"    {key} = {value}\n" for key, value in config.items())
    (repo / ".dvc/config").write_text(f"[core]\n    remote = far\n['remote \"far\"']\n{text}")
    run("dvc", "add", "-q", "data", cwd=repo)
    run("git-xexp", "init", "-q", cwd=repo)
    run("git", "add", "-A", cwd=repo)
    run("git", "commit", "-q", "-m", "one", cwd=repo)
    run("git-xexp", "tag", "-q", "-m", "one", cwd=repo)
    return repo


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    folder = Path(tempfile.mkdtemp())
    for kind in ("AUTHOR", "COMMITTER"):
        os.environ |= {f"GIT_{kind}_NAME": "Ada", f"GIT_{kind}_EMAIL": "ada@example.org"}
    os.environ |= {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(folder / "site")}
    root = str(Path(__file__).resolve().parents[2])
    server = subprocess.Popen([sys.executable, "-c", SERVER, root], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert server.stdin is not None and server.stdout is not None
    try:
        endpoint = server.stdout.readline().strip()
        commands = {
            "push": (["dvc", "push", "-q"], ["git-xexp", "push", "-q", "--all"]),
            "get": (["dvc", "fetch", "-q"],
                    ["git-xexp", "get", "-q", "e0.1.0", "data", "-o", "got", "--strategy", "dvc"]),
        }  # fmt: skip
        found: dict[tuple[str, int], list[tuple[float, float, int]]] = {}
        for number in range(2 * RUNS):
            repo = make(folder, endpoint, files, number)
            for verb, both in commands.items():
                if verb == "get":
                    shutil.rmtree(repo / ".dvc/cache")
                counts = []
                for _ in (0, 1):
                    server.stdin.write("\n")
                    server.stdin.flush()
                    counts.append(int(server.stdout.readline()))
                    if len(counts) == 1:
                        times = run(*both[number % 2], cwd=repo)
                found.setdefault((verb, number % 2), []).append((*times, counts[1] - counts[0]))
        for (verb, which), rows in sorted(found.items()):
            clock, spent, requests = (min(column) for column in zip(*rows, strict=True))
            name = ("dvc", "git xexp")[which]
            print(
                f"{verb:<5} {name:<9} {clock:6.2f} s  processor {spent:5.2f} s  requests {requests}"
            )
    finally:
        server.terminate()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
