"""Networks that are only asked, not trained, do without batch normalisation."""

import copy
import itertools

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
_NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d)


def folded(network):
    """Make each batch normalisation part of the convolution before it.

    Parameters
    ----------
    network : torch.nn.Module
        Its normalisations follow their convolutions in the order of its children. It is not
        changed.

    Returns
    -------
    torch.nn.Module
        A copy that says the same as the network in eval mode, up to rounding, in fewer passes
        over its maps. Not to be trained: its parameters want no gradients.

    Examples
    --------
    >>> import torch
    >>> network = nn.Sequential(nn.Conv1d(2, 3, 1), nn.BatchNorm1d(3), nn.ReLU()).eval()
    >>> folded(network)
    Sequential(
      (0): Conv1d(2, 3, kernel_size=(1,), stride=(1,))
      (1): Identity()
      (2): ReLU()
    )
    >>> signal = torch.randn(2, 2, 5)
    >>> torch.allclose(folded(network)(signal), network(signal), atol=1e-6)
    True
    """
    network = copy.deepcopy(network).eval()
    for parent in list(network.modules()):
        children = list(parent.named_children())
        for (name, child), (behind, follower) in itertools.pairwise(children):
            if isinstance(child, _CONVOLUTIONS) and isinstance(follower, _NORMALISATIONS):
                setattr(parent, name, fuse_conv_bn_eval(child, follower))
                setattr(parent, behind, nn.Identity())
    return network.requires_grad_(False)
