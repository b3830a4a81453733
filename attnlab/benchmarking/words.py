"""Made-up words to inflect, of the sizes of the published small setting, where no file of anyone's is at
hand."""

import random
from pathlib import Path

_LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
_FEATURES = [f"F{number}" for number in range(30)]
EXAMPLES = 1000


def write(folder: Path) -> list[str]:
    """Files of words in a folder: train.tsv, and exam.tsv for validation and test. The overrides of a run
    that reads them by the published small setting.

    A source is three features and 5 to 15 letters, its target the letters behind a prefix for the first
    feature, less the last; both symbols enough and of lengths like those of inflection tables.
    """
    rng = random.Random(0)
    for name, number in (("train", EXAMPLES), ("exam", 20)):
        lines = "".join(f"{_line(rng)}\n" for _ in range(number))
        (folder / f"{name}.tsv").write_text(lines, encoding="utf-8")
    train, exam = (f"'{folder / name}.tsv'" for name in ("train", "exam"))
    return ["experiment=published_small", f"task.train={train}", f"task.val={exam}", f"task.test={exam}"]


def _line(rng: random.Random) -> str:
    features = sorted(rng.sample(_FEATURES, 3))
    letters = rng.choices(_LETTERS, k=rng.randint(5, 15))
    prefix = _LETTERS[int(features[0][1:]) % len(_LETTERS)]
    return f"{' '.join(features + letters)}\t{' '.join([prefix, *letters[:-1]])}"
