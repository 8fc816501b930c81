"""One tidy table of errors: a row per identity, method and measure."""


def evaluate(
    predictions,
    references,
    model,
    *,
    identities=None,
    sex=None,
    measures=("are", "nme", "lines", "vertex"),
    definitions=None,
    regions=None,
    progress=False,
):
    """Errors of several methods, a row per identity, method, measure and definition."""
    raise NotImplementedError
