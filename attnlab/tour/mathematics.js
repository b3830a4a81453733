"use strict";
// The mathematics behind the sliders, as pure functions over arrays of S numbers; logits z = beta * scores.
// What is read is an index, the weights . positions; cost has value(index) and slope(index), its derivative.

const sum = (x) => x.reduce((total, each) => total + each, 0);
const dot = (x, y) => sum(x.map((each, i) => each * y[i]));
const positions = (z) => z.map((_, i) => i);
const argmax = (z) => z.indexOf(Math.max(...z));
const oneHot = (position, z) => z.map((_, i) => Number(i === position));
const hardmax = (z) => oneHot(argmax(z), z);
const plus = (z, noise) => z.map((each, i) => each + noise[i]);

/** p_i = exp(z_i) / sum_j exp(z_j). */
function softmax(z) {
  const top = Math.max(...z);
  const powers = z.map((each) => Math.exp(each - top));
  return powers.map((each) => each / sum(powers));
}

/** p_i = max(0, z_i - tau), tau such that p sums to 1. */
function sparsemax(z) {
  const ordered = [...z].sort((a, b) => b - a);
  let tau = 0;
  ordered.forEach((each, k) => {
    const total = sum(ordered.slice(0, k + 1));
    if (1 + (k + 1) * each > total) tau = (total - 1) / (k + 1);
  });
  return z.map((each) => Math.max(0, each - tau));
}

/** p_i = max(0, z_i / 2 - tau)^2, tau such that p sums to 1. */
function entmax15(z) {
  const halves = z.map((each) => (each - Math.max(...z)) / 2);
  const ordered = [...halves].sort((a, b) => b - a);
  let tau = 0;
  ordered.forEach((each, k) => {
    const head = ordered.slice(0, k + 1);
    const mean = sum(head) / (k + 1);
    const spread = sum(head.map((one) => (one - mean) ** 2));
    const threshold = mean - Math.sqrt(Math.max(0, (1 - spread) / (k + 1)));
    if (threshold <= each) tau = threshold;
  });
  return halves.map((each) => Math.max(0, each - tau) ** 2);
}

/** Gradient by z of a function whose gradient by p is g: r_i (g_i - r . g / sum r), where r says how p_i moves with z_i. */
const pull = (r, g) => r.map((each, i) => each * (g[i] - dot(r, g) / sum(r)));

const DISTRIBUTIONS = {
  softmax: { probs: softmax, rates: (p) => p },
  entmax15: { probs: entmax15, rates: (p) => p.map(Math.sqrt) },
  sparsemax: { probs: sparsemax, rates: (p) => p.map((each) => Number(each > 0)) },
  hardmax: { probs: hardmax, rates: null },
};

/** Gradient by z of the expected cost sum_i p_i cost(i): every position is tried. Zero for the hardmax, which never moves. */
function expectedGradient(distribution, z, cost) {
  const { probs, rates } = DISTRIBUTIONS[distribution];
  return rates ? pull(rates(probs(z)), positions(z).map(cost.value)) : z.map(() => 0);
}

/** Gradient of the cost by the weights, at the weights that are read. */
const byWeights = (weights, cost) => positions(weights).map((i) => i * cost.slope(dot(weights, positions(weights))));

// Each estimate takes z, the cost, rows of Gumbel noise and a temperature; it returns what is read and a gradient by z.
// `objective` is what is paid where that is not the mean cost of what is read.
const mixture = (name) => (z, cost) => {
  const p = DISTRIBUTIONS[name].probs(z);
  return { reads: [p], gradient: pull(DISTRIBUTIONS[name].rates(p), byWeights(p, cost)) };
};

function straightThrough(z, cost, [noise]) {
  const drawn = hardmax(plus(z, noise));
  return { reads: [drawn], gradient: pull(softmax(z), byWeights(drawn, cost)) };
}

function gumbel(z, cost, [noise], temperature, hard) {
  const relaxed = softmax(plus(z, noise).map((each) => each / temperature));
  const read = hard ? hardmax(relaxed) : relaxed;
  return { reads: [read], gradient: pull(relaxed, byWeights(read, cost)).map((each) => each / temperature) };
}

function reinmax(z, cost, [noise]) {
  const p = softmax(z);
  const drawn = hardmax(plus(z, noise));
  const middle = p.map((each, i) => (each + drawn[i]) / 2);
  const g = byWeights(drawn, cost);
  const before = pull(p, g);
  return { reads: [drawn], gradient: pull(middle, g).map((each, i) => 2 * each - before[i] / 2) };
}

