"""How many of the most sensitive layers must stay float, so that an int8 network keeps its accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from herder.errors import ConfigError


def fewest_float_layers(
    drop_with: Callable[[Sequence[str]], float], most_sensitive_first: Callable[[], Sequence[str]], max_drop: float
) -> Sequence[str]:
    """The layers to keep in float so that no more than ``max_drop`` of accuracy is lost; empty where none need to.

    ``drop_with`` quantizes all layers but those and tells what was lost; ``most_sensitive_first`` is asked for the
    order only where all layers in int8 lose too much. Numbers of layers are doubled until the drop is small enough (up
    to half of all layers: beyond, little is int8), then halved back to within a quarter. Raises ConfigError where even
    that loses too much, and says what came nearest.

    >>> drops = {0: 0.3, 1: 0.2, 2: 0.05, 4: 0.01, 3: 0.02}
    >>> fewest_float_layers(lambda kept: drops[len(kept)], lambda: list("abcdefgh"), 0.02)
    ['a', 'b', 'c']
    """
    tried = {0: drop_with([])}
    if tried[0] <= max_drop:
        return []
    layers = list(most_sensitive_first())
    most = max(1, len(layers) // 2)
    failed, count = 0, 1
    while (drop := drop_with(layers[:count])) > max_drop:
        tried[count] = drop
        if count == most:
            nearest = min(tried, key=lambda k: tried[k])
            raise ConfigError(
                f"max_drop: {max_drop:g} mAP50, but the best int8 file loses {tried[nearest]:.4f}"
                f" ({nearest} of {len(layers)} layers in float)",
                hint=f"allow {tried[nearest]:.3g}, use more photos, or train with --method aware",
            )
        failed, count = count, min(2 * count, most)
    while count - failed > max(1, count // 4):
        middle = (failed + count) // 2
        tried[middle] = drop_with(layers[:middle])
        failed, count = (failed, middle) if tried[middle] <= max_drop else (middle, count)
    return layers[:count]
