"""Vanilla distillation: the student imitates what the teacher says."""

import torch

from v2mlib.checks import InputError
from v2mlib.fitting.distillation.base import DistillationLoss


class Vanilla(DistillationLoss):
    r"""Squared distance of the outputs, or the divergence of softened ones.

    "paper" is Voice2Mesh's Eq. 3 for coefficients, :math:`\|\alpha_S - \alpha_T\|^2`, averaged
    over the batch. "released" is Hinton's softened softmax, as collections of such losses have
    it: :math:`T^2\, KL(\mathrm{softmax}(z_T/T)\,\|\,\mathrm{softmax}(z_S/T))`.

    Parameters
    ----------
    student_size, teacher_size : int, optional
        Not needed.
    variant : {"paper", "released"}
        Which of the two.
    temperature : float
        T of the softened softmax.

    Raises
    ------
    InputError
        If the temperature is not positive.

    References
    ----------
    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015; Wu et al.,
    "Voice2Mesh", Eq. 3.

    Examples
    --------
    >>> float(Vanilla()(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]])))
    5.0
    """

    same_shape = True

    def __init__(self, student_size=None, teacher_size=None, *, variant="paper", temperature=4.0):
        super().__init__(student_size, teacher_size, variant=variant)
        if not temperature > 0:
            raise InputError(f"temperature={temperature}", "is not positive", "raise it")
        self.temperature = temperature

    def compare(self, student, teacher, index):
        """See `DistillationLoss.compare`.

        Parameters
        ----------
        student, teacher : tensor, (batch, ...)
            Outputs of the same shape.
        index : object
            Not looked at.

        Returns
        -------
        tensor, ()
            The loss.
        """
        student, teacher = student.flatten(1), teacher.flatten(1)
        if self.variant == "paper":
            return (student - teacher).square().sum(1).mean()
        said, wanted = (
            torch.log_softmax(outputs / self.temperature, 1) for outputs in (student, teacher)
        )
        return self.temperature**2 * (wanted.exp() * (wanted - said)).sum(1).mean()
