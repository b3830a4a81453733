"""The model as a whole: step by step equals all at once, padding is nothing, rows are apart, and torch
agrees."""

from typing import Any

import pytest
import torch
from enumeration import read
from torch import Tensor, nn

from attnlab.core.attention import Attention, attend
from attnlab.core.choosing import choosing
from attnlab.core.distributions import Softmax
from attnlab.core.interfaces import AttentionInput, Pass, Selection, Selector, Site
from attnlab.core.scores import Dot
from attnlab.core.selectors import Enumeration, Mixture
from attnlab.mechanisms.straight_through import ArgmaxStraightThrough
from attnlab.models.decoding import greedy
from attnlab.models.encoder import Encoder
from attnlab.models.model import Model, predict, shifted, taken_by
from attnlab.models.recurrent import Seq2Seq
from attnlab.randomness import Randomness
from attnlab.tasks.batch import BOS, EOS, PAD, SPECIAL, UNK, Batch

SELECTORS = {"soft": Mixture, "argmax": ArgmaxStraightThrough, "marginal": Enumeration}
SOURCE_SYMBOLS, TARGET_SYMBOLS = 11, 13
B, T, S = 3, 4, 5
SOURCE = torch.tensor([[4, 10, 6, 7, 4], [8, 5, 9, PAD, PAD], [7, PAD, PAD, PAD, PAD]])
TARGET = torch.tensor([[12, 4, 9, EOS], [7, EOS, PAD, PAD], [EOS, PAD, PAD, PAD]])
BATCH = Batch(SOURCE, TARGET, torch.zeros(B, 1, S, dtype=torch.bool))
CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}


def free(seed: int = 0) -> Randomness:
    return Randomness(torch.Generator().manual_seed(seed))


def run(net: Seq2Seq, batch: Batch, seed: int = 0, selector: Selector | None = None) -> Pass:
    """A pass by the selector inside, or another."""
    return taken_by(net, batch, selector or net.attention.selector, free(seed))


def everything(taken: Pass) -> list[Tensor]:
    return [*site(taken).selection, site(taken).query, taken.logits]


def site(taken: Pass) -> Site:
    return taken.sites["attention"]


def make(
    model: str = "lstm",
    layers: int = 1,
    selector: str = "soft",
    dropout: float = 0.0,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    feeding: bool = False,
) -> Seq2Seq:
    """A small model with its weights doubled, so that a difference shows."""
    torch.manual_seed(seed)

    def attention(query_size: int, state_size: int) -> Attention:
        return Attention(Dot(1.0), SELECTORS[selector](Softmax(1.5)), nn.Linear(state_size, query_size))

    factory, settings = read("model", model)
    sizes = {
        "embedding_size": 3,
        "hidden_size": 7,
        "readout_size": 5,
        "layers": layers,
        "dropout": dropout,
        "input_feeding": feeding,
    }
    assert sizes.keys() == settings.keys()
    net: Seq2Seq = factory(SOURCE_SYMBOLS, TARGET_SYMBOLS, attention, **sizes)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)
    return net.to(dtype).eval()


def logits(net: Seq2Seq, batch: Batch, seed: int = 0) -> Tensor:
    return run(net, batch, seed).logits


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


# --- step by step ---


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("model", sorted(CELLS))
def test_feeding_the_right_prefix_step_by_step_is_teacher_forcing(
    model: str, layers: int, selector: str, dtype: torch.dtype, tolerance: float
):
    net = make(model, layers, selector, dtype=dtype)
    choose = choosing(net.attention.selector, free(), net.sites, BATCH.gold)
    memory, _ = net.encode(SOURCE, choose, free())
    state, steps = net.start(memory), []
    for step in range(T):
        previous = TARGET[:, step - 1 : step] if step else torch.full((B, 1), BOS)
        taken, state = net.step(previous, state, memory, choose, free())
        steps.append(taken.logits)
    close(logits(net, BATCH), torch.cat(steps, 2), tolerance)
    one_by_one = Model.forward(net, BATCH, choose, free())  # the loop that other models have
    together = run(net, BATCH)
    for found, expected in zip(everything(one_by_one), everything(together), strict=True):
        close(found, expected.expand_as(found), tolerance)
    assert shifted(TARGET)[:, 0].eq(BOS).all() and shifted(TARGET)[:, 1:].equal(TARGET[:, :-1])


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("model", sorted(CELLS))
def test_a_symbol_influences_later_steps_and_no_earlier_one(model: str, selector: str):
    net = make(model, selector=selector)
    other = TARGET.clone()
    other[:, 1] = 5
    difference = (logits(net, BATCH) - logits(net, BATCH._replace(target=other))).abs().amax((0, 3))
    assert (difference[:, :2] == 0).all() and (difference[:, 2:] > 1e-6).all()


