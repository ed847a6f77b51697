// "Learning by hand" in JavaScript: each layer forward and backward, under the names and in the order of that chapter.
// Two things differ, for speed. Images pass one at a time, so that a weight's gradient is added to what the batch has
// given so far; and each result is written into an array made once, the last argument, which is also what is returned.

/** Numbers, 0 at first, with the shape that NumPy would give them. */
function zeros(...shape) {
  return Object.assign(new Float64Array(shape.reduce((a, b) => a * b)), { shape });
}

// --- Dense: a weighted sum of all inputs, plus a bias.

function dense(x, { w, b }, y) {
  for (let o = 0, at = 0; o < y.length; o++) {
    let sum = b[o];
    for (let i = 0; i < x.length; i++) sum += w[at++] * x[i];
    y[o] = sum;
  }
  return y;
}

function denseBackward(blame, x, { w }, { w: dw, b: db }, xBlame) {
  xBlame.fill(0);
  for (let o = 0, at = 0; o < blame.length; o++) {
    db[o] += blame[o];
    for (let i = 0; i < x.length; i++, at++) {
      dw[at] += blame[o] * x[i];
      xBlame[i] += blame[o] * w[at];
    }
  }
  return xBlame;
}

// --- Squashing, in place: s takes the place of the sums, the blame of a sum that of its result's.

const SQUASHINGS = {
  tanh: {
    squash(a) { for (let i = 0; i < a.length; i++) a[i] = Math.tanh(a[i]); return a; },
    squashBackward(blame, s) { for (let i = 0; i < s.length; i++) blame[i] *= 1 - s[i] * s[i]; return blame; },
  },
  ReLU: {
    squash(a) { for (let i = 0; i < a.length; i++) if (a[i] < 0) a[i] = 0; return a; },
    squashBackward(blame, s) { for (let i = 0; i < s.length; i++) if (s[i] <= 0) blame[i] = 0; return blame; },
  },
  sigmoid: {
    squash(a) { for (let i = 0; i < a.length; i++) a[i] = 1 / (1 + Math.exp(-a[i])); return a; },
    squashBackward(blame, s) { for (let i = 0; i < s.length; i++) blame[i] *= s[i] * (1 - s[i]); return blame; },
  },
};

// --- Pooling: of each block of 2×2 in maps of (C, H, H), the average or the largest.

function average(x, y) {
  const [maps, size] = y.shape, row = 2 * size;
  for (let i = 0, at = 0; i < maps * size; i++)
    for (let j = 0, top = 2 * i * row; j < size; j++, top += 2)
      y[at++] = (x[top] + x[top + 1] + x[top + row] + x[top + row + 1]) / 4;
  return y;
}

function averageBackward(blame, _x, y, xBlame) {
  const [maps, size] = y.shape, row = 2 * size;
  for (let i = 0, at = 0; i < maps * size; i++)
    for (let j = 0, top = 2 * i * row; j < size; j++, top += 2)
      xBlame[top] = xBlame[top + 1] = xBlame[top + row] = xBlame[top + row + 1] = blame[at++] / 4;
  return xBlame;
}

function largest(x, y) {
  const [maps, size] = y.shape, row = 2 * size;
  for (let i = 0, at = 0; i < maps * size; i++)
    for (let j = 0, top = 2 * i * row; j < size; j++, top += 2)
      y[at++] = Math.max(x[top], x[top + 1], x[top + row], x[top + row + 1]);
  return y;
}

/** The blame goes to the largest; of equals, to the first, as in PyTorch. */
function largestBackward(blame, x, y, xBlame) {
  const [maps, size] = y.shape, row = 2 * size;
  xBlame.fill(0);
  for (let i = 0, at = 0; i < maps * size; i++)
    for (let j = 0, top = 2 * i * row; j < size; j++, top += 2, at++) {
      const place = x[top] === y[at] ? 0 : x[top + 1] === y[at] ? 1 : x[top + row] === y[at] ? row : row + 1;
      xBlame[top + place] = blame[at];
    }
  return xBlame;
}

