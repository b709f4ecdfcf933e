// Gradients of A2C, REINFORCE and PPO, one run after the other: the networks' passes, advantages, the loss and back.

namespace VECTOR_NAMESPACE {

// Memory that is handed out in pieces, and kept from call to call.
class Memory {
public:
    explicit Memory(std::vector<float>& kept) : kept_(kept) {}
    // So many numbers, whose contents mean nothing; `reserve` before the first of them, since it may move what was handed out.
    float* take(long count) {
        float* piece = kept_.data() + used_;
        used_ += padded(count);
        return piece;
    }
    void reserve(long count) {
        if ((long)kept_.size() < count) kept_.resize(count);
    }

private:
    std::vector<float>& kept_;
    long used_ = 0;
};

// The networks of one run, in memory for so many rows.
class RunNetwork {
public:
    RunNetwork(const Networks& networks, long run, long rows, Memory& memory)
        : net_{networks.widths, networks.layers}, gain_(networks.gain), theta_(networks.theta + run * networks.stride),
          gradient_(networks.gradient + run * networks.gradient_stride), packed_(memory.take(net_.packed_size())),
          hidden_(memory.take(net_.hidden_size(net_.layers, rows))), work_(memory.take(work_size(net_, rows))) {
        std::memset(packed_, 0, net_.packed_size() * sizeof(float));
        std::memset(work_ + rows * 2 * net_.widest_hidden(), 0, rows * padded(net_.widths[net_.layers]) * sizeof(float));
        pack(net_, theta_, gain_, packed_);
    }

    static long size(const Networks& networks, long rows) {
        Network net{networks.widths, networks.layers};
        return net.packed_size() + padded(net.hidden_size(net.layers, rows)) + padded(work_size(net, rows));
    }

    void pass(long rows, const float* x, float* y) { forward(net_, rows, packed_, x, hidden_, y); }

    void back(long rows, const float* x, const float* delta) { backward(net_, rows, packed_, gain_, x, hidden_, delta, gradient_, work_); }

    // The numbers behind the layers' in θ, and their gradient.
    const float* constants() const { return theta_ + net_.parameters(); }
    float* gradient_of_constants() const { return gradient_ + net_.parameters(); }

private:
    Network net_;
    const float *gain_, *theta_;
    float *gradient_, *packed_, *hidden_, *work_;
};

INLINE Head head_of(const Policy& policy) { return {policy.heads, policy.sizes, policy.outputs}; }

// A run's part of x [T, R, N, size]: [T, N, size].
template <class T>
INLINE void take_run(const T* x, long steps, long runs, long run, long size, T* to) {
    for (long t = 0; x && t < steps; t++) std::memcpy(to + t * size, x + (t * runs + run) * size, size * sizeof(T));
}

// A run's rows and what both networks say of them.
struct Rows {
    float *x, *y, *values, *log_prob, *entropy, *advantage, *returns, *actions, *rewards, *of_log_prob, *of_entropy, *of_value, *delta;
    std::vector<std::int64_t> chosen;
    std::vector<std::uint8_t> terminated, truncated, valid;

    Rows(const Policy& policy, long rows, long more, Memory& memory)  // `more` rows of which only the values are needed
        : chosen(rows * (policy.heads ? policy.heads : 1)), terminated(rows), truncated(rows), valid(rows) {
        long O = policy.actor.widths[0], A = policy.outputs;
        x = memory.take((rows + more) * O);
        values = memory.take(rows + more);
        y = memory.take(rows * A), delta = memory.take(rows * A), actions = memory.take(rows * A);
        for (float** column : {&log_prob, &entropy, &advantage, &returns, &rewards, &of_log_prob, &of_entropy, &of_value})
            *column = memory.take(rows);
    }

    static long size(const Policy& policy, long rows, long more) {
        return padded((rows + more) * policy.actor.widths[0]) + padded(rows + more) + 3 * padded(rows * policy.outputs) + 8 * padded(rows);
    }

    void evaluate(const Policy& policy, long count, RunNetwork& actor, RunNetwork& critic) {
        actor.pass(count, x, y);
        critic.pass(count, x, values);
        evaluate_actions(head_of(policy), count, y, actor.constants(), chosen.data(), actions, log_prob, entropy);
    }

