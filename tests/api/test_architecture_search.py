"""The search with a stand-in for training and timing: what is tried, refused, copied, gone on with and checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from herder.api import architecture_sampler, architecture_training
from herder.api.architecture_bench import REFERENCE, NetworkBench, NetworkCost
from herder.api.architecture_check import chosen_for_check
from herder.api.architecture_limits import CostLimits
from herder.api.architecture_report import network_words, table_rows, write_picture
from herder.api.architecture_result import ArchitectureRun, ArchitectureTrial
from herder.api.architecture_search import ArchitectureSearchSettings, search_architectures
from herder.api.architecture_space_file import read_architecture_space
from herder.api.architecture_training import ShortTraining
from herder.api.run_photos import Photos, read_photos
from herder.api.search_choices import ProxyName, SamplerName
from herder.edge.paired_timing import Ratio
from herder.errors import ConfigError, DataError, ModelFileError
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.rank_correlation import RankCorrelation
from herder.model.architecture_space import ArchitectureSpace
from herder.model.families import make_spec
from herder.spec import ModelSpec
from herder.training.config import TrainConfig
from herder.training.interfaces import DivergedError, Ending, TrainResult
from herder.training.run import RunSettings, write_run_facts

LABELS = ["0 0.5 0.5 0.4 0.5\n"] * 8

SPACE = ArchitectureSpace(width=(0.25, 0.5, 1.0), depth=(0.5, 1.0), input_size=(64, 96))


class FakeTraining:
    """Stands for ``run_training``: wider and more epochs are better."""

    def __init__(self) -> None:
        self.folders: list[Path] = []
        self.configs: list[TrainConfig] = []
        self.fate: dict[int, str] = {}
        """What happens to the n-th training, counted from 0."""

    def __call__(
        self, photos: Photos, model: str, init: None, config: TrainConfig, out: Path, **more: Any
    ) -> TrainResult:
        fate = self.fate.get(len(self.folders), "")
        self.folders.append(out)
        self.configs.append(config)
        widths = make_spec(model, photos.train.class_names).architecture.widths
        if fate == "diverges":
            raise DivergedError("the loss is not finite")
        ending = Ending.INTERRUPTED if fate == "stopped" else Ending.FINISHED
        metrics = {"mAP50_95": min(0.9, sum(widths) / 1000 * (1 + config.epochs / 100))}
        out.mkdir(parents=True, exist_ok=True)
        (out / "metrics.csv").write_text(f"epoch,box,cls,dfl,mAP50_95\n1,9,,,\n2,{sum(widths)},1.5,,0.1\n")
        for tracker in more["trackers"]:
            tracker.epoch({"epoch": 1.0, "mAP50_95": 0.1}, best=None)
        return TrainResult(out, out, out, metrics, config.epochs, config.epochs, ending, 1.0)


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> FakeTraining:
    fake = FakeTraining()
    monkeypatch.setattr(architecture_training, "run_training", fake)
    return fake


@pytest.fixture(autouse=True)
def cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network takes as much time as it has channels and pixels, and the reference 10 ms."""

    def measure(self: NetworkBench, spec: ModelSpec) -> NetworkCost:
        value = sum(spec.architecture.widths) * spec.input_size / 1e4 / 10
        return NetworkCost(Ratio(value, value * 0.9, value * 1.1), sum(spec.architecture.widths) / 100, 1000, 2000)

    monkeypatch.setattr(NetworkBench, "measure", measure)
    monkeypatch.setattr(NetworkBench, "reference_milliseconds", lambda self: 10.0)


@pytest.fixture
def photos(yolo_folder: Callable[..., Path]) -> Photos:
    return read_photos(yolo_folder(LABELS))


@pytest.fixture
def search(photos: Photos, tmp_path: Path, training: FakeTraining) -> Callable[..., ArchitectureRun]:
    def run(out: str = "out", space: ArchitectureSpace = SPACE, **settings: Any) -> ArchitectureRun:
        wanted = ArchitectureSearchSettings(**{"trials": 6, "epochs": 2, **settings})
        return search_architectures(photos, TrainConfig(), space, tmp_path / out, wanted)

    return run


def places(run: ArchitectureRun) -> list[dict[str, Any]]:
    return [dict(trial.values) for trial in run.trials]


