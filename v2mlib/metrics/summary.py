"""The summary of a table of errors: means, intervals, paired differences, skills."""


def summarise(
    table,
    *,
    baseline=None,
    ceiling=None,
    by=("all", "m", "f"),
    column="error",
    world="default",
    n_resamples=4000,
    seed=0,
    level=0.95,
):
    """Mean errors with bootstrap intervals over identities."""
    raise NotImplementedError
