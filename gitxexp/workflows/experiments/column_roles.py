"""The roles of columns that the configuration names."""

from __future__ import annotations

from gitxexp.repository.config import Config
from gitxexp.trackers.column_names import Role
from gitxexp.trackers.roles import RoleRules


def role_rules(config: Config) -> RoleRules:
    """What the configuration says of the roles of columns."""
    globs = {
        Role.PARAM: config.roles_param,
        Role.METRIC: config.roles_metric,
        Role.CONTEXT: config.roles_context,
        Role.OUTPUT: config.roles_output,
        Role.KEY: config.roles_key,
    }
    metrics = {*config.metrics_key, *config.metrics_maximize, *config.metrics_minimize}
    metrics |= {config.metrics_primary} - {""}
    params = {*config.params_key, config.params_model} - {""}
    return RoleRules(globs, frozenset(params), frozenset(metrics))
