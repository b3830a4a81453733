"""Launchers for engines that Hydra's own plugins do not serve."""
