"""What every file under configs/ must keep: adding a mechanism, score, task or model is one Python file and
one yaml."""

import functools
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from enumeration import PLACES, choose, file_of, names

import attnlab
from attnlab.building import assemble
from attnlab.config.checking import HANDED, ROOT
from attnlab.config.choice_files import settings_in
from attnlab.config.composing import compose
from attnlab.config.help import keys_page
from attnlab.config.places import CONFIGS
from attnlab.config.signatures import facts_of, settings_of
from attnlab.config.trainer import OFFERED, OWNED
from attnlab.config.trust import EVERYTHING
from attnlab.models.model import taken_by, token_losses
from attnlab.randomness import Randomness, generator_for

FILES = sorted(
    path
    for group in ("attention", "score", "task", "model", "optimizer")
    for place in PLACES
    for path in (place / group).glob("[!_]*.yaml")
)
TINY = ["model.hidden_size=6", "model.embedding_size=5", "model.readout_size=7", "batch_size=3"]


@functools.cache
def plain_tree() -> dict[str, Any]:
    return compose(TINY).tree


def chosen(**groups: str) -> dict[str, Any]:
    """A small configuration with other choices, put together without Hydra, which would take most of the
    time."""
    tree = plain_tree() | {group: settings_in(file_of(group, name)) for group, name in groups.items()}
    return tree | {
        "model": tree["model"]
        | {key: plain_tree()["model"][key] for key in ("hidden_size", "embedding_size")}
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_yaml_holds_the_settings_of_the_factory_of_its_name(path: Path) -> None:
    settings = settings_in(path)
    module, _, name = settings.pop("_target_").rpartition(".")
    assert name == path.stem or path.parent.name == "optimizer"
    assert set(settings) == set(settings_of(f"{module}.{name}", HANDED[path.parent.name]))
    assert getattr(import_module(module), name).__doc__


def test_every_argument_of_lightnings_trainer_is_offered_or_owned() -> None:
    settings = settings_in(CONFIGS / "trainer" / "default.yaml")
    assert set(settings) - {"_target_"} == set(OFFERED)
    assert sorted([*OFFERED, *OWNED]) == sorted(settings_of(settings["_target_"]))


def test_the_root_keys_are_those_with_rules() -> None:
    settings = settings_in(CONFIGS / "train.yaml")
    assert set(settings) - {"defaults", "hydra"} == set(ROOT)


@pytest.mark.parametrize("attention", names("attention"))
@pytest.mark.parametrize("score", names("score"))
@pytest.mark.parametrize(
    "model",
    # the Transformer, which chooses in many places, has tests of its own
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name == "gru"))
        for name in names("model")
        if "embedding_size" in settings_in(file_of("model", name))
    ],
)
def test_every_combination_trains_every_parameter(attention: str, score: str, model: str) -> None:
    built = assemble(chosen(attention=attention, score=score, model=model), EVERYTHING)
    batch = built.task.train(0)
    randomness = Randomness(generator_for(0, "test"))
    taken = taken_by(built.model, batch, built.mechanism.selector, randomness)
    losses = token_losses(taken.logits, batch.target)
    surrogate = built.mechanism.estimator(losses, taken, batch.target != 0)
    surrogate.loss.sum().backward()
    for name, parameter in built.model.named_parameters():
        # controls, which no score enters
        if attention in ("uniform", "oracle") and name.startswith("attention."):
            assert parameter.grad is None
            continue
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("attention", names("attention"))
def test_the_facts_of_a_mechanism_are_those_read_from_its_source(attention: str) -> None:
    node = chosen(attention=attention)["attention"]
    facts, read = (
        assemble(chosen(attention=attention), EVERYTHING).mechanism.facts,
        facts_of(node["_target_"]),
    )
    assert read is not None and facts == read.at(node)
    page = " ".join(keys_page(choose("attention", attention), ("attention",)).split())
    assert all(words in page for words in (f"Paper: {facts.paper}.", f"Objective: {facts.objective}"))


@pytest.mark.parametrize("attention", names("attention"))
def test_initial_parameters_and_data_are_the_same_for_all_mechanisms(attention: str) -> None:
    one, other = (assemble(chosen(attention=name) | {"seed": 3}, EVERYTHING) for name in ("soft", attention))
    parameters = dict(other.model.named_parameters())
    assert all(torch.equal(value, parameters[name]) for name, value in one.model.named_parameters())
    assert all(map(torch.equal, one.task.train(5), other.task.train(5)))


def parameters(overrides: list[str]) -> dict[str, torch.Tensor]:
    return dict(attnlab.build([*TINY, *overrides]).model.named_parameters())


@pytest.mark.parametrize("score", names("score"))
def test_one_seed_is_one_start_across_scores(score: str) -> None:
    one, other = (parameters([f"score={name}", "seed=3"]) for name in ("dot", score))
    assert {name.partition(".")[0] for name in one} == {"encoder", "attention", "decoder"}
    assert all(value.equal(other[name]) for name, value in one.items())
    assert (len(other) > len(one)) == (score in ("general", "additive"))


@pytest.mark.parametrize("change", ["model=gru", "model.layers=2"])
def test_one_seed_is_one_start_across_models_where_shapes_agree(change: str) -> None:
    one, other = parameters(["seed=3"]), parameters(["seed=3", change])
    agreeing = [name for name in one if one[name].shape == other[name].shape]
    assert {"encoder.embedding.weight", "decoder.embedding.weight", "decoder.output.weight"} < set(agreeing)
    assert all(one[name].equal(other[name]) for name in agreeing)


def test_no_two_parts_start_the_same() -> None:
    some = [value.flatten()[10:20] for value in parameters(["score=additive"]).values() if value.ndim == 2]
    some = torch.stack([value / value.norm() for value in some if len(value) == 10])
    assert len(some) > 10 and (some @ some.T - torch.eye(len(some))).abs().max() < 0.999  # whatever the scale


def test_build_gives_the_configured_objects() -> None:
    built = attnlab.build(["attention=hard_reinforce", "attention.samples=3", *TINY])
    assert built.attention is built.model.attention and built.attention.selector is built.mechanism.selector
    assert built.mechanism.facts.objective == "expected" and built.task.longest_target == 11
    assert built.config["attention"]["samples"] == 3
