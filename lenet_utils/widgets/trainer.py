"""Train in the page: a network learns in the reader's browser, by the arithmetic that *Learning by hand* writes out."""

from __future__ import annotations

import torch

from lenet_utils.arguments import check_count, checked
from lenet_utils.data import ImageDataset
from lenet_utils.widgets.page import Widget
from lenet_utils.widgets.pictures import sheet

HEAVIEST = 340_000  # characters of the picture with all images: what a page should carry


class Trainer(Widget):
    """A reader starts, pauses and steps a LeNet that learns from images in the page, and turns its knobs meanwhile.

    The page shows C1's kernels, the loss of each batch, the errors on images that it never learns from, and what it
    reads in a few of them.  Forward and backward are those of the chapter *Learning by hand*, in JavaScript.

    Parameters
    ----------
    dataset : ImageDataset
        The first training images are learned from; the first validation images are the unseen ones, since a reader
        who turns knobs until few of them are misread has chosen by them.
    num_train, num_unseen : int
        At most how many of each travel with the page: all where there are fewer, and fewer in proportion where their
        picture would weigh more than 340 kB.
    seed : int
        Of the first weights and of the order of images; each reset takes the next.

    Raises
    ------
    ValueError
        If a number is not positive, or the images are not of 28×28 pixels.

    Examples
    --------
    >>> from lenet_utils.data import load
    >>> spec = Trainer(load("digits")).spec
    >>> spec["numTrain"], spec["numUnseen"]
    (1197, 200)
    """

    name = "trainer"
    programs = ("trainer",)
    workers = ("gradients", "training-worker")

    @checked
    def __init__(self, dataset: ImageDataset, num_train: int = 2000, num_unseen: int = 500, seed: int = 100) -> None:
        check_count("seed", seed, 0, 2**32 - 1)
        if min(num_train, num_unseen) < 1:
            raise ValueError(
                f"num_train and num_unseen must be at least 1, for there must be images to learn from and images to "
                f"judge by; got {num_train} and {num_unseen}."
            )
        num_train = min(num_train, len(dataset.train_images))
        num_unseen = min(num_unseen, len(dataset.validation_images))
        pictures = _sheet(dataset, num_train, num_unseen)
        if (weight := len(pictures["picture"])) > HEAVIEST:
            num_train, num_unseen = (max(1, int(n * 0.98 * HEAVIEST / weight)) for n in (num_train, num_unseen))
            pictures = _sheet(dataset, num_train, num_unseen)
        unseen_labels = dataset.validation_labels[:num_unseen].tolist()
        super().__init__(
            {
                "names": list(dataset.class_names),
                "numTrain": num_train,
                "numUnseen": num_unseen,
                "labels": dataset.train_labels[:num_train].tolist() + unseen_labels,
                "shown": [unseen_labels.index(label) for label in sorted(set(unseen_labels))],  # one of each class
                "seed": seed,
                "sheet": pictures,
            }
        )


def _sheet(dataset: ImageDataset, num_train: int, num_unseen: int) -> dict[str, object]:
    return sheet(torch.cat([dataset.train_images[:num_train], dataset.validation_images[:num_unseen]]))
