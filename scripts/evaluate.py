"""Measure a finished run again: python scripts/evaluate.py RUN [overrides].

    python scripts/evaluate.py runs/reverse/soft/default-12345678
    python scripts/evaluate.py RUN attention.evaluate_as=argmax
    python scripts/evaluate.py RUN task.shortest=11 task.longest=20
    python scripts/evaluate.py RUN task.test=other.tsv

RUN is the folder of a run that is done. Overrides change settings of its configuration: the evaluation rule, the data, the
length. Without any, the figures are those at the end of training, to the digit. Nothing in the folder changes.
"""

import sys

from attnlab.commands import evaluate

if __name__ == "__main__":
    sys.exit(evaluate(sys.argv[1:], __doc__))
