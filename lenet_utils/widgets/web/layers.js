// The layers of a network as pictures, in the order of computation; a unit can be chosen in each.

const SQUASH_NAMES = { tanh: "tanh", relu: "ReLU", sigmoid: "logistic function", scaled: "1.7159 tanh(2a/3)" };

/** How a layer is called, and how it came about. */
function titleOf(layer) { return layer.name.length <= 2 ? layer.name.toUpperCase() : layer.name[0].toUpperCase() + layer.name.slice(1); }
function sizeOf([maps, rows, columns]) {
  return rows * columns === 1 ? `${maps}` : `${maps > 1 ? `${maps}@` : ""}${rows}×${columns}`;
}
function originOf(layer) {
  const how = {
    convolution: `${layer.k}×${layer.k} convolution`, average: `${layer.k}×${layer.k} average`, max: `${layer.k}×${layer.k} maximum`,
    subsampling: `${layer.k}×${layer.k} subsampling`, dense: "full connection", distances: "distances", same: "",
  }[layer.kind];
  return [how, SQUASH_NAMES[layer.squash]].filter(Boolean).join(", ");
}

/** Columns in which maps or units are laid out: the diagram's stacks laid side by side; F6 as the 7×12 pixels of 1998. */
function columnsOf([maps]) { return { 6: 3, 10: 5, 84: 7, 120: 12 }[maps] ?? Math.ceil(Math.sqrt(maps)); }

/** Where a layer's maps stand in its picture: side by side, each unit `zoom` pixels wide, a line between maps. */
function layOut(shape) {
  const [maps, h, w] = shape, columns = columnsOf(shape), lines = Math.ceil(maps / columns), gap = h * w > 1 && maps > 1 ? 4 : 0;
  const zoom = Math.min(h * w === 1 && maps <= 10 ? 56 : 20, Math.max(1, Math.round(344 / Math.max(columns * w, lines * h))));
  const step = [zoom * w + gap, zoom * h + gap];
  return {
    columns, lines, zoom, step, width: columns * step[0] - gap, height: lines * step[1] - gap,
    corner: (m) => [(m % columns) * step[0], Math.floor(m / columns) * step[1]],
  };
}

/** Draw a layer's maps: blue above zero, orange below, a cross over a map that is switched off. */
function drawMaps(canvas, shape, values, colours, isOff = () => false) {
  const [maps, h, w] = shape, { zoom, width, height, corner } = layOut(shape);
  const small = make("canvas", { width: w, height: maps * h }), pen = canvas.getContext("2d");
  const limit = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
  drawNumbers(small, values, w, maps * h, { limit, colours, signed: true });
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  pen.imageSmoothingEnabled = false;
  pen.fillStyle = pen.strokeStyle = `rgba(${colours.ink.join()},0.35)`;
  pen.clearRect(0, 0, width, height);
  if (h * w > 1) pen.fillRect(0, 0, width, height);
  for (let m = 0; m < maps; m++) {
    const [left, top] = corner(m), [right, bottom] = [left + zoom * w, top + zoom * h];
    pen.clearRect(left, top, zoom * w, zoom * h);
    pen.drawImage(small, 0, m * h, w, h, left, top, zoom * w, zoom * h);
    if (!isOff(m)) continue;
    pen.lineWidth = 3;
    pen.beginPath();
    pen.moveTo(left, top); pen.lineTo(right, bottom); pen.moveTo(right, top); pen.lineTo(left, bottom);
    pen.stroke();
  }
}

/**
 * @param place   the element that takes the pictures
 * @param choose  called with (layer's number, map, row, column); the input's number is -1
 * @returns { show(network, isOff), mark(marks) } where a mark is { layer, map, rows: [from, to], columns, kind }; without
 *          a map it is the whole picture
 */
