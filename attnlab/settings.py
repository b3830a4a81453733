"""Rules that a setting may declare in its factory's signature, checked before anything is built.

A factory writes `beta: Positive` and the rule holds wherever the setting is typed: on the command line, in an
experiment file, in a notebook. The module knows neither torch nor the rest of the package, so that
configurations are checked at once.
"""

import os
from typing import Annotated, Literal, NamedTuple, TypedDict

from pydantic import AfterValidator, Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A real number > 0."""

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A real number >= 0."""

Count = Annotated[int, Field(ge=1, lt=2**63)]
"""A whole number >= 1."""

Extent = Annotated[int, Field(ge=0, le=2**14)]
"""A whole number from 0 to 16,384."""

Size = Annotated[int, Field(ge=1, le=2**16)]
"""A whole number from 1 to 65,536: widths, draws, different symbols. More than that no machine holds."""

LONGEST = 2**14
Length = Annotated[int, Field(ge=1, le=LONGEST)]
"""A whole number from 1 to 16,384: symbols in a sequence, each of which may be attended from each."""

Lengths = list[Length]

Layers = Annotated[int, Field(ge=1, le=1000)]
"""A whole number from 1 to 1,000."""

BatchSize = Annotated[int, Field(ge=1, le=2**20)]
"""A whole number from 1 to 1,048,576."""

Threads = Annotated[int, Field(ge=1, le=1024)]
"""A whole number from 1 to 1,024: many more end the process."""

Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""A whole number from 0 to 2^63 - 1."""

Probability = Annotated[float, Field(ge=0, lt=1)]
"""A real number in [0, 1)."""


class DataFileMark:
    """Marks a setting that names a data file: a run is identified by the file's contents, not by its path."""


class CodeMark(NamedTuple):
    """Marks a setting that names code: by the name of a module of a package, where it comes with attnlab, or
    by the path of one's own, mine.optimal.Optimal."""

    kind: Literal["class", "function"]
    package: str = ""  # none: all that comes with attnlab is there anyway


BaselineName = Annotated[str, CodeMark("class", "attnlab.core.baselines")]
"""What REINFORCE subtracts from the returns."""

Credit = Literal["step", "later", "all"]
"""With which losses a draw is credited: of its own step, of its own and all later ones, of the whole row."""

Between = Annotated[float, Field(gt=0, lt=1)]
"""A real number between 0 and 1."""

StopAt = Annotated[float | None, Field(gt=0, lt=1)]
"""The share of right outputs at which a run ends; None for one that takes all of its steps."""

Metrics = Annotated[list[str], CodeMark("function")]
"""Metrics of one's own, beside those of every exam."""

Folder = Annotated[str, Field(min_length=1), AfterValidator(os.path.expanduser)]
"""The path of a folder, which need not exist; ~ is the home folder."""

DataFile = Annotated[str, Field(min_length=1), AfterValidator(os.path.expanduser), DataFileMark()]
"""The path of a file of data that must exist; ~ is the home folder."""

EvaluateAs = Literal["same", "soft", "argmax", "argmax_last", "argmax_average", "marginal", "topk"]
"""How a trained mechanism is read at evaluation; `same` follows its objective. See `core.evaluation`."""

Movement = Literal["constant", "linear", "exponential"]
"""How beta or a temperature moves with the training step; see `schedules.Scheduled`."""


class Beta(TypedDict):
    """The settings of an inverse temperature: beta moves to beta_end over beta_steps training steps, and
    stays there."""

    beta: Positive
    beta_schedule: Movement
    beta_end: Positive | None
    beta_steps: Count | None


class Temperature(TypedDict):
    """The settings of a temperature, which moves as beta does."""

    temperature: Positive
    temperature_schedule: Movement
    temperature_end: Positive | None
    temperature_steps: Count | None


class BetaAndTemperature(Beta, Temperature):
    """Both."""


class Exam(TypedDict):
    """The settings of every task whose examples are made: training steps between two validations, and
    examples of each exam."""

    steps_per_epoch: Count
    validation_examples: Count
    test_examples: Count


class Sequences(Exam):
    """The settings of a task over sequences: `shortest` to `longest` symbols, out of `symbols` different
    ones."""

    shortest: Length
    longest: Length
    symbols: Size


class Recurrent(TypedDict):
    """The settings of a recurrent model: widths (of the decoder, and of each direction of the encoder),
    layers in each of the two, the rate of dropout before every layer, and whether contexts enter the next
    state."""

    embedding_size: Size
    hidden_size: Size
    readout_size: Size
    layers: Layers
    dropout: Probability
    input_feeding: bool


Positions = Literal["learned", "rotary"]
"""How a Transformer knows where a symbol stands."""

Schedule = Literal["constant", "linear", "halve_on_plateau"]
"""How the learning rate moves: not at all, to 0 at the last step, or halved when val/nll is not the lowest so
far."""
