// From a drawing or a picture to the 28×28 values that a network reads, and what can be done to these.

/**
 * As MNIST was made, and as lenet_utils.preprocessing.normalise does it: cut to the ink, scale into 20×20 pixels, centre
 * by mass in 28×28 (LeCun et al. 1998, section III-A).
 * @returns null if there is no ink, else { box: [top, left, rows, columns] of the ink, scaled, image }: the 20×20 pixels
 *          with the digit at their top left, and the 28×28
 */
function normalise(ink, width, height) {
  const peak = ink.reduce((a, b) => Math.max(a, b), 0);
  if (!(peak > 0)) return null;
  let [top, bottom, left, right] = [height, -1, width, -1];
  for (let i = 0; i < height; i++)
    for (let j = 0; j < width; j++)
      if (ink[i * width + j] >= peak / 20) {
        top = Math.min(top, i); bottom = Math.max(bottom, i); left = Math.min(left, j); right = Math.max(right, j);
      }
  const tall = bottom - top + 1, wide = right - left + 1, longer = Math.max(tall, wide);
  const [rows, columns] = [tall, wide].map((n) => Math.max(1, Math.floor((20 * n) / longer + 0.5)));
  const cut = new Float64Array(tall * wide);
  for (let i = 0; i < tall; i++) for (let j = 0; j < wide; j++) cut[i * wide + j] = ink[(top + i) * width + left + j];
  const small = averageColumns(averageRows(cut, tall, wide, rows), rows, wide, columns);
  const most = small.reduce((a, b) => Math.max(a, b), 0), scaled = new Float32Array(400), image = new Float32Array(784);
  let [mass, down, across] = [0, 0, 0];
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) {
      const value = small[i * columns + j] / most;
      scaled[20 * i + j] = value;
      mass += value; down += value * i; across += value * j;
    }
  const even = (x) => (x - Math.floor(x) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x)); // a half goes to the even one
  const place = (middle, size) => Math.min(Math.max(even(14 - middle), 0), 28 - size);
  const [y, x] = [place(down / mass, rows), place(across / mass, columns)];
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) image[28 * (y + i) + x + j] = scaled[20 * i + j];
  return { box: [top, left, tall, wide], scaled, image };
}

/** Each new row is the mean of the old ones that it covers, parts of them by their share. */
function averageRows(values, before, width, after) {
  const out = new Float64Array(after * width), step = before / after;
  for (let i = 0; i < after; i++)
    for (let n = Math.floor(i * step); n < Math.min(before, (i + 1) * step); n++) {
      const share = (Math.min(n + 1, (i + 1) * step) - Math.max(n, i * step)) / step;
      for (let j = 0; j < width; j++) out[i * width + j] += share * values[n * width + j];
    }
  return out;
}
function averageColumns(values, height, before, after) {
  const turn = (from, rows, columns) => Float64Array.from({ length: rows * columns }, (_, n) =>
    from[(n % rows) * columns + Math.floor(n / rows)]);
  return turn(averageRows(turn(values, height, before), before, height, after), after, height);
}

/**
 * Slide an image by x and y pixels, turn it by degrees, thicken (or, below zero, thin) its strokes, add noise.
 * The noise is the same each time, so that a slider moves nothing but its own effect.
 */
function change(image, { x = 0, y = 0, turn = 0, thick = 0, noise = 0 }) {
  const angle = (turn * Math.PI) / 180, [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const at = (from, i, j) => (i >= 0 && i < 28 && j >= 0 && j < 28 ? from[28 * i + j] : 0);
  let out = new Float32Array(784);
  for (let i = 0; i < 28; i++)
    for (let j = 0; j < 28; j++) {
      const [v, u] = [i - y - 13.5, j - x - 13.5];
      const [row, column] = [13.5 + cos * v - sin * u, 13.5 + sin * v + cos * u];
      const [r, c] = [Math.floor(row), Math.floor(column)], [a, b] = [row - r, column - c];
      out[28 * i + j] = (1 - a) * ((1 - b) * at(image, r, c) + b * at(image, r, c + 1))
        + a * ((1 - b) * at(image, r + 1, c) + b * at(image, r + 1, c + 1));
    }
  const pick = thick > 0 ? Math.max : Math.min;
  for (let left = Math.abs(thick); left > 0; left--) { // a whole step is one pixel on each side, a part of it a mixture
    const before = out, share = Math.min(1, left);
    out = Float32Array.from({ length: 784 }, (_, n) => {
      const [i, j] = [Math.floor(n / 28), n % 28];
      const extreme = [[i - 1, j], [i + 1, j], [i, j - 1], [i, j + 1]]
        .reduce((value, [row, column]) => pick(value, at(before, row, column)), before[n]);
      return (1 - share) * before[n] + share * extreme;
    });
  }
  if (!noise) return out;
  const random = randoms(1);
  return out.map((value) => Math.min(1, Math.max(0,
    value + noise * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()))));
}

/** Numbers from 0 to 1 that look random and come again for the same seed (a linear congruential generator). */
function randoms(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const LARGEST_PICTURE = 30e6; // bytes
const LONGEST_SIDE = 280; // to which a picture is made small before anything is done with it

/** The ink of a picture, 0 to 1: what differs from its background, whether dark on light or light on dark. */
async function inkOfPicture(file) {
  if (file.size > LARGEST_PICTURE) throw new Error("This picture has more than 30 megabytes: choose a smaller one.");
  let picture;
  try { picture = await createImageBitmap(file); } catch {
    throw new Error("This file is no picture that the browser can read: choose a PNG or JPEG.");
  }
  const shrink = Math.min(1, LONGEST_SIDE / Math.max(picture.width, picture.height));
  const width = Math.max(1, Math.round(picture.width * shrink)), height = Math.max(1, Math.round(picture.height * shrink));
  const pen = make("canvas", { width, height }).getContext("2d", { willReadFrequently: true });
  pen.imageSmoothingQuality = "high";
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, width, height); // what is transparent is paper
  pen.drawImage(picture, 0, 0, width, height);
  const pixels = pen.getImageData(0, 0, width, height).data;
  const grey = Float32Array.from({ length: width * height }, (_, i) =>
    (0.299 * pixels[4 * i] + 0.587 * pixels[4 * i + 1] + 0.114 * pixels[4 * i + 2]) / 255);
  const edge = grey.filter((_, i) => i < width || i >= width * (height - 1) || i % width === 0 || i % width === width - 1);
  const paper = edge.sort()[Math.floor(edge.length / 2)], away = grey.map((value) => Math.abs(value - paper));
  const most = away.reduce((a, b) => Math.max(a, b), 0);
  if (most < 0.15) throw new Error("There is no digit in this picture: it has one colour almost everywhere.");
  return { ink: away.map((value) => Math.min(1, Math.max(0, value / most - 0.3) / 0.4)), width, height };
}
