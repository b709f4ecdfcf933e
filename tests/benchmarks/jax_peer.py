"""A2C on CartPole, compiled by JAX as a whole, beside which ours is measured: PureJaxRL's loop with one epoch and one minibatch.

Environment, networks, advantages, gradient and RMSProp are one function of a seed, which XLA compiles for the CPU. `lax.map`
trains one seed after the other, in a process for each core: on a CPU it is faster than `vmap`, whose arrays do not fit into the
cache. The sizes are those of `training.A2C_8X16`; nothing is logged but a mean return an update, and compiling is not counted.

Sources: Lu et al. 2022, github.com/luchris429/purejaxrl, ppo.py; CartPole as in Gymnasium, in single precision.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

N, T, HIDDEN, LIMIT = 8, 16, 64, 500
GAMMA, LAMBDA, LR, BETA, EPS, MOST, ENTROPY, CRITIC = 0.99, 1.0, 7e-4, 0.99, 1e-5, 0.5, 0.0, 0.5


def prepared(runs: int, steps: int, first_seed: int) -> Callable[[], object]:
    """What trains `runs` runs of `steps` steps on one core, compiled."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    import jax

    jax.config.update("jax_platforms", "cpu")
    keys = jax.random.split(jax.random.PRNGKey(first_seed), runs)
    train_all = jax.jit(lambda keys: jax.lax.map(partial(train, steps // (N * T)), keys)).lower(keys).compile()
    return lambda: jax.block_until_ready(train_all(keys))


def train(updates: int, key: Any) -> Any:
    """Train one run; the mean return of the episodes that ended in every update [updates], NaN where none did."""
    import jax
    import jax.numpy as jnp

    def layers(key: Any, outputs: int, scale: float) -> list[tuple[Any, Any]]:
        sizes, keys = [(4, HIDDEN, 2**0.5), (HIDDEN, HIDDEN, 2**0.5), (HIDDEN, outputs, scale)], jax.random.split(key, 3)
        orthogonal = jax.nn.initializers.orthogonal
        return [(orthogonal(gain)(k, (i, o)), jnp.zeros(o)) for k, (i, o, gain) in zip(keys, sizes, strict=True)]

    def network(weights: list[tuple[Any, Any]], x: Any) -> Any:
        for W, b in weights[:-1]:
            x = jnp.tanh(x @ W + b)
        W, b = weights[-1]
        return x @ W + b

    def begin(key: Any) -> Any:
        return jax.random.uniform(key, (N, 4), minval=-0.05, maxval=0.05)

    def physics(state: Any, action: Any) -> Any:
        x, v, theta, omega = state.T
        force = 20.0 * action - 10.0
        cos, sin = jnp.cos(theta), jnp.sin(theta)
        temp = (force + 0.05 * omega**2 * sin) / 1.1
        alpha = (9.8 * sin - cos * temp) / (0.5 * (4.0 / 3.0 - 0.1 * cos**2 / 1.1))
        acceleration = temp - 0.05 * alpha * cos / 1.1
        return jnp.stack([x + 0.02 * v, v + 0.02 * acceleration, theta + 0.02 * omega, omega + 0.02 * alpha], 1)

    def step(carry: Any, key: Any) -> Any:
        params, state, length = carry
        act, restart = jax.random.split(key)
        action = jax.random.categorical(act, network(params["actor"], state))
        after, length = physics(state, action), length + 1
        fallen = (jnp.abs(after[:, 0]) > 2.4) | (jnp.abs(after[:, 2]) > 12 * 2 * jnp.pi / 360)
        done = fallen | (length >= LIMIT)
        ended = jnp.where(done, length, 0)
        new = (params, jnp.where(done[:, None], begin(restart), after), jnp.where(done, 0, length))
        return new, (state, action, done, ended)

    def loss(params: Any, states: Any, actions: Any, advantages: Any, targets: Any) -> Any:
        log_probs = jax.nn.log_softmax(network(params["actor"], states))
        chosen = jnp.take_along_axis(log_probs, actions[:, None], 1)[:, 0]
        entropy = -(jnp.exp(log_probs) * log_probs).sum(1).mean()
        values = network(params["critic"], states)[:, 0]
        return -(chosen * advantages).mean() + CRITIC * ((values - targets) ** 2).mean() - ENTROPY * entropy

    def update(carry: Any, _: Any) -> Any:
        params, E, state, length, key = carry
        key, *keys = jax.random.split(key, T + 1)
        (params, state, length), (states, actions, done, ended) = jax.lax.scan(step, (params, state, length), jnp.stack(keys))
        values = network(params["critic"], states)[..., 0]
        last = network(params["critic"], state)[:, 0]

        def backwards(carry: Any, row: Any) -> Any:
            advantage, following = carry
            value, over = row
            delta = 1.0 + GAMMA * following * ~over - value
            advantage = delta + GAMMA * LAMBDA * advantage * ~over
            return (advantage, value), advantage

        _, advantages = jax.lax.scan(backwards, (jnp.zeros(N), last), (values, done), reverse=True)
        targets, flat = (advantages + values).ravel(), advantages.ravel()
        flat = (flat - flat.mean()) / (flat.std() + 1e-8)
        g = jax.grad(loss)(params, states.reshape(-1, 4), actions.ravel(), flat, targets)
        norm = jnp.sqrt(sum((x**2).sum() for x in jax.tree.leaves(g)))
        g = jax.tree.map(lambda x: x * jnp.minimum(1.0, MOST / (norm + 1e-6)), g)
        E = jax.tree.map(lambda e, x: BETA * e + (1 - BETA) * x**2, E, g)
        params = jax.tree.map(lambda p, x, e: p - LR * x / (jnp.sqrt(e) + EPS), params, g, E)
        return (params, E, state, length, key), ended.sum() / (ended > 0).sum()

    key, actor, critic, first = jax.random.split(key, 4)
    params = {"actor": layers(actor, 2, 0.01), "critic": layers(critic, 1, 1.0)}
    E = jax.tree.map(jnp.zeros_like, params)
    carry: Any = (params, E, begin(first), jnp.zeros(N, jnp.int32), key)
    return jax.lax.scan(update, carry, None, updates)[1]
