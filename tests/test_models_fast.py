"""Layers that do a framework's convolution another way: the same values and gradients."""

import pytest
import torch
from torch import nn

from v2mlib.models.generator import Generator
from v2mlib.models.mobilenet_v1 import Depthwise

NARROW = (64, 32, 16, 8, 8)


def plain(network):
    """The same network of the framework's own layers."""
    network = type(network)(channels=NARROW)
    for module in network.modules():
        if isinstance(module, nn.ConvTranspose2d):
            module.__class__ = nn.ConvTranspose2d
    return network


def both(halved, dtype=torch.float32):
    """Values and gradients of a generator and of its plain twin, one after the other."""
    torch.manual_seed(0)
    network = Generator(channels=NARROW)
    twin = plain(network)
    twin.load_state_dict(network.state_dict())
    embedding = nn.functional.normalize(torch.randn(5, 64, dtype=dtype))
    found = []
    for one in (network.to(dtype), twin.to(dtype)):
        one.to(memory_format=torch.channels_last)
        given = embedding.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=halved):
            drawn = one(given)
        (drawn.float() if halved else drawn).square().sum().backward()
        found.append([drawn.detach(), given.grad, *(p.grad for p in one.parameters())])
    return found


def test_a_generator_is_that_of_plain_layers():
    for ours, wanted in zip(*both(False, torch.float64), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-10, atol=1e-14)


def test_it_is_so_in_reduced_precision(monkeypatch):
    products = []
    as_product = Generator().layers[2].__class__._as_product

    def watched(layer, maps):
        products.append(tuple(maps.shape[2:]))
        return as_product(layer, maps)

    monkeypatch.setattr(Generator().layers[2].__class__, "_as_product", watched)
    ours, peer = both(True)
    exact = both(False)[1]
    assert products == [(4, 4)]
    for found, other, wanted in zip(ours, peer, exact, strict=True):
        error, usual = ((one.float() - wanted).norm() for one in (found, other))
        assert error < 1.5 * usual  # as near as the framework's own


def test_products_are_transposed_convolutions():
    layer = Generator(channels=NARROW).double().layers[2]
    maps = torch.randn(2, 64, 3, 5, dtype=torch.float64)
    wanted = nn.functional.conv_transpose2d(maps, layer.weight, None, 2, 1)
    torch.testing.assert_close(layer._as_product(maps), wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_convolutions_are_plain_ones(stride):
    layer = Depthwise(6, stride)
    maps = torch.randn(2, 6, 7, 7)
    wanted = nn.functional.conv2d(maps, layer.weight, None, stride, 1, groups=6)
    torch.testing.assert_close(layer(maps), wanted, rtol=0, atol=0)


def test_strided_depthwise_convolutions_are_never_halved_on_a_cpu():
    layer = Depthwise(6, 2)
    maps = torch.randn(2, 6, 8, 8).bfloat16()
    wanted = nn.functional.conv2d(maps.float(), layer.weight, None, 2, 1, groups=6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(maps)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, wanted.bfloat16())  # rounded once, in the end
