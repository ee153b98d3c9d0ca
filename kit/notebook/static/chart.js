// Charts over time on a canvas: panes one below the other that share the time axis, marks of own fills, lines of own
// resting orders, and a crosshair for pointer and keyboard.

const SPANS = { "5 min": 300, "15 min": 900, "1 h": 3600, "6 h": 21600, all: Infinity };

// Samples as the page keeps them: one array a column, the first one times in seconds since the epoch.
function chartColumns(count) { return Array.from({ length: count }, () => []); }

function chartAppend(columns, head, buffer) {
  const values = new Float32Array(buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength));
  const bases = [head.start, head.reference];
  columns.forEach((column, index) => {
    for (let i = 0; i < head.count; i += 1) column.push((bases[index] ?? 0) + values[index * head.count + i]);
  });
}

// What is shown: the last ``seconds``, or all there is where that is less, but half a minute at least. A mark may be
// newer than the last sample.
function chartRange(times, seconds, marks = []) {
  const to = Math.max(times.at(-1) ?? 1, ...marks.slice(-1).map((mark) => mark.time));
  return { from: Math.min(Math.max(to - seconds, times[0] ?? 0), to - 30), to };
}

function chartSpan(id, onChange) {
  const select = make("select", { class: "span", "aria-label": "time shown", title: "time shown" },
    ...Object.keys(SPANS).map((name) => make("option", { value: name }, name)));
  let kept = null;
  try { kept = localStorage.getItem(`kit-span-${id}`); } catch { /* a page that may keep nothing */ }
  select.value = kept in SPANS ? kept : "15 min";
  select.addEventListener("change", () => {
    try { localStorage.setItem(`kit-span-${id}`, select.value); } catch { /* as above */ }
    onChange();
  });
  return { select, get seconds() { return SPANS[select.value]; } };
}

