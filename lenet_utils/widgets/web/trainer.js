// Train in the page: buttons and choices on one side, the learning network's kernels, curves and answers on the other.

const GOAL = 5; // per cent of wrong answers, below which the widget says so
const NEEDS_NEW_NETWORK = ["squashing", "pooling", "network"];

/** Have it learned in a worker or, where the page may have none, in the page itself; returns how to send to it. */
function openLearner(root, hear) {
  const program = root.querySelector("script[type='text/plain']").textContent;
  const sent = []; // until something is heard, in case the worker never starts
  let send = null;
  function inPage() {
    const self = { slice: 12, postMessage: hear };
    const script = make("script", { textContent: `document.currentScript.begin = (self) => {${program}\n};` });
    root.append(script);
    script.begin(self);
    root.dataset.thread = "page";
    send = (message) => self.onmessage({ data: message });
    for (const message of sent.splice(0)) send(message);
  }
  try {
    const worker = new Worker(URL.createObjectURL(new Blob([program], { type: "text/javascript" })));
    send = (message) => worker.postMessage(message);
    worker.onmessage = ({ data }) => {
      root.dataset.thread = "worker";
      if (root.isConnected) hear(data);
      else worker.terminate(); // a notebook's cell has run again
    };
    worker.onerror = (event) => {
      if (root.dataset.thread) return;
      event.preventDefault();
      inPage();
    };
  } catch {
    inPage();
  }
  return (message) => {
    if (!root.dataset.thread) sent.push(message);
    send(message);
  };
}

/** Draw a kernel of 5×5 weights; those below zero have another colour and a bar. */
function drawKernel(canvas, weights, limit, { ink, plus, minus }) {
  const pen = canvas.getContext("2d");
  [canvas.width, canvas.height] = [120, 120];
  for (let i = 0; i < 25; i++) {
    const [x, y] = [24 * (i % 5), 24 * Math.floor(i / 5)];
    pen.fillStyle = `rgb(${weights[i] < 0 ? minus : plus} / ${Math.abs(weights[i]) / limit})`.replaceAll(",", " ");
    pen.fillRect(x, y, 24, 24);
    pen.fillStyle = `rgb(${ink.join(" ")})`;
    if (weights[i] < 0) pen.fillRect(x + 7, y + 11, 10, 2);
  }
}

/** Curves over the passes so far, on a logarithmic axis: lists of [passes, value], each with its class. */
function drawCurves(svg, most, curves, { ticks, unit, level, levelName }) {
  const [low, high] = [ticks[0], ticks.at(-1)];
  const width = [2, 5, 10, 20, 50, 100, 200, 500].find((passes) => passes >= most) ?? 500 * Math.ceil(most / 500);
  const across = (passes) => (44 + (286 * passes) / width).toFixed(1);
  const down = (value) => {
    const share = Math.log(Math.min(Math.max(value, low), high) / low) / Math.log(high / low);
    return (118 - 108 * share).toFixed(1);
  };
  const path = (points) => points.map(([at, value], i) => `${i ? "L" : "M"}${across(at)} ${down(value)}`).join("");
  const marks = ticks.map((value) => `<text x="38" y="${+down(value) + 4}" text-anchor="end">${value}${unit}</text>
    <line class="axis" x1="44" x2="330" y1="${down(value)}" y2="${down(value)}"/>`);
  const below = [0, width / 2, width].map((at) => `<text x="${across(at)}" y="132" text-anchor="middle">${at}</text>`);
  svg.innerHTML = `${marks.join("")}${below.join("")}<text x="187" y="147" text-anchor="middle">passes</text>
    <line class="level" x1="44" x2="330" y1="${down(level)}" y2="${down(level)}"/>
    <text x="330" y="${+down(level) - 3}" text-anchor="end">${levelName}</text>
    ${Object.entries(curves).map(([name, points]) => `<path class="${name}" d="${path(points)}"/>`).join("")}`;
}

