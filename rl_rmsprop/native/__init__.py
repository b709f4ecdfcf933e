"""Compiled code, for what takes most of a training's time: C++ in cpp/, found and called by library.py.

    cpp/vector.h      sixteen numbers at once, with the same bits on every processor
    cpp/functions.h   tanh, exp, ln of them
    cpp/network.h     the passes of a multilayer perceptron               agents/kernels/native_kernel.py
    cpp/losses.h      losses of policy gradients, and their gradients
    cpp/agents.h      the gradients of A2C, REINFORCE and PPO             agents/kernels/native_losses.py
    cpp/rmsprop.h     a step of RMSProp of many runs                      rl_rmsprop/kernels/native_step.py
    cpp/laws.h        steps of laws                                       rl_rmsprop/kernels/native_laws.py
    cpp/acting.h      acting in environments that are stepped there       agents/kernels/native_acting.py
    cpp/cartpole.h    CartPole                                            envs/classic_control/cartpole.py
    cpp/episodes.h    returns and lengths of episodes                     agents/episodes.py
    cpp/kernel.cpp    all of it for each instruction set, as plain C functions

It is built when the package is installed, if a C++ compiler is there; without it everything is computed by torch.
"""
