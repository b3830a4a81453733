"""The Transformer against torch's own layers with the same weights, and its choices against every path."""

import json
from typing import Any

import pytest
import torch
from seldom import seldom
from test_sites import TARGET, VALID, Small, averaged, exact, losses_of
from torch import Tensor, nn

from attnlab.building import assemble
from attnlab.cli.evaluate import evaluate
from attnlab.cli.train import train
from attnlab.config.composing import choices, compose
from attnlab.core.attention import Attention
from attnlab.core.baselines import baseline_class
from attnlab.core.distributions import Softmax
from attnlab.core.estimators import Reinforce
from attnlab.core.interfaces import Choose, Pass, Reach
from attnlab.core.scores import scaled_dot
from attnlab.core.selectors import Draws, Mixture
from attnlab.models.heads import Side
from attnlab.models.model import shifted, taken_by
from attnlab.models.transformer import Transformer, chosen_by, transformer
from attnlab.randomness import Randomness
from attnlab.tasks.batch import EOS, PAD, Batch

SOURCE = torch.tensor([[4, 6, 5, 7], [5, 4, PAD, PAD], [7, PAD, PAD, PAD]])
ANSWER = torch.tensor([[5, 4, 6, EOS], [6, EOS, PAD, PAD], [EOS, PAD, PAD, PAD]])
BATCH = Batch(SOURCE, ANSWER, torch.zeros(3, 1, 4, dtype=torch.bool))
SOFT = Mixture(Softmax(1.0).double())


def make(choose: str | list[str] = "last", positions: str = "learned", **sizes: Any) -> Transformer:
    """A small one in double precision, with weights that are large enough to matter."""
    torch.manual_seed(3)
    sizes = {"hidden_size": 8, "heads": 2, "layers": 2, "dropout": 0.0, "longest": 9, **sizes}

    def attention(query_size: int, state_size: int | None) -> Attention:
        return Attention(scaled_dot(query_size, query_size), SOFT)

    net = transformer(8, 8, attention, choose=choose, positions=positions, **sizes)  # pyright: ignore
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.5)
    return net.double().eval()


def logits(net: Transformer, batch: Batch = BATCH) -> Tensor:
    return taken_by(net, batch, SOFT, Randomness(None)).logits[0]


def layer_of(side: Side, net: Transformer, name: str, layer: int) -> Any:
    """torch's layer with the same weights."""
    kinds: Any = {"encoder": nn.TransformerEncoderLayer, "decoder": nn.TransformerDecoderLayer}
    made = kinds[name](8, 2, 32, 0.0, "gelu", batch_first=True, norm_first=True).double().eval()
    blocks = {"self": made.self_attn} | ({"cross": made.multihead_attn} if name == "decoder" else {})
    with torch.no_grad():
        for kind, block in blocks.items():
            heads = net._heads(side, f"{name}.{layer}.{kind}")
            parts = (heads.query, heads.key, heads.value)
            block.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
            block.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
            block.out_proj.load_state_dict(heads.output.state_dict())
        norms: Any = side.norms[layer]
        for number, norm in enumerate(norms, 1):
            getattr(made, f"norm{number}").load_state_dict(norm.state_dict())
        feed: Any = side.feeds[layer]
        made.linear1.load_state_dict(feed[0].state_dict())
        made.linear2.load_state_dict(feed[2].state_dict())
    return made


