"""Trained networks are kept, under a name that says all they depend on, and used again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from torch import nn

from lenet_utils import fingerprints, storage
from lenet_utils.arguments import checked
from lenet_utils.data import ImageDataset
from lenet_utils.device import machine_name, pick_device
from lenet_utils.models import seeded
from lenet_utils.paths import cache_dir
from lenet_utils.training import History, TrainConfig, default_config, train


@checked
def trained(
    make_model: Callable[[], nn.Module],
    dataset: ImageDataset,
    config: TrainConfig | None = None,
    progress: bool = True,
) -> tuple[nn.Module, History]:
    """A network trained as ``config`` says: loaded if that was done before on this machine, else trained and kept.

    Parameters
    ----------
    make_model : callable
        Takes nothing and returns the network; its initial weights are drawn from ``config.seed``.
    dataset, config, progress
        As in :func:`lenet_utils.training.train`.

    Returns
    -------
    model : torch.nn.Module
        In evaluation mode, on :func:`lenet_utils.device.pick_device`'s choice.
    history : History
        As it was recorded when the network was trained.

    Notes
    -----
    The file is named by a fingerprint of initial weights, structure, data, configuration, code, versions and machine,
    so a change of any of them trains anew.  A damaged file counts as none.  Where nothing can be stored, training is
    simply repeated next time.
    """
    config = config or default_config(dataset)
    device = pick_device()
    model = seeded(make_model, config.seed)
    name = fingerprints.combined_fingerprint(
        weights=fingerprints.state_fingerprint(model.state_dict()),
        structure=fingerprints.structure_fingerprint(model),
        data=fingerprints.dataset_fingerprint(dataset),
        config=asdict(config),
        code=fingerprints.code_fingerprint(),
        device=machine_name(device),
    )
    path = cache_dir() / f"{type(model).__name__}-{dataset.name}-{name}.pt"
    with storage.exclusively(path):
        kept = storage.load(path)
        if kept is not None:
            try:
                model.load_state_dict(kept["model"])
                return model.to(device).eval(), History(config=config, **kept["history"])
            except (KeyError, RuntimeError, TypeError, AttributeError):  # a whole file, but not of ours
                model = seeded(make_model, config.seed)
        history = train(model, dataset, config, progress)
        if history.interrupted:
            raise KeyboardInterrupt  # half a training is not kept as a whole one
        record = {key: value for key, value in vars(history).items() if key != "config"}
        try:
            storage.save(path, {"model": model.state_dict(), "history": record})
        except OSError as error:
            print(f"The trained network was not kept: {error}")
        return model, history
