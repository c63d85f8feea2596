"""Runs in containers of their own: the launcher, the keeper that watches them, the secrets they get.

`ContainerRunLauncher` needs the extra `tranship[runs]`. It is imported on first use, because
`python -m tranship.runs.worker` starts every run container and must not wait for it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tranship.runs.launcher import ContainerRunLauncher

__all__ = ["ContainerRunLauncher"]


def __getattr__(name: str) -> object:
    if name == "ContainerRunLauncher":
        from tranship.runs.launcher import ContainerRunLauncher

        return ContainerRunLauncher
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