@pytest.mark.parametrize("choose", ["last", "all"])
def test_with_soft_attention_it_is_the_model_of_torchs_own_layers(choose: str) -> None:
    net = make(choose)
    nothing = SOURCE == PAD
    x = net.encoder.embed(SOURCE, 0)[0]
    for layer in range(2):
        x = layer_of(net.encoder, net, "encoder", layer)(x, src_key_padding_mask=nothing)
    memory, y = net.encoder.last(x), net.decoder.embed(shifted(ANSWER), 0)[0]
    later = torch.ones(4, 4, dtype=torch.bool).triu(1)
    for layer in range(2):
        decoder = layer_of(net.decoder, net, "decoder", layer)
        y = decoder(y, memory, tgt_mask=later, memory_key_padding_mask=nothing)
    output: Any = net.decoder.output
    torch.testing.assert_close(logits(net), output(net.decoder.last(y)), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize("choose", ["last", "all"])
def test_step_by_step_is_all_at_once_and_padding_is_nothing(positions: str, choose: str) -> None:
    net = make(choose, positions)
    choose_softly: Choose = lambda site, inputs: SOFT(inputs, Randomness(None))  # noqa: E731
    memory, _ = net.encode(SOURCE, choose_softly, Randomness(None))
    state, steps = net.start(memory), []
    for previous in shifted(ANSWER).split(1, 1):
        taken, state = net.step(previous, state, memory, choose_softly, Randomness(None))
        steps.append(taken.logits[0])
    whole = logits(net)
    torch.testing.assert_close(torch.cat(steps, 1), whole, rtol=1e-10, atol=1e-10)
    row = Batch(*(x[1:2] for x in BATCH))._replace(source=SOURCE[1:2, :2], gold=BATCH.gold[1:2, :, :2])
    torch.testing.assert_close(logits(net, row)[0, :2], whole[1, :2], rtol=1e-10, atol=1e-10)
    other = BATCH._replace(source=SOURCE.flip(0))
    assert not torch.allclose(logits(net, other)[0], whole[0])


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_it_knows_where_symbols_stand(positions: str) -> None:
    net, swapped = make(positions=positions), SOURCE[:, [1, 0, 2, 3]]
    assert not torch.allclose(logits(net)[0], logits(net, BATCH._replace(source=swapped))[0])


class Chosen(Small):
    """A Transformer whose choices are few enough to go through, with padding in source and target."""

    def __init__(self, choose: str | list[str], choices: int, layers: int = 1, heads: int = 1):
        super().__init__()
        self.net = make(choose, hidden_size=4, heads=heads, layers=layers)
        self.sites, self.choices = self.net.sites, choices
        self.source = torch.tensor([[1, 2], [3, PAD]])

    def forward(self, choose: Choose) -> Pass:
        batch = Batch(self.source, TARGET, torch.zeros(2, 1, 2, dtype=torch.bool))
        return self.net(batch, choose, Randomness(None))


CASES: dict[str, tuple[Any, ...]] = {
    "cross attention, two layers of two heads": ("cross", 8, 2, 2),
    "self-attention of the decoder": ("self", 4, 2, 1),
    "the encoder, two layers": ("encoder", 4, 2, 1),
    "everywhere": ("all", 6, 1, 1),
    "a list": (["encoder.0.self", "decoder.1.cross"], 4, 2, 1),
}


def mean(net: Chosen, baseline: str, samples: int = 1) -> Tensor:
    made = baseline_class(baseline, samples)
    estimator = Reinforce(made)
    estimator.prepare(net.sites)
    for number, parameter in enumerate(estimator.double().parameters()):
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(number))

    def surrogate(chance: Tensor, taken: Pass) -> Tensor:
        return chance.detach() * estimator(losses_of(taken), taken, VALID).loss.sum(-1)

    selector = Draws(Softmax(1.0).double(), samples, made.controls)
    return averaged(net, selector, samples, 2, surrogate)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "baseline",
    ["learned", *(pytest.param(name, marks=pytest.mark.slow) for name in ("none", "self_critical"))],
)
def test_the_mean_over_every_path_is_the_gradient_of_the_expected_loss(case: str, baseline: str) -> None:
    net = Chosen(*CASES[case])
    right = exact(net, 2)
    assert right.norm() > 0.1
    torch.testing.assert_close(mean(net, baseline), right, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
def test_with_rollouts_too() -> None:
    net = Chosen("all", 6)
    torch.testing.assert_close(mean(net, "leave_one_out", 2), exact(net, 2), rtol=1e-10, atol=1e-10)


def test_a_reach_that_is_declared_too_short_is_noticed() -> None:
    """By little: the second layer's self-attention carries on what the first one chose."""
    net = Chosen(["decoder.0.cross"], 2, 2)
    short: Reach = "step"
    net.net.sites = net.sites = {name: place._replace(reach=short) for name, place in net.sites.items()}
    right, found = exact(net, 2), mean(net, "none")
    assert (found - right).norm() > 1e-5 * right.norm()


LIST = "[encoder.1.self,decoder.0.cross]"
TINY = "model=transformer model.hidden_size=8 model.heads=2 batch_size=3 task.longest=5".split()
REFUSED = {"rebar", "vimco", "unordered_set", "sum_and_sample", "hard_marginal", "hard_chain"}
REFUSED |= {name for name in choices("attention") if name.endswith(("_exact", "_expected"))}


@pytest.mark.parametrize("attention", choices("attention"))
@pytest.mark.parametrize("where", seldom(["last", "all", "self", "encoder", LIST], "all"))
def test_every_mechanism_trains_every_parameter_in_every_place_that_its_reach_allows(
    attention: str, where: str
) -> None:
    rule = "argmax" if attention.startswith("variational") else "same"  # which reads several heads as well
    tree = compose([*TINY, f"attention={attention}", f"model.choose={where}", f"evaluate_as={rule}"]).tree
    if attention.startswith("variational") and where != "last":
        with pytest.raises(ValueError, match="infers which position of the source|must be the only one"):
            assemble(tree)
        return
    if attention in REFUSED:
        with pytest.raises(ValueError, match="must be the only one"):
            assemble(tree)
        return
    built = assemble(tree)
    built.training.move(0)
    batch = built.task.train(0)
    selector, estimator = built.mechanism.selector, built.training.estimator
    taken = taken_by(built.model, batch, selector, Randomness(torch.Generator().manual_seed(0)))
    losses = nn.functional.cross_entropy(
        taken.logits.flatten(0, -2), batch.target.expand(taken.logits.shape[:-1]).flatten(), reduction="none"
    ).view(taken.logits.shape[:-1])
    estimator(losses, taken, batch.target != PAD).loss.sum().backward()
    for name, parameter in built.model.named_parameters():
        gradient = parameter.grad
        assert gradient is None or gradient.isfinite().all()
        # a bias of keys moves all scores of a row alike, and controls look at none
        if attention not in ("uniform", "oracle") and not name.endswith("key.bias"):
            assert gradient is not None and gradient.any(), name


@pytest.mark.parametrize(
    "attention", seldom(["hard_marginal", "hard_chain", "hard_exact", "rebar", "unordered_set"], "rebar")
)
def test_what_tries_positions_step_by_step_works_in_a_single_head(attention: str, tmp_path: Any) -> None:
    alone = [*TINY, "model.heads=1", f"attention={attention}", "trainer.max_steps=3"]
    few = ["task.steps_per_epoch=3", "task.validation_examples=5", "task.test_examples=5"]
    assert train([*alone, *few, f"runs_dir={tmp_path}"], None) == 0


@pytest.mark.parametrize("where", seldom(["self", "encoder", "[encoder.0.self,decoder.1.cross]"], "self"))
def test_a_model_that_chooses_elsewhere_is_trained_and_examined_too(where: str, tmp_path: Any) -> None:
    few = [
        "task.steps_per_epoch=2",
        "task.validation_examples=5",
        "task.test_examples=5",
        "trainer.max_steps=2",
    ]
    assert train([*TINY, *few, f"model.choose={where}", f"runs_dir={tmp_path}"], None) == 0
    (results,) = tmp_path.rglob("results.json")
    assert ("val/alignment_accuracy" in json.loads(results.read_text())) == ("cross" in where)
    assert evaluate([str(results.parent), "evaluate_as=argmax"], None) == 0


def test_a_run_of_it_is_named_by_what_differs_from_its_own_defaults_and_is_evaluated(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    few = "trainer.max_steps=3 task.steps_per_epoch=3 task.validation_examples=5 task.test_examples=5".split()
    command = ["model=transformer", "model.heads=2", *few, f"runs_dir={tmp_path}"]
    assert train(command, None) == 0
    (status,) = tmp_path.rglob("status.json")
    named = status.parent.name
    assert "model=transformer" in named and "hidden_size" not in named
    assert evaluate([str(status.parent), "task.shortest=12", "task.longest=20"], None) == 0
    assert evaluate([str(status.parent), "evaluate_as=marginal"], None) == 2
    assert "evaluate_as=soft or argmax goes anywhere" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("model.choose=nothing", "must be one or a list of last, cross, self"),
        ("model.choose=[]", "must name an attention"),
        ("model.choose=[decoder.7.cross]", "must be one or a list of"),
        ("model.heads=3", "must be the width of 3 heads, got 64"),
        ("model.longest=5", "model.longest must be at least 22 for these data"),
        ("attention=hard_exact", "must be the only one, of one head"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_made(
    typed: str, told: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(["model=transformer", typed, f"runs_dir={tmp_path / 'runs'}"], None) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert told in error and "Traceback" not in error and not (tmp_path / "runs").exists()


def test_names_of_attentions_are_those_of_a_pass() -> None:
    assert chosen_by("all", 1) == ["encoder.0.self", "decoder.0.self", "decoder.0.cross"]
    assert chosen_by(["cross", "encoder.1.self"], 2) == [
        "encoder.1.self",
        "decoder.0.cross",
        "decoder.1.cross",
    ]
