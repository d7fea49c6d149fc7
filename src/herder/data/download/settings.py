"""How to download: the settings of one run, with units, checked together."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from importlib.metadata import version

from herder.errors import ConfigError


@dataclass(frozen=True)
class DownloadConfig:
    """Settings of a download. Raises ConfigError where a value has no meaning.

    >>> DownloadConfig(concurrency=8, rate=20).attempts
    5
    """

    concurrency: int = 32
    """Most transfers at one time, and so most open connections; 1 to 1024."""
    rate: float | None = None
    """Most requests a second over all hosts, retries and redirects counted; None: as fast as it goes."""
    connect_timeout_s: float = 10.0
    """Seconds to wait for a connection, TLS included."""
    read_timeout_s: float = 20.0
    """Seconds of silence after which a server counts as hung."""
    total_timeout_s: float = 120.0
    """Seconds that one attempt may take from the request to the last byte, however steadily it drips."""
    attempts: int = 5
    """Most attempts for an item in one run; what fails for good (404, an error page) gets one."""
    max_bytes: int = 50_000_000
    """A photo of more bytes is refused, by its Content-Length or in the middle."""
    max_redirects: int = 5
    """Most redirects to follow one after the other."""
    allow_private: bool = False
    """Let addresses of private networks and of this machine be fetched from; see ``addresses.refusal``."""
    allow_http: bool = True
    """Let addresses without TLS be fetched from, at first or by redirect; False takes https alone."""
    backoff_base_s: float = 0.5
    """The wait before attempt n + 1 is drawn evenly from 0 to base x 2^(n - 1): exponential backoff, full jitter."""
    backoff_cap_s: float = 30.0
    """Longest such wait."""
    retry_after_cap_s: float = 120.0
    """Longest wait that a server may ask for with Retry-After; a longer one is cut to this."""
    breaker_failures: int = 10
    """After so many failures of one host in a row its circuit breaker opens and nothing is asked of it for a while."""
    breaker_seconds: float = 15.0
    """Then one single request tries whether the host is back."""
    breaker_trials: int = 3
    """After so many trials in vain the host counts as down, and what is left for it fails without waiting longer."""
    user_agent: str = field(default_factory=lambda: f"herder/{version('herder')}")
    """What servers are told of who asks."""

    def __post_init__(self) -> None:
        bad = [
            *(self._wrong(name, "more than 0 seconds") for name in _TIMES if not 0 < getattr(self, name) < math.inf),
            *(self._wrong(name, "0 seconds or more") for name in _WAITS if not 0 <= getattr(self, name) < math.inf),
            *(self._wrong(name, "1 or more") for name in _COUNTS if not getattr(self, name) >= 1),
        ]
        if not 1 <= self.concurrency <= 1024:
            bad.append(self._wrong("concurrency", "1 to 1024 transfers"))
        if self.rate is not None and not 0 < self.rate < math.inf:
            bad.append(self._wrong("rate", "more than 0 requests a second, or None for no limit"))
        if self.max_redirects < 0:
            bad.append(self._wrong("max_redirects", "0 or more"))
        if not (self.user_agent.isascii() and self.user_agent.isprintable() and self.user_agent.strip()):
            bad.append(self._wrong("user_agent", "printable ASCII text on one line"))
        if bad:
            raise ConfigError(f"download: {bad[0]}", hint="correct this setting")

    def _wrong(self, name: str, wanted: str) -> str:
        return f"{name} = {getattr(self, name)!r}: must be {wanted}"


_TIMES = ("connect_timeout_s", "read_timeout_s", "total_timeout_s", "breaker_seconds")
_WAITS = ("backoff_base_s", "backoff_cap_s", "retry_after_cap_s")
_COUNTS = ("attempts", "max_bytes", "breaker_failures", "breaker_trials")
