"""The example in ten lines of `attnlab.functional`, as a person would type them, and what they print."""

import contextlib
import io

TEN_LINES = """\
import torch
from attnlab.functional import argmax, hardmax, softargmax, softmax

x = torch.tensor([0.1, 0.3, 0.6, 2.1, 0.55], requires_grad=True)
values = torch.tensor([[0.0, 0.5], [1.0, 3.0], [3.0, 3.5], [4.0, 1.0], [2.0, -1.0]])
print("argmax", argmax(x).item(), "reads", (hardmax(x) @ values).tolist())
for beta in (1, 3, 10):
    index, read = softargmax(x, beta), softmax(x, beta) @ values
    slope = torch.autograd.grad(index, x)[0].norm()
    print(f"beta {beta}: {index:.2f}, slope {slope:.4f}, reads {read[0]:.2f}, {read[1]:.2f}")
"""


def printed() -> str:
    """What the ten lines print."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(TEN_LINES, "<ten lines>", "exec"), {})
    return out.getvalue()
