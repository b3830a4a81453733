"""Every synthetic task on disk: reproducible, apart, and right by a slow check of each example's
definition."""

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import torch
from enumeration import names, read

from attnlab.randomness import derive
from attnlab.tasks.batch import EOS, PAD, SPECIAL, Batch
from attnlab.tasks.flip_flop import IGNORE, WRITE

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
    size, end = settings["key_length"], prefix("lookup", settings)
    where = {tuple(source[at : at + size]): at + size for at in range(0, end, size + 1)}
    assert len(where) == settings["pairs"], "keys are distinct"
    kinds = [set(symbols) for symbols in zip(*where, strict=True)]
    assert sorted(map(len, kinds)) == [1] * settings["shared"] + [len(where)] * (size - settings["shared"])
    values = {source[at] for at in where.values()}
    assert not set().union(*kinds) & values, "keys and values have no symbol in common"
    asked = [tuple(source[at : at + size]) for at in range(end, len(source), size)]
    return [source[where[query]] for query in asked], [{where[query]} for query in asked]


def selective_copy(source: list[int], settings: dict[str, Any]) -> tuple[list[int], list[set[int]]]:
    places = [s for s, symbol in enumerate(source) if symbol != SPECIAL + settings["symbols"]]
    assert len(places) == settings["kept"]
    return [source[s] for s in places], [{s} for s in places]


def flip_flop(source: list[int], settings: dict[str, Any]) -> tuple[list[int], list[set[int]]]:
    told, values = source[::2], source[1::2]
    assert set(told) <= {WRITE, IGNORE} and told[0] == WRITE and not set(values) & {WRITE, IGNORE}
    last = max(number for number, instruction in enumerate(told) if instruction == WRITE)
    return [values[last]], [{2 * last + 1}]


def addition(source: list[int], settings: dict[str, Any]) -> tuple[list[int], list[set[int]]]:
    base, n = settings["symbols"], len(source) // 2
    assert source[n] == SPECIAL + base, "the plus"
    total, digits = 0, []
    for number in (source[:n], source[n + 1 :]):
        value = 0
        for symbol in number:
            value = value * base + symbol - SPECIAL
        total += value
    for _ in range(n + 1):
        total, digit = divmod(total, base)
        digits.append(digit + SPECIAL)
    assert total == 0
    return digits, [*({n - 1 - place, 2 * n - place} for place in range(n)), set()]


def max_retrieval(source: list[int], settings: dict[str, Any]) -> tuple[list[int], list[set[int]]]:
    *others, largest = sorted(source)
    assert not others or largest - others[-1] >= settings["gap"], "the largest leads"
    return [largest], [{source.index(largest)}]


def majority(source: list[int], settings: dict[str, Any]) -> tuple[list[int], list[set[int]]]:
    (winner,) = {symbol for symbol in source if 2 * source.count(symbol) > len(source)}
    assert source.count(winner) == len(source) // 2 + 1, "by as little as there can be"
    return [winner], [set()]


def localise(source: list[int], settings: dict[str, Any]) -> tuple[list[int], list[set[int]]]:
    """Without noise: where it is highest, from there on lower with the distance alone."""
    dimensions = settings["dimensions"]
    size = round(len(source) ** (1 / dimensions))
    places = list(itertools.product(range(size), repeat=dimensions))
    top = source.index(max(source))
    for place, symbol in zip(places, source, strict=True):
        apart = [abs(x - c) for x, c in zip(place, places[top], strict=True)]
        apart = [min(x, size - x) for x in apart] if settings["circle"] else apart
        height = math.exp(-sum(x * x for x in apart) / (2 * settings["width"] ** 2))
        assert symbol == SPECIAL + round((height + 0.5) / 2 * (settings["symbols"] - 1))
    return [SPECIAL + c for c in places[top]], [{top}] * dimensions


DEFINITIONS: dict[str, Definition] = {
    "localise": localise,
    "copy": copy,
    "reverse": reverse,
    "sort": sort,
    "lookup": lookup,
    "max_retrieval": max_retrieval,
    "majority": majority,
    "selective_copy": selective_copy,
    "flip_flop": flip_flop,
    "addition": addition,
}
TARGETS: dict[str, Callable[[int, dict[str, Any]], int]] = {
    "localise": lambda n, settings: settings["dimensions"],
    "max_retrieval": lambda n, settings: 1,
    "majority": lambda n, settings: 1,
    "flip_flop": lambda n, settings: 1,
    "selective_copy": lambda n, settings: settings["kept"],
    "addition": lambda n, settings: n + 1,
}
"""Symbols of a target, without EOS, where they are not as many as the length n of what it is made from."""
VOCABULARY: dict[str, Callable[[int], int]] = {
    "lookup": lambda symbols: 2 * symbols,  # keys and values
    "selective_copy": lambda symbols: symbols + 1,  # the blank
    "flip_flop": lambda symbols: symbols + 2,  # the instructions
    "addition": lambda symbols: symbols + 1,  # the plus
}


