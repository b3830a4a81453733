"""What mechanisms are made of: interfaces, attention, scores,
distributions, selectors, estimators, baselines."""
