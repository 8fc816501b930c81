"""The law of the phantom population: how a face follows from a sex and a voice.

Shape coefficients of a person of sex `s` (+1 male, -1 female) are

    c = s m + W z,        z = A v + b h + (I - A A' - b b')^(1/2) n

with `m` half the male-minus-female difference, `W = Sigma^(1/2)` the root of the within-sex
covariance, `v` the standardised voice attributes, `h` what the stature does not share with the
voice, and `n` everything else: all independent standard normal within a sex, so that `z` is
standard normal too and the faces look the same whatever the link.

A law is stated on named lines (`phantom_law.csv`) and mapped to coefficients by the lines'
derivatives, so that it serves any morphable model. With `J_k` the derivative of line `k`, the
direction `u_k = W J_k' / |W J_k'|` of the whitened space carries all of the line's within-sex
variance, and its share explained by the voice is `|A' u_k|**2`.
"""

import dataclasses
import functools
import hashlib

import numpy as np
import pandas as pd

from v2mlib import paths
from v2mlib.checks import InputError
from v2mlib.faces.lines import RATIO_LINES
from v2mlib.phantom.attributes import (
    STATURE,
    VOICE_ATTRIBUTES,
    attribute_table,
    sex_directions,
)
from v2mlib.phantom.lines import LineFrame, line_frame

WORLDS = ("default", "sex_only", "null")
LAWS = ("teaching", "published")
#: People simulated to measure what the linearised law realises on the curved lines.
N_MEASURED = 20_000


