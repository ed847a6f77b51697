"""Ten thousand calls with what nobody should pass: each answers, or refuses in one sentence of its own.

Every public function and class is listed: either below, with arguments that fit, one or two of which are then replaced,
or in ``LEFT_OUT``, with the reason.  Hypothesis draws the same calls each time; ``LENET_FUZZ=20`` makes twenty times as
many (``make torture`` does).
"""

from __future__ import annotations

import ast
import dis
import importlib
import math
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from conftest import ROOT
from torch import nn
from torch.nn import functional

from lenet_utils.arguments import shown

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed: pip install -e '.[test]'")
st = hypothesis.strategies

PACKAGE = ROOT / "lenet_utils"
TIMES = int(os.environ.get("LENET_FUZZ", "1"))  # read before the tests clear it
RAISE = dis.opmap["RAISE_VARARGS"]

# --- what nobody should pass -----------------------------------------------------------------------------------------

DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64),
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool),
)
SHAPES = (
    (),
    (0,),
    (1,),
    (3,),
    (2, 0),
    (2, 3),
    (28, 28),
    (0, 28, 28),
    (2, 28, 28),
    (2, 1, 28, 28),
    (2, 1, 32, 32),
    (2, 10),
)
KINDS = ("float64", "float32", "float16", "longdouble", "complex128", ">f4", "uint8", "int64", ">i2", "bool", "U3", "O")
NUMBERS = (*(-1, 0, 1, 2, 7, 10, 2**40, 2**70, -(2**40)), *(-1.5, 0.0, 0.5, 1e30, math.nan, math.inf, -math.inf))
LAYOUTS = ("plain", "transposed", "every second", "expanded", "sparse", "meta", "gradient")


@st.composite
def tensors(draw) -> torch.Tensor:
    """A tensor of any type, shape and layout; a huge one holds one number, and says that it holds many."""
    dtype, shape, layout = (draw(st.sampled_from(of)) for of in (DTYPES, SHAPES, LAYOUTS))
    low, high = draw(st.sampled_from([(0, 1), (0, 10), (-5, 5), (0, 256)]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 9)))
    values = (torch.rand(shape, generator=generator, dtype=torch.float64) * (high - low) + low).to(dtype)
    if dtype.is_floating_point and values.numel() and draw(st.integers(0, 5)) == 0:
        values.view(-1)[0] = draw(st.sampled_from([math.nan, math.inf]))
    if layout == "transposed" and values.ndim > 1:
        return values.transpose(-1, -2)
    if layout == "every second":
        return values.repeat_interleave(2, 0)[::2] if values.ndim else values
    if layout == "expanded":
        return torch.zeros(1, dtype=dtype).expand(2**20, *([2**12] * draw(st.integers(1, 3))))
    if layout == "sparse" and values.ndim and dtype != torch.bool:
        return values.to_sparse()
    if layout == "meta":
        return values.to("meta")
    return values.requires_grad_() if layout == "gradient" and dtype.is_floating_point else values


@st.composite
def arrays(draw) -> np.ndarray:
    """The same in NumPy."""
    kind, shape = draw(st.sampled_from(KINDS)), draw(st.sampled_from(SHAPES))
    values = np.random.default_rng(draw(st.integers(0, 9))).random(shape) * draw(st.sampled_from([1, 10, 255]))
    array = np.asarray(values).astype(kind)
    how = draw(st.sampled_from(["plain", "backwards", "fortran", "broadcast"]))
    if how == "broadcast":
        return np.broadcast_to(np.zeros(1, kind), (2**20, 2**12, 2**12))
    return array[::-1] if how == "backwards" and array.ndim else np.asfortranarray(array) if how == "fortran" else array


class Odd:
    """Something that prints itself as a long text of many lines."""

    def __repr__(self) -> str:
        return "odd\n" * 99


