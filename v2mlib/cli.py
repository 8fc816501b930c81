"""The command line ``v2m``: thin over the library, quick to answer ``--help``.

Exit codes: 0 done, 1 an input could not be used (one line on stderr says which and what to do),
2 the command line itself was wrong, 130 stopped from the keyboard.
"""

import argparse
import importlib
import os
import sys

import v2mlib
from v2mlib.checks import V2MError

#: In the order of the help; each module has ``add_parser(subparsers)`` and imports late.
COMMANDS = (
    "demo",
    "predict",
    "data",
    "train",
    "evaluate",
    "ablate",
    "study",
    "app",
    "faces",
    "doctor",
)

_DESCRIPTION = """How much of a face's 3D geometry does a voice carry?

Predicts a 3D face mesh from a voice, on a synthetic population whose voice-face link is known,
or on your own recordings. A predicted face is a statistical estimate, never an identification."""


def build_parser():
    """Parser of the whole command line.

    Returns
    -------
    argparse.ArgumentParser
        Parsed options carry ``run``, the function to call with them.
    """
    parser = argparse.ArgumentParser(
        prog="v2m",
        description=_DESCRIPTION,
        epilog="v2m COMMAND --help says more about each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"v2mlib {v2mlib.__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f"v2mlib.commands.{name}").add_parser(subparsers)
    return parser


def _one_line(error):
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'input'}: {error.strerror}"
    return " ".join(str(error).split())


def main(argv=None):
    """Run ``v2m``.

    Parameters
    ----------
    argv : list of str, optional
        Command-line words; those of the process by default.

    Returns
    -------
    int
        The exit code.
    """
    options = build_parser().parse_args(argv)
    try:
        return options.run(options) or 0
    except BrokenPipeError:  # the reader of our output went away, as in `v2m ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (V2MError, OSError) as error:
        print(f"v2m: {_one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"v2m: {_one_line(stop) or 'stopped'}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
