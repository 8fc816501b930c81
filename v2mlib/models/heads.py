"""Linear heads: a voice embedding becomes a face's coefficients."""

import torch
from torch import nn

from v2mlib.faces.model import Coefficients
from v2mlib.models.voice_encoder import EMBEDDING_SIZE


class CoefficientHeads(nn.Module):
    """One linear layer for the shape, one for the expression.

    Parameters
    ----------
    n_shape : int
        Shape coefficients of the face model.
    n_expression : int
        Expression coefficients of the face model.
    embedding_size : int
        Length of the voice embedding.
    dropout : float
        Share of the embedding hidden from each head while training: 0 in the paper, 0.2 in the
        released code.
    scale : bool
        Whether to have the third head of the released code, which predicts the face's size in
        an image. Nothing here uses it.

    References
    ----------
    Wu et al., "Voice2Mesh", section 3.1.

    Examples
    --------
    >>> shape, expression = CoefficientHeads(n_shape=40, n_expression=10)(torch.zeros(2, 64))
    >>> shape.shape, expression.shape
    (torch.Size([2, 40]), torch.Size([2, 10]))
    """

    def __init__(
        self,
        n_shape=40,
        n_expression=10,
        *,
        embedding_size=EMBEDDING_SIZE,
        dropout=0.0,
        scale=False,
    ):
        super().__init__()
        self.shape = nn.Linear(embedding_size, n_shape)
        self.expression = nn.Linear(embedding_size, n_expression)
        self.scale = nn.Linear(embedding_size, 1) if scale else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, embedding):
        """Predict coefficients.

        Parameters
        ----------
        embedding : tensor, (batch, embedding=64)
            Voice embeddings.

        Returns
        -------
        Coefficients of tensor, (batch, shape) and (batch, expression), standard deviations
            Standardised, in the units of the face model.
        """
        return Coefficients(
            self.shape(self.dropout(embedding)), self.expression(self.dropout(embedding))
        )

    @torch.no_grad()
    def start_from(self, shape, expression):
        """Let the heads begin at the mean of the references.

        An expression that never varies in the references (all neutral) is not fitted: its
        weights are set to 0 and stay there, so that the head says the mean.

        Parameters
        ----------
        shape : tensor, (identity, shape)
            Reference coefficients of the training identities.
        expression : tensor, (identity, expression)
            The same for expressions.
        """
        for head, references in ((self.shape, shape), (self.expression, expression)):
            head.bias.copy_(references.mean(0))
            if not references.numel() or bool((references == references[0]).all()):
                head.weight.zero_()
                head.requires_grad_(False)
