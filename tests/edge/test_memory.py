import subprocess
import sys

import psutil
import pytest

from herder.edge.memory import peak_resident_bytes, resident_bytes


def test_now_and_at_most():
    assert resident_bytes() == pytest.approx(psutil.Process().memory_info().rss, rel=0.1)
    assert peak_resident_bytes() >= resident_bytes() * 0.99


def test_where_there_is_no_proc(tmp_path):
    missing = tmp_path / "status"
    assert resident_bytes(missing) == pytest.approx(resident_bytes(), rel=0.1)
    assert peak_resident_bytes(missing) >= resident_bytes() * 0.99


def test_neither_proc_nor_psutil(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert resident_bytes(tmp_path / "status") == 0
    assert peak_resident_bytes(tmp_path / "status") > 1_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")
def test_a_child_does_not_count_its_parents_memory():
    held = bytearray(300_000_000)
    held[::4096] = b"x" * len(held[::4096])  # every page for real
    code = (
        "from herder.edge.memory import *; b = bytearray(50_000_000); b[::4096] = b'x' * len(b[::4096]); n = len(b); "
        "del b; print(resident_bytes(), peak_resident_bytes(), n)"
    )
    now, peak, _ = map(
        int, subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.split()
    )
    assert now + 40_000_000 < peak < 250_000_000
    assert len(held)
