"""How learning rates change during a training."""

import math


def warm_cosine(step, n_steps, warmup):
    """Rise in a line, then fall to 0 along half a cosine.

    Parameters
    ----------
    step : int
        Number of the update, from 0.
    n_steps : int
        Updates in all.
    warmup : int
        Updates of the rise.

    Returns
    -------
    float
        Factor on the learning rate.

    Examples
    --------
    >>> [round(warm_cosine(step, 100, 10), 3) for step in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(n_steps - warmup, 1)))
