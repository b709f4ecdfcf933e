"""One torch thread a test process: small products are slower with more, and two processes run side by side."""

import torch

torch.set_num_threads(1)
