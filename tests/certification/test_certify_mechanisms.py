"""Mechanisms of attnlab raise no false alarm, and mistakes planted in them are found."""

import pytest
from enumeration import CONTROLS, Variant
from planting import plant
from test_mutations import MUTANTS

import attnlab
from attnlab.certification.certifying import certificate_of
from attnlab.certification.mechanisms import subject_of
from attnlab.microscope.gradients import mechanism_of
from attnlab.microscope.survey import jobs

SMALL = ("hard_reinforce", "variational", "vimco", "unordered_set")
JOBS = [[*job, *(["attention.samples=2"] if job[0].endswith(SMALL) else [])] for job in jobs()]
FAST = ("=soft", "=rebar", "=hard_straight_through")
BLIND = {
    "hard weights are one-hot up to rounding": "the gradient is right",
    "all steps share their noise": "steps are forced alike",
    "a set of one is its own baseline": "it is refused",
    "the mask is too small a number": "it lies in front of the mechanism",
    **dict.fromkeys(
        ["a polynomial is read from its lowest power", "the number of positions counts padding"]
        + ["a bias counts padding", "a threshold has no gradient"],
        "a distribution is taken as it is",
    ),
    **dict.fromkeys(
        ["a chain goes from where it arrives", "a monotonic chain loses the probability of going back"],
        "the law of a step behind another is taken as it is",
    ),
}
"""Mistakes of a mechanism that no mean gradient of single choices shows, and why."""


MORE = {
    "a relaxed draw is differentiated through its noise given the draw": [Variant("rebar", {})],
    "the conditional draw of REBAR carries no gradient": [Variant("rebar", {})],
}


def expressed(name: str) -> list[Variant]:
    """The variants of mechanisms by which the checks of a mutant try it."""
    found = [x for check in MUTANTS[name].checks for x in check.args if isinstance(x, Variant)]
    return [*(x for x in found if x.settings.get("samples") != 3), *MORE.get(name, [])]


EXPRESSED = {name: found for name in MUTANTS if name not in BLIND and (found := expressed(name))}


@pytest.mark.parametrize(
    ("job", "seed"),
    [
        pytest.param(
            job, seed, marks=[] if seed == 1 and " ".join(job[:2]).endswith(FAST) else pytest.mark.slow
        )
        for seed in range(1, 6)
        for job in JOBS
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else None,
)
def test_no_mechanism_raises_an_alarm_that_is_false(job: list[str], seed: int) -> None:
    """Six problems a seed: more than a thousand over all mechanisms and seeds."""
    facts = mechanism_of(job).facts
    found = certificate_of(subject_of(job, " ".join(job), seed))
    if job[0].partition("=")[2] in CONTROLS:
        assert found.verdict == "no gradient"
    else:
        assert (found.verdict == "exact") == facts.unbiased, str(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPRESSED)
def test_a_mistake_that_is_planted_in_a_mechanism_is_found(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = MUTANTS[name]
    right = [attnlab.certify(x.name, **x.settings) for x in EXPRESSED[name]]
    record = plant(monkeypatch, mutant.owner, mutant.name, mutant.mistake)
    wrong = [attnlab.certify(x.name, **x.settings) for x in EXPRESSED[name]]
    assert record.finished > 0
    alarms = [one.verdict != other.verdict for one, other in zip(wrong, right, strict=True)]
    assert any(alarms), "\n".join(map(str, wrong))
