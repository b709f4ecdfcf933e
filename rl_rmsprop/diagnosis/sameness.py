"""Is a run alone the same run in a batch, on this processor? Trained for a moment, by each kernel that is here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rl_rmsprop.diagnosis.finding import Finding, ok, problem

ALONE, TOGETHER = (7,), (3, 5, 7, 11, 13)
"""Seeds of a run, and of a batch that has it among others."""
ITERATIONS = 5


def same_bits() -> Iterator[Finding]:
    """A finding for each kernel."""
    from agents.kernels import KERNELS, default_kernel

    for kernel in KERNELS if default_kernel() == "native" else ("torch",):
        subject, alone = f"same bits, {kernel}", weights(ALONE, kernel)[0]
        if alone == weights(TOGETHER, kernel)[TOGETHER.index(ALONE[0])]:
            yield ok(subject, "a run has the same bits alone and in a batch, here")
        else:
            text = "a run has other bits in a batch than alone: results depend on how a study is cut into batches"
            yield problem(subject, text, "train with --workers 1, and report this with the output of rl-rmsprop doctor --json")


def weights(seeds: Sequence[int], kernel: str) -> list[bytes]:
    """The weights of each run after a short training on CartPole."""
    import envs
    from agents import A2C, Training, make_policy
    from agents.kernels import kernel_here
    from rl_rmsprop.optimizer.adaptive_rmsprop import AdaptiveRMSprop

    agent = A2C(n_envs=3, n_steps=8, hidden=(33, 17), normalize_advantage=True)  # widths that vectors do not divide
    env = envs.make("CartPole-v1", seeds, envs_per_run=agent.n_envs)
    policy = make_policy(env, agent, seeds, kernel=kernel_here(kernel))
    optimizer = AdaptiveRMSprop(policy.parameters(), agent.lr, alpha="cusum:arl=1000,max=0.99", eps=1e-5, runs=seeds)
    for _ in Training(agent, env, policy, optimizer, ITERATIONS, seeds):
        pass
    env.close()
    return [b"".join(theta[run].detach().numpy().tobytes() for theta in policy.parameters()) for run in range(len(seeds))]
