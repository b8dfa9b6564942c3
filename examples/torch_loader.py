"""A PyTorch Dataset of a cache's crops, and scalenorm.crop as a transform of images on the fly.

Usage: python torch_loader.py
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import scalenorm


class CacheDataset(Dataset):
    """Crops and labels of a cache. A Cache holds no open file, so worker processes may share it."""

    def __init__(self, path, view="normalized"):
        self.cache = scalenorm.open_cache(path)
        self.crops = self.cache.view(view)
        self.rows = np.flatnonzero(self.cache.catalog["status"] == b"ok")

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        row = self.rows[index]
        crop = torch.from_numpy(self.crops[row].copy()).permute(2, 0, 1).float() / 255
        return crop, torch.from_numpy(self.cache.labels[row])


class ImageDataset(Dataset):
    """Images that are cropped when they are asked for."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return torch.from_numpy(scalenorm.crop(self.images[index])).permute(2, 0, 1).float() / 255


if __name__ == "__main__":
    sample = scalenorm.make_galaxies(32, seed=1, size=212)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        lines = [",".join(["id", *sample.answer_names])]
        for galaxy, image, answers in zip(sample.ids, sample.images, sample.answers, strict=True):
            Image.fromarray(image).save(folder / "images" / f"{galaxy}.png")
            lines.append(",".join([galaxy, *map(str, answers)]))
        (folder / "labels.csv").write_text("\n".join(lines))
        scalenorm.convert(folder / "images", folder / "cache.h5", labels=folder / "labels.csv")

        for crops, labels in DataLoader(CacheDataset(folder / "cache.h5"), batch_size=16, num_workers=2):
            print(f"from the cache: {tuple(crops.shape)}, labels {tuple(labels.shape)}")
    for crops in DataLoader(ImageDataset(sample.images), batch_size=16):
        print(f"on the fly: {tuple(crops.shape)}, mean {crops.mean():.3f}")
