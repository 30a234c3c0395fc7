"""The version, alone in a module so that ``git-xexp --version`` reads nothing else."""

__version__ = "0.1.0"
