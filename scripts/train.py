"""Train one model, or with -m several, and measure each on held-out data.

  python scripts/train.py attention=soft
  python scripts/train.py attention=hard_reinforce attention.samples=8 seed=1
  python scripts/train.py -m attention=soft,hard_reinforce seed=0,1,2

A run is kept in runs/<task>/<attention>/, in a folder named by what differs
from the defaults: configuration, figures, checkpoints, log, and events for
TensorBoard. The same command typed again prints the result of a finished run,
goes on with an interrupted one, and tries a failed one again. Whatever cannot
be, a typo or a value out of range, is refused before anything is written.

  -h, --help          this page; the groups named beside it choose whose keys
                      it lists
  -m, --multirun      a sweep: every combination of the values named with
                      commas; hydra/launcher=joblib hydra.launcher.n_jobs=4
                      runs four at a time
  --config-dir DIR    a folder with choices of your own: DIR/attention/mine.yaml
                      is attention=mine
  --cfg job           print the whole configuration and stop

The Tab key completes groups, choices and keys in bash, once you have typed:

  eval "$(python scripts/train.py -sc install=bash)"
"""

import sys

from attnlab.cli.train import train

if __name__ == "__main__":
    sys.exit(train(sys.argv[1:], __doc__))
