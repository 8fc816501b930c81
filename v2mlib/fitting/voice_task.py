"""What trainings on crops of voices have in common: their batches and their learning rate."""

from v2mlib.fitting.schedules import warm_cosine
from v2mlib.fitting.task import Task


class VoiceTask(Task):
    """A task that learns from crops of the training identities' utterances.

    Attributes
    ----------
    config : dataclass
        With `batch_size`, `crop`, `warmup` and `engine`.
    heard : ResidentUtterances
        Of the training identities; set by `prepare`.
    """

    def rate(self, step):
        """Give the factor on the learning rate.

        Parameters
        ----------
        step : int
            From 0.

        Returns
        -------
        float
            A rise, then half a cosine.
        """
        return warm_cosine(step, self.config.engine.n_steps, self.config.warmup)

    def batch(self, number, share=(0, 1)):
        """Draw the batch of a step.

        Parameters
        ----------
        number : int
            The step, from 0.
        share : tuple of int
            This process's number and the number of processes.

        Returns
        -------
        Batch
            The process's share.
        """
        config = self.config
        return self.heard.sample(
            number,
            config.batch_size,
            crop=config.crop,
            seed=config.engine.seed,
            rank=share[0],
            n_ranks=share[1],
        )

    def drawn(self, number):
        """Name the utterances of a step's batch.

        Parameters
        ----------
        number : int
            The step, from 0.

        Returns
        -------
        dict of str to list of str
            See `ResidentUtterances.names`.
        """
        return self.heard.names(self.batch(number))
