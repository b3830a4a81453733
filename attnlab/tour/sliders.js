"use strict";
// The page's state, and what is shown of it. `numbers` does the mathematics; the section carries its answer as data-numbers.

const RATE = 0.5; // of a training step
const LIMIT = 3; // of a score
const DRAWS = 24; // named below the sliders
const element = (id) => document.getElementById(id);
const PACE = 120; // milliseconds between two steps that are played
const state = { scores: [...SCORES], seed: 1, steps: 0 };
let player = null;

/** The settings as the controls have them; beta, temperature and the number of estimates grow by factors. */
function settings() {
  const value = (id) => Number(element(id).value);
  return {
    ...state,
    mechanism: element("mechanism").value,
    cost: element("cost").value,
    beta: 10 ** value("beta"),
    temperature: 10 ** value("temperature"),
    target: value("target"),
    estimates: 2 ** value("estimates"),
  };
}

/** A number as a person reads it: few digits, none of them idle. */
function short(number) {
  const size = Math.abs(number);
  if (size === 0) return "0";
  if (size < 0.0005) return number.toExponential(0).replace("-", "−").replace("-", "−");
  return number.toFixed(size < 10 ? 2 + (size < 0.1) : 1).replace("-", "−");
}

function place(mark, from, to) {
  mark.style.left = `${100 * Math.min(from, to)}%`;
  mark.style.width = `${100 * Math.abs(to - from)}%`;
}

function showPosition(row, i, shown, scale) {
  const [share, slope] = row.querySelectorAll(".bar");
  const [scoreNumber, shareNumber, slopeNumber] = row.querySelectorAll(".number");
  const half = (number) => 0.5 + Math.max(-0.5, Math.min(0.5, number / scale / 2)); // 0 in the middle
  const slider = row.querySelector("input");
  slider.value = shown.scores[i];
  scoreNumber.textContent = shown.scores[i].toFixed(2).replace("-", "−");
  place(share.querySelector("b"), 0, shown.weights[i]);
  place(share.querySelector("i"), 0, shown.reads[0][i]);
  share.querySelector("i").hidden = shown.reads[0][i] === 0;
  shareNumber.textContent = shown.weights[i].toFixed(3);
  place(slope.querySelector("b"), 0.5, half(shown.gradient[i]));
  place(slope.querySelector("i"), half(shown.gradient[i] - shown.spread[i]), half(shown.gradient[i] + shown.spread[i]));
  slope.querySelector("u").style.left = `${100 * half(shown.exact[i])}%`;
  slopeNumber.textContent = short(shown.gradient[i]);
}

function show() {
  const shown = numbers(settings());
  const random = MECHANISMS[shown.mechanism].draws > 0;
  const read = shown.reads.map((weights) => dot(weights, positions(weights)));
  const scale = Math.max(1, ...[...shown.gradient, ...shown.exact].map(Math.abs)); // below 1 lengths are true: one sees them die
  [...element("positions").children].forEach((row, i) => showPosition(row, i, shown, scale));

  element("argmax").textContent = shown.argmax;
  element("expected-index").textContent = shown.expectedIndex.toFixed(2);
  element("paid").textContent = short(shown.paid);
  element("norm").textContent = short(shown.norm);
  const along = (index) => `${(100 * index) / (shown.scores.length - 1)}%`;
  element("hard-mark").style.left = along(shown.argmax);
  element("soft-mark").style.left = along(shown.expectedIndex);
  element("goal-mark").style.left = along(shown.target);
  element("goal-mark").hidden = shown.cost !== "squared";

  for (const id of ["beta", "temperature", "target", "estimates"]) {
    const text = id === "estimates" ? String(shown[id]) : short(shown[id]);
    element(id).setAttribute("aria-valuetext", text);
    element(id).nextElementSibling.textContent = text;
  }
  element("for-target").hidden = shown.cost !== "squared";
  element("for-temperature").hidden = !shown.mechanism.startsWith("gumbel");
  element("for-estimates").hidden = element("redraw").hidden = !random;
  for (const words of element("words").children) words.hidden = words.dataset.for !== shown.mechanism;
  const some = read.slice(0, DRAWS).map((index) => (Number.isInteger(index) ? index : index.toFixed(1)));
  element("steps").textContent = state.steps;
  element("draws").textContent = random ? `read: ${some.join(" ")}${read.length > DRAWS ? " …" : ""}` : "";
  element("sliders").dataset.numbers = JSON.stringify(shown);
}

function build() {
  SCORES.forEach((_, i) => {
    const row = document.querySelector("#sliders template").content.firstElementChild.cloneNode(true);
    const slider = row.querySelector("input");
    slider.id = `score-${i}`;
    slider.setAttribute("aria-label", `score of position ${i}`);
    slider.addEventListener("input", () => (state.scores[i] = Number(slider.value)));
    row.querySelector("label").htmlFor = slider.id;
    row.querySelector("label").textContent = i;
    element("positions").append(row);
    const tick = document.createElement("span");
    tick.className = "tick";
    tick.textContent = i;
    tick.style.left = `${(100 * i) / (SCORES.length - 1)}%`;
    document.querySelector(".ruler").append(tick);
  });
}

function step() {
  const { gradient } = numbers(settings());
  state.scores = state.scores.map((each, i) => Math.max(-LIMIT, Math.min(LIMIT, each - RATE * gradient[i])));
  state.seed += 1; // a new step draws anew
  state.steps += 1;
}

function playing(on) {
  clearInterval(player);
  player = on ? setInterval(() => (step(), show()), PACE) : null;
  element("play-on").textContent = on ? "Pause" : "Play";
  element("play-on").setAttribute("aria-pressed", on);
}

/** Other scores: training starts over. */
function start(scores) {
  playing(false);
  Object.assign(state, { scores: [...scores], steps: 0 });
}

build();
const press = { train: step, redraw: () => (state.seed += 1), "play-on": () => playing(player === null), five: () => start(SCORES), ties: () => start(TIED) };
for (const [id, action] of Object.entries(press)) element(id).addEventListener("click", () => (action(), show()));
element("sliders").addEventListener("input", show); // after a score's own listener, which is further in
show();
