"""What a model says by itself, against the target of each line."""

from rapidfuzz.distance import Levenshtein

from attnlab.metric import POSITIVE, SHARE, Metric
from attnlab.training.answers import Outputs
from attnlab.training.metrics import Ratio


@Metric(better="lower", unit="share, 0 to 1", bounds=SHARE)
def unfinished(said: Outputs) -> Ratio:
    """Share of outputs that did not end within the limit."""
    return float(sum(not ended for ended in said.ended)), float(len(said.ended))


@Metric(better="higher", unit="share, 0 to 1", bounds=SHARE)
def sequence_accuracy(said: Outputs) -> Ratio:
    """Share decoded exactly, greedily."""
    right = sum(guess == target for guess, target in zip(said.guesses, said.targets, strict=True))
    return float(right), float(len(said.guesses))


@Metric(better="lower", unit="edits a symbol", bounds=POSITIVE)
def error_rate(said: Outputs) -> Ratio:
    """Sum of edit distances over sum of lengths of the targets."""
    pairs = zip(said.guesses, said.targets, strict=True)
    return float(sum(Levenshtein.distance(*pair) for pair in pairs)), float(sum(map(len, said.targets)))
