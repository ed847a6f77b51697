// One unit of a network taken apart: what it sees, term by term down to its value, and where it goes.

const told = (value) => value.toFixed(2).replace("-0.00", "0.00").replace("-", "−");
const signed = (value) => `${value < 0 ? "− " : "+ "}${Math.abs(value).toFixed(2)}`;
const span = (what, [from, to]) => (from === to ? `${what} ${from}` : `${what}s ${from}–${to}`);

/** The rows or columns below that a stretch of rows or columns of a layer rests on, clipped to what is there. */
function below(layer, [from, to], axis) {
  if (layer.kind === "same") return [from, to];
  if (!layer.k) return [0, layer.inputs[axis] - 1];
  return [Math.max(0, from * layer.s - layer.p), Math.min(layer.inputs[axis] - 1, to * layer.s - layer.p + layer.k - 1)];
}

/** The part of the input that a unit depends on. */
function fieldOf(layers, number, i, j) {
  let rows = [i, i], columns = [j, j];
  for (let n = number; n >= 0; n--) [rows, columns] = [below(layers[n], rows, 1), below(layers[n], columns, 2)];
  return { rows, columns };
}

/** Which units of the next layer read this one: { rows, columns, maps }, or null behind the last layer. */
function readersOf(network, number, m, i, j) {
  const next = network.layers[number + 1];
  if (!next) return null;
  const [count, h, w] = next.shape, maps = Array.from({ length: count }, (_, n) => n);
  if (!next.k) return { rows: [0, h - 1], columns: [0, w - 1], maps: next.kind === "same" ? [m] : maps };
  const reach = (at, size) => [Math.max(0, Math.ceil((at + next.p - next.k + 1) / next.s)), Math.min(size - 1, Math.floor((at + next.p) / next.s))];
  const [rows, columns] = [reach(i, h), reach(j, w)];
  if (rows[0] > rows[1] || columns[0] > columns[1]) return { rows, columns, maps: [] };
  return { rows, columns, maps: maps.filter((n) => network.linksOf(next, n).includes(m)) };
}

/** A unit's inputs in groups, one for each map it reads: { map, values, weights, at: places of the weights or null }. */
function termsOf(network, number, m, i, j) {
  const layer = network.layers[number], x = number ? network.layers[number - 1].values : network.input;
  const [c, h, w] = layer.inputs, units = h * w;
  if (!layer.k && layer.kind !== "same") // all of the layer below, map by map
    return Array.from({ length: c }, (_, map) => {
      const at = Array.from({ length: units }, (_, n) => layer.from + m * c * units + map * units + n);
      return { map, width: w, values: Array.from(x.subarray(map * units, (map + 1) * units)), weights: at.map((n) => network.weights[n]), at };
    });
  if (layer.kind === "same") return [{ map: m, width: 1, values: [x[(m * h + i) * w + j]], weights: [1], at: null }];
  return network.linksOf(layer, m).map((map, place) => {
    const values = [], weights = [], at = [];
    for (let u = 0; u < layer.k; u++)
      for (let v = 0; v < layer.k; v++) {
        const [row, column] = [i * layer.s - layer.p + u, j * layer.s - layer.p + v];
        values.push(row >= 0 && row < h && column >= 0 && column < w ? x[(map * h + row) * w + column] : 0);
        if (layer.kind === "convolution") at.push(network.kernelAt(layer, m, place) + u * layer.k + v);
        weights.push(layer.kind === "convolution" ? network.weights[at.at(-1)]
          : layer.kind === "subsampling" ? layer.weight * network.weights[layer.from + m] : 1 / layer.k ** 2);
      }
    return { map, width: layer.k, values, weights, at: at.length ? at : null };
  });
}

/**
 * @param place   the element that takes the account
 * @param hooks   { rerun(): after a weight was changed, toggle(layer, map), isOff(layer, map), restore(): all as learned }
 * @returns { choose(network, layer, map, row, column) → marks, update(), forget(), chosen }
 */
