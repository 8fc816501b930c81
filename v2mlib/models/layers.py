"""Parts of convolutional networks, worked out in the way that was measured to be fastest."""

import math

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable


class Depthwise(nn.Conv2d):
    """A 3 x 3 convolution of each channel by itself.

    In bfloat16 on a CPU, the framework's gradients of one with a stride were measured to take 5
    to 30 times as long as in single precision. There its products and sums are those of single
    precision; on one core in compiled loops, which were measured to take a fifth (96 channels of
    60 x 60) to three quarters (576 of 8 x 8) of the time of converting all maps and back.

    Parameters
    ----------
    channels : int
        Before and after.
    stride : int
        Of its positions.
    """

    def __init__(self, channels, stride=1):
        super().__init__(channels, channels, 3, stride, 1, groups=channels, bias=False)

    def forward(self, maps):
        """Convolve.

        Parameters
        ----------
        maps : tensor, (batch, channel, row, column)
            Any number of them.

        Returns
        -------
        tensor, (batch, channel, row, column)
            Of the same type.
        """
        if self.stride == (1, 1) or maps.device.type != "cpu":
            return super().forward(maps)
        if _pays(maps):
            return _Strided.apply(maps, self.weight, self.bias, self.stride[0])
        with torch.autocast("cpu", enabled=False):
            return super().forward(maps.to(self.weight.dtype)).to(maps.dtype)


def pooled_over(maps):
    """Average maps over the image.

    Parameters
    ----------
    maps : tensor, (batch, channel, row, column)
        Any.

    Returns
    -------
    tensor, (batch, channel)
        What `torch.Tensor.mean` gives; its gradient has the channels last in memory, as the
        layers before it had, which spares them a slow change of order.

    Examples
    --------
    >>> pooled_over(torch.tensor([1.0, 3.0]).view(1, 1, 1, 2))
    tensor([[2.]])
    """
    return maps.movedim(1, 3).mean((1, 2))


def norm_relu(norm, maps, ceiling=math.inf):
    """Normalise maps and cut them to what a ReLU lets through.

    Parameters
    ----------
    norm : torch.nn.BatchNorm1d, torch.nn.BatchNorm2d or torch.nn.Identity
        The normalisation, in training or eval mode. Its running statistics are updated.
    maps : tensor, (batch, channel, row, column)
        May be overwritten if there is nothing to normalise.
    ceiling : float
        Largest value: 6 for a ReLU6.

    Returns
    -------
    tensor, (batch, channel, row, column)
        Of the same type, with the channels last in memory if the maps have them there.

    Notes
    -----
    Training in bfloat16 on one core of a CPU, as the runs of an ablation do beside each other,
    two compiled passes over the maps and two over their gradients were measured to take less
    than half as long as the framework's functions; sums are float64's. Everywhere else
    those are called: on several cores they are as fast.

    Examples
    --------
    >>> norm_relu(nn.BatchNorm2d(1).eval(), torch.tensor([-1.0, 9.0]).view(1, 1, 1, 2), 6).tolist()
    [[[[0.0, 6.0]]]]
    """
    if isinstance(norm, nn.Identity):
        normalised = maps
    elif norm.training and _pays(maps):
        return _NormReLU.apply(maps, norm, norm.weight, norm.bias, ceiling)
    else:
        normalised = nn.functional.batch_norm(
            maps,
            norm.running_mean,
            norm.running_var,
            norm.weight,
            norm.bias,
            norm.training,
            _counted(norm) if norm.training else 0.0,
            norm.eps,
        )
    if ceiling == math.inf:
        return torch.relu_(normalised)
    return nn.functional.hardtanh_(normalised, 0.0, ceiling)


def _pays(maps):
    on_one_core = maps.device.type == "cpu" and torch.get_num_threads() == 1
    return on_one_core and maps.dtype == torch.bfloat16


def _counted(norm):
    """Count a batch; give its weight in the running statistics."""
    norm.num_batches_tracked.add_(1)
    return 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum


