"""One thread of linear algebra, so that sums are taken in the same order everywhere."""

import contextlib
import sys

from threadpoolctl import threadpool_limits


@contextlib.contextmanager
def one_thread():
    """Compute with one thread, and with as many as before afterwards.

    Libraries split a sum among their threads: its last digits depend on how many there are.
    Also a decorator.
    """
    torch = sys.modules.get("torch")  # workers that need no networks do not wait for it
    before = torch.get_num_threads() if torch else None
    with threadpool_limits(1):
        try:
            if torch:
                torch.set_num_threads(1)
            yield
        finally:
            if torch:
                torch.set_num_threads(before)
