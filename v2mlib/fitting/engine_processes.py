"""One training in several processes: how they start, and how they share a batch."""

import contextlib
import logging
import os

import torch

from v2mlib.fitting.task import arithmetic


def start(config):
    """Join the processes of a training, or start them.

    Processes that ``torchrun`` or ``fabric run`` has started are joined, on one node or many;
    otherwise there are as many as `EngineConfig.n_devices` says, all on this machine.

    Parameters
    ----------
    config : EngineConfig
        Its `device`, `n_devices` and `precision`.

    Returns
    -------
    lightning_fabric.Fabric
        Launched.
    """
    from lightning_fabric import Fabric

    environment = os.environ
    devices, n_nodes, device = config.n_devices, 1, config.device
    if "LT_CLI_USED" in environment:  # fabric run has said all this; Fabric reads it
        devices = "auto"
        device = "auto" if "LT_ACCELERATOR" in environment else device
    elif torch.distributed.is_torchelastic_launched():
        devices = int(environment["LOCAL_WORLD_SIZE"])
        n_nodes = int(environment["WORLD_SIZE"]) // devices
    precision = None if "LT_PRECISION" in environment else arithmetic(config)
    with _without_remarks():
        fabric = Fabric(accelerator=device, devices=devices, num_nodes=n_nodes, precision=precision)
        if "LT_CLI_USED" not in environment:  # otherwise launched as it was made
            fabric.launch()
    return fabric


@contextlib.contextmanager
def _without_remarks():
    """Keep Lightning from remarking on the precision and the processes."""
    logger = logging.getLogger("lightning_fabric")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def fuse(optimiser):
    """Let an optimiser update all parameters in one go, if it can.

    On a card that saves thousands of small launches per step; on a CPU it was measured to save
    4 % of a supervised, 1 % of an adversarial and 2 to 5 % of a joint step.

    Parameters
    ----------
    optimiser : torch.optim.Optimizer
        Changed in place. What it has already summed up is brought into its parameters' order in
        memory: a fused update would otherwise take one number for another.
    """
    for group in optimiser.param_groups:
        if "fused" in group:
            group["fused"], group["foreach"] = True, False
    for parameter, sums in optimiser.state.items():
        for name, tensor in sums.items():
            if torch.is_tensor(tensor) and tensor.shape == parameter.shape:
                sums[name] = torch.empty_like(parameter, requires_grad=False).copy_(tensor)


def own_share(fabric):
    """Make the function that takes a process's share of a batch.

    Parameters
    ----------
    fabric : lightning_fabric.Fabric
        Launched.

    Returns
    -------
    callable
        Of a tensor (batch, ...), gives every n-th row, from the process's number on.
    """

    def own(tensor):
        return tensor[fabric.global_rank :: fabric.world_size]

    return own


def gathered(fabric):
    """Make the function that joins the processes' shares of a batch, gradients included.

    Parameters
    ----------
    fabric : lightning_fabric.Fabric
        Launched.

    Returns
    -------
    callable
        Of a tensor (share, ...), gives the tensor (batch, ...) in the order of one process.
        Every process then works out the same loss of the whole batch. Gradients that come back
        are summed over processes, so that their mean over processes, which the engine takes,
        is the gradient of that loss.
    """

    def gather(tensor):
        if fabric.world_size == 1:
            return tensor
        shares = fabric.all_gather(tensor, sync_grads=tensor.requires_grad)
        return shares.transpose(0, 1).flatten(0, 1)  # (process, share, ...) -> (batch, ...)

    return gather
