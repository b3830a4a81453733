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

from typing import Any, get_args

from attnlab.certification.certificate import VERDICTS
from attnlab.certification.loading import load
from attnlab.cli.answers import FAILED, SUCCESS, answered, parser, said
from attnlab.config import combinations
from attnlab.config.arguments import overrides_in
from attnlab.progress import counting, tell
from attnlab.settings import Credit


def certify(arguments: list[str], doc: str | None) -> int:
    """`scripts/certify.py`: what the mean of an estimator is, beside the exact gradient."""
    options = parser("certify", "[MODULE:FUNCTION ... | KEY=VALUE ...] [options]", doc)
    told = "functions of your own, or settings of attention; several are certified one after the other"
    options.add_argument("estimators", nargs="*", metavar="MODULE:FUNCTION", help=told)
    options.add_argument("--objective", metavar="WORD", help="what it is held to; by its kind unless given")
    told = (
        "which losses a mechanism's choice may change, and every path of choices is enumerated: of its own "
    )
    told += "step (%(default)s, unless given), of later steps too, of all of the row"
    options.add_argument("--reach", default="step", metavar="step|later|all", help=told)
    options.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the problems; %(default)s unless given"
    )
    told = "exit code 1 unless the verdict is this one; may be given several times"
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
    reach: Any,
    seed: int,
    require: list[str],
    json: bool,
    markdown: bool,
    config_dir: str | None,
) -> int:
    settings = [word for word in estimators if "=" in word]
    if foreign := [word for word in settings if not word.startswith(("attention=", "attention."))]:
        raise ValueError(f"{foreign[0]} is no setting of attention, and nothing else is certified")
    if seed < 0:
        raise ValueError(f"--seed must be at least 0, got {seed}")
    if unknown := [word for word in require if word not in VERDICTS]:
        raise ValueError(f"--require takes one of {', '.join(VERDICTS)}, got {unknown[0]!r}")
    if reach not in get_args(Credit):
        raise ValueError(f"--reach takes one of {', '.join(get_args(Credit))}, got {reach!r}")
    if reach != "step" and (not settings or len(settings) < len(estimators)):
        raise ValueError("--reach goes with mechanisms alone, attention=NAME")
    if not estimators:
        if objective or require or json:
            raise ValueError("--objective, --require and --json go with an estimator, MODULE:FUNCTION")
        return _everything(seed, markdown)
    if markdown:
        raise ValueError("--markdown writes the page of all estimators that are known, and takes none")
    loaded = {word: load(word) for word in estimators if "=" not in word}
    place = overrides_in([f"--config-dir={config_dir}"]) if config_dir is not None else []

    import torch

    from attnlab.certification import certifying, functions, mechanisms

    torch.set_num_threads(1)  # small tensors are fastest with one
    subjects = [functions.subject_of(function, name, seed) for name, function in loaded.items()]
    for job in combinations.expanded([*settings, *place]) if settings else []:
        name = " ".join(word for word in job if word.startswith("attention"))
        subjects.append(mechanisms.subject_of(job, name, seed, reach))
    found = [certifying.certificate_of(subject, objective, seed) for subject in subjects]
    texts = [one.json() if json else str(one) for one in found]
    print(f"[{', '.join(texts)}]" if json and len(texts) > 1 else "\n\n".join(texts))
    for one in found:
        if require and one.verdict not in require:
            return said(FAILED, f"{one.name}: {' or '.join(require)} was required; {one.advice}")
    return SUCCESS


def _everything(seed: int, markdown: bool) -> int:
    tell("certifying every estimator that is known; loading torch")
    import torch

    from attnlab.certification import page

    torch.set_num_threads(1)
    jobs = [*page.published_jobs(seed), *page.mechanism_jobs(seed)]
    for line in (page.lines if markdown else page.brief)(counting(jobs, len(jobs), "estimator")):
        print(line, flush=True)
    return SUCCESS
