"""``python -m herder``: the command line of the herder that this Python has."""

from herder.cli import main

main()
