"""The linear morphable face: ``vertices = mean + shape_basis @ a_s + expression_basis @ a_e``."""

import dataclasses
from typing import NamedTuple

import torch

from v2mlib.checks import ShapeError
from v2mlib.faces.named import DEFINITIONS, MISSING_LANDMARK, REGIONS, NamedAnatomy
from v2mlib.faces.validation import check_model

__all__ = ["DEFINITIONS", "MISSING_LANDMARK", "REGIONS", "Coefficients", "MorphableModel"]


class Coefficients(NamedTuple):
    """Shape and expression coefficients of the same faces; ``None`` where none were given."""

    shape: torch.Tensor | None
    expression: torch.Tensor | None


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class MorphableModel(NamedAnatomy):
    """A population of faces that share one topology.

    Arrays may be given as numpy arrays; they are kept as tensors, floats as float32 (or as the
    dtype of `mean` if that is a floating tensor). Axes of a face: x to the subject's left, y up,
    z out of the face; triangles wind anticlockwise seen from outside.

    A coefficient is *standardised* when it counts standard deviations from the population mean,
    and *raw* in the units of the source: ``raw = raw_mean + std * standardised``.

    Attributes
    ----------
    mean : array_like, (vertex, xyz=3), mm
        The face at standardised coefficients 0.
    shape_basis : array_like, (vertex, xyz=3, shape), mm per raw unit
        Displacement by one raw unit of each shape coefficient.
    expression_basis : array_like, (vertex, xyz=3, expression), mm per raw unit
        Displacement by one raw unit of each expression coefficient.
    shape_std : array_like, (shape,), raw units
        Standard deviation of each raw shape coefficient over the population.
    expression_std : array_like, (expression,), raw units
        The same for expressions; 1 where the source states none (blendshape weights).
    triangles : array_like, (triangle, 3)
        Vertex indices of each triangle.
    landmarks : array_like, (68,)
        Vertex indices of the 68 points in iBUG order; `MISSING_LANDMARK` where there is none.
    lines : dict of str to (int, int)
        Vertex pairs of the measured lines, corrected definition.
    published_lines : dict of str to (int, int)
        The pairs of the published evaluation (or, on another topology, of the same faults).
    substitute_lines : dict of str to (int, int)
        Replacements for published lines whose vertices this topology lacks.
    absences : dict of str to str
        Why a line is absent, and what to do: ``{"published ear": "..."}``.
    regions : dict of str to array_like of int
        Vertex indices of the named regions (`REGIONS`, and ``"whole"`` if not all vertices).
    colours : array_like, (vertex, rgb=3), optional
        Albedo of the mean face, sRGB in [0, 1].
    topology : str
        Name of the mesh; checked wherever two faces meet.
    name : str
        Name of the model.
    unit : str
        Always ``"mm"``.
    shape_raw_mean : array_like, (shape,), raw units, optional
        Raw shape coefficients of `mean`; 0 by default.
    expression_raw_mean : array_like, (expression,), raw units, optional
        Raw expression coefficients of `mean`; 0 by default.
    expression_names : sequence of str
        Names of the expression modes, where they have any; else empty.
    extras : dict of str to array_like
        Further arrays that travel with the model (``sex_direction`` ...).

    Raises
    ------
    ShapeError
        If the arrays do not fit together.
    InputError
        If an array holds NaN or infinity, an index points outside the mesh, a standard
        deviation is not positive, or the unit is not mm.

    References
    ----------
    Wu et al., "Voice2Mesh", Eq. 1.
    """

    mean: torch.Tensor
    shape_basis: torch.Tensor
    expression_basis: torch.Tensor
    shape_std: torch.Tensor
    expression_std: torch.Tensor
    triangles: torch.Tensor
    landmarks: torch.Tensor
    lines: dict = dataclasses.field(default_factory=dict)
    published_lines: dict = dataclasses.field(default_factory=dict)
    substitute_lines: dict = dataclasses.field(default_factory=dict)
    absences: dict = dataclasses.field(default_factory=dict)
    regions: dict = dataclasses.field(default_factory=dict)
    colours: torch.Tensor | None = None
    topology: str = "unnamed"
    name: str = "unnamed"
    unit: str = "mm"
    shape_raw_mean: torch.Tensor | None = None
    expression_raw_mean: torch.Tensor | None = None
    expression_names: tuple = ()
    extras: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        """Turn arrays into tensors and refuse what does not fit together."""
        is_float = isinstance(self.mean, torch.Tensor) and self.mean.is_floating_point()
        real = {"dtype": self.mean.dtype if is_float else torch.float32}
        device = self.mean.device if isinstance(self.mean, torch.Tensor) else None

        def put(field, value, **options):
            object.__setattr__(self, field, torch.as_tensor(value, device=device, **options))

        for field in ("mean", "shape_basis", "expression_basis", "shape_std", "expression_std"):
            put(field, getattr(self, field), **real)
        for part in ("shape", "expression"):
            given = getattr(self, f"{part}_raw_mean")
            zeros = torch.zeros_like(getattr(self, f"{part}_std"))
            put(f"{part}_raw_mean", zeros if given is None else given, **real)
        if self.colours is not None:
            put("colours", self.colours, **real)
        for field in ("triangles", "landmarks"):
            put(field, getattr(self, field), dtype=torch.int64)
        for field in ("regions", "extras"):
            dtype = {"dtype": torch.int64} if field == "regions" else {}
            tensors = {
                name: torch.as_tensor(array, device=device, **dtype)
                for name, array in getattr(self, field).items()
            }
            object.__setattr__(self, field, tensors)
        object.__setattr__(self, "expression_names", tuple(map(str, self.expression_names)))
        for field in DEFINITIONS.values():
            pairs = {name: (int(i), int(j)) for name, (i, j) in getattr(self, field).items()}
            object.__setattr__(self, field, pairs)
        check_model(self)

    def __repr__(self):
        return (
            f"MorphableModel({self.name!r}, topology={self.topology!r}, "
            f"{self.n_vertices} vertices, {self.n_shape} shape + {self.n_expression} expression)"
        )

    @property
    def n_vertices(self):
        """Number of vertices."""
        return self.mean.shape[0]

    @property
    def n_shape(self):
        """Number of shape modes."""
        return self.shape_std.shape[0]

    @property
    def n_expression(self):
        """Number of expression modes."""
        return self.expression_std.shape[0]

    def decode(self, shape, expression=None, *, vertices=None):
        """Faces from standardised coefficients (Eq. 1); differentiable.

        The number of coefficients must be the model's: a vector that is short by a slip would
        otherwise give a plausible wrong face. `truncated` makes a model of fewer modes.

        Parameters
        ----------
        shape : tensor or array_like, (..., shape), standard deviations
            Shape coefficients; any batch axes.
        expression : tensor or array_like, (..., expression), standard deviations, optional
            Expression coefficients, whose batch axes broadcast with those of `shape`. None is
            0, the population's mean expression; the neutral one is `neutral_expression`.
        vertices : tensor or array_like of int, (subset,), optional
            Decode these vertices only (landmarks, the ends of lines); by default all.

        Returns
        -------
        tensor, (..., vertex, xyz=3), mm
            The faces, on the model's device.

        Raises
        ------
        ShapeError
            If the number of coefficients is not the model's.
        """
        mean, bases = self.mean, (self.shape_basis, self.expression_basis)
        if vertices is not None:
            vertices = torch.as_tensor(vertices, device=mean.device)
            mean, bases = mean[vertices], [basis[vertices] for basis in bases]
        faces = self._displace(shape, bases[0], "shape")
        if expression is not None:
            faces = faces + self._displace(expression, bases[1], "expression")
        return faces + mean

    def _displace(self, coefficients, basis, part):
        coefficients = self._coefficients(coefficients, part)
        raw = coefficients * getattr(self, f"{part}_std")
        moved = torch.nn.functional.linear(raw, basis.flatten(0, 1))
        return moved.unflatten(-1, (-1, 3))

    def _coefficients(self, coefficients, part, dtype=None):
        coefficients = torch.as_tensor(
            coefficients, dtype=dtype or self.mean.dtype, device=self.mean.device
        )
        expected = getattr(self, f"{part}_std").shape[0]
        if coefficients.ndim == 0 or coefficients.shape[-1] != expected:
            got = tuple(coefficients.shape)
            few = coefficients.ndim and coefficients.shape[-1] < expected
            slip = f" Fewer modes on purpose? model.truncated(n_{part}=...)." if few else ""
            raise ShapeError(
                f"{part} coefficients have shape {got}, face model {self.name!r} expects "
                f"(..., {part}={expected}).{slip}"
            )
        return coefficients

    @property
    def neutral_expression(self):
        """Standardised coefficients (expression,) of raw expression 0, the neutral face."""
        return -self.expression_raw_mean / self.expression_std

    def to_raw(self, shape=None, expression=None):
        """Standardised coefficients in the units of the model's source.

        Parameters
        ----------
        shape : tensor or array_like, (..., shape), standard deviations, optional
            Shape coefficients.
        expression : tensor or array_like, (..., expression), standard deviations, optional
            Expression coefficients.

        Returns
        -------
        Coefficients
            float64 tensors of raw units; None for what was not given. `from_raw` undoes it.

        Raises
        ------
        ShapeError
            If the number of coefficients is not the model's.
        """
        return self._convert(shape, expression, lambda c, mean, std: mean + std * c)

    def from_raw(self, shape=None, expression=None):
        """Coefficients in the units of the model's source, standardised.

        Parameters
        ----------
        shape : tensor or array_like, (..., shape), raw units, optional
            Shape coefficients, such as the first 40 of 300W-LP's ``Shape_Para`` for BFM.
        expression : tensor or array_like, (..., expression), raw units, optional
            Expression coefficients.

        Returns
        -------
        Coefficients
            float64 tensors of standard deviations; None for what was not given.

        Raises
        ------
        ShapeError
            If the number of coefficients is not the model's.
        """
        return self._convert(shape, expression, lambda c, mean, std: (c - mean) / std)

    def _convert(self, shape, expression, rule):
        def convert(coefficients, part):
            if coefficients is None:
                return None
            mean, std = getattr(self, f"{part}_raw_mean"), getattr(self, f"{part}_std")
            # float64: BFM's raw units are of the order 1e5 and float32 would round them.
            values = self._coefficients(coefficients, part, torch.float64)
            return rule(values, mean.double(), std.double())

        return Coefficients(convert(shape, "shape"), convert(expression, "expression"))

    def truncated(self, n_shape=None, n_expression=None):
        """The model with its leading modes only.

        Parameters
        ----------
        n_shape : int, optional
            Shape modes to keep; all by default.
        n_expression : int, optional
            Expression modes to keep; all by default.

        Returns
        -------
        MorphableModel
            With the same mean face. Extras of one row per shape mode are cut too.

        Raises
        ------
        ShapeError
            If the model has fewer modes than asked for.
        """
        n_shape = self.n_shape if n_shape is None else n_shape
        n_expression = self.n_expression if n_expression is None else n_expression
        if not (0 <= n_shape <= self.n_shape and 0 <= n_expression <= self.n_expression):
            raise ShapeError(
                f"cannot keep {n_shape} shape + {n_expression} expression modes of {self!r}"
            )
        cut = {
            f"{part}_{field}": getattr(self, f"{part}_{field}")[..., :count]
            for part, count in (("shape", n_shape), ("expression", n_expression))
            for field in ("basis", "std", "raw_mean")
        }
        extras = {
            name: array[:n_shape] if name in SHAPE_EXTRAS else array
            for name, array in self.extras.items()
        }
        names = self.expression_names[:n_expression]
        return dataclasses.replace(self, **cut, expression_names=names, extras=extras)

    def to(self, device=None, dtype=None):
        """The model on another device or in another precision.

        Parameters
        ----------
        device : torch.device or str, optional
            Where to; unchanged by default.
        dtype : torch.dtype, optional
            Floating precision; unchanged by default.

        Returns
        -------
        MorphableModel
            A model that shares what did not change.
        """

        def move(value):
            if isinstance(value, dict):
                return {name: move(item) for name, item in value.items()}
            if not isinstance(value, torch.Tensor):
                return value
            return value.to(device=device, dtype=dtype if value.is_floating_point() else None)

        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return MorphableModel(**{name: move(value) for name, value in fields.items()})

    def save(self, path):
        """Write the model as one ``.npz``, whole or not at all.

        Parameters
        ----------
        path : path
            The file; its folder is created.
        """
        from v2mlib.faces import storage

        storage.save(self, path)

    @classmethod
    def load(cls, path):
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : path
            The ``.npz`` file.

        Returns
        -------
        MorphableModel
            On the CPU.

        Raises
        ------
        InputError
            If the file is absent, damaged or not a face model, naming the file and the remedy.
        """
        from v2mlib.faces import storage

        return storage.load(path)


SHAPE_EXTRAS = ("sex_direction", "controls_to_coefficients")
"""Extras that hold one row per shape mode."""
