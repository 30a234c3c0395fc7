"""DVC projects in folders of one git repository."""

from __future__ import annotations

from tests.conftest import METRICS, PARAMS
from tests.helpers import Repo, dvc_inside, xexp_inside


def test_the_nearest_project_is_taken(repo: Repo) -> None:
    for name in ("ranker", "tools/tagger"):
        repo.write(f"{name}/src/code.py", "")
        repo.write(f"{name}/params.yaml", PARAMS)
        repo.write(f"{name}/metrics.json", METRICS)
        repo.write(f"{name}/data/rows.csv", f"{name}\n")
        dvc_inside("init", "-q", "--subdir", cwd=repo / name).good()
        dvc_inside("add", "-q", "data/rows.csv", cwd=repo / name).good()
    repo.commit("two projects")
    xexp_inside("init", cwd=repo / "tools/tagger/src").good()
    assert not (repo / ".dvc").exists() and not (repo / "tools/tagger/src/.dvc").exists()
    config = (repo / ".xexp/config.toml").read_text()
    assert 'files = ["tools/tagger/params.yaml"]' in config
    assert 'files = ["tools/tagger/metrics.json"]' in config
    repo.commit("set up")
    xexp_inside("tag", "-m", "first", cwd=repo / "tools/tagger").good()
    shown = repo.xexp("explore", "show", "--json").good().json()
    assert shown["params"]["lr"] == 0.1
    assert [a["path"] for a in shown["artifacts"]] == [
        "ranker/data/rows.csv", "tools/tagger/data/rows.csv"
    ]  # fmt: skip
    repo.write("ranker/data/rows.csv", "other\n")
    assert repo.xexp("--json").good().json()["outputs"]["changed"] == ["ranker/data/rows.csv"]
    repo.xexp("init").good()
    assert not (repo / ".dvc").exists()
