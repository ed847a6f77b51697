"""Fifteen kinds of corruption: each does to digits what its name and its amount say."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import sentence
from scipy import ndimage

from lenet_utils.rivals.corruptions import CORRUPTIONS, change, corrupt

DRAWN = ("shift", "turn", "squeeze", "shear", "salt-and-pepper", "grain", "line", "fog", "patch")  # by lot


@pytest.fixture(scope="module")
def some(digits):
    """Sixty digits of all classes."""
    return digits.train_images[:60].clone()


@pytest.fixture(scope="module")
def bar():
    """Forty times the same upright bar, 20 pixels high and 4 wide, in the middle."""
    image = torch.zeros(28, 28, dtype=torch.uint8)
    image[4:24, 12:16] = 255
    return image.repeat(40, 1, 1)


def moments(images):
    """Of each image: ink, its middle (down, right), and the covariances of where it lies (yy, xx, xy)."""
    place = np.arange(28) - 13.5
    found = []
    for image in images.double().numpy():
        ink = image / image.sum()
        y, x = ink.sum(1) @ place, ink.sum(0) @ place
        yy, xx = ink.sum(1) @ (place - y) ** 2, ink.sum(0) @ (place - x) ** 2
        found.append((image.sum() / 255, y, x, yy, xx, (place - y) @ ink @ (place - x)))
    return np.array(found).T


def test_fifteen_kinds_of_five_strengths_each_stronger_than_the_last():
    assert len(CORRUPTIONS) == 15
    for kind, how in CORRUPTIONS.items():
        assert len(how.amounts) == 5, kind
        assert how.still in how.limits, kind
        assert all(how.limits[0] <= amount <= how.limits[1] for amount in how.amounts), kind
        away = [abs(amount - how.still) for amount in (how.still, *how.amounts)]
        assert all(less < more for less, more in pairwise(away)), kind


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_what_holds_for_every_kind(some, kind):
    how, before = CORRUPTIONS[kind], some.clone()
    outcomes = [corrupt(some, kind, strength, 3) for strength in range(1, 6)]
    assert torch.equal(some, before)  # they are not changed in place
    for strength, outcome in enumerate(outcomes):
        assert outcome.dtype == torch.uint8
        assert outcome.shape == some.shape
        assert torch.equal(outcome, change(some, kind, how.amounts[strength], 3))
    assert torch.equal(change(some, kind, how.still, 3), some)
    distances = [float((outcome.int() - some.int()).abs().float().mean()) for outcome in outcomes]
    assert all(less < more for less, more in pairwise([0, *distances])), distances
    torch.manual_seed(1)
    assert torch.equal(corrupt(some, kind, 4, 3), outcomes[3])
    assert torch.equal(corrupt(some, kind, 4, 4), outcomes[3]) is (kind not in DRAWN)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_one_digit_is_corrupted_as_well(some, kind):
    assert corrupt(some[:1], kind, 5).shape == (1, 28, 28)


# --- what moves ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pixels", [1, 4, 10])
def test_a_shift_is_a_roll_with_paper_coming_in(some, pixels):
    up, down = torch.zeros_like(some), torch.zeros_like(some)
    up[:, :-pixels], down[:, pixels:] = some[:, pixels:], some[:, :-pixels]
    moved = change(some, "shift", pixels)
    ways = [(torch.equal(a, b), torch.equal(a, c)) for a, b, c in zip(moved, up, down, strict=True)]
    assert all(went_up != went_down for went_up, went_down in ways)
    assert 15 < sum(went_up for went_up, _ in ways) < 45  # 60 fair coins: outside of this once in 16,000


def test_half_a_pixel_is_the_mean_of_two_rows(bar):
    moved = change(bar[:1], "shift", 0.5)[0]
    rows = moved.double().mean(1) * 28 / 4
    wanted = torch.cat([torch.tensor([127.5]), torch.full((19,), 255.0), torch.tensor([127.5])]).double()
    assert (rows[rows > 0] - wanted).abs().max() <= 0.5 + 1e-3


@pytest.mark.parametrize(("kind", "percent"), [("grow", 110), ("grow", 130), ("shrink", 71), ("shrink", 50)])
def test_a_digit_grows_and_shrinks_about_the_middle(bar, kind, percent):
    ink, y, x, yy, _, _ = moments(change(bar, kind, percent))
    before = moments(bar)
    np.testing.assert_allclose(ink / before[0], (percent / 100) ** 2, rtol=0.02)
    np.testing.assert_allclose(np.sqrt(yy / before[3]), percent / 100, rtol=0.02)
    np.testing.assert_allclose([y, x], 0, atol=0.01)


def test_a_small_digit_is_the_mean_of_what_it_covers(some):
    halved = some[:, :, :].double().reshape(-1, 14, 2, 14, 2).mean((2, 4))
    wanted = torch.zeros(len(some), 28, 28, dtype=torch.float64)
    wanted[:, 7:21, 7:21] = halved
    assert (change(some, "shrink", 50).double() - wanted).abs().max() <= 0.5 + 1e-3


@pytest.mark.parametrize("degrees", [10, 30, 90])
def test_a_bar_turns_by_the_angle_either_way(bar, degrees):
    _, y, x, yy, xx, xy = moments(change(bar, "turn", degrees))
    angles = np.degrees(0.5 * np.arctan2(2 * xy, yy - xx))
    if degrees == 90:
        np.testing.assert_allclose(np.abs(angles), 90, atol=0.1)
    else:
        assert set(np.round(angles).astype(int)) == {-degrees, degrees}
    np.testing.assert_allclose([y, x], 0, atol=0.01)


def test_turning_against_scipy(some):
    turned = change(some, "turn", 30).double().numpy()
    for image, found in zip(some.double().numpy(), turned, strict=True):
        both = [ndimage.rotate(image, angle, reshape=False, order=1) for angle in (30, -30)]
        assert min(np.abs(one - found).max() for one in both) < 1


def test_squeezing_makes_one_side_longer_and_the_other_shorter(bar):
    ink, _, _, yy, xx, _ = moments(change(bar, "squeeze", 130))
    before = moments(bar)
    np.testing.assert_allclose(ink / before[0], 1, atol=0.02)
    heights, widths = np.sqrt(yy / before[3]), np.sqrt(xx / before[4])
    assert set(heights.round(2)) == {1.3, 0.78}  # 1 / 1.3 is 0.77
    assert all((height > 1) != (width > 1) for height, width in zip(heights, widths, strict=True))


def test_a_slanted_bar_leans_by_the_angle_and_keeps_its_rows(bar):
    slanted = change(bar, "shear", 40)
    rows, place = slanted.double().sum(2), torch.arange(28.0, dtype=torch.float64)
    np.testing.assert_allclose(rows, bar.double().sum(2), atol=2)
    middles = (slanted.double() @ place / rows)[:, 4:24]  # where each row's ink lies
    steps = middles.diff(dim=1).mean(1)
    np.testing.assert_allclose(steps.abs(), np.tan(np.radians(40)), rtol=0.01)
    assert {-1, 1} == set(steps.sign().int().tolist())


# --- strokes ---------------------------------------------------------------------------------------------------------


def test_strokes_against_scipy(some):
    cross = ndimage.generate_binary_structure(2, 1)
    for image, thick, thin in zip(some, change(some, "thicken", 1), change(some, "thin", 1), strict=True):
        assert np.array_equal(ndimage.grey_dilation(image, footprint=cross, mode="constant", cval=0), thick)
        assert np.array_equal(ndimage.grey_erosion(image, footprint=cross, mode="constant", cval=255), thin)


def test_two_pixels_are_one_twice_and_half_a_pixel_lies_between(some):
    once = change(some, "thicken", 1)
    assert torch.equal(change(some, "thicken", 2), change(once, "thicken", 1))
    between = change(some, "thicken", 0.5).double()
    assert (between - (some.double() + once.double()) / 2).abs().max() <= 0.5 + 1e-3


# --- what is printed over --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [2, 10, 30])
def test_salt_and_pepper_inverts_as_many_pixels_as_it_says(some, percent):
    noisy = change(some, "salt-and-pepper", percent)
    hit = noisy != some
    assert torch.equal(noisy[hit], 255 - some[hit])
    size = some.numel()
    spread = (size * percent / 100 * (1 - percent / 100)) ** 0.5
    assert abs(int(hit.sum()) - size * percent / 100) < 4 * spread
    assert 0.7 < float(hit[some == 0].float().mean() / hit[some > 200].float().mean()) < 1.4  # salt as well as pepper


def test_grain_has_the_spread_that_it_says():
    grey = torch.full((20, 28, 28), 128, dtype=torch.uint8)
    noise = change(grey, "grain", 10).double() - 128
    assert float(noise.std() / 255) == pytest.approx(0.1, abs=0.003)
    assert abs(float(noise.mean())) < 4 * 25.5 / grey.numel() ** 0.5


@pytest.mark.parametrize("pixels", [1, 2, 4])
def test_a_line_is_straight_and_as_wide_as_it_says(pixels):
    lines = change(torch.zeros(50, 28, 28, dtype=torch.uint8), "line", pixels).double().numpy() / 255
    angles = []
    for line in lines:
        y, x = np.nonzero(line > 0.5)
        spread = np.cov(np.stack([y, x]))
        (across, along), axes = np.linalg.eigh(spread)
        length = np.sqrt(12 * along)
        angles.append(np.degrees(np.arctan2(*axes[:, 1])) % 180)
        if length > 15:  # a corner's line is cut obliquely
            assert line.sum() / length == pytest.approx(pixels, rel=0.25)
            assert across < 0.2 * pixels**2 + 0.2
    assert np.histogram(angles, 4, (0, 180))[0].min() > 3  # every direction


# --- what fades and is lost ------------------------------------------------------------------------------------------


def test_a_blur_keeps_the_ink_and_spreads_it(bar):
    dot = torch.zeros(1, 28, 28, dtype=torch.uint8)
    dot[0, 11:16, 11:16] = 255
    ink, y, x, yy, xx, _ = moments(change(dot, "blur", 2))[:, 0]
    assert ink == pytest.approx(25, rel=0.02)
    assert (y, x) == pytest.approx((-0.5, -0.5), abs=0.02)
    assert (yy, xx) == pytest.approx((2 + 4, 2 + 4), rel=0.05)  # variances add up: of five pixels 2, of the blur 2²


def test_a_blur_against_scipy(some):
    for image, found in zip(some.double().numpy(), change(some, "blur", 1.5).double().numpy(), strict=True):
        wanted = ndimage.gaussian_filter(image, 1.5, mode="constant")
        assert np.abs(wanted - found).max() < 0.6


def test_faded_ink_is_a_share_of_the_ink(some):
    assert (change(some, "fade", 20).double() - some.double() / 5).abs().max() <= 0.5 + 1e-3
    assert not change(some, "fade", 0).any()


def test_fog_darkens_paper_and_spares_full_ink(some):
    foggy = change(some, "fog", 60)
    assert (foggy >= some).all()
    assert (foggy[some == 255] == 255).all()
    on_paper = change(torch.zeros_like(some), "fog", 60)
    assert set(on_paper.amax((1, 2)).tolist()) == {153}  # 60 per cent of 255
    assert set(on_paper.amin((1, 2)).tolist()) == {0}
    assert int(on_paper.int().diff(dim=2).abs().max()) <= 153 * 3 / 27 + 1  # smooth: a random number for nine pixels


@pytest.mark.parametrize("side", [1, 6, 12, 20])
def test_a_square_is_torn_out_of_the_box_of_the_ink(side):
    torn = change(torch.full((200, 28, 28), 255, dtype=torch.uint8), "patch", side)
    corners = set()
    for image in torn:
        rows, columns = (image == 0).any(1).nonzero(), (image == 0).any(0).nonzero()
        assert len(rows) == len(columns) == side
        assert int((image == 0).sum()) == side**2
        corners |= {int(rows[0]), int(columns[0])}
    assert min(corners) == 4
    assert max(corners) == 24 - side


# --- refusals --------------------------------------------------------------------------------------------------------


def test_unknown_kinds_and_strengths_are_one_sentence_each(some):
    with pytest.raises(ValueError, match="Unknown kind of corruption") as caught:
        corrupt(some, "melt", 1)
    sentence(caught.value, "'melt'", "'salt-and-pepper'")
    for strength in (0, 6, -1):
        with pytest.raises(ValueError, match="strength must lie in") as caught:
            corrupt(some, "turn", strength)
        sentence(caught.value, "1..5", str(strength))
    with pytest.raises(TypeError, match="strength must be a whole number"):
        corrupt(some, "turn", 2.5)
    for amount in (-1, 181, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="amount of 'turn'") as caught:
            change(some, "turn", amount)
        sentence(caught.value, "0..180 degrees", f"{amount:g}")


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 28, 28),
        torch.zeros(28, 28, dtype=torch.uint8),
        torch.zeros(2, 1, 28, 28, dtype=torch.uint8),
        torch.zeros(2, 32, 32, dtype=torch.uint8),
        torch.zeros(0, 28, 28, dtype=torch.uint8),
    ],
    ids=["float", "one", "channel", "padded", "none"],
)
def test_other_images_are_refused(images):
    with pytest.raises(ValueError, match="Expected digits as uint8") as caught:
        corrupt(images, "turn", 1)
    sentence(caught.value, "(N, 28, 28)", str(tuple(images.shape)))


def test_a_negative_seed_is_refused(some):
    with pytest.raises(ValueError, match="seed must lie in"):
        corrupt(some, "turn", 1, -1)
