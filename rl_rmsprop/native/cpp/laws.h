// Steps of laws: E decides by itself how fast it forgets (rl_rmsprop/laws, whose texts are the definitions).
//
// A law is an object of one run. `look` goes through the gradients before anything changes, `decide` draws the conclusion, `begin`
// starts with a parameter, and `take` is of sixteen entries: E takes g², and what divides the gradient comes back.

namespace VECTOR_NAMESPACE {

// A parameter of one run.
struct Row {
    long size;
    float* p;
    const float* g;
    float* E;
    float* entries[LawParameter::MOST];  // [P] each, or [K, P]
    double* w;                           // []
    double* numbers;                     // [] or [K]

    Row(const LawStep& step, const LawParameter& of, long run)
        : size(of.size), p(of.p + run * of.p_stride), g(of.g + run * of.g_stride), E(of.E + run * of.size), w(of.weight + run),
          numbers(of.numbers + run * step.bank) {
        for (int i = 0; i < LawParameter::MOST; i++) entries[i] = of.entries[i] + run * of.size * step.bank;
    }
};

// Sixteen entries of a row, fewer at its end: E before and after, and as many of the law's own.
template <int COUNT>
struct Entries {
    Vec p, g, E, own[COUNT ? COUNT : 1];
    long place, some;
};

// The first numbers of a Vec, with others in place of the rest.
INLINE Vec first(Vec a, long count, float rest = 0) {
    if (count >= LANES) return a;
    float numbers[LANES];
    store(numbers, a);
    for (long i = count; i < LANES; i++) numbers[i] = rest;
    return load(numbers);
}

// a + share (b − a), from the nearer end: exact for shares of 0 and 1.
INLINE Vec mix(Vec a, Vec b, Vec share) {
    Vec half = all(0.5f), difference = b - a;
    return fma(where_less(share, half, share, share - all(1)), difference, where_less(share, half, a, b));
}

INLINE Vec mix(Vec a, Vec b, float share) {
    return share < 0.5f ? fma(all(share), b - a, a) : fma(all(share - 1), b - a, b);
}

// √(E/w) + ε or √(E/w + ε), w = 1 without bias correction.
INLINE Vec denominator(const LawStep& step, Vec E, Vec w) {
    if (step.bias_correction) E = E / w;
    return step.eps_in_sqrt ? root(E + all(step.eps)) : root(E) + all(step.eps);
}

// A sum of many Vecs: in single precision of a few, in double of those.
class Total {
public:
    Total() : part_(all(0)) {}
    void add(Vec a) {
        part_ = part_ + a;
        if (++count_ == 64) flush();
    }
    double value() {
        flush();
        return whole_;
    }

private:
    void flush() {
        whole_ += sum(part_);
        part_ = all(0), count_ = 0;
    }
    Vec part_;
    int count_ = 0;
    double whole_ = 0;
};

// The step of all parameters, one run after the other: what `look` has read is still in the cache.
template <class Law>
static void step_by(const LawStep& step) {
    for (long run = 0; run < step.runs; run++) {
        Law law(step, run);
        for (int k = 0; k < step.count; k++) law.look(Row(step, step.parameters[k], run));
        law.decide();
        for (int k = 0; k < step.count; k++) {
            Row row(step, step.parameters[k], run);
            law.begin(row);
            for (long i = 0; i < row.size; i += LANES) {
                Entries<Law::OWN> at{load_some(row.p + i, row.size - i), load_some(row.g + i, row.size - i),
                                     load_some(row.E + i, row.size - i), {}, i, row.size - i};
                for (int j = 0; j < Law::OWN; j++) at.own[j] = load_some(row.entries[j] + i, at.some);
                Vec divisor = law.take(at);
                for (int j = 0; j < Law::OWN; j++) store_first(row.entries[j] + i, at.own[j], at.some);
                store_first(row.E + i, at.E, at.some);
                store_first(row.p + i, at.p + all(-step.lr) * at.g / divisor, at.some);
            }
        }
        step.beta[run] = law.beta();
    }
}

// Laws with a β for every entry (laws/elementwise.py) --------------------------------------------------------------------------

// What they have in common: w is the first of their own entries; nothing is decided for all entries together.
class Elementwise {
public:
    Elementwise(const LawStep& step, long) : step_(step) {
        for (int k = 0; k < step.count; k++) size_ += step.parameters[k].size;
    }
    void look(const Row&) {}
    void decide() {}
    void begin(const Row&) {}
    double beta() { return 1 - shares_.value() / size_; }  // the mean

protected:
    // E and w take g² by this share.
    template <int COUNT>
    void take_square(Entries<COUNT>& at, Vec share) {
        at.E = mix(at.E, at.g * at.g, share);
        at.own[0] = mix(at.own[0], all(1), share);
        shares_.add(first(share, at.some));
    }
    const LawStep& step_;

private:
    double size_ = 0;
    Total shares_;
};

// r = 1/(τ + 1)    m ← (1 − r)m + rg    x = m²/(E + 1e-16)    τ ← 1 + τ(1 − x)    g/max(√Ê + ε, lr (√Ê + ε)/x)
class Smorms3 : public Elementwise {
public:
    static constexpr int OWN = 3;
    Smorms3(const LawStep& step, long run) : Elementwise(step, run) {}

