"""Parts of an instance that dagster.yaml names: any class with a configuration, and what keeps the output of steps.

How a class becomes one that dagster.yaml can name: `module`, `class` and `config`.

Private although dagster.yaml takes classes of others for every part of an instance: `dagster` does not export the base class, nor
what its constructor is given. No issue asks for it.

What steps print: the managers that keep it, and how a stream is redirected into a file.

Private because Dagster's managers are meant to be configured, not extended: `dagster` exports no base class. Ours exists because
theirs makes the bucket's client before the first step and starts a Python per stream to copy what is printed; that copying also
loses last lines (https://github.com/dagster-io/dagster/issues/23336). No issue asks for public base classes.
"""

# Dagster leaves types out of what is used here; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.storage.cloud_storage_compute_log_manager import CloudStorageComputeLogManager
from dagster._core.storage.compute_log_manager import (
    CapturedLogContext,
    CapturedLogSubscription,
    ComputeIOType,
)
from dagster._core.storage.local_compute_log_manager import (
    IO_TYPE_EXTENSION,
    LocalComputeLogManager,
)
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from dagster._utils import ensure_file, touch_file

__all__ = [
    "IO_TYPE_EXTENSION",
    "CapturedLogContext",
    "CapturedLogSubscription",
    "CloudStorageComputeLogManager",
    "ComputeIOType",
    "ConfigurableClass",
    "ConfigurableClassData",
    "LocalComputeLogManager",
    "ensure_file",
    "redirect_to_file",
    "touch_file",
]
