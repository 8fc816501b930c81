"""The networks: shapes, parameter counts by hand, padding that does not matter."""

import itertools

import pytest
import torch

from v2mlib.checks import ShapeError
from v2mlib.models import CoefficientHeads, Generator, VoiceEncoder
from v2mlib.models.voice_encoder import perturb_embedding


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def seeded(network_type, *args, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = network_type(*args, **options)
        for module in network.modules():  # as after some training: statistics that do something
            if isinstance(module, torch.nn.BatchNorm1d):
                module.running_mean.uniform_(-0.3, 0.3)
                module.running_var.uniform_(0.5, 2.0)
    return network.eval()


def test_parameter_counts_agree_with_a_hand_computation():
    convolutions = 3 * (64 * 256 + 256 * 384 + 384 * 576 + 576 * 864 + 864 * 64) + 64
    normalisations = 2 * (256 + 384 + 576 + 864)
    assert count(VoiceEncoder()) == convolutions + normalisations == 2_670_720
    assert count(CoefficientHeads()) == 65 * 40 + 65 * 10 == 3_250
    assert count(CoefficientHeads(scale=True)) == 3_250 + 65
    widths = [64, 1024, 512, 256, 128, 64]
    growing = sum(16 * a * b + b for a, b in itertools.pairwise(widths))
    assert count(Generator()) == growing + 64 * 3 + 3 == 12_191_875


def test_embedding_has_length_one():
    encoder = seeded(VoiceEncoder)
    log_mel = torch.randn(3, 123, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        embedding = encoder(log_mel)
        bare = encoder(log_mel, normalise=False)
    assert embedding.shape == (3, 64)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(bare / bare.norm(dim=1, keepdim=True), embedding)


def test_perturbed_embedding_stays_on_the_sphere_and_near():
    embedding = torch.nn.functional.normalize(torch.randn(50, 64))
    moved = perturb_embedding(embedding, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(moved.norm(dim=1), torch.ones(50))
    # 64 components of sd .05 are a vector of length .4, nearly orthogonal: cosine 1/sqrt(1.16).
    assert abs(float((embedding * moved).sum(1).mean()) - 0.928) < 0.02


@pytest.mark.parametrize("n_frames", [[1, 2, 50], [50, 49, 33], [7, 50, 31]])
def test_padding_does_not_matter(n_frames):
    encoder = seeded(VoiceEncoder)
    generator = torch.Generator().manual_seed(2)
    log_mel = 5 * torch.randn(3, 50, 64, generator=generator)  # what is behind the end is wild
    with torch.inference_mode():
        together = encoder(log_mel, torch.tensor(n_frames))
        alone = torch.cat([encoder(log_mel[i : i + 1, :n]) for i, n in enumerate(n_frames)])
    torch.testing.assert_close(together, alone, atol=2e-6, rtol=0)


def test_encoder_refuses_the_axes_of_the_released_one():
    with pytest.raises(ShapeError, match=r"log_mel has shape \(2, 64, 300\), expected .*mel=64"):
        VoiceEncoder()(torch.zeros(2, 64, 300))


def test_dropout_acts_on_each_head_alone_and_only_in_training():
    heads = CoefficientHeads(dropout=0.2)
    embedding = torch.ones(1, 64)
    assert not torch.equal(heads.train()(embedding).shape, heads.eval()(embedding).shape)
    torch.testing.assert_close(heads(embedding).shape, heads.shape(embedding))


def test_heads_start_at_the_mean_and_do_not_fit_what_never_varies():
    heads = CoefficientHeads(3, 2)
    heads.start_from(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), torch.full((2, 2), 0.5))
    assert heads.shape.bias.tolist() == [2.0, 2.0, 2.0]
    assert heads.shape.weight.requires_grad
    assert not any(p.requires_grad for p in heads.expression.parameters())
    assert heads(torch.randn(4, 64)).expression.tolist() == [[0.5, 0.5]] * 4


def test_images_have_the_released_size():
    with torch.inference_mode():
        assert Generator()(torch.zeros(1, 64)).shape == (1, 3, 64, 64)
