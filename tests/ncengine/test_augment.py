"""Crops, flips, cutout and normalisation of a batch: against loops over pixels, and the draws' distribution."""

import pytest
import torch

from ncengine.data.augment import Augmentation, augment, draw_generator, normalise


def images(count=6, height=9, width=7, channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 256, (count, height, width, channels), generator=generator, dtype=torch.uint8)


def test_a_crop_and_a_flip_are_those_that_were_drawn():
    """The same draws, applied with slices and loops."""
    batch, how = images(), Augmentation(crop_padding=2, flip=True)
    found = augment(batch, how, draw_generator(1, 2, 3))
    generator = draw_generator(1, 2, 3)
    offsets = torch.randint(0, 5, (2, 6, 1), generator=generator)
    flips = torch.rand(6, 1, generator=generator) < 0.5
    padded = torch.zeros(6, 13, 11, 3, dtype=torch.uint8)
    padded[:, 2:11, 2:9] = batch
    for index in range(6):
        top, left = int(offsets[0, index]), int(offsets[1, index])
        crop = padded[index, top : top + 9, left : left + 7]
        assert torch.equal(found[index], crop.flip(1) if flips[index] else crop)
    assert 0 < int(flips.sum()) < 6


def test_cutout_blanks_one_square():
    found = augment(images(count=40, channels=1), Augmentation(cutout=3), draw_generator(0, 1))
    for image in found[..., 0]:
        blank = image == 0
        rows, columns = blank.any(1).nonzero().flatten(), blank.any(0).nonzero().flatten()
        assert 1 <= len(rows) <= 3, "a square at the border is cut off there"
        assert 1 <= len(columns) <= 3
        assert int(blank.sum()) == len(rows) * len(columns)
    assert max(int((image == 0).sum()) for image in found) == 9


def test_draws_depend_on_seed_epoch_and_step_alone():
    batch, how = images(), Augmentation(crop_padding=3, flip=True, cutout=2)
    torch.manual_seed(9)
    first = augment(batch, how, draw_generator(1, 2, 3))
    torch.manual_seed(10)
    assert torch.equal(first, augment(batch, how, draw_generator(1, 2, 3)))
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert not torch.equal(first, augment(batch, how, draw_generator(*other)))


def test_crops_are_spread_evenly():
    batch = torch.zeros(4000, 3, 3, 1, dtype=torch.uint8)
    batch[:, 1, 1] = 1
    found = augment(batch, Augmentation(crop_padding=1), draw_generator(0, 0))
    where = found[..., 0].flatten(1).double().mean(0)
    # Nine equally likely places; four standard deviations of 4,000 draws are 0.02.
    torch.testing.assert_close(where, torch.full((9,), 1 / 9, dtype=torch.float64), atol=0.02, rtol=0)


@pytest.mark.parametrize(("mean", "std"), [((0.3,), (0.2,)), ((0.1, 0.5, 0.7), (0.2, 0.3, 0.4))])
def test_normalising_is_its_formula_in_channels_last(mean, std):
    batch = images(channels=len(mean))
    found = normalise(batch, mean, std)
    assert found.shape == (6, len(mean), 9, 7)
    assert found.is_contiguous(memory_format=torch.channels_last)
    for channel in range(len(mean)):
        expected = (batch[..., channel].double() / 255 - mean[channel]) / std[channel]
        torch.testing.assert_close(found[:, channel].double(), expected, atol=1e-5, rtol=1e-5)


def test_nothing_asked_for_changes_nothing():
    assert not Augmentation()
    batch = images()
    assert torch.equal(augment(batch, Augmentation(), draw_generator(0, 0)), batch)
