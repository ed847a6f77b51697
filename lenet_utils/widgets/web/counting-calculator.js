// The counting calculator: what a layer makes and what it costs, each sum written out in the reader's own numbers.

const MOST = 1_000_000; // in a field

/** Why a layer is impossible, in a sentence, and the names of the fields to look at. */
class Impossible extends Error {
  constructor(sentence, ...fields) {
    super(sentence);
    this.fields = fields;
  }
}

const write = (number) => number.toLocaleString("en");
const times = (...numbers) => numbers.reduce((product, number) => product * BigInt(number), 1n); // exact at any size
const squared = (side) => `${write(side)}·${write(side)}`;
const several = (number, word) => `${write(number)} ${word}${number === 1 ? "" : "s"}`;
const sized = (side) => `${write(side)}×${write(side)}`;

/** The places of a kernel along a side: their number, the sum, and the sum in words. */
function along(side, { kernel, stride, padding }) {
  const wide = side + 2 * (padding ?? 0);
  if (kernel > wide) {
    const margin = padding ? ` with a margin of ${write(padding)}, which makes ${sized(wide)}` : "";
    throw new Impossible(`No place is left: ${sized(kernel)} does not fit into ${sized(side)}${margin}.`, "kernel");
  }
  const [open, close] = (wide - kernel) % stride ? ["⌊", "⌋"] : ["", ""];
  const margin = padding === undefined ? "" : ` + 2·${write(padding)}`;
  return {
    value: Math.floor((wide - kernel) / stride) + 1,
    sum: `${open}(${write(side)}${margin} − ${write(kernel)}) / ${write(stride)}${close} + 1`,
    words: `(input side${margin && " + 2 · padding"} − kernel side) / stride${open && ", rounded down,"} + 1`,
  };
}

/** How many kernels a convolution has, if its maps do not see all input maps. */
function linksOf({ sees, links, maps }, inputs, table) {
  if (sees === "table") {
    const fits = `Table I joins ${table.inputs} input maps to ${table.maps} maps`;
    if (inputs !== table.inputs) throw new Impossible(`${fits}: this input has ${several(inputs, "map")}.`, "inputs");
    if (maps !== table.maps) throw new Impossible(`${fits}: this layer has ${several(maps, "map")}.`, "maps");
    return table.links;
  }
  if (links < maps)
    throw new Impossible(`There are too few links: each of the ${several(maps, "map")} needs at least one.`, "links");
  if (links > maps * inputs) {
    const most = `${write(maps)} · ${write(inputs)} = ${write(times(maps, inputs))}`;
    throw new Impossible(`There are too many links: maps · input maps is ${most}.`, "links");
  }
  return links;
}

function countConvolution(set, input, table) {
  const { kernel, maps, stride, padding, bias } = set, side = along(input.side, set);
  const links = set.sees === "all" ? 0 : linksOf(set, input.maps, table);
  const weights = times(links || maps * input.maps, kernel, kernel), places = squared(side.value);
  const joined = links ? write(links) : `${write(maps)} · ${write(input.maps)}`;
  const parameters = { value: weights + (bias ? BigInt(maps) : 0n) };
  if (links) {
    parameters.sum = `${joined} · ${squared(kernel)}${bias ? ` + ${write(maps)}` : ""}`;
    parameters.words = `links · kernel area${bias ? " + a bias for each map" : ""}`;
  } else if (bias) {
    parameters.sum = `${write(maps)} · (${write(input.maps)} · ${squared(kernel)} + 1)`;
    parameters.words = "maps · (input maps · kernel area + 1 for the bias)";
  } else {
    parameters.sum = `${joined} · ${squared(kernel)}`;
    parameters.words = "maps · input maps · kernel area";
  }
  const extras = [stride > 1 && `stride ${write(stride)}`, padding && `padding ${write(padding)}`,
    links && several(links, "link"), !bias && "no bias"].filter(Boolean);
  return {
    name: [`convolution ${sized(kernel)}`, ...extras].join(", "), maps, side: side.value,
    sums: {
      side, parameters,
      connections: { value: times(parameters.value, side.value, side.value),
        sum: `${write(parameters.value)} · ${places}`, words: "parameters · places" },
      macs: { value: times(weights, side.value, side.value), sum: `${joined} · ${squared(kernel)} · ${places}`,
        words: links ? "links · kernel area · places" : "maps · input maps · kernel area · places" },
    },
  };
}

function countPooling(set, input, name) {
  const side = along(input.side, set), units = `${write(input.maps)} · ${squared(side.value)}`;
  const stride = set.stride === set.kernel ? "" : `, stride ${write(set.stride)}`;
  return {
    name: `${name} ${sized(set.kernel)}${stride}`, maps: input.maps, side: side.value,
    sums: {
      side,
      parameters: { value: 0n, words: "nothing is learned" },
      connections: { value: times(input.maps, side.value, side.value, set.kernel, set.kernel),
        sum: `${units} · ${squared(set.kernel)}`, words: "units · inputs of each; there is no bias" },
      macs: { value: 0n, words: "no input is multiplied by a weight" },
    },
  };
}

