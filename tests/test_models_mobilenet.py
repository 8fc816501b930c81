"""The image-to-face network of 3DDFA-V2: its size, its names, the public weights."""

import pytest
import torch
from torch import nn

from v2mlib.checks import InputError
from v2mlib.models.checkpoints import convert, load_network, read_released
from v2mlib.models.mobilenet_v1 import MobileNetV1, whiten
from v2mlib.models.mobilenet_v2 import MobileNetV2


def multiplications(network, size):
    """Multiply-adds of convolutions and linear layers, counted while an image passes."""
    count = []

    def convolution(layer, _inputs, output):
        kernel = layer.weight[0].numel()  # inputs of one output: channels of its group x 3 x 3
        count.append(kernel * output.numel())

    def linear(layer, _inputs, _output):
        count.append(layer.weight.numel())

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(convolution)
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(linear)
    with torch.inference_mode():
        network(torch.zeros(1, 3, size, size))
    return sum(count)


# The published counts, to the digits in which they are published.
@pytest.mark.parametrize(
    ("width", "parameters", "macs"), [(1.0, 3.27e6, 177.4e6), (0.5, 0.85e6, 46.5e6)]
)
def test_network_is_as_large_as_the_released_one(width, parameters, macs):
    network = MobileNetV1(width).eval()
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(parameters, abs=5e3)
    assert multiplications(network, 120) == pytest.approx(macs, abs=5e4)


def test_the_student_is_as_large_as_published():
    """MobileNetV2 with 1,000 classes at 224 pixels: 3.4 M parameters, 300 M multiply-adds."""
    network = MobileNetV2(1000, 0, n_pose=0).eval()
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(3.4e6, rel=0.04)
    assert multiplications(network, 224) == pytest.approx(300e6, rel=0.005)


def test_features_are_those_the_outputs_come_from():
    torch.manual_seed(0)
    network = MobileNetV1(0.5, n_outputs=50).eval()
    images = torch.randn(2, 3, 120, 120)
    with torch.inference_mode():
        found = network.features(images)
        assert torch.equal(found.outputs, network(images))
        assert torch.equal(found.outputs, network.fc(found.pooled))
    assert found.outputs.shape == (2, 50)
    assert found.pooled.shape == (2, 512)
    assert found.map.shape == (2, 256, 8, 8)


def test_a_network_without_channels_is_refused():
    with pytest.raises(InputError, match="width of at least 1/32"):
        MobileNetV1(0.01)


def test_the_public_weights_load_by_name(real_data, tmp_path):
    path = real_data / "tddfa_v2/mb05_120x120.pth"
    stored = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    network, kind = read_released(path, ("tddfa_width_1", "tddfa_width_half"))
    assert kind == "tddfa_width_half"
    assert torch.equal(network.fc.bias, stored["module.fc_param.bias"])
    again, _ = read_released(path.with_name("mb05_120x120_state.npz"), ("tddfa_width_half",))
    converted = convert(path, "tddfa_width_half", tmp_path / "teacher.safetensors")
    loaded = load_network(tmp_path / "teacher.safetensors")
    image = whiten(255 * torch.rand(1, 3, 120, 120, generator=torch.Generator().manual_seed(0)))
    with torch.inference_mode():
        for other in (again, converted, loaded):
            assert torch.equal(network(image), other(image))


def test_the_other_width_is_told_apart(real_data):
    with pytest.raises(InputError, match=r"conv1.weight of shape \(16, 3, 3, 3\), not \(32"):
        read_released(real_data / "tddfa_v2/mb05_120x120.pth", ("tddfa_width_1",))
