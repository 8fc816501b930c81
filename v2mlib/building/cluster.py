"""Dask workers: on this machine, or on any cluster by the address of its scheduler."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import v2mlib
from v2mlib import __version__
from v2mlib.building import orphans
from v2mlib.building.publishing import WORK
from v2mlib.checks import InputError, V2MError
from v2mlib.processes import THREAD_LIMITS, processors

_IN_FLIGHT = 256  # tasks with the scheduler at a time, however many there are
_PATIENCE_S = 300  # a busy machine may take a minute to start Python with its libraries
_ANSWER_S = 10


class Workers:
    """Workers that call functions with jobs.

    Parameters
    ----------
    client : distributed.Client or None
        None works in this process.
    n_workers : int
        How many there are.
    """

    def __init__(self, client, n_workers):
        self._client, self.n_workers = client, n_workers
        self._running = {}  # jobs by key

    def run(self, function, jobs):
        """Call a function once per job.

        Parameters
        ----------
        function : callable
            At the top of a module of this package.
        jobs : sequence
            Its arguments.

        Yields
        ------
        object
            Results, as they come.

        Raises
        ------
        InputError, OSError
            As raised by the function.
        V2MError
            If workers die again and again, or the scheduler is lost.
        """
        if self._client is None:
            for job in jobs:
                yield function(job)
            return
        from distributed import CancelledError, KilledWorker
        from distributed.comm import CommClosedError

        try:
            yield from self._spread(function, jobs)
        except KilledWorker as error:
            paths = self._running.get(error.task, {}).get("paths", ["?"])
            raise V2MError(
                f"workers died again and again on the files from {paths[0]} to {paths[-1]}; from "
                "lack of memory, run again with fewer workers; from a file among them, remove it: "
                "what is finished is kept"
            ) from None
        except (CancelledError, CommClosedError):
            raise V2MError("the scheduler was lost; run again: what is finished is kept") from None

    def _spread(self, function, jobs):
        from distributed import as_completed

        client, waiting = self._client, iter(jobs)

        def submit(job):
            # Not by its content: a job that failed in an earlier run must be tried again.
            key = f"{function.__name__}-{uuid.uuid4().hex}"
            self._running[key] = job
            return client.submit(_guarded, function, job, key=key)

        first = [submit(job) for job, _ in zip(waiting, range(_IN_FLIGHT), strict=False)]
        running = as_completed(first)
        del first
        for future in running:
            answer = future.result()
            future.release()
            del self._running[future.key]
            for job in waiting:
                running.add(submit(job))
                break
            yield _unpack(answer)


@contextlib.contextmanager
def workers(folder, *, scheduler=None, n_workers=None, n_jobs=None):
    """Start workers, or find them.

    Parameters
    ----------
    folder : path
        Where they will write; all of them must see it.
    scheduler : str, optional
        Address of a running scheduler, such as ``tcp://10.0.0.1:8786``.
    n_workers : int, optional
        Processes on this machine where there is no scheduler; as many as it has processors by
        default. One works in this process.
    n_jobs : int, optional
        Jobs to come: no more workers than that are started.

    Yields
    ------
    Workers
        Ready.

    Raises
    ------
    InputError
        If the scheduler does not answer, has no workers, or its workers do not see the folder
        or run another version of this package; if there are to be no workers.
    """
    if scheduler is not None:
        with _remote(scheduler, folder) as client:
            yield Workers(client, max(sum(client.nthreads().values()), 1))
        return
    if n_workers is not None and n_workers < 1:
        raise InputError("workers", f"are {n_workers}", "use 1 or more")
    n_workers = n_workers or processors()
    n_workers = min(n_workers, n_jobs if n_jobs is not None else n_workers)
    if n_workers <= 1:
        yield Workers(None, 1)
        return
    with _local(n_workers, Path(folder)) as client:
        yield Workers(client, n_workers)


@contextlib.contextmanager
def _local(n_workers, folder):
    """A scheduler in this process, and workers that need nothing from the caller's script.

    `LocalCluster` would start them with multiprocessing's spawn method, which imports the
    caller's main script again and fails for scripts without a main guard.
    """
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=0,
            protocol="tcp",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # else a second build would want the same port
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        children = _start_workers(cluster.scheduler_address, n_workers, folder)
        try:
            _await(client, n_workers, children, folder)
            yield client
        finally:
            _stop(children)


def _await(client, n_workers, children, folder):
    """Wait until all workers have come, as long as there is hope."""
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end and children.poll() is None:
        with contextlib.suppress(TimeoutError):
            return client.wait_for_workers(n_workers, timeout=1)
    why = "ended" if children.poll() is not None else f"did not start within {_PATIENCE_S} s"
    raise V2MError(f"workers {why}; {_log_of(folder)} says more")


def _start_workers(address, n_workers, folder):
    environment = dict(os.environ)
    root = str(Path(v2mlib.__file__).resolve().parents[1])
    inherited = filter(None, [environment.get("PYTHONPATH")])
    environment["PYTHONPATH"] = os.pathsep.join([root, *inherited])
    environment.update(dict.fromkeys(THREAD_LIMITS, "1"))  # the workers are the parallelism
    environment["DASK_LOGGING__DISTRIBUTED"] = "error"
    environment[orphans.PARENT] = str(os.getpid())
    words = ["worker", address, "--nthreads", "1", "--nworkers", str(n_workers), "--no-dashboard"]
    words += ["--death-timeout", str(_PATIENCE_S), "--preload-nanny", orphans.__name__]
    _log_of(folder).parent.mkdir(parents=True, exist_ok=True)
    with open(_log_of(folder), "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )


def _stop(children):
    children.terminate()  # they remove their scratch folders
    with contextlib.suppress(subprocess.TimeoutExpired):
        children.wait(5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(children.pid, signal.SIGKILL)
    children.wait()


def _log_of(folder):
    return folder / WORK / "workers.log"


@contextlib.contextmanager
def _remote(scheduler, folder):
    from distributed import Client

    try:
        client = Client(scheduler, timeout=_ANSWER_S)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"scheduler {scheduler}",
            f"does not answer ({type(error).__name__})",
            "start one with `dask scheduler`, and give its address: tcp://HOST:8786",
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE_S)
        except TimeoutError:
            raise InputError(
                f"scheduler {scheduler}",
                "has no workers",
                f"start some: dask worker {scheduler} --nthreads 1 --nworkers 8",
            ) from None
        _check_workers(client, scheduler, Path(folder))
        yield client


def _check_workers(client, scheduler, folder):
    probe = folder / f".probe-{uuid.uuid4().hex}"
    probe.touch()
    try:
        answers = client.run(_look, str(probe), on_error="return")
    finally:
        probe.unlink(missing_ok=True)
    for address, answer in answers.items():
        where = f"worker {address} of {scheduler}"
        if not isinstance(answer, dict):
            raise InputError(where, f"cannot run v2mlib ({answer})", "install it there, too")
        if answer["version"] != __version__:
            raise InputError(
                where,
                f"has v2mlib {answer['version']}, not {__version__}",
                "install the same version everywhere",
            )
        if not answer["sees"]:
            raise InputError(
                where, f"does not see {folder}", "use a folder that all machines share"
            )
        if not answer["writes"]:
            raise InputError(where, f"may not write to {folder}", "change its rights")


def _look(probe):
    for _ in range(20):  # network file systems show new files a little later
        if os.path.exists(probe):
            break
        time.sleep(0.25)
    writes = os.access(os.path.dirname(probe), os.W_OK)
    return {"version": __version__, "sees": os.path.exists(probe), "writes": writes}


def _guarded(function, job):
    """Call on a worker; errors travel as plain data, which every version can read."""
    try:
        return {"result": function(job)}
    except InputError as error:
        return {"input_error": [error.what, error.problem, error.remedy]}
    except OSError as error:
        return {"os_error": [error.errno, error.strerror or str(error), error.filename]}


def _unpack(answer):
    if "input_error" in answer:
        raise InputError(*answer["input_error"])
    if "os_error" in answer:
        raise OSError(*answer["os_error"])
    return answer["result"]
