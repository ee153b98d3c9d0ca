function render({ model, el }) {
  const pair = make("b"), mid = make("span"), state = make("span", { class: "badge", role: "status" });
  const canvas = make("canvas", { role: "img", tabindex: "0" });
  const readout = make("span", { class: "soft readout" });
  const root = make("div", { class: "kit kit-depth", "data-lm-suppress-shortcuts": "true" }, make("div", { class: "head" }, pair, mid, state, readout), canvas);
  el.append(root);
  const label = slowLabel(canvas), drawing = drawingOn(canvas, root, { soon: () => view.soon() });

  const view = connect(model, root, {
    merge(_state, frame, buffers) {
      const view = buffers[0];
      const values = new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
      const { bids, asks, reference } = frame;
      const side = (start, count) => ({
        prices: Array.from(values.subarray(start, start + count), (offset) => reference + offset),
        sums: values.subarray(start + count, start + 2 * count),
      });
      return { ...frame, bid: side(0, bids), ask: side(2 * bids, asks) };
    },
    paint(frame) { head(frame); draw(frame); },
    retheme: drawing.retheme,
  });

  function head(frame) {
    setText(pair, frame.pair);
    setText(mid, frame.bids && frame.asks ? `mid ${frame.mid} ${frame.quote} · spread ${frame.spread}` : "no levels yet");
    showState(state, frame.state);
    const total = (side) => amount(side.sums.length ? side.sums[side.sums.length - 1] : 0);
    label(() => `Depth of ${frame.pair}: mid ${frame.mid} ${frame.quote}, ` +
      `${total(frame.bid)} ${frame.base} bid and ${total(frame.ask)} asked within sight, ${frame.marks.length} own orders`);
  }

  function geometry(frame, width, height) {
    const centre = frame.reference;
    const far = (side) => side.prices.length ? Math.abs(side.prices[side.prices.length - 1] - centre) : 0;
    const reach = Math.max(far(frame.bid), far(frame.ask)) || 1;
    const last = (side) => side.sums.length ? side.sums[side.sums.length - 1] : 0;
    const top = Math.max(last(frame.bid), last(frame.ask)) * 1.06 || 1;
    const box = { left: 4, right: width - 46, top: 6, bottom: height - 20 };
    return {
      width, centre, reach, top, box,
      x: (price) => box.left + (0.5 + (price - centre) / reach / 2) * (box.right - box.left),
      y: (amount) => box.bottom - amount / top * (box.bottom - box.top),
      price: (x) => centre + ((x - box.left) / (box.right - box.left) - 0.5) * 2 * reach,
    };
  }

  function draw(frame) {
    const begun = drawing.begin();
    if (!begun) return;
    const { g, c, width, height } = begun, map = geometry(frame, width, height);
    axes(g, frame, map, c);
    curve(g, frame.bid, map, map.box.left, c.bid, c["bid-soft"]);
    curve(g, frame.ask, map, map.box.right, c.ask, c["ask-soft"]);
    for (const mark of frame.marks) drawMark(g, frame, mark, map, c);
    if (drawing.pointer !== null) crosshair(g, frame, map, c); else setText(readout, "");
  }

  function axes(g, frame, map, c) {
    const { box } = map;
    g.strokeStyle = c.line;
    g.fillStyle = c.soft;
    g.lineWidth = 1;
    g.textBaseline = "middle";
    g.textAlign = "left";
    for (const value of niceTicks(0, map.top, Math.max(2, Math.floor((box.bottom - box.top) / 45)))) {
      const y = Math.round(map.y(value)) + 0.5;
      stroke(g, box.left, y, box.right, y);
      g.fillText(short(value), box.right + 6, y);
    }
    g.textBaseline = "top";
    g.textAlign = "center";
    for (const value of niceTicks(map.centre - map.reach, map.centre + map.reach, Math.max(2, Math.floor(map.width / 110)))) {
      const x = map.x(value);
      const text = written(value, frame.decimals[0]);
      const half = g.measureText(text).width / 2;
      if (x - half < 0 || x + half > box.right + 4) continue;
      stroke(g, Math.round(x) + 0.5, box.bottom, Math.round(x) + 0.5, box.bottom + 4);
      g.fillText(text, x, box.bottom + 6);
    }
  }

  function curve(g, side, map, edge, color, soft) {
    if (!side.prices.length) return;
    g.beginPath();
    let y = map.box.bottom;
    g.moveTo(map.x(side.prices[0]), y);
    for (let i = 0; i < side.prices.length; i += 1) {
      const x = map.x(side.prices[i]);
      g.lineTo(x, y);
      y = map.y(side.sums[i]);
      g.lineTo(x, y);
    }
    g.lineTo(edge, y);
    g.strokeStyle = color;
    g.lineWidth = 1.5;
    g.stroke();
    g.lineTo(edge, map.box.bottom);
    g.closePath();
    g.fillStyle = soft;
    g.fill();
  }

  function drawMark(g, frame, [at, , isBuy], map, c) {
    const side = isBuy ? frame.bid : frame.ask;
    const x = Math.min(Math.max(map.x(at), map.box.left + 5), map.box.right - 5);
    const y = map.y(depthAt(side, at, isBuy));
    const beyond = Math.sign(Math.round(map.x(at) - x)); // out of sight: an arrow to where it is
    g.beginPath();
    if (beyond) { g.moveTo(x + 5 * beyond, y); g.lineTo(x - 4 * beyond, y - 5); g.lineTo(x - 4 * beyond, y + 5); }
    else { g.moveTo(x, y - 6); g.lineTo(x + 5, y); g.lineTo(x, y + 6); g.lineTo(x - 5, y); }
    g.closePath();
    g.fillStyle = c.own;
    g.fill();
    g.lineWidth = 1.5;
    g.strokeStyle = c.ground;
    g.stroke();
    if (beyond) return;
    g.strokeStyle = c.own;
    g.setLineDash([2, 3]);
    stroke(g, Math.round(x) + 0.5, y + 7, Math.round(x) + 0.5, map.box.bottom);
    g.setLineDash([]);
  }

  function crosshair(g, frame, map, c) {
    const x = Math.min(Math.max(drawing.pointer, map.box.left), map.box.right);
    const at = map.price(x);
    const isBuy = at < map.centre;
    const depth = depthAt(isBuy ? frame.bid : frame.ask, at, isBuy);
    g.strokeStyle = c.soft;
    g.lineWidth = 1;
    stroke(g, Math.round(x) + 0.5, map.box.top, Math.round(x) + 0.5, map.box.bottom);
    const near = frame.marks.find(([where]) => Math.abs(map.x(where) - x) < 7);
    setText(readout, `${written(at, frame.decimals[0])} ${frame.quote}: ${amount(depth)} ${frame.base}` +
      (near ? ` · own ${near[2] ? "buy" : "sell"} ${near[1]} (${near[3].replaceAll("_", " ")})` : ""));
  }

  function depthAt(side, at, isBuy) {
    let total = 0;
    for (let i = 0; i < side.prices.length; i += 1) {
      if (isBuy ? side.prices[i] < at - 1e-9 : side.prices[i] > at + 1e-9) break;
      total = side.sums[i];
    }
    return total;
  }

  return () => { drawing.close(); view.close(); };
}

const amount = (value) => value.toLocaleString("en-US", { maximumSignificantDigits: 5 });
const short = (value) => value.toLocaleString("en-US", { notation: "compact", maximumSignificantDigits: 3 });

export default { render };
