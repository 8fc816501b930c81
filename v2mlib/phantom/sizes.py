"""How large a world is."""

import dataclasses

from v2mlib.checks import InputError


@dataclasses.dataclass(frozen=True)
class Size:
    """People, clips and photographs of a world.

    Attributes
    ----------
    n_identities : int
        People.
    n_test : int
        How many of them are named A-E.
    utterances : int
        Clips per training or validation identity.
    test_utterances : int
        Clips per test identity.
    photos : int
        Photographs per training or validation identity.
    test_photos : int
        Photographs per test identity.
    """

    n_identities: int
    n_test: int
    utterances: int
    test_utterances: int
    photos: int
    test_photos: int

    def __post_init__(self):
        """Refuse worlds without speech."""
        if min(self.utterances, self.test_utterances) < 1:
            raise InputError("a world", "needs speech", "choose 1 or more utterances each")
        if min(self.photos, self.test_photos) < 0:
            raise InputError("photos", "is negative", "choose 0 or more")

    def of(self, split):
        """Clips and photographs of an identity.

        Parameters
        ----------
        split : {"train", "validation", "test"}
            The identity's split.

        Returns
        -------
        tuple of int
            Utterances and photographs.

        Examples
        --------
        >>> SIZES["tutorial"].of("test")
        (3, 2)
        """
        if split == "test":
            return self.test_utterances, self.test_photos
        return self.utterances, self.photos


#: `tiny` takes seconds; `tutorial` a minute on two cores (with fewer test identities the skill
#: on ratios is mostly noise); `paper` has the counts of Voxceleb-3D: hours, and some 17 GB.
SIZES = {
    "tiny": Size(36, 12, utterances=3, test_utterances=2, photos=1, test_photos=1),
    "tutorial": Size(960, 480, utterances=6, test_utterances=3, photos=2, test_photos=2),
    "paper": Size(1225, 301, utterances=122, test_utterances=3, photos=116, test_photos=3),
}
