"""What steps print, kept in a bucket, without a step waiting for the bucket's client.

A run's log manager is made before its first step. That of `dagster_aws` imports boto3 and makes a client, a quarter of
a second of a short run, and starts two Pythons that do no more than wait for the run to die. Here the client is made
when something is uploaded, and `tail` waits by itself.
"""

# Dagster leaves types out of what is used here; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

import os
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self, TextIO

import dagster as dg
import yaml
from typing_extensions import override

from tranship.dagster_private.instance_parts import (
    IO_TYPE_EXTENSION,
    CapturedLogContext,
    CapturedLogSubscription,
    CloudStorageComputeLogManager,
    ComputeIOType,
    ConfigurableClass,
    ConfigurableClassData,
    LocalComputeLogManager,
    ensure_file,
    redirect_to_file,
    touch_file,
)
from tranship.errors import ConfigurationError

_RUN_VARIABLE = "DAGSTER_RUN_JOB_NAME"
"""Set in the containers of runs, by Dagster's launchers and by ours."""


class DeferredComputeLogManager(CloudStorageComputeLogManager[Any], ConfigurableClass):
    """Captures what steps print, and leaves the bucket to another manager that is made when it is needed.

    Only runs wait with it; the webserver and the daemon make it at once, so that a wrong setting is told when they start.
    Needs the `tail` of GNU coreutils, which ends with the process that it tells of.

    Args:
        manager: Module, class and configuration of the manager of the bucket, such as Dagster's
            `S3ComputeLogManager`.
        local_dir: Where logs are until they are uploaded.
        upload_interval: Seconds between two uploads of what a running step has printed so far; without it
            there is one, at the end.
        inst_data: Dagster's own.

    Raises:
        ConfigurationError: The manager shows addresses only, which must be known before a step.

    Example:
        In dagster.yaml::

            compute_logs:
              module: tranship.runs.compute_logs
              class: DeferredComputeLogManager
              config:
                local_dir: /tmp/dagster/compute-logs
                upload_interval: 5
                manager:
                  module: dagster_aws.s3.compute_log_manager
                  class: S3ComputeLogManager
                  config: {bucket: logs, prefix: compute-logs}
    """

    def __init__(
        self,
        manager: Mapping[str, Any],
        local_dir: str,
        upload_interval: int | None = None,
        inst_data: ConfigurableClassData | None = None,
    ):
        settings = dict(manager.get("config") or {})
        if settings.get("show_url_only"):
            raise ConfigurationError(
                "compute_logs asks for show_url_only, which DeferredComputeLogManager cannot do.",
                f"Configure {manager['module']}.{manager['class']} itself in dagster.yaml.",
            )
        settings["local_dir"] = local_dir
        self._bucket_data = ConfigurableClassData(
            manager["module"], manager["class"], yaml.safe_dump(settings)
        )
        self._making = threading.Lock()
        self._made_bucket: CloudStorageComputeLogManager[Any] | None = None
        self._upload_interval = upload_interval
        self._inst_data = inst_data
        self._local_manager = _LocalLogs(local_dir)

    @property
    def _bucket(self) -> CloudStorageComputeLogManager[Any]:
        # The thread that uploads while a step runs may ask at the moment when the step ends.
        with self._making:
            if self._made_bucket is None:
                self._made_bucket = self._bucket_data.rehydrate(
                    as_type=CloudStorageComputeLogManager
                )
            return self._made_bucket

    # ---- configuration ----

    @property
    @override
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    @override
    def config_type(cls) -> dict[str, Any]:
        return {
            "manager": {
                "module": str,
                "class": str,
                # Its values may be taken from the environment; that manager sees to it.
                "config": dg.Field(dg.Permissive(), is_required=False),
            },
            "local_dir": dg.StringSource,
            "upload_interval": dg.Field(dg.Noneable(int), is_required=False, default_value=None),
        }

    @classmethod
    @override
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        manager = cls(inst_data=inst_data, **config_value)
        if _RUN_VARIABLE not in os.environ:
            # The webserver and the daemon start once: a wrong setting is told there, not in every run.
            _ = manager._bucket
        return manager

    # ---- here ----

    @property
    @override
    def local_manager(self) -> LocalComputeLogManager:
        return self._local_manager

    @property
    @override
    def upload_interval(self) -> int | None:
        return self._upload_interval

    # ---- in the bucket ----

    @override
    def delete_logs(
        self, log_key: Sequence[str] | None = None, prefix: Sequence[str] | None = None
    ) -> None:
        self._bucket.delete_logs(log_key=log_key, prefix=prefix)

    @override
    def download_url_for_type(self, log_key: Sequence[str], io_type: ComputeIOType) -> str | None:
        return self._bucket.download_url_for_type(log_key, io_type)

    @override
    def display_path_for_type(self, log_key: Sequence[str], io_type: ComputeIOType) -> str:
        return self._bucket.display_path_for_type(log_key, io_type)

    @override
    def cloud_storage_has_logs(
        self, log_key: Sequence[str], io_type: ComputeIOType, partial: bool = False
    ) -> bool:
        return self._bucket.cloud_storage_has_logs(log_key, io_type, partial)

    @override
    def upload_to_cloud_storage(
        self, log_key: Sequence[str], io_type: ComputeIOType, partial: bool = False
    ) -> None:
        self._bucket.upload_to_cloud_storage(log_key, io_type, partial)

    @override
    def download_from_cloud_storage(
        self, log_key: Sequence[str], io_type: ComputeIOType, partial: bool = False
    ) -> None:
        self._bucket.download_from_cloud_storage(log_key, io_type, partial)

    @override
    def get_log_keys_for_log_key_prefix(
        self, log_key_prefix: Sequence[str], io_type: ComputeIOType
    ) -> Sequence[list[str]]:
        return self._bucket.get_log_keys_for_log_key_prefix(log_key_prefix, io_type)

    @override
    def on_subscribe(self, subscription: CapturedLogSubscription) -> None:
        self._bucket.on_subscribe(subscription)

    @override
    def on_unsubscribe(self, subscription: CapturedLogSubscription) -> None:
        self._bucket.on_unsubscribe(subscription)

    @override
    def dispose(self) -> None:
        super().dispose()
        if self._made_bucket is not None:
            self._made_bucket.dispose()


class _LocalLogs(LocalComputeLogManager):
    @contextmanager
    @override
    def capture_logs(self, log_key: Sequence[str]) -> Generator[CapturedLogContext, None, None]:
        streams = {ComputeIOType.STDOUT: sys.stdout, ComputeIOType.STDERR: sys.stderr}
        with ExitStack() as captures:
            for io_type, stream in streams.items():
                path = self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[io_type])
                captures.enter_context(_into_file_too(stream, path))
            yield CapturedLogContext(log_key)
        # By this file Dagster knows that a capture is complete.
        touch_file(self.complete_artifact_path(log_key))


@contextmanager
def _into_file_too(stream: TextIO, path: str) -> Generator[None]:
    """Write what goes to a stream into a file; `tail` brings it to where the stream went before.

    Not a thread: what holds the interpreter while it prints would wait for the thread that reads.
    """
    ensure_file(path)
    before = _descriptor(stream)
    if before is None:  # then Dagster redirects nothing either
        yield
        return
    tail = subprocess.Popen(
        ["tail", f"--pid={os.getpid()}", "--follow", "--bytes=+0", "--sleep-interval=0.2", path],
        stdout=before,
    )
    try:
        with redirect_to_file(stream, path):
            yield
    finally:
        tail.terminate()
        tail.wait()


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except OSError:  # io.UnsupportedOperation is one: a stream that is no file
        return None
