"""What is timed is the same work on both sides, and a ratio is what it says."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.benchmarking import program, words
from attnlab.benchmarking.beside import BLOCK, beside
from attnlab.benchmarking.gauge import gauge, interleaved
from attnlab.benchmarking.peak import resident
from attnlab.benchmarking.processes import said, until
from attnlab.benchmarking.sections import arithmetic, plain, trainer
from attnlab.benchmarking.sections.compare import multiply
from attnlab.benchmarking.steps import plain_loop
from attnlab.building import Built, build
from attnlab.comparison import load_runs
from attnlab.models.model import taken_by, token_losses
from attnlab.randomness import Randomness
from attnlab.tasks.batch import PAD

SIZES = [
    "model.embedding_size=5",
    "model.hidden_size=6",
    "model.readout_size=7",
    "batch_size=4",
    "task.shortest=2",
    "task.longest=9",
]
MADE_BEFORE = Path(__file__).parents[1] / "runs" / "made_before"


@pytest.mark.parametrize(
    "mechanism",
    [["soft"], ["hard_exact"], ["hard_reinforce", "attention.baseline=moving_average"]],
    ids=lambda words: words[0],
)
def test_a_plain_loop_takes_the_steps_of_a_trainer_bit_for_bit(mechanism: list[str], tmp_path: Path) -> None:
    steps = 2 * BLOCK + 1
    name, *others = mechanism
    overrides = [f"attention={name}", *others, *SIZES, "model.dropout=0.3", f"trainer.max_steps={steps}"]
    ours, theirs = build(overrides), build(overrides)
    loop, taken = plain_loop(theirs), []

    def noted(position: int) -> None:
        taken.append(position)
        loop(position)

    begun = [value.clone() for value in theirs.model.parameters()]
    in_trainer, in_loop = beside(ours, noted, 1, tmp_path)
    loop(steps - 1)
    assert taken == list(range(steps - 1)) and len(in_trainer) == len(in_loop) == 1
    for one, other, first in zip(ours.model.parameters(), theirs.model.parameters(), begun, strict=True):
        assert torch.equal(one, other) and not torch.equal(one, first)


def with_parameters_of(built: Built, model: program.Seq2Seq) -> list[tuple[Tensor, Tensor]]:
    """Gives the plain program our parameters: pairs of theirs and ours."""
    ours: Any = built.model
    encoder, decoder, attention = ours.encoder, ours.decoder, ours.attention
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    pairs = [(getattr(model.encoder, name), getattr(encoder.forwards[0], name)) for name in names]
    pairs += [
        (getattr(model.encoder, f"{name}_reverse"), getattr(encoder.backwards[0], name)) for name in names
    ]
    pairs += [(getattr(model.decoder, name), getattr(decoder.layers[0], name)) for name in names]
    parts = [
        (model.source, encoder.embedding),
        (model.target, decoder.embedding),
        (model.key, attention.project),
        (model.from_state, decoder.from_state),
        (model.from_context, decoder.from_context),
        (model.output, decoder.output),
    ]
    for one, other in parts:
        pairs += zip(one.parameters(), other.parameters(), strict=True)
    assert len(pairs) == len(list(model.parameters())) == len(list(built.model.parameters()))
    with torch.no_grad():
        for one, other in pairs:
            one.copy_(other)
    return pairs


@pytest.mark.parametrize(("mechanism", "theirs", "samples"), plain.SIDES)
def test_the_plain_program_has_our_surrogate_and_its_gradient(
    mechanism: str, theirs: str, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = [f"attention.samples={samples}"] * bool(samples)
    built = build([f"attention={mechanism}", *drawn, *SIZES])
    built.training.double()
    sizes = built.task.source_symbols, built.task.target_symbols
    model = program.Seq2Seq(*sizes, 5, 6, 7, 0.0).double()
    pairs = with_parameters_of(built, model)
    batch = built.task.train(0)
    assert (batch.source == PAD).any() and (batch.target == PAD).any()

    randomness = Randomness(torch.Generator().manual_seed(0))
    taken = taken_by(built.model, batch, built.mechanism.selector, randomness)
    losses, valid = token_losses(taken.logits, batch.target), batch.target != PAD
    ours = built.mechanism.estimator(losses, taken, valid).loss.sum() / valid.sum()
    ours.backward()
    if samples:  # the same draws
        positions = taken.sites["attention"].selection.weights.argmax(-1)
        monkeypatch.setattr(program, "draws", lambda log_probs, number: positions)
    other = program.loss(model, theirs, batch.source, batch.target, samples)
    other.backward()
    if not samples:  # REINFORCE's has no value of its own
        torch.testing.assert_close(ours, other)
    for one, another in pairs:
        torch.testing.assert_close(one.grad, another.grad, atol=1e-12, rtol=1e-9)
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one, _ in pairs)


def test_the_plain_program_draws_positions_by_their_probabilities() -> None:
    torch.manual_seed(0)
    probs = torch.tensor([[[0.1, 0.2, 0.7, 0.0]], [[0.0, 0.5, 0.25, 0.25]]])  # B T S
    drawn = program.draws(probs.log(), 20_000)
    shares = torch.stack([(drawn == position).double().mean(0) for position in range(4)], -1)
    assert drawn.shape == (20_000, 2, 1) and (shares - probs).abs().max() < 4 * math.sqrt(0.25 / 20_000)


def test_operations_are_those_of_every_matrix_product() -> None:
    """Counted by hand: each product once forward, and twice backward."""
    built = build(["attention=hard_exact", *SIZES])
    (rows, source), (_, target) = (part.shape for part in built.task.train(0)[:2])
    lstm = 4 * 6 * (5 + 6)
    once = (2 * source + target) * lstm + source * 12 * (6 + 7) + target * (6 * source + 6 * 7)
    readout = source * target * 7 * built.task.target_symbols
    context = source * source * 7  # one-hot weights, without a gradient of their own
    assert arithmetic.operations(built, 0) == 2 * rows * (3 * once + 3 * readout + 2 * context)


def test_sides_take_turns_the_other_way_round_in_every_second_round() -> None:
    called: list[str] = []
    found = interleaved([lambda side=side: called.append(side) for side in "abc"], 3)
    assert "".join(called) == "abc" + "abc" + "cba" + "abc"
    assert [len(side) for side in found] == [3, 3, 3] and all(value > 0 for side in found for value in side)


def test_a_ratio_is_taken_round_by_round() -> None:
    """In a busy round both are slower; the ratio of the medians would be 3 / 2."""
    found = gauge("one", [3.0, 60.0, 2.0], "other", [1.0, 20.0, 2.0], "ms", 1000.0)
    assert found == ("one", 3.0, 2.0, 3.0, "other", 2000.0, "ms")
    assert gauge("one", [4.0], "other", [2.0], "s")[1:4] == (2.0, 2.0, 2.0)


def test_words_make_batches_of_the_published_sizes(tmp_path: Path) -> None:
    built = build(words.write(tmp_path))
    sizes, task = built.config["model"], built.task
    assert (sizes["embedding_size"], sizes["hidden_size"], sizes["readout_size"]) == (100, 200, 600)
    assert task.steps_per_epoch == words.EXAMPLES // 20 and 50 <= task.source_symbols <= 70
    widths = [[part.size(1) for part in task.train(step)[:2]] for step in range(task.steps_per_epoch)]
    source, target = torch.tensor(widths, dtype=torch.float64).mean(0).tolist()
    assert 12 < source < 15 and 10 < target < 13


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        said(["-c", "raise SystemExit('no such thing')"], tmp_path)
    with pytest.raises(RuntimeError, match="never said 'done', and ended with 'half way'"):
        until("done", ["-c", "print('half way')"], tmp_path)


def test_the_processor_is_counted_up_to_a_line_and_not_the_clock(tmp_path: Path) -> None:
    waits = "import time; time.sleep(0.5); print('done', flush=True); time.sleep(60)"
    works = "import time\nwhile time.process_time() < 0.5: pass\nprint('done', flush=True); time.sleep(60)"
    assert 0 < until("done", ["-c", waits], tmp_path) < 0.5 <= until("done", ["-c", works], tmp_path) < 5


def test_the_peak_of_memory_is_remembered_when_it_is_free_again() -> None:
    before = resident("VmHWM")
    held = torch.ones(resident("VmHWM") // 4 + 2**24)  # of 4 bytes, so that the peak moves by all of it
    size = 4 * len(held)
    del held
    assert resident("VmHWM") >= size and resident("VmHWM") >= before
    assert resident("VmRSS") < resident("VmHWM")


def test_copies_of_a_run_are_runs_of_other_seeds_in_ten_groups(tmp_path: Path) -> None:
    (status,) = MADE_BEFORE.rglob("status.json")
    multiply(status.parent, tmp_path / "copies", 30)
    runs = load_runs(tmp_path / "copies")
    assert len(runs) == 30 and {run.problem for run in runs} == {""}
    assert len({run.identity for run in runs}) == 30 and {run.seed for run in runs} == {0, 1, 2}
    assert {run.config["attention"]["beta"] for run in runs} == {1.0 + group for group in range(10)}


@pytest.mark.slow
def test_steps_in_a_trainer_take_about_as_long_as_without_one() -> None:
    """Ratios of processor time, both sides in turn; what is aimed at stands in docs/speed.md."""
    assert max(one.ratio for one in trainer.gauges(6)) < 1.3
    assert min(one.ratio for one in plain.gauges(6)) > 0.77
