"""Keeps the buckets' objects in the volume, and puts them back at start: LocalStack itself forgets everything at its end.

Here that would be the logs of all runs. LocalStack runs this in its own process. A hook in init/shutdown.d would come too
late, S3 answers no more by then: so the shutdown itself is preceded by one last look. After a kill, what came in the last
seconds is lost.
"""

import logging
import os
import threading
from pathlib import Path
from urllib.parse import quote, unquote

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from localstack.runtime import (  # pyright: ignore[reportMissingImports]  # in its own image only
    get_current_runtime,
)

ENDPOINT = "http://127.0.0.1:4566"
KEPT = Path("/var/lib/localstack/kept")
INTERVAL_SECONDS = 10
LONGEST_NAME = 240
"""File systems take names of 255 bytes, and a download appends nine for a while."""


class Keeper:
    """A directory per bucket, in it a file per object, named by its quoted key and its tag."""

    def __init__(self):
        self._looking = threading.Lock()
        self._s3 = boto3.client(
            "s3",
            endpoint_url=ENDPOINT,
            aws_access_key_id="local",
            aws_secret_access_key="local",
            region_name=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        )

    def restore(self) -> None:
        """Upload every kept file."""
        present = self._buckets()
        for directory in KEPT.iterdir() if KEPT.exists() else ():
            if directory.name not in present:
                self._s3.create_bucket(Bucket=directory.name)
            for file in directory.iterdir():
                key, _, _ = file.name.rpartition(".")
                self._s3.upload_file(str(file), directory.name, unquote(key))

    def follow(self) -> None:
        """Keep what comes, for as long as this process runs."""
        while True:
            self.look()
            threading.Event().wait(INTERVAL_SECONDS)

    def look(self) -> None:
        """Make the directories the same as the buckets, once."""
        with self._looking:
            try:
                for bucket in self._buckets():
                    self._keep(bucket)
            except (BotoCoreError, ClientError) as error:
                logging.getLogger("localstack.keep").warning("objects are not kept now: %s", error)

    def _keep(self, bucket: str) -> None:
        directory = KEPT / bucket
        directory.mkdir(parents=True, exist_ok=True)
        present: set[str] = set()
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for found in page.get("Contents", []):
                # The tag changes with the content, so a file that is there need not be read again.
                tag = found["ETag"].strip('"')
                name = f"{quote(found['Key'], safe='')}.{tag}"
                present.add(name)
                if len(name) <= LONGEST_NAME and not (directory / name).exists():
                    self._s3.download_file(bucket, found["Key"], str(directory / name))
        for file in directory.iterdir():
            if file.name not in present:
                file.unlink()

    def _buckets(self) -> list[str]:
        return [bucket["Name"] for bucket in self._s3.list_buckets()["Buckets"]]


keeper = Keeper()
keeper.restore()

runtime = get_current_runtime()
shut_down = runtime.shutdown


def look_and_shut_down() -> None:
    """What SIGTERM leads to from here on."""
    keeper.look()
    shut_down()


runtime.shutdown = look_and_shut_down
threading.Thread(target=keeper.follow, name="keep", daemon=True).start()