function startTrainer(root, spec) {
  const part = (name) => root.querySelector(name);
  const choices = [...root.querySelectorAll(".choices select")];
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const number = (value, digits = 0) =>
    value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−");
  let [run, seed, wanted, told] = [0, spec.seed, false, false]; // wanted: whether it is to learn; told: the goal
  let [progress, first, losses, errors] = [null, null, [], []];
  let [images, drawn, waiting] = [[], 0, false];

  const chosen = () => Object.fromEntries(choices.map(({ name, value }) => [name, Number(value) || value]));
  const say = (text) => { part(".said").textContent = text; };
  function want(learning) {
    wanted = learning;
    part(".go").textContent = learning ? "Pause" : "Start";
  }

  function begin() {
    [progress, first, losses, errors, told] = [null, null, [], [], false];
    send({ do: "begin", run: ++run, seed, choice: chosen() });
  }

  function go() {
    if (progress?.failed && !wanted) begin();
    want(!wanted);
    send({ do: wanted ? "start" : "pause" });
    say(wanted ? "It learns." : "Paused.");
  }

  function stepOnce() {
    if (progress?.failed) begin();
    want(false);
    send({ do: "step" });
    say(`One batch of ${chosen().batch} learned.`);
  }

  function reset() {
    seed++;
    begin();
    say(`Begun anew, from other random weights (seed ${seed}).`);
  }

  function choose({ target }) {
    const words = `${target.closest("label").firstChild.data.trim().toLowerCase()}: ${target.selectedOptions[0].text}`;
    if (NEEDS_NEW_NETWORK.includes(target.name)) {
      begin();
      say(`Begun anew, because this needs a new network. From now on, ${words}.`);
    } else {
      send({ do: "change", choice: chosen() });
      say(`From now on, ${words}.`);
    }
  }

  function hear(news) {
    if (news.run !== run) return; // of a network that is no more
    const passes = (learned) => learned / spec.numTrain;
    first ??= news.kernels;
    for (const [learned, loss] of news.losses) {
      const before = losses.at(-1)?.[2] ?? loss;
      losses.push([passes(learned), loss, before + (loss - before) / Math.min(50, losses.length + 1)]);
      if (losses.length > 800) losses = losses.filter((_, i) => i % 2); // every second one is enough to draw
    }
    if (news.wrong !== null && (news.looked !== progress?.looked || news.wrong !== progress.wrong))
      errors.push([passes(news.looked), (100 * news.wrong) / spec.numUnseen]);
    progress = news;
    if (news.failed) {
      want(false);
      say(`Stopped at batch ${number(news.batches)}: the loss is no longer a number, because steps at a rate of ` +
        `${chosen().rate} are too long. Choose a smaller rate, and press Start to begin anew.`);
    } else if (!told && errors.length > 0 && errors.at(-1)[1] <= GOAL) {
      told = true;
      say(`${100 - GOAL} % of the unseen images are read rightly, after ${number(passes(news.looked), 1)} passes and ` +
        `${number(news.seconds)} seconds.`);
    }
    if (!waiting) {
      waiting = true;
      setTimeout(draw, Math.max(0, drawn + (still.matches ? 1000 : 200) - performance.now()));
    }
  }

  function draw() {
    [waiting, drawn] = [false, performance.now()];
    if (!progress) return;
    const colours = coloursOf(root), { kernels, learned, batches, seconds, answers } = progress;
    const loss = losses.at(-1), error = errors.at(-1);
    part(".numbers").textContent = [
      `${number(learned / spec.numTrain, 1)} passes`, `${number(batches)} batches`, `${number(seconds, 1)} seconds`,
      ...(loss ? [`loss ${number(loss[2], 3)}`] : []),
      ...(error ? [`${number(error[1], 1)} % errors`] : []),
    ].join(" · ");

    const limit = [...kernels, ...first].reduce((most, weight) => Math.max(most, Math.abs(weight)), 0);
    for (const [name, weights] of [[".then", first], [".now", kernels]]) {
      const box = part(name), range = `from ${number(Math.min(...weights), 2)} to ${number(Math.max(...weights), 2)}`;
      while (box.children.length < weights.length / 25) box.append(make("canvas"));
      while (box.children.length > weights.length / 25) box.lastChild.remove();
      for (const [m, canvas] of [...box.children].entries())
        drawKernel(canvas, weights.subarray(25 * m, 25 * m + 25), limit, colours);
      box.setAttribute("aria-label", `${box.children.length} kernels of 5 by 5 weights ${range}`);
      part(".range").textContent = `now ${range}: blue above zero, orange with a bar below`;
    }

    const [lossPlot, errorPlot, passes] = [part(".loss"), part(".error"), learned / spec.numTrain];
    drawCurves(lossPlot, passes, { each: losses, mean: losses.map(([at, , mean]) => [at, mean]) },
      { ticks: [0.01, 0.1, 1, 10], unit: "", level: Math.log(spec.names.length), levelName: "guessing" });
    drawCurves(errorPlot, passes, { mean: errors },
      { ticks: [1, 3, 10, 30, 100], unit: " %", level: GOAL, levelName: `${GOAL} %` });
    const story = (name, from, to) => `${name}: ${number(from, 2)} at first, ${number(to, 2)} now`;
    if (loss) lossPlot.setAttribute("aria-label", story("Loss", losses[0][1], loss[2]));
    if (error) errorPlot.setAttribute("aria-label", story("Errors in per cent", errors[0][1], error[1]));

    showImages(part(".shown"), spec.shown, answers, colours);
    const isWrong = (n) => answers[n] < spec.names.length && answers[n] !== spec.labels[spec.numTrain + n];
    showImages(part(".mistakes"), [...answers.keys()].filter(isWrong).slice(0, 5), answers, colours);
  }

  function showImages(box, numbers, answers, colours) {
    const state = [...numbers.map((n) => [n, answers[n]]), colours.ink].join(" ");
    if (box.dataset.state === state) return;
    box.dataset.state = state;
    box.replaceChildren(...numbers.map((n) => {
      const label = spec.labels[spec.numTrain + n], right = answers[n] === label;
      const about = { className: "pixels", role: "img", "aria-label": `Image of ${spec.names[label]}` };
      const canvas = make("canvas", about), name = spec.names[answers[n]] ?? "…";
      drawNumbers(canvas, images[spec.numTrain + n], 28, 28, { limit: 1, colours });
      return make("div", { className: right ? "right" : "wrong" }, canvas, `${name} ${right ? "✓" : "✗"}`);
    }));
  }

  const send = openLearner(root, hear);
  part(".count").textContent = number(spec.numUnseen);
  readSheet(spec.sheet).then((read) => {
    images = read;
    const pixels = new Float32Array(784 * images.length);
    for (const [n, image] of images.entries()) pixels.set(image, 784 * n);
    const { labels, numTrain, numUnseen, shown } = spec;
    send({ do: "images", images: pixels, labels, numTrain, numUnseen, shown, classes: spec.names.length });
    begin();
    say(`Press Start: a network of random weights learns from ${number(numTrain)} images.`);
    for (const control of root.querySelectorAll("button, select")) control.disabled = false;
  });
  part(".go").addEventListener("click", go);
  part(".step").addEventListener("click", stepOnce);
  part(".reset").addEventListener("click", reset);
  for (const choice of choices) choice.addEventListener("change", choose);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden || !wanted) return;
    go();
    say("Paused, because the page was out of sight. Press Start to go on.");
  });
  onNewColours(draw);
}

startEach("lenet-trainer", startTrainer);
