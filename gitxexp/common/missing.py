"""The error for a missing package of an extra."""

from __future__ import annotations

from gitxexp.common.errors import UsageError


def missing_package(package: str, why: str, extra: str | None = None) -> UsageError:
    """Return the error, with the install command for each way git-xexp may have been installed."""
    wanted = f"'git-xexp[{extra}]'" if extra else package
    lines = [
        f"python -m pip install {wanted}",
        f"pipx inject git-xexp {package}",
        f"uv tool install --with {package} git-xexp",
    ]
    return UsageError(f"{package} is not installed: {why}", "\n".join(lines), exit_code=128)
