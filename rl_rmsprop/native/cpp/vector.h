// Sixteen numbers in single precision at once, on whatever vectors the processor has.
//
// Every operation rounds each number by itself, as IEEE 754 says, and `sum` adds in one order. So an expression of `Vec`s has the
// same bits with vectors of 128, 256 and 512 bits and without any. The compiler must not contract a·b + c by itself
// (-ffp-contract=off): where one rounding is wanted, `fma` says so.
//
// Included once for each instruction set: VECTOR_AVX512, VECTOR_AVX2, VECTOR_NEON or nothing is defined then.

namespace VECTOR_NAMESPACE {

constexpr int LANES = 16;

#define INLINE static inline __attribute__((always_inline))

#if defined(VECTOR_AVX512)

struct Vec { __m512 v; };
INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
INLINE void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
INLINE Vec all(float x) { return {_mm512_set1_ps(x)}; }
INLINE Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
INLINE Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
INLINE Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
INLINE Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
INLINE Vec root(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
// The smaller and the larger, and a where one of them is not a number.
INLINE Vec smaller(Vec a, Vec b) { return {_mm512_min_ps(b.v, a.v)}; }
INLINE Vec larger(Vec a, Vec b) { return {_mm512_max_ps(b.v, a.v)}; }
// `yes` where a is less than b, else `no`, also where one of them is not a number.
INLINE Vec where_less(Vec a, Vec b, Vec yes, Vec no) {
    return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), no.v, yes.v)};
}
INLINE float sum(Vec a) {
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a.v), 1)));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}

#elif defined(VECTOR_AVX2)

struct Vec { __m256 a, b; };
INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
INLINE void store(float* p, Vec x) { _mm256_storeu_ps(p, x.a); _mm256_storeu_ps(p + 8, x.b); }
INLINE Vec all(float x) { __m256 v = _mm256_set1_ps(x); return {v, v}; }
INLINE Vec operator+(Vec x, Vec y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
INLINE Vec operator-(Vec x, Vec y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
INLINE Vec operator*(Vec x, Vec y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
INLINE Vec operator/(Vec x, Vec y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
INLINE Vec fma(Vec x, Vec y, Vec z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
INLINE Vec root(Vec x) { return {_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)}; }
INLINE Vec smaller(Vec x, Vec y) { return {_mm256_min_ps(y.a, x.a), _mm256_min_ps(y.b, x.b)}; }
INLINE Vec larger(Vec x, Vec y) { return {_mm256_max_ps(y.a, x.a), _mm256_max_ps(y.b, x.b)}; }
INLINE Vec where_less(Vec x, Vec y, Vec yes, Vec no) {
    __m256 a = _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ), b = _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ);
    return {_mm256_blendv_ps(no.a, yes.a, a), _mm256_blendv_ps(no.b, yes.b, b)};
}
INLINE float sum(Vec x) {
    __m256 h = _mm256_add_ps(x.a, x.b);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}

#elif defined(VECTOR_NEON)

struct Vec { float32x4_t q[4]; };
#define EACH(expression) Vec r; for (int i = 0; i < 4; i++) r.q[i] = expression; return r
INLINE Vec load(const float* p) { EACH(vld1q_f32(p + 4 * i)); }
INLINE void store(float* p, Vec a) { for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, a.q[i]); }
INLINE Vec all(float x) { EACH(vdupq_n_f32(x)); }
INLINE Vec operator+(Vec a, Vec b) { EACH(vaddq_f32(a.q[i], b.q[i])); }
INLINE Vec operator-(Vec a, Vec b) { EACH(vsubq_f32(a.q[i], b.q[i])); }
INLINE Vec operator*(Vec a, Vec b) { EACH(vmulq_f32(a.q[i], b.q[i])); }
INLINE Vec operator/(Vec a, Vec b) { EACH(vdivq_f32(a.q[i], b.q[i])); }
INLINE Vec fma(Vec a, Vec b, Vec c) { EACH(vfmaq_f32(c.q[i], a.q[i], b.q[i])); }
INLINE Vec root(Vec a) { EACH(vsqrtq_f32(a.q[i])); }
INLINE Vec smaller(Vec a, Vec b) { EACH(vbslq_f32(vcgtq_f32(a.q[i], b.q[i]), b.q[i], a.q[i])); }
INLINE Vec larger(Vec a, Vec b) { EACH(vbslq_f32(vcltq_f32(a.q[i], b.q[i]), b.q[i], a.q[i])); }
INLINE Vec where_less(Vec a, Vec b, Vec yes, Vec no) { EACH(vbslq_f32(vcltq_f32(a.q[i], b.q[i]), yes.q[i], no.q[i])); }
INLINE float sum(Vec a) {
    float32x4_t q = vaddq_f32(vaddq_f32(a.q[0], a.q[2]), vaddq_f32(a.q[1], a.q[3]));
    return (vgetq_lane_f32(q, 0) + vgetq_lane_f32(q, 2)) + (vgetq_lane_f32(q, 1) + vgetq_lane_f32(q, 3));
}
#undef EACH

#else

struct Vec { float x[LANES]; };
#define EACH(expression) Vec r; for (int i = 0; i < LANES; i++) r.x[i] = expression; return r
INLINE Vec load(const float* p) { Vec r; std::memcpy(r.x, p, sizeof r.x); return r; }
INLINE void store(float* p, Vec a) { std::memcpy(p, a.x, sizeof a.x); }
INLINE Vec all(float x) { EACH(x); }
INLINE Vec operator+(Vec a, Vec b) { EACH(a.x[i] + b.x[i]); }
INLINE Vec operator-(Vec a, Vec b) { EACH(a.x[i] - b.x[i]); }
INLINE Vec operator*(Vec a, Vec b) { EACH(a.x[i] * b.x[i]); }
INLINE Vec operator/(Vec a, Vec b) { EACH(a.x[i] / b.x[i]); }
INLINE Vec fma(Vec a, Vec b, Vec c) { EACH(std::fma(a.x[i], b.x[i], c.x[i])); }
INLINE Vec root(Vec a) { EACH(std::sqrt(a.x[i])); }
INLINE Vec smaller(Vec a, Vec b) { EACH(b.x[i] < a.x[i] ? b.x[i] : a.x[i]); }
INLINE Vec larger(Vec a, Vec b) { EACH(b.x[i] > a.x[i] ? b.x[i] : a.x[i]); }
INLINE Vec where_less(Vec a, Vec b, Vec yes, Vec no) { EACH(a.x[i] < b.x[i] ? yes.x[i] : no.x[i]); }
INLINE float sum(Vec a) {
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) a.x[i] += a.x[i + half];
    return a.x[0];
}
#undef EACH

#endif

}  // namespace
