"""What Hydra does beside composing: completing words at the Tab key, and telling about itself. torch is not
imported."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Sequence

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from attnlab import shell
from attnlab.cli.answers import BAD_INPUT, said, shown
from attnlab.cli.main import COMMANDS
from attnlab.config import doors
from attnlab.config.overrides import first_lines
from attnlab.config.places import CONFIGS
from attnlab.text import unbroken

FLAGS = ("--cfg", "-c", "--info", "-i", "--shell-completion", "-sc", "--hydra-help", "--version", "--resolve")
_NO_WORD = re.compile(r"_target_|=_\w+$")
"""What completion would offer and nobody types: factories, and files that others take over."""
# whose outcome Hydra ignores: the Tab key would run any script
_ANY_SCRIPT = 'grep "@hydra.main" $file_path -q\n'
_OUR_SCRIPT = 'grep -q "from attnlab.cli import train" "$file_path" || return\n'
_ANY_PROGRAM = """    else
        helper="${words[0]}"
        true
"""
_OUR_PROGRAM = """    elif [ "${words[1]}" == "train" ]; then
        helper="${words[0]} train"
    else
        (( COMP_CWORD == 1 )) && COMPREPLY=($( compgen -W "%s" -- "${words[1]}" ))
        return
"""


def service(arguments: Sequence[str]) -> int:
    """Answer a command line with one of Hydra's own flags."""
    completion = {"-sc", "--shell-completion"} & set(arguments)
    if completion and not any(
        re.fullmatch("(install|uninstall|query)=(bash|fish|zsh)", text) for text in arguments
    ):
        return said(
            BAD_INPUT,
            "completion is installed by\n"
            + unbroken(f'eval "$({shell.script("train", "-sc", "install=bash")})"'),
        )
    asked = bool(completion) and any(text.startswith("query=") for text in arguments)
    if asked:  # Hydra strips one word before the overrides, and `attnlab train` is two
        os.environ["COMP_LINE"] = re.sub(
            r"^(\s*\S*attnlab)\s+train\b", r"\1", os.environ.get("COMP_LINE", "")
        )
    # nothing amid what is typed
    quiet = contextlib.redirect_stderr(io.StringIO()) if asked else contextlib.nullcontext()
    try:
        with contextlib.redirect_stdout(io.StringIO()) as printed, quiet:
            assert any(flag in sys.argv for flag in FLAGS)
            doors.answer(CONFIGS, "train")
    except (HydraException, OmegaConfBaseException) as error:
        return said(BAD_INPUT, first_lines(error))
    ours = _OUR_PROGRAM % " ".join(COMMANDS)
    text = printed.getvalue().replace(_ANY_SCRIPT, _OUR_SCRIPT).replace(_ANY_PROGRAM, ours).rstrip()
    return shown(" ".join(word for word in text.split() if not _NO_WORD.search(word)) if asked else text)
