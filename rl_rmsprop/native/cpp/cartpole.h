// CartPole in double precision, operation by operation as in envs/classic_control/cartpole.py, which has the equations.

#pragma once
#include <cmath>

struct CartPole {
    static constexpr int SIZE = 4;  // numbers of a state: x, ẋ, θ, θ̇

    double gravity, force_mag, length, masspole, masscart, tau, push, total_mass, polemass_length;

    explicit CartPole(const double* values)
        : gravity(values[0]), force_mag(values[1]), length(values[2]), masspole(values[3]), masscart(values[4]), tau(values[5]),
          push(values[6]), total_mass(masspole + masscart), polemass_length(masspole * length) {}

    // A state at the start of an episode.
    template <class Uniform>
    void start(double* state, Uniform uniform) const {
        for (int i = 0; i < SIZE; i++) state[i] = -0.05 + (0.05 - -0.05) * uniform();
    }

    // One step; returns whether it terminates the episode. The reward is 1.
    bool step(double* state, std::int64_t action) const {
        double cos = std::cos(state[2]), sin = std::sin(state[2]);
        double force = force_mag * (action ? 1.0 : -1.0);
        if (push != 0) force = force + push;
        double temp = (force + polemass_length * (state[3] * state[3]) * sin) / total_mass;
        double theta_acc = gravity * sin - cos * temp;
        double denominator = length * (4.0 / 3.0 - masspole * (cos * cos) / total_mass);
        theta_acc = theta_acc / denominator;
        temp = temp - polemass_length * theta_acc * cos / total_mass;
        state[0] = state[0] + tau * state[1];
        state[2] = state[2] + tau * state[3];
        state[1] = state[1] + tau * temp;
        state[3] = state[3] + tau * theta_acc;
        return std::fabs(state[0]) > 2.4 || std::fabs(state[2]) > 12 * 2 * 3.14159265358979323846 / 360;
    }
};
