"""The loop: it learns, repeats itself exactly, leaves no image out, and says what went wrong."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace

import pytest
import torch
from conftest import sentence
from torch import nn
from torch.nn import functional

from lenet_utils import fingerprints, training
from lenet_utils.device import pick_device
from lenet_utils.evaluation import error_rate, predict
from lenet_utils.models import MLP, LeNet5, seeded
from lenet_utils.optimizers import make_optimizer
from lenet_utils.preprocessing import prepare
from lenet_utils.training import History, TrainConfig, TrainingError, default_config, train

BRIEF = TrainConfig(num_epochs=2, batch_size=24, learning_rate=0.005)


def relu() -> LeNet5:
    return LeNet5("relu")


def run(dataset, config=BRIEF, make_model=relu, **options) -> tuple[nn.Module, History]:
    model = seeded(make_model, config.seed)
    return model, train(model, dataset, config, progress=False, **options)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


# --- learning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_learns_32_images_by_heart(digits, activation):
    config = TrainConfig(num_epochs=40, batch_size=16, learning_rate=0.003, schedule="constant")
    model, history = run(digits.subset(32), config, lambda: LeNet5(activation))
    assert history.train_error[-1] == 0
    assert history.train_loss[-1] < 0.05
    assert error_rate(predict(model, prepare(digits.train_images[:32])), digits.train_labels[:32]) == 0


def test_agrees_with_the_loop_written_out(few):
    """The oracle is the loop of the training chapter, without the package's."""
    images, labels = prepare(few.train_images), few.train_labels
    by_hand = seeded(relu, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=0.005)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.005, total_steps=2 * math.ceil(64 / 24) + 1)
    generator = torch.Generator().manual_seed(3)
    losses, rates = [], []
    for _ in range(2):
        for batch in torch.randperm(64, generator=generator).split(24):
            loss = functional.cross_entropy(by_hand(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
            losses.append(loss.item())

    model, history = run(few, replace(BRIEF, seed=3))
    assert same_weights(model, by_hand)
    assert all(parameter.is_contiguous() for parameter in model.parameters())
    assert history.step_losses == losses
    assert history.learning_rates == rates


def test_same_seed_same_weights_bit_for_bit(few):
    assert same_weights(run(few)[0], run(few)[0])


def test_global_generator_neither_matters_nor_moves(few):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, _ = run(few)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same_weights(first, run(few)[0])


def test_seed_decides_the_order_of_the_images(few):
    models = [seeded(relu, 0) for _ in range(2)]
    for seed, model in enumerate(models):
        train(model, few, replace(BRIEF, seed=seed), progress=False)
    assert not same_weights(*models)


def test_last_smaller_batch_is_not_dropped(few):
    sizes = []

    def loss(outputs, labels):
        if torch.is_grad_enabled():
            sizes.append(len(labels))
        return functional.cross_entropy(outputs, labels)

    _, history = run(few, loss=loss)
    assert sizes == [24, 24, 16] * 2
    assert len(history.step_losses) == 6
    first_epoch = history.step_losses[:3]
    mean = sum(n * value for n, value in zip([24, 24, 16], first_epoch, strict=True)) / 64
    assert history.train_loss[0] == pytest.approx(mean)


def test_each_epoch_shows_each_image_once(few):
    numbered = replace(few, train_labels=torch.arange(64) % 10)
    seen = []

    class Recorder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(1024, 10)

        def forward(self, images):
            if self.training:
                seen.extend(images.flatten(1).double().sum(1).tolist())
            return self.linear(images.flatten(1))

    run(numbered, make_model=Recorder)
    expected = sorted(prepare(few.train_images).flatten(1).double().sum(1).tolist())
    assert sorted(seen[:64]) == pytest.approx(expected)
    assert sorted(seen[64:]) == pytest.approx(expected)
    assert seen[:64] != seen[64:]


def test_one_image_is_enough(digits):
    _, history = run(digits.subset(1))
    assert len(history.step_losses) == 2


def test_model_without_the_default_input_size(few):
    model, history = run(few, replace(BRIEF, input_size=28), lambda: MLP((20,)))
    assert len(history.validation_error) == 2
    assert not model.training


# --- what is recorded, and what is left alone ------------------------------------------------------------------------


def test_history_agrees_with_the_trained_network(few):
    model, history = run(few)
    images, labels = prepare(few.validation_images), few.validation_labels
    assert history.validation_error[-1] == error_rate(predict(model, images), labels)
    with torch.no_grad():
        assert history.validation_loss[-1] == pytest.approx(float(functional.cross_entropy(model(images), labels)))
    assert (history.config, history.dataset, history.device) == (BRIEF, "digits", "cpu")
    assert history.seconds > 0
    assert history.images_per_second == pytest.approx(2 * 64 / history.seconds)


def test_test_part_is_never_read(few):
    other = replace(few, test_images=255 - few.test_images[:7], test_labels=few.test_labels[:7])
    assert same_weights(run(few)[0], run(other)[0])


def test_validation_part_does_not_teach(few):
    other = replace(few, validation_images=255 - few.validation_images, validation_labels=few.validation_labels)
    assert same_weights(run(few)[0], run(other)[0])


def test_data_set_is_left_as_it_was(few):
    before = fingerprints.dataset_fingerprint(few)
    run(few)
    assert fingerprints.dataset_fingerprint(few) == before


def test_on_epoch_is_called_with_the_history_so_far(few):
    lengths = []
    run(few, on_epoch=lambda history: lengths.append((len(history.train_loss), len(history.validation_error))))
    assert lengths == [(1, 1), (2, 2)]


def test_progress_prints_one_line_for_each_epoch(few, capsys):
    train(seeded(relu, 0), few, BRIEF)
    printed = capsys.readouterr()
    assert [line.split()[:2] for line in printed.out.splitlines()] == [["epoch", "1/2"], ["epoch", "2/2"]]
    assert printed.err == ""


def test_no_progress_prints_nothing(few, capsys):
    run(few)
    assert capsys.readouterr() == ("", "")


# --- configuration ---------------------------------------------------------------------------------------------------


class Viewing(nn.Module):
    """A network that cares about the order of its maps in memory."""

    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(1, 2, kernel_size=5)
        self.output = nn.Linear(2 * 14 * 14, 10)

    def forward(self, images):
        return self.output(functional.avg_pool2d(self.c1(images), 2).view(-1, 2 * 14 * 14))


def test_a_network_that_views_its_maps_learns(few):
    _, history = run(few, BRIEF, Viewing)
    assert len(history.train_loss) == BRIEF.num_epochs


def test_a_run_that_fails_leaves_the_network_in_order(few):
    model = seeded(relu, 0)
    with pytest.raises(TrainingError):
        train(model, few, replace(BRIEF, optimizer="sgd", learning_rate=1e9, schedule="constant"), progress=False)
    assert not model.training
    assert all(parameter.is_contiguous() for parameter in model.parameters())


def test_default_is_two_epochs_on_a_large_set_and_more_on_a_small_one(digits):
    large = replace(
        digits,
        train_images=digits.train_images[:1].expand(55_000, 28, 28),
        train_labels=digits.train_labels[:1].expand(55_000),
    )
    chosen = {"optimizer": "muon", "betas": (0.9, 0.98), "momentum_range": None, "label_smoothing": 0.1}
    assert default_config(large) == TrainConfig(num_epochs=2, **chosen, seed=100)
    assert default_config(digits).num_epochs == 13
    assert default_config(digits.subset(3)).num_epochs == 20


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"optimizer": "rmsprop"}, ("'rmsprop'", "'adam'", "'sgd'")),
        ({"schedule": "cosine"}, ("'cosine'", "'one-cycle'", "'plateau'")),
        ({"num_epochs": 0}, ("num_epochs must be positive", "0")),
        ({"batch_size": -1}, ("batch_size must be positive", "-1")),
        ({"learning_rate": 0.0}, ("learning_rate must be positive", "0.0")),
        ({"learning_rate": math.nan}, ("learning_rate must be positive", "nan")),
        ({"learning_rate": math.inf}, ("learning_rate must be positive and finite", "inf")),
        ({"matrix_rate": math.inf}, ("matrix_rate must be positive and finite", "inf")),
        ({"plateau_factor": 0.0}, ("plateau_factor must be positive", "0.0")),
        ({"plateau_patience": 1.5}, ("plateau_patience must be a whole number", "1.5")),
        ({"weight_decay": -1.0}, ("weight_decay must not be negative", "-1.0")),
        ({"weight_decay": math.nan}, ("weight_decay must not be negative", "nan")),
        ({"momentum": 1.0}, ("momentum must lie in 0..1", "1.0")),
        ({"momentum_range": (0.9, 1.0)}, ("momentum_range must lie in 0..1", "0.9, 1.0")),
        ({"scaling": "none"}, ("'none'", "'standard'", "'paper'")),
        ({"input_size": 0}, ("input_size must be positive", "0")),
        ({"seed": -1}, ("seed must not be negative", "-1")),
        ({"seed": 2**64}, ("seed must have at most 63 bits", "65 bits")),
        ({"seed": True}, ("seed must be a whole number", "True")),
        ({"num_epochs": "2"}, ("num_epochs must be a whole number", "'2'")),
    ],
)
def test_impossible_settings_are_refused(settings, parts):
    with pytest.raises((TypeError, ValueError)) as raised:
        TrainConfig(**settings)
    sentence(raised.value, *parts)