def prefix(name: str, settings: dict[str, Any]) -> int:
    """Source symbols that come before those whose number is drawn."""
    pairs = settings.get("pairs", 0) * (settings.get("key_length", 0) + 1)
    return {"lookup": pairs, "addition": 1}.get(name, 0)


def targets_of(name: str, lengths: Iterable[int], settings: dict[str, Any]) -> set[int]:
    """How long targets are, with EOS."""
    return {TARGETS.get(name, lambda n, _: n)(n, settings) + 1 for n in lengths}


def length_of(name: str, symbols: int, settings: dict[str, Any]) -> int:
    """What counts as the length of a source of so many symbols."""
    if "dimensions" in settings:
        return round(symbols ** (1 / settings["dimensions"]))
    each = {"lookup": settings.get("key_length", 1), "flip_flop": 2, "addition": 2}.get(name, 1)
    length, rest = divmod(symbols - prefix(name, settings), each)
    assert rest == 0
    return length


def examples(name: str, task: Any) -> Iterator[tuple[list[int], list[int], list[set[int]]]]:
    """(source, target, right positions) of 300 training examples and of the exams, padding taken off."""
    batches = [*(task.train(step) for step in range(43)), *task.validation(), *task.test()]
    for batch in batches:
        for source, target, gold in zip(*batch, strict=True):
            yield source.tolist(), target.tolist(), [set(row.nonzero()[:, 0].tolist()) for row in gold]


CLEAR = {"localise": {"noise": 0.0}}
"""Settings under which the source alone says what is right."""
FORMS = [pytest.param(name, CLEAR.get(name, {}), id=name) for name in TASKS]
FORMS += [
    pytest.param("localise", {"noise": 0.0, "dimensions": 2, "width": 0.7}, id="localise, a square"),
    pytest.param("localise", {"noise": 0.0, "circle": True, "width": 1.3}, id="localise, a circle"),
    pytest.param("localise", {"noise": 0.0, "circle": True, "dimensions": 2}, id="localise, a torus"),
]
FORMS += [
    pytest.param("lookup", {"key_length": size, "shared": shared}, id=f"lookup of {size}, {shared} shared")
    for size, shared in ((2, 0), (3, 2))
]
FORMS += [pytest.param("addition", {"symbols": 2}, id="addition, binary")]


@pytest.mark.parametrize(("name", "given"), FORMS)
def test_targets_and_gold_positions_are_right_for_every_example(name: str, given: dict[str, Any]):
    settings = {**read("task", name)[1], **given}
    task = make(name, validation_examples=260, test_examples=20, **given)
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
        lengths.add(length_of(name, n, settings))
        assert m + 1 <= task.longest_target
    assert lengths == set(range(settings["shortest"], settings["longest"] + 1))


@pytest.mark.parametrize("name", TASKS)
def test_every_symbol_of_the_vocabulary_occurs(name: str):
    task = make(name, batch_size=2000)
    source, target, _ = task.train(0)
    assert set(source.unique().tolist()) == {PAD, *range(SPECIAL, task.source_symbols)}
    ends = {EOS} if len(targets_of(name, (4, 10), read("task", name)[1])) == 1 else {PAD, EOS}
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
        current = streams["train"]

        def record(generator: torch.Generator, count: int, generate: Any = task.generate) -> Batch:
            current.append(generator.initial_seed())  # noqa: B023
            return generate(generator, count)

        task.generate = task.generate_test = record
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
    settings = read("task", name)[1]
    settings |= {"kept": 2} if "kept" in settings else {}
    task = make(name, batch_size=500, **{**settings, "shortest": 2, "longest": 3, "symbols": 7})
    batch = task.train(0)
    lengths = {length_of(name, n, settings) for n in (batch.source != PAD).sum(1).tolist()}
    assert lengths == {2, 3}
    targets = sorted(targets_of(name, lengths, settings))
    assert (batch.target != PAD).sum(1).unique().tolist() == targets and task.longest_target == targets[-1]
    number = VOCABULARY.get(name, lambda symbols: symbols)(7)
    assert task.source_symbols == task.target_symbols == SPECIAL + number
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
        ("addition", {"symbols": 1}, "addition needs symbols >= 2, got 1"),
        ("selective_copy", {"kept": 5}, "kept must be at most shortest, got kept=5 and shortest=4"),
        ("lookup", {"pairs": 8, "symbols": 7}, "pairs must be at most symbols, got pairs=8 and symbols=7"),
        (
            "lookup",
            {"key_length": 2, "shared": 2},
            "shared must be less than key_length, got shared=2 and key_length=2",
        ),
    ],
)
def test_settings_that_leave_no_example_are_refused(name: str, wrong: dict[str, int], told: str):
    with pytest.raises(ValueError, match=told):
        make(name, **wrong)


# --- what the docstrings say of guesses ---


def near(right: torch.Tensor, chance: float) -> bool:
    """Whether a share is what is said, within five standard errors."""
    return abs(right.double().mean().item() - chance) < 5 * (chance * (1 - chance) / right.numel()) ** 0.5


