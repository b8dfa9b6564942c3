"""A cache as a PyTorch data set, and scalenorm.crop as a transform of images on the fly.

Usage: python torch_loader.py
"""

import tempfile
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import scalenorm


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

        cache = scalenorm.open_cache(folder / "cache.h5")
        for crops, labels in DataLoader(cache.to_torch("normalized"), batch_size=16, num_workers=2):
            print(f"from the cache: {tuple(crops.shape)}, labels {tuple(labels.shape)}")
    for crops in DataLoader(ImageDataset(sample.images), batch_size=16):
        print(f"on the fly: {tuple(crops.shape)}, mean {crops.mean():.3f}")
