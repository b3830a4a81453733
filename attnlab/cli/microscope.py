"""Measure the gradient of every mechanism: bias, variance, cosine and cost.

  python scripts/microscope.py
  python scripts/microscope.py attention=gumbel_rao attention.samples=1,4,16
  python scripts/microscope.py attention=rebar,hard_reinforce --draws 1000000

Each mechanism estimates the gradient of a loss over eight positions many times,
and is held against the exact gradient of its own objective, by enumeration. The
losses are linear, quadratic and exponential in the weights. Without overrides,
every mechanism is measured, with each of its baselines, in half a minute.

bias      length of (mean estimate - exact gradient) / length of the exact one
cosine    of the mean estimate with the exact gradient
variance  mean squared distance of one estimate from their mean / length^2
cost      evaluations of the loss for one estimate

  python scripts/microscope.py run=RUN --advise

The same on the weights of a run, at its checkpoint=best, last, fresh (before
training) or a file; of all mechanisms, or of attention=reinmax,rebar. Each is
held against the exact gradient of its own objective and of the expected loss.
The table is of all weights; RUN/microscope/ gets all places as CSV, and a
picture. --over beta and --over length look again, with scores multiplied by a
beta and on sources of one length: a CSV and a picture each. With --advise, what
to use there, for a --target error. runs=FOLDER --account holds it to account:
over runs that were trained with callbacks=microscope, whether those with less
error early in training ended with more accuracy.

  python scripts/microscope.py --localise

The place of a peak, read off a map of scores by softargmax and by argmax:
errors, bias and the gradient that each way of training leaves, against beta.
"""

from pathlib import Path

from attnlab.cli.answers import SUCCESS, answered, parser
from attnlab.cli.looks import OVER, account, look_at
from attnlab.config.arguments import options_and_trust, overrides_in
from attnlab.config.checking import ConfigurationError
from attnlab.config.combinations import expanded
from attnlab.config.single import chosen
from attnlab.progress import counting, tell
from attnlab.runs.opening import opened
from attnlab.text import counted


def microscope(arguments: list[str], doc: str | None) -> int:
    """`scripts/microscope.py`: bias, variance, cosine and cost of gradient estimates at one place."""
    options = parser("microscope", "[KEY=VALUE ...] [--draws N] [--seed N] [--advise]", doc)
    told = "settings of attention; several values, with commas, are measured one after the other"
    options.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=told)
    options.add_argument(
        "--draws",
        type=int,
        metavar="N",
        help="estimates of each; 100,000 unless given, of a run 256, of --localise 1,000 maps",
    )
    options.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of every draw; %(default)s unless given"
    )
    options.add_argument("--config-dir", metavar="DIR", help="a folder with choices of your own")
    options.add_argument(
        "--markdown", action="store_true", help="one table with papers, as docs/mechanisms.md has it"
    )
    told = "read the place of a peak off a map of scores"
    options.add_argument("--localise", action="store_true", help=told)
    options.add_argument("--advise", action="store_true", help="of a run: what to use there")
    options.add_argument(
        "--target", type=float, default=0.1, metavar="X", help="relative error to reach; %(default)s"
    )
    options.add_argument("--over", action="append", default=[], choices=OVER, help="of a run: look again")
    accounting = "of runs: does less error early mean more accuracy"
    options.add_argument("--account", dest="accounted", action="store_true", help=accounting)
    trusting = "a package that a run may take code from"
    options.add_argument("--trust", action="append", default=[], metavar="PACKAGE", help=trusting)
    given = options.parse_args(arguments)
    return answered(lambda: _microscope(**vars(given)))


