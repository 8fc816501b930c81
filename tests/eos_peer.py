"""The Surrey face model inside `eos`, built from its public arrays, and eos' fits measured."""

import numpy as np

N_ITERATIONS = 5
#: eos' regularisation: 30 on coefficients in standard deviations, over a landmark variance of 3.
EOS_LAMBDA, EOS_VARIANCE = 30.0, 3.0
#: The same prior as a landmark noise, for `FitConfig`.
EQUAL_NOISE_PX = (EOS_LAMBDA * EOS_VARIANCE) ** 0.5
#: eos leaves the landmark variance out of its fit of expressions.
EQUAL_EXPRESSION_PRIOR = 1 / EOS_VARIANCE
SIZE = 450  # pixels of AFLW2000's pictures


class EosPeer:
    """eos' own model and fit, on the landmarks that the Surrey model has."""

    def __init__(self, npz, folder):
        import eos

        self.eos = eos
        with np.load(npz, allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}

        def column(values):
            return np.asarray(values, np.float32).reshape(-1, 1)

        shape = eos.morphablemodel.PcaModel(
            column(stored["mean"]),
            stored["basis"].astype(np.float32),
            column(stored["eigenvalues"]),
            stored["triangles"].tolist(),
        )
        expressions = []
        for name, field in zip(stored["expression_names"], stored["expression"], strict=True):
            expression = eos.morphablemodel.Blendshape()
            expression.name, expression.deformation = str(name), field.reshape(-1)
            expressions.append(expression)
        colour = eos.morphablemodel.PcaModel()
        self.model = eos.morphablemodel.MorphableModel(shape, expressions, colour)
        self.vertices = stored["landmarks68"]
        self.kept = np.flatnonzero(self.vertices >= 0)
        lines = [f"{i + 1} = {self.vertices[i]}\n" for i in self.kept]
        mapping = folder / "ibug.toml"
        mapping.write_text("[landmark_mappings]\n" + "".join(lines))
        self.mapper = eos.core.LandmarkMapper(str(mapping))

    def landmarks(self, points):
        """Lists of eos landmarks of faces (face, 68, 2)."""
        make = self.eos.core.Landmark
        points = np.asarray(points, np.float32)
        return [[make(str(i + 1), face[i]) for i in self.kept] for face in points]

    def fit(self, landmarks):
        """Fit one face: mesh, rendering parameters, coefficients."""
        return self.eos.fitting.fit_shape_and_pose(
            self.model, landmarks, self.mapper, SIZE, SIZE, N_ITERATIONS, None, EOS_LAMBDA, None,
            EOS_LAMBDA,
        )  # fmt: skip

    def residual(self, fitted, points):
        """Root mean square distance (pixels) of a fit from landmarks (68, 2)."""
        mesh, rendering, *_ = fitted
        vertices = np.asarray(mesh.vertices)[self.vertices[self.kept], :3]
        view, projection = (np.asarray(m()) for m in (rendering.get_modelview,
                                                      rendering.get_projection))  # fmt: skip
        seen = vertices @ view[:3, :3].T + view[:3, 3]
        # Row 0 and column 3 of the orthographic projection, whichever way round it is stored.
        scale = projection[[0, 1], [0, 1]] * SIZE / 2
        pixels = seen[:, :2] * scale
        pixels[:, 1] = SIZE - pixels[:, 1]
        return float(np.sqrt(((pixels - points[self.kept]) ** 2).sum(1).mean()))
