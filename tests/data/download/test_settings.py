"""Settings that mean nothing are refused."""

from __future__ import annotations

import pytest

from herder.data.download import DownloadConfig
from herder.errors import ConfigError


def test_defaults_name_herder() -> None:
    assert DownloadConfig().user_agent.startswith("herder/")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("concurrency", 0),
        ("concurrency", 5000),
        ("rate", 0),
        ("rate", float("nan")),
        ("rate", float("inf")),
        ("connect_timeout_s", 0),
        ("read_timeout_s", -1),
        ("total_timeout_s", float("nan")),
        ("backoff_base_s", -0.1),
        ("attempts", 0),
        ("max_bytes", 0),
        ("max_redirects", -1),
        ("breaker_failures", 0),
        ("user_agent", "a\r\nHost: b"),
        ("user_agent", " "),
    ],
)
def test_a_setting_without_meaning_is_named(name: str, value: float | str) -> None:
    with pytest.raises(ConfigError, match=name):
        DownloadConfig(**{name: value})
