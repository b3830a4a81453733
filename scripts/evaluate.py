"""Measure a finished run again, as it was trained or under other settings.

  python scripts/evaluate.py runs/reverse/soft/default-12345678
  python scripts/evaluate.py RUN attention.evaluate_as=argmax
  python scripts/evaluate.py RUN task.shortest=11 task.longest=20

RUN is the folder of a run that is done. Nothing in it changes. Without more,
the figures are those at the end of training, to the digit.

KEY=VALUE changes a setting for this measurement: how the trained attention is
read (attention.evaluate_as), the length of made data (task.shortest and
task.longest), the files of task=pairs (task.val, task.test), where it is
computed (trainer.accelerator). What is not named stays as in the config.yaml
of the run; groups stay too, since another attention or model would have to be
trained first.

Code that a run names is looked up only where it is attnlab's own: for a run of
yours, --trust PACKAGE (or --config-dir DIR, the folder that names it) says so.

The keys of attention and task are listed below; those of another choice by
naming it: python scripts/evaluate.py attention=hard_reinforce --help. The keys
of all groups are listed by python scripts/train.py --help.
"""

import sys

from attnlab.cli.evaluate import evaluate

if __name__ == "__main__":
    sys.exit(evaluate(sys.argv[1:], __doc__))
