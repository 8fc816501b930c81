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
from v2mlib.datasets.ahead import Ahead
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

    Where they do not, crops are read from the mapped file one by one, the next batches in the
    background: nothing but the crops themselves is read, and the system keeps in memory what it
    has room for.

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
        free, of this process's part where several share a machine. Batches do not depend on it.

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

        tables = [starts, n_frames, np.sort(whose), usable.index.to_numpy()]
        tables = [torch.tensor(np.array(table), dtype=torch.int64) for table in tables]
        self.start, self.n_frames, self.identity, self.utterance = (t.to(device) for t in tables)
        counts = torch.bincount(tables[2], minlength=len(self.identities))
        # What batches are cut from lies where the frames are.
        self._home = torch.device(device if resident else "cpu")
        self._tables = [t.to(self._home) for t in (*tables, counts, counts.cumsum(0) - counts)]
        self._names = usable["identity"].astype(str) + "/" + usable["utterance"].astype(str)
        self._ahead = Ahead(self._drawn)

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
        clips = clips.to(self._home)
        offset = None if offset is None else offset.to(self._home)
        return self._cut(clips, n_frames, offset).to(self.start.device)

    def _cut(self, clips, n_frames, offset):
        """Cut pieces, all tensors where the frames are."""
        start, length = (table[clips] for table in self._tables[:2])
        first = torch.zeros_like(length)
        if offset is not None:
            room = (length - n_frames).clamp_min(0)
            first = torch.minimum((offset * (room + 1)).long(), room)
        inside = (first[:, None] + torch.arange(n_frames, device=length.device)) % length[:, None]
        rows = start[:, None] + inside
        if self.resident:
            return self.frames[rows].float()
        return torch.from_numpy(self.frames[rows.numpy()]).float()

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

        Raises
        ------
        InputError
            If the batch cannot be dealt evenly: means over unequal shares would be of others.
        """
        share_evenly(batch_size, n_ranks)
        options = (step, batch_size, crop or CropConfig(), seed, rank, n_ranks)
        if self.resident:
            return self._drawn(*options)
        device, batch = self.start.device, self._ahead(*options)
        if device.type == "cuda":
            batch = (part.pin_memory() for part in batch)
        return Batch(*(part.to(device, non_blocking=True) for part in batch))

    def _drawn(self, step, batch_size, crop, seed, rank, n_ranks):
        """Draw a batch where the frames are."""
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
        shortest, longest = crop.frames
        n_frames = int(torch.randint(shortest, longest + 1, (), generator=generator))

        mine = slice(rank, None, n_ranks)
        whose, (pick, offset) = whose[mine].to(self._home), shares[:, mine].to(self._home)
        _, _, _, utterance, count, first = self._tables
        within = (pick * count[whose]).long().clamp_max(count[whose] - 1)
        clips = first[whose] + within
        return Batch(self._cut(clips, n_frames, offset), whose, utterance[clips])

    def names(self, batch):
        """Name the utterances of a batch, those apart whose features are not finite.

        Parameters
        ----------
        batch : Batch
            Drawn here.

        Returns
        -------
        dict of str to list of str
            Identity and utterance of each, under "utterances" and under "not finite".
        """
        names = self._names.loc[batch.utterance.cpu().numpy()].tolist()
        finite = batch.log_mel.isfinite().all((1, 2)).tolist()
        bad = [name for name, is_fine in zip(names, finite, strict=True) if not is_fine]
        return {"not finite": bad, "utterances": names}

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


def share_evenly(batch_size, n_ranks):
    """Refuse a batch that processes cannot share evenly.

    Parameters
    ----------
    batch_size : int
        Samples in all.
    n_ranks : int
        Processes.

    Raises
    ------
    InputError
        If it leaves a rest.
    """
    if batch_size % n_ranks:
        raise InputError(
            f"a batch of {batch_size}",
            f"cannot be shared evenly by {n_ranks} processes",
            f"choose a multiple of {n_ranks}",
        )


def _free(device):
    """Bytes that are free where tensors are to be put, of this process's part."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    several = torch.distributed.is_available() and torch.distributed.is_initialized()
    return psutil.virtual_memory().available // (
        torch.distributed.get_world_size() if several else 1
    )


def _generator(*key):
    """Random numbers that depend on the key alone."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state))
