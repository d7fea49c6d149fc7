"""Open Images: its tables and photos, and the datasets that are made of them."""

from __future__ import annotations

from herder.errors import MissingExtraError

try:
    import polars as polars
except ModuleNotFoundError:
    raise MissingExtraError("reading the tables of Open Images", "fetch") from None