    Vec take(Entries<OWN>& at) {
        Vec &tau = at.own[1], &m = at.own[2], r = all(1) / (tau + all(1));
        m = mix(m, at.g, r);
        take_square(at, r);
        Vec x = m * m / (at.E + all(1e-16f)), divisor = denominator(step_, at.E, at.own[0]);
        tau = tau * (all(1) - x) + all(1);
        return larger(divisor, divisor / larger(x, all(1e-38f)) * all(step_.lr));
    }
};

// u = U/w    s² = E/w − u²    d² = (g − u)²    1 − β = w(d² − s²) / (w(d² − s²) + d² + s²), within bounds    U ← βU + (1 − β)g
class MaxVA : public Elementwise {
public:
    static constexpr int OWN = 2;
    MaxVA(const LawStep& step, long run)
        : Elementwise(step, run), least_(all((float)step.settings[0])), most_(all((float)step.settings[1])) {}

    Vec take(Entries<OWN>& at) {
        Vec &U = at.own[1], w = at.own[0], received = larger(w, all(1e-8f)), u = U / received;
        Vec s2 = at.E / received - u * u, d2 = (at.g - u) * (at.g - u), change = (d2 - s2) * w;
        Vec share = larger(smaller(change / (d2 + s2 + change + all(1e-16f)), most_), least_);
        U = mix(U, at.g, share);
        take_square(at, share);
        return denominator(step_, at.E, at.own[0]);
    }

private:
    Vec least_, most_;
};

// 1 − β = c²    c = (1 − long) + (long − short)e    e = |Σ Δθ| / Σ |Δθ|, 1 where nothing has moved
class AdaSmooth : public Elementwise {
public:
    static constexpr int OWN = 6;
    AdaSmooth(const LawStep& step, long run)
        : Elementwise(step, run), least_(all((float)step.settings[0])), more_(all((float)step.settings[1])) {}

    void begin(const Row& row) {
        turns_ = std::fmod(*row.numbers - 1, step_.settings[2]) == 0;
        *row.numbers += 1;
    }

    Vec take(Entries<OWN>& at) {
        Vec &path = at.own[1], &length = at.own[2], &last_path = at.own[3], &last_length = at.own[4], &before = at.own[5];
        Vec step = at.p - before, distance = larger(step, all(0) - step);
        before = at.p;
        if (turns_) last_path = path, last_length = length, path = all(0), length = all(0);
        path = path + step, length = length + distance;
        Vec straight = path + last_path, ratio = larger(straight, all(0) - straight) / (length + last_length);
        Vec c = fma(more_, smaller(all(1), ratio), least_);
        take_square(at, c * c);
        return denominator(step_, at.E, at.own[0]);
    }

private:
    Vec least_, more_;
    bool turns_ = false;
};

// A law with one β a run (laws/hypergradient.py) --------------------------------------------------------------------------------

// h = g·∂θ/∂u / (‖g‖ ‖∂θ/∂u‖)    u ← u − rate·h, within bounds    1 − β = e⁻ᵘ
// ∂θ/∂u = ½ lr(1 − β) g·∂Ê/∂β / (√Ê (√Ê + ε)²)    ∂Ê/∂β = E' − g², or (E' − g² − Ê(w' − 1))/w
class Hypergradient {
public:
    static constexpr int OWN = 1;
    Hypergradient(const LawStep& step, long run) : step_(step), u_(step.state[run]) {}