def test_config_is_frozen():
    with pytest.raises(FrozenInstanceError):
        TrainConfig().seed = 1


def test_optimizer_is_the_one_described():
    model = seeded(relu, 0)
    sgd = make_optimizer(model, TrainConfig(optimizer="sgd", learning_rate=0.3, momentum=0.9, weight_decay=0.01))
    assert isinstance(sgd, torch.optim.SGD)
    assert {key: sgd.defaults[key] for key in ("lr", "momentum", "weight_decay")} == {
        "lr": 0.3,
        "momentum": 0.9,
        "weight_decay": 0.01,
    }
    assert type(make_optimizer(model, TrainConfig(optimizer="adamw"))) is torch.optim.AdamW
    assert sum(p.numel() for group in sgd.param_groups for p in group["params"]) == 61_706


def test_constant_schedule_keeps_the_rate(few):
    _, history = run(few, replace(BRIEF, schedule="constant"))
    assert set(history.learning_rates) == {0.005}


def test_one_cycle_rises_to_the_peak_and_falls_to_almost_nothing(few):
    _, history = run(few, replace(BRIEF, num_epochs=30))
    rates = history.learning_rates
    peak = rates.index(max(rates))
    assert rates[0] == pytest.approx(0.005 / 25)
    assert rates[peak] == pytest.approx(0.005, rel=0.01)
    assert peak / len(rates) == pytest.approx(0.3, abs=0.02)
    assert rates[-1] < 0.005 / 100
    assert rates == sorted(rates[:peak]) + sorted(rates[peak:], reverse=True)


