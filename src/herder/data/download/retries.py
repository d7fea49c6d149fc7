"""How long to wait before an item is tried again.

Source: M. Brooker, "Exponential Backoff And Jitter",
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import stamina

from herder.data.download.failures import Failure
from herder.data.download.settings import DownloadConfig


def backoff(error: Exception, config: DownloadConfig) -> bool | float:
    """Seconds until the next attempt, False for none, as stamina asks for it.

    Full jitter: evenly from 0 to base x 2^(n - 1) after attempt n, so that those who failed together do not come back
    together. A Retry-After of the server, cut to its cap, comes first, and then at most one base of jitter.
    """
    if not isinstance(error, Failure) or not error.retry:
        return False
    # 2^60 half seconds are past every cap; larger powers would overflow.
    longest = min(config.backoff_cap_s, config.backoff_base_s * 2.0 ** min(error.attempt - 1, 60))
    jitter = random.uniform(0, longest)
    if error.retry_after is None:
        return jitter
    return min(error.retry_after, config.retry_after_cap_s) + min(jitter, config.backoff_base_s)


@contextmanager
def quiet_retries() -> Iterator[None]:
    """Keep stamina from logging each retry: thousands are normal, and the report counts them."""
    before = stamina.instrumentation.get_on_retry_hooks()
    stamina.instrumentation.set_on_retry_hooks(())
    try:
        yield
    finally:
        stamina.instrumentation.set_on_retry_hooks(before)
