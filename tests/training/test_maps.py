"""Attention maps, predictions and histograms: what stands in TensorBoard is what the model does, and drawing
it moves no number."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from attnlab.building import assemble
from attnlab.cli.train import train
from attnlab.config.composing import compose
from attnlab.runs.identity import identity
from attnlab.tasks.batch import PAD
from attnlab.tasks.names import names_of
from attnlab.training.callbacks.maps import AttentionMaps, _row
from attnlab.training.pictures import Map, picture
from attnlab.training.showing import alone, answer, maps, read

FEW: list[str] = ["trainer.max_steps=6", "task.steps_per_epoch=3", "task.validation_examples=7"]
FEW += [
    "task.test_examples=5",
    "model.hidden_size=8",
    "model.embedding_size=5",
    "batch_size=4",
    "checkpoint_every=2",
]
BLUE = np.array([8, 29, 88])
RIGHT = np.array([213, 94, 0])


def events(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0, "histograms": 0})
    found.Reload()
    return found


def test_every_validation_shows_each_site_what_was_said_and_how_sharp_it_is(tmp_path: Path) -> None:
    where = ["model=transformer", "model.heads=2", "model.choose=all", "~model.embedding_size"]
    few = [word for word in FEW if "embedding" not in word]
    assert train([*few, *where[:3], f"runs_dir={tmp_path}"], None) == 0
    (folder,) = (path.parent for path in tmp_path.rglob("results.json"))
    found = events(folder)
    sites = [f"{side}.{layer}.{kind}" for side, layer, kind in SITES]
    tags: Any = found.Tags()
    assert sorted(tags["images"]) == sorted(f"attention/{site}" for site in sites)
    for tag in tags["images"]:
        assert [image.step for image in found.Images(tag)] == [3, 6]
    assert [text.step for text in found.Tensors("predictions")] == [3, 6]
    table = found.Tensors("predictions")[0].tensor_proto.string_val[0].decode().splitlines()
    assert table[0].startswith("| source | target | prediction |") and len(table) == 2 + 3
    for tag in ("attention/entropy", "attention/largest_weight"):
        for event in found.Histograms(tag):
            assert event.histogram_value.num == sum(event.histogram_value.bucket) > 0


SITES = [("encoder", 0, "self"), ("encoder", 1, "self")]
SITES += [("decoder", layer, kind) for layer in (0, 1) for kind in ("self", "cross")]


def without_clocks(folder: Path) -> list[list[str]]:
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    kept = [i for i, name in enumerate(rows[0]) if not name.startswith("speed/")]
    return [[row[i] for i in kept] for row in rows]


def test_a_run_without_them_is_the_same_run_bit_for_bit(tmp_path: Path) -> None:
    with_, without = tmp_path / "with", tmp_path / "without"
    command = [*FEW, "attention=hard_reinforce", "model.dropout=0.3"]
    assert train([*command, f"runs_dir={with_}"], None) == 0
    assert train([*command, "~callbacks.maps", f"runs_dir={without}"], None) == 0
    (one,), (other,) = (
        sorted(path.parent for path in place.rglob("results.json")) for place in (with_, without)
    )
    assert one.name == other.name, "what only shows something is no part of a run's identity"
    assert without_clocks(one) == without_clocks(other)
    first, second = (json.loads((folder / "results.json").read_text()) for folder in (one, other))
    assert first == second
    states = [torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (one, other)]
    for name, value in states[0]["state_dict"].items():
        assert torch.equal(value, states[1]["state_dict"][name])
    assert "images" in events(one).Tags() and not events(other).Tags()["images"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "attention",
    [["attention=entmax_alpha"], ["attention=log_length", "attention.learned=true"], ["attention=sigmoid"]],
    ids=lambda words: words[0],
)
def test_selection_functions_with_numbers_of_their_own_are_trained_and_shown(
    attention: list[str], tmp_path: Path
) -> None:
    assert train([*FEW, *attention, f"runs_dir={tmp_path}"], None) == 0
    (folder,) = (path.parent for path in tmp_path.rglob("results.json"))
    assert events(folder).Tags()["images"] == ["attention/attention"]  # pyright: ignore


def test_its_settings_are_no_part_of_the_identity_and_those_of_others_are() -> None:
    plain = compose(FEW).tree
    assert identity(plain) == identity(compose([*FEW, "callbacks.maps.number=9"]).tree)
    assert identity(plain) != identity(compose([*FEW, "~callbacks.gradient_norms"]).tree)


def built(*overrides: str) -> Any:
    command: list[str] = [*FEW, *overrides]
    found = assemble(compose(command).tree)
    found.training.move(0)
    found.training.eval()
    return found


@pytest.mark.parametrize("attention", ["soft", "hard_reinforce", "hard_marginal", "hard_chain"])
def test_a_map_holds_the_weights_of_the_example_in_its_batch_whatever_is_padded(attention: str) -> None:
    """The probabilities of a padded batch, of a row, are those of the row alone."""
    made = built(f"attention={attention}")
    batch, names = next(iter(made.task.validation())), names_of(made.task)
    whole = read(made.model, batch, made.training.rule)
    lengths = (batch.source != PAD).sum(1)
    assert len(set(lengths.tolist())) > 1
    for row in range(len(lengths)):
        example = alone(batch, row)
        ((site, found),) = maps(
            made.model.sites, read(made.model, example, made.training.rule), example, names
        )
        steps, positions = example.target.size(1), example.source.size(1)
        probs = whole.sites[site].selection.probs[0, row, :steps, :positions]
        torch.testing.assert_close(found.weights[0], probs, rtol=1e-4, atol=1e-6)
        assert found.down == [names.target[s] for s in example.target[0].tolist()]
        assert found.across == [str(s) for s in example.source[0].tolist()]
        assert torch.equal(found.gold, example.gold[0])


def test_a_row_of_the_table_says_what_decoding_says() -> None:
    made = built()
    names = names_of(made.task)
    example = alone(next(iter(made.task.validation())), 1)
    shown = answer(made.model, example, made.training.rule, 8, names)
    assert shown.source == [str(s) for s in example.source[0].tolist()]
    assert shown.target == [str(s) for s in example.target[0, :-1].tolist()]
    assert len(shown.looked_at) == len(shown.said) <= 8
    assert all(1 <= place <= example.source.size(1) for place in shown.looked_at)
    right = shown._replace(said=shown.target)
    assert "| yes |" in _row(right) and "| no |" in _row(right._replace(said=["4", "|"]))


def test_examples_come_from_all_over_the_validation_and_stay_the_same() -> None:
    made, maps_ = built(), AttentionMaps(number=4)
    maps_._choose(made.task)
    every = [alone(batch, row) for batch in made.task.validation() for row in range(len(batch.source))]
    for example, index in zip(maps_.examples, (0, 2, 4, 6), strict=True):
        assert torch.equal(example.source, every[index].source)


# --- the picture ---


def cells(image: np.ndarray, map_: Map) -> Tensor:
    """Shades read back from the pixels in the middle of each cell of a picture with a single head, which is
    found by its frame."""
    grey = (image == 170).all(-1)
    rows, columns = (np.flatnonzero(grey.sum(axis) > 20) for axis in (1, 0))
    top, bottom, left, right = rows[0] + 1, rows[1], columns[0] + 1, columns[-1]
    steps, positions = map_.weights.shape[1:]
    high, wide = (bottom - top) / steps, (right - left) / positions
    found = torch.zeros(steps, positions, 3)
    for t in range(steps):
        for s in range(positions):
            found[t, s] = torch.tensor(image[int(top + (t + 0.5) * high), int(left + (s + 0.5) * wide)])
    return found


def test_darker_is_more_and_the_right_positions_are_outlined() -> None:
    weights = torch.tensor([[[0.0, 1.0, 0.0], [0.2, 0.3, 0.5]]])
    gold = torch.tensor([[False, False, True], [True, False, False]])
    shown = Map(weights, gold, ["a", "b"], ["x", "y", "z"])
    image = picture(shown, "attention")
    shades = cells(image, shown)
    assert (shades[0, 0] == 255).all() and torch.equal(shades[0, 1], torch.tensor(BLUE).float())
    order = shades.sum(-1).flatten()
    assert torch.equal(order.argsort(descending=True, stable=True), weights.flatten().argsort(stable=True))
    outlined = (image == RIGHT).all(-1)
    none = picture(shown._replace(gold=torch.zeros_like(gold)), "attention")
    assert outlined.sum() > (none == RIGHT).all(-1).sum() > 0, "the scale says what the outline means"


@pytest.mark.parametrize(
    ("heads", "steps", "positions"), [(1, 2, 1), (1, 11, 10), (4, 61, 60), (8, 12, 12), (3, 4, 300)]
)
def test_pictures_of_any_size_are_drawn_and_stay_small_where_they_can(
    heads: int, steps: int, positions: int
) -> None:
    weights = torch.full((heads, steps, positions), 1 / positions)
    names = [f"symbol {i}" for i in range(max(steps, positions))]
    map_ = Map(weights, torch.zeros(steps, positions, dtype=torch.bool), names[:steps], names[:positions])
    image = picture(map_, "a site")
    assert image.dtype == np.uint8 and image.shape[-1] == 3
    assert image.shape[1] < 420 or positions * heads > 60


def test_letters_that_the_font_lacks_are_told_by_their_number() -> None:
    weights, gold = torch.ones(1, 1, 1), torch.zeros(1, 1, dtype=torch.bool)

    def drawn(symbol: str) -> np.ndarray:
        return picture(Map(weights, gold, [symbol], ["x"]), "")

    assert drawn("\uac00").shape == drawn("AC00").shape and (drawn("\uac00") == drawn("AC00")).all()
    assert not np.array_equal(drawn("\u0639"), drawn("639")), "Arabic is there"
