"""The log-mel front end on tensors: batches, clips of any lengths, any device, gradients.

All clips are laid into one long signal, each padded so that it takes a whole number of hops.
Frames are then a strided view of that signal, row by row in the right order, and clips of
different lengths cost nothing extra. Only the few frames at each clip's end are built one by one.
"""

import numpy as np
import torch
from torch.nn.functional import pad

from v2mlib.checks import InputError, ShapeError
from v2mlib.voices.features import log_mel_array, normalise_log_mel
from v2mlib.voices.recipe import frame_count, mel_filters, tail_index, used_bins

# Frames transformed at a time: what fits a processor's cache; what fills a GPU (160 MB).
_CHUNK, _CHUNK_ON_DEVICE = 64, 8192


def log_mel_tensor(samples, normalise, config):
    """Work out log-mel features of one tensor of clips of one length.

    Parameters
    ----------
    samples : Tensor, (..., sample), in [-1, 1]
        Clips.
    normalise : bool
        Whether to standardise each band over its clip.
    config : LogMelConfig
        The recipe.

    Returns
    -------
    Tensor, (..., frame, mel)
        On the same device, float32 (float64 for float64).
    """
    if not samples.ndim:
        raise ShapeError("samples have shape (), expected (..., sample).")
    if not samples.numel():
        raise InputError("samples", "hold no samples", "give at least one")
    clips = samples.reshape(-1, samples.shape[-1]).unbind()
    features = torch.stack(log_mel_tensors(clips, normalise, config))
    return features.reshape(*samples.shape[:-1], *features.shape[1:])


def log_mel_tensors(clips, normalise, config):
    """Work out log-mel features of clips of any lengths, all frames in one batch.

    Parameters
    ----------
    clips : list of Tensor, each (sample,), in [-1, 1]
        Clips on one device.
    normalise : bool
        Whether to standardise each band over its clip.
    config : LogMelConfig
        The recipe.

    Returns
    -------
    list of Tensor, each (frame, mel)
        On the same device, float32 (float64 for float64).
    """
    for clip in clips:
        if clip.ndim != 1:
            raise ShapeError(f"a clip has shape {tuple(clip.shape)}, expected (sample,).")
        if not clip.is_floating_point():
            raise InputError(
                "samples", f"are of type {clip.dtype}", "give floating point in [-1, 1]"
            )
        if not len(clip):
            raise InputError("samples", "hold no samples", "give at least one")
    if all(map(_suits_arrays, clips)):
        arrays = (log_mel_array(clip.float().numpy(), normalise, config) for clip in clips)
        return [torch.from_numpy(array) for array in arrays]
    counts = [frame_count(len(clip), config)[0] for clip in clips]
    return [
        _finish(part, clip.dtype, normalise, config)
        for part, clip in zip(_band_energies(clips, config).split(counts), clips, strict=True)
    ]


def _suits_arrays(clip):
    """Tell whether a clip can take the array path, which on a processor is the faster one."""
    return clip.device.type == "cpu" and clip.dtype != torch.float64 and not clip.requires_grad


def _finish(energies, dtype, normalise, config):
    features = energies.clamp_min(config.floor).log()
    features = normalise_log_mel(features) if normalise else features
    return features.to(torch.float64 if dtype == torch.float64 else torch.float32)


def _band_energies(clips, config):
    """Energy in each mel band, (frame of all clips, mel), in the clips' order."""
    win, hop, share = config.win_length, config.hop_length, config.pre_emphasis
    device = clips[0].device
    # Double precision, see log_mel; it is also out of reach of autocast and of TF32. The MPS
    # device has none.
    kind = {"dtype": torch.float32 if device.type == "mps" else torch.float64, "device": device}
    window = torch.hamming_window(win, periodic=False, **kind)
    signal, tail_rows, tail_samples, firsts = _lay_out(clips, kind, config)

    emphasised = signal - share * pad(signal[:-1], (1, 0))
    views = emphasised.unfold(0, win, hop)  # (frame, win)
    first_samples = signal[: len(views) * hop : hop]
    if config.sample_before == "true":
        first_samples = emphasised[: len(views) * hop : hop]
    else:
        last = pad(signal[win - 1 :: hop][: len(views) - 1], (1, 0))
        fresh = torch.ones(len(views), **kind)
        fresh[firsts] = 0.0  # every clip starts with fresh state
        first_samples = first_samples - share * fresh * last
    first_samples = first_samples * window[0]
    tail = signal[tail_samples]  # (tail frame, 1 + win)
    tail = (tail[:, 1:] - share * tail[:, :-1]) * window

    bins = used_bins(config)
    filters = torch.tensor(mel_filters(config)[bins], **kind)
    size = _CHUNK if device.type == "cpu" else _CHUNK_ON_DEVICE
    parts = []
    for start in range(0, len(views), size):
        chunk = views[start : start + size] * window
        chunk[:, 0] = first_samples[start : start + size]
        low, high = np.searchsorted(tail_rows, [start, start + size])
        if high > low:
            rows = torch.from_numpy(tail_rows[low:high] - start).to(device)
            chunk = chunk.index_copy(0, rows, tail[low:high])
        spectrum = torch.fft.rfft(chunk, config.n_fft)[:, bins]
        parts.append((spectrum.real.square() + spectrum.imag.square()) @ filters)
    return torch.cat(parts)


def _lay_out(clips, kind, config):
    """One signal of all clips, the rows of their tail frames and what these hold."""
    hop, by_length = config.hop_length, {}
    pieces, tail_rows, tail_samples, firsts, row = [], [], [], [], 0
    for clip in clips:
        n_samples = len(clip)
        if n_samples not in by_length:
            by_length[n_samples] = (*frame_count(n_samples, config), tail_index(n_samples, config))
        frames, whole, index = by_length[n_samples]
        # frames * hop > n_samples: there is a zero behind every clip, as tail_index expects.
        pieces.append(pad(clip.to(**kind) * config.full_scale, (0, frames * hop - n_samples)))
        tail_rows.append(np.arange(row + whole, row + frames))
        tail_samples.append(index + row * hop)
        firsts.append(row)
        row += frames
    pieces.append(torch.zeros(config.win_length - hop, **kind))
    tail_samples = torch.from_numpy(np.concatenate(tail_samples)).to(kind["device"])
    firsts = torch.tensor(firsts, device=kind["device"])
    return torch.cat(pieces), np.concatenate(tail_rows), tail_samples, firsts
