"""Loaded by the workers on this machine: they end as soon as the process that wanted them has.

Without it, a worker that has not yet found its scheduler would go on looking for a minute.
"""

import os
import threading
import time

PARENT = "V2M_BUILD_PROCESS"
"""Environment variable with the number of that process."""


def dask_setup(nanny):
    """Begin to watch; called by Dask before it starts a worker.

    Parameters
    ----------
    nanny : distributed.Nanny
        Who watches the worker; when it ends, so does the worker.
    """
    threading.Thread(target=_watch, args=(int(os.environ[PARENT]),), daemon=True).start()


def _watch(parent):
    while os.getppid() == parent:  # a process whose parent is gone gets another one
        time.sleep(0.2)
    os._exit(1)
