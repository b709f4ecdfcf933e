// The compiled kernel: passes of multilayer perceptrons for each instruction set of the processor, behind a plain C interface.
//
// One file, because flags that allow an instruction set belong to a whole file: here a pragma allows them to a part. Python finds the
// functions by their names (rl_rmsprop/native/library.py), so that one library serves every version of Python.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "cartpole.h"
#include "episodes.h"
#include "interface.h"

#define TEXT(x) #x
#if defined(__clang__)
#define WITH(features) _Pragma(TEXT(clang attribute push(__attribute__((target(features))), apply_to = function)))
#define END_WITH _Pragma("clang attribute pop")
#else
#define WITH(features) _Pragma("GCC push_options") _Pragma(TEXT(GCC target(features)))
#define END_WITH _Pragma("GCC pop_options")
#endif

#if defined(__x86_64__)
WITH("avx512f,avx512dq,avx2,fma")
#define VECTOR_NAMESPACE avx512
#define VECTOR_AVX512
#include "instruction_set.h"
#undef VECTOR_AVX512
#undef VECTOR_NAMESPACE
END_WITH
WITH("avx2,fma")
#define VECTOR_NAMESPACE avx2
#define VECTOR_AVX2
#include "instruction_set.h"
#undef VECTOR_AVX2
#undef VECTOR_NAMESPACE
END_WITH
#elif defined(__aarch64__)
#define VECTOR_NAMESPACE neon
#define VECTOR_NEON
#include "instruction_set.h"
#undef VECTOR_NEON
#undef VECTOR_NAMESPACE
#endif
#define VECTOR_NAMESPACE plain
#include "instruction_set.h"

namespace {

thread_local std::vector<float> kept;  // memory of one run

// The functions in a namespace; a network is its widths, as many as layers and one.
struct Functions {
    const char* name;
    bool (*is_supported)();
    void (*pack)(const int*, int, long, const float*, long, const float*, float*);
    void (*forward)(const int*, int, long, long, float*, const float*, float*, float*);
    void (*backward)(const int*, int, long, long, float*, const float*, const float*, const float*, const float*, float*, long, float*);
    void (*a2c)(const Policy&, const Rollout&, const Settings&, float*, std::vector<float>&);
    void (*ppo_prepare)(const Policy&, const Rollout&, const Settings&, const Prepared&, float*, std::vector<float>&);
    void (*ppo)(const Policy&, const Prepared&, const Settings&, const std::int64_t*, long, long, float*, std::vector<float>&);
    void (*rmsprop)(const Rmsprop&);
    void (*smorms3)(const LawStep&);
    void (*maxva)(const LawStep&);
    void (*adasmooth)(const LawStep&);
    void (*hypergradient)(const LawStep&);
    void (*mixture)(const LawStep&);
    void (*act_in_cartpole)(const Policy&, const Environments&, const Recorded&, long, std::vector<float>&);
};

#define FUNCTIONS(name, is_supported)                                                                                        \
    {                                                                                                                        \
        #name, is_supported,                                                                                                 \
        [](const int* widths, int layers, long runs, const float* theta, long stride, const float* gain, float* packed) {    \
            name::pack_runs({widths, layers}, runs, theta, stride, gain, packed);                                            \
        },                                                                                                                   \
        [](const int* widths, int layers, long runs, long rows, float* packed, const float* x, float* hidden, float* y) {    \
            name::forward_runs({widths, layers}, runs, rows, packed, x, hidden, y);                                          \
        },                                                                                                                   \
        [](const int* widths, int layers, long runs, long rows, float* packed, const float* gain, const float* x,            \
           const float* hidden, const float* delta, float* gradient, long stride, float* work) {                             \
            name::backward_runs({widths, layers}, runs, rows, packed, gain, x, hidden, delta, gradient, stride, work);       \
        },                                                                                                                   \
        name::a2c, name::ppo_prepare, name::ppo, name::rmsprop,                                                              \
        name::step_by<name::Smorms3>, name::step_by<name::MaxVA>, name::step_by<name::AdaSmooth>,                            \
        name::step_by<name::Hypergradient>, name::step_by<name::Mixture>, name::act<CartPole>,                               \
    }

// The quickest first.
const Functions ALL[] = {
#if defined(__x86_64__)
    FUNCTIONS(avx512, [] { return (bool)__builtin_cpu_supports("avx512f") && (bool)__builtin_cpu_supports("avx512dq"); }),
    FUNCTIONS(avx2, [] { return (bool)__builtin_cpu_supports("avx2") && (bool)__builtin_cpu_supports("fma"); }),
#elif defined(__aarch64__)
    FUNCTIONS(neon, [] { return true; }),
#endif
    FUNCTIONS(plain, [] { return true; }),
};
constexpr int COUNT = sizeof ALL / sizeof *ALL;

}  // namespace