const POOLINGS = {
  average: { pool: average, poolBackward: averageBackward },
  max: { pool: largest, poolBackward: largestBackward },
};

// --- Softmax with cross-entropy: the loss of one image; its probabilities are left in p.

function crossEntropy(logits, label, p) {
  let [most, total] = [-Infinity, 0];
  for (let k = 0; k < p.length; k++) most = Math.max(most, logits[k]);
  for (let k = 0; k < p.length; k++) total += p[k] = Math.exp(logits[k] - most); // no overflow
  for (let k = 0; k < p.length; k++) p[k] /= total;
  return -Math.log(p[label]);
}

function crossEntropyBackward(p, label, batchSize, blame) {
  for (let k = 0; k < p.length; k++) blame[k] = (p[k] - (k === label ? 1 : 0)) / batchSize; // of the mean
  return blame;
}

// --- Convolution of (C, H, H) with kernels (M, C, 5, 5). A kernel's row, w0 to w4, and the numbers that it lies on
// stay in variables while it slides: to read them from their arrays again and again would take far longer.

function convolve(x, { w, b }, y) {
  const [channels, size] = x.shape, [maps, width] = y.shape, area = width * width;
  for (let m = 0, at = 0; m < maps; m++) {
    y.fill(b[m], m * area, (m + 1) * area);
    for (let c = 0; c < channels; c++)
      for (let u = 0; u < 5; u++, at += 5) {
        const w0 = w[at], w1 = w[at + 1], w2 = w[at + 2], w3 = w[at + 3], w4 = w[at + 4];
        for (let i = 0; i < width; i++) {
          const to = m * area + i * width, from = (c * size + i + u) * size;
          let x0 = x[from], x1 = x[from + 1], x2 = x[from + 2], x3 = x[from + 3];
          for (let j = 0; j < width; j++) {
            const x4 = x[from + j + 4];
            y[to + j] += w0 * x0 + w1 * x1 + w2 * x2 + w3 * x3 + w4 * x4;
            x0 = x1; x1 = x2; x2 = x3; x3 = x4;
          }
        }
      }
  }
  return y;
}

// The places of a map that are to blame, and their blame: after max pooling, and for ReLU, few of them.
const PLACES = new Int32Array(1024), SHARES = new Float64Array(1024);

function findBlame(blame, m, size) {
  const width = blame.shape[1];
  let count = 0;
  for (let i = 0, at = m * width * width; i < width; i++)
    for (let j = 0; j < width; j++, at++)
      if (blame[at] !== 0) {
        PLACES[count] = i * size + j;
        SHARES[count++] = blame[at];
      }
  return count;
}

function convolveGradient(blame, x, { w: dw, b: db }) {
  const [channels, size] = x.shape;
  for (let m = 0, at = 0; m < db.length; m++) {
    const count = findBlame(blame, m, size);
    for (let n = 0; n < count; n++) db[m] += SHARES[n];
    for (let c = 0; c < channels; c++)
      for (let u = 0; u < 5; u++, at += 5) {
        const row = (c * size + u) * size;
        let d0 = 0, d1 = 0, d2 = 0, d3 = 0, d4 = 0;
        for (let n = 0; n < count; n++) {
          const g = SHARES[n], from = row + PLACES[n];
          d0 += g * x[from]; d1 += g * x[from + 1]; d2 += g * x[from + 2]; d3 += g * x[from + 3]; d4 += g * x[from + 4];
        }
        dw[at] += d0; dw[at + 1] += d1; dw[at + 2] += d2; dw[at + 3] += d3; dw[at + 4] += d4;
      }
  }
}

