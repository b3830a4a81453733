"""What may be said to Hydra itself: the launcher of a sweep, and folders with choices of one's own.

Its other settings would change nothing here, or break a run: each is refused with what to use instead.
Nothing here imports torch.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from attnlab.config.checking import GROUPS, ConfigurationError
from attnlab.config.overrides import key_of, parse, quoted
from attnlab.config.places import CONFIGS

_FOLDER = "use runs_dir: a run lies below it, in a folder named by what it is"
_LOG = "what a run says is in its train.log"
SWEEP = "-m with the values after a key, as in seed=0,1,2, makes a sweep of every combination"
HELP = "use --help"
INSTEAD = {
    "run": _FOLDER,
    "sweep": _FOLDER,
    "output_subdir": _FOLDER,
    "job": "a job starts in the folder where the command is typed, and variables are those of the shell",
    "mode": SWEEP,
    "sweeper": SWEEP,
    "verbose": _LOG,
    "job_logging": _LOG,
    "hydra_logging": _LOG,
    "callbacks": "use the group callbacks",
    "help": HELP,
    "hydra_help": HELP,
    "env": "variables are those of the shell",
    "searchpath": "use --config-dir DIR",
}
"""The first word behind hydra. or hydra/ -> what to use instead."""
_OPTIONS = {
    "--config-name": "experiment=NAME is DIR/experiment/NAME.yaml of --config-dir DIR",
    "--config-path": "use --config-dir DIR for choices of your own",
    "--package": "use key=value",
    "--run": "a run is what the command trains without it",
    "--experimental-rerun": "the same command typed again goes on with its run",
}
_SHORT = {"-cn": "--config-name", "-cp": "--config-path", "-p": "--package", "-r": "--run"}
OWN = (*GROUPS, "callbacks", "experiment", "hydra/launcher")


def is_engine(text: str) -> bool:
    """Whether an argument is about Hydra itself."""
    return key_of(text).startswith(("hydra.", "hydra/")) or key_of(text) == "hydra"


def is_launcher(text: str) -> bool:
    """Whether an argument is about the launcher of a sweep."""
    return key_of(text).startswith(("hydra.launcher.", "hydra/launcher"))


def refuse_option(argument: str) -> None:
    """Raises ConfigurationError for an option, with what to use instead where it is one of Hydra's."""
    word = argument.partition("=")[0]
    instead = _OPTIONS.get(_SHORT.get(word, word), "settings are given as key=value, --help lists them")
    raise ConfigurationError(f"{argument} is not an option; {instead}")


def refuse_foreign(overrides: Iterable[str]) -> None:
    """Raises ConfigurationError for what is said to Hydra and is neither a launcher nor a --config-dir."""
    for text in filter(is_engine, overrides):
        if not is_launcher(text) and key_of(text) != "hydra.searchpath":
            word = key_of(text).removeprefix("hydra")[1:].partition(".")[0]
            instead = INSTEAD.get(word, "of Hydra's own settings, hydra/launcher alone is one here")
            raise ConfigurationError(f"{key_of(text)} is not a setting; {instead}")


def search_path(folders: Sequence[Path]) -> list[str]:
    """Folders with choices of one's own as Hydra is told of them."""
    return (
        [f"hydra.searchpath=[{','.join(quoted(f'file://{folder}') for folder in folders)}]"]
        if folders
        else []
    )


def places_in(overrides: Iterable[str]) -> list[Path]:
    """Where choices lie: ours, then folders of a person's own. Raises ConfigurationError for what is none."""
    own: list[Path] = []
    for override in parse([text for text in overrides if key_of(text) == "hydra.searchpath"]):
        value = override.value()
        for place in value if isinstance(value, list) else [value]:
            folder = Path(str(place).removeprefix("file://"))
            if not str(place).startswith("file://") or not folder.is_dir():
                raise ConfigurationError(f"hydra.searchpath: {place} is no folder; {INSTEAD['searchpath']}")
            own.append(folder)
    return [CONFIGS, *own]


def refuse_hidden(places: Sequence[Path]) -> None:
    """Raises ConfigurationError for a choice of one's own that Hydra would pass over, as it has one of that
    name already."""
    seen: dict[str, Path] = {}
    for place in places:
        files = [path for group in OWN for path in (place / group).glob("*.yaml")] + [place / "train.yaml"]
        for path in filter(Path.is_file, files):
            name = str(path.relative_to(place))
            if name in seen and seen[name] != path:
                raise ConfigurationError(f"{path} would never be read: {seen[name]} has its name")
            seen[name] = path


def refuse_in_experiment(choice: Any, config: Any, engine: Any, without: Any) -> None:
    """Raises ConfigurationError for an experiment file that changes nothing, or something of Hydra's own.

    config: what stands under the key experiment, where a file lands that does not say it is for all keys.
    engine: Hydra's own settings with the experiment. without: those without it.
    """
    if config:
        raise ConfigurationError(
            f"experiment={choice} changes nothing: its file, and any that it names, must begin with the "
            "line\n# @package _global_"
        )
    instead = {**INSTEAD, "launcher": "name it on the command line: hydra/launcher=..."}
    ours, theirs = _written(engine), _written(without)
    for key in ours.keys() | theirs.keys():
        if ours.get(key) != theirs.get(key):
            told = instead.get(key, HELP)
            raise ConfigurationError(
                f"experiment={choice} sets hydra.{key}, which is no setting of a run; {told}"
            )


def _written(engine: Any) -> dict[Any, Any]:
    """Hydra's own settings less what they tell of the command line."""
    tree = OmegaConf.to_container(engine, resolve=False)
    assert isinstance(tree, dict)
    job = {key: value for key, value in tree["job"].items() if key != "override_dirname"}
    return {key: value for key, value in tree.items() if key not in ("overrides", "runtime")} | {"job": job}
