"""Five published recipes as data: network, images, optimiser, batch, epochs, and what was claimed to come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from lenet_utils.arguments import checked
from lenet_utils.checks import choose
from lenet_utils.data import ImageDataset, load
from lenet_utils.models import seeded
from lenet_utils.recipes.claims import Claim
from lenet_utils.recipes.networks import BatchNormLeNet, FullLeNet1, TutorialLeNet5, xavier_uniform
from lenet_utils.training import History, TrainConfig, train


@dataclass(frozen=True)
class Recipe:
    """A network and how to train it, as somebody published it (or as this book trains its own).

    Attributes
    ----------
    name, title : str
    dataset : str
        What it was published for; any other of 28×28 pixels and 10 classes will do.
    make_model : callable
        Takes nothing, returns the network.
    config : TrainConfig
    watches : {"test", "validation"}
        What the published curves follow.  With ``"test"``, all training images are learned from and none is held out.
    num_parameters : int
        Trainable ones.
    claims : tuple of Claim
    source : str
        What kind of text it comes from.
    """

    name: str
    title: str
    dataset: str
    make_model: Callable[[], nn.Module]
    config: TrainConfig
    watches: str
    num_parameters: int
    source: str
    claims: tuple[Claim, ...] = ()

    def arrange(self, dataset: ImageDataset) -> ImageDataset:
        """The data set divided as the recipe divides it.

        Raises
        ------
        ValueError
            If the recipe cannot read these images.
        """
        size, num_classes = tuple(dataset.train_images.shape[1:]), len(dataset.class_names)
        if size != (28, 28) or num_classes != 10:
            raise ValueError(
                f"Recipe {self.name} reads images of 28×28 pixels in 10 classes; {dataset.title} has images of "
                f"{size[0]}×{size[1]} pixels in {num_classes} class{'es' if num_classes > 1 else ''}."
            )
        return dataset.with_test_as_validation() if self.watches == "test" else dataset


@checked
def find(name: str) -> Recipe:
    """The recipe of this name.

    Raises
    ------
    ValueError
        If there is none; the message lists the names.
    """
    return choose("recipe", name, RECIPES)


@checked
def run_recipe(
    recipe: str | Recipe,
    dataset: str | ImageDataset | None = None,
    seed: int = 0,
    progress: bool = True,
    on_epoch: Callable[[History], None] | None = None,
    *,
    num_train: int | None = None,
) -> tuple[nn.Module, History]:
    """Train a recipe's network with the book's own loop, :func:`lenet_utils.training.train`.

    Parameters
    ----------
    recipe : str or Recipe
        ``"R1"`` to ``"R5"``, or one of your own.
    dataset : str or ImageDataset, optional
        By default the one that the recipe was published for.
    seed : int
        Decides initial weights and the order of the images.
    progress, on_epoch
        As in :func:`lenet_utils.training.train`.
    num_train : int, optional
        Learn from no more than so many images, to have it done sooner.

    Returns
    -------
    model : torch.nn.Module
    history : History
        Its ``validation_*`` are of what the recipe watches.

    Raises
    ------
    ValueError
        If the name is unknown, or the images do not fit.
    TrainingError
        If the loss is not finite any more; the message names the step and the learning rate.

    Examples
    --------
    >>> model, history = run_recipe("R3", "digits", progress=False)
    >>> len(history.validation_error)
    2
    """
    recipe = find(recipe) if isinstance(recipe, str) else recipe
    dataset = load(dataset or recipe.dataset) if not isinstance(dataset, ImageDataset) else dataset
    arranged = recipe.arrange(dataset)
    if num_train is not None and num_train < len(arranged.train_images):
        arranged = arranged.subset(num_train)
    model = seeded(recipe.make_model, seed)
    return model, train(model, arranged, replace(recipe.config, seed=seed), progress, on_epoch=on_epoch)


def _accuracy(epoch: int, value: float, part: str = "test", decimals: int = 4) -> Claim:
    return Claim(f"{part} accuracy", epoch, value, decimals)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="R1",
            title="ReLU LeNet-5, plain SGD",
            dataset="mnist",
            make_model=TutorialLeNet5,
            config=TrainConfig(
                num_epochs=10,
                batch_size=128,
                optimizer="sgd",
                learning_rate=0.5,
                schedule="constant",
                scaling="unit",
            ),
            watches="test",
            num_parameters=61_706,
            source="a blog post on LeNet-5 in PyTorch (2025)",
            claims=(
                _accuracy(1, 0.9684),
                _accuracy(9, 0.9818),
                _accuracy(10, 0.9901),
                Claim("test loss", 10, 0.0347, 4),
                _accuracy(10, 0.9935, "train"),
                Claim("train loss", 10, 0.0194, 4),
            ),
        ),
        Recipe(
            name="R2",
            title="BatchNorm LeNet, AdamW",
            dataset="mnist",
            make_model=BatchNormLeNet,
            config=TrainConfig(
                num_epochs=2,
                batch_size=32,
                optimizer="adamw",
                learning_rate=1e-3,
                weight_decay=1e-4,
                schedule="constant",
                input_size=28,
            ),
            watches="test",
            num_parameters=8_922,
            source="an encyclopedic chapter on LeNet, with a variant that has batch normalisation",
        ),
        Recipe(
            name="R3",
            title="LeNet-1-like tanh net, Adam, held-out validation",
            dataset="mnist",
            make_model=FullLeNet1,
            config=TrainConfig(
                num_epochs=2,
                batch_size=256,
                learning_rate=1e-3,
                schedule="plateau",
                plateau_factor=0.1,
                plateau_patience=10,
                input_size=28,
                scaling="unit",
            ),
            watches="validation",
            num_parameters=3_246,
            source="a Jupyter Book chapter on LeNet and LeNet-5, written with Lightning",
        ),
        Recipe(
            name="R4",
            title="ReLU LeNet-5, Adam",
            dataset="mnist",
            make_model=TutorialLeNet5,
            config=TrainConfig(num_epochs=5, batch_size=64, learning_rate=1e-3, schedule="constant", scaling="unit"),
            watches="test",
            num_parameters=61_706,
            source="a blog post on LeNet-5 in PyTorch (2023)",
        ),
        Recipe(
            name="R5",
            title="Sigmoid LeNet-5, high learning rate",
            dataset="fashion-mnist",
            make_model=lambda: xavier_uniform(TutorialLeNet5("sigmoid", input_size=28)),
            config=TrainConfig(
                num_epochs=10,
                batch_size=256,
                optimizer="sgd",
                learning_rate=0.9,
                schedule="constant",
                input_size=28,
                scaling="unit",
            ),
            watches="test",
            num_parameters=61_706,
            source="an article on Fashion-MNIST in the style of a textbook",
            claims=(
                _accuracy(10, 0.795, decimals=3),
                _accuracy(10, 0.822, "train", 3),
                Claim("train loss", 10, 0.473, 3),
                Claim("images per second", 10, 51_744.9, 1),
            ),
        ),
    )
}
