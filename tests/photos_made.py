"""A world of noise whose photographs are coloured squares, one colour per person."""

import numpy as np
import pandas as pd
from fitting_made import made_world
from PIL import Image

PIXELS = 48


def made_world_with_photos(folder, *, n_photos=2, seed=0, **options):
    """As `made_world`, with photographs on disk and landmarks in their middle."""
    world, store = made_world(seed=seed, **options)
    rng = np.random.default_rng(seed)
    rows, landmarks = [], []
    for identity, split in zip(
        world.identities["identity"], world.identities["split"], strict=True
    ):
        colour = rng.integers(30, 226, 3)
        for number in range(n_photos):
            path = f"faces/{identity}/{number}.jpg"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            noise = rng.integers(-20, 21, (PIXELS, PIXELS, 1))
            picture = np.clip(colour + noise, 0, 255).astype(np.uint8)
            Image.fromarray(picture).save(folder / path, quality=95)
            angles = dict.fromkeys(("yaw_deg", "pitch_deg", "roll_deg"), 0.0)
            row = {"identity": identity, "photo": number, "path": path, "split": split}
            rows.append(row | angles | {"expression": [0.0] * 10})
            landmarks.append(rng.uniform(10, PIXELS - 10, (68, 2)))
    world.folder = folder
    world.photos = pd.DataFrame(rows)
    world.landmarks = np.array(landmarks, dtype=np.float32)
    return world, store
