"""Look at this installation, say in plain words what is wrong, mend what can be mended."""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from v2mlib.checks import InputError
from v2mlib.paths import cache_dir, shipped

_REQUIRED = (
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "statsmodels",
    "seaborn",
    "plotly",
    "trimesh",
    "embreex",
    "PIL",
    "soundfile",
    "soxr",
    "webrtcvad",
    "tqdm",
    "safetensors",
    "lightning_fabric",
    "ipywidgets",
    "anywidget",
    "jupyterlab",
)
_SHIPPED = ("phantom_face.npz", "phantom.safetensors", "phantom.json")


class Finding(NamedTuple):
    """One line of the report; ``status`` is ``ok``, ``note`` (something optional) or ``fault``."""

    subject: str
    status: str
    detail: str
    remedy: str = ""


def _python_says(code):
    """Run a line in a fresh interpreter: a library that crashes on import must not crash us."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
    return done.returncode == 0, last[0] if last else f"exit code {done.returncode}"


def _torchaudio_libraries():
    spec = find_spec("torchaudio")  # finds the folder without importing it
    return sorted(Path(spec.origin).parent.glob("lib/*.so")) if spec else []


def check_torchaudio(repair=False):
    """Does ``import torchaudio`` work, and if not, is it the known fault?

    The published torchaudio wheel holds native libraries that are linked to CUDA. Beside a CPU
    build of torch they cannot be loaded and the import ends in an ``OSError``. The Python part
    (mel spectrogram, resampling, filters), which is all that v2mlib uses, works without them.

    Parameters
    ----------
    repair : bool
        Remove the native libraries if, and only if, the import fails because of them.

    Returns
    -------
    Finding
        The state after the repair, if one was made.
    """
    works, said = _python_says("import torchaudio; print(torchaudio.__version__)")
    if works:
        return Finding("torchaudio", "ok", said)
    libraries = _torchaudio_libraries()
    if not libraries:
        return Finding("torchaudio", "fault", said, "pip install torchaudio (see pyproject.toml)")
    if not repair:
        return Finding(
            "torchaudio",
            "fault",
            f"its native libraries do not fit this build of torch ({said})",
            "v2m doctor --repair removes them; forced_align and rnnt_loss are then missing, "
            "v2mlib uses neither",
        )
    for library in libraries:
        library.unlink()
    works, said = _python_says("import torchaudio; print(torchaudio.__version__)")
    if works:
        return Finding("torchaudio", "ok", f"{said}, native libraries removed just now")
    return Finding("torchaudio", "fault", said, "pip install --force-reinstall torchaudio")


def _check_torch():
    works, said = _python_says(
        "import torch; print(torch.__version__, 'on', torch.cuda.get_device_name() if "
        "torch.cuda.is_available() else f'{torch.get_num_threads()} CPU threads')"
    )
    return Finding("torch", "ok" if works else "fault", said, "" if works else "pip install torch")


def _check_packages():
    absent = [name for name in _REQUIRED if find_spec(name) is None]
    if absent:
        return Finding("packages", "fault", f"missing: {', '.join(absent)}", "pip install -e .")
    return Finding("packages", "ok", f"{len(_REQUIRED)} required packages found")


def _check_optional():
    if find_spec("parselmouth") is None:
        remedy = "pip install 'v2mlib[phantom]' (needed to build phantom worlds)"
        return Finding("praat-parselmouth", "note", "absent", remedy)
    version = importlib.metadata.version("praat-parselmouth")
    return Finding("praat-parselmouth", "ok", version)


def _check_shipped():
    try:
        paths = [shipped(name) for name in _SHIPPED]
    except InputError as error:
        return Finding("shipped files", "fault", str(error), error.remedy)
    return Finding("shipped files", "ok", str(paths[0].parent))


def _check_cache():
    try:
        folder = cache_dir()
    except InputError as error:
        return Finding("cache", "fault", f"{error.what} {error.problem}", error.remedy)
    if not os.access(folder, os.W_OK):
        remedy = "set V2M_CACHE to a folder you may write to"
        return Finding("cache", "fault", f"{folder} is not writable", remedy)
    return Finding("cache", "ok", str(folder))


def diagnose(repair=False):
    """Every finding about this installation.

    Parameters
    ----------
    repair : bool
        Mend what is known and safe to mend.

    Returns
    -------
    list of Finding
        In the order of dependence: Python, torch, torchaudio, packages, files.
    """
    python = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    fits = sys.version_info >= (3, 11)
    return [
        Finding("python", "ok" if fits else "fault", python, "" if fits else "use 3.11 or newer"),
        _check_torch(),
        check_torchaudio(repair),
        _check_packages(),
        _check_optional(),
        _check_shipped(),
        _check_cache(),
    ]


def main(argv=None):
    """Run ``v2m doctor``.

    Parameters
    ----------
    argv : list of str, optional
        Command-line words; those of the process by default.

    Returns
    -------
    int
        0 if nothing is at fault, else 1.
    """
    parser = argparse.ArgumentParser(prog="v2m doctor", description=__doc__)
    parser.add_argument("--repair", action="store_true", help="mend what is known how to mend")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args(argv)
    findings = diagnose(options.repair)
    faults = [finding for finding in findings if finding.status == "fault"]
    if options.json:
        print(json.dumps({"ok": not faults, "findings": [f._asdict() for f in findings]}))
    else:
        for finding in findings:
            print(f"{finding.status:>5}  {finding.subject}: {finding.detail}")
            if finding.remedy:
                print(f"       -> {finding.remedy}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
