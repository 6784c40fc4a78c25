"""A process of a training in several: gpu_worker.py BACKEND DEVICE_TARGET. Prints the loss after a few steps."""

import sys
from typing import Literal

from torch import distributed

from gpu_checks import config_of_check
from gpu_result import Plan
from workload import batches_of, engine_of

backend = sys.argv[1]
device_target: Literal["CPU", "GPU"] = "GPU" if sys.argv[2] == "GPU" else "CPU"
initialize = distributed.init_process_group
# Without a choice the engine takes nccl, which refuses several processes on one GPU.
distributed.init_process_group = lambda *_args: initialize(backend)

config = config_of_check(
    Plan.toy()._replace(device_target=device_target), method="repair", batch_size=8, augment_num=64
)
engine = engine_of(config)
if engine.workers == 1:
    initialize(backend)
loss = [engine.step(batch, 1e-3) for batch in batches_of(engine, config)][-1]
distributed.all_reduce(loss, distributed.ReduceOp.AVG if backend == "nccl" else distributed.ReduceOp.MAX)
print(f"{float(loss):.6f}")
distributed.destroy_process_group()
