"""Landmarks, lines and regions of a face model by name, refusing those it does not have."""

import torch

from v2mlib.checks import InputError

MISSING_LANDMARK = -(2**31)
"""Stands in ``landmarks`` for a point the model has no vertex for. Not -1: indexing by -1 would
quietly pick the last vertex, indexing by this one raises."""

REGIONS = ("left_eye", "right_eye", "nose", "mouth", "left_cheek", "right_cheek")
"""The six regions every face model names; ``"whole"`` is the whole face area."""

DEFINITIONS = {
    "corrected": "lines",
    "published": "published_lines",
    "published_substitute": "substitute_lines",
}
"""Definitions of the measured lines, and the field of `MorphableModel` that holds each."""


class NamedAnatomy:
    """What `MorphableModel` answers about its anatomy; reads the model's fields."""

    def line_names(self, definition="corrected"):
        """Names of the lines this face has.

        Parameters
        ----------
        definition : {"corrected", "published", "published_substitute"}
            Which vertex pairs.

        Returns
        -------
        tuple of str
            In the order of the model.

        Raises
        ------
        InputError
            If the definition is unknown.
        """
        return tuple(self._pairs(definition))

    def _pairs(self, definition):
        if definition not in DEFINITIONS:
            choices = ", ".join(DEFINITIONS)
            raise InputError(f"definition {definition!r}", "is unknown", f"choose from {choices}")
        pairs = getattr(self, DEFINITIONS[definition])
        return {**self.published_lines, **pairs} if definition == "published_substitute" else pairs

    def line(self, name, definition="corrected"):
        """Vertex pair of a measured line.

        Parameters
        ----------
        name : str
            The line (``"outer_interocular"``, ``"ear"`` ...).
        definition : {"corrected", "published", "published_substitute"}
            The last is the published one, except that a vertex which this topology lacks is
            replaced by a documented neighbour.

        Returns
        -------
        tuple of int
            The two ends.

        Raises
        ------
        InputError
            If this face has no such line, saying why and what to do.
        """
        pairs = self._pairs(definition)
        if name in pairs:
            return pairs[name]
        where = f"face model {self.name!r} (topology {self.topology!r})"
        reason = self.absences.get(f"{definition.split('_')[0]} {name}")
        if reason:
            raise InputError(where, f"has no {definition} {name} line", reason)
        known = ", ".join(pairs) or "none"
        raise InputError(where, f"has no {definition} line {name!r}", f"it has: {known}")

    def landmark_vertices(self, which=None):
        """Vertex indices of landmarks, refusing those the model lacks.

        Parameters
        ----------
        which : sequence of int, optional
            Landmarks by their iBUG number from 0; all 68 by default.

        Returns
        -------
        tensor of int64, (landmark,)
            Their vertices.

        Raises
        ------
        InputError
            If the model has no vertex for one of them, naming it.
        """
        which = torch.arange(68) if which is None else torch.as_tensor(which)
        found = self.landmarks[which.to(self.landmarks.device)]
        lacking = which[(found == MISSING_LANDMARK).cpu()].tolist()
        if lacking:
            raise InputError(
                f"face model {self.name!r}",
                f"has no vertex for landmarks {lacking} (numbered from 0)",
                "use only model.landmarks that are >= 0",
            )
        return found

    def region(self, name):
        """Vertex indices of a region.

        Parameters
        ----------
        name : str
            One of `REGIONS`, or ``"whole"``.

        Returns
        -------
        tensor of int64, (vertex,)
            Its vertices.

        Raises
        ------
        InputError
            If the model has no region of that name.
        """
        if name in self.regions:
            return self.regions[name]
        if name == "whole":
            return torch.arange(self.n_vertices, device=self.mean.device)
        known = ", ".join(dict.fromkeys([*self.regions, "whole"]))
        raise InputError(f"face model {self.name!r}", f"has no region {name!r}", f"it has: {known}")
