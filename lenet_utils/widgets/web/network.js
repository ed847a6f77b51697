// A network computed from its list of layers, as lenet_utils.widgets.exchange writes it; plain arithmetic, no library.

/** The number that sixteen bits stand for: a sign, five bits of exponent, ten of fraction. */
function widen(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = (bits & 1023) / 1024;
  if (exponent === 31) return NaN;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction);
}

/** The checksum that Python's zlib.crc32 computes. */
function crc32(bytes) {
  let rest = -1;
  for (const byte of bytes) {
    rest ^= byte;
    for (let bit = 0; bit < 8; bit++) rest = (rest >>> 1) ^ (rest & 1 ? 0xedb88320 : 0);
  }
  return ~rest >>> 0;
}

const SQUASHES = {
  tanh: Math.tanh,
  relu: (a) => Math.max(0, a),
  sigmoid: (a) => 1 / (1 + Math.exp(-a)),
  scaled: (a) => 1.7159 * Math.tanh((2 / 3) * a), // LeCun et al. (1998), appendix A
};

/**
 * @param {object} spec  what lenet_utils.widgets.exchange.describe returns, or with bytes in place of weights
 * @returns an object with
 *   layers    as in the spec, each with its values after the last run
 *   weights   Float32Array; whoever changes one runs the network again
 *   input     Float32Array of size×size, as the first layer saw it
 *   run       a function from an image of 28×28 values (0 paper, 1 full ink) to the outputs; the second argument is a
 *             set of "layer:map" that are switched off
 *   kernelAt  where the kernel that joins an input map (its place among the linked ones) and a map begins in weights
 *   biasAt    where a map's bias stands
 *   linksOf   which input maps a map of a layer reads
 */
