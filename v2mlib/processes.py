"""Work spread over fresh Python processes that talk in lines of JSON.

`multiprocessing` with the spawn method imports the caller's main script again in every child: it
fails for a script without a main guard and for one read from standard input. Here a child is
`python -m v2mlib.processes`: it needs nothing from the caller, receives no pickle, notices when
its parent is gone, and its death is an error in the parent, not a wait.
"""

import collections
import contextlib
import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path

from v2mlib.checks import InputError, V2MError

THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def processors():
    """Number of processors that this process may use.

    Returns
    -------
    int
        At least 1; fewer than the machine has where the process is confined to some.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def run_jobs(target, jobs, *, setup=None, workers=1):
    """Call a function once per job, in several processes.

    Parameters
    ----------
    target : str
        `"package.module:function"`. It is called once per process as `function(setup)` and
        returns the function that is called with each job.
    jobs : sequence
        JSON-serialisable arguments, dealt in order.
    setup : object
        JSON-serialisable argument of the target.
    workers : int
        Number of processes; 1 works in this process.

    Yields
    ------
    tuple of (int, object)
        The job's position and the function's (JSON-serialisable) result, as they finish.

    Raises
    ------
    InputError
        As raised by a job.
    V2MError
        If a job fails in another way or a process dies. No process is left behind.

    Examples
    --------
    >>> list(run_jobs("operator:itemgetter", [["a", "b"], ["c", "d"]], setup=1))
    [(0, 'b'), (1, 'd')]
    """
    jobs = list(jobs)
    if workers <= 1 or len(jobs) <= 1:
        function = _resolve(target)(setup)
        for number, job in enumerate(jobs):
            yield number, function(job)
        return
    children = []
    try:
        for _ in range(min(workers, len(jobs))):
            children.append(_start(target, setup))
        yield from _converse(children, jobs)
    finally:
        for child in children:
            _stop(child)


def run_in_fresh_process(target, argument):
    """Call a function once, in a process that has done nothing before.

    Parameters
    ----------
    target : str
        `"package.module:function"`.
    argument : object
        JSON-serialisable.

    Returns
    -------
    object
        The function's (JSON-serialisable) result.

    Raises
    ------
    InputError
        As raised by the function.
    V2MError
        If the function fails in another way or the process dies.

    Examples
    --------
    >>> run_in_fresh_process("math:sqrt", 2.25)
    1.5
    """
    child = _start("v2mlib.processes:_caller", target)
    try:
        return next(_converse([child], [argument]))[1]
    finally:
        _stop(child)


def _caller(target):
    return _resolve(target)


def _stop(child):
    child.kill()
    for stream in (child.stdin, child.stdout):
        with contextlib.suppress(OSError):
            stream.close()
    child.wait()


def _resolve(target):
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _start(target, setup):
    environment = dict(os.environ)
    root = str(Path(__file__).resolve().parent.parent)
    environment["PYTHONPATH"] = os.pathsep.join(
        [root, *filter(None, [environment.get("PYTHONPATH")])]
    )
    environment.update(dict.fromkeys(THREAD_LIMITS, "1"))  # the processes are the parallelism
    child = subprocess.Popen(
        [sys.executable, "-m", "v2mlib.processes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        encoding="utf-8",
    )
    with contextlib.suppress(OSError):  # a child that is dead already is reported when asked
        child.stdin.write(json.dumps([target, setup]) + "\n")
        child.stdin.flush()
    return child


def _converse(children, jobs):
    """One thread per child hands it a job, waits for the answer, and takes the next."""
    pending, answers = collections.deque(enumerate(jobs)), queue.Queue()

    def serve(child):
        while True:
            try:
                number, job = pending.popleft()
            except IndexError:
                return
            try:
                child.stdin.write(json.dumps(job) + "\n")
                child.stdin.flush()
                answer = child.stdout.readline()
            except (OSError, ValueError):
                answer = ""
            answers.put((number, answer))
            if not answer:
                return

    for child in children:
        threading.Thread(target=serve, args=(child,), daemon=True).start()
    for _ in jobs:
        number, answer = answers.get()
        if not answer:
            raise V2MError(
                "a worker process died (killed, or out of memory?); run again with fewer workers: "
                "what is finished is kept"
            )
        yield number, _unpack(json.loads(answer))


def _unpack(answer):
    if "input_error" in answer:
        raise InputError(*answer["input_error"])
    if "error" in answer:
        raise V2MError(f"a worker process failed: {answer['error']}")
    return answer["result"]


def _serve():
    """Answer jobs until the parent closes its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, then kills us
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not end up among the replies
    target, setup = json.loads(sys.stdin.readline())
    function = None
    for line in sys.stdin:
        try:
            function = function or _resolve(target)(setup)
            answer = {"result": function(json.loads(line))}
        except InputError as error:
            answer = {"input_error": [error.what, error.problem, error.remedy]}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        try:
            replies.write(json.dumps(answer) + "\n")
            replies.flush()
        except BrokenPipeError:
            return


if __name__ == "__main__":
    _serve()
