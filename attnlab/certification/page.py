"""All certificates on one page: docs/certificates.md, and the same for a terminal."""

import math
from collections.abc import Callable, Iterable, Iterator

from attnlab.certification import functions, mechanisms, published
from attnlab.certification.certificate import Certificate
from attnlab.certification.certifying import certificate_of
from attnlab.microscope.survey import jobs

Job = tuple[str, str, Callable[[], Certificate]]
"""What is certified: its name, what it computes and who says so, and how it is done."""

_HEADINGS = {
    "advantage": (
        "Advantages of groups of sampled answers",
        "Held to the gradient of the expected reward; groups of four answers, alone and in a batch of two.",
    ),
    "surrogate": (
        "Surrogates of one choice",
        "Held to the gradient of the expected loss; those that read no loss, of KL(policy || reference).",
    ),
    "router": (
        "Routers",
        "Held to the gradient of the expected loss of one expert; the forward pass is what it is.",
    ),
    "mechanism": (
        "Mechanisms of attnlab, and each of their baselines",
        "Held to the objective that each declares; defaults otherwise. Controls have no gradient by design.",
    ),
}
_ABOUT = """# Certificates

What the mean of gradient estimates is, beside the exact gradient of what they are held to: every estimator of
this library, and those that people use elsewhere, written from their published formulas in
`attnlab/certification/published.py`. Small random problems, every outcome of every draw enumerated in double
precision; *sampled* where noise is continuous. [Your own](certify.md) takes a minute. Written by
`python scripts/certify.py --markdown`.

*scale*: of the mean, along the exact gradient, on the problem where it is smallest to the one where it is
largest. *cosine*: where it is smallest. *foreign*: the largest share of the mean at right angles to the exact
gradient. *variance*: of one estimate, relative to the square of the exact gradient's length. *error*: root
mean square, relative to that length, of as many estimates as 100 evaluations of the loss, or 100 answers, pay
for."""
_COLUMNS = (
    "estimator",
    "what it computes",
    "held to",
    "verdict",
    "scale",
    "cosine",
    "foreign",
    "variance",
    "cost",
    "error",
    "follows; remarks",
)


def published_jobs(seed: int = 0) -> list[Job]:
    """The estimators of other people."""

    def job(function: Callable[..., object]) -> Job:
        name = function.__name__
        words = " ".join((function.__doc__ or "").split())
        return name, words, lambda: certificate_of(functions.subject_of(function, name, seed))

    return [job(function) for function in published.ESTIMATORS]


def mechanism_jobs(seed: int = 0) -> list[Job]:
    """Every mechanism with its defaults, and with each of its baselines."""

    def job(overrides: list[str]) -> Job:
        name = " ".join(word.removeprefix("attention=").removeprefix("attention.") for word in overrides)
        paper = mechanisms.mechanism_of(overrides).facts.paper
        return name, f"{paper}.", lambda: certificate_of(mechanisms.subject_of(overrides, name, seed))

    return [job(overrides) for overrides in jobs()]


def row(words: str, found: Certificate) -> str:
    """One line of a table."""
    low, high = (_number(value) for value in found.scales)
    scale = low if low == high else f"{low} to {high}"
    remarks = "; ".join([*(f"follows {each}" for each in found.follows), *found.notes])
    figures = [f"{found.cosine:.4f}", f"{100 * found.foreign:.1f} %"]
    if found.verdict == "no gradient":
        scale, *figures = "0", "-", "-"
    verdict = found.verdict if found.enumerated else f"{found.verdict}, sampled"
    cells = [f"`{found.name}`", words, found.objective, f"**{verdict}**", scale, *figures]
    cells += [_number(found.variance), f"{found.cost:.3g}", _number(found.error), remarks]
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def lines(jobs: Iterable[Job]) -> Iterator[str]:
    """The page, line by line, as it is measured."""
    yield _ABOUT
    heading = ""
    for _, words, certify in jobs:
        found = certify()
        kind = found.kind.split()[0]
        if kind != heading:
            title, told = _HEADINGS[kind]
            yield f"\n## {title}\n\n{told}\n"
            yield f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}"
            heading = kind
        yield row(words, found)


def brief(jobs: Iterable[Job]) -> Iterator[str]:
    """A line or two for each, for a terminal."""
    for name, _, certify in jobs:
        found = certify()
        yield f"{name}\n  {found.objective}: {found.sentence}"


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return "0" if abs(value) < 1e-9 else f"{value:.3g}"