    void look(const Row& row) {
        for (long i = 0; i < row.size; i += LANES) {
            Vec g = load_some(row.g + i, row.size - i), d = load_some(row.entries[0] + i, row.size - i);
            products_.add(g * d), gradients_.add(g * g), derivatives_.add(d * d);
        }
    }

    void decide() {
        double lengths = std::sqrt(gradients_.value()) * std::sqrt(derivatives_.value()), h = products_.value() / lengths;
        if (!(lengths > 0 && std::isfinite(h))) h = 0;
        u_ -= step_.settings[0] * h;
        u_ = u_ < step_.settings[1] ? step_.settings[1] : u_ > step_.settings[2] ? step_.settings[2] : u_;
        share_ = exp_of(-u_);
    }

    void begin(const Row& row) {
        double& w = *row.w;
        begun_ = all(w > 0), missing_ = all((float)(1 - w));
        w = w * (1 - share_) + share_;
        w_ = all((float)w);
    }

    Vec take(Entries<OWN>& at) {
        Vec g2 = at.g * at.g, difference = at.E - g2, share = all((float)share_);
        at.E = mix(at.E, g2, share);
        Vec mean = step_.bias_correction ? at.E / w_ : at.E;
        if (step_.bias_correction) difference = fma(mean, missing_, difference) / w_ * begun_;
        Vec eps = all(step_.eps), root_of_mean = root(mean), sum = root_of_mean + eps;
        Vec inner = root(mean + eps), below = step_.eps_in_sqrt ? (mean + eps) * inner : root_of_mean * (sum * sum);
        at.own[0] = difference * at.g / larger(below, all(1e-38f)) * all((float)(0.5 * step_.lr * share_));
        return step_.eps_in_sqrt ? inner : sum;
    }

    double beta() { return 1 - share_; }

private:
    const LawStep& step_;
    double& u_;
    double share_ = 0;
    Total products_, gradients_, derivatives_;
    Vec w_ = all(1), missing_ = all(0), begun_ = all(0);
};

// A bank of K means (laws/mixture.py) -------------------------------------------------------------------------------------------

// ℓ_k = mean[ln v_k + min(g²/v_k, 20)]    W_k ← (1 − share) W_k e^(−rate ℓ_k) / Σ + share/K    Ê = Π_k v_k^W_k    E = w Ê
// ε² is added to every v whose logarithm is taken.
class Mixture {
public:
    static constexpr int OWN = 0;
    Mixture(const LawStep& step, long run)
        : step_(step), K_(step.bank), W_(step.state + run * K_), rate_(step.settings[0]), fixed_share_(step.settings[1]),
          floor_(all((float)((double)step.eps * step.eps + 1e-38))), betas_(step.settings + 2), losses_(K_), gains_(K_), weights_(K_),
          is_last_(run + 1 == step.runs) {}

    void look(const Row& row) {
        size_ += row.size;
        std::vector<double> total(K_);
        Vec squares = all(0);
        for (long from = 0; from < row.size; from += PIECE) {
            float g2[PIECE];
            long count = row.size - from < PIECE ? row.size - from : PIECE;
            for (long i = 0; i < count; i += LANES) {
                Vec g = load_some(row.g + from + i, count - i);
                store(g2 + i, g * g), squares = squares + g * g;
            }
            for (int k = 0; k < K_; k++) total[k] += loss(g2, row.entries[0] + k * row.size + from, count);
        }
        bool finite = std::isfinite(sum(squares));
        for (int k = 0; k < K_; k++) finite &= std::isfinite(total[k]);
        for (int k = 0; k < K_; k++) losses_[k] += finite ? total[k] : loss_of_finite(row, row.entries[0] + k * row.size);
    }

