"""What may be typed: composing, checking, explaining. Hydra's private doors are used here alone."""
