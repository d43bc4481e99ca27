"""Training: one command, Lightning + Hydra, resumable."""