def generated(net: Seq2Seq, sources: Tensor, limit: int) -> Tensor:
    batch = Batch(
        sources, torch.zeros(len(sources), 1, dtype=torch.int64), torch.zeros_like(sources[:, None]).bool()
    )
    return greedy(net, batch, net.attention.selector, limit)


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("model", sorted(CELLS))
def test_generation_takes_the_best_symbol_given_its_own_prefix_up_to_eos_and_pads_behind(
    model: str, selector: str
):
    ends = []
    for seed in range(4):
        net = make(model, 2, selector, seed=seed)
        with torch.no_grad():  # large weights and a push towards EOS: sentences of many lengths
            for parameter in net.parameters():
                parameter.mul_(2)
            net.decoder.output.bias[EOS] += 4
            net.decoder.output.bias[[PAD, BOS, UNK]] += (
                50  # the best by far, and yet no symbols of a sentence
            )
        source = torch.randint(SPECIAL, SOURCE_SYMBOLS, (20, S), generator=torch.Generator().manual_seed(1))
        symbols = generated(net, source, 9)
        output = run(net, Batch(source, symbols, torch.zeros(20, 1, S, dtype=torch.bool)))
        allowed = [EOS, *range(SPECIAL, TARGET_SYMBOLS)]
        wanted = torch.tensor(allowed)[predict(output.logits, output.mass)[..., allowed].argmax(-1)]
        for row, right in zip(symbols.tolist(), wanted.tolist(), strict=True):
            end = row.index(EOS) if EOS in row else len(row)
            assert row[: end + 1] == right[: end + 1]
            assert row[end + 1 :] == [PAD] * len(row[end + 1 :])
            ends.append(end)
    assert len(set(ends)) > 2  # some sentences are shorter than others


def test_generation_stops_at_the_limit_or_when_all_have_ended():
    net = make()
    for bias, length in ((-100.0, 6), (100.0, 1)):
        with torch.no_grad():
            net.decoder.output.bias[EOS] = bias
        assert generated(net, SOURCE, 6).shape == (B, length)
    assert (generated(net, SOURCE, 6) == EOS).all()


class Recording(Selector):
    """Remembers the gold positions that it was shown."""

    def __init__(self, inner: Selector):
        super().__init__(inner.distribution)
        self.inner, self.seen = inner, []

    def forward(self, inputs: AttentionInput, randomness: Randomness) -> Selection:
        self.seen.append(inputs.gold[0])
        return self.inner(inputs, randomness)


def test_generation_shows_each_step_its_own_gold_positions_and_later_steps_none():
    net = make()
    gold = torch.rand(B, 2, S, generator=torch.Generator().manual_seed(0)) > 0.5
    recording = Recording(net.attention.selector)
    with torch.no_grad():
        net.decoder.output.bias[EOS] = -100
    greedy(net, BATCH._replace(gold=gold), recording, 4)
    assert torch.cat(recording.seen, 1).equal(torch.cat((gold, torch.zeros_like(gold)), 1))


# --- padding and rows ---


def padded(batch: Batch, source: int, target: int) -> Batch:
    pad = nn.functional.pad
    return Batch(pad(batch.source, (0, source)), pad(batch.target, (0, target)), pad(batch.gold, (0, source)))


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("model", sorted(CELLS))
def test_padding_changes_no_logit(model: str, layers: int, selector: str):
    net = make(model, layers, selector)
    short, long = run(net, BATCH), run(net, padded(BATCH, 3, 2))
    close(predict(long.logits, long.mass)[:, :T], predict(short.logits, short.mass))
    probs = site(long).selection.probs
    close(probs[..., :T, :S], site(short).selection.probs)
    assert (probs[..., S:] == 0).all()


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("model", sorted(CELLS))
def test_padding_gets_no_gradient(model: str, layers: int, selector: str):
    """Not even at what is embedded for it: the embedding of PAD itself never has one."""
    net, embedded = make(model, layers, selector).train(), []
    for part in (net.encoder, net.decoder):
        part.embedding.register_forward_hook(
            lambda module, given, result: result.retain_grad() or embedded.append(result)
        )
    output = run(net, BATCH)
    chosen = predict(output.logits, output.mass).gather(-1, TARGET[..., None])[..., 0]
    chosen[TARGET != PAD].sum().backward()
    source, previous = (result.grad for result in embedded)
    assert ((source != 0).any(-1) == (SOURCE != PAD)).all()
    assert ((previous != 0).any(-1) == (TARGET != PAD)).all()


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("model", sorted(CELLS))
def test_rows_of_a_batch_are_independent(model: str, selector: str):
    net = make(model, 2, selector)
    together = run(net, BATCH)
    for row in range(B):
        alone = run(net, Batch(*(tensor[row : row + 1] for tensor in BATCH)))
        close(together.logits[:, row : row + 1], alone.logits)
        close(site(together).query[:, row : row + 1], site(alone).query)
        close(site(together).selection.probs[:, row : row + 1], site(alone).selection.probs)


