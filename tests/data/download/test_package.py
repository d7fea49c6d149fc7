"""Without the packages of the extra there is one clear error."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("package", ["httpx", "aiolimiter", "purgatory", "stamina"])
def test_a_missing_package_names_the_extra(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; import herder.data.download"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr
    assert "MissingExtraError: downloading photos needs packages" in said
    assert "herder[fetch]" in said