function makeNetwork(spec) {
  const bytes = spec.bytes ?? Uint8Array.from(atob(spec.weights), (c) => c.charCodeAt(0));
  const weights = Float32Array.from(new Uint16Array(bytes.buffer), widen);
  const input = new Float32Array(spec.size * spec.size);
  const layers = spec.layers.map((layer) => ({ ...layer, values: new Float32Array(volume(layer.shape)) }));
  for (const layer of layers) prepare(layer);

  function volume(shape) { return shape.reduce((a, b) => a * b, 1); }

  /** For each map: which input maps it reads, and how many kernels stand before its own. */
  function prepare(layer) {
    if (layer.kind !== "convolution") return;
    const all = Array.from({ length: layer.inputs[0] }, (_, c) => c);
    layer.reads = Array.from({ length: layer.shape[0] }, (_, m) => (layer.links ? layer.links[m] : all));
    layer.before = [0];
    for (const reads of layer.reads) layer.before.push(layer.before.at(-1) + reads.length);
  }

  function linksOf(layer, map) {
    if (layer.kind === "convolution") return layer.reads[map];
    return ["average", "max", "subsampling"].includes(layer.kind) ? [map] : null; // null: all of the layer below
  }
  function kernelAt(layer, map, place) { return layer.from + (layer.before[map] + place) * layer.k ** 2; }
  function biasAt(layer, map) {
    if (layer.kind === "convolution") return layer.from + layer.before.at(-1) * layer.k ** 2 + map;
    if (layer.kind === "subsampling") return layer.from + layer.shape[0] + map;
    return layer.kind === "dense" ? layer.from + volume(layer.inputs) * layer.shape[0] + map : -1;
  }

  function convolution(x, y, layer) {
    const [, h, w] = layer.inputs, [maps, rows, columns] = layer.shape, { k, s, p } = layer;
    if (rows * columns === 1 && k === h && k === w && !p && !layer.links) return weighted(x, y, layer); // as C5 of LeNet-5
    for (let m = 0, at = 0; m < maps; m++, at += rows * columns) {
      y.fill(weights[biasAt(layer, m)], at, at + rows * columns);
      for (let n = 0; n < layer.reads[m].length; n++) {
        const map = layer.reads[m][n] * h * w;
        for (let u = 0, kernel = kernelAt(layer, m, n); u < k; u++)
          for (let v = 0; v < k; v++, kernel++) { // each weight, at all places at once
            const weight = weights[kernel], j1 = Math.min(columns, Math.floor((w - 1 + p - v) / s) + 1);
            for (let i = 0; i < rows; i++) {
              const row = i * s - p + u;
              if (row < 0 || row >= h) continue;
              const from = map + row * w + v - p, to = at + i * columns;
              for (let j = Math.max(0, Math.ceil((p - v) / s)); j < j1; j++) y[to + j] += weight * x[from + j * s];
            }
          }
      }
    }
  }

  const pool = (start, join, end) => (x, y, layer) => {
    const [, h, w] = layer.inputs, [maps, rows, columns] = layer.shape, { k, s } = layer;
    for (let m = 0, at = 0; m < maps; m++)
      for (let i = 0; i < rows; i++)
        for (let j = 0; j < columns; j++) {
          let value = start;
          for (let u = 0; u < k; u++)
            for (let v = 0; v < k; v++) value = join(value, x[(m * h + i * s + u) * w + j * s + v]);
          y[at++] = end(value, layer, m);
        }
  };
  const add = (a, b) => a + b;

  /** For each unit the sum, over all inputs, of what `term` makes of a weight and an input. */
  const full = (term) => (x, y, layer) => {
    for (let o = 0, at = layer.from; o < y.length; o++) {
      let sum = 0;
      for (let i = 0; i < x.length; i++) sum += term(weights[at++], x[i]);
      y[o] = sum + (layer.kind === "distances" ? 0 : weights[biasAt(layer, o)]);
    }
  };
  const weighted = full((weight, x) => weight * x);

  const kinds = {
    convolution,
    average: pool(0, add, (sum, layer) => sum / layer.k ** 2),
    max: pool(-Infinity, Math.max, (value) => value),
    subsampling: pool(0, add, (sum, layer, m) =>
      sum * layer.weight * weights[layer.from + m] + weights[biasAt(layer, m)]),
    dense: weighted,
    distances: full((weight, x) => (x - weight) ** 2),
    same: (x, y) => y.set(x),
  };

  function run(image, off = new Set()) {
    input.fill(spec.offset);
    for (let i = 0; i < 28; i++)
      for (let j = 0; j < 28; j++)
        input[(i + spec.margin) * spec.size + j + spec.margin] = image[28 * i + j] * spec.scale + spec.offset;
    let x = input;
    for (const [number, layer] of layers.entries()) {
      const y = layer.values, squash = SQUASHES[layer.squash], units = layer.shape[1] * layer.shape[2];
      kinds[layer.kind](x, y, layer);
      if (squash) for (let i = 0; i < y.length; i++) y[i] = squash(y[i]);
      if (off.size)
        for (let m = 0; m < layer.shape[0]; m++) if (off.has(`${number}:${m}`)) y.fill(0, m * units, (m + 1) * units);
      x = y;
    }
    return x;
  }

  return { spec, layers, weights, input, run, kernelAt, biasAt, linksOf };
}

/**
 * The class that the outputs stand for, and how sure: shares of one, by softmax; penalties count with a minus.
 * null if an output is not finite.
 */
function answerOf(spec, outputs) {
  if (!outputs.every(Number.isFinite)) return null;
  const scores = Array.from(outputs, (z) => (spec.smallestWins ? -z : z)), most = Math.max(...scores);
  const powers = scores.map((z) => Math.exp(z - most)), total = powers.reduce((a, b) => a + b);
  return { best: scores.indexOf(most), shares: powers.map((power) => power / total) };
}