class _Strided(torch.autograd.Function):
    """A depthwise convolution, with its gradients."""

    @staticmethod
    def forward(ctx, maps, weight, bias, stride):
        from v2mlib.models import depthwise_kernels

        positions = maps.movedim(1, 3).contiguous()
        taps = weight[:, 0].movedim(0, 2).contiguous()
        batch, height, width, channels = positions.shape
        shape = batch, channels, -(-height // stride), -(-width // stride)
        found = torch.empty(shape, dtype=maps.dtype, memory_format=torch.channels_last)
        added = torch.zeros(channels) if bias is None else bias
        arrays = _arrays(taps, added)
        depthwise_kernels.forward(_bits(positions), *arrays, stride, _bits(found.movedim(1, 3)))
        ctx.save_for_backward(positions, taps)
        ctx.stride = stride
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        from v2mlib.models import depthwise_kernels

        positions, taps = ctx.saved_tensors
        given, of_maps, of_weight, of_bias = gradient.movedim(1, 3).contiguous(), None, None, None
        if ctx.needs_input_grad[0]:
            found = torch.empty_like(positions)
            depthwise_kernels.backward_maps(_bits(given), *_arrays(taps), ctx.stride, _bits(found))
            of_maps = found.movedim(3, 1)
        if ctx.needs_input_grad[1]:
            total = torch.zeros(taps.shape, dtype=torch.float64)
            depthwise_kernels.backward_weight(
                _bits(positions), _bits(given), ctx.stride, *_arrays(total)
            )
            of_weight = total.to(taps.dtype).movedim(2, 0)[:, None]
        if ctx.needs_input_grad[2]:
            of_bias = given.sum((0, 1, 2), dtype=torch.float32)
        return of_maps, of_weight, of_bias, None


class _NormReLU(torch.autograd.Function):
    """Normalisation by the batch's own statistics, with its gradients.

    Ioffe and Szegedy, "Batch normalization", ICML 2015: Algorithm 1 and the gradients after it.
    """

    @staticmethod
    def forward(ctx, maps, norm, weight, bias, ceiling):
        from v2mlib.models import norm_kernels

        rows = _rows(maps)
        found = torch.empty_like(rows)
        mean, variance = torch.empty(2, rows.shape[1], dtype=torch.float64)
        options = (*_arrays(weight, bias), norm.eps, np.float32(ceiling))
        norm_kernels.forward(_bits(rows), *options, _bits(found), *_arrays(mean, variance))
        momentum, n = _counted(norm), len(rows)
        norm.running_mean.lerp_(mean.to(norm.running_mean), momentum)
        norm.running_var.lerp_((variance * n / max(n - 1, 1)).to(norm.running_var), momentum)
        ctx.save_for_backward(rows, weight, bias, mean, variance)
        ctx.shape, ctx.options = maps.shape, options[2:]
        return _maps(found, maps.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        from v2mlib.models import norm_kernels

        rows, weight, bias, *statistics = ctx.saved_tensors
        found, of_weight, of_bias = (torch.empty_like(part) for part in (rows, weight, bias))
        norm_kernels.backward(
            _bits(rows),
            *(*_arrays(weight, bias), *ctx.options, *_arrays(*statistics)),
            *(_bits(_rows(gradient)), _bits(found), *_arrays(of_weight, of_bias)),
        )
        return _maps(found, ctx.shape), None, of_weight, of_bias, None


def _rows(maps):
    """Maps as rows of one position each, (position, channel); a view if channels are last."""
    return maps.movedim(1, 3).reshape(-1, maps.shape[1])


def _maps(rows, shape):
    """The reverse of `_rows`."""
    batch, channels, height, width = shape
    return rows.view(batch, height, width, channels).movedim(3, 1)


def _bits(tensor):
    return tensor.detach().view(torch.uint16).numpy()


def _arrays(*tensors):
    return [tensor.detach().numpy() for tensor in tensors]
