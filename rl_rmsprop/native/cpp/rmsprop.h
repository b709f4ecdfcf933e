// The step of RMSProp of many runs, in one pass: E takes g², and θ its step.
//
//     E ← βE + (1 − β)g²        θ ← θ − lr · g / (√(E/w) + ε), or √(E/w + ε)
//
// Rounded as torch does it on a processor with fused multiplication and addition, but for the root, which is rounded correctly.

namespace VECTOR_NAMESPACE {

// Sixteen numbers, or fewer at the end of a row.
INLINE Vec load_some(const float* p, long count) {
    if (count >= LANES) return load(p);
    float numbers[LANES] = {};
    std::memcpy(numbers, p, count * sizeof(float));
    return load(numbers);
}

INLINE void store_first(float* p, Vec a, long count) {
    if (count >= LANES) return store(p, a);
    float numbers[LANES];
    store(numbers, a);
    std::memcpy(p, numbers, count * sizeof(float));
}

// E after g², for a share 1 − β: as a sum, or as torch's interpolation.
INLINE Vec mean_square(Vec E, Vec g, const Rmsprop& step, long run) {
    Vec share = all(step.share[run]);
    if (!step.interpolates) return fma(share * g, g, all(step.decay[run]) * E);
    Vec g2 = g * g;
    bool small = step.share[run] < 0.5f;
    return fma(small ? share : share - all(1), g2 - E, small ? E : g2);
}

static void rmsprop(const Rmsprop& step) {
    for (long run = 0; run < step.runs; run++) {
        float *p = step.p + run * step.p_stride, *E = step.E + run * step.E_stride;
        const float* g = step.g + run * step.g_stride;
        for (long i = 0; i < step.size; i += LANES) {
            long some = step.size - i;
            Vec gradient = load_some(g + i, some), square = mean_square(load_some(E + i, some), gradient, step, run);
            Vec corrected = step.weight ? square / all(step.weight[run]) : square;
            Vec divisor = step.eps_in_sqrt ? root(corrected + all(step.eps)) : root(corrected) + all(step.eps);
            Vec moved = load_some(p + i, some) + all(-step.lr) * gradient / divisor;
            store_first(E + i, square, some);
            store_first(p + i, moved, some);
        }
    }
}

}  // namespace
