"""Downloading photos, many and safely: a manifest that survives being killed, limits, retries, and checked addresses.

>>> from pathlib import PurePosixPath
>>> DownloadItem("a1", "https://example.org/a1.jpg", PurePosixPath("train/a1.jpg"), split="train").key
'a1'
"""

from __future__ import annotations

from herder.errors import MissingExtraError

try:
    from herder.data.download.downloader import download
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("aiolimiter", "httpcore", "httpx", "purgatory", "stamina"):
        raise
    raise MissingExtraError("downloading photos", "fetch") from None
from herder.data.download.items import DownloadItem
from herder.data.download.manifest import Manifest
from herder.data.download.report import Batch, DownloadProgress, DownloadReport
from herder.data.download.settings import DownloadConfig
from herder.data.download.shards import Shard
from herder.data.download.states import Outcome, Row, State

__all__ = [
    "Batch",
    "DownloadConfig",
    "DownloadItem",
    "DownloadProgress",
    "DownloadReport",
    "Manifest",
    "Outcome",
    "Row",
    "Shard",
    "State",
    "download",
]
