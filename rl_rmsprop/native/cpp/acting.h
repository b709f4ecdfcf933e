// Acting in environments that are stepped here: T steps of one run after the other, no call of Python between them.

namespace VECTOR_NAMESPACE {

// The place of the largest number, of the first if there are several; of the first that is not a number.
INLINE long argmax(const float* y, const float* noise, long count) {
    long best = 0;
    float most = y[0] + noise[0];
    for (long i = 1; i < count && most == most; i++) {
        float value = y[i] + noise[i];
        if (value > most || value != value) best = i, most = value;
    }
    return best;
}

// One step of the environments of a run, with next-step autoreset (envs/classic_control/batch.py).
template <class Kind>
INLINE void step_environments(const Kind& kind, const Environments& environments, long run, long runs, const Recorded& out, long t) {
    long N = environments.envs, all_of_them = runs * N;
    for (long n = 0; n < N; n++) {
        long e = run * N + n, at = t * all_of_them + e;
        double state[Kind::SIZE];
        bool resets = environments.done[e], terminated = false, truncated = false;
        if (resets) {
            kind.start(state, [&] { return environments.uniform(environments.generators[run]); });
            environments.lengths[e] = 0;
        } else {
            for (int i = 0; i < Kind::SIZE; i++) state[i] = environments.state[i * all_of_them + e];
            terminated = kind.step(state, out.chosen[at]);
            truncated = ++environments.lengths[e] >= environments.time_limit;
        }
        for (int i = 0; i < Kind::SIZE; i++) {
            environments.state[i * all_of_them + e] = state[i];
            out.observations[(at + all_of_them) * Kind::SIZE + i] = (float)state[i];
        }
        out.rewards[at] = resets ? 0.0f : 1.0f;
        out.terminated[at] = terminated;
        out.truncated[at] = truncated;
        out.valid[at] = !resets;
        environments.done[e] = terminated || truncated;
    }
}

// T steps of every environment with the present weights.
template <class Kind>
static void act(const Policy& policy, const Environments& environments, const Recorded& out, long steps, std::vector<float>& kept) {
    Kind kind(environments.values);
    long N = environments.envs, R = policy.runs, O = policy.actor.widths[0], A = policy.outputs;
    for (long run = 0; run < R; run++) {
        Memory memory(kept);
        memory.reserve(RunNetwork::size(policy.actor, N));
        RunNetwork actor(policy.actor, run, N, memory);
        for (long t = 0; t < steps; t++) {
            long at = (t * R + run) * N;
            float* y = out.outputs + at * A;
            actor.pass(N, out.observations + at * O, y);
            for (long n = 0; n < N; n++) out.chosen[at + n] = argmax(y + n * A, out.noise + (at + n) * A, A);
            step_environments(kind, environments, run, R, out, t);
        }
    }
}

}  // namespace