@dataclasses.dataclass(frozen=True, eq=False)
class Law:
    """A law mapped to the coefficients of one face model.

    Attributes
    ----------
    name : {"teaching", "published"}
        Which rows of `phantom_law.csv`.
    world : {"default", "sex_only", "null"}
        What of the voice-face link is left.
    coupling : float, 0 to 1
        Factor on every within-sex correlation of a voice attribute with the face or body:
        explained shares go with its square. 0 in the worlds `sex_only` and `null`.
    frame : LineFrame
        The corrected lines.
    half_difference : ndarray, (shape,)
        `m`: half the male-minus-female difference.
    natural_half_difference : ndarray, (shape,)
        The face model's own `m`, before the law's statements; 0 where it has none.
    within_root : ndarray, (shape, shape)
        `W`: symmetric root of the within-sex covariance.
    voice_link : ndarray, (shape, voice=4)
        `A`, coupling included.
    body_link : ndarray, (shape,)
        `b`, the link of what the stature does not share with the voice.
    stature_link : ndarray, (voice=4,)
        Within-sex correlations of stature with the voice attributes, coupling included.
    statements : pandas.DataFrame
        The rows of `phantom_law.csv` that were used.
    """

    name: str
    world: str
    coupling: float
    frame: LineFrame
    half_difference: np.ndarray
    natural_half_difference: np.ndarray
    within_root: np.ndarray
    voice_link: np.ndarray
    body_link: np.ndarray
    stature_link: np.ndarray
    statements: pd.DataFrame

    @property
    def n_shape(self):
        """Number of shape coefficients.

        Returns
        -------
        int
            40 for the phantom face.
        """
        return len(self.half_difference)

    @functools.cached_property
    def _rest(self):
        """`(I - A A' - b b')^(1/2)`, of what neither voice nor stature explains."""
        linked = np.column_stack([self.voice_link, self.body_link])
        axes, strength, _ = np.linalg.svd(linked, full_matrices=False)
        left = np.sqrt(np.clip(1 - strength**2, 0, None))
        return np.eye(self.n_shape) - (axes * (1 - left)) @ axes.T

    def coefficients(self, sex, voice, body, rest):
        """Faces of people whose independent standard normals are given.

        Parameters
        ----------
        sex : array_like, (person,)
            +1 male, -1 female.
        voice : array_like, (person, voice=4)
            Standardised voice attributes.
        body : array_like, (person,)
            What the stature does not share with the voice.
        rest : array_like, (person, shape)
            Everything else.

        Returns
        -------
        ndarray, (person, shape)
            Standardised shape coefficients.
        """
        whitened = voice @ self.voice_link.T + np.outer(body, self.body_link) + rest @ self._rest
        return np.outer(sex, self.half_difference) + whitened @ self.within_root

    def stature(self, voice, body):
        """Standardised statures.

        Parameters
        ----------
        voice : array_like, (person, voice=4)
            Standardised voice attributes.
        body : array_like, (person,)
            What the stature does not share with the voice.

        Returns
        -------
        ndarray, (person,)
            Mean 0 and sd 1 within each sex.
        """
        own = np.sqrt(1 - self.stature_link @ self.stature_link)
        return np.asarray(voice) @ self.stature_link + own * np.asarray(body)

    def conditional_mean(self, sex, voice):
        """Best guess of a face from a voice: E[coefficients | voice attributes, voice's sex].

        Parameters
        ----------
        sex : array_like, (person,)
            The voice's sex, +1 male, -1 female.
        voice : array_like, (person, voice=4)
            Standardised voice attributes.

        Returns
        -------
        ndarray, (person, shape)
            `s m + W A v`; zeros (the mean face) in the world `null`.
        """
        voice = np.asarray(voice, dtype=float)
        if self.world == "null":
            return np.zeros((len(voice), self.n_shape))
        return np.outer(sex, self.half_difference) + voice @ self.voice_link.T @ self.within_root

    def draw(self, n_people, seed):
        """Draw people outside any population, for Monte Carlo.

        Parameters
        ----------
        n_people : int
            Half of them are men (one more if odd).
        seed : int or numpy.random.SeedSequence
            Of the draw.

        Returns
        -------
        sex : ndarray, (person,)
            +1 male, -1 female.
        voice : ndarray, (person, voice=4)
            Standardised voice attributes.
        coefficients : ndarray, (person, shape)
            Faces.
        """
        rng = np.random.default_rng(seed)
        sex = np.where(np.arange(n_people) % 2, -1.0, 1.0)
        normals = rng.standard_normal((n_people, len(VOICE_ATTRIBUTES) + 1 + self.n_shape))
        voice, body, rest = np.split(normals, [len(VOICE_ATTRIBUTES), 5], axis=1)
        return sex, voice, self.coefficients(sex, voice, body[:, 0], rest)

    def checksum(self):
        """Checksum of the law's statements and of the attributes' moments.

        Returns
        -------
        str
            16 hexadecimal digits.
        """
        tables = [self.statements, attribute_table()]
        text = "".join(table.drop(columns="source").to_csv() for table in tables)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @functools.cached_property
    def table(self):
        """Which lines are linked to the voice, and how strongly.

        Returns
        -------
        pandas.DataFrame
            One row per line: `line`, `quantity` ("ratio" to the outer interocular distance or
            "length" in mm), `stated` (bool), `r_squared_stated`, `r_squared` (within-sex share
            explained by the four voice attributes; linearised, exact), `r_<attribute>`
            (within-sex correlations), `r_squared_realised` (on the curved lines of 20,000
            simulated people) with `r_squared_se`, and the sex differences `d_stated`,
            `d_natural` (the face model's own), `d`, `d_realised`, `d_se` in within-sex sds,
            positive where men have more.
        """
        from v2mlib.phantom.law_table import law_table

        return law_table(self, n_people=N_MEASURED)


def build_law(model, name="teaching", *, world="default", coupling=1.0):
    """Map a stated law to the coefficients of a face model.

    Parameters
    ----------
    model : MorphableModel
        The face. Its extra `sex_direction`, if it has one, is half the male-minus-female
        difference in a 50/50 mixture whose covariance is the identity.
    name : {"teaching", "published"}
        Which statements of `phantom_law.csv`.
    world : {"default", "sex_only", "null"}
        `sex_only`: the voice tells nothing but the sex; `null`: not even that.
    coupling : float, 0 to 1
        Factor on the within-sex link.

    Returns
    -------
    Law
        Ready to draw people.

    Raises
    ------
    InputError
        If an argument is impossible, or the face model cannot carry the law.
    """
    _require(name in LAWS, f"law {name!r}", f"choose one of {', '.join(LAWS)}")
    _require(world in WORLDS, f"world {world!r}", f"choose one of {', '.join(WORLDS)}")
    _require(0 <= coupling <= 1, f"coupling {coupling!r}", "choose a number from 0 to 1")
    coupling = float(coupling) if world == "default" else 0.0
    frame = line_frame(model)
    rows = pd.read_csv(paths.shipped("phantom_law.csv"))
    rows = rows[rows["law"] == name].drop(columns="law").reset_index(drop=True)

    natural = _sex_direction(model)
    root = _within_root(natural)
    whitened_ratios = frame.ratio_jacobian() @ root  # (ratio, shape)
    whitened_lengths = frame.length_jacobian() @ root  # (line, shape)
    known = {("ratio", line): row for line, row in zip(RATIO_LINES, whitened_ratios, strict=True)}
    known |= {
        ("length", line): row for line, row in zip(frame.names, whitened_lengths, strict=True)
    }

    sexes = rows[rows["statistic"] == "d"]
    if name == "published" and natural.any():
        sexes = sexes.iloc[:0]  # the face's own differences are the better measurement
    half_difference = natural + root @ _whitened_shift(sexes, known, np.linalg.pinv(root) @ natural)
    stature_link = coupling * _stature_link(rows)
    voice_link = _ratio_link(rows[rows["statistic"] == "r_squared"], known, len(natural))
    direction = _stature_direction(rows[rows["partner"] == STATURE], known, len(natural))
    return Law(
        name=name,
        world=world,
        coupling=coupling,
        frame=frame,
        half_difference=half_difference,
        natural_half_difference=natural,
        within_root=root,
        voice_link=coupling * voice_link + np.outer(direction, stature_link),
        body_link=direction * np.sqrt(1 - stature_link @ stature_link),
        stature_link=stature_link,
        statements=rows,
    )


