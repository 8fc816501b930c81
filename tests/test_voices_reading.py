"""Reading: every rate and format comes out right, every fault has its own line."""

import os
import struct
import warnings

import numpy as np
import pytest
import soundfile

from v2mlib.checks import InputError
from v2mlib.voices import ClippingWarning, read_audio, resample


def tone(frequency_hz=440.0, seconds=1.0, rate=16000, amplitude=0.5):
    phase = 2 * np.pi * frequency_hz * np.arange(int(seconds * rate)) / rate
    return amplitude * np.sin(phase)


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(), 16000)
    return path


def test_16_bit_files_are_read_exactly(tmp_path):
    pcm = np.random.default_rng(0).integers(-32768, 32768, 20000).astype(np.int16)
    pcm[::3] //= 2  # no runs at full scale
    for name in ("a.wav", "a.flac", "a.aiff"):
        soundfile.write(tmp_path / name, pcm, 16000)
        samples, rate = read_audio(tmp_path / name)
        assert (samples.dtype, rate) == (np.float32, 16000)
        np.testing.assert_array_equal(samples, pcm.astype(np.float32) / 32768)
        np.testing.assert_array_equal(read_audio(str(tmp_path / name))[0], samples)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_U8"),
        ("a.wav", "PCM_24"),
        ("a.wav", "PCM_32"),
        ("a.wav", "FLOAT"),
        ("a.wav", "DOUBLE"),
        ("a.wav", "ULAW"),
        ("a.flac", "PCM_24"),
        ("a.ogg", "VORBIS"),
        ("a.ogg", "OPUS"),
        ("a.mp3", None),
        ("a.aiff", None),
        ("a.au", None),
        ("a.caf", None),
        ("a.w64", None),
        ("a.rf64", None),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_formats_channels_and_rates(tmp_path, name, subtype, channels):
    path = tmp_path / name
    stereo = np.stack([tone(rate=48000, amplitude=a) for a in (0.6, 0.2)[:channels]], axis=1)
    soundfile.write(path, stereo, 48000, subtype=subtype)
    samples, rate = read_audio(path)
    assert rate == 16000
    assert abs(samples.size - 16000) <= 40  # lossy codecs may keep some padding
    middle = samples[4000:12000] * np.hanning(8000)
    peak = np.abs(np.fft.rfft(middle))
    assert peak.argmax() == 220
    assert peak.max() == pytest.approx(stereo.mean(axis=1).max() * 2000, rel=0.03)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_any_rate(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", tone(rate=rate), rate, subtype="FLOAT")
    samples, _ = read_audio(tmp_path / "a.wav")
    assert samples.size == 16000
    np.testing.assert_allclose(samples[400:-400], tone()[400:-400], atol=2e-4)


def test_resampling_is_flat_to_the_last_mel_filter_and_does_not_fold():
    def gain_db(frequency_hz):
        converted = resample(tone(frequency_hz, 1.0, 48000), 48000)[2000:-2000]
        return 20 * np.log10(np.sqrt(2 * np.mean(converted**2)) / 0.5)

    for frequency_hz in (20.0, 1000.0, 5000.0, 7200.0):
        assert abs(gain_db(frequency_hz)) < 0.05
    for frequency_hz in (8100.0, 8800.0, 12000.0, 20000.0):
        assert gain_db(frequency_hz) < -90


def test_resampling_needs_a_usable_rate():
    with pytest.raises(InputError, match=r"sample rate is 100 Hz: speech needs at least 2,000 Hz"):
        resample(np.zeros(10), 100)
    assert resample(np.zeros(0), 48000).size == 0


def test_clipping_warns_and_changes_nothing(tmp_path):
    clipped = np.clip(tone(amplitude=3.0), -1, 32767 / 32768)
    soundfile.write(tmp_path / "loud.wav", clipped, 16000)
    with pytest.warns(ClippingWarning, match=r"loud\.wav is clipped: \d+ samples .* less gain"):
        samples, _ = read_audio(tmp_path / "loud.wav")
    np.testing.assert_allclose(samples, clipped, atol=1 / 32768)
    # One sample at full scale, as normalised recordings have, is no clipping.
    soundfile.write(tmp_path / "peak.wav", tone(amplitude=32767 / 32768), 16000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_audio(tmp_path / "peak.wav")


def test_overshoot_is_limited_to_full_scale(tmp_path):
    burst = tone(seconds=1.0)
    burst[8000] = 1.3
    soundfile.write(tmp_path / "over.wav", burst, 16000, subtype="FLOAT")
    samples, _ = read_audio(tmp_path / "over.wav")
    assert samples.max() == 1.0
    np.testing.assert_allclose(np.delete(samples, 8000), np.delete(burst, 8000), atol=1e-6)


def test_streamed_wav_without_a_length_is_read(wav):
    data = bytearray(wav.read_bytes())
    data[4:8] = data[40:44] = struct.pack("<I", 0xFFFFFFFF)
    wav.write_bytes(data)
    assert read_audio(wav)[0].size == 16000


def test_streamed_flac_without_a_length_is_read(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(), 16000)
    data = bytearray(path.read_bytes())
    assert data[:4] == b"fLaC"
    # The last 36 bits of this field count the samples; 0 stands for unknown.
    (field,) = struct.unpack(">Q", data[18:26])
    data[18:26] = struct.pack(">Q", field >> 36 << 36)
    path.write_bytes(data)
    assert read_audio(path)[0].size == 16000


def test_names_with_spaces_and_accents(tmp_path):
    path = tmp_path / "Café ñandú 1.wav"
    soundfile.write(path, tone(), 16000)
    assert read_audio(path)[0].size == 16000


def refused(path, problem):
    """Reading fails with one line that names the file, the problem and a remedy."""
    with pytest.raises(InputError, match=problem) as caught:
        read_audio(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert caught.value.remedy
    return message


def test_missing_file(tmp_path):
    refused(tmp_path / "nobody.wav", "does not exist: check the spelling")


def test_folder(tmp_path):
    refused(tmp_path, "is a folder: name the sound files in it")


def test_empty_file(tmp_path):
    (tmp_path / "a.wav").touch()
    refused(tmp_path / "a.wav", r"is empty \(0 bytes\): record")


def test_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    refused(tmp_path / "pipe.wav", "is not an ordinary file")


def test_unreadable_file(wav):
    wav.chmod(0)
    as_root = os.geteuid() == 0  # root may read anything: become nobody for a moment
    if as_root:
        os.seteuid(65534)
    try:
        refused(wav, r"cannot be read \(permission denied\): allow it with chmod \+r tone\.wav")
    finally:
        if as_root:
            os.seteuid(0)


def test_impossible_name(tmp_path):
    refused(tmp_path / "nul\0.wav", "cannot be opened")
    refused(tmp_path / ("long" * 100), "cannot be opened")


@pytest.mark.parametrize(
    "content", [b"hello, this is text\n" * 50, bytes(5000), b"RIFF", b"\xff" * 99]
)
@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".flac", ".txt", ".raw", ""])
def test_not_audio(tmp_path, content, suffix):
    path = tmp_path / f"note{suffix}"
    path.write_bytes(content)
    message = refused(path, "is not audio that can be read|is truncated")
    assert ("is truncated" in message) <= (content == b"RIFF")


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_behind_real_headers_never_crash(tmp_path, wav, seed):
    rng = np.random.default_rng(seed)
    data = bytearray(wav.read_bytes())
    for position in rng.integers(0, 48, 6):
        data[position] = rng.integers(0, 256)
    (tmp_path / "odd.wav").write_bytes(data)
    try:
        samples, _ = read_audio(tmp_path / "odd.wav")
    except InputError as error:
        assert str(tmp_path / "odd.wav") in str(error)  # noqa: PT017
    else:
        assert np.isfinite(samples).all()


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x20ftypM4A \0\0\0\0", "MPEG-4"),
        (b"\x1a\x45\xdf\xa3" + bytes(40), "Matroska"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(40), "Windows Media"),
        (b"#!AMR\n" + bytes(40), "AMR"),
        (b"\xff\xf1\x50\x80" + bytes(40), "AAC"),
    ],
)
def test_formats_that_need_converting(tmp_path, head, kind):
    path = tmp_path / "memo.m4a"
    path.write_bytes(head + bytes(100))
    message = refused(path, kind)
    assert "convert it first: ffmpeg -i memo.m4a memo.wav" in message


