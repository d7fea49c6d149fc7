"""Shards share the work out without talking."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herder.data.download import Shard
from herder.data.download.shards import slot_of
from herder.errors import ConfigError


@given(st.text(min_size=1), st.integers(1, 20))
def test_each_key_is_in_exactly_one_shard(key: str, count: int) -> None:
    try:
        key.encode()
    except UnicodeEncodeError:
        return
    assert sum(Shard(i, count).owns(key) for i in range(1, count + 1)) == 1


def test_the_slot_is_the_beginning_of_the_keys_sha256() -> None:
    # printf 0a1b | sha256sum begins with this.
    code = "import hashlib; print(int(hashlib.sha256(b'0a1b').hexdigest()[:16], 16) // 2)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert slot_of("0a1b") == int(said)


def test_shards_are_about_even() -> None:
    sizes = [sum(Shard(i, 4).owns(f"{n:016x}") for n in range(4000)) for i in (1, 2, 3, 4)]
    assert min(sizes) > 900


@pytest.mark.parametrize("text", ["", "2", "0/5", "6/5", "1/0", "-1/5", "a/b", "1/5/7", "1.5/2", "\u0662/\u0665"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Shard.parse(text)


def test_text_and_back() -> None:
    assert str(Shard.parse(" 2 / 5 ")) == "2/5"