extern "C" {

// The name of an instruction set, by its number from 0; null if there is none, empty if this processor lacks it.
const char* instruction_set(int number) {
    if (number < 0 || number >= COUNT) return nullptr;
    return ALL[number].is_supported() ? ALL[number].name : "";
}

// Sizes of the memory that the functions below are to be given, in numbers; those of hidden layers and packed weights are a run's.
long packed_size(const int* widths, int layers) { return plain::Network{widths, layers}.packed_size(); }
long hidden_size(const int* widths, int layers, long rows) { return plain::Network{widths, layers}.hidden_size(layers, rows); }
long work_size(const int* widths, int layers, long rows) { return plain::work_size({widths, layers}, rows); }

void network_pack(int set, const int* widths, int layers, long runs, const float* theta, long stride, const float* gain, float* packed) {
    ALL[set].pack(widths, layers, runs, theta, stride, gain, packed);
}

void network_forward(int set, const int* widths, int layers, long runs, long rows, float* packed, const float* x, float* hidden, float* y) {
    ALL[set].forward(widths, layers, runs, rows, packed, x, hidden, y);
}

void network_backward(int set, const int* widths, int layers, long runs, long rows, float* packed, const float* gain, const float* x,
                      const float* hidden, const float* delta, float* gradient, long stride, float* work) {
    ALL[set].backward(widths, layers, runs, rows, packed, gain, x, hidden, delta, gradient, stride, work);
}

void a2c_gradient(int set, const Policy* policy, const Rollout* rollout, const Settings* settings, float* statistics) {
    ALL[set].a2c(*policy, *rollout, *settings, statistics, kept);
}

void ppo_prepare(int set, const Policy* policy, const Rollout* rollout, const Settings* settings, const Prepared* prepared, float* statistics) {
    ALL[set].ppo_prepare(*policy, *rollout, *settings, *prepared, statistics, kept);
}

void ppo_gradient(int set, const Policy* policy, const Prepared* prepared, const Settings* settings, const std::int64_t* order, long pitch,
                  long count, float* statistics) {
    ALL[set].ppo(*policy, *prepared, *settings, order, pitch, count, statistics, kept);
}

void rmsprop_step(int set, const Rmsprop* step) { ALL[set].rmsprop(*step); }
void smorms3_step(int set, const LawStep* step) { ALL[set].smorms3(*step); }
void maxva_step(int set, const LawStep* step) { ALL[set].maxva(*step); }
void adasmooth_step(int set, const LawStep* step) { ALL[set].adasmooth(*step); }
void hypergradient_step(int set, const LawStep* step) { ALL[set].hypergradient(*step); }
void mixture_step(int set, const LawStep* step) { ALL[set].mixture(*step); }

void act_in_cartpole(int set, const Policy* policy, const Environments* environments, const Recorded* recorded, long steps) {
    ALL[set].act_in_cartpole(*policy, *environments, *recorded, steps, kept);
}

long episodes(long steps, long count, const float* rewards, const std::uint8_t* done, const std::uint8_t* valid, double* returns,
              std::int64_t* lengths, std::int64_t* time, std::int64_t* environment, double* episode_return, std::int64_t* length) {
    return track_episodes(steps, count, rewards, done, valid, returns, lengths, time, environment, episode_return, length);
}
}
