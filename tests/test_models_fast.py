"""Layers that do a framework's convolution another way: the same values and gradients."""

import copy
import math

import pytest
import torch
from torch import nn

from v2mlib.models import ImageToFace, VoiceEncoder
from v2mlib.models.folding import folded
from v2mlib.models.generator import Generator
from v2mlib.models.layers import Depthwise, norm_relu, pooled_over

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
        found = as_product(layer, maps)
        if found is not None:
            products.append((*layer.kernel_size, *maps.shape[2:]))
        return found

    monkeypatch.setattr(Generator().layers[2].__class__, "_as_product", watched)
    ours, peer = both(True)
    exact = both(False)[1]
    assert products == [(4, 4, 1, 1), (4, 4, 4, 4), (1, 1, 64, 64)]
    for found, other, wanted in zip(ours, peer, exact, strict=True):
        error, usual = ((one.float() - wanted).norm() for one in (found, other))
        assert error < 1.5 * usual  # as near as the framework's own


@pytest.mark.parametrize(("number", "size"), [(0, (1, 1)), (2, (3, 5)), (10, (3, 5))])
def test_products_are_transposed_convolutions(number, size):
    layer = Generator(channels=NARROW).double().layers[number]
    maps = torch.randn(2, layer.in_channels, *size, dtype=torch.float64)
    options = {"stride": layer.stride, "padding": layer.padding}
    wanted = nn.functional.conv_transpose2d(maps, layer.weight, None, **options)
    torch.testing.assert_close(layer._as_product(maps), wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_convolutions_are_plain_ones(stride):
    layer = Depthwise(6, stride)
    maps = torch.randn(2, 6, 7, 7)
    wanted = nn.functional.conv2d(maps, layer.weight, None, stride, 1, groups=6)
    torch.testing.assert_close(layer(maps), wanted, rtol=0, atol=0)


@pytest.fixture
def one_core():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def convolved(layer, maps, gradient):
    """A convolution in reduced precision, and its gradients."""
    given = maps.detach().requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(given)
    found.backward(gradient)
    return [found.detach(), given.grad, *(parameter.grad for parameter in layer.parameters())]


@pytest.mark.parametrize("shape", [(2, 6, 8, 8), (3, 17, 7, 5), (2, 96, 1, 4), (1, 1, 1, 1)])
@pytest.mark.parametrize("order", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("biased", [False, True])
def test_strided_depthwise_convolutions_are_never_halved_on_a_cpu(one_core, shape, order, biased):
    torch.manual_seed(0)
    layer = Depthwise(shape[1], 2)
    layer.bias = nn.Parameter(torch.randn(shape[1])) if biased else None  # as a folded one has
    maps = torch.randn(shape).bfloat16().contiguous(memory_format=order)
    gradient = torch.randn(layer(maps.float()).shape).bfloat16().contiguous(memory_format=order)
    found = convolved(layer, maps, gradient)
    torch.set_num_threads(2)
    several = convolved(layer, maps, gradient)
    exact = convolved(copy.deepcopy(layer).double(), maps.double(), gradient.double())
    for one, other, wanted in zip(found, several, exact, strict=True):
        assert one.shape == wanted.shape
        assert one.dtype == other.dtype
        # Worked out in single precision; what is bfloat16 is rounded once, in the end.
        tolerance = 1e-5 if one.dtype == torch.float32 else 2**-8
        for result in (one, other):
            torch.testing.assert_close(result.double(), wanted.double(), rtol=tolerance, atol=1e-5)


def test_compiled_convolutions_give_only_the_gradients_that_are_wanted(one_core):
    layer, maps = Depthwise(3, 2), torch.randn(2, 3, 6, 6).bfloat16()
    assert "_Strided" in layer(maps).grad_fn.name()
    assert layer.requires_grad_(False)(maps).grad_fn is None
    found = layer(maps.requires_grad_())
    found.backward(torch.ones_like(found))
    assert layer.weight.grad is None
    wanted = nn.functional.conv_transpose2d(
        torch.ones(2, 3, 3, 3), layer.weight, None, 2, 1, output_padding=1, groups=3
    )
    assert torch.equal(maps.grad, wanted.bfloat16())
    torch.set_num_threads(2)
    assert "_Strided" not in layer(maps).grad_fn.name()


def test_what_is_not_a_number_stays_so_in_a_convolution(one_core):
    maps = torch.randn(1, 2, 5, 5).bfloat16()
    maps[0, 1, 2, 2] = math.nan
    found = Depthwise(2, 2)(maps)
    assert found.isnan().sum() == 1
    assert found[0, 1, 1, 1].isnan()


# --- batch normalisation with the ReLU behind it ---------------------------------------------


def plain_norm_relu(norm, maps, ceiling):
    return nn.functional.hardtanh(norm(maps), 0.0, ceiling)


def normalised(function, maps, ceiling, dtype, momentum=0.1):
    """Results, gradients and running statistics of a normalisation that was made the same way."""
    torch.manual_seed(3)
    norm = nn.BatchNorm2d(maps.shape[1], momentum=momentum)
    nn.init.uniform_(norm.weight, -2, 2)
    nn.init.normal_(norm.bias)
    norm = norm.to(dtype if dtype == torch.float64 else torch.float32)
    given = maps.to(dtype).detach().clone().requires_grad_()
    found = function(norm, given, ceiling)
    torch.manual_seed(4)
    found.backward(torch.randn(maps.shape).bfloat16().to(dtype))
    counted = norm.num_batches_tracked
    return [found.detach(), given.grad, norm.weight.grad, norm.bias.grad], norm, int(counted)


@pytest.mark.parametrize("ceiling", [6.0, math.inf])
@pytest.mark.parametrize("shape", [(5, 24, 30, 30), (3, 7, 1, 5), (16, 96, 4, 4), (2, 1, 2, 1)])
@pytest.mark.parametrize("order", [torch.channels_last, torch.contiguous_format])
def test_compiled_passes_are_a_normalisation_and_a_relu(one_core, ceiling, shape, order):
    torch.manual_seed(0)
    maps = (3 * torch.randn(shape) + 50 * torch.randn(shape[1], 1, 1)).bfloat16()
    maps = maps.contiguous(memory_format=order)
    ours, norm, counted = normalised(norm_relu, maps, ceiling, torch.bfloat16)
    peer, _, _ = normalised(plain_norm_relu, maps, ceiling, torch.bfloat16)
    exact, reference, _ = normalised(plain_norm_relu, maps, ceiling, torch.float64)
    assert ours[0].dtype == ours[1].dtype == torch.bfloat16
    for found, other, wanted in zip(ours, peer, exact, strict=True):
        error, usual = ((one.double() - wanted).norm() for one in (found, other))
        assert error <= 1.05 * usual + 3e-6 * wanted.norm()  # as near as the framework's own
    for name in ("running_mean", "running_var"):
        found, wanted = (getattr(one, name).double() for one in (norm, reference))
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert counted == 1


def test_compiled_passes_are_taken_in_reduced_precision_on_one_core_alone(one_core):
    norm, maps = nn.BatchNorm2d(3), torch.randn(2, 3, 4, 4).bfloat16()

    def is_compiled(norm=norm, maps=maps):
        return "_NormReLU" in norm_relu(norm, maps).grad_fn.name()

    assert is_compiled()
    assert not is_compiled(maps=maps.detach().float())
    assert not is_compiled(copy.deepcopy(norm).eval())
    torch.set_num_threads(2)
    assert not is_compiled()


def test_averaged_statistics_count_every_batch_alike(one_core):
    maps = torch.randn(2, 8, 5, 4, 4).bfloat16()
    norms = [nn.BatchNorm2d(5, momentum=None) for _ in range(2)]
    for part in maps:
        norm_relu(norms[0], part)
        norms[1](part.float())
    torch.testing.assert_close(norms[0].running_mean, norms[1].running_mean)
    torch.testing.assert_close(norms[0].running_var, norms[1].running_var)


def test_what_is_not_a_number_stays_so(one_core):
    maps = torch.randn(4, 3, 5, 5).bfloat16()
    maps[1, 1, 2, 3] = math.nan
    norm = nn.BatchNorm2d(3)
    found = norm_relu(norm, maps, 6.0)
    assert found[:, 1].isnan().all()
    assert found[:, ::2].isfinite().all()
    assert norm.running_mean.isnan().tolist() == [False, True, False]


def test_constant_channels_have_no_gradient_to_give(one_core):
    maps = torch.full((4, 2, 3, 3), 7.0).bfloat16().requires_grad_()
    norm = nn.BatchNorm2d(2)
    nn.init.ones_(norm.bias)
    found = norm_relu(norm, maps)
    found.backward(torch.ones_like(found))
    assert torch.equal(found, torch.ones_like(found))
    assert float(maps.grad.abs().max()) < 1e-2
    assert norm.bias.grad.tolist() == [36.0, 36.0]


def test_other_passes_are_the_frameworks():
    maps = torch.randn(4, 3, 5, 5)
    norm = nn.BatchNorm2d(3)
    for _ in range(2):
        twin = copy.deepcopy(norm)
        wanted = torch.relu(twin(maps))
        assert torch.equal(norm_relu(norm, maps), wanted)
        assert torch.equal(norm.running_var, twin.running_var)
        norm.eval()
    assert torch.equal(norm_relu(nn.Identity(), maps.clone(), 0.5), maps.clamp(0, 0.5))


def test_means_over_images_are_plain_ones():
    maps = torch.randn(4, 24, 5, 3).contiguous(memory_format=torch.channels_last).requires_grad_()
    found = pooled_over(maps)
    assert torch.equal(found, maps.mean((2, 3)))
    (gradient,) = torch.autograd.grad(found.square().sum(), maps)
    (wanted,) = torch.autograd.grad(maps.mean((2, 3)).square().sum(), maps)
    torch.testing.assert_close(gradient, wanted, rtol=1e-6, atol=0)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


# --- normalisations as parts of convolutions -------------------------------------------------


@pytest.mark.parametrize(
    ("network", "given"),
    [
        (ImageToFace(width=0.125, image_size=48), (2, 3, 48, 48)),
        (ImageToFace("mobilenet_v2", width=0.125, image_size=48), (2, 3, 48, 48)),
        (VoiceEncoder(channels=(8, 8, 8, 8)), (2, 40, 64)),
    ],
    ids=["mobilenet_v1", "mobilenet_v2", "voice_encoder"],
)
def test_folded_networks_say_the_same(network, given):
    torch.manual_seed(0)
    network = copy.deepcopy(network).double()
    for module in network.modules():
        if hasattr(module, "running_var"):
            nn.init.uniform_(module.running_var, 0.5, 2)
            for tensor in (module.running_mean, module.weight, module.bias):
                nn.init.normal_(tensor)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fewer, inputs = folded(network), torch.rand(given, dtype=torch.float64)
    found, wanted = fewer(inputs), network.eval()(inputs)
    if torch.is_tensor(found):
        found, wanted = (found,), (wanted,)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert not any(hasattr(module, "running_var") for module in fewer.modules())
    assert not any(parameter.requires_grad for parameter in fewer.parameters())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
