"""``run --config`` and ``--write-config``: run with the parameters of a configuration, and write a
run's configuration to a file next to its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gitxexp.common.errors import XexpError
from gitxexp.repository.config_hash import flatten
from gitxexp.repository.configuration import ExperimentConfig, document, form_of, write_file
from gitxexp.repository.repository import Project
from gitxexp.workflows.registry.configurations import configuration
from gitxexp.workflows.runs import parameters
from gitxexp.workflows.runs.environment import uses
from gitxexp.workflows.runs.run import Prepared


def params_of(
    project: Project, source: str, command: Sequence[str], given: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the parameters of a configuration (a file, a version or a hash prefix), overridden by
    those of ``-S``, in the form of ``-S``: parameters that no file has are added.

    Raises XexpError if there is no such configuration.
    """
    params = flatten(configuration(project, source).params)
    over = {name: value for name, value in given.items() if name in params}
    params |= over
    unknown = set(parameters.unknown(project.top, project.config, params))
    rest = {name: value for name, value in given.items() if name not in over}
    return rest | {
        f"+{name}" if name in unknown and not uses(command, name) else name: value
        for name, value in params.items()
    }


def check_place(path: Path) -> None:
    """Raise XexpError if no configuration can be written to ``path``."""
    form_of(path)
    if path.is_dir():
        raise XexpError(f"{path} is a folder", "name a file: --write-config experiment_config.json")


def write_config(prepared: Prepared, path: Path) -> None:
    """Write the configuration of a starting run, with its hash, to ``path``."""
    payload = prepared.planned.payload
    config = ExperimentConfig(
        dict(payload.params) | dict(prepared.params),
        prepared.request.text,
        prepared.request.labels,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    more = {"run": prepared.context.run, "version": prepared.context.version}
    write_file(path, [document(config, more)])