PLAIN = (
    *(
        None,
        True,
        "",
        "auto",
        "a\nb",
        "x" * 200,
        b"",
        b"\0\0\x08\x03",
        "ten",
        [],
        (),
        {},
        [[]],
        [1, [2]],
        [None],
        ["a"],
    ),
    *({"a": 1}, {1: None}, {"a": [1.0]}, {2, 3}, range(3), object(), Odd(), nn.Linear, nn.Linear(3, 2), nn.Flatten()),
    *(
        int,
        print,
        len,
        nn.Sequential(),
        nn.LSTM(3, 2),
        nn.Identity(),
        Path("nowhere"),
        torch.device("cpu"),
        1j,
        iter([]),
    ),
    *(np.float32(0.5), np.int64(3), np.bool_(True), np.array("a"), torch.float32, SimpleNamespace(input_shape=None)),
)
HOSTILE = st.one_of(
    st.sampled_from(PLAIN),
    st.sampled_from(NUMBERS),
    tensors(),
    arrays(),
    tensors().map(lambda t: [t, t]),
    st.text(max_size=3),
)

# --- what fits -------------------------------------------------------------------------------------------------------


def tiny_dataset(digits):
    """32 images to learn from, 20 to validate on, 20 to test on."""
    parts = {f"{part}_{kind}": getattr(digits, f"{part}_{kind}") for part in PARTS for kind in ("images", "labels")}
    return replace(digits, **{name: values[: 32 if "train" in name else 20] for name, values in parts.items()})


PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def fitting(digits) -> dict[str, tuple[int, dict[str, object]]]:
    """By name: how many of a hundred examples are tried, and arguments that fit."""
    from lenet_utils import counting, models, run_store, storage, training
    from lenet_utils.family import digit_line, line_reading
    from lenet_utils.modern import augmentation, maps_off
    from lenet_utils.original import ablation, distortions, layers, network, optimizer
    from lenet_utils.original import experiments as of_1998
    from lenet_utils.recipes import claims, published
    from lenet_utils.rivals import comparison, corruptions, tangents
    from lenet_utils.widgets import claims_table

    claim = dict.fromkeys((*claims_table.NEEDED, "page", "label"), "some")
    few, lenet = tiny_dataset(digits), models.seeded(lambda: models.LeNet5("relu"), 0)
    original = network.LeNet5Original(generator=torch.Generator().manual_seed(0))
    designed, abl = ablation.AblationNet(generator=torch.Generator().manual_seed(0)), ablation.AblationConfig(1, 16)
    pixels, prepared = few.test_images[:3], torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    planes = tangents.tangent_planes(pixels / 255)
    paper = torch.full((2, 1, 32, 32), -0.1)
    classes, config = torch.tensor([1, 2, 3]), training.TrainConfig(num_epochs=1, batch_size=16)
    points = np.random.default_rng(0).random((12, 3))
    rows, loss = counting.layer_table(lenet), functional.cross_entropy
    history = training.History(config, "digits", "cpu", train_loss=[1.0], train_error=[9.0], validation_error=[8.0])
    penalties, features, labels = torch.rand(3, 10), torch.rand(2, 84), [0, 1, 2] * 4
    named = {"C1": points[:, :2], "F6": points[:, 1:]}
    experiment = run_store.Experiment("tiny", "nothing", print, {})
    ink = np.zeros((60, 40))
    ink[10:50, 18:22] = 1
    recipe = replace(published.find("R3"), config=replace(published.find("R3").config, num_epochs=1))
    maps = maps_off.passed_on(lenet, prepared, "c1")
    curvature = optimizer.curvatures(original, paper)
    distortion = distortions.Distortion().draw(3, torch.Generator().manual_seed(0))
    lab = {"images": few.train_images[:12], "labels": labels, "answers": labels, "untrained": named, "trained": named}
    adam, strip = torch.optim.Adam(lenet.parameters()), digit_line.make_strip(few, "test", 0)
    return {
        "architecture_diagram.plot_architecture": (
            12,
            {"rows": rows, "ax": None, "input_shape": (1, 32, 32), "num_lines": 2},
        ),
        "architecture_diagram.plot_to_one_scale": (
            25,
            {"networks": {"a": [("input", 1, 8)], "b": [("input", 1, 90), ("full", 8, 1)]}},
        ),
        "arguments.fitted": (100, {"value": 3, "kind": int, "name": "n"}),
        "arguments.shown": (100, {"value": 3}),
        "checkpoints.trained": (20, {"make_model": models.LeNet5, "dataset": few, "config": config, "progress": False}),
        "checks.choose": (100, {"kind": "thing", "name": "a", "choices": {"a": 1}}),
        "counting.layer_table": (60, {"model": lenet, "input_shape": (1, 32, 32)}),
        "counting.total": (60, {"rows": rows}),
        "counting.receptive_field": (60, {"model": lenet, "input_shape": (1, 32, 32)}),
        "counting.evaluating": (30, {"model": lenet}),
        "counting.record_layers": (30, {"model": lenet}),
        "data.ImageDataset": (100, vars(few)),
        "data.load": (40, {"name": "digits", "root": "nowhere"}),
        "data.fingerprint": (40, {"name": "digits", "root": "nowhere"}),
        "device.device_name": (40, {"device": torch.device("cpu")}),
        "device.machine_name": (40, {"device": torch.device("cpu")}),
        "downloads.files": (40, {"name": "mnist", "folder": Path("nowhere")}),
        "downloads.md5_of": (40, {"content": b"some"}),
        "downloads.parse_idx": (60, {"content": b"\0\0\x08\x01\0\0\0\x01\x07"}),
        "downloads.parse_usps": (60, {"content": b"1 " + b"0.5 " * 256}),
        "downloads.zip_file": (40, {"part": "train", "folder": Path("nowhere")}),
        "embedding.activations": (100, {"model": lenet, "images": prepared, "layer": "f6", "batch_size": 2}),
        "embedding.linear_probe": (
            60,
            {"train_points": points, "train_labels": labels, "test_points": points, "test_labels": labels},
        ),
        "embedding.nearest_neighbours": (100, {"points": points, "num_neighbours": 2}),
        "embedding.neighbour_recall": (100, {"points": points, "embedded": points[:, :2], "num_neighbours": 2}),
        "embedding.reduce": (100, {"points": points, "num_components": 2, "seed": 0}),
        "embedding.trustworthiness": (100, {"points": points, "embedded": points[:, :2], "num_neighbours": 2}),
        "embedding.tsne": (
            12,
            {
                "points": points,
                "perplexity": 3.0,
                "init": "random",
                "learning_rate": "auto",
                "num_iterations": 250,
                "num_components": 2,
                "seed": 0,
            },
        ),
        "evaluation.confusion_matrix": (150, {"predictions": classes, "labels": classes, "num_classes": 10}),
        "evaluation.error_rate": (150, {"predictions": classes, "labels": classes}),
        "evaluation.evaluate": (100, {"model": lenet, "images": prepared, "labels": classes, "loss": loss}),
        "evaluation.judge": (60, {"scores": penalties, "labels": classes}),
        "evaluation.margins": (100, {"scores": penalties}),
        "evaluation.outputs": (100, {"model": lenet, "images": prepared, "batch_size": 2}),
        "evaluation.predict": (100, {"model": lenet, "images": prepared, "batch_size": 2}),
        "evaluation.predicted_classes": (100, {"model": lenet, "outputs": penalties}),
        "evaluation.rejected_for": (60, {"scores": penalties, "labels": classes, "goal": 0.5}),
        "evaluation.rejection_curve": (150, {"scores": [0.1, 0.2, 0.3], "predictions": classes, "labels": classes}),
        "evaluation.wilson_interval": (150, {"num_wrong": 3, "num_images": 10, "z": 1.96}),
        "family.boosting.half_misread": (60, {"answers": classes, "labels": torch.tensor([1, 2, 4]), "seed": 0}),
        "family.boosting.needs_others": (60, {"scores": penalties, "threshold": 0.1}),
        "family.boosting.smallest_threshold": (60, {"scores": [penalties, penalties + 1], "labels": classes}),
        "family.digit_line.Strip": (60, vars(strip)),
        "family.digit_line.as_batch": (60, {"strips": [strip], "width": 400}),
        "family.digit_line.best_path": (100, {"scores": penalties, "apart": 2, "fee": 0.1}),
        "family.digit_line.edit_distance": (60, {"found": [1, 2], "wanted": [1, 3]}),
        "family.digit_line.make_strip": (
            60,
            {"dataset": few, "part": "test", "seed": 0, "gaps": (0, 1), "num_digits": (2, 3)},
        ),
        "family.digit_line.multiply_adds": (40, {"model": lenet, "width": 40}),
        "family.digit_line.read_strip": (60, {"model": lenet, "strip": strip, "apart": 2, "fee": 0.0}),
        "family.digit_line.slide": (100, {"model": lenet, "strips": strip.image[None]}),
        "family.digit_line.targets": (40, {"strip": strip, "positions": 4}),
        "family.digit_line.windows": (100, {"strips": strip.image[None]}),
        "family.line_reading.LineConfig": (60, vars(line_reading.LineConfig())),
        "family.line_reading.judge": (30, {"model": lenet, "strips": [strip], "apart": 2, "fee": 0.0}),
        "family.line_reading.strips_of": (
            40,
            {"dataset": few, "part": "test", "count": 2, "seed": 0, "gaps": (0, 1)},
        ),
        "family.relatives.made_small": (100, {"images": pixels}),
        "fingerprints.dataset_fingerprint": (30, {"dataset": few}),
        "fingerprints.state_fingerprint": (60, {"state": dict(lenet.state_dict())}),
        "fingerprints.structure_fingerprint": (30, {"model": lenet}),
        "literature.published": (40, {"name": "lenet-5/test-error"}),
        "models.LeNet5": (80, {"activation": "relu", "pooling": "max", "num_classes": 3}),
        "models.LeNet5.forward": (150, {"self": lenet, "images": prepared}),
        "models.MLP": (80, {"hidden": (4, 3), "activation": "relu", "input_size": 8, "num_classes": 3}),
        "models.MLP.forward": (150, {"self": models.MLP((3,)), "images": prepared[:, :, 2:-2, 2:-2]}),
        "models.seeded": (60, {"make_model": partial(models.MLP, (3,)), "seed": 0}),
        "modern.augmentation.Distortions": (80, vars(augmentation.Distortions())),
        "modern.augmentation.distort": (150, {"images": pixels, "seed": 0, "distortions": None}),
        "modern.augmentation.redraw": (150, {"images": pixels / 255, "thresholds": torch.full((3,), 0.5)}),
        "modern.augmentation.with_distorted_copies": (60, {"dataset": few, "seed": 1, "num_copies": 1}),
        "modern.experiments.stored_predictions": (
            30,
            {"model": lenet, "dataset": few, "config": config, "experiment": "nothing"},
        ),
        "modern.data_amount.part_of": (40, {"dataset": few, "num_train": 10, "seed": 0}),
        "modern.maps_off.answers_from": (100, {"model": lenet, "maps": maps, "layer": "c1", "batch_size": 2}),
        "modern.maps_off.passed_on": (100, {"model": lenet, "images": prepared, "layer": "c1"}),
        "modern.maps_off.wrong_by_class": (100, {"answers": classes, "labels": classes, "num_classes": 10}),
        "modern.maps_off.wrong_without": (
            100,
            {"model": lenet, "maps": maps.clone(), "labels": classes, "layer": "c1", "number": 2, "substitute": 0.0},
        ),
        "modern.search.network": (40, {"activation": "relu", "pooling": "max", "initialisation": None}),
        "modern.shifts.mean_error": (60, {"model": lenet, "images": pixels, "labels": classes, "distance": 1}),
        "modern.shifts.shifted": (150, {"images": pixels, "down": 1, "right": -2}),
        "optimizers.Muon": (
            80,
            {
                "params": list(models.MLP((3,)).parameters()),
                "lr": 0.1,
                "matrix_rate": 0.1,
                "betas": (0.9, 0.9),
                "weight_decay": 0.0,
            },
        ),
        "optimizers.make_optimizer": (60, {"model": lenet, "config": config}),
        "optimizers.make_schedule": (60, {"optimizer": adam, "config": config, "num_steps": 10}),
        "optimizers.orthogonalised": (100, {"matrix": torch.rand(3, 4), "num_iterations": 3}),
        "original.ablation.AblationConfig": (80, vars(abl)),
        "original.ablation.AblationNet": (40, {"design": ablation.Design(), "generator": None}),
        "original.ablation.AblationNet.forward": (100, {"self": designed, "images": paper}),
        "original.ablation.Design": (60, vars(ablation.Design())),
        "original.ablation.eta_of_pass": (60, {"number": 1, "config": abl}),
        "original.ablation.learn": (60, {"model": designed, "dataset": few, "config": abl, "seed": 0}),
        "original.ablation.make_optimizer": (60, {"model": designed, "config": abl, "steps": 4}),
        "original.distortions.Distortion": (80, vars(distortions.Distortion())),
        "original.distortions.Distortion.draw": (
            80,
            {"self": distortions.Distortion(), "count": 3, "generator": torch.Generator()},
        ),
        "original.distortions.distort": (150, {"images": pixels, "maps": distortion}),
        "original.experiments.OriginalConfig": (80, vars(of_1998.OriginalConfig())),
        "original.experiments.PaperTraining": (
            40,
            {"config": of_1998.OriginalConfig(num_samples=5), "seed": 0, "dataset": few},
        ),
        "original.fast_step.FastLeNet5": (60, {"model": original, "loss": "map", "j": 0.1}),
        "original.fast_step.FastLeNet5.learn": (100, {"self": fast(original), "images": paper, "labels": classes[:2]}),
        "original.fast_step.FastLeNet5.set_rates": (
            80,
            {"self": fast(original), "curvature": curvature, "eta": 0.1, "mu": 0.1},
        ),
        "original.layers.RBFOutput": (80, {"prototypes": network.digit_bitmaps()}),
        "original.layers.SparseConv2d": (80, {"table": layers.C3_TABLE, "kernel_size": 5}),
        "original.layers.Subsampling": (80, {"channels": 6, "reading": "sum"}),
        "original.layers.scaled_tanh": (80, {"a": penalties}),
        "original.layers.scaled_tanh_slope": (80, {"output": penalties}),
        "original.losses.logit_curvature": (80, {"logits": penalties, "prototypes": None, "j": 0.1}),
        "original.losses.loss_function": (40, {"name": "map", "j": 0.1}),
        "original.losses.map_curvature": (100, {"features": features, "prototypes": network.digit_bitmaps(), "j": 0.1}),
        "original.losses.map_loss": (150, {"penalties": penalties, "labels": classes, "j": 0.1}),
        "original.losses.mse_curvature": (80, {"features": features, "prototypes": network.digit_bitmaps(), "j": 0.1}),
        "original.losses.mse_penalty_loss": (150, {"penalties": penalties, "labels": classes}),
        "original.network.LeNet5Original": (40, {"initialisation": "practice", "reading": "sum", "generator": None}),
        "original.network.LeNet5Original.forward": (150, {"self": original, "images": paper}),
        "original.network.check_paper_images": (100, {"images": paper}),
        "original.optimizer.StochasticDiagonalLM": (
            60,
            {"model": original, "eta": 0.1, "mu": 0.1, "loss": "map", "j": 0.1},
        ),
        "original.optimizer.curvatures": (60, {"model": original, "images": paper, "loss": "map", "j": 0.1}),
        "original.optimizer.paper_eta": (60, {"pass_number": 3}),
        "paths.data_dir": (40, {"root": "nowhere"}),
        "plotting.LiveCurves": (30, {"num_epochs": 3, "watched": "test"}),
        "plotting.plot_confusion_matrix": (40, {"counts": np.eye(3, dtype=int), "class_names": "abc", "ax": None}),
        "plotting.plot_embedding": (
            40,
            {"points": points[:, :2], "labels": labels, "class_names": "abc", "ax": None, "legend": True},
        ),
        "plotting.plot_history": (30, {"history": history, "num_epochs": 3, "watched": "test", "ax": None}),
        "plotting.plot_images": (
            50,
            {
                "images": pixels,
                "titles": "abc",
                "num_columns": 2,
                "ax": None,
                "size": 0.8,
                "row_titles": None,
                "fontsize": 8,
                "frame": True,
            },
        ),
        "plotting.plot_learning_curves": (40, {"curves": {"a": [1, 2.0]}, "ylabel": "y", "xlabel": "x", "ax": None}),
        "plotting.plot_signed": (40, {"images": pixels.float(), "titles": "abc", "num_columns": 2, "ax": None}),
        "predict.find_digit": (100, {"grey": 1 - ink}),
        "predict.otsu": (100, {"values": ink}),
        "predict.predict_image": (80, {"model": lenet, "picture": 1 - ink, "scaling": "standard"}),
        "predict.read_grey": (100, {"picture": ink}),
        "preprocessing.center_by_mass": (150, {"image": pixels[0]}),
        "preprocessing.normalise": (150, {"ink": ink}),
        "preprocessing.pad": (150, {"images": pixels, "size": 32}),
        "preprocessing.paper_range": (150, {"images": pixels}),
        "preprocessing.prepare": (150, {"images": pixels, "input_size": 32, "scaling": "paper"}),
        "preprocessing.standardise": (150, {"images": pixels, "mean": 0.1, "std": 0.3}),
        "provenance.Provenance": (30, {"dataset": few}),
        "provenance.session": (10, {"device": torch.device("cpu")}),
        "recipes.claims.Claim": (100, {"what": "test loss", "epoch": 1, "value": 0.5, "decimals": 2}),
        "recipes.claims.prediction_interval": (150, {"values": [0.1, 0.2, 0.3]}),
        "recipes.claims.verdict": (150, {"claim": claims.Claim("test loss", 1, 0.5, 2), "values": [0.1, 0.2, 0.3]}),
        "recipes.experiments.final_test_error": (60, {"model": lenet, "dataset": few, "config": config}),
        "recipes.experiments.measured": (
            60,
            {"claim": claims.Claim("test loss", 1, 0.5, 2), "record": {"passes": [{"test_loss": 1.0}]}},
        ),
        "recipes.networks.TutorialLeNet5": (60, {"activation": "relu", "input_size": 28}),
        "recipes.networks.xavier_uniform": (40, {"model": models.MLP((3,)), "zero_biases": True}),
        "recipes.published.find": (40, {"name": "R1"}),
        "recipes.published.run_recipe": (
            20,
            {"recipe": recipe, "dataset": few, "seed": 0, "progress": False, "on_epoch": None, "num_train": 16},
        ),
        "recipes.sweep.SweepNet": (60, {"activation": "relu", "pooling": "max", "added_convolutions": 1}),
        "recipes.sweep.compare": (
            20,
            {"dataset": few, "num_train": 16, "num_epochs": 1, "seed": 0, "progress": False, "batch_size": 8},
        ),
        "recipes.sweep.plot_sweep": (
            40,
            {"errors": np.arange(4.0), "names": ["a", "b"], "values": ["cd", "ef"], "ax": None},
        ),
        "rivals.classifiers.pair_scores": (60, {"units": torch.rand(3, 45)}),
        "rivals.comparison.standing": (
            40,
            {"name": "linear", "among": [comparison.Standing("linear", "Linear", "plain")]},
        ),
        "rivals.corruptions.Corruption": (60, vars(corruptions.CORRUPTIONS["shift"])),
        "rivals.corruptions.change": (100, {"images": pixels, "kind": "shift", "amount": 2.0, "seed": 0}),
        "rivals.corruptions.corrupt": (100, {"images": pixels, "kind": "shift", "strength": 1, "seed": 0}),
        "rivals.deslanting.crop": (100, {"images": pixels, "size": 20}),
        "rivals.deslanting.deslant": (100, {"images": pixels}),
        "rivals.deslanting.slant": (100, {"images": pixels}),
        "rivals.experiments.as_seen": (40, {"dataset": few, "view": "cropped"}),
        "rivals.experiments.rows": (60, {"images": pixels}),
        "rivals.experiments.with_copies": (40, {"dataset": few, "copies": 1, "seed": 0}),
        "rivals.robustness.all_corrupted": (20, {"images": pixels, "seed": 0}),
        "rivals.robustness.answers_of": (40, {"model": lenet}),
        "rivals.robustness.nearest_neighbours": (40, {"images": pixels, "labels": classes}),
        "rivals.kernels.with_neighbours": (60, {"images": pixels.flatten(1)}),
        "rivals.tangents.tangent_distances": (
            60,
            {"apart": planes[..., 0], "planes": planes, "others": planes, "spring": 0.1},
        ),
        "rivals.tangents.tangent_planes": (60, {"images": pixels / 255}),
        "rivals.tangents.tangents": (60, {"images": pixels / 255}),
        "run_store.Experiment": (80, vars(experiment)),
        "run_store.as_json": (40, {"configuration": {"a": (1, 2)}}),
        "run_store.load_results": (40, {"experiment": "nothing", "complete": True}),
        "run_store.results_path": (40, {"experiment": "nothing", "seed": 3}),
        "storage.finite": (60, {"value": {"a": math.nan}}),
        "storage.pack": (80, {"tensors": [penalties]}),
        "storage.unpack": (80, {"packed": storage.pack([penalties]), "tensors": [penalties.clone()]}),
        "tables.Table": (100, {"rows": [{"a": 1, "b": "c"}], "caption": "A table", "formats": {"a": ".2f"}}),
        "training.TrainConfig": (150, vars(config)),
        "training.default_config": (30, {"dataset": few}),
        "training.train": (
            30,
            {
                "model": models.seeded(models.LeNet5, 0),
                "dataset": few,
                "config": config,
                "progress": False,
                "loss": None,
                "on_epoch": None,
            },
        ),
        "widgets.claims_table.ClaimsTable": (60, {"rows": [claim]}),
        "widgets.draw_pad.DrawPad": (
            20,
            {"models": lenet, "class_names": "0123456789", "scaling": None, "samples": (pixels, classes)},
        ),
        "widgets.embedding_lab.EmbeddingLab": (60, lab | {"features": points, "class_names": "abc", "model": None}),
        "widgets.exchange.chain": (40, {"model": lenet}),
        "widgets.exchange.describe": (40, {"model": lenet, "class_names": "0123456789", "scaling": None}),
        "widgets.page.Widget": (40, {"spec": {}}),
        "widgets.pictures.sheet": (100, {"images": pixels}),
        "widgets.trainer.Trainer": (40, {"dataset": few, "num_train": 8, "num_unseen": 4, "seed": 0}),
    }