def _microscope(
    overrides: list[str],
    draws: int | None,
    seed: int,
    config_dir: str | None,
    markdown: bool,
    localise: bool,
    advise: bool,
    target: float,
    over: list[str],
    accounted: bool,
    trust: list[str],
) -> int:
    folders = [f"--config-dir={config_dir}"] if config_dir is not None else []
    place = overrides_in(folders)
    asked = {key: value for key, _, value in (text.partition("=") for text in overrides) if key in _OF_A_RUN}
    rest = [text for text in overrides if text.partition("=")[0] not in _OF_A_RUN]
    foreign = [override for override in rest if not override.startswith(("attention=", "attention."))]
    if foreign:
        raise ConfigurationError(
            f"{foreign[0]} is no setting of attention, which is all that is measured here"
        )
    least, usual = (8, 256) if "run" in asked else (2, 1000 if localise else 100_000)
    draws = usual if draws is None else draws
    if draws < least or seed < 0 or not target > 0:
        came = f"got {draws}, {seed} and {target}"
        raise ConfigurationError(
            f"--draws must be at least {least}, --seed at least 0 and --target above 0, {came}"
        )
    if localise:
        flags = [*["--markdown"] * markdown, *["--advise"] * advise, *["--account"] * accounted]
        if told := [*overrides, *folders, *flags, *["--over"] * bool(over), *["--trust"] * bool(trust)]:
            raise ConfigurationError(
                f"{told[0]} is not asked of --localise, which takes --draws and --seed alone"
            )
        return _localise(draws, seed)
    if accounted != ("runs" in asked) or (accounted and len(asked) + len(rest) > 1):
        raise ConfigurationError("--account is asked of runs, and of nothing else: runs=FOLDER --account")
    if accounted:
        return account(asked["runs"], markdown)
    if "run" not in asked:
        if told := [*asked, *["--advise"] * advise, *["--over"] * bool(over), *["--trust"] * bool(trust)]:
            raise ConfigurationError(f"{told[0]} is asked of a run: run=RUN names its folder")
        return _survey([*rest, *place] if rest else [], draws, seed, markdown)
    if markdown:
        raise ConfigurationError("--markdown is the table of the reference problems, without run=RUN")
    trusted = options_and_trust([*folders, *(f"--trust={name}" for name in trust)])[1]
    run = opened(Path(asked["run"]), trusted)
    run.check()
    jobs = _jobs(rest, place)
    checkpoint = asked.get("checkpoint", "best")
    tell(f"looking at {asked['run']}, checkpoint {checkpoint}; loading torch")
    aim = target if advise else None
    return look_at(Path(asked["run"]), run, trusted, checkpoint, jobs, draws, seed, over, aim)


_OF_A_RUN = ("run", "runs", "checkpoint")


def _survey(overrides: list[str], draws: int, seed: int, markdown: bool) -> int:
    """The reference problems."""
    tell("measuring gradients of mechanisms; loading torch")
    from attnlab.microscope import survey

    survey.torch.set_num_threads(1)  # small tensors are fastest with one
    jobs = expanded(overrides) if overrides else survey.jobs()
    for job in jobs:
        survey.mechanism_of(job)  # what cannot be is refused before anything is measured
    tell(f"{counted(len(jobs), 'mechanism')}, {draws:,} estimates of each on {len(survey.PROBLEMS)} losses")
    seen = counting(jobs, len(jobs), "mechanism")
    for line in [survey.markdown(seen, draws, seed)] if markdown else survey.lines(jobs, draws, seed):
        print(line, flush=True)
    return SUCCESS


def _localise(maps: int, seed: int) -> int:
    """The place of a peak."""
    tell("reading places off maps; loading torch")
    from attnlab.microscope import localise

    localise.torch.set_num_threads(1)  # small tensors are fastest with one
    for line in localise.lines(maps, seed):
        print(line, flush=True)
    return SUCCESS


def _jobs(overrides: list[str], place: list[str]) -> list[str] | None:
    """Names of mechanisms with settings behind them, for each combination of what is typed; None for all."""
    found = []
    for job in expanded([*overrides, *place]) if overrides else []:
        name = next((text.partition("=")[2] for text in job if text.startswith("attention=")), None)
        if name is None:
            raise ConfigurationError("attention=NAME must say whose settings are changed")
        settings = [text.removeprefix("attention.") for text in job if text.startswith("attention.")]
        chosen("attention", job)  # refused before torch is loaded where it cannot be
        found.append(" ".join([name, *settings]))
    return found or None
