"""Training batches of log-mel crops, from features that stay on the device.

What is in a batch follows from the seed and the step's number alone: a sampler has no state to
save, a resumed run draws what it would have drawn, and several processes share each batch.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import psutil
import torch

from v2mlib.checks import InputError
from v2mlib.datasets.shards import NO_SPLIT

FRAMES_PER_SECOND = 100


@dataclasses.dataclass(frozen=True)
class CropConfig:
    """Crops of utterances.

    Attributes
    ----------
    shortest_s, longest_s : float, s
        Range from which each batch draws the length of its crops. The paper crops 3 to 8 s.
    """

    shortest_s: float = 2.0
    longest_s: float = 3.0

    def __post_init__(self):
        """Refuse lengths that cannot be."""
        if not 0.1 <= self.shortest_s <= self.longest_s:
            raise InputError(
                f"crops of {self.shortest_s} to {self.longest_s} s",
                "are not possible",
                "choose 0.1 s <= shortest_s <= longest_s",
            )

    @property
    def frames(self):
        """Shortest and longest crop in frames.

        Returns
        -------
        tuple of int
            At 100 frames per second.
        """
        return tuple(round(s * FRAMES_PER_SECOND) for s in (self.shortest_s, self.longest_s))


class Batch(NamedTuple):
    """Crops and whose they are.

    Attributes
    ----------
    log_mel : tensor of float32, (batch, frame, mel=64), standard deviations
        Crops of one length.
    identity : tensor of int64, (batch,)
        Position of the identity among those of the data set.
    utterance : tensor of int64, (batch,)
        Row of the store.
    """

    log_mel: torch.Tensor
    identity: torch.Tensor
    utterance: torch.Tensor


class ResidentUtterances:
    """Utterances of some identities, on a device where they fit.

    Where they do not, crops are read from the mapped file one by one: nothing but the crops
    themselves is read, and the system keeps in memory what it has room for.

    Parameters
    ----------
    store : LogMelStore
        Features of all utterances of a world.
    identities : sequence of str
        Whose to use.
    device : torch.device or str
        Where to put the features.
    resident : bool, optional
        Whether to hold all features there; by default if they take less than half of what is
        free. Batches do not depend on it.

    Attributes
    ----------
    frames : tensor of float16, (frame, mel=64)
        All utterances one after the other; the store's own array where it is not resident.
    start, n_frames, identity, utterance : tensor of int64, (clip,)
        Where each utterance lies, the position of its identity among `identities`, and its row
        in the store.
    identities : list of str
        Those with at least one usable utterance, in the order given.

    Raises
    ------
    InputError
        If no identity has a usable utterance.
    """

    def __init__(self, store, identities, *, device="cpu", resident=None):
        usable = store.index[(store.index["n_frames"] > 0) & (store.index["split"] != NO_SPLIT)]
        heard = set(usable["identity"])
        self.identities = [identity for identity in identities if identity in heard]
        if not self.identities:
            raise InputError(
                f"{len(identities)} identities", "have no usable recording", "add recordings"
            )
        position = {identity: number for number, identity in enumerate(self.identities)}
        usable = usable[usable["identity"].isin(position)]
        whose = usable["identity"].map(position).to_numpy()
        usable = usable.iloc[np.argsort(whose, kind="stable")]
        n_frames = usable["n_frames"].to_numpy()
        ends = np.cumsum(n_frames)
        if resident is None:
            resident = 2 * store.frames.itemsize * store.frames.shape[1] * ends[-1] < _free(device)
        self.resident = resident
        if resident:
            starts = ends - n_frames
            self.frames = torch.empty(int(ends[-1]), store.frames.shape[1], dtype=torch.float16)
            self.frames = self.frames.to(device)
            for source, end, length in zip(usable["start"], ends, n_frames, strict=True):
                rows = np.array(store.frames[source : source + length])
                self.frames[end - length : end] = torch.from_numpy(rows)
        else:
            starts, self.frames = usable["start"], store.frames

        def put(values):
            return torch.tensor(np.array(values), dtype=torch.int64, device=device)

        self.start, self.n_frames = put(starts), put(n_frames)
        self.identity, self.utterance = put(np.sort(whose)), put(usable.index.to_numpy())
        counts = torch.bincount(self.identity, minlength=len(self.identities))
        self._count, self._first = counts, counts.cumsum(0) - counts

    def __len__(self):
        """Count the utterances."""
        return len(self.start)

    def crops(self, clips, n_frames, offset=None):
        """Cut pieces of one length out of utterances.

        Parameters
        ----------
        clips : tensor of int64, (batch,)
            Which utterances, as positions here.
        n_frames : int
            Frames of each piece; utterances that are shorter are repeated.
        offset : tensor of float, (batch,), optional
            Where each piece begins, from 0 (first possible) to 1 (last possible); 0 by default.

        Returns
        -------
        tensor of float32, (batch, frame, mel=64), standard deviations
            The pieces.
        """
        length = self.n_frames[clips]
        first = torch.zeros_like(length)
        if offset is not None:
            room = (length - n_frames).clamp_min(0)
            first = torch.minimum((offset * (room + 1)).long(), room)
        inside = (first[:, None] + torch.arange(n_frames, device=length.device)) % length[:, None]
        rows = self.start[clips][:, None] + inside
        if not self.resident:
            return torch.from_numpy(self.frames[rows.cpu().numpy()]).to(rows.device).float()
        return self.frames[rows].float()

    def sample(self, step, batch_size, *, crop=None, seed=0, rank=0, n_ranks=1):
        """Draw a training batch in which every identity is as likely as any other.

        Identities are dealt like cards: each comes once before any comes again. The utterance
        and the place of the crop are drawn at random.

        Parameters
        ----------
        step : int
            Number of the batch, from 0.
        batch_size : int
            Crops in the batch, over all processes.
        crop : CropConfig, optional
            Length of the crops.
        seed : int
            Of all draws.
        rank, n_ranks : int
            Which share of the batch to return, of how many.

        Returns
        -------
        Batch
            The process's share; together the same whatever the number of processes.
        """
        dealt = torch.arange(step * batch_size, (step + 1) * batch_size)
        n_identities = len(self.identities)
        rounds = dealt // n_identities
        orders = torch.stack(
            [
                torch.randperm(n_identities, generator=_generator(seed, 0, number))
                for number in range(int(rounds[0]), int(rounds[-1]) + 1)
            ]
        )
        generator = _generator(seed, 1, step)
        whose = orders[rounds - rounds[0], dealt % n_identities]
        shares = torch.rand(2, batch_size, generator=generator)
        shortest, longest = (crop or CropConfig()).frames
        n_frames = int(torch.randint(shortest, longest + 1, (), generator=generator))

        mine = slice(rank, None, n_ranks)
        device = self.start.device
        whose, (pick, offset) = whose[mine].to(device), shares[:, mine].to(device)
        within = (pick * self._count[whose]).long().clamp_max(self._count[whose] - 1)
        clips = self._first[whose] + within
        return Batch(self.crops(clips, n_frames, offset), whose, self.utterance[clips])

    def whole(self, *, batch_frames=48_000, minimum_frames=1):
        """All utterances in full, in batches of similar length.

        Parameters
        ----------
        batch_frames : int
            Frames in a batch, padding included.
        minimum_frames : int
            Utterances that are shorter are repeated until they have as many.

        Yields
        ------
        tuple of tensor
            Positions here (batch,), padded log-mel matrices (batch, frame, mel=64) and numbers
            of frames (batch,).
        """
        n_frames = self.n_frames.clamp_min(minimum_frames)
        order = torch.argsort(n_frames, stable=True)
        while len(order):
            sizes = n_frames[order] * torch.arange(1, len(order) + 1, device=order.device)
            take = max(int((sizes <= batch_frames).sum()), 1)
            clips, order = order[:take], order[take:]
            length = n_frames[clips]
            yield clips, self.crops(clips, int(length.max())), length


def identity_mean(values, identity, n_identities):
    """Average rows over the utterances of each identity.

    Parameters
    ----------
    values : tensor, (utterance, ...)
        A row per utterance.
    identity : tensor of int64, (utterance,)
        Whose it is.
    n_identities : int
        How many there are.

    Returns
    -------
    tensor, (identity, ...)
        NaN for those without an utterance.

    Examples
    --------
    >>> identity_mean(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 1]), 2)
    tensor([2., 5.])
    """
    total = values.new_zeros(n_identities, *values.shape[1:]).index_add(0, identity, values)
    count = torch.bincount(identity, minlength=n_identities).to(values.dtype)
    return total / count.view(-1, *[1] * (values.ndim - 1))


def _free(device):
    """Bytes that are free where tensors are to be put."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def _generator(*key):
    """Random numbers that depend on the key alone."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state))
