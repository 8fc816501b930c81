"""The voice encoder learns with the channels last in memory what its layers say one by one."""

import copy

import pytest
import torch
from torch import nn

from v2mlib.models.voice_encoder import VoiceEncoder


def plain(encoder, log_mel):
    return nn.functional.normalize(encoder.layers(log_mel.transpose(1, 2)).mean(2))


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("frames", [40, 41])
def test_outputs_gradients_and_statistics_are_those_of_the_layers(momentum, frames):
    torch.manual_seed(0)
    one = VoiceEncoder(channels=(8, 9, 10, 11)).double()
    for layer in one.layers:
        if isinstance(layer, nn.BatchNorm1d):
            layer.momentum = momentum
    other = copy.deepcopy(one)
    wanted = torch.randn(6, 64, dtype=torch.float64)
    for _ in range(2):
        log_mel = torch.randn(6, frames, 64, dtype=torch.float64)
        found, right = one(log_mel), plain(other, log_mel)
        torch.testing.assert_close(found, right)
        for encoder, embedding in ((one, found), (other, right)):
            encoder.zero_grad()
            (embedding * wanted).sum().backward()
    for (name, p), q in zip(one.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, msg=name)
    for (name, b), c in zip(one.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(b, c, msg=name)


def test_embeddings_in_use_are_the_layers_own_bit_for_bit():
    encoder = VoiceEncoder(channels=(8, 9, 10, 11)).eval()
    log_mel = torch.randn(3, 50, 64)
    assert torch.equal(encoder(log_mel), plain(encoder, log_mel))