def fast(model: nn.Module):
    from lenet_utils.original.fast_step import FastLeNet5

    return FastLeNet5(model)


# --- the calls -------------------------------------------------------------------------------------------------------

LEFT_OUT = {
    "takes nothing": (
        "device.is_watched device.pick_device fingerprints.code_fingerprint literature.record "
        "modern.augmentation.pad_network modern.experiments.network original.ablation.ablation_steps "
        "original.experiments.stored_network original.layers.ScaledTanh original.network.digit_bitmaps paths.cache_dir "
        "paths.checkout paths.results_dir paths.stored_results plotting.use_book_style provenance.commit "
        "provenance.versions recipes.lightning.quiet recipes.networks.BatchNormLeNet recipes.networks.FullLeNet1 "
        "widgets.counting_calculator.CountingCalculator"
    ),
    "takes anything: a record, or an error": (
        "counting.LayerRow downloads.DataError fingerprints.combined_fingerprint literature.Published "
        "original.losses.Loss predict.PictureError predict.Prediction recipes.published.Recipe "
        "recipes.sweep.Comparison recipes.sweep.SweepRun run_store.MissingResultsError run_store.ResultsError "
        "run_store.Run training.History training.TrainingError"
    ),
    "reads or writes files of the user": (
        "data.main downloads.read downloads.read_usps paths.check_writable paths.read_file paths.shorten "
        "paths.write_file predict.main run_store.learned run_store.mend run_store.open_run run_store.read "
        "run_store.state_path run_store.write runs.main runs.run storage.exclusively storage.load storage.save "
        "widgets.exchange.read_weights widgets.exchange.write_weights"
    ),
    "trains for minutes": (
        "modern.augmentation.measure modern.experiments.measure modern.maps_off.measure modern.search.measure "
        "modern.shifts.measure original.ablation.measure original.experiments.measure recipes.experiments.finish "
        "recipes.experiments.measure recipes.experiments.measure_lightning recipes.lightning.LightningDigits "
        "recipes.lightning.LightningLeNet1 recipes.lightning.fit"
    ),
    "is a step of an experiment, which alone calls it": (
        "family.boosting.BoostingConfig family.boosting.committee family.boosting.distorted family.boosting.measure "
        "family.line_reading.line_reader family.line_reading.measure family.line_reading.network "
        "family.line_reading.read_all family.relatives.Setting family.relatives.measure family.relatives.zip_codes "
        "modern.data_amount.measure rivals.classifiers.check_positive rivals.classifiers.least_squares "
        "rivals.classifiers.signs rivals.classifiers.squared_distances rivals.classifiers.with_one "
        "rivals.comparison.Standing rivals.comparison.standings rivals.experiments.Rival rivals.experiments.compare "
        "rivals.experiments.learned_network rivals.experiments.measure rivals.experiments.search "
        "rivals.robustness.Measured rivals.robustness.Pupil rivals.robustness.as_it_is rivals.robustness.convolutional "
        "rivals.robustness.dense rivals.robustness.distorted_network rivals.robustness.in_noise "
        "rivals.robustness.judge rivals.robustness.measure rivals.robustness.measure_fixed "
        "rivals.robustness.other_sources rivals.robustness.stored_errors rivals.timing.as_published "
        "rivals.timing.measure rivals.timing.of_today"
    ),
    "is a classifier, whose fit and scores its own tests attack": (
        "rivals.classifiers.Classifier rivals.classifiers.Linear rivals.classifiers.NearestNeighbours "
        "rivals.classifiers.PCAQuadratic rivals.classifiers.Pairwise rivals.kernels.RadialBasis "
        "rivals.kernels.SupportVectors rivals.tangents.TangentDistance"
    ),
    "is a check, or called by those that are listed, after theirs": (
        "arguments.article arguments.check_count arguments.check_finite arguments.checked "
        "checks.check_batch checks.check_fit checks.check_images checks.check_kind checks.check_labels counting.answer"
    ),
}
LEFT_OUT_MODULES = (
    "original.fast_step",  # plain loops that Numba compiles; FastLeNet5 checks what they get
    "notebook",  # its tests call it from cells
    "family.networks",  # whose layers check what they get
    "family.zip_codes",
    "family.zip_step",  # as original.fast_step
    "ledger",  # reads its own file; its tests put wrong entries into it
)
METHODS = (
    "models.LeNet5.forward models.MLP.forward original.ablation.AblationNet.forward "
    "original.distortions.Distortion.draw original.fast_step.FastLeNet5 original.fast_step.FastLeNet5.learn "
    "original.fast_step.FastLeNet5.set_rates original.network.LeNet5Original.forward"
)


