"""Pieces of HTML and JavaScript that work in a notebook and in the site, with no server and no other file."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lenet_utils.counting import record_layers
from lenet_utils.inputs import prepare

SQUASHES = {nn.Tanh: "tanh", nn.ReLU: "relu", nn.Sigmoid: "sigmoid"}


class DrawPad:
    """A pad on which to draw a digit, and what a trained network takes it for, computed in the reader's browser.

    The drawing is treated as MNIST's digits were: scaled into 20×20 pixels, centred by mass in 28×28 (LeCun et al.
    1998, section III-A).  Mouse, pen, finger and keyboard all draw.

    Parameters
    ----------
    model : torch.nn.Module
        Trained; a plain chain of convolutions, pooling, squashing functions and dense layers, with an ``input_shape``.
    class_names : sequence of str
    scaling : {"unit", "standard", "paper"}
        As in training; see :func:`lenet_utils.data.prepare`.

    Raises
    ------
    ValueError
        If the network has a layer of another kind, or is no plain chain.
    """

    def __init__(self, model: nn.Module, class_names: Sequence[str], scaling: str = "standard") -> None:
        self.layers, self.weights = chain(model)
        size = model.input_shape[1]
        paper, ink = (float(prepare(torch.full((1, 28, 28), v), 28, scaling).mean()) for v in (0.0, 1.0))
        self.spec = {
            "layers": self.layers,
            "size": size,
            "margin": (size - 28) // 2,
            "offset": paper,
            "scale": ink - paper,
            "names": list(class_names),
            "weights": base64.b64encode(self.weights.numpy().astype("<f4").tobytes()).decode(),
        }

    def __repr__(self) -> str:
        return (
            f"DrawPad({len(self.layers)} layers, {len(self.weights):,} parameters): shown in notebooks and on the site"
        )

    def _repr_html_(self) -> str:
        text = json.dumps(self.spec)
        name = f"lenet-pad-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        rows = "".join(
            f'<tr><th scope="row">{html.escape(c)}</th><td><div class="bar"></div></td><td class="share"></td></tr>'
            for c in self.spec["names"]
        )
        script = SCRIPT.replace("__SPEC__", text).replace("__ID__", name)
        return (
            f'{STYLE}<div class="lenet-pad" id="{name}">{BODY.replace("__ROWS__", rows)}</div><script>{script}</script>'
        )


def chain(model: nn.Module) -> tuple[list[dict], Tensor]:
    """A network's layers in the order of computation, and all their weights in one row.

    Parameters
    ----------
    model : torch.nn.Module
        With an ``input_shape``.

    Returns
    -------
    layers : list of dict
        Kind, sizes, and where the weights begin.
    weights : torch.Tensor, shape (N,), float32, on the CPU
    """
    layers: list[dict] = []
    weights: list[Tensor] = []
    device = next(model.parameters()).device
    probe = torch.rand(2, *model.input_shape, generator=torch.Generator().manual_seed(0)).to(device)
    was_training = model.training
    with record_layers(model.eval()) as passed, torch.no_grad():
        answers = model(probe)
    x, shape = probe, tuple(model.input_shape)
    for name, layer, output in passed:
        row = _describe(name, layer, shape)
        if row:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                row["from"] = sum(map(len, weights))
                bias = layer.bias if layer.bias is not None else torch.zeros(len(layer.weight))
                weights += [layer.weight.detach().flatten().float().cpu(), bias.detach().float().cpu()]
            layers.append(row)
        with torch.no_grad():
            x = layer(x.flatten(1) if isinstance(layer, nn.Linear) else x)
        shape = tuple(output.shape[1:])
    model.train(was_training)
    if not torch.allclose(x.flatten(1), answers, atol=1e-5):
        raise ValueError(f"{type(model).__name__} is no plain chain of layers: its output is computed in another way.")
    return layers, torch.cat(weights)


def _describe(name: str, layer: nn.Module, shape: tuple[int, ...]) -> dict | None:
    def one(value: int | tuple[int, ...]) -> int:
        return value if isinstance(value, int) else value[0]

    if isinstance(layer, nn.Flatten | nn.Identity | nn.Dropout):
        return None
    if type(layer) in SQUASHES:
        return {"kind": SQUASHES[type(layer)]}
    if isinstance(layer, nn.Linear):
        return {"kind": "dense", "inputs": layer.in_features, "outputs": layer.out_features}
    if isinstance(layer, nn.Conv2d | nn.AvgPool2d | nn.MaxPool2d):
        kinds = {nn.Conv2d: "convolution", nn.AvgPool2d: "average", nn.MaxPool2d: "max"}
        row = {"kind": kinds[type(layer)], "k": one(layer.kernel_size), "s": one(layer.stride)}
        row |= {"p": one(layer.padding), "c": shape[0], "h": shape[1], "w": shape[2]}
        return row | ({"maps": layer.out_channels} if isinstance(layer, nn.Conv2d) else {})
    raise ValueError(
        f"A DrawPad cannot run layer {name!r} of type {type(layer).__name__}: it knows convolutions, average and max "
        f"pooling, dense layers, tanh, ReLU and the logistic function."
    )


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
