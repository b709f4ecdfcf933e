// Returns and lengths of episodes while they run (agents/episodes.py), time after time.

#pragma once
#include <cmath>
#include <cstdint>

// Adds T steps of K environments; writes a row for each episode that ends with a finite return, and returns how many there are.
inline long track_episodes(long steps, long count, const float* rewards, const std::uint8_t* done, const std::uint8_t* valid,
                           double* returns, std::int64_t* lengths, std::int64_t* time, std::int64_t* environment,
                           double* episode_return, std::int64_t* length) {
    long ended = 0;
    for (long t = 0; t < steps; t++)
        for (long k = 0; k < count; k++) {
            long i = t * count + k;
            returns[k] += rewards[i];
            lengths[k] += valid[i];
            if (!done[i]) continue;
            if (std::isfinite(returns[k])) {
                time[ended] = t, environment[ended] = k;
                episode_return[ended] = returns[k], length[ended++] = lengths[k];
            }
            returns[k] = 0, lengths[k] = 0;
        }
    return ended;
}
