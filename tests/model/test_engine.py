"""The torch engine where memory runs out, really: the process may have no more than it has."""

import subprocess
import sys

import pytest
import torch

from herder.model.memory import is_out_of_memory

SCRIPT = """
import resource
import numpy as np
from herder.errors import ResourceError
from herder.model.engine import TorchEngine
from herder.model.network import Network
from herder.spec import example_spec

engine = TorchEngine(Network(example_spec()).eval())
canvases = np.zeros((64, 512, 512, 3), np.uint8)
used = int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmSize"))) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 64 * 2**20, resource.RLIM_INFINITY))
try:
    engine.predict(canvases)
except ResourceError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory limits are Linux's")
def test_a_batch_too_large_for_memory_is_said_so():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "64 photos of 512 x 512 do not fit into memory" in done.stdout
    assert "smaller batch" in done.stdout


def test_torch_s_own_words_for_a_full_memory():
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**60)
    assert is_out_of_memory(error.value)
    with pytest.raises(RuntimeError) as other:
        torch.zeros(2, 3) @ torch.zeros(2, 3)
    assert not is_out_of_memory(other.value)
