"""The detector's network: blocks, families, assignment, losses, files."""
