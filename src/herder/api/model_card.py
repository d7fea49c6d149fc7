"""The facts in a shipped model's card: a block of Markdown between two marks, made from the catalogue.

People write the card around it; ``herder models pack`` writes the block anew, and ``herder models verify`` refuses a
card whose block says something else than the catalogue.
"""

from __future__ import annotations

from herder.catalogue import ShippedModel
from herder.errors import ModelFileError

BEGIN, END = "<!-- herder models pack: begin -->", "<!-- herder models pack: end -->"


def facts_block(model: ShippedModel) -> str:
    """The block with its marks.

    >>> from herder.catalogue import ShippedFile
    >>> files = (ShippedFile("weights", "a.safetensors", 1_900_000, "0" * 64),)
    >>> print(facts_block(ShippedModel("a", "1.0", ("alpaca",), "Apache-2.0", "drawn", "a.md", files)))
    <!-- herder models pack: begin -->
    | | |
    |---|---|
    | Name | a |
    | Version | 1.0 |
    | Classes | alpaca |
    | Licence | Apache-2.0 |
    | Starting weights | drawn |
    <BLANKLINE>
    | File | Role | Bytes | SHA-256 |
    |---|---|---|---|
    | a.safetensors | weights | 1,900,000 | `0000000000000000000000000000000000000000000000000000000000000000` |
    <!-- herder models pack: end -->
    """
    facts = [
        ("Name", model.name),
        ("Version", model.version),
        ("Classes", ", ".join(model.class_names)),
        ("Licence", model.licence),
        ("Starting weights", model.origin),
    ]
    lines = [BEGIN, "| | |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in facts), ""]
    lines += ["| File | Role | Bytes | SHA-256 |", "|---|---|---|---|"]
    lines += [f"| {f.name} | {f.role} | {f.bytes:,} | `{f.sha256}` |" for f in model.files]
    return "\n".join([*lines, END])


def with_facts(card: str, model: ShippedModel) -> str:
    """``card`` with the block of ``model``: in place of the one it has, else below its first heading.

    Raises ModelFileError for a card with one mark, or with several blocks.
    """
    if card.count(BEGIN) != card.count(END) or card.count(BEGIN) > 1:
        raise ModelFileError(f"{model.card}: wanted one block between {BEGIN} and {END}", hint="delete the marks")
    block = facts_block(model)
    if BEGIN in card:
        before, rest = card.split(BEGIN)
        return before + block + rest.partition(END)[2]
    heading, line, rest = card.partition("\n") if card.startswith("# ") else (f"# {model.name}", "\n", "\n" + card)
    return f"{heading}{line}\n{block}\n{rest}" if rest.strip() else f"{heading}\n\n{block}\n"


def card_problem(card: str, model: ShippedModel) -> str:
    """What is wrong with a card's facts; empty where they are the catalogue's."""
    if BEGIN not in card:
        return "has no block of facts"
    found = card[card.index(BEGIN) :]
    found = found[: found.find(END) + len(END)] if END in found else found
    if found == facts_block(model):
        return ""
    pairs = zip(found.splitlines(), facts_block(model).splitlines(), strict=False)
    told, wanted = next(((a, b) for a, b in pairs if a != b), ("", "other lines"))
    return f"says {told.strip()!r}, the catalogue {wanted.strip()!r}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
