"""The tour as a TensorBoard run: every figure as an image, and softargmax and gradient norm as curves over
beta."""

import io
from collections.abc import Mapping
from pathlib import Path

import torch
from matplotlib.image import imread
from torch.utils.tensorboard import SummaryWriter

from attnlab import functional
from attnlab.tour.example import SCORES
from attnlab.tour.training import gradient_norms

STEPS = torch.arange(1, 101)  # tenths of beta, since TensorBoard counts steps in whole numbers


def write(images: Mapping[str, bytes], folder: Path) -> None:
    """Write the run; event files of an earlier tour are replaced."""
    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    betas = STEPS.double() / 10
    with SummaryWriter(str(folder)) as writer:
        for name, png in images.items():
            pixels = imread(io.BytesIO(png), format="png")  # height width RGBA, from 0 to 1
            writer.add_image(f"tour/{name.removesuffix('.png')}", pixels, dataformats="HWC")
        for step, beta, norm in zip(STEPS.tolist(), betas.tolist(), gradient_norms(betas), strict=True):
            writer.add_scalar("beta_times_10/softargmax", functional.softargmax(SCORES, beta), step)
            writer.add_scalar("beta_times_10/gradient_norm", norm, step)
