"""Options that take several words, as in ``--classes Alpaca Llama --splits train test``.

Click knows options that are given again and again, and none that take as many words as there are: here the second form
is turned into the first before Click sees it.
"""

from __future__ import annotations

from collections.abc import Collection

import click
from typer.core import TyperCommand


def spread(words: list[str], options: Collection[str]) -> list[str]:
    """The command line with each of these options before each of its words.

    >>> spread(["--classes", "Alpaca", "Llama", "--limit", "9"], ["--classes"])
    ['--classes', 'Alpaca', '--classes', 'Llama', '--limit', '9']
    """
    found: list[str] = []
    option, fresh = "", False
    for word in words:
        name, equals, _ = word.partition("=")
        if word.startswith("-") and word != "-":
            option = name if name in options else ""
            fresh = bool(option) and not equals
            found.append(word)
            continue
        if option and not fresh:
            found.append(option)
        found.append(word)
        fresh = False
    return found


class ManyValues(TyperCommand):
    """A command each of whose options that may be given again takes several words as well; it has no arguments."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Click's own, after ``spread``."""
        several = [name for param in self.params if param.multiple for name in param.opts]
        return super().parse_args(ctx, spread(args, several))
