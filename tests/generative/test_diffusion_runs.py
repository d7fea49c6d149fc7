"""Whole runs of diffusion training: killed outright and gone on with, and the digits that the defaults must draw."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from herder.generative.checkpoint import load_state
from herder.generative.diffusion_training import MODEL_NAME, STATE_NAME, DiffusionConfig, train_diffusion

SCRIPT = """
    import sys, time, torch
    from pathlib import Path
    from herder.generative.diffusion_training import DiffusionConfig, train_diffusion
    torch.set_num_threads(1)
    pictures = torch.rand((30, 1, 8, 8), generator=torch.Generator().manual_seed(0)) * 2 - 1
    config = DiffusionConfig(dim=8, timesteps=20, steps=60, batch_size=8, checkpoint_every=1)
    def progress(step, of, loss):
        print(step, flush=True)
        time.sleep(0.02)
    out = Path(sys.argv[1])
    train_diffusion(pictures, config, labels=torch.arange(30) % 3, out=out, resume=True, progress=progress)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_run_ends_as_if_it_never_was(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(SCRIPT))
    command = [sys.executable, str(script)]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, stdout=subprocess.DEVNULL, timeout=300)
    killed = tmp_path / "killed"
    kills = 0
    for limit in (7, 15, 15):  # at whatever the process is doing then, be it writing the checkpoint
        with subprocess.Popen([*command, str(killed)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(limit):
                process.stdout.readline()
            time.sleep(0.013 * limit % 0.05)
            process.send_signal(signal.SIGKILL)
        kills += process.returncode == -signal.SIGKILL
    assert kills == 3
    assert not (killed / MODEL_NAME).exists()
    subprocess.run([*command, str(killed)], check=True, stdout=subprocess.DEVNULL, timeout=300)
    assert (killed / MODEL_NAME).read_bytes() == (tmp_path / "whole" / MODEL_NAME).read_bytes()
    whole, went_on = (load_state(tmp_path / name / STATE_NAME) for name in ("whole", "killed"))
    assert whole.facts == went_on.facts
    assert whole.tensors.keys() == went_on.tensors.keys()
    assert all(torch.equal(v, went_on.tensors[k]) for k, v in whole.tensors.items() if k != "random.torch")


@pytest.mark.slow
def test_draws_digits_that_a_classifier_reads() -> None:
    """The defaults on scikit-learn's digits: an SVM that never saw a drawn digit reads at least 90 % as asked."""
    datasets, svm = pytest.importorskip("sklearn.datasets"), pytest.importorskip("sklearn.svm")
    digits = datasets.load_digits()
    judge = svm.SVC(gamma=0.001).fit(digits.data, digits.target)
    pictures = torch.tensor(digits.images / 8 - 1, dtype=torch.float32)[:, None]
    result = train_diffusion(pictures, DiffusionConfig(), labels=torch.tensor(digits.target))
    labels = torch.arange(200) % 10
    drawn = result.model.sample(200, labels, steps=25, guidance=2.0)
    read = judge.predict(((drawn[:, 0].reshape(200, 64).numpy() + 1) * 8).round())
    assert (read == labels.numpy()).mean() >= 0.9
    assert drawn.std().item() == pytest.approx(pictures.std().item(), rel=0.15)