# --- parts against torch and against loops ---


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_the_encoder_is_the_packed_bidirectional_network_of_torch(cell: str, layers: int):
    torch.manual_seed(0)
    ours = Encoder(CELLS[cell], SOURCE_SYMBOLS, 3, 7, layers, 0.0).double()
    theirs = CELLS[cell](3, 7, num_layers=layers, bidirectional=True, batch_first=True).double()
    with torch.no_grad():
        for layer, (ahead, back) in enumerate(zip(ours.forwards, ours.backwards, strict=True)):
            for source, suffix in ((ahead, ""), (back, "_reverse")):
                for name, parameter in source.named_parameters():
                    getattr(theirs, name.replace("_l0", f"_l{layer}{suffix}")).copy_(parameter)
    mask = SOURCE != PAD
    packed = nn.utils.rnn.pack_padded_sequence(
        ours.embedding(SOURCE), mask.sum(1), batch_first=True, enforce_sorted=False
    )
    expected, _ = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    states = ours(SOURCE, mask, torch.Generator())
    close(states, expected)
    assert (states[~mask] == 0).all()


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_the_decoder_is_the_network_of_torch_over_bos_and_all_but_the_last_symbol(cell: str, layers: int):
    net = make(cell, layers)
    theirs = CELLS[cell](3, 7, num_layers=layers, batch_first=True).double()
    with torch.no_grad():
        for layer, source in enumerate(net.decoder.layers):
            for name, parameter in source.named_parameters():
                getattr(theirs, name.replace("_l0", f"_l{layer}")).copy_(parameter)
    previous = torch.tensor([[BOS, 12, 4, 9], [BOS, 7, EOS, PAD], [BOS, EOS, PAD, PAD]])
    close(site(run(net, BATCH)).query[0], theirs(net.decoder.embedding(previous))[0])


@pytest.mark.parametrize("selector", SELECTORS)
def test_logits_are_the_readout_of_state_and_context_by_hand(selector: str):
    net = make(selector=selector)
    output = run(net, BATCH)
    states = net.encoder(SOURCE, SOURCE != PAD, torch.Generator())
    part = net.decoder
    for k in range(len(output.logits)):
        for b in range(B):
            for t in range(T):
                weights = site(output).selection.weights.expand(-1, B, T, S)[k, b, t]
                context = sum(weights[s] * states[b, s] for s in range(S))
                hidden = (
                    part.from_state.weight @ site(output).query[0, b, t]
                    + part.from_state.bias
                    + part.from_context.weight @ context
                )
                close(output.logits[k, b, t], part.output.weight @ hidden.tanh() + part.output.bias)


def test_attend_is_the_weighted_sum_of_values():
    generator = torch.Generator().manual_seed(0)
    weights, values = torch.rand(2, 3, 5, 7, generator=generator), torch.rand(3, 7, 11, generator=generator)
    by_hand = (weights[..., None] * values[None, :, None]).sum(3)
    close(attend(weights, values), by_hand, 1e-6)
    assert attend(weights.bfloat16(), values).dtype == values.dtype


def test_attention_masks_once_and_a_selector_handed_in_replaces_its_own():
    net = make(selector="soft")
    hard = ArgmaxStraightThrough(Softmax(1.0).double())
    weights = site(run(net, BATCH, selector=hard)).selection.weights
    assert ((weights == 0) | (weights == 1)).all()
    own = site(run(net, BATCH)).selection.weights
    assert not ((own == 1) | (own == 0))[0, 0].any()
    assert (weights.argmax(-1)[0] <= torch.tensor([[4], [2], [0]])).all()


def test_predict_mixes_probabilities_over_alternatives_by_their_mass():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(4, 2, 3, 5, generator=generator, dtype=torch.float64)
    mass = torch.cat((torch.rand(3, 2, 3, generator=generator, dtype=torch.float64), torch.zeros(1, 2, 3)))
    mass = mass / mass.sum(0)
    by_hand = sum(mass[k, ..., None] * torch.softmax(scores[k], -1) for k in range(3))
    assert isinstance(by_hand, Tensor)
    close(predict(scores, mass), by_hand.log())
    close(predict(scores, mass).exp().sum(-1), torch.ones(2, 3, dtype=torch.float64))


# --- dropout ---


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("model", sorted(CELLS))
def test_dropout_is_a_function_of_the_generator_and_off_in_evaluation(model: str, layers: int):
    net = make(model, layers, dropout=0.5)
    plain = make(model, layers, dropout=0.0)
    assert logits(net, BATCH, 1).equal(logits(plain, BATCH, 2))
    net.train()
    assert logits(net, BATCH, 1).equal(logits(net, BATCH, 1))
    assert not logits(net, BATCH, 1).equal(logits(net, BATCH, 2))
    assert logits(plain.train(), BATCH, 1).equal(logits(plain, BATCH, 2))


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("model", sorted(CELLS))
def test_dropout_acts_before_every_recurrent_layer(model: str, layers: int, monkeypatch: pytest.MonkeyPatch):
    net, given = make(model, layers, dropout=0.25).train(), []
    record: Any = lambda x, rate, generator: given.append((x.size(-1), rate)) or x  # noqa: E731
    monkeypatch.setattr("attnlab.models.encoder.dropout", record)
    monkeypatch.setattr("attnlab.models.decoder.dropout", record)
    logits(net, BATCH)
    widths = [3, *[14] * (layers - 1), 3, *[7] * (layers - 1)]
    assert given == [(width, 0.25) for width in widths]
