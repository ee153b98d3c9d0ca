// What drawings on a canvas share.

const CANVAS_COLOURS = ["text", "soft", "line", "ground", "bid", "ask", "bid-soft", "ask-soft", "own", "accent"];

// A canvas that is empty and sharp at whatever size it has, in the theme's colours, and knows where pointer or arrow
// keys point. ``soon`` asks for the next drawing, ``start`` tells where the keys begin.
function drawingOn(canvas, root, { soon, start = () => canvas.clientWidth / 2 }) {
  let colours = null, pointer = null;

  function themed() {
    const style = getComputedStyle(root);
    const found = { font: style.fontFamily };
    for (const name of CANVAS_COLOURS) found[name] = style.getPropertyValue(`--kit-${name}`).trim();
    return found;
  }

  // Its context and the colours; nothing while the canvas has no size.
  function begin() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return null;
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    const g = canvas.getContext("2d"), c = (colours ??= themed());
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    g.font = `11px ${c.font}`;
    return { g, c, width, height };
  }

  function move(to) { pointer = to; soon(); }
  canvas.addEventListener("pointermove", (event) => move(event.offsetX));
  canvas.addEventListener("pointerleave", () => move(null));
  canvas.addEventListener("blur", () => move(null));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    move(Math.min(Math.max((pointer ?? start()) + step * (event.shiftKey ? 20 : 4), 0), canvas.clientWidth));
  });
  const sizes = new ResizeObserver(() => soon());
  sizes.observe(canvas);
  return {
    begin,
    get pointer() { return pointer; }, // pixels from the left, or null
    retheme() { colours = null; },
    close() { sizes.disconnect(); },
  };
}

// Names an element for screen readers, which a name that changes four times a second does not help.
function slowLabel(element) {
  let told = -Infinity;
  return (text) => {
    const now = performance.now();
    if (now - told < 5000) return;
    told = now;
    element.setAttribute("aria-label", text());
  };
}

function stroke(g, x1, y1, x2, y2) {
  g.beginPath();
  g.moveTo(x1, y1);
  g.lineTo(x2, y2);
  g.stroke();
}

function niceTicks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= rough * 0.999);
  const found = [];
  for (let index = Math.ceil(low / step); index * step <= high; index += 1) found.push(index * step);
  return found;
}

const written = (value, decimals) =>
  value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