def test_plateau_lowers_the_rate_when_validation_stops_improving(few):
    """A network whose outputs do not depend on its weights cannot improve."""

    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(10))

        def forward(self, images):
            return 0 * self.weight.expand(len(images), 10)

    config = TrainConfig(num_epochs=6, learning_rate=1.0, schedule="plateau", plateau_patience=1, plateau_factor=0.5)
    _, history = run(few, config, Constant)
    assert history.learning_rates == [1.0, 1.0, 1.0, 0.5, 0.5, 0.25]


@pytest.mark.parametrize("num_before", [0, 1, 30])
def test_divergence_names_step_and_rate(few, num_before):
    calls = 0

    def loss(outputs, labels):
        nonlocal calls
        calls += 1
        return functional.cross_entropy(outputs, labels) * (math.nan if calls > num_before else 1)

    config = TrainConfig(num_epochs=1, batch_size=2, learning_rate=0.01, schedule="constant")
    with pytest.raises(TrainingError) as raised:
        run(few, config, loss=loss)
    sentence(raised.value, "nan", f"at step {num_before + 1},", "learning rate was 0.01", "lower it")


def test_a_network_with_too_few_outputs_is_refused(few):
    with pytest.raises(ValueError, match="10 classes") as raised:
        run(few, make_model=lambda: LeNet5(num_classes=5))
    sentence(raised.value, "(N, 10)", "(24, 5)", "num_classes=10")


@pytest.mark.parametrize("watched", [True, False])
def test_a_bar_counts_all_steps_where_somebody_watches(few, monkeypatch, watched):
    bars = []

    class Counted(training.tqdm):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            bars.append((self, self.disable))  # which closing it changes

    monkeypatch.setattr(training, "tqdm", Counted)
    monkeypatch.setattr(training, "is_watched", lambda: watched)
    train(seeded(relu, 0), few, BRIEF, progress=True)
    ((bar, hidden),) = bars
    assert hidden is not watched
    assert (bar.n, bar.total) == ((6, 6) if watched else (0, bar.total))


def test_real_divergence_is_noticed(few):
    config = TrainConfig(num_epochs=20, batch_size=16, optimizer="sgd", learning_rate=1e4, schedule="constant")
    with pytest.raises(TrainingError, match="the learning rate was 10000"):
        run(few, config)


class Explosive(torch.optim.SGD):
    """Takes a step that leaves no finite weight, at the one that it is told."""

    at = 0

    def step(self, closure=None):
        self.at -= 1
        if self.at == 0:
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.data.fill_(math.nan)
        return super().step(closure)


@pytest.mark.parametrize("step", [1, 2, 3, 5, 6])
def test_divergence_at_any_step_is_noticed_the_last_included(few, monkeypatch, step):
    def explosive(model, config):
        optimizer = Explosive(model.parameters(), lr=0.01)
        optimizer.at = step
        return optimizer

    monkeypatch.setattr(training, "make_optimizer", explosive)
    with pytest.raises(TrainingError) as caught:  # six steps of 24 images in all
        train(seeded(relu, 0), few, replace(BRIEF, schedule="constant"), progress=False)
    at = step if step % 3 == 0 else step + 1  # the next step's loss shows it, or the end of the epoch
    sentence(caught.value, f"at step {at}", "lower it")