function timeChart(canvas, root, { describe, soon }) {
  let map = null;
  const drawing = drawingOn(canvas, root, { soon, start: () => map?.box.right ?? canvas.clientWidth });

  function firstShown(times, from) {
    let low = 0, high = times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[middle] < from) low = middle + 1; else high = middle;
    }
    return low;
  }

  // The samples from just before the span on, so that the line enters at the edge.
  const shownFrom = (times, from) => Math.max(0, firstShown(times, from) - 1);

  function rangeOf(pane, from) {
    let low = Infinity, high = -Infinity;
    const take = (value) => { if (value < low) low = value; if (value > high) high = value; };
    for (const line of pane.lines) for (let i = shownFrom(line.times, from); i < line.times.length; i += 1) take(line.values[i]);
    for (const mark of pane.marks ?? []) if (mark.time >= from) take(mark.value);
    if (low <= high) {
      // Orders far away must not flatten the price: those are shown at the edge.
      const reach = Math.max(high - low, Math.abs(high) * 1e-5) * 3;
      for (const level of pane.levels ?? []) if (level.value > low - reach && level.value < high + reach) take(level.value);
    }
    if (pane.zero) take(0);
    if (low > high) return null;
    const least = pane.least ?? (Math.abs(high) * 1e-6 || 1e-6);
    if (high - low < least) { const middle = (low + high) / 2; low = middle - least / 2; high = middle + least / 2; }
    const air = (high - low) * 0.08;
    return [low - air, high + air];
  }

  function layout(spec, { g, width, height }) {
    const panes = spec.panes.map((pane) => ({ pane, range: rangeOf(pane, spec.from) }));
    let wide = 30;
    for (const { pane, range } of panes) {
      if (range) for (const value of range) wide = Math.max(wide, g.measureText(pane.write(value)).width);
    }
    const box = { left: 2, right: width - wide - 10, bottom: height - 18 };
    const total = spec.panes.reduce((sum, pane) => sum + (pane.share ?? 1), 0);
    const above = (pane) => pane.label ? 16 : 2; // a strip for the label, which the curve must not cross
    const room = box.bottom - spec.panes.reduce((sum, pane) => sum + above(pane), 0);
    let y = 0;
    for (const each of panes) {
      each.top = y + above(each.pane);
      each.bottom = each.top + room * (each.pane.share ?? 1) / total;
      y = each.bottom;
      const [low, high] = each.range ?? [0, 1];
      each.y = (value) => each.bottom - (value - low) / (high - low) * (each.bottom - each.top);
    }
    const span = Math.max(spec.to - spec.from, 1);
    return {
      width, box, panes, from: spec.from, to: spec.to,
      x: (time) => box.left + (time - spec.from) / span * (box.right - box.left),
      time: (x) => spec.from + (x - box.left) / (box.right - box.left) * span,
    };
  }

  function draw(spec) {
    const begun = drawing.begin();
    if (!begun) return;
    const { g, c } = begun;
    map = layout(spec, begun);
    timeAxis(g, c);
    for (const each of map.panes) drawPane(g, c, each);
    if (drawing.pointer !== null) crosshair(g, c); else describe(null);
  }

  function timeAxis(g, c) {
    const { box } = map, step = timeStep(map.to - map.from, Math.max(2, Math.floor((box.right - box.left) / 80)));
    const zone = new Date().getTimezoneOffset() * 60;
    g.textBaseline = "top";
    g.textAlign = "center";
    for (let time = Math.ceil((map.from - zone) / step) * step + zone; time <= map.to; time += step) {
      const x = Math.round(map.x(time)) + 0.5;
      g.strokeStyle = c.line;
      g.lineWidth = 1;
      g.globalAlpha = 0.6;
      for (const each of map.panes) stroke(g, x, each.top, x, each.bottom);
      g.globalAlpha = 1;
      const text = clockText(time, step), half = g.measureText(text).width / 2;
      if (x - half < 0 || x + half > map.width) continue;
      g.fillStyle = c.soft;
      g.fillText(text, x, box.bottom + 5);
    }
  }

  function drawPane(g, c, each) {
    const { pane, range } = each, { box } = map;
    g.textBaseline = "middle";
    g.textAlign = "left";
    g.lineWidth = 1;
    if (range) {
      const count = Math.max(2, Math.floor((each.bottom - each.top) / 28));
      for (const value of niceTicks(range[0], range[1], count)) {
        const y = Math.round(each.y(value)) + 0.5;
        g.strokeStyle = c.line;
        stroke(g, box.left, y, box.right, y);
        g.fillStyle = c.soft;
        g.fillText(pane.write(value), box.right + 6, Math.min(Math.max(y, each.top + 6), each.bottom - 5));
      }
    }
    g.save();
    g.beginPath();
    g.rect(box.left, each.top, box.right - box.left + 5, each.bottom - each.top); // a mark at the end is whole
    g.clip();
    if (range) {
      if (pane.zero) { g.strokeStyle = c.soft; stroke(g, box.left, Math.round(each.y(0)) + 0.5, box.right, Math.round(each.y(0)) + 0.5); }
      for (const level of pane.levels ?? []) drawLevel(g, c, each, level);
      for (const line of pane.lines) (line.signed ? drawSigned : drawLine)(g, c, each, line);
      for (const mark of pane.marks ?? []) if (mark.time >= map.from) drawMark(g, c, each, mark);
    }
    g.restore();
    if (!pane.label) return;
    g.textBaseline = "bottom";
    g.fillStyle = c.soft;
    g.fillText(pane.label, box.left, each.top - 2);
  }

  function path(g, each, line) {
    const from = shownFrom(line.times, map.from);
    g.beginPath();
    let y = each.y(line.values[from]), x = map.x(line.times[from]);
    g.moveTo(x, y);
    for (let i = from + 1; i < line.times.length; i += 1) {
      x = map.x(line.times[i]);
      if (line.step) g.lineTo(x, y);
      y = each.y(line.values[i]);
      g.lineTo(x, y);
    }
    return [map.x(line.times[from]), x];
  }

  function drawLine(g, c, each, line) {
    if (!line.times.length) return;
    path(g, each, line);
    g.strokeStyle = c[line.color];
    g.lineWidth = 1.5;
    g.lineJoin = "round";
    g.stroke();
  }

  // Above zero in the colour of gains, below in that of losses.
  function drawSigned(g, c, each, line) {
    if (!line.times.length) return;
    const zero = each.y(0);
    for (const [top, bottom, color] of [[each.top, zero, "bid"], [zero, each.bottom, "ask"]]) {
      if (bottom <= top) continue;
      g.save();
      g.beginPath();
      g.rect(map.box.left, top, map.box.right - map.box.left, bottom - top);
      g.clip();
      const [first, end] = path(g, each, line);
      g.strokeStyle = c[color];
      g.lineWidth = 1.5;
      g.stroke();
      g.lineTo(end, zero);
      g.lineTo(first, zero);
      g.closePath();
      g.fillStyle = c[`${color}-soft`];
      g.fill();
      g.restore();
    }
  }

  function drawLevel(g, c, each, level) {
    const at = each.y(level.value), y = Math.min(Math.max(at, each.top + 1), each.bottom - 1);
    g.strokeStyle = level.isBuy ? c.bid : c.ask;
    g.lineWidth = 1;
    g.setLineDash(at === y ? [5, 4] : [1, 4]); // dotted at the edge: farther away than what is shown
    stroke(g, map.box.left, Math.round(y) + 0.5, map.box.right, Math.round(y) + 0.5);
    g.setLineDash([]);
  }

  function drawMark(g, c, each, mark) {
    const x = map.x(mark.time), y = each.y(mark.value), tip = mark.isBuy ? 1 : -1;
    g.beginPath();
    g.moveTo(x, y);
    g.lineTo(x - 4.5, y + 8 * tip);
    g.lineTo(x + 4.5, y + 8 * tip);
    g.closePath();
    g.fillStyle = mark.isBuy ? c.bid : c.ask;
    g.fill();
    g.strokeStyle = c.ground;
    g.lineWidth = 1;
    g.stroke();
  }

  function crosshair(g, c) {
    const x = Math.min(Math.max(drawing.pointer, map.box.left), map.box.right);
    g.strokeStyle = c.soft;
    g.lineWidth = 1;
    for (const each of map.panes) stroke(g, Math.round(x) + 0.5, each.top, Math.round(x) + 0.5, each.bottom);
    describe(map.time(x), (time) => Math.abs(map.x(time) - x) < 6);
  }

  return { draw, retheme: drawing.retheme, close: drawing.close };
}

function nearest(times, time) {
  let low = 0, high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < time) low = middle + 1; else high = middle;
  }
  return low > 0 && time - times[low - 1] < times[low] - time ? low - 1 : low;
}

function timeStep(span, count) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
  return steps.find((step) => step >= span / count) ?? 86400 * Math.ceil(span / count / 86400);
}

function signedText(value, decimals) {
  const text = written(Math.abs(value), decimals);
  return /[1-9]/.test(text) ? `${value < 0 ? "\u2212" : "+"}${text}` : text;
}
