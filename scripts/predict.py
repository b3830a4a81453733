"""Ask a finished run about new sources: its outputs, one a line."""

import sys

from attnlab import interruption

if __name__ == "__main__":
    interruption.answer()  # before anything that takes time is imported
    from attnlab.cli import predict

    sys.exit(predict.predict(sys.argv[1:], predict.__doc__))
