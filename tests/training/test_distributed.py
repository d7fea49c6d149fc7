"""Two gloo processes on this machine's CPU, started by torchrun."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from herder.data.records import Dataset
from herder.errors import ConfigError
from herder.training import distributed
from herder.training.distributed import Ranks
from herder.training.tracking import read_rows

PROGRAM = """
import contextlib
import sys
from pathlib import Path
import numpy as np, safetensors.torch, torch
from herder.data.augmentation import AugmentationConfig
from herder.data.pipeline import Batch, TrainingPipeline
from herder.data.records import Dataset, ImageRecord
from herder.model.losses import DetectionLoss
from herder.model.network import Network
from herder.spec import example_spec
from herder.training import distributed
from herder.training.config import TrainConfig
from herder.training.loop import train
from herder.training.reproducibility import seed_everything

photos, out = Path(sys.argv[1]), Path(sys.argv[2])
ranks = distributed.Ranks.from_environment()
spec = example_spec().replace(input_size=64)
boxes = np.load(photos / "boxes.npy")

# One step on a batch whose photos have 3, 1, 0 and 1 boxes: unequal parts must weigh as they do in one batch.
seed_everything(0)
network = Network(spec).train()
for module in network.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
        module.eval()  # its statistics are the only thing that photos of a batch share
torch.manual_seed(1)
images = torch.randint(0, 255, (4, 3, 64, 64), dtype=torch.uint8)
corner = torch.rand(4, 3, 2) * 30
truth = torch.cat([corner, corner + 20], dim=-1)
valid = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 0, 0], [1, 0, 0]], dtype=torch.bool)
nothing = torch.zeros_like(valid)
share = slice(ranks.rank * 4 // ranks.world_size, (ranks.rank + 1) * 4 // ranks.world_size)
device = torch.device("cpu")
whole = contextlib.ExitStack()
whole.enter_context(distributed.joined(ranks, device))
loss = DetectionLoss(spec, count=distributed.shared_count)
model = distributed.wrap(network, ranks, device)
raw = model(images[share])
terms = loss(raw, truth[share], nothing[share].long(), valid[share], nothing[share])
terms.total.backward()
total = distributed.mean_over_ranks(terms.total.detach().clone())
gradients = {name: p.grad for name, p in network.named_parameters()} | {"total": total.reshape(1)}
safetensors.torch.save_file(gradients, out / f"gradients-{ranks.world_size}-{ranks.rank}.safetensors")

records = tuple(ImageRecord(p, 96, 64, b[None], [0]) for p, b in zip(sorted(photos.glob("0[0-8].png")), boxes))
dataset = Dataset(records, ("alpaca",), photos)
config = TrainConfig(
    epochs=3, batch_size=4, image_size=64, warmup_epochs=1, freeze_backbone_epochs=1, patience=5, device="cpu"
)
seed_everything(config.seed)
network = Network(spec)
pipeline = TrainingPipeline(
    dataset, size=64, batch_size=2, augmentation=AugmentationConfig(), seed=0, rank=ranks.rank,
    world_size=ranks.world_size,
)
def save(name, tensors):
    plain = {key: value.detach().contiguous() for key, value in tensors}
    safetensors.torch.save_file(plain, out / f"{name}-{ranks.rank}.safetensors")


def copy_from_first(network, copy=distributed.copy_from_first):
    save("learned", network.named_parameters())  # what each rank has learned before rank 0's is taken
    copy(network)


distributed.copy_from_first = copy_from_first
evaluations = []
result = train(
    network, spec, pipeline, config, out / "run",
    evaluate=lambda n: evaluations.append(1) or {"mAP50_95": float(n.head.cls_preds[0].weight.abs().mean())},
)
assert len(evaluations) == (3 if ranks.first else 0), evaluations
assert result.epochs == 3
save("weights", network.state_dict().items())
whole.close()
"""


def test_alone_everything_is_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = Ranks.from_environment()
    assert (ranks.first, ranks.several) == (True, False)
    layer = torch.nn.Linear(2, 2)
    with distributed.joined(ranks, torch.device("cpu")):
        assert distributed.wrap(layer, ranks, torch.device("cpu")) is layer
        assert distributed.shared_count(torch.tensor(0.25)) == 1
        assert distributed.shared_count(torch.tensor(3.0)) == 3
        assert distributed.from_first([1.5]) == [1.5]
        assert distributed.any_rank(True)
    monkeypatch.setenv("RANK", "one")
    with pytest.raises(ConfigError, match="start with torchrun"):
        Ranks.from_environment()


def test_a_device_that_is_not_there_is_told() -> None:
    assert Ranks().pick_device("cpu").type == "cpu"
    with pytest.raises(ConfigError, match="cuda:99 is not there"):
        Ranks().pick_device("cuda:99")


@pytest.mark.slow
def test_two_ranks_learn_what_one_would_and_end_alike(photos: Dataset, tmp_path: Path) -> None:
    import numpy as np

    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "two" / "run").mkdir(parents=True)
    (tmp_path / "one" / "run").mkdir(parents=True)
    np.save(photos.root / "boxes.npy", np.stack([record.boxes[0] for record in photos.records[:9]]))
    program = str(tmp_path / "program.py")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for launcher, out in ((torchrun, "two"), ([], "one")):
        command = [sys.executable, *launcher, program, str(photos.root), str(tmp_path / out)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-3000:]

    def load(name: str) -> dict[str, torch.Tensor]:
        return safetensors.torch.load_file(tmp_path / name)

    alone = load("one/gradients-1-0.safetensors")
    for rank in (0, 1):
        together = load(f"two/gradients-2-{rank}.safetensors")
        for name, value in alone.items():
            torch.testing.assert_close(together[name], value, rtol=1e-3, atol=1e-6, msg=name)
    for kind in ("learned", "weights"):
        first, second = load(f"two/{kind}-0.safetensors"), load(f"two/{kind}-1.safetensors")
        assert all(torch.equal(value, second[name]) for name, value in first.items()), kind
    names = {path.name for path in (tmp_path / "two" / "run").iterdir()}
    assert names == {"metrics.csv", "best.safetensors", "last.safetensors"}
    assert [row["epoch"] for row in read_rows(tmp_path / "two" / "run" / "metrics.csv")] == [1, 2, 3]
