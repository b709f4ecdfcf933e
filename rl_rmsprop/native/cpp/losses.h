// Losses of policy-gradient agents on the rows of one run, and their gradients with respect to the networks' outputs.
//
// Everything here is of one run: B = T · N rows, time before environments. Sums are in double precision, in the order of the rows.

namespace VECTOR_NAMESPACE {

// What a policy's outputs y [B, A] stand for: `heads` choices of sizes[h] each, or with heads = 0 the means of A real actions.
struct Head {
    int heads;
    const int* sizes;
    long outputs;
};

// Of the rows from b on that a Vec holds: a column of a matrix of so many columns; the last row stands for those beyond.
INLINE Vec column_of(const float* p, long b, long rows, long columns) {
    float numbers[LANES];
    for (long k = 0; k < LANES; k++) numbers[k] = p[(b + k < rows ? b + k : rows - 1) * columns];
    return load(numbers);
}

INLINE void write_column(float* p, long b, long rows, long columns, Vec a) {
    float numbers[LANES];
    store(numbers, a);
    for (long k = 0; k < LANES && b + k < rows; k++) p[(b + k) * columns] = numbers[k];
}

constexpr float LOG_SQRT_2PI = 0.918938533204672742f;

// Of a choice with `size` logits, in the rows of a Vec: the logarithm of their exponentials' sum, and Σ π ln π.
struct Softmax { Vec log_total, minus_entropy; };

INLINE Softmax softmax(const float* logits, long size, long b, long rows, long columns) {
    Vec most = column_of(logits, b, rows, columns), total = all(0), minus_entropy = all(0);
    for (long i = 1; i < size; i++) most = larger(most, column_of(logits + i, b, rows, columns));
    for (long i = 0; i < size; i++) total = total + exp_of(column_of(logits + i, b, rows, columns) - most);
    Vec log_total = log_of(total) + most;
    for (long i = 0; i < size; i++) {
        Vec log_pi = column_of(logits + i, b, rows, columns) - log_total;
        minus_entropy = fma(exp_of(log_pi), log_pi, minus_entropy);
    }
    return {log_total, minus_entropy};
}

// ln π(a|s) and the entropy of every row [B]. `log_std` [A] of real actions.
static void evaluate_actions(Head head, long rows, const float* y, const float* log_std, const std::int64_t* chosen, const float* actions,
                             float* log_prob, float* entropy) {
    long A = head.outputs;
    for (long b = 0; b < rows; b += LANES) {
        Vec of_actions = all(0), of_entropy = all(0);
        if (!head.heads)
            for (long i = 0; i < A; i++) {
                Vec z = (column_of(actions + i, b, rows, A) - column_of(y + i, b, rows, A)) / exp_of(all(log_std[i]));
                of_actions = of_actions + (all(-0.5f) * z * z - all(log_std[i]) - all(LOG_SQRT_2PI));
                of_entropy = of_entropy + all(log_std[i] + LOG_SQRT_2PI + 0.5f);
            }
        long from = 0;
        for (int h = 0; h < head.heads; from += head.sizes[h++]) {
            const float* logits = y + from;
            auto [log_total, minus_entropy] = softmax(logits, head.sizes[h], b, rows, A);
            float numbers[LANES];
            for (long k = 0; k < LANES; k++) {
                long row = b + k < rows ? b + k : rows - 1;
                numbers[k] = logits[row * A + chosen[row * head.heads + h]];
            }
            of_actions = of_actions + (load(numbers) - log_total);
            of_entropy = of_entropy - minus_entropy;
        }
        write_column(log_prob, b, rows, 1, of_actions);
        write_column(entropy, b, rows, 1, of_entropy);
    }
}

// The gradient with respect to y [B, A], and to ln σ [A] of real actions, from those with respect to ln π and to the entropy [B].
static void delta_of_actions(Head head, long rows, const float* y, const float* log_std, const std::int64_t* chosen, const float* actions,
                             const float* of_log_prob, const float* of_entropy, float* delta, float* of_log_std) {
    long A = head.outputs;
    for (long i = 0; !head.heads && i < A; i++) {
        double total = 0;
        Vec std = exp_of(all(log_std[i]));
        for (long b = 0; b < rows; b += LANES) {
            Vec z = (column_of(actions + i, b, rows, A) - column_of(y + i, b, rows, A)) / std;
            Vec c = column_of(of_log_prob, b, rows, 1), e = column_of(of_entropy, b, rows, 1);
            write_column(delta + i, b, rows, A, c * z / std);
            float numbers[LANES];
            store(numbers, fma(c, z * z - all(1), e));
            for (long k = 0; k < LANES && b + k < rows; k++) total += numbers[k];
        }
        of_log_std[i] = (float)total;
    }
    long from = 0;
    for (int h = 0; h < head.heads; from += head.sizes[h++])
        for (long b = 0; b < rows; b += LANES) {
            const float* logits = y + from;
            Vec c = column_of(of_log_prob, b, rows, 1), e = column_of(of_entropy, b, rows, 1);
            auto [log_total, minus_entropy] = softmax(logits, head.sizes[h], b, rows, A);
            for (long i = 0; i < head.sizes[h]; i++) {
                Vec log_pi = column_of(logits + i, b, rows, A) - log_total, pi = exp_of(log_pi);
                float is_chosen[LANES];
                for (long k = 0; k < LANES; k++) is_chosen[k] = b + k < rows && chosen[(b + k) * head.heads + h] == i;
                Vec d = c * (load(is_chosen) - pi) - e * pi * (log_pi - minus_entropy);
                write_column(delta + from + i, b, rows, A, d);
            }
        }
}

// Generalised advantage estimates [T, N] (agents/returns.py), from values [T + 1, N].
static void advantages(long steps, long envs, const float* rewards, const float* values, const std::uint8_t* terminated,
                       const std::uint8_t* truncated, float gamma, float lambda, float* result) {
    for (long n = 0; n < envs; n++) {
        float following = 0;
        for (long i = (steps - 1) * envs + n; i >= 0; i -= envs) {
            float alive = terminated[i] ? 0.0f : gamma;
            float carry = truncated[i] ? 0.0f : alive * lambda;
            float delta = rewards[i] + alive * values[i + envs] - values[i];
            following = delta + carry * following;
            result[i] = following;
        }
    }
}

// Which rows a mean is over: where `valid` is true; of none it is 0.
struct Mask {
    const std::uint8_t* valid;
    long rows;
    double size;

    Mask(const std::uint8_t* v, long count) : valid(v), rows(count), size(0) {
        for (long b = 0; b < rows; b++) size += valid[b] != 0;
        if (size < 1) size = 1;
    }

    template <class Of>
    double mean(Of of) const {
        double total = 0;
        for (long b = 0; b < rows; b++) total += of(b) * (valid[b] != 0);  // 0 · NaN is NaN, as in torch
        return total / size;
    }
};

// (x − mean) / (standard deviation + 1e-8); `fewer` is what is taken off the number of rows for the deviation: 1 for a sample's.
INLINE void normalize(Mask mask, double fewer, float* x) {
    double mean = mask.mean([=](long b) { return (double)x[b]; });
    double squares = mask.mean([=](long b) { return (x[b] - mean) * (x[b] - mean); }) * mask.size;
    double count = mask.size - fewer < 1 ? 1 : mask.size - fewer;
    double deviation = std::sqrt(squares / count) + 1e-8;
    for (long b = 0; b < mask.rows; b++) x[b] = (float)((x[b] - mean) / deviation);
}

}  // namespace