def public() -> set[str]:
    """Every function and class of the package that has a name for everybody, by module and name."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if not module.startswith(LEFT_OUT_MODULES):
            nodes = [node for node in ast.parse(path.read_text("utf8")).body if isinstance(node, DEFINITIONS)]
            found |= {f"{module}.{node.name}" for node in nodes if not node.name.startswith("_")}
    return found


FIXED = {"self", "choices", "kind"}  # what a call in the package itself gives
FUNCTIONS = {"loss", "on_epoch", "make_model", "measure"}  # another one raises what it likes
DEFINITIONS = (ast.FunctionDef, ast.ClassDef)
NAMES = sorted(public() - set(" ".join(LEFT_OUT.values()).split()) | set(METHODS.split()))


def called(name: str) -> Callable:
    """What stands behind a name; a method takes its object as ``self``."""
    parts, module = name.split("."), "lenet_utils"
    while (PACKAGE.parent / module.replace(".", "/")).is_dir() and parts:
        module += f".{parts.pop(0)}"
    found = importlib.import_module(module)
    for part in parts:
        found = getattr(found, part)
    return found


def check_refusal(error: BaseException, told: str) -> None:
    """The error is one that the package itself raises, in one sentence."""
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    code, message = trace.tb_frame.f_code, str(error)
    own = Path(code.co_filename).is_relative_to(PACKAGE) and code.co_code[trace.tb_lasti] == RAISE
    documented = type(error).__module__.startswith("lenet_utils")  # DataError, ResultsError and their like
    assert own, f"{told}: {error!r} is not its own"
    assert isinstance(error, ValueError | TypeError) or documented, f"{told}: {error!r}"
    assert len(message) > 20, f"{told}: {message}"
    assert "\n" not in message, f"{told}: {message}"
    assert message.endswith((".", "?")), f"{told}: {message}"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.timeout(600 * TIMES)  # of a busy machine; alone, the longest takes some seconds
@pytest.mark.filterwarnings("ignore")  # torch gives some warnings once in a process: a call repeated has none
def test_it_answers_or_refuses_in_one_sentence(name, fitting, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    examples, arguments = fitting[name]
    function, count = called(name), 0
    settings = hypothesis.settings(
        max_examples=examples * TIMES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    names = sorted(set(arguments) - FIXED - ({"name"} if "fitted" in name else set()))

    @settings
    @hypothesis.given(st.data())
    def call(data) -> None:
        nonlocal count
        count += 1
        changed = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
        given = arguments | {one: data.draw(HOSTILE) for one in changed}
        hypothesis.assume(not any(callable(given[one]) for one in FUNCTIONS & {*changed}))
        try:
            function(**given)
        except Exception as error:
            check_refusal(error, f"{name}({', '.join(f'{one}={shown(given[one])}' for one in changed)})")
        finally:
            plt.close("all")

    call()
    assert count >= min(20, examples) // 2


def test_what_fits_is_taken(fitting):
    for name in fitting.keys() - {"run_store.load_results"}:  # of which none are stored
        called(name)(**fitting[name][1])
        plt.close("all")