function makeUnitView(place, hooks) {
  let chosen = null, group = 0, editing = false, kept = new Map(), parts = {};
  const said = make("p", {}), heard = make("p", { className: "unseen", "aria-live": "polite" }), body = make("div", {});
  place.append(said, heard, body);

  function nameOf(network, number) { return number < 0 ? "the input" : titleOf(network.layers[number]); }

  /** A button among the actions; it has the focus afterwards, even where the actions were made anew. */
  function action(title, act, pressed) {
    const button = make("button", { type: "button", ...(pressed === undefined ? {} : { "aria-pressed": `${pressed}` }) }, title);
    button.addEventListener("click", () => {
      const place = [...parts.actions.children].indexOf(button);
      act();
      parts.actions.children[place]?.focus({ preventScroll: true });
    });
    parts.actions.append(button);
  }

  /** A grid of numbers, tinted by their size; with `edit` the cells take new ones. */
  function grid(title, values, width, colours, edit) {
    const limit = Math.max(1e-6, ...values.map(Math.abs)), table = make("table", { className: "numbers", "aria-label": title });
    for (let n = 0; n < values.length; n++) {
      const cell = (n % width ? table.rows[table.rows.length - 1] : table.insertRow()).insertCell();
      const tint = values[n] < 0 ? colours.minus : colours.plus;
      cell.style.backgroundColor = `rgba(${tint.join()},${(0.35 * Math.abs(values[n])) / limit})`;
      if (edit) cell.append(edit(n));
      else cell.textContent = told(values[n]);
    }
    return make("figure", {}, make("figcaption", {}, title), table);
  }

  function cell(network, at, row, column) {
    const input = make("input", {
      type: "number", step: "0.1", value: network.weights[at].toFixed(2), "aria-label": `weight in row ${row}, column ${column}`,
    });
    input.addEventListener("input", () => {
      if (!Number.isFinite(input.valueAsNumber)) return;
      if (!kept.has(at)) kept.set(at, network.weights[at]);
      network.weights[at] = Math.min(100, Math.max(-100, input.valueAsNumber));
      hooks.rerun();
    });
    return input;
  }

  function build() {
    const { network, number, m, i, j } = chosen, layer = network.layers[number];
    if (!layer) { // a pixel of the input: nothing lies below
      parts = { goes: make("p", {}) };
      body.replaceChildren(parts.goes);
      return;
    }
    const [line, text] = [(names) => make("div", { className: `line ${names}` }), () => make("p", { className: "numbers" })];
    parts = { maps: line("maps"), grids: line("grids"), sum: text(), goes: text(), actions: line("no-print") };
    body.replaceChildren(...Object.values(parts));
    const terms = termsOf(network, number, m, i, j);
    group = Math.min(group, terms.length - 1);
    if (layer.kind === "convolution" && terms[group].at) {
      action("Edit this kernel", () => { editing = !editing; refresh(); }, editing);
      const fill = (title, f) => action(title, () => {
        for (const [n, at] of terms[group].at.entries()) {
          if (!kept.has(at)) kept.set(at, network.weights[at]);
          network.weights[at] = f(Math.floor(n / layer.k), n % layer.k, at);
        }
        hooks.rerun();
        refresh();
      });
      if (editing) {
        const middle = (layer.k - 1) / 2;
        fill("Upright edge", (_, v) => Math.sign(v - middle) / layer.k);
        fill("Level edge", (u) => Math.sign(u - middle) / layer.k);
        fill("Blur", () => 1 / layer.k ** 2);
        fill("As learned", (_, __, at) => kept.get(at));
      }
    }
    const what = `${layer.shape[1] * layer.shape[2] > 1 ? "map" : "unit"} ${m}`;
    action(`Switch ${what} off`, () => { hooks.toggle(number, m); refresh(); }, hooks.isOff(number, m));
    action("Whole network as learned", hooks.restore);
  }

  function update() {
    if (!chosen) return;
    const { network, number, m, i, j } = chosen, layer = network.layers[number], colours = coloursOf(place);
    parts.goes.textContent = destination();
    if (!layer) {
      said.replaceChildren(make("strong", {}, `Input, row ${i}, column ${j}: ${told(network.input[i * network.spec.size + j])}.`));
      return;
    }
    const terms = termsOf(network, number, m, i, j), value = layer.values[(m * layer.shape[1] + i) * layer.shape[2] + j];
    const distances = layer.kind === "distances", maximum = layer.kind === "max";
    const maps = layer.inputs[1] * layer.inputs[2] > 1 && terms[0].values.length <= 64; // else too much for a grid of numbers
    const product = (x, weight) => (distances ? (x - weight) ** 2 : x * weight);
    const sums = terms.map(({ values, weights }) => maximum ? Math.max(...values) : values.reduce((sum, x, n) => sum + product(x, weights[n]), 0));
    const field = fieldOf(network.layers, number, i, j), source = nameOf(network, number - 1);
    const where = layer.shape[1] * layer.shape[2] > 1 ? `map ${m}, row ${i}, column ${j}`
      : number === network.layers.length - 1 ? `unit for ${network.spec.names[m]}` : `unit ${m}`;
    said.replaceChildren(make("strong", {}, `${titleOf(layer)}, ${where}: ${told(value)}. `),
      `It depends on ${span("row", field.rows)} and ${span("column", field.columns)} of the input`
      + (layer.links ? `, through ${source}’s maps ${terms.map((term) => term.map).join(", ")} (its column of Table I).` : "."));

    const bias = network.biasAt(layer, m) < 0 ? null : network.weights[network.biasAt(layer, m)];
    if (maps && terms.length > 1) { // one button a map; its terms stand below
      const buttons = terms.map((term, n) => {
        const button = make("button", { type: "button", "aria-pressed": `${n === group}` }, `${source} ${term.map}: ${told(sums[n])}`);
        button.addEventListener("click", () => { group = n; refresh(); parts.maps.children[n].focus(); });
        return button;
      });
      if (parts.maps.children.length) for (const [n, button] of buttons.entries()) parts.maps.children[n].firstChild.data = button.textContent;
      else parts.maps.append(...buttons);
    }
    const flat = maps ? null : terms.flatMap(({ values, weights, width, map }) => values.map((x, n) => {
      const place = values.length > 1 ? `, row ${Math.floor(n / width)}, column ${n % width}` : "";
      return { name: `${source} ${map}${place}`, x, weight: weights[n], y: product(x, weights[n]) };
    }));
    if (flat) { // a vector: the terms that weigh most, and the rest in one number
      const most = flat.toSorted((a, b) => Math.abs(b.y) - Math.abs(a.y)), table = make("table", { className: "numbers", "aria-label": "the ten largest terms" });
      const row = (...texts) => { const cells = table.insertRow(); for (const text of texts) cells.insertCell().textContent = text; };
      for (const { name, x, weight, y } of most.slice(0, 10))
        row(name, distances ? `(${told(x)} − ${told(weight)})²` : `${told(x)} × ${told(weight)}`, `= ${told(y)}`);
      if (most.length > 10) row(`the other ${most.length - 10}`, "", told(most.slice(10).reduce((sum, { y }) => sum + y, 0)));
      const pictures = [["values below", flat.map(({ x }) => x)], [distances ? "prototype" : "weights", flat.map(({ weight }) => weight)], [distances ? "squares" : "products", flat.map(({ y }) => y)]];
      parts.grids.replaceChildren(...pictures.map(([title, values]) => {
        const canvas = make("canvas", { className: "pixels vector", role: "img", "aria-label": title });
        drawMaps(canvas, [terms.length, terms[0].values.length / terms[0].width, terms[0].width], values, colours);
        return make("figure", {}, make("figcaption", {}, title), canvas);
      }), table);
    } else {
      const { values, weights, width, at } = terms[group], products = values.map((x, n) => product(x, weights[n]));
      const under = grid(number ? `${source}, map ${terms[group].map}, under the window` : "the input under the window", values, width, colours);
      const figures = [under];
      if (!maximum) {
        const focused = parts.kernel?.contains(document.activeElement) && parts.kernel.isConnected;
        parts.kernel = focused ? parts.kernel : grid(layer.k && at ? "× the kernel" : at ? "× the weights" : "× the weight", weights, width, colours,
          editing && layer.k && at ? (n) => cell(network, at[n], Math.floor(n / width), n % width) : null);
        figures.push(parts.kernel, grid("= products", products, width, colours));
      }
      if (parts.grids.children.length === figures.length && figures[1] === parts.grids.children[1]) { // a cell is being typed into
        parts.grids.replaceChild(figures[0], parts.grids.children[0]);
        parts.grids.replaceChild(figures[2], parts.grids.children[2]);
      } else parts.grids.replaceChildren(...figures);
    }

    const total = maximum ? Math.max(...sums) : sums.reduce((a, b) => a + b, 0) + (bias ?? 0);
    const written = sums.length <= 8 ? sums.map((sum, n) => (n ? signed(sum) : told(sum))).join(" ") : `sum of ${sums.length} ${maps ? "maps" : "terms"} ${told(sums.reduce((a, b) => a + b, 0))}`;
    parts.sum.textContent = (maximum ? `The largest is ${told(total)}`
      : sums.length === 1 && bias === null ? `The products add up to ${told(total)}` : `${written}${bias === null ? "" : ` ${signed(bias)} (bias)`} = ${told(total)}`)
      + (layer.squash ? `; ${SQUASH_NAMES[layer.squash]} makes of it ${told(hooks.isOff(number, m) ? SQUASHES[layer.squash](total) : value)}` : "")
      + (hooks.isOff(number, m) ? "; switched off, it passes on 0." : ".");
  }

  /** Where a unit's value goes, in one sentence. */
  function destination() {
    const { network, number, m, i, j } = chosen, readers = readersOf(network, number, m, i, j), next = network.layers[number + 1];
    const many = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
    if (!readers) return `This is an answer: the ${network.spec.smallestWins ? "smallest" : "largest"} of the ${network.spec.names.length} wins.`;
    if (!readers.maps.length) return `No unit of ${titleOf(next)} reads it.`;
    if (next.shape[1] * next.shape[2] === 1) return `It goes to all ${many(next.shape[0], "unit")} of ${titleOf(next)}.`;
    const which = readers.maps.length < next.shape[0] ? ` (${readers.maps.join(", ")})` : "";
    return `It goes to ${titleOf(next)}: ${many(readers.maps.length, "map")}${which}, ${span("row", readers.rows)}, ${span("column", readers.columns)}${readers.maps.length > 1 ? " of each" : ""}.`;
  }

  function refresh() { build(); update(); }

  function forget() {
    chosen = null;
    body.replaceChildren();
    said.replaceChildren("Click any unit in the pictures above, and see how it comes to its value. With the keyboard: Tab to a picture, then arrow keys.");
  }
  forget();

  return {
    update,
    forget,
    get chosen() { return chosen; },
    choose(network, number, m, i, j) {
      if (chosen?.network !== network) { kept = new Map(); group = 0; }
      if (chosen && (chosen.number !== number || chosen.m !== m)) { editing = editing && chosen.number === number; group = 0; }
      chosen = { network, number, m, i, j };
      parts = {};
      refresh();
      heard.textContent = said.textContent;
      const layer = network.layers[number], [, h, w] = layer?.shape ?? [];
      const marks = [{ layer: number, map: m, rows: [i, i], columns: [j, j], kind: "chosen" }];
      if (h * w > 1) marks.push({ layer: number, map: m, rows: [0, h - 1], columns: [0, w - 1], kind: "map" });
      if (layer) marks.push({ layer: -1, map: 0, ...fieldOf(network.layers, number, i, j), kind: "field" });
      if (number > 0 && layer.k)
        for (const map of network.linksOf(layer, m)) marks.push({ layer: number - 1, map, rows: below(layer, [i, i], 1), columns: below(layer, [j, j], 2), kind: "window" });
      const readers = readersOf(network, number, m, i, j), all = network.layers[number + 1]?.shape;
      if (all?.[1] * all?.[2] === 1 && all[0] === readers.maps.length) marks.push({ layer: number + 1, kind: "reader" });
      else for (const map of readers?.maps ?? []) marks.push({ layer: number + 1, map, rows: readers.rows, columns: readers.columns, kind: "reader" });
      return marks;
    },
  };
}
