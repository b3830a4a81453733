"""A trained model asked about new sources: with the run's own vocabulary, format, precision and evaluation
rule."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from attnlab.building import Built, assemble, make_task
from attnlab.config.checking import ConfigurationError
from attnlab.core.distributions import Oracle
from attnlab.models.beam import beam_search
from attnlab.models.model import Model
from attnlab.runs.limits import make_trainer, quiet, refuse_numbers
from attnlab.runs.measuring import restore
from attnlab.runs.opening import Opened, opened
from attnlab.settings import EvaluateAs
from attnlab.tasks.batch import EOS, PAD, Batch
from attnlab.tasks.lines import Source, lines_of
from attnlab.tasks.pairs import Pairs
from attnlab.tasks.task import EXAM_BATCH
from attnlab.tasks.vocabulary import Vocabulary
from attnlab.training.answers import predictions
from attnlab.training.exams import divided


class Prediction(NamedTuple):
    """An output."""

    symbols: list[str]
    log_prob: float  # of the whole output, its end included
    ended: bool  # False: it was cut off at the limit
    # of each symbol where the model looked, mean over sites and heads; None where it was not asked
    weights: Float[Tensor, "T S"] | None = None


class Trained:
    """The model of a run, ready to be asked.

    `predict` gives outputs as they stand in a file of data; `search` all that is known about the best ones.
    """

    def __init__(self, built: Built, trainer: Any):
        self.model: Model = built.model
        self.rule = built.training.rule
        self.lines = lines_of(built.task, built.config["task"])
        self.limit = min(2 * built.task.longest_target, self.model.longest or 2 * built.task.longest_target)
        self.device = trainer.strategy.root_device
        self._precision = trainer.precision_plugin
        self.model.to(self.device).eval()

    def predict(self, sources: Iterable[str]) -> list[str]:
        """The output for each source, a line in the format of the run's data; greedy decoding.

        Raises ValueError for a source that cannot be, by its number.
        """
        read = self.read(source.encode() for source in sources)
        return [self.lines.separator.join(best.symbols) for (best,) in self.search(read)]

    def read(self, lines: Iterable[bytes], first: int = 1, name: str = "") -> list[Source]:
        """Sources from lines, of which the first has the number `first`. Raises ValueError that names every
        line which cannot be, and why."""
        found, problems = [], []
        longest = self.model.longest
        for number, line in enumerate(lines, first):
            try:
                source = self.lines.read(line.removesuffix(b"\n").removesuffix(b"\r"))
                if longest is not None and len(source.symbols) > longest:
                    told = f"expected at most {longest} symbols, which the model can read (model.longest)"
                    raise ValueError(f"{told}, got {len(source.symbols)}")
                found.append(source)
            except ValueError as error:
                problems.append(f"{name and f'{name}, '}line {number}: {error}")
        if problems:
            more = len(problems) - _SHOWN
            rest = [f"and {more} more lines that cannot be"] if more > 0 else []
            raise ValueError("\n".join(problems[:_SHOWN] + rest))
        return found

    def search(
        self, sources: Sequence[Source], beams: int = 1, normalised: bool = False, alignments: bool = False
    ) -> list[list[Prediction]]:
        """The `beams` best outputs of each source, fewer where there are fewer, by beam search; a single one
        is greedy decoding. normalised: by log-probability a symbol. alignments: with where it looked.

        Raises ValueError for alignments of a model that chooses nothing between source and target.
        """
        if alignments and not any(site.aligned for site in self.model.sites.values()):
            raise ValueError(
                f"no alignments: this model chooses at {', '.join(self.model.sites)}, not between source and "
                "target"
            )
        found: dict[int, list[Prediction]] = {}
        order = sorted(range(len(sources)), key=lambda index: len(sources[index].symbols))
        for start in range(0, len(order), EXAM_BATCH):
            indices = order[start : start + EXAM_BATCH]
            batch = _batch([sources[index].symbols for index in indices], self.limit).to(self.device)
            parts = divided(self.model, batch, self.rule, beams)
            answers = (one for part in parts for one in self._answers(part, beams, normalised, alignments))
            found |= zip(indices, answers, strict=True)
        return [found[index] for index in range(len(sources))]

    @torch.no_grad()
    def _answers(
        self, batch: Batch, beams: int, normalised: bool, alignments: bool
    ) -> Iterator[list[Prediction]]:
        """The outputs of each row."""
        with self._precision.forward_context():
            symbols, log_probs = beam_search(self.model, batch, self.rule, self.limit, beams, normalised)
            seen = None
            if alignments:
                source, gold = (part.repeat_interleave(beams, 0) for part in (batch.source, batch.gold))
                forced = predictions(self.model, Batch(source, symbols.flatten(0, 1), gold), self.rule)
                seen = forced.probs.mean(0).unflatten(0, (-1, beams)).cpu()  # B N T S
        lengths = (batch.source != PAD).sum(1).tolist()
        for row, (outputs, chances) in enumerate(zip(symbols.tolist(), log_probs.tolist(), strict=True)):
            answers = []
            for rank, (output, log_prob) in enumerate(zip(outputs, chances, strict=True)):
                names = self.lines.target(output)
                weights = None if seen is None else seen[row, rank, : len(names), : lengths[row]]
                answers.append(Prediction(names, log_prob, EOS in output, weights))
            yield [answer for answer in answers if answer.log_prob > -torch.inf]


_SHOWN = 5
"""Lines that cannot be, of which an error tells."""


def _batch(sources: Sequence[Sequence[int]], limit: int) -> Batch:
    """Sources without targets, which are as long as an output may be."""
    longest = max(map(len, sources))
    source = torch.tensor([[*symbols, *[PAD] * (longest - len(symbols))] for symbols in sources])
    target = torch.full((len(sources), limit), PAD)
    return Batch(source, target, torch.zeros_like(source[:, None], dtype=torch.bool))


def trained(run: Opened, trusted: Collection[str]) -> Trained:
    """The model of an opened run, whose settings have been checked.

    Raises ConfigurationError and ValueError for what does not go together.
    """
    tree = run.tree | {"trainer": run.tree["trainer"] | {"devices": 1}}
    quiet()
    if run.unread:
        task = Pairs(tree["seed"], tree["batch_size"], Vocabulary(run.vocabulary[0]), [], {})
    else:
        task = make_task(tree, *run.vocabulary)
    built = assemble(tree, trusted, task)
    if isinstance(built.mechanism.distribution, Oracle):
        raise ConfigurationError(
            "attention=oracle is told the right positions, and of new sources nobody knows them"
        )
    refuse_numbers(built)
    trainer = make_trainer(tree)
    restore(built, trainer, run.checkpoint)
    return Trained(built, trainer)


def load(run: str | Path, *, evaluate_as: EvaluateAs | None = None, trust: Collection[str] = ()) -> Trained:
    """The model of a finished run by its folder, with what belongs to it: `.model`, `.predict([...])`.

    evaluate_as: the rule by which its attention is read; that of the run unless given. trust: packages whose
    code may run for it. Raises ConfigurationError and ValueError, as the command `predict` would.
    """
    found = opened(Path(run), trust)
    if evaluate_as is not None:
        found.tree["evaluate_as"] = evaluate_as
    found.check()
    return trained(found, trust)