function reinforce(z, cost, noises) {
  const p = softmax(z);
  const reads = noises.map((noise) => hardmax(plus(z, noise)));
  const costs = reads.map((read) => cost.value(argmax(read)));
  const others = (k) => (costs.length > 1 ? (sum(costs) - costs[k]) / (costs.length - 1) : 0);
  const gradient = p.map((each, i) => sum(reads.map((read, k) => (costs[k] - others(k)) * (read[i] - each))) / reads.length);
  return { reads, gradient };
}

function marginal(z, cost) {
  const p = softmax(z);
  const posterior = softmax(z.map((each, i) => each - cost.value(i)));
  const likely = positions(z).map((i) => Math.exp(-cost.value(i)));
  return { reads: [p], gradient: p.map((each, i) => each - posterior[i]), objective: -Math.log(dot(p, likely)) };
}

function exact(z, cost) {
  const p = softmax(z);
  return { reads: [p], gradient: expectedGradient("softmax", z, cost), objective: dot(p, positions(z).map(cost.value)) };
}

const MECHANISMS = {
  soft: { distribution: "softmax", draws: 0, estimate: mixture("softmax") },
  entmax15: { distribution: "entmax15", draws: 0, estimate: mixture("entmax15") },
  sparsemax: { distribution: "sparsemax", draws: 0, estimate: mixture("sparsemax") },
  argmax: { distribution: "hardmax", draws: 0, estimate: (z) => ({ reads: [hardmax(z)], gradient: z.map(() => 0) }) },
  argmax_straight_through: { distribution: "softmax", draws: 0, estimate: (z, cost) => straightThrough(z, cost, [z.map(() => 0)]) },
  hard_exact: { distribution: "softmax", draws: 0, estimate: exact },
  hard_marginal: { distribution: "softmax", draws: 0, estimate: marginal },
  hard_reinforce_1: { distribution: "softmax", draws: 1, estimate: reinforce },
  hard_reinforce: { distribution: "softmax", draws: 4, estimate: reinforce },
  hard_straight_through: { distribution: "softmax", draws: 1, estimate: straightThrough },
  reinmax: { distribution: "softmax", draws: 1, estimate: reinmax },
  gumbel_softmax: { distribution: "softmax", draws: 1, estimate: (...all) => gumbel(...all, false) },
  gumbel_straight_through: { distribution: "softmax", draws: 1, estimate: (...all) => gumbel(...all, true) },
};

const COSTS = {
  index: () => ({ value: (index) => index, slope: () => 1 }),
  squared: (target) => ({ value: (index) => (index - target) ** 2, slope: (index) => 2 * (index - target) }),
};

/** Numbers in (0, 1), the same for the same seed: mulberry32. */
function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
}

/** All that the page shows of one choice of settings. Gradients are by the scores: beta times those by z. */
function numbers({ scores, beta, mechanism, cost, target, temperature, estimates, seed }) {
  const { distribution, draws, estimate } = MECHANISMS[mechanism];
  const z = scores.map((each) => beta * each);
  const priced = COSTS[cost](target);
  const random = uniform(seed);
  const gumbelNoise = () => z.map(() => -Math.log(-Math.log(random())));
  const all = Array.from({ length: draws ? estimates : 1 }, () =>
    estimate(z, priced, Array.from({ length: draws }, gumbelNoise), temperature),
  );
  const each = (i) => all.map((one) => beta * one.gradient[i]);
  const gradient = z.map((_, i) => sum(each(i)) / all.length);
  const spread = z.map((_, i) => Math.sqrt(sum(each(i).map((one) => (one - gradient[i]) ** 2)) / all.length));
  const weights = DISTRIBUTIONS[distribution].probs(z);
  const price = (read) => priced.value(dot(read, positions(z)));
  return {
    scores, beta, mechanism, cost, target, temperature, estimates, seed, weights, gradient, spread,
    argmax: argmax(scores),
    expectedIndex: dot(weights, positions(z)),
    exact: expectedGradient(distribution, z, priced).map((one) => beta * one),
    norm: Math.sqrt(dot(gradient, gradient)),
    paid: sum(all.map(({ reads, objective }) => objective ?? sum(reads.map(price)) / reads.length)) / all.length,
    reads: draws ? all.flatMap((one) => one.reads) : [all[0].reads[0]],
  };
}
