function render({ model, el }) {
  const pair = make("b"), mid = make("span"), state = make("span", { class: "badge", role: "status" });
  const readout = make("span", { class: "soft readout" });
  const canvas = make("canvas", { role: "img", tabindex: "0" });
  const span = chartSpan("price", () => view.soon());
  const root = make("div", { class: "kit kit-price", "data-lm-suppress-shortcuts": "true" },
    make("div", { class: "head" }, pair, mid, state, readout, span.select), canvas);
  el.append(root);
  const label = slowLabel(canvas);
  let last = null;

  const view = connect(model, root, {
    merge(before, frame, buffers) {
      const columns = frame.full || !before ? chartColumns(2) : before.columns;
      const fills = frame.full || !before ? [] : before.fills;
      if (frame.samples.count) chartAppend(columns, frame.samples, buffers[0]);
      fills.push(...frame.fills.map(([time, value, isBuy, words]) => ({ time, value, isBuy, words })));
      return { ...frame, columns, fills };
    },
    paint(frame) { last = frame; head(frame); show(frame); },
    retheme() { chart.retheme(); },
  });

  const chart = timeChart(canvas, root, {
    soon: () => view.soon(),
    describe(time, near) {
      if (time === null || !last || !last.columns[0].length) { setText(readout, ""); return; }
      const [times, mids] = last.columns, at = nearest(times, time);
      const fill = last.fills.find((each) => near(each.time));
      setText(readout, `${clockText(times[at])} ${written(mids[at], last.decimals)}` +
        (fill ? ` · own ${fill.isBuy ? "buy" : "sell"} ${fill.words}` : ""));
    },
  });

  function head(frame) {
    setText(pair, frame.pair);
    setText(mid, frame.mid === "—" ? "no price yet" : `mid ${frame.mid} ${frame.quote}`);
    showState(state, frame.state);
    label(() => `Price of ${frame.pair}: mid ${frame.mid} ${frame.quote}, ` +
      `${frame.fills.length} own fills, ${frame.orders.length} own orders`);
  }

  function show(frame) {
    const [times, values] = frame.columns;
    chart.draw({
      ...chartRange(times, span.seconds, frame.fills),
      panes: [{
        write: (value) => written(value, frame.decimals),
        least: 10 ** -frame.decimals * 10,
        lines: [{ times, values, color: "text" }],
        marks: frame.fills,
        levels: frame.orders.map(([value, isBuy]) => ({ value, isBuy })),
      }],
    });
  }
  return () => { chart.close(); view.close(); };
}

export default { render };
