from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from noise_search import samplers
from noise_search.samplers import (
    Glass,
    Level,
    Parts,
    continuous_variance_preserving,
    linear,
)

SHAPE = (2, 3, 4, 5)
NOW, THEN = linear(0.7), linear(0.4)
POINT = continuous_variance_preserving(0.4)


def shrink(x: Any, level: Level) -> Any:
    return x * (0.5 / (level.a + level.s))


# Each takes a sample and a second array, a prediction or a noise, of the same kind.
OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "from_eps": lambda x, y: samplers.from_eps(x, y, POINT),
    "from_x0": lambda x, y: samplers.from_x0(x, y, POINT),
    "from_v": lambda x, y: samplers.from_v(x, y, POINT),
    "from_flow": lambda x, y: samplers.from_flow(x, y, NOW),
    "from_velocity": lambda x, y: samplers.from_velocity(x, y, POINT),
    "from_score": lambda x, y: samplers.from_score(x, y, POINT),
    "to_sample": lambda x, y: samplers.to_sample(Parts(x, y), POINT),
    "to_v": lambda x, y: samplers.to_v(Parts(x, y), POINT),
    "to_flow": lambda x, y: samplers.to_flow(Parts(x, y)),
    "to_velocity": lambda x, y: samplers.to_velocity(Parts(x, y), POINT),
    "to_score": lambda x, y: samplers.to_score(Parts(x, y), POINT),
    "ddim_step": lambda x, y: samplers.ddim_step(Parts(x, y), NOW, THEN),
    "ddim_step to data": lambda x, y: samplers.ddim_step(Parts(x, y), NOW, linear(0.0)),
    "ddpm_step": lambda x, y: samplers.ddpm_step(Parts(x, x), NOW, THEN, y),
    "ddim_inversion_step": lambda x, y: samplers.ddim_inversion_step(Parts(x, y), THEN, NOW),
    "euler_step": lambda x, y: samplers.euler_step(x, y, 0.7, 0.4),
    "heun_step": lambda x, y: samplers.heun_step(lambda z, t: z * t + y, x, 0.7, 0.4),
    "integrate": lambda x, y: samplers.integrate(lambda z, t: z - y, x, [1.0, 0.5, 0.0]),
    "renoise": lambda x, y: samplers.renoise(x, THEN, NOW, y),
    "renoise to noise": lambda x, y: samplers.renoise(x, THEN, linear(1.0), y),
    "change_family": lambda x, y: samplers.change_family(x, Level(0.3, 0.6), Level(0.5, 1.0)),
    "velocity_from_linear": lambda x, y: samplers.velocity_from_linear(x, y, POINT),
    "reverse_sde_step": lambda x, y: samplers.reverse_sde_step(x, Parts(x, y), NOW, THEN, 1.0, y),
    "glass_step": lambda x, y: samplers.glass_step(shrink, x, Glass(NOW, THEN, 0.4), y, 3),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_arrays_and_tensors_give_the_same_numbers_and_keep_their_type(
    name: str, dtype: str
) -> None:
    generator = np.random.default_rng(0)
    x, y = (generator.standard_normal(SHAPE).astype(dtype) for _ in range(2))
    arrays = OPERATIONS[name](x, y)
    tensors = OPERATIONS[name](torch.from_numpy(x), torch.from_numpy(y))
    several = isinstance(arrays, Parts)
    for array, tensor in zip(
        arrays if several else [arrays], tensors if several else [tensors], strict=True
    ):
        assert isinstance(array, np.ndarray)
        assert isinstance(tensor, torch.Tensor)
        assert str(array.dtype) == dtype
        assert array.shape == tuple(tensor.shape) == SHAPE
        epsilon = float(np.finfo(dtype).eps)
        np.testing.assert_allclose(tensor.numpy(), array, rtol=4 * epsilon, atol=4 * epsilon)


@pytest.mark.parametrize("name", OPERATIONS)
def test_inputs_are_left_as_they_were(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(SHAPE, generator=generator) for _ in range(2))
    before = x.clone(), y.clone()
    OPERATIONS[name](x, y)
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])


@pytest.mark.parametrize("name", OPERATIONS)
def test_half_precision_stays_half_precision(name: str) -> None:
    x = torch.ones(SHAPE, dtype=torch.bfloat16)
    found = OPERATIONS[name](x, x)
    assert (found.x0 if isinstance(found, Parts) else found).dtype == torch.bfloat16


def test_gradients_flow_through_a_step() -> None:
    x = torch.full((3,), 0.5, requires_grad=True)
    samplers.ddim_step(samplers.from_flow(x, x * x, NOW), NOW, THEN).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    # x' = x + (t' - t) x^2 by the Euler step, so dx'/dx = 1 + 2 (t' - t) x.
    torch.testing.assert_close(x.grad, torch.full((3,), 1.0 - 2 * 0.3 * 0.5))
