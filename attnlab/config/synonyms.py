"""What a person may have meant by a word that names nothing here: spelling, other names in use, and where a
setting lives."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from attnlab.config.choice_files import settings_in
from attnlab.config.places import CONFIGS
from attnlab.config.signatures import UnknownTarget, meaning_of
from attnlab.text import filled

GROUPS = ("attention", "score", "task", "model", "optimizer")

CHOICES = {
    "attention": {
        "softmax softargmax softattention global dense": "soft",
        "argmax": "argmax_straight_through hard_exact",
        "hardmax onehot": "argmax_straight_through hard_straight_through",
        "hard hardattention stochastic": "hard_reinforce hard_straight_through hard_exact",
        "straightthrough st ste": "hard_straight_through argmax_straight_through",
        "reinforce scorefunction policygradient rloo montecarlo": "hard_reinforce",
        "gumbel concrete gumbelsoftmax": "gumbel_softmax gumbel_straight_through gumbel_rao",
        "gumbelmax gumbelst": "gumbel_straight_through",
        "entmax": "entmax15 entmax_alpha",
        "sparse": "sparsemax entmax15 entmax_alpha topk",
        "offbyone quiet softmax1 attentionsink": "sink",
        "stickbreaking geometric": "stick_breaking",
        "window sliding": "local",
        "ssmax scalablesoftmax scaled": "log_length adaptive_temperature",
        "exact enumeration enumerate": "hard_exact hard_marginal",
        "marginal latent": "hard_marginal hard_chain variational",
        "vae elbo inference posterior": "variational variational_exact variational_gumbel",
        "chain hmm markov monotonic alignment": "hard_chain",
        "mean average": "uniform",
        "gold supervised": "oracle",
    },
    "score": {"bahdanau mlp concat": "additive", "luong bilinear": "general", "sdpa scaled": "scaled_dot"},
    "model": {"rnn seq2seq": "lstm gru"},
    "optimizer": {"adamw": "adam"},
}
"""Group -> other names in use, small letters without signs -> what they may mean here."""

KEYS = {
    "steps iterations iters updates numsteps trainsteps trainingsteps": "trainer.max_steps",
    "epochs numepochs epoch": "trainer.max_epochs",
    "length len maxlength maxlen seqlen sequencelength minlength": "task.shortest task.longest",
    "learningrate rate": "optimizer.lr",
    "hidden hiddendim dim width dmodel size units": "model.hidden_size",
    "embedding emb embeddingdim embed": "model.embedding_size",
    "batch bs batchsize": "batch_size",
    "device gpu cuda gpus": "trainer.accelerator trainer.devices",
    "clip gradclip clipping maxgradnorm": "trainer.gradient_clip_val",
    "fp16 bf16 amp half": "trainer.precision",
    "vocab vocabsize alphabet numsymbols": "task.symbols",
    "out output outputdir outdir logdir savedir dir": "runs_dir",
    "logevery loginterval": "trainer.log_every_n_steps",
    "valevery evalevery validateevery evalinterval": "task.steps_per_epoch trainer.val_check_interval",
    "workers numworkers cpus": "threads",
    "numsamples nsamples k": "attention.samples",
    "inversetemperature": "attention.beta",
    "temp tau temperature": "attention.temperature",
    "rule readout": "evaluate_as",
    "mechanism attn": "attention",
    "dataset data problem": "task",
    "optim optimiser": "optimizer",
    "arch architecture network net": "model",
    "restart overwrite force": "fresh",
}
"""Other names in use, small letters without signs -> the keys that they may mean."""


def choice_meant(group: str, choice: Any, offered: list[str]) -> str:
    """A "did you mean" for a choice that does not exist, and a line on each of what may be meant."""
    word = _bare(str(choice))
    names = [name for name in _looked_up(word, CHOICES.get(group, {})) if name in offered]
    names += [name for name in offered if _bare(name) == word]
    close = names or get_close_matches(str(choice).lower(), offered, 3, 0.75)
    lines = [filled(f"{name}: {_meaning(group, name)}", 2, 2) for name in close if _meaning(group, name)]
    return "\n".join([_meant_one_of(close), *lines])


def key_meant(key: str, value: Any, known: list[str]) -> str:
    """Where a setting lives that is not there under the name typed; "" where nobody knows."""
    group, _, name = key.rpartition(".")
    targets = _looked_up(_bare(name), KEYS)
    is_temperature = "attention.temperature" in (key, *targets) and group in ("", "attention")
    if is_temperature and "attention.temperature" not in known and "attention.beta" in known:
        return f"; beta = 1 / temperature{_inverse(value)}"
    there = [target for target in targets if target in known]
    if not there and (close := _close(key, known)):
        return _meant_one_of(close)
    return _meant_one_of(there) or "".join(_owners(group, name))


def _meant_one_of(names: list[str]) -> str:
    """`; did you mean a or b?`; nothing where there is nothing."""
    return f"; did you mean {' or '.join(names)}?" if names else ""


def _close(word: str, known: list[str]) -> list[str]:
    """What is spelt alike, by the whole path or by its last part."""
    last, lasts = word.rpartition(".")[2], [name.rpartition(".")[2] for name in known]
    alike = get_close_matches(last, [last, *lasts], 4, 0.75)
    close = get_close_matches(word, known, 3, 0.75)
    close += [name for name, end in zip(known, lasts, strict=True) if end in alike]
    return [name for name in dict.fromkeys(close) if "." in name or "." not in word][:3]


def _inverse(value: Any) -> str:
    """The value of beta that a temperature stands for, as it is typed."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return f": for a temperature of {value:g}, type attention.beta={1 / value:g}" if is_number else ""


def _owners(group: str, name: str) -> Iterator[str]:
    """The choices that have a setting of a name, of one group or of every one."""
    for place in [group] if group else GROUPS:
        paths = sorted((CONFIGS / place).glob("[!_]*.yaml"))
        owners = [path.stem for path in paths if name in settings_in(path)]
        if owners and name:
            yield f"; {place}.{name} is a setting of {place}={', '.join(owners)}"


def _meaning(group: str, choice: str) -> str:
    """What a choice computes, by the docstring of its factory."""
    path = CONFIGS / group / f"{choice}.yaml"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    target = re.search(r"^_target_: (\S+)", text, re.MULTILINE)
    try:
        return meaning_of(target[1]) if target else ""
    except UnknownTarget:
        return ""


def _looked_up(word: str, table: Mapping[str, str]) -> list[str]:
    return [name for words, names in table.items() if word in words.split() for name in names.split()]


def _bare(word: str) -> str:
    """Small letters and digits alone, so that `Hard-Max` is hardmax."""
    return re.sub(r"[^a-z0-9]", "", word.lower())
