"""What :class:`lenet_utils.widgets.DrawPad` writes into a page: style, elements and script.

The script computes a network from its list of layers; ``__SPEC__`` is that list with the weights, ``__ID__`` the
element's name, ``__ROWS__`` a table row for each class.
"""

from __future__ import annotations

STYLE = """<style>
.lenet-pad { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.lenet-pad canvas { border: 2px solid currentColor; border-radius: 6px; background: none; display: block; }
.lenet-pad canvas.pad { width: 224px; height: 224px; touch-action: none; cursor: crosshair; }
.lenet-pad canvas.seen { width: 84px; height: 84px; image-rendering: pixelated; }
.lenet-pad canvas:focus-visible, .lenet-pad button:focus-visible { outline: 3px solid #0072b2; outline-offset: 2px; }
.lenet-pad button { font: inherit; color: inherit; background: none; border: 2px solid currentColor;
  border-radius: 6px; padding: 0.3rem 0.9rem; min-height: 2.5rem; cursor: pointer; margin: 0.5rem 0; }
.lenet-pad output { display: block; min-height: 1.6em; font-weight: 600; }
.lenet-pad p { margin: 0.25rem 0; max-width: 224px; font-size: 0.85rem; }
.lenet-pad table { border-collapse: collapse; width: auto; margin: 0; font-size: 0.85rem; }
.lenet-pad th, .lenet-pad td { border: 0; padding: 0 0.4rem 0 0; text-align: left; background: none; }
.lenet-pad td:nth-child(2) { min-width: 110px; }
.lenet-pad td.share { text-align: right; min-width: 3.2em; font-variant-numeric: tabular-nums; }
.lenet-pad .bar { background: #0072b2; height: 0.8em; width: 0; max-width: 110px; }
</style>"""

BODY = """
<div>
<canvas class="pad" width="280" height="280" tabindex="0" role="application"
 aria-label="Pad: draw a digit. With the keyboard, arrow keys move the pen, space lowers or lifts it, Delete clears."
></canvas>
<button type="button">Clear</button>
<p>Mouse, pen or finger; or arrow keys, with space to lower or lift the pen.</p>
</div>
<div>
<output aria-live="polite">Draw a digit.</output>
<table aria-label="Probability of each class"><tbody>__ROWS__</tbody></table>
</div>
<div>
<p>What the network sees:</p>
<canvas class="seen" width="28" height="28" role="img" aria-label="The drawing, scaled and centred in 28 by 28 pixels"
></canvas>
</div>
"""

SCRIPT = """
(() => {
  const root = document.getElementById("__ID__");
  if (!root || root.network) return;
  const spec = __SPEC__;
  const bytes = Uint8Array.from(atob(spec.weights), (c) => c.charCodeAt(0));
  const weights = new Float32Array(bytes.buffer);
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

  // Logits for an image of 28×28 values, 0 for paper and 1 for full ink.
  function forward(image) {
    let x = new Float32Array(spec.size * spec.size).fill(spec.offset);
    for (let i = 0; i < 28; i++)
      for (let j = 0; j < 28; j++)
        x[(i + spec.margin) * spec.size + j + spec.margin] = image[28 * i + j] * spec.scale + spec.offset;
    for (const layer of spec.layers) x = kinds[layer.kind](x, layer);
    return x;
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

  const pad = root.querySelector(".pad"), pen = pad.getContext("2d", { willReadFrequently: true });
  const seen = root.querySelector(".seen").getContext("2d"), told = root.querySelector("output");
  const bars = [...root.querySelectorAll(".bar")], shares = [...root.querySelectorAll(".share")];
  let [down, x, y] = [false, 140, 140];

  function show() {
    const drawn = pen.getImageData(0, 0, 280, 280).data;
    const image = centre(Float32Array.from({ length: 280 * 280 }, (_, i) => drawn[4 * i + 3] / 255), 280, 280);
    const colour = getComputedStyle(root).color.match(/[\\d.]+/g).map(Number), pixels = seen.createImageData(28, 28);
    for (let i = 0; i < 784; i++) pixels.data.set([...colour.slice(0, 3), image ? 255 * image[i] : 0], 4 * i);
    seen.putImageData(pixels, 0, 0);
    const logits = image ? [...forward(image)] : spec.names.map(() => -Infinity);
    const most = Math.max(...logits), powers = logits.map((z) => (image ? Math.exp(z - most) : 0));
    const total = powers.reduce((a, b) => a + b, 0) || 1;
    bars.forEach((bar, i) => (bar.style.width = `${(110 * powers[i]) / total}px`));
    shares.forEach((share, i) => (share.textContent = image ? `${((100 * powers[i]) / total).toFixed(0)} %` : ""));
    const best = logits.indexOf(most);
    const sure = ((100 * powers[best]) / total).toFixed(0);
    told.textContent = image ? `Read as ${spec.names[best]} (${sure} %)` : "Draw a digit.";
  }

  function stroke(toX, toY) {
    pen.strokeStyle = getComputedStyle(root).color;
    pen.lineWidth = 22;
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath(); pen.moveTo(x, y); pen.lineTo(toX + 0.01, toY); pen.stroke(); // a dot is a very short line
    [x, y] = [toX, toY];
  }
  function clear() { pen.clearRect(0, 0, 280, 280); show(); }
  function where(event) {
    const box = pad.getBoundingClientRect();
    return [((event.clientX - box.left) * 280) / box.width, ((event.clientY - box.top) * 280) / box.height];
  }

  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    down = true;
    [x, y] = where(event);
    stroke(x, y);
    event.preventDefault();
  });
  pad.addEventListener("pointermove", (event) => { if (down && event.buttons) { stroke(...where(event)); show(); } });
  for (const name of ["pointerup", "pointercancel"])
    pad.addEventListener(name, () => { down = false; show(); });
  pad.addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [0, -14], ArrowDown: [0, 14], ArrowLeft: [-14, 0], ArrowRight: [14, 0] };
    const move = moves[event.key];
    if (move) {
      const to = [x + move[0], y + move[1]].map((n) => Math.min(Math.max(n, 14), 266));
      if (down) { stroke(...to); show(); } else [x, y] = to;
    } else if (event.key === " ") {
      down = !down;
      if (down) { stroke(x, y); show(); }
      else told.textContent += " Pen lifted.";
    } else if (event.key === "Delete" || event.key === "Backspace") clear();
    else return;
    event.preventDefault();
  });
  root.querySelector("button").addEventListener("click", clear);
  root.network = { forward, centre };
})();
"""
