"""The LightningModule and what it trains with: figures, optimizers, checkpoints, callbacks."""