def test_the_last_value_of_a_flip_flop_is_right_as_often_as_is_said_and_writes_are_rare_in_the_test():
    settings: dict[str, Any] = {"shortest": 10, "longest": 10, "symbols": 5, "writes": 0.5}
    exams = {"validation_examples": 20_000, "test_examples": 20_000}
    task = make("flip_flop", batch_size=20_000, test_writes=0.125, **settings, **exams)
    batches = [task.train(0), together(task.validation()), together(task.test())]
    for batch, writes in zip(batches, (0.5, 0.5, 0.125), strict=True):
        assert near(batch.source[:, 2::2] == WRITE, writes)
        assert near(batch.source[:, -1] == batch.target[:, 0], writes + (1 - writes) / 5)
        assert near(batch.target[:, 0] == IGNORE + 1, 1 / 5)


def test_one_digit_of_a_sum_tells_nothing_of_it():
    """Given any digit of one number, that of the sum is uniform."""
    batch = make("addition", batch_size=20_000, shortest=4, longest=4, symbols=3).train(0)
    for place in range(4):
        for digit in range(3):
            sums = batch.target[batch.source[:, 3 - place] == SPECIAL + digit, place] - SPECIAL
            assert all(near(sums == symbol, 1 / 3) for symbol in range(3))


def test_a_value_taken_without_its_key_is_right_as_often_as_is_said():
    batch = make("lookup", batch_size=20_000, pairs=4, symbols=5, key_length=3, shared=2).train(0)
    assert near(batch.source[:, 3] == batch.target[:, 0], 1 / 4 + 3 / 4 / 5)


def test_what_is_kept_may_stand_anywhere():
    batch = make("selective_copy", batch_size=20_000, kept=3, shortest=8, longest=8).train(0)
    assert all(near(batch.gold.any(1)[:, place], 3 / 8) for place in range(8))


# --- what can be known ---


@pytest.mark.parametrize("name", [name for name in TASKS if name != "localise"])
def test_whoever_reads_the_source_is_always_right(name: str):
    assert make(name, validation_examples=3, test_examples=3).bayes_accuracy() == {
        "val/bayes_accuracy": 1.0,
        "test/bayes_accuracy": 1.0,
    }


def posterior(source: list[int], settings: dict[str, Any]) -> dict[tuple[int, ...], float]:
    """P(centre | levels) by a plain loop over both centres and all places."""
    dimensions, steps = settings["dimensions"], settings["symbols"] - 1
    size = round(len(source) ** (1 / dimensions))
    places = list(itertools.product(range(size), repeat=dimensions))
    noise = statistics.NormalDist(0, settings["noise"])

    def height(place: tuple[int, ...], centre: tuple[int, ...]) -> float:
        apart = [abs(x - c) for x, c in zip(place, centre, strict=True)]
        apart = [min(x, size - x) for x in apart] if settings["circle"] else apart
        return math.exp(-sum(x * x for x in apart) / (2 * settings["width"] ** 2))

    def likely(symbol: int, mean: float) -> float:
        level = symbol - SPECIAL
        low, high = ((level + half) / steps * 2 - 0.5 - mean for half in (-0.5, 0.5))
        below = 0.0 if level == 0 else noise.cdf(low)
        return (1.0 if level == steps else noise.cdf(high)) - below

    found = {}
    for centre in places:
        means = [
            [max(height(place, centre), settings["second"] * height(place, other)) for place in places]
            for other in places
        ]
        found[centre] = sum(math.prod(map(likely, source, mean)) for mean in means)
    return {centre: value / sum(found.values()) for centre, value in found.items()}


@pytest.mark.parametrize(
    "given",
    [{}, {"second": 0.8}, {"circle": True}, {"dimensions": 2, "longest": 4, "shortest": 3, "second": 0.6}],
    ids=str,
)
def test_the_best_that_can_be_said_of_a_noisy_peak_is_found_by_enumeration(given: dict[str, Any]):
    settings = {**read("task", "localise")[1], **given}
    task = make("localise", batch_size=5, **given)
    batch = task.train(0)
    assert (batch.source == PAD).any(), "sizes differ"
    expected = [
        max(posterior([s for s in source.tolist() if s != PAD], settings).values()) for source in batch.source
    ]
    torch.testing.assert_close(task.best(batch), torch.tensor(expected, dtype=torch.float64))


def test_two_peaks_of_one_height_leave_a_guess():
    """Two centres of 5 places: the same with probability 1 / 5, else each as probable as the other."""
    batch = (task := make("localise", batch_size=4000, noise=0.0, second=1.0, shortest=5, longest=5)).train(0)
    best = task.best(batch)
    assert set(best.unique().tolist()) == {0.5, 1.0}
    assert abs(best.mean().item() - 0.6) < 5 * (0.2 * 0.8 / 4000) ** 0.5 / 2


def test_a_place_without_a_symbol_of_its_own_is_refused():
    with pytest.raises(ValueError, match="longest must be at most symbols, got longest=9 and symbols=8"):
        make("localise", longest=9, symbols=8)
