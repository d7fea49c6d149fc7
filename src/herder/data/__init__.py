"""From labelled photos on disk to batches for training."""
