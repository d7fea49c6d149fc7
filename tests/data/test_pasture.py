"""Generated pastures: exact boxes, control over what is in them, the same scenes again."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from herder.data.formats import read_dataset
from herder.data.pasture import Light, PastureConfig, pasture_scene, write_pasture
from herder.data.pasture.alpaca import COATS, POSES, paint_animal
from herder.data.pasture.body import Animal
from herder.data.pasture.light import draw_light
from herder.data.pasture.scene import compose, lay_out, sprite_box
from herder.errors import ConfigError, DataError
from herder.images import read_image

SMALL = {"size": 96, "scale": (0.25, 0.6)}


def laid_on(sprite, shade, size):
    """The sprite alone on an even background, painted here and not by the code under test."""
    picture = np.full((size, size, 3), shade, np.float64)
    for y, x in np.argwhere(sprite.alpha > 0):
        row, column = y + sprite.top, x + sprite.left
        if 0 <= row < size and 0 <= column < size:
            alpha = sprite.alpha[y, x]
            picture[row, column] = picture[row, column] * (1 - alpha) + sprite.colour[y, x] * alpha
    return picture.round()


@settings(max_examples=15)
@given(
    st.sampled_from(sorted(POSES)),
    st.sampled_from(sorted(COATS)),
    st.sampled_from([-1, 1]),
    st.floats(20, 90),
    st.floats(-20, 140),
    st.floats(20, 150),
)
def test_an_animals_box_is_the_extent_of_the_pixels_it_changes(pose, coat, facing, height, x, y):
    size = 128
    light = draw_light(Light.NOON, np.random.default_rng(0))
    animal = Animal(pose, coat, facing, height, young=False, turn=0.9)
    sprite = paint_animal(animal, x, y, light, 1.0, np.random.default_rng(1))
    changed = np.zeros((size, size), bool)
    for shade in (0, 255):  # one of the two differs from any colour
        changed |= (laid_on(sprite, shade, size) != shade).any(-1)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    wanted = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) if len(rows) else (0, 0, 0, 0)
    assert sprite_box(sprite, size) == tuple(int(v) for v in wanted)


@pytest.mark.parametrize("index", range(8))
def test_each_box_of_a_scene_is_what_changes_when_the_animal_alone_is_painted(index):
    config = PastureConfig(size=160, light=Light.NOON, herd=(2, 5), occlusion=0.8)
    layout = lay_out(config, index)
    empty = compose(layout, ())
    scene = pasture_scene(config, index)
    animals = [i for i, thing in enumerate(layout.things) if thing.animal]
    assert len(animals) == len(scene.boxes)
    for number, box in zip(animals, scene.boxes, strict=True):
        changed = (compose(layout, [number]) != empty).any(-1)
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        # A faint pixel at the very edge may have the colour of the grass behind it.
        np.testing.assert_allclose(box, found, atol=1)


@pytest.mark.parametrize("index", range(6))
def test_the_visible_fraction_is_how_much_of_its_own_paint_an_animal_shows(index):
    config = PastureConfig(size=160, light=Light.NOON, herd=(2, 5), occlusion=1.0)
    layout = lay_out(config, index)
    everything = range(len(layout.things))

    def painted(number, shade):
        things = list(layout.things)
        sprite = replace(things[number].sprite, colour=np.full_like(things[number].sprite.colour, shade))
        things[number] = replace(things[number], sprite=sprite)
        return replace(layout, things=tuple(things))

    for number in everything:
        if layout.things[number].animal:
            dark, light = painted(number, 60), painted(number, 180)
            among_others = (compose(light, everything) - compose(dark, everything).astype(int)).sum()
            alone = (compose(light, [number]) - compose(dark, [number]).astype(int)).sum()
            assert layout.visible[number] == pytest.approx(among_others / alone, abs=0.01)


def test_an_animal_too_hidden_to_be_seen_is_not_in_the_picture_either():
    config = PastureConfig(size=160, herd=(4, 5), occlusion=1.0, min_visible=0.8)
    layouts = [lay_out(config, i) for i in range(6)]
    shown = [(thing, seen) for layout in layouts for thing, seen in zip(layout.things, layout.visible, strict=True)]
    assert all(seen >= 0.8 for thing, seen in shown if thing.animal)


@pytest.mark.parametrize("pose", sorted(POSES))
@pytest.mark.parametrize("height", [12.0, 47.0, 150.0])
def test_an_animal_is_one_piece(pose, height):
    light = draw_light(Light.NOON, np.random.default_rng(0))
    animal = Animal(pose, "white", 1, height, young=False, turn=0.9)
    sprite = paint_animal(animal, 100, 190, light, 1.0, np.random.default_rng(2))
    pieces, _, stats, _ = cv2.connectedComponentsWithStats((sprite.alpha > 0).astype(np.uint8), connectivity=8)
    assert sorted(stats[1:, cv2.CC_STAT_AREA])[-1] > 0.97 * (sprite.alpha > 0).sum(), pieces


def test_a_scene_follows_from_seed_and_number_alone():
    config = PastureConfig(**SMALL)
    first = pasture_scene(config, 3)
    pasture_scene(config, 8)
    again = pasture_scene(config, 3)
    assert np.array_equal(first.picture, again.picture)
    assert np.array_equal(first.boxes, again.boxes)
    assert not np.array_equal(first.picture, pasture_scene(config, 4).picture)
    assert not np.array_equal(first.picture, pasture_scene(PastureConfig(**SMALL, seed=1), 3).picture)


def test_boxes_lie_in_the_picture_and_have_an_area():
    for index in range(12):
        scene = pasture_scene(PastureConfig(**SMALL), index)
        assert scene.picture.shape == (96, 96, 3)
        assert scene.picture.dtype == np.uint8
        assert len(scene.visible) == len(scene.boxes) <= 5
        if len(scene.boxes):
            assert scene.boxes.min() >= 0
            assert scene.boxes.max() <= 96
            assert (scene.boxes[:, 2:] - scene.boxes[:, :2] >= 2).all()
            assert (scene.visible >= 0.25).all()


def test_herd_size_is_controlled():
    assert all(len(pasture_scene(PastureConfig(**SMALL, herd=(0, 0)), i).boxes) == 0 for i in range(3))
    few = [len(pasture_scene(PastureConfig(size=160, herd=(1, 1)), i).boxes) for i in range(6)]
    many = [len(pasture_scene(PastureConfig(size=160, herd=(6, 9)), i).boxes) for i in range(6)]
    assert max(few) == 1
    assert np.mean(many) > 3


def test_scale_is_controlled():
    def heights(scale):
        scenes = [pasture_scene(PastureConfig(size=192, herd=(1, 2), occlusion=0, scale=scale), i) for i in range(8)]
        return np.concatenate([s.boxes[:, 3] - s.boxes[:, 1] for s in scenes])

    assert np.median(heights((0.1, 0.15))) < 0.16 * 192
    assert np.median(heights((0.4, 0.6))) > 0.25 * 192


def test_occlusion_hides_more_of_the_animals():
    def visible(occlusion):
        config = PastureConfig(size=160, herd=(2, 4), occlusion=occlusion, distractors=(0, 0))
        return np.concatenate([pasture_scene(config, i).visible for i in range(8)])

    assert visible(0.0).min() > 0.85
    assert visible(1.0).mean() < visible(0.0).mean() - 0.1


def test_night_is_darker_than_noon_and_fog_is_greyer():
    def mean(light):
        return np.stack([pasture_scene(PastureConfig(**SMALL, light=light), i).picture for i in range(4)])

    noon, night, fog = (mean(light).astype(float) for light in (Light.NOON, Light.NIGHT, Light.FOG))
    assert night.mean() < 0.5 * noon.mean()
    assert np.ptp(fog, axis=-1).mean() < np.ptp(noon, axis=-1).mean()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 10}, "size"),
        ({"seed": -1}, "seed"),
        ({"herd": (3, 1)}, "herd"),
        ({"scale": (0.5, 0.2)}, "scale"),
        ({"occlusion": 2}, "occlusion"),
        ({"distractors": (-1, 0)}, "distractors"),
        ({"min_visible": 0}, "min_visible"),
    ],
)
def test_a_setting_without_meaning_is_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        PastureConfig(**change)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("pasture") / "farm"
    heard = []
    parts = write_pasture(out, train=5, val=3, config=PastureConfig(**SMALL), progress=lambda *done: heard.append(done))
    return out, parts, heard


def test_the_folder_reads_back_as_it_was_drawn(written):
    out, parts, heard = written
    assert [len(part) for part in parts] == [5, 3]
    assert heard[-1] == (8, 8)
    for part in parts:
        read = read_dataset(out, split=part.split)
        assert not read.problems
        assert read.class_names == ("alpaca",)
        for mine, theirs in zip(part, read, strict=True):
            assert mine.path.name == theirs.path.name
            np.testing.assert_allclose(mine.boxes, theirs.boxes, atol=1e-4)
            assert read_image(theirs.path).shape == (96, 96, 3)


def test_training_and_validation_share_no_scene(written):
    _, (train, val), _ = written
    assert not {r.path.name for r in train} & {r.path.name for r in val}


def test_the_same_settings_write_the_same_bytes(written, tmp_path):
    out, _, _ = written
    write_pasture(tmp_path / "again", train=5, val=3, config=PastureConfig(**SMALL))
    for path in sorted(out.rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(out)).read_bytes()


def test_a_generated_folder_is_made_anew_and_a_foreign_one_left_alone(tmp_path):
    config = PastureConfig(**SMALL)
    write_pasture(tmp_path / "farm", train=3, val=0, config=config)
    write_pasture(tmp_path / "farm", train=1, val=1, config=config)
    assert len(list((tmp_path / "farm/images/train").iterdir())) == 1
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").write_bytes(b"precious")
    with pytest.raises(DataError, match="not a generated pasture"):
        write_pasture(tmp_path / "mine", train=1, val=1, config=config)
    assert (tmp_path / "mine" / "photo.jpg").read_bytes() == b"precious"


def test_making_a_folder_anew_keeps_what_somebody_else_put_there(tmp_path):
    config = PastureConfig(**SMALL)
    write_pasture(tmp_path / "farm", train=1, val=1, config=config)
    for name in ("run/best.safetensors", "images/train/mine.jpg"):
        (tmp_path / "farm" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "farm" / name).write_bytes(b"precious")
    write_pasture(tmp_path / "farm", train=1, val=1, config=config)
    assert (tmp_path / "farm/run/best.safetensors").read_bytes() == b"precious"
    assert (tmp_path / "farm/images/train/mine.jpg").read_bytes() == b"precious"


def test_a_file_in_the_place_of_the_folder_is_left_alone(tmp_path):
    (tmp_path / "farm").write_bytes(b"precious")
    with pytest.raises(DataError, match="farm"):
        write_pasture(tmp_path / "farm", train=1, val=1, config=PastureConfig(**SMALL))
    assert (tmp_path / "farm").read_bytes() == b"precious"


@pytest.mark.parametrize("light", list(Light))
@pytest.mark.parametrize("size", [64, 333])
def test_every_light_and_size_can_be_painted(light, size):
    scene = pasture_scene(PastureConfig(size=size, light=light), 1)
    assert scene.picture.shape == (size, size, 3)
    assert scene.picture.std() > 2


def test_nothing_stands_in_front_of_an_animal_without_occlusion():
    config = PastureConfig(size=160, herd=(2, 5), occlusion=0, distractors=(4, 8))
    seen = np.concatenate([pasture_scene(config, i).visible for i in range(10)])
    assert seen.min() > 0.99  # a neighbour's ear tip may brush past


def test_no_scenes_at_all_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least one"):
        write_pasture(tmp_path / "farm", train=0, val=0, config=PastureConfig(**SMALL))
