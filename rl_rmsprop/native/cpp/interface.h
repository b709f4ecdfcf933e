// What Python hands to the kernel; rl_rmsprop/native/library.py has the same structures, field by field. Axes as in agents/experience.py.

#pragma once
#include <cstdint>

// R networks and their gradients, a row of θ for every run.
struct Networks {
    const int* widths;
    int layers;
    const float* theta;  // [R, stride]
    long stride;
    const float* gain;  // [O] or null
    float* gradient;    // [R, gradient_stride]
    long gradient_stride;
    long parameters;  // numbers of a run's θ
};

struct Policy {
    long runs;
    Networks actor, critic;
    int heads;  // choices of an action; 0 for real actions
    const int* sizes;
    long outputs;
};

struct Rollout {
    long steps, envs;
    const float* observations;    // [T + 1, R, N, O]
    const std::int64_t* chosen;   // [T, R, N, heads], or null
    const float* actions;         // [T, R, N, A], or null
    const float* rewards;         // [T, R, N]
    const std::uint8_t *terminated, *truncated, *valid;
};

struct Settings {
    float gamma, gae_lambda, reward_scale;
    double vf_coef, ent_coef, clip_range;
    int normalize_advantage;
    double max_grad_norm;  // to which a run's gradient is scaled down; infinite for never
};

// A rollout as PPO learns from it, run by run, with what the networks computed before its first update.
struct Prepared {
    long rows;                                  // B = T · N
    float *observations;                        // [R, B, O]
    std::int64_t* chosen;                       // [R, B, heads]
    float* actions;                             // [R, B, A]
    std::uint8_t* valid;                        // [R, B]
    float *log_prob, *advantage, *returns;      // [R, B]
};

// A step of RMSProp: tensors [R, P], their rows so many numbers apart, and a number a run.
struct Rmsprop {
    long runs, size;
    float* p;
    long p_stride;
    const float* g;
    long g_stride;
    float* E;
    long E_stride;
    const float *decay, *share;  // [R] β and 1 − β
    const float* weight;         // [R] w, or null
    float lr, eps;
    int eps_in_sqrt, interpolates;
};

// A parameter [R, P] under a law, and what the law stores of it, side by side.
struct LawParameter {
    static constexpr int MOST = 6;
    long size;
    float* p;
    long p_stride;
    const float* g;
    long g_stride;
    float* E;              // [R, P]
    float* entries[MOST];  // [R, P] each, or [R, K, P]
    double* weight;        // [R] w, if all entries have the same
    double* numbers;       // [R] or [R, K]
};

// A step of a law.
struct LawStep {
    long runs;
    int count;
    const LawParameter* parameters;
    int bank;  // K; 1 without one
    float lr, eps;
    int eps_in_sqrt, bias_correction;
    const double* settings;  // the law's
    double* state;           // [R] or [R, K], of all parameters together
    double* beta;            // [R] the mean, written
};

// R × N environments of classic control; what they hold is envs/classic_control/batch.py's.
struct Environments {
    long envs, time_limit;
    double* state;            // [S, R · N]
    std::int64_t* lengths;    // [R · N] steps of the episode
    std::uint8_t* done;       // [R · N] whose next call only resets
    const double* values;     // the dynamics, in the order of the equations' text
    void** generators;        // [R] states of NumPy's generators
    double (*uniform)(void*);  // the next number of one, in [0, 1)
};

// What acting is given and what it records; observations[0] are those of now.
struct Recorded {
    const float* noise;   // [T, R, N, A]
    float* outputs;       // [T, R, N, A] the network's
    float* observations;  // [T + 1, R, N, O]
    std::int64_t* chosen;  // [T, R, N]
    float* rewards;
    std::uint8_t *terminated, *truncated, *valid;
};
