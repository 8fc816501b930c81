"""Collect the results of batches into one `LandmarkFit`, in pixels and mm."""

import torch

from v2mlib.fitting.landmarks.config import LandmarkFit
from v2mlib.fitting.landmarks.energy import (
    add_shape_prior,
    equations,
    evaluate,
    groups_of,
    row_sets,
)
from v2mlib.fitting.landmarks.observations import refuse
from v2mlib.fitting.landmarks.solver import factor, reduce_to_shape, solve

#: A face turned further than this from the camera (cosine) is seen from behind.
BEHIND = -0.5
_BEHIND = (
    "is seen from behind or mirrored, as when an axis points the wrong way, columns and rows are "
    "swapped, or left and right are"
)


class Results:
    """Results of all faces, filled batch by batch.

    Parameters
    ----------
    seen : Observations
        The landmarks.
    known : Model
        The model and the settings.
    rows : tensor of int64, (face,)
        Identity of each face.
    names : tensor of int64 or None
        The identities.
    model : MorphableModel
        The face model.
    """

    def __init__(self, seen, known, rows, names, model):
        self.seen, self.known, self.rows, self.names = seen, known, rows, names
        self.model, self.problem = model, list(seen.problem)
        count, basis = len(rows), known.basis
        like = basis.mean
        self.dtype, self.device = like.dtype, like.device
        n_rows = count if names is None else len(names)

        def empty(*shape):
            return like.new_full(shape, torch.nan)

        self.coefficients = empty(count, basis.n_coefficients)
        self.shape = empty(n_rows, basis.n_shape)
        self.pose = {
            "rotation": empty(count, 3, 3),
            "scale": empty(count),
            "shift": empty(count, known.camera.n_axes),
            "focal": empty(count),
        }
        self.residual = empty(count)
        self.converged = torch.zeros(count, dtype=torch.bool, device=like.device)
        self.iterations = torch.zeros(count, dtype=torch.int64, device=like.device)
        config = known.config
        self.shape_errors = empty(n_rows, basis.n_shape) if config.uncertainty else None
        self.covariance = empty(n_rows, basis.n_shape, basis.n_shape) if config.covariance else None
        n_expression = basis.n_coefficients - basis.n_shape
        self.expression_errors = empty(count, n_expression) if config.uncertainty else None
        self.vertices = None
        if known.contour is not None:
            self.vertices = torch.full((count, len(known.contour.rows)), -1, device=like.device)

    def put(self, faces, batch, progress, mirrored):
        """Take in a batch.

        Parameters
        ----------
        faces : tensor of int64
            Which faces.
        batch : Batch
            Their landmarks.
        progress : Progress
            Where the descent ended.
        mirrored : tensor of bool
            Whether a mirrored face would fit better.
        """
        state, known = progress.state, self.known
        last = evaluate(batch, progress, known)
        self.coefficients[faces] = state.coefficients
        self.shape[batch.row] = state.coefficients[:, : known.basis.n_shape]
        self.pose["rotation"][faces] = state.rotation
        self.pose["scale"][faces] = state.log_scale.exp()
        self.pose["shift"][faces] = state.shift
        if known.camera.perspective:
            self.pose["focal"][faces] = state.log_focal.exp()
        squared = (last.residual**2).sum(-1)
        present = (batch.weights > 0).to(squared.dtype)
        self.residual[faces] = ((squared * present).sum(1) / present.sum(1)).sqrt()
        self.converged[faces] = progress.converged
        self.iterations[faces] = progress.iterations
        if self.vertices is not None:
            contour = torch.arange(progress.choice.shape[1], device=faces.device)
            self.vertices[faces] = known.contour.vertices[contour, progress.choice]
        is_bad = mirrored | (state.rotation[:, 2, 2] < BEHIND)
        is_lost = ~torch.isfinite(state.coefficients).all(1)
        for face, lost in zip(faces[is_bad | is_lost].tolist(), is_lost[is_bad | is_lost].tolist(),
                              strict=True):  # fmt: skip
            self.problem[face] = "could not be solved" if lost else _BEHIND
        if known.config.uncertainty or known.config.covariance:
            self._put_uncertainty(faces, batch, progress, last)

    def _put_uncertainty(self, faces, batch, progress, last):
        known = self.known
        n, n_all = known.basis.n_shape, known.basis.n_coefficients
        sets = row_sets(batch, progress, known)
        matrix, pull = equations(batch, progress, last, known, sets)
        if not known.shared:
            add_shape_prior(matrix, pull, progress.state, known)
            covariance, failed = _inverse(matrix)
            shape, errors = covariance[:, :n, :n], _errors(covariance)[:, n:n_all]
            at = batch.row
        else:
            groups = groups_of(batch, known)
            reduced, _, coupling, _, failed = reduce_to_shape(matrix, pull, groups)
            shape, bad = _inverse(reduced + torch.diag(known.prior[:n]))
            own, _ = _inverse(matrix[:, n:, n:])
            spread = coupling @ shape[groups.row]
            variance = own.diagonal(dim1=1, dim2=2) + (spread * coupling).sum(-1)
            errors = variance.clamp(min=0).sqrt()[:, : n_all - n]
            failed = failed | bad[groups.row]
            at = torch.unique(batch.row)
        shape = torch.where(_by_row(failed, batch, at)[:, None, None], torch.nan, shape)
        errors = torch.where(failed[:, None], torch.nan, errors)
        if known.config.uncertainty:
            self.shape_errors[at] = _errors(shape)
            self.expression_errors[faces] = errors
        if known.config.covariance:
            self.covariance[at] = shape

    def finish(self):
        """The results in the units of the landmarks.

        Returns
        -------
        LandmarkFit
            Of all faces.

        Raises
        ------
        InputError
            If faces could not be fitted and the settings say to refuse them.
        """
        known, seen = self.known, self.seen
        if known.config.refuse_degenerate:
            refuse(self.problem)
        bad = torch.tensor([bool(text) for text in self.problem], device=self.device)
        bad = bad.bool() if len(bad) else bad.new_zeros(0, dtype=torch.bool)
        n = known.basis.n_shape
        expression = self.coefficients[:, n:].clone()
        scale, translation, focal = self._pose()
        residual = self.residual * seen.size.to(self.dtype)
        for values in (expression, scale, translation, focal, self.pose["rotation"], residual,
                       self.residual):  # fmt: skip
            values[bad] = torch.nan
        if self.names is None:
            self.shape[bad] = torch.nan
        return LandmarkFit(
            shape_coefficients=self.shape,
            expression_coefficients=expression,
            rotation=self.pose["rotation"],
            scale=scale,
            translation=translation,
            focal_px=focal,
            residual_px=residual,
            residual_relative=self.residual,
            converged=self.converged & ~bad,
            iterations=self.iterations,
            shape_standard_errors=self.shape_errors,
            expression_standard_errors=self.expression_errors,
            shape_covariance=self.covariance,
            identities=self.names,
            identity_rows=self.rows,
            contour_vertices=self.vertices,
            problem=tuple(self.problem),
        )

    def _pose(self):
        """Scale, translation and focal length in pixels and mm, about the model's own origin."""
        seen, basis, camera = self.seen, self.known.basis, self.known.camera
        size, unit = seen.size, basis.unit_mm
        rotation, shift = self.pose["rotation"].double(), self.pose["shift"].double()
        scale = self.pose["scale"].double()
        turned = rotation @ basis.origin  # of the point that was taken as origin
        if not camera.perspective:
            per_mm = scale * size / unit
            moved = shift * size[:, None] - per_mm[:, None] * turned[:, : camera.n_axes]
            if camera.n_axes == 2:
                moved = moved * moved.new_tensor([1.0, -1.0])
            focal = torch.full_like(scale, torch.inf)
            parts = per_mm, moved + seen.centre, focal
        else:
            focal = self.pose["focal"].double() * size
            distance = self.pose["focal"].double() / scale * unit
            across = shift / scale[:, None] * unit
            place = torch.cat([across, -distance[:, None]], 1) - turned
            parts = focal / -place[:, 2], place, focal
        return tuple(part.to(self.dtype) for part in parts)


def _inverse(matrix):
    lower, scale, failed = factor(matrix)
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    return solve(lower, scale, eye.expand_as(matrix)), failed


def _errors(covariance):
    return covariance.diagonal(dim1=-2, dim2=-1).clamp(min=0).sqrt()


def _by_row(failed, batch, at):
    """Whether any face of a row failed."""
    flags = torch.zeros(int(at.max()) + 1, dtype=torch.bool, device=failed.device)
    flags[batch.row[failed]] = True
    return flags[at]
