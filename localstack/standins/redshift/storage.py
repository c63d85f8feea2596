"""S3 as COPY and UNLOAD see it: listing, manifests, downloads to a temporary file, uploads.

All calls block; the server runs them in a thread. S3's errors become Redshift's S3ServiceException.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from standins.redshift.errors import RedshiftError, internal, spectrum

#: Parallel parts would hold 8 MB each in memory, and locally gain nothing.
_ONE_THREAD = TransferConfig(use_threads=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """Access keys given in a COPY or UNLOAD; None means the gateway's own."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class S3Object:
    """One object to read; `size` is in bytes."""

    bucket: str
    key: str
    size: int

    @property
    def url(self) -> str:
        """As manifests and load-error tables write it."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def https_url(self) -> str:
        """As Spectrum's messages write it."""
        return f"https://s3.amazonaws.com/{self.bucket}/{self.key}"


def split_url(url: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`.

    Raises:
        RedshiftError: not an S3 address.
    """
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not bucket:
        text = (
            "LOAD source is not supported. (Hint: only S3 or DynamoDB or EMR based load is allowed)"
        )
        raise RedshiftError(text, "0A000")
    return bucket, key


def service_error(error: ClientError, context: str) -> RedshiftError:
    """S3's answer in Redshift's words."""
    answer = error.response
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    rid = answer.get("ResponseMetadata", {}).get("RequestId", "")
    code = answer.get("Error", {}).get("Code", "")
    if code == "404":
        code = "NoSuchKey"
    message = answer.get("Error", {}).get("Message", code)
    text = f"S3ServiceException:{message},Status {status},Error {code},Rid {rid},ExtRid {rid},CanRetry 1"
    return internal(text, 8001, context)


class Storage:
    """S3 behind one endpoint, with the gateway's or with given access keys.

    Attributes:
        kms_key: the key that uploads name; without one S3 encrypts as the bucket is set.
    """

    def __init__(self, endpoint: str | None, region: str, keys: Keys | None = None) -> None:
        self.kms_key: str | None = None
        arguments: dict[str, Any] = {"endpoint_url": endpoint, "region_name": region}
        session = boto3.Session()
        if keys is None and session.get_credentials() is None and endpoint is not None:
            keys = Keys("standin", "standin")  # a local endpoint checks no keys, boto3 insists
        if keys is not None:
            arguments |= {
                "aws_access_key_id": keys.access_key_id,
                "aws_secret_access_key": keys.secret_access_key,
                "aws_session_token": keys.session_token,
            }
        config = Config(
            retries={"mode": "standard", "max_attempts": 3},
            s3={"addressing_style": "path"} if endpoint else None,
        )
        self._client = session.client("s3", config=config, **arguments)

    @property
    def _headers(self) -> dict[str, str]:
        if self.kms_key is None:
            return {}
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key}

    @contextmanager
    def _errors(self, context: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise service_error(error, context) from error
        except BotoCoreError as error:
            raise internal(f"S3CurlException: {error}", 9001, context) from error

    def objects(self, bucket: str, prefix: str) -> list[S3Object]:
        """Every object whose key begins with `prefix`, in key order; folder markers left out."""
        found = []
        with self._errors(f"Listing bucket={bucket} prefix={prefix}"):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=bucket, Prefix=prefix):
                found += [
                    S3Object(bucket, item["Key"], item["Size"])
                    for item in page.get("Contents", [])
                    if not (item["Key"].endswith("/") and item["Size"] == 0)
                ]
        return found

    def resolve_prefix(self, url: str) -> list[S3Object]:
        """The objects a COPY without MANIFEST reads: all with the prefix, wanted or not."""
        bucket, prefix = split_url(url)
        found = self.objects(bucket, prefix)
        if not found:
            text = f"The specified S3 prefix '{prefix}' does not exist"
            raise internal(text, 8001)
        return found

    def resolve_manifest(self, url: str, *, columnar: bool) -> list[S3Object]:
        """The objects a manifest names.

        Args:
            url: where the manifest is.
            columnar: whether entries need `meta.content_length`.
        """
        bucket, key = split_url(url)
        try:
            body = self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            read = f"S3 key being read : {url}"
            known = service_error(error, read)
            text = f"Problem reading manifest file - {known.message}"
            raise internal(text, 9001, read) from error
        try:
            entries = json.loads(body)["entries"]
        except (ValueError, KeyError, TypeError) as error:
            raise internal(
                "Invalid manifest file: it has no valid JSON entries", 9001, url
            ) from error
        found = []
        for entry in entries:
            found += self._entry(entry, url, columnar=columnar)
        if not found:
            raise internal("The S3 manifest names no file that exists", 8001, url)
        return found

    def _entry(self, entry: dict[str, Any], url: str, *, columnar: bool) -> list[S3Object]:
        if "url" not in entry:
            raise internal("Invalid manifest file: an entry has no url", 9001, url)
        length = entry.get("meta", {}).get("content_length")
        if columnar and "meta" not in entry:
            raise spectrum(f"File entry does not have 'meta' key. Manifest: {url}", 15003)
        if columnar and length is None:
            raise spectrum(f"Meta does not have 'content_length' key. Manifest: {url}", 15003)
        bucket, key = split_url(entry["url"])
        try:
            size = self._client.head_object(Bucket=bucket, Key=key)["ContentLength"]
        except ClientError as error:
            if entry.get("mandatory", False):
                text = "Mandatory url is not present in manifest file."
                raise internal(text, 8001, entry["url"]) from error
            return []
        if length is not None and int(length) != size:
            text = (
                f"The content_length in the manifest, {length}, is not the size of the file, "
                f"{size}. File name: {entry['url']}"
            )
            raise spectrum(text) if columnar else internal(text, 8001, entry["url"])
        return [S3Object(bucket, key, size)]

    @contextmanager
    def download(self, item: S3Object) -> Iterator[Path]:
        """The object as a temporary file, removed at the end of the block."""
        with tempfile.NamedTemporaryFile(prefix="redshift-standin-") as file:
            with self._errors(f"S3 key being read : {item.url}"):
                self._client.download_fileobj(item.bucket, item.key, file, Config=_ONE_THREAD)
            file.flush()
            yield Path(file.name)

    def read(self, url: str) -> bytes:
        """A small object, such as a JSONPaths file."""
        bucket, key = split_url(url)
        with self._errors(f"S3 key being read : {url}"):
            return self._client.get_object(Bucket=bucket, Key=key)["Body"].read()

    def upload(self, path: Path, bucket: str, key: str) -> None:
        """Store a file, in parts when it is large."""
        with self._errors(f"s3://{bucket}/{key}"):
            self._client.upload_file(
                str(path), bucket, key, ExtraArgs=self._headers, Config=_ONE_THREAD
            )

    def put(self, bucket: str, key: str, body: bytes) -> None:
        """Store a small object."""
        with self._errors(f"s3://{bucket}/{key}"):
            self._client.put_object(Bucket=bucket, Key=key, Body=body, **self._headers)

    def delete(self, bucket: str, keys: Sequence[str]) -> None:
        """Remove objects."""
        with self._errors(f"s3://{bucket}"):
            for start in range(0, len(keys), 1000):
                objects = [{"Key": key} for key in keys[start : start + 1000]]
                self._client.delete_objects(Bucket=bucket, Delete={"Objects": objects})
