"""What herder raises when it cannot go on: what went wrong, where, and what to do about it."""

from __future__ import annotations


class HerderError(Exception):
    """The base of every error that herder raises on purpose; the command line turns it into one message and exit
    code 2.

    The message names the file or the field and what is wrong with it; ``hint`` says what to do next.

    >>> print(DataError("photos/a.jpg: the file ends early", hint="copy the photo again"))
    photos/a.jpg: the file ends early
      what to do: copy the photo again
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  what to do: {self.hint}" if self.hint else self.message


class DataError(HerderError):
    """A photo, a label or a whole dataset that cannot be used."""


class ModelFileError(HerderError):
    """A model or checkpoint file that is unknown, broken, newer than this herder, or does not fit."""


class ConfigError(HerderError):
    """A setting that has no meaning, or settings that contradict each other."""


class ResourceError(HerderError):
    """The machine ran out of something: memory, disk space, permissions."""


class MissingExtraError(HerderError):
    """A feature whose optional packages are not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs packages that are not installed", hint=f"pip install 'herder[{extra}]'")