function convolveBlame(blame, { w }, xBlame) {
  const [channels, size] = xBlame.shape, maps = blame.shape[0];
  xBlame.fill(0);
  for (let m = 0, at = 0; m < maps; m++) {
    const count = findBlame(blame, m, size);
    for (let c = 0; c < channels; c++)
      for (let u = 0; u < 5; u++, at += 5) {
        const w0 = w[at], w1 = w[at + 1], w2 = w[at + 2], w3 = w[at + 3], w4 = w[at + 4], row = (c * size + u) * size;
        for (let n = 0; n < count; n++) {
          const g = SHARES[n], to = row + PLACES[n];
          xBlame[to] += g * w0; xBlame[to + 1] += g * w1; xBlame[to + 2] += g * w2; xBlame[to + 3] += g * w3;
          xBlame[to + 4] += g * w4;
        }
      }
  }
  return xBlame;
}

// --- LeNet-5 and LeNet-1, both ways.

const NETWORKS = {
  "LeNet-5": {
    weights: (classes) => ({
      c1: [6, 1, 5, 5], c3: [16, 6, 5, 5], c5: [120, 16 * 5 * 5], f6: [84, 120], output: [classes, 84],
    }),
    kept: { x: [1, 32, 32], c1: [6, 28, 28], s2: [6, 14, 14], c3: [16, 10, 10], s4: [16, 5, 5], c5: [120], f6: [84] },
    forward: lenet5, backward: lenet5Backward,
  },
  "small LeNet-5": {
    weights: (classes) => ({
      c1: [6, 1, 5, 5], c3: [16, 6, 5, 5], c5: [60, 16 * 4 * 4], f6: [42, 60], output: [classes, 42],
    }),
    kept: { x: [1, 28, 28], c1: [6, 24, 24], s2: [6, 12, 12], c3: [16, 8, 8], s4: [16, 4, 4], c5: [60], f6: [42] },
    forward: lenet5, backward: lenet5Backward,
  },
  "LeNet-1": {
    weights: (classes) => ({ c1: [4, 1, 5, 5], c3: [12, 4, 5, 5], output: [classes, 12 * 4 * 4] }),
    kept: { x: [1, 28, 28], c1: [4, 24, 24], s2: [4, 12, 12], c3: [12, 8, 8], s4: [12, 4, 4] },
    forward: lenet1, backward: lenet1Backward,
  },
};

function lenet5({ x, c1, s2, c3, s4, c5, f6, logits }, layers, { squash, pool }) {
  squash(convolve(x, layers.c1, c1)); // (6, 28, 28)
  pool(c1, s2); // (6, 14, 14)
  squash(convolve(s2, layers.c3, c3)); // (16, 10, 10)
  pool(c3, s4); // (16, 5, 5), as dense reads it (400)
  squash(dense(s4, layers.c5, c5)); // (120)
  squash(dense(c5, layers.f6, f6)); // (84)
  return dense(f6, layers.output, logits);
}

function lenet5Backward(blame, kept, layers, grad, blames, { squashBackward, poolBackward }) {
  const { x, c1, s2, c3, s4, c5, f6 } = kept;
  blame = denseBackward(blame, f6, layers.output, grad.output, blames.f6);
  blame = squashBackward(blame, f6); // (84)
  blame = denseBackward(blame, c5, layers.f6, grad.f6, blames.c5);
  blame = squashBackward(blame, c5); // (120)
  blame = denseBackward(blame, s4, layers.c5, grad.c5, blames.s4);
  blame = poolBackward(blame, c3, s4, blames.c3); // (16, 10, 10)
  blame = squashBackward(blame, c3);
  convolveGradient(blame, s2, grad.c3);
  blame = convolveBlame(blame, layers.c3, blames.s2); // (6, 14, 14)
  blame = squashBackward(poolBackward(blame, c1, s2, blames.c1), c1); // (6, 28, 28)
  convolveGradient(blame, x, grad.c1);
}

function lenet1({ x, c1, s2, c3, s4, logits }, layers, { squash, pool }) {
  squash(convolve(x, layers.c1, c1)); // (4, 24, 24)
  pool(c1, s2); // (4, 12, 12)
  squash(convolve(s2, layers.c3, c3)); // (12, 8, 8)
  pool(c3, s4); // (12, 4, 4)
  return dense(s4, layers.output, logits);
}

