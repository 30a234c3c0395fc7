"""``run --config`` and ``--write-config``: a run with the parameters of a configuration, and the
configuration that a run has in a file beside its outputs."""

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
    """The parameters of a configuration (a file, a version or the start of a hash) with those of
    ``-S`` over them, as ``-S`` takes them: those that no parameter file has are added to it.

    Raises XexpError where there is no such configuration.
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
    """Raises XexpError where no configuration can be written to ``path``."""
    form_of(path)
    if path.is_dir():
        raise XexpError(f"{path} is a folder", "name a file: --write-config experiment_config.json")


def write_config(prepared: Prepared, path: Path) -> None:
    """Write what a run that begins is configured with to ``path``, with its hash."""
    payload = prepared.planned.payload
    config = ExperimentConfig(
        dict(payload.params) | dict(prepared.params),
        prepared.request.text,
        prepared.request.labels,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    more = {"run": prepared.context.run, "version": prepared.context.version}
    write_file(path, [document(config, more)])
