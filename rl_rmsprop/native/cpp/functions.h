// Functions of sixteen numbers, each number rounded by itself and the same with every instruction set.

namespace VECTOR_NAMESPACE {

// tanh as a ratio of polynomials, within five units in the last place. Coefficients: Eigen (MathFunctionsImpl.h), as in XLA.
INLINE Vec tanh_of(Vec x) {
    x = larger(smaller(x, all(7.90531110763549805f)), all(-7.90531110763549805f));
    Vec s = x * x;
    Vec p = fma(s, all(-2.76076847742355e-16f), all(2.00018790482477e-13f));
    p = fma(s, p, all(-8.60467152213735e-11f));
    p = fma(s, p, all(5.12229709037114e-08f));
    p = fma(s, p, all(1.48572235717979e-05f));
    p = fma(s, p, all(6.37261928875436e-04f));
    p = fma(s, p, all(4.89352455891786e-03f));
    Vec q = fma(s, all(1.19825839466702e-06f), all(1.18534705686654e-04f));
    q = fma(s, q, all(2.26843463243900e-03f));
    q = fma(s, q, all(4.89352518554385e-03f));
    return x * p / q;
}

// 2ⁿ a, for whole numbers n in whole_n = n + MAGIC.
constexpr float MAGIC = 12582912.0f;  // 1.5 · 2²³: what is added to it is rounded to a whole number, in its last bits
INLINE Vec times_power_of_two(Vec a, Vec whole_n) {
    float numbers[LANES], n[LANES];
    store(numbers, a);
    store(n, whole_n);
    for (int i = 0; i < LANES; i++) {
        std::uint32_t bits, of_magic = 0x4b400000u;
        std::memcpy(&bits, n + i, sizeof bits);
        bits = (bits - of_magic + 127u) << 23;
        float power;
        std::memcpy(&power, &bits, sizeof bits);
        numbers[i] *= power;
    }
    return load(numbers);
}

// eˣ, for x from −87 to 88, where it stays beyond. Cody & Waite's reduction and Cephes' polynomial (expf.c).
INLINE Vec exp_of(Vec x) {
    x = larger(smaller(x, all(88.0f)), all(-87.0f));
    Vec whole = fma(x, all(1.44269504088896341f), all(MAGIC)), n = whole - all(MAGIC);
    Vec r = fma(n, all(-0.693359375f), x);
    r = fma(n, all(2.12194440e-4f), r);
    Vec p = fma(r, all(1.9875691500e-4f), all(1.3981999507e-3f));
    p = fma(p, r, all(8.3334519073e-3f));
    p = fma(p, r, all(4.1665795894e-2f));
    p = fma(p, r, all(1.6666665459e-1f));
    p = fma(p, r, all(5.0000001201e-1f));
    p = fma(p * r, r, r) + all(1);
    return times_power_of_two(p, whole);
}

// x = 2ᵉ m for positive normal x, m from √½ to √2.
struct Split { Vec m, e; };

INLINE Split split(Vec x) {
    float numbers[LANES], exponents[LANES];
    store(numbers, x);
    for (int i = 0; i < LANES; i++) {
        std::uint32_t bits;
        std::memcpy(&bits, numbers + i, sizeof bits);
        std::uint32_t above = bits - 0x3f3504f3u;  // √½
        exponents[i] = (float)((std::int32_t)above >> 23);
        bits = (above & 0x007fffffu) + 0x3f3504f3u;
        std::memcpy(numbers + i, &bits, sizeof bits);
    }
    return {load(numbers), load(exponents)};
}

// ln x, for positive normal x, infinity and what is not a number. Cephes' polynomial (logf.c).
INLINE Vec log_of(Vec x) {
    auto [mantissa, e] = split(x);
    Vec m = mantissa - all(1), s = m * m;
    Vec p = fma(m, all(7.0376836292e-2f), all(-1.1514610310e-1f));
    p = fma(p, m, all(1.1676998740e-1f));
    p = fma(p, m, all(-1.2420140846e-1f));
    p = fma(p, m, all(1.4249322787e-1f));
    p = fma(p, m, all(-1.6668057665e-1f));
    p = fma(p, m, all(2.0000714765e-1f));
    p = fma(p, m, all(-2.4999993993e-1f));
    p = fma(p, m, all(3.3333331174e-1f));
    p = p * m * s;
    p = fma(e, all(-2.12194440e-4f), p);
    p = fma(s, all(-0.5f), p);
    return where_less(x, all(INFINITY), fma(e, all(0.693359375f), m + p), x);
}

// ln x by fewer operations, within 2e-7 or the spacing of ln x, for positive normal x: 2 artanh((m − 1)/(m + 1)) + e ln 2, the last
// coefficient chosen for the interval.
INLINE Vec quick_log_of(Vec x) {
    auto [m, e] = split(x);
    Vec s = (m - all(1)) / (m + all(1)), s2 = s * s;
    return fma(e, all(0.693147180559945f), s * fma(s2, fma(s2, all(0.412875032f), all(0.66653427f)), all(2)));
}

// Of one number in double precision, by series: libm's last bits depend on the processor.

INLINE double exp_of(double x) {
    if (!(x > -700)) return x != x ? x : 0;
    if (x > 700) return INFINITY;
    double n = std::floor(x * 1.4426950408889634 + 0.5), r = x - n * 0.693145751953125 - n * 1.4286068203094173e-06, series = 1;
    for (int k = 14; k > 0; k--) series = 1 + series * r / k;
    return std::ldexp(series, (int)n);
}

INLINE double log_of(double x) {
    if (!(x > 0) || x > 1.7976931348623157e308) return x < 0 ? NAN : x == 0 ? -INFINITY : x;
    int e;
    double m = std::frexp(x, &e);
    if (m < 0.7071067811865476) m *= 2, e--;
    double s = (m - 1) / (m + 1), s2 = s * s, series = 0;
    for (int k = 27; k > 0; k -= 2) series = series * s2 + 1.0 / k;
    return 2 * s * series + e * 0.6931471805599453;
}

}  // namespace
