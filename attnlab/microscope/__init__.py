"""Gradient estimates of any mechanism for any loss, held against exact gradients by enumeration."""

from attnlab.microscope.gradients import exact_gradient, sample_gradients

__all__ = ["exact_gradient", "sample_gradients"]
