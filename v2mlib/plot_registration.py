"""Pictures and charts of registration by region. Data in, a picture or figure out."""

import numpy as np
import plotly.graph_objects as go

from v2mlib.faces import REGIONS
from v2mlib.plot_tables import COLOURS
from v2mlib.plots import PALETTE, ROLES, colour_of, template
from v2mlib.widgets.packing import as_array
from v2mlib.widgets.stills import beside, still

#: A colour for each region, the same on both sides of the face.
REGION_COLOURS = {
    "left_eye": PALETTE[0],
    "right_eye": PALETTE[5],
    "nose": PALETTE[4],
    "mouth": PALETTE[1],
    "left_cheek": PALETTE[2],
    "right_cheek": PALETTE[3],
}
_ROLES = {
    "supervised": ROLES["model"],
    "unsupervised": COLOURS["unsupervised"],
    "shuffled_within_sex": ROLES["another_voice"],
}
_SKIN = (0.86, 0.84, 0.81)


def region_colours(model):
    """Paint the regions of a face model.

    Parameters
    ----------
    model : MorphableModel
        Names its regions.

    Returns
    -------
    ndarray, (vertex, rgb=3)
        sRGB from 0 to 1; plain where a vertex is in no region.
    """
    colours = np.tile(_SKIN, (model.n_vertices, 1))
    for name in REGIONS:
        painted = [int(REGION_COLOURS[name][k : k + 2], 16) / 255 for k in (1, 3, 5)]
        colours[as_array(model.region(name)).astype(int)] = painted
    return colours


def regions(model, vertices=None, *, cameras=("front", "three_quarter", "profile"), size=320):
    """Draw the regions on a face.

    Parameters
    ----------
    model : MorphableModel
        Names its regions.
    vertices : array_like, (vertex, xyz=3), mm, optional
        The face; the mean face by default.
    cameras : sequence of str
        From where.
    size : int, pixels
        Of each picture.

    Returns
    -------
    PIL.Image.Image
        The views side by side.
    """
    vertices = as_array(model.mean if vertices is None else vertices)
    colours, triangles = region_colours(model), as_array(model.triangles).astype(int)
    return beside(
        [
            still(vertices, triangles, colours=colours, camera=camera, size=(size, size))
            for camera in cameras
        ]
    )


def changes(table, *, title=None, axis="change of RMSE (%)"):
    """Dots with intervals by region and method, about a line at zero.

    Parameters
    ----------
    table : DataFrame
        Columns ``region``, ``method``, ``change_percent``, ``change_percent_ci_low`` and
        ``change_percent_ci_high``.
    title : str, optional
        Heading.
    axis : str
        Name and unit of the numbers.

    Returns
    -------
    plotly.graph_objects.Figure
        First region on top; left of zero is better than the baseline.
    """
    names = list(dict.fromkeys(table["region"]))
    figure = go.Figure()
    groups = list(table.groupby("method", sort=False))
    for index, (method, rows) in enumerate(groups):
        lift = (index - (len(groups) - 1) / 2) * 0.6 / len(groups)
        low, value, high = (rows[f"change_percent{end}"] for end in ("_ci_low", "", "_ci_high"))
        figure.add_scatter(
            x=value, y=[names.index(region) + lift for region in rows["region"]], mode="markers",
            name=method.replace("_", " "),
            marker={"size": 8, "color": _ROLES.get(method) or colour_of(method, index)},
            error_x={"type": "data", "symmetric": False, "array": (high - value).to_numpy(),
                     "arrayminus": (value - low).to_numpy()},
        )  # fmt: skip
    figure.add_vline(x=0, line={"dash": "dot", "width": 1.5})
    figure.update_yaxes(
        autorange="reversed", tickvals=list(range(len(names))),
        ticktext=[name.replace("_", " ") for name in names],
    )  # fmt: skip
    figure.update_xaxes(title={"text": axis})
    figure.update_layout(
        template=template(), height=150 + 46 * len(names), title={"text": title or ""},
        showlegend=True,
    )  # fmt: skip
    return figure
