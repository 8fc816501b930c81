"""What one step of the adversarial training is: a critic's turn, then the generator's."""

import numpy as np
import torch
from torch import nn

from v2mlib.checks import InputError
from v2mlib.datasets.resident_photos import ResidentPhotos
from v2mlib.datasets.torch_datasets import ResidentUtterances
from v2mlib.fitting.data import embed_all, split_names
from v2mlib.fitting.task import Task
from v2mlib.models import discriminator, generator
from v2mlib.models.discriminator import Critic, judge_without_learning
from v2mlib.models.generator import Generator


class AdversarialTask(Task):
    """Generator against critic, on voices and photographs of the same people.

    Parameters
    ----------
    world : World
        The data set.
    store : LogMelStore
        Its features.
    encoder : VoiceEncoder
        Pretrained; stays as it is.
    config : AdversarialConfig
        How.
    progress : bool
        Whether to show a progress bar while photographs are read.
    """

    monitor = "steps_left"
    frozen = ("encoder",)

    def __init__(self, world, store, encoder, config, *, progress=True):
        self.world, self.store, self.config, self.progress = world, store, config, progress
        self.names = {
            split: seen_and_heard(world, store, split) for split in ("train", "validation")
        }
        self.steps_left = config.engine.n_steps
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.engine.seed)
            drawer = Generator(
                encoder.layers[-1].out_channels,
                _scaled(generator.CHANNELS, config.generator_width),
            )
            critic = Critic(
                len(self.names["train"]), _scaled(discriminator.CHANNELS, config.critic_width)
            )
        self.networks = {  # convolutions are faster with the channels last in memory
            "encoder": encoder,
            "generator": drawer.to(memory_format=torch.channels_last),
            "critic": critic.to(memory_format=torch.channels_last),
        }

    def optimisers(self):
        """Make an Adam for each of the opponents.

        Returns
        -------
        dict of str to torch.optim.Optimizer
            Under "generator" and "critic".
        """
        return {
            name: torch.optim.Adam(
                self.networks[name].parameters(),
                lr=self.config.learning_rate,
                betas=self.config.betas,
            )
            for name in ("generator", "critic")
        }

    def prepare(self, device):
        """Put features and photographs on the device.

        Parameters
        ----------
        device : torch.device
            Where the networks are.
        """
        self.voices, self.photos = {}, {}
        for split, names in self.names.items():
            self.voices[split] = ResidentUtterances(self.store, names, device=device)
            self.photos[split] = ResidentPhotos(
                self.world, names, crop=self.config.face, device=device, progress=self.progress
            )

    def step(self, number, update, share):
        """Make one update of the critic, then one of the generator.

        Parameters
        ----------
        number : int
            The step.
        update : callable
            See `Task.step`.
        share : tuple of int
            This process's number and the number of processes.

        Returns
        -------
        dict of str to tensor
            Losses in nats: `critic_real_loss`, `critic_fake_loss`, `critic_identity_loss`,
            `generator_real_loss`, `generator_identity_loss`; and `recognised`, the share of
            generated images in which the classifier sees the speaker.
        """
        voice, photo = self.batches(number, share)
        fakes, *partners = self.draw(voice.log_mel, *self.partners(number, voice))
        judged = self.judge(photo, fakes.detach())
        update(sum(judged.values()), "critic")
        pleased, recognised = self.please(fakes, voice.identity)
        taught, lessons = self.teach(number, voice, fakes, partners)
        update(sum(pleased.values()) + taught, "generator")
        self.steps_left = self.config.engine.n_steps - number - 1
        return judged | pleased | lessons | {"recognised": recognised}

    def batches(self, number, share=(0, 1)):
        """Draw the batches of a step.

        Parameters
        ----------
        number : int
            The step, from 0.
        share : tuple of int
            This process's number and the number of processes.

        Returns
        -------
        voice : Batch
            Crops of voices.
        photo : PhotoBatch
            Photographs, of other people.
        """
        config = self.config
        drawn = {"seed": config.engine.seed, "rank": share[0], "n_ranks": share[1]}
        return (
            self.voices["train"].sample(number, config.batch_size, crop=config.crop, **drawn),
            self.photos["train"].sample(number, config.batch_size, flip=config.flip, **drawn),
        )

    def drawn(self, number):
        """Name what the batches of a step were drawn from.

        Parameters
        ----------
        number : int
            The step, from 0.

        Returns
        -------
        dict of str to list of str
            See `ResidentUtterances.names`; and "photographs", their paths in the world.
        """
        voice, photo = self.batches(number)
        rows = self.photos["train"].row[photo.photo.cpu().numpy()]
        paths = self.world.photos["path"].iloc[rows].tolist()
        return {**self.voices["train"].names(voice), "photographs": paths}

    def judge(self, photo, fakes):
        """Work out the critic's losses.

        Parameters
        ----------
        photo : PhotoBatch
            Photographs.
        fakes : tensor, (batch, rgb=3, row=64, column=64)
            Drawn images, without gradients.

        Returns
        -------
        dict of str to tensor
            Losses in nats.
        """
        # Both kinds in one batch: nothing in the critic looks across images.
        verdict = self.networks["critic"](torch.cat([photo.images, fakes]))
        real, fake = verdict.real.split(len(fakes))
        return {
            "critic_real_loss": _says(real, 1.0),
            "critic_fake_loss": _says(fake, 0.0),
            "critic_identity_loss": nn.functional.cross_entropy(
                verdict.identity[: len(photo.identity)], photo.identity
            ),
        }

    def please(self, fakes, identity):
        """Work out the generator's losses before the critic.

        Parameters
        ----------
        fakes : tensor, (batch, rgb=3, row=64, column=64)
            Drawn images.
        identity : tensor of int64, (batch,)
            Whose voices they were drawn for.

        Returns
        -------
        losses : dict of str to tensor
            In nats.
        recognised : tensor, ()
            Share of the images in which the classifier sees the speaker.
        """
        with self.autocast():
            verdict = judge_without_learning(_bare(self.networks["critic"]), fakes)
        logits = verdict.identity.float()
        losses = {
            "generator_real_loss": _says(verdict.real.float(), 1.0),
            "generator_identity_loss": nn.functional.cross_entropy(logits, identity),
        }
        return losses, (logits.argmax(1) == identity).float().mean()

    def partners(self, number, voice):
        """Choose voices to draw beside the batch's; none here.

        Parameters
        ----------
        number : int
            The step.
        voice : Batch
            The batch's voices.

        Returns
        -------
        tuple of tensor, (batch, frame, mel=64)
            Crops of them.
        """
        return ()

    def teach(self, number, voice, fakes, partners):
        """Add losses to the generator's; none here.

        Parameters
        ----------
        number : int
            The step.
        voice : Batch
            Voices.
        fakes : tensor, (batch, rgb=3, row=64, column=64)
            Images drawn for them, with gradients to the generator.
        partners : list of tensor
            Likewise, for the further voices.

        Returns
        -------
        total : tensor, ()
            What is added.
        lessons : dict of str to tensor
            Its parts, to be reported.
        """
        return 0.0, {}

    def draw(self, *log_mels):
        """Draw faces for voices as in training, with noise on the embeddings.

        Parameters
        ----------
        *log_mels : tensor, (batch, frame, mel=64), standard deviations
            Crops of voices, a batch or several; all go through the networks together, which
            know nothing of batches.

        Returns
        -------
        tuple of tensor of float32, (batch, rgb=3, row=64, column=64)
            One for each, with gradients to the generator only.
        """
        with torch.no_grad(), self.autocast():
            embedding = self.networks["encoder"](torch.cat(log_mels)).float()
        # Drawn for whole batches, so that it is the same however many processes share them.
        whole = (len(log_mels), self.config.batch_size, embedding.shape[1])
        drawn = torch.randn(whole, device=embedding.device)
        noise = torch.cat([self.own(batch) for batch in drawn])
        moved = nn.functional.normalize(embedding + self.config.noise * noise)
        return self.networks["generator"](moved).float().split(len(log_mels[0]))

    def validate(self):
        """Look at images of people whom neither generator nor critic has met.

        Returns
        -------
        dict of str to float
            `real_believed` and `fake_believed`: shares of photographs and of generated images
            that the critic takes for photographs; `spread`: standard deviation of generated
            images over voices as a share of that of photographs; `steps_left`.
        """
        voices, photos = self.voices["validation"], self.photos["validation"]
        embeddings = embed_all(
            self.networks["encoder"], voices, minimum_frames=self.config.crop.frames[0]
        )
        fakes = self.networks["generator"](embeddings).float()
        reals = photos.images(torch.arange(len(photos), device=fakes.device))
        believed = {
            f"{name}_believed": (self.networks["critic"](images).real > 0).float().mean()
            for name, images in (("real", reals), ("fake", fakes))
        }
        spread = fakes.std(0).mean() / reals.std(0).mean()
        return {**believed, "spread": spread, "steps_left": float(self.steps_left)}


def seen_and_heard(world, store, split):
    """Identities of a split with a usable recording and a photograph with a face.

    Parameters
    ----------
    world : World
        The data set.
    store : LogMelStore
        Its features.
    split : {"train", "validation", "test"}
        Which.

    Returns
    -------
    list of str
        In the order of the world.

    Raises
    ------
    InputError
        If there are none.
    """
    names = split_names(world, split)
    heard = set(store.index.loc[store.index["n_frames"] > 0, "identity"])
    seen = set(world.photos["identity"][np.isfinite(world.landmarks).all((1, 2))])
    found = [name for name in names if name in heard and name in seen]
    if not found:
        raise InputError(
            world.folder,
            f"has no {split} identity with both a recording and a photograph",
            "make the world with photographs (v2m data phantom --photos 6)",
        )
    return found


def _says(logits, answer):
    """Cross entropy of the critic's answers with one answer for all."""
    return nn.functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, answer))


def _bare(network):
    """Take a network out of the engine's wrapper."""
    return getattr(network, "module", network)


def _scaled(channels, width):
    return tuple(max(1, round(channel * width)) for channel in channels)
