// The embedding lab: thousands of images as points, layer by layer, untrained and trained.

const HUES = ["1f77b4", "ff7f0e", "2ca02c", "d62728", "9467bd", "8c564b", "e377c2", "7f7f7f", "bcbd22", "17becf"]; // tab10
const WRITTEN = 4, MOST = 150, AROUND = 25, NEIGHBOURS = 10; // the zoom from which images are drawn; images in a list

/** What lenet_utils.widgets.embedding_lab packed: labels, answers, pictures (x, y, x, y, … from 0 to 1), units, images. */
async function unpack({ count, pictures, packed, side, step, network }) {
  const squeezed = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  const opened = new Blob([squeezed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(opened).arrayBuffer());
  let from = 0;
  const take = (length) => {
    from += length;
    return bytes.subarray(from - length, from);
  };
  const fours = (length) => {
    const held = take(Math.ceil(length / 4));
    return Uint8Array.from({ length }, (_, k) => (held[k >> 2] >> (2 * (k & 3))) & 3);
  };
  const labels = take(count), answers = take(count), length = 2 * count * (Math.max(...pictures.flat()) + 1);
  const high = take(length), low = fours(length);
  const places = Array.from({ length: length / (2 * count) }, (_, p) => Float32Array.from({ length: 2 * count }, (_, k) => {
    const n = 2 * count * p + count * (k & 1) + (k >> 1);
    return (4 * high[n] + low[n]) / 1023;
  }));
  const units = take(count * step.length), images = fours(count * side * side);
  if (network) { // its weights: of each the lower byte, then of each the higher
    const halves = take(2 * network.count);
    network.bytes = Uint8Array.from(halves, (_, k) => halves[(k & 1) * network.count + (k >> 1)]);
  }
  return { labels, answers, places, units, image: (n) => images.subarray(n * side * side, (n + 1) * side * side) };
}

async function startLab(root, spec) {
  const find = (selector) => root.querySelector(selector), { names, side, count, layers, step, lowest } = spec;
  if (!window.DecompressionStream) {
    find(".seen").textContent = "This browser is too old for this picture: please open the page in a newer one.";
    return;
  }
  const { labels, answers, places, units, image } = await unpack(spec);
  const layer = find(".layer"), net = find(".net"), shown = find(".marks"), canvas = find(".picture");
  const numbers = Array.from({ length: count }, (_, n) => n), wrong = numbers.filter((n) => labels[n] !== answers[n]);
  const short = names.every((name) => name.length === 1) ? names : names.map((_, k) => String(k));
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let chosen = wrong[0] ?? 0, over = -1, inside = null, placed = null, rows = [], row, colours, hues, sprites;
  layer.append(...layers.map((name) => make("option", { textContent: name })));
  layer.value = layers.at(-1);

  // --- marks: a numeral, or from some zoom on the image with its numeral --------------------------------------------

  function restyle() {
    colours = coloursOf(root);
    const dark = colours.ink[0] + colours.ink[1] + colours.ink[2] > 384;
    hues = HUES.map((hue) => [0, 2, 4].map((k) => {
      const value = Number.parseInt(hue.slice(k, k + 2), 16);
      return Math.round(dark ? value + 0.35 * (255 - value) : 0.75 * value);
    }));
    sprites = new Map();
    rows = [];
    showDigit();
    showInside();
    points.draw();
  }
  const kindOf = (n) => (shown.value === "answer" ? answers[n] : labels[n]);
  const wordOf = (n) => (shown.value === "errors" && labels[n] !== answers[n]
    ? `${short[labels[n]]}→${short[answers[n]]}` : short[kindOf(n)]);

  /** A word in a class's colour. */
  function numeral(word, kind, size) {
    const key = `${word} ${kind} ${size}`;
    if (!sprites.has(key)) {
      const canvas = make("canvas"), pen = canvas.getContext("2d", { willReadFrequently: true });
      const font = `bold ${size}px system-ui, sans-serif`;
      pen.font = font;
      [canvas.width, canvas.height] = [Math.ceil(pen.measureText(word).width) + 2, Math.ceil(1.2 * size)];
      Object.assign(pen, { font, textAlign: "center", textBaseline: "middle", fillStyle: `rgb(${hues[kind % 10]})` });
      pen.fillText(word, canvas.width / 2, canvas.height / 2);
      const { width, data } = pen.getImageData(0, 0, canvas.width, canvas.height);
      sprites.set(key, makeMark(new Uint32Array(data.buffer), width));
    }
    return sprites.get(key);
  }
  /** An image in a class's colour, so many pixels wide. */
  function written(n, wide) {
    const values = image(n), [red, green, blue] = hues[kindOf(n) % 10], pixels = new Uint32Array(wide * wide);
    const value = (i, j) => (i < 0 || j < 0 || i >= side || j >= side ? 0 : values[i * side + j]);
    for (let i = 0; i < wide; i++)
      for (let j = 0; j < wide; j++) {
        const y = ((i + 0.5) * side) / wide - 0.5, x = ((j + 0.5) * side) / wide - 0.5;
        const [k, l] = [Math.floor(y), Math.floor(x)], [v, u] = [y - k, x - l];
        const upper = (1 - u) * value(k, l) + u * value(k, l + 1);
        const lower = (1 - u) * value(k + 1, l) + u * value(k + 1, l + 1);
        pixels[i * wide + j] = ((85 * ((1 - v) * upper + v * lower)) << 24) | (blue << 16) | (green << 8) | red;
      }
    return makeMark(pixels, wide);
  }
  const marks = {
    current: () => (over < 0 ? chosen : over),
    faint: (n) => (inside?.has(n) === false) || (shown.value === "errors" && labels[n] === answers[n]),
    begin(zoom, ratio) {
      const wide = zoom < WRITTEN ? 0 : 8 * Math.round(Math.min(5, 0.625 * zoom) * ratio); // in few sizes
      const size = Math.round((wide ? 9 : Math.min(15, 9 * zoom ** 0.4)) * ratio), made = `${shown.value} ${size} ${wide}`;
      row = rows.find((one) => one.made === made) ?? { made, wide, size, all: [] };
      rows = [row, ...rows.filter((one) => one !== row)].slice(0, 3); // while one zooms, they are needed again
    },
    of(n) {
      row.all[n] ??= row.wide
        ? [[written(n, row.wide), 0], [numeral(wordOf(n), kindOf(n), row.size), Math.round(0.45 * row.wide)]]
        : [[numeral(wordOf(n), kindOf(n), row.size), 0]];
      return row.all[n];
    },
    over(pen, at, pane, zoom) {
      pen.strokeStyle = pen.fillStyle = `rgb(${colours.ink})`;
      pen.lineWidth = 2;
      pen.font = "bold 14px system-ui, sans-serif";
      if (net.value === "2") pen.fillText(net.options[1 - pane.name].text, pane.left + 8, pane.top + 20);
      const ring = (n, radius) => { pen.beginPath(); pen.arc(...at(n), radius, 0, 7); pen.stroke(); };
      ring(marks.current(), zoom >= WRITTEN ? 24 : 11);
      if (!placed) return;
      const ends = placed.map(at), mean = [0, 1].map((k) => ends.reduce((sum, end) => sum + end[k], 0) / ends.length);
      pen.lineWidth = 1;
      for (const end of ends) { pen.beginPath(); pen.moveTo(...mean); pen.lineTo(...end); pen.stroke(); }
      pen.lineWidth = 4;
      for (const tilt of [1, -1]) {
        pen.beginPath();
        pen.moveTo(mean[0] - 7, mean[1] - 7 * tilt);
        pen.lineTo(mean[0] + 7, mean[1] + 7 * tilt);
        pen.stroke();
      }
      pen.fillText("yours", mean[0] + 10, mean[1] + 5);
    },
  };

  // --- what is said --------------------------------------------------------------------------------------------------

  function showDigit() {
    const n = marks.current();
    drawNumbers(find(".digit"), image(n), side, side, { limit: 3, colours });
    find(".digit").setAttribute("aria-label", `A handwritten image labelled ${names[labels[n]]}`);
    find(".said").setAttribute("aria-live", over < 0 ? "polite" : "off"); // a mouse passes many
    find(".said").textContent = `Label: ${names[labels[n]]}. The network's answer: ${names[answers[n]]}${
      labels[n] === answers[n] ? "." : ", misread."}`;
  }
  function counts(found) {
    const each = names.map((name, k) => [found.filter((n) => labels[n] === k).length, name]).filter(([many]) => many);
    return each.sort((a, b) => b[0] - a[0]).map(([many, name]) => `${many} × ${name}`).join(", ");
  }
  function choose(found, words) {
    inside = found.length ? new Set(found) : null;
    placed = null;
    find(".inside").hidden = false;
    const bad = found.filter((n) => labels[n] !== answers[n]).length;
    const misread = bad ? `The network misreads ${bad} of them, framed here.` : "The network misreads none of them.";
    const rest = found.length > MOST ? ` The first ${MOST} are shown.` : "";
    find(".counted").textContent = found.length ? `${words}: ${counts(found)}. ${misread}${rest}`
      : "Nothing lies inside: draw the line around some marks.";
    showInside();
    points.draw();
  }
  function forget() {
    inside = placed = null;
    find(".inside").hidden = true;
    points.forget();
  }
  function showInside() {
    const found = [...(inside ?? [])].slice(0, MOST), each = 2 * side;
    const all = find(".digits"), pen = all.getContext("2d");
    all.hidden = !found.length;
    if (!found.length) return;
    const columns = Math.min(found.length, Math.max(1, Math.floor((root.clientWidth - 32) / each)));
    [all.width, all.height] = [2 * columns * each, 2 * Math.ceil(found.length / columns) * each];
    all.style.width = `${columns * each}px`;
    const one = make("canvas");
    pen.strokeStyle = `rgb(${colours.ink})`;
    pen.lineWidth = 3;
    for (const [k, n] of found.entries()) {
      const [x, y] = [2 * each * (k % columns), 2 * each * Math.floor(k / columns)];
      drawNumbers(one, image(n), side, side, { limit: 3, colours });
      pen.drawImage(one, x + 4, y + 4, 2 * each - 8, 2 * each - 8);
      if (labels[n] !== answers[n]) pen.strokeRect(x + 2, y + 2, 2 * each - 4, 2 * each - 4);
    }
    all.setAttribute("aria-label", `Images labelled ${found.map((n) => names[labels[n]]).join(", ")}`);
  }

  // --- what the reader does ------------------------------------------------------------------------------------------

  const points = makePoints(canvas, marks, {
    over(n) { if (n !== over) { over = n; showDigit(); points.draw(); } },
    chosen(n) { [chosen, over] = [n, -1]; showDigit(); points.draw(); },
    encircled: (found) => choose(found, `${found.length} inside`),
    key(event) {
      if (event.key === "Enter") around();
      else if (event.key === "Escape") forget();
      else return false;
      return true;
    },
  });
  function around() {
    const [x, y] = points.at(chosen), far = numbers.map((n) => {
      const [u, v] = points.at(n);
      return (u - x) ** 2 + (v - y) ** 2;
    });
    const found = numbers.filter((n) => n !== chosen).sort((a, b) => far[a] - far[b]).slice(0, AROUND);
    points.forget();
    choose(found, `The ${found.length} nearest to this ${names[labels[chosen]]} in the picture`);
  }
  function show() {
    const pair = pairOf(), which = net.value === "2" ? [0, 1] : [Number(net.value)];
    root.classList.toggle("two", which.length === 2);
    points.show(which.map((k) => ({ name: k, places: places[pair[k]] })), still.matches);
    say();
  }
  function say() {
    const [before, after] = pairOf(), nets = ["the network before its first step", "the trained network"];
    const where = before === after ? "by their pixels, which no network has touched"
      : net.value === "2" ? `as ${layer.value} has them, before training and after it`
        : `as ${layer.value} of ${nets[net.value]} has them`;
    const how = {
      label: "The mark is the label", answer: "The mark is the trained network's answer",
      errors: `4→9 is a 4 that the trained network reads as 9; it misreads ${wrong.length}, the others are faint`,
    }[shown.value];
    const legend = short === names ? "" : ` (${names.map((name, k) => `${k} ${name}`).join(", ")})`;
    find(".seen").textContent = `${count.toLocaleString("en")} test images, ${where}. ${how}${legend}.`;
    canvas.setAttribute("aria-label", `Map of ${count} test images, ${where}; alike ones lie together. Arrow keys go `
      + "from image to image, Enter picks the 25 nearest, plus and minus enlarge and make smaller.");
  }
  const pairOf = () => spec.pictures[layers.indexOf(layer.value)];

  for (const select of [layer, net]) select.addEventListener("change", show);
  shown.addEventListener("change", () => { say(); points.draw(); });
  find(".in").addEventListener("click", () => points.zoomBy(1.5, points.at(chosen)));
  find(".out").addEventListener("click", () => points.zoomBy(1 / 1.5));
  find(".whole").addEventListener("click", points.whole);
  find(".around").addEventListener("click", around);
  find(".forget").addEventListener("click", () => { forget(); canvas.focus({ preventScroll: true }); });
  find(".lasso").addEventListener("click", (event) => {
    const on = event.currentTarget.getAttribute("aria-pressed") !== "true";
    event.currentTarget.setAttribute("aria-pressed", String(on));
    points.useLasso(on);
  });
  onNewColours(restyle);
  new ResizeObserver(showInside).observe(root);

  // --- an image of the reader's ---------------------------------------------------------------------------------------

  /**
   * Mark a new image by its nearest neighbours in the last layer of the trained network: a cross at the mean of their
   * places, and a line to each.  That is no t-SNE, which has no place for a new image.
   * @param {ArrayLike<number>|null} features  what that layer passes on for the image; null takes the mark away
   * @returns {number[]} the neighbours' numbers, nearest first
   */
  function place(features) {
    if (features === null) { forget(); return []; }
    if (features.length !== step.length)
      throw new Error(`place() needs the ${step.length} numbers of ${layers.at(-1)}; got ${features.length}.`);
    const far = numbers.map((n) => {
      let sum = 0;
      for (let u = 0; u < step.length; u++)
        sum += (lowest[u] + step[u] * units[n * step.length + u] - features[u]) ** 2;
      return sum;
    });
    const found = [...numbers].sort((a, b) => far[a] - far[b]).slice(0, NEIGHBOURS);
    layer.value = layers.at(-1);
    if (net.value === "0") net.value = "1";
    show();
    choose(found, `The ${found.length} nearest to yours in ${layer.value}, by all its ${step.length} numbers`);
    find(".counted").textContent
      += " The cross is the mean of their places: t-SNE itself has no place for a new image.";
    placed = found;
    return found;
  }

  /** Let the reader draw, and place the drawing when the pen rests. */
  function drawn() {
    const network = makeNetwork(spec.network), last = network.layers.find(({ name }) => name === spec.last);
    let resting;
    function look() {
      const image = normalise(surface.ink(), SIDE, SIDE)?.image, answer = image && answerOf(spec.network, network.run(image));
      drawNumbers(find(".normal"), image ?? [], 28, 28, { limit: 1, colours });
      find(".read").textContent = answer
        ? `Read as ${names[answer.best]} (${(100 * answer.shares[answer.best]).toFixed(0)} %).` : "Draw a digit.";
      place(image ? last.values : null);
    }
    const surface = makeSurface(find(".pad"), () => {
      clearTimeout(resting);
      resting = setTimeout(look, 100);
    }, (words) => { find(".heard").textContent = words; });
    find(".undo").addEventListener("click", surface.undo);
    find(".clear").addEventListener("click", surface.clear);
    find(".yours").hidden = false;
    onNewColours(() => { surface.redraw(); look(); });
  }

  restyle();
  show();
  if (spec.network) drawn();
  root.lab = { place, points, labels, answers, places, image, inside: () => [...(inside ?? [])], current: marks.current };
}

startEach("lenet-embedding-lab", startLab);
