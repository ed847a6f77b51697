// The loop that learns, after gradients.js: it does what the page's messages ask, and reports how far it is. It runs in
// a worker; where none may start, the page runs it in short slices between frames, and `self` is an object of the page.

const SLICE = self.slice ?? 100; // milliseconds of work before messages are heard
const SILENCE = 200; // milliseconds between two reports, since each of them takes some work
const UNREAD = 255;

let data, choice, net, random, learner, run; // data: images, labels, numTrain, numUnseen, shown, classes
let learned, batches, looked, wrong, losses, answers; // of this run
let [job, busy, running, failed, stale, spent, since, told] = [null, false, false, false, false, 0, 0, 0];

const now = () => performance.now();
const oneOf = (...values) => values[Math.floor(values.length * random())];
const image = (n) => data.images.subarray(784 * n, 784 * (n + 1));

/** Chances from 0 to 1, the same for the same seed: a shift register (Marsaglia, 2003). */
function chances(seed) {
  let bits = ((seed + 1) * 2654435769) >>> 0 || 1;
  const next = () => {
    bits ^= bits << 13;
    bits ^= bits >>> 17;
    bits ^= bits << 5;
    return (bits >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 20; i++) next();
  return next;
}

/** What the network reads in an image, by a mean of its weights after the last steps or by the newest. */
const answerTo = (n) => read(net, image(data.numTrain + n), choice.answers === "mean" ? net.mean : net.layers);

/** Read all unseen images, one at a time. */
function* look() {
  if (looked === learned && !stale) return;
  let count = 0;
  stale = false;
  for (let n = 0; n < data.numUnseen; n++) {
    answers[n] = answerTo(n);
    if (answers[n] !== data.labels[data.numTrain + n]) count++;
    yield "image";
  }
  [looked, wrong] = [learned, count];
  if (stale) yield* look();
}

/** Pass after pass, in a new order each, batch after batch; says after each image and each batch that it is done. */
function* learn() {
  yield* look();
  for (;;) {
    const order = Uint16Array.from({ length: data.numTrain }, (_, n) => n);
    for (let i = order.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    for (let from = 0, batch; from < order.length; from += batch.length) {
      batch = order.subarray(from, from + choice.batch); // the last one may be smaller
      let loss = 0; // their mean
      for (const n of batch) {
        const [down, right] = choice.moves === "yes" ? [oneOf(-1, 0, 1), oneOf(-1, 0, 1)] : [0, 0];
        loss += addGradient(net, image(n), data.labels[n], batch.length, down, right) / batch.length;
        yield "image";
      }
      batches++;
      step(net, choice.rate, Math.min(50, batches));
      learned += batch.length;
      losses.push([learned, loss]);
      failed = !Number.isFinite(loss);
      yield "batch";
      if (stale || learned - looked >= Math.min(500 + looked, data.numTrain)) yield* look(); // often at first
    }
  }
}

/** One batch, then a look. */
function* one() {
  const began = now();
  while (learner.next().value !== "batch") yield "image";
  spent += now() - began;
  yield* look();
}

function report() {
  if (!failed) for (const n of data.shown) answers[n] = answerTo(n);
  const seconds = (spent + (running ? now() - since : 0)) / 1000;
  const progress = { run, running, failed, learned, batches, seconds, losses, looked, wrong };
  self.postMessage({ ...progress, answers: answers.slice(), kernels: net.layers.c1.w.slice() });
  [losses, told] = [[], now()];
}

function stop() {
  if (running) spent += now() - since;
  running = false;
}

/** Go on with a job for a slice of time. */
function work() {
  const until = now() + SLICE;
  let done = false;
  while (!done && !failed && now() < until) done = job.next().done;
  if (failed) stop();
  busy = !done && !failed;
  if (!busy || now() - told > SILENCE) report();
  if (busy) setTimeout(work);
}

function take(next) {
  job = next;
  if (!busy) setTimeout(work);
  busy = true;
}

const actions = {
  images(message) { data = message; },
  begin(message) { // a new network; a run goes on with it
    ({ run, choice } = message);
    random = chances(message.seed);
    net = start({ ...choice, classes: data.classes }, random);
    [learned, batches, looked, wrong, failed, losses, spent, since] = [0, 0, -1, null, false, [], 0, now()];
    answers = new Uint8Array(data.numUnseen).fill(UNREAD);
    learner = learn();
    take(running ? learner : look());
  },
  change(message) { // what needs no new network
    stale = message.choice.answers !== choice.answers;
    choice = message.choice;
    if (!busy) take(look());
  },
  start() {
    [running, since] = [true, now()];
    take(learner);
  },
  pause() {
    stop();
    take(look());
  },
  step() {
    stop();
    take(one());
  },
};

self.onmessage = ({ data: message }) => actions[message.do](message);