function makeLayersView(place, choose) {
  let blocks = [], colours;

  function build(network) {
    const rows = [{ name: "input", shape: [1, network.spec.size, network.spec.size], kind: "same" }, ...network.layers];
    blocks = rows.map((layer, n) => block(layer, n - 1));
    place.replaceChildren(...blocks.map(({ figure }) => figure));
  }

  function block(layer, number) {
    const { width, height, zoom, step, corner, columns, lines } = layOut(layer.shape), [maps, h, w] = layer.shape, title = titleOf(layer);
    const which = make("span", {}), canvas = make("canvas", {
      className: "pixels", tabIndex: 0, role: "application",
      "aria-label": `${title}: ${maps > 1 ? `${maps} ${h * w > 1 ? "maps" : "units"}` : "one map"}${h * w > 1 ? ` of ${h}×${w} units` : ""}. Arrow keys choose one.`,
    });
    const marks = make("div", { className: "marks" });
    const figure = make("figure", { className: "layer" },
      make("figcaption", {}, make("strong", {}, title), `: ${sizeOf(layer.shape)}`, which),
      make("div", { className: "picture" }, canvas, marks), make("p", { className: "quiet" }, originOf(layer)));
    canvas.style.aspectRatio = `${width} / ${height}`;
    figure.style.setProperty("--wide", `${width / 2.3}px`);
    const self = { figure, canvas, marks, which, shape: layer.shape, at: null };
    const inside = (n, size) => Math.min(Math.max(n, 0), size - 1);
    canvas.addEventListener("click", (event) => {
      const box = canvas.getBoundingClientRect();
      const x = ((event.clientX - box.left) * width) / box.width, y = ((event.clientY - box.top) * height) / box.height;
      const m = Math.min(maps - 1, inside(Math.floor(y / step[1]), lines) * columns + inside(Math.floor(x / step[0]), columns));
      const [left, top] = corner(m); // what lies between two maps counts to the one before
      choose(number, m, inside(Math.floor((y - top) / zoom), h), inside(Math.floor((x - left) / zoom), w));
    });
    canvas.addEventListener("keydown", (event) => {
      const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      if (!self.at) return choose(number, 0, h >> 1, w >> 1); // the first key chooses the middle of the first map
      let [m, i, j] = [self.at[0], self.at[1] + move[0], self.at[2] + move[1]];
      if (j < 0 && m % columns > 0) [m, j] = [m - 1, w - 1];
      if (j >= w && (m % columns) + 1 < columns && m + 1 < maps) [m, j] = [m + 1, 0];
      if (i < 0 && m >= columns) [m, i] = [m - columns, h - 1];
      if (i >= h && m + columns < maps) [m, i] = [m + columns, 0];
      choose(number, m, inside(i, h), inside(j, w));
    });
    return self;
  }

  let shown = null;
  return {
    show(network, isOff) {
      if (shown !== network.spec) { build(network); shown = network.spec; }
      colours = coloursOf(place);
      for (const [n, { canvas, shape }] of blocks.entries()) {
        const values = n ? network.layers[n - 1].values : network.input.map((v) => v - network.spec.offset);
        drawMaps(canvas, shape, values, n ? colours : { ...colours, plus: colours.ink, minus: colours.ink }, (m) => isOff(n - 1, m));
      }
    },
    mark(marks) {
      for (const block of blocks) { block.marks.replaceChildren(); block.which.textContent = ""; }
      for (const { layer, map, rows, columns, kind } of marks) {
        const block = blocks[layer + 1], { width, height, zoom, corner } = layOut(block.shape), mark = make("span", { className: kind });
        block.marks.append(mark);
        if (map === undefined) { mark.style.inset = 0; continue; }
        const [left, top] = corner(map), [maps, h, w] = block.shape;
        if (kind === "chosen") {
          block.at = [map, rows[0], columns[0]];
          if (maps > 1) block.which.textContent = `, ${h * w > 1 ? "map" : "unit"} ${map}`;
        }
        mark.style.cssText = `left:${(100 * (left + zoom * columns[0])) / width}%;top:${(100 * (top + zoom * rows[0])) / height}%;`
          + `width:${(100 * zoom * (columns[1] - columns[0] + 1)) / width}%;height:${(100 * zoom * (rows[1] - rows[0] + 1)) / height}%`;
      }
    },
  };
}
