"""The log-mel matrix that voice encoders hear: the released recipe, vectorised."""

import numpy as np
import scipy.fft

from v2mlib.checks import InputError
from v2mlib.voices.reading import as_samples
from v2mlib.voices.recipe import RELEASED_LOG_MEL, filter_blocks, frame_count, tail_index, used_bins

# Frames worked on at a time, so that a chunk's spectra stay in the processor's cache.
_CHUNK = 64


def log_mel(samples, sample_rate=16_000, normalise=True, config=RELEASED_LOG_MEL):
    """Describe speech by the logarithm of its energy in 64 mel bands, every 10 ms.

    25 ms Hamming windows of pre-emphasised samples on the 16-bit scale, power spectrum of 1,024
    points, triangular mel filters, ``log(max(energy, floor))``, and for ``normalise`` zero mean
    and unit standard deviation of each band over the clip.

    The spectra are computed in double precision: bands far below the loudest of their frame
    would otherwise drown in the transform's rounding, with errors above 1e-3 in the logarithm on
    real recordings. Every clip starts with fresh state. The released code keeps one filter
    object for all files, so that there the first sample of a clip is filtered with the last
    sample of whatever clip came before; this is not imitated.

    Parameters
    ----------
    samples : ndarray or Tensor, (sample,), or a list of them, in [-1, 1]
        One clip; several clips of any lengths as a list. A Tensor may have batch axes before
        (..., sample); it is worked on where it lives and gradients flow through it. The values
        of tensors are not checked, which would make a GPU wait.
    sample_rate : int, Hz
        Rate of the samples; must be the configured one.
    normalise : bool
        Whether to standardise each band over the clip.
    config : LogMelConfig
        The recipe: `RELEASED_LOG_MEL` or `CLEAN_LOG_MEL`, or one of your own.

    Returns
    -------
    ndarray or Tensor of float32, (..., frame, mel), natural log units or standard deviations
        ``int(n / 160 + 1)`` frames; the kind that came in. A list for a list, without padding.
        Float64 tensors give float64.

    Raises
    ------
    InputError
        If the rate is not the configured one, or the samples are empty, not finite, or not on
        the scale [-1, 1].
    ShapeError
        If an array has several axes.

    References
    ----------
    .. [1] Wu et al., "Cross-Modal Perceptionist", CVPR 2022, section 4 and the released front
       end; Wen, Singh and Raj, "Face reconstruction from voice using generative adversarial
       networks", NeurIPS 2019.

    Examples
    --------
    A tone lights the filter that is centred on it, here number 22 (centre 984 Hz):

    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
    >>> log_mel(tone, normalise=False).shape
    (101, 64)
    >>> int(log_mel(tone, normalise=False)[50].argmax())
    22
    """
    if sample_rate != config.sample_rate:
        raise InputError(
            "samples",
            f"are at {sample_rate} Hz, expected {config.sample_rate}",
            "read files with read_audio, or call resample first",
        )
    if isinstance(samples, (list, tuple)) and len(samples) and hasattr(samples[0], "shape"):
        if _is_tensor(samples[0]):
            from v2mlib.voices.features_torch import log_mel_tensors

            return log_mel_tensors(samples, normalise, config)
        return [log_mel(clip, sample_rate, normalise, config) for clip in samples]
    if _is_tensor(samples):
        from v2mlib.voices.features_torch import log_mel_tensor

        return log_mel_tensor(samples, normalise, config)
    return log_mel_array(as_samples(samples), normalise, config)


def normalise_log_mel(log_mel):
    """Standardise each mel band over the clip.

    Parameters
    ----------
    log_mel : ndarray or Tensor, (..., frame, mel), natural log units
        Output of ``log_mel(..., normalise=False)``.

    Returns
    -------
    ndarray or Tensor, (..., frame, mel), standard deviations
        Mean 0 and population standard deviation 1; a constant band gives zeros.
    """
    epsilon = float(np.finfo(np.float32).eps)  # as released; keeps constant bands finite
    if _is_tensor(log_mel):
        centred = log_mel - log_mel.mean(dim=-2, keepdim=True)
        # The clamp keeps the gradient of a constant band finite.
        return centred / (
            centred.square().mean(dim=-2, keepdim=True).clamp_min(1e-30).sqrt() + epsilon
        )
    centred = log_mel - log_mel.mean(axis=-2, keepdims=True, dtype=np.float64)
    deviation = np.sqrt(np.square(centred).mean(axis=-2, keepdims=True))
    return (centred / (deviation + epsilon)).astype(log_mel.dtype)


