"""Attention: interfaces, scores, distributions, selectors, estimators, baselines, evaluation rules."""
