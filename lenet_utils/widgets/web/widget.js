// What all widgets share: how they start, how they make elements, how they show numbers as pixels.

/** Start every element of a class that is not at work yet, once the page has been painted. */
function startEach(name, start) {
  for (const root of document.querySelectorAll(`.${name}:not([data-started])`)) {
    root.dataset.started = "";
    const begin = () => {
      start(root, JSON.parse(root.querySelector("script[type='application/json']").textContent));
      root.dataset.ready = "";
    };
    requestAnimationFrame(() => setTimeout(begin));
  }
}

/** An element with its properties, attributes (names with a hyphen, role) and children. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties))
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else if (name in element) element[name] = value;
    else throw new Error(`a ${tag} has no ${name}`);
  element.append(...children);
  return element;
}

/** The colours in which a widget draws: its text's, and those of numbers above and below zero. */
function coloursOf(root) {
  const ink = getComputedStyle(root).color.match(/[\d.]+/g).slice(0, 3).map(Number);
  const dark = ink[0] + ink[1] + ink[2] > 384;
  return { ink, plus: dark ? [86, 180, 233] : [0, 114, 178], minus: dark ? [230, 159, 0] : [213, 94, 0] };
}

/** Call `redraw` when the page turns dark or light, or goes to the printer: what a canvas shows does not turn by itself. */
function onNewColours(redraw) {
  for (const media of ["(prefers-color-scheme: dark)", "print"]) matchMedia(media).addEventListener("change", redraw);
  const themes = ["class", "data-theme", "data-jp-theme-light", "data-vscode-theme-kind"]; // of the site and of notebooks
  for (const element of [document.documentElement, document.body])
    new MutationObserver(redraw).observe(element, { attributeFilter: themes });
}

/**
 * Draw numbers as pixels: nothing at zero, the full colour at the limit; the canvas takes their size.
 * Colours are those of coloursOf; with `signed` blue and orange, else ink for what is above zero.
 */
function drawNumbers(canvas, values, width, height, { limit, colours, signed = false }) {
  const pen = canvas.getContext("2d"), pixels = pen.createImageData(width, height);
  [canvas.width, canvas.height] = [width, height];
  for (let i = 0; i < width * height; i++) {
    const colour = signed ? (values[i] < 0 ? colours.minus : colours.plus) : colours.ink;
    const share = limit > 0 ? Math.min(1, (signed ? Math.abs(values[i]) : Math.max(0, values[i])) / limit) : 0;
    pixels.data.set(colour, 4 * i);
    pixels.data[4 * i + 3] = 255 * share;
  }
  pen.putImageData(pixels, 0, 0);
}

/** The images of a sheet, as lenet_utils.widgets.pictures.sheet writes it: each 784 numbers from 0 to 1. */
async function readSheet({ picture, count, columns }) {
  const image = new Image();
  image.src = picture;
  await image.decode();
  const canvas = make("canvas", { width: image.width, height: image.height });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(image, 0, 0);
  const pixels = pen.getImageData(0, 0, image.width, image.height).data;
  return Array.from({ length: count }, (_, n) => {
    const [top, left] = [28 * Math.floor(n / columns), 28 * (n % columns)];
    return Float32Array.from({ length: 784 }, (_, i) =>
      pixels[4 * ((top + Math.floor(i / 28)) * image.width + left + (i % 28))] / 255);
  });
}