function lenet1Backward(blame, kept, layers, grad, blames, { squashBackward, poolBackward }) {
  const { x, c1, s2, c3, s4 } = kept;
  blame = denseBackward(blame, s4, layers.output, grad.output, blames.s4);
  blame = poolBackward(blame, c3, s4, blames.c3); // (12, 8, 8)
  blame = squashBackward(blame, c3);
  convolveGradient(blame, s2, grad.c3);
  blame = convolveBlame(blame, layers.c3, blames.s2); // (4, 12, 12)
  blame = squashBackward(poolBackward(blame, c1, s2, blames.c1), c1); // (4, 24, 24)
  convolveGradient(blame, x, grad.c1);
}

/** A network with first weights by chance, as `start` has them: a deviation of 1 / √inputs, and biases of 0. */
function start({ network, squashing, pooling, classes }, random) {
  const { weights, kept, forward, backward } = NETWORKS[network], shapes = weights(classes);
  const each = (values, make) => Object.fromEntries(Object.entries(values).map(([name, v]) => [name, make(v)]));
  const layer = (shape) => ({ w: zeros(...shape), b: zeros(shape[0]) }), room = (shape) => zeros(...shape);
  const layers = each(shapes, layer), mean = each(shapes, layer); // of the weights after the last steps
  for (const [name, { w }] of Object.entries(layers)) {
    const inputs = w.length / w.shape[0];
    for (let i = 0; i < w.length; i++) {
      const radius = Math.sqrt(-2 * Math.log(1 - random())); // two even chances make a normal one (Box and Muller)
      w[i] = (radius * Math.cos(2 * Math.PI * random())) / Math.sqrt(inputs);
    }
    mean[name].w.set(w);
  }
  return {
    layers, mean, forward, backward, grad: each(shapes, layer), blames: each(kept, room), p: zeros(classes),
    kept: { ...each(kept, room), logits: zeros(classes) }, blame: zeros(classes),
    kinds: { ...SQUASHINGS[squashing], ...POOLINGS[pooling] },
  };
}

/** An image of 28×28 numbers from 0 to 1, standardised, framed, and moved by whole pixels, in the network's input. */
function prepare(image, x, down = 0, right = 0) {
  const size = x.shape[1], top = (size - 28) / 2 + down, left = (size - 28) / 2 + right;
  x.fill((0 - 0.1307) / 0.3081);
  for (let i = Math.max(0, -top); i < Math.min(28, size - top); i++)
    for (let j = Math.max(0, -left); j < Math.min(28, size - left); j++)
      x[(i + top) * size + j + left] = (image[28 * i + j] - 0.1307) / 0.3081;
}

/** The class with the largest logit, by the weights of `layers`. */
function read(net, image, layers) {
  prepare(image, net.kept.x);
  const logits = net.forward(net.kept, layers, net.kinds);
  let best = 0;
  for (let k = 1; k < logits.length; k++) if (logits[k] > logits[best]) best = k;
  return best;
}

/** The loss of one image of a batch; its gradient is added to what the batch has given so far. */
function addGradient(net, image, label, batchSize, down = 0, right = 0) {
  prepare(image, net.kept.x, down, right);
  const loss = crossEntropy(net.forward(net.kept, net.layers, net.kinds), label, net.p);
  const blame = crossEntropyBackward(net.p, label, batchSize, net.blame);
  net.backward(blame, net.kept, net.layers, net.grad, net.blames, net.kinds);
  return loss;
}

/** One step against the gradient, which is 0 afterwards; the mean is of the weights after about `many` last steps. */
function step({ layers, grad, mean }, rate, many) {
  for (const name of Object.keys(layers))
    for (const part of ["w", "b"]) {
      const [weight, gradient, recent] = [layers[name][part], grad[name][part], mean[name][part]];
      for (let i = 0; i < weight.length; i++) {
        weight[i] -= rate * gradient[i];
        recent[i] += (weight[i] - recent[i]) / many;
      }
      gradient.fill(0);
    }
}
