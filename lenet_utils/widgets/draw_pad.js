// The drawing pad: every element of class lenet-pad that is not at work yet gets its canvas, its keys and its network.

// A row of the table: a class's name, the bar of its probability, and the probability.
function addRow(body, name) {
  const row = body.insertRow();
  const header = document.createElement("th"), bar = document.createElement("div");
  header.scope = "row";
  header.textContent = name;
  bar.className = "bar";
  row.append(header);
  row.insertCell().append(bar);
  const share = row.insertCell();
  share.className = "share";
  return { bar, share };
}

function startPad(root) {
  const spec = JSON.parse(root.querySelector("script").textContent);
  const forward = makeNetwork(spec);

  const pad = root.querySelector(".pad"), pen = pad.getContext("2d", { willReadFrequently: true });
  const seen = root.querySelector(".seen").getContext("2d"), told = root.querySelector("output");
  const rows = spec.names.map((name) => addRow(root.querySelector("tbody"), name));
  let [down, x, y] = [false, 140, 140];

  function show() {
    const drawn = pen.getImageData(0, 0, 280, 280).data;
    const image = centre(Float32Array.from({ length: 280 * 280 }, (_, i) => drawn[4 * i + 3] / 255), 280, 280);
    const colour = getComputedStyle(root).color.match(/[\d.]+/g).map(Number), pixels = seen.createImageData(28, 28);
    for (let i = 0; i < 784; i++) pixels.data.set([...colour.slice(0, 3), image ? 255 * image[i] : 0], 4 * i);
    seen.putImageData(pixels, 0, 0);
    const logits = image ? [...forward(image)] : spec.names.map(() => -Infinity);
    const most = Math.max(...logits), powers = logits.map((z) => (image ? Math.exp(z - most) : 0));
    const total = powers.reduce((a, b) => a + b, 0) || 1;
    for (const [i, power] of powers.entries()) {
      rows[i].bar.style.width = `${(110 * power) / total}px`;
      rows[i].share.textContent = image ? `${((100 * power) / total).toFixed(0)} %` : "";
    }
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
}

for (const root of document.querySelectorAll(".lenet-pad:not([data-started])")) {
  root.dataset.started = "";
  startPad(root);
}
