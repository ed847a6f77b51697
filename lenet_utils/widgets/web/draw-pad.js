// The machine to touch: a drawing goes through the network, every layer shows what it makes of it.

function startPad(root, spec) {
  const get = (name) => root.querySelector(name);
  const networks = spec.networks.map(({ title, network }) => ({ title, spec: network }));
  const off = new Set(), isOff = (layer, map) => off.has(`${layer}:${map}`), sliders = [...root.querySelectorAll(".sliders input")];
  const tell = (name, text) => { if (get(name).textContent !== text) get(name).textContent = text; }; // what is the same is not said again
  let network, used, rows = [], judged = false, waiting = false, samples = [];
  const count = { right: 0, all: 0 };

  const surface = makeSurface(get(".pad"), () => { judged = false; soon(); }, (words) => tell(".heard", words));

  /** Look again once, before the next picture, however much has changed by then. */
  function soon() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; look(); });
  }

  function look() {
    const { kind, values } = surface.last ?? {}, { names } = network.spec;
    const found = kind === "sample" ? { ...normalise(values, 28, 28), image: values } : normalise(surface.ink(), SIDE, SIDE);
    const changes = Object.fromEntries(sliders.map((slider) => [slider.name, slider.valueAsNumber]));
    const changed = found !== null && Object.values(changes).some(Boolean);
    const image = changed ? change(found.image, changes) : found?.image;
    const before = changed ? answerOf(network.spec, network.run(found.image, off))?.best : undefined;
    const outputs = network.run(image ?? new Float32Array(784), off), answer = image ? answerOf(network.spec, outputs) : null;
    const colours = coloursOf(root), draw = (name, pixels, side) => drawNumbers(get(name), pixels ?? [], side, side, { limit: 1, colours });
    draw(".cut", found?.scaled, 20);
    draw(".seen", image, 28);
    draw(".moved", image, 28);
    layers.show(network, isOff);
    unit.update();
    showAnswer(answer, outputs, image);
    get(".judge").hidden = judged || !answer || (kind !== "stroke" && kind !== "picture");
    tell(".held", !answer || before === undefined ? "" : before === answer.best ? `The answer holds: ${names[before]}.`
      : `The answer breaks: ${names[before]} became ${names[answer.best]}.`);
  }

  function showAnswer(answer, outputs, image) {
    const { names, smallestWins } = network.spec, most = Math.max(...outputs);
    for (const [i, { row, bar, share }] of rows.entries()) {
      const part = !answer ? 0 : smallestWins ? outputs[i] / most : answer.shares[i];
      bar.style.width = `${100 * part}%`;
      share.textContent = !answer ? "" : smallestWins ? outputs[i].toFixed(0) : `${(100 * part).toFixed(0)} %`;
      row.classList.toggle("is-best", answer?.best === i);
    }
    tell(".said", !image ? "Draw a digit." : !answer ? "No answer: the outputs are no finite numbers."
      : smallestWins ? `Read as ${names[answer.best]} (distance ${outputs[answer.best].toFixed(1)}, the smallest)`
        : `Read as ${names[answer.best]} (${(100 * answer.shares[answer.best]).toFixed(0)} %)`);
  }

  function use(number) {
    network = makeNetwork(networks[number].spec);
    [root.network, used] = [network, number];
    off.clear();
    unit.forget();
    const last = network.layers.at(-1);
    get("caption").textContent = network.spec.smallestWins ? "Distance to each class’s drawing: the smallest wins." : "How sure it is of each class.";
    get("tbody").replaceChildren();
    rows = network.spec.names.map((name, i) => {
      const row = get("tbody").insertRow(), pick = make("button", { type: "button", title: "Show how this output comes about" }, name);
      pick.addEventListener("click", () => choose(network.layers.length - 1, i, 0, 0));
      row.append(make("th", { scope: "row" }, pick));
      if (last.kind === "distances") row.insertCell().append(make("canvas", { className: "pixels prototype", role: "img", "aria-label": `drawing of ${name}` }));
      const bar = make("div", { className: "bar" }), bars = row.insertCell(), share = row.insertCell();
      bars.className = "bars";
      bars.append(bar);
      share.className = "share";
      return { row, bar, share };
    });
    for (const [n, button] of [...get(".networks").children].entries()) button.setAttribute("aria-pressed", `${n === number}`);
    repaint();
  }

  /** Draw in the page's colours what is not drawn at each look, then look. */
  function repaint() {
    const colours = coloursOf(root), { from, inputs: [size] } = network.layers.at(-1);
    for (const [i, canvas] of [...root.querySelectorAll(".prototype")].entries()) {
      const drawing = network.weights.slice(from + i * size, from + (i + 1) * size).map((v) => Math.max(0, v));
      drawMaps(canvas, [size, 1, 1], drawing, { ...colours, plus: colours.ink });
    }
    for (const [n, canvas] of [...root.querySelectorAll(".samples canvas")].entries())
      drawNumbers(canvas, samples[n], 28, 28, { limit: 1, colours });
    surface.redraw();
    soon();
  }

  function choose(layer, map, row, column) { layers.mark(unit.choose(network, layer, map, row, column)); }
  const layers = makeLayersView(get(".layers"), choose);
  const unit = makeUnitView(get(".unit"), {
    rerun: soon,
    toggle(layer, map) {
      const name = `${layer}:${map}`;
      if (!off.delete(name)) off.add(name);
      look();
    },
    isOff,
    restore() {
      const { number, m, i, j } = unit.chosen;
      use(used);
      look();
      choose(number, m, i, j);
    },
  });

  function offer() {
    get(".networks").replaceChildren(...networks.map(({ title }, n) => {
      const button = make("button", { type: "button", "aria-pressed": "false" }, title);
      button.addEventListener("click", () => use(n));
      return button;
    }));
    get(".networks").hidden = networks.length < 2;
  }

  async function takePicture(file) {
    try {
      const { ink, width, height } = await inkOfPicture(file);
      surface.put(ink, width, height, "picture");
    } catch (problem) { tell(".said", problem.message); }
  }
  async function takeWeights(file) {
    get(".own").open = true; // where what becomes of it is told
    try {
      if (file.size > 4e6) throw new Error("This is no file of weights: it has more than 4 megabytes.");
      let read = null;
      try { read = JSON.parse(await file.text()); } catch { /* refused below */ }
      const trouble = refusal(read);
      if (trouble) throw new Error(trouble);
      const place = networks.findIndex(({ title, own }) => own && title === file.name); // the same file again, in its old place
      networks.splice(place < 0 ? networks.length : place, 1, { title: file.name, own: true, spec: read });
      offer();
      use(place < 0 ? networks.length - 1 : place);
      tell(".loaded", `${file.name}: ${read.count.toLocaleString("en")} numbers, at work now.`);
    } catch (problem) { tell(".loaded", problem.message); }
  }

  get(".undo").addEventListener("click", () => surface.undo());
  get(".clear").addEventListener("click", () => surface.clear());
  const moved = (slider) => { slider.nextElementSibling.value = slider.value; soon(); };
  for (const slider of sliders) slider.addEventListener("input", () => moved(slider));
  get(".back").addEventListener("click", () => { for (const slider of sliders) { slider.value = 0; moved(slider); } });
  for (const [name, right] of [[".yes", 1], [".no", 0]])
    get(name).addEventListener("click", () => {
      [judged, count.all, count.right] = [true, count.all + 1, count.right + right];
      get(".judge").hidden = true;
      tell(".count", `Of your digits, ${count.right} of ${count.all} ${count.all === 1 ? "was" : "were"} read right. This count stays in this page.`);
      get(".pad").focus({ preventScroll: true });
    });
  const take = (input, what) => input.addEventListener("change", () => { if (input.files[0]) what(input.files[0]); input.value = ""; });
  take(get("input.picture"), takePicture);
  take(get("input.weights"), takeWeights);
  root.addEventListener("dragover", (event) => { event.preventDefault(); root.classList.add("is-over"); });
  root.addEventListener("dragleave", () => root.classList.remove("is-over"));
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    root.classList.remove("is-over");
    const file = event.dataTransfer.files[0];
    if (file) (file.name.endsWith(".json") ? takeWeights : takePicture)(file);
  });
  root.addEventListener("paste", (event) => { if (event.clipboardData.files[0]) takePicture(event.clipboardData.files[0]); });

  offer();
  use(0);
  onNewColours(repaint);
  if (spec.samples) readSheet(spec.samples).then((images) => {
    const show = (image) => surface.put(image, 28, 28, "sample");
    samples = images;
    get(".samples").hidden = false;
    get(".samples").append(...images.map((image, n) => {
      const button = make("button", { type: "button", "aria-label": `Test digit ${spec.samples.names[n]}` }, make("canvas", { className: "pixels" }));
      button.addEventListener("click", () => show(image));
      return button;
    }));
    if (!surface.last) show(images[spec.samples.first]);
    repaint();
  });
}

startEach("lenet-draw-pad", startPad);
