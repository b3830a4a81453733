"""A cluster of two nodes on this machine; one is killed while it trains. Run by a test, in a process of its
own."""

import sys
import threading
import time
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from attnlab.cli.train import train

JOBS = [
    "attention=hard_reinforce",
    "seed=0,1,2,3",
    "model.hidden_size=32",
    "trainer.max_steps=2000",
    "checkpoint_every=50",
    "task.validation_examples=50",
    "task.test_examples=50",
]


def main(runs: Path) -> int:
    """Train four jobs on two nodes of two jobs each, and kill the second node once its jobs have
    checkpoints."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    second = cluster.add_node(num_cpus=2)
    ray.init(address=cluster.address, log_to_driver=False)

    def kill() -> None:
        while len(list(runs.rglob("last.ckpt"))) < 4:
            time.sleep(0.2)
        cluster.remove_node(second, allow_graceful=False)
        print("killed a node", flush=True)

    threading.Thread(target=kill, daemon=True).start()
    code = train(["-m", "hydra/launcher=ray", *JOBS, f"runs_dir={runs}"], None)
    ray.shutdown()
    cluster.shutdown()
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
