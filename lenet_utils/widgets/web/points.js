// Points on a canvas that can be moved, enlarged, chosen and encircled with mouse, fingers or keys.

const FARTHEST = 16, REACH = 14, STILL = 6, RIM = 40; // how far one can zoom; pixels: around a point, of a tap, of a mark

/** Which of the points (x, y), (x, y), … lie inside a polygon, by the even-odd rule. */
function insideOf(polygon, places) {
  const found = [];
  for (let n = 0; n < places.length / 2; n++) {
    let inside = false;
    for (let k = 0, before = polygon.length - 1; k < polygon.length; before = k++) {
      const [x, y] = polygon[k], [u, v] = polygon[before], [px, py] = [places[2 * n], places[2 * n + 1]];
      if (y > py !== v > py && px < ((u - x) * (py - y)) / (v - y) + x) inside = !inside;
    }
    if (inside) found.push(n);
  }
  return found;
}

/** A mark: the pixels of a picture so wide that are not empty, and how far each lies to the right of its middle and below. */
function makeMark(pixels, width) {
  const filled = Array.from(pixels.keys()).filter((k) => pixels[k] >>> 24), height = pixels.length / width;
  return {
    right: Int16Array.from(filled, (k) => (k % width) - (width >> 1)),
    below: Int16Array.from(filled, (k) => Math.floor(k / width) - (height >> 1)),
    pixels: Uint32Array.from(filled, (k) => pixels[k]),
  };
}

/**
 * Put a mark into a picture about (x, y), within a box (left, top, right, bottom).  Where marks meet, the more opaque one
 * wins.  On a slow machine that draws 2,000 marks in a tenth of the time that a canvas's drawImage takes.
 */
function stamp(picture, { right, below, pixels }, x, y, box, faint) {
  const [x0, y0] = [Math.round(x), Math.round(y)];
  for (let k = 0; k < pixels.length; k++) {
    const column = x0 + right[k], row = y0 + below[k];
    if (column < box[0] || column >= box[2] || row < box[1] || row >= box[3]) continue;
    const at = row * picture.width + column, opaque = faint ? pixels[k] >>> 26 : pixels[k] >>> 24;
    if (opaque > picture.pixels[at] >>> 24) picture.pixels[at] = (opaque << 24) | (pixels[k] & 0xffffff);
  }
}

/**
 * @param canvas  takes the size that its style gives it
 * @param marks   { current(), begin(zoom, ratio): before each picture, of(n): marks, and how far each lies to the right and
 *                below, faint(n): is it beneath the others, and dim?, over(pen, at, pane, zoom): drawn last }
 * @param events  { over(n or −1), chosen(n, byKey), encircled(numbers), key(event): was it of use? }
 * @returns { show, draw: with the next frame, paint: now, zoomBy, whole, view, at, places, forget, useLasso }
 */
