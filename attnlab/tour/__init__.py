"""argmax, hardmax, softmax, softargmax and beta in numbers and pictures: `scripts/tour.py`.

Reading order: example (the worked numbers), figures, training (why argmax has no gradient), arrows (what each
mechanism does about it), page with page.html, mathematics.js and sliders.js, board, command.
"""
