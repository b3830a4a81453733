"""A run that has learned its task need not go on."""

from pytorch_lightning import Callback, Trainer

from attnlab.training.lightning_module import Training

SURE = 1.645
"""Standard errors below an accuracy, of a statement that is right 95 times in 100."""


class Learned(Callback):
    """Ends a run when a validation shows that more than a share `accuracy` of all outputs is right: the lower
    end of Wilson's interval (1927), one-sided at 95 %, lies above it. Few examples never show it."""

    def __init__(self, accuracy: float):
        self.accuracy = accuracy
        self.shown = False

    def on_validation_end(self, trainer: Trainer, pl_module: Training) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            right, examples = (
                part["sequence_accuracy"] for part in (pl_module.tally.above, pl_module.tally.below)
            )
            self.shown = at_least(right / examples, examples) > self.accuracy
            trainer.should_stop |= self.shown


def at_least(share: float, number: int | float) -> float:
    """The lower end of Wilson's interval of a share that was found among so many,
    (p + z^2 / 2n - z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)."""
    half = SURE**2 / number / 2
    return (share + half - SURE * (share * (1 - share) / number + half / number / 2) ** 0.5) / (1 + 2 * half)