SAMPLERS = [SamplerName.NSGA2, pytest.param(SamplerName.TPE, marks=pytest.mark.slow)]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_front_is_what_no_other_beats(
    search: Callable[..., ArchitectureRun], training: FakeTraining, tmp_path: Path, sampler: SamplerName
) -> None:
    run = search(sampler=sampler, trials=4)
    assert run.finished
    assert len([t for t in run.trials if t.state == "trained"]) == 4
    for trial in run.front:
        beaten = [
            other
            for other in run.trials
            if other.state == "trained"
            and (other.accuracy, -other.milliseconds) != (trial.accuracy, -trial.milliseconds)
            and other.accuracy >= trial.accuracy
            and other.milliseconds <= trial.milliseconds
        ]
        assert not beaten
        assert make_spec(str(tmp_path / "out" / f"{trial.name}.toml"), ("alpaca",)).architecture.family == "herder"
    data = json.loads(json.dumps(run.as_dict(["herder", "nas"]), allow_nan=False))
    assert (data["kind"], data["front"]) == ("nas", [trial.number for trial in run.front])
    # The training is the proxy: short, warmed up in time, at the architecture's own size.
    config, first = training.configs[0], run.trials[0]
    assert (config.epochs, config.warmup_epochs, config.image_size) == (2, 0.5, first.values["input_size"])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_goes_on_as_if_it_had_never_ended(
    search: Callable[..., ArchitectureRun],
    training: FakeTraining,
    sampler: SamplerName,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Past the first generation of the one, and the random start of the other.
    monkeypatch.setattr(architecture_sampler, "POPULATION", 3)
    trials = 5 if sampler is SamplerName.NSGA2 else 13
    whole = search("whole", sampler=sampler, trials=trials)
    search("parts", sampler=sampler, trials=2)
    trained = len(training.folders)
    parts = search("parts", sampler=sampler, trials=trials)
    assert len(training.folders) == trained + trials - 2  # nothing is trained twice
    assert places(whole) == places(parts)
    assert search("parts", sampler=sampler, trials=2).trials == parts.trials
    other = search("other", sampler=sampler, trials=2, seed=1)
    assert places(other) != places(whole)[:2]


def test_what_is_over_a_limit_is_not_trained(search: Callable[..., ArchitectureRun], training: FakeTraining) -> None:
    run = search(limits=CostLimits(milliseconds=3.0, megabytes=2.5), trials=6)
    refused = [t for t in run.trials if t.state == "refused"]
    trained = [t for t in run.trials if t.state == "trained"]
    assert refused
    assert trained
    assert len(training.folders) == len(trained)
    assert all(t.accuracy is None and "allowed" in t.why for t in refused)
    assert all(t.milliseconds <= 3 and t.cost.megabytes <= 2.5 for t in trained)
    assert all(t.state == "trained" for t in run.front)


def test_a_limit_in_times_of_the_reference_knows_no_milliseconds(search: Callable[..., ArchitectureRun]) -> None:
    run = search(limits=CostLimits(times=0.3), trials=6)
    assert {t.state for t in run.trials} == {"refused", "trained"}
    for trial in run.trials:
        assert trial.cost is not None
        assert (trial.cost.time.value <= 0.3) == (trial.state == "trained")


def test_limits_that_nothing_keeps_are_refused_at_once(
    search: Callable[..., ArchitectureRun], training: FakeTraining
) -> None:
    with pytest.raises(ConfigError, match=r"--max-latency-ms 0.1: even the smallest network of the space takes"):
        search(limits=CostLimits(milliseconds=0.1))
    with pytest.raises(ConfigError, match=r"--max-size-mb 0.5: even the smallest"):
        search(limits=CostLimits(megabytes=0.5))
    for limits in ((0.0, None), (None, float("nan"))):
        with pytest.raises(ConfigError, match="is not positive"):
            CostLimits(*limits)
    assert not training.folders


def test_a_small_space_ends_early_and_trains_nothing_twice(
    search: Callable[..., ArchitectureRun], training: FakeTraining
) -> None:
    fixed = {f.name: getattr(SPACE, f.name)[:1] for f in fields(SPACE)}
    run = search(space=ArchitectureSpace(**{**fixed, "width": (0.25, 0.5, 1.0)}), trials=50)
    assert len(training.folders) == len({path.name for path in training.folders}) == 3
    copies = [t for t in run.trials if t.state == "copy"]
    assert all("the same as trial" in t.why for t in copies)
    assert len(run.trials) == 3 + len(copies)


def test_ctrl_c_keeps_the_trial_for_next_time(search: Callable[..., ArchitectureRun], training: FakeTraining) -> None:
    training.fate = {1: "stopped"}
    stopped = search(trials=3, check=3)
    assert not stopped.finished
    assert stopped.check is None
    training.fate = {}
    run = search(trials=3)
    assert run.finished
    names = [path.name for path in training.folders]
    assert names[1] == names[2] == "trial-1"
    assert training.configs[1] == training.configs[2]
    assert [t.state for t in run.trials if t.state != "copy"] == ["trained", "fail", "trained", "trained"]


def test_a_training_that_diverges_or_a_graph_that_differs_ends_no_search(
    search: Callable[..., ArchitectureRun], training: FakeTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    training.fate = {0: "diverges"}
    run = search(trials=2)
    assert (run.trials[0].state, run.trials[0].why) == ("pruned", "the loss is not finite")
    assert run.trials[1].state == "trained"

    def differs(self: NetworkBench, spec: ModelSpec) -> NetworkCost:
        raise ModelFileError("the graph is not the network")

    monkeypatch.setattr(NetworkBench, "measure", differs)
    run = search("other", trials=1)
    assert (run.trials[0].state, run.trials[0].why) == ("pruned", "the graph is not the network")
    assert run.front == ()


def test_the_proxy_is_checked_against_longer_training(
    search: Callable[..., ArchitectureRun], training: FakeTraining, tmp_path: Path
) -> None:
    run = search(trials=5, check=4, check_epochs=9)
    assert run.check is not None
    assert (run.check.epochs, run.check.wanted, len(run.check.trained)) == (9, 4, 4)
    assert [config.epochs for config in training.configs[-4:]] == [9] * 4
    assert all(path.parent.name == "check-9" for path in training.folders[-4:])
    # More epochs raise all by the same factor here, so the order stays; the loss grows with the width, too.
    for proxy, rho in ((ProxyName.MAP, 1.0), (ProxyName.LOSS, -1.0)):
        found = run.check.correlation(proxy)
        assert isinstance(found, RankCorrelation)
        assert found.rho == pytest.approx(rho)
    count = len(training.folders)
    again = search(trials=5, check=4, check_epochs=9)
    assert again.check == run.check
    assert len(training.folders) == count
    headings, rows = table_rows(run)
    assert "long" in headings
    assert len(rows) == len({row[1] for row in rows}) == 5
    assert write_picture(run, "mAP50_95", tmp_path) == tmp_path / "pareto.png"
    assert (tmp_path / "pareto.png").read_bytes().startswith(b"\x89PNG")


def test_the_loss_may_be_the_proxy(search: Callable[..., ArchitectureRun], tmp_path: Path) -> None:
    run = search(trials=4, proxy=ProxyName.LOSS)
    for trial in run.trials:
        widths = make_spec(str(tmp_path / "out" / f"{trial.name}.toml"), ("alpaca",)).architecture.widths
        assert trial.loss == -trial.score == sum(widths) + 1.5
    best = max(run.front, key=lambda trial: trial.score)
    assert best.loss == min(trial.loss for trial in run.trials)
    assert write_picture(run, "mAP50_95", tmp_path) is not None
    with pytest.raises(ConfigError, match="begun with other proxy"):
        search(trials=5)


def test_a_check_that_is_stopped_goes_on(search: Callable[..., ArchitectureRun], training: FakeTraining) -> None:
    training.fate = {4: "stopped", 5: "diverges"}
    stopped = search(trials=3, check=3)
    assert not stopped.finished
    assert stopped.check is not None
    assert len(stopped.check.trained) == 1
    assert isinstance(stopped.check.correlation(ProxyName.MAP), NotComputed)
    run = search(trials=3, check=3)
    assert run.finished
    assert len(run.check.trained) == 2  # one diverged: its pair is left out, and that can be seen
    assert run.check.wanted == 3
    assert training.folders[4] == training.folders[5]


def test_the_checked_are_spread_over_the_ranks() -> None:
    trials = [ArchitectureTrial(i, "trained", {}, None, 1.0, None, f"trial-{i}", score=i / 10) for i in range(9)]
    trials.append(ArchitectureTrial(9, "refused", {}, None, 1.0, None, "trial-9"))
    assert [t.number for t in chosen_for_check(trials, 3)] == [8, 4, 0]
    assert [t.number for t in chosen_for_check(trials, 20)] == list(range(8, -1, -1))
    assert chosen_for_check([], 3) == []


def test_two_searches_share_a_database(
    search: Callable[..., ArchitectureRun], training: FakeTraining, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    search("one", storage=url, trials=3)
    run = search("two", storage=url, trials=6)
    assert len([t for t in run.trials if t.state == "trained"]) == 6
    assert {path.parent.name for path in training.folders} == {"one", "two"}
    # The architectures of the other process are there to be trained.
    assert all((tmp_path / "two" / f"{t.name}.toml").exists() for t in run.front)


def test_a_study_of_something_else_is_an_error(search: Callable[..., ArchitectureRun]) -> None:
    search(trials=1)
    with pytest.raises(ConfigError, match="begun with other space"):
        search(trials=2, space=ArchitectureSpace())
    with pytest.raises(ConfigError, match="begun with other limits"):
        search(trials=2, limits=CostLimits(milliseconds=50))
    with pytest.raises(ConfigError, match="begun with other engine"):
        search(trials=2, engine="openvino")


def test_another_search_in_the_same_folder_is_an_error(
    search: Callable[..., ArchitectureRun], photos: Photos, tmp_path: Path
) -> None:
    run = search(trials=1)
    with pytest.raises(ConfigError, match=r"trial-0.toml: is another search's network"):
        search(trials=1, study="two", seed=5)
    folder = tmp_path / "run"
    folder.mkdir()
    size = run.trials[0].values["input_size"]
    settings = RunSettings("photos", "trial-0", "", architecture_training.proxy_config(TrainConfig(), 7, size))
    write_run_facts(folder, settings, photos.train, photos.validation)
    training, file = ShortTraining(photos, TrainConfig(device="cpu")), tmp_path / "out" / "trial-0.toml"
    with pytest.raises(ConfigError, match="run: holds a run with other epochs"):
        training.train(file, size, 5, folder)
    assert training.train(file, size, 7, folder).accuracy > 0


def test_settings_without_a_meaning() -> None:
    for settings in ({"trials": 0}, {"epochs": 0}, {"check": 2}, {"check": 3, "check_epochs": 5}):
        with pytest.raises(ConfigError):
            ArchitectureSearchSettings(**settings)


def test_validation_without_a_box_is_told_before_the_search(
    yolo_folder: Callable[..., Path], tmp_path: Path, training: FakeTraining
) -> None:
    data = read_photos(yolo_folder(LABELS))
    bare = Photos(data.source, data.train, data.validation.select([]))
    with pytest.raises(DataError, match="no labelled box in 0 validation photos"):
        search_architectures(bare, TrainConfig(), SPACE, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_space_file_narrows_the_space(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text("[width]\nchoices = [0.5]\n[activation]\nchoices = ['relu', 'silu']\n")
    space = read_architecture_space(path, (96,))
    assert (space.width, space.activation, space.input_size) == ((0.5,), ("relu", "silu"), (96,))
    assert read_architecture_space(None) == ArchitectureSpace()
    assert "0.5x" in network_words(space.smallest("head"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[widht]\nchoices = [1]\n", r"widht: no such dimension\n.*did you mean width"),
        ("[width]\nlow = 1\n", "width: found .*, wanted a table with choices"),
        ("width = 1\n", "width: found 1, wanted a table"),
        ("[width]\nchoices = [0]\n", "width: found 0, wanted a number from 0.125"),
        ("[kernel]\nchoices = [7]\n", "kernel: found 7, wanted one of 3, 5"),
        ("[neck_width]\nchoices = [7]\n", "neck_width: found 7, wanted a whole number from 0 to 1024 that 8 divides"),
        ("[neck]\nchoices = []\n", "neck: found"),
        ("", "names no dimension"),
        ("[width\n", "space.toml"),
    ],
)
def test_a_wrong_space_file_names_file_and_dimension(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as error:
        read_architecture_space(path)
    assert "space.toml" in str(error.value)
    with pytest.raises(ConfigError, match="--sizes: input_size: found 100"):
        read_architecture_space(None, (100,))


@pytest.mark.slow
def test_the_bench_measures_real_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    pytest.importorskip("onnxruntime")
    bench = NetworkBench(tmp_path, "onnx", 64, threads=1)
    small, large = (
        bench.measure(ArchitectureSpace().spec({**ArchitectureSpace().smallest("none"), **more}, ("alpaca",), "x"))
        for more in ({"input_size": 64}, {"input_size": 320, "width": 1.5, "head_width": 96})
    )
    assert large.time.low > small.time.high
    assert large.megabytes > small.megabytes
    assert large.parameters > small.parameters
    assert large.macs > 25 * small.macs
    assert bench.reference_milliseconds() > 0
    assert (tmp_path / REFERENCE).exists()
    with pytest.raises(ConfigError, match="is the reference of 64 pixels, not 96"):
        NetworkBench(tmp_path, "onnx", 96, threads=1).measure(make_spec("herder-n", ("alpaca",), input_size=96))