@pytest.mark.parametrize("share", [0.03, 0.5, 0.99])
@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_16"),
        ("a.wav", "FLOAT"),
        ("a.flac", None),
        ("a.ogg", "VORBIS"),
        ("a.ogg", "OPUS"),
        ("a.mp3", None),
        ("a.aiff", None),
        ("a.au", None),
        ("a.caf", None),
        ("a.w64", None),
        ("a.rf64", None),
    ],
)
def test_truncated_files(tmp_path, name, subtype, share):
    whole = tmp_path / f"whole_{name}"
    rng = np.random.default_rng(0)
    soundfile.write(whole, tone(seconds=3.0) + 0.01 * rng.standard_normal(48000), 16000, subtype)
    read_audio(whole)
    path, data = tmp_path / name, whole.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refused(path, "is truncated.*copy or download it again")


@pytest.mark.parametrize("n_bytes", [1, 4, 11, 12, 20, 44])
def test_files_cut_within_the_header(wav, n_bytes):
    wav.write_bytes(wav.read_bytes()[:n_bytes])
    refused(wav, "is truncated|is not audio")


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.flac", "a.caf", "a.w64", "a.rf64"])
def test_every_cut_within_the_first_bytes_is_refused(tmp_path, name):
    soundfile.write(tmp_path / name, tone(), 16000)
    data = (tmp_path / name).read_bytes()
    for n_bytes in range(1, 130, 3):
        (tmp_path / name).write_bytes(data[:n_bytes])
        refused(tmp_path / name, "is truncated|is not audio")


