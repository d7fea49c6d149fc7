"""What headers and first bytes mean."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import PurePosixPath

import httpx
import pytest

from herder.data.download import DownloadConfig, DownloadItem
from herder.data.download.failures import Failure
from herder.data.download.retries import backoff
from herder.data.download.sniffing import check_content
from herder.data.download.transfer import retry_after, wanted_md5

DIGEST = hashlib.md5(b"photo").hexdigest()
ITEM = DownloadItem("a", "https://example.org/a.jpg", PurePosixPath("a.jpg"))


@pytest.mark.parametrize("text", ["", "soon", "-5", "1.5", "Fri, 99 Foo 2020"])
def test_a_retry_after_without_sense_says_nothing(text: str) -> None:
    assert retry_after(text) is None


def test_retry_after_dates() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert retry_after(format_datetime(now + timedelta(seconds=90), usegmt=True), now) == 90
    assert retry_after(format_datetime(now - timedelta(days=1), usegmt=True), now) == 0


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"ETag": f'"{DIGEST}"', "x-amz-request-id": "1"}, {"etag": DIGEST}),
        ({"ETag": f'"{DIGEST}"'}, {}),
        ({"ETag": f'W/"{DIGEST}"', "x-amz-request-id": "1"}, {}),
        ({"ETag": f'"{DIGEST}-3"', "x-amz-request-id": "1"}, {}),
        ({"ETag": f'"{DIGEST}"', "x-amz-server-side-encryption": "AES256"}, {"etag": DIGEST}),
        ({"ETag": f'"{DIGEST}"', "x-amz-server-side-encryption": "aws:kms"}, {}),
        ({"ETag": f'"{DIGEST}"', "x-amz-server-side-encryption-customer-algorithm": "AES256"}, {}),
        ({"Content-MD5": base64.b64encode(bytes.fromhex(DIGEST)).decode()}, {"content-md5": DIGEST}),
        (
            {"x-goog-hash": f"crc32c=AAAAAA==,md5={base64.b64encode(bytes.fromhex(DIGEST)).decode()}"},
            {"content-md5": DIGEST},
        ),
        ({"Content-MD5": "nonsense!"}, {}),
        ({"Content-MD5": "AAAA"}, {}),
        ({}, {}),
    ],
)
def test_where_an_md5_is_known_from(headers: dict[str, str], wanted: dict[str, str]) -> None:
    assert wanted_md5(ITEM, httpx.Headers(headers)) == wanted


@pytest.mark.parametrize(
    ("head", "kind", "reason"),
    [
        (b"\xff\xd8\xff\xe0", "text/html", ""),
        (b"\x89PNG\r\n\x1a\n", "", ""),
        (b"RIFF\x01\0\0\0WEBPVP8 ", "image/webp", ""),
        (b"\x00\x01\x02 unknown", "application/octet-stream", ""),
        (b"<!DOCTYPE html><html>", "image/jpeg", "html-page"),
        (b"\xef\xbb\xbf \n<!-- a --><HTML lang=en>", "image/jpeg", "html-page"),
        (b"Sorry, come back later", "text/html; charset=utf-8", "html-page"),
        (b'{"error": "quota"}', "application/json", "not-a-photo"),
        (b"Rate limit", "text/plain", "not-a-photo"),
        (b"", "image/jpeg", "empty-file"),
        (b"<!---->" * 70 + b"<p>", "text/html", "html-page"),  # a search that tried all ways would never end
    ],
)
def test_what_cannot_be_a_photo(head: bytes, kind: str, reason: str) -> None:
    found = ""
    try:
        check_content(head, len(head), kind)
    except Failure as failure:
        found = failure.reason
    assert found == reason


def test_backoff_grows_is_jittered_and_capped() -> None:
    config = DownloadConfig(backoff_base_s=1, backoff_cap_s=10)

    def waits(attempt: int) -> list[float]:
        failure = Failure("timeout", "", retry=True)
        failure.attempt = attempt
        return [float(backoff(failure, config)) for _ in range(400)]

    for attempt, most in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (5000, 10)):
        found = waits(attempt)
        assert max(found) <= most
        # Full jitter: even from 0, so that the mean of 400 is near the middle.
        assert sum(found) / 400 == pytest.approx(most / 2, rel=0.15)
        assert min(found) < most / 10


def test_retry_after_goes_first_and_is_capped() -> None:
    config = DownloadConfig(backoff_base_s=1, retry_after_cap_s=60)
    assert 7 <= backoff(Failure("throttled", "", retry=True, retry_after=7), config) <= 8
    assert 60 <= backoff(Failure("throttled", "", retry=True, retry_after=86_400), config) <= 61
    assert backoff(Failure("not-found", ""), config) is False
    assert backoff(ValueError(), config) is False
