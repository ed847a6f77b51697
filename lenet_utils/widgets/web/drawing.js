// A surface to draw on with mouse, pen, finger or keyboard; every stroke, picture and clearing can be undone.

const SIDE = 280, PEN = 22, STEP = 14; // in the surface's own pixels

/**
 * @param canvas   280×280; its opaqueness is the ink; the element after it shows where a keyboard's pen stands
 * @param changed  called after every change
 * @param say      called with what a keyboard's user must hear
 * @returns { ink, put, undo, clear, redraw, last } where `last` is what was done last, of the kind "stroke", "blank"
 *          or what `put` was told; undefined if nothing was
 */
function makeSurface(canvas, changed, say) {
  const pen = canvas.getContext("2d", { willReadFrequently: true }), cursor = canvas.nextElementSibling;
  let acts = [], holder = null, lowered = false, [x, y] = [SIDE / 2, SIDE / 2];

  function redraw() {
    pen.clearRect(0, 0, SIDE, SIDE);
    for (const act of acts.slice(Math.max(0, acts.findLastIndex(({ anew }) => anew)))) act.draw();
  }
  function add(act) {
    acts.push(act);
    redraw();
    changed();
  }
  function line(from, to) {
    pen.strokeStyle = getComputedStyle(canvas).color;
    pen.lineWidth = PEN;
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(to[0] + 0.01, to[1]); // a dot is a very short line
    pen.stroke();
  }
  function begin() { // a stroke on a picture begins a new drawing
    const points = [[x, y]], before = acts.at(-1)?.kind;
    const draw = () => { for (const [n, point] of points.entries()) line(points[Math.max(0, n - 1)], point); }; // as it grew
    add({ kind: "stroke", points, anew: Boolean(before) && before !== "stroke", draw });
  }
  function go(to) {
    const { points } = acts.at(-1);
    line(points.at(-1), to);
    points.push(to);
    [x, y] = to;
    changed();
  }
  function where(event) {
    const box = canvas.getBoundingClientRect(), [wide, high] = [canvas.clientWidth, canvas.clientHeight];
    return [((event.clientX - box.left - canvas.clientLeft) * SIDE) / wide, ((event.clientY - box.top - canvas.clientTop) * SIDE) / high];
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0 || holder !== null) return; // one finger draws
    holder = event.pointerId;
    canvas.setPointerCapture(holder);
    lowered = false;
    [x, y] = where(event);
    begin();
    canvas.focus({ preventScroll: true });
    cursor.hidden = true;
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => { if (event.pointerId === holder) go(where(event)); });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"])
    canvas.addEventListener(name, (event) => { if (event.pointerId === holder) holder = null; });
  canvas.addEventListener("blur", () => { cursor.hidden = true; });
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [0, -STEP], ArrowDown: [0, STEP], ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0] };
    const move = moves[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) {
      if (event.key !== "z" || event.altKey) return;
      surface.undo();
    } else if (move) {
      const to = [x + move[0], y + move[1]].map((n) => Math.min(Math.max(n, STEP), SIDE - STEP));
      if (lowered) go(to);
      else [x, y] = to;
      say(`${lowered ? "Pen down" : "Pen up"}, ${Math.round((100 * x) / SIDE)} % from the left, ${Math.round((100 * y) / SIDE)} % from the top.`);
    } else if (event.key === " ") {
      lowered = !lowered;
      if (lowered) begin();
      say(lowered ? "Pen down." : "Pen up.");
    } else if (event.key === "Delete" || event.key === "Backspace") surface.clear();
    else return;
    event.preventDefault();
    cursor.hidden = false;
    cursor.style.cssText = `left:${(100 * x) / SIDE}%;top:${(100 * y) / SIDE}%`;
    cursor.classList.toggle("is-down", lowered);
  });

  const surface = {
    redraw,
    ink() {
      const drawn = pen.getImageData(0, 0, SIDE, SIDE).data;
      return Float32Array.from({ length: SIDE * SIDE }, (_, i) => drawn[4 * i + 3] / 255);
    },
    /** Put values from 0 to 1 in place of what is there; the longer side fills the surface. */
    put(values, width, height, kind) {
      const picture = make("canvas", {}), scale = SIDE / Math.max(width, height);
      const draw = () => {
        drawNumbers(picture, values, width, height, { limit: 1, colours: coloursOf(canvas) });
        pen.drawImage(picture, (SIDE - scale * width) / 2, (SIDE - scale * height) / 2, scale * width, scale * height);
      };
      lowered = false;
      add({ kind, values, anew: true, draw });
    },
    undo() { acts.pop(); lowered = false; redraw(); changed(); },
    clear() {
      lowered = false;
      if (acts.length && acts.at(-1).kind !== "blank") add({ kind: "blank", anew: true, draw() {} });
    },
    get last() { return acts.at(-1); },
  };
  return surface;
}
