"""A registry of configurations in a plain file, without a repository.

The file has the form of a repository's registry (``.xexp/registry.db``), and such a one can be opened
as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gitxexp.guarded import guarded
from gitxexp.repository.configuration import ExperimentConfig, write_file
from gitxexp.repository.registry import Registry as RegistryFile
from gitxexp.workflows.registry import configurations
from gitxexp.workflows.registry.configurations import ImportedConfig, ParamChange, RegistryConfig


@guarded
class Registry:
    """The registry in the file ``path``, made when something is registered.

    Names are versions, runs, or the starts of config hashes, of at least 4 characters. Every method
    raises :class:`gitxexp.XexpError` for a file that is no registry.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._file = RegistryFile(self.path)

    def __repr__(self) -> str:
        return f"<Registry {self.path}>"

    def __len__(self) -> int:
        return len(self.list())

    def list(self) -> Sequence[RegistryConfig]:
        """All entries, experiments before configurations, the newest first."""
        return configurations.known_in(self._file)

    def register(self, config: ExperimentConfig, *, source: str = "", who: str = "") -> str:
        """Add ``config`` unless it is there; returns its config hash. ``source`` says where it is
        from, ``who`` whose it is."""
        with configurations.rewriting(self._file) as db:
            known = {one.config_hash for one in self.list()}
            fresh = config.config_hash not in known
            one = ImportedConfig(config, source, (), fresh, edited=False)
            configurations.put_configs(db, [one], who)
        return config.config_hash

    def get(self, prefix: str) -> ExperimentConfig:
        """The configuration that ``prefix`` means. Raises XexpError where that is none, or several."""
        return configurations.find(self.list(), prefix).config

    def search_by_label(self, *labels: str) -> Sequence[RegistryConfig]:
        """The entries that have all ``labels``."""
        return [one for one in self.list() if set(labels) <= {*one.config.labels}]

    def compare(self, before: str, after: str) -> Sequence[ParamChange]:
        """The parameters in which the entries ``before`` and ``after`` differ."""
        entries = self.list()
        one, other = (configurations.find(entries, name) for name in (before, after))
        return configurations.differing(one, other)

    def export(self, prefix: str, path: Path | str, *, full: bool = False) -> None:
        """Write the entry ``prefix`` to the ``.json`` or ``.toml`` file ``path``, with ``full`` all
        that is known of it."""
        write_file(Path(path), [configurations.find(self.list(), prefix).document(full=full)])

    def import_file(self, path: Path | str, *, who: str = "") -> Sequence[str]:
        """Register the configurations of the JSON, TOML or YAML file ``path`` for ``who``; returns their
        hashes."""
        with configurations.rewriting(self._file) as db:
            found = configurations.read_configs(self.list(), [Path(path)])
            configurations.put_configs(db, found, who)
        return [one.config.config_hash for one in found]

    def delete(self, prefix: str) -> None:
        """Delete the entry ``prefix``."""
        with configurations.rewriting(self._file) as db:
            configurations.deleted(db, [configurations.find(self.list(), prefix)])
