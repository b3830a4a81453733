"""Text for people: 80 columns at most; a path or another long word may exceed them, so that it can be
copied."""

import base64
import textwrap
import traceback

WIDTH = 80
_UNBROKEN = "\N{NO-BREAK SPACE}"


def filled(text: str, indent: int = 0, hang: int = 0) -> str:
    """One paragraph, `indent` columns from the left; what goes on below is `hang` columns further in."""
    first, below = " " * indent, " " * (indent + hang)
    wrapper = textwrap.TextWrapper(WIDTH, first, below, break_long_words=False, break_on_hyphens=False)
    return wrapper.fill(text).replace(_UNBROKEN, " ")


def wrapped(text: str) -> str:
    """Line by line, each as far in as it was; what does not fit goes on below, two columns further in."""
    return "\n".join(filled(line.strip(), len(line) - len(line.lstrip()), 2) for line in text.splitlines())


def unbroken(command: str) -> str:
    """A command that is to be pasted, and so stays in one line where the text around it is filled."""
    return command.replace(" ", _UNBROKEN)


def counted(count: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count:,} {noun}" + "s" * (count != 1)


def data_uri(png: bytes) -> str:
    """A picture as the address of an image that a page carries in itself."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def failure(error: BaseException, file: str | None = None) -> str:
    """That code of a person's own failed, why, and where: in their file, where that is known."""
    frames = traceback.extract_tb(error.__traceback__)
    last = next((frame for frame in reversed(frames) if frame.filename == file), frames[-1])
    said = "".join(traceback.TracebackException.from_exception(error).format_exception_only()).strip()
    # a refusal of a person's own is theirs to word; a library's error may be pages long
    reason = said if isinstance(error, ValueError) else said.splitlines()[0]
    return f"fails with {reason} ({last.filename}, line {last.lineno})"
