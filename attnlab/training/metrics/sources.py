"""What a model says by itself, over distinct sources: of several targets of one, the best counts."""

from attnlab.metric import POSITIVE, SHARE, Metric
from attnlab.training.answers import Outputs
from attnlab.training.metrics import Ratio


@Metric(better="lower", unit="share of sources, 0 to 1", bounds=SHARE)
def word_error_rate(said: Outputs) -> Ratio:
    """WER: share of sources whose output is none of their targets."""
    return sum((word.share * (min(word.distances) > 0) for word in said.words), 0.0), _sources(said)


@Metric(better="lower", unit="edits a symbol", bounds=POSITIVE)
def symbol_error_rate(said: Outputs) -> Ratio:
    """Mean over sources of the smallest edit distance over the length of that target; PER, where symbols are
    phonemes."""
    return sum((word.share * min(word.rates) for word in said.words), 0.0), _sources(said)


@Metric(better="lower", unit="symbols", bounds=POSITIVE)
def edit_distance(said: Outputs) -> Ratio:
    """Mean over sources of the smallest edit distance."""
    return sum((word.share * min(word.distances) for word in said.words), 0.0), _sources(said)


def _sources(said: Outputs) -> float:
    return sum((word.share for word in said.words), 0.0)