def test_divergence_of_the_only_step_is_noticed(few):
    config = replace(BRIEF, num_epochs=1, batch_size=64, learning_rate=1e38, optimizer="sgd", schedule="constant")
    with pytest.raises(TrainingError, match="at step 1"):
        train(seeded(relu, 0), few, config, progress=False)


# --- interrupted -----------------------------------------------------------------------------------------------------


def stop_after(epochs):
    def on_epoch(history):
        if len(history.train_loss) == epochs:
            raise KeyboardInterrupt

    return on_epoch


def test_an_interrupted_training_leaves_model_and_history_usable(few, capsys):
    model = seeded(relu, 0)
    history = train(model, few, BRIEF, on_epoch=stop_after(1))
    assert history.interrupted
    assert len(history.train_loss) == len(history.validation_error) == 1
    assert "Interrupted after step 3 of 6" in capsys.readouterr().out
    assert not model.training
    predict(model, prepare(few.validation_images))


def test_an_interrupted_long_run_is_not_taken_for_whole(few):
    with pytest.raises(KeyboardInterrupt):
        train(seeded(relu, 0), few, BRIEF, progress=False, on_epoch=stop_after(1))


# --- the device ------------------------------------------------------------------------------------------------------


def test_device_from_the_environment(monkeypatch):
    monkeypatch.setenv("LENET_DEVICE", "cpu")
    assert pick_device() == torch.device("cpu")


def test_absent_device_is_refused_with_those_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setenv("LENET_DEVICE", "cuda")
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        pick_device()
    sentence(raised.value, "LENET_DEVICE='cuda'", "choose one of cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:2", "cuda:x", "cuda:", "cpu:0:0", "CPU"])
def test_unknown_device_is_refused_with_those_there(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setenv("LENET_DEVICE", name)
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        pick_device()
    sentence(raised.value, f"LENET_DEVICE={name!r}", "choose one of cuda, cpu")


def test_one_of_several_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LENET_DEVICE", "cuda:1")
    assert pick_device() == torch.device("cuda:1")


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_cuda_before_mps_before_cpu(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.delenv("LENET_DEVICE")
    assert pick_device().type == expected


# --- kept networks ---------------------------------------------------------------------------------------------------


# --- what the recipe search may turn ---


def test_smoothed_labels_are_learned_and_plain_ones_judge(few):
    smooth = replace(BRIEF, label_smoothing=0.1)

    def by_hand(outputs, labels):
        """A tenth of the target spread over ten classes."""
        target = torch.full_like(outputs, 0.01).scatter(1, labels[:, None], 0.91)
        return -(target * outputs.log_softmax(1)).sum(1).mean()

    (one, history), (other, of_hand) = run(few, smooth), run(few, BRIEF, loss=by_hand)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert history.train_loss == pytest.approx(of_hand.train_loss)
    images = prepare(few.validation_images)
    plain = functional.cross_entropy(one(images), few.validation_labels).item()
    assert history.validation_loss[-1] == pytest.approx(plain, rel=1e-5)


def test_averaged_weights_are_the_mean_of_the_last_steps(few):
    seen = []

    def watch(outputs, labels):
        if torch.is_grad_enabled():
            seen.append({name: p.detach().clone() for name, p in model.named_parameters()})
        return functional.cross_entropy(outputs, labels)

    model = seeded(relu, 0)
    train(model, few, BRIEF, progress=False, loss=watch)  # six steps; before each, the weights after the one before
    last = {name: p.detach().clone() for name, p in model.named_parameters()}
    averaged, _ = run(few, replace(BRIEF, averaged_steps=3))
    for name, value in averaged.named_parameters():
        expected = (seen[-2][name] + seen[-1][name] + last[name]) / 3
        torch.testing.assert_close(value.detach(), expected, msg=name)


def test_betas_and_their_range_reach_the_optimizer(few):
    config = replace(BRIEF, betas=(0.8, 0.95), momentum_range=None)
    assert make_optimizer(relu(), config).param_groups[0]["betas"] == (0.8, 0.95)
    assert not same_weights(run(few, config)[0], run(few, replace(config, betas=(0.9, 0.95)))[0])
    assert not same_weights(run(few, config)[0], run(few, replace(config, momentum_range=(0.8, 0.9)))[0])


@pytest.mark.parametrize(("name", "value"), [("averaged_steps", -1), ("averaged_steps", 0.5), ("batch_size", 2.5)])
def test_numbers_that_count_are_whole_and_not_negative(name, value):
    with pytest.raises((TypeError, ValueError), match=f"{name} must (be a whole number|not be negative)"):
        TrainConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("label_smoothing", 1.0), ("label_smoothing", -0.1), ("betas", (0.9, 1.0))]
)
def test_shares_beyond_one_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        TrainConfig(**{name: value})