function makePoints(canvas, marks, events) {
  const pen = canvas.getContext("2d", { willReadFrequently: true }), view = { x: 0.5, y: 0.5, zoom: 1 }, fingers = new Map();
  let panes = [], lasso = null, lassoing = false, active = 0, waiting = 0, moves = 0, start = null, ratio = 1, image;

  // --- where things are -------------------------------------------------------------------------------------------

  function layOut() {
    const width = canvas.clientWidth, height = canvas.clientHeight;
    ratio = Math.min(devicePixelRatio || 1, 2);
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const across = width >= height;
    for (const [k, pane] of panes.entries()) {
      const n = panes.length;
      Object.assign(pane, across ? { left: (k * width) / n, top: 0, width: width / n, height }
        : { left: 0, top: (k * height) / n, width, height: height / n });
      pane.scale = 0.92 * Math.min(pane.width, pane.height) * view.zoom;
    }
  }
  const middle = (pane) => [pane.left + pane.width / 2, pane.top + pane.height / 2];
  function at(n, pane) {
    const [x, y] = middle(pane);
    return [x + (pane.places[2 * n] - view.x) * pane.scale, y + (pane.places[2 * n + 1] - view.y) * pane.scale];
  }
  function back([x, y], pane) { // from the canvas to the picture
    const [left, top] = middle(pane);
    return [(x - left) / pane.scale + view.x, (y - top) / pane.scale + view.y];
  }
  const holds = (pane, [x, y]) =>
    x >= pane.left && x < pane.left + pane.width && y >= pane.top && y < pane.top + pane.height;
  const paneAt = (place) => Math.max(0, panes.findIndex((pane) => holds(pane, place)));
  function nearest(place) {
    let best = -1, least = REACH ** 2;
    const pane = panes[paneAt(place)];
    for (let n = 0; n < pane.places.length / 2; n++) {
      const [x, y] = at(n, pane), far = (x - place[0]) ** 2 + (y - place[1]) ** 2;
      if (far < least && holds(pane, [x, y])) [best, least] = [n, far];
    }
    return best;
  }

  // --- drawing ----------------------------------------------------------------------------------------------------

  function paint() {
    waiting = 0;
    layOut();
    if (!canvas.width || !canvas.height) return;
    if (image?.width !== canvas.width || image.height !== canvas.height)
      image = pen.createImageData(canvas.width, canvas.height);
    const picture = { width: image.width, pixels: new Uint32Array(image.data.buffer).fill(0) };
    marks.begin(view.zoom, ratio);
    for (const pane of panes) {
      const box = [pane.left, pane.top, pane.left + pane.width, pane.top + pane.height].map((n) => Math.round(n * ratio));
      for (const faint of [true, false])
        for (let n = 0; n < pane.places.length / 2; n++) {
          if (marks.faint(n) !== faint) continue;
          const [x, y] = at(n, pane), [left, top] = [x - pane.left, y - pane.top];
          if (left < -RIM || top < -RIM || left > pane.width + RIM || top > pane.height + RIM) continue;
          for (const [mark, shift] of marks.of(n)) stamp(picture, mark, x * ratio + shift, y * ratio + shift, box, faint);
        }
    }
    pen.putImageData(image, 0, 0);
    for (const [k, pane] of panes.entries()) {
      pen.save();
      pen.beginPath();
      pen.rect(pane.left, pane.top, pane.width, pane.height);
      pen.clip();
      const [left, top] = middle(pane);
      marks.over(pen, (n) => at(n, pane), pane, view.zoom);
      if (lasso && lasso.pane === k) {
        pen.lineWidth = 2;
        pen.setLineDash([6, 4]);
        pen.strokeStyle = getComputedStyle(canvas).color;
        pen.beginPath();
        for (const [x, y] of lasso.points) pen.lineTo(left + (x - view.x) * pane.scale, top + (y - view.y) * pane.scale);
        pen.closePath();
        pen.stroke();
      }
      pen.restore();
    }
  }
  function draw() { waiting ||= requestAnimationFrame(paint); }

  /** Show panes { name, places: x, y, x, y, … from 0 to 1 }; points move there from where they were. */
  function show(next, still) {
    const began = performance.now(), turn = ++moves;
    lasso = null;
    const paths = next.map((pane) => {
      const from = (panes.find((old) => old.name === pane.name) ?? panes[0] ?? pane).places;
      return { name: pane.name, from: Float32Array.from(from), to: pane.places, places: Float32Array.from(from) };
    });
    panes = paths.map(({ name, places }) => ({ name, places }));
    active = Math.min(active, panes.length - 1);
    const move = () => {
      if (turn !== moves) return;
      const share = still ? 1 : Math.min(1, (performance.now() - began) / 900);
      const eased = share * share * (3 - 2 * share);
      for (const { from, to, places } of paths)
        for (let k = 0; k < to.length; k++) places[k] = share === 1 ? to[k] : from[k] + eased * (to[k] - from[k]);
      draw();
      if (share < 1) requestAnimationFrame(move);
    };
    move();
  }

  // --- moving and enlarging ---------------------------------------------------------------------------------------

  function keepIn() {
    view.zoom = Math.min(FARTHEST, Math.max(1, view.zoom));
    const reach = 0.5 - 0.5 / view.zoom;
    for (const axis of ["x", "y"]) view[axis] = Math.min(0.5 + reach, Math.max(0.5 - reach, view[axis]));
    draw();
  }
  function moveBy(dx, dy) {
    view.x -= dx / panes[0].scale;
    view.y -= dy / panes[0].scale;
    keepIn();
  }
  /** Enlarge about a place of the canvas, which stays where it is, if one can see it. */
  function zoomBy(factor, wanted) {
    const place = wanted && panes.some((pane) => holds(pane, wanted)) ? wanted : middle(panes[active]);
    const pane = panes[paneAt(place)], [x, y] = back(place, pane);
    view.zoom = Math.min(FARTHEST, Math.max(1, view.zoom * factor));
    layOut();
    const [left, top] = middle(pane);
    [view.x, view.y] = [x - (place[0] - left) / pane.scale, y - (place[1] - top) / pane.scale];
    keepIn();
  }
  function whole() { Object.assign(view, { x: 0.5, y: 0.5, zoom: 1 }); keepIn(); }
  function bringIntoView(n) {
    const pane = panes[active], [x, y] = at(n, pane);
    if (!holds(pane, [x - 10, y - 10]) || !holds(pane, [x + 10, y + 10])) {
      [view.x, view.y] = [pane.places[2 * n], pane.places[2 * n + 1]];
      keepIn();
    }
  }

  // --- mouse and fingers: one that has chosen the picture moves it, others scroll the page -------------------------

  function choosePicture(chosen) { canvas.classList.toggle("chosen", chosen); }
  document.addEventListener("pointerdown", (event) => {
    if (!canvas.parentElement.contains(event.target)) choosePicture(false);
  });
  const where = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left - canvas.clientLeft, event.clientY - box.top - canvas.clientTop];
  };
  const holdsOn = (event) => event.pointerType !== "touch" || lassoing || canvas.classList.contains("chosen");

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    const place = where(event);
    active = paneAt(place);
    start = { place, tap: fingers.size === 0 };
    if (!holdsOn(event)) return; // the page may scroll; what stays where it is, is a tap
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, place);
    lasso = lassoing && fingers.size === 1 ? { pane: active, points: [back(place, panes[active])] } : null;
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    const place = where(event), before = fingers.get(event.pointerId);
    if (start && Math.hypot(place[0] - start.place[0], place[1] - start.place[1]) > STILL) start.tap = false;
    if (!before) {
      if (event.pointerType !== "touch") events.over(nearest(place));
      return;
    }
    fingers.set(event.pointerId, place);
    if (fingers.size === 1 && lasso) {
      lasso.points.push(back(place, panes[lasso.pane]));
      draw();
    } else if (fingers.size === 1 && !start?.tap) moveBy(place[0] - before[0], place[1] - before[1]);
    else if (fingers.size === 2) {
      const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
      const apart = (a) => Math.max(1, Math.hypot(a[0] - other[0], a[1] - other[1]));
      moveBy((place[0] - before[0]) / 2, (place[1] - before[1]) / 2);
      zoomBy(apart(place) / apart(before), [(place[0] + other[0]) / 2, (place[1] + other[1]) / 2]);
    }
  });
  canvas.addEventListener("pointerup", (event) => {
    fingers.delete(event.pointerId);
    if (start?.tap) {
      lasso = null;
      canvas.focus({ preventScroll: true });
      choosePicture(true);
      const found = nearest(start.place);
      if (found >= 0) events.chosen(found, false);
      draw();
    } else if (lasso && fingers.size === 0) encircle(lasso.points, lasso.pane);
    start = null;
  });
  canvas.addEventListener("pointercancel", (event) => { // the page scrolls
    fingers.delete(event.pointerId);
    lasso = start = null;
    draw();
  });
  canvas.addEventListener("pointerleave", () => { if (!fingers.size) events.over(-1); });
  canvas.addEventListener("wheel", (event) => { // a plain wheel scrolls the page
    if (!event.ctrlKey && !event.metaKey) return;
    zoomBy(2 ** (-event.deltaY / (event.deltaMode ? 10 : 250)), where(event));
    event.preventDefault();
  }, { passive: false });

  function encircle(points, k = active) {
    lasso = { pane: k, points };
    events.encircled(insideOf(points, panes[k].places));
    draw();
  }

  // --- keys -------------------------------------------------------------------------------------------------------

  /** The nearest point in a direction, of those that lie within 45° of it. */
  function step(n, [right, down]) {
    const pane = panes[active], [x, y] = at(n, pane);
    let best = n, least = Infinity;
    for (let k = 0; k < pane.places.length / 2; k++) {
      const [u, v] = at(k, pane), along = (u - x) * right + (v - y) * down;
      const aside = Math.abs((u - x) * down + (v - y) * right);
      if (along > 0.5 && aside <= along && along + 2 * aside < least) [best, least] = [k, along + 2 * aside];
    }
    return best;
  }
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const direction = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
    if (direction && event.shiftKey) moveBy(-60 * direction[0], -60 * direction[1]);
    else if (direction) {
      const next = step(marks.current(), direction);
      bringIntoView(next);
      events.chosen(next, true);
    } else if (event.key === "+" || event.key === "=") zoomBy(1.5, at(marks.current(), panes[active]));
    else if (event.key === "-") zoomBy(1 / 1.5, at(marks.current(), panes[active]));
    else if (event.key === "0") whole();
    else if (event.key === "Escape" && lassoing && lasso) { lasso = null; draw(); }
    else if (!events.key(event)) return;
    event.preventDefault();
  });

  new ResizeObserver(draw).observe(canvas);
  return {
    show, draw, paint, zoomBy, whole, view,
    at: (n, k = active) => at(n, panes[k]),
    places: (k = active) => panes[k].places,
    forget() { lasso = null; draw(); },
    useLasso(on) { lassoing = on; canvas.classList.toggle("lassoing", on); },
  };
}
