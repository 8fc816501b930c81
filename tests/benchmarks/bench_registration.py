"""Registration: ours beside Open3D, from the same start, with the same rule, as many steps.

Faces have about 37,000 vertices (each triangle of a face cut in four), regions 1,500 to 3,000: the
size of the published evaluation. Correspondences are rejected by distance only, because Open3D
knows no other rule; both are given points, normals and the start, and make the same number of
steps, so that their transforms are equal. The rows of whole evaluations time our public function
with its own rule (normals, rims, start and all) against Open3D's bare loop.
"""

import dataclasses
import os
from pathlib import Path

import numpy as np

# Open3D spreads its search over all cores whatever OMP_NUM_THREADS says: one core for both,
# before its threads exist.
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import open3d as o3d
import torch
from harness import Row

import v2mlib as v2m
from v2mlib.faces.geometry import align
from v2mlib.metrics import point_to_plane_rmse
from v2mlib.metrics.registration import RegistrationConfig
from v2mlib.metrics.registration.searching import fit, target_of
from v2mlib.metrics.registration.surfaces import patch_of, surface_of

REACH = 10.0
ICP = o3d.pipelines.registration
RULE = RegistrationConfig(REACH, 180, reject_boundary=False)
#: Predictions differ from references by about this many standard deviations per coefficient.
SPREAD = 0.5


def dense_model():
    """ICT-FaceKit where it is at hand, else the phantom, with every triangle cut in four."""
    data = Path(os.environ.get("V2M_REAL_DATA", Path(__file__).parents[3] / "shared/data"))
    real = data / "ict_facekit" / "ict_face_f32.npz"
    model = v2m.load_face_model(real if real.exists() else "phantom")
    corners = model.triangles
    edges = corners[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).sort(1).values
    edges, middle = edges.unique(dim=0, return_inverse=True)
    ab, bc, ca = (middle.reshape(-1, 3) + model.n_vertices).T
    a, b, c = corners.T
    parts = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    regions = {}
    for name, vertices in model.regions.items():
        inside = torch.zeros(model.n_vertices, dtype=torch.bool)
        inside[vertices] = True
        regions[name] = torch.cat([inside, inside[edges].all(1)]).nonzero()[:, 0]

    def dense(array):
        return torch.cat([array, array[edges].mean(1)])

    return dataclasses.replace(
        model,
        mean=dense(model.mean),
        shape_basis=dense(model.shape_basis),
        expression_basis=dense(model.expression_basis),
        triangles=torch.cat([torch.stack(part, 1) for part in parts]),
        regions=regions,
        colours=None,
        extras={},
        topology=f"{model.topology}, cut in four",
    )


class Pair:
    """Two faces cut to a patch, as both libraries want them."""

    def __init__(self, patch, a, b):
        a, b = surface_of(patch, a), surface_of(patch, b)
        start = align(a.points, b.points)
        self.everywhere = np.ones(len(a.points), bool)
        self.target = target_of(b, self.everywhere)
        self.still = b
        self.moving = type(a)(start.aligned, a.normals @ start.rotation.T)
        self.clouds = [self.cloud(surface) for surface in (self.moving, b)]
        self.steps = self.ours().steps

    def cloud(self, surface):
        cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(surface.points))
        cloud.normals = o3d.utility.Vector3dVector(surface.normals)
        return cloud

    def ours(self):
        return fit(self.moving, self.target, RULE, RULE.max_iterations)

    def ours_alone(self):
        """With the grid of the reference, which a whole evaluation builds once."""
        return fit(self.moving, target_of(self.still, self.everywhere), RULE, RULE.max_iterations)

    def open3d(self):
        criteria = ICP.ICPConvergenceCriteria(0.0, 0.0, self.steps)
        plane = ICP.TransformationEstimationPointToPlane()
        return ICP.registration_icp(*self.clouds, REACH, np.eye(4), plane, criteria)

    def check(self):
        """The comparison is only fair where both do the same."""
        ours, theirs = self.ours(), self.open3d()
        if ours.end == 0:
            apart = abs(ours.rotation - theirs.transformation[:3, :3]).max()
            assert apart < 1e-6, apart
        return self


def rows():
    """Yield the comparisons."""
    model = dense_model()
    random = np.random.default_rng(0)
    coefficients = random.normal(size=(10, model.n_shape)) * SPREAD
    faces = model.decode(coefficients).double().numpy()
    reference, predictions = faces[0], faces[1:]
    patches = [patch_of(model), *(patch_of(model, name) for name in v2m.faces.REGIONS)]
    for name, some in (("whole", patches[:1]), ("region", patches[1:])):
        pairs = [Pair(p, a, reference).check() for p in some for a in predictions[:3]]
        size = f"{name}, {int(np.mean([len(p.vertices) for p in some])):,} vertices"

        def each(method, pairs=pairs):
            return lambda: [getattr(pair, method)() for pair in pairs]

        count, peer = len(pairs), each("open3d")
        yield Row(f"register {size}", each("ours"), peer, "Open3D", count, "pairs")
        yield Row(f"register {size}, with grid", each("ours_alone"), peer, "Open3D", count, "pairs")
    pairs = [Pair(p, a, reference) for p in patches for a in predictions]

    def evaluation():
        for region in (None, *v2m.faces.REGIONS):
            point_to_plane_rmse(predictions, reference, model, region)

    yield Row(
        "one identity: 7 parts x 3 utterances x 3 methods",
        evaluation,
        lambda: [pair.open3d() for pair in pairs],
        "Open3D, ICP alone",
        len(pairs),
        "pairs",
    )
    if torch.cuda.is_available():
        onto = [torch.tensor(part, device="cuda") for part in (predictions, reference)]

        def on_device():
            for region in (None, *v2m.faces.REGIONS):
                point_to_plane_rmse(*onto, model, region)

        name = "one identity, graphics card"
        yield Row(name, on_device, evaluation, "compiled, one thread", len(pairs), "pairs")