def _require(condition, what, remedy):
    if not condition:
        raise InputError(what, "is not possible", remedy)


def _sex_direction(model):
    extras = getattr(model, "extras", None) or {}
    if "sex_direction" not in extras:
        return np.zeros(model.shape_basis.shape[-1])
    direction = np.asarray(extras["sex_direction"], dtype=float)
    _require(
        direction @ direction < 1,
        f"sex direction of length {np.linalg.norm(direction):.2f} in face model {model.name}",
        "it must be shorter than 1, as the total covariance is the identity",
    )
    return direction


def _within_root(natural):
    """Root of `I - m m'`: only the direction of `m` shrinks."""
    squared = natural @ natural
    if squared == 0:
        return np.eye(len(natural))
    return np.eye(len(natural)) - np.outer(natural, natural) * (
        (1 - np.sqrt(1 - squared)) / squared
    )


def _whitened_shift(sexes, known, natural):
    """Smallest change of the (whitened) sex difference that meets the stated ones.

    With `U` the unit directions of the stated lines, `d = 2 U (m + shift)`.
    """
    if sexes.empty:
        return np.zeros(len(natural))
    directions = _directions(sexes, known)
    return np.linalg.pinv(directions) @ (sexes["value"].to_numpy() / 2 - directions @ natural)


def _ratio_link(links, known, n_shape):
    """Link that explains the stated share of every stated ratio.

    The voice attributes are tied to the four axes nearest to the lines' directions (symmetric
    orthogonalisation), in the sense in which the sexes differ; as the axes span all of the
    directions, every line's explained share is the stated one exactly.
    """
    link = np.zeros((n_shape, len(VOICE_ATTRIBUTES)))
    if links.empty:
        return link
    directions = _directions(links, known)
    values, axes = np.linalg.eigh(directions @ directions.T)
    _require(
        values[0] > 1e-4 and links["value"].nunique() == 1,
        "the law's link",
        "the stated ratios must be distinct directions of the face, with one share for all",
    )
    orthogonal = (axes / np.sqrt(values)) @ axes.T @ directions  # (line, shape), orthonormal
    columns = [VOICE_ATTRIBUTES.index(partner) for partner in links["partner"]]
    signs = sex_directions()[columns]
    link[:, columns] = (signs[:, None] * orthogonal).T * np.sqrt(links["value"].iloc[0])
    return link


def _stature_direction(links, known, n_shape):
    """Smallest direction whose correlations with the stated lines are the stated ones."""
    if links.empty:
        return np.zeros(n_shape)
    return np.linalg.pinv(_directions(links, known)) @ links["value"].to_numpy()


def _stature_link(rows):
    link = np.zeros(len(VOICE_ATTRIBUTES))
    for row in rows[rows["quantity"] == "body"].itertuples():
        link[VOICE_ATTRIBUTES.index(row.partner)] = row.value
    return link


def _directions(rows, known):
    keys = list(zip(rows["quantity"], rows["name"], strict=True))
    for key in keys:
        _require(key in known, f"line {key[1]}", "the face model does not name it")
    stacked = np.stack([known[key] for key in keys])
    return stacked / np.linalg.norm(stacked, axis=1, keepdims=True)
