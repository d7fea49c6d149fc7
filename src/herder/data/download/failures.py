"""Why an item did not arrive: what a transfer raises, and what the manifest counts."""

from __future__ import annotations


class Failure(Exception):
    """One attempt that failed: what the retries, the circuit breaker and the manifest need to know of it.

    Reasons: ``not-found``, ``http-status``, ``throttled``, ``server-error``, ``timeout``, ``connection``,
    ``truncated``, ``wrong-size``, ``wrong-md5``, ``too-large``, ``empty-file``, ``html-page``, ``not-a-photo``,
    ``encoded``, ``redirects``, ``refused-address``, ``host-down``, ``name-taken``.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        retry: bool = False,
        blames_host: bool = False,
        gone: bool = False,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry = retry
        """Whether another attempt may help."""
        self.blames_host = blames_host
        """Whether the host as a whole seems unwell, and not this item alone."""
        self.gone = gone
        """Whether the server says that there is no such thing, for good."""
        self.status = status
        self.retry_after = retry_after
        """Seconds that the server asks to be left alone."""
        self.attempt = 1
        """The number of the attempt that failed."""
