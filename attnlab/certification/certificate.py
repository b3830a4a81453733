"""A verdict with its evidence, as text, as JSON and as an assertion."""

import dataclasses
import json
import math

from attnlab.text import filled

ADVICE = {
    "scaled": "the direction is right and the length is not: divide by the scale, or mean it",
    "biased": "no learning rate mends this: part of the mean leads elsewhere, however many draws are made",
    "no gradient": "the scores are not trained: look for a detach, an argmax or a signal that is always zero",
    "depends on the batch": "the mean gradient of one problem changes with its neighbours: take statistics "
    "of its own group alone",
    "variance unbounded": "the estimate may be as large as it likes: look for a ratio of probabilities, or a "
    "division by what can be zero",
    "undecided": "more estimates would be needed: draw through `draw`, so that outcomes can be enumerated",
    "exact": "there is nothing to mend",
}
VERDICTS = tuple(ADVICE)


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What was found of one estimator."""

    name: str
    kind: str
    verdict: str
    """exact, scaled, biased, no gradient, depends on the batch, variance unbounded or undecided."""
    objective: str
    estimand: str
    """The objective in words."""
    scale: float
    """sum of mean . exact / sum of |exact|^2 over the problems: 1 where the mean is exact."""
    scales: tuple[float, float]
    """Of the problem where it is smallest, and largest."""
    cosine: float
    """Of the mean with the exact gradient, where it is smallest."""
    foreign: float
    """The largest share of a mean's length that is at right angles to the exact gradient."""
    variance: float
    """Mean squared distance of one estimate from its mean / |exact|^2."""
    cost: float
    """Evaluations of the loss for one estimate."""
    error: float
    """Root mean square distance from the exact gradient / |exact| of the mean of as many estimates as 100
    evaluations pay for."""
    enumerated: bool
    how: str
    follows: tuple[str, ...]
    """Other estimands whose gradient the mean is, up to a scale."""
    behind: str
    """The gradient in what lies behind the choice: exact, scaled, not trained, biased; empty for nothing."""
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The verdict with its figures."""
        if self.verdict == "scaled":
            return f"scaled by {self.scale:.4g}"
        if self.verdict == "exact" and not self.enumerated:
            return "exact, as far as samples tell"
        if self.verdict not in ("biased", "depends on the batch"):
            return self.verdict
        low, high = self.scales
        length = f"{low:.4g}" if math.isclose(low, high, rel_tol=1e-4) else f"{low:.4g} to {high:.4g}"
        return (
            f"{self.verdict}: cosine {self.cosine:.4f}, length {length}, {100 * self.foreign:.1f} % foreign"
        )

    @property
    def advice(self) -> str:
        """What a person can look for."""
        if self.verdict == "scaled" and self.scale < 0:
            return "the sign is wrong: what is to be minimised and what is to be maximised were mixed up"
        if self.verdict == "biased" and (other := self._followed):
            return (
                f"it is the gradient of {other} instead; if that is meant, objective={other} holds it to that"
            )
        if self.verdict == "biased" and self.foreign < 1e-6:
            if self.behind == "biased":
                return "the scores are right, and what lies behind the choice is not: detach the loss"
            return "the direction is right, and the length is another one on each problem"
        return ADVICE[self.verdict]

    @property
    def _followed(self) -> str:
        """The other estimand that it is exactly right for, if there is one."""
        exactly = [said.partition(":")[0] for said in self.follows if said.endswith(", exactly")]
        return exactly[0] if exactly else ""

    def __str__(self) -> str:
        rows = {
            "verdict": self.sentence,
            "advice": "" if self.verdict == "exact" else self.advice,
            "estimand": f"{self.objective}: {self.estimand}",
            "follows": "; ".join(self.follows),
            "how": self.how,
            "behind": self.behind,
            "variance": f"{_number(self.variance)} of one estimate, relative to |exact|^2",
            "cost": f"{self.cost:.4g} for one estimate, evaluations of the loss or answers",
            "error": f"{_number(self.error)} at 100 evaluations, relative to |exact|",
            "notes": "; ".join(self.notes),
        }
        lines = [filled(f"{key:<10}{value}", 0, 10) for key, value in rows.items() if value]
        return "\n".join([f"{self.name}: {self.kind}", *lines])

    def json(self) -> str:
        """One object, its keys the names of the fields; what is no number is null."""
        fields = dataclasses.asdict(self)
        return json.dumps({key: _plain(value) for key, value in fields.items()}, indent=2)

    def require(self, *verdicts: str) -> "Certificate":
        """Itself where its verdict is one of these, `exact` unless others are named; for tests.

        Raises AssertionError with what was found and what to look for; ValueError for a verdict that there is
        not.
        """
        wanted = verdicts or ("exact",)
        if unknown := [word for word in wanted if word not in VERDICTS]:
            raise ValueError(f"a verdict is one of {', '.join(VERDICTS)}; got {unknown[0]!r}")
        if self.verdict not in wanted:
            raise AssertionError(f"{' or '.join(wanted)} was required; {self.advice}.\n{self}")
        return self


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return "0" if abs(value) < 1e-9 else f"{value:.3g}"


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