function countSubsampling(input) {
  if (input.side % 2) {
    const gap = `Fields of 2×2, side by side, do not cover ${sized(input.side)}`;
    throw new Impossible(`${gap}: take an input side that is even.`, "side");
  }
  const side = input.side / 2, units = `${write(input.maps)} · ${squared(side)}`;
  return {
    name: "subsampling 2×2", maps: input.maps, side,
    sums: {
      side: { value: side, sum: `${write(input.side)} / 2`, words: "input side / 2" },
      parameters: { value: times(2, input.maps), sum: `${write(input.maps)} · (1 + 1)`,
        words: "maps · (one weight + one bias)" },
      connections: { value: times(input.maps, side, side, 5), sum: `${units} · (2·2 + 1)`,
        words: "units · (inputs of each + 1 for the bias)" },
      macs: { value: times(input.maps, side, side), sum: `${units} · 1`,
        words: "units · 1, as the four inputs are added before the weight multiplies them" },
    },
  };
}

/** Units that are joined to everything: with weights that are learned, or with the fixed prototypes of 1998. */
function countDense({ units, bias }, input, learns) {
  const inputs = input.side > 1 ? `${write(input.maps)} · ${squared(input.side)}` : write(input.maps);
  const macs = { value: times(units, input.maps, input.side, input.side), sum: `${write(units)} · ${inputs}`,
    words: "units · inputs of each" };
  const lines = bias ? { value: macs.value + BigInt(units), sum: `${write(units)} · (${inputs} + 1)`,
    words: "units · (inputs of each + 1 for the bias)" } : macs;
  return {
    name: learns ? `full connection${bias ? "" : ", no bias"}` : "fixed prototypes", maps: units, side: 1, flat: true,
    sums: { parameters: learns ? lines : { value: 0n, words: "the prototypes are fixed: nothing is learned" },
      connections: lines, macs },
  };
}

const KINDS = {
  convolution: countConvolution,
  average: (set, input) => countPooling(set, input, "average pooling"),
  max: (set, input) => countPooling(set, input, "max pooling"),
  subsampling: (_, input) => countSubsampling(input),
  dense: (set, input) => countDense(set, input, true),
  prototypes: (set, input) => countDense(set, input, false),
};

const convolve = (maps, sees = "all") =>
  ["convolution", { kernel: 5, maps, stride: 1, padding: 0, bias: true, sees, links: 60 }];
const [average, learned] = [["average", { kernel: 2, stride: 2 }], ["subsampling", {}]];
const connect = (units) => ["dense", { units, bias: true }];
const IMAGE = { maps: 1, side: 32 };
const NETWORKS = {
  1998: { C1: convolve(6), S2: learned, C3: convolve(16, "table"), S4: learned, C5: convolve(120),
    F6: connect(84), OUTPUT: ["prototypes", { units: 10 }] },
  today: { c1: convolve(6), s2: average, c3: convolve(16), s4: average, c5: convolve(120),
    f6: connect(84), output: connect(10) },
};

/** What is wrong with a number's field, in a sentence; nothing if it holds a whole number in its range. */
function trouble(field) {
  const typed = field.value.trim(), name = `“${field.closest("label").firstChild.textContent.trim()}”`;
  if (!typed) return `${name} is empty: type a whole number.`;
  if (!/^[-−+]?\d+$/.test(typed)) return `${name} is “${typed}”: type a whole number, in digits alone.`;
  const number = Number(typed.replace("−", "-")), least = Number(field.dataset.least);
  if (number < least) return `${name} is ${typed}: ${field.dataset.why}; take ${least} or more.`;
  if (number > MOST) return `${name} is ${typed}: this calculator takes ${write(MOST)} at most.`;
  return "";
}

function shapeOf({ maps, side, flat }) {
  return flat ? several(maps, "unit") : `${several(maps, "map")} of ${sized(side)}`;
}

