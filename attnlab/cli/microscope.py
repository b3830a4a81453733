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
"""

from attnlab.cli.answers import SUCCESS, answered, parser
from attnlab.config.arguments import overrides_in
from attnlab.config.checking import ConfigurationError
from attnlab.progress import counting, tell
from attnlab.text import counted


def microscope(arguments: list[str], doc: str | None) -> int:
    """`scripts/microscope.py`: bias, variance, cosine and cost of gradient estimates at one place."""
    options = parser("microscope", "[KEY=VALUE ...] [--draws N] [--seed N] [--markdown]", doc)
    told = "settings of attention; several values, with commas, are measured one after the other"
    options.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=told)
    options.add_argument(
        "--draws", type=int, default=100_000, metavar="N", help="estimates of each; %(default)s unless given"
    )
    options.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of every draw; %(default)s unless given"
    )
    options.add_argument("--config-dir", metavar="DIR", help="a folder with choices of your own")
    options.add_argument(
        "--markdown", action="store_true", help="one table with papers, as docs/mechanisms.md has it"
    )
    given = options.parse_args(arguments)
    return answered(lambda: _microscope(**vars(given)))


def _microscope(overrides: list[str], draws: int, seed: int, config_dir: str | None, markdown: bool) -> int:
    place = overrides_in([f"--config-dir={config_dir}"]) if config_dir is not None else []
    foreign = [override for override in overrides if not override.startswith(("attention=", "attention."))]
    if foreign:
        raise ConfigurationError(
            f"{foreign[0]} is no setting of attention, which is all that is measured here"
        )
    if draws < 2 or seed < 0:
        raise ConfigurationError(f"--draws must be at least 2 and --seed at least 0, got {draws} and {seed}")
    tell("measuring gradients of mechanisms; loading torch")
    from attnlab.config import combinations
    from attnlab.microscope import survey

    survey.torch.set_num_threads(1)  # small tensors are fastest with one
    jobs = combinations.expanded([*overrides, *place]) if overrides else survey.jobs()
    for job in jobs:
        survey.mechanism_of(job)  # what cannot be is refused before anything is measured
    tell(f"{counted(len(jobs), 'mechanism')}, {draws:,} estimates of each on {len(survey.PROBLEMS)} losses")
    seen = counting(jobs, len(jobs), "mechanism")
    for line in [survey.markdown(seen, draws, seed)] if markdown else survey.lines(jobs, draws, seed):
        print(line, flush=True)
    return SUCCESS
