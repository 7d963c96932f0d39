"""What Beam's S3 file system does not do, or not well, through the client that it uses itself."""

from __future__ import annotations

from typing import Any

from apache_beam.io.aws.clients.s3 import boto3_client
from apache_beam.io.filesystems import FileSystems


def list_once(path: str) -> None:
    """One request, which raises at once what is wrong; Beam repeats a call without credentials for minutes."""
    bucket, key = bucket_and_key(path)
    _client(path).list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)


def write_empty(path: str) -> None:
    """A file without content: Beam uploads files in parts, and S3 refuses one that has no part."""
    bucket, key = bucket_and_key(path)
    _client(path).put_object(Bucket=bucket, Key=key, Body=b"")


def bucket_and_key(path: str) -> tuple[str, str]:
    bucket, _, key = path.partition("://")[2].partition("/")
    return bucket, key


def _client(path: str) -> Any:
    if boto3_client.boto3 is None:
        raise ImportError("boto3")
    return boto3_client.Client(FileSystems.get_filesystem(path)._options).client
