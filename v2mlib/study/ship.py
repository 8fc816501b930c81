"""Make the simulated study that comes with the package: ``python -m v2mlib.study.ship``."""

import argparse

from v2mlib.paths import shipped
from v2mlib.study.simulated import write_simulated_study


def main(argv=None):
    """Write ``data/simulated_study.csv`` and its card.

    Parameters
    ----------
    argv : list of str, optional
        Command-line words.

    Returns
    -------
    int
        The exit code.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", help="file to write (data/simulated_study.csv)")
    out = parser.parse_args(argv).out or shipped("README.md").parent / "simulated_study.csv"
    print(write_simulated_study(out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
