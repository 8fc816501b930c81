"""Make ``data/phantom_face.npz``: ``python -m v2mlib.faces.phantom.build``."""

import sys
from pathlib import Path

import numpy as np

from v2mlib.faces.phantom import anatomy, colours, population
from v2mlib.faces.phantom.expressions import expression_fields
from v2mlib.faces.phantom.head import head
from v2mlib.faces.rendering import ambient_occlusion
from v2mlib.files import atomic

FORMAT = "v2mlib phantom face 1"


def arrays():
    """Everything that the artefact stores; fields on the cage, to be expanded at load.

    Returns
    -------
    dict of str to ndarray
        See `v2mlib.faces.phantom.phantom_model`.
    """
    mean_head = head()
    modes = population.shape_modes(mean_head)
    expressions = expression_fields(mean_head)
    matrix = mean_head.matrix.tocsr()
    stored = {
        "cage": modes.mean.astype(np.float32),
        "shape": modes.basis.astype(np.float32),
        "expression": expressions.astype(np.float32),
        "sex_direction": modes.sex_direction.astype(np.float32),
        "controls_to_coefficients": modes.from_controls.astype(np.float32),
        "explained": np.float32(modes.explained),
        "matrix_data": matrix.data.astype(np.float32),
        "matrix_indices": matrix.indices.astype(np.uint16),
        "matrix_indptr": matrix.indptr.astype(np.int32),
        "occlusion": np.round(_occlusion(modes, mean_head) * 255).astype(np.uint8),
        "triangles": mean_head.triangles.astype(np.uint16),
        "landmarks": anatomy.landmarks(mean_head).astype(np.int32),
        "colours": np.round(colours.colours(mean_head) * 255).astype(np.uint8),
        "gloss": np.round(colours.gloss(mean_head) * 255).astype(np.uint8),
    }
    for group, pairs in (("line", anatomy.lines(mean_head)),
                         ("published", anatomy.published_lines(mean_head))):  # fmt: skip
        stored.update({f"{group}/{name}": np.array(p, np.int32) for name, p in pairs.items()})
    for name, members in anatomy.regions(mean_head).items():
        stored[f"region/{name}"] = members.astype(np.uint16)
    return stored


def _occlusion(modes, mean_head):
    """Share of the sky that each vertex of the mean face sees."""
    vertices = mean_head.matrix @ modes.mean
    # The mouth is closed on the mean face; open, it should not look like a black hole.
    mouth = mean_head.matrix @ np.array([n.startswith(("mouth", "teeth")) for n in mean_head.names])
    seen = ambient_occlusion(vertices, mean_head.triangles, rays=128)
    return np.maximum(seen, 0.25 * mouth)


def main(path=None):
    """Write the artefact.

    Parameters
    ----------
    path : path, optional
        Where; by default the repository's ``data/phantom_face.npz``.
    """
    path = Path(path) if path else Path(__file__).parents[3] / "data" / "phantom_face.npz"
    with atomic(path) as partial:
        np.savez_compressed(partial, format=np.array(FORMAT), **arrays())
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:2])
