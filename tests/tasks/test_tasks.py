"""Every synthetic task on disk: reproducible, apart, and right by a slow check of each example's
definition."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from enumeration import names, read

from attnlab.randomness import derive
from attnlab.tasks.batch import EOS, PAD, SPECIAL, Batch

TASKS = [name for name in names("task") if "???" not in read("task", name)[1].values()]


def make(name: str, seed: int = 0, batch_size: int = 7, **settings: Any) -> Any:
    factory, defaults = read("task", name)
    return factory(seed, batch_size, **{**defaults, **settings})


def same(one: Batch, other: Batch) -> bool:
    return all(x.equal(y) for x, y in zip(one, other, strict=True))


def together(batches: Iterator[Batch]) -> Batch:
    return Batch(*(torch.cat(tensors) for tensors in zip(*batches, strict=True)))


# --- definitions: source symbols without padding -> target symbols without EOS, and the right positions of
# each ---

Definition = Callable[[list[int], dict[str, Any]], tuple[list[int], list[set[int]]]]


def copy(source: list[int], settings: dict[str, Any]) -> tuple[list[int], list[set[int]]]:
    return list(source), [{position} for position in range(len(source))]


def reverse(source: list[int], settings: dict[str, Any]) -> tuple[list[int], list[set[int]]]:
    return list(reversed(source)), [{position} for position in reversed(range(len(source)))]


def sort(source: list[int], settings: dict[str, Any]) -> tuple[list[int], list[set[int]]]:
    ordered = sorted(source)
    return ordered, [
        {position for position, other in enumerate(source) if other == symbol} for symbol in ordered
    ]


def lookup(source: list[int], settings: dict[str, Any]) -> tuple[list[int], list[set[int]]]:
    end = 2 * settings["pairs"]
    where = {key: 2 * index + 1 for index, key in enumerate(source[:end:2])}
    assert len(where) == settings["pairs"], "keys are distinct"
    assert not where.keys() & set(source[1:end:2]), "keys and values have no symbol in common"
    return [source[where[query]] for query in source[end:]], [{where[query]} for query in source[end:]]


def max_retrieval(source: list[int], settings: dict[str, Any]) -> tuple[list[int], list[set[int]]]:
    *others, largest = sorted(source)
    assert not others or largest - others[-1] >= settings["gap"], "the largest leads"
    return [largest], [{source.index(largest)}]


def majority(source: list[int], settings: dict[str, Any]) -> tuple[list[int], list[set[int]]]:
    (winner,) = {symbol for symbol in source if 2 * source.count(symbol) > len(source)}
    assert source.count(winner) == len(source) // 2 + 1, "by as little as there can be"
    return [winner], [set()]


DEFINITIONS: dict[str, Definition] = {
    "copy": copy,
    "reverse": reverse,
    "sort": sort,
    "lookup": lookup,
    "max_retrieval": max_retrieval,
    "majority": majority,
}
SINGLE = ("max_retrieval", "majority")
"""Their target is a single symbol."""
PREFIX = {"lookup": lambda settings: 2 * settings["pairs"]}
"""Source symbols that come before what the target is made from."""


def examples(name: str, task: Any) -> Iterator[tuple[list[int], list[int], list[set[int]]]]:
    """(source, target, right positions) of 300 training examples and of the exams, padding taken off."""
    batches = [*(task.train(step) for step in range(43)), *task.validation(), *task.test()]
    for batch in batches:
        for source, target, gold in zip(*batch, strict=True):
            yield source.tolist(), target.tolist(), [set(row.nonzero()[:, 0].tolist()) for row in gold]


@pytest.mark.parametrize("name", TASKS)
def test_targets_and_gold_positions_are_right_for_every_example(name: str):
    task, settings = make(name, validation_examples=260, test_examples=20), read("task", name)[1]
    lengths = set()
    for source, target, gold in examples(name, task):
        n, m = len(source) - source.count(PAD), target.index(EOS)
        expected, positions = DEFINITIONS[name](source[:n], settings)
        assert source[n:] == [PAD] * (len(source) - n), "padding lies at the end"
        assert target == [*expected, EOS, *[PAD] * (len(target) - m - 1)]
        assert gold == [*positions, *[set()] * (len(gold) - m)], "EOS and padding have no gold"
        assert all(position < n for row in gold for position in row), "gold lies inside the source"
        assert (
            min(source[:n]) >= SPECIAL
            and max(source) < task.source_symbols
            and max(target) < task.target_symbols
        )
        lengths.add(n - PREFIX.get(name, lambda settings: 0)(settings))
        assert m + 1 <= task.longest_target
    assert lengths == set(range(settings["shortest"], settings["longest"] + 1))


@pytest.mark.parametrize("name", TASKS)
def test_every_symbol_of_the_vocabulary_occurs(name: str):
    task = make(name, batch_size=2000)
    source, target, _ = task.train(0)
    assert set(source.unique().tolist()) == {PAD, *range(SPECIAL, task.source_symbols)}
    ends = {EOS} if name in SINGLE else {PAD, EOS}
    assert ends <= set(target.unique().tolist()) <= {*ends, *range(SPECIAL, task.target_symbols)}


# --- streams ---


@pytest.mark.parametrize("name", TASKS)
def test_a_training_batch_is_a_function_of_seed_and_step_alone(name: str):
    task, again = make(name, seed=3), make(name, seed=3)
    in_order = [task.train(step) for step in range(5)]
    list(task.validation())
    torch.rand(1)
    for step in (4, 0, 2, 3, 1):
        assert same(again.train(step), in_order[step])
    assert len(in_order[0].source) == 7


@pytest.mark.parametrize("name", TASKS)
def test_other_steps_and_other_seeds_give_other_examples(name: str):
    batches = [make(name, seed=seed).train(step) for seed in range(3) for step in range(4)]
    assert all(not same(one, other) for i, one in enumerate(batches) for other in batches[:i])


@pytest.mark.parametrize("name", TASKS)
def test_training_validation_and_test_share_no_stream(name: str):
    streams: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for seed in range(3):
        task = make(name, seed=seed, validation_examples=1100, test_examples=1100)
        generate, current = task.generate, streams["train"]

        def record(generator: torch.Generator, count: int, generate: Any = generate) -> Batch:
            current.append(generator.initial_seed())  # noqa: B023
            return generate(generator, count)

        task.generate = record
        for step in [*range(300), 500, 1000]:
            task.train(step)
        for kind in ("validation", "test"):
            current = streams[kind]
            list(getattr(task, kind)())
    assert len(set(streams["train"])) == 3 * 302
    assert len(set(streams["validation"])) == len(set(streams["test"])) == 5  # one exam for all seeds
    assert len(set().union(*streams.values())) == 3 * 302 + 5 + 5
    assert derive(0, "train", 0) in streams["train"]


@pytest.mark.parametrize("name", TASKS)
def test_no_long_source_of_an_exam_is_seen_in_training(name: str):
    """Sources of 10 symbols out of 17: by chance, one in 10^12 would return."""
    task = make(name)
    seen = {tuple(row) for step in range(50) for row in task.train(step).source.tolist()}
    exams = {
        kind: {tuple(row) for row in together(getattr(task, kind)()).source.tolist()}
        for kind in ("validation", "test")
    }
    longest = {row for rows in exams.values() for row in rows if PAD not in row}
    assert len(longest) > 100
    assert not longest & seen
    assert not {row for row in exams["validation"] & exams["test"] if PAD not in row}


@pytest.mark.parametrize("kind", ["validation", "test"])
@pytest.mark.parametrize("name", TASKS)
def test_an_exam_depends_on_neither_seed_nor_batch_size_and_is_the_same_at_every_call(name: str, kind: str):
    task = make(name)
    exam = together(getattr(task, kind)())
    assert len(exam.source) == read("task", name)[1][f"{kind}_examples"]
    assert same(exam, together(getattr(task, kind)()))
    assert same(exam, together(getattr(make(name, seed=5, batch_size=64), kind)()))
    shorter = together(getattr(make(name, **{f"{kind}_examples": 333}), kind)())
    assert same(shorter, Batch(*(tensor[:333] for tensor in exam)))


@pytest.mark.parametrize("name", TASKS)
def test_making_data_leaves_the_global_generator_alone(name: str):
    before = torch.get_rng_state()
    make(name).train(0)
    list(make(name).test())
    assert torch.get_rng_state().equal(before)


# --- settings ---


@pytest.mark.parametrize("name", TASKS)
def test_lengths_and_symbols_are_what_the_settings_say(name: str):
    task = make(name, batch_size=500, shortest=2, longest=3, symbols=7)
    batch = task.train(0)
    prefix = PREFIX.get(name, lambda settings: 0)(read("task", name)[1])
    assert ((batch.source != PAD).sum(1) - prefix).unique().tolist() == [2, 3]
    targets = [2] if name in SINGLE else [3, 4]  # with EOS
    assert (batch.target != PAD).sum(1).unique().tolist() == targets and task.longest_target == targets[-1]
    kinds = {"lookup": 2}.get(name, 1)  # keys and values
    assert task.source_symbols == task.target_symbols == SPECIAL + kinds * 7
    assert task.steps_per_epoch == read("task", name)[1]["steps_per_epoch"]


@pytest.mark.parametrize("name", TASKS)
def test_shortest_above_longest_is_refused(name: str):
    with pytest.raises(ValueError, match="shortest must not exceed longest, got shortest=5 and longest=3"):
        make(name, shortest=5, longest=3).train(0)


@pytest.mark.parametrize("gap", [1, 5])
def test_the_largest_is_uniform_and_leads_by_the_gap(gap: int):
    """Its docstring's chance level: 1 / (symbols - m), within five standard errors of 20,000 examples."""
    batch = make("max_retrieval", batch_size=20_000, gap=gap, symbols=9).train(0)
    ranks = (batch.target[:, 0] - SPECIAL).bincount(minlength=9)
    least = max(gap, 4)
    chance = 1 / (9 - least)
    assert (ranks[:least] == 0).all()
    error = (chance * (1 - chance) / 20_000) ** 0.5
    assert ((ranks[least:] / 20_000 - chance).abs() < 5 * error).all()
    places = batch.gold[:, 0].long().argmax(-1)[(batch.source != PAD).all(1)]
    assert (places.bincount(minlength=10) > 0).all(), "it may stand anywhere"


def test_one_position_of_a_majority_is_right_as_often_as_is_said():
    batch = make("majority", batch_size=20_000, shortest=9, longest=9).train(0)
    shares = (batch.source == batch.target[:, :1]).double().mean(0)
    assert ((shares - 5 / 9).abs() < 5 * (5 / 9 * 4 / 9 / 20_000) ** 0.5).all(), "at every position alike"


@pytest.mark.parametrize(
    ("name", "wrong", "told"),
    [
        ("max_retrieval", {"gap": 7, "symbols": 7}, "gap must be less than symbols, got gap=7 and symbols=7"),
        ("majority", {"symbols": 1}, "majority needs symbols >= 2, got 1"),
    ],
)
def test_settings_that_leave_no_example_are_refused(name: str, wrong: dict[str, int], told: str):
    with pytest.raises(ValueError, match=told):
        make(name, **wrong)


def test_lookup_refuses_more_pairs_than_keys():
    with pytest.raises(ValueError, match="pairs must be at most symbols, got pairs=8 and symbols=7"):
        make("lookup", pairs=8, symbols=7)
