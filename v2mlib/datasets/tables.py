"""Small tables written by people and spreadsheets: any separator, named faults by line."""

import csv
import io
import re
from pathlib import Path
from typing import NamedTuple

from v2mlib.checks import InputError

_SEXES = {"m": "m", "male": "m", "man": "m", "f": "f", "female": "f", "woman": "f"}
_SHOWN = 4


class Line(NamedTuple):
    """A row of a table: its line in the file, counted from 1, and its text by column."""

    number: int
    values: dict


class Fault(NamedTuple):
    """What is wrong in a line of a table, as a predicate, and what to do about it."""

    line: int
    problem: str
    remedy: str


def read_lines(path, columns, *, required, strict=False):
    """Read a table of text.

    Parameters
    ----------
    path : path
        UTF-8 (with or without byte-order mark), UTF-16 or Windows-1252; columns separated by
        tabs, semicolons or commas, or by spaces if nothing else separates them.
    columns : dict of str to sequence of str
        Names of each column as they occur in headers, letters and digits only, lower case, in the
        file's usual order.
    required : sequence of str
        Columns that must be there.
    strict : bool
        Whether to refuse columns that are not known.

    Returns
    -------
    list of Line
        Values without surrounding space; "" where there is none. Empty lines are left out.

    Raises
    ------
    InputError
        If the file is absent, empty or binary, lacks a column or has one twice, or if a line has
        another number of values than the header.
    """
    text = _decode(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        raise InputError(path, "is empty", "the first line must name the columns")
    separator = next((sign for sign in "\t;," if sign in first), None)
    rows = _rows(path, text, separator, columns)
    _, names = next(rows)
    header = _header(path, names, columns, required, strict, separator)
    lines, faults = [], []
    for number, values in rows:
        while len(values) > len(header) and not values[-1]:
            values.pop()
        if len(values) != len(header):
            problem = f"has {len(values)} values where the header has {len(header)} columns"
            faults.append(Fault(number, problem, "write one value for each column"))
            continue
        found = dict(zip(header, values, strict=True))
        lines.append(Line(number, {name: found.get(name, "") for name in columns}))
    refuse(path, faults)
    return lines


def refuse(path, faults):
    """Raise an error about the faults of a table, if there are any.

    Parameters
    ----------
    path : path
        The table.
    faults : sequence of Fault
        In the order of lines.

    Raises
    ------
    InputError
        About the first fault, naming the lines of the others.
    """
    if not faults:
        return
    first, *others = sorted(faults)
    remedy = first.remedy
    if others:
        shown = [f"line {fault.line} {fault.problem}" for fault in others[:_SHOWN]]
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        remedy += f" (also {'; '.join(shown)}{more})"
    raise InputError(f"{path}, line {first.line}", first.problem, remedy)


def read_sex(text):
    """Sex as tables give it.

    Parameters
    ----------
    text : str
        "m", "F", "male", "woman" ...

    Returns
    -------
    {"m", "f"} or None
        None if it is none of these.

    Examples
    --------
    >>> read_sex("Female"), read_sex("m"), read_sex("x")
    ('f', 'm', None)
    """
    return _SEXES.get(text.strip().casefold())


def _decode(path):
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(path, "does not exist", "check the path") from None
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "give a text file") from error
    try:
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            text = content.decode("utf-16")
        else:
            try:
                text = content.decode("utf-8-sig")
            except UnicodeDecodeError:
                text = content.decode("cp1252")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InputError(path, "is not a text file", "save the table as CSV (UTF-8)")
    return text


def _rows(path, text, separator, columns):
    """Number of the line and values of each row, the header first."""
    stream = io.StringIO(text, newline="")
    if separator is None:
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                yield number, _between_spaces(line, len(columns))
        return
    # Quotes mean something where commas separate; in a table of tabs they are part of a name.
    quoting = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    reader = csv.reader(stream, delimiter=separator, quoting=quoting, skipinitialspace=True)
    try:
        for values in reader:
            values = [value.strip() for value in values]
            if any(values):
                yield reader.line_num, values
    except csv.Error as error:
        remedy = "a quotation mark may be opened and never closed"
        raise InputError(path, f"is not a sound table ({error})", remedy) from error


def _between_spaces(line, n_columns):
    """Values of a line that only spaces separate; the last but one may hold single spaces."""
    values = line.split()
    if len(values) > n_columns and n_columns > 2:
        middle = " ".join(values[n_columns - 2 : -1])
        values = [*values[: n_columns - 2], middle, values[-1]]
    return values


def _header(path, names, columns, required, strict, separator):
    if separator is None:
        # "VoxCeleb1 ID VGGFace1 ID ...": the names hold spaces too, so only the whole is known.
        whole = _plain("".join(names))
        if whole == "".join(aliases[0] for aliases in columns.values()):
            return list(columns)
    header = [_column(name, columns) for name in names]
    usual = [name for name in header if name in columns]
    missing = [name for name in required if name not in usual]
    if missing:
        raise InputError(
            f"{path}, line 1",
            f"lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}",
            f"the first line must name {', '.join(required)}; it reads {', '.join(names)}",
        )
    if len(set(usual)) < len(usual):
        twice = next(name for name in usual if usual.count(name) > 1)
        raise InputError(f"{path}, line 1", f"has the column {twice} twice", "keep one of them")
    strange = [name for name, known in zip(names, header, strict=True) if known not in columns]
    if strict and strange:
        remedy = f"known are {', '.join(columns)}; take the column out or correct its name"
        raise InputError(f"{path}, line 1", f"has a column {strange[0]!r}", remedy)
    return header


def _column(name, columns):
    plain = _plain(name)
    return next((column for column, aliases in columns.items() if plain in aliases), name)


def _plain(name):
    return re.sub(r"[\W_]", "", name).lower()
