"""A verdict on anyone's gradient estimator, with its evidence.

  python scripts/certify.py mine.estimators:mine
  python scripts/certify.py attention=hard_reinforce attention.samples=1,4
  python scripts/certify.py mine.estimators:mine --require exact --json
  python scripts/certify.py --markdown

An estimator is a function; the name of its first parameter says of which kind:

  f(scores, draw) -> loss      a surrogate of one choice
  f(logits, draw) -> weights   a router, before its experts are read
  f(rewards, ...) -> weights   advantages of groups of sampled answers

Every outcome of its draws is enumerated on small random problems, in double
precision; where that cannot be, it is sampled until a sequential test decides.
The verdict is exact, scaled, biased, no gradient, depends on the batch, or
variance unbounded. Without an estimator, all that are known are certified.
docs/certify.md goes through an example.
"""

from attnlab.cli.answers import FAILED, SUCCESS, answered, parser, said
from attnlab.config.arguments import overrides_in
from attnlab.progress import counting, tell

_VERDICTS = "exact, scaled, biased, ..."


def certify(arguments: list[str], doc: str | None) -> int:
    """`scripts/certify.py`: what the mean of an estimator is, beside the exact gradient."""
    options = parser("certify", "[MODULE:FUNCTION ... | KEY=VALUE ...] [--json] [--require VERDICT]", doc)
    told = "functions of your own, or settings of attention; several are certified one after the other"
    options.add_argument("estimators", nargs="*", metavar="MODULE:FUNCTION", help=told)
    options.add_argument("--objective", metavar="WORD", help="what it is held to; by its kind unless given")
    options.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the problems; %(default)s unless given"
    )
    told = f"exit code 1 unless the verdict is this one ({_VERDICTS}); may be given several times"
    options.add_argument("--require", action="append", default=[], metavar="VERDICT", help=told)
    options.add_argument("--json", action="store_true", help="one object, or a list of several")
    options.add_argument(
        "--markdown", action="store_true", help="all that are known, as docs/certificates.md"
    )
    options.add_argument("--config-dir", metavar="DIR", help="a folder with choices of your own")
    given = options.parse_args(arguments)
    return answered(lambda: _certify(**vars(given)))


def _certify(
    estimators: list[str],
    objective: str | None,
    seed: int,
    require: list[str],
    json: bool,
    markdown: bool,
    config_dir: str | None,
) -> int:
    settings = [word for word in estimators if "=" in word]
    targets = [word for word in estimators if "=" not in word]
    foreign = [word for word in settings if not word.startswith(("attention=", "attention."))]
    if foreign:
        raise ValueError(f"{foreign[0]} is no setting of attention, and nothing else is certified")
    if seed < 0:
        raise ValueError(f"--seed must be at least 0, got {seed}")
    if not estimators and (objective or require or json):
        raise ValueError("--objective, --require and --json go with an estimator, MODULE:FUNCTION")
    if estimators and markdown:
        raise ValueError("--markdown writes the page of all estimators that are known, and takes none")
    from attnlab.certification.loading import load

    loaded = [(target, load(target)) for target in targets]
    place = overrides_in([f"--config-dir={config_dir}"]) if config_dir is not None else []
    if not estimators:
        tell("certifying every estimator that is known; loading torch")
    import torch

    from attnlab.certification import functions, mechanisms, page
    from attnlab.certification.certificate import VERDICTS
    from attnlab.certification.certifying import certificate_of
    from attnlab.config import combinations

    torch.set_num_threads(1)  # small tensors are fastest with one
    if not estimators:
        jobs = [*page.published_jobs(seed), *page.mechanism_jobs(seed)]
        seen = list(jobs)
        for line in (page.lines if markdown else page.brief)(counting(seen, len(seen), "estimator")):
            print(line, flush=True)
        return SUCCESS
    if unknown := [word for word in require if word not in VERDICTS]:
        raise ValueError(f"--require takes one of {', '.join(VERDICTS)}, got {unknown[0]}")
    subjects = [functions.subject_of(function, target, seed) for target, function in loaded]
    for job in combinations.expanded([*settings, *place]) if settings else []:
        shown = " ".join(word for word in job if word.startswith("attention"))
        subjects.append(mechanisms.subject_of(job, shown, seed))
    found = [certificate_of(subject, objective) for subject in subjects]
    if json:
        texts = [one.json() for one in found]
        print(texts[0] if len(texts) == 1 else "[" + ",\n".join(texts) + "]")
    else:
        print("\n\n".join(map(str, found)))
    wrong = [one for one in found if require and one.verdict not in require]
    if wrong:
        return said(FAILED, f"{wrong[0].name}: {' or '.join(require)} was required; {wrong[0].advice}")
    return SUCCESS
