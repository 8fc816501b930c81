"""Several views in a row, which turn together."""

import ipywidgets

from v2mlib.checks import InputError
from v2mlib.widgets.stills import beside, with_picture


class SideBySide(ipywidgets.HBox):
    """Views in a row that leave one picture in a stored notebook."""

    def _repr_mimebundle_(self, **kwargs):
        pictures = [view._prepare((300, 300)) for view in self.children]
        return with_picture(super()._repr_mimebundle_(**kwargs), beside(pictures))


def side_by_side(views, *, link=None):
    """Put several faces in a row; turning one turns all.

    Parameters
    ----------
    views : sequence of MeshView
        The faces.
    link : str, optional
        Name of their shared camera; a new one by default.

    Returns
    -------
    SideBySide
        A widget.

    Raises
    ------
    InputError
        If there is no view.
    """
    views = list(views)
    if not views:
        raise InputError("views", "is empty", "give MeshView objects")
    for view in views:
        view.link = link or views[0].link or f"row {views[0].model_id}"
    row = SideBySide(views)
    row.layout.flex_flow = "row wrap"
    row.layout.grid_gap = "8px"
    return row