/** Why a file's content is no network that a page can run, in one sentence; "" if it is one. */
function refusal(spec) {
  const whole = (...numbers) => numbers.every((n) => Number.isInteger(n) && n >= 0 && n < 1e6);
  const foreign = "This is no file of weights: write one with DrawPad(model).save(\"mine.json\").";
  if (spec === null || typeof spec !== "object" || spec.format !== "lenet-book network 1") return foreign;
  if (!Array.isArray(spec.layers) || !Array.isArray(spec.names) || typeof spec.weights !== "string") return foreign;
  if (spec.layers.length < 1 || spec.layers.length > 50 || spec.names.length > 100)
    return "This page shows networks of 1 to 50 layers with at most 100 outputs.";
  if (!whole(spec.size, spec.margin, spec.count) || spec.size !== 28 + 2 * spec.margin || spec.size > 128)
    return "This network reads images of another size than a digit of 28×28 pixels with a margin.";
  let [shape, count] = [[1, spec.size, spec.size], 0];
  for (const layer of spec.layers) {
    const damaged = `Layer ${JSON.stringify(layer?.name)} does not fit the layer before it: the file is damaged.`;
    if (typeof layer?.name !== "string" || !layer.name || !Array.isArray(layer.inputs) || !Array.isArray(layer.shape) || layer.shape.length !== 3) return damaged;
    if (!whole(...layer.inputs, ...layer.shape) || layer.shape.reduce((a, b) => a * b) > 1e6) return damaged;
    const [c, h, w] = layer.inputs, [m, rows, columns] = layer.shape, { k, s, p } = layer;
    if (layer.kind === "dense" || layer.kind === "distances" ? c * h * w !== shape.reduce((a, b) => a * b)
      : layer.inputs.some((n, i) => n !== shape[i])) return damaged;
    if (layer.squash !== null && !Object.hasOwn(SQUASHES, layer.squash)) return damaged;
    const links = layer.links ?? Array.from({ length: m }, () => Array.from({ length: c }, (_, i) => i));
    const windows = whole(k, s, p) && k > 0 && s > 0 && k <= 64 && p <= 64
      && rows === Math.floor((h + 2 * p - k) / s) + 1 && columns === Math.floor((w + 2 * p - k) / s) + 1;
    const joined = Array.isArray(links) && links.length === m && links.every((reads) => Array.isArray(reads)
      && reads.length && reads.every((n) => whole(n) && n < c));
    const learned = {
      convolution: () => windows && joined && links.flat().length * k * k + m,
      average: () => windows && p === 0 && m === c && 0, max: () => windows && p === 0 && m === c && 0,
      subsampling: () => windows && p === 0 && m === c && Number.isFinite(layer.weight) && 2 * m,
      dense: () => rows * columns === 1 && c * h * w * m + m,
      distances: () => rows * columns === 1 && c * h * w * m,
      same: () => layer.shape.every((n, i) => n === layer.inputs[i]) && 0,
    };
    if (!Object.hasOwn(learned, layer.kind)) return `This page knows no layers of the kind ${JSON.stringify(layer.kind)}.`;
    const number = learned[layer.kind]();
    if (number === false || (number > 0 && layer.from !== count)) return damaged;
    [shape, count] = [layer.shape, count + number];
  }
  if (count !== spec.count) return "The file is damaged: it has another number of weights than its layers need.";
  if (shape.reduce((a, b) => a * b) !== spec.names.length || spec.names.some((name) => typeof name !== "string"))
    return "The network has another number of outputs than names.";
  if (![spec.offset, spec.scale].every(Number.isFinite)) return foreign;
  let bytes;
  try { bytes = Uint8Array.from(atob(spec.weights), (c) => c.charCodeAt(0)); } catch { return foreign; }
  if (bytes.length !== 2 * count || crc32(bytes) !== spec.check)
    return "The file is damaged: its weights do not agree with their checksum. Save it again.";
  return new Uint16Array(bytes.buffer).some((bits) => (bits & 0x7c00) === 0x7c00) ? "The network has weights that are not finite: train it again." : "";
}