def repeat_to(log_mel, n_frames=1000):
    """Repeat a short clip's frames until there are enough, as the released code does.

    Parameters
    ----------
    log_mel : ndarray or Tensor, (..., frame, mel)
        Normalised features: the released code normalises first and repeats afterwards.
    n_frames : int
        Frames wanted; 1,000 are 10 s.

    Returns
    -------
    ndarray or Tensor, (..., max(frame, n_frames), mel)
        Clips that are long enough come back as they are, uncropped.

    Raises
    ------
    InputError
        If there is no frame to repeat.

    Examples
    --------
    >>> repeat_to(np.array([[1.0], [2.0], [3.0]]), 7).T
    array([[1., 2., 3., 1., 2., 3., 1.]])
    """
    frames = log_mel.shape[-2]
    if not frames:
        raise InputError("log_mel", "holds no frames", "give at least one")
    if frames >= n_frames:
        return log_mel
    order = np.arange(n_frames) % frames
    if _is_tensor(log_mel):
        import torch

        return log_mel.index_select(-2, torch.from_numpy(order).to(log_mel.device))
    return np.take(log_mel, order, axis=-2)


def log_mel_array(samples, normalise, config):
    """Work out log-mel features of one checked clip.

    Whole frames are strided views of the pre-emphasised clip, taken in chunks; the few frames
    that reach beyond its end are built from their sample numbers.

    Parameters
    ----------
    samples : ndarray of float32, (sample,), in [-1, 1]
        At least one sample.
    normalise : bool
        Whether to standardise each band over the clip.
    config : LogMelConfig
        The recipe.

    Returns
    -------
    ndarray of float32, (frame, mel)
        See `log_mel`.
    """
    win, hop, share = config.win_length, config.hop_length, config.pre_emphasis
    frames, whole = frame_count(samples.size, config)
    scaled = np.zeros(samples.size + 1)  # with the zero that tail_index refers to
    np.multiply(samples, config.full_scale, out=scaled[:-1])
    energies = np.empty((frames, config.n_mels), dtype=np.float32)
    buffer = np.zeros((_CHUNK, config.n_fft))  # beyond win it stays zero
    window = np.hamming(win)

    if whole:
        emphasised = scaled.copy()
        emphasised[1:] -= share * scaled[:-1]
        views = np.lib.stride_tricks.sliding_window_view(emphasised, win)[::hop]  # (frame, win)
        first_samples = emphasised[: (whole - 1) * hop + 1 : hop].copy()
        if config.sample_before != "true":
            first_samples[1:] = scaled[hop : (whole - 1) * hop + 1 : hop]
            first_samples[1:] -= share * scaled[win - 1 :: hop][: whole - 1]
        first_samples *= window[0]
        for start in range(0, whole, _CHUNK):
            stop = min(start + _CHUNK, whole)
            chunk = buffer[: stop - start]
            np.multiply(views[start:stop], window, out=chunk[:, :win])
            chunk[:, 0] = first_samples[start:stop]
            _band_energies(chunk, config, energies[start:stop])

    tail = scaled[tail_index(samples.size, config)]  # (tail frame, 1 + win)
    tail = (tail[:, 1:] - share * tail[:, :-1]) * window
    for start in range(0, len(tail), _CHUNK):
        part = tail[start : start + _CHUNK]
        buffer[: len(part), :win] = part
        _band_energies(buffer[: len(part)], config, energies[whole + start :][: len(part)])

    np.maximum(energies, np.float32(config.floor), out=energies)
    features = np.log(energies, out=energies)
    return normalise_log_mel(features) if normalise else features


def _band_energies(windowed, config, out):
    """Energy of windowed frames (frame, n_fft) in each mel band."""
    # Single precision after the transform: sums of positive terms lose nothing to cancellation.
    spectrum = scipy.fft.rfft(windowed)[:, used_bins(config)].astype(np.complex64)
    power = spectrum.real**2
    power += spectrum.imag**2
    for columns, rows, weights in filter_blocks(config):
        np.matmul(power[:, rows], weights, out=out[:, columns])


def _is_tensor(value):
    # Without importing torch, which takes seconds that reading a file does not need.
    return type(value).__module__.split(".")[0] == "torch"