startEach("lenet-counting-calculator", (root, { table }) => {
  const find = (selector) => root.querySelector(selector);
  const [preset, kind, said, stack] = [".preset", ".kind", ".said", ".stack"].map(find);
  const inputFields = ["inputs", "side"].map((name) => find(`[name=${name}]`));
  const groups = [...root.querySelectorAll("[data-kinds]")];
  let layers = [], typed = [], current = null;
  const past = []; // the stack before each change

  const count = (name, set, input) => KINDS[name](set, input, table);
  const settings = () => groups.find((group) => group.dataset.kinds.split(" ").includes(kind.value));
  const numbersIn = (part) =>
    [...part.querySelectorAll("input:not([type=checkbox])")].filter((field) => !field.closest("[hidden]"));

  /** Take input and layer from the fields, and count. */
  function read() {
    const numbers = [...inputFields, ...numbersIn(settings())], wrong = numbers.filter(trouble);
    if (wrong.length) throw new Impossible(trouble(wrong[0]), ...wrong.map((field) => field.name));
    const set = Object.fromEntries(numbers.map((field) => [field.name, Number(field.value)]));
    for (const field of settings().querySelectorAll("select")) set[field.name] = field.value;
    for (const field of settings().querySelectorAll("[type=checkbox]")) set[field.name] = field.checked;
    return count(kind.value, set, { maps: set.inputs, side: set.side });
  }

  function show() {
    for (const group of groups) group.hidden = group !== settings();
    find(".links").hidden = find("[name=sees]").value !== "links";
    let wrong = [], sentence;
    try {
      current = read();
      const { maps, side, flat } = current, units = write(times(maps, side, side));
      sentence = `This layer makes ${shapeOf(current)}${flat ? "" : `: ${write(maps)} · ${squared(side)} = ${units} units`}.`;
    } catch (error) {
      if (!(error instanceof Impossible)) throw error;
      current = null;
      wrong = error.fields;
      sentence = `Impossible: ${error.message}`;
    }
    if (said.textContent !== sentence) said.textContent = sentence;
    for (const field of [...inputFields, ...numbersIn(settings())])
      field.setAttribute("aria-invalid", wrong.includes(field.name));
    for (const cell of root.querySelectorAll("dd")) showSum(cell, current?.sums[cell.dataset.sum]);
    for (const [name, idle] of [[".add", !current], [".undo", !past.length], [".clear", !layers.length]])
      find(name).setAttribute("aria-disabled", idle);
  }

  function showSum(cell, sum) {
    cell.parentElement.hidden = Boolean(current && !sum);
    const value = make("strong", { textContent: sum ? write(sum.value) : "–" });
    cell.replaceChildren(make("span", { className: "quiet", textContent: sum?.words ?? "" }),
      make("span", { className: "numbers" }, sum?.sum ? `${sum.sum} = ` : "", value));
  }

  /** Put another stack in place of this one; the next layer's input is what its last layer makes. */
  function restack(next) {
    if (!layers.length) typed = inputFields.map((field) => field.value);
    layers = next;
    const last = layers.at(-1), input = last ? [last.maps, last.side] : typed;
    for (const [i, field] of inputFields.entries()) [field.value, field.readOnly] = [input[i], Boolean(last)];
    find(".origin").textContent = last ? `what layer ${layers.length} of your network makes` : "";
    const totals = Object.fromEntries(["parameters", "connections", "macs"].map((what) =>
      [what, layers.reduce((sum, layer) => sum + layer.sums[what].value, 0n)]));
    stack.textContent = last
      ? `Your network: ${several(layers.length, "layer")}, ${write(totals.parameters)} parameters.`
      : "Your network has no layer yet. Each layer that you add to it takes what the one before makes.";
    find("table").hidden = !last;
    const row = (heading, numbers, className = "") => make("tr", { role: "row", className },
      make("th", { role: "rowheader", scope: "row", textContent: heading }),
      ...numbers.map((number) => make("td", { role: "cell", textContent: write(number) })));
    find("tbody").replaceChildren(
      ...layers.map((layer, i) => row(`${i + 1}. ${layer.name}: ${shapeOf(layer)}`,
        Object.keys(totals).map((what) => layer.sums[what].value))),
      row("together", Object.values(totals), "total"));
    show();
  }

  function change(next) {
    past.push(layers);
    restack(next);
  }

  /** Fill in a layer of LeNet-5, with its input where no network decides that; or stack all seven. */
  function take() {
    const [network, name] = preset.value.split("/"), stacked = [];
    for (const [layer, [itsKind, set]] of Object.entries(NETWORKS[network])) {
      const input = stacked.at(-1) ?? IMAGE;
      if (layer === name) return fill(itsKind, set, input);
      stacked.push(count(itsKind, set, input));
    }
    kind.value = "dense"; // as nothing else has a place there
    return change(stacked);
  }

  function fill(itsKind, set, input) {
    kind.value = itsKind;
    if (!layers.length) for (const [i, value] of [input.maps, input.side].entries()) inputFields[i].value = value;
    for (const [name, value] of Object.entries(set)) {
      const field = settings().querySelector(`[name=${name}]`);
      if (field.type === "checkbox") field.checked = value;
      else field.value = value;
    }
    show();
  }

  for (const [network, itsLayers] of Object.entries(NETWORKS)) {
    const options = Object.keys(itsLayers).map((name) => [name, `${name} of ${network}`]);
    for (const [name, textContent] of [...options, ["all", `all seven of ${network}, as my network`]])
      preset.append(make("option", { value: `${network}/${name}`, textContent }));
  }
  for (const field of root.querySelectorAll("input:not([type=checkbox])")) {
    Object.assign(field, { inputMode: "numeric", autocomplete: "off", maxLength: 12 });
    field.addEventListener("keydown", (event) => { // arrows count up and down
      const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (!step || field.readOnly || trouble(field)) return;
      field.value = Math.min(Math.max(Number(field.value) + step, Number(field.dataset.least)), MOST);
      event.preventDefault();
      show();
    });
  }
  root.addEventListener("input", show);
  find(".take").addEventListener("click", take);
  find(".add").addEventListener("click", () => { if (current) change([...layers, current]); });
  find(".undo").addEventListener("click", () => { if (past.length) restack(past.pop()); });
  find(".clear").addEventListener("click", () => { if (layers.length) change([]); });
  restack([]);
});