def test_flac_cut_between_two_frames(tmp_path):
    """The decoder sees nothing wrong there; only the count of samples tells."""
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(seconds=3.0), 16000)
    data = path.read_bytes()
    first, last = 4, False
    while not last:  # walk the metadata blocks to the first frame
        last = data[first] >= 128
        first += 4 + int.from_bytes(data[first + 1 : first + 4], "big")
    path.write_bytes(data[: data.index(data[first : first + 4], len(data) // 2)])
    refused(path, r"is truncated: it promises 3\.00 s and holds \d\.\d\d s")


def test_header_without_samples(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 16000)
    refused(tmp_path / "a.wav", "holds no samples")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_that_are_not_finite(tmp_path, value, channels):
    samples = np.stack([tone()] * channels, axis=1)
    samples[777, -1] = value
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    refused(tmp_path / "a.wav", "holds NaN or infinite samples: export it again")


def test_floating_point_on_the_16_bit_scale(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone() * 32768, 16000, subtype="FLOAT")
    refused(tmp_path / "a.wav", "reaches 1.638e.04 where full scale is 1: divide")


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_silence(tmp_path, level):
    soundfile.write(tmp_path / "a.wav", np.full(16000, level), 16000)
    refused(tmp_path / "a.wav", "is silent: check the microphone")


def test_channels_that_cancel(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([tone(), -tone()], axis=1), 16000)
    refused(tmp_path / "a.wav", "is silent once its channels are averaged")


def test_too_short(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(seconds=0.49, rate=44100), 44100)
    refused(tmp_path / "a.wav", r"lasts 0\.49 s: use a recording with at least 0\.5 s of speech")
    assert read_audio(tmp_path / "a.wav", minimum_s=0)[0].size == 7840


def test_too_slow(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(10.0, rate=1000), 1000)
    refused(tmp_path / "a.wav", "is sampled at 1000 Hz: speech needs at least 2,000 Hz")


@pytest.mark.real_data
def test_real_recordings_are_read_without_complaint(real_data):
    paths = sorted(real_data.glob("speech_*/**/*.flac"))
    assert len(paths) >= 300
    for path in paths[::5]:
        samples, rate = read_audio(path)
        assert rate == 16000
        assert 0.01 < np.abs(samples).max() <= 1
