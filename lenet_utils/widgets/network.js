// A network computed from its list of layers, as lenet_utils.widgets.chain writes it; plain arithmetic, no library.

/** The number that sixteen bits stand for: a sign, five bits of exponent, ten of fraction. */
function wide(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = (bits & 1023) / 1024;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction);
}

/**
 * @param {object} spec  layers with their sizes, weights (base64 of little-endian float16), size, margin, offset, scale
 * @returns a function from an image of 28×28 values, 0 for paper and 1 for full ink, to the network's outputs
 */
function makeNetwork(spec) {
  const bytes = Uint8Array.from(atob(spec.weights), (c) => c.charCodeAt(0));
  const weights = Float32Array.from(new Uint16Array(bytes.buffer), wide);
  const squash = (f) => (x) => x.map(f);

  function convolution(x, l) {
    const rows = Math.floor((l.h + 2 * l.p - l.k) / l.s) + 1, columns = Math.floor((l.w + 2 * l.p - l.k) / l.s) + 1;
    const y = new Float32Array(l.maps * rows * columns), biases = l.from + l.maps * l.c * l.k * l.k;
    for (let m = 0, at = 0; m < l.maps; m++)
      for (let i = 0; i < rows; i++)
        for (let j = 0; j < columns; j++) {
          let sum = weights[biases + m];
          for (let c = 0; c < l.c; c++)
            for (let u = 0; u < l.k; u++) {
              const row = i * l.s + u - l.p;
              if (row < 0 || row >= l.h) continue;
              for (let v = 0; v < l.k; v++) {
                const column = j * l.s + v - l.p;
                if (column >= 0 && column < l.w)
                  sum += weights[l.from + ((m * l.c + c) * l.k + u) * l.k + v] * x[(c * l.h + row) * l.w + column];
              }
            }
          y[at++] = sum;
        }
    return y;
  }

  const pool = (start, join, end) => (x, l) => {
    const rows = Math.floor((l.h - l.k) / l.s) + 1, columns = Math.floor((l.w - l.k) / l.s) + 1;
    const y = new Float32Array(l.c * rows * columns);
    for (let c = 0, at = 0; c < l.c; c++)
      for (let i = 0; i < rows; i++)
        for (let j = 0; j < columns; j++) {
          let value = start;
          for (let u = 0; u < l.k; u++)
            for (let v = 0; v < l.k; v++) value = join(value, x[(c * l.h + i * l.s + u) * l.w + j * l.s + v]);
          y[at++] = end(value, l.k * l.k);
        }
    return y;
  };

  function dense(x, l) {
    const y = new Float32Array(l.outputs), biases = l.from + l.inputs * l.outputs;
    for (let o = 0; o < l.outputs; o++) {
      let sum = weights[biases + o];
      for (let i = 0; i < l.inputs; i++) sum += weights[l.from + o * l.inputs + i] * x[i];
      y[o] = sum;
    }
    return y;
  }

  const kinds = {
    convolution, dense,
    average: pool(0, (a, b) => a + b, (sum, count) => sum / count),
    max: pool(-Infinity, Math.max, (value) => value),
    tanh: squash(Math.tanh), relu: squash((a) => Math.max(0, a)), sigmoid: squash((a) => 1 / (1 + Math.exp(-a))),
  };

  return (image) => {
    let x = new Float32Array(spec.size * spec.size).fill(spec.offset);
    for (let i = 0; i < 28; i++)
      for (let j = 0; j < 28; j++)
        x[(i + spec.margin) * spec.size + j + spec.margin] = image[28 * i + j] * spec.scale + spec.offset;
    for (const layer of spec.layers) x = kinds[layer.kind](x, layer);
    return x;
  };
}

// As MNIST was made: scale the ink into 20×20, then centre it by mass in 28×28. Null if there is none.
function centre(ink, width, height) {
  let [top, bottom, left, right] = [height, -1, width, -1];
  for (let i = 0; i < height; i++)
    for (let j = 0; j < width; j++)
      if (ink[i * width + j] > 0) {
        top = Math.min(top, i); bottom = Math.max(bottom, i); left = Math.min(left, j); right = Math.max(right, j);
      }
  if (bottom < 0) return null;
  const tall = bottom - top + 1, wide = right - left + 1, step = Math.max(tall, wide) / 20;
  const rows = Math.max(1, Math.round(tall / step)), columns = Math.max(1, Math.round(wide / step));
  const small = new Float32Array(rows * columns);
  let [mass, down, across] = [0, 0, 0];
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) {
      let [sum, area] = [0, 0];
      const [y0, y1] = [top + (i * tall) / rows, top + ((i + 1) * tall) / rows];
      const [x0, x1] = [left + (j * wide) / columns, left + ((j + 1) * wide) / columns];
      for (let y = Math.floor(y0); y < y1; y++)
        for (let x = Math.floor(x0); x < x1; x++) {
          const part = (Math.min(y + 1, y1) - Math.max(y, y0)) * (Math.min(x + 1, x1) - Math.max(x, x0));
          sum += part * ink[y * width + x];
          area += part;
        }
      const value = sum / area;
      small[i * columns + j] = value;
      mass += value; down += value * i; across += value * j;
    }
  const place = (middle, size) => Math.min(Math.max(Math.round(14 - middle), 0), 28 - size);
  const [y, x] = [place(down / mass, rows), place(across / mass, columns)];
  const image = new Float32Array(784);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) image[28 * (y + i) + x + j] = small[i * columns + j];
  return image;
}
