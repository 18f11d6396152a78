"""Augmentation: the same for all frames, only symmetries and small shifts."""

from __future__ import annotations

import torch

from heclstm_lib.models.augment import augment


def test_all_frames_of_a_sequence_move_together() -> None:
    frames = torch.rand(20, 1, 2, 9, 9).repeat(1, 4, 1, 1, 1)
    moved = augment(frames, torch.Generator().manual_seed(0))
    assert moved.shape == frames.shape
    assert torch.equal(moved, moved[:, :1].expand_as(moved))
    assert sum(not torch.equal(a, b) for a, b in zip(moved, frames, strict=True)) > 15


def test_without_shift_the_eight_symmetries_appear_and_nothing_else() -> None:
    image = torch.rand(5, 5)
    symmetries = [torch.rot90(turned, k) for turned in (image, image.T) for k in range(4)]
    moved = augment(image.expand(400, 1, 1, 5, 5), torch.Generator().manual_seed(1), shift=0)[
        :, 0, 0
    ]
    counts = [sum(torch.equal(one, wanted) for one in moved) for wanted in symmetries]
    assert sum(counts) == 400
    assert min(counts) > 20


def test_a_shift_moves_the_centre_by_at_most_two_pixels_and_repeats_the_border() -> None:
    image = torch.zeros(1, 1, 1, 11, 11)
    image[..., 5, 5] = 1
    generator = torch.Generator().manual_seed(2)
    places = {tuple(augment(image, generator)[0, 0, 0].nonzero()[0].tolist()) for _ in range(300)}
    assert {abs(row - 5) for row, _ in places} == {0, 1, 2}
    assert {abs(column - 5) for _, column in places} == {0, 1, 2}
    constant = torch.ones(8, 2, 1, 6, 6)
    assert torch.equal(augment(constant, generator), constant)


def test_same_generator_state_same_augmentation() -> None:
    frames = torch.rand(6, 2, 1, 8, 8)
    first, second = (augment(frames, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second)


def test_symmetries_can_be_left_out() -> None:
    frames = torch.rand(30, 2, 1, 8, 8)
    generator = torch.Generator().manual_seed(5)
    assert torch.equal(augment(frames, generator, shift=0, symmetries=False), frames)
    moved = augment(frames, generator, symmetries=False)
    shifted = sum(not torch.equal(a, b) for a, b in zip(moved, frames, strict=True))
    assert shifted > 20
    upwards = torch.arange(8.0)[:, None].expand(30, 1, 1, 8, 8)  # still rises after any shift
    assert (augment(upwards, generator, symmetries=False).diff(dim=3) >= 0).all()
