"""The log-mel front end on tensors: batches, any device, gradients."""

import torch

from v2mlib.checks import InputError, ShapeError
from v2mlib.voices.features import normalise_log_mel
from v2mlib.voices.recipe import frame_count, tail_index, used_filters

# Frames transformed at a time: about 160 MB of spectra, enough to fill a large GPU.
_CHUNK = 8192


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
    _check(samples)
    energies = _band_energies(_emphasised_frames(samples, config), config)
    return _finish(energies, samples.dtype, normalise, config)


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
        _check(clip)
        if clip.ndim != 1:
            raise ShapeError(f"a clip has shape {tuple(clip.shape)}, expected (sample,).")
    counts = [frame_count(len(clip), config)[0] for clip in clips]
    frames = torch.cat([_emphasised_frames(clip, config) for clip in clips])
    parts = _band_energies(frames, config).split(counts)
    return [
        _finish(part, clip.dtype, normalise, config)
        for part, clip in zip(parts, clips, strict=True)
    ]


def _check(samples):
    if samples.ndim < 1 or not samples.shape[-1]:
        raise ShapeError(f"samples have shape {tuple(samples.shape)}, expected (..., sample).")
    if not samples.is_floating_point():
        raise InputError(
            "samples", f"are of type {samples.dtype}", "give floating point in [-1, 1]"
        )


def _finish(energies, dtype, normalise, config):
    features = energies.clamp_min(config.floor).log()
    features = normalise_log_mel(features) if normalise else features
    return features.to(torch.float64 if dtype == torch.float64 else torch.float32)


def _emphasised_frames(samples, config):
    """Frames (..., frame, win_length), pre-emphasised, before the window."""
    # Rounding in single precision reaches 1e-3 log units in quiet bands; MPS has no double.
    precise = torch.float32 if samples.device.type == "mps" else torch.float64
    scaled = samples.to(precise) * config.full_scale
    n_samples, (frames, whole) = samples.shape[-1], frame_count(samples.shape[-1], config)
    padded = torch.nn.functional.pad(scaled, (0, 1))
    index = torch.from_numpy(tail_index(n_samples, config)).to(samples.device)
    parts = [padded[..., index]]  # (..., tail frame, win)
    if whole:
        parts.insert(0, scaled.unfold(-1, config.win_length, config.hop_length))
    raw = torch.cat(parts, dim=-2)  # (..., frame, win)
    if config.sample_before == "true":
        starts = torch.arange(frames, device=samples.device) * config.hop_length
        before = torch.nn.functional.pad(scaled, (1, 0))[..., starts]
    else:
        before = torch.nn.functional.pad(raw[..., :-1, -1], (1, 0))
    before = torch.cat([before[..., None], raw[..., :-1]], dim=-1)
    return raw - config.pre_emphasis * before


def _band_energies(frames, config):
    """Energy in each mel band, (..., frame, mel)."""
    filters, first, stop = used_filters(config)
    filters = torch.from_numpy(filters).to(frames.device, frames.dtype)
    window = torch.hamming_window(
        config.win_length, periodic=False, dtype=frames.dtype, device=frames.device
    )
    flat = frames.reshape(-1, config.win_length)
    parts = []
    for chunk in flat.split(_CHUNK):
        spectrum = torch.fft.rfft(chunk * window, config.n_fft)[:, first:stop]
        parts.append((spectrum.real.square() + spectrum.imag.square()) @ filters)
    return torch.cat(parts).reshape(*frames.shape[:-1], config.n_mels)
