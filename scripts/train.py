"""Train one model: python scripts/train.py [overrides].

python scripts/train.py attention=soft
python scripts/train.py attention=hard_reinforce attention.baseline=self_critical seed=1
python scripts/train.py task=pairs task.train=a.tsv task.val=b.tsv task.test=c.tsv trainer.max_epochs=12
"""

import sys

from attnlab.commands import train

if __name__ == "__main__":
    sys.exit(train(sys.argv[1:], __doc__))
