"""Noise in the shapes of a loop: that of its name, wherever and with whatever else it is drawn."""

from __future__ import annotations

import pytest
import torch

from noise_search.noise import Book, Gaussian
from noise_search.pipelines.noises import Noises


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(3, 32, 32), (4, 8, 8), (16, 5, 7), (3, 5)])
def test_step_zero_is_randn_of_the_seed(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    book = Book()
    noises = Noises(book).shaped((shape,))
    for seed in range(200):
        book.add(Gaussian(seed))
        made = noises.tensor(Gaussian(seed).name, 0)
        wanted = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
        assert torch.equal(made.to(dtype), wanted)


def test_several_samples_are_drawn_one_after_another_by_one_seed() -> None:
    book, generator = Book(), torch.Generator().manual_seed(7)
    book.add(Gaussian(7))
    made = Noises(book).shaped(((2, 3), (4,))).tensor(Gaussian(7).name, 0)
    wanted = [torch.randn(shape, generator=generator).flatten() for shape in ((2, 3), (4,))]
    assert torch.equal(made.float(), torch.cat(wanted))