    // From of_log_prob, of_entropy and of_value, the loss's gradients of every row, to those of both networks' weights.
    void back(const Policy& policy, long count, RunNetwork& actor, RunNetwork& critic) {
        delta_of_actions(head_of(policy), count, y, actor.constants(), chosen.data(), actions, of_log_prob, of_entropy, delta,
                         actor.gradient_of_constants());
        actor.back(count, x, delta);
        critic.back(count, x, of_value);
    }
};

INLINE long memory_size(const Policy& policy, long rows, long more) {
    return RunNetwork::size(policy.actor, rows) + RunNetwork::size(policy.critic, rows) + RunNetwork::size(policy.critic, more) +
           Rows::size(policy, rows, more);
}

// A run's rollout, evaluated by both networks, with advantages and returns.
INLINE void evaluate_rollout(const Policy& policy, const Rollout& rollout, const Settings& settings, long run, Rows& rows,
                             RunNetwork& actor, RunNetwork& critic, RunNetwork& critic_of_last) {
    long T = rollout.steps, N = rollout.envs, R = policy.runs, B = T * N, O = policy.actor.widths[0];
    take_run(rollout.observations, T + 1, R, run, N * O, rows.x);
    take_run(rollout.chosen, T, R, run, N * policy.heads, rows.chosen.data());
    take_run(rollout.actions, T, R, run, N * policy.outputs, rows.actions);
    take_run(rollout.rewards, T, R, run, N, rows.rewards);
    take_run(rollout.terminated, T, R, run, N, rows.terminated.data());
    take_run(rollout.truncated, T, R, run, N, rows.truncated.data());
    take_run(rollout.valid, T, R, run, N, rows.valid.data());
    rows.evaluate(policy, B, actor, critic);
    critic_of_last.pass(N, rows.x + B * O, rows.values + B);
    for (long b = 0; b < B; b++) rows.rewards[b] *= settings.reward_scale;
    advantages(T, N, rows.rewards, rows.values, rows.terminated.data(), rows.truncated.data(), settings.gamma, settings.gae_lambda,
               rows.advantage);
    for (long b = 0; b < B; b++) rows.returns[b] = rows.advantage[b] + rows.values[b];
}

// 1 − Var(G − V) / Var(G), NaN if G is constant.
INLINE float explained_variance(const Mask& mask, const float* returns, const float* values) {
    auto variance = [&](auto of) {
        double mean = mask.mean(of);
        return mask.mean([&](long b) { return (of(b) - mean) * (of(b) - mean); });
    };
    double total = variance([=](long b) { return (double)returns[b]; });
    double residual = variance([=](long b) { return (double)(returns[b] - values[b]); });
    return total > 0 ? (float)(1 - residual / total) : NAN;
}

INLINE double squared(double x) { return x * x; }

// Σ g², of sixteen sums at once.
INLINE double sum_of_squares(const float* g, long count) {
    Vec sums = all(0);
    for (long i = 0; i + LANES <= count; i += LANES) sums = fma(load(g + i), load(g + i), sums);
    double total = sum(sums);
    for (long i = count / LANES * LANES; i < count; i++) total += squared(g[i]);
    return total;
}

INLINE void scale(float* g, long count, float by) {
    long i = 0;
    for (; i + LANES <= count; i += LANES) store(g + i, load(g + i) * all(by));
    for (; i < count; i++) g[i] *= by;
}

// The length of a run's gradient, which is scaled down to max_norm if it is longer.
INLINE float clip(const Policy& policy, long run, double max_norm) {
    float *actor = policy.actor.gradient + run * policy.actor.gradient_stride;
    float *critic = policy.critic.gradient + run * policy.critic.gradient_stride;
    long of_actor = policy.actor.parameters, of_critic = policy.critic.parameters;
    float norm = std::sqrt((float)(sum_of_squares(actor, of_actor) + sum_of_squares(critic, of_critic)));  // infinite beyond 1.8e19
    float by = (float)(max_norm / (norm + 1e-6));
    if (by < 1) scale(actor, of_actor, by), scale(critic, of_critic, by);
    return norm;
}

// A2C and REINFORCE: the gradient of every run's loss (agents/a2c.py), clipped; of each run policy loss, value loss, entropy,
// explained variance, and the gradient's length before it was clipped [R, 5].
static void a2c(const Policy& policy, const Rollout& rollout, const Settings& settings, float* statistics, std::vector<float>& kept) {
    long N = rollout.envs, B = rollout.steps * N;
    for (long run = 0; run < policy.runs; run++, statistics += 5) {
        Memory memory(kept);
        memory.reserve(memory_size(policy, B, N));
        RunNetwork actor(policy.actor, run, B, memory), critic(policy.critic, run, B, memory), last(policy.critic, run, N, memory);
        Rows rows(policy, B, N, memory);
        evaluate_rollout(policy, rollout, settings, run, rows, actor, critic, last);
        Mask mask(rows.valid.data(), B);
        statistics[0] = (float)-mask.mean([&](long b) { return (double)rows.advantage[b] * rows.log_prob[b]; });
        statistics[1] = (float)mask.mean([&](long b) { return squared(rows.returns[b] - rows.values[b]); });
        statistics[2] = (float)mask.mean([&](long b) { return (double)rows.entropy[b]; });
        statistics[3] = explained_variance(mask, rows.returns, rows.values);
        if (settings.normalize_advantage) normalize(mask, 0, rows.advantage);
        for (long b = 0; b < B; b++) {
            double share = (mask.valid[b] != 0) / mask.size;
            rows.of_log_prob[b] = (float)(-rows.advantage[b] * share);
            rows.of_entropy[b] = (float)(-settings.ent_coef * share);
            rows.of_value[b] = (float)(settings.vf_coef * 2 * (rows.values[b] - rows.returns[b]) * share);
        }
        rows.back(policy, B, actor, critic);
        statistics[4] = clip(policy, run, settings.max_grad_norm);
    }
}

// PPO, before the first update on a rollout: what its minibatches are made of, and each run's explained variance [R].
static void ppo_prepare(const Policy& policy, const Rollout& rollout, const Settings& settings, const Prepared& out, float* statistics,
                        std::vector<float>& kept) {
    long N = rollout.envs, B = rollout.steps * N, O = policy.actor.widths[0];
    for (long run = 0; run < policy.runs; run++) {
        Memory memory(kept);
        memory.reserve(memory_size(policy, B, N));
        RunNetwork actor(policy.actor, run, B, memory), critic(policy.critic, run, B, memory), last(policy.critic, run, N, memory);
        Rows rows(policy, B, N, memory);
        evaluate_rollout(policy, rollout, settings, run, rows, actor, critic, last);
        statistics[run] = explained_variance(Mask(rows.valid.data(), B), rows.returns, rows.values);
        auto put = [=](auto* to, const auto* from, long size) { std::memcpy(to + run * B * size, from, B * size * sizeof *from); };
        put(out.observations, rows.x, O);
        if (policy.heads) put(out.chosen, rows.chosen.data(), policy.heads);
        else put(out.actions, rows.actions, policy.outputs);
        put(out.valid, rows.valid.data(), 1);
        put(out.log_prob, rows.log_prob, 1);
        put(out.advantage, rows.advantage, 1);
        put(out.returns, rows.returns, 1);
    }
}

// PPO: the gradient of every run's loss (agents/ppo.py), clipped, on `count` rows, whose numbers are `order` [R, pitch] from its
// start; of each run policy loss, value loss, entropy, estimated divergence, clip fraction and length before clipping [R, 6].
static void ppo(const Policy& policy, const Prepared& prepared, const Settings& settings, const std::int64_t* order, long pitch, long count,
                float* statistics, std::vector<float>& kept) {
    long O = policy.actor.widths[0], A = policy.outputs, B = prepared.rows;
    for (long run = 0; run < policy.runs; run++, statistics += 6) {
        Memory memory(kept);
        memory.reserve(memory_size(policy, count, 0));
        RunNetwork actor(policy.actor, run, count, memory), critic(policy.critic, run, count, memory);
        Rows rows(policy, count, 0, memory);
        float* log_prob_before = rows.rewards;  // there are none here
        for (long b = 0; b < count; b++) {
            long row = run * B + order[run * pitch + b];
            std::memcpy(rows.x + b * O, prepared.observations + row * O, O * sizeof(float));
            for (int h = 0; h < policy.heads; h++) rows.chosen[b * policy.heads + h] = prepared.chosen[row * policy.heads + h];
            if (!policy.heads) std::memcpy(rows.actions + b * A, prepared.actions + row * A, A * sizeof(float));
            rows.valid[b] = prepared.valid[row];
            log_prob_before[b] = prepared.log_prob[row];
            rows.advantage[b] = prepared.advantage[row];
            rows.returns[b] = prepared.returns[row];
        }
        rows.evaluate(policy, count, actor, critic);
        Mask mask(rows.valid.data(), count);
        if (settings.normalize_advantage) normalize(mask, 1, rows.advantage);
        float* ratio = rows.of_value;
        for (long b = 0; b < count; b += LANES) {
            Vec change = column_of(rows.log_prob, b, count, 1) - column_of(log_prob_before, b, count, 1);
            write_column(ratio, b, count, 1, exp_of(change));
        }
        double low = 1 - settings.clip_range, high = 1 + settings.clip_range;
        auto surrogate = [&](long b) {
            double a = rows.advantage[b], clipped = ratio[b] < low ? low : ratio[b] > high ? high : ratio[b];
            return ratio[b] * a < clipped * a ? ratio[b] * a : clipped * a;
        };
        statistics[0] = (float)-mask.mean(surrogate);
        statistics[1] = (float)mask.mean([&](long b) { return squared(rows.returns[b] - rows.values[b]); });
        statistics[2] = (float)mask.mean([&](long b) { return (double)rows.entropy[b]; });
        statistics[3] = (float)mask.mean([&](long b) { return ratio[b] - 1.0 - ((double)rows.log_prob[b] - log_prob_before[b]); });
        statistics[4] = (float)mask.mean([&](long b) { return (double)(std::fabs(ratio[b] - 1.0) > settings.clip_range); });
        for (long b = 0; b < count; b++) {
            double share = (mask.valid[b] != 0) / mask.size, a = rows.advantage[b];
            bool clipped = (a > 0 && ratio[b] > high) || (a < 0 && ratio[b] < low);
            rows.of_log_prob[b] = clipped ? 0.0f : (float)(-a * ratio[b] * share);
            rows.of_entropy[b] = (float)(-settings.ent_coef * share);
            rows.of_value[b] = (float)(settings.vf_coef * 2 * (rows.values[b] - rows.returns[b]) * share);
        }
        rows.back(policy, count, actor, critic);
        statistics[5] = clip(policy, run, settings.max_grad_norm);
    }
}

}  // namespace
