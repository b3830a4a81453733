"""Mechanisms: one file per family, each a selector with the estimator that trains it."""
