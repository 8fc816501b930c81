"""The next batches, made in the background while the current one is used."""

from concurrent.futures import ThreadPoolExecutor


class Ahead:
    """Calls a function for the next steps before they are asked for.

    What a step gives must follow from the step's number and the options alone: then what was
    made ahead is what would have been made at once.

    Parameters
    ----------
    make : callable
        Of a step's number and options.
    depth : int
        Steps to be ahead.

    Examples
    --------
    >>> squares = Ahead(lambda step: step**2)
    >>> [squares(step) for step in (3, 4, 10)]
    [9, 16, 100]
    """

    def __init__(self, make, *, depth=2):
        self._make, self._depth = make, depth
        self._begun, self._pool = {}, None

    def __call__(self, step, *options):
        """Give what a step makes, and begin with the steps after it.

        Parameters
        ----------
        step : int
            From 0.
        *options : hashable
            For the function; others than before are no error, only not made ahead.

        Returns
        -------
        object
            Of the function.
        """
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="v2m-ahead")
        made = self._begun.pop((step, *options), None)
        wanted = {(step + n, *options) for n in range(1, self._depth + 1)}
        for key in self._begun.keys() - wanted:  # of a run that went elsewhere
            self._begun.pop(key).cancel()
        if made is None:
            found = self._make(step, *options)
        for key in sorted(wanted - self._begun.keys(), key=lambda key: key[0]):
            self._begun[key] = self._pool.submit(self._make, *key)
        return found if made is None else made.result()