    void decide() {
        double most = -INFINITY, total = 0;
        for (int k = 0; k < K_; k++) {
            W_[k] = log_of(W_[k]) - rate_ * (losses_[k] / size_);
            most = W_[k] > most ? W_[k] : most;
        }
        for (int k = 0; k < K_; k++) total += W_[k] = exp_of(W_[k] - most);
        for (int k = 0; k < K_; k++) {
            W_[k] = (1 - fixed_share_) * (W_[k] / total) + fixed_share_ / K_;
            weights_[k] = (float)W_[k];
        }
    }

    void begin(const Row& row) {
        double log_w = 0;
        for (int k = 0; k < K_; k++) {
            double& w = row.numbers[k];
            w += (1 - w) * (1 - betas_[k]);
            gains_[k] = (float)((1 - betas_[k]) / w);  // at the first update v becomes g² itself
            log_w += W_[k] * log_of(w);
        }
        *row.w = exp_of(log_w);
        w_ = all((float)*row.w);
        bank_ = row.entries[0], size_of_row_ = row.size, ahead_ = is_last_ ? PIECE : K_ * row.size;
    }

    Vec take(Entries<OWN>& at) {
        Vec g2 = at.g * at.g, mean = all(0), total = all(0);
        for (int k = 0; k < K_; k++) {
            float* place = bank_ + k * size_of_row_ + at.place;
            __builtin_prefetch(place + ahead_, 0, 2);
            Vec v = mix(load_some(place, at.some), g2, gains_[k]), x = v + floor_;
            store_first(place, v, at.some);
            mean = fma(all(weights_[k]), quick_log_of(x), mean);
            total = total + x;
        }
        Vec geometric = where_less(total, all(INFINITY), exp_of(mean), total);  // infinite, or not a number, if one of them is
        at.E = larger(geometric - floor_, all(1e-38f)) * w_;  // never quite 0, so that g = 0 takes no step where ε = 0 too
        return denominator(step_, at.E, w_);
    }

    double beta() {
        double mean = 0;
        for (int k = 0; k < K_; k++) mean += W_[k] * betas_[k];
        return mean < LARGEST ? mean : LARGEST;
    }

private:
    static constexpr float CAP = 20;
    static constexpr double LARGEST = 1 - 1.1102230246251565e-16;  // the number before 1

    static constexpr long PIECE = 64 * LANES;

    // The sum of a memory's losses over a piece of a row; not finite where v isn't. The logarithm is that of a product of mantissas.
    double loss(const float* g2, const float* v, long count) {
        Vec ratios = all(0), mantissas = all(1), exponents = all(0), most = all(0);
        for (long i = 0; i < count; i += LANES) {
            Vec x = first(load_some(v + i, count - i) + floor_, count - i, 1);
            __builtin_prefetch(v + i + PIECE);  // the next piece
            auto [m, e] = split(x);
            ratios = ratios + smaller(load(g2 + i) / x, all(CAP));
            mantissas = mantissas * m, exponents = exponents + e, most = larger(most, x);
        }
        return (double)sum(ratios + most * all(0)) + sum(log_of(mantissas)) + sum(exponents) * 0.6931471805599453;
    }

    // The same, where entries that are not finite say nothing about any memory.
    double loss_of_finite(const Row& row, const float* v) {
        Total total;
        for (long i = 0; i < row.size; i += LANES) {
            long some = row.size - i;
            Vec g = load_some(row.g + i, some), g2 = g * g, x = first(load_some(v + i, some) + floor_, some, 1);
            Vec loss = smaller(g2 / x, all(CAP)) + log_of(x);
            total.add(where_less((g2 + loss) * all(0), all(1), loss, all(0)));
        }
        return total.value();
    }

    const LawStep& step_;
    int K_;
    double *W_, rate_, fixed_share_;
    Vec floor_, w_ = all(1);
    const double* betas_;
    std::vector<double> losses_;
    std::vector<float> gains_, weights_;
    float* bank_ = nullptr;
    long size_of_row_ = 0, ahead_ = 0;  // to what is fetched beforehand: the next run's, or the next piece
    bool is_last_;
    double size_ = 0;
};

}  // namespace
