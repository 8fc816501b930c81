"""The published figures, each with the definition it was computed by."""


def published(table=None):
    """Read the published figures."""
    raise NotImplementedError


def compare_with_published(summary, *, data, published=None):
    """Our figures and the published ones side by side."""
    raise NotImplementedError
